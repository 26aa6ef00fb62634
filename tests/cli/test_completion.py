"""What a shell is offered: commands, options, ideas, settings, and the ids of operations with their commands."""

from cli.shop import Shop


def offered(shop: Shop, *words: str) -> dict[str, str]:
    line = " ".join(["dre", *words])
    answer = shop.dre(_DRE_COMPLETE="zsh_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
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
