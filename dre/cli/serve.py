"""`dre serve`: the doors of this workspace, until Ctrl-C."""

import asyncio
import gc
import os
import signal
import sys

import click

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import opened, run
from dre.errors import LedgerError

PORT = 8420


@a_command(
    "serve",
    short_help="REST, live stream and web page of this workspace",
    examples=["dre serve", "dre serve --port 0", "dre -C ~/src/shop serve"],
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, metavar="N", help="0 takes a free one."
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Another name by which the server may be asked; repeatable."
)
@click.pass_obj
def command(asked: Asked, host: str, port: int, names: tuple[str, ...]) -> None:
    """
    Serves this workspace until Ctrl-C. The first line is the base URL, the second opens one browser, once. Programs
    show what lies in .dre/token: a new one for each server.
    """
    run(_serve(asked, host, port, names))


async def _serve(asked: Asked, host: str, port: int, names: tuple[str, ...]) -> None:
    from dre import logs
    from dre.composition.serving import is_loopback, serving, workspace_of
    from dre.server.accepting import allow_many_descriptors

    allow_many_descriptors()
    stopped = asyncio.Event()
    for number in _endings():
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with logs.going_to_stderr():
        async with opened(asked) as engine:
            workspace = workspace_of(engine, os.environ)
            async with serving(engine, workspace, host=host, port=port, names=names) as served:
                if not is_loopback(host):
                    asked.note(f"{host} can be reached by others, and what goes there is not encrypted")
                gc.collect()
                gc.freeze()  # what is here now stays to the end: the collector need not look at it again and again
                _say(asked, served.base, served.once)
                vanished = asyncio.create_task(served.until_vanished(workspace))
                stopping = asyncio.create_task(stopped.wait())
                done, waiting = await asyncio.wait((vanished, stopping), return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()
                if vanished in done:
                    raise LedgerError(f"{vanished.result()}; the server ends", hint="dre doctor says what is there now")


def _endings() -> list[signal.Signals]:
    """Who closes the terminal ends what runs in it, unless that was started to outlive it (`nohup`)."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] if outlives else [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def _say(asked: Asked, base: str, once: str) -> None:
    if asked.json:
        import msgspec

        asked.answer(msgspec.json.encode({"url": base, "open": once}))
    else:
        sys.stdout.write(f"{base}\n{once}\n")
    sys.stdout.flush()
