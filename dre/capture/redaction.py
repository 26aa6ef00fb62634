"""Redaction: secrets are found in a stream of any length and replaced before anything is hashed or kept."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import re2

from dre.capture.needles import forms
from dre.capture.patterns import BUILT_IN, KEY, configured, may_span_lines, options, private_key_end
from dre.domain.events import Text, raw, text

BLOCK_BYTES = 1 << 20
HELD_BACK_BYTES = 64 << 10  # longer than the match of any bounded pattern
LONGEST_UNDECIDED = 8 << 20
_LITERALS_A_PROGRAM = 2000
_LONGEST_LITERAL = 1000

Tally = Counter[str]
Match = tuple[int, int, str, int]
"""Where it starts, where it ends, under which rule it falls, and where what tells that it is a secret begins."""


class Secret(msgspec.Struct, frozen=True, gc=False):
    """So many bytes that have to go. Without a rule they belong to the secret before them."""

    length: int
    rule: str


class Redactor:
    """
    Known values in all their forms, and patterns of tokens. A hit is replaced by `[redacted:<rule>]`.

    RE2 looks for all needles at once, in time linear in the text, whatever the text is.
    """

    def __init__(self, values: Iterable[bytes] = (), patterns: Sequence[str] = (), block: int = BLOCK_BYTES) -> None:
        self._rules = forms(values)
        self._block = block
        self._held_back = max([HELD_BACK_BYTES, *map(len, self._rules)])
        literals = sorted((form for form in self._rules if len(form) <= _LONGEST_LITERAL), key=len, reverse=True)
        self._programs = [_any_of(group) for group in _groups(literals)]
        self._long = [form for form in self._rules if len(form) > _LONGEST_LITERAL]
        self._patterns = (*BUILT_IN, *map(configured, patterns))
        self.forms_of_lines = [form for form in self._rules if b"\n" in form or b"\r" in form]
        self.spans_lines = any(map(may_span_lines, patterns))
        self._hint = re2.compile(b"|".join(b"(?:" + pattern.source + b")" for pattern in self._patterns), options())

    def redact(self, data: bytes, tally: Tally | None = None) -> bytes:
        """The whole of something small."""
        return b"".join(self.stream((data,), Tally() if tally is None else tally))

    def text(self, value: bytes) -> Text:
        """For a body, or a document of evidence."""
        return text(self.redact(value))

    def words(self, value: bytes) -> str:
        """Where nothing but a string fits: bytes that are none are written as escapes."""
        return self.redact(value).replace(b"\0", b"\\x00").decode("utf-8", "backslashreplace")

    def again(self, value: Text) -> Text:
        return self.text(raw(value))

    def stream(self, blocks: Iterable[bytes], tally: Tally) -> Iterator[bytes]:
        """The same bytes with every secret replaced, wherever the blocks are cut."""
        for piece in self.pieces(blocks):
            if not isinstance(piece, Secret):
                yield piece
            elif piece.rule:
                tally[piece.rule] += 1
                yield replacement(piece.rule)

    def pieces(self, blocks: Iterable[bytes]) -> Iterator[bytes | Secret]:
        """
        The stream in order: what may stay, and what has to go.

        What begins in the last `_held_back` bytes is decided once more has been read. `seen` is how far hits were
        looked for, `out` how far the stream was handed out; a secret may reach further than what was looked through.
        """
        source = iter(blocks)
        buffer, seen, out, last = b"", 0, 0, False
        wanted = self._block
        while not last:
            parts, size = [buffer], len(buffer)
            while size < wanted + self._held_back and not last:
                block = next(source, None)
                last = block is None
                parts.append(block or b"")
                size += len(parts[-1])
            buffer = b"".join(parts)
            decided = len(buffer) if last else max(seen, len(buffer) - self._held_back)
            for start, end, rule, begun in self.matches(buffer, seen, decided):
                if end == len(buffer) and not last and end - start < LONGEST_UNDECIDED:
                    decided = max(seen, min(begun, decided))  # it may go on
                    break
                if end > out:
                    if start >= out:
                        yield buffer[out:start]
                    yield Secret(end - max(start, out), rule if start >= out else "")
                    out = end
            if out < decided:
                yield buffer[out:decided]
                out = decided
            seen = decided
            known = max(0, seen - 1)  # one byte stays: whether a word begins depends on what stands before it
            buffer, seen, out = buffer[known:], seen - known, out - known
            wanted = max(self._block, len(buffer))

    def matches(self, data: bytes, start: int, end: int) -> list[Match]:
        """All that begin between `start` and `end`, in their order; they may reach further."""
        found = [match for program in self._programs for match in self._literals(program, data, start, end)]
        found += [match for form in self._long for match in self._long_literal(form, data, start, end)]
        found += self._tokens(data, start, end)
        return sorted(found, key=lambda match: match[0])

    def _literals(self, program: "re2._Regexp[bytes]", data: bytes, at: int, end: int) -> Iterator[Match]:
        """Overlapping ones as one: the end of a secret must not survive because another begins in it."""
        current: Match | None = None
        while (hit := program.search(data, at)) is not None and hit.start() < end:
            if current is not None and hit.start() < current[1]:
                current = (current[0], max(current[1], hit.end()), current[2], current[3])
            else:
                if current is not None:
                    yield current
                current = (hit.start(), hit.end(), self._rules[hit.group()], hit.start())
            at = hit.start() + 1
        if current is not None:
            yield current

    def _long_literal(self, form: bytes, data: bytes, at: int, end: int) -> Iterator[Match]:
        while (found := data.find(form, at)) >= 0 and found < end:
            yield found, found + len(form), self._rules[form], found
            at = found + 1

    def _tokens(self, data: bytes, at: int, end: int) -> Iterator[Match]:
        while (hint := self._hint.search(data, at)) is not None and hint.start() < end:
            at = hint.start() + 1
            for pattern in self._patterns:
                hit = pattern.program.match(data, hint.start())
                if hit is not None and pattern.plausible(hit.group()):
                    group = 1 if pattern.program.groups else 0
                    stop = private_key_end(data, hit.start()) if pattern.rule == KEY else hit.end(group)
                    if stop > hit.start(group):
                        yield hit.start(group), stop, pattern.rule, hit.start()
                        at = stop
                    break


def replacement(rule: str) -> bytes:
    return f"[redacted:{rule}]".encode()


def told(tally: Tally) -> str:
    """For the metadata of an item: `known-value 3, jwt 1`."""
    return ", ".join(f"{rule} {count}" for rule, count in sorted(tally.items()))


def _any_of(literals: Sequence[bytes]) -> "re2._Regexp[bytes]":
    """The longest first: of two that begin in the same place it must be the one that is found."""
    return re2.compile(b"|".join(map(re2.escape, literals)), options())


def _groups(literals: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(literals), _LITERALS_A_PROGRAM):
        yield literals[start : start + _LITERALS_A_PROGRAM]
