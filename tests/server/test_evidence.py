"""Evidence over REST: its bytes as they were recorded, in whole or in part, and nothing else."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from server.listening import by_hand
from server.served import Served, tasks
from server.test_leaving import until

from dre.server.health import COUNTED

BIG = "import sys, random; random.seed(7); sys.stdout.write(random.randbytes(900_000).hex())"

EDITING = """
import sqlite3, sys
hash, path, verification = sys.argv[1:]
with sqlite3.connect("tables.db") as tables:
    for statement, values in (
        ("update evidence set hash = ?, path = ?, name = 'x'", (hash, path)),
        ("update operations set status = 'failed', command = 'true', verification_id = ?", (verification,)),
        ("update audit_trail set action = 'operation.started' where position = 0", ()),
    ):
        assert tables.execute(statement, values).rowcount > 0
"""


async def items(served: Served) -> dict[str, Any]:
    found = await served.get(f"/operations/{served.operation}/evidence")
    return {item["kind"]: item for item in found["items"]}


async def content(served: Served, item: Any, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.http.request(method, f"{served.api}/evidence/{item['id']}/content", headers=shown) as response:
        return response.status, await response.read(), response.headers


def blob(served: Served, item: Any) -> Path:
    address = str(item["hash"])
    return served.folder / ".dre" / "evidence" / address[:2] / address[2:]


@pytest.fixture
async def big(served: Served) -> Any:
    """An item of many pieces."""
    await served.record("python3", "-c", BIG)
    return max((await items(served)).values(), key=lambda item: item["sizeBytes"])


async def test_every_item_is_served_byte_for_byte_at_both_of_its_addresses(recorded: Served) -> None:
    found = await items(recorded)
    assert len(found) > 3
    for item in found.values():
        status, body, headers = await content(recorded, item)
        assert (status, sha256(body).hexdigest(), len(body)) == (200, item["digest"], item["sizeBytes"])
        assert headers["ETag"] == f'"{item["hash"]}"'
        assert headers["Content-Type"].partition(";")[0] == item["mediaType"].partition(";")[0]
        assert headers["Content-Disposition"].startswith("attachment; filename=")
        assert headers["Content-Security-Policy"].endswith("sandbox")
        async with recorded.http.get(recorded.base + item["path"]) as response:
            assert await response.read() == body
            assert response.headers["ETag"] == headers["ETag"]
        assert (await recorded.get(f"/evidence/{item['id']}"))["path"] == item["path"]


async def test_a_path_that_no_event_names_is_not_found(recorded: Served) -> None:
    for path, status in (
        (f"/evidence/{recorded.operation}/visual/none.png", 404),
        (f"/evidence/{recorded.operation}/visual/..%2f..%2fledger.db", 404),
        (f"/evidence/{recorded.operation}/../../ledger.db", 404),
        (f"/evidence/{'0' * 8}-0000-7000-8000-{'0' * 12}/visual/x", 404),
        ("/evidence/nobody/visual/x", 400),
    ):
        async with recorded.http.get(recorded.base + path) as response:
            assert response.status == status


async def test_ranges_are_answered_as_the_rfc_says(served: Served, big: Any) -> None:
    _, whole, _ = await content(served, big)
    size = len(whole)
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, size),
        ("Bytes=5-9", 5, 10),
        ("bytes=-1", size - 1, size),
        (f"bytes=-{size * 2}", 0, size),
        (f"bytes=300000-{'9' * 30}", 300_000, size),
        (f"bytes={size - 1}-", size - 1, size),
        ("bytes=262143-262144", 262_143, 262_145),
    ):
        status, body, headers = await content(served, big, Range=asked)
        assert (status, headers["Content-Range"]) == (206, f"bytes {start}-{end - 1}/{size}"), asked
        assert body == whole[start:end]
    for asked in (
        "bytes=9-5", "bytes=-", "bytes=", "bytes=a-b", "bytes=0-1,3-4", "bytes=0-0, -1", "lines=0-1", "bytes 0-1",
        "bytes=0 - 1", "bytes=+1-2", "bytes=0x1-2", "0-1", "bytes=1-2-3", "",
    ):  # fmt: skip
        status, body, headers = await content(served, big, Range=asked)
        assert (status, body, headers.get("Content-Range")) == (200, whole, None), asked
    for asked in (f"bytes={size}-", f"bytes={'9' * 30}-", "bytes=-0"):
        status, _, headers = await content(served, big, Range=asked)
        assert (status, headers["Content-Range"]) == (416, f"bytes */{size}"), asked


async def test_a_range_of_another_version_is_answered_whole(recorded: Served) -> None:
    item = (await items(recorded))["output"]
    tag = f'"{item["hash"]}"'
    assert (await content(recorded, item, Range="bytes=0-1", If_Range=tag))[0] == 206
    for other in ('"x"', f"W/{tag}", "Tue, 24 Nov 2026 22:02:11 GMT"):
        assert (await content(recorded, item, Range="bytes=0-1", If_Range=other))[0] == 200


async def test_head_says_what_get_would_and_knows_no_ranges(served: Served, big: Any) -> None:
    _, body, told = await content(served, big)
    for headers in ({}, {"Range": "bytes=0-1"}, {"Range": "bytes=99999999-"}):
        status, nothing, said = await content(served, big, "HEAD", **headers)
        assert (status, nothing) == (200, b"")
        assert said["Content-Length"] == str(len(body))
        assert [said[name] for name in ("ETag", "Content-Type")] == [told[name] for name in ("ETag", "Content-Type")]


async def test_what_the_asker_has_is_not_sent_again(recorded: Served) -> None:
    item = (await items(recorded))["output"]
    tag = f'"{item["hash"]}"'
    for known in (tag, f"W/{tag}", "*", f'"other", {tag}', f"{tag},"):
        for method in ("GET", "HEAD"):
            status, body, headers = await content(recorded, item, method, If_None_Match=known)
            assert (status, body, headers["ETag"]) == (304, b"", tag)
            assert "Content-Type" not in headers
    for other in ('"other"', item["hash"], "W/*", ""):
        assert (await content(recorded, item, If_None_Match=other))[0] == 200


def damage(path: Path, at: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("at", [0, 45, 300_000, -1])
async def test_a_damaged_item_is_never_answered_as_if_it_were_whole(served: Served, big: Any, at: int) -> None:
    assert (await content(served, big))[0] == 200
    damage(blob(served, big), at)

    for asked in ("", "Range: bytes=0-999999\r\n", "Range: bytes=-1\r\n", "Range: bytes=0-0\r\n"):
        answer = await served.raw(
            f"GET /api/v1/evidence/{big['id']}/content HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
            f"Authorization: Bearer {served.token}\r\nConnection: close\r\n{asked}\r\n".encode()
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 500 "):
            assert b'"code":"blob_altered"' in body
        else:
            promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert len(body) < promised, head
    status, _, _ = await content(served, big, "HEAD")
    assert status == 500

    async with served.http.post(f"{served.api}/evidence/{big['id']}/verify") as response:
        examined = await response.json()
    assert (examined["intact"], examined["event"], examined["blob"]) == (False, "intact", "altered")
    assert examined["details"]


async def test_an_item_that_was_cut_or_is_another_one_is_never_answered(served: Served, big: Any) -> None:
    path = blob(served, big)
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)
    for method in ("GET", "HEAD"):
        try:
            status, body, _ = await content(served, big, method)
        except OSError:
            continue
        except Exception as error:  # noqa: BLE001 - the client's word for an answer that ended too soon
            assert "payload" in str(error).lower()  # noqa: PT017
            continue
        assert status == 500, (method, len(body))
    path.unlink()
    path.symlink_to("/etc/passwd")
    status, body, _ = await content(served, big)
    assert status == 500
    assert b"root:" not in body


async def test_who_leaves_in_the_middle_leaves_no_file_open(served: Served, big: Any) -> None:
    path = str(blob(served, big))

    def opened() -> int:
        fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        return sum(os.path.realpath(fd) == path for fd in fds)

    gc.disable()
    try:
        for _ in range(5):
            own = socket.socket()
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that not all of it fits in between
            own.setblocking(False)
            await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", served.port))
            reader, writer = await asyncio.open_connection(sock=own, limit=1024)
            writer.write(
                f"GET /api/v1/evidence/{big['id']}/content HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
                f"Authorization: Bearer {served.token}\r\n\r\n".encode()
            )
            await reader.read(1)
            assert opened() > 0
            writer.transport.abort()
            async with asyncio.timeout(60):
                while opened():  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.02)
    finally:
        gc.enable()


async def test_a_missing_item_is_gone_and_said_so(recorded: Served) -> None:
    item = (await items(recorded))["output"]
    blob(recorded, item).unlink()
    for method in ("GET", "HEAD"):
        status, body, _ = await content(recorded, item, method)
        assert status == 410
        assert (b'"code":"blob_missing"' in body) == (method == "GET")
    async with recorded.http.post(f"{recorded.api}/evidence/{item['id']}/verify") as response:
        examined = await response.json()
    assert (examined["intact"], examined["blob"], examined["checkedBytes"]) == (False, "missing", 0)


async def test_an_intact_item_is_examined_down_to_its_last_byte(recorded: Served) -> None:
    for item in (await items(recorded)).values():
        async with recorded.http.post(f"{recorded.api}/evidence/{item['id']}/verify") as response:
            examined = await response.json()
        assert examined == {
            "id": item["id"], "intact": True, "event": "intact", "blob": "intact", "details": [],
            "checkedBytes": item["storedBytes"], "position": item["position"],
        }  # fmt: skip


async def test_tables_that_were_edited_by_hand_lead_nobody_to_other_bytes(recorded: Served) -> None:
    before = await items(recorded)
    output, other = before["output"], before["environment"]
    bytes_before = (await content(recorded, output))[1]
    detail = await recorded.get(f"/operations/{recorded.operation}")
    edited = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", EDITING, other["hash"], other["path"], output["id"]),
        cwd=recorded.folder / ".dre" / "cache",
    )
    assert await edited.wait() == 0
    await recorded.append()  # whatever was kept of earlier answers is forgotten

    assert await items(recorded) == before
    assert (await content(recorded, output))[1] == bytes_before
    now = await recorded.get(f"/operations/{recorded.operation}")
    assert now == detail | {"verdict": None}  # not found where the table says; never another one
    started = await recorded.get("/events?type=operation.started")
    assert [event["type"] for event in started["items"]] == ["operation.started"]


async def test_the_list_pages_through_everything_once(recorded: Served) -> None:
    await recorded.record("sh", "-c", "echo again")
    whole = (await recorded.get("/evidence"))["items"]
    seen, cursor = [], ""
    while True:
        page = await recorded.get("/evidence?limit=3" + cursor)
        assert 1 <= len(page["items"]) <= 3
        seen += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == whole
    assert [item["position"] for item in whole] == sorted(item["position"] for item in whole)
    mine = await recorded.get(f"/evidence?operationId={recorded.operation}&kind=output")
    assert [item["operationId"] for item in mine["items"]] == [recorded.operation]


async def test_who_goes_away_in_the_middle_of_an_answer_is_no_failure_but_damage_is(served: Served) -> None:
    await served.record("sh", "-c", "head -c 30000000 /dev/zero | base64")
    item = (await items(served))["output"]
    before = tasks()
    head = f"GET /api/v1/evidence/{item['id']}/content HTTP/1.1\r\nHOST\r\nAuthorization: Bearer {served.token}"
    for damaged in (False, True):
        if damaged:
            damage(blob(served, item), -1)
        async with by_hand(served, head) as (reader, writer):
            assert b" 200 " in await reader.readline()
            if damaged:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
            else:
                writer.transport.abort()
            await until(lambda: tasks() <= before)
        counted = served.served.app[COUNTED].requests.elements()
        assert [status for (_, _, status) in counted if status >= 500] == [500] * damaged
