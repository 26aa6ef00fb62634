"""
Golden files: screens as they were approved. What differs from run to run (ids, times, sizes of what names this
machine) is put in its place before they are compared.

REWRITE_GOLDEN=1 writes them anew; look at the difference before it is committed.
"""

import os
import re
from pathlib import Path

from cli.shop import Shop

FOLDER = Path(__file__).parent / "golden"
_MONTH = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_SETTLED = (
    (rf"\b\d{{1,2}} {_MONTH}( \d{{4}})? \d\d:\d\d:\d\d \((just now|\d+ min ago)\)", "21 Nov 14:03:11 (just now)"),
    (r"\b\d\d:\d\d:\d\d UTC", "14:03:11 UTC"),
    (r"^(  \S{4}  )(?:\d\d:\d\d|\w{3} \d\d:\d\d)  ", r"\g<1>14:03  "),
    (r"\b\d[\d.]* (ms|s)\b", "9.1 s"),
    (r"^(  \S{4}  14:03 .*?) +9.1 s$", r"\1  9.1 s"),
    (r" @ [0-9a-f]{7}\b", " @ 3f2c1ab"),
    (r"(environment|timing)\.json \d[\d.]* (bytes|KB)", r"\1.json 800 bytes"),
    (r"\(\d[\d.]* (bytes|KB)\)", "(4.1 KB)"),
    (r"events, \d[\d.]* (KB|MB)", "events, 4.1 MB"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "0190c0de-0000-7000-8000-000000000000"),
    (r"\b[0-9a-f]{64}\b", "f0" * 32),
    (r" on \S+ · ", " on host · "),
    (r"\d[\d.]* [GTM]B free", "85 GB free"),
    (r"(git +)\d+(\.\d+)+", r"\g<1>2.45"),
)


def check(name: str, screen: str, shop: Shop) -> None:
    kept = FOLDER / f"{name}.txt"
    settled = settle(screen, shop)
    if os.environ.get("REWRITE_GOLDEN"):
        kept.write_text(settled)
    assert settled == kept.read_text()


def settle(screen: str, shop: Shop) -> str:
    for number, id in enumerate(reversed(shop.short_ids()), 1):
        screen = screen.replace(id, f"ID{number:02}")
    screen = screen.replace(str(shop.folder.resolve()), "/src/shop").replace(os.environ["HOME"], "/home/ada")
    for pattern, settled in _SETTLED:
        screen = re.sub(pattern, settled, screen, flags=re.MULTILINE)
    return screen
