"""How the server logs: one line an event on stderr, for people on a terminal, as JSON anywhere else."""

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any, TextIO, cast

import structlog

from dre.documentation import safe

_MOST_WAITING = 1000
_END_S = 1.0


class Lines:
    """
    Lines on their way out, as a file to write to. Whoever writes never waits and never fails: a log that nobody takes
    (a pipe whose reader sleeps or has gone, a full disk) costs lines, never the request that they tell of.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        try:
            self._say_what_was_lost(0)
            self._waiting.put_nowait(text.encode("utf-8", "backslashreplace"))
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """A logger asks for it after each line; the thread does what can be done."""

    def end(self) -> None:
        """What waits still goes out, if somebody takes it soon."""
        with contextlib.suppress(queue.Full):
            self._say_what_was_lost(_END_S)
            self._waiting.put(None, timeout=_END_S)
            self._thread.join(_END_S)

    def _say_what_was_lost(self, patience_s: float) -> None:
        if self._lost:
            said = b"%d lines of this log were lost here: nobody took them\n" % self._lost
            self._waiting.put(said, block=patience_s > 0, timeout=patience_s)
            self._lost = 0

    def _write_all(self) -> None:
        while (line := self._waiting.get()) is not None:
            with contextlib.suppress(OSError):
                self._write(line)

    def _write(self, line: bytes) -> None:
        """Past Python's own buffer, whose lock a thread that hangs here would keep at the end of the process."""
        while line:
            line = line[os.write(self._fd, line) :]


class _OfLibraries(logging.Handler):
    """What asyncio and the HTTP library have to say goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger("dre").warning(
            "library", name=record.name, said=record.getMessage(), exc_info=record.exc_info
        )


@contextlib.contextmanager
def going_to_stderr() -> Iterator[None]:
    for_people = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer(colors=False) if for_people else structlog.processors.JSONRenderer()
    lines = Lines(sys.stderr.fileno())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _make_safe,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", lines)),  # all that it needs is there
        cache_logger_on_first_use=True,
    )
    libraries = _OfLibraries(logging.WARNING)
    logging.getLogger().addHandler(libraries)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(libraries)
        lines.end()


def _make_safe(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A path or an agent's name may hold what a terminal obeys."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = safe.lines(value) if name == "exception" else safe.line(value)
    return event
