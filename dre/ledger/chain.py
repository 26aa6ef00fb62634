"""The chain: each entry holds the hash of the one before, so the newest leaf commits to all of history."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from dre.ledger.commitment import commitment
from dre.ledger.entry import GENESIS, Entry, flaw


class Head(msgspec.Struct, frozen=True):
    """Where the chain ends: how many events there are, and the newest leaf (`GENESIS` when there are none)."""

    generation: int = 0
    size: int = 0
    prev: bytes = GENESIS


class Draft(msgspec.Struct, frozen=True):
    """An event whose place in its stream is settled and whose place in history is not."""

    event_id: UUID
    stream: str
    version: int
    type: str
    actor: str
    body: bytes


class Linked(msgspec.Struct, frozen=True):
    """An event in its place, ready to be stored."""

    entry: Entry
    leaf: bytes
    salt: bytes
    body: bytes


def link_all(
    drafts: Sequence[Draft], head: Head, salts: Sequence[bytes], recorded_at_us: int
) -> tuple[list[Linked], Head]:
    """Numbers and links the drafts after `head`. Raises ValueError for a field that no entry can hold."""
    linked: list[Linked] = []
    prev = head.prev
    for position, (draft, salt) in enumerate(zip(drafts, salts, strict=True), head.size):
        entry = Entry(
            position=position,
            prev=prev,
            event_id=draft.event_id,
            stream=draft.stream,
            version=draft.version,
            type=draft.type,
            recorded_at_us=recorded_at_us,
            actor=draft.actor,
            commitment=commitment(salt, draft.body),
            body_len=len(draft.body),
        )
        if problem := flaw(entry):
            raise ValueError(problem)
        prev = entry.leaf()
        linked.append(Linked(entry, prev, salt, draft.body))
    return linked, Head(head.generation, head.size + len(linked), prev)
