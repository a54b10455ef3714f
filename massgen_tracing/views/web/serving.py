"""The pages and their JSON over HTTP.

A path that is a page gives the same document, whose script shows what the address says. Who serves the routes sees to who may ask (`guarding` of the
server); here no answer has anything of what lies outside of the root.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any, Final

import orjson
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from massgen_tracing.errors import MassGenTracingError, QueryError, RecordingError, UsageError
from massgen_tracing.insight.comparison import compare
from massgen_tracing.views import dashboards, listing
from massgen_tracing.views.report import compared
from massgen_tracing.views.web import DIST, detail, document, encoded, search, statements
from massgen_tracing.views.web.opened import Opened, Shelf, version_of

PAGES: Final = ("/", "/run", "/sql", "/dashboards", "/compare", "/{organization}/{project}")
"""The last is what Logfire's links look like: `/{organization}/{project}?q=trace_id='…'`. Without a trace, only the server's own project is there."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml", ".txt": "text/plain"}
_AT_ONCE: Final = 4
_STATEMENTS_AT_ONCE: Final = 2
"""So many are answered at once, in threads of their own: who looks at pages holds up neither what is sent to the server nor other pages for long."""

_FEW: Final = 30
_MANY: Final = 200
_MOST_BODY: Final = 1_000_000
_MOST_FOUND: Final = 50_000

Answer = Callable[["Shelf", Request], Any]


def routes(root: str, project: str) -> list[BaseRoute]:
    """The routes of one root; *project* is the path that the server names as its project's."""
    shelf, limit, statement_limit = Shelf(root), CapacityLimiter(_AT_ONCE), CapacityLimiter(_STATEMENTS_AT_ONCE)
    api: dict[str, Answer] = {
        "runs": _runs,
        "run": _run,
        "spans": _spans,
        "span": _span,
        "search": _search,
        "compare": _compare,
        "queries": lambda _shelf, _request: statements.at_hand(),
        "dashboards": lambda _shelf, _request: dashboards.described(),
    }
    return [
        *(Route(f"/api/{name}", _answering(shelf, answer, limit), name=f"api {name}") for name, answer in api.items()),
        Route("/api/sql", partial(_sql, shelf, statement_limit), methods=["POST"]),
        Route("/api/{anything:path}", _unknown),
        Route("/assets/{name}", _asset),
        *(Route(path, partial(_page, shelf, limit, project)) for path in PAGES),
    ]


def _answering(shelf: Shelf, answer: Answer, limit: CapacityLimiter) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that gives what *answer* makes, in a thread of its own, and errors as data."""

    @wraps(answer)
    async def endpoint(request: Request) -> Response:
        return await to_thread.run_sync(_answered, partial(answer, shelf, request), limiter=limit)

    return endpoint


def _answered(answer: Callable[[], Any]) -> Response:
    try:
        made = answer()
    except MassGenTracingError as error:
        got = None if error.got is None else str(error.got)
        told = {"message": str(error), "problem": error.problem, "expected": error.expected, "got": got, "hint": error.hint}
        return _json({"error": told}, status=404 if isinstance(error, RecordingError) else 400)
    return made if isinstance(made, Response) else _json(made)


def _json(value: Any, status: int = 200) -> Response:
    return _json_of(encoded.dumps(value), status)


def _json_of(content: bytes, status: int = 200, **more: str) -> Response:
    return Response(content, status, {**HEADERS, "Cache-Control": "no-store", **more}, "application/json")


def _opened(shelf: Shelf, request: Request) -> Opened:
    asked = request.query_params
    return shelf.open(asked.get("run") or None, _number(asked.get("turn"), "turn"))


def _number(said: str | None, name: str) -> int | None:
    if said is None or said == "":
        return None
    if not said.isascii() or not said.isdecimal() or len(said) > 9:
        raise UsageError(f"{name} is not understood", expected="a whole number from 0", got=said)
    return int(said)


def _runs(shelf: Shelf, request: Request) -> Any:
    """The newest runs; `limit` says how many. What cannot be read is told of."""
    asked = _number(request.query_params.get("limit"), "limit")
    limit = max(1, min(_FEW if asked is None else asked, _MANY))
    many, found = listing.runs(shelf.root)
    notes: list[str] = []
    shown = [_line(shelf, item, notes) for item in itertools.islice(found, limit)]
    return {"root": shelf.root, "runs": shown, "known": many, "more": any(True for _ in found), "notes": notes}


def _line(shelf: Shelf, item: listing.Listed, notes: list[str]) -> dict[str, Any]:
    """What is told of a run in the list; it is read again only where its files have changed."""
    version = version_of(item.run.files())
    known = shelf.lines.get(item.run.run_id)
    if known is None or known[0] != version:
        own: list[str] = []
        known = shelf.lines[item.run.run_id] = version, listing.document(item, listing.read(item.run, own.append)), tuple(own)
    notes += known[2]
    return known[1]


def _run(shelf: Shelf, request: Request) -> Any:
    return document.document(_opened(shelf, request))


def _spans(shelf: Shelf, request: Request) -> Response:
    """The arrays of a run; 304 where they are what the page has already."""
    opened = _opened(shelf, request)
    tag = f'"{opened.version}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={**HEADERS, "ETag": tag})
    return _json_of(opened.encoded, ETag=tag)


def _span(shelf: Shelf, request: Request) -> Any:
    opened = _opened(shelf, request)
    asked = request.query_params
    trace, span = asked.get("trace", ""), asked.get("span", "")
    place = next((place for place, each in enumerate(opened.spans.outlines) if each.span_id == span and trace in {"", each.trace_id}), None)
    if place is None:
        raise RecordingError(f"There is no span {span} in {opened.located.title}", expected="the id of one of its spans")
    return detail.document(opened, place)


def _search(shelf: Shelf, request: Request) -> Any:
    """The places of the spans for which a query holds."""
    opened = _opened(shelf, request)
    found = search.places(opened.spans, opened.records, request.query_params.get("q", ""))
    return {"version": opened.version, "places": found[:_MOST_FOUND], "found": len(found)}


def _compare(shelf: Shelf, request: Request) -> Any:
    first, second = (_named(shelf, request.query_params.get(key, "")) for key in ("first", "second"))
    found = compare(first.subject.analysis, second.subject.analysis, second.subject.analysis.earlier)
    return compared.document(first.subject, second.subject, found)


def _named(shelf: Shelf, name: str) -> Opened:
    """A run, or `RUN:N` for its question N."""
    if not name:
        raise UsageError("Two runs are compared", expected="first and second, each a run, or RUN:N for its question N")
    run, _, turn = name.rpartition(":")
    return shelf.open(run, int(turn)) if run and turn.isascii() and turn.isdecimal() and len(turn) < 10 else shelf.open(name)


async def _sql(shelf: Shelf, limit: CapacityLimiter, request: Request) -> Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            return _answered(partial(_refuse, "The question is too long", f"at most {_MOST_BODY:,} bytes"))
    return await to_thread.run_sync(_answered, lambda: statements.answer(shelf.root, _asked(body)), limiter=limit)


def _refuse(problem: str, expected: str) -> None:
    raise QueryError(problem, expected=expected)


def _asked(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise QueryError("The question is no JSON", expected='{"sql": "SELECT …"}', got=str(error)) from None
    if not isinstance(said, dict):
        raise QueryError("The question is not understood", expected='{"sql": "SELECT …"}', got=type(said).__name__)
    return said


async def _unknown(request: Request) -> Response:
    return _json({"error": {"message": f"There is nothing at {request.url.path}."}}, status=404)


async def _asset(request: Request) -> Response:
    """A file of the pages; its name has a hash of what is in it, so that it may be kept."""
    name = request.path_params["name"]
    path = DIST / "assets" / name
    if path.suffix not in _TYPES or path.name != name or not path.is_file():
        return _json({"error": {"message": f"There is nothing at {request.url.path}."}}, status=404)
    return Response(path.read_bytes(), headers={**HEADERS, "Cache-Control": "max-age=31536000, immutable"}, media_type=_TYPES[path.suffix])


_ahead: Final[set[asyncio.Task[None]]] = set()
"""What is read ahead; the loop itself does not keep its tasks."""

_TRACE: Final = re.compile(r"trace_id\s*=\s*'([0-9a-f]+)'", re.IGNORECASE)


def _read_ahead(shelf: Shelf, run: str | None, turn: str | None) -> None:
    with suppress(MassGenTracingError):  # which the page is told when it asks
        shelf.open(run, _number(turn, "turn"))


async def _page(shelf: Shelf, limit: CapacityLimiter, project: str, request: Request) -> Response:
    """The document of every page. The run that it will ask for is read while the browser loads the rest."""
    asked = request.query_params
    trace = _TRACE.search(asked.get("q", "")) if "project" in request.path_params else None
    if "project" in request.path_params and trace is None and request.url.path != project:
        told = f"There is nothing at {request.url.path}. A run is at /run?run=NAME, and all of them are at /."
        return Response(told, 404, HEADERS, media_type="text/plain")
    if request.url.path == "/run" or trace is not None:
        run, turn = (asked.get("run"), asked.get("turn")) if trace is None else (trace[1], None)
        ahead = asyncio.create_task(to_thread.run_sync(_read_ahead, shelf, run or None, turn, limiter=limit))
        _ahead.add(ahead)
        ahead.add_done_callback(_ahead.discard)
    return Response((DIST / "index.html").read_bytes(), headers={**HEADERS, "Cache-Control": "no-cache"}, media_type="text/html")
