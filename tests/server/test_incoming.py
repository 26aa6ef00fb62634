"""What comes in: bodies and parameters that are wrong are refused with the reason, and change nothing."""

import asyncio
import gzip
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from server.served import Served
from yarl import URL

from dre.server import pages
from dre.server.expected import expected_of
from dre.server.gateway import ROUTES
from dre.server.incoming import DEEPEST, LARGEST_BODY

TAKING_BODIES = [(route.method, route.path) for route in ROUTES if route.body is not None]
WRONG = {
    "nothing": b"",
    "white space": b" \n",
    "half of it": b'{"evidence": {',
    "two values": b"{} {}",
    "what JSON does not know": b"{'a': 1}",
    "a comma too many": b"[1,]",
    "a comment": b"{} // yes",
    "NaN": b'{"a": NaN}',
    "Infinity": b"[-Infinity]",
    "a key twice": b'{"evidence": {}, "evidence": {"retention": "1d"}}',
    "a key twice, written differently": b'{"evidence": {}, "\\u0065vidence": {}}',
    "a key twice, deep inside": b'{"a": [{"b": {"c": 1, "c": 2}}]}',
    "a NUL": b'{"a": "\0"}',
    "a NUL in writing": b'{"a": "\\u0000"}',
    "a NUL behind backslashes": b'{"a": "\\\\\\\\\\u0000"}',
    "a control character": b'{"a": "\x01"}',
    "half a pair": b'{"a": "\\ud800"}',
    "what is no UTF-8": b'{"a": "\xff"}',
    "UTF-8 of half a pair": b'{"a": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "an integer beyond 2^53": b'{"a": 9007199254740993}',
    "an integer of a million digits": b'{"a": %s}' % (b"9" * 100_000),
    "a number beyond all doubles": b'{"a": 1e999}',
    "too deep a list": b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
    "a bottomless list": b"[" * 100_000,
    "a bottomless object": b'{"a":' * 40_000,
}


async def sent(
    served: Served, method: str, path: str, body: bytes, *, chunked: bool = False, **headers: str
) -> tuple[int, dict[str, Any]]:
    async def pieces() -> Any:
        yield body

    shown = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    data = pieces() if chunked else body
    async with served.http.request(method, served.base + path, data=data, headers=shown) as response:
        return response.status, await response.json(content_type=None)


async def test_a_body_that_is_no_plain_json_is_refused_by_every_route_that_takes_one(served: Served) -> None:
    before = await served.engine.store.head()
    for method, path in TAKING_BODIES:
        for what, body in WRONG.items():
            for chunked in (False, True):
                status, problem = await sent(served, method, path, body, chunked=chunked)
                assert (status, problem["code"]) == (400, "request_refused"), (path, what)
    assert await served.engine.store.head() == before


async def test_a_body_nested_as_deep_as_is_allowed_is_read(served: Served) -> None:
    body = b'{"a":' + b"[" * (DEEPEST - 1) + b'"[[{{\\"[["' + b"]" * (DEEPEST - 1) + b"}"
    status, answer = await sent(served, "POST", "/api/v1/config/validate", body)
    assert (status, answer["valid"]) == (200, False)


async def test_a_body_too_large_is_refused_whether_its_length_is_told_or_not(served: Served) -> None:
    full = b'{"a": "' + b"x" * (LARGEST_BODY - 9) + b'"}'
    assert len(full) == LARGEST_BODY
    for chunked in (False, True):
        status, _ = await sent(served, "POST", "/api/v1/config/validate", full, chunked=chunked)
        assert status == 200
        for method, path in TAKING_BODIES:
            status, problem = await sent(served, method, path, full + b" ", chunked=chunked)
            assert (status, problem["code"]) == (413, "too_large")


async def test_a_body_of_another_kind_is_not_read(served: Served) -> None:
    for method, path in TAKING_BODIES:
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/json",
            "",
        ):
            status, problem = await sent(served, method, path, b"{}", Content_Type=kind)
            assert (status, problem["code"]) == (415, "unsupported_media"), kind
        for coding in ("gzip", "deflate", "br", "zstd", "identity, gzip", "x"):
            status, problem = await sent(served, method, path, gzip.compress(b"{}"), Content_Encoding=coding)
            assert (status, problem["code"]) == (415, "unsupported_media"), coding


async def test_a_body_that_stops_arriving_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dre.server.incoming.BODY_TIMEOUT_S", 0.1)
    own = f"Host: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\nContent-Type: application/json\r\n"
    answers = await asyncio.gather(
        *(
            served.raw(f"{method} {path} HTTP/1.1\r\n{own}{rest}".encode())
            for method, path in TAKING_BODIES
            for rest in ("Content-Length: 20\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n2\r\n{")
        )
    )
    assert len(answers) > 4
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"too_slow"' in answer


async def test_who_leaves_in_the_middle_of_a_body_has_asked_nothing(served: Served) -> None:
    before = await served.engine.store.head()
    head = f"PUT /api/v1/config HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n"
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f'{head}Content-Type: application/json\r\nContent-Length: 37\r\n\r\n{{"evidence": {{'.encode())
        await writer.drain()
        writer.close()
    assert (await served.get("/health"))["status"] == "ok"
    assert await served.engine.store.head() == before


@pytest.mark.parametrize("path", ["/operations", "/evidence", "/events", "/audit"])
async def test_a_list_refuses_what_it_does_not_take(served: Served, path: str) -> None:
    for query in (
        "unknown=1",
        "Limit=1",
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=99999999999999999999999",
        "limit=1.0",
        "limit=1e2",
        "limit=%201",
        "limit=01",
        "limit=+1",
        "limit=",
        "limit=null",
        "limit=1&limit=2",
        "limit=%D9%A1",
        "cursor=",
        "cursor=x",
        "cursor=%00",
        "cursor=eyJwb3NpdGlvbiI6MX0&cursor=eyJwb3NpdGlvbiI6MX0",
        "cursor=" + "e" * 501,
        "cursor=bnVsbA",
        "cursor=W10",
        "cursor=eyJwb3NpdGlvbiI6IDF9",  # as ours, with a space
        "cursor=%ff%fe",
        "limit=1&=",
        "%ed%a0%80=1",
        "%ff=1",
    ):
        url = URL(f"{served.api}{path}?{query}", encoded=True)
        async with served.http.get(url) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (400, "request_refused"), query
            assert problem["detail"]


@pytest.mark.parametrize(
    ("asked", "detail", "hint"),
    [
        ("/events?limit=zero", "limit: 'zero' is not a whole number from 1 to 1000 in plain digits",
         "how many at most"),
        ("/events?limit=1001", "limit: '1001' is not a whole number from 1 to 1000 in plain digits",
         "how many at most"),
        ("/events?limit=01", "limit: '01' is not a whole number from 1 to 1000 in plain digits",
         "how many at most"),
        ("/events?since=today", "since: 'today' is not a whole number from 0 to 9007199254740991 in plain digits",
         "milliseconds since 1970, UTC"),
        ("/events?proofs=yes", "proofs: 'yes' is not one of: true, false", None),
        ("/events?type=", "type: '' is not a text that matches ^[a-z][a-z0-9_.]*$",
         "as events name it: operation.started"),
        ("/events?type=" + "t" * 201, f"type: '{'t' * 80}'… is not a text that matches ^[a-z][a-z0-9_.]*$",
         "as events name it: operation.started"),
        ("/events?type=a%00", "the parameter type holds a NUL", None),
        ("/events?actor=me", "actor: 'me' is no actor: local-<uuid> is expected", None),
        ("/events?actor=LOCAL-01234567-89ab-7cde-8f01-23456789abcd",
         "actor: 'LOCAL-01234567-89ab-7cde-8f01-23456789abcd' is no actor: local-<uuid> is expected", None),
        ("/events?actor=local-01234567-89AB-7cde-8f01-23456789abcd",
         "actor: 'local-01234567-89AB-7cde-8f01-23456789abcd' is no actor: local-<uuid> is expected", None),
        ("/events?actor=local-0123456789ab7cde8f0123456789abcd",
         "actor: 'local-0123456789ab7cde8f0123456789abcd' is no actor: local-<uuid> is expected", None),
        ("/events?limit=1&limit=2", "the parameter limit is there 2 times", "once at most"),
        ("/events?limit=%1B%5D0;x%07%E2%80%AE",
         r"limit: '\x1b]0;x\x07\u202e' is not a whole number from 1 to 1000 in plain digits",
         "how many at most"),
        ("/operations?result=good", "result: 'good' is not one of: failed, inconclusive, passed", None),
        ("/operations?short=7Q2", "short: '7Q2' is not a text of 4 to 12 characters", "an operation's short id: FY9J"),
        ("/operations?short=7Q2U", "short: '7Q2U' is no short id", "dre log shows them"),
        ("/operations/7q2k", "'7q2k' is no id: a UUID is expected",
         "GET /api/v1/operations?short=7Q2K finds the operation that has this short id"),
        ("/operations/last!", "'last!' is no id: a UUID is expected", None),
        ("/operations?result=null", "result: 'null' is not one of: failed, inconclusive, passed", None),
        ("/evidence?operationId=7Q2K", "operationId: '7Q2K' is not a UUID with its hyphens", None),
        ("/evidence?operationId=null", "operationId: 'null' is not a UUID with its hyphens", None),
        ("/stream?after=now", "after: 'now' is not a whole number in plain digits", None),
        ("/stream?operations=" + "a" * 32, f"operations: '{'a' * 32}' is not a UUID with its hyphens", None),
        ("/stream?types=a&types=", "types: '' is not a text that matches ^[a-z][a-z0-9_.]*$",
         "as events name it: operation.started"),
        ("/stream?" + "types=a&" * 101, "the parameter types is there 101 times", "100 times at most"),
    ],
)  # fmt: skip
async def test_a_refused_parameter_is_told_by_name_with_its_value_and_what_it_may_be(
    served: Served, asked: str, detail: str, hint: str | None
) -> None:
    async with served.http.get(
        URL(served.api + asked, encoded=True), headers={"Accept": "text/event-stream"}
    ) as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["detail"], problem.get("hint")) == (400, detail, hint)


async def test_what_any_parameter_may_be_has_words() -> None:
    for route in (*ROUTES, *pages.ROUTES):
        if route.takes is not None:
            assert all(expected.words for expected in expected_of(route.takes).values()), route.path


async def test_a_cursor_beyond_all_numbers_is_none(served: Served) -> None:
    for number in (10**19, -(10**19), 2**53, -2):
        for path, place in (
            ("/events", {"position": number}),
            ("/events?type=x", {"position": number}),
            ("/audit", {"position": number, "id": str(uuid4())}),
            ("/evidence", {"position": number, "id": str(uuid4())}),
            ("/operations", {"at": number, "id": str(uuid4())}),
        ):
            cursor = urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")
            problem = await served.get(f"{path}{'&' if '?' in path else '?'}cursor={cursor}", status=400)
            assert problem["hint"] == "begin without a cursor"


async def test_a_cursor_of_one_list_is_none_of_another(served: Served) -> None:
    await served.append(3)
    cursor = (await served.get("/events?limit=1"))["next"]
    for path in ("/operations", "/evidence", "/audit"):
        problem = await served.get(f"{path}?cursor={cursor}", status=400)
        assert problem["hint"] == "begin without a cursor"


@pytest.mark.parametrize(
    "query", ["after=-2", "after=9007199254740992", "actor=nobody", "actor=local-", "proofs=1", "proofs=yes",
              "proofs=True", "proofs=null", "since=-1", "until=1.5", "since=yesterday", "type=", "stream=%00",
              "stream=" + "s" * 201]
)  # fmt: skip
async def test_history_refuses_filters_that_are_none(served: Served, query: str) -> None:
    async with served.http.get(URL(f"{served.api}/events?{query}", encoded=True)) as response:
        assert response.status == 400


async def test_a_route_without_parameters_takes_none(recorded: Served) -> None:
    for route in ROUTES:
        if route.takes is None and route.answers:
            path = route.path.replace("{operation}", recorded.operation).replace("{id}", recorded.operation)
            url = recorded.base + path.replace("{type}", "visual").replace("{name}", "x") + "?verbose=1"
            async with recorded.http.request(route.method, url) as response:
                assert (await response.json(content_type=None))["code"] == "request_refused", url
                assert response.status == 400


async def test_an_id_that_is_no_uuid_is_refused_and_one_that_nobody_has_is_not_found(served: Served) -> None:
    one = str(uuid4())
    for route in ROUTES:
        if "{id}" in route.path and route.answers:
            for id, status in ((one, 404), (one.upper(), 404), (one[:-1], 400), (one.replace("-", ""), 400),
                               ("urn:uuid:" + one, 400), ("1", 400), ("..%2f..%2fetc", 400),
                               ("%00", 400), ("%ff", 400), ("a" * 4000, 400)):  # fmt: skip
                url = URL(served.base + route.path.replace("{id}", id), encoded=True)
                async with served.http.request(route.method, url) as response:
                    assert response.status == status, url
                    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("key", ["", " ", "a" * 201, "schlüssel", "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(recorded: Served, key: str) -> None:
    body = b'{"operationId": "%s"}' % recorded.operation.encode()
    for method, path, sending in (("POST", "/api/v1/verification", body), ("PUT", "/api/v1/config", b"{}")):
        status, problem = await sent(recorded, method, path, sending, Idempotency_Key=key)
        assert (status, problem["code"]) == (400, "request_refused")


async def test_a_verification_of_what_is_none_is_refused(served: Served) -> None:
    for body, status in (
        (b"{}", 400),
        (b"[]", 400),
        (b'{"operationId": null}', 400),
        (b'{"operationId": 1}', 400),
        (b'{"operationId": "1"}', 400),
        (b'{"operationId": "%s", "more": 1}' % str(uuid4()).encode(), 400),
        (b'{"operation_id": "%s"}' % str(uuid4()).encode(), 400),
        (b'{"operationId": "%s"}' % str(uuid4()).encode(), 404),
    ):
        found, _ = await sent(served, "POST", "/api/v1/verification", body)
        assert found == status, body
