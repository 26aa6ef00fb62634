"""How settings are shown and offered."""

from typing import Any

import click
from click.shell_completion import CompletionItem


class _Name(click.ParamType[str]):
    name = "setting"

    def shell_complete(self, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from dre.settings import KEYS

        return [CompletionItem(key.name, help=key.help) for key in KEYS.values() if key.name.startswith(incomplete)]


NAME = _Name()


def in_a_line(value: Any) -> str:
    """An empty list is a value; `not set` is none."""
    return "not set" if value is None else ", ".join(as_text(value)) or "none"


def as_text(value: Any) -> list[str]:
    """One line an item; none for what is not set."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, tuple | list) else [str(value)]
