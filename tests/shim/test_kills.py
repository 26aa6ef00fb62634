"""SIGKILL of each process, full disks, cuts: what remains, row by row of the kill table."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shim.keyboard import Terminal
from shim.places import DRE, Place, Spool, frames, run, with_variables
from shim.processes import alive, child, wait_for

from dre.shim import journal

# Whoever is killed leaves the terminal to somebody who has yet to hear of it.
UNTIL_SANE = "until stty -a | grep -q ' icanon'; do sleep .01; done"
TALKING = "i=0; while [ $i -lt 1000000 ]; do echo line$i; i=$((i+1)); done"


# The shim


def test_what_was_delivered_before_the_recorder_was_killed_is_in_the_spool(place: Place) -> None:
    shim = place.start("sh", "-c", TALKING, stdout=PIPE)
    assert shim.stdout is not None
    delivered = [shim.stdout.readline() for _ in range(100)]
    command = child(shim.pid)
    shim.kill()
    delivered += shim.stdout.readlines()
    shim.stdout.close()
    shim.wait()
    wait_for(lambda: not alive(command), "the broken pipe that a dead reader is")
    wait_for(lambda: place.spool.state() == "interrupted")
    whole = b"".join(delivered)
    assert place.spool.printed(1).startswith(whole[: whole.rindex(b"\n") + 1])
    assert "exit" not in place.spool.kinds()


def test_a_silent_command_outlives_the_recorder(place: Place) -> None:
    os.mkfifo(place.folder / "go")
    shim = place.start("sh", "-c", "echo up; cat go >/dev/null; : >lived", stdout=PIPE)
    assert shim.stdout is not None
    assert shim.stdout.readline() == b"up\n"
    shim.kill()
    shim.wait()
    shim.stdout.close()
    assert place.spool.state() == "interrupted"
    (place.folder / "go").write_bytes(b"")
    wait_for((place.folder / "lived").exists)


@pytest.fixture
def caller(open_terminal: Callable[..., Terminal], place: Place) -> Callable[[str], Terminal]:
    """A script in a terminal of its own that wraps a command and then says how that ended."""

    def start(script: str) -> Terminal:
        os.mkfifo(place.folder / "go")
        wrapped = f"{DRE} wrap --no-workspace bash -c '{script}'; echo code=$?; {UNTIL_SANE}; stty -a; cat stay"
        os.mkfifo(place.folder / "stay")
        terminal = open_terminal("bash", "-c", wrapped)
        terminal.see("READY")
        terminal.at_gate()
        return terminal

    return start


def test_the_keeper_puts_the_terminal_right_and_writes_the_end_of_a_killed_recorder(
    caller: Callable[[str], Terminal], place: Place
) -> None:
    terminal = caller("trap : HUP; echo READY; cat go; echo up >lived; exit 5")
    shim = child(terminal.pid)
    os.kill(shim, signal.SIGKILL)
    terminal.see("code=137", " icanon", " echo ")
    terminal.open_gate()
    wait_for(lambda: place.spool.state() == "interrupted, its exit known")
    assert os.waitstatus_to_exitcode(place.spool.exit.status) == 5
    assert (place.folder / "lived").exists()


def test_a_killed_keeper_is_a_hang_up(caller: Callable[[str], Terminal], place: Place) -> None:
    terminal = caller('trap ": >hup" HUP; echo READY; while [ ! -e hup ]; do cat go; done; exit 5')
    shim = child(terminal.pid)
    keeper = child(shim)
    os.kill(keeper, signal.SIGKILL)
    terminal.see("code=129", " icanon", " echo ")
    terminal.until((place.folder / "hup").exists, "a hang-up for the command")
    assert place.spool.state() == "interrupted, its end not seen"


# The drainer


def test_a_killed_drainer_costs_the_late_output_alone(place: Place) -> None:
    os.mkfifo(place.folder / "go")
    with place.start("sh", "-c", "(cat go; echo NEVER) & echo now", stdout=PIPE) as shim:
        assert shim.stdout is not None
        assert shim.wait() == 0
        assert place.spool.late_state() == "open"
        os.kill(holder(place.spool), signal.SIGKILL)
        wait_for(lambda: place.spool.late_state() == "lost")
        (place.folder / "go").write_bytes(b"")
        assert shim.stdout.read() == b"now\n"
    assert place.spool.state() == "complete"
    assert place.spool.printed() == b"now\n"


def test_late_output_is_delivered_and_kept_apart(place: Place) -> None:
    os.mkfifo(place.folder / "go")
    with place.start("sh", "-c", "(cat go; echo LATE; echo WRONG >&2) & echo now", stdout=PIPE, stderr=PIPE) as shim:
        assert shim.wait() == 0
        assert place.spool.state() == "complete"
        assert place.spool.late_state() == "open"
        (place.folder / "go").write_bytes(b"")
        assert shim.communicate() == (b"now\nLATE\n", b"WRONG\n")
    wait_for(lambda: place.spool.late_state() == "complete")
    assert place.spool.printed() == b"now\n"
    assert place.spool.printed(1, late=True) == b"LATE\n"
    assert place.spool.printed(2, late=True) == b"WRONG\n"


def test_a_descendant_that_floods_does_not_hold_the_recorder_up(place: Place) -> None:
    with place.start("sh", "-c", "yes & echo $! >pid; exit 6", stdout=subprocess.DEVNULL) as shim:
        assert shim.wait() == 6  # to a device: nothing to drain
    reading, writing = os.pipe()
    with place.start("sh", "-c", "yes & echo $! >pid; exit 6", stdout=writing) as shim:
        os.close(writing)
        while shim.poll() is None:
            os.read(reading, 65536)
        assert shim.returncode == 6
        assert os.read(reading, 65536)
        os.close(reading)  # the flood dies of it, as natively
        wait_for(lambda: not alive(int((place.folder / "pid").read_text())))
        wait_for(lambda: not place.spools[-1].held())


def holder(spool: Spool) -> int:
    """Who has its lock open."""
    lock = str(spool.folder / "alive")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if lock in (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")):
                return int(pid)
        except OSError:
            continue
    raise AssertionError("nobody holds it")


# The spool itself, taken away by the command

OWN = ".dre/spool/$DRE_PARENT"
TAKEN_AWAY = {
    "deleted": f"rm -r {OWN}",
    "emptied": f"rm {OWN}/*",
    "moved": f"mv {OWN} elsewhere",
    "without its journal": f"mv {OWN}/journal {OWN}/other",
    "without its output": f"rm {OWN}/out.raw",
    "without its needles": f"rm {OWN}/needles",
    "replaced": f"cp -r {OWN} copy; rm -r {OWN}; mv copy {OWN}",
    "with every other": "rm -r .dre/spool",
    "with the history": "rm -r .dre",
    "as git cleans": "git init -q; git clean -fdxq",
}


@pytest.mark.parametrize("script", TAKEN_AWAY.values(), ids=TAKEN_AWAY)
def test_a_recording_that_its_command_takes_away_is_written_again(place: Place, script: str) -> None:
    secret = with_variables(API_TOKEN="token-0123456789")
    said = place.wrap("sh", "-c", f"echo before; {script}; echo after; exit 3", env=secret)

    assert (said.stdout, said.returncode) == (b"before\nafter\n", 3)
    assert said.stderr.count(b"\n") == 1
    assert b" was deleted or replaced while it ran; it was written again" in said.stderr
    spool = place.spools[-1]
    assert (spool.folder / "rescued").exists()
    assert spool.printed() == b"before\nafter\n"
    assert os.waitstatus_to_exitcode(spool.exit.status) == 3
    assert spool.kept_and_lost == (13, 0)
    assert spool.needles == [b"token-0123456789"]
    assert {path.stat().st_mode & 0o777 for path in spool.folder.iterdir()} == {0o600}
    assert not spool.held()
    assert (place.dre / "ledger-id").read_text().strip() == place.ledger


def test_what_stood_in_its_place_is_set_aside(place: Place) -> None:
    place.wrap("sh", "-c", f"rm -r {OWN}; mkdir {OWN}; echo forged >{OWN}/journal")

    [aside] = (place.dre / "spool").glob(".replaced-*")
    assert (aside / "journal").read_text() == "forged\n"


def test_late_output_belongs_to_the_recording_that_was_written_again(place: Place) -> None:
    os.mkfifo(place.folder / "go")
    script = f"(cat go; echo LATE) & rm -r {OWN}; echo now"
    with place.start("sh", "-c", script, stdout=PIPE, stderr=subprocess.DEVNULL) as shim:
        assert shim.stdout is not None
        assert shim.wait() == 0
        assert place.spool.late_state() == "open"
        (place.folder / "go").write_bytes(b"")
        assert shim.stdout.read() == b"now\nLATE\n"
    wait_for(lambda: place.spool.late_state() == "complete")
    assert (place.spool.printed(), place.spool.printed(late=True)) == (b"now\n", b"LATE\n")


def test_a_large_recording_is_written_again_whole(place: Place) -> None:
    said = place.wrap("sh", "-c", f"head -c 20000000 /dev/zero; rm -r {OWN}; echo after")

    assert len(said.stdout) == 20_000_006
    assert place.spool.printed() == bytes(20_000_000) + b"after\n"


def test_a_recording_that_cannot_be_written_again_is_said_and_opens_no_gate(place: Place) -> None:
    said = place.wrap("--gate", "--id-file", "id", "sh", "-c", "rm -r .dre; echo x >.dre")

    assert said.returncode == 3
    assert said.stderr.count(b"\n") == 1
    assert b" was deleted while it ran, and cannot be written again: " in said.stderr
    assert (place.folder / "id").read_text() == ""


def test_at_a_terminal_it_is_written_again_as_well(place: Place, open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(DRE, "wrap", "--no-workspace", "sh", "-c", f"echo before; rm -r {OWN}; echo after")
    terminal.see("before", "after", "it was written again")
    wait_for(lambda: place.spool.state() == "complete")
    assert place.spool.printed() == b"before\r\nafter\r\n"


# The machine's disk


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """One megabyte for the spools where we may mount it, else a limit of our own on the size of files."""
    spools = place.dre / "spool"
    if os.geteuid() == 0:
        options = "size=1m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", spools], check=True)
        yield spools
        subprocess.run(["umount", "-l", spools], check=True)
    else:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        yield spools
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_costs_the_rest_of_the_record_and_one_line(place: Place, small_disk: Path) -> None:
    assert small_disk.exists()
    script = "head -c 3000000 /dev/zero; echo last; exit 3"
    said = place.wrap("sh", "-c", script)

    assert said.stdout == bytes(3_000_000) + b"last\n"
    assert said.returncode == 3
    assert said.stderr.count(b"\n") == 1
    assert b" is incomplete: " in said.stderr
    spool = place.spool
    assert spool.state() == "complete"
    kept, lost = spool.kept_and_lost
    assert 0 < kept < 1 << 20
    assert kept + lost == 3_000_005
    assert spool.printed(1) == bytes(kept)


def test_the_id_is_told_only_once_everything_is_kept(place: Place, small_disk: Path) -> None:
    assert small_disk.exists()
    place.wrap("--id-file", "id", "head", "-c", "3000000", "/dev/zero")
    assert (place.folder / "id").read_text() == ""


def test_late_output_passes_where_there_is_no_room_for_it(place: Place, small_disk: Path) -> None:
    assert small_disk.exists()
    os.mkfifo(place.folder / "go")
    script = "head -c 2000000 /dev/zero; (cat go; echo LATE) & exit 0"
    with place.start("sh", "-c", script, stdout=PIPE, stderr=PIPE) as shim:
        assert shim.stdout is not None
        assert len(shim.stdout.read(2_000_000)) == 2_000_000
        assert shim.wait() == 0
        (place.folder / "go").write_bytes(b"")
        assert shim.stdout.read() == b"LATE\n"
    wait_for(lambda: not place.spool.held())


def test_whoever_copies_late_output_starts_the_ingest_also_without_room_for_it(place: Place) -> None:
    """On a disk that holds no more files."""
    os.mkfifo(place.folder / "go")
    program = """
import errno, os, sys
from dre.shim import ends, recorder
real = os.open
def full(name, *more, **named):
    if name == "late.journal":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(name, *more, **named)
os.open = full
ends.spawn = lambda root: open("ingest", "wb").write(root)
recorder.main(sys.argv[1:])
"""
    (place.folder / "full.py").write_text(program)
    words = [sys.executable, "full.py", "--no-workspace", "sh", "-c", "(cat go; echo LATE) & exit 0"]
    with subprocess.Popen(words, cwd=place.folder, stdout=PIPE, stderr=subprocess.DEVNULL) as shim:
        assert shim.stdout is not None
        assert shim.wait() == 0
        assert not (place.folder / "ingest").exists()
        (place.folder / "go").write_bytes(b"")
        assert shim.stdout.read() == b"LATE\n"
    wait_for((place.folder / "ingest").exists)
    wait_for(lambda: (place.folder / "ingest").read_bytes() == os.fsencode(place.dre))


TINY = f"ulimit -f 1; exec {DRE} wrap --no-workspace"


def test_a_disk_without_room_from_the_start_costs_the_record(place: Place) -> None:
    said = run(["bash", "-c", f"{TINY} sh -c 'echo hi; exit 3'"], cwd=place.folder)
    assert (said.stdout, said.returncode) == (b"hi\n", 3)
    assert said.stderr.startswith(b"dre: not recorded: ")
    assert said.stderr.count(b"\n") == 1
    assert place.spools == []


def test_a_disk_without_room_from_the_start_refuses_where_that_was_asked_for(place: Place) -> None:
    said = run(["bash", "-c", f"{TINY} --strict sh -c 'echo hi; exit 3'"], cwd=place.folder)
    assert (said.stdout, said.returncode) == (b"", 125)
    assert said.stderr.startswith(b"dre: not recorded: ")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    if os.geteuid() == 0:  # to whom the mode says nothing
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=True)
    yield folder
    if os.geteuid() == 0:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_cannot_be_written_to(place: Place, read_only: Path) -> None:
    said = place.wrap("sh", "-c", "echo hi; exit 3", cwd=read_only)
    assert (said.stdout, said.returncode) == (b"hi\n", 3)
    assert said.stderr.startswith(b"dre: not recorded: " + os.fsencode(read_only))
    assert said.stderr.count(b"\n") == 1
    assert place.wrap("--strict", "true", cwd=read_only).returncode == 125


# No more processes


def failing_fork(place: Place, which: int) -> list[str]:
    """The recorder on a machine that refuses to start its nth process; counted through all that it forks."""
    fail = f"""
import errno, itertools, os, sys
from dre.shim import recorder
numbers, fork = itertools.count(1), os.fork
def one_too_many():
    if next(numbers) == {which}:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()
os.fork = one_too_many
recorder.main(sys.argv[1:])
"""
    (place.folder / "few.py").write_text(fail)
    return [sys.executable, "few.py", "--no-workspace"]


def test_without_a_process_for_it_the_command_takes_the_place_of_the_recorder(place: Place) -> None:
    said = run([*failing_fork(place, 1), "sh", "-c", "trap '' XFSZ; echo hi; exit 3"], cwd=place.folder)
    assert (said.stdout, said.returncode) == (b"hi\n", 3)
    assert said.stderr == b"dre: not recorded: Resource temporarily unavailable\n"
    assert place.spools == []


@pytest.mark.parametrize("which", [1, 2])
def test_without_a_process_for_it_at_a_terminal(
    place: Place, which: int, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal(*failing_fork(place, which), "sh", "-c", "echo READY; read x; echo GOT=$x >got")
    terminal.see("not recorded", "READY")
    terminal.type("word\n")
    terminal.until(lambda: (place.folder / "got").exists() and (place.folder / "got").read_text() == "GOT=word\n")
    assert place.spools == []


def test_without_a_process_for_the_drainer_the_recorder_returns(place: Place) -> None:
    os.mkfifo(place.folder / "go")
    words = [*failing_fork(place, 2), "sh", "-c", "(cat go; echo LATE; echo $? >late) & exit 6"]
    with subprocess.Popen(words, cwd=place.folder, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE) as shim:
        assert shim.communicate() == (b"", b"")
        assert shim.returncode == 6
    assert place.spool.state() == "complete"
    (place.folder / "go").write_bytes(b"")


# Power cuts: what an `end` on the disk vouches for


def told_by(place: Place, failing: str) -> list[str]:
    """The recorder, telling what it does to the files of its spool; one of these steps fails."""
    program = f"""
import errno, os, sys
from dre.shim import descriptors, recorder
steps = descriptors.private(os.open("steps", os.O_WRONLY | os.O_CREAT))
def told(name, real):
    def step(fd, *more):
        where = os.path.basename(os.readlink(f"/proc/self/fd/{{fd}}"))
        os.write(steps, f"{{name}} {{where}}\\n".encode())
        if f"{{name}} {{where}}" == {failing!r}:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, *more)
    return step
for name in ("pwrite", "fsync", "ftruncate"):
    setattr(os, name, told(name, getattr(os, name)))
recorder.main(sys.argv[1:])
"""
    (place.folder / "told.py").write_text(program)
    return [sys.executable, "told.py", "--no-workspace"]


def test_the_end_is_written_when_all_output_is_on_the_disk(place: Place) -> None:
    assert run([*told_by(place, ""), "echo", "hi"], cwd=place.folder).stderr == b""

    steps = (place.folder / "steps").read_text().splitlines()
    id = place.spool.folder.name
    assert steps[-6:] == [
        "pwrite journal",  # what was written last: the command's exit, or its output
        "fsync out.raw",
        "pwrite journal",
        "ftruncate journal",
        "fsync journal",
        f"fsync {id}",
    ]
    assert place.spool.kinds()[-1] == "end"


def test_output_that_does_not_reach_the_disk_has_no_end(place: Place) -> None:
    words = [*told_by(place, "fsync out.raw"), "sh", "-c", "echo hi; exit 3"]
    with (place.folder / "said").open("wb") as stderr:
        said = run(words, cwd=place.folder, stderr=stderr)

    assert (said.stdout, said.returncode) == (b"hi\n", 3)
    assert " is incomplete: Input/output error" in (place.folder / "said").read_text()
    assert place.spool.state() == "interrupted, its exit known"


# A journal that was cut


def test_every_cut_of_a_journal_leaves_its_whole_frames(place: Place) -> None:
    place.wrap("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; echo $i >&2; done")
    whole = (place.spool.folder / "journal").read_bytes()
    ends = [end for end, _, _ in journal.frames(whole)]
    assert ends[-1] == len(whole)
    assert len(ends) > 5
    for cut in range(len(whole) + 1):
        expected = sum(end <= cut for end in ends)
        assert len(journal.frames(whole[:cut])) == expected
        assert len(list(frames(whole[:cut]))) == expected
        # Preallocated zeros behind it; a frame that itself ends in zeros may be whole again by them.
        filled = journal.frames(whole[:cut] + bytes(4096))
        assert filled == journal.frames(whole)[: len(filled)]
        assert len(filled) >= expected


def test_a_flipped_byte_ends_a_journal_there(place: Place) -> None:
    place.wrap("echo", "hi")
    whole = (place.spool.folder / "journal").read_bytes()
    ends = [end for end, _, _ in journal.frames(whole)]
    for at in range(len(whole)):
        flipped = whole[:at] + bytes((whole[at] ^ 0x55,)) + whole[at + 1 :]
        expected = sum(end <= at for end in ends)
        assert len(journal.frames(flipped)) == expected
        assert len(list(frames(flipped))) == expected


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.binary())))
def test_names_and_values_of_any_bytes_come_back(wanted: list[tuple[str, bytes]]) -> None:
    assert journal.pairs(journal.named(*wanted)) == wanted


@given(st.lists(st.tuples(st.integers(1, 11), st.binary(min_size=8))), st.binary())
def test_whatever_stands_behind_whole_frames_is_no_frame_of_theirs(
    written: list[tuple[int, bytes]], rest: bytes
) -> None:
    data = b"".join(journal.encode(kind, payload) for kind, payload in written)
    found = journal.frames(data + rest)
    assert [(kind, payload) for _, kind, payload in found[: len(written)]] == written
