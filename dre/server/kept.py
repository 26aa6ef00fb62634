"""Answers that are kept for as long as nobody has written anything: they cannot have changed."""

from collections.abc import Hashable
from typing import NamedTuple

from aiohttp import web

from dre.server.answers import tag_of
from dre.server.workspace import WORKSPACE

_MOST = 1000
_MOST_BYTES = 16 << 20


class Answer(NamedTuple):
    body: bytes
    tag: str


def written(request: web.Request) -> object:
    """All that an answer of ours can depend on, beside the question: equal as long as neither has been written to."""
    workspace = request.app[WORKSPACE]
    return workspace.store.commits(), workspace.tables.commits()


class Kept:
    """Bounded by count and by bytes; when there is no more room, all of it goes."""

    def __init__(self) -> None:
        self._true_for: object = None
        self._answers: dict[Hashable, Answer] = {}
        self._size = 0

    def get(self, asked: Hashable, written: object) -> Answer | None:
        """`asked`: all that the answer depends on, beside what is written."""
        if written != self._true_for:
            self._forget(written)
        return self._answers.get(asked)

    def put(self, asked: Hashable, written: object, body: bytes) -> Answer:
        """`written`: as it was before the answer was made."""
        answer = Answer(body, tag_of(body))
        if written == self._true_for and asked not in self._answers and len(body) <= _MOST_BYTES // 2:
            if len(self._answers) >= _MOST or self._size + len(body) > _MOST_BYTES:
                self._forget(written)
            self._answers[asked] = answer
            self._size += len(body)
        return answer

    def _forget(self, written: object) -> None:
        self._true_for, self._answers, self._size = written, {}, 0


KEPT: web.AppKey[Kept] = web.AppKey("kept", Kept)
