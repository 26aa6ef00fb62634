"""
What comes in: bodies and parameters, read with limits and refused with the place that is wrong.

The size is bounded before anything is read, the depth before anything is decoded, and what two readers could understand
differently (a key that is there twice, a NUL, a number that no double holds) is refused.
"""

import asyncio
import json
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
from aiohttp import web

from dre.domain.events import Door
from dre.domain.ids import typed_short
from dre.errors import GoingAway, RequestRefused, TooLarge, TooSlow, UnsupportedMedia
from dre.server.expected import Expected, expected_of

LARGEST_BODY = 256 << 10
DEEPEST = 64
BODY_TIMEOUT_S = 10.0
_LARGEST_NUMBER = 2**53 - 1
_LONGEST_KEY = 200
_LONGEST_AGENT = 200
_LONGEST_SHOWN = 80
_OPENING = b"[{"
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[{]}")
_NUL = re.compile(rb"\0|(?<!\\)(?:\\\\)*+\\u0000")  # behind an escaped backslash, u0000 is five characters
_NO_CHOICE = re.compile(r"Invalid enum value .* - at `\$\.(\w+).*`", re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # one that does not end reaches to the end

Value = TypeVar("Value", bound=msgspec.Struct)


class Arriving:
    """
    Bodies on their way in. Nothing was begun for them yet, so a server that ends does not wait for them: they may be
    sent again to the next one.
    """

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self._is_over = False

    async def read(self, request: web.Request) -> bytes:
        """Raises TooSlow, GoingAway."""
        try:
            async with asyncio.timeout(0 if self._is_over else BODY_TIMEOUT_S) as limit:
                self._limits.add(limit)
                try:
                    return await request.read()
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if self._is_over:
                raise GoingAway("the server ends: the body had not arrived", hint="send it again later") from None
            raise TooSlow(f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None

    def end(self) -> None:
        """What is not here now is not waited for."""
        self._is_over = True
        for limit in self._limits:
            if not limit.expired():  # else its body is given up already, in this very moment
                limit.reschedule(asyncio.get_running_loop().time())


ARRIVING: web.AppKey[Arriving] = web.AppKey("arriving", Arriving)


async def read_body(request: web.Request) -> bytes:
    """JSON, checked but not decoded. Raises RequestRefused, TooLarge, UnsupportedMedia, and what Arriving raises."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMedia("a compressed body is not read here: send it as it is")
    if request.content_type != "application/json":
        raise UnsupportedMedia("the body must be application/json", hint="Content-Type: application/json")
    if (request.content_length or 0) > LARGEST_BODY:
        raise TooLarge(f"the body is larger than {LARGEST_BODY} bytes")
    try:
        body = await request.app[ARRIVING].read(request)
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body is larger than {LARGEST_BODY} bytes") from None
    check_json(body)
    return body


def decode(body: bytes, kind: type[Value]) -> Value:
    """Unknown fields are refused by the type itself. Raises RequestRefused."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise RequestRefused(f"the body: {error}", hint=_choices(kind, str(error))) from None


def check_json(body: bytes) -> None:
    """Raises RequestRefused for what is no JSON, or is JSON that two readers may understand differently."""
    if _NUL.search(body):
        raise RequestRefused("the body holds a NUL, which no event may hold")
    if _depth(body) > DEEPEST:
        raise RequestRefused(f"the body is nested deeper than {DEEPEST} levels")
    try:
        found = json.loads(
            body.decode(), object_pairs_hook=_once, parse_int=_integer, parse_float=_real, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise RequestRefused(f"the body is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise RequestRefused(f"the body is no JSON: line {error.lineno} column {error.colno}: {error.msg}") from None
    if b"\\u" in body and _has_half_pairs(found):
        raise RequestRefused("the body holds half of a surrogate pair, which is no character")


def parameters(request: web.Request, kind: type[Value]) -> Value:
    """The query string as that struct; a field that is a list may be there several times. Raises RequestRefused."""
    known = expected_of(kind)
    found: dict[str, Any] = {}
    for name in dict.fromkeys(request.query):
        if name not in known:
            raise RequestRefused(f"there is no parameter {shown(name)} here", hint=_known(list(known)))
        expected, values = known[name], request.query.getall(name)
        if len(values) > expected.most:
            raise RequestRefused(f"the parameter {name} is there {len(values)} times", hint=_at_most(expected.most))
        for text in values:
            if "\0" in text:
                raise RequestRefused(f"the parameter {name} holds a NUL")
            if not _is_one(text, kind, name, expected):
                raise RequestRefused(f"{name}: {shown(text)} is not {expected.words}", hint=expected.description)
        found[name] = values if expected.is_list else values[0]
    return msgspec.convert(found, kind, strict=False)


def no_parameters(request: web.Request) -> None:
    """Raises RequestRefused where a query string came to a route that takes none."""
    if request.query_string:
        raise RequestRefused("this route takes no parameters")


def shown(text: str) -> str:
    """What a stranger sent, as a refusal repeats it: not all of a long one, and nothing that a screen would obey."""
    return repr(text[:_LONGEST_SHOWN]) + ("…" if len(text) > _LONGEST_SHOWN else "")


def uuid_in_path(request: web.Request, name: str = "id") -> UUID:
    """Raises RequestRefused."""
    text = request.match_info[name]
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or text.lower() != str(found):
        short = typed_short(text)
        hint = f"GET /api/v1/operations?short={short} finds the operation that has this short id" if short else None
        raise RequestRefused(f"{shown(text)} is no id: a UUID is expected", hint=hint)
    return found


def idempotency_key(request: web.Request) -> str | None:
    """Raises RequestRefused."""
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return None
    [key, *more] = keys
    if more or not 1 <= len(key) <= _LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise RequestRefused(f"Idempotency-Key: one key of 1 to {_LONGEST_KEY} printable ASCII characters is expected")
    return key


def door(request: web.Request) -> Door:
    """What an event says of the request that caused it."""
    agent = request.headers.get("User-Agent", "")[:_LONGEST_AGENT]
    readable = "".join(character if character.isprintable() else "?" for character in agent)
    return Door(uuid4(), request.remote or "", readable.encode("utf-8", "replace").decode())


def _is_one(text: str, kind: type[msgspec.Struct], name: str, expected: Expected) -> bool:
    """Whether this is a value of that parameter, and its one form."""
    try:
        converted = msgspec.convert({name: [text] if expected.is_list else text}, kind, strict=False)
    except msgspec.ValidationError:
        return False
    value = getattr(converted, expected.field)
    return _is_plain(text, value[0] if expected.is_list else value)


def _is_plain(text: str, value: Any) -> bool:
    """Whether this text is the one form of the value; a lenient reader takes several, and null for what is left out."""
    match value:
        case bool():
            return text == str(value).lower()
        case int():
            return text == str(value)
        case UUID():
            return text.lower() == str(value)
        case _:
            return value is not None


def _choices(kind: type[msgspec.Struct], error: str) -> str | None:
    """What a field takes where its value is none of the few that it may be; the decoder does not say it."""
    found = _NO_CHOICE.fullmatch(error)
    return f"{found[1]}: {expected_of(kind)[found[1]].words}" if found else None


def _known(names: Sequence[str]) -> str:
    return f"one of: {', '.join(names)}" if names else "this route takes none"


def _at_most(most: int) -> str:
    return "once at most" if most == 1 else f"{most} times at most"


def _depth(body: bytes) -> int:
    """By a scan, as far as is needed: a decoder that meets a thousand brackets may use up its stack first."""
    deepest = depth = 0
    for byte in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if byte in _OPENING else -1
        deepest = max(deepest, depth)
        if deepest > DEEPEST:
            break
    return deepest


def _has_half_pairs(value: Any) -> bool:
    """Whether some string holds half of a surrogate pair, which is no character and cannot be stored."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RequestRefused("the body has a key twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > len(str(_LARGEST_NUMBER)) + 1 or abs(int(digits)) > _LARGEST_NUMBER:
        raise RequestRefused("the body holds an integer beyond 2^53")
    return int(digits)


def _real(digits: str) -> float:
    if math.isinf(found := float(digits)):
        raise RequestRefused("the body holds a number that no double holds")
    return found


def _no_constant(name: str) -> None:
    raise RequestRefused(f"the body holds {name}, which is no JSON")
