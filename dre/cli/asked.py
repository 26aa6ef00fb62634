"""What may be asked of every command alike: where to work, how to speak. Understood before and after its name."""

import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

import click

from dre.cli import screen
from dre.cli.screen import Screen
from dre.errors import UsageError


class Asked:
    """`now_ms` is read once, so that a screen has one present."""

    def __init__(self, directory: str, now_ms: int) -> None:
        self.directory, self.now_ms = directory, now_ms
        self.json = self.quiet = self.debug = False
        self.color = True

    def screen(self) -> Screen:
        """Where the answer goes."""
        return self._on(sys.stdout)

    def aside(self) -> Screen:
        """Where everything but the answer goes."""
        return self._on(sys.stderr)

    def note(self, text: str) -> None:
        """Something beside the answer that a person should know; not with `--quiet`."""
        if not self.quiet:
            self.aside().say(f"dre: {text}")

    def answer(self, encoded: bytes) -> None:
        """One JSON value, on one line."""
        from dre.documentation import safe

        sys.stdout.write(safe.json_line(encoded) + "\n")

    def _on(self, stream: TextIO) -> Screen:
        return screen.on(stream, color=self.color, environment=os.environ)

    def go_to(self, folder: str) -> None:
        """`-C`, each seen from the one before."""
        self.directory = os.path.normpath(os.path.join(self.directory, folder))
        if not os.path.isdir(self.directory):
            raise UsageError(f"-C: {folder} is no folder")


def options(*, hidden: bool) -> list[click.Parameter]:
    """In front of a command's name they are explained, after it only understood."""
    return [
        _option(
            ["-C"], _go, hidden, metavar="DIR", multiple=True, type=click.Path(), help="Work as if started in DIR."
        ),
        _flag("--json", "Print JSON with the names of the REST API; lists one object a line.", hidden),
        _flag("--quiet", "Print nothing but what was asked for.", hidden),
        _flag("--no-color", "Mark nothing with colour (as NO_COLOR does).", hidden),
        _flag("--debug", "Show where an unexpected error came from (as DRE_DEBUG=1 does).", hidden),
    ]


def _flag(name: str, help: str, hidden: bool) -> click.Option:  # noqa: FBT001 - handed through
    field, value = ("color", False) if name == "--no-color" else (name.removeprefix("--"), True)

    def note(context: click.Context, _parameter: click.Parameter, given: bool) -> None:  # noqa: FBT001 - click's form
        if given:
            setattr(context.find_root().obj, field, value)

    return _option([name], note, hidden, is_flag=True, help=help)


def _option(
    names: list[str],
    callback: Callable[[click.Context, click.Parameter, Any], None],
    hidden: bool,  # noqa: FBT001 - handed through
    **more: Any,
) -> click.Option:
    return click.Option(names, callback=callback, hidden=hidden, expose_value=False, is_eager=True, **more)


def _go(context: click.Context, _parameter: click.Parameter, folders: tuple[str, ...]) -> None:
    for folder in folders:
        context.find_root().obj.go_to(folder)
