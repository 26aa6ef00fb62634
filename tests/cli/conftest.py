"""What the command line's tests stand on: a project of its own, and a way to alter what was stored."""

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.shop import Shop

Flip = Callable[[str, int, bytes, bytes], None]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "cart.py").write_text("total = 42\n")
    (folder / ".gitignore").write_text("report.xml\n*.in\n")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A shop"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return Shop(folder)


@pytest.fixture
def flip(shop: Shop) -> Flip:
    """Changes stored bytes as somebody with the file in their hands would: the seat belts are taken off first."""

    def change(column: str, position: int, old: bytes, new: bytes) -> None:
        database = sqlite3.connect(shop.folder / ".dre" / "ledger.db")
        triggers = database.execute("select name from sqlite_master where type = 'trigger'").fetchall()
        for (name,) in triggers:
            database.execute(f"drop trigger {name}")
        table = "body" if column in ("body", "salt") else "event"
        query = f"select {column} from {table} where position = ?"  # noqa: S608 - names of this file's own
        [[stored]] = database.execute(query, [position])
        changed = stored.replace(old, new) if isinstance(stored, bytes) else stored.replace(old.decode(), new.decode())
        assert changed != stored
        statement = f"update {table} set {column} = ? where position = ?"  # noqa: S608 - names of this file's own
        database.execute(statement, [changed, position])
        database.commit()
        database.close()

    return change
