"""What a listener may say, and what becomes of one that says something else, too much, or nothing."""

import asyncio
import contextlib
import json
import struct
from typing import get_args

import aiohttp
import pytest
from server.listening import Socket, by_hand, sent, socket
from server.served import Served
from server.test_leaving import until

from dre.server import access, live
from dre.server.stream.subscription import Channel

UPGRADE = (
    "GET /api/v1/stream HTTP/1.1\r\nHOST\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer TOKEN"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("nonsense", "no JSON"),
        ("[]", "object"),
        ("null", "object"),
        ('{"type":"subscribe","after":0,"after":1}', "key twice"),
        ('{"type":"subscribe","x":' + "[" * 65 + "]" * 65 + "}", "deeper"),
        ("[" * 30_000, "deeper"),
        ('{"type":"subscribe","more":1}', "more"),
        ('{"type":"unsubscribe"}', "unsubscribe"),
        ('{"channels":["operations"]}', "type"),
        ('{"type":"subscribe","channels":["foreign"]}', "channels"),
        ('{"type":"subscribe","channels":' + json.dumps(["logs"] * 101) + "}", "channels"),
        ('{"type":"subscribe","operations":["last"]}', "operations"),
        ('{"type":"subscribe","types":[""]}', "types"),
        ('{"type":"subscribe","after":"0"}', "after"),
        ('{"type":"subscribe","after":0.5}', "after"),
        ('{"type":"subscribe","after":-2}', "-2"),
        ('{"type":"subscribe","after":99999999999999999999}', "integer"),
        ('{"type":"subscribe","after":1e400}', "number"),
        ('{"type":"subscribe","types":["a\\u0000b"]}', "NUL"),
        ('{"type":"subscribe","types":["operation.*"]}', "types"),
        ('{"type":"subscribe","types":["\\ud800"]}', ""),
        ('{"type":"subscribe","\\ud800":1}', ""),
        ('{"type":"subscribe","proofs":true,"types":["operation.started"]}', "proofs"),
    ],
)
async def test_what_cannot_be_understood_is_answered_and_the_subscription_before_goes_on(
    served: Served, text: str, says: str
) -> None:
    async with socket(served) as listener:
        await listener.subscribe()
        await listener.socket.send_str(text)
        answer = await listener.next()
        [position] = await served.append()
        assert await listener.positions(1) == [position]
    assert (answer["type"], answer["code"], says in answer["detail"]) == ("error", "request_refused", True), answer


async def test_of_a_channel_that_is_none_it_is_said_which_there_are(served: Served) -> None:
    async with socket(served) as listener:
        answer = await listener.subscribe(channels=["logs", "nope"])
    assert answer["detail"] == "the body: Invalid enum value 'nope' - at `$.channels[1]`"
    assert answer["hint"] == f"channels: one of: {', '.join(sorted(get_args(Channel)))}"


@pytest.mark.parametrize("asked", [{"after": 2}, {"after": 10**15}, {"after": 1, "generation": 1}])
async def test_a_position_of_another_history_is_refused_by_a_name_of_its_own(
    served: Served, asked: dict[str, int]
) -> None:
    async with socket(served) as listener:
        answer = await listener.subscribe(**asked)
        assert (answer["type"], answer["code"]) == ("error", "history_differs")
        assert (await listener.subscribe(after=1))["type"] == "subscribed"
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    problem = await served.get(f"/stream?{query}", status=409, headers={"Accept": "text/event-stream"})
    assert problem["code"] == "history_differs"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ((0x82, b"binary"), 1003),
        ((0x81, b"x" * (64 << 10) + b"y"), 1009),
        ((0x81, b"\xff\xfe"), 1007),
        ((0xC1, b"compressed, it says"), 1002),
        ((0x83, b"of a kind that there is not"), 1002),
        ((0x09, b"a ping in pieces"), 1002),
    ],
)
async def test_a_frame_that_is_none_ends_the_socket_and_nobody_else(
    served: Served, frame: tuple[int, bytes], code: int
) -> None:
    async with socket(served) as other:
        await other.subscribe()
        async with by_hand(served, UPGRADE.replace("TOKEN", served.token)) as (reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(masked(*frame))
            answer = await asyncio.wait_for(reader.read(4), 10)
        assert answer[:1] == b"\x88"
        assert struct.unpack("!H", answer[2:4])[0] == code
        [position] = await served.append()
        assert await other.positions(1) == [position]


async def test_a_message_in_pieces_is_one_message(served: Served) -> None:
    text = b'{"type":"subscribe","after":-1}'
    async with by_hand(served, UPGRADE.replace("TOKEN", served.token)) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for at in range(len(text)):
            first, last = at == 0, at == len(text) - 1
            for byte in masked((0x80 if last else 0) | (1 if first else 0), text[at : at + 1]):
                writer.write(bytes([byte]))
                await writer.drain()
            writer.write(masked(0x89, b"between"))
        answer = await asyncio.wait_for(reader.readuntil(b"account.registered"), 10)
    assert b'{"type":"subscribed"' in answer


async def test_the_largest_message_is_taken(served: Served) -> None:
    text = json.dumps({"type": "subscribe", "after": -1})
    async with socket(served) as listener:
        await listener.socket.send_str(text + " " * ((64 << 10) - len(text)))
        assert (await listener.next())["type"] == "subscribed"


async def test_a_flood_ends_the_socket_that_floods(served: Served) -> None:
    async with socket(served) as calm, socket(served) as flooding:
        await calm.subscribe()
        for _ in range(60):
            await flooding.say(type="subscribe", after=-1)
        said, code = await flooding.until_closed()
        assert code == 4429
        assert len([message for message in said if message["type"] == "subscribed"]) <= 25
        [position] = await served.append()
        assert await calm.positions(1) == [position]


async def test_a_new_subscription_takes_the_place_of_the_one_before(served: Served) -> None:
    await served.append(3)
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        await listener.say(type="subscribe", after=3)
        while (await listener.next())["type"] != "subscribed":
            pass
        assert await listener.positions(1) == [4]
        assert await listener.is_quiet()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic TOKEN"}, 401),
        ({"Authorization": "Bearer TOKEN", "Origin": "http://evil.example"}, 403),
        ({"Authorization": "Bearer TOKEN", "Origin": "null"}, 403),
        ({"Authorization": "Bearer TOKEN", "Host": "evil.example"}, 421),
        ({"Cookie": "SESSION"}, 403),
        ({"Cookie": "SESSION", "Origin": "http://evil.example"}, 403),
        ({"Cookie": "SESSION", "Origin": "null"}, 403),
        ({"Cookie": "SESSIONx", "Origin": "OURS"}, 401),
        ({"Cookie": "SESSION", "Origin": "OURS", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Cookie": "SESSION", "Origin": "OURS"}, 101),
        ({"Authorization": "Bearer TOKEN"}, 101),
        ({"Authorization": "Bearer TOKEN", "Origin": "OURS"}, 101),
    ],
)
async def test_who_may_listen(served: Served, headers: dict[str, str], status: int) -> None:
    doors = served.served.app[access.ACCESS]
    known = {"TOKEN": served.token, "OURS": served.base, "SESSION": f"{doors.cookie}={session_of(served)}"}
    shown = headers
    for word, value in known.items():
        shown = {name: text.replace(word, value) for name, text in shown.items()}
    found = 101
    try:
        async with served.bare.ws_connect(f"{served.api}/stream", headers=shown) as opened:
            await opened.send_str('{"type":"subscribe"}')
            assert (await opened.receive_json())["type"] == "subscribed"
    except aiohttp.WSServerHandshakeError as error:
        found = error.status
    assert found == status
    assert status == 101 or not served.live.listeners


async def test_what_a_socket_would_never_look_at_is_refused(served: Served) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await served.http.ws_connect(f"{served.api}/stream?after=-1")
    assert refused.value.status == 400
    assert not served.live.listeners


async def test_the_token_of_an_earlier_server_opens_nothing(served: Served) -> None:
    old = "x" * len(served.token)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        await served.bare.ws_connect(f"{served.api}/stream", headers={"Authorization": f"Bearer {old}"})


async def test_a_session_that_is_over_ends_its_listeners_with_their_position(
    served: Served,
) -> None:
    doors = served.served.app[access.ACCESS]
    session = session_of(served)
    shown = {"Cookie": f"{doors.cookie}={session}", "Origin": served.base}
    async with (
        served.bare.ws_connect(f"{served.api}/stream", headers=shown) as opened,
        socket(served) as other,
    ):
        await opened.send_str('{"type":"subscribe","after":-1}')
        await other.subscribe()
        types = [(await opened.receive_json())["type"] for _ in range(3)]
        assert types == ["subscribed", "ledger.created", "account.registered"]
        served.live.pulse()
        assert (await opened.receive_json())["type"] == "heartbeat"
        doors.end_session(session)
        served.live.pulse()
        cut = await opened.receive_json()
        assert cut == {"type": "cut", "code": "session_over", "position": 1}
        assert (await opened.receive()).type is aiohttp.WSMsgType.CLOSE
        assert opened.close_code == 4401
        [position] = await served.append()
        assert await other.positions(1) == [position]


@pytest.mark.parametrize("way", ["asks", "is silent"])
async def test_a_session_that_is_over_ends_also_who_has_not_subscribed_yet(served: Served, way: str) -> None:
    doors = served.served.app[access.ACCESS]
    session = session_of(served)
    shown = {"Cookie": f"{doors.cookie}={session}", "Origin": served.base}
    async with served.bare.ws_connect(f"{served.api}/stream", headers=shown) as opened, socket(served) as other:
        served.live.pulse()
        doors.end_session(session)
        if way == "asks":
            await opened.send_str('{"type":"subscribe","after":-1}')
        else:
            served.live.pulse()
        said, code = await Socket(opened).until_closed()
        assert (await other.subscribe())["type"] == "subscribed"
    assert (said, code) == ([{"type": "cut", "code": "session_over", "position": None}], 4401)


async def test_a_session_that_is_over_ends_also_what_is_still_told_history(served: Served) -> None:
    doors = served.served.app[access.ACCESS]
    session = session_of(served)
    shown = {"Cookie": f"{doors.cookie}={session}", "Origin": served.base}
    await served.append_all(300, filler=60_000)
    served.live.ring._drop(290)
    async with served.bare.ws_connect(f"{served.api}/stream", headers=shown, max_msg_size=1 << 20) as opened:
        listener = Socket(opened)
        listener.transport().pause_reading()
        await listener.say(type="subscribe", after=-1)
        async with asyncio.timeout(10):
            while not served.live.broadcast._catching_up:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        doors.end_session(session)
        served.live.pulse()
        listener.transport().resume_reading()
        said, code = await listener.until_closed()
    assert (said[-1]["code"], code) == ("session_over", 4401)
    assert said[-1]["position"] < 301


async def test_too_many_listeners_are_told_to_come_later(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_LISTENERS", 1)
    async with socket(served):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await served.http.ws_connect(f"{served.api}/stream")
        problem = await served.get("/stream", status=503, headers={"Accept": "text/event-stream"})
        assert problem["code"] == "store_busy"


@pytest.mark.parametrize(("way", "let_in"), [("events", b" 200 "), ("socket", b" 101 ")])
async def test_of_many_who_come_at_once_no_more_may_listen_than_there_are_places_for(
    served: Served, monkeypatch: pytest.MonkeyPatch, way: str, let_in: bytes
) -> None:
    monkeypatch.setattr(live, "MOST_LISTENERS", 5)
    by_events = "GET /api/v1/stream HTTP/1.1\r\nHOST\r\nAccept: text/event-stream\r\nAuthorization: Bearer TOKEN"
    head = (by_events if way == "events" else UPGRADE).replace("TOKEN", served.token)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(2):  # whoever goes leaves its place to others
            came = [await held.enter_async_context(by_hand(served, head)) for _ in range(40)]
            answers = [await asyncio.wait_for(reader.readline(), 10) for reader, _ in came]
            assert sum(let_in in answer for answer in answers) == 5
            assert sum(b" 503 " in answer for answer in answers) == 35
            await held.pop_all().aclose()
            await until(lambda: not served.live.listeners)


async def test_the_largest_event_is_smaller_than_the_largest_message(served: Served) -> None:
    await served.append(value='"' * 130_000)
    async with socket(served) as listener:
        await listener.subscribe(after=1, proofs=True)
        message = await listener.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT
        assert 700_000 < len(message.data) < 1 << 20


@pytest.mark.parametrize(
    ("query", "last", "status"),
    [
        ("?after=x", None, 400),
        ("?after=-2", None, 400),
        ("?after=0&after=1", None, 400),
        ("?type=subscribe", None, 400),
        ("?channels=foreign", None, 400),
        ("?proofs=true&channels=audit", None, 400),
        ("", "x", 400),
        ("", "-2", 400),
        ("", "1.5", 400),
        ("", "99999999999999999999", 400),
        ("", "77", 409),
    ],
)
async def test_bad_questions_for_server_sent_events_are_refused(
    served: Served, query: str, last: str | None, status: int
) -> None:
    headers = {"Accept": "text/event-stream", **({} if last is None else {"Last-Event-ID": last})}
    await served.get(f"/stream{query}", status=status, headers=headers)
    assert not served.live.listeners


async def test_server_sent_events_with_proofs_and_chunks_that_http_1_0_does_not_know(served: Served) -> None:
    async with sent(served, "?after=-1&proofs=true") as events:
        await events.next()
        assert "entry" in (await events.next()).data
    async with by_hand(
        served,
        f"GET /api/v1/stream HTTP/1.0\r\nHOST\r\nAccept: text/event-stream\r\nAuthorization: Bearer {served.token}",
    ) as (reader, _):
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)


def session_of(served: Served) -> str:
    return served.served.app[access.ACCESS].new_session()


def masked(first: int, payload: bytes) -> bytes:
    """A frame as a client sends it, its payload hidden by a mask of zeros."""
    length = len(payload)
    if length < 126:
        size = struct.pack("!B", 0x80 | length)
    elif length < 1 << 16:
        size = struct.pack("!BH", 0x80 | 126, length)
    else:
        size = struct.pack("!BQ", 0x80 | 127, length)
    return bytes([first]) + size + b"\0\0\0\0" + payload
