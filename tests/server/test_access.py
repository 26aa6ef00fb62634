"""Who may ask: every route, with nothing, with what is wrong, from a foreign name or page."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from server.served import Served, make_workspace, serve
from yarl import URL

from dre.server.access import Principal, may_see
from dre.server.gateway import ROUTES
from dre.server.health import COUNTED
from dre.server.pages import ROUTES as PAGES
from dre.server.routes import Route

OWNED = [route for route in (*ROUTES, *PAGES) if route.relation == "owner"]
OPEN = {("GET", "/api/v1/health"), ("GET", "/livez"), ("GET", "/readyz")}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    return re.sub(r"{\w+}", str(uuid4()), route.path)


async def asked(
    served: Served, method: str, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    """Without the token, unless the headers have it."""
    async with served.bare.request(method, URL(served.base + path, encoded=True), headers=headers) as response:
        return response.status, await response.json(content_type=None)


def test_only_the_state_alone_is_open_to_everybody() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.relation == "anyone"} == OPEN


async def test_no_route_answers_without_a_token_or_with_a_wrong_one(served: Served) -> None:
    for route in OWNED:
        for headers in (
            {},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer " + "A" * 43},
            {"Authorization": f"Basic {served.token}"},
            {"Authorization": served.token},
            {"Authorization": f"Bearer {served.token}x"},
            {"Authorization": f"Bearer {served.token[:-1]}"},
            {"Cookie": f"dre-{served.port}={served.token}"},
            {"Cookie": f"dre-{served.port}=" + "A" * 43},
        ):
            status, problem = await asked(served, route.method, path_of(route), headers)
            assert (status, problem["code"]) == (401, "unauthenticated"), (named(route), headers)


async def test_two_tokens_are_none(served: Served) -> None:
    shown = b"Authorization: Bearer %s\r\n" % served.token.encode()
    head = b"GET /api/v1/config HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n" % served.port

    assert (await served.raw(head + shown + b"\r\n")).startswith(b"HTTP/1.1 200 ")
    assert (await served.raw(head + shown + shown + b"\r\n")).startswith(b"HTTP/1.1 401 ")


async def test_who_may_not_ask_does_not_learn_which_routes_exist(served: Served) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "HEAD"):
        for path in (
            "/api/v1/config",
            "/api/v1/nothing",
            "/api/v1/operations/wrap",
            "/api/v2",
            "/nothing/at/all",
            "/two%0d%0alines",
        ):
            async with served.bare.request(method, URL(served.base + path, encoded=True)) as response:
                assert response.status == 401
                assert "Allow" not in response.headers
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="dre"'


async def test_who_may_ask_learns_what_a_route_takes(served: Served) -> None:
    for method, path, status in (
        ("DELETE", "/config", 405),
        ("OPTIONS", "/config", 405),
        ("PATCH", "/events", 405),
        ("GET", "/nothing", 404),
        ("POST", "/operations/wrap", 404),
        ("GET", "/config/", 404),
    ):
        async with served.http.request(method, served.api + path) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"
            assert (await response.json())["code"] == {404: "no_such_route", 405: "method_not_allowed"}[status]
            assert ("Allow" in response.headers) == (status == 405)


async def told(served: Served, line: str, *headers: str, host: str | None = None, token: str | None = None) -> str:
    own = [f"Host: {host or f'127.0.0.1:{served.port}'}", *headers, "Connection: close"]
    shown = [f"Authorization: Bearer {token}"] if token else []
    return (await served.raw("\r\n".join([line, *own, *shown, "", ""]).encode())).decode()


async def test_what_has_no_path_is_looked_at_as_everything_else_is(served: Served) -> None:
    before = sum(served.served.app[COUNTED].requests.values())
    ours = f"http://127.0.0.1:{served.port}"
    for line, own in (
        ("OPTIONS * HTTP/1.1", "404 Not Found"),
        ("CONNECT 127.0.0.1:1 HTTP/1.1", "421 Misdirected Request"),
        (f"CONNECT 127.0.0.1:{served.port} HTTP/1.1", "405 Method Not Allowed"),
        (f"GET {ours} HTTP/1.1", "200 OK"),
        (f"GET {ours}?command=x HTTP/1.1", "200 OK"),
        ("GET http://evil.example HTTP/1.1", "421 Misdirected Request"),
    ):
        answer = await told(served, line, token=served.token)
        assert answer.startswith(f"HTTP/1.1 {own}\r\n"), answer
        assert "\r\nServer: dre\r\n" in answer
        stranger = await told(served, line)
        assert stranger.startswith(f"HTTP/1.1 {'421' if '421' in own else '401'} "), stranger
        assert '"code":' in stranger
    assert (await told(served, "OPTIONS * HTTP/1.1", host="evil.example")).startswith("HTTP/1.1 421 ")
    assert sum(served.served.app[COUNTED].requests.values()) == before + 13


async def test_who_may_not_ask_is_not_asked_for_a_body_whatever_he_expects(served: Served) -> None:
    for expected in ("100-continue", "a miracle"):
        asked = f"Expect: {expected}"
        assert (await told(served, "PUT /api/v1/config HTTP/1.1", asked)).startswith("HTTP/1.1 401 ")
        assert (await told(served, "GET /livez HTTP/1.1", asked, host="evil.example")).startswith("HTTP/1.1 421 ")
    assert (await told(served, "GET /livez HTTP/1.1", "Expect: a miracle")).startswith("HTTP/1.1 200 ")
    going_on = await told(served, "GET /livez HTTP/1.1", "Expect: 100-Continue")
    assert going_on.startswith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


async def test_the_open_routes_tell_the_state_and_nothing_else(served: Served) -> None:
    for _, path in sorted(OPEN):
        status, answer = await asked(served, "GET", path)
        assert (status, answer) == (200, {"status": "ok"})


async def test_a_token_opens_one_server_once(tmp_path: Path) -> None:
    folder = make_workspace(tmp_path / "shop")
    async with serve(folder) as first:
        old = first.token
    async with serve(folder) as second:
        assert second.token != old
        status, _ = await asked(second, "GET", "/api/v1/config", {"Authorization": f"Bearer {old}"})
        assert status == 401
        assert (Path(second.folder) / ".dre" / "token").stat().st_mode & 0o777 == 0o600
    assert not (folder / ".dre" / "token").exists()


async def test_whoever_looks_for_a_token_at_any_moment_finds_a_whole_one_or_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in ("token", "token.new"):  # of a server that was killed
        (folder / ".dre" / one).write_text("")
    found: list[str | None] = []

    def looked_at(step: Callable[..., Any]) -> Callable[..., Any]:
        def work(*arguments: Any, **more: Any) -> Any:
            try:
                return step(*arguments, **more)
            finally:
                token = folder / ".dre" / "token"
                found.append(token.read_text() if token.exists() else None)

        return work

    for name in ("open", "fdopen", "fstat", "unlink", "rename", "replace", "link"):
        monkeypatch.setattr(os, name, looked_at(getattr(os, name)))
    async with serve(folder) as served:
        whole = f"{served.token}\n"
        kept = [path.name for path in (folder / ".dre").glob("token*")]
    assert set(found[found.index(None) :]) == {None, whole}
    assert kept == ["token"]
    assert not list((folder / ".dre").glob("token*"))


@pytest.mark.parametrize("path", ["/api/v1/config", "/api/v1/health", "/livez", "/readyz", "/", "/open/x", "/nothing"])
async def test_a_foreign_name_is_answered_nothing_by_any_route(served: Served, path: str) -> None:
    shown = {"Authorization": f"Bearer {served.token}"}
    own = f"127.0.0.1:{served.port}"
    for host in (
        "evil.example",
        f"evil.example:{served.port}",
        "127.0.0.1",
        f"127.0.0.1:{served.port + 1}",
        f"127.0.0.1.:{served.port}",
        f"0.0.0.0:{served.port}",
        f"localhost.evil.example:{served.port}",
        f"{own}@evil.example",
        f"user@{own}",
        f"{own}/",
        "",
    ):
        status, problem = await asked(served, "GET", path, shown | {"Host": host})
        assert (status, problem["code"]) == (421, "misdirected"), host


async def test_the_server_answers_to_each_of_its_names(served: Served) -> None:
    for name in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
        status, _ = await asked(served, "GET", "/livez", {"Host": f"{name}:{served.port}"})
        assert status == 200


@pytest.mark.parametrize(
    ("target", "hosts", "status"),
    [
        ("/livez", ["{own}"], 200),
        ("http://{own}/livez", ["{own}"], 200),
        ("HTTP://{own}/livez", ["{own}"], 200),
        ("/livez", [], 421),
        ("/livez", ["{own}", "{own}"], 421),
        ("/livez", ["{own}", "evil.example"], 421),
        ("http://evil.example/livez", ["{own}"], 421),
        ("http://{own}/livez", ["evil.example"], 421),
        ("https://{own}/livez", ["{own}"], 421),
        ("http://{own}@evil.example/livez", ["{own}"], 421),
        ("//evil.example/livez", ["{own}"], 421),
        ("*", ["{own}"], 421),
        ("evil.example:80", ["{own}"], 421),
    ],
)
async def test_the_request_line_and_the_host_must_name_this_server(
    served: Served, target: str, hosts: list[str], status: int
) -> None:
    own = f"127.0.0.1:{served.port}"
    lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]

    answer = await served.raw("\r\n".join(lines).replace("{own}", own).encode())

    assert re.match(rb"HTTP/1\.[01] (\d+)", answer), answer
    found = int(answer.split()[1])
    assert found == status or (status == 421 and found == 400), answer  # some of them are no HTTP at all


ORIGINS = [
    "null",
    "http://evil.example",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "file://",
    "",
]


async def test_a_page_of_another_origin_may_not_ask_even_with_the_token(served: Served) -> None:
    for origin in ORIGINS:
        headers = {"Authorization": f"Bearer {served.token}", "Origin": origin.replace("{port}", str(served.port))}
        for method, path in (
            ("GET", "/api/v1/config"),
            ("PUT", "/api/v1/config"),
            ("GET", "/livez"),
            ("POST", "/open"),
        ):
            status, problem = await asked(served, method, path, headers)
            assert (status, problem["code"]) == (403, "forbidden"), (origin, path)
    for site in ("cross-site", "same-site"):
        shown = {"Authorization": f"Bearer {served.token}", "Sec-Fetch-Site": site}
        for mode in ("cors", "no-cors", "navigate"):
            status, _ = await asked(served, "POST", "/api/v1/config/validate", shown | {"Sec-Fetch-Mode": mode})
            assert status == 403
        status, _ = await asked(served, "GET", "/api/v1/config", shown | {"Sec-Fetch-Mode": "no-cors"})
        assert status == 403


async def test_no_answer_invites_other_origins(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    for headers in ({}, {"Origin": own}, {"Origin": own, "Access-Control-Request-Method": "PUT"}):
        for method in ("GET", "OPTIONS"):
            async with served.http.request(method, f"{served.api}/config", headers=headers) as response:
                assert [name for name in response.headers if name.lower().startswith("access-control")] == []
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert response.headers["Server"] == "dre"


def opening(served: Served) -> tuple[str, dict[str, str]]:
    """The address that opens once, by its name but without a resolver: not each knows names under `localhost`."""
    once = urlsplit(served.served.once)
    return served.base + once.path, {"Host": once.netloc}


async def opened(served: Served) -> str:
    """A browser's cookie, by the address that opens once."""
    address, named = opening(served)
    async with served.bare.get(address, headers=named) as response:
        assert response.status == 200
        cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    served.bare.cookie_jar.clear()
    return cookie.partition(";")[0]


async def test_the_address_opens_once_and_its_cookie_reads(served: Served) -> None:
    cookie = await opened(served)
    status, _ = await asked(served, "GET", "/api/v1/config", {"Cookie": cookie})
    assert status == 200
    address, named = opening(served)
    async with served.bare.get(address, headers=named) as response:
        assert response.status == 401


@pytest.mark.parametrize(
    ("host", "origin", "scheme"),
    [
        ("dre.example", "https://dre.example", "https"),
        ("dre.example", None, "https"),
        ("dre.example:PORT", "http://dre.example:PORT", "http"),
        ("dre.example:PORT", None, "http"),
    ],
)
@pytest.mark.parametrize("way", ["token", "link"])
async def test_a_cookie_that_was_given_over_tls_goes_over_nothing_else(
    folder: Path, way: str, host: str, origin: str | None, scheme: str
) -> None:
    async with serve(folder, names=["dre.example"]) as served:
        asked = {"Host": host} | ({} if origin is None else {"Origin": origin})
        asked = {name: value.replace("PORT", str(served.port)) for name, value in asked.items()}
        if way == "token":
            asking = served.bare.post(f"{served.base}/open", data={"token": served.token}, headers=asked)
        else:
            asking = served.bare.get(opening(served)[0], headers=asked)
        async with asking as response:
            assert response.status == 200
            assert ("Secure" in response.headers["Set-Cookie"]) == (scheme == "https")


async def test_of_many_who_use_the_address_at_once_one_gets_in(served: Served) -> None:
    address, named = opening(served)

    async def use(browser: aiohttp.ClientSession) -> tuple[int, bool]:
        async with browser.get(address, headers=named) as response:
            return response.status, "Set-Cookie" in response.headers

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        found = await asyncio.gather(*(use(browser) for _ in range(200)))
    assert sorted(found) == [(200, True), *[(401, False)] * 199]


async def test_with_the_cookie_what_changes_something_must_name_its_page(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    shown = {"Cookie": await opened(served), "Content-Type": "application/json"}
    for method, path in (("PUT", "/config"), ("POST", "/config/validate"), ("POST", "/verification")):
        async with served.bare.request(method, served.api + path, headers=shown, data=b"{}") as response:
            assert response.status == 403
        async with served.bare.request(
            method, served.api + path, headers=shown | {"Origin": own}, data=b"{}"
        ) as response:
            assert response.status in (200, 400)
        async with served.bare.request(method, served.api + path, headers=shown | {"Origin": "null"}) as response:
            assert response.status == 403


async def test_the_cookie_of_one_server_opens_no_other(served: Served, tmp_path: Path) -> None:
    cookie = await opened(served)
    async with serve(make_workspace(tmp_path / "other")) as other, aiohttp.ClientSession() as bare:
        value = cookie.partition("=")[2]
        for shown in (cookie, f"dre-{other.port}={value}"):
            async with bare.get(f"{other.api}/config", headers={"Cookie": shown}) as response:
                assert response.status == 401


async def test_each_event_is_decided_about_by_its_project(served: Served) -> None:
    [page] = [page async for page in served.engine.store.read()]
    everything, nothing = Principal("local-x"), Principal("local-x", projects=frozenset())

    assert all(may_see(everything, stored) for stored in page)
    assert not any(may_see(nothing, stored) for stored in page)
    assert all(may_see(Principal("local-x", projects=frozenset({"default"})), stored) for stored in page)
