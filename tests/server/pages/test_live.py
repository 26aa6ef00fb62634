"""Pages that are kept up to date while somebody looks at them."""

import asyncio
import re

import msgspec
from playwright.async_api import Locator, Route, expect
from server.pages.facts import Facts
from server.pages.visiting import Visitor
from server.served import Served

from dre.capture.hearing import Heard
from dre.documentation.safe import Decoder
from dre.domain.workspace import ChangedFile
from dre.server.live import LIVE
from dre.server.running import SoFar
from dre.server.stream.ring import Entry


async def test_an_operation_arrives_while_it_runs_and_gets_its_verdict(visitor: Visitor) -> None:
    page = await visitor.visit()
    await expect(page.locator("#live")).to_have_text("live")

    await visitor.wrap("sh", "-c", "echo hello")

    row = page.locator("#operations li")
    await expect(row).to_have_count(1)
    await expect(row.locator(".command")).to_have_text("sh -c 'echo hello'")
    await expect(row.locator(".verdict")).to_contain_text("passed")

    await row.locator("a").click()
    await expect(page.locator("h1")).to_have_text("sh -c 'echo hello'")
    await expect(page.locator(".output .line").first).to_contain_text("hello")


async def test_new_rows_wait_behind_a_button_and_known_ones_change_where_they_are(
    visitor: Visitor, facts: Facts
) -> None:
    running = await facts.begin("make first")
    page = await visitor.visit()
    row = page.locator(f"#o{running}")
    await expect(row).to_contain_text("running")
    await expect(page.locator("#live")).to_have_text("live")
    before = await row.bounding_box()
    button = page.locator("#waiting")
    await expect(button).to_be_hidden()

    await facts.run("make second")
    await facts.run("make third", exit_code=1)
    await facts.end(running, output=b"done\n")

    await expect(button).to_have_text("2 new")
    await expect(page).to_have_title(re.compile(r"^\(2\) "))
    await expect(row).to_contain_text("passed")
    await expect(page.locator("#operations li")).to_have_count(1)
    assert await row.bounding_box() == before

    await button.click()

    await expect(page.locator("#operations .command")).to_have_text(["make third", "make second", "make first"])
    await expect(button).to_be_hidden()
    await expect(page.locator("#operations .command").first).to_be_focused()


async def test_a_row_that_no_longer_fits_the_filter_says_so(visitor: Visitor, facts: Facts) -> None:
    id = await facts.begin("make first")
    page = await visitor.visit("/?status=running")
    await expect(page.locator("#live")).to_have_text("live")

    await facts.end(id)

    await expect(page.locator(f"#o{id}")).to_have_class("gone")


async def test_a_row_changes_also_when_it_is_on_an_older_page_by_now(visitor: Visitor, facts: Facts) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit()
    await expect(page.locator("#live")).to_have_text("live")
    for number in range(55):
        await facts.begin(f"make {number}")
    row = page.locator(f"#o{id}")
    await expect(page.locator("#waiting")).to_have_text("50+ new")
    await expect(row).to_contain_text("running")

    await facts.end(id)

    await expect(row).to_contain_text("passed")
    await expect(page.locator("#operations li")).to_have_count(1)


async def test_the_oldest_row_too_says_that_it_no_longer_fits_the_filter(visitor: Visitor, facts: Facts) -> None:
    id = await facts.begin("make first")
    other = await facts.begin("make second")
    page = await visitor.visit("/?status=running")
    await expect(page.locator("#live")).to_have_text("live")

    await facts.end(id)

    await expect(page.locator(f"#o{id}")).to_have_class("gone")
    await expect(page.locator(f"#o{other}")).not_to_have_class("gone")


async def test_an_operation_gets_its_end_under_the_eyes_of_who_reads_it(visitor: Visitor, facts: Facts) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator(".headline")).to_contain_text("running")
    await expect(page.locator("#live")).to_have_text("live")
    summary = page.locator(".events summary").first
    await summary.click()
    await expect(summary).to_be_focused()
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")

    await facts.end(id, exit_code=2, output=b"one\ntwo\n")

    await expect(page.locator(".headline")).to_contain_text("failed")
    await expect(page.locator(".output .line")).to_have_count(2)
    await expect(page.locator(".events details").first).to_have_attribute("open", "")
    await expect(summary).to_be_focused()
    assert await page.evaluate("`${getSelection()}`") == "make slow"
    await expect(page).to_have_title(re.compile("^failed"))


async def test_who_reads_what_arrives_goes_on_in_what_was_recorded_and_hears_how_it_ended(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    text = "".join(f"line {number}\n" for number in range(1, 151))
    served.live.hearing._tell(Heard(id, "stdout", 0, text))
    arriving, whole, ended = page.locator("#arriving"), page.locator("pre.output"), page.locator("#ended")
    await expect(arriving).to_contain_text("line 150")
    await arriving.focus()
    before = await top(arriving)
    assert await ended.text_content() == ""

    await facts.end(id, exit_code=2, output=text.encode(), files=[ChangedFile("new.py", "added", "100644")])

    await expect(whole.locator(".line")).to_have_count(150)
    await expect(whole).to_be_focused()
    assert await whole.evaluate("(shown) => shown.scrollTop + shown.clientHeight") > 150 * 16
    assert abs(await top(whole) - before) <= 2
    await expect(ended).to_have_text(re.compile("^failed · make slow"))
    await expect(page.get_by_role("status").filter(has_text="failed")).to_have_count(1)


async def test_who_reads_below_what_arrives_keeps_the_place(visitor: Visitor, facts: Facts, served: Served) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    served.live.hearing._tell(Heard(id, "stdout", 0, "one\n"))
    await expect(page.locator("#arriving")).to_contain_text("one")
    summary = page.locator(".events summary").first
    await summary.click()
    await summary.evaluate("(shown) => shown.scrollIntoView()")
    before = await top(summary)

    files = [ChangedFile(f"{number}.py", "added", "100644") for number in range(60)]
    await facts.end(id, output=b"line\n" * 150, files=files)

    await expect(page.locator(".files li")).to_have_count(60)
    await expect(summary).to_be_focused()
    assert abs(await top(summary) - before) <= 2


async def top(shown: Locator) -> float:
    return float(await shown.evaluate("(shown) => shown.getBoundingClientRect().top"))


def _printed(id: object, offset: int, text: str) -> Entry:
    message = {
        "type": "operation.output",
        "data": {"operationId": str(id), "output": "stdout", "offset": offset, "text": text},
    }
    return Entry(
        message=msgspec.json.encode(message),
        type="operation.output",
        channel="logs",
        project="default",
        operation=str(id),
    )


async def test_output_is_seen_arriving_as_text_with_nothing_hidden_but_colours(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    arriving = page.locator("#arriving")
    await expect(arriving).to_be_hidden()
    say = served.served.app[LIVE].broadcast.say

    first = "one \x1b[31mred\x1b[0m\x1b[K\r\n\x1b]0;tit"
    say(_printed(id, 0, first))
    say(_printed(id, 0, first))  # told again, as after a new connection
    say(_printed(id, len(first), "le\x07<b>two</b> \u202egnp\n"))

    await expect(arriving).to_have_text("one red\n␛]0;title␇<b>two</b> <U+202E>gnp\n", use_inner_text=True)
    await expect(arriving.locator("*")).to_have_count(0)

    await facts.end(id, output=b"whole\n")

    await expect(page.locator(".output .line")).to_have_text("whole")
    await expect(arriving).to_have_count(0)


async def test_output_that_arrives_in_pieces_is_what_the_same_bytes_are_anywhere(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    pieces = [
        *("a\x1b[3", "1mb\x1b", "[0mc\r", "\nd\re\n"),  # a colour and a line's end in halves
        *("\x1b[2J", "\x1bPhid", "den\x1b\\", "\x9b1m\x9dtitle\x9c\x8e\x7f\b\v", "\x1b_x\x1b\\\n"),
        *("\x1b[3\x1b[0m", "1m", f"\x1b[{'1' * 65}", "m\x1b[?25l\u200b\U000e0041\ufeff", "\r\x1b[0", "m\nthe end\n"),
    ]
    decoder, offset, shown = Decoder(), 0, ""
    for piece in pieces:
        served.live.broadcast.say(_printed(id, offset, piece))
        offset += len(piece.encode())
        shown += decoder.feed(piece.encode())

    arriving = page.locator("#arriving")
    await expect(arriving).to_contain_text("the end")
    assert await arriving.text_content() == shown
    assert "␛Phidden␛\\" in shown


async def test_output_is_drawn_once_for_each_frame(visitor: Visitor, facts: Facts, served: Served) -> None:
    id = await facts.begin("make fast")
    page = await visitor.visit()
    await page.context.add_init_script("window.drawn = []; window.requestAnimationFrame = (draw) => drawn.push(draw)")
    await page.goto(f"{served.page}/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    arriving = page.locator("#arriving")

    served.live.hearing._tell(Heard(id, "stdout", 0, "first\n"))
    await expect(arriving).to_have_attribute("data-stdout", "6")  # so the page is not asked for any more
    await page.evaluate("drawn.splice(0).forEach((draw) => draw())")
    assert await arriving.text_content() == "first\n"

    for number in range(100):
        served.live.hearing._tell(Heard(id, "stdout", 6 + 5 * number, f"{number:4}\n"))
    await expect(arriving).to_have_attribute("data-stdout", "506")
    assert await arriving.text_content() == "first\n"
    assert await page.evaluate("drawn.length") == 1

    await page.evaluate("drawn.pop()()")

    assert await arriving.text_content() == "first\n" + "".join(f"{number:4}\n" for number in range(100))


async def test_output_that_is_missing_is_said_to_be(visitor: Visitor, facts: Facts, served: Served) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")

    served.served.app[LIVE].broadcast.say(_printed(id, 4096, "later\n"))

    await expect(page.locator("#arriving")).to_contain_text("something is missing here")


async def test_what_passes_between_the_page_and_its_first_word_to_the_stream_is_shown(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    tell = served.live.hearing._tell
    tell(Heard(id, "stdout", 0, "one\n"))
    page = await visitor.visit()
    asked, go = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await go.wait()
        await route.continue_()

    await page.route("**/live.*.js", hold)
    await page.goto(f"{served.page}/operations/{id}", wait_until="commit")
    await asked.wait()
    await expect(page.locator("#arriving")).to_have_text("one\n")

    tell(Heard(id, "stderr", 0, "two\n"))  # nobody listens
    go.set()

    await expect(page.locator("#arriving")).to_have_text("one\ntwo\n")
    tell(Heard(id, "stdout", 4, "three\n"))
    await expect(page.locator("#arriving")).to_have_text("one\ntwo\nthree\n", use_inner_text=True)


async def test_what_passes_while_there_is_no_connection_is_shown_afterwards(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    tell = served.live.hearing._tell
    page = await visitor.visit(f"/operations/{id}")
    state, arriving = page.locator("#live"), page.locator("#arriving")
    await expect(state).to_have_text("live")
    tell(Heard(id, "stdout", 0, "one\n"))
    await expect(arriving).to_have_text("one\n")

    for listener in list(served.live.listeners):
        listener.leave()
    tell(Heard(id, "stdout", 4, "two\n"))
    await expect(state).to_have_text("reconnecting")
    await expect(state).to_have_text("live")
    tell(Heard(id, "stdout", 8, "three\n"))

    await expect(arriving).to_have_text("one\ntwo\nthree\n", use_inner_text=True)


async def test_a_message_that_jumps_ahead_waits_for_the_page_that_holds_what_came_before(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    hearing, arriving = served.live.hearing, page.locator("#arriving")
    hearing._tell(Heard(id, "stdout", 0, "one\n"))
    await expect(arriving).to_have_text("one\n")

    hearing._lately[id] = SoFar("one\ntwo\n", {"stdout": 8})  # told, and lost on the way
    hearing._tell(Heard(id, "stdout", 8, "three\n"))
    hearing._tell(Heard(id, "stderr", 0, "four\n"))

    await expect(arriving).to_have_text("one\ntwo\nthree\nfour\n", use_inner_text=True)


async def test_of_too_much_output_the_newest_told_part_is_shown_to_who_comes_later_too(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    id = await facts.begin("make slow")
    page = await visitor.visit(f"/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    served.live.hearing._tell(Heard(id, "stdout", 0, "one\n"))
    served.live.hearing._tell(Heard(id, "stdout", 4, "", "too much"))
    said = "one\n… the rest is shown when the command has ended\n"
    arriving = page.locator("#arriving")
    await expect(arriving).to_have_text(said, use_inner_text=True)

    await page.reload()
    await expect(page.locator("#live")).to_have_text("live")

    assert await arriving.text_content() == said
    await expect(arriving).to_have_attribute("data-ends", "too much")  # so that the script does not say it again


async def test_a_running_command_is_watched_from_its_middle_to_its_end(visitor: Visitor, served: Served) -> None:
    until = "while [ ! -e %s ]; do sleep 0.1; done"
    script = f"echo one; echo two >&2; {until % 'go'}; echo three; {until % 'end'}"
    running = asyncio.create_task(visitor.wrap("sh", "-c", script))
    page = await visitor.visit()
    row = page.locator("#operations li")
    await expect(row).to_contain_text("running")
    await row.locator("a").click()
    arriving = page.locator("#arriving")
    await expect(arriving).to_contain_text("one")
    await expect(arriving).to_contain_text("two")
    without = await visitor.visit(page.url.removeprefix(served.page), java_script_enabled=False)
    await expect(without.locator("#arriving")).to_contain_text("one")

    (served.folder / "go").touch()
    await expect(arriving).to_contain_text("three")
    told = await arriving.inner_text()
    assert sorted(told.split()) == ["one", "three", "two"]

    (served.folder / "end").touch()
    await running
    await expect(page.locator(".headline")).to_contain_text("passed")
    await expect(page.locator(".output .line")).to_have_count(3)


async def test_a_session_that_is_over_says_so_and_ends(visitor: Visitor, served: Served) -> None:
    page = await visitor.visit()
    await expect(page.locator("#live")).to_have_text("live")

    await visitor.end_sessions()
    served.served.app[LIVE].pulse()

    await expect(page.locator("#live")).to_contain_text("session over")
    visitor.forgive("401")


async def test_a_server_that_took_the_place_of_the_one_that_is_gone_ends_the_session(
    visitor: Visitor, served: Served
) -> None:
    page = await visitor.visit()
    await expect(page.locator("#live")).to_have_text("live")

    await page.route(f"{served.page}/", lambda route: route.fulfill(status=421))  # it does not know this page's name
    for listener in list(served.live.listeners):
        listener.leave()

    await expect(page.locator("#live")).to_contain_text("session over")
    visitor.forgive("421")


async def test_a_cut_line_is_said_and_what_came_meanwhile_is_there_afterwards(
    visitor: Visitor, facts: Facts, served: Served
) -> None:
    page = await visitor.visit()
    state = page.locator("#live")
    await expect(state).to_have_text("live")

    for listener in list(served.served.app[LIVE].listeners):
        listener.leave()

    await expect(state).to_have_text("reconnecting")
    await facts.run("make meanwhile")
    await expect(state).to_have_text("live")
    await expect(page.locator("#operations .command")).to_have_text(["make meanwhile"])
