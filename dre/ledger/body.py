"""
The body: the JSON that a fact is stored as, in the one form in which every encoder writes it.

Outside this subset of RFC 8785 encoders disagree (`1.0`, `1e21`, `-0`, duplicate keys), and a hash would prove
nothing that a reader could rely on.
"""

import re
from typing import Any

import msgspec

from dre.errors import BodyRefused

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # an open one reaches to the end: linear on any bytes
_BRACKET = re.compile(rb"[\[\]{}]")
_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder()


def check_body(body: bytes) -> None:
    """Raises BodyRefused unless these bytes are a body of format v1, written in its one form."""
    if len(body) > MAX_BYTES:
        raise BodyRefused(
            f"a body holds at most {MAX_BYTES} bytes, this one has {len(body)}", hint="store what is big as evidence"
        )
    if _too_deep(body):  # before decoding: a parser must not meet unbounded depth
        raise BodyRefused(f"a body is at most {MAX_DEPTH} levels deep")
    try:
        value = _DECODER.decode(body)
        same = _ENCODER.encode(value) == body
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BodyRefused(f"a body is JSON in UTF-8: {error}") from error
    if not isinstance(value, dict):
        raise BodyRefused("a body is a JSON object")
    _check_value(value)
    if not same:
        raise BodyRefused("a body has sorted, unique keys, no white space, and one form for each number and string")


def _too_deep(body: bytes) -> bool:
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _check_value(value: Any) -> None:
    """Recurses no deeper than MAX_DEPTH, which the bytes have been checked for."""
    if isinstance(value, str):
        if "\0" in value:
            raise BodyRefused("a string in a body holds no NUL")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not _KEY.fullmatch(key):
                raise BodyRefused(f"the key {key[:80]!r} is not 1 to 64 of A-Z a-z 0-9 _ . -")
            _check_value(item)
    elif isinstance(value, list):
        for item in value:
            _check_value(item)
    elif isinstance(value, float):
        if not 0 < value < 1 or round(value, 4) != value:
            raise BodyRefused(f"{value!r} is not an integer and not a ratio of four decimals between 0 and 1")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise BodyRefused(f"the integer {value} is beyond 2^53-1")
