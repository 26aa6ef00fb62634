"""Cursors: where a list goes on, opaque to whoever holds one, and checked like anything that comes in."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from dre.errors import RequestRefused

MOST = 1000
LARGEST_POSITION = 2**53 - 1
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST, description="how many at most")]
Position = Annotated[int, msgspec.Meta(ge=-1, le=LARGEST_POSITION, description="a position; -1 is before the first")]
Moment = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_POSITION, description="milliseconds since 1970, UTC")]
EventType = Annotated[
    str, msgspec.Meta(max_length=80, pattern="^[a-z][a-z0-9_.]*$", description="as events name it: operation.started")
]
Cursor = Annotated[str, msgspec.Meta(min_length=1, max_length=500, description="`next` of the page before")]

Item = TypeVar("Item")
Place = TypeVar("Place", bound=msgspec.Struct)


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """`next`: the cursor of the page after this one, null at the end."""

    items: list[Item]
    next: str | None


def cursor(place: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place(text: str | None, kind: type[Place]) -> Place | None:
    """Raises RequestRefused for a cursor that no page here has given out."""
    if text is None:
        return None
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(packed, type=kind)
        if cursor(found) == text:
            return found
    except (binascii.Error, msgspec.MsgspecError, UnicodeError, ValueError):
        pass
    raise RequestRefused("the cursor is none that a page of this list has given out", hint="begin without a cursor")


def page(
    rows: Sequence[Any], limit: int, shown: Callable[[Any], Any], at: Callable[[Any], msgspec.Struct]
) -> Page[Any]:
    """Of one row more than was asked for: that there is one is why the list goes on."""
    kept = rows[:limit]
    return Page([shown(row) for row in kept], cursor(at(kept[-1])) if len(rows) > limit else None)
