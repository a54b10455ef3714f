"""OTLP/HTTP: the three paths to which SDKs and collectors send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from massgen_tracing.serve.ingest.bodies import Bodies, Refused
from massgen_tracing.serve.ingest.documents import from_json
from massgen_tracing.serve.ingest.requests import SIGNALS, Checked, Signal, answer, from_protobuf
from massgen_tracing.serve.ingest.spool import Spool
from massgen_tracing.serve.served import Served

_JSON: Final = "application/json"
_PROTOBUF: Final = "application/x-protobuf"
_THREADS: Final = 2
"""That check bodies; they are the server's own, so that no question keeps them."""

_RETRY_SECONDS: Final = "1"
_CODES: Final = {400: 3, 408: 4, 413: 11, 415: 3, 429: 8, 503: 14}
"""gRPC's codes, which the body of an error names."""


def routes(served: Served, spool: Spool) -> list[Route]:
    """The paths of the three signals.

    Args:
        served: how large requests may be.
        spool: where what is taken goes.
    """
    bodies = Bodies(served.most_body, served.most_content)
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="massgen-tracing ingest")

    def check(signal: Signal, body: bytes, encoding: str, form: str) -> Checked:
        content = bodies.content(body, encoding)
        return from_json(signal, content) if form == _JSON else from_protobuf(signal, content)

    async def take(signal: Signal, request: Request, form: str) -> Checked:
        if not form:
            said = request.headers.get("content-type", "")[:80]
            raise Refused(415, f"The Content-Type {said!r} is not known; expected {_PROTOBUF} or {_JSON}")
        loop = asyncio.get_running_loop()
        async with bodies.read(request) as body:
            checked = await loop.run_in_executor(threads, check, signal, body, request.headers.get("content-encoding", ""), form)
            if checked.content:
                await asyncio.wrap_future(spool.add(checked.content))
        return checked

    def taking(signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            form = _form(request.headers.get("content-type", ""))
            try:
                checked = await take(signal, request, form)
            except Refused as refused:
                return _error(refused, form)
            return _answer(answer(signal, checked), form)

        return endpoint

    return [Route(f"/v1/{name}", taking(signal), methods=["POST"]) for name, signal in SIGNALS.items()]


def _form(content_type: str) -> str:
    """Which of the two a `Content-Type` is; empty for any other."""
    kind = content_type.partition(";")[0].strip().lower()
    return {_JSON: _JSON, _PROTOBUF: _PROTOBUF, "application/protobuf": _PROTOBUF}.get(kind, "")


def _answer(message: Message, form: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    if form == _PROTOBUF:
        return Response(message.SerializeToString(), status, headers, _PROTOBUF)
    return Response(json_format.MessageToJson(message, indent=None), status, headers, _JSON)


def _error(refused: Refused, form: str) -> Response:
    headers = {"retry-after": _RETRY_SECONDS} if refused.status in {429, 503} else None
    return _answer(Status(code=_CODES[refused.status], message=str(refused)), form, refused.status, headers)
