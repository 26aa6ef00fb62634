"""The list: what stands in it, which of it is asked for, and how it goes on."""

import shutil
from pathlib import Path

from playwright.async_api import expect
from server.pages.facts import Facts
from server.pages.visiting import Visitor
from server.served import ORIGIN_OF_THE_PAST, Served, serve


async def test_rows_say_verdict_command_reason_age_and_length(visitor: Visitor, facts: Facts) -> None:
    await facts.run("make all", exit_code=2, output=b"no\n")

    page = await visitor.visit(java_script_enabled=False)

    row = page.locator("#operations li")
    await expect(row.locator(".told")).to_have_text("✗ failed")
    await expect(row.locator(".command")).to_have_text("make all")
    await expect(row.locator(".reason")).to_have_text("exited 2")
    await expect(row.locator(".age")).to_have_text("just now")
    await expect(row.locator(".length")).to_have_text("9 ms")


async def test_the_filter_works_by_words_verdict_and_outcome_without_javascript(visitor: Visitor, facts: Facts) -> None:
    await facts.run("make all")
    await facts.run("make test", exit_code=1)
    await facts.begin("npm test")
    page = await visitor.visit(java_script_enabled=False)
    commands = page.locator("#operations .command")
    await expect(commands).to_have_text(["npm test", "make test", "make all"])

    await page.get_by_label("Command").fill("TEST")
    await page.get_by_role("button", name="Filter").click()
    await expect(commands).to_have_text(["npm test", "make test"])
    await expect(page.get_by_label("Command")).to_have_value("TEST")

    await page.get_by_label("Verdict").select_option("failed")
    await page.get_by_role("button", name="Filter").click()
    await expect(commands).to_have_text(["make test"])

    await page.get_by_label("Ended").select_option("succeeded")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator(".empty")).to_contain_text("No operation fits")

    await page.get_by_role("link", name="Show all").first.click()
    await expect(commands).to_have_count(3)


async def test_older_ones_are_behind_a_cursor(visitor: Visitor, facts: Facts) -> None:
    for number in range(60):
        await facts.begin(f"make {number}", at_ms=ORIGIN_OF_THE_PAST + number)
    page = await visitor.visit("/?command=make")
    commands = page.locator("#operations .command")
    await expect(commands).to_have_text([f"make {number}" for number in range(59, 9, -1)])

    await page.get_by_role("link", name="Older").click()

    await expect(commands).to_have_text([f"make {number}" for number in range(9, -1, -1)])
    await expect(page.get_by_label("Command")).to_have_value("make")
    await expect(page.get_by_role("link", name="Older")).to_have_count(0)
    await page.get_by_role("link", name="Newest").click()
    await expect(commands.first).to_have_text("make 59")


async def test_an_empty_workspace_says_what_to_do(visitor: Visitor) -> None:
    page = await visitor.visit(java_script_enabled=False)

    await expect(page.locator(".empty")).to_contain_text("dre wrap COMMAND")


async def test_a_workspace_that_records_nothing_says_so(served: Served, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(served.folder, copied, ignore=shutil.ignore_patterns("serving", "token"))

    async with serve(copied) as another, another.http.get(another.base, headers={"Accept": "text/html"}) as response:
        text = await response.text()

    assert "nothing is recorded here" in text
    assert "dre trust makes it a ledger of its own" in text


async def test_what_cannot_be_asked_is_refused_on_a_page(served: Served) -> None:
    accepting = {"Accept": "text/html"}
    for path, status in (
        ("/?status=banana", 400),
        ("/?cursor=banana", 400),
        ("/?page=2", 400),
        ("/operations/banana", 400),
        ("/operations/01919191-0000-7000-8000-000000000000", 404),
        ("/nothing", 404),
    ):
        async with served.http.get(served.base + path, headers=accepting) as response:
            assert response.status == status, path
            assert response.content_type == "text/html"
            assert "<h1>" in await response.text()
    async with served.http.post(served.base + "/", headers=accepting) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
