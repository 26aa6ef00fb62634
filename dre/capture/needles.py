"""Needles: the secret values that the recorder knew, in every form in which a command is likely to print them."""

import base64
import html
import json
import struct
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6  # a shorter form of a secret is a word like any other
_LENGTH = struct.Struct("<I")
_HEADS = (0, 2, 3)  # how many characters of base64 the one or two bytes before a value have a part in
_SAFE_URL_CHARACTERS = str.maketrans("+/", "-_")


def unpack(packed: bytes) -> list[bytes]:
    """The values in a spool's `needles`. Raises ValueError."""
    found, at = [], 0
    while at < len(packed):
        if at + _LENGTH.size > len(packed):
            raise ValueError("it ends within a length")
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size + length
        if not length or at > len(packed):
            raise ValueError("it ends within a value")
        found.append(packed[at - length : at])
    return found


def forms(values: Iterable[bytes]) -> dict[bytes, str]:
    """Every needle and the rule that it stands for. A value itself comes before any form of another."""
    found: dict[bytes, str] = {}
    secrets = [value for value in values if len(value) >= SHORTEST]
    for value in secrets:
        found.setdefault(value, "known-value")
    for value in secrets:
        for rule, form in _forms(value):
            if len(form) >= SHORTEST:
                found.setdefault(form, f"known-value-{rule}")
    return found


def _forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    encoded = list(_base64(value))
    yield from (("base64", form) for form in _both_alphabets(encoded))
    twice = [outer for inner in _both_alphabets(encoded) for outer in _base64(inner)]
    yield from (("double-base64", form) for form in _both_alphabets(twice))
    yield from (("hex", form) for form in (value.hex().encode(), value.hex().upper().encode()))
    yield from (("url", form) for form in _in_urls(value))
    yield from (("escaped", form) for form in _escaped(value))
    yield "reversed", value[::-1]
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        for line in lines:
            if not line.startswith(b"-----"):  # the frame of a PEM block, the same in every one
                yield "line", line
                yield "line", line[::-1]


def _base64(value: bytes) -> Iterator[bytes]:
    """
    What of it stands in the base64 of any text that holds the value: three alignments, without the characters that
    also depend on what stands before and behind it.
    """
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value).rstrip(b"=")
        yield encoded[_HEADS[before] : len(encoded) - ((before + len(value)) % 3 != 0)]


def _both_alphabets(encoded: Iterable[bytes]) -> Iterator[bytes]:
    for form in encoded:
        yield form
        yield form.decode().translate(_SAFE_URL_CHARACTERS).encode()


def _in_urls(value: bytes) -> Iterator[bytes]:
    for form in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield form.encode()
        yield _lower_escapes(form).encode()


def _lower_escapes(form: str) -> str:
    parts = form.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def _escaped(value: bytes) -> Iterator[bytes]:
    """As JSON, HTML, XML, Python and shells write it."""
    text = value.decode("utf-8", "surrogateescape")
    for ensure_ascii in (True, False):
        quoted = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
        for form in (quoted, quoted.replace("/", "\\/")):
            yield form.encode("utf-8", "surrogateescape")
    for form in (
        html.escape(text),
        html.escape(text, quote=False),
        html.escape(text, quote=False).replace('"', "&quot;"),
        repr(text)[1:-1],
        text.replace("'", "'\\''"),
        text.replace("'", "'\"'\"'"),
        _backslashed(text),
    ):
        yield form.encode("utf-8", "surrogateescape")


def _backslashed(text: str) -> str:
    """As `printf %q` writes it."""
    return "".join(f"\\{character}" if character in " !\"#$&'()*,;<>?[\\]^`{|}~" else character for character in text)
