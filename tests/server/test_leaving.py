"""How listening ends: listeners that vanish leave nothing behind, and a server that goes tells them from where on."""

import asyncio
import contextlib
import gc
import operator
import os
import pty
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from server.listening import Socket, by_hand, sent, socket
from server.served import Served, serve, tasks
from server.tunnel import tunnel

from dre.server.access import Principal
from dre.server.incoming import ARRIVING

PATIENCE_S = 15.0
SERVE = [sys.executable, "-P", "-m", "dre", "serve", "--port", "0"]
TAKE_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""The leader of a session is told when its terminal is closed."""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is gone tells nobody
            await asyncio.sleep(0.02)


def standing(served: Served) -> tuple[int, int, int, int]:
    """How many tasks, listeners, sessions and open descriptors (connections have one each) there are."""
    live = served.live
    return (
        tasks(),
        len(live.listeners),
        len(live.broadcast.sessions) + len(live.broadcast._catching_up),
        len(os.listdir("/proc/self/fd")),
    )


async def test_two_hundred_listeners_that_vanish_at_random_leave_nothing_behind(served: Served) -> None:
    dice = random.Random(7)  # noqa: S311 - no secret
    await served.append_all(200, filler=2000)
    before = standing(served)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {served.token}"}) as http:
        appending = asyncio.create_task(served.append_all(400, at_once=5, pause_s=0.01, filler=500))
        await asyncio.gather(*(one_that_vanishes(served, http, dice) for _ in range(200)))
        await appending
    await until(lambda: gc.collect() >= 0 and all(map(operator.le, standing(served), before)))

    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        assert await listener.positions(602) == list(range(602))


async def one_that_vanishes(served: Served, http: aiohttp.ClientSession, dice: random.Random) -> None:
    await asyncio.sleep(dice.uniform(0, 1))
    allowance = dice.choice((0, 1, 200, 1000, 50_000, 500_000))
    host = {"Host": served.base.removeprefix("http://")}
    kind = dice.randrange(3)
    after = dice.randrange(-1, 200)
    async with tunnel(served.base, lambda: allowance) as way:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(dice.uniform(0.05, 1)):
                if kind == 0:
                    async with http.get(
                        f"{way.base}/api/v1/stream?after={after}", headers={"Accept": "text/event-stream", **host}
                    ) as response:
                        await response.content.read()
                else:
                    async with http.ws_connect(f"{way.base}/api/v1/stream", headers=host) as opened:
                        if kind == 1:
                            await Socket(opened).say(type="subscribe", after=after, proofs=dice.random() < 0.5)
                        while (await opened.receive()).type is aiohttp.WSMsgType.TEXT:
                            pass


@pytest.mark.parametrize("way", ["socket", "sent"])
async def test_one_that_vanishes_while_it_is_written_to_harms_nobody(served: Served, way: str) -> None:
    await served.append_all(300, filler=5000)
    head = "GET /api/v1/stream?after=-1 HTTP/1.1\r\nHOST\r\nAuthorization: Bearer " + served.token
    async with socket(served) as other:
        await other.subscribe()
        if way == "sent":
            async with by_hand(served, f"{head}\r\nAccept: text/event-stream") as (reader, writer):
                await reader.read(2000)
                writer.transport.abort()
        else:
            async with socket(served) as listener:
                await listener.subscribe(after=-1)
                listener.transport().abort()
        [position] = await served.append()
        assert await other.positions(1) == [position]
        await until(lambda: len(served.live.listeners) == 1)
    await until(lambda: not served.live.listeners)


async def test_one_that_has_not_subscribed_is_told_no_position_when_the_server_goes(served: Served) -> None:
    async with socket(served) as quiet, socket(served) as listening, sent(served, "?after=0") as events:
        await listening.subscribe(after=0)
        await listening.positions(1)
        assert await events.positions(1) == [1]
        for listener in list(served.live.listeners):
            listener.leave()
        assert await quiet.until_closed() == ([{"type": "cut", "code": "going_away", "position": None}], 1001)
        assert await listening.until_closed() == ([{"type": "cut", "code": "going_away", "position": 1}], 1001)
        told = await events.next()
        assert (told.name, told.data["position"]) == ("cut", 1)
        assert await events.response.content.read() == b""


async def test_a_body_whose_time_runs_out_as_the_server_goes_keeps_no_listener_from_its_goodbye(served: Served) -> None:
    head = f"PUT /api/v1/config HTTP/1.1\r\nHOST\r\nAuthorization: Bearer {served.token}\r\nContent-Length: 9"
    async with (
        socket(served) as listening,
        by_hand(served, f"{head}\r\nContent-Type: application/json") as (reader, _),
    ):
        await listening.subscribe(after=1)
        arriving = served.served.app[ARRIVING]
        await until(lambda: bool(arriving._limits))
        [limit] = arriving._limits
        limit.reschedule(0)
        await asyncio.sleep(0)
        assert limit.expired()
        await served.served.app.shutdown()
        assert (await listening.until_closed())[1] == 1001
        assert b" 503 " in await reader.readline()


async def test_a_goodbye_that_fails_keeps_the_server_from_no_other(folder: Path) -> None:
    class Failing:
        principal = Principal("local-x")

        def leave(self, _why: str = "") -> None:
            raise RuntimeError

    async with serve(folder) as served, socket(served) as listening:
        await listening.subscribe(after=1)
        served.live.listeners = {Failing(), *served.live.listeners, Failing()}
        await served.served.app.shutdown()
        assert (await listening.until_closed())[1] == 1001
    assert (folder / ".dre" / "serving").read_bytes() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_server_that_is_ended_tells_its_listeners_from_where_to_go_on(folder: Path, number: int) -> None:
    process = await asyncio.create_subprocess_exec(*SERVE, cwd=folder, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    base = (await process.stdout.readline()).decode().strip()
    token = (folder / ".dre" / "token").read_text().strip()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.ws_connect(f"{base}/api/v1/stream") as opened,
        http.get(f"{base}/api/v1/stream?after=-1", headers={"Accept": "text/event-stream"}) as sent_events,
    ):
        listener = Socket(opened)
        await listener.subscribe(after=-1)
        assert await listener.positions(2) == [0, 1]
        os.kill(process.pid, number)
        assert await listener.until_closed() == ([{"type": "cut", "code": "going_away", "position": 1}], 1001)
        said = (await asyncio.wait_for(sent_events.content.read(), PATIENCE_S)).decode()
        assert said.endswith('event: cut\ndata: {"type":"cut","code":"going_away","position":1}\n\n')
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert not (folder / ".dre" / "token").exists()
    assert (folder / ".dre" / "serving").read_bytes() == b""


async def test_a_server_whose_terminal_is_closed_ends_in_order(folder: Path) -> None:
    ours, terminal = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", TAKE_THE_TERMINAL, *SERVE),
            cwd=folder,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        said = b""
        while said.count(b"http") < 2:
            said += await asyncio.to_thread(os.read, ours, 4096)
    finally:
        os.close(ours)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert not (folder / ".dre" / "token").exists()
    assert (folder / ".dre" / "serving").read_bytes() == b""


async def test_a_server_that_is_to_outlive_its_terminal_does(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec("nohup", *SERVE, cwd=folder, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    base = (await process.stdout.readline()).decode().strip()
    os.kill(process.pid, signal.SIGHUP)
    async with aiohttp.ClientSession() as http, http.get(f"{base}/livez") as response:
        assert response.status == 200
    os.kill(process.pid, signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
