"""Patterns: what tokens of well-known services look like, so that one is recognised that nobody knew."""

from collections.abc import Callable

import msgspec
import re2

from dre.errors import ConfigurationError

LONGEST_KEY = 32 << 10
_MEMORY = 64 << 20


class Pattern(msgspec.Struct, frozen=True):
    """
    A rule and how it is recognised: RE2, of which the first group is the secret where there is one. `plausible` has the
    last word: a prefix alone may be the beginning of an honest word.
    """

    rule: str
    source: bytes
    program: "re2._Regexp[bytes]"
    plausible: Callable[[bytes], bool]


def options() -> "re2.Options":
    """Bytes are bytes, and a pattern takes bounded memory."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.max_mem = _MEMORY
    chosen.log_errors = False
    return chosen


def configured(source: str) -> Pattern:
    """A pattern of the user's. Raises ConfigurationError."""
    try:
        return _pattern("configured", source.encode())
    except re2.error as error:
        raise ConfigurationError(
            f'redaction.patterns: "{source}" is no RE2 expression: {error}', hint="dre config set redaction.patterns"
        ) from None


def may_span_lines(source: str) -> bool:
    """Whether a pattern of the user's could match across the end of a line; rather yes than no."""
    return _LINE_ENDS.search(source) is not None


def may_go_on(data: bytes, end: int) -> int:
    """Where a built-in pattern begins whose secret may still follow on the next line; `end` where none does."""
    before = max(0, end - _LONGEST_BEGUN)
    found = _BEGUN.search(data[before:end])
    return end if found is None else before + int(found.start())


def private_key_end(data: bytes, start: int) -> int:
    """Where the key that begins at `start` ends: with its last line, or where what follows can no longer be a key."""
    limit = min(len(data), start + LONGEST_KEY)
    found = _KEY_END.search(data, start, limit) or _KEY_BODY.match(data, start, limit)
    return int(found.end())


def _pattern(rule: str, source: bytes, plausible: Callable[[bytes], bool] = lambda _found: True) -> Pattern:
    return Pattern(rule, source, re2.compile(source, options()), plausible)


def _random(found: bytes) -> bool:
    """Words that a person would write have no digits and capitals mixed into them."""
    return any(48 <= byte <= 57 for byte in found) and any(65 <= byte <= 90 for byte in found)


_LINE_ENDS = re2.compile(r"\\[snrvDWpPCQxo0]|\[\^|\[\[|\(\?[a-zA-Z-]*s|[\n\r]")
_LONGEST_BEGUN = 64
_BEGUN = re2.compile(
    rb"(?i)\bauthorization[\"']?\s{0,4}(?:[:=]\s{0,4}[\"']?(?:(?:bearer|basic|token)\s{0,4})?)?$", options()
)
KEY = "private-key"
_KEY_END = re2.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", options())
_KEY_BODY = re2.compile(rb"-----BEGIN [A-Z0-9 ]+-----(?:[A-Za-z0-9+/=:,\s-]|\\[nr])*", options())

BUILT_IN = (
    _pattern(KEY, rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    _pattern("github-token", rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})"),
    _pattern("gitlab-token", rb"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt)-[A-Za-z0-9_-]{20,255}", _random),
    _pattern("aws-key-id", rb"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    _pattern("sk-key", rb"\bsk-[A-Za-z0-9_-]{20,255}", _random),
    _pattern("stripe-key", rb"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}"),
    _pattern("slack-token", rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}|\bxapp-[0-9]-[A-Za-z0-9-]{20,255}"),
    _pattern("slack-webhook", rb"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_+-]{20,255})"),
    _pattern("google-key", rb"\bAIza[A-Za-z0-9_-]{35}"),
    _pattern("npm-token", rb"\bnpm_[A-Za-z0-9]{36}\b"),
    _pattern("pypi-token", rb"\bpypi-AgEI[A-Za-z0-9_-]{50,1000}"),
    _pattern("jwt", rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?"),
    _pattern(
        "authorization",
        rb"(?i)\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:bearer|basic|token)\s{1,4}([A-Za-z0-9+/=._~-]{8,1000})",
    ),
    _pattern("url-password", rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,100}:([^\s/@\"'<>]{3,200})@"),
)  # fmt: skip
"""The longest bounded match is far shorter than what redaction holds back; unbounded ones are read to their end."""
