"""Answers that are kept for as long as nobody has committed anything: they cannot have changed."""

from collections.abc import Hashable
from typing import NamedTuple

from aiohttp import web

from dre.server.answers import tag_of

_MOST = 1000
_MOST_BYTES = 16 << 20


class Answer(NamedTuple):
    body: bytes
    tag: str


class Kept:
    """Bounded by count and by bytes; when there is no more room, all of it goes."""

    def __init__(self) -> None:
        self._true_for: object = None
        self._answers: dict[Hashable, Answer] = {}
        self._size = 0

    def get(self, asked: Hashable, commits: object) -> Answer | None:
        """`asked`: all that the answer depends on, beside history."""
        if commits != self._true_for:
            self._forget(commits)
        return self._answers.get(asked)

    def put(self, asked: Hashable, commits: object, body: bytes) -> Answer:
        """`commits`: as they were before the answer was made."""
        answer = Answer(body, tag_of(body))
        if commits == self._true_for and len(body) <= _MOST_BYTES // 2:
            if len(self._answers) >= _MOST or self._size + len(body) > _MOST_BYTES:
                self._forget(commits)
            self._answers[asked] = answer
            self._size += len(body)
        return answer

    def _forget(self, commits: object) -> None:
        self._true_for, self._answers, self._size = commits, {}, 0


KEPT: web.AppKey[Kept] = web.AppKey("kept", Kept)
