"""Who may ask: pages of other sites may not, nor other machines without the token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from massgen_tracing.errors import ConfigError
from massgen_tracing.serve.guarding import COOKIE, Guard
from massgen_tracing.serve.served import Served, is_loopback
from massgen_tracing.views.cli import main

TOKEN = "a token of some length"


async def _page(request: Request) -> Response:
    return HTMLResponse(f"<p>{request.method}", headers={"x-query": str(request.query_params)})


def asking(tmp_path: Any, token: str | None = None) -> httpx.AsyncClient:
    """A client of a guarded page."""
    app = Starlette(routes=[Route("/{path:path}", _page, methods=["GET", "POST"])], middleware=[Middleware(Guard, served=Served(tmp_path, token))])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:4318")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:4318"}, 200),
        ({"host": "[::1]:4318"}, 200),
        ({"host": "127.0.0.1:4318", "origin": "http://127.0.0.1:4318"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "localhost@evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "10.0.0.7:4318"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[bad"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"x-much": "x" * 2**15}, 431),
    ],
)
async def test_only_this_machine_and_its_own_pages_ask(tmp_path: Any, headers: dict[str, str], status: int) -> None:
    """A name that a page of another site has made mean this machine is none; a link from another site may be followed."""
    async with asking(tmp_path) as http:
        assert (await http.get("/", headers=headers)).status_code == status


async def test_a_page_of_another_site_cannot_post_by_a_form(tmp_path: Any) -> None:
    """Also where its browser says so in the newer way only."""
    async with asking(tmp_path) as http:
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert (await http.post("/v1/traces", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": TOKEN}, 200),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer {TOKEN}"}, 200),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"{TOKEN} and more"}, 401),
        ({"authorization": "\u00e9"}, 401),
        ({"cookie": f'{COOKIE}="{TOKEN}"'}, 200),
        ({"cookie": f"{COOKIE}=another"}, 401),
        ({"authorization": TOKEN, "host": "my-machine.example"}, 200),
        ({"authorization": TOKEN, "origin": "http://evil.example"}, 403),
    ],
)
async def test_a_token_is_asked_for(tmp_path: Any, headers: dict[str, str], status: int) -> None:
    """As Logfire's clients show it, with and without `Bearer`, or as the cookie of a browser."""
    async with asking(tmp_path, TOKEN) as http:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        assert (await http.get("/", headers=encoded)).status_code == status


async def test_a_browser_is_given_the_token_once(tmp_path: Any) -> None:
    """It is then a cookie that scripts and other sites cannot use, and no longer in the address; the address stays on this server."""
    async with asking(tmp_path, TOKEN) as http:
        first = await http.get("/%2Fevil.example/run", params={"token": TOKEN, "q": "x=1"})
        assert (first.status_code, first.headers["location"]) == (303, "/evil.example/run?q=x%3D1")
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await http.get("/run")).status_code == 200
        http.cookies.clear()
        assert (await http.get("/run", params={"token": "another"})).status_code == 401


async def test_pages_may_load_and_do_only_what_is_theirs(tmp_path: Any) -> None:
    """No script but the server's own files, no other host, no frame."""
    async with asking(tmp_path) as http:
        headers = (await http.get("/")).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "is_so"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("a.localhost", True), ("0.0.0.0", False), ("example", False)]
)
def test_what_is_this_machine(host: str, is_so: bool) -> None:
    """Names that could mean another machine do not count."""
    assert is_loopback(host) is is_so


def test_other_machines_need_a_token(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says so before it listens; so it does with a token that can be guessed."""
    monkeypatch.delenv("MASSGEN_TRACING_TOKEN", raising=False)
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 1
    assert "--token" in capsys.readouterr().err
    assert main(["serve", "--port", "0", "--token", "abc"]) == 1
    assert "too short" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(tmp_path: Any) -> None:
    """And what to do."""
    from massgen_tracing.serve import running

    with running.listener("127.0.0.1", 0) as of, pytest.raises(ConfigError, match="--port"):
        running.listener("127.0.0.1", of.getsockname()[1])
