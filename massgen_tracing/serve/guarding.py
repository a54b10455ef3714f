"""Who may ask: checks that hold for every request, before anything is read of it.

A page of any site can make a browser send requests here, and with DNS rebinding even read what they answer. So `Host` has to name this machine
unless a token is asked for, and a request that says it comes from another site's page is refused. A token may be shown as Logfire's clients do, in
`Authorization`; a browser is given it once as `?token=` and keeps it as a cookie that no script and no other site can use.
"""

from __future__ import annotations

import hmac
import re
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from massgen_tracing.errors import compose
from massgen_tracing.serve.served import Served, is_loopback

COOKIE: Final = "massgen_tracing_token"
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(\d{1,5}))?")
_MOST_HEADERS: Final = 2**15
"""Bytes of all headers together."""

_SAFE: Final = frozenset({"GET", "HEAD"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a page may load and do; one that needs something else says so in a header of its own."""

_ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets through what may be asked, and adds to every answer what browsers have to know.

    Args:
        app: what is guarded.
        served: whose token is asked for.
    """

    def __init__(self, app: ASGIApp, served: Served) -> None:
        self._app = app
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket is closed before it is opened
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("content-security-policy", _POLICY)
            await send(message)

        refused = self._refusal(scope)
        await (self._app if refused is None else refused)(scope, receive, answering)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what may not be asked; None where it may."""
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > _MOST_HEADERS:
            return refusal(431, "The headers are too long", expected=f"at most {_MOST_HEADERS:,} bytes")
        host = _host(headers.get("host", ""))
        if host is None or not (self._served.token is not None or is_loopback(host[0])):
            return refusal(
                421,
                "The request is for another host",
                expected="a Host that names this machine, such as localhost or 127.0.0.1",
                got=headers.get("host", ""),
                hint="A server that is asked by other names needs --token",
            )
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, host):
            return refusal(403, "The request comes from a page of another site", expected="a page of this server", got=origin)
        if headers.get("sec-fetch-site") == "cross-site" and not (scope["method"] in _SAFE and headers.get("sec-fetch-mode") == "navigate"):
            return refusal(403, "The request comes from a page of another site", expected="a page of this server")
        if self._served.token is None:
            return None
        return self._without_token(scope, headers, self._served.token)

    @staticmethod
    def _without_token(scope: Scope, headers: Headers, token: str) -> Response | None:
        said = headers.get("authorization", "")
        kind, _, rest = said.partition(" ")
        if _equal(said, token) or (kind.lower() == "bearer" and _equal(rest.strip(), token)) or _equal(_cookie(headers.get("cookie", "")), token):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] in _SAFE and any(name == "token" and _equal(value, token) for name, value in query):
            left = urlencode([(name, value) for name, value in query if name != "token"])
            # Behind exactly one slash: two would name another host.
            path = "/" + scope["path"].lstrip("/\\")
            answer = RedirectResponse(path + (f"?{left}" if left else ""), 303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        return refusal(
            401,
            "The token is missing or is another one",
            expected="`Authorization: Bearer TOKEN`, or in a browser ?token=TOKEN",
            headers={"www-authenticate": "Bearer"},
        )


def refusal(
    status: int, problem: str, *, expected: str | None = None, got: str | None = None, hint: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """An error as an answer: what is wrong, what was expected and what was found."""
    return JSONResponse({"detail": compose(problem, expected, None if got is None else got[:200], hint)}, status, headers)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _cookie(said: str) -> str:
    try:
        found = SimpleCookie(said).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _host(said: str) -> tuple[str, str] | None:
    """Name and port of a `Host` header; None where it is none."""
    found = _HOST.fullmatch(said)
    return None if found is None else (found[1].strip("[]").lower(), found[2] or "")


def _is_same(origin: str, host: tuple[str, str]) -> bool:
    """Whether an `Origin` is that of the pages that a `Host` gives."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and _host(parts.netloc) == host
