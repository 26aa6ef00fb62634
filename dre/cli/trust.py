"""`dre trust`: accepts a `.dre/` that this machine does not know, after saying what that means."""

import os
import sys

import click
import msgspec

from dre.adapters.filesystem.begin import Acceptance, accept, consider
from dre.adapters.filesystem.state_home import StateHome
from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import say_trouble_with_history
from dre.cli.screen import Screen, is_terminal
from dre.composition import state_home
from dre.errors import UsageError


@a_command(
    "trust", short_help="accept a .dre/ that this machine does not know", examples=["dre trust", "dre trust --yes"]
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.pass_obj
def command(asked: Asked, yes: bool) -> None:  # noqa: FBT001 - click's form
    """
    Says what accepting this .dre/ would mean and asks. A history from another machine is adopted as it is; a copy is
    set aside and becomes a ledger of its own.
    """
    state = StateHome(state_home(os.environ))
    acceptance = consider(asked.directory, state)
    if acceptance.kind == "none":
        say_trouble_with_history(asked)
        _answer(asked, acceptance, f"nothing to do: {acceptance.path} is known to this machine")
        return
    _explain(asked.aside(), acceptance)
    if not yes and not _agreed():
        raise UsageError("nothing was changed", hint="dre trust --yes does it without asking")
    ledger_id = accept(acceptance, state)
    _answer(asked, acceptance, f"accepted: {acceptance.path} is recorded to as ledger {ledger_id}")


def _explain(screen: Screen, acceptance: Acceptance) -> None:
    screen.say(f"{acceptance.path} holds ledger {acceptance.ledger_id}.")
    if acceptance.kind == "adopt":
        screen.say("This machine has never seen it: it came from elsewhere, with somebody else's history in it.")
        screen.say("Accepting means: its config.json is read, its history is shown as it is and goes on here, and")
        screen.say(
            "from now on a loss or a change of it is noticed. What it says of the past is proved by nobody here;"
        )
        screen.say("`dre ledger verify` shows whether it agrees with itself.")
    else:
        screen.say(f"It is a copy: the original still stands at {acceptance.seen_at}.")
        screen.say(f"Accepting means: what was copied is set aside in {acceptance.set_aside},")
        screen.say("and a ledger of its own begins here. The original is not touched.")


def _agreed() -> bool:
    if not is_terminal(sys.stdin) or not is_terminal(sys.stderr):
        return False
    sys.stderr.write("Accept it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _answer(asked: Asked, acceptance: Acceptance, said: str) -> None:
    if asked.json:
        asked.answer(
            msgspec.json.encode({"path": acceptance.path, "ledgerId": acceptance.ledger_id, "did": acceptance.kind})
        )
    else:
        asked.screen().say(said)
