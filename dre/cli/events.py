"""`dre events`: the raw history, as it lies in the ledger, and live as it grows."""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from uuid import UUID

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import opened, run
from dre.cli.screen import Mark
from dre.documentation import words
from dre.domain.events import Text, raw, stream_id
from dre.domain.ids import short
from dre.errors import HistoryDiffers, UsageError
from dre.ports.event_store import EventStore, StoredEvent
from dre.projections.history import encoded, proved

_FOR_EVER_S = 3600.0
_FIRST_TOLD = ("command", "name", "outcome", "reason", "result", "status", "key", "items", "origin", "policy")


class _Shown(Protocol):
    """An event as it is shown, whether this workspace's ledger or a server said it."""

    @property
    def position(self) -> int: ...
    @property
    def stream(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def recorded_at(self) -> int: ...
    @property
    def data(self) -> msgspec.Raw: ...


@a_command(
    "events",
    short_help="the raw history, live with --follow",
    examples=[
        "dre events",
        "dre events --after 17 --json",
        "dre events --follow",
        "dre events --proofs --json",
        "dre events --follow --server",
        "dre events --follow --server http://127.0.0.1:8420",
    ],
)
@click.option(
    "--after", type=click.IntRange(-1), default=-1, metavar="N", help="Those after position N (the first is 0)."
)
@click.option("--follow", is_flag=True, help="Stay, and print events as they are recorded.")
@click.option("--proofs", is_flag=True, help="Add the hashed entry, the salt and the exact body of each.")
@click.option(
    "--server",
    metavar="[URL]",
    is_flag=False,
    flag_value=".",
    help="Ask a running dre serve instead of the ledger here; without URL the server of the workspace here.",
)
@click.option("--token-file", metavar="PATH", help="Where the server's token lies, if not in the .dre here.")
@click.pass_obj
def command(
    asked: Asked,
    after: int,
    follow: bool,  # noqa: FBT001 - click's form
    proofs: bool,  # noqa: FBT001 - click's form
    server: str | None,
    token_file: str | None,
) -> None:
    """
    The raw history, oldest first: every fact in its place. With --proofs and --json a verifier of your own can
    recompute the whole chain. Where --after is beyond the end a note says where that is; with --follow it is an error.
    """
    if server is not None:
        run(_print_theirs(asked, server, token_file, after, follow=follow, proofs=proofs))
    elif token_file is not None:
        raise UsageError("--token-file alone asks nobody", hint="--server [URL] says which server is shown that token")
    else:
        run(_print(asked, after, follow=follow, proofs=proofs))


async def _print(asked: Asked, after: int, *, follow: bool, proofs: bool) -> None:
    async with opened(asked) as engine:
        _check_end(asked, after, (await engine.store.head()).size - 1, follow=follow)
        async for stored in _events(engine.store, after, follow=follow):
            if asked.json:
                asked.answer(encoded(stored, proofs=proofs))
            else:
                _say(asked, proved(stored), proofs=proofs)


async def _print_theirs(
    asked: Asked, server: str, token_file: str | None, after: int, *, follow: bool, proofs: bool
) -> None:
    """What comes from elsewhere is checked before it is printed; not all of history, but that it hangs together."""
    from dre.cli import remote

    async with remote.client(asked, server, token_file) as client:
        if after > -1 and not follow:  # a server that is to be followed says it itself
            _check_end(asked, after, await client.newest(), follow=False)
        events = (client.follow if follow else client.events)(after=after, proofs=proofs)
        async with contextlib.aclosing(events):
            async for event in events:
                if asked.json:
                    asked.answer(event.encoded())
                else:
                    _say(asked, event, proofs=proofs)
                if follow:
                    sys.stdout.flush()


def _check_end(asked: Asked, after: int, newest: int, *, follow: bool) -> None:
    """Raises HistoryDiffers where what comes next would not be what follows `after`."""
    if after <= newest:
        return
    if follow:
        raise HistoryDiffers(
            f"after {after}: this history ends at position {newest}",
            hint="what was seen beyond it is gone, or is another history: begin again with --after -1",
        )
    asked.note(f"after {after}: this history ends at position {newest}")


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


def _say(asked: Asked, event: _Shown, *, proofs: bool) -> None:
    screen = asked.screen()
    at = words.moment(event.recorded_at, asked.now_ms)
    fields = _fields(event)
    told = _told(event, fields)
    whose = _whose(event.stream, fields or {})
    screen.say(f"{event.position:>8}  ", Mark(at, "dim"), f"  {event.type:<24}  ", whose, f"  {told}" * bool(told))
    if proofs:
        entry, salt, body = (getattr(event, name) for name in ("entry", "salt", "body"))
        for line in (*entry.splitlines(), f"salt {salt or 'erased'}", f"body {_exact(body)}"):
            screen.say(" " * 10, Mark(line, "dim"))


def _whose(stream: str, fields: Mapping[str, Any]) -> str:
    """The short id of what the stream is about, as far as it has one; a verification is known by its operation."""
    _, kind, id = stream_id(stream)
    try:
        if kind == "verification" and "operationId" in fields:
            return f"operation {short(UUID(fields['operationId']))}"
        return f"{kind} {short(UUID(id))}"
    except (ValueError, TypeError, AttributeError):  # also where it was altered
        return stream


def _fields(event: _Shown) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(event.data, type=dict[str, Any] | None)
    except msgspec.ValidationError:  # altered: JSON, with a number that is none here
        return {}


def _told(event: _Shown, fields: Mapping[str, Any] | None) -> str:
    """The field that says most, and who says it."""
    if fields is None:  # erased; or altered, where the body itself is known and says nothing
        return "(erased)" if getattr(event, "body", None) is None else ""
    told = next((str(fields[name]) for name in _FIRST_TOLD if isinstance(fields.get(name), str | int)), "")
    return f"{fields['verifier']} {told}" if isinstance(fields.get("verifier"), str) else told


def _exact(body: Text | None) -> str:
    return "erased" if body is None else raw(body).decode("utf-8", "backslashreplace")
