"""Types the commands of the first pages anew, and writes what they print now into them: `make screens`."""

import os
import tempfile
from pathlib import Path

from docs.shop import PAGES, ROOT, Shop, retyped

IDENTITY = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def main() -> None:
    for page, before in PAGES.items():
        with tempfile.TemporaryDirectory() as home:
            for name in [name for name in os.environ if name.startswith(("XDG_", "DRE_", "GIT_"))]:
                del os.environ[name]
            os.environ.update(HOME=home, GIT_CONFIG_NOSYSTEM="1", **IDENTITY)
            shop = Shop(Path(home))
            if before:
                shop.type(before)
            (ROOT / page).write_text(retyped((ROOT / page).read_text(), shop.type))


if __name__ == "__main__":
    main()
