"""Operations over REST: what ran, newest first; one whole; and nothing sent again that the asker has."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from server.served import Served

from dre.adapters.sqlite.table_store import open_table_store
from dre.application.follow import Following
from dre.domain.ids import short
from dre.projections import PROJECTIONS
from dre.projections.projection import Projecting


@pytest.fixture
async def three(served: Served) -> list[str]:
    """Ids of a success, a failure and a success, oldest first."""
    first = await served.record("sh", "-c", "echo one")
    second = await served.record("sh", "-c", "exit 3")
    return [first, second, await served.record("sh", "-c", "echo THREE")]


async def ids(served: Served, query: str = "") -> list[str]:
    return [item["id"] for item in (await served.get(f"/operations{query}"))["items"]]


async def test_operations_are_listed_newest_first_and_picked_by_what_is_asked(served: Served, three: list[str]) -> None:
    first, second, third = three
    assert await ids(served) == [third, second, first]
    assert await ids(served, "?status=failed") == [second]
    assert await ids(served, "?status=succeeded&limit=1") == [third]
    assert await ids(served, "?command=three") == [third]
    assert await ids(served, "?short=" + short(UUID(second)).lower()) == [second]
    assert await ids(served, "?short=" + short(UUID(second), 12)) == [second]
    assert await ids(served, "?short=0000") == []
    assert await ids(served, "?command=%25") == []  # no wildcard
    assert await ids(served, "?command=sh") == [third, second, first]
    assert await ids(served, "?result=failed") == [second]
    started = (await served.get(f"/operations/{second}"))["startedAt"]
    assert await ids(served, f"?since={started}") == [third, second]
    assert await ids(served, f"?until={started}") == [first]
    assert await ids(served, f"?since={started}&until={started}") == []


async def test_a_list_goes_on_where_it_stopped_though_new_ones_come(served: Served, three: list[str]) -> None:
    page = await served.get("/operations?limit=2")
    fourth = await served.record("true")
    rest = await served.get(f"/operations?limit=2&cursor={page['next']}")

    assert [item["id"] for item in page["items"] + rest["items"]] == list(reversed(three))
    assert rest["next"] is None
    assert (await ids(served))[0] == fourth


READ = (
    "/operations",
    "/operations/{id}",
    "/operations/{id}/evidence",
    "/evidence",
    "/events",
    "/audit",
    "/config",
    "/openapi.json",
    "/health/detailed",
)


@pytest.mark.parametrize("path", READ)
async def test_what_the_asker_has_is_not_sent_again_until_it_changes(recorded: Served, path: str) -> None:
    async def asked(known: str | None, method: str = "GET") -> tuple[int, str, bytes]:
        headers = {"If-None-Match": known} if known else None
        url = recorded.api + path.replace("{id}", recorded.operation)
        async with recorded.http.request(method, url, headers=headers) as response:
            return response.status, response.headers["ETag"], await response.read()

    status, tag, body = await asked(None)
    assert status == 200
    assert tag.startswith('"')
    assert await asked(tag) == (304, tag, b"")
    assert await asked(f'"x", W/{tag}') == (304, tag, b"")
    assert await asked("*", "HEAD") == (304, tag, b"")
    assert await asked('"x"') == (200, tag, body)
    assert await asked(None, "HEAD") == (200, tag, b"")
    await recorded.append()
    changed = path in ("/events", "/audit", "/health/detailed")
    assert (await asked(tag))[0] == (200 if changed else 304)


async def test_what_was_answered_while_the_tables_were_made_anew_is_not_what_stays(recorded: Served) -> None:
    async def result() -> str | None:
        verdict = (await recorded.get(f"/operations/{recorded.operation}"))["verdict"]
        return None if verdict is None else str(verdict["result"])

    async def listed() -> int:
        return len((await recorded.get("/events?type=operation.started"))["items"])

    async with asyncio.timeout(60):
        while recorded.live.followed < (await recorded.engine.store.head()).size:  # noqa: ASYNC110 - else it would fill them itself
            await asyncio.sleep(0.02)
    async with open_table_store(recorded.engine.dot_dre.within("cache", "tables.db")) as tables:
        for projection in PROJECTIONS:
            await tables.clear(projection.name, projection.row)
        during = [await result(), await listed()]
        await Following(recorded.engine.store, tables, [Projecting(one, tables) for one in PROJECTIONS]).catch_up()

    assert during == [None, 0]
    async with asyncio.timeout(60):  # what another process writes into the tables is seen within a moment
        while [await result(), await listed()] != ["passed", 1]:  # noqa: ASYNC110 - a table tells nobody
            await asyncio.sleep(0.005)


async def verification(served: Served, operation: str, key: str | None = None) -> tuple[int, Any, str]:
    headers = {"User-Agent": "judge/1"} | ({"Idempotency-Key": key} if key else {})
    body = {"operationId": operation}
    async with served.http.post(f"{served.api}/verification", json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("Location", "")


async def complete(served: Served, id: str) -> Any:
    async with asyncio.timeout(60):
        while (found := await served.get(f"/verification/status/{id}"))["state"] != "complete":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def test_a_verdict_can_be_asked_for_waited_for_and_read(recorded: Served) -> None:
    status, asked, location = await verification(recorded, recorded.operation)
    assert status == 202
    assert location == f"/api/v1/verification/status/{asked['id']}"
    assert asked["operationId"] == recorded.operation

    found = await complete(recorded, asked["id"])
    report = await recorded.get(f"/verification/report/{asked['id']}")

    assert report["verdict"]["result"] == found["result"]
    assert report["verdict"]["id"] == asked["id"]
    assert len(report["verdict"]["judged"]) == 2
    [entry] = (await recorded.get(f"/audit?entityId={asked['id']}&action=verification.requested"))["items"]
    assert (entry["ipAddress"], entry["userAgent"]) == ("127.0.0.1", "judge/1")
    others = (await recorded.get("/audit?action=operation.started"))["items"]
    assert {(one["ipAddress"], one["userAgent"]) for one in others} == {(None, None)}


async def test_a_verdict_that_is_asked_for_again_with_its_key_is_one(served: Served, three: list[str]) -> None:
    answers = await asyncio.gather(*(verification(served, three[0], "k") for _ in range(10)))
    assert {(status, answer["id"]) for status, answer, _ in answers} == {(202, answers[0][1]["id"])}
    status, problem, _ = await verification(served, three[1], "k")
    assert (status, problem["code"]) == (409, "conflict")
    assert (await verification(served, three[0]))[1]["id"] != answers[0][1]["id"]
    requested = await served.get(
        f"/events?stream=default/verification-{answers[0][1]['id']}&type=verification.requested"
    )
    assert len(requested["items"]) == 1


async def test_of_several_who_use_a_key_in_one_moment_each_is_answered_of_what_it_asked_for(
    served: Served, three: list[str]
) -> None:
    for turn in range(10):
        asked = [*three, *three]
        answers = await asyncio.gather(*(verification(served, one, f"turn {turn}") for one in asked))
        for one, (status, answer, _) in zip(asked, answers, strict=True):
            assert status == 409 if answer.get("code") == "conflict" else answer.get("operationId") == one, answer
        assert sorted(status for status, _, _ in answers) == [202, 202, 409, 409, 409, 409]


async def test_a_verification_that_nobody_asked_for_is_not_found(recorded: Served) -> None:
    for path in ("status", "report"):
        problem = await recorded.get(f"/verification/{path}/{uuid4()}", status=404)
        assert problem["code"] == "not_found"
        problem = await recorded.get(f"/verification/{path}/{recorded.operation}", status=404)


async def test_history_can_be_picked_from_and_proved(recorded: Served) -> None:
    everything = (await recorded.get("/events?limit=1000"))["items"]
    one = everything[3]
    assert (await recorded.get("/events?after=2&limit=1"))["items"] == [one]
    same = [event for event in everything if event["stream"] == one["stream"]]
    assert (await recorded.get(f"/events?stream={one['stream']}"))["items"] == same
    assert (await recorded.get(f"/events?type={one['type']}&stream={one['stream']}&after=2"))["items"][0] == one
    assert (await recorded.get(f"/events?actor={one['actor']}&limit=1000"))["items"] == everything
    assert (await recorded.get("/events?stream=other/" + one["stream"].partition("/")[2]))["items"] == []
    [proved] = (await recorded.get("/events?after=2&limit=1&proofs=true"))["items"]
    assert proved.items() >= one.items()
    assert len(proved["entry"].splitlines()) == 11
    assert len(bytes.fromhex(proved["salt"])) >= 16
    assert proved["body"].startswith("{")


async def test_the_parts_are_named_and_counted_for_who_may_ask(recorded: Served) -> None:
    detailed = await recorded.get("/health/detailed")
    assert {part["name"] for part in detailed["parts"]} >= {"workspace", "ledger", "history", "tables", "recording"}
    assert detailed["events"] == (await recorded.engine.store.head()).size
    async with recorded.http.get(f"{recorded.api}/health/metrics") as response:
        text = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert f"dre_events {float(detailed['events'])}" in text
    assert 'dre_http_requests_total{method="GET",route="/api/v1/health/detailed",status="200"} 1.0' in text
