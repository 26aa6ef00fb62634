"""Identifiers: time-ordered random ones, and the short form that people type."""

import os
from uuid import UUID

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: read aloud and typed without doubt
SHORT_LENGTH = 4
_LOW_BITS = 60
_TYPED = str.maketrans("ILO", "110")


def uuid7(now_ms: int, random: bytes | None = None) -> UUID:
    """RFC 9562 UUIDv7: `now_ms` since the epoch, then 74 random bits (`random`: 10 bytes)."""
    bits = now_ms << 80 | int.from_bytes(random or os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    return UUID(int=bits & ~(0x3 << 62) | 0x2 << 62)


def crockford(id: UUID) -> str:
    """The twelve characters that hold the last 60 bits: the random end, where ids differ soonest."""
    low = id.int & (1 << _LOW_BITS) - 1
    return "".join(CROCKFORD[low >> shift & 31] for shift in range(_LOW_BITS - 5, -1, -5))


def short(id: UUID, length: int = SHORT_LENGTH) -> str:
    """The last characters of `crockford`; longer where four are not unique."""
    return crockford(id)[-length:]


def typed_short(text: str) -> str | None:
    """What a person typed, as it would stand in `crockford`; None if it cannot be a short id."""
    folded = text.upper().translate(_TYPED)
    fits = SHORT_LENGTH <= len(folded) <= _LOW_BITS // 5 and set(folded) <= set(CROCKFORD)
    return folded if fits else None
