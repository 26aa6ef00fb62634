"""`dre config get`: the value of one setting."""

import os

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.config_words import NAME, as_text
from dre.cli.opened import say_trouble_with_history
from dre.composition import read_settings
from dre.settings import find_key, value_of


@a_command(
    "get",
    short_help="print the value of one setting",
    examples=["dre config get evidence.retention", "dre config get reports.globs --json"],
)
@click.argument("name", type=NAME)
@click.pass_obj
def command(asked: Asked, name: str) -> None:
    """Prints the value that counts here, whatever it comes from; a list one item a line, nothing when it is not set."""
    key = find_key(name)
    say_trouble_with_history(asked)
    value = value_of(read_settings(asked.directory, os.environ).configuration, key.name)
    if asked.json:
        asked.answer(msgspec.json.encode(value))
        return
    for line in as_text(value):
        asked.screen().say(line)
