"""What every command shares: help with examples, options before and after its name, errors in a line."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli.shop import LIMIT_S, PYTHON, Shop

from dre.cli import commands, trouble
from dre.cli.asked import Asked
from dre.cli.command import Command, Lazily
from dre.cli.topics import TOPICS
from dre.errors import DREError, LedgerAltered, NotFound

HEAVY = ("asyncio", "msgspec", "cryptography", "rich", "apsw", "json", "zstandard", "dre.composition", "dre.shim")


def every_command(group: Lazily, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in (*group.list_commands(context), *group._hidden_names):
        found = group.get_command(context, name)
        assert found is not None
        yield (*names, name), found
        if isinstance(found, Lazily):
            yield from every_command(found, (*names, name))


COMMANDS = dict(every_command(commands.dre()))
NAMES = [" ".join(names) for names in COMMANDS]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run([*name.split(), "--help"] if name != "wrap" else ["help", "wrap"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: dre {name}")
    assert "\nExample" in told


@pytest.mark.parametrize("name", NAMES)
def test_every_example_can_be_typed_as_it_stands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = COMMANDS[tuple(name.split())]
    assert isinstance(command, Command | Lazily)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "src" / "shop").mkdir(parents=True)
    assert command.examples
    for example in command.examples:
        first = example.split(" && ")[0].split(" > ")[0]
        words = [os.path.expanduser(word) for word in shlex.split(first)]
        assert words[0] == "dre"
        if words[1] != "wrap":
            _parse(commands.dre(), words[1:])


def _parse(group: click.Group, words: list[str], parent: click.Context | None = None) -> None:
    """As click does before it runs anything. Raises click.UsageError."""
    obj = None if parent else Asked("/", 0)
    context = group.make_context("dre", list(words), parent, obj=obj)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    if isinstance(command, click.Group):
        _parse(command, rest, context)
    else:
        command.make_context(name, list(rest), context)


def test_help_imports_nothing_that_costs() -> None:
    seen = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "dre", "--help"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in seen.stderr.splitlines()}
    assert "click" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize("topic", TOPICS)
def test_ideas_are_explained(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["help", topic]) == 0
    told = capsys.readouterr().out
    assert len(told.splitlines()) > 3
    assert max(len(line) for line in told.splitlines()) <= 90


def test_help_lists_commands_and_ideas(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["help"]) == 0
    told = capsys.readouterr().out
    assert [name for name in (*NAMES[:5], *TOPICS) if f"  {name.split()[0]}" not in told] == []
    assert commands.run(["help", "ledger", "verify"]) == 0
    assert "first wrong position is named" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "nonsense"),
        (["log", "--nonsense"], "--nonsense"),
        (["log", "--limit", "0"], "1<=x<=10000"),
        (["log", "--limit", "10001"], "1<=x<=10000"),
        (["log", "--limit", "many"], "many"),
        (["log", "--since", "banana"], "a length of time"),
        (["events", "--after", "-2"], "-2"),
        (["show", "a", "b"], "b"),
        (["show", "--raw"], "--raw goes with --output"),
        (["config", "get", "no.such"], "no.such"),
        (["config", "set", "evidence.retention", "banana"], '"banana" is not a duration (try 30d, 12h)'),
        (["config", "set", "redaction.patterns", "x"], "may not be set by a workspace"),
        (["projections", "rebuild", "nothing"], "operations, evidence"),
        (["help", "nothing"], "nothing"),
        (["ledger", "nothing"], "nothing"),
        (["verfy"], "No such command 'verfy'. Did you mean 'verify'?\n     dre --help\n"),
        (["--json", "config", "sett", "a", "b"], "No such command 'sett'. Did you mean 'set'?"),
        (["help", "verdict"], "there is no command or idea verdict\n     did you mean verdicts? dre help lists both\n"),
        (["help", "ledger", "verfy"], "did you mean verify?"),
        (["-C", "/no/such/folder", "log"], "/no/such/folder"),
        (["log", "-C", "/no/such/folder"], "/no/such/folder"),
        (["--json", "--quiet", "wrap", "true"], "before wrap"),
    ],
)
def test_usage_that_makes_no_sense_is_one_line_and_2(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.run(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    if "--json" in words:
        assert says in json.loads(told.err)["message"]
    else:
        assert told.err.startswith("dre: ")
        assert says in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("name", ["", "config", "ledger", "projections"])
def test_without_a_command_there_is_the_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run([*name.split(), "--help"]) == 0
    helped = capsys.readouterr().out
    assert commands.run(name.split()) == 2
    assert capsys.readouterr() == ("", helped)


def test_without_a_command_a_program_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["--json", "ledger"]) == 2
    told = json.loads(capsys.readouterr().err)
    assert told == {"code": "usage", "message": "Missing command.", "hint": "dre ledger --help"}


def test_the_idea_of_a_verdict_names_the_commonest_cause_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["help", "verdicts"]) == 0
    inconclusive = capsys.readouterr().out.partition("  inconclusive ")[2].partition("\n\n")[0]
    assert "no git work tree" in inconclusive
    assert "--no-workspace" in inconclusive


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["--version"]) == 0
    name, number = capsys.readouterr().out.split()
    assert (name, number.count(".")) == ("dre", 2)


def test_options_that_all_understand_stand_before_and_after(shop: Shop) -> None:
    shop.record("true")
    before = shop.dre("-C", str(shop.folder), "--json", "--no-color", "log")
    after = shop.dre("log", "-C", str(shop.folder), "--json", "--no-color")
    assert before.status == after.status == 0
    assert before.out == after.out
    assert before.json()["command"] == "true"
    nested = shop.folder / "a" / "b"
    nested.mkdir(parents=True)
    assert shop.dre("-C", "a", "log", "-C", "b", "--json").out == before.out


@pytest.mark.parametrize("words", [["log"], ["show"], ["events"], ["verify"], ["ledger", "verify"]])
def test_without_any_dot_dre_readers_say_what_to_do_and_end_with_3(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.run(words) == 3
    told = capsys.readouterr()
    assert told.err == "dre: there is no .dre here: nothing was recorded yet\n     dre wrap COMMAND, or dre init\n"
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def failing(error: Exception) -> int:
    raise error


def test_an_error_is_a_line_a_hint_and_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked("/", 0)
    assert trouble.told(asked, lambda: failing(NotFound("no operation \x1b[31mX", hint="dre log"))) == 2
    assert trouble.told(asked, lambda: failing(LedgerAltered("event 7 is wrong", position=7))) == 1
    assert trouble.told(asked, lambda: failing(DREError("who knows"))) == 3
    assert capsys.readouterr().err == (
        "dre: no operation ␛[31mX\n     dre log\ndre: event 7 is wrong\ndre: who knows\n"
    )


def test_with_json_an_error_is_a_json_object_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked("/", 0)
    asked.json = True
    assert trouble.told(asked, lambda: failing(NotFound("no operation", hint="dre log"))) == 2
    assert json.loads(capsys.readouterr().err) == {"code": "not_found", "message": "no operation", "hint": "dre log"}


def test_the_unexpected_is_one_line_and_with_debug_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked("/", 0)
    assert trouble.told(asked, lambda: failing(ValueError("of a kind nobody thought of"))) == 3
    told = capsys.readouterr().err
    assert told.startswith("dre: unexpected ValueError: of a kind nobody thought of\n     dre --debug")
    assert "Traceback" not in told
    asked.debug = True
    assert trouble.told(asked, lambda: failing(ValueError("again"))) == 3
    assert "Traceback" in capsys.readouterr().err


def test_debug_can_be_asked_for_by_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRE_DEBUG", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/nothing")  # nobody makes a folder there
    answer = Shop(tmp_path).dre("config", "set", "--user", "evidence.retention", "1d")
    assert answer.status == 3
    assert "Traceback" in answer.err


@pytest.mark.parametrize("words", [["wrap", "true"], ["log"], ["show", "nothing"], ["log", "--limit", "many"]])
def test_what_is_expected_is_one_line_with_debug_too(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.run(["--debug", *words]) in (2, 3)
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_ends_it_silently(shop: Shop) -> None:
    shop.record("true")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [*PYTHON, "events"], cwd=shop.folder, stdout=closed, stderr=subprocess.PIPE, timeout=LIMIT_S, check=False
        )
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_ctrl_c_ends_it_with_130_and_no_word(shop: Shop) -> None:
    shop.record("true")
    following = subprocess.Popen(
        [*PYTHON, "events", "--follow"], cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert following.stdout is not None
    assert b"ledger.created" in following.stdout.readline()
    for _ in range(5):
        following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=LIMIT_S)
    assert (following.returncode, err) == (130, b"")


def test_a_closed_stdout_costs_no_file_of_ours(shop: Shop) -> None:
    shop.record("true")
    closed = subprocess.run(
        ["sh", "-c", '"$@" events >&- 2>&-', "sh", *PYTHON], cwd=shop.folder, timeout=LIMIT_S, check=False
    )
    assert closed.returncode == 0
    assert shop.dre("ledger", "verify").status == 0


def test_a_locale_without_its_characters_gets_their_numbers(shop: Shop) -> None:
    shop.record("echo", "日本")
    answer = shop.dre("log", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert answer.status == 0
    assert "echo '\\u65e5\\u672c'" in answer.out


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_colour_needs_a_terminal_that_wants_it(shop: Shop, variable: str) -> None:
    shop.record("true")
    assert b"\x1b[" in _on_a_terminal(shop, "log", TERM="xterm", NO_COLOR="")
    assert b"\x1b[" not in _on_a_terminal(shop, "log", **{"TERM": "xterm", variable: "dumb"})
    assert b"\x1b[" not in _on_a_terminal(shop, "log", "--no-color", TERM="xterm")
    assert "\x1b" not in shop.dre("log", TERM="xterm").out
    shop.dre("init", "--ci-mode")
    assert b"\x1b[" not in _on_a_terminal(shop, "log", TERM="xterm", NO_COLOR="")


def _on_a_terminal(shop: Shop, *words: str, **environment: str) -> bytes:
    outer, inner = os.openpty()
    done = subprocess.run(
        [*PYTHON, *words],
        cwd=shop.folder,
        stdout=inner,
        stdin=inner,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(inner)
    told = b""
    while True:
        try:
            piece = os.read(outer, 65536)
        except OSError:
            break
        if not piece:
            break
        told += piece
    os.close(outer)
    assert done.returncode == 0, done.stderr
    return told


def test_what_is_said_to_a_file_stands_at_its_end(shop: Shop) -> None:
    """Also by the recorder's ingest, which speaks through another process."""
    kept = shop.folder / "errors.in"
    with kept.open("wb") as file:
        file.write(b"what stood there before, and is longer than a line of ours may be\n")
        file.flush()
        for _ in range(2):
            subprocess.run(
                [*PYTHON, "wrap", "--wait", "sh", "-c", "echo said >&2"],
                cwd=shop.folder,
                stderr=file,
                timeout=LIMIT_S,
                check=True,
            )
    before, *after = kept.read_text().splitlines()
    assert before.startswith("what stood there before")
    assert [line.partition(" ")[0] for line in after] == ["said", "dre:", "said", "dre:"]
