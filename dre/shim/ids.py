"""Names of things: operation and ledger ids are UUIDs of version 7, shown to people as a few letters."""

import os
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHOWN = 4
_HEX = frozenset("0123456789abcdef")


def new_id() -> str:
    """A UUIDv7: milliseconds, version, and 74 random bits."""
    bits = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def short(identifier: str) -> str:
    """The last letters of the random end, in Crockford's base 32."""
    bits = int(identifier.replace("-", ""), 16)
    return "".join(_CROCKFORD[bits >> 5 * place & 31] for place in reversed(range(_SHOWN)))


def is_id(text: str) -> bool:
    """Nothing but an id, so it may become the name of a folder."""
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and _HEX.issuperset(text.replace("-", ""))
