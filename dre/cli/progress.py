"""How far long work is: a bar with rate and time left on a terminal, one line per 10 % elsewhere."""

import sys
import time
from collections.abc import Callable

from dre.cli.asked import Asked
from dre.cli.screen import is_terminal
from dre.documentation import words

_BAR = 24
_EVERY_S = 0.1
_PATIENCE_S = 1.0
"""What is done sooner needs no bar."""


class Progress:
    """`total` may grow while the work goes on. Nothing with `--quiet`; on stderr, so that answers stay clean."""

    def __init__(self, asked: Asked, what: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self.total, self._clock = what, total, clock
        self._out, self._quiet = sys.stderr, asked.quiet
        self._terminal = is_terminal(sys.stderr)
        self._began = self._told_at = clock()
        self._tenths, self._drawn = 0, False
        self.done = 0

    def advance(self, by: int) -> None:
        self.done += by
        now = self._clock()
        if self._quiet or now - self._began < _PATIENCE_S:
            return
        if self._terminal and now - self._told_at >= _EVERY_S:
            self._told_at, self._drawn = now, True
            self._out.write(f"\r\x1b[K{self._line(now)}")
            self._out.flush()
        elif not self._terminal and self._share() * 10 >= self._tenths + 1:
            self._tenths = int(self._share() * 10)
            self._out.write(f"{self._what} {self._tenths * 10} %, {self._rest(now)}\n")
            self._out.flush()

    def end(self) -> None:
        """The bar goes; what was found out takes its place."""
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _line(self, now: float) -> str:
        filled = int(self._share() * _BAR)
        bar = "#" * filled + "-" * (_BAR - filled)
        return f"{self._what} [{bar}] {int(self._share() * 100):>3} %  {self._rest(now)}"

    def _rest(self, now: float) -> str:
        rate = self.done / max(now - self._began, 1e-6)
        left = (self.total - self.done) / rate if rate else 0.0
        return f"{rate:,.0f}/s, {words.length(int(max(left, 0) * 1e6))} left"

    def _share(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 1.0
