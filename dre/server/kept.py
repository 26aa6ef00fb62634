"""Answers that are kept for as long as nobody has written anything: they cannot have changed."""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from aiohttp import web

from dre.server.answers import tag_of

_MOST = 1000
_MOST_BYTES = 16 << 20


class Answer(NamedTuple):
    body: bytes
    tag: str


class Kept:
    """
    Bounded by count and by bytes; when there is no more room, all of it goes. `versions`: of all that an answer can
    depend on beside the question, which is history and the tables; equal as long as nobody writes.
    """

    def __init__(self, versions: Callable[[], object]) -> None:
        self.versions = versions
        self._true_for: object = None
        self._answers: dict[Hashable, Answer] = {}
        self._size = 0

    def get(self, asked: Hashable, versions: object) -> Answer | None:
        """`asked`: all that the answer depends on, beside history and tables."""
        if versions != self._true_for:
            self._forget(versions)
        return self._answers.get(asked)

    def put(self, asked: Hashable, versions: object, body: bytes) -> Answer:
        """`versions`: as they were before the answer was made."""
        answer = Answer(body, tag_of(body))
        if versions == self._true_for and asked not in self._answers and len(body) <= _MOST_BYTES // 2:
            if len(self._answers) >= _MOST or self._size + len(body) > _MOST_BYTES:
                self._forget(versions)
            self._answers[asked] = answer
            self._size += len(body)
        return answer

    def _forget(self, versions: object) -> None:
        self._true_for, self._answers, self._size = versions, {}, 0


KEPT: web.AppKey[Kept] = web.AppKey("kept", Kept)
