"""What a recording holds: everything the command was given and gave, and nothing of what must stay secret."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest
from shim.places import DRE, PATIENCE_S, Place, Spool, run, with_variables
from shim.processes import alive, wait_for

PYTHON = sys.executable
MEGABYTE = 1 << 20
CI_VARIABLES = {
    "CI": "true",
    "CI_PIPELINE_ID": "12",
    "GITHUB_SHA": "0123abc",
    "RUNNER_OS": "Linux",
    "BUILDKITE_JOB_ID": "j1",
}
CI_SECRETS = {
    "GITHUB_TOKEN": "token-0123456789",
    "CI_JOB_JWT_PRIVATE": "private-0123456789",
    "BUILD_API_KEY": "key-0123456789",
    "CI_REGISTRY_PASSWORD": "registry-0123456789",
    "RUNNER_AUTH": "auth-0123456789",
}

# What it was given


def test_where_and_as_whom_it_ran(place: Place) -> None:
    before = time.time_ns()

    run(["sh", "-c", f"umask 027; ulimit -n 321; exec {DRE} wrap --no-workspace true"], cwd=place.folder)

    start, system = place.spool.start, os.uname()
    assert UUID(start["operation"][0].decode()).version == 7
    assert start["operation"] == [place.spool.folder.name.encode()]
    assert before <= int(start["wall_ns"][0]) <= time.time_ns()
    assert start["boot"] == [Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()]
    assert start["umask"] == [b"27"]
    assert b"7 321 321" in start["limit"]  # RLIMIT_NOFILE
    assert start["uid"] == [b"%d" % os.getuid()]
    assert start["host"] == [system.nodename.encode()]
    assert start["system"] == [f"{system.sysname} {system.release} {system.machine}".encode()]


def test_wall_time_and_the_times_of_frames_count_from_the_same_moment(place: Place) -> None:
    program = """
import os, sys, time
uname = os.uname
os.uname = lambda: (time.sleep(0.3), uname())[1]  # a busy machine, while the recorder looks around
from dre.shim import recorder
recorder.main(["--no-workspace", "true"])
"""
    before = time.time_ns()

    run([PYTHON, "-c", program], cwd=place.folder)

    began, ended = int(place.spool.start["wall_ns"][0]), place.spool.one("exit").at_ns
    assert place.spool.one("start").at_ns >= 300_000_000
    assert before <= began
    assert began + ended <= time.time_ns()


def test_a_folder_of_any_name(place: Place) -> None:
    odd = os.fsencode(place.folder) + b"/a\nb \xff"
    os.mkdir(odd)

    place.wrap("true", cwd=odd)

    assert place.spool.start["cwd"] == [odd]


def test_arguments_of_any_bytes(place: Place) -> None:
    words = [b"printf", b"%s|", b"", b" ", b"\n", b"\xff\xfe", "é".encode(), b"*", b"--label", b"-"]

    said = place.wrap(*words)

    assert said.stdout == b"".join(word + b"|" for word in words[2:])
    assert place.spool.start["argv"] == words


def test_a_megabyte_of_arguments_is_kept(place: Place) -> None:
    words = [bytes([65 + n % 26]) * 100_000 for n in range(11)]

    said = place.wrap("sh", "-c", "echo $#", "sh", *words)

    assert said.stdout == b"11\n"
    assert place.spool.start["argv"][4:] == words


def test_the_environment_is_the_callers_but_for_the_name_of_the_operation(place: Place) -> None:
    variables = {b"PATH": os.environb[b"PATH"], b"XDG_STATE_HOME": os.environb[b"XDG_STATE_HOME"]}
    variables |= {b"EMPTY": b"", b"ODD": b"\xff\n=", b"LC_CTYPE": b"C", b"PYTHONPATH": b"/nowhere", b"low": b"case"}

    said = place.wrap("cat", "/proc/self/environ", env=variables)

    found = dict(item.split(b"=", 1) for item in said.stdout.split(b"\0")[:-1])
    assert found.pop(b"DRE_PARENT").decode() == place.spools[-1].folder.name
    assert found == variables


def test_what_is_kept_of_the_environment_is_listed(place: Place) -> None:
    variables = {"CI": "true", "LANG": "C.UTF-8", "MY_OWN": "value", "CFLAGS": "-O2", "AWS_PROFILE": "prod"}

    place.wrap("true", env=with_variables(**variables, **CI_SECRETS))

    kept = kept_environment(place.spool)
    assert (kept["LANG"], kept["CFLAGS"], kept["CI"]) == (b"C.UTF-8", b"-O2", b"true")
    assert kept["PATH"] == os.environb[b"PATH"]
    assert not {"MY_OWN", "AWS_PROFILE", "GITHUB_TOKEN", "XDG_STATE_HOME"} & kept.keys()


def test_in_ci_what_its_system_says_is_kept_too_but_for_what_looks_secret(place: Place) -> None:
    (place.dre / "ci-mode").touch()

    place.wrap("true", env=with_variables(**CI_VARIABLES, **CI_SECRETS, MY_OWN="value"))

    kept = kept_environment(place.spool)
    assert {name: kept[name].decode() for name in CI_VARIABLES} == CI_VARIABLES
    assert not {"MY_OWN", *CI_SECRETS} & kept.keys()
    assert place.spool.start["ci"] == [b"1"]


def test_without_the_marker_it_is_not_ci(place: Place) -> None:
    place.wrap("true", env=with_variables(**CI_VARIABLES))

    assert not {"GITHUB_SHA", "RUNNER_OS"} & kept_environment(place.spool).keys()


def kept_environment(spool: Spool) -> dict[str, bytes]:
    return {name: value for name, [value] in spool.one("env").pairs().items()}


# What must stay secret


def test_secret_values_are_known_to_whoever_redacts(place: Place) -> None:
    address = {"DATABASE_URL": "postgres://user:pass-in-address@host/db"}

    place.wrap("true", env=with_variables(**CI_SECRETS, **address, SSH_AUTH_SOCK="/dev/null"))

    assert {value.decode() for value in place.spool.needles} == {*CI_SECRETS.values(), "pass-in-address"}
    assert (place.spool.folder / "needles").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["short", "Password", "/dev/null"])
def test_what_is_too_ordinary_to_be_a_secret_is_none(place: Place, value: str) -> None:
    place.wrap("true", env={"PATH": os.environ["PATH"], "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], "A_KEY": value})

    assert (place.spool.folder / "needles").read_bytes() == b""


def test_a_secret_of_any_bytes(place: Place) -> None:
    secret = b"\xff\n" + b"secret" * 1000

    place.wrap("true", env={**os.environb, b"A_TOKEN": secret})

    assert place.spool.needles == [secret]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("GIT_AUTHOR_NAME", False),
        ("CI_COMMIT_AUTHOR", False),
        ("HTTP_AUTHORIZATION", True),
        ("npm_config__auth", True),
        ("SESSION_COOKIE", True),
        ("ssh_passphrase", True),
        ("KEYBOARD", True),
    ],
)
def test_a_name_says_whether_its_value_is_secret(place: Place, name: str, *, secret: bool) -> None:
    """Rather one value too many than one too few; but who wrote something stands in honest output everywhere."""
    place.wrap("true", env=with_variables(**{name: "a value of some length"}))

    assert place.spool.needles == ([b"a value of some length"] if secret else [])


@pytest.mark.parametrize("words", [["no-such-command-at-all"], ["sh", "-c", "kill -KILL $$"], ["false"]])
def test_however_it_ends_the_needles_are_there(place: Place, words: list[str]) -> None:
    place.wrap(*words)

    assert (place.spool.folder / "needles").exists()


def test_nobody_else_may_look_into_it(place: Place) -> None:
    run(["sh", "-c", f"umask 0; {DRE} wrap --no-workspace echo secret; umask"], cwd=place.folder)

    folder = place.spool.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


# One within another


def test_a_recording_within_a_recording_names_its_parent(place: Place) -> None:
    place.wrap(DRE, "wrap", "--no-workspace", DRE, "wrap", "--no-workspace", "sh", "-c", "echo deep; exit 7")

    outer, middle, inner = place.spools
    assert "parent" not in outer.start
    assert middle.start["parent"] == [outer.folder.name.encode()]
    assert inner.start["parent"] == [middle.folder.name.encode()]
    assert {spool.printed(1) for spool in place.spools} == {b"deep\n"}
    assert [os.waitstatus_to_exitcode(spool.exit.status) for spool in place.spools] == [7, 7, 7]


def test_two_at_once_have_the_same_parent(place: Place) -> None:
    place.wrap("sh", "-c", f"{DRE} wrap true & {DRE} wrap true & wait")

    outer, *both = place.spools
    assert [spool.start["parent"] for spool in both] == [[outer.folder.name.encode()]] * 2


# Descriptors


def test_extra_descriptors_reach_the_command_and_nobody_else_holds_them(place: Place) -> None:
    ours, theirs = socket.socketpair()
    script = f"import socket; s = socket.socket(fileno={theirs.fileno()}); s.send(s.recv(9)); s.close(); input()"

    with place.start(PYTHON, "-c", script, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.settimeout(PATIENCE_S)
        ours.send(b"ping")
        assert (ours.recv(9), ours.recv(9)) == (b"ping", b"")
        process.communicate(b"\n")
    ours.close()
    assert process.returncode == 0


def test_binary_both_ways(place: Place) -> None:
    content = os.urandom(3 * MEGABYTE + 7)

    (place.folder / "in").write_bytes(content)

    with (place.folder / "in").open("rb") as file:
        said = place.wrap("tee", "/dev/stderr", stdin=file)

    assert (said.stdout, said.stderr) == (content, content)
    assert (place.spool.printed(1), place.spool.printed(2)) == (content, content)
    assert place.spool.kept_and_lost == (2 * len(content), 0)


@pytest.mark.parametrize(
    ("redirection", "kinds", "order"),
    [
        ("2>&1 | cat", [b"pipe", b"pipe"], b"exact"),
        ("2>/dev/null | cat", [b"pipe", b"untouched"], b"exact"),
        (">out 2>&1", [b"file", b"file"], b"exact"),
        (">out 2>err", [b"file", b"file"], b"approximate"),
        (">out 2>/dev/null", [b"file", b"untouched"], b"exact"),
        ("2>err | cat", [b"pipe", b"file"], b"approximate"),
        (">&- 2>/dev/null", [b"untouched", b"untouched"], b"exact"),
    ],
)
def test_what_its_outputs_were_is_kept(place: Place, redirection: str, kinds: list[bytes], order: bytes) -> None:
    run(["sh", "-c", f"{DRE} wrap --no-workspace true {redirection}"], cwd=place.folder)

    start = place.spool.start
    assert ([*start["fd1"], *start["fd2"]], *start["order"]) == (kinds, order)


def test_two_pipes_have_no_exact_order(place: Place) -> None:
    place.wrap("sh", "-c", "echo out; echo err >&2")

    assert place.spool.start["order"] == [b"approximate"]
    assert sorted(place.spool.output()) == [(1, b"out\n"), (2, b"err\n")]


def test_one_pipe_for_both_keeps_the_order(place: Place) -> None:
    place.wrap("sh", "-c", "for i in 1 2 3; do echo o$i; echo e$i >&2; done", stderr=subprocess.STDOUT)

    assert place.spool.printed() == b"o1\ne1\no2\ne2\no3\ne3\n"


# Files as outputs


def test_a_file_as_output_is_kept_from_where_the_command_began(place: Place) -> None:
    into_files(place, "sh -c 'echo new; echo err >&2'", "echo old >f; exec >>f 2>g")

    assert (place.folder / "f").read_bytes() == b"old\nnew\n"
    assert (place.spool.printed(1), place.spool.printed(2)) == (b"new\n", b"err\n")
    assert place.spool.kept_and_lost == (8, 0)


def test_a_file_that_others_wrote_to_before_is_kept_from_there(place: Place) -> None:
    into_files(place, "echo new", "exec >f; echo old")

    assert place.spool.printed(1) == b"new\n"


def test_a_file_whose_writer_goes_back_keeps_what_stands_there_at_the_end(place: Place) -> None:
    script = "import sys; o = sys.stdout; o.write('abcdef'); o.flush(); o.seek(1); o.write('X'); o.flush(); o.seek(6)"

    into_files(place, f'{PYTHON} -c "{script}"', "exec >f")

    assert (place.folder / "f").read_bytes() == place.spool.printed(1) == b"aXcdef"


def test_both_outputs_in_one_file_are_kept_once(place: Place) -> None:
    into_files(place, "sh -c 'echo o; echo e >&2; echo o'", "exec >f 2>&1")

    assert place.spool.printed() == b"o\ne\no\n"


def test_a_file_nobody_wrote_to_holds_nothing(place: Place) -> None:
    into_files(place, "true", "echo old >f; exec >>f")

    assert place.spool.output() == []
    assert place.spool.kept_and_lost == (0, 0)


@pytest.mark.parametrize(("size", "kept"), [(64 * MEGABYTE, 64 * MEGABYTE), (64 * MEGABYTE + 1, 0)])
def test_of_a_huge_file_the_recording_says_only_how_much_there_was(place: Place, size: int, kept: int) -> None:
    into_files(place, f"head -c {size} /dev/zero", "exec >f")

    assert (place.folder / "f").stat().st_size == size
    assert place.spool.kept_and_lost == (kept, size - kept)
    assert (place.spool.folder / "out.raw").stat().st_size == kept


def into_files(place: Place, command: str, before: str) -> None:
    said = run(["sh", "-c", f"{before}; {DRE} wrap --no-workspace {command}"], cwd=place.folder)
    assert said.returncode == 0, said.stderr


# Its end


@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_the_exit_code_is_kept(place: Place, code: int) -> None:
    said = place.wrap("sh", "-c", f"exit {code}")

    assert said.returncode == code
    assert (place.spool.exit.status, place.spool.exit.failure) == (code << 8, 0)


def test_the_deadly_signal_is_kept(place: Place) -> None:
    said = place.wrap("sh", "-c", "kill -USR1 $$")

    assert said.returncode == -signal.SIGUSR1
    assert os.WTERMSIG(place.spool.exit.status) == signal.SIGUSR1


@pytest.mark.parametrize(("name", "code"), [("no-such-command-at-all", 127), ("/etc/passwd", 126), ("/tmp", 126)])
def test_what_could_not_be_run_is_kept_with_its_reason(place: Place, name: str, code: int) -> None:
    said = place.wrap(name)

    report = place.spool.exit
    assert said.returncode == code
    assert report.status == code << 8
    assert said.stderr.decode() == f"dre: {name}: {os.strerror(report.failure)}\n"


def test_what_it_used_is_kept(place: Place) -> None:
    place.wrap(PYTHON, "-I", "-S", "-c", "x = bytearray(50_000_000)\nfor i in range(0, len(x), 512): x[i] = 1")

    used = place.spool.exit
    assert used.pid > 1
    assert used.peak_kib > 48_000
    assert used.user_s + used.system_s > 0
    assert used.minor_faults > 1000


def test_a_signal_it_was_sent_is_kept_with_its_sender(place: Place) -> None:
    script = "trap 'echo got; exit 0' USR1; echo READY; while :; do sleep .01; done"
    with place.start("bash", "-c", script, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"READY\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == b"got\n"
    assert place.spool.one("signal").payload == bytes([signal.SIGUSR1]) + os.getpid().to_bytes(4, "little")


def test_frames_stand_in_the_order_of_what_happened(place: Place) -> None:
    run(["sh", "-c", f"git init -q; {DRE} wrap sh -c 'echo one; echo two'"], cwd=place.folder)

    frames = place.spool.frames()
    kinds = [frame.kind for frame in frames]
    assert kinds[:3] == ["start", "env", "pre"]
    assert kinds[-2:] == ["exit", "end"]
    assert {*kinds[3:-2]} == {"output"}
    assert [frame.at_ns for frame in frames] == sorted(frame.at_ns for frame in frames)


# After its end


def test_what_a_descendant_writes_later_is_kept_as_late(place: Place) -> None:
    """The caller of the command goes on at once; the reader of its output is served to the end."""
    os.mkfifo(place.folder / "go")
    with place.start("sh", "-c", "(cat go; echo late) & echo early", stdout=subprocess.PIPE) as process:
        assert process.wait() == 0
        assert (place.spool.state(), place.spool.late_state()) == ("complete", "open")
        (place.folder / "go").write_bytes(b"")
        assert process.stdout is not None
        assert process.stdout.read() == b"early\nlate\n"

    wait_for(lambda: place.spool.late_state() == "complete", "the end of what came late")
    assert place.spool.printed() == b"early\n"
    assert place.spool.output(late=True) == [(1, b"late\n")]


def test_a_descendant_that_holds_no_output_is_not_waited_for(place: Place) -> None:
    for gate in ("closed", "go"):
        os.mkfifo(place.folder / gate)

    said = place.wrap("sh", "-c", "sh -c 'exec >/dev/null 2>&1; : >closed; cat go' & cat closed; echo all")

    assert (said.stdout, place.spool.state(), place.spool.late_state()) == (b"all\n", "complete", "none")
    assert not place.spool.held()
    (place.folder / "go").write_bytes(b"")


def test_a_drainer_that_is_killed_leaves_the_recording_complete(place: Place) -> None:
    os.mkfifo(place.folder / "go")
    with place.start("sh", "-c", "(cat go; echo late) & echo early", stdout=subprocess.PIPE) as process:
        assert process.wait() == 0
        drainer = who_holds(place.spool.folder / "late.journal")
        os.kill(drainer, signal.SIGKILL)
        wait_for(lambda: not alive(drainer), "the drainer's end")
        assert process.stdout is not None
        assert process.stdout.read() == b"early\n"  # it ends: nobody holds what the drainer held

    assert (place.spool.state(), place.spool.late_state()) == ("complete", "lost")
    assert place.spool.printed() == b"early\n"
    (place.folder / "go").write_bytes(b"")


def who_holds(file: Path) -> int:
    links = [link for link in Path("/proc").glob("[0-9]*/fd/*") if target(link) == str(file)]
    [pid] = {int(link.parts[2]) for link in links}
    return pid


def target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # it was closed meanwhile
        return ""
