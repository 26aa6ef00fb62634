"""`dre config list`: every setting, its value, and where that comes from."""

import os

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.config_words import in_a_line
from dre.cli.opened import say_trouble_with_history
from dre.cli.screen import Mark
from dre.composition import read_settings
from dre.settings import KEYS, value_of


@a_command(
    "list",
    short_help="every setting, its value, where that comes from",
    examples=["dre config list", "dre config list --json"],
)
@click.pass_obj
def command(asked: Asked) -> None:
    """Every setting with its value and where that comes from: default, user, workspace or environment."""
    say_trouble_with_history(asked)
    settings = read_settings(asked.directory, os.environ)
    values = {name: value_of(settings.configuration, name) for name in KEYS}
    if asked.json:
        for name, value in values.items():
            asked.answer(msgspec.json.encode({"key": name, "value": value, "source": settings.sources[name]}))
        return
    screen = asked.screen()
    screen.rows(
        [
            [Mark(name, "strong"), in_a_line(value), Mark(settings.sources[name], "dim")]
            for name, value in values.items()
        ],
        flexible=1,
    )
