"""`dre config set`: a value is checked, its change recorded, and the file written."""

import os
from typing import Any

import click
import msgspec

from dre.adapters.filesystem import config_file
from dre.application.execute import execute
from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.config_words import NAME, in_a_line
from dre.cli.opened import opened, run
from dre.composition import Engine, read_settings
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import stream_name
from dre.domain.ids import uuid7
from dre.domain.ledger import DEFAULT_PROJECT
from dre.errors import LedgerMissing
from dre.settings import FILE_NAME, Key, Scope, config_home, find_key, parse, read_file, value_of


@a_command(
    "set",
    short_help="check a value, write it, record the change",
    examples=[
        "dre config set evidence.retention 30d",
        "dre config set reports.globs 'out/junit/*.xml,report.xml'",
        "dre config set evidence.retention null",
        "dre config set --user redaction.patterns 'tok_[a-z0-9]{32}'",
    ],
)
@click.argument("name", type=NAME)
@click.argument("value")
@click.option("--user", is_flag=True, help="Write your own file instead of the workspace's.")
@click.pass_obj
def command(asked: Asked, name: str, value: str, user: bool) -> None:  # noqa: FBT001 - click's form
    """
    Checks VALUE (JSON, a word, or words with commas between them; null takes the setting out), records the change
    in the ledger, and writes the workspace's .dre/config.json, or with --user your own.
    """
    scope: Scope = "user" if user else "workspace"
    key = find_key(name, scope)
    new = None if value == "null" else parse(key, value)
    run(_set(asked, key, new, scope))
    if asked.json:
        asked.answer(msgspec.json.encode({"key": key.name, "value": new, "scope": scope}))
    elif not asked.quiet:
        asked.screen().say(f"{key.name}: {in_a_line(new)} ({scope}){'' if new is not None else _instead(asked, key)}")


def _instead(asked: Asked, key: Key) -> str:
    """What counts where this file says nothing."""
    settings = read_settings(asked.directory, os.environ)
    value, source = value_of(settings.configuration, key.name), settings.sources[key.name]
    return "" if value is None else f"; what counts is {in_a_line(value)} ({source})"


async def _set(asked: Asked, key: Key, value: Any, scope: Scope) -> None:
    try:
        async with opened(asked, to_append=True) as engine:
            folder = engine.settings.config_home if scope == "user" else engine.dot_dre.path
            await _write(engine, folder, key, value, scope)
    except LedgerMissing:  # your own file needs no workspace; then there is no history to tell
        if scope == "workspace":
            raise
        folder = config_home(os.environ)
        with config_file.locked(folder), config_file.prepared(folder, key.name, value):
            pass


async def _write(engine: Engine, folder: str, key: Key, value: Any, scope: Scope) -> None:
    """The file lies ready before the event, and takes its place after it: no change is without its record."""
    with config_file.locked(folder):
        previous = read_file(os.path.join(folder, FILE_NAME), scope).get(key.name)
        with config_file.prepared(folder, key.name, value):
            if value != previous:
                await _record(engine, ConfigurationChanged(key.name, value, previous, scope))


async def _record(engine: Engine, changed: ConfigurationChanged) -> None:
    import time

    id = uuid7(time.time_ns() // 1_000_000)
    await execute(
        engine.store,
        engine.appender,
        actor=engine.actor,
        stream=stream_name(DEFAULT_PROJECT, "configuration", engine.ledger_id),
        decide=lambda _known: [(id, changed)],
    )
