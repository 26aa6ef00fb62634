"""What a listener asks for: which channels, projects, operations and types, from where on, with or without proofs."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from dre.errors import RequestRefused
from dre.server.paging import EventType
from dre.server.stream.ring import Entry

Channel = Literal[
    "operations", "evidence", "verification", "claims", "alerts", "audit", "ledger", "metrics", "logs", "progress"
]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_MOST = 100


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    `channels` null: every stored event. Empty filters let everything through. `after`: the position behind which to go
    on, -1 from the start, null from now on. `generation`: of the ledger that the position was seen in.
    """

    channels: Annotated[list[Channel], msgspec.Meta(max_length=_MOST)] | None = None
    projects: Annotated[list[Name], msgspec.Meta(max_length=_MOST)] = []
    operations: Annotated[list[UUID], msgspec.Meta(max_length=_MOST)] = []
    types: Annotated[list[EventType], msgspec.Meta(max_length=_MOST)] = []
    after: int | None = None
    generation: int | None = None
    proofs: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """The same, ready to be asked about each message; equal ones share their work."""

    channels: frozenset[str] | None
    projects: frozenset[str]
    operations: frozenset[str]
    types: frozenset[str]
    proofs: bool

    def has(self, entry: Entry) -> bool:
        if self.channels is None:
            if entry.position is None:
                return False
        elif entry.channel not in self.channels:
            return False
        return (
            (not self.projects or entry.project in self.projects)
            and (not self.operations or entry.operation in self.operations)
            and (not self.types or entry.type in self.types)
        )


def wanted(asked: Subscribe) -> Wanted:
    """Raises RequestRefused for proofs that would not prove anything."""
    channels = None if asked.channels is None else frozenset(asked.channels)
    is_filtered = channels is not None or bool(asked.projects or asked.operations or asked.types)
    if asked.proofs and is_filtered:
        raise RequestRefused(
            "proofs go with every stored event: a filtered history needs checkpoints, which there are not yet",
            hint="subscribe without channels and filters, or without proofs",
        )
    return Wanted(
        channels,
        frozenset(asked.projects),
        frozenset(map(str, asked.operations)),
        frozenset(asked.types),
        asked.proofs,
    )
