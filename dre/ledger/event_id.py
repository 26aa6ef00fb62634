"""Event ids that follow from their cause: whoever does the same thing again arrives at the same id."""

from hashlib import sha256
from uuid import UUID

_TAG = "dre.event-id.v1"


def derived_id(name: str, key: str, index: int) -> UUID:
    """
    The id of the `index`-th event that `name` appends for `key`.

    `name` is an actor with its idempotency key, or a follower with the id of the event that it answers.
    """
    return _uuid8(name, key, str(index))


def operation_event_id(operation_id: UUID, index: int) -> UUID:
    """The id of an operation's own event; `index` is its version in the stream."""
    return _uuid8(str(operation_id), str(index))


def _uuid8(*parts: str) -> UUID:
    if any("\0" in part for part in parts):  # the separator: two lists of parts must never read the same
        raise ValueError("what an event id derives from may not hold a NUL")
    digest = sha256("\0".join((_TAG, *parts)).encode()).digest()
    bits = int.from_bytes(digest[:16], "big")
    bits = bits & ~(0xF << 76) | 0x8 << 76
    return UUID(int=bits & ~(0x3 << 62) | 0x2 << 62)
