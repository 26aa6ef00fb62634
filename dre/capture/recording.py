"""A recording, read: what one spool says of its operation, in types."""

from array import array
from typing import Literal
from uuid import UUID

import msgspec

from dre.shim.command import UNKNOWN

State = Literal["running", "complete", "interrupted"]
LateState = Literal["none", "open", "complete", "lost"]
Seen = Literal["yes", "no", "no git", "failed"]
SAME_MOMENT_NS = 1_000_000


class Start(msgspec.Struct, frozen=True):
    """
    What was about to run, and where. `ends` is what the recorder found as 0, 1 and 2; `id_file` what it writes itself
    for `--id-file`, empty without one.
    """

    argv: tuple[bytes, ...]
    cwd: bytes
    wall_ns: int
    boot: str
    ends: tuple[str, str, str]
    order: Literal["exact", "approximate"]
    umask: str
    limits: tuple[tuple[int, int, int], ...]
    labels: tuple[bytes, ...]
    writes: tuple[bytes, ...]
    parent: UUID | None
    uid: int
    host: bytes
    system: bytes
    timeout_us: int
    workspace: Seen
    ci: bool
    id_file: bytes = b""


class Before(msgspec.Struct, frozen=True):
    """The work tree before the command. Ids are empty where there are none; `why` says why there is no tree."""

    top: bytes
    commit: str
    branch: bytes
    tree: str
    wall_ns: int
    why: bytes


class Exit(msgspec.Struct, frozen=True):
    """How the command ended. `status` is wait(2)'s; `failure` the errno of a failed exec, or of time running out."""

    at_ns: int
    status: int
    failure: int
    usage: tuple[float, ...]

    @property
    def seen(self) -> bool:
        return self.status != UNKNOWN


class Pieces:
    """
    Output in the order of its arrival: when, from which descriptor, how many bytes.

    What one descriptor wrote within a millisecond is one piece, so that a chatty command does not fill the memory.
    """

    def __init__(self) -> None:
        self.at_ns, self.numbers, self.lengths = array("Q"), array("B"), array("Q")
        self.total = 0

    def add(self, at_ns: int, number: int, length: int) -> None:
        self.total += length
        if self.numbers and self.numbers[-1] == number and at_ns - self.at_ns[-1] < SAME_MOMENT_NS:
            self.lengths[-1] += length
        else:
            self.at_ns.append(at_ns)
            self.numbers.append(number)
            self.lengths.append(length)

    def upto(self, size: int) -> "Pieces":
        """The front of them that `size` bytes hold."""
        front = Pieces()
        for at_ns, number, length in zip(self.at_ns, self.numbers, self.lengths, strict=True):
            if front.total == size:
                break
            front.add(at_ns, number, min(length, size - front.total))
        return front

    def __len__(self) -> int:
        return len(self.lengths)


class Recording(msgspec.Struct, frozen=True):
    """
    Read and found consistent. `ready_ns` is when all was ready for the command, `last_ns` the last thing recorded; both
    count from `start.wall_ns`. `closed_wall_ns`: when its end was written. `kept` and `lost` are bytes of output.
    `machine_stopped`: the machine was started anew since. `ran`: it is known that the command was started. `rescued`:
    it was deleted or replaced while the command ran, and written again by the recorder.
    """

    state: State
    start: Start
    environment: tuple[tuple[str, bytes], ...]
    before: Before | None
    pieces: Pieces
    exit: Exit | None
    kept: int
    lost: int
    ready_ns: int
    last_ns: int
    closed_wall_ns: int | None
    machine_stopped: bool
    ran: bool
    rescued: bool


class Late(msgspec.Struct, frozen=True):
    """What descendants wrote after the command's end."""

    state: LateState
    pieces: Pieces
    lost: int = 0


class NothingRan(Exception):
    """The recorder was killed before it can have started anything: there is nothing to record."""
