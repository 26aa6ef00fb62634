"""
Lines: what of an output that still grows may be told already, redacted as it will be when it is evidence.

A line is told when it is whole and nothing in it can be the beginning of a secret that ends later.
"""

from dre.capture.patterns import may_go_on
from dre.capture.redaction import HELD_BACK_BYTES, Redactor, Tally, replacement

LONGEST_LINE = 256 << 10


class Lines:
    """One descriptor's output on its way to listeners."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._waiting = b""

    def take(self, data: bytes) -> bytes:
        """What may be told now: whole lines, with every secret replaced."""
        self._waiting += data
        limit = self._whole_lines()
        if limit == 0:
            return b""
        told, at = [], 0
        for start, end, rule, begun in self._redactor.matches(self._waiting, 0, limit):
            if end >= len(self._waiting) or end > limit:
                limit = max(at, min(limit, begun))  # it may go on
                break
            if end > at:
                if start >= at:
                    told += [self._waiting[at:start], replacement(rule)]
                at = end
        told.append(self._waiting[at : max(at, limit)])
        self._waiting = self._waiting[max(at, limit) :]
        return b"".join(told)

    def rest(self) -> bytes:
        """The end: nothing follows any more."""
        rest, self._waiting = self._redactor.redact(self._waiting, Tally()), b""
        return rest

    def _whole_lines(self) -> int:
        waiting = self._waiting
        if self._redactor.spans_lines:
            limit = _line_end(waiting, len(waiting) - HELD_BACK_BYTES)
        else:
            limit = _line_end(waiting, len(waiting))
        if limit == 0 and len(waiting) > LONGEST_LINE:
            return len(waiting) - HELD_BACK_BYTES  # a line without end: as much as evidence would decide on
        begun = [_begun(form, waiting, limit) for form in self._redactor.forms_of_lines]
        return min([may_go_on(waiting, limit), *begun])


def _line_end(data: bytes, before: int) -> int:
    """Behind the last line end before that place."""
    return max(data.rfind(b"\n", 0, max(0, before)), data.rfind(b"\r", 0, max(0, before))) + 1


def _begun(form: bytes, data: bytes, end: int) -> int:
    """Where a secret of several lines begins of which only the first ones are here; `end` where none does."""
    at = data.find(form[:1], max(0, end - len(form) + 1), end)
    while at >= 0:
        if form.startswith(data[at:end]):
            return at
        at = data.find(form[:1], at + 1, end)
    return end
