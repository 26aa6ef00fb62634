"""Configuration over REST: shown with where it comes from, checked, replaced whole, and each change on record."""

import asyncio
import fcntl
import json
import os
from typing import Any

import pytest
from server.served import Served

MONTH = {"evidence": {"retention": "30d"}}
WEEK = {"evidence": {"retention": "1w"}, "reports": {"globs": ["a/*.xml"]}}


async def put(
    served: Served, document: Any, *, status: int = 200, key: str | None = None, held: str | None = None
) -> Any:
    headers = (
        {"User-Agent": "tester/1"} | ({"Idempotency-Key": key} if key else {}) | ({"If-Match": held} if held else {})
    )
    async with served.http.put(f"{served.api}/config", json=document, headers=headers) as response:
        answer = await response.json()
        assert response.status == status, answer
        return answer


async def values(served: Served) -> dict[str, tuple[Any, str]]:
    found = await served.get("/config")
    return {one["key"]: (one["value"], one["source"]) for one in found["settings"]}


async def changes(served: Served) -> list[tuple[str, Any, Any]]:
    found = await served.get("/events?type=configuration.changed")
    return [(one["data"]["key"], one["data"]["previous"], one["data"]["value"]) for one in found["items"]]


async def tag(served: Served) -> str:
    async with served.http.get(f"{served.api}/config") as response:
        return response.headers["ETag"]


async def status_of(served: Served, document: Any, held: str) -> int:
    async with served.http.put(f"{served.api}/config", json=document, headers={"If-Match": held}) as response:
        return response.status


def file_of(served: Served) -> Any:
    return json.loads((served.folder / ".dre" / "config.json").read_text())


async def test_a_configuration_is_replaced_whole_and_each_key_that_changes_is_recorded(served: Served) -> None:
    assert (await values(served))["evidence.retention"] == (None, "default")
    await put(served, MONTH)
    await put(served, WEEK)
    answer = await put(served, {"reports": {"globs": ["a/*.xml"]}})

    assert answer == await served.get("/config")
    assert (await values(served))["evidence.retention"] == (None, "default")
    assert (await values(served))["reports.globs"] == (["a/*.xml"], "workspace")
    assert file_of(served) == {"reports": {"globs": ["a/*.xml"]}}
    assert await changes(served) == [
        ("evidence.retention", None, "30d"),
        ("evidence.retention", "30d", "1w"),
        ("reports.globs", None, ["a/*.xml"]),
        ("evidence.retention", "1w", None),
    ]


async def test_what_is_sent_is_answered_with_what_stands_whatever_its_sender_holds(served: Served) -> None:
    own = {"If-None-Match": "*"}
    async with served.http.put(f"{served.api}/config", json=MONTH, headers=own) as response:
        assert (response.status, await response.json()) == (200, await served.get("/config"))
    async with served.http.post(f"{served.api}/config/validate", json=MONTH, headers=own) as response:
        assert (response.status, await response.json()) == (200, {"valid": True, "problems": []})
    assert file_of(served) == MONTH


async def test_who_holds_an_older_configuration_than_the_one_that_stands_changes_nothing(served: Served) -> None:
    old = await tag(served)
    await put(served, MONTH, held=f'"another", {old}')

    problem = await put(served, WEEK, held=old, status=412)

    assert problem["code"] == "precondition_failed"
    assert file_of(served) == MONTH
    assert await changes(served) == [("evidence.retention", None, "30d")]
    await put(served, WEEK, held=f"W/{await tag(served)}", status=412)
    await put(served, WEEK, held=await tag(served))
    await put(served, MONTH, held="*")


async def test_of_two_who_changed_the_same_configuration_at_once_one_is_told_so(served: Served) -> None:
    held = await tag(served)
    statuses = await asyncio.gather(*(status_of(served, one, held) for one in (MONTH, WEEK)))
    assert sorted(statuses) == [200, 412]
    assert file_of(served) == (MONTH if statuses[0] == 200 else WEEK)


async def test_what_was_sent_again_with_its_key_is_done_whatever_its_condition_says_now(served: Served) -> None:
    held = await tag(served)
    for _ in range(2):
        await put(served, MONTH, key="one", held=held)
    assert await changes(served) == [("evidence.retention", None, "30d")]


async def test_an_escaped_backslash_before_u0000_is_text_and_no_nul(served: Served) -> None:
    document = {"reports": {"globs": ["x\\u0000"]}}
    assert "\\\\u0000" in json.dumps(document)
    await put(served, document)
    assert file_of(served) == document


async def test_a_change_through_the_door_is_in_the_audit_trail_with_address_and_agent(served: Served) -> None:
    await put(served, MONTH)

    [entry] = (await served.get("/audit?action=configuration.changed"))["items"]

    assert (entry["ipAddress"], entry["userAgent"]) == ("127.0.0.1", "tester/1")
    assert entry["entityType"] == "configuration"
    assert entry["changes"]["key"] == "evidence.retention"


async def test_an_agent_that_is_no_clean_line_is_recorded_as_one(served: Served) -> None:
    body = json.dumps(MONTH).encode()
    head = f"PUT /api/v1/config HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {served.token}\r\n"
    agent = b"User-Agent: a\xff\xc2\x9b31m" + b"x" * 500 + b"\r\n"
    rest = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert b"200 OK" in await served.raw(head.encode() + agent + rest + body)

    [entry] = (await served.get("/audit?action=configuration.changed"))["items"]
    assert len(entry["userAgent"]) == 200
    assert entry["userAgent"].isprintable()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"evidence": {"retention": "soon"}}, "evidence.retention"),
        ({"evidence": {"retentoin": "1d"}}, "evidence.retentoin"),
        ({"other": {}}, "other"),
        ({"evidence": "30d"}, "evidence is a JSON object"),
        ({"redaction": {"patterns": ["x"]}}, "may not be set by a workspace"),
        ({"reports": {"globs": ["x"] * 101}}, "reports.globs"),
        ([], "JSON object"),
        ("x", "JSON object"),
    ],
)
async def test_what_cannot_be_used_is_named_and_changes_nothing(served: Served, document: Any, said: str) -> None:
    await put(served, MONTH)
    problem = await put(served, document, status=422)
    assert problem["code"] == "configuration"
    assert said in problem["detail"]
    async with served.http.post(f"{served.api}/config/validate", json=document) as response:
        assert (await response.json()) == {
            "valid": False,
            "problems": [{"detail": problem["detail"], "hint": problem.get("hint")}],
        }
    assert file_of(served) == MONTH
    assert len(await changes(served)) == 1


async def test_only_checking_changes_nothing(served: Served) -> None:
    async with served.http.post(f"{served.api}/config/validate", json=WEEK) as response:
        assert await response.json() == {"valid": True, "problems": []}
    assert await changes(served) == []


async def test_a_request_that_is_sent_again_with_its_key_is_done_once(served: Served) -> None:
    for _ in range(3):
        await put(served, WEEK, key="k1")
    answers = await asyncio.gather(*(put(served, MONTH, key="k2") for _ in range(10)))

    assert all(answer == answers[0] for answer in answers)
    assert len(await changes(served)) == 4


async def test_a_key_stands_for_one_configuration(served: Served) -> None:
    await put(served, WEEK, key="k")
    for other in (MONTH, {}, {**WEEK, "evidence": {"retention": "2w"}}, {"evidence": WEEK["evidence"]}):
        problem = await put(served, other, status=409, key="k")
        assert problem["code"] == "conflict"
    assert file_of(served) == WEEK
    await put(served, dict(reversed(WEEK.items())), key="k")  # the same, written in another order


async def test_a_late_repetition_does_not_undo_what_others_have_changed_since(served: Served) -> None:
    await put(served, WEEK, key="k")
    await put(served, MONTH)
    answer = await put(served, WEEK, key="k")

    assert answer == await served.get("/config")
    assert file_of(served) == MONTH
    assert len(await changes(served)) == 4


@pytest.mark.parametrize("before", [{}, MONTH, {"evidence": {"retention": "2d"}, "reports": {"globs": ["b.xml"]}}])
async def test_a_repetition_finishes_what_a_crash_left_between_the_record_and_the_file(
    served: Served, before: Any
) -> None:
    await put(served, before)
    stood = (served.folder / ".dre" / "config.json").read_bytes()
    await put(served, WEEK, key="k")
    recorded = await changes(served)
    (served.folder / ".dre" / "config.json").write_bytes(stood)

    await put(served, WEEK, key="k")

    assert file_of(served) == WEEK
    assert await changes(served) == recorded


@pytest.mark.parametrize(
    "by_hand",
    [
        {"evidence": {"retention": "365d"}},
        {"evidence": {"retention": "30d"}, "reports": {"globs": ["b.xml"]}},
        {**WEEK, "reports": {"globs": ["b.xml"]}},
        {"$schema": "../schemas/config.schema.json", **WEEK},
    ],
)
async def test_a_repetition_leaves_alone_what_was_written_by_hand_since(served: Served, by_hand: Any) -> None:
    await put(served, MONTH)
    await put(served, WEEK, key="k")
    recorded = await changes(served)
    (served.folder / ".dre" / "config.json").write_text(json.dumps(by_hand))

    answer = await put(served, WEEK, key="k")

    assert answer == await served.get("/config")
    assert file_of(served) == by_hand
    assert await changes(served) == recorded


async def test_a_repetition_leaves_alone_what_was_damaged_by_hand_since(served: Served) -> None:
    await put(served, MONTH, key="k")
    (served.folder / ".dre" / "config.json").write_text("{")

    problem = await put(served, MONTH, key="k", status=422)

    assert "config.json line 1" in problem["detail"]
    assert (served.folder / ".dre" / "config.json").read_text() == "{"


async def test_a_file_that_was_damaged_by_hand_is_said_and_can_be_replaced(served: Served) -> None:
    (served.folder / ".dre" / "config.json").write_text("{")
    async with served.http.get(f"{served.api}/config") as response:
        assert response.status == 422
        assert "config.json line 1" in (await response.json())["detail"]
    await put(served, MONTH)
    assert (await values(served))["evidence.retention"] == ("30d", "workspace")


async def test_where_a_folder_stands_in_its_place_nothing_is_recorded_as_changed(served: Served) -> None:
    (served.folder / ".dre" / "config.json").mkdir()
    problem = await put(served, MONTH, status=422)
    assert "config.json cannot be written: " in problem["detail"]
    assert await changes(served) == []
    assert [path.name for path in (served.folder / ".dre").glob("config.json*")] == ["config.json"]


async def test_another_program_that_holds_the_configuration_is_waited_for_and_then_said(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = os.open(served.folder / ".dre", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    waiting = asyncio.create_task(put(served, MONTH))
    await served.get("/config")
    assert not waiting.done()
    os.close(folder)
    await waiting

    monkeypatch.setattr("dre.adapters.filesystem.config_file._PATIENCE_S", 0.05)
    folder = os.open(served.folder / ".dre", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert (await put(served, WEEK, status=503))["code"] == "store_busy"
    os.close(folder)
