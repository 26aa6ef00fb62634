"""Outside a terminal nobody can tell either: the same script natively and wrapped, the same answer."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from shim.places import DRE, Place, pending, run
from shim.processes import alive, parent, wait_for

WRAP = f"{shlex.quote(DRE)} wrap --no-workspace "
PYTHON = shlex.quote(sys.executable)

# {p} stands for nothing or the recorder. A reader that waits for an end of file opens the gate `go` for the command:
# where the end of file does not come through, nothing ends.
SCRIPTS = {
    # Ends of streams
    "the reader ends when the command closes its output": "{p}sh -c 'exec >&-; cat go >&2' | (cat; echo END; : >go)",
    "an early end of file is seen at once": (
        "{p}sh -c 'echo a; exec >&-; cat go 1>&2; : >over' | (cat; test -e over || echo EARLY; : >go)"
    ),
    "once the reader has gone a write is deadly": (
        "{p}bash -c 'echo a; while echo b; do sleep .01; done; : >survived' | head -1; echo ${PIPESTATUS[0]}; ls"
    ),
    "the writer dies when the command closes its input": (
        "(trap '' PIPE; while echo x 2>/dev/null; do sleep .01; done; echo WRITER >&2; : >go)"
        " | {p}sh -c 'exec <&-; cat go; echo end'"
    ),
    "a descriptor of the caller's ends when the command closes it": (
        "{p}sh -c 'echo x >&9; exec 9>&-; cat go; echo end' 9>&1 >&2 | (cat; echo END; : >go)"
    ),
    "a flood into a closed pipe": "{p}yes | head -3; echo ${PIPESTATUS[0]}",
    "an empty output": "{p}true | wc -c",
    # What the command finds
    "environment": "{p}env | grep -v -e ^DRE_PARENT= -e ^_= | sort",
    "no variables at all": "env -i HOME=$HOME PATH=$PATH {p}env | grep -v -e ^DRE_PARENT= -e ^_= | sort",
    "a language that has no letters": (
        "env -i HOME=$HOME PATH=$PATH LANG=C {p}env | grep -v -e ^DRE_PARENT= -e ^_= | sort"
    ),
    "a variable that Python would set": "env -i HOME=$HOME PATH=$PATH LC_CTYPE=C {p}env | grep LC_",
    "variables that speak to Python": ("PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore {p}env | grep ^PYTHON | sort"),
    "open descriptors": "{p}ls /proc/self/fd 5</dev/null 12</dev/null | tr '\\n' ' '",
    "what the descriptors are": "{p}readlink /proc/self/fd/0 /proc/self/fd/5 5</dev/null </etc/passwd",
    "umask": "umask 027; {p}sh -c umask; {p}touch f; stat -c %a f",
    "limits": "ulimit -c 0; ulimit -n 300; {p}sh -c 'ulimit -a; ulimit -Hn'",
    "working directory": "mkdir 'a b'; cd 'a b'; {p}sh -c 'pwd; pwd -P'",
    "process group and session": ('{p}sh -c \'cut -d" " -f5,6 /proc/self/stat\' | sed "s/\\b$$\\b/SHELL/g"'),
    "signals": ('sh -c \'trap "" INT QUIT HUP; exec "$@"\' x {p}grep -e SigIgn -e SigBlk -e SigCgt /proc/self/status'),
    "a child signal that the caller ignores": (
        f"{PYTHON} -c 'import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        " signal.signal(signal.SIGPIPE, signal.SIG_DFL); signal.signal(signal.SIGXFSZ, signal.SIG_DFL);"
        " os.execvp(sys.argv[1], sys.argv[1:])' {p}sh -c 'grep SigIgn /proc/self/status; exit 3'; echo $?"
    ),
    "signals that the caller blocks": (
        f"{PYTHON} -c 'import os, signal, sys; signal.pthread_sigmask(0, [15, 40]);"
        " os.execvp(sys.argv[1], sys.argv[1:])' {p}grep SigBlk /proc/self/status"
    ),
    "terminal or not": "{p}sh -c 'for n in 0 1 2; do test -t $n && echo tty || echo none; done'",
    # Arguments
    "arguments of any bytes": "{p}printf '%s|' '' ' ' $'\\n' $'\\xff\\xfe' -- -x 'é' '*' | od -c",
    "a word that begins with a dash after the command": "{p}echo --wait --label x -C / --",
    "the program's own name": "{p}sh -c 'echo $0 \"$@\"' name a b",
    # Outputs
    "both outputs into one pipe keep their order": (
        "{p}sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done' 2>&1"
    ),
    "both outputs into one file": "{p}sh -c 'echo o1; echo e1 >&2; echo o2' >f 2>&1; cat f",
    "appending": "echo old >f; {p}sh -c 'echo new; echo err >&2' >>f 2>>f; cat f",
    "truncating and seeking": (
        "echo longer than that >f; {p}sh -c 'echo one; echo two' >f;"
        f' {{p}}{PYTHON} -c \'import sys; sys.stdout.write("abc"); sys.stdout.flush(); sys.stdout.seek(1);'
        ' sys.stdout.write("X")\' 1<>f; cat f'
    ),
    "binary both ways": "head -c 300000 /dev/urandom >in; {p}cat <in | cmp - in && echo same",
    "no line end": "{p}printf abc; {p}printf def >&2",
    "to nowhere": "{p}sh -c 'readlink /proc/self/fd/1 /proc/self/fd/2 >&3' 3>f >/dev/null 2>&1; echo $?; cat f",
    "all three closed": "{p}sh -c 'echo hi; exit 6' <&- >&- 2>&-; echo $?",
    "closed ones stay closed": "{p}sh -c 'ls /proc/self/fd >&3' 3>f <&- >&-; cat f",
    "a full device": "{p}sh -c 'echo hi; echo $? >&2' >/dev/full",
    "a socket for both": (
        f"{PYTHON} -c 'import socket, subprocess, sys; a, b = socket.socketpair();"
        ' p = subprocess.Popen(sys.argv[1:], stdin=b, stdout=b); b.close(); a.send(b"ping\\n"); a.shutdown(1);'
        " print(a.makefile().read(), p.wait())' {p}sh -c 'read x; echo got $x; exit 2'"
    ),
    "a pipe that does not block": (
        f"{PYTHON} -c 'import os, subprocess, sys, time; r, w = os.pipe(); os.set_blocking(w, False);"
        " p = subprocess.Popen(sys.argv[1:], stdout=w); os.close(w)\nn = 0\n"
        "while b := os.read(r, 65536): n += len(b)\nprint(n, p.wait())'"
        f" {{p}}{PYTHON} -c 'import os\nos.set_blocking(1, True)\nos.write(1, bytes(3000000))'"
    ),
    "a reader of one output while the other is full": (
        f"{PYTHON} -c 'import subprocess, sys; P = subprocess.PIPE;"
        " p = subprocess.Popen(sys.argv[1:], stdout=P, stderr=P); e = p.stderr.readline(); o = p.stdout.read();"
        " print(e, len(o), p.wait())' {p}sh -c 'head -c 5000000 /dev/zero & echo err >&2; wait'"
    ),
    # Ends
    "exit codes": 'for i in 0 1 2 7 124 125 126 127 128 200 255; do {p}sh -c "exit $i"; echo $?; done',
    "a deadly signal": (
        "ulimit -c 0; for s in KILL ABRT SEGV TERM PIPE USR2; do {p}sh -c 'kill -'$s' $$'; echo $?; done"
    ),
    "the time limit of somebody else": "timeout .5 {p}sh -c 'cat go'; echo $?",
    "pipefail": "set -o pipefail; {p}sh -c 'echo x; exit 5' | cat; echo $?",
    "in a condition": "if {p}false; then echo yes; else echo no; fi; {p}true && echo and",
    "nested": "{p}{p}{p}sh -c 'echo deep; echo down >&2; exit 11'; echo $?",
    "a subshell's output": "echo \"[$({p}printf 'a\\nb\\n\\n')]\"",
    "xargs": "printf '%s\\n' a b c | xargs -n1 {p}echo",
    "find": "touch x y; find . -name '[xy]' -exec {p}echo {} + | tr ' ' '\\n' | sort",
    # What cannot be run
    "a script without a first line": "printf 'echo plain script $1\\n' >s; chmod +x s; {p}./s arg",
    "no such command": "{p}no-such-command-at-all 2>/dev/null; echo $?",
    "not executable": "printf x >n; {p}./n 2>/dev/null; echo $?",
    "a folder": "{p}/tmp 2>/dev/null; echo $?",
    "an empty name": "{p}'' 2>/dev/null; echo $?",
    "a missing interpreter": "printf '#!/no/such\\n' >s; chmod +x s; {p}./s 2>/dev/null; test $? -gt 1; echo $?",
    "no path": "PATH= {p}sh -c 'echo hi' 2>/dev/null; echo $?",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_same_answer_as_natively(place: Place, script: str) -> None:
    native, wrapped = answer(place, script, ""), answer(place, script, WRAP)

    assert wrapped == native
    assert place.spools
    assert {spool.state() for spool in place.spools} == {"complete"}


# What the recorder needs itself is missing: the command runs all the same, and one line says that nobody saw it.
UNRECORDED = {
    "no file may grow": "ulimit -f 0; {p}sh -c 'echo hi; exit 3' | cat; echo ${PIPESTATUS[0]}",
    "few descriptors": "ulimit -n 10; {p}sh -c 'echo hi; exit 3' | cat; echo ${PIPESTATUS[0]}",
    "the folder is gone": "mkdir gone; cd gone; rmdir ../gone; {p}sh -c 'echo hi; exit 3'; echo $?",
    "nobody may write here": "cd /proc; {p}sh -c 'echo hi; exit 3'; echo $?",
}


@pytest.mark.parametrize("script", UNRECORDED.values(), ids=UNRECORDED)
def test_unrecorded_but_undisturbed(place: Place, script: str) -> None:
    native, wrapped = answer(place, script, ""), answer(place, script, WRAP)

    assert wrapped[:2] == native[:2]
    assert wrapped[2].count(b"dre: not recorded: ") == 1
    assert place.spools == []


def test_secrets_that_do_not_fit_are_not_half_known(place: Place) -> None:
    """A limit lets the front of a file through: whoever redacts would know only the front of the secrets."""
    # (No bytecode: Python, too, would leave the front of it, for everybody.)
    few = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
    script = f"ulimit -f 8; {WRAP}sh -c 'exit 3'"

    said = run(
        ["bash", "-c", script], cwd=place.folder, env={**few, "A_SECRET": "s" * 20_000, "PYTHONDONTWRITEBYTECODE": "1"}
    )

    assert said.returncode == 3
    assert said.stderr.startswith(b"dre: not recorded: ")
    assert place.spools == []


def test_what_cannot_be_run_is_said_also_where_both_outputs_are_one_file(place: Place) -> None:
    run(["bash", "-c", f"{WRAP}no-such-command-at-all >log 2>&1"], cwd=place.folder)

    assert (place.folder / "log").read_bytes() == b"dre: no-such-command-at-all: No such file or directory\n"


def answer(place: Place, script: str, p: str) -> tuple[bytes, int, bytes]:
    """Standard output, exit code, and standard error but for numbers of processes."""
    folder = place.folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.mkfifo(folder / "go")
    said = run(["bash", "-c", script.replace("{p}", p)], cwd=folder)
    return said.stdout, said.returncode, re.sub(rb" *\d+", b" N", said.stderr.replace(p.encode(), b""))


# With a slow reader, and signals


@pytest.fixture(params=["native", "wrapped"])
def prefix(request: pytest.FixtureRequest) -> list[str]:
    return [] if request.param == "native" else [DRE, "wrap", "--no-workspace"]


@contextmanager
def started(place: Place, argv: list[str], **more: Any) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(argv, cwd=place.folder, stdin=subprocess.DEVNULL, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_signal_ends_a_command_whose_reader_does_not_read(place: Place, prefix: list[str]) -> None:
    reading, writing = os.pipe()
    with started(place, [*prefix, "yes"], stdout=writing) as process:
        wait_for(lambda: pending(reading) > 60000, "a full pipe")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    os.close(reading)
    os.close(writing)


def test_a_signal_ends_a_command_that_has_no_more_to_say_but_was_not_read(place: Place, prefix: list[str]) -> None:
    """Natively it waits in its last write; recorded it has ended, and the recorder waits in its place."""
    reading, writing = os.pipe()
    with started(place, [*prefix, "head", "-c", "300000", "/dev/zero"], stdout=writing) as process:
        wait_for(lambda: pending(reading) > 60000, "a full pipe")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    os.close(reading)
    os.close(writing)


def test_a_full_output_does_not_hold_the_other_one_up(place: Place, prefix: list[str]) -> None:
    os.mkfifo(place.folder / "go")
    reading, writing = os.pipe()
    script = "yes & cat go; echo on stderr >&2; wait"
    with started(place, [*prefix, "sh", "-c", script], stdout=writing, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        wait_for(lambda: pending(reading) > 60000, "a full pipe")
        (place.folder / "go").write_bytes(b"")
        assert process.stderr.readline() == b"on stderr\n"
        process.send_signal(signal.SIGTERM)
        os.close(reading)
        os.close(writing)
        assert process.wait() == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM, signal.SIGRTMIN + 3])
def test_a_signal_reaches_the_command_once(place: Place, prefix: list[str], number: int) -> None:
    script = (
        f"n=0; trap 'n=$((n+1))' {int(number)}; echo READY; while [ $n = 0 ]; do sleep .01; done; sleep .1; exit $n"
    )
    with started(place, [*prefix, "bash", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"READY\n"
        process.send_signal(number)
        assert process.wait() == 1


def test_stopped_and_continued_from_outside(place: Place, prefix: list[str]) -> None:
    script = "echo READY; kill -STOP $$; echo BACK; exit 4"
    with started(place, [*prefix, "sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"READY\n"
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert os.WSTOPSIG(status) == signal.SIGSTOP
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == b"BACK\n"
        assert process.wait() == 4


def test_an_orphan_has_the_parent_that_orphans_have(place: Place, prefix: list[str]) -> None:
    """A daemon waits for it: the recorder adopts nobody."""
    os.mkfifo(place.folder / "go")
    said = run([*prefix, "sh", "-c", "cat go >/dev/null 2>&1 & echo $!"], cwd=place.folder)
    orphan = int(said.stdout)
    expected = parent_of_an_orphan(place)
    wait_for(lambda: parent(orphan) == expected, "adoption")
    (place.folder / "go").write_bytes(b"")
    wait_for(lambda: not alive(orphan))


def parent_of_an_orphan(place: Place) -> int:
    os.mkfifo(place.folder / "stay")
    orphan = int(run(["sh", "-c", "cat stay >/dev/null 2>&1 & echo $!"], cwd=place.folder).stdout)
    found = parent(orphan)
    (place.folder / "stay").write_bytes(b"")
    return found


def test_a_megabyte_of_arguments(place: Place, prefix: list[str]) -> None:
    words = [str(number).rjust(100_000, "x") for number in range(10)]
    said = run([*prefix, "sh", "-c", "printf '%s\n' \"$@\" | md5sum", "sh", *words], cwd=place.folder)
    lines = b"".join(word.encode() + b"\n" for word in words)
    assert said.stdout.split()[0].decode() == hashlib.md5(lines, usedforsecurity=False).hexdigest()
    if prefix:
        assert place.spool.start["argv"][-10:] == [word.encode() for word in words]


def test_two_hundred_files_of_output(place: Place, prefix: list[str]) -> None:
    """More than every buffer on the way, in pieces of all sizes."""
    script = "for i in $(seq 200); do head -c $((i * 331)) /dev/zero | tr '\\0' x; echo $i; done"
    said = run([*prefix, "bash", "-c", script], cwd=place.folder)
    expected = b"".join(b"x" * (i * 331) + b"%d\n" % i for i in range(1, 201))
    assert said.stdout == expected
    if prefix:
        assert place.spool.printed(1) == expected
