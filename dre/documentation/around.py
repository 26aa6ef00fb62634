"""The lines of output around a failure: where it speaks of a failing test, else how it ended."""

import re
from collections.abc import AsyncIterator, Sequence

from dre.documentation import safe

LARGEST_BYTES = 8 << 20
AFTER, TAIL = 8, 10
_LONGEST_LINE = 300
_NEXT_PART = re.compile(r"([=_#*])\1{3,}( .* \1{4,})?\s*")  # how runners draw a line before something else


async def read_lines(chunks: AsyncIterator[bytes]) -> list[str]:
    """Safe lines; of a large output its last part only, where runners sum up."""
    kept, size = [], 0
    async for chunk in chunks:
        kept.append(chunk)
        size += len(chunk)
        while size - len(kept[0]) >= LARGEST_BYTES:
            size -= len(kept.pop(0))
    lines = safe.lines(_text(b"".join(kept))).split("\n")
    return [line[:_LONGEST_LINE] for line in lines]


def around(lines: Sequence[str], subject: str, detail: str, others: Sequence[str]) -> list[str]:
    """
    What the output says of one failing test, nothing if it never names it. `others` are the other failing tests:
    where one of them is named, its part begins.
    """
    name = _name(subject)
    mentions = [at for at, line in enumerate(lines) if name.search(line)] if name else []
    if not mentions:
        return []
    strangers = [stranger for stranger in map(_name, others) if stranger]
    parts = [_part(lines, at, strangers) for at in mentions]
    told = detail.partition("\n")[0].strip()
    explained = (part for part in parts if told and any(told in line for line in part[1:]))
    return _trimmed(next(explained, parts[0]))


def tail(lines: Sequence[str]) -> list[str]:
    return _trimmed(_trimmed(lines)[-TAIL:])


def _part(lines: Sequence[str], first: int, strangers: Sequence[re.Pattern[str]]) -> Sequence[str]:
    """From a mention to where something else begins, a few lines at most."""
    last = first + 1
    while last < min(len(lines), first + AFTER + 1) and not _begins_another(lines[last], strangers):
        last += 1
    return lines[first:last]


def _begins_another(line: str, strangers: Sequence[re.Pattern[str]]) -> bool:
    return bool(_NEXT_PART.fullmatch(line)) or any(stranger.search(line) for stranger in strangers)


def _name(subject: str) -> re.Pattern[str] | None:
    """The test's own name, without file, class and parameters: what every runner prints somewhere."""
    names = re.findall(r"[^\s:./\\>]+", re.sub(r"[\[(].*", "", subject))
    return re.compile(rf"(?<![\w]){re.escape(names[-1])}(?![\w])") if names else None


def _trimmed(lines: Sequence[str]) -> list[str]:
    """Without empty lines at both ends."""
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    last = next((at for at in range(len(lines), first, -1) if lines[at - 1].strip()), first)
    return list(lines[first:last])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
