"""Once a spool is history, nothing of a secret is anywhere: not in blobs, not in the ledger, not in its log."""

import base64
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from capture.recorded import History, Place, states, until

from dre.capture.ingest import Rules

SECRET = "Tr0ub4dor&3-horse/battery+staple"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq8\nq9Zt3x0aLw2mWc1d\n-----END RSA PRIVATE KEY-----"
TOKEN = "ghp_" + "aB3d" * 9
FORMS = [
    SECRET.encode(),
    *(base64.b64encode(b"." * before + SECRET.encode())[4:-8] for before in range(3)),
    SECRET.encode().hex().encode(),
    SECRET[::-1].encode(),
    b"Tr0ub4dor%263-horse",
    b"MIIEpAIBAAKCAQEA7bq8",
    b"q9Zt3x0aLw2mWc1d",
    TOKEN.encode(),
]


async def everything(history: History, *folders: Path) -> bytes:
    """Every file below, also those that only a crash would have left; blobs also as what they hold."""
    found = []
    for folder in (history.folder, *folders):
        for path in sorted(folder.rglob("*")):
            found.append(os.fsencode(str(path)))
            if path.is_file():
                found.append(path.read_bytes())
            if path.is_file() and len(path.name) == 62:
                found.append(await history.into.blobs.read_all(path.parent.name + path.name, 1 << 30))
    return b"\0".join(found)


async def test_a_secret_reaches_nothing_that_stays(repository: Place, history: History) -> None:
    folder = repository.top / f"in {SECRET.replace('/', '_')}"
    folder.mkdir()
    script = """
        echo "plain $API_TOKEN"; printf '%s' "$API_TOKEN" | base64; printf 'x%s' "$API_TOKEN" | base64 -w0
        printf '%s' "$API_TOKEN" | xxd -p -c 200 || printf '%s' "$API_TOKEN" | od -An -tx1 | tr -d ' \\n'
        echo "$API_TOKEN" | rev >&2; printf '%s' "$DEPLOY_KEY"; echo; echo "$DEPLOY_KEY" | head -2 | tail -1 >&2
        printf '%s' "$API_TOKEN" > "token.txt"; echo "key = '$API_TOKEN'" > settings.py; echo x > "$API_TOKEN2.txt"
        echo "<testsuite><testcase name='$1'/></testsuite>" > report.xml
        echo found ghp_aB3daB3daB3daB3daB3daB3daB3daB3daB3d
    """
    safe = SECRET.replace("/", "_")
    id = repository.wrap(
        *("--label", f"with={SECRET}", "--writes", f"{SECRET}/**"),
        *("sh", "-c", script, "sh", SECRET, f"--password={SECRET}"),
        environment={"API_TOKEN": SECRET, "DEPLOY_KEY": KEY, "API_TOKEN2": safe, "PATH_TO": SECRET},
        cwd=folder,
    )
    assert states(await history.take(repository, Rules(report_globs=["report.xml"]))) == ["recorded"]
    items = await history.items(id)
    assert {"output", "changes", "diff", "environment", "report"} <= set(items)
    assert items["output"].metadata["redacted"]
    assert "known-value" in str(items["output"].metadata["redactedRules"])

    left = await everything(history, repository.top / ".dre")

    for form in [*FORMS, safe.encode()]:
        assert form not in left
    assert hashlib.sha256(SECRET.encode()).hexdigest().encode() not in left  # token.txt holds nothing else
    assert left.count(b"[redacted:known-value]") > 8
    assert b"[redacted:github-token]" in left


async def test_nor_while_late_output_is_waited_for(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The raw output goes at once; what names the secret stays in the spool until the last word is redacted."""
    monkeypatch.setattr("dre.capture.ingest.LATE_PATIENCE_S", 0.1)
    script = 'echo $API_TOKEN; (while ! [ -e go ]; do sleep .02; done; echo "late $API_TOKEN") &'
    with repository.start("sh", "-c", script, env=os.environ | {"API_TOKEN": SECRET}) as shim:
        shim.wait()
        [id] = repository.ids()
        assert states(await history.take(repository)) == ["late output open"]
        spool = repository.spool()
        with_secret = [
            path.name for path in spool.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
        ]
        assert with_secret == ["needles"]
        (repository.top / "go").touch()
        shim.communicate()
    until(lambda: (spool / "late.journal").stat().st_size < 4096, "the drainer's last frame")
    assert states(await history.take(repository)) == ["recorded"]

    assert await history.content(id, "late_output") == b"late [redacted:known-value]\n"
    left = await everything(history, repository.top / ".dre")
    assert SECRET.encode() not in left


async def test_a_secret_in_two_writes_with_the_other_output_between(place: Place, history: History) -> None:
    half = len(SECRET) // 2
    script = f"printf '%s' '{SECRET[:half]}'; sleep .05; echo noise >&2; sleep .05; printf '%s' '{SECRET[half:]}'"
    id = place.wrap("sh", "-c", script, environment={"API_TOKEN": SECRET})
    await history.take(place)

    assert (await history.content(id, "output")).replace(b"noise\n", b"") == b"[redacted:known-value]"


async def test_a_spool_that_cannot_be_redacted_is_not_ingested(place: Place, history: History) -> None:
    id = place.wrap("echo", SECRET, environment={"API_TOKEN": SECRET})
    (place.spools / str(id) / "needles").write_bytes(b"\x20\0\0\0short")

    [refused] = await history.take(place)

    assert (refused.state, "needles" in str(refused.error)) == ("refused", True)
    assert SECRET.encode() not in await everything(history)


async def test_a_pattern_of_the_user_s_goes_for_everything(repository: Place, history: History) -> None:
    id = repository.wrap("sh", "-c", "echo ACME-0123ABCD | tee file.txt", "--serial=ACME-77777777")
    await history.take(repository, Rules(secret_patterns=["ACME-[0-9A-F]{8}"]))

    left = await everything(history)
    assert b"ACME-0" not in left
    assert b"ACME-7" not in left
    assert await history.content(id, "output") == b"[redacted:configured]\n"


async def test_a_copy_of_the_folder_holds_no_secret_either(repository: Place, history: History) -> None:
    """As a backup taken in the moment after would have it, with whatever the database keeps beside itself."""
    repository.wrap("echo", SECRET, environment={"API_TOKEN": SECRET})
    await history.take(repository)
    copy = repository.top.parent / "copy"
    shutil.copytree(history.folder, copy)

    assert any(path.name.startswith("ledger.db") for path in copy.iterdir())
    assert all(SECRET.encode() not in path.read_bytes() for path in copy.rglob("*") if path.is_file())
