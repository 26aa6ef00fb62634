"""Who gets in: a browser with the address that opens once, or with the token; nobody's page but ours."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Page, expect
from server.pages.facts import Facts
from server.pages.visiting import Visitor
from server.served import Served

from dre.server.access import ACCESS

HTML = {"Accept": "text/html"}


async def test_the_cookie_is_for_this_server_alone_and_no_script_reads_it(visitor: Visitor, served: Served) -> None:
    page = await visitor.visit()

    [cookie] = await page.context.cookies()

    assert cookie["name"] == served.served.app[ACCESS].cookie
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["domain"]) == (
        True,
        "Strict",
        "/",
        urlsplit(served.page).hostname,
    )
    assert await page.evaluate("document.cookie") == ""


async def test_an_address_opens_one_browser_once(visitor: Visitor) -> None:
    link = visitor.link
    first = await visitor.stranger()
    await first.goto(link)
    await first.wait_for_url(f"{visitor.served.page}/")

    other = await visitor.stranger()
    await other.goto(link)
    await expect(other.locator("h1")).to_have_text("Who is asking?")
    await other.goto(visitor.served.page)
    await expect(other.locator("h1")).to_have_text("Who is asking?")
    visitor.forgive("401")

    await first.goto(link)  # whoever is in may come back by it
    await first.wait_for_url(f"{visitor.served.page}/")
    await expect(first.locator("h1")).to_have_text("Operations")


async def test_who_only_looks_whether_the_address_answers_does_not_use_it_up(visitor: Visitor, served: Served) -> None:
    link = visitor.link
    path = link.removeprefix(served.page)
    async with served.bare.head(served.base + path, headers=HTML) as response:
        assert "Set-Cookie" not in response.headers

    page = await visitor.stranger()
    await page.goto(link)
    await page.wait_for_url(f"{served.page}/")


async def test_the_token_opens_a_browser_too_and_a_wrong_one_does_not(visitor: Visitor, served: Served) -> None:
    page = await visitor.stranger(java_script_enabled=False)
    await page.goto(served.page)
    visitor.forgive("401")
    await page.get_by_label("The token").fill("guess")
    await page.get_by_role("button", name="Open").click()
    await expect(page.locator("main")).to_contain_text("This is not the token of this server")
    visitor.forgive("401")

    await page.get_by_label("The token").fill(f" {served.token} ")
    await page.get_by_role("button", name="Open").click()

    await expect(page.locator("h1")).to_have_text("Operations")


async def test_a_form_with_no_token_or_with_several_opens_nothing(served: Served) -> None:
    for form in (
        "",
        "token=",
        f"other={served.token}",
        f"token={served.token}&token={served.token}",
        "token=x&token=y",
    ):
        async with served.bare.post(
            f"{served.base}/open", data=form, headers=HTML | {"Content-Type": "application/x-www-form-urlencoded"}
        ) as response:
            assert (response.status, "Set-Cookie" in response.headers) == (401, False), form
            assert served.token not in await response.text()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_the_token_by_a_name_that_others_have_too_leads_to_a_name_that_they_do_not_know(
    visitor: Visitor, served: Served, name: str
) -> None:
    page = await visitor.stranger(java_script_enabled=False)
    await page.goto(f"http://{name}:{served.port}")
    visitor.forgive("401")
    await page.get_by_label("The token").fill(served.token)
    await page.get_by_role("button", name="Open").click()

    await page.wait_for_url(f"{served.page}/")
    await expect(page.locator("h1")).to_have_text("Operations")
    [cookie] = await page.context.cookies()
    assert cookie["domain"] == urlsplit(served.page).hostname


async def test_a_browser_that_knows_no_name_under_localhost_is_let_in_by_the_address_of_the_machine(
    visitor: Visitor, served: Served
) -> None:
    page = await visitor.stranger()

    await page.goto(visitor.link.replace(served.page, served.base))

    await page.wait_for_url(f"{served.base}/")
    await expect(page.locator("h1")).to_have_text("Operations")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "dre.localhost"])
async def test_what_others_serve_on_other_ports_is_sent_no_cookie(visitor: Visitor, name: str) -> None:
    page = await visitor.visit()
    sent: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie"))
        return web.Response(text='<!doctype html><link rel="icon" href="data:,">', content_type="text/html")

    async with foreign_server(note) as port:
        await page.goto(f"http://{name}:{port}/")

    assert set(sent) == {None}


async def test_a_session_that_is_over_is_asked_who_it_is(visitor: Visitor) -> None:
    page = await visitor.visit()
    await visitor.end_sessions()

    await page.reload()

    await expect(page.locator("main")).to_contain_text("This session is over")
    visitor.forgive("401")


@pytest.mark.parametrize("path", ["/", "/operations/01919191-0000-7000-8000-000000000000", "/nothing"])
async def test_strangers_are_told_nothing(served: Served, path: str) -> None:
    async with served.bare.get(served.base + path, headers=HTML) as response:
        text = await response.text()
        assert response.status in (401, 404)
    assert served.folder.name not in text


FOREIGN = """<!doctype html><title>foreign</title><script>
async function attempt(base, id) {
  const tried = {};
  const note = (name, work) => work.then((found) => (tried[name] = found), () => (tried[name] = "nothing"));
  const reading = async (path, options) => {
    const answer = await fetch(base + path, { credentials: "include", ...options });
    return `${answer.type} ${await answer.text()}`;
  };
  const body = JSON.stringify({ operationId: id });
  const element = (name, attributes) =>
    new Promise((done) => {
      const one = Object.assign(document.createElement(name), attributes);
      one.onload = () => {
        let inside = "";
        try { inside = one.contentDocument?.body?.innerText ?? ""; } catch {}
        done(inside || "nothing");
      };
      one.onerror = () => done("nothing");
      document.body.append(one);
      setTimeout(() => done("nothing"), 2000);
    });
  await Promise.all([
    note("rest", reading("/api/v1/operations")),
    note("one", reading(`/api/v1/operations/${id}`)),
    note("page", reading("/")),
    note("opaque", reading("/api/v1/operations", { mode: "no-cors" })),
    note("write", reading("/api/v1/verification", { method: "POST", mode: "no-cors", body })),
    note("frame", element("iframe", { src: `${base}/` })),
    note("script", element("script", { src: `${base}/api/v1/operations` })),
    note("events", new Promise((done) => {
      const source = new EventSource(`${base}/api/v1/stream`, { withCredentials: true });
      source.onmessage = (event) => done(event.data);
      source.onerror = () => done("nothing");
    })),
    note("socket", new Promise((done) => {
      const socket = new WebSocket(`${base.replace("http", "ws")}/api/v1/stream`);
      socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", after: -1 }));
      socket.onmessage = (event) => done(event.data);
      socket.onclose = () => done("nothing");
    })),
  ]);
  return tried;
}
</script>"""


async def hostile_page(_request: web.Request) -> web.Response:
    return web.Response(text=FOREIGN, content_type="text/html")


@asynccontextmanager
async def foreign_server(
    page: Callable[[web.Request], Awaitable[web.StreamResponse]] = hostile_page,
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def attempts(visitor: Visitor, at: str, base: str, id: object) -> tuple[Page, dict[str, str]]:
    inside = await visitor.visit(f"/operations/{id}")
    page = await inside.context.new_page()
    await page.goto(at)
    return page, await page.evaluate("([base, id]) => attempt(base, id)", [base, f"{id}"])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
async def test_a_foreign_page_in_the_same_browser_gets_nothing(
    visitor: Visitor, facts: Facts, served: Served, host: str
) -> None:
    id = await facts.run("make treasure")
    size = (await served.engine.store.head()).size
    async with foreign_server() as port:
        page, tried = await attempts(visitor, f"http://{host}:{port}/", served.page, id)
        await page.close()

    assert set(tried.values()) <= {"nothing", "opaque "}, tried
    assert len(tried) == 9
    assert (await served.engine.store.head()).size == size


async def test_a_foreign_name_that_leads_here_gets_nothing(visitor: Visitor, facts: Facts, served: Served) -> None:
    await facts.run("make treasure")
    port = served.base.rpartition(":")[2]
    page = await visitor.visit()

    await page.goto(f"http://evil.example:{port}/")

    await expect(page.locator("h1")).to_have_text("Misdirected Request")
    assert "treasure" not in await page.content()
    visitor.troubles.clear()
