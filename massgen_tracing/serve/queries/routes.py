"""The paths that Logfire's SDK and its query clients ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from massgen_tracing import store
from massgen_tracing.errors import QueryError, RecordingError
from massgen_tracing.serve.queries import asked, problems
from massgen_tracing.serve.queries.asked import Asked
from massgen_tracing.serve.queries.problems import Problem, wrong
from massgen_tracing.serve.served import Served
from massgen_tracing.store.engine.answer import Result

_AT_ONCE: Final = 2
"""Questions that are answered at the same time, each by a process of its own; so many cores are busy with them at most."""

_MOST_WAITING: Final = 16
_MOST_BODY: Final = 2**20
_MOST_BYTES: Final = 2**26
_SECONDS: Final = 25.0
"""Logfire's clients wait for 30."""

_BODY_SECONDS: Final = 10.0

Write = Callable[[Result, Asked], bytes]


class _Asking:
    """Asks the store, so that only a few questions are on their way.

    Args:
        served: whose root is asked.
    """

    def __init__(self, served: Served) -> None:
        self._root = served.root
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="massgen-tracing query")
        self._waiting = 0

    async def answer(self, question: Asked, write: Write) -> bytes:
        """The answer, as it is written.

        Raises:
            Problem: if the statement is refused or fails, or too many others wait.
        """
        if self._waiting >= _AT_ONCE + _MOST_WAITING:
            raise Problem(429, f"{self._waiting} other questions wait for an answer; ask again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question, write)
        except (QueryError, RecordingError) as error:
            raise Problem(400, str(error)) from None
        finally:
            self._waiting -= 1

    def _answer(self, question: Asked, write: Write) -> bytes:
        result = store.query(
            question.sql,
            self._root,
            min_timestamp=question.min_timestamp,
            max_timestamp=question.max_timestamp,
            limit=question.limit,
            max_bytes=_MOST_BYTES,
            timeout=_SECONDS,
            environments=question.environments,
            timezone=question.timezone,
            explain=question.explain,
        )
        if result.cut == "bytes":
            raise QueryError(f"The answer has more than {_MOST_BYTES:,} bytes", hint="Ask for fewer columns or rows")
        return write(result, question)


def routes(served: Served) -> list[Route]:
    """The paths.

    Args:
        served: whose root is asked.
    """
    asking = _Asking(served)
    names = {"project_name": served.project, "organization_name": served.organization}

    async def info(request: Request) -> Response:
        return JSONResponse({**names, "project_url": f"{request.base_url}{served.organization}/{served.project}"})

    async def read_token_info(_request: Request) -> Response:
        return JSONResponse(names)

    async def schemas(_request: Request) -> Response:
        from massgen_tracing.store.tables import described

        return JSONResponse(described.schemas())

    async def second_version(request: Request) -> Response:
        return await _answered(request, asking, asked.of_body, first=False)

    async def first_version(request: Request) -> Response:
        return await _answered(request, asking, lambda _: asked.of_query(request.query_params), first=True)

    return [
        Route("/v1/info", info),
        Route("/v1/read-token-info", read_token_info),
        Route("/v1/schemas", schemas),
        Route("/v1/query", first_version),
        Route("/v2/query", second_version, methods=["POST"]),
    ]


async def _answered(request: Request, asking: _Asking, understand: Callable[[bytes], Asked], *, first: bool) -> Response:
    from massgen_tracing.serve.queries import forms  # loads Arrow

    try:
        form = forms.form(request.headers.get("accept", ""))
        question = understand(await _body(request))
        write = forms.first_version if first and form == forms.JSON else forms.WRITERS[form]
        return Response(await asking.answer(question, write), media_type=form)
    except Problem as problem:
        return problems.answer(problem, request)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > _MOST_BODY:
                    raise Problem(422, [wrong(("body",), "too_long", f"The body should have at most {_MOST_BODY:,} bytes")])
    except (TimeoutError, ClientDisconnect):
        raise Problem(422, [wrong(("body",), "missing", "The body breaks off")]) from None
    return bytes(body)
