"""The commands that there are, asked of the code itself."""

from collections.abc import Iterator, Mapping

import click

from dre.cli.commands import dre
from dre.shim import options as wrap_options
from dre.shim.options import HelpWanted, NotUnderstood, Options

EVERYWHERE = frozenset({"-C", "--json", "--quiet", "--no-color", "--debug", "-h", "--help"})
"""What every command understands, explained once."""


def every_command() -> Mapping[str, click.Command]:
    """From its words to the command; those that nobody types are left out."""
    return dict(_below(dre(), ""))


def option_names(command: click.Command) -> set[str]:
    """Those that are this command's own; `wrap` goes another way than all others, and all of its options are."""
    if command.name == "wrap":
        return {*wrap_options._FLAGS, *wrap_options._VALUED}
    return {name for each in command.params if isinstance(each, click.Option) for name in each.opts} - EVERYWHERE


def wrap_misses(words: list[str]) -> str:
    """What `dre wrap` would not understand of its words; empty when it understands all."""
    try:
        Options(words)
    except NotUnderstood as error:
        return str(error)
    except HelpWanted:
        return ""
    return ""


def _below(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield f"{path} {name}".strip(), command
        if isinstance(command, click.Group):
            yield from _below(command, f"{path} {name}".strip())
