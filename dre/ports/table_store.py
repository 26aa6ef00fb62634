"""The table store: rows that folds have made of history, with the cursor that says how far they got."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec


class Row(msgspec.Struct, frozen=True):
    """
    A row of a projection. The annotations are the columns: UUID and str are text, int and bool integers,
    float a real number, everything else (lists, structs, maps) JSON.
    """

    table: ClassVar[str]
    primary_key: ClassVar[str] = "id"
    indexes: ClassVar[tuple[tuple[str, ...], ...]] = ()


AnyRow = TypeVar("AnyRow", bound=Row)


class Place(msgspec.Struct, frozen=True):
    """How far a follower has read: the position, and the leaf there, which says of which history."""

    position: int = -1
    leaf: bytes = b""


class Parked(msgspec.Struct, frozen=True):
    """A follower that stopped: the position it cannot get past, and why."""

    name: str
    position: int
    error: str


class Query(msgspec.Struct, frozen=True):
    """
    Which rows: equal columns (`where`), text columns by their end (`suffix`) or by words that stand anywhere in them,
    the letters A to Z in whatever case (`contains`), columns between two values (`ranges`: from the first, up to but
    without the second; None on a side that is open).

    `after` is the `order_by` value and the primary key of the last row of the page before: keyset paging, never an
    offset.
    """

    where: Mapping[str, Any] = {}
    order_by: str | None = None
    descending: bool = False
    after: tuple[Any, Any] | None = None
    ranges: Mapping[str, tuple[Any, Any]] = {}
    suffix: Mapping[str, str] = {}
    contains: Mapping[str, str] = {}
    limit: int = 100


class TableStore(Protocol):
    """
    Rows and cursors. A projection's rows and its cursor change in one transaction or not at all.

    `version` belongs to the fold: when it differs from the stored one, the tables begin anew at position -1.
    """

    async def prepare(self, name: str, version: int, row: type[Row] | None) -> Place:
        """Makes what is missing and returns where the follower `name` stands. A new version starts from nothing."""
        ...

    async def rows(self, row: type[AnyRow], keys: Sequence[Any]) -> dict[Any, AnyRow]:
        """The rows of these keys that exist."""
        ...

    async def advance(
        self,
        name: str,
        old: Place,
        new: Place,
        upserts: Sequence[Row] = (),
        deletes: Sequence[tuple[type[Row], Any]] = (),
    ) -> bool:
        """Writes rows and moves the cursor from `old` to `new`; False and no change if it did not stand at `old`."""
        ...

    async def park(self, parked: Parked) -> None:
        """Remembers that a follower has stopped; the next successful `advance` forgets it."""
        ...

    async def parked(self) -> list[Parked]: ...

    async def places(self) -> dict[str, Place]:
        """Every follower's cursor."""
        ...

    async def clear(self, name: str, row: type[Row] | None) -> None:
        """Back to position -1 with no rows, in one transaction."""
        ...

    async def replace(self, aside: str, rows: Mapping[str, type[Row]], old: Mapping[str, Place]) -> bool:
        """
        The tables and cursors of these followers become those of the table store in the file `aside`, all at once;
        False and no change if one did not stand at `old`, where one that has no cursor is left out.
        """
        ...

    async def empty(self) -> None:
        """Without tables and cursors, whatever state they are in: also those that cannot be read any more."""
        ...

    async def query(self, row: type[AnyRow], query: Query) -> list[AnyRow]: ...

    def commits(self) -> object:
        """
        Equal to what it was as long as nobody has written: known at once of this process, within a moment of another.
        Costs next to nothing, so that what was read may be kept for as long as it stands there.
        """
        ...
