"""From spools to history: what happened, in events and evidence, once."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from capture.recorded import WAITING, History, JournalFile, Place, in_bash, states, until

from dre.capture.ingest import Rules
from dre.domain.events import Bytes, text
from dre.domain.evidence import EvidenceCollected, EvidenceComplete
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.ledger.event_id import operation_event_id
from dre.shim import journal as kinds


async def test_a_run_becomes_history_and_its_spool_goes(repository: Place, history: History) -> None:
    id = repository.wrap("sh", "-c", "echo one; echo two >&2; echo 'x = 1' > new.py; exit 3")

    assert states(await history.take(repository)) == ["recorded"]

    started = await history.one(id, OperationStarted)
    assert started.argv == ["sh", "-c", "echo one; echo two >&2; echo 'x = 1' > new.py; exit 3"]
    assert started.cwd == str(repository.top)
    assert started.timestamp == pytest.approx(id.int >> 80, abs=60_000)
    assert started.git is not None
    assert (started.git.top, started.git.branch) == (str(repository.top), "main")
    assert started.git.commit == repository.git("rev-parse", "HEAD")
    assert (started.capture.stdout, started.capture.stderr, started.capture.order) == ("pipe", "pipe", "approximate")
    completed = await history.one(id, OperationCompleted)
    assert (completed.outcome, completed.exit_code, completed.signal) == ("failed", 3, None)
    assert completed.usage is not None
    assert completed.duration_us > 0
    assert completed.tree_after not in (None, started.git.tree)
    assert sorted((await history.content(id, "output")).splitlines()) == [b"one", b"two"]
    assert b"+x = 1" in await history.content(id, "diff")
    assert json.loads(await history.content(id, "changes"))["files"][0]["path"] == "new.py"
    assert json.loads(await history.content(id, "environment"))["gitVersion"]
    assert list(repository.spools.iterdir()) == []


async def test_events_stand_in_order_under_ids_that_follow_from_their_place(
    repository: Place, history: History
) -> None:
    id = repository.wrap("echo", "hello")
    await history.take(repository)

    stored = await history.into.store.stream(f"default/operation-{id}")

    types = [event.entry.type for event in stored]
    assert types[0] == "operation.started"
    assert types[-2:] == ["operation.completed", "evidence.complete"]
    assert set(types[1:-2]) == {"evidence.collected"}
    assert [event.entry.event_id for event in stored] == [operation_event_id(id, at) for at in range(len(stored))]
    collected = [fact for fact in await history.facts(id) if isinstance(fact, EvidenceCollected)]
    assert [item.id for item in collected] == [operation_event_id(id, at) for at in range(1, 1 + len(collected))]
    assert (await history.one(id, EvidenceComplete)).items == len(collected)


@pytest.mark.parametrize(
    ("script", "outcome", "code", "name"),
    [
        ("exit 0", "succeeded", 0, None),
        ("exit 255", "failed", 255, None),
        ("kill -SEGV $$", "signaled", None, "SIGSEGV"),
        ("kill -35 $$", "signaled", None, "SIG35"),
    ],
)
async def test_outcomes(
    script: str, outcome: str, code: int | None, name: str | None, place: Place, history: History
) -> None:
    id = place.wrap("sh", "-c", script)
    await history.take(place)

    completed = await history.one(id, OperationCompleted)
    assert (completed.outcome, completed.exit_code, completed.signal) == (outcome, code, name)


async def test_a_time_limit_that_ran_out(place: Place, history: History) -> None:
    id = place.wrap("--timeout", "0.2s", "sleep", "60")
    await history.take(place)

    completed = await history.one(id, OperationCompleted)
    assert (completed.outcome, completed.signal) == ("timed_out", "SIGTERM")
    assert (await history.one(id, OperationStarted)).timeout_us == 200_000


@pytest.mark.parametrize(("word", "code", "why"), [("./nothing", 127, "No such file"), (".", 126, "Permission denied")])
async def test_a_command_that_could_not_be_started(
    word: str, code: int, why: str, place: Place, history: History
) -> None:
    if word == ".":
        (place.top / "no-program").write_text("")
        word = "./no-program"
    id = place.wrap(word)
    await history.take(place)

    completed = await history.one(id, OperationCompleted)
    assert (completed.outcome, completed.exit_code) == ("failed", code)
    [said] = await history.observations(id, "command")
    assert said.state == "not observed"
    assert why in said.detail


async def test_a_127_of_the_command_s_own_is_its_own(place: Place, history: History) -> None:
    id = place.wrap("sh", "-c", "exit 127")
    await history.take(place)

    assert await history.observations(id, "command") == []


async def test_labels_globs_parent_and_options_are_kept(place: Place, history: History) -> None:
    outer = place.wrap(
        *("--label", "suite=unit", "--label", "empty=", "--writes", "build/**", "--timeout", "5m"), "true"
    )
    await history.take(place)

    started = await history.one(outer, OperationStarted)
    assert started.labels == [("suite", "unit"), ("empty", "")]
    assert started.writes == ["build/**"]
    assert started.timeout_us == 300_000_000
    assert started.parent is None


async def test_a_run_within_a_run_names_its_parent(place: Place, history: History) -> None:
    parent = place.wrap("true")
    child = place.wrap("true", environment={"DRE_PARENT": str(parent)})
    stranger = place.wrap("true", environment={"DRE_PARENT": "nonsense\x01"})
    await history.take(place)

    assert (await history.one(child, OperationStarted)).parent == parent
    assert (await history.one(stranger, OperationStarted)).parent is None


async def test_words_that_are_no_text_are_kept_as_bytes(place: Place, history: History) -> None:
    folder = os.fsencode(place.top) + b"/caf\xe9"
    os.mkdir(folder)
    id = place.wrap(
        *("--label", b"k\xff=v\xfe", "--writes", b"\xfd/*"), "printf", b"\xff\xfe %s", b"a\xe9'b\n", cwd=folder
    )
    await history.take(place)

    started = await history.one(id, OperationStarted)
    assert started.argv == ["printf", Bytes(b"\xff\xfe %s"), Bytes(b"a\xe9'b\n")]
    assert started.command == r"printf $'\xff\xfe %s' $'a\xe9\'b\n'"
    assert started.cwd == text(folder)
    assert started.labels == [("k\\xff", "v\\xfe")]
    assert started.writes == ["\\xfd/*"]
    assert await history.content(id, "output") == b"\xff\xfe a\xe9'b\n"
    assert in_bash(started.command) == b"\xff\xfe a\xe9'b\n"


async def test_an_argv_of_a_megabyte_is_whole_as_evidence_and_cut_in_the_body(place: Place, history: History) -> None:
    words = ["true", *(f"{number:099d}" for number in range(10_500))]
    id = place.wrap(*words)
    await history.take(place)

    started = await history.one(id, OperationStarted)
    assert (started.argv_words, started.argv_bytes) == (10_501, 10_500 * 100 + 5)
    assert started.argv[:600] == words[:600]
    assert sum(len(str(word)) for word in started.argv) <= 64 << 10
    assert len(started.command) <= 64 << 10
    assert json.loads(await history.content(id, "argv")) == words


async def test_what_a_body_writes_in_six_bytes_still_fits(place: Place, history: History) -> None:
    id = place.wrap(
        *("--label", "k=" + "\x01" * 9000, "--label", "l=1", "--writes", "\x02" * 9000),
        *("true", "\x01" * 100_000, b"\xff" * 100_000),
    )
    assert states(await history.take(place)) == ["recorded"]

    stored = await history.into.store.stream(f"default/operation-{id}")
    assert max(event.entry.body_len for event in stored) < 256 << 10
    assert (await history.one(id, OperationStarted)).writes == []
    assert [one.state for one in await history.observations(id, "writes")] == ["not observed"]
    assert [one.state for one in await history.observations(id, "labels")] == ["partial"]
    words = json.loads(await history.content(id, "argv"))
    assert words[1] == "\x01" * 100_000
    assert base64.b64decode(words[2]["bytes"]) == b"\xff" * 100_000


async def test_output_without_an_end_of_line_and_with_anything_in_it(place: Place, history: History) -> None:
    noise = bytes(range(256)) * 5000
    (place.top / "noise").write_bytes(noise)
    id = place.wrap("cat", "noise")
    await history.take(place)

    assert await history.content(id, "output") == noise
    timing = json.loads(await history.content(id, "timing"))
    assert sum(length for _, _, length in timing) == len(noise)
    assert {number for _, number, _ in timing} == {1}
    assert [at for at, _, _ in timing] == sorted(at for at, _, _ in timing)


async def test_outputs_that_were_one_pipe_keep_their_order(place: Place, history: History) -> None:
    id = place.wrap("sh", "-c", "echo a; echo b >&2; echo c", stderr=subprocess.STDOUT)
    await history.take(place)

    assert await history.content(id, "output") == b"a\nb\nc\n"
    assert await history.observations(id, "output order") == []
    assert (await history.one(id, OperationStarted)).capture.order == "exact"


async def test_what_went_elsewhere_is_said_to_be_not_observed(place: Place, history: History) -> None:
    id = place.wrap("echo", "unseen", stdout=subprocess.DEVNULL)
    await history.take(place)

    said = await history.observations(id, "output")
    assert [one.state for one in said] == ["not observed", "seen"]
    assert "stdout went to a device" in said[0].detail
    assert "output" not in await history.items(id)


async def test_output_into_a_file_is_kept(place: Place, history: History) -> None:
    with (place.top / "log").open("wb") as log:
        small = place.wrap("echo", "kept", stdout=log)
    await history.take(place)

    assert await history.content(small, "output") == b"kept\n"
    assert (await history.one(small, OperationStarted)).capture.stdout == "file"


async def test_more_than_the_recorder_takes_from_a_file(place: Place, history: History) -> None:
    with (place.top / "huge").open("wb") as log:
        id = place.wrap("head", "-c", "70000000", "/dev/zero", stdout=log)
    await history.take(place)

    [said] = await history.observations(id, "output")
    assert said.state == "not observed"
    assert "70,000,000 bytes" in said.detail
    assert "64 MiB" in said.detail


async def test_a_running_command_is_started_in_history_and_completed_later(repository: Place, history: History) -> None:
    with repository.start("sh", "-c", "while ! [ -e go ]; do sleep .02; done; echo done") as process:
        until(lambda: repository.ids() and (repository.spool() / "journal").exists(), "the journal")
        until(lambda: len(JournalFile(repository.spool() / "journal").frames) >= 3, "the tree before")
        id = repository.ids()[0]
        assert states(await history.take(repository)) == ["running"]
        assert [type(fact) for fact in await history.facts(id)] == [OperationStarted]
        assert states(await history.take(repository)) == ["running"]
        (repository.top / "go").touch()
        process.communicate()
    assert states(await history.take(repository)) == ["recorded"]

    facts = await history.facts(id)
    assert sum(isinstance(fact, OperationStarted) for fact in facts) == 1
    assert await history.content(id, "output") == b"done\n"


async def test_a_machine_that_stopped_leaves_an_interrupted_operation(repository: Place, history: History) -> None:
    id = repository.wrap("sh", "-c", "echo one; exit 0")
    journal = JournalFile(repository.spool() / "journal")
    journal.with_pairs(boot=b"11111111-2222-3333-4444-555555555555")
    journal.write(JournalFile(journal.path).frames[:4])
    assert states(await history.take(repository)) == ["recorded"]

    interrupted = await history.one(id, OperationInterrupted)
    assert interrupted.reason == "the machine stopped while it was recorded"
    assert (interrupted.exit_code, interrupted.usage) == (None, None)
    assert interrupted.last_seen_at == pytest.approx(id.int >> 80, abs=60_000)
    assert await history.content(id, "output") == b"one\n"
    [said] = await history.observations(id, "end")
    assert said.state == "not observed"


async def test_refused_spools_stay_and_keep_no_other_waiting(repository: Place, history: History) -> None:
    bad = repository.wrap("true")
    good = repository.wrap("true")
    journal = JournalFile(repository.spools / str(bad) / "journal")
    journal.write([*journal.frames, (kinds.SIGNAL, journal.frames[-1][1][:8] + b"\x0f\0\0\0\0")])

    ingested = await history.take(repository)

    assert [(one.operation_id, one.state) for one in ingested] == [(bad, "refused"), (good, "recorded")]
    assert "frame 6 at byte" in str(ingested[0].error)
    assert await history.facts(bad) == []
    assert repository.ids() == [bad]


def spoil(spool: Path) -> None:
    (spool / "needles").write_bytes(b"\x20\0\0\0short")


async def test_what_history_has_begun_does_not_run_for_ever_because_its_recording_was_spoiled(
    repository: Place, history: History
) -> None:
    with repository.start("sh", "-c", WAITING) as process:
        spool = await history.begun(repository)
        spoil(spool)
        assert states(await history.take(repository)) == ["refused"]
        [id] = repository.ids()
        assert [type(fact) for fact in await history.facts(id)] == [OperationStarted]  # it does run
        (repository.top / "go").touch()
        process.communicate()
    repository.quiet(id)

    for _ in range(2):
        [refused] = await history.take(repository)
        assert (refused.state, repository.ids()) == ("refused", [id])
        assert [type(fact) for fact in await history.facts(id)] == [OperationStarted, OperationInterrupted]
    interrupted = await history.one(id, OperationInterrupted)
    assert "damaged or forged" in interrupted.reason
    assert (interrupted.exit_code, interrupted.signal) == (None, None)


@pytest.mark.parametrize("what", ["a folder open to others", "a link", "a file"])
async def test_what_history_has_begun_ends_there_also_where_its_recording_cannot_be_opened(
    what: str, repository: Place, history: History
) -> None:
    with repository.start("sh", "-c", WAITING) as process:
        spool = await history.begun(repository)
        spool.chmod(0o755)
        assert states(await history.take(repository)) == ["refused"]
        assert [type(fact) for fact in await history.facts(UUID(spool.name))] == [OperationStarted]
        (repository.top / "go").touch()
        process.communicate()
    repository.quiet(UUID(spool.name))
    if what != "a folder open to others":
        shutil.move(spool, repository.top / "elsewhere")
        spool.symlink_to(repository.top / "elsewhere") if what == "a link" else spool.touch()

    assert states(await history.take(repository)) == ["refused"]
    assert [type(fact) for fact in await history.facts(UUID(spool.name))] == [OperationStarted, OperationInterrupted]


async def test_a_recording_that_was_refused_and_mended_keeps_its_evidence_and_stays_interrupted(
    repository: Place, history: History
) -> None:
    with repository.start("sh", "-c", WAITING) as process:
        spool = await history.begun(repository)
        (repository.top / "go").touch()
        process.communicate()
    id = UUID(spool.name)
    repository.quiet(id)
    needles = (spool / "needles").read_bytes()
    spoil(spool)
    assert states(await history.take(repository)) == ["refused"]

    (spool / "needles").write_bytes(needles)
    assert states(await history.take(repository)) == ["recorded"]

    facts = await history.facts(id)
    assert sum(isinstance(fact, OperationInterrupted) for fact in facts) == 1
    assert not any(isinstance(fact, OperationCompleted) for fact in facts)
    assert isinstance(facts[-1], EvidenceComplete)
    assert await history.content(id, "output") == b"done\n"


async def test_two_commands_at_once_in_one_folder_are_both_recorded(repository: Place, history: History) -> None:
    script = "touch $0.started; while ! [ -e $1.started ]; do sleep .02; done; sleep .1; echo $0 > $0.txt"
    with repository.start("sh", "-c", script, "a", "b") as one, repository.start("sh", "-c", script, "b", "a") as two:
        one.communicate()
        two.communicate()
    ids = repository.ids()
    assert states(await history.take(repository)) == ["recorded", "recorded"]

    for id in ids:
        assert (await history.one(id, OperationCompleted)).outcome == "succeeded"
        said = await history.observations(id, "workspace")
        assert any("at the same time" in one.detail for one in said)


async def test_a_spool_that_was_recorded_before_is_only_deleted(place: Place, history: History) -> None:
    """An earlier ingest was killed between its append and its last step, or somebody put the spool back."""
    id = place.wrap("echo", "once")
    copy = place.top / "copy"
    shutil.copytree(place.spools / str(id), copy)
    await history.take(place)
    before = await history.facts(id)
    shutil.copytree(copy, place.spools / str(id))

    assert states(await history.take(place)) == ["recorded"]
    assert await history.facts(id) == before
    assert list(place.spools.iterdir()) == []


async def test_half_deleted_spools_are_swept(place: Place, history: History) -> None:
    id = place.wrap("true")
    (place.spools / str(id)).rename(place.spools / f".recorded-{id}")

    assert await history.take(place) == []
    assert list(place.spools.iterdir()) == []


async def test_who_is_at_a_spool_is_not_disturbed(place: Place, history: History) -> None:
    id = place.wrap("true")
    with (place.spools / str(id) / "ingest").open("wb") as lock:
        (place.spools / str(id) / "ingest").chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert states(await history.take(place)) == ["busy"]
    assert states(await history.take(place)) == ["recorded"]


async def test_files_and_folders_that_are_no_recordings_are_left_alone(place: Place, history: History) -> None:
    (place.spools / "notes").write_text("mine")
    (place.spools / "01234").mkdir()

    assert await history.take(place) == []
    assert sorted(path.name for path in place.spools.iterdir()) == ["01234", "notes"]


async def test_a_test_report_is_collected(place: Place, history: History) -> None:
    report = "<testsuite><testcase name='a'/></testsuite>"
    id = place.wrap("sh", "-c", f'echo "{report}" > out.xml', "--junitxml=out.xml")
    await history.take(place, Rules(report_globs=["*.xml"]))

    item = (await history.items(id))["report"]
    assert (item.name, item.metadata) == ("report-1.xml", {"source": "out.xml", "fresh": True})
    assert await history.content(id, "report") == report.encode() + b"\n"
    assert [one.state for one in await history.observations(id, "report")] == ["seen"]
