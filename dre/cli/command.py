"""What a command is here: it shows examples in its help, understands what all do, and is imported when it runs."""

import importlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from dre.cli import asked

_EVERYWHERE = "Also: -C DIR, --json, --quiet, --no-color, --debug (dre --help explains them)."
_HELP_OPTIONS = ["-h", "--help"]
_WIDTH = 100
INTERRUPTED = 128 + signal.SIGINT


class Command(click.Command):
    """`examples`: command lines that can be typed as they stand."""

    def __init__(self, *args: Any, examples: Sequence[str], **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = examples
        self.params.extend(asked.options(hidden=True))
        self.context_settings = {
            "help_option_names": _HELP_OPTIONS,
            "max_content_width": _WIDTH,
            **self.context_settings,
        }

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C and a reader that has seen enough end it without a word; click has habits of its own for both."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            return die_of_a_broken_pipe()

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)
        formatter.write_paragraph()
        formatter.write_text(_EVERYWHERE)


class Lazily(click.Group):
    """A group that knows its commands by a line each and imports one only to run it: `dre --help` stays quick."""

    def __init__(
        self,
        *args: Any,
        sections: Mapping[str, Mapping[str, str]],
        places: Callable[[str], str],
        hidden_names: Sequence[str] = (),
        examples: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """`sections`: title to name to what it does. `places`: from a name to the module that has `command`."""
        super().__init__(*args, **more)
        self.sections, self._places, self._hidden_names, self.examples = sections, places, hidden_names, examples
        self.params = self.params or asked.options(hidden=True)
        self.context_settings = {"help_option_names": _HELP_OPTIONS, "max_content_width": _WIDTH}

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [name for section in self.sections.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in (*self.list_commands(ctx), *self._hidden_names):
            return None
        found = importlib.import_module(self._places(cmd_name)).command
        assert isinstance(found, click.Command)  # noqa: S101 - says to mypy what every such module holds
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if meant := close_to(args[0], self.list_commands(ctx)):
                raise click.UsageError(f"{error.message} Did you mean '{meant}'?", ctx) from None
            raise

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(list(names.items()), col_max=16)

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)


def command(name: str, *, examples: Sequence[str], **more: Any) -> Callable[[Callable[..., Any]], Command]:
    """The decorator that makes one."""

    def decorate(function: Callable[..., Any]) -> Command:
        made = click.command(name, cls=Command, examples=examples, **more)(function)
        assert isinstance(made, Command)  # noqa: S101 - click's decorator is typed for any class
        return made

    return decorate


def close_to(typed: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant."""
    import difflib

    return next(iter(difflib.get_close_matches(typed, names, 1)), None)


def die_of_a_broken_pipe() -> int:
    """As every tool in a pipeline does when its reader has seen enough: silently, by the signal."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return 128 + signal.SIGPIPE


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if not examples:
        return
    with formatter.section("Examples" if len(examples) > 1 else "Example"):
        for example in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
