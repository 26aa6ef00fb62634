"""What may be asked of the recorder: each option does what it says, and what makes no sense runs nothing."""

import errno
import os
import pty
import re
import subprocess
from collections.abc import Sequence
from uuid import UUID

import pytest
from shim.places import DRE, Place, run, with_variables
from shim.processes import alive, wait_for

RAN = ["sh", "-c", "echo ran; exit 3"]

# What cannot be understood

MISUSES: dict[str, tuple[list[str], str]] = {
    "nothing to run": ([], "no command to run (dre wrap [OPTIONS] COMMAND [ARGS...])"),
    "options alone": (["--strict", "--"], "no command to run (dre wrap [OPTIONS] COMMAND [ARGS...])"),
    "an option nobody knows": (
        ["--fast", *RAN],
        "there is no option --fast (a command whose name begins with - goes after --)",
    ),
    "an unknown option with a value": (
        ["--fast=1", *RAN],
        "there is no option --fast=1 (a command whose name begins with - goes after --)",
    ),
    "a letter nobody knows": (["-x", *RAN], "there is no option -x (a command whose name begins with - goes after --)"),
    "half an option": (
        ["--time", *RAN],
        "there is no option --time (a command whose name begins with - goes after --)",
    ),
    "a value for a flag": (["--wait=yes", *RAN], "--wait takes no value"),
    "an empty value for a flag": (["--strict=", *RAN], "--strict takes no value"),
    "a value for the end of options": (
        ["--=x", *RAN],
        "there is no option --=x (a command whose name begins with - goes after --)",
    ),
    "a time limit that is no time": (
        ["--timeout", "soon", *RAN],
        '--timeout: "soon" is not a length of time (try 90, 90s, 5m, 1h)',
    ),
    "a time limit in an unknown unit": (
        ["--timeout=2d", *RAN],
        '--timeout: "2d" is not a length of time (try 90, 90s, 5m, 1h)',
    ),
    "a unit alone": (["--timeout", "s", *RAN], '--timeout: "s" is not a length of time (try 90, 90s, 5m, 1h)'),
    "a negative time limit": (
        ["--timeout", "-1", *RAN],
        '--timeout: "-1" is not a length of time (try 90, 90s, 5m, 1h)',
    ),
    "not a number": (["--timeout", "nan", *RAN], '--timeout: "nan" is not a length of time (try 90, 90s, 5m, 1h)'),
    "two points": (["--timeout", "1.2.3", *RAN], '--timeout: "1.2.3" is not a length of time (try 90, 90s, 5m, 1h)'),
    "no time at all": (["--timeout", "0", *RAN], '--timeout: "0" is not between a moment and a year'),
    "more than a year": (["--timeout", "9999h", *RAN], '--timeout: "9999h" is not between a moment and a year'),
    "an endless time limit": (
        ["--timeout", "9" * 400, *RAN],
        f'--timeout: "{"9" * 400}" is not between a moment and a year',
    ),
    "a label without a value": (["--label", "unit", *RAN], '--label: "unit" is not NAME=VALUE'),
    "a label without a name": (["--label", "=unit", *RAN], '--label: "=unit" is not NAME=VALUE'),
    **{f"{name} at the very end": ([name], f"{name} needs a value") for name in ("--timeout", "--label", "--writes")},
    **{f"{name} with nothing": ([name, "", *RAN], f"{name} needs a value") for name in ("--id-file", "-C", "--writes")},
    "nothing behind the sign": (["--id-file=", *RAN], "--id-file needs a value"),
}


@pytest.mark.parametrize(("words", "why"), MISUSES.values(), ids=MISUSES)
def test_what_makes_no_sense_runs_nothing(place: Place, words: list[str], why: str) -> None:
    said = wrap(place, *words)

    assert (said.stdout, said.stderr, said.returncode) == (b"", f"dre wrap: {why}\n".encode(), 2)
    assert place.spools == []


def test_a_value_of_any_bytes_is_named_as_it_is(place: Place) -> None:
    said = wrap(place, "--label", b"\xff\xfe", *RAN)

    assert (said.stdout, said.stderr, said.returncode) == (b"", b'dre wrap: --label: "\xff\xfe" is not NAME=VALUE\n', 2)


# Where the options end


@pytest.mark.parametrize("words", [["printf", "%s|", "--strict", "-h", "--", "-x"], ["--", "printf", "%s|", "-h"]])
def test_the_first_word_that_is_no_option_starts_the_command(place: Place, words: list[str]) -> None:
    said = wrap(place, *words)

    arguments = words[words.index("%s|") + 1 :]
    assert (said.stdout, said.returncode) == ("".join(word + "|" for word in arguments).encode(), 0)
    assert place.spool.start["argv"] == [word.encode() for word in words[words.index("printf") :]]


def test_a_command_whose_name_begins_with_a_dash(place: Place) -> None:
    script = place.folder / "--strict"
    script.write_text("#!/bin/sh\necho odd\n")
    script.chmod(0o755)

    said = wrap(place, "--", "--strict", env=with_variables(PATH=f"{place.folder}:{os.environ['PATH']}"))

    assert (said.stdout, said.returncode) == (b"odd\n", 0)


def test_a_dash_alone_is_a_command(place: Place) -> None:
    said = wrap(place, "-")

    assert (said.stderr, said.returncode) == (b"dre: -: No such file or directory\n", 127)


# Where to work


def test_another_folder_is_where_all_of_it_happens(place: Place) -> None:
    (place.folder / "a/b").mkdir(parents=True)

    for words in (["-C", "a/b"], ["-C", "a", "-C", "b"], ["-C=a/b"]):
        assert wrap(place, *words, "pwd").stdout.strip() == os.fsencode(place.folder / "a/b")

    assert {spool.start["cwd"][0] for spool in place.spools} == {os.fsencode(place.folder / "a/b")}


def test_another_folder_may_be_named_before_the_command(place: Place) -> None:
    (place.folder / "a").mkdir()

    said = run([DRE, "-C", "a", "--quiet", "wrap", "--no-workspace", "pwd"], cwd=place.folder)

    assert said.stdout.strip() == os.fsencode(place.folder / "a")
    assert place.spool.start["cwd"] == [os.fsencode(place.folder / "a")]


@pytest.mark.parametrize(("folder", "why"), [("nowhere", "No such file or directory"), ("file", "Not a directory")])
def test_a_folder_that_cannot_be_entered_runs_nothing(place: Place, folder: str, why: str) -> None:
    (place.folder / "file").write_text("")

    said = wrap(place, "-C", folder, *RAN)

    assert (said.stdout, said.stderr, said.returncode) == (b"", f"dre: -C {folder}: {why}\n".encode(), 2)
    assert place.spools == []


# A time limit


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("90", 90_000_000), ("90s", 90_000_000), ("1.5m", 90_000_000), ("1h", 3_600_000_000), (".5", 500_000)],
)
def test_a_time_limit_in_any_unit(place: Place, text: str, microseconds: int) -> None:
    said = wrap(place, "--timeout", text, *RAN)

    assert (said.stdout, said.returncode) == (b"ran\n", 3)
    assert place.spool.start["timeout_us"] == [b"%d" % microseconds]


def test_out_of_time_the_whole_tree_ends(place: Place) -> None:
    """Also who left the group, and who was left behind by a parent that has ended."""
    leaving = "setsid sh -c 'echo $$ >left; exec sleep 1000' & sh -c 'sleep 1000 & echo $! >orphan' &"

    said = wrap(place, "--timeout", "1", "sh", "-c", f"{leaving} echo $$; wait; sleep 1000")

    assert said.returncode == 124
    everybody = [int(said.stdout), *(int((place.folder / name).read_text()) for name in ("left", "orphan"))]
    wait_for(lambda: not any(map(alive, everybody)), "the end of all")
    assert place.spool.state() == "complete"
    assert place.spool.exit.failure == errno.ETIMEDOUT


def test_who_is_asked_to_end_may_tidy_up_first(place: Place) -> None:
    script = "trap 'echo tidy; exit 0' TERM; while :; do sleep .05; done"

    said = wrap(place, "--timeout", "0.5", "bash", "-c", script)

    assert (said.stdout, said.returncode) == (b"tidy\n", 124)
    assert place.spool.printed(1) == b"tidy\n"


def test_who_does_not_listen_is_ended_all_the_same(place: Place) -> None:
    """Though the command itself went at once."""
    deaf = "trap '' TERM; echo $$ >deaf; while :; do sleep .05; done"

    said = wrap(place, "--timeout", "1", "sh", "-c", f'sh -c "{deaf}" & wait'.replace("$$", "\\$\\$"))

    assert said.returncode == 124
    wait_for(lambda: not alive(int((place.folder / "deaf").read_text())), "the end of who did not listen")


def test_who_was_stopped_meanwhile_ends_too(place: Place) -> None:
    script = "sh -c 'echo $$ >stopped; kill -STOP $$; sleep 1000' & wait; sleep 1000"

    said = wrap(place, "--timeout", "1", "sh", "-c", script)

    assert said.returncode == 124
    wait_for(lambda: not alive(int((place.folder / "stopped").read_text())), "the end of who was stopped")


# Attached to the recording


def test_labels_and_the_files_meant_to_be_written_are_kept(place: Place) -> None:
    words: list[str | bytes]
    words = ["--label", "suite=unit", "--label=empty=", "--label", b"odd=a=b\xff", "--writes", "src/**", "--writes=*.o"]

    said = wrap(place, *words, *RAN)

    assert said.returncode == 3
    assert place.spool.start["label"] == [b"suite=unit", b"empty=", b"odd=a=b\xff"]
    assert place.spool.start["writes"] == [b"src/**", b"*.o"]


def test_without_options_the_recording_says_so(place: Place) -> None:
    run([DRE, "wrap", *RAN], cwd=place.folder)

    start = place.spool.start
    assert not {"label", "writes", "parent", "ci"} & start.keys()
    assert (start["timeout_us"], start["workspace"]) == ([b"0"], [b"no git"])


@pytest.mark.parametrize(("words", "seen"), [([], b"yes"), (["--no-workspace"], b"no")])
def test_the_work_tree_is_looked_at_unless_told_not_to(place: Place, words: list[str], seen: bytes) -> None:
    subprocess.run(["git", "init", "-q"], cwd=place.folder, check=True)

    run([DRE, "wrap", *words, *RAN], cwd=place.folder)

    assert place.spool.start["workspace"] == [seen]
    assert ("pre" in place.spool.kinds()) == (seen == b"yes")


# The operation's id in a file


def test_the_id_is_written_once_all_is_captured(place: Place) -> None:
    """The command still finds it empty: an id of an earlier run must not be taken for this one's."""
    (place.folder / "id").write_text("the id of another run, and longer than any id is\n")

    said = wrap(place, "--id-file", "id", "cat", "id")

    assert (said.stdout, said.stderr, said.returncode) == (b"", b"", 0)
    text = (place.folder / "id").read_text()
    assert text == f"{UUID(text.strip())}\n"
    assert text.strip() == place.spool.folder.name == place.spool.start["operation"][0].decode()


def test_the_id_of_a_command_that_could_not_be_run(place: Place) -> None:
    said = wrap(place, "--id-file=id", "no-such-command-at-all")

    assert said.returncode == 127
    assert (place.folder / "id").read_text() == place.spool.folder.name + "\n"


def test_the_file_for_the_id_is_the_callers(place: Place) -> None:
    run(["sh", "-c", f"umask 026; {DRE} wrap --id-file id true"], cwd=place.folder)

    assert (place.folder / "id").stat().st_mode & 0o777 == 0o640


def test_the_id_may_go_into_a_descriptor(place: Place) -> None:
    reading, writing = os.pipe()

    wrap(place, "--id-file", f"/proc/self/fd/{writing}", "true", pass_fds=[writing])

    os.close(writing)
    with open(reading) as file:
        assert file.read() == place.spool.folder.name + "\n"


@pytest.mark.parametrize(
    ("file", "why"),
    [("nowhere/id", "No such file or directory"), (".", "Is a directory"), ("/dev/full", "No space left on device")],
)
def test_where_the_id_cannot_be_written_one_line_says_so(place: Place, file: str, why: str) -> None:
    said = wrap(place, "--id-file", file, *RAN)

    assert (said.stdout, said.stderr, said.returncode) == (b"ran\n", f"dre: --id-file {file}: {why}\n".encode(), 3)
    assert place.spool.state() == "complete"


def test_where_the_id_cannot_be_written_a_strict_caller_gets_nothing_run(place: Place) -> None:
    said = wrap(place, "--strict", "--id-file", "nowhere/id", *RAN)

    assert (said.stdout, said.returncode) == (b"", 125)
    assert said.stderr == b"dre: not recorded: nowhere/id: No such file or directory\n"
    assert place.spools == []


# The closing line


def on_terminal(place: Place, *words: str, **variables: str) -> str:
    """What a terminal as standard error is given, with the recording's letters taken out."""
    master, slave = pty.openpty()
    given = {"TERM": "xterm", "LANG": "C.UTF-8", **variables}
    environment = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **given}
    wrap(place, *words, stderr=slave, env=environment)
    os.close(slave)
    said = everything_from(master)
    os.close(master)
    return re.sub(r"\d+(\.\d)? m?s\b", "TIME", re.sub(r"\b[0-9A-Z]{4}\b(?=  | *[\x1b\r]|$)", "ID", said))


def everything_from(master: int) -> str:
    said = b""
    try:
        while part := os.read(master, 4096):
            said += part
    except OSError:  # EIO: nobody holds the other end
        pass
    return said.decode()


CLOSING = "dre  captured ID  {}  ·  dre show ID"


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (["true"], "succeeded in TIME"),
        (["sh", "-c", "exit 3"], "failed (exit 3) in TIME"),
        (["sh", "-c", "kill -KILL $$"], "ended by SIGKILL after TIME"),
        (["--timeout", "0.2", "sleep", "100"], "timed out after TIME"),
    ],
)
def test_on_a_terminal_one_dim_line_closes(place: Place, words: list[str], outcome: str) -> None:
    assert on_terminal(place, *words) == "\x1b[2m" + CLOSING.format(outcome) + "\x1b[0m\r\n"


@pytest.mark.parametrize(
    ("words", "variables"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})]
)
def test_the_closing_line_in_plain_text(place: Place, words: list[str], variables: dict[str, str]) -> None:
    assert on_terminal(place, *words, "true", **variables) == CLOSING.format("succeeded in TIME") + "\r\n"


def test_the_closing_line_where_letters_are_ascii(place: Place) -> None:
    said = on_terminal(place, "--no-color", "true", LANG="C", LC_ALL="")

    assert said == CLOSING.format("succeeded in TIME").replace("·", "-") + "\r\n"


def test_the_closing_line_begins_a_line_of_its_own(place: Place) -> None:
    said = on_terminal(place, "--no-color", "sh", "-c", "printf unfinished >&2")

    assert said == "unfinished\r\n" + CLOSING.format("succeeded in TIME") + "\r\n"


def test_who_wants_quiet_gets_no_closing_line(place: Place) -> None:
    assert on_terminal(place, "--quiet", "sh", "-c", "echo err >&2") == "err\r\n"


def test_off_a_terminal_nothing_is_added(place: Place) -> None:
    said = wrap(place, *RAN)

    assert (said.stdout, said.stderr, said.returncode) == (b"ran\n", b"", 3)


# Staying until it is recorded


@pytest.mark.parametrize(("words", "code"), [(["--wait"], 0), (["--verify"], 0), (["--gate"], 3)])
def test_who_waits_hears_that_it_could_not_be_recorded(place: Place, words: list[str], code: int) -> None:
    said = wrap(place, *words, "true")

    assert said.returncode == code
    assert said.stderr.count(b"\n") == 1
    assert b"captured, not recorded" in said.stderr
    assert place.spool.state() == "complete"


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--wait", "--gate"], 3), (["--gate", "--wait"], 3), (["--verify", "--wait"], 0)],
)
def test_of_several_ways_to_wait_the_most_demanding_counts(place: Place, words: list[str], code: int) -> None:
    assert wrap(place, *words, "true").returncode == code


def test_a_gate_leaves_a_failure_as_it_is(place: Place) -> None:
    said = wrap(place, "--gate", *RAN)

    assert (said.stdout, said.returncode) == (b"ran\n", 3)


@pytest.mark.parametrize(("command", "code"), [(["true"], 3), (["sh", "-c", "exit 4"], 4)])
def test_a_gate_does_not_open_for_what_was_not_recorded(place: Place, command: list[str], code: int) -> None:
    place.dre.chmod(0o777)

    said = wrap(place, "--gate", *command)

    assert said.returncode == code
    assert said.stderr.startswith(b"dre: not recorded: ")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--strict", "--help", "ignored"]])
def test_help_names_every_option(place: Place, words: Sequence[str]) -> None:
    said = wrap(place, *words)

    assert (said.stderr, said.returncode) == (b"", 0)
    named = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", said.stdout.decode()))
    flags = {"--wait", "--verify", "--gate", "--strict", "--no-workspace", "--quiet", "--no-color"}
    assert named >= flags | {"-C", "--timeout", "--label", "--writes", "--id-file", "-h", "--help"}
    assert b"TERM, 5 s later KILL" in said.stdout
    assert b"not look at the git work tree; it can then not be judged passed" in said.stdout
    assert place.spools == []


def wrap(place: Place, *words: str | bytes, **more: object) -> "subprocess.CompletedProcess[bytes]":
    return run([DRE, "wrap", *words], cwd=place.folder, **more)
