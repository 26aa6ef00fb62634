"""What a shell is offered: commands, options, ideas, settings, and the ids of operations with their commands."""

import os
from pathlib import Path

import pytest
from cli.shop import Shop
from shim.keyboard import Terminal
from shim.places import DRE

from dre.shim import options

OPTIONS = (
    *("--wait", "--verify", "--gate", "--timeout", "--strict", "--no-workspace", "--label", "--writes", "--id-file"),
    *("--quiet", "--no-color", "-C", "--help"),
)


def offered(shop: Shop, *words: str, **environment: str) -> dict[str, str]:
    line = " ".join(["dre", *words])
    answer = shop.dre(_DRE_COMPLETE="zsh_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)), **environment)
    fields = answer.out.splitlines()
    return dict(zip(fields[1::3], fields[2::3], strict=True))


def test_commands_and_their_parts(shop: Shop) -> None:
    assert {"log", "show", "verify", "wrap"} <= set(offered(shop, ""))
    assert "ingest" not in offered(shop, "")
    assert set(offered(shop, "ledger", "")) == {"verify"}
    assert "--output" in offered(shop, "show", "--")
    assert set(offered(shop, "help", "ev")) == {"events", "evidence"}
    assert set(offered(shop, "config", "get", "ev")) == {"evidence.retention"}


def test_ids_come_with_their_commands(shop: Shop) -> None:
    first, second = shop.record("echo", "one"), shop.record("echo", "two")
    shown = {
        shop.dre("show", id, "--json").json()["short"]: command
        for id, command in ((first, "echo one"), (second, "echo two"))
    }
    found = offered(shop, "show", "")
    assert found.pop("last") == "the newest"
    assert found == shown
    short = next(iter(shown))
    assert list(offered(shop, "verify", short[:2].lower())) == [id for id in shown if id.startswith(short[:2])]


def test_where_nothing_is_recorded_only_last_is_offered(shop: Shop) -> None:
    assert set(offered(shop, "show", "")) == {"last"}
    assert not (shop.folder / ".dre").exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--ver"], {"--verify"}),
        (["--wait", "--no-"], {"--no-workspace", "--no-color"}),
        (["--label", "a=b", "--ti"], {"--timeout"}),
        (["-"], set(OPTIONS)),
        (["--label", ""], set()),
        (["--timeout", "5", "zz-"], {"zz-tool"}),
        (["--quiet", "-C", ".", "zz-"], {"zz-tool"}),
    ],
)
def test_wrap_offers_its_options_and_then_commands(shop: Shop, words: list[str], found: set[str]) -> None:
    """And of what lies on the PATH only what can be run."""
    tools = shop.folder / "tools"
    tools.mkdir()
    for name, mode in (("zz-tool", 0o755), ("zz-text", 0o644)):
        (tools / name).touch(mode)

    assert set(offered(shop, "wrap", *words, PATH=f"{tools}:/nowhere:{os.environ['PATH']}")) == found


def test_every_option_of_wrap_is_offered() -> None:
    assert set(OPTIONS) == {*options._FLAGS, *options._VALUED, "--help"}


def test_in_a_real_bash_wrap_completes_commands_files_and_options(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.folder / "tools").mkdir()
    (shop.folder / "tools" / "zz-tool").touch(0o755)
    (shop.folder / "second-file").touch()
    monkeypatch.setenv("PATH", f"{Path(DRE).parent}:{shop.folder}/tools:{os.environ['PATH']}")
    bash = Terminal(shop.folder)
    try:
        bash.run_to_prompt('eval "$(_DRE_COMPLETE=bash_source dre)"')
        for typed, completed in (
            ("dre wrap ./sec", "./second-file "),
            ("dre wrap zz-to", "zz-tool "),
            ("dre wrap --veri", "--verify "),
            ("dre wrap --label a=b --writes sec", "second-file "),
            ("dre wrap --id-file=sec", "second-file "),
            ("dre wrap cat -n sec", "second-file "),
            ("dre wrap -C too", "tools/"),
            ("dre show las", "last "),
        ):
            bash.type(typed)
            bash.see(typed)
            bash.type("\t:\x01echo ended=\n")  # Ctrl-A: what was completed is told by echo
            bash.see(f"{completed}:\r\n", "PROMPT>")
    finally:
        bash.close()
