"""Recordings that wait as they are, running or refused: one in which nothing has changed is not read again."""

from collections.abc import Collection
from typing import Generic, TypeVar
from uuid import UUID

_MOST = 1000

Found = TypeVar("Found")


class Waiting(Generic[Found]):
    """What was found of each, and by which fingerprint it looked so. Bounded: what has no place is read again."""

    def __init__(self) -> None:
        self._found: dict[UUID, tuple[object, Found]] = {}

    def found(self, id: UUID, fingerprint: object) -> Found | None:
        """None for one that is new here or has changed."""
        known, found = self._found.get(id, (None, None))
        return found if fingerprint is not None and known == fingerprint else None

    def remember(self, id: UUID, fingerprint: object, found: Found) -> None:
        if fingerprint is not None and (id in self._found or len(self._found) < _MOST):
            self._found[id] = fingerprint, found

    def forget_others(self, there: Collection[UUID]) -> None:
        for id in self._found.keys() - set(there):
            del self._found[id]
