"""One operation whole."""

import subprocess
import sys

from cli.shop import BROKEN_OUTPUT, BROKEN_REPORT
from playwright.async_api import expect
from server.pages.facts import Facts
from server.pages.visiting import Visitor
from server.served import Served

from dre.domain.workspace import ChangedFile


async def test_a_failed_run_says_verdict_why_and_the_failing_tests_with_their_output_first(
    visitor: Visitor, facts: Facts
) -> None:
    id = await facts.run(exit_code=1, output=BROKEN_OUTPUT.encode(), report=BROKEN_REPORT.encode())

    page = await visitor.visit(f"/operations/{id}")

    await expect(page.locator(".headline")).to_have_text("✗ failed")
    first = page.locator(".reasons > li").first
    await expect(first).to_contain_text("1 of 3 tests failed, 1 ended in an error")
    failing = first.locator(".findings > li")
    await expect(failing).to_have_count(2)
    await expect(failing.first.locator("strong")).to_have_text("tests/test_cart.py::test_total (line 8)")
    await expect(failing.first.locator(".around")).to_contain_text("assert total() == 42")
    headings = await page.locator("h1, h2").all_inner_texts()
    assert headings == ["pytest -q", "Why", "What was seen", "Output", "Evidence", "Events"]
    await expect(page.locator("dl").first).to_contain_text("assurance local: the same user could rewrite all of it")


async def test_everything_is_there_without_javascript(visitor: Visitor, facts: Facts) -> None:
    files = [ChangedFile("src/cart.py", "modified", "100644"), ChangedFile("new.py", "added", "100644")]
    id = await facts.run(exit_code=1, output=BROKEN_OUTPUT.encode(), report=BROKEN_REPORT.encode(), files=files)

    with_it = await visitor.visit(f"/operations/{id}")
    await expect(with_it.locator("#live")).to_have_text("live")
    without = await visitor.visit(f"/operations/{id}", java_script_enabled=False)

    assert await without.locator("main").inner_text() == await with_it.locator("main").inner_text()
    await expect(without.locator(".files")).to_contain_text("src/cart.py")
    await expect(without.locator("#live")).to_be_hidden()


async def test_lines_of_output_are_links(visitor: Visitor, facts: Facts) -> None:
    id = await facts.run(output=b"".join(b"line %d\n" % number for number in range(1, 31)))
    page = await visitor.visit(f"/operations/{id}", java_script_enabled=False)

    await page.locator("#L12 a").click()

    assert page.url.endswith("#L12")
    await expect(page.locator(".line:target")).to_have_text("line 12")


async def test_of_a_long_output_the_end_is_shown_and_the_rest_page_by_page(visitor: Visitor, facts: Facts) -> None:
    id = await facts.run(output=b"".join(b"line %d\n" % number for number in range(1, 2502)))
    page = await visitor.visit(f"/operations/{id}", java_script_enabled=False)
    lines = page.locator(".output .line")
    await expect(lines).to_have_count(200)
    await expect(lines.last).to_have_text("line 2501")
    await expect(lines.first).to_have_attribute("id", "L2302")

    await page.get_by_role("link", name="all of them").click()
    await expect(lines).to_have_count(1000)
    await expect(lines.first).to_have_text("line 1")
    await page.get_by_role("link", name="Lines after").first.click()
    await page.get_by_role("link", name="Lines after").first.click()

    await expect(lines).to_have_count(501)
    await expect(lines.first).to_have_attribute("id", "L2001")
    await expect(lines.last).to_have_text("line 2501")
    await expect(page.get_by_role("link", name="Lines after")).to_have_count(0)


async def test_on_paper_all_lines_that_are_shown_are_there(visitor: Visitor, facts: Facts) -> None:
    id = await facts.run(output=b"".join(b"line %d\n" % number for number in range(1, 151)))
    page = await visitor.visit(f"/operations/{id}", java_script_enabled=False)
    is_cut = "([shown]) => shown.scrollHeight > shown.clientHeight"
    assert await page.locator("pre.output").evaluate_all(is_cut)

    await page.emulate_media(media="print")

    assert not await page.locator("pre.output").evaluate_all(is_cut)


async def test_evidence_is_downloaded_byte_for_byte(visitor: Visitor, facts: Facts) -> None:
    content = b"<script>alert(1)</script>\xff\n"
    id = await facts.run(output=content)
    page = await visitor.visit(f"/operations/{id}")

    async with page.expect_download() as started:
        await page.get_by_role("link", name="output.txt").click()

    download = await started.value
    assert (await download.path()).read_bytes() == content
    assert download.suggested_filename == "output.txt"


async def test_events_come_with_what_was_hashed(visitor: Visitor, facts: Facts, served: Served) -> None:
    id = await facts.run(output=b"hello\n")
    page = await visitor.visit(f"/operations/{id}", java_script_enabled=False)
    proved = (await served.get(f"/events?stream=default/operation-{id}&proofs=true"))["items"]

    for event in proved:
        place = page.locator(f"#E{event['position']}")
        await place.locator("summary").click()
        told = await place.locator("dd").all_inner_texts()
        assert told[0].strip() == event["entry"].strip()
        assert told[2:] == [event["salt"], event["body"]]


async def test_verify_here_examines_events_and_evidence(visitor: Visitor, facts: Facts, served: Served) -> None:
    id = await facts.run(output=b"hello\n")
    page = await visitor.visit(f"/operations/{id}", java_script_enabled=False)

    await page.get_by_role("link", name="verify here", exact=True).click()
    await expect(page.locator(".headline")).to_have_text("✓ intact")
    await expect(page.locator("dl")).to_contain_text("9 events and 2 items of evidence")

    [item] = [one for one in (await served.get(f"/operations/{id}"))["evidence"] if one["name"] == "output.txt"]
    stored = served.folder / ".dre" / "evidence" / item["hash"][:2] / item["hash"][2:]
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")

    await page.get_by_role("link", name="Verify again").click()
    await expect(page.locator(".headline")).to_have_text("✗ altered")
    await expect(page.locator(".altered")).to_contain_text("output.txt is not what was recorded")
    await page.get_by_role("link", name="Back to the operation").click()
    await expect(page.locator("main")).to_contain_text("it is not what was recorded")
    await expect(page.locator(".output")).to_have_count(0)


async def test_output_of_no_lines_end_and_odd_bytes_is_shown_as_it_is(visitor: Visitor, facts: Facts) -> None:
    id = await facts.run(output=b"\x1b[1;32mok\x1b[0m\x1b[K\r\n\n\xff\xfe tail \x1b[2J")
    page = await visitor.visit(f"/operations/{id}", java_script_enabled=False)

    await expect(page.locator(".output .line")).to_have_text(["ok", "", "\\xff\\xfe tail ␛[2J"])


async def test_an_altered_event_is_said_first_and_by_its_position(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.run("make all", exit_code=1)
    events = (await served.get(f"/events?stream=default/operation-{id}"))["items"]
    [ended] = [event["position"] for event in events if event["type"] == "operation.completed"]
    page = await visitor.visit(java_script_enabled=False)

    flip(served, ended, b'"exitCode":1', b'"exitCode":0')
    await page.goto(f"{served.page}/operations/{id}")
    await expect(page.locator(".headline")).to_have_text("✗ altered")
    await expect(page.locator(".altered")).to_contain_text(f"event {ended}: its body is not what its entry commits to")

    flip(served, events[0]["position"], b'"command":', b'"c\xffmmand":')
    await page.goto(f"{served.page}/operations/{id}")
    await expect(page.locator("main")).to_contain_text(f"Event {events[0]['position']}: its body is not")
    visitor.forgive("500")
    served.is_altered = True


FLIP = """
import sqlite3, sys
path, position, old, new = sys.argv[1], int(sys.argv[2]), *map(bytes.fromhex, sys.argv[3:])
database = sqlite3.connect(path)
for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
    database.execute(f"drop trigger {trigger}")
[[body]] = database.execute("select body from body where position = ?", [position])
assert old in body
database.execute("update body set body = ? where position = ?", [body.replace(old, new), position])
database.commit()
"""


def flip(served: Served, position: int, old: bytes, new: bytes) -> None:
    """As somebody with the file in their hands does it: in a process of theirs, since locks belong to processes."""
    ledger = served.folder / ".dre" / "ledger.db"
    subprocess.run([sys.executable, "-c", FLIP, str(ledger), str(position), old.hex(), new.hex()], check=True)
