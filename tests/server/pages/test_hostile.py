"""Whatever commands, outputs, names and reports say, a page only ever shows it."""

from xml.sax.saxutils import quoteattr

import msgspec
from playwright.async_api import Page, expect
from server.pages.facts import Facts
from server.pages.hostile import CONTROLS, EVERYTHING, FORBIDDEN, MARKUP, OBEYED
from server.pages.visiting import Visitor
from server.served import Served

from dre.domain.events import Bytes
from dre.domain.workspace import ChangedFile
from dre.server.live import LIVE
from dre.server.stream.ring import Entry

OWN_SCRIPTS = ("/static/live.", "/static/idiomorph.min.")


async def nothing_happened(page: Page) -> None:
    """No foreign element, no attribute that acts, no character that a reader or a terminal would obey."""
    assert await page.evaluate("window.wasAttacked ?? 0") == 0
    sources = await page.evaluate("[...document.scripts].map((one) => one.getAttribute('src') ?? one.textContent)")
    assert all(source.startswith(OWN_SCRIPTS) for source in sources), sources
    found = await page.evaluate(
        """[...document.querySelectorAll('iframe, object, embed, base, style, form:not(.filter), img, svg, math')]
           .map((one) => one.outerHTML)"""
    )
    assert found == []
    acting = await page.evaluate(
        """[...document.querySelectorAll('*')].flatMap((one) => [...one.attributes])
           .filter((one) => one.name.startsWith('on') || ['style', 'srcdoc', 'formaction'].includes(one.name)
             || (['href', 'src', 'action'].includes(one.name) && !/^([/#?]|$)/.test(one.value)))
           .map((one) => one.name)"""
    )
    assert acting == []
    text = await page.content()
    assert [f"U+{ord(one):04X}" for one in FORBIDDEN if one in text] == []


async def watched(visitor: Visitor, path: str) -> Page:
    page = await visitor.visit()
    await page.context.add_init_script("window.attacked = () => (window.wasAttacked = 1 + (window.wasAttacked ?? 0))")
    await page.goto(visitor.served.page + path)
    await expect(page.locator("#live")).to_have_text("live")
    return page


async def test_every_hostile_text_in_every_place_is_only_shown(visitor: Visitor, facts: Facts) -> None:
    everything = [text.replace("\0", "") for text in EVERYTHING]
    whole = " ".join(everything)
    files = [ChangedFile(text, "added", "100644", syntax="broken", syntax_detail=text) for text in everything]
    files.append(ChangedFile(Bytes(b"\xff\xfe<script>"), "added", "100644"))
    id = await facts.begin(
        whole,
        cwd=Bytes(b"/src/\xff\x1b]0;x\x07<script>attacked()</script>"),
        branch=Bytes(b"\xe2\x80\xae\xff<img src=x onerror=attacked()>"),
        labels=[(text[:60], text) for text in everything],
        host=MARKUP[0] + OBEYED[0],
    )
    cases = "".join(map(_failing_case, everything))
    await facts.end(
        id,
        exit_code=1,
        output="\n".join(EVERYTHING).encode("utf-8", "surrogatepass") + b"\n\xff\xfe\xc3(",
        report=f"<testsuite>{cases}</testsuite>".encode(),
        source=MARKUP[0] + OBEYED[4],
        files=files,
    )
    await facts.judged(id)

    page = await watched(visitor, "/")
    await nothing_happened(page)
    await page.goto(f"{visitor.served.page}/operations/{id}")
    await expect(page.locator("#live")).to_have_text("live")
    await nothing_happened(page)
    await expect(page.locator(".files li")).to_have_count(len(files))
    await expect(page.locator(".output .line")).to_have_count(whole_lines("\n".join(EVERYTHING)) + 1)
    for part in ("output", "check"):
        await page.goto(f"{visitor.served.page}/operations/{id}/{part}")
        await nothing_happened(page)


def whole_lines(text: str) -> int:
    return text.count("\n") + 1


def _failing_case(text: str) -> str:
    """What XML can hold of it."""
    said = quoteattr("".join(one for one in text if one.isprintable() or one in "\u202e\u2066\u200b"))
    return f"<testcase classname={said} name={said}><failure message={said}/></testcase>"


async def test_hostile_texts_that_arrive_live_are_only_shown(visitor: Visitor, facts: Facts, served: Served) -> None:
    id = await facts.begin("make slow")
    page = await watched(visitor, f"/operations/{id}")
    offset = 0
    for text in ("first", *EVERYTHING, "the very last"):
        data = {"operationId": str(id), "output": "stdout", "offset": offset, "text": f"{text}\n"}
        offset += len(f"{text}\n".encode())
        served.served.app[LIVE].broadcast.say(
            Entry(
                message=msgspec.json.encode({"type": "operation.output", "data": data}),
                type="operation.output",
                channel="logs",
                project="default",
                operation=str(id),
            )
        )
    arriving = page.locator("#arriving")
    await expect(arriving).to_contain_text("the very last")

    await expect(arriving.locator("*")).to_have_count(0)
    await nothing_happened(page)
    assert "\x1b" not in await arriving.inner_text()
    assert len(CONTROLS) > 60


async def test_hostile_words_in_the_address_are_only_shown(visitor: Visitor, facts: Facts) -> None:
    await facts.begin("make all")
    page = await watched(visitor, "/")
    for text in (*MARKUP, *OBEYED):
        if "\0" in text or not text.strip():
            continue
        await page.get_by_label("Command").fill(text)
        await page.get_by_role("button", name="Filter").click()
        await nothing_happened(page)
