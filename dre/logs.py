"""How the server logs: one line an event on stderr, for people on a terminal, as JSON anywhere else."""

import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from dre.documentation import safe


def set_up() -> None:
    for_people = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer(colors=False) if for_people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _make_safe,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _make_safe(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A path or an agent's name may hold what a terminal obeys."""
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = safe.line(value)
    return event
