"""
The entry: eleven lines of ASCII that are hashed, rebuilt from columns whenever they are needed and never stored.

Lines, because they have exactly one encoding and need no parser.
"""

import re
from uuid import UUID

import msgspec

from dre.ledger.digest import DIGEST_BYTES, leaf_hash

TAG = "dre.event.v1"
GENESIS = bytes(DIGEST_BYTES)
"""`prev` of position 0."""
MAX_NUMBER = 2**63 - 1

_NAME = re.compile(r"[!-~]{1,200}", re.ASCII)
_TYPE = re.compile(r"[a-z][a-z0-9_.]{0,79}", re.ASCII)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LINES = 11


class Entry(msgspec.Struct, frozen=True, gc=False):
    """
    One event as the chain knows it. Times in microseconds since the epoch, as the appender's clock read.

    Building one checks nothing, because a reader must be able to hold an altered row: see `flaw`.
    """

    position: int
    prev: bytes
    event_id: UUID
    stream: str
    version: int
    type: str
    recorded_at_us: int
    actor: str
    commitment: bytes
    body_len: int

    def encode(self) -> bytes:
        lines = (
            f"{TAG}\n{self.position}\n{self.prev.hex()}\n{self.event_id}\n{self.stream}\n{self.version}\n{self.type}\n"
            f"{self.recorded_at_us}\n{self.actor}\n{self.commitment.hex()}\n{self.body_len}\n"
        )
        # a stored name that is no ASCII (a flipped byte) is read with surrogates: hashed, it is found
        return lines.encode("ascii", "surrogateescape")

    def leaf(self) -> bytes:
        """The event's hash; the next entry's `prev`."""
        return leaf_hash(self.encode())


def flaw(entry: Entry) -> str | None:
    """What keeps these fields from being an entry of format v1; None when nothing does."""
    for name in ("position", "version", "recorded_at_us", "body_len"):
        number = getattr(entry, name)
        if type(number) is not int or not 0 <= number <= MAX_NUMBER:
            return f"{name} is {number!r}, not an integer from 0 to 2^63-1"
    for name in ("prev", "commitment"):
        if len(getattr(entry, name)) != DIGEST_BYTES:
            return f"{name} has {len(getattr(entry, name))} bytes, not {DIGEST_BYTES}"
    return names_flaw(entry.stream, entry.type, entry.actor)


def names_flaw(stream: str, type: str, actor: str) -> str | None:
    """What keeps these names out of an entry; None when nothing does."""
    if not _NAME.fullmatch(stream):
        return f"the stream {stream!r} is not 1 to 200 printable ASCII characters without spaces"
    if not _TYPE.fullmatch(type):
        return f"the type {type!r} is not a lower-case letter and up to 79 of a-z 0-9 _ ."
    if not _NAME.fullmatch(actor):
        return f"the actor {actor!r} is not 1 to 200 printable ASCII characters without spaces"
    return None


def decode(encoded: bytes) -> Entry:
    """The entry of these bytes. Raises ValueError unless encoding it gives the same bytes again."""
    lines = encoded.decode("ascii").split("\n")
    if len(lines) != _LINES + 1 or lines[0] != TAG or lines[-1]:
        raise ValueError(f"not an entry: {_LINES} lines that begin with {TAG} and end with a line feed")
    _, position, prev, event_id, stream, version, type, recorded_at_us, actor, commitment, body_len, _ = lines
    entry = Entry(
        position=_number(position),
        prev=bytes.fromhex(prev),
        event_id=UUID(event_id),
        stream=stream,
        version=_number(version),
        type=type,
        recorded_at_us=_number(recorded_at_us),
        actor=actor,
        commitment=bytes.fromhex(commitment),
        body_len=_number(body_len),
    )
    if problem := flaw(entry):
        raise ValueError(problem)
    if entry.encode() != encoded:
        raise ValueError("not an entry: a field is written in another than its one form")
    return entry


def _number(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is not a decimal number without sign or leading zeros")
    return int(text)
