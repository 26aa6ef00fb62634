"""Running operations, told while they run: what they print, and how far they are. None of it is kept here."""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from dre.capture.hearing import Heard, Hearing, Progress
from dre.domain.ledger import DEFAULT_PROJECT
from dre.server.stream.broadcast import Broadcast
from dre.server.stream.ring import Entry

POLL_S = 0.1
PROGRESS_S = 1.0
LONGEST_TEXT = 32 << 10
KEPT_TEXT = 64 << 10
_MOST_KEPT = 50


class Output(msgspec.Struct, frozen=True, rename="camel"):
    """
    Whole lines of what a command prints, redacted. `offset`: bytes of this output that were told before. `ends`:
    `complete` at its end, `too much` where the rest is only told as evidence.
    """

    operation_id: UUID
    output: str
    offset: int
    text: str
    ends: str


class SoFar(msgspec.Struct, frozen=True):
    """
    The newest part of what an operation has printed, and how many bytes of each output were told with it. `is_all`: it
    prints too much to be told more while it runs.
    """

    text: str = ""
    told: Mapping[str, int] = {}
    is_all: bool = False


class Far(msgspec.Struct, frozen=True, rename="camel"):
    operation_id: UUID
    elapsed_ms: int
    output_bytes: int


class _Message(msgspec.Struct, frozen=True):
    type: str
    data: Output | Far


class Running:
    """Listens to the recorder's spools and passes on what it hears, again and again until it is closed."""

    def __init__(self, spools: str, patterns: Callable[[], Sequence[str]], broadcast: Broadcast) -> None:
        self._spools, self._broadcast = spools, broadcast
        self._hearing = Hearing(spools, patterns)
        self._lately: OrderedDict[UUID, SoFar] = OrderedDict()
        self._progress_at = 0.0

    def so_far(self, id: UUID) -> SoFar:
        """For whoever comes in the middle: what is said from now on follows it, with nothing missing or twice."""
        return self._lately.get(id, SoFar())

    async def listen(self) -> None:
        """What is new since the last time."""
        if not (self._hearing.is_at_work or _anything_in(self._spools)):
            return
        for heard in await asyncio.to_thread(self._hearing.listen):
            self._tell(heard)
        if (now := asyncio.get_running_loop().time()) >= self._progress_at:
            self._progress_at = now + PROGRESS_S
            for progress in self._hearing.progress(time.time_ns() // 1_000_000):
                self._tell_progress(progress)

    def close(self) -> None:
        self._hearing.close()

    def _tell(self, heard: Heard) -> None:
        known = self._lately.pop(heard.operation_id, SoFar())
        if heard.ends != "complete":
            told = {**known.told, heard.output: heard.offset + len(heard.text.encode())}
            text = (known.text + heard.text)[-KEPT_TEXT:]
            self._lately[heard.operation_id] = SoFar(text, told, heard.ends == "too much")
            while len(self._lately) > _MOST_KEPT:
                self._lately.popitem(last=False)
        for output in _pieces(heard):
            self._say("operation.output", "logs", output)

    def _tell_progress(self, progress: Progress) -> None:
        far = Far(progress.operation_id, progress.elapsed_ms, progress.output_bytes)
        self._say("operation.progress", "progress", far)

    def _say(self, type: str, channel: str, data: Output | Far) -> None:
        self._broadcast.say(
            Entry(
                message=msgspec.json.encode(_Message(type, data)),
                type=type,
                channel=channel,
                project=DEFAULT_PROJECT,
                operation=str(data.operation_id),
            )
        )


def _pieces(heard: Heard) -> Iterator[Output]:
    """Messages of a bounded size; each says where it stands."""
    offset = heard.offset
    for at in range(0, max(1, len(heard.text)), LONGEST_TEXT):
        part = heard.text[at : at + LONGEST_TEXT]
        yield Output(heard.operation_id, heard.output, offset, part, heard.ends)
        offset += len(part.encode())


def _anything_in(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except FileNotFoundError:
        return False
