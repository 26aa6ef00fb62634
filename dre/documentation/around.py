"""The lines of output around a failure: where it speaks of a failing test, else how it ended."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import NamedTuple

from dre.documentation import safe

LARGEST_BYTES, MOST_LINES = 8 << 20, 200_000
AFTER, TAIL = 8, 10
_LONGEST_LINE = 300
_LONGEST_LINE_BYTES = 4 * _LONGEST_LINE + 8  # so many characters, and none of them cut
_MOST_MENTIONS = 200
_NEXT_PART = re.compile(r"([=_#*])\1{3,}( .* \1{4,})?\s*")  # how runners draw a line before something else


async def read_lines(chunks: AsyncIterator[bytes]) -> list[str]:
    """Safe lines; of a large output, or one of many lines, its last part only, where runners sum up."""
    kept: deque[tuple[bytes, int]] = deque()
    size = ends = 0
    async for chunk in chunks:
        kept.append((chunk, chunk.count(b"\n")))
        size, ends = size + len(chunk), ends + kept[-1][1]
        while size - len(kept[0][0]) >= LARGEST_BYTES or ends - kept[0][1] >= MOST_LINES:
            dropped, fewer = kept.popleft()
            size, ends = size - len(dropped), ends - fewer
    return await asyncio.to_thread(_split, [chunk for chunk, _ in kept])  # others are served meanwhile


def around(lines: Sequence[str], subject: str, detail: str, others: Sequence[str]) -> list[str]:
    """
    What the output says of one failing test, nothing if it never names it. `others` are the other failing tests:
    where one of them is named, its part begins.
    """
    name = _name(subject)
    if name is None:
        return []
    mentions = list(islice((at for at, line in enumerate(lines) if name.stands_in(line)), _MOST_MENTIONS))
    if not mentions:
        return []
    strangers = [stranger for stranger in map(_name, others) if stranger]
    told = detail.partition("\n")[0].strip()
    parts = (_part(lines, at, strangers) for at in mentions)
    explained = (part for part in parts if told and any(told in line for line in part[1:]))
    return _trimmed(next(explained, ()) or _part(lines, mentions[0], strangers))


def tail(lines: Sequence[str]) -> list[str]:
    return _trimmed(_trimmed(lines)[-TAIL:])


class _Name(NamedTuple):
    plain: str
    alone: re.Pattern[str]

    def stands_in(self, line: str) -> bool:
        return self.plain in line and self.alone.search(line) is not None


def _part(lines: Sequence[str], first: int, strangers: Sequence[_Name]) -> Sequence[str]:
    """From a mention to where something else begins, a few lines at most."""
    last = first + 1
    while last < min(len(lines), first + AFTER + 1) and not _begins_another(lines[last], strangers):
        last += 1
    return lines[first:last]


def _begins_another(line: str, strangers: Sequence[_Name]) -> bool:
    return bool(_NEXT_PART.fullmatch(line)) or any(stranger.stands_in(line) for stranger in strangers)


def _name(subject: str) -> _Name | None:
    """The test's own name, without file, class and parameters: what every runner prints somewhere."""
    names = re.findall(r"[^\s:./\\>]+", re.sub(r"[\[(].*", "", subject))
    return _Name(names[-1], re.compile(rf"(?<![\w]){re.escape(names[-1])}(?![\w])")) if names else None


def _trimmed(lines: Sequence[str]) -> list[str]:
    """Without empty lines at both ends."""
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    last = next((at for at in range(len(lines), first, -1) if lines[at - 1].strip()), first)
    return list(lines[first:last])


def _split(chunks: Sequence[bytes]) -> list[str]:
    """Chunk by chunk and line by line, so that no single step of it holds up everything else."""
    lines: list[str] = []
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        lines += [_safe(line[:_LONGEST_LINE_BYTES]) for line in whole]
    return [*lines, _safe(rest[:_LONGEST_LINE_BYTES])]


def _safe(raw: bytes) -> str:
    text = safe.without_colours(raw.decode("utf-8", "surrogateescape")).removesuffix("\r")
    return text[:_LONGEST_LINE] if text.isascii() and text.isprintable() else safe.lines(text)[:_LONGEST_LINE]
