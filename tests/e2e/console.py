"""Commands typed in one folder, and what came back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
LIMIT_S = 240


class Answer:
    """What a command left behind."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def text(self) -> str:
        return (self.out + self.err).decode(errors="replace")


class Console:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str | bytes, environment: dict[str, str] | None = None) -> Answer:
        return Answer(
            subprocess.run(
                words,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
                env=environment,
            )
        )

    def dre(self, *words: str | bytes, environment: dict[str, str] | None = None) -> Answer:
        return self.run(str(BIN / "dre"), *words, environment=environment)

    def wrap(self, *words: str | bytes) -> Answer:
        return self.dre("wrap", *words)

    def show(self, which: str = "last") -> dict[str, Any]:
        answer = self.dre("show", which, "--json")
        assert answer.code == 0, answer.text
        found: dict[str, Any] = json.loads(answer.out)
        return found

    def log(self) -> list[dict[str, Any]]:
        return self.lines("log", "--json")

    def events(self, *more: str) -> list[dict[str, Any]]:
        return self.lines("events", "--json", *more)

    def lines(self, *words: str) -> list[dict[str, Any]]:
        answer = self.dre(*words)
        assert answer.code == 0, answer.text
        return [json.loads(line) for line in answer.out.splitlines()]

    @property
    def dot_dre(self) -> Path:
        return self.folder / ".dre"
