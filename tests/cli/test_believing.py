"""`dre verify` and `dre ledger verify`: intact, altered, failed, unknown, and the exit status that says which."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from cli.conftest import Flip
from cli.shop import Shop

from dre.composition import open_engine, read_settings
from dre.verification.follower import VERIFIERS, judge_again


def blob_of(shop: Shop, name: str) -> Path:
    [item] = [item for item in shop.dre("show", "--json").json()["evidence"] if item["name"] == name]
    address = str(item["hash"])
    return shop.folder / ".dre" / "evidence" / address[:2] / address[2:]


def test_intact_and_passed_is_0(shop: Shop) -> None:
    shop.passes()
    answer = shop.dre("verify", "--json")
    assert answer.status == 0
    assert answer.json()["intact"] is True
    assert answer.json()["verdict"]["result"] == "passed"
    assert shop.dre("verify").status == 0


def test_intact_and_failed_is_1(shop: Shop) -> None:
    shop.fails()
    answer = shop.dre("verify", "--json")
    assert (answer.status, answer.json()["intact"]) == (1, True)


def test_a_spoiled_recording_is_not_answered_for_by_the_one_before_it(shop: Shop) -> None:
    before = shop.passes()
    shop.dre("wrap", "sh", "-c", "for journal in .dre/spool/*/journal; do : > $journal; done; exit 1")

    answer = shop.dre("verify")

    assert answer.status == 3
    assert "ran last, and it is not recorded" in answer.err
    assert shop.dre("verify", before).status == 0


def test_an_older_copy_is_1_also_where_its_newest_operation_passed(shop: Shop, tmp_path: Path) -> None:
    shop.passes()
    shutil.copytree(shop.folder / ".dre", tmp_path / "older")
    shop.fails()
    shutil.rmtree(shop.folder / ".dre")
    shutil.copytree(tmp_path / "older", shop.folder / ".dre")

    answer = shop.dre("verify")

    assert answer.status == 1
    assert "older copy" in answer.err


def test_verifying_twice_judges_once(shop: Shop) -> None:
    shop.passes()
    before = len(shop.events())
    for _ in range(2):
        assert shop.dre("verify").status == 0
    assert len(shop.events()) == before


def test_asked_again_it_is_judged_anew_each_time(shop: Shop) -> None:
    shop.passes()
    before = len(shop.events())
    assert shop.dre("verify", "--again").status == 0
    once = len(shop.events())
    assert shop.dre("verify", "--again").status == 0
    assert (once - before, len(shop.events()) - once) == (4, 4)


def test_what_was_judged_while_its_evidence_was_altered_is_judged_again_once_that_is_back(shop: Shop) -> None:
    id = UUID(shop.passes())
    blob = blob_of(shop, "output.txt")
    blob.chmod(0o600)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + b"?")
    assert shop.dre("verify", "--again").status == 1  # it says so, and records nothing

    async def judge_what_is_altered() -> None:
        async with open_engine(read_settings(str(shop.folder), os.environ)) as engine:
            await judge_again(engine.store, engine.appender, engine.blobs, actor=engine.actor, operation_id=id)

    asyncio.run(judge_what_is_altered())
    blob.write_bytes(whole)
    assert shop.dre("verify").status == 1  # what was concluded stands

    again = shop.dre("verify", "--again")

    assert again.status == 0
    assert "PASSED" in again.out


def test_a_verdict_of_older_verifiers_is_judged_anew_once(shop: Shop) -> None:
    id = UUID(shop.passes())
    older = [msgspec.structs.replace(verifier, name=verifier.name.partition("/")[0] + "/0") for verifier in VERIFIERS]

    async def judge_as_before() -> None:
        async with open_engine(read_settings(str(shop.folder), os.environ)) as engine:
            await judge_again(
                engine.store, engine.appender, engine.blobs, actor=engine.actor, operation_id=id, verifiers=older
            )

    asyncio.run(judge_as_before())
    assert judges(shop) == {"programmatic/0", "structural/0"}
    assert shop.dre("verify").status == 0
    assert judges(shop) == {verifier.name for verifier in VERIFIERS}
    known = len(shop.events())
    assert shop.dre("verify").status == 0
    assert len(shop.events()) == known


def judges(shop: Shop) -> set[str]:
    return {judged["verifier"] for judged in shop.dre("show", "--json").json()["verdict"]["judged"]}


def test_altered_evidence_is_named_first_and_is_1(shop: Shop) -> None:
    shop.passes()
    blob = blob_of(shop, "output.txt")
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    answer = shop.dre("verify")
    assert answer.status == 1
    assert answer.out.startswith("ALTERED")
    assert "output.txt" in answer.out
    assert "the history itself is intact up to event" in answer.out
    altered = shop.dre("verify", "--json").json()
    assert altered["intact"] is False
    assert [(one["part"], one["position"]) for one in altered["altered"]] == [
        ("evidence", shop.position_of("evidence.collected", 0))
    ]


def test_missing_evidence_is_1(shop: Shop) -> None:
    shop.passes()
    blob_of(shop, "output.txt").unlink()
    answer = shop.dre("verify")
    assert (answer.status, "evidence output.txt is missing" in answer.out) == (1, True)
    assert shop.dre("ledger", "verify").status == 1


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("body", b'"exitCode":0', b'"exitCode":7'),
        ("body", b'"outcome"', b'"autcome"'),
        ("body", b"{", b"["),
        ("type", b"operation.completed", b"operation.complained"),
        ("actor", b"local-", b"lokal-"),
    ],
)
def test_an_altered_event_is_1_and_its_position_named(
    shop: Shop, flip: Flip, column: str, old: bytes, new: bytes
) -> None:
    shop.passes()
    position = shop.position_of("operation.completed")
    flip(column, position, old, new)
    answer = shop.dre("verify")
    assert answer.status == 1, answer.err
    assert f"event {position}" in answer.out + answer.err
    whole = shop.dre("ledger", "verify", "--json")
    assert (whole.status, whole.json()["firstWrong"]) == (1, position)
    assert whole.json()["integrity"] == "altered"


def test_an_alteration_elsewhere_is_found_by_the_whole_and_not_blamed_on_the_operation(shop: Shop, flip: Flip) -> None:
    first = shop.passes()
    second = shop.passes()
    position = shop.position_of("operation.completed", 0)
    flip("body", position, b'"exitCode":0', b'"exitCode":9')
    assert shop.dre("verify", first).status == 1
    assert shop.dre("verify", second).status == 0
    assert shop.dre("ledger", "verify").status == 1


def test_a_whole_history_that_holds_is_0_and_says_what_that_does_not_prove(shop: Shop) -> None:
    shop.passes()
    answer = shop.dre("ledger", "verify")
    assert answer.status == 0
    assert answer.out.startswith("Integrity  verified: ")
    assert "Assurance  local: the same user could rewrite all of it" in answer.out
    assert "A hash chain proves that it agrees with itself" in answer.out
    read = shop.dre("ledger", "verify", "--json").json()
    assert (read["integrity"], read["assurance"], read["firstWrong"], read["wrong"]) == ("verified", "local", None, [])
    assert read["events"] == len(shop.events())
    assert read["blobs"] == len({item["hash"] for item in shop.dre("show", "--json").json()["evidence"]})


def test_the_whole_is_verified_without_any_table(shop: Shop) -> None:
    shop.passes()
    shutil.rmtree(shop.folder / ".dre" / "cache")
    assert shop.dre("ledger", "verify").status == 0
    tables = shop.folder / ".dre" / "cache" / "tables.db"
    tables.parent.mkdir(exist_ok=True)
    tables.write_bytes(b"this is no database" * 100)
    answer = shop.dre("ledger", "verify")
    assert answer.status == 0, answer.err


def test_a_history_that_was_cut_off_or_replaced_is_1(shop: Shop, tmp_path: Path) -> None:
    shop.record("true")
    shutil.copytree(shop.folder / ".dre", tmp_path / "older")
    shop.record("true")
    shutil.rmtree(shop.folder / ".dre")
    shutil.copytree(tmp_path / "older", shop.folder / ".dre")

    log = shop.dre("log")
    assert log.status == 0
    assert "it is an older copy" in log.err
    whole = shop.dre("ledger", "verify", "--json")
    assert whole.status == 1
    assert "older copy" in json.dumps(whole.json()["wrong"])
    doctor = shop.dre("doctor")
    assert (doctor.status, "older copy" in doctor.out) == (1, True)
    refused = shop.dre("config", "set", "evidence.retention", "1d")
    assert (refused.status, "older copy" in refused.err) == (1, True)
    assert not (shop.folder / ".dre" / "config.json").exists()


@pytest.mark.parametrize(
    ("left", "said"),
    [(100, "; it was cut: 100 of "), (50, "; it was cut to 50 bytes"), (8192, "; it was cut: 8192 of ")],
)
def test_a_ledger_file_that_was_cut_is_1_and_says_what_where_and_what_to_do(shop: Shop, left: int, said: str) -> None:
    shop.record("true")
    ledger = shop.folder / ".dre" / "ledger.db"
    os.truncate(ledger, left)
    for words in (["log"], ["ledger", "verify"], ["verify"], ["doctor"]):
        answer = shop.dre(*words)
        told = answer.out + answer.err
        assert (answer.status, "unexpected" in told) == (1, False), words
        assert f"{ledger} is damaged" in told
        assert said in told
        assert "put back the newest backup" in told


def test_a_ledger_file_that_was_emptied_is_told_from_an_older_copy(shop: Shop) -> None:
    shop.record("true")
    os.truncate(shop.folder / ".dre" / "ledger.db", 0)
    log, doctor, whole = shop.dre("log"), shop.dre("doctor"), shop.dre("ledger", "verify")
    assert "its ledger.db was emptied" in log.err
    assert (doctor.status, "its ledger.db was emptied" in doctor.out) == (1, True)
    assert "nothing could be verified" in doctor.out
    assert (whole.status, "its ledger.db was emptied" in whole.out) == (1, True)


def test_another_ledgers_history_is_1(shop: Shop, tmp_path: Path) -> None:
    """Somebody else's whole history, which agrees with itself, under this ledger's name."""
    shop.record("true")
    other = tmp_path / "other"
    other.mkdir()
    stranger = Shop(other)
    for _ in range(3):
        stranger.record("true")
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (shop.folder / ".dre" / name).unlink(missing_ok=True)
        if (other / ".dre" / name).exists():
            shutil.copy(other / ".dre" / name, shop.folder / ".dre" / name)
    whole = shop.dre("ledger", "verify")
    assert whole.status == 1
    assert "another" in whole.out


def test_nothing_to_verify_is_3(tmp_path: Path) -> None:
    assert Shop(tmp_path).dre("ledger", "verify").status == 3
    assert Shop(tmp_path).dre("verify").status == 3


def test_a_lost_ledger_is_1_and_init_names_what_is_lost(shop: Shop) -> None:
    shop.record("true")
    events = len(shop.events())
    shutil.rmtree(shop.folder / ".dre")
    for words in (["log"], ["show"], ["ledger", "verify"], ["verify"], ["config", "set", "evidence.retention", "1d"]):
        answer = shop.dre(*words)
        assert answer.status == 1, words
        assert "is gone: " in answer.err
        assert f"{events} events" in answer.err
        assert "dre init begins a new one" in answer.err
    begun = shop.dre("init")
    assert begun.status == 0
    assert f"with {events} events" in begun.err
    assert "given up" in begun.err
    assert shop.dre("ledger", "verify").status == 0
