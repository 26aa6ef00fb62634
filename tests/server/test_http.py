"""What arrives on the socket: one clean answer or none, whatever the bytes are."""

import asyncio
import contextlib

import msgspec
import pytest
from server.served import Served

SECOND = b"GET /api/v1/health HTTP/1.1\r\nHost: {host}\r\nX-Smuggled: yes\r\n\r\n"
HEAD = b"POST /api/v1/config/validate HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
JSON = b"Content-Type: application/json\r\n"


def filled(served: Served, request: bytes) -> bytes:
    return request.replace(b"{host}", f"127.0.0.1:{served.port}".encode()).replace(b"{token}", served.token.encode())


AMBIGUOUS = {
    "a length and chunks": HEAD + JSON + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunks and a length": HEAD + JSON + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SECOND,
    "two lengths": HEAD + JSON + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + SECOND,
    "one length twice": HEAD + JSON + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SECOND,
    "a list of lengths": HEAD + JSON + b"Content-Length: 2, 2\r\n\r\n{}" + SECOND,
    "a signed length": HEAD + JSON + b"Content-Length: +2\r\n\r\n{}" + SECOND,
    "a negative length": HEAD + JSON + b"Content-Length: -2\r\n\r\n{}" + SECOND,
    "a hexadecimal length": HEAD + JSON + b"Content-Length: 0x2\r\n\r\n{}" + SECOND,
    "a length with an underscore": HEAD + JSON + b"Content-Length: 0_2\r\n\r\n{}" + SECOND,
    "an endless length": HEAD + JSON + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}" + SECOND,
    "a folded header": HEAD + JSON + b"X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n{}" + SECOND,
    "a folded transfer coding": HEAD + JSON + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "lines that end with LF alone": (HEAD + JSON + b"Content-Length: 2\r\n\r\n").replace(b"\r\n", b"\n")
    + b"{}"
    + SECOND,
    "a line that ends with CR alone": HEAD
    + b"X: a\rContent-Length: 40\r\n"
    + JSON
    + b"Content-Length: 2\r\n\r\n{}"
    + SECOND,
    "a space before the colon": HEAD + JSON + b"Content-Length : 2\r\n\r\n{}" + SECOND,
    "a coding nobody knows": HEAD + JSON + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunked twice": HEAD + JSON + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "chunked not last": HEAD + JSON + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
    "a chunk size that is no number": HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SECOND,
    "a chunk size with a sign": HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n" + SECOND,
    "a chunk size beyond all numbers": HEAD
    + JSON
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 17
    + b"\r\n{}"
    + SECOND,
    "a chunk longer than it says": HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + SECOND,
    "a chunk extension with LF": HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n2;x=\n\r\n{}\r\n0\r\n\r\n" + SECOND,
    "a NUL in a header": HEAD + b"X: a\0b\r\n\r\n" + SECOND,
    "a control character in a header's name": HEAD + b"X\x01: a\r\n\r\n" + SECOND,
    "a header without a name": HEAD + b": a\r\n\r\n" + SECOND,
    "a space before the first header": b"GET /livez HTTP/1.1\r\n Host: {host}\r\n\r\n" + SECOND,
    "HTTP/0.9": b"GET /livez\r\n" + SECOND,
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    "a method that is none": b"G(T /livez HTTP/1.1\r\nHost: {host}\r\n\r\n" + SECOND,
    "a target with a space": b"GET /li vez HTTP/1.1\r\nHost: {host}\r\n\r\n" + SECOND,
    "a line too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: {host}\r\n\r\n" + SECOND,
    "a header too long": HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n" + SECOND,
    "too many headers": HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(300)) + b"\r\n" + SECOND,
}


@pytest.mark.parametrize("form", AMBIGUOUS)
async def test_what_two_readers_could_understand_differently_gets_one_refusal_and_the_connection_ends(
    served: Served, form: str
) -> None:
    answer = await served.raw(filled(served, AMBIGUOUS[form]))

    assert answer.count(b"\r\n\r\n") == 1, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 Bad Request\r\n", b"HTTP/1.1 400 Bad Request\r\n")), answer
    assert msgspec.json.decode(body)["code"] == "request_refused"
    assert b"Content-Type: application/problem+json" in head
    assert b"X-Content-Type-Options: nosniff" in head


async def test_chunks_with_extensions_and_trailers_are_one_body_and_the_next_request_is_the_next(
    served: Served,
) -> None:
    chunks = b'2;name="value"\r\n{}\r\n0;last\r\n\r\n'
    first = HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    last = b"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

    answer = await served.raw(filled(served, first + last))

    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b'{"valid":true,"problems":[]}' in answer
    assert answer.endswith(b'{"status":"ok"}')


async def test_a_body_that_nobody_reads_is_not_taken_for_a_request(served: Served) -> None:
    smuggled = filled(served, SECOND)
    request = b"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(smuggled)

    answer = await served.raw(filled(served, request) + smuggled)

    assert answer.count(b"HTTP/1.1 ") == 1


async def test_many_requests_in_one_piece_are_answered_in_their_order(served: Served) -> None:
    one = b"GET /api/v1/events?limit=1&after=%d HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n%s\r\n"
    await served.append(30)
    sent = b"".join(one % (n - 1, b"Connection: close\r\n" * (n == 29)) for n in range(30))

    answer = await served.raw(filled(served, sent))

    places = [answer.index(b'{"items":[{"position":%d,' % n) for n in range(30)]
    assert places == sorted(places)


async def test_a_connection_that_asks_nothing_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dre.composition.serving._FIRST_REQUEST_S", 0.1)
    for sent in (b"", b"GET /livez HTTP/1.1\r\nHost: "):
        assert await served.raw(sent) == b""


async def test_who_sends_headers_slowly_keeps_nobody_waiting(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(200)]
    for _, writer in slow:
        writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")

    assert (await served.get("/health"))["status"] == "ok"

    monkeypatch.setattr("dre.composition.serving._FIRST_REQUEST_S", 0.1)
    for reader, writer in slow:
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
