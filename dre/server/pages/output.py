"""The output of an operation as numbered lines: how it ended, or any part of it, page by page."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from aiohttp import web

from dre.documentation import safe
from dre.documentation.findings import outputs
from dre.errors import BlobAltered, BlobMissing, NotFound
from dre.ports.blob_store import BlobStore
from dre.projections.operation_detail import Item
from dre.server.incoming import parameters, uuid_in_path
from dre.server.operations import operation_detail
from dre.server.pages.rendering import render
from dre.server.pages.standing import standing
from dre.server.workspace import WORKSPACE

LAST_LINES = 200
LINES = 1000
LARGEST_BYTES = 32 << 20
"""Of a larger output an operation's page shows nothing: counting its lines takes a while, and has a page of its own."""

_MOST_BYTES = 256 << 10
_LONGEST_LINE = 2000


class Line(msgspec.Struct, frozen=True):
    number: int
    text: str


class Window(msgspec.Struct, frozen=True):
    """Some of the lines of an output. `total`: how many it has. `trouble`: why none is shown."""

    item: Item
    lines: Sequence[Line] = ()
    total: int = 0
    trouble: str | None = None

    @property
    def first(self) -> int:
        return self.lines[0].number if self.lines else 0

    @property
    def last(self) -> int:
        return self.lines[-1].number if self.lines else 0


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`line`: the first one to be shown."""

    line: Annotated[int, msgspec.Meta(ge=1, le=2**40)] = 1


async def output(request: web.Request) -> web.Response:
    """A page of it. That it is addressed by a line is no offset into something that grows: output never changes."""
    which = parameters(request, Which)
    stood = await standing(request)
    detail = await operation_detail(request, uuid_in_path(request))
    found = outputs(detail)
    if not found:
        raise NotFound(f"there is no output of {detail.short}")
    window = await lines_from(request.app[WORKSPACE].blobs, found[0], which.line)
    previous = max(1, which.line - LINES) if which.line > 1 else None
    following = window.last + 1 if window.lines and window.last < window.total else None
    return render(
        request, "output.html", stood=stood, detail=detail, window=window, previous=previous, following=following
    )


async def last_lines(blobs: BlobStore, item: Item) -> Window:
    if item.size_bytes > LARGEST_BYTES:
        return Window(item, trouble="it is too large to be shown here")
    return await _window(blobs, item, None)


async def lines_from(blobs: BlobStore, item: Item, first: int) -> Window:
    return await _window(blobs, item, first)


async def _window(blobs: BlobStore, item: Item, first: int | None) -> Window:
    """All of it is read, whatever is shown: only then it is proved."""
    part = Last() if first is None else From(first)
    try:
        async for chunk in blobs.read(item.hash):
            part.feed(chunk)
    except BlobMissing:
        return Window(item, trouble="its bytes are missing")
    except BlobAltered as error:
        return Window(item, trouble=f"it is not what was recorded: {error.message}")
    number, lines = part.kept()
    return Window(item, [Line(at, _shown(line)) for at, line in enumerate(lines, number)], part.total)


class Last:
    """The last lines, of the last bytes."""

    def __init__(self) -> None:
        self._tail, self._ends = b"", 0

    def feed(self, chunk: bytes) -> None:
        self._ends += chunk.count(b"\n")
        self._tail = (self._tail + chunk)[-_MOST_BYTES - 1 :]

    @property
    def total(self) -> int:
        return self._ends + (self._tail[-1:] not in (b"", b"\n"))

    def kept(self) -> tuple[int, list[bytes]]:
        lines = self._tail.removesuffix(b"\n").split(b"\n") if self._tail else []
        if len(self._tail) > _MOST_BYTES and len(lines) > 1:
            del lines[0]  # its beginning is missing
        lines = lines[-LAST_LINES:]
        return self.total - len(lines) + 1, lines


class From:
    """So many lines from one on."""

    def __init__(self, first: int) -> None:
        self._first, self._ends, self._ended = first, 0, True
        self._parts: list[bytes] = []
        self._size = self._held = 0
        self._is_cut = False

    def feed(self, chunk: bytes) -> None:
        ends, begins = chunk.count(b"\n"), 0
        missing = self._first - 1 - self._ends
        if missing > 0 and missing <= ends:
            begins = _behind(chunk, missing)
        if self._held > LINES or self._size > _MOST_BYTES:
            self._is_cut = True
        elif missing <= ends:
            self._parts.append(chunk[begins:])
            self._held += self._parts[-1].count(b"\n")
            self._size += len(self._parts[-1])
        self._ends += ends
        self._ended = chunk.endswith(b"\n") if chunk else self._ended

    @property
    def total(self) -> int:
        return self._ends + (not self._ended)

    def kept(self) -> tuple[int, list[bytes]]:
        whole = b"".join(self._parts)
        lines = whole.removesuffix(b"\n").split(b"\n") if whole else []
        if self._is_cut and not whole.endswith(b"\n") and len(lines) > 1:
            lines.pop()  # the next page has it whole
        return self._first, lines[: min(LINES, max(1, self.total - self._first + 1))]


def _behind(chunk: bytes, ends: int) -> int:
    """Where so many lines of this chunk have ended."""
    at = 0
    for _ in range(ends):
        at = chunk.index(b"\n", at) + 1
    return at


def safe_lines(raw: bytes) -> list[str]:
    """All lines of what is small, without numbers."""
    return [_shown(line) for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []


def _shown(raw: bytes) -> str:
    """Without the colours that most tools print. Whatever else a terminal would obey is made visible, as anywhere."""
    text = safe.without_colours(raw.decode("utf-8", "surrogateescape").removesuffix("\r"))
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}… (the line goes on)"
