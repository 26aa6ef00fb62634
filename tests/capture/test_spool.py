"""What is read from a spool is what the recorder wrote, or a part of it from the front; anything else is refused."""

import errno
import os
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from capture.recorded import JournalFile, Place

from dre.capture.frames import Frames
from dre.capture.journal import read_late, read_recording, this_boot
from dre.capture.recording import NothingRan, Recording
from dre.capture.spool import Spools
from dre.domain.ids import uuid7
from dre.errors import SpoolRefused
from dre.shim import journal as kinds
from dre.shim.stream import ROOM

WAIT = "while ! [ -e {0} ]; do sleep .01; done"
SCRIPT = f"echo one; {WAIT.format('a')}; echo two >&2; {WAIT.format('b')}; echo three; exit 3"


def read(spool: Path, boot_id: str = "") -> Recording | None:
    home = Spools(str(spool.parent))
    opened = home.open(UUID(spool.name))
    assert opened is not None
    try:
        return read_recording(opened, boot_id or this_boot())
    finally:
        opened.close()
        home.close()


def refusal(spool: Path) -> str:
    with pytest.raises(SpoolRefused) as refused:
        read(spool)
    assert str(spool) in str(refused.value.hint)
    assert spool.exists()
    return refused.value.message


@pytest.fixture
def spool(repository: Place) -> Path:
    """Three pieces of output, each in its own time: what was delivered was recorded before."""
    with repository.start("sh", "-c", SCRIPT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        (repository.top / "a").touch()
        while process.stderr.readline() != b"two\n":
            pass
        (repository.top / "b").touch()
        process.communicate()
    return repository.quiet(repository.ids()[0])


@pytest.fixture
def journal(spool: Path) -> JournalFile:
    return JournalFile(spool / "journal")


def test_a_whole_recording_is_read_as_it_was_written(spool: Path, repository: Place) -> None:
    recording = read(spool)

    assert recording is not None
    assert recording.state == "complete"
    assert recording.start.argv == (b"sh", b"-c", SCRIPT.encode())
    assert recording.start.cwd == os.fsencode(repository.top)
    assert recording.start.ends[1:] == ("pipe", "pipe")
    assert recording.before is not None
    assert recording.before.top == os.fsencode(repository.top)
    assert recording.before.commit == repository.git("rev-parse", "HEAD")
    assert recording.before.branch == b"main"
    assert recording.exit is not None
    assert os.waitstatus_to_exitcode(recording.exit.status) == 3
    assert list(recording.pieces.numbers) == [1, 2, 1]
    assert list(recording.pieces.lengths) == [4, 4, 6]
    assert (recording.kept, recording.lost) == (14, 0)
    assert not recording.machine_stopped


def test_cut_at_any_byte_it_is_interrupted_and_never_more_than_what_was_there(
    spool: Path, journal: JournalFile
) -> None:
    """As SIGKILL cuts it: what is kept is one piece from the front, the output no shorter than its frames."""
    whole = journal.path.read_bytes()
    raw = (spool / "out.raw").read_bytes()
    complete = read(spool)
    assert complete is not None
    for tail, step in ((b"", 1), (bytes(4096), 5)):
        for cut in range(0, len(whole), step):
            journal.path.write_bytes(whole[:cut] + tail)
            (spool / "out.raw").write_bytes(raw if cut > journal.spans[2][1] else b"")
            if cut < journal.spans[0][1]:  # its needles were there, so its start had been
                assert "the start is missing" in refusal(spool)
                continue
            found = read(spool)
            assert found is not None
            # A frame that ends in zeros is whole again in front of zeros.
            assert found.state == "interrupted" or (tail and whole.rstrip(b"\0") == whole[:cut].rstrip(b"\0"))
            assert found.pieces.total <= complete.pieces.total


def test_any_flipped_byte_is_found_or_leaves_it_interrupted(spool: Path, journal: JournalFile) -> None:
    whole = journal.path.read_bytes()
    refused = 0
    for at in range(len(whole)):
        journal.path.write_bytes(whole[:at] + bytes((whole[at] ^ 0x41,)) + whole[at + 1 :])
        try:
            found = read(spool)
        except SpoolRefused:
            refused += 1
        else:
            assert found is not None
            assert found.state == "interrupted"
            assert at >= journal.spans[-1][0]  # only the last frame can look as if it had been cut
    assert refused > len(whole) - 8


def frame(kind: int, payload: bytes, at_ns: int = 10**12) -> tuple[int, bytes]:
    return kind, kinds.CLOCK.pack(at_ns) + payload


def swapped(frames: list[tuple[int, bytes]], one: int, other: int) -> list[tuple[int, bytes]]:
    found = list(frames)
    found[one], found[other] = found[other], found[one]
    return found


Tampering = Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]
TAMPERED: dict[str, tuple[Tampering, str]] = {
    "two outputs swapped": (lambda f: swapped(f, 3, 4), "frame 5 at byte"),
    "environment before the start": (lambda f: swapped(f, 0, 1), "frame 1 at byte 0"),
    "no environment": (lambda f: [f[0], *f[2:]], "frame 2 at byte"),
    "two starts": (lambda f: [f[0], *f], "frame 2 at byte"),
    "no work tree, though it was looked at": (lambda f: [*f[:2], *f[3:]], "frame 3 at byte"),
    "the work tree twice": (lambda f: [*f[:3], *f[2:]], "frame 4 at byte"),
    "two exits": (lambda f: [*f[:-1], *f[-2:]], "has no place here"),
    "an end without an exit": (lambda f: [*f[:-2], f[-1]], "has no place here"),
    "a frame behind the end": (lambda f: [*f, frame(kinds.SIGNAL, b"\x0f\0\0\0\0")], "stands behind the end"),
    "a frame left out": (lambda f: [*f[:4], *f[5:]], "the end speaks of 14"),
    "a frame twice": (lambda f: [*f[:4], f[3], *f[4:]], "the end speaks of 14"),
    "output of a third descriptor": (
        lambda f: [*f[:3], (kinds.OUTPUT, f[3][1][:8] + struct.pack("<BI", 3, 4)), *f[4:]],
        "are no output",
    ),
    "an end that is no end": (
        lambda f: [*f[:-2], (kinds.EXIT, f[-2][1][:8] + struct.pack("<iiidd7Q", 1, 0x7F, 0, 0, 0, *[0] * 7)), f[-1]],
        "no end of a process",
    ),
    "usage that is no number": (
        lambda f: [
            *f[:-2],
            (kinds.EXIT, f[-2][1][:8] + struct.pack("<iiidd7Q", 1, 0, 0, float("nan"), 0, *[0] * 7)),
            f[-1],
        ],
        "used that much",
    ),
    "a frame of the wrong size": (lambda f: [*f[:-1], (kinds.END, f[-1][1] + b"x")], "bytes are no frame"),
    "names that do not fill their frame": (lambda f: [(f[0][0], f[0][1] + b"\xff\xff"), *f[1:]], "frame 1 at byte 0"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_journal_that_nobody_wrote_like_that_is_refused(how: str, spool: Path, journal: JournalFile) -> None:
    tamper, where = TAMPERED[how]
    journal.write(tamper(journal.frames))

    assert where in refusal(spool)


def test_damage_in_the_middle_is_not_taken_for_a_cut(spool: Path, journal: JournalFile) -> None:
    whole = journal.path.read_bytes()
    start, end = journal.spans[3]
    journal.path.write_bytes(whole[:start] + bytes(end - start) + whole[end:])

    assert f"journal, frame 4 at byte {start}" in refusal(spool)


@pytest.mark.parametrize("left", ["its end", "the front of its end"])
def test_a_recorder_that_ends_while_its_journal_is_read_has_damaged_nothing(
    left: str, spool: Path, journal: JournalFile
) -> None:
    """It gives back what was preallocated: a file that is shorter than it was is read as far as it goes."""
    whole = journal.path.read_bytes()
    front = whole[: journal.spans[-1][0]]
    journal.path.write_bytes(front + bytes(4096))
    home = Spools(str(spool.parent))
    opened = home.open(UUID(spool.name))
    assert opened is not None
    with closing(home), closing(opened), closing(Frames(opened, "journal")) as frames:
        assert len(list(frames)) == len(journal.frames) - 1
        journal.path.write_bytes(whole if left == "its end" else front + kinds.HEAD.pack(2000, 0, kinds.END))
        assert frames.broken() == ""


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"operation": str(uuid4()).encode()}, "another operation"),
        ({"operation": None}, "operation stands in it 0 times"),
        ({"wall_ns": b"1"}, "its time"),
        ({"wall_ns": b"soon"}, "no number"),
        ({"argv": None}, "no command"),
        ({"cwd": b"somewhere"}, "no absolute path"),
        ({"fd1": b"trumpet"}, "fd1 is 'trumpet'"),
        ({"order": b"none"}, "order is 'none'"),
        ({"workspace": b"perhaps"}, "workspace is 'perhaps'"),
        ({"timeout_us": b"9" * 19}, "too large"),
        ({"limit": b"1 2"}, "frame 1 at byte 0"),
    ],
)
def test_a_start_that_says_the_impossible_is_refused(
    changed: dict[str, bytes | None], what: str, spool: Path, journal: JournalFile
) -> None:
    journal.with_pairs(**changed)

    assert what in refusal(spool)


def test_a_recording_under_another_name_is_refused(spool: Path) -> None:
    other = spool.with_name(spool.name[:-4] + "0000")
    shutil.copytree(spool, other)

    assert "another operation" in refusal(other)


def test_a_name_that_is_no_operation_s_id_is_refused(spool: Path) -> None:
    other = spool.with_name(str(uuid4()))
    spool.rename(other)

    assert "version 7" in refusal(other)


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"x", lambda _raw: b""])
def test_output_that_is_not_what_the_end_speaks_of_is_refused(change: Callable[[bytes], bytes], spool: Path) -> None:
    raw = spool / "out.raw"
    raw.write_bytes(change(raw.read_bytes()))

    assert "the end speaks of 14" in refusal(spool)


def test_a_journal_that_was_cut_to_hide_output_is_refused(spool: Path, journal: JournalFile) -> None:
    journal.write(journal.frames[:3])
    (spool / "out.raw").write_bytes(b"x" * (ROOM + 1))

    assert "something was cut" in refusal(spool)


def test_output_that_was_cut_is_refused_also_without_an_end(spool: Path, journal: JournalFile) -> None:
    journal.write(journal.frames[:-2])
    (spool / "out.raw").write_bytes(b"one")

    assert "something was cut" in refusal(spool)


def test_without_needles_nothing_is_read_of_what_ran(spool: Path, journal: JournalFile) -> None:
    (spool / "needles").unlink()

    assert "needles: is missing" in refusal(spool)


def test_a_recorder_that_was_killed_before_the_command_leaves_nothing_to_record(
    spool: Path, journal: JournalFile
) -> None:
    (spool / "out.raw").write_bytes(b"")
    journal.write(journal.frames[:2])
    (spool / "needles").unlink()

    with pytest.raises(NothingRan):
        read(spool)


def test_a_machine_that_stopped_costs_what_was_not_on_the_disk_yet(spool: Path, journal: JournalFile) -> None:
    """Another boot id: pages reach the disk in any order, so the front that fits together is what is left."""
    journal.with_pairs(boot=b"11111111-2222-3333-4444-555555555555")
    (spool / "out.raw").write_bytes(b"one\ntw")

    recording = read(spool)

    assert recording is not None
    assert (recording.state, recording.machine_stopped, recording.kept) == ("interrupted", True, 6)
    assert list(recording.pieces.lengths) == [4, 2]


def test_a_spool_that_others_could_have_written_is_refused(spool: Path) -> None:
    spool.chmod(0o770)
    with pytest.raises(SpoolRefused, match="has mode 0770"):
        read(spool)
    spool.chmod(0o700)
    (spool / "journal").chmod(0o622)
    assert "journal: has mode 0622" in refusal(spool)


def test_a_spool_of_another_user_is_refused(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: spool.stat().st_uid + 1)

    with pytest.raises(SpoolRefused, match="belongs to user"):
        read(spool)


@pytest.mark.parametrize("name", ["journal", "out.raw"])
@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "folder"])
def test_what_is_no_file_of_its_own_is_refused(name: str, kind: str, spool: Path, tmp_path: Path) -> None:
    file = spool / name
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    if kind == "symbolic link":
        file.symlink_to(elsewhere)
    elif kind == "hard link":
        os.link(elsewhere, file)
    elif kind == "pipe":
        os.mkfifo(file, 0o600)
    else:
        file.mkdir(0o700)

    assert f"{name}:" in refusal(spool)


def test_a_link_in_place_of_a_spool_is_refused(spool: Path, tmp_path: Path) -> None:
    spool.rename(tmp_path / "elsewhere")
    spool.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SpoolRefused, match="symbolic link"):
        read(spool)


@pytest.mark.parametrize("length", [1, 8, 9, 4096, (32 << 20) + 1, 0xFFFFFFFF])
def test_a_hostile_length_costs_no_memory(length: int, spool: Path, journal: JournalFile) -> None:
    whole = journal.path.read_bytes()
    start, _ = journal.spans[3]
    journal.path.write_bytes(whole[:start] + struct.pack("<I", length) + whole[start + 4 :])

    assert f"frame 4 at byte {start}" in refusal(spool)


def test_random_bytes_are_refused_or_nothing(spool: Path, journal: JournalFile) -> None:
    for seed in range(50):
        journal.path.write_bytes(os.urandom(seed * 37))
        with pytest.raises((SpoolRefused, NothingRan)):
            read(spool)


def test_late_output_is_read_by_the_same_rules(place: Place) -> None:
    spool = place.quiet(place.wrap("sh", "-c", "(sleep .3; echo late) & echo now"))
    home = Spools(str(spool.parent))
    opened = home.open(UUID(spool.name))
    assert opened is not None
    late = JournalFile(spool / "late.journal")

    assert (read_late(opened).state, read_late(opened).pieces.total) == ("complete", 5)
    late.write(late.frames[:-1])
    assert read_late(opened).state == "lost"
    late.write([*late.frames, late.frames[0]])
    with pytest.raises(SpoolRefused, match=r"late\.journal, frame 3"):
        read_late(opened)
    late.write(late.frames)
    (spool / "late.raw").write_bytes(b"la")
    with pytest.raises(SpoolRefused, match=r"late\.journal, frame"):
        read_late(opened)
    opened.close()
    home.close()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_no_descriptor_is_left_nothing_is_known_of_a_recording(place: Place) -> None:
    id = place.wrap("true")
    home = Spools(str(place.spools))
    spool = home.open(id)
    assert spool is not None
    with closing(spool), closing(home):
        assert (home.is_alive(id), home.is_alive(uuid7(1))) == (False, False)
        with no_descriptor_left():
            alive = home.is_alive(id)
            with pytest.raises(OSError, match=r"\[Errno 24\]") as refused:
                spool.open_file("journal")

    assert alive  # as far as can be said
    assert refused.value.errno == errno.EMFILE
