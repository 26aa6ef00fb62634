"""`dre ledger verify`: all of history from the stored columns and bytes, and every blob, believing no table."""

import time
from collections.abc import AsyncIterator, Sequence

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import opened, run
from dre.cli.progress import Progress
from dre.cli.screen import Mark, Screen
from dre.composition import Engine
from dre.documentation import telling, words
from dre.domain.events import stream_name
from dre.domain.ledger import DEFAULT_PROJECT
from dre.errors import BlobAltered, BlobMissing, LedgerAltered, LedgerBehind
from dre.ledger.audit import audit
from dre.ledger.chain import Head
from dre.ports.event_store import EventStore, StoredEvent

ALTERED = 1
_COLLECTED = "evidence.collected"
_SHOWN, _KEPT = 20, 10_000
_NOT_PROVED = (
    "A hash chain proves that it agrees with itself, not that nothing was cut off its end or that it was not",
    "replaced as a whole: only a head that was kept where the writer cannot reach shows that.",
)


class Wrong(msgspec.Struct, frozen=True):
    """One thing that is not what was recorded. `part` as the audit names it, or `blob`, or `ledger`."""

    position: int
    part: str
    detail: str


class Verified(msgspec.Struct, frozen=True, rename="camel"):
    """What was read, and what of it is wrong: by position, the first ten thousand."""

    events: int
    blobs: int
    size_bytes: int
    seconds: float
    wrong: Sequence[Wrong]
    more: int


@a_command(
    "verify",
    short_help="prove the whole history, and every blob",
    examples=["dre ledger verify", "dre ledger verify --json", "dre -C ~/src/shop ledger verify"],
)
@click.pass_obj
def command(asked: Asked) -> int:
    """
    The whole history, from the stored columns and bytes, and every blob.

    Exit status: 0 all of it is what was recorded, 1 it is not (the first wrong position is named), 3 nothing to verify.
    """
    verified = run(_verify(asked))
    if asked.json:
        asked.answer(msgspec.json.encode(_as_json(verified)))
    else:
        _say(asked.screen(), verified)
    return ALTERED if verified.wrong else 0


async def _verify(asked: Asked) -> Verified:
    async with opened(asked, caught_up=False) as engine:
        return await verify(asked, engine)


async def verify(asked: Asked, engine: Engine) -> Verified:
    began = time.monotonic()
    wrong = _Wrongs()
    if isinstance(engine.blocked, LedgerBehind):
        wrong.add(Wrong((await engine.store.head()).size, "head", engine.blocked.message))
    history = _History(engine.store, Progress(asked, "events", (await engine.store.head()).size), wrong, engine)
    try:
        async for finding in audit(history):
            wrong.add(Wrong(finding.position, finding.part, finding.detail))
    except LedgerAltered as error:  # a row so damaged that it cannot even be read
        wrong.add(Wrong(error.position or history.size, "entry", error.message))
    finally:
        history.progress.end()
    size = await _verify_blobs(asked, engine, history.blobs, wrong)
    seconds = round(time.monotonic() - began, 3)
    return Verified(history.size, len(history.blobs), size, seconds, wrong.in_order(), wrong.more)


class _Item(msgspec.Struct):
    """What is read of an `evidence.collected`."""

    hash: str
    name: str


class _Wrongs:
    """Findings, as many as anybody reads; all are counted."""

    def __init__(self) -> None:
        self._kept: list[Wrong] = []
        self.more = 0

    def add(self, wrong: Wrong) -> None:
        if len(self._kept) < _KEPT:
            self._kept.append(wrong)
        else:
            self.more += 1

    def in_order(self) -> list[Wrong]:
        return sorted(self._kept, key=lambda wrong: wrong.position)


class _History:
    """The event store as the audit reads it, once: on the way past, each item of evidence is noted."""

    def __init__(self, store: EventStore, progress: Progress, wrong: _Wrongs, engine: Engine) -> None:
        self._store, self._wrong, self.progress = store, wrong, progress
        self._ledger_stream = stream_name(DEFAULT_PROJECT, "ledger", engine.ledger_id)
        self.blobs: dict[str, tuple[int, str]] = {}  # address: the first position that names it, and its name there
        self.size = 0

    async def head(self) -> Head:
        return await self._store.head()

    async def read(self, after: int = -1, upto: int | None = None) -> AsyncIterator[Sequence[StoredEvent]]:
        async for page in self._store.read(after, upto):
            for stored in page:
                self._note(stored)
            self.size += len(page)
            self.progress.advance(len(page))
            yield page

    def _note(self, stored: StoredEvent) -> None:
        entry = stored.entry
        if entry.position == 0 and entry.stream != self._ledger_stream:
            self._wrong.add(Wrong(0, "ledger", f"this is the history of another ledger: {entry.stream}"))
        if entry.type == _COLLECTED and stored.body is not None:
            try:
                item = msgspec.json.decode(stored.body, type=_Item)
            except msgspec.MsgspecError:
                return  # the audit names this body
            self.blobs.setdefault(item.hash, (entry.position, item.name))


async def _verify_blobs(asked: Asked, engine: Engine, blobs: dict[str, tuple[int, str]], wrong: _Wrongs) -> int:
    """Reads and hashes every object that the history names; returns their size."""
    progress, size = Progress(asked, "blobs", len(blobs)), 0
    try:
        for address, (position, name) in blobs.items():
            try:
                size += await engine.blobs.check(address)
            except (BlobMissing, BlobAltered) as error:
                wrong.add(Wrong(position, "blob", f"evidence {name}: {error.message}"))
            progress.advance(1)
    finally:
        progress.end()
    return size


def _as_json(verified: Verified) -> dict[str, object]:
    return {
        "integrity": "altered" if verified.wrong else "verified",
        "assurance": "local",
        "firstWrong": verified.wrong[0].position if verified.wrong else None,
        **msgspec.to_builtins(verified),
    }


def _say(screen: Screen, verified: Verified) -> None:
    read = (
        f"{words.counted(verified.events, 'event')} and {words.counted(verified.blobs, 'blob')} "
        f"({words.size(verified.size_bytes)}) in {words.length(int(verified.seconds * 1e6))}"
    )
    if verified.wrong:
        _say_wrong(screen, verified, read)
    else:
        screen.say("Integrity  ", Mark("verified", "good"), f": {read}, each what was recorded")
    screen.say("Assurance  ", telling.ASSURANCE)
    for line in _NOT_PROVED:
        screen.say(" " * 11, Mark(line, "dim"))


def _say_wrong(screen: Screen, verified: Verified, read: str) -> None:
    first = verified.wrong[0]
    screen.say("Integrity  ", Mark("ALTERED", "bad"), f": the first wrong position is {first.position}")
    for wrong in verified.wrong[:_SHOWN]:
        screen.say(" " * 11, f"event {wrong.position}, {wrong.part}: {wrong.detail}")
    more = len(verified.wrong) - _SHOWN + verified.more
    if more > 0:
        screen.say(" " * 11, f"and {more:,} more")
    screen.say(" " * 11, f"{read} were read")
