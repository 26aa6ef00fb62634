"""The client asks a real server: typed answers, bytes that are checked, problems as the errors that they are."""

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from server.served import Served

from dre.adapters.sqlite.connection import Damaged
from dre.client import Client, OperationDetail
from dre.client.answers import error_of
from dre.client.shown import Problem
from dre.errors import BlobAltered, LedgerError, NotFound, RequestRefused, ServerUnreachable, Unauthenticated


async def record(served: Served, *command: str) -> str:
    kept = served.folder.parent / "operation.id"
    words = [sys.executable, "-P", "-m", "dre", "wrap", "--quiet", "--verify", "--id-file", str(kept), *command]
    process = await asyncio.create_subprocess_exec(*words, cwd=served.folder, stdout=asyncio.subprocess.PIPE)
    await process.communicate()
    return kept.read_text().strip()


async def recorded(served: Served, client: Client) -> OperationDetail:
    id = await record(served, "sh", "-c", "echo hello; seq 40000")
    async with asyncio.timeout(60):
        while True:
            page = await client.operations()
            if page.items and page.items[0].verdict is not None:
                return await client.operation(id)
            await asyncio.sleep(0.05)


async def test_operations_and_their_evidence_are_read(served: Served) -> None:
    async with Client(served.base + "/", lambda: served.token) as client:
        operation = await recorded(served, client)
        page = await client.operations(limit=1, status="succeeded")
        nothing = await client.operations(status="failed")
        output = max(operation.evidence, key=lambda item: item.size_bytes)
        item = await client.evidence(output.id)
        content = b"".join([piece async for piece in client.evidence_content(output.id)])

    assert (operation.command, operation.status, operation.exit_code) == (
        "sh -c 'echo hello; seq 40000'",
        "succeeded",
        0,
    )
    assert operation.verdict is not None
    assert [found.id for found in page.items] == [operation.id]
    assert nothing.items == []
    assert item == output
    assert len(content) == output.size_bytes
    assert content.startswith(b"hello\n1\n2\n")


async def test_content_that_is_not_what_was_recorded_is_not_handed_out_whole(served: Served) -> None:
    async with Client(served.base, served.token) as client:
        operation = await recorded(served, client)
        output = max(operation.evidence, key=lambda item: item.size_bytes)
        with pytest.raises(BlobAltered):
            async for _ in client.evidence_content(output.id, digest="00" * 32):
                pass
        blob = Path(served.folder, ".dre", "evidence", output.hash[:2], output.hash[2:])
        blob.chmod(0o600)
        stored = bytearray(blob.read_bytes())
        stored[-10] ^= 1
        blob.write_bytes(stored)
        size = 0
        with pytest.raises((BlobAltered, ServerUnreachable)):  # noqa: PT012 - what came before it counts
            async for piece in client.evidence_content(output.id):
                size += len(piece)
        assert size < output.size_bytes


async def test_history_is_read_to_its_end_and_from_a_position(served: Served) -> None:
    await served.append_all(1200)
    async with Client(served.base, served.token) as client:
        checked = [event async for event in client.events(proofs=True)]
        behind = [event.position async for event in client.events(after=1190)]
        filtered = [event.type async for event in client.events(type="ledger.created")]
    assert [event.position for event in checked] == list(range(1202))
    assert behind == list(range(1191, 1202))
    assert filtered == ["ledger.created"]
    assert checked[5].fields is not None


async def test_proofs_of_picked_events_are_refused_since_they_would_prove_nothing(served: Served) -> None:
    async with Client(served.base, served.token) as client:
        with pytest.raises(RequestRefused, match="between those of one type the chain has gaps"):
            async for _ in client.events(proofs=True, type="ledger.created"):  # type: ignore[call-overload]
                pass


async def test_who_takes_long_over_the_bytes_still_gets_all_of_them(served: Served) -> None:
    id = await record(served, "seq", "600000")
    async with Client(served.base, served.token, timeout_s=1.0) as client:
        async with asyncio.timeout(60):
            while not (page := await client.operations()).items or page.items[0].verdict is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        output = max((await client.operation(id)).evidence, key=lambda item: item.size_bytes)
        size = 0
        async for piece in client.evidence_content(output.id):
            if not size:
                await asyncio.sleep(1.5)
            size += len(piece)
    assert size == output.size_bytes > 3 << 20


def test_a_problem_is_of_the_class_whose_code_it_is_and_of_none_below() -> None:
    assert Damaged.code == LedgerError.code
    assert type(error_of("", Problem("ledger", "it cannot be read"), 503)) is LedgerError


async def test_a_problem_is_the_error_of_its_code(served: Served) -> None:
    async with Client(served.base, served.token) as client:
        with pytest.raises(NotFound, match="there is no operation"):
            await client.operation(uuid4())
        with pytest.raises(RequestRefused, match="no id"):
            await client.operation("last")
        with pytest.raises((NotFound, RequestRefused)):
            await client.operation("../../etc/passwd")
        with pytest.raises(RequestRefused, match="no parameter"):
            await client.operations(colour="red")
    async with Client(served.base, "wrong") as client:
        with pytest.raises(Unauthenticated) as caught:
            await client.operations()
    assert caught.value.hint is not None


async def test_a_token_may_come_with_the_line_end_of_its_file(served: Served) -> None:
    token = served.folder / ".dre" / "token"
    for shown in (token.read_text(), token.read_text):
        async with Client(served.base, shown) as client:
            await client.operations()


@pytest.mark.parametrize("token", ["", "with a\nline end", "wörtlich"])
async def test_a_token_that_is_none_asks_nobody_else(served: Served, token: str) -> None:
    async with Client(served.base, token) as client:
        with pytest.raises((Unauthenticated, ServerUnreachable)):
            await client.operations()
