"""The screens, from real recordings, against golden files: the answer first, then why, then what was not seen."""

from pathlib import Path

from cli import golden
from cli.conftest import Flip
from cli.shop import Shop


def test_the_screens_of_runs_that_passed_and_failed(shop: Shop) -> None:
    passed = shop.passes()
    failed = shop.fails()
    shop.record("--label", "suite=unit", "sh", "-c", "echo changed > note.txt; printf 'all \\033[32mgreen\\033[0m\\n'")
    shop.record("sh", "-c", "echo one; echo two; exit 3", status=3)

    golden.check("show-passed", shop.dre("show", passed).out, shop)
    golden.check("show-failed", shop.dre("show", failed).out, shop)
    golden.check("show-weak", shop.dre("show", "-").out, shop)
    golden.check("show-exit-status", shop.dre("show").out, shop)
    golden.check("log", shop.dre("log").out, shop)
    golden.check("verify-passed", shop.dre("verify", passed).out, shop)
    golden.check("verify-failed", shop.dre("verify", failed).out, shop)
    golden.check("ledger-verify", shop.dre("ledger", "verify").out, shop)
    golden.check("doctor", shop.dre("doctor").out, shop)


def test_the_screens_of_what_was_altered(shop: Shop, flip: Flip) -> None:
    id = shop.passes()
    position = shop.position_of("operation.completed")
    stored = [item for item in shop.dre("show", id, "--json").json()["evidence"] if item["name"] == "report-1.xml"]
    blob = shop.folder / ".dre" / "evidence" / stored[0]["hash"][:2] / stored[0]["hash"][2:]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes() + b"!")
    golden.check("verify-altered-evidence", shop.dre("verify", id).out, shop)

    flip("body", position, b'"exitCode":0', b'"exitCode":1')
    golden.check("verify-altered-event", shop.dre("verify", id).out, shop)
    golden.check("show-altered", shop.dre("show", id).out, shop)
    golden.check("ledger-verify-altered", shop.dre("ledger", "verify").out, shop)
    golden.check("doctor-altered", shop.dre("doctor").out, shop)


def test_the_screens_of_setting_up(shop: Shop, tmp_path: Path) -> None:
    golden.check("init", shop.dre("init").out, shop)
    golden.check("init-again", shop.dre("init", "--ci-mode").out, shop)
    shop.dre("config", "set", "evidence.retention", "30d")
    golden.check("config-list", shop.dre("config", "list").out, shop)
    golden.check("trust", shop.dre("trust", XDG_STATE_HOME=str(tmp_path / "elsewhere")).err, shop)


def test_the_screens_of_help(shop: Shop) -> None:
    golden.check("help", shop.dre("--help").out, shop)
    golden.check("help-show", shop.dre("show", "--help").out, shop)
    golden.check("help-config-set", shop.dre("help", "config", "set").out, shop)
