"""`dre` with its commands, and the one place where whatever goes wrong becomes a line and an exit status."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

import click

from dre.cli import trouble
from dre.cli.asked import Asked, options
from dre.cli.command import Lazily

SECTIONS = {
    "Record": {
        "init": "make .dre/ in this repository",
        "wrap": "run a command and record it",
    },
    "Look": {
        "log": "the newest operations",
        "show": "one operation: verdict, reasons, evidence, output",
        "events": "the raw history, live with --follow",
        "serve": "REST, live stream and web page of this workspace",
    },
    "Believe": {
        "verify": "is this operation intact, and is it to be believed?",
        "ledger": "prove the whole history: dre ledger verify",
    },
    "Set up": {
        "config": "get, set, list and check settings",
        "trust": "accept a .dre/ that this machine does not know",
        "doctor": "what works here, what does not, what to do",
        "projections": "make the tables anew from history",
        "help": "explain a command or an idea",
    },
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    _speak_whatever_the_caller_left()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """The exit status."""
    asked = _asked(argv)
    status = trouble.told(asked, lambda: _dispatch(argv, asked))
    flushed = trouble.told(asked, _flush)
    return status or flushed


def dre() -> Lazily:
    return Lazily(
        "dre",
        sections=SECTIONS,
        places=lambda name: f"dre.cli.{name}",
        hidden_names=["ingest"],
        params=[_version(), *options(hidden=False)],
        help="Records development commands, judges what happened, and proves it.",
        examples=["dre wrap pytest -q", "dre show", "dre help exit-codes"],
    )


def _dispatch(argv: Sequence[str], asked: Asked) -> int:
    status = dre().main(list(argv), prog_name="dre", standalone_mode=False, obj=asked)
    return status if isinstance(status, int) else 0


def _asked(argv: Sequence[str]) -> Asked:
    import time

    try:
        directory = os.getcwd()
    except OSError:
        directory = os.environ.get("PWD", "/")  # it was deleted under us; whoever looks there will say so
    asked = Asked(directory, time.time_ns() // 1_000_000)
    asked.json = "--json" in argv  # also while the words themselves are not understood
    asked.debug = os.environ.get("DRE_DEBUG", "") not in ("", "0")
    return asked


def _version() -> click.Option:
    def say(context: click.Context, _parameter: click.Parameter, given: bool) -> None:  # noqa: FBT001 - click's form
        if given:
            from importlib.metadata import version

            click.echo(f"dre {version('development-reality-engine')}")
            context.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=say, help="Show the version."
    )


def _speak_whatever_the_caller_left() -> None:
    """
    What the caller closed leads nowhere, so that no file of ours becomes descriptor 1 and is written over. A terminal
    that does not know a character gets its number.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> int:
    sys.stdout.flush()
    return 0
