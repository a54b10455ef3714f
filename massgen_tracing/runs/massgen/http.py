"""HTTP as MassGen's model clients speak it: what a call sends, and the bytes of its answer as its reader gets them.

OpenAI's and Anthropic's clients use httpx, their newer versions httpx2, which has the same names; Google's uses aiohttp where that is installed.
For OpenAI's Responses MassGen can keep a WebSocket open; the events are the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

from massgen_tracing import guard

from .model_calls import ModelCall, ModelCalls

_READERS: Final = frozenset({"read", "readany", "readchunk", "readexactly", "readline", "readuntil"})
"""The methods of aiohttp's `StreamReader` that give bytes when they have come."""


class Http:
    """The wrappers of the HTTP clients.

    Args:
        models: the calls that requests belong to.
    """

    def __init__(self, models: ModelCalls) -> None:
        self._models = models

    async def send(self, original: Callable[..., Any], client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        """`httpx.AsyncClient.send`, `httpx2.AsyncClient.send`."""
        content = getattr(request, "_content", None)  # read() would fail on a body that is streamed
        call = self._models.requested(request.url.host, request.url.port, content)
        return await _seen(call, original(client, request, *args, **kwargs), _tap_httpx)

    async def request(self, original: Callable[..., Any], session: Any, method: str, url: Any, *args: Any, **kwargs: Any) -> Any:
        """`aiohttp.ClientSession._request`, which all of a session's methods go through."""
        server = urlsplit(str(url))
        call = self._models.requested(server.hostname, server.port, kwargs.get("data"))
        return await _seen(call, original(session, method, url, *args, **kwargs), _tap_aiohttp)

    def send_and_receive(self, original: Callable[..., Any], transport: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        """`WebSocketResponseTransport.send_and_receive`: one request and its events."""
        events = original(transport, params, *args, **kwargs)
        server = urlsplit(str(getattr(transport, "url", "")))
        call = self._models.requested(server.hostname, server.port, None)
        return events if call is None else _told(call, events)


async def _told(call: ModelCall, events: Any) -> AsyncIterator[Any]:
    """*events*, with *call* told of each."""
    async with contextlib.aclosing(events):
        try:
            async for event in events:
                try:
                    call.event(event)
                except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                    guard.swallow("massgen.http", error)
                yield event
        except Exception as error:
            call.failed(error)
            raise
        call.closed()


async def _seen(call: ModelCall | None, sending: Coroutine[Any, Any, Any], tap: Callable[[Any, ModelCall], None]) -> Any:
    """What *sending* returns, with *call* told of it."""
    if call is None:
        return await sending
    try:
        response = await sending
    except Exception as error:
        call.failed(error)
        raise
    try:
        tap(response, call)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
        guard.swallow("massgen.http", error)
    return response


def _tap_httpx(response: Any, call: ModelCall) -> None:
    call.response(response.status_code)
    if response.status_code >= 400:
        return
    if response.is_closed:  # it was not streamed
        call.chunk(response.content)
        call.closed()
        return
    read, close = response.aiter_bytes, response.aclose

    async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        try:
            async for data in read(chunk_size):
                call.chunk(data)
                yield data
        except Exception as error:
            call.failed(error)
            raise
        call.closed()

    async def aclose() -> None:
        call.let_go()
        await close()

    response.aiter_bytes, response.aclose = aiter_bytes, aclose


def _tap_aiohttp(response: Any, call: ModelCall) -> None:
    call.response(response.status)
    if response.status < 400:
        response.content = _Tapped(response.content, call)


class _Tapped:
    """Takes the place of an aiohttp stream: the same, but a call sees the bytes that are read."""

    def __init__(self, stream: Any, call: ModelCall) -> None:
        self._stream = stream
        self._call = call

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._stream, name)
        return self._telling(value) if name in _READERS else value

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    def _telling(self, read: Callable[..., Any]) -> Callable[..., Any]:
        async def reading(*args: Any, **kwargs: Any) -> Any:
            try:
                data = await read(*args, **kwargs)
            except Exception as error:
                self._call.failed(error)
                raise
            self._call.chunk(data[0] if isinstance(data, tuple) else data)
            if self._stream.at_eof():
                self._call.closed()
            return data

        return reading
