"""What a running command prints reaches listeners while it runs, and no secret does."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from server.served import Served, serve

DRE = Path(sys.executable).with_name("dre")
UNTIL_GO = "while [ ! -e go ]; do sleep 0.05; done"
SLOW = f"printf 'one\\ntw'; {UNTIL_GO}; echo o; echo $MY_TOKEN >&2; printf 'no end'"


class Messages:
    """What arrives on a socket, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.seen: list[dict[str, Any]] = []

    async def until(self, type: str, **fields: object) -> dict[str, Any]:
        """The first message of this type whose data has these values, come already or still to come."""
        place = 0
        while True:
            if place == len(self.seen):
                self.seen.append(json.loads(await self._socket.receive_str(timeout=60)))
            message = self.seen[place]
            if message["type"] == type and fields.items() <= message.get("data", {}).items():
                return message
            place += 1


@pytest.fixture
async def messages(served: Served) -> AsyncIterator[Messages]:
    async with served.http.ws_connect(f"{served.api}/stream") as socket:
        yield Messages(socket)


async def subscribe(messages: Messages, **fields: object) -> None:
    await messages._socket.send_json({"type": "subscribe", **fields})
    await messages.until("subscribed")


async def wrap(
    served: Served,
    script: str,
    *,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
    **environment: str,
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(DRE),
        *("wrap", "sh", "-c", script),
        cwd=served.folder,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


async def test_output_is_told_line_by_line_while_the_command_runs(served: Served, messages: Messages) -> None:
    await subscribe(messages, channels=["logs", "operations"])

    running = await wrap(served, SLOW, MY_TOKEN="correct-horse-battery")
    started = await messages.until("operation.started")
    first = await messages.until("operation.output")
    (served.folder / "go").touch()
    await messages.until("operation.output", ends="complete")
    await messages.until("operation.completed")
    out, err = await running.communicate()

    id = started["data"]["id"]
    assert first["data"] == {"operationId": id, "output": "stdout", "offset": 0, "text": "one\n", "ends": ""}
    outputs = [seen["data"] for seen in messages.seen if seen["type"] == "operation.output"]
    assert "".join(one["text"] for one in outputs if one["output"] == "stdout").encode() == out
    assert "".join(one["text"] for one in outputs if one["output"] == "stderr") == "[redacted:known-value]\n"
    assert err == b"correct-horse-battery\n", err
    for name in ("stdout", "stderr"):
        told = [one for one in outputs if one["output"] == name]
        assert [one["offset"] for one in told] == [
            sum(len(before["text"]) for before in told[:place]) for place in range(len(told))
        ]


async def test_a_command_that_runs_is_an_operation_that_runs(served: Served, messages: Messages) -> None:
    await subscribe(messages, channels=["progress", "operations"])

    running = await wrap(served, SLOW)
    started = await messages.until("operation.started")
    id = started["data"]["id"]
    assert (await served.get(f"/operations/{id}"))["status"] == "running"
    progress = await messages.until("operation.progress", operationId=id)
    assert progress["data"]["elapsedMs"] >= 0
    (served.folder / "go").touch()
    await messages.until("operation.completed", operationId=id)
    await running.communicate()

    assert (await served.get(f"/operations/{id}"))["status"] == "succeeded"


async def test_a_command_whose_recorder_was_killed_and_whose_recording_was_deleted_is_interrupted(
    served: Served, messages: Messages
) -> None:
    await subscribe(messages, channels=["operations"])
    running = await wrap(served, SLOW)
    id = (await messages.until("operation.started"))["data"]["id"]

    running.kill()
    await running.wait()
    shutil.rmtree(served.folder / ".dre" / "spool" / id)

    interrupted = await messages.until("operation.interrupted", operationId=id)
    assert "deleted before it could become history" in interrupted["data"]["reason"]
    assert (await served.get(f"/operations/{id}"))["status"] == "interrupted"
    (served.folder / "go").touch()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("a pipe", "As it arrives; it is recorded when the command has ended."),
        ("a file", "stdout: to a file, which is read when the command has ended. stderr: as it arrives, recorded when"),
        ("nowhere", "stdout: to a device, or nowhere, and not recorded. stderr: as it arrives, recorded when"),
        ("both", "stdout and stderr: to a file, which is read when the command has ended."),
    ],
)
async def test_the_page_of_a_running_command_says_which_output_goes_elsewhere(
    served: Served, messages: Messages, where: str, said: str
) -> None:
    await subscribe(messages, channels=["operations"])
    log = os.open(served.folder / "log", os.O_WRONLY | os.O_CREAT)
    stdout = {"a pipe": asyncio.subprocess.PIPE, "nowhere": asyncio.subprocess.DEVNULL}.get(where, log)
    stderr = asyncio.subprocess.STDOUT if where == "both" else asyncio.subprocess.PIPE
    running = await wrap(served, UNTIL_GO, stdout=stdout, stderr=stderr)
    os.close(log)
    id = (await messages.until("operation.started"))["data"]["id"]
    async with served.http.get(f"{served.base}/operations/{id}") as response:
        page = await response.text()
    (served.folder / "go").touch()
    await messages.until("operation.completed", operationId=id)
    await running.communicate()

    assert f'<p class="about">{said}' in page


async def test_whoever_names_no_channel_gets_events_alone(served: Served, messages: Messages) -> None:
    await subscribe(messages)

    running = await wrap(served, "echo one; sleep 1; echo two")
    await messages.until("verification.complete")
    await running.communicate()

    assert all("position" in seen for seen in messages.seen[1:])


async def test_measures_come_to_whoever_asks_for_them(served: Served, messages: Messages) -> None:
    await subscribe(messages, channels=["metrics"])

    measured = await messages.until("metrics.measured")

    assert measured["data"]["events"] == (await served.engine.store.head()).size
    assert measured["data"]["listeners"] == 1


async def test_a_pattern_that_was_set_after_the_server_began_hides_what_is_told_as_what_is_kept(
    served: Served, messages: Messages
) -> None:
    await subscribe(messages, channels=["logs", "verification"])
    await configure(served, "redaction.patterns", "ACME-[0-9]{6}")

    running = await wrap(served, f"echo key is ACME-123456; {UNTIL_GO}")
    told = await messages.until("operation.output", output="stdout")
    (served.folder / "go").touch()
    await messages.until("verification.complete")
    await running.communicate()

    [item] = (await served.get("/evidence?kind=output"))["items"]
    async with served.http.get(f"{served.api}/evidence/{item['id']}/content") as response:
        assert told["data"]["text"] == await response.text() == "key is [redacted:configured]\n"


async def test_where_the_patterns_cannot_be_read_nothing_is_told_of_what_begins(
    served: Served, messages: Messages
) -> None:
    await subscribe(messages, channels=["logs", "operations"])
    await configure(served, "redaction.patterns", "ACME-[0-9]{6}")
    settings = Path(os.environ["XDG_CONFIG_HOME"], "dre", "config.json")
    whole = settings.read_text()
    settings.write_text("{")

    silent = await wrap(served, f"echo key is ACME-123456; {UNTIL_GO}")
    async with asyncio.timeout(60):
        while not served.live.hearing._hearing._over:  # noqa: ASYNC110 - what is not told tells nobody
            await asyncio.sleep(0.02)
    settings.write_text(whole)
    heard = await wrap(served, f"echo another; {UNTIL_GO}")
    told = await messages.until("operation.output", text="another\n")
    (served.folder / "go").touch()
    await asyncio.gather(silent.communicate(), heard.communicate())
    async with asyncio.timeout(60):
        while len(operations := (await served.get("/operations"))["items"]) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    for operation in operations:
        await messages.until("operation.completed", operationId=operation["id"])

    of = {seen["data"]["operationId"] for seen in messages.seen if seen["type"] == "operation.output"}
    assert of == {told["data"]["operationId"]}


async def test_where_no_descriptor_was_left_for_a_while_commands_are_heard_on_from_where_they_were(
    served: Served, messages: Messages
) -> None:
    await subscribe(messages, channels=["logs"])
    running = await wrap(served, SLOW, MY_TOKEN="correct-horse-battery")
    first = await messages.until("operation.output", text="one\n")

    with no_descriptor_left():
        assert await state_of(served, "hearing", "down") == "OSError"
    (served.folder / "go").touch()
    last = await messages.until("operation.output", operationId=first["data"]["operationId"], ends="complete")
    out, _ = await running.communicate()

    outputs = [seen["data"] for seen in messages.seen if seen["type"] == "operation.output"]
    assert "".join(one["text"] for one in outputs if one["output"] == "stdout").encode() == out
    assert last["data"]["offset"] == len(out)
    assert await state_of(served, "hearing", "ok") is None


async def test_a_server_that_ends_while_it_hears_ends(folder: Path) -> None:
    async with serve(folder) as served:
        running = [await wrap(served, f"head -c 2000000 /dev/zero | base64; {UNTIL_GO}") for _ in range(3)]
        async with asyncio.timeout(60):
            while not served.live.hearing._hearing._listening.locked():  # noqa: ASYNC110 - a thread tells nobody
                await asyncio.sleep(0)
    assert served.live.hearing._hearing._running == {}
    (folder / "go").touch()
    await asyncio.gather(*(one.communicate() for one in running))


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """In this whole process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


async def state_of(served: Served, name: str, state: str) -> str | None:
    """The error of this part, once it is so."""
    async with asyncio.timeout(60):
        while (found := served.live.standings[name]).state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found.error


async def configure(served: Served, key: str, value: str) -> None:
    setting = await asyncio.create_subprocess_exec(str(DRE), "config", "set", "--user", key, value, cwd=served.folder)
    assert await setting.wait() == 0
