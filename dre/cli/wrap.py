"""`dre wrap` as the other commands and a shell's completion see it: the recorder itself never comes this way."""

import os
import re
from collections.abc import Iterator, Sequence

import click
from click.shell_completion import CompletionItem

from dre.cli.command import Command
from dre.errors import UsageError
from dre.shim.usage import TEXT

_AN_OPTION = re.compile(r"^  (?:-h, )?(--?[A-Za-z-]+)( [A-Z]\S*)?  +(.*)", re.MULTILINE)
_OPTIONS = {name: (bool(value), says) for name, value, says in _AN_OPTION.findall(TEXT)}
"""Each with whether it takes a value, and what it does."""

_OFFERED_VALUES = {"-C": "dir", "--id-file": "file", "--writes": "file"}


class _Words(click.ParamType[str]):
    name = "words"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _offered(ctx.params.get("words") or (), incomplete)


class _Wrap(Command):
    def get_help(self, _ctx: click.Context) -> str:
        return TEXT.rstrip("\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return _offered(ctx.params.get("words") or (), incomplete)


def _refuse(words: tuple[str, ...]) -> None:
    raise UsageError(
        "before wrap stand only -C DIR, --quiet and --no-color",
        hint="dre wrap " + " ".join(words[:3]) + (" ..." if len(words) > 3 else ""),
    )


def _offered(before: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """The recorder's own options; then the command, as a shell would find it; then files, as for most commands."""
    words = iter(before)
    for word in words:
        if not word.startswith("-"):
            return [CompletionItem(incomplete, type="file")]
        name, sign, _ = word.partition("=")
        if _OPTIONS.get(name, (False, ""))[0] and not sign and _value(words) is None:
            kind = _OFFERED_VALUES.get(name)
            return [CompletionItem(incomplete, type=kind)] if kind else []
    if incomplete.startswith("-"):
        return [CompletionItem(name, help=says) for name, (_, says) in _OPTIONS.items() if name.startswith(incomplete)]
    commands = sorted(set(_commands(incomplete))) if incomplete and "/" not in incomplete else []
    return [CompletionItem(name) for name in commands] or [CompletionItem(incomplete, type="file")]


def _value(words: Iterator[str]) -> str | None:
    """Of an option; bash takes the sign in --id-file=PATH for a word of its own."""
    value = next(words, None)
    return next(words, None) if value == "=" else value


def _commands(beginning: str) -> Iterator[str]:
    for folder in os.get_exec_path():
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(beginning) and entry.is_file() and os.access(entry.path, os.X_OK):
                        yield entry.name
        except OSError:
            continue  # PATH names folders that are not there


command = _Wrap(
    "wrap",
    params=[click.Argument(["words"], nargs=-1, type=_Words())],
    callback=_refuse,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    short_help="run a command and record it",
    examples=["dre wrap pytest -q"],
)
