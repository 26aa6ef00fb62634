"""`dre config validate`: every file and variable that sets something, and what is wrong with it."""

import os
from collections.abc import Iterator

import click
import msgspec

from dre.adapters.filesystem import dot_dre
from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import say_trouble_with_history
from dre.cli.screen import Mark
from dre.errors import ConfigurationError
from dre.settings import FILE_NAME, KEYS, Key, Scope, config_home, mistakes, parse


class Checked(msgspec.Struct, frozen=True):
    """`problem` is null for what is right; it names file, line and key."""

    where: str
    problem: str | None
    hint: str | None


@a_command("validate", short_help="check the files and name what is wrong", examples=["dre config validate"])
@click.pass_obj
def command(asked: Asked) -> int:
    """
    Checks your own file, the workspace's file and the DRE_* variables, and names what is wrong by file, line and key.

    Exit status 2 if something is.
    """
    say_trouble_with_history(asked)
    found = list(_checked(asked.directory))
    for checked in found:
        if asked.json:
            asked.answer(msgspec.json.encode(checked))
        elif checked.problem is None:
            asked.screen().say("  ", Mark("ok   ", "good"), f" {checked.where}")
        else:
            asked.screen().say(
                "  ", Mark("WRONG", "bad"), f" {checked.problem}", f"  ({checked.hint})" * bool(checked.hint)
            )
    if not found and not asked.json:
        asked.note("nothing is configured: the defaults hold (dre config list)")
    return ConfigurationError.exit_status if any(checked.problem for checked in found) else 0


def _checked(directory: str) -> Iterator[Checked]:
    folders: list[tuple[Scope, str | None]] = [
        ("user", config_home(os.environ)),
        ("workspace", dot_dre.find(directory)),
    ]
    for scope, folder in folders:
        path = os.path.join(folder or "", FILE_NAME)
        if folder and os.path.lexists(path):
            wrong = mistakes(path, scope)
            yield from [Checked(path, error.message, error.hint) for error in wrong] or [Checked(path, None, None)]
    for key in KEYS.values():
        if (text := os.environ.get(key.variable)) is not None:
            yield _variable(key, text)


def _variable(key: Key, text: str) -> Checked:
    try:
        parse(key, text, where=key.variable)
    except ConfigurationError as error:
        return Checked(key.variable, error.message, error.hint)
    return Checked(key.variable, None, None)
