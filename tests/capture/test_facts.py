"""What a recording says, in the words of the ledger: of any content, and in a size that a body holds."""

import asyncio
import os
import subprocess
import sys
from uuid import UUID

import msgspec
import pytest
from capture.recorded import PROGRAM, History, Place, in_bash
from hypothesis import given, settings
from hypothesis import strategies as st

from dre.capture.facts import describe, ended_fact, ended_wall_ns, signal_name, why_interrupted
from dre.capture.fitting import cut, fitting_observations, fitting_words, room_for, shell_words
from dre.capture.observed import of_run
from dre.capture.recording import Before, Exit, Pieces, Recording, Start
from dre.capture.redaction import Redactor
from dre.domain import codec
from dre.domain.events import text
from dre.domain.evidence import Observation
from dre.domain.operation import OperationCompleted, OperationInterrupted
from dre.ledger.body import MAX_BYTES

ID = UUID("0193e5d0-0000-7000-8000-000000000000")
BEGAN_NS = (ID.int >> 80) * 1_000_000
USAGE = (0.25, 0.5, 2048.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def recording(**changed: object) -> Recording:
    start = Start(
        argv=(b"true",),
        cwd=b"/tmp",
        wall_ns=BEGAN_NS,
        boot="boot",
        ends=("untouched", "pipe", "pipe"),
        order="exact",
        umask="22",
        limits=(),
        labels=(),
        writes=(),
        parent=None,
        uid=0,
        host=b"host",
        system=b"Linux 6 x86_64",
        timeout_us=0,
        workspace="no",
        ci=False,
    )
    inner = {name: changed.pop(name) for name in list(changed) if name in Start.__struct_fields__}
    whole = Recording(
        state="complete",
        start=msgspec.structs.replace(start, **inner),
        environment=(),
        before=None,
        pieces=Pieces(),
        exit=Exit(3_000_000_000, 0, 0, USAGE),
        kept=0,
        lost=0,
        ready_ns=1_000_000_000,
        last_ns=4_000_000_000,
        closed_wall_ns=BEGAN_NS + 4_000_000_000,
        machine_stopped=False,
        rescued=False,
        ran=True,
    )
    return msgspec.structs.replace(whole, **changed)


words = st.lists(st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=3).map(lambda b: b * 30_000)))


@settings(max_examples=60, deadline=None)
@given(argv=words, labels=words, writes=words, cwd=st.binary(max_size=5000), top=st.binary(max_size=5000))
def test_whatever_was_run_fits_into_a_body(
    argv: list[bytes], labels: list[bytes], writes: list[bytes], cwd: bytes, top: bytes
) -> None:
    found = recording(
        argv=(b"x", *argv),
        labels=tuple(labels),
        writes=tuple(writes),
        cwd=b"/" + cwd,
        before=Before(b"/" + top, "", b"b" * 3000, "", 0, b""),
    )

    described = describe(ID, found, Redactor())

    assert len(codec.encode(described.started)) <= MAX_BYTES
    assert described.started.argv_words == len(argv) + 1
    if described.whole_argv is None:
        assert described.started.argv == [text(word) for word in (b"x", *argv)]
    else:
        assert list(described.whole_argv) == [text(word) for word in (b"x", *argv)]


@settings(max_examples=100, deadline=None)
@given(word=st.one_of(st.text(), st.binary().map(text)), room=st.integers(100, 400))
def test_what_is_cut_fits(word: str, room: int) -> None:
    assert room_for(cut(word, room)) <= room
    kept, whole = fitting_words([word] * 5, room)
    assert sum(room_for(each) + 1 for each in kept) <= room + 1
    assert whole == (kept == [word] * 5)


@settings(max_examples=40, deadline=None)
@given(argv=st.lists(st.binary(max_size=20).map(lambda word: word.replace(b"\0", b"")), min_size=1, max_size=5))
def test_the_command_is_what_a_shell_would_take_for_the_same_words(argv: list[bytes]) -> None:
    line = shell_words([text(word) for word in argv])

    assert in_bash(f"printf '%s\\0' {line}") == b"".join(word + b"\0" for word in argv)


def test_observations_are_bounded() -> None:
    found = fitting_observations([Observation("report", "stale", "x" * 5000)] * 300, 100)

    assert len(found) == 101
    assert found[-1].detail == "and 200 more that are not listed"
    assert max(len(one.detail) for one in found) <= 800


def test_how_it_ended() -> None:
    completed = ended_fact(ID, recording(), "tree")

    assert isinstance(completed, OperationCompleted)
    assert completed.completed_at == (BEGAN_NS + 3_000_000_000) // 1_000_000
    assert completed.duration_us == 2_000_000
    assert completed.usage is not None
    assert (completed.usage.user_us, completed.usage.system_us) == (250_000, 500_000)
    assert (completed.usage.peak_kib, completed.usage.involuntary_switches) == (2048, 6)
    assert completed.tree_after == "tree"


def test_an_unseen_end_is_never_a_completion() -> None:
    interrupted = ended_fact(ID, recording(state="interrupted", exit=None), None)

    assert isinstance(interrupted, OperationInterrupted)
    assert interrupted.last_seen_at == (BEGAN_NS + 4_000_000_000) // 1_000_000


@pytest.mark.parametrize(
    ("slept_s", "ended_s"),
    [(0, 3), (1, 3), (-3600, 3), (3600, 3603)],
)
def test_a_machine_that_slept_or_a_clock_that_was_set(slept_s: int, ended_s: int) -> None:
    """The recorder's own clock stands still while the machine sleeps; the journal's last change does not."""
    found = recording(closed_wall_ns=BEGAN_NS + (4 + slept_s) * 10**9)

    assert ended_wall_ns(found) == BEGAN_NS + ended_s * 10**9


def test_names_of_signals() -> None:
    assert (signal_name(9), signal_name(11), signal_name(34), signal_name(40)) == (
        *("SIGKILL", "SIGSEGV", "SIGRTMIN", "SIG40"),
    )


def test_why_it_was_interrupted() -> None:
    killed = recording(state="interrupted", exit=None)

    assert why_interrupted(killed) == "the recorder was killed"
    assert "machine" in why_interrupted(msgspec.structs.replace(killed, machine_stopped=True))
    before = recording(state="interrupted", exit=None, workspace="yes", ran=False)
    assert why_interrupted(before) == "the recorder was killed before the command was started"


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({"kept": 12_345}, "seen", "12,345 bytes"),
        ({}, "seen", "nothing was written to stdout and stderr"),
        ({"ends": ("untouched", "untouched", "pipe")}, "seen", "nothing was written to stderr"),
        ({"kept": 5, "lost": 7}, "partial", "7 bytes of output were not kept: no room on the disk"),
        ({"lost": 7}, "not observed", "7 bytes of output were not kept: no room on the disk"),
        ({"lost": 70 << 20, "ends": ("untouched", "file", "file")}, "not observed", "more than 64 MiB"),
        ({"lost": 7, "ends": ("untouched", "file", "file")}, "not observed", "could not be read back"),
        (
            {"lost": 7, "ends": ("untouched", "pipe", "file")},
            "not observed",
            "no room on the disk, or what went",
        ),
        ({"ends": ("inner", "inner", "untouched")}, "not observed", "stderr went to a device"),
    ],
)
def test_what_is_said_of_output(changed: dict[str, object], state: str, words: str) -> None:
    said = [(one.state, one.detail) for one in of_run(recording(**changed)) if one.subject == "output"]

    assert any(one == state and words in detail for one, detail in said)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"order": "approximate"}, "their order is approximate"),
        ({"ends": ("inner", "inner", "inner")}, "were one terminal"),
        ({"ends": ("untouched", "file", "pipe"), "order": "approximate"}, "went to a file"),
        ({"ends": ("untouched", "file", "file"), "order": "approximate"}, "went to a file"),
        ({"ends": ("untouched", "file", "file")}, ""),
        ({"ends": ("untouched", "file", "untouched")}, ""),
        ({"ends": ("untouched", "pipe", "untouched")}, ""),
    ],
)
def test_what_is_said_of_the_order(changed: dict[str, object], words: str) -> None:
    said = [one.detail for one in of_run(recording(kept=2, **changed)) if one.subject == "output order"]

    assert not [one for one in of_run(recording(**changed)) if one.subject == "output order"]  # nothing had one
    assert (not said) if not words else any(words in detail for detail in said)


async def test_much_output_needs_little_memory(place: Place, history: History) -> None:
    with (place.top / "sink").open("wb") as sink:
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=sink)  # noqa: ASYNC220 - it reads, no more
        place.wrap("head", "-c", "200000000", "/dev/zero", stdout=reader.stdin)
        reader.communicate()
    words = [sys.executable, str(PROGRAM), str(place.spools), str(history.folder)]

    done = await asyncio.to_thread(subprocess.run, words, check=True, stdout=subprocess.PIPE)

    assert int(done.stdout) < 100 << 10  # KiB, the interpreter included
    assert os.listdir(place.spools) == []
    assert max(item.size_bytes for item in await history.items_of_all()) == 200_000_000
