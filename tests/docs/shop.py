"""The project of the first pages, and a terminal in which what they say can be typed."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HOME, HOST = "/home/ada", "laptop"
"""What the pages show in place of those that a run really has."""
PAGES: dict[str, str | None] = {"README.md": None, "docs/tutorials/first-operation.md": "dre wrap --wait pytest -q"}
"""The first pages, and what has happened in the project before each of them begins."""
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SETTING_UP = ("make", "export", "cd", "git clone")
_PATIENCE_S = 120

# What differs from run to run, and a name for it. The order matters: ids are digits too.
_VARIES = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"@ [0-9a-f]{7}\b", "@ COMMIT"),
    (r"\b\d{1,2} [A-Z][a-z]{2} (\d{4} )?\d\d:\d\d(:\d\d)?", "MOMENT"),
    (r"\b\d\d:\d\d(:\d\d)?\b", "MOMENT"),
    (r"\((just now|[^()]* ago)\)", "(AGE)"),
    (r"\b[\d.,]+ (ms|s|min \d+ s)\b", "LENGTH"),
    (r"\bin [\d.]+s\b", "in LENGTH"),
    (r"\b[\d.,]+ (bytes|KB|MB)", "SIZE"),
    (r"\b\d+ blobs\b", "N blobs"),  # equal contents are one
    (r"\b(?=[0-9A-Z]{4}\b)[0-9A-HJKMNP-TV-Z]{4}\b", "ID"),
)


class Typed(NamedTuple):
    """A command line of a page, and what the page says that it prints."""

    line: str
    shown: str


def typed(page: Path) -> list[Typed]:
    """Every command line of a page in its order; those that only bring the reader to the project are left out."""
    blocks = CONSOLE.findall(page.read_text())
    return [each for block in blocks for each in _lines(block) if not each.line.startswith(_SETTING_UP)]


def retyped(text: str, type_: Callable[[str], str]) -> str:
    """The text of a page with what its commands print now."""

    def again(block: re.Match[str]) -> str:
        lines = [
            Typed(line, shown if line.startswith(_SETTING_UP) else type_(line)) for line, shown in _lines(block[1])
        ]
        return "```console\n" + "".join(f"$ {line}\n{shown}" for line, shown in lines) + "```"

    return CONSOLE.sub(again, text)


def _lines(block: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield Typed(line, shown)


class Shop:
    """`examples/first-run` in a git repository of its own, as `make run` lays it out."""

    def __init__(self, home: Path) -> None:
        self._home, self._folder = home, home / "src" / "shop"
        shutil.copytree(ROOT / "examples" / "first-run", self._folder)
        for words in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--message", "A shopping cart with its tests"),
        ):
            subprocess.run(["git", *words], cwd=self._folder, check=True)

    def type(self, line: str) -> str:
        """What a person sees who types it at a terminal of 88 columns without colour."""
        master, slave = os.openpty()
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "88",
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        shell = subprocess.Popen(
            ["setsid", "--ctty", "--wait", "bash", "-c", line],
            cwd=self._folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        seen = b""
        with suppress(OSError):  # a terminal that nobody writes to any more is an error to read from
            while part := os.read(master, 65536):
                seen += part
        os.close(master)
        shell.wait(_PATIENCE_S)
        self._take_a_breath()
        text = seen.decode().replace("\r\n", "\n").replace(str(self._home), HOME)
        return text.replace(f" on {os.uname().nodename} ", f" on {HOST} ")

    def _take_a_breath(self) -> None:
        """Until what was captured is recorded, so that the next screen has it on the busiest machine too."""
        spool = self._folder / ".dre" / "spool"
        deadline = time.monotonic() + _PATIENCE_S
        while spool.exists() and any(spool.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)


def alike(text: str) -> str:
    """Without what differs from run to run, and without how it was laid out."""
    for pattern, name in _VARIES:
        text = re.sub(pattern, name, text)
    return re.sub(r"\s+", " ", text).strip()
