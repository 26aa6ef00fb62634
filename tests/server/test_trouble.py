"""What goes wrong under a server: it is said by its name, nothing is answered that is not so, and reading goes on."""

import asyncio
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from server.served import ORIGIN_OF_THE_PAST, PATIENCE_S, Served, make_workspace, serve

from dre.adapters.sqlite.event_store import SQLiteEventStore
from dre.composition.serving import _listening
from dre.domain.ids import uuid7
from dre.errors import ServerRunning, UsageError, WorkspaceRefused
from dre.logs import Lines

DISCONNECTS = int(os.environ.get("DRE_TEST_CAMPAIGN", "200"))
MONTH = {"evidence": {"retention": "30d"}}


async def test_a_ledger_that_another_process_holds_is_said_and_reading_goes_on(recorded: Served) -> None:
    assert isinstance(recorded.engine.store, SQLiteEventStore)
    recorded.engine.store._patience_s = 0.2
    async with held(recorded.folder):
        for method, path, body in (
            ("PUT", "/config", MONTH),
            ("POST", "/verification", {"operationId": recorded.operation}),
        ):
            asking = asyncio.create_task(ask(recorded, method, path, body))
            await asyncio.sleep(0)
            for reading in ("/operations", f"/operations/{recorded.operation}", "/events", "/evidence", "/audit"):
                await recorded.get(reading)
            status, problem, headers = await asking
            assert status == 503, problem
            assert (problem["code"], headers["Retry-After"]) == ("store_busy", "1")
        assert not (recorded.folder / ".dre" / "config.json").exists()
    assert (await ask(recorded, "PUT", "/config", MONTH))[0] == 200


HOLDING = """
import sqlite3, sys
other = sqlite3.connect(".dre/ledger.db", isolation_level=None)
other.execute("begin immediate")
print("held", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def held(folder: Path) -> AsyncIterator[None]:
    """The ledger, locked by another process."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDING, cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        await other.communicate(b"")


async def ask(served: Served, method: str, path: str, body: Any) -> tuple[int, Any, Any]:
    async with served.http.request(method, served.api + path, json=body) as response:
        return response.status, await response.json(content_type=None), response.headers


async def test_a_second_server_of_a_workspace_is_refused_with_the_address_of_the_first(served: Served) -> None:
    with pytest.raises(ServerRunning, match=re.escape(f"{served.base} (process {os.getpid()})")):
        async with serve(served.folder):
            pass
    assert await served.get("/health") == {"status": "ok"}
    assert served.token


async def test_a_recording_that_cannot_become_history_is_said_until_somebody_has_looked_at_it(served: Served) -> None:
    forged = served.folder / ".dre" / "spool" / str(uuid7(ORIGIN_OF_THE_PAST))
    forged.touch()
    assert await seen(served, "degraded") == "spool_refused"
    async with served.bare.get(f"{served.base}/readyz") as response:
        assert response.status == 200  # others are recorded all the same
    await served.record("true")
    forged.unlink()
    assert await seen(served, "ok") is None


async def seen(served: Served, state: str, name: str = "recording") -> str | None:
    """The error of that part, once it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            parts = {part["name"]: part for part in (await served.get("/health/detailed"))["parts"]}
            if name in parts and parts[name]["state"] == state:
                return str(parts[name]["error"]) if parts[name]["error"] else None
            await asyncio.sleep(0.02)


async def test_every_part_is_told_of_from_the_start_and_since_when_it_is_so(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    async with copied(tmp_path) as served:
        [*first] = (await served.get("/health/detailed"))["parts"]
        [*again] = (await served.get("/health/detailed"))["parts"]
        async with served.http.get(f"{served.api}/health/metrics") as response:
            told = re.findall(r'dre_part_up{part="(\w+)"} ([\d.]+)', await response.text())
    assert {part["name"]: (part["state"], part["error"]) for part in first} == {
        name: ("degraded", "ledger_copied") if name in ("workspace", "recording") else ("ok", None)
        for name in ("workspace", "ledger", "history", "tables", "recording", "hearing", "stream", "metrics")
    }
    assert all(before <= part["since"] for part in first)
    assert again == first
    assert {name: float(value) for name, value in told} == {
        part["name"]: 0.5 if part["state"] == "degraded" else 1.0 for part in first
    }


@pytest.mark.parametrize("name", ["metrics", "stream"])
async def test_a_part_that_failed_once_is_well_again(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for pause in ("MEASURE_S", "BEAT_S"):
        monkeypatch.setattr(f"dre.server.live.{pause}", 0.05)
    async with serve(folder) as served, served.http.ws_connect(f"{served.api}/stream"):
        with monkeypatch.context() as patched:
            if name == "metrics":
                patched.setattr(served.live, "measured", None)
            else:
                patched.setattr(served.live, "pulse", None)
            assert await seen(served, "down", name) == "internal"
        assert await seen(served, "ok", name) is None
        assert await served.get("/health") == {"status": "ok"}


async def test_where_nothing_may_be_recorded_a_server_is_not_ready(tmp_path: Path) -> None:
    async with copied(tmp_path) as served:
        async with served.bare.get(f"{served.base}/readyz") as response:
            assert (response.status, await response.json()) == (503, {"status": "degraded"})
        async with served.bare.get(f"{served.base}/livez") as response:
            assert response.status == 200


async def test_where_the_disk_is_full_a_server_is_not_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(folder) as served:
        with monkeypatch.context() as patched:
            patched.setattr("dre.composition.serving.LEAST_ROOM", 1 << 60)
            async with served.bare.get(f"{served.base}/readyz") as response:
                assert (response.status, await response.json()) == (503, {"status": "degraded"})
            assert await seen(served, "degraded", "workspace") == "store_full"
        async with served.bare.get(f"{served.base}/readyz") as response:
            assert response.status == 200


@asynccontextmanager
async def copied(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of a workspace that was copied: nothing may be recorded there."""
    folder = make_workspace(tmp_path / "shop")
    async with serve(folder) as original:
        await original.append()
    shutil.copytree(folder, tmp_path / "copy")
    async with serve(tmp_path / "copy") as served:
        yield served


async def test_a_pipe_where_a_server_says_that_it_runs_is_named(folder: Path) -> None:
    os.mkfifo(folder / ".dre" / "serving", 0o600)
    with pytest.raises(WorkspaceRefused, match="serving is not a regular file"):
        async with serve(folder):
            pass


@pytest.mark.campaign
async def test_clients_that_leave_at_any_moment_leave_nothing_behind(recorded: Served) -> None:
    """A whole campaign: `DRE_TEST_CAMPAIGN=20000 pytest -m campaign tests/server/test_trouble.py --timeout 0`."""
    found = await recorded.get(f"/operations/{recorded.operation}/evidence")
    paths = [
        "/operations",
        f"/operations/{recorded.operation}",
        "/events?proofs=true",
        "/audit?limit=1",
        "/health/detailed",
    ]
    paths += [f"/evidence/{item['id']}/content" for item in found["items"]]
    expected = {path: await whole(recorded, path) for path in paths if "health" not in path}
    await asyncio.sleep(0.1)
    tasks_before = len(asyncio.all_tasks())
    for batch in range(0, DISCONNECTS, 50):
        await asyncio.gather(*(leave(recorded, paths[n % len(paths)], n) for n in range(batch, batch + 50)))
    async with asyncio.timeout(PATIENCE_S):
        while len(asyncio.all_tasks()) > tasks_before:  # noqa: ASYNC110 - tasks tell nobody that they are gone
            await asyncio.sleep(0.02)
    assert {path: await whole(recorded, path) for path in expected} == expected
    assert (await recorded.get("/health/detailed"))["status"] == "ok"


async def whole(served: Served, path: str) -> bytes:
    async with served.http.get(served.api + path) as response:
        assert response.status == 200
        return await response.read()


async def leave(served: Served, path: str, number: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = (
        f"GET /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n\r\n"
    )
    writer.write(head.encode()[: len(head) if number % 3 else number % len(head)])
    await asyncio.sleep(number % 7 / 1000)
    writer.transport.abort() if number % 2 else writer.close()


@asynccontextmanager
async def started(
    folder: Path, *words: str, log: int = asyncio.subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`dre serve` as people start it."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "dre", "serve", *words,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=log,
    )  # fmt: skip
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def address(running: asyncio.subprocess.Process) -> str:
    assert running.stdout is not None
    base = (await running.stdout.readline()).decode().strip()
    assert (await running.stdout.readline()).startswith(b"http://dre-")
    return base


async def lets_in(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def end(running: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(PATIENCE_S):
        _, said = await running.communicate()
        return running.returncode, (said or b"").decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_told_to_end_answers_what_it_was_asked_and_ends_well(
    folder: Path, number: signal.Signals
) -> None:
    async with started(folder, "--port", "0") as running:
        base = await address(running)
        port = int(base.rpartition(":")[2])
        token = (folder / ".dre" / "token").read_text().strip()
        async with held(folder):  # what is asked now waits for this
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = b'{"evidence": {"retention": "30d"}}'
            head = f"PUT /api/v1/config HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            rest = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
            writer.write((head + rest).encode())
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(body)
            async with asyncio.timeout(PATIENCE_S):
                while not list((folder / ".dre").glob("config.json.*")):  # noqa: ASYNC110 - it is being answered
                    await asyncio.sleep(0.02)
                running.send_signal(number)
                while await lets_in(port):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        answer = await reader.read()
        writer.close()
        code, said = await end(running)
    assert b"HTTP/1.1 200 OK" in answer
    assert b'"30d"' in answer
    assert code == 0
    assert "Traceback" not in said
    assert not (folder / ".dre" / "token").exists()
    assert (folder / ".dre" / "config.json").exists()


@pytest.mark.parametrize(
    ("asked", "kind", "length"),
    [
        ("PUT /api/v1/config", "application/json", "Content-Length: 40"),
        ("POST /api/v1/verification", "application/json", "Transfer-Encoding: chunked"),
        ("POST /open", "application/x-www-form-urlencoded", "Content-Length: 40"),
    ],
)
async def test_a_body_that_is_still_arriving_when_a_server_ends_is_answered_that_it_goes(
    folder: Path, asked: str, kind: str, length: str
) -> None:
    async with started(folder, "--port", "0") as running:
        port = int((await address(running)).rpartition(":")[2])
        own = f"Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        shown = f"Authorization: Bearer {(folder / '.dre' / 'token').read_text().strip()}\r\nContent-Type: {kind}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{asked} HTTP/1.1\r\n{own}{shown}{length}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        running.send_signal(signal.SIGTERM)
        answer = await reader.read()
        writer.close()
        code, said = await end(running)
    assert b"HTTP/1.1 503 Service Unavailable" in answer
    assert b'"code":"going_away"' in answer
    assert b"Retry-After: 1" in answer
    assert (code, "Traceback" in said) == (0, False)


async def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with started(folder, "--port", str(taken.getsockname()[1])) as running:
            code, said = await end(running)
    assert code == 3
    assert "--port 0" in said
    assert "Traceback" not in said
    assert not (folder / ".dre" / "token").exists()


def test_of_two_who_take_a_port_at_once_one_has_it_and_the_other_is_told_which() -> None:
    """Also of two who bind before either listens, which Linux allows them."""
    with _listening("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    both = threading.Barrier(2)

    def take() -> str:
        both.wait(PATIENCE_S)
        try:
            with _listening("127.0.0.1", port):
                both.wait(PATIENCE_S)
        except ServerRunning as error:
            both.wait(PATIENCE_S)
            return f"{error.message}; {error.hint}"
        return ""

    refused = f"port {port} of 127.0.0.1 cannot be had: Address already in use; --port 0 takes a free one"
    with ThreadPoolExecutor(2) as threads:
        for _ in range(100):
            told = [one.result() for one in [threads.submit(take) for _ in range(2)]]
            assert refused in told
            assert set(told) <= {"", refused}


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "", "no.such.host.invalid"])
async def test_a_host_that_is_none_is_said(folder: Path, host: str) -> None:
    with pytest.raises(ServerRunning, match=f"--host {re.escape(host)}: "):
        async with serve(folder, host=host):
            pass


@pytest.mark.parametrize(
    "name",
    [
        *("bad name", "http://x", "x/y", "", "a..b", "x:", "x:port", "[::1", "bücher.example", "me@x", "x\n", "*.x"),
        *("x:65536", "[::1]:99999", "x:0"),
    ],
)
async def test_a_name_by_which_nobody_could_ask_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"--name {re.escape(repr(name))} is no name: a host name is expected"):
        async with serve(folder, names=["dre.example", name]):
            pass


@pytest.mark.parametrize(
    "name", ["x", "Dre.Example", "my_host-1", "192.168.0.1", "[fe80::1]", "dre.example:8443", "x:65535"]
)
async def test_a_name_by_which_somebody_can_ask_is_taken(folder: Path, name: str) -> None:
    async with (
        serve(folder, names=[name]) as served,
        served.bare.get(f"{served.base}/livez", headers={"Host": name}) as response,
    ):
        assert response.status == 200


async def test_a_second_dre_serve_says_where_the_first_is(served: Served) -> None:
    async with started(served.folder, "--port", "0") as running:
        code, said = await end(running)
    assert code == 3
    assert served.base in said
    assert await served.get("/health") == {"status": "ok"}  # and its token is still the one that counts


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("removed", "is gone"),
        ("replaced", "is (gone|another file now)"),  # the server may look while there is none
        ("its ledger", "is another file now"),
    ],
)
async def test_a_workspace_that_disappears_ends_its_server_with_a_reason(
    folder: Path, tmp_path: Path, way: str, why: str
) -> None:
    copy = tmp_path / "copy"
    async with started(folder, "--port", "0") as running:
        await address(running)
        shutil.copytree(folder / ".dre", copy, ignore=shutil.ignore_patterns("serving"))
        if way == "its ledger":
            os.replace(copy / "ledger.db", folder / ".dre" / "ledger.db")
        else:
            os.rename(folder / ".dre", tmp_path / "aside")
        if way == "replaced":
            os.rename(copy, folder / ".dre")
        code, said = await end(running)
    assert code == 3
    assert re.search(why, said)
    assert "Traceback" not in said
    assert (folder / ".dre").exists() == (way != "removed")
    assert (folder / ".dre" / "token").exists() == (way == "replaced")  # it is not this server's


async def test_a_ledger_that_is_cut_ends_its_server_with_a_reason(folder: Path) -> None:
    async with started(folder, "--port", "0") as running, aiohttp.ClientSession() as http:
        base = await address(running)
        shown = {"Authorization": f"Bearer {(folder / '.dre' / 'token').read_text().strip()}"}
        async with http.put(f"{base}/api/v1/config", json=MONTH, headers=shown) as response:
            assert response.status == 200  # now the newest pages are in SQLite's log, where they can still be read
        os.truncate(folder / ".dre" / "ledger.db", 0)
        code, said = await end(running)
    assert code == 3
    assert "was cut" in said
    assert "Traceback" not in said


async def test_until_it_ends_such_a_server_is_not_ready(served: Served, tmp_path: Path) -> None:
    os.rename(served.folder / ".dre", tmp_path / "aside")
    async with served.bare.get(f"{served.base}/readyz") as response:
        assert (response.status, await response.json()) == (503, {"status": "down"})
    async with served.bare.get(f"{served.base}/livez") as response:
        assert response.status == 200
    os.rename(tmp_path / "aside", served.folder / ".dre")
    async with served.bare.get(f"{served.base}/readyz") as response:
        assert response.status == 200


@pytest.mark.parametrize("way", ["gone", "asleep"])
async def test_a_log_that_nobody_takes_costs_no_answer(folder: Path, way: str) -> None:
    taken, given = os.pipe()
    async with started(folder, "--port", "0", log=given) as running, aiohttp.ClientSession() as http:
        os.close(given)
        base = await address(running)
        shown = {"Authorization": f"Bearer {(folder / '.dre' / 'token').read_text().strip()}"}
        if way == "gone":
            os.close(taken)
        for _ in range(1 if way == "gone" else 3000):  # what is refused is logged, and a pipe holds 64 KiB
            async with http.get(f"{base}/api/v1/events") as response:
                assert response.status == 401
        async with http.put(f"{base}/api/v1/config", json=MONTH, headers=shown) as response:
            assert response.status == 200
        running.send_signal(signal.SIGTERM)
        code, _ = await end(running)
    assert code == 0
    if way == "asleep":
        os.close(taken)


def test_a_log_says_how_much_of_it_was_lost_and_where() -> None:
    taken, given = os.pipe()
    lines = Lines(given)
    for number in range(5000):  # a pipe holds 64 KiB
        lines.write(f"{number} {'x' * 200}\n")
    with os.fdopen(taken) as log, ThreadPoolExecutor(1) as reading:
        whole = reading.submit(log.readlines)
        lines.end()
        os.close(given)
        at = 0
        for line in whole.result():
            first, _, said = line.partition(" ")
            is_gap = "were lost here" in said
            assert is_gap or first == str(at)
            at += int(first) if is_gap else 1
    assert at == 5000


async def test_where_no_descriptor_is_left_connections_wait_and_the_log_stays_short(folder: Path) -> None:
    limit = 64
    async with started(folder, "--port", "0") as running:
        port = int((await address(running)).rpartition(":")[2])
        soft, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (limit, hard))
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * limit)]
        assert running.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while b"Too many open files" not in await running.stderr.readline():
                pass
        for _, writer in idle:
            writer.close()
        assert await lets_in(port)
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/livez") as response:
            assert response.status == 200
        running.send_signal(signal.SIGTERM)
        code, said = await end(running)
    assert code == 0
    assert said.count("socket.accept()") < 100  # it looks once a second; and 512 may wait
    assert soft > 1024 or soft == hard


async def test_a_full_disk_is_said_and_nothing_is_half_written(folder: Path) -> None:
    async with started(folder, "--port", "0") as running, aiohttp.ClientSession() as http:
        base = await address(running)
        shown = {"Authorization": f"Bearer {(folder / '.dre' / 'token').read_text().strip()}"}
        unlimited = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
        async with http.put(f"{base}/api/v1/config", json=MONTH, headers=shown) as response:
            problem = await response.json()
            assert (response.status, problem["code"]) == (507, "store_full"), problem
        for path in ("/api/v1/events", "/api/v1/config", "/api/v1/health"):
            async with http.get(base + path, headers=shown) as response:
                assert response.status == 200
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, unlimited)
        assert not (folder / ".dre" / "config.json").exists()
        async with http.put(f"{base}/api/v1/config", json=MONTH, headers=shown) as response:
            assert response.status == 200
        running.send_signal(signal.SIGTERM)
        code, _ = await end(running)
    assert code == 0


async def test_a_server_is_found_by_its_port_on_the_other_family_of_addresses_too(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "six")
    async with started(folder, "--port", "0", "--host", "::1", "--name", "Build.Example") as running:
        base = await address(running)
        assert base.startswith("http://[::1]:")
        async with aiohttp.ClientSession() as http:
            for host in ("[::1]", "build.example", "localhost"):
                place = {"Host": f"{host}:{base.rpartition(':')[2]}"}
                async with http.get(f"{base}/livez", headers=place) as response:
                    assert response.status == 200


async def test_a_proxy_with_tls_passes_on_the_name_that_it_is_asked_by(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "proxied")
    async with started(folder, "--port", "0", "--name", "DRE.example", "--name", "dre.example:8443") as running:
        base = await address(running)
        shown = {"Authorization": f"Bearer {(folder / '.dre' / 'token').read_text().strip()}"}
        asked_by = {
            ("dre.example", None): 200,
            ("dre.example", "https://dre.example"): 200,
            ("dre.example:8443", "https://dre.example:8443"): 200,
            ("dre.example", "http://dre.example"): 403,
            ("127.0.0.1", None): 421,
            ("other.example", None): 421,
        }
        async with aiohttp.ClientSession() as http:
            for (host, origin), status in asked_by.items():
                place = {"Host": host} | ({"Origin": origin} if origin else {})
                async with http.get(f"{base}/api/v1/config", headers={**shown, **place}) as response:
                    assert response.status == status, (host, origin)


async def test_who_only_looks_whether_a_server_lives_keeps_none_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_workspace(tmp_path / "looked-at")
    (folder / ".dre" / "serving").touch(0o600)
    looking = os.open(folder / ".dre" / "serving", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr("dre.composition.serving.time.sleep", lambda _: os.close(looking))  # it has seen enough

    async with serve(folder) as served:
        monkeypatch.undo()
        assert (await served.get("/health"))["status"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what is tried
async def test_a_server_on_all_addresses_tells_one_by_which_it_answers(tmp_path: Path, host: str) -> None:
    folder = make_workspace(tmp_path / "everywhere")
    async with started(folder, "--port", "0", "--host", host) as running:
        base = await address(running)
        async with aiohttp.ClientSession() as http, http.get(f"{base}/livez") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.1", "127.0.0.1"),
        ("0", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "[::1]"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("LOCALHOST", "LOCALHOST"),
    ],
)
async def test_an_address_is_told_as_browsers_write_it(tmp_path: Path, host: str, told: str) -> None:
    folder = make_workspace(tmp_path / "spelled")
    async with started(folder, "--port", "0", "--host", host) as running:
        base = await address(running)
        assert base.startswith(f"http://{told}:")
        async with aiohttp.ClientSession() as http, http.get(f"{base}/livez") as response:
            assert response.status == 200
        running.send_signal(signal.SIGTERM)
        _, said = await end(running)
    assert ("can be reached by others" in said) == (host == "0")


async def test_an_address_that_still_opens_stands_in_no_log(folder: Path) -> None:
    async with started(folder, "--port", "0", "--json") as running, aiohttp.ClientSession() as http:
        assert running.stdout is not None
        told = json.loads(await running.stdout.readline())
        once = urlsplit(told["open"])
        for method, headers, status in (
            ("GET", {"Host": "evil.example"}, 421),
            ("GET", {"Origin": "http://evil.example"}, 403),
            ("POST", {}, 401),
            ("GET", {}, 200),
        ):
            async with http.request(method, told["url"] + once.path, headers=headers) as response:
                assert response.status == status
        running.send_signal(signal.SIGTERM)
        _, said = await end(running)
    assert [json.loads(line)["status"] for line in said.splitlines() if '"/open/' in line] == [421, 403, 401]
    assert once.path not in said


async def test_with_json_its_addresses_are_an_object(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "json")
    async with started(folder, "--port", "0", "--json") as running, aiohttp.ClientSession() as http:
        assert running.stdout is not None
        told = json.loads(await running.stdout.readline())
        assert set(told) == {"url", "open"}
        opening = urlsplit(told["open"])
        assert opening.port == urlsplit(told["url"]).port
        for path, status in (("/", 401), (opening.path, 200)):
            async with http.get(told["url"] + path, headers={"Host": opening.netloc}) as response:
                assert response.status == status
