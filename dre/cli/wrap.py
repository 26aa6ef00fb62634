"""`dre wrap` as the other commands see it: the recorder itself never comes this way."""

import click

from dre.cli.command import Command
from dre.errors import UsageError
from dre.shim.usage import TEXT


class _Wrap(Command):
    def get_help(self, _ctx: click.Context) -> str:
        return TEXT.rstrip("\n")


def _refuse(words: tuple[str, ...]) -> None:
    raise UsageError(
        "before wrap stand only -C DIR, --quiet and --no-color",
        hint="dre wrap " + " ".join(words[:3]) + (" ..." if len(words) > 3 else ""),
    )


command = _Wrap(
    "wrap",
    params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
    callback=_refuse,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    short_help="run a command and record it",
    examples=["dre wrap pytest -q"],
)
