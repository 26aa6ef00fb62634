"""`dre events`: the raw history, as it lies in the ledger, and live as it grows."""

import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import opened, run
from dre.cli.screen import Mark
from dre.documentation import words
from dre.domain.events import stream_id
from dre.domain.ids import short
from dre.ledger.entry import Entry
from dre.ports.event_store import EventStore, StoredEvent
from dre.projections.history import encoded

_FOR_EVER_S = 3600.0
_FIRST_TOLD = ("command", "name", "outcome", "reason", "result", "status", "key", "items", "origin", "policy")


@a_command(
    "events",
    short_help="the raw history, live with --follow",
    examples=["dre events", "dre events --after 17 --json", "dre events --follow", "dre events --proofs --json"],
)
@click.option(
    "--after", type=click.IntRange(-1), default=-1, metavar="N", help="Those after position N (the first is 0)."
)
@click.option("--follow", is_flag=True, help="Stay, and print events as they are recorded.")
@click.option("--proofs", is_flag=True, help="Add the hashed entry, the salt and the exact body of each.")
@click.pass_obj
def command(asked: Asked, after: int, follow: bool, proofs: bool) -> None:  # noqa: FBT001 - click's form
    """
    The raw history, oldest first: every fact in its place. With --proofs and --json a verifier of your own can
    recompute the whole chain.
    """
    run(_print(asked, after, follow=follow, proofs=proofs))


async def _print(asked: Asked, after: int, *, follow: bool, proofs: bool) -> None:
    async with opened(asked) as engine:
        async for stored in _events(engine.store, after, follow=follow):
            if asked.json:
                asked.answer(encoded(stored, proofs=proofs))
            else:
                _say(asked, stored, proofs=proofs)


async def _events(store: EventStore, after: int, *, follow: bool) -> AsyncIterator[StoredEvent]:
    while True:
        size = (await store.head()).size
        async for page in store.read(after, size):
            for stored in page:
                yield stored
                after = stored.entry.position
        if not follow:
            return
        sys.stdout.flush()
        await store.changed(size, _FOR_EVER_S)


def _fields(stored: StoredEvent) -> dict[str, Any] | None:
    """The body without its `meta`; None where it was erased, or is no JSON object any more."""
    if stored.body is None:
        return None
    try:
        fields = msgspec.json.decode(stored.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
    return {name: value for name, value in fields.items() if name != "meta"}


def _say(asked: Asked, stored: StoredEvent, *, proofs: bool) -> None:
    entry, screen = stored.entry, asked.screen()
    at = words.moment(entry.recorded_at_us // 1000, asked.now_ms)
    told = _told(stored)
    screen.say(
        f"{entry.position:>8}  ", Mark(at, "dim"), f"  {entry.type:<24}  ", _whose(entry), f"  {told}" * bool(told)
    )
    if proofs:
        for line in (*entry.encode().decode("ascii", "backslashreplace").splitlines(), f"salt {_hex(stored.salt)}"):
            screen.say(" " * 10, Mark(line, "dim"))
        screen.say(" " * 10, Mark(f"body {'erased' if stored.body is None else _shown(stored.body)}", "dim"))


def _whose(entry: Entry) -> str:
    """The short id of what the stream is about, as far as it has one."""
    _, kind, id = stream_id(entry.stream)
    try:
        return f"{kind} {short(UUID(id))}"
    except ValueError:
        return entry.stream


def _told(stored: StoredEvent) -> str:
    """The field that says most."""
    if stored.body is None:
        return "(erased)"
    fields = _fields(stored) or {}
    return next((str(fields[name]) for name in _FIRST_TOLD if isinstance(fields.get(name), str | int)), "")


def _shown(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")


def _hex(salt: bytes | None) -> str:
    return "erased" if salt is None else salt.hex()
