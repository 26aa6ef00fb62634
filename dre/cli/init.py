"""`dre init`: a `.dre/` for this repository, with its ledger."""

import os

import click
import msgspec

from dre.adapters.filesystem import begin
from dre.adapters.filesystem.state_home import StateHome
from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import opened, run
from dre.composition import state_home
from dre.documentation import words


@a_command("init", short_help="make .dre/ in this repository", examples=["dre init", "dre init --ci-mode"])
@click.option(
    "--ci-mode",
    is_flag=True,
    help="For CI: the CI system's variables are recorded, dre wrap waits until the operation is, output is plain.",
)
@click.pass_obj
def command(asked: Asked, ci_mode: bool) -> None:  # noqa: FBT001 - click's form
    """
    Makes .dre/ at the top of the work tree, or in this folder, with its ledger. Where a history was lost, a new one
    begins with a new id, and what is lost is named. Asks nothing, and may be repeated.
    """
    begun = begin.begin(asked.directory, StateHome(state_home(os.environ)), ci_mode=ci_mode)
    if begun.lost_ledger is not None:
        asked.note(_loss(begun))
    size = run(_open(asked))
    if asked.json:
        lost = None if begun.lost is None else begun.lost.size
        fields = {"path": begun.path, "ledgerId": begun.ledger_id, "made": begun.made, "events": size}
        asked.answer(
            msgspec.json.encode({**fields, "ciMode": ci_mode, "lostLedger": begun.lost_ledger, "lostEvents": lost})
        )
        return
    mode = ", CI mode" if ci_mode else ""
    if begun.made:
        asked.screen().say(f"{begun.path} made: ledger {begun.ledger_id}{mode}")
    else:
        asked.screen().say(
            f"{begun.path} is there already: ledger {begun.ledger_id}, {words.counted(size, 'event')}{mode}"
        )


async def _open(asked: Asked) -> int:
    """Makes the ledger itself, keys and all, so that the first `dre wrap` finds everything ready."""
    async with opened(asked, to_append=True) as engine:
        return (await engine.store.head()).size


def _loss(begun: begin.Begun) -> str:
    lost = "an unknown number of events" if begun.lost is None else words.counted(begun.lost.size, "event")
    newest = "" if begun.lost is None else f", the newest {begun.lost.leaf}"
    return f"given up: ledger {begun.lost_ledger} with {lost}{newest}"
