"""The blobs that a history names, and whether each lies there as long as it was recorded; their content is not read."""

import time
from collections.abc import Sequence

import msgspec

from dre.domain.evidence import EvidenceCollected
from dre.errors import BlobAltered, BlobMissing
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import StoredEvent


class _Item(msgspec.Struct, rename="camel"):
    """What is read of an `evidence.collected`."""

    hash: str
    name: str
    stored_bytes: int


class NamedBlobs:
    def __init__(self) -> None:
        self.sizes: dict[str, tuple[int, str]] = {}
        """By address: how long it is, and which event and item named it first."""

    def note(self, events: Sequence[StoredEvent]) -> None:
        """Erased evidence has no body any more, and names nothing."""
        for stored in events:
            if stored.entry.type == EvidenceCollected.type and stored.body is not None:
                try:
                    item = msgspec.json.decode(stored.body, type=_Item)
                except msgspec.MsgspecError:
                    continue  # the history's own check names this body
                shown = f"{item.name} of event {stored.entry.position}"
                self.sizes.setdefault(item.hash, (item.stored_bytes, shown))

    async def compare(self, blobs: BlobStore, patience_s: float) -> tuple[int, list[str]]:
        """How many were looked at in that time, and what is wrong with which."""
        until, looked_at, wrong = time.monotonic() + patience_s, 0, []
        for address, (recorded, shown) in self.sizes.items():
            if time.monotonic() > until:
                break
            looked_at += 1
            try:
                size = await blobs.stored_size(address)
            except BlobMissing:
                wrong.append(f"{shown} is missing")
            except BlobAltered as error:
                wrong.append(f"{shown}: {error.message}")
            else:
                if size != recorded:
                    wrong.append(f"{shown}: {recorded:,} bytes were stored, {size:,} are there")
        return looked_at, wrong
