"""What goes with the pages: weight, headers, and that it is what was committed."""

import hashlib
import re
from pathlib import Path

import chromium
import pytest
from playwright.async_api import Page, Response, expect
from server.pages.facts import Facts
from server.pages.visiting import Visitor
from server.served import ORIGIN_OF_THE_PAST, Served

STATIC = Path(__file__).parents[3] / "dre" / "server" / "pages" / "static"
MOST_BYTES = 60_000


async def test_a_first_view_is_light(visitor: Visitor, facts: Facts) -> None:
    for number in range(60):
        await facts.begin(f"python -m pytest -q tests/some/where/test_{number}.py", at_ms=ORIGIN_OF_THE_PAST + number)
    page = await visitor.stranger()
    answers: list[Response] = []
    page.on("response", lambda response: answers.append(response))  # noqa: PLW0108 - playwright marks what it calls

    await page.goto(visitor.link)
    await expect(page.locator("#live")).to_have_text("live")

    sizes = [(one.url, await transferred(one)) for one in answers]  # what was there already weighs nothing
    assert len(sizes) >= 6
    assert sum(size for _, size in sizes) <= MOST_BYTES, sizes


async def transferred(response: Response) -> int:
    sizes = await response.request.sizes()
    return sizes["responseBodySize"] + sizes["responseHeadersSize"]


async def addresses(served: Served) -> list[str]:
    async with served.http.get(served.base, headers={"Accept": "text/html"}) as response:
        return re.findall(r'(?:href|src)="(/static/[^"]+)"', await response.text())


async def test_files_are_kept_for_ever_under_a_name_that_changes_with_them(served: Served) -> None:
    found = await addresses(served)
    assert {address.split(".")[-1] for address in found} == {"svg", "css", "js"}
    for address in found:
        async with served.bare.get(served.base + address) as response:
            body = await response.read()
            assert response.status == 200
            assert "immutable" in response.headers["Cache-Control"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert hashlib.sha256(body).hexdigest()[:16] in address
            assert response.content_type in ("text/css", "text/javascript", "image/svg+xml")


async def test_a_browser_that_unpacks_nothing_gets_them_as_they_are(served: Served) -> None:
    for address in await addresses(served):
        async with served.bare.get(served.base + address, headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            assert hashlib.sha256(await response.read()).hexdigest()[:16] in address


async def test_nothing_else_is_handed_out(served: Served) -> None:
    for name in (
        "live.js", "dre.css", "..%2frendering.py", "%2e%2e/rendering.py", "vendor%2fidiomorph.min.js", "%00", "x" * 500,
    ):  # fmt: skip
        async with served.http.get(f"{served.base}/static/{name}") as response:
            assert response.status == 404, name


async def test_the_policy_is_strict_on_every_page(served: Served) -> None:
    for path in ("/", "/nothing", "/operations/01919191-0000-7000-8000-000000000000", "/open/nothing"):
        async with served.http.get(served.base + path, headers={"Accept": "text/html"}) as response:
            policy = response.headers["Content-Security-Policy"]
            text = await response.text()
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert not re.search(r"<style|style=|<script(?! src=)|\son\w+=|https?:", text), path


def test_a_machine_without_a_browser_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "_NAMED", None)
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(AssertionError, match="apt-get install chromium"):
        chromium.path()


def test_what_others_wrote_is_what_was_fetched() -> None:
    vendored = STATIC / "vendor"
    lines = (vendored / "SHA256SUMS").read_text().splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendored.iterdir()}
    there.pop("SHA256SUMS")
    assert there == told
    assert {"idiomorph.min.js", "idiomorph.LICENSE"} == set(told)


FORBIDDEN = """async () => {
  const attempts = {
    "marks up": () => (document.body.innerHTML = "<b>x</b>"),
    "runs a string": () => new Function("window.ran = 1")(),
    "makes another policy": () => trustedTypes.createPolicy("other", { createHTML: (text) => text }),
    "makes the policy again": () => trustedTypes.createPolicy("dre", { createHTML: (text) => text }),
    "styles": () => document.body.setAttribute("style", "display: none"),
  };
  const refused = (work) => new Promise((done) => {
    setTimeout(() => {  // later, when the browser's tools are out of the way
      const note = () => done(true);
      document.addEventListener("securitypolicyviolation", note, { once: true });
      try { work(); } catch { done(true); }
      setTimeout(() => { document.removeEventListener("securitypolicyviolation", note); done(false); }, 500);
    }, 0);
  });
  const allowed = [];
  for (const [name, work] of Object.entries(attempts)) if (!(await refused(work))) allowed.push(name);
  return allowed;
}"""


async def test_no_script_on_a_page_may_mark_up_or_run_a_string(visitor: Visitor) -> None:
    page: Page = await visitor.visit()

    assert await page.evaluate(FORBIDDEN) == []
    assert await page.evaluate("window.ran ?? 0") == 0
    visitor.troubles.clear()
