"""The surroundings of a run are described from files; what is described is never run, and no secret is in it."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from capture.recorded import History, JournalFile, Place

from dre.shim.journal import named, pairs


async def described(place: Place, history: History, *words: str, **environment: str) -> dict[str, Any]:
    id = place.wrap(*words, environment=environment)
    await history.take(place)
    found: dict[str, Any] = json.loads(await history.content(id, "environment"))
    return found


async def test_where_it_ran(place: Place, history: History) -> None:
    found = await described(place, history, "true", LANG="C.UTF-8", TZ="UTC")

    assert found["host"] == os.uname().nodename
    assert found["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found["uid"] == os.getuid()
    assert int(found["umask"], 8) <= 0o777
    assert {limit["name"] for limit in found["limits"]} == {"nofile", "fsize", "core"}
    assert {"LANG", "TZ", "PATH"} <= {name for name, _ in found["variables"]}


async def test_the_file_behind_the_command_and_not_what_it_says_of_itself(place: Place, history: History) -> None:
    proof = place.top / "ran"
    tool = place.top / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh -e\necho ran >> {proof}\n")
    tool.chmod(0o755)

    found = await described(place, history, "tool", PATH=f"{tool.parent}:{os.environ['PATH']}")

    shown, interpreter = found["tools"]
    assert (shown["name"], shown["path"], shown["firstLine"]) == ("tool", str(tool), "#!/bin/sh -e")
    assert (interpreter["path"], shown["version"]) == ("/bin/sh", None)
    assert (shown["sizeBytes"], len(shown["digest"])) == (tool.stat().st_size, 64)
    assert proof.read_text() == "ran\n"  # by the command itself, once


@pytest.mark.parametrize("word", ["tool", "python"])
async def test_python_s_version_comes_from_its_environment(word: str, place: Place, history: History) -> None:
    venv = place.top / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.12.4.final.0\n")
    (venv / "bin" / "python").symlink_to(sys.executable)
    tool = venv / "bin" / "tool"
    tool.write_text(f"#!{venv}/bin/python -E\n")
    tool.chmod(0o755)

    found = await described(place, history, str(venv / "bin" / word), "-V", VIRTUAL_ENV=str(venv))

    [interpreter] = [one for one in found["tools"] if one["path"] == str(venv / "bin" / "python")]
    assert interpreter["version"].startswith("3.12.4")
    assert interpreter["versionFrom"] == str(venv / "pyvenv.cfg")
    assert found["tools"][0]["path"] == str(venv / "bin" / word)


async def test_a_command_that_is_not_there_is_no_tool(place: Place, history: History) -> None:
    assert (await described(place, history, "./nothing"))["tools"] == []


async def test_a_name_that_looks_secret_never_has_a_value(place: Place, history: History) -> None:
    """The recorder keeps no such name; if one comes all the same, ingest does not."""
    id = place.wrap("true")
    journal = JournalFile(place.spool() / "journal")
    kind, payload = journal.frames[1]
    added = named(*pairs(payload[8:]), ("DEPLOY_TOKEN", b"0000-1111-2222"))
    journal.write([journal.frames[0], (kind, payload[:8] + added), *journal.frames[2:]])
    await history.take(place)

    found = json.loads(await history.content(id, "environment"))
    assert ["DEPLOY_TOKEN", "[redacted:name]"] in found["variables"]
