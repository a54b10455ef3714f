"""Model calls as HTTP carries them: whatever a server does with the bytes, the call has what was said, and how it ended."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from massgen_tracing import semconv
from massgen_tracing.runs.massgen.http import Http
from massgen_tracing.runs.massgen.model_calls import ModelCalls
from massgen_tracing.runs.massgen.patches import Patches, Point
from massgen_tracing.testing import Captured, capture


class Backend:
    """What is asked of a backend of MassGen's."""

    def __init__(self) -> None:
        self.config = {"model": "m"}

    def get_provider_name(self) -> str:
        return "OpenRouter"


@dataclass
class Stage:
    """Calls that are traced, and their spans."""

    models: ModelCalls
    captured: Captured
    backend: Backend = field(default_factory=Backend)

    async def ask(self, url: str, *, retries: int = 0, chunks: int | None = None, stream: bool = True) -> str:
        """One call as MassGen's backends make it; returns the answer's text, of the first *chunks* only if given."""
        self.models.start_api_call_timing(_nothing, self.backend, "m")
        text = ""
        try:
            async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=retries) as client:
                answer: Any = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=stream)
                if not stream:
                    return str(answer.choices[0].message.content)
                read = 0
                async with answer:
                    async for chunk in answer:
                        text += "".join(choice.delta.content or "" for choice in chunk.choices)
                        read += 1
                        if read == chunks:
                            return text
            self.models.end_api_call_timing(_nothing, self.backend)
        except openai.OpenAIError as error:
            self.models.end_api_call_timing(_nothing, self.backend, success=False, error=str(error))
        finally:
            self.models.finish(self.backend)
        return text

    @property
    def calls(self) -> list[ReadableSpan]:
        return sorted((span for span in self.captured.ended if span.name.startswith("llm.")), key=lambda span: span.start_time or 0)

    @property
    def said(self) -> dict[str, Any]:
        """The attributes of the only call."""
        (call,) = self.calls
        return dict(call.attributes or {})


def _nothing(*_: Any, **__: Any) -> None:
    pass


@pytest.fixture
def stage() -> Iterator[Stage]:
    with capture() as captured:
        models = ModelCalls(lambda: captured.tracer)
        patches = Patches([Point("httpx2", "AsyncClient.send", Http(models).send, "requests")], lambda point: pytest.fail(point.path))
        patches.apply()
        try:
            yield Stage(models, captured)
        finally:
            patches.undo()


@asynccontextmanager
async def server(*answers: Sequence[bytes]) -> AsyncIterator[str]:
    """The address of a server that answers the requests with these bytes, one after the other, each piece by itself, and closes each connection."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        for piece in left.pop(0):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps({'id': 'c', 'model': 'm-1', 'object': 'chat.completion.chunk', 'created': 1, **data}, ensure_ascii=False)}\n\n"


def _delta(text: str, finish: str | None = None) -> str:
    return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


TEXT = "Größe: 5 µm 🙂"
USED = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
BODY = _delta("") + _delta(TEXT) + _delta("", "stop") + _event({"choices": [], "usage": USED}) + "data: [DONE]\n\n"

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"


def _chunked(*pieces: bytes, end: bool = True) -> list[bytes]:
    """The pieces in HTTP's chunks."""
    return [
        SSE + b"Transfer-Encoding: chunked\r\n\r\n",
        *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces),
        *([b"0\r\n\r\n"] if end else []),
    ]


def _bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


ODD = {
    "in chunks": _chunked(*(event.encode() + b"\n\n" for event in BODY.split("\n\n")[:-1])),
    "byte by byte, through the middle of characters": _chunked(*_bytewise(BODY.encode())),
    "all at once": _chunked(BODY.encode()),
    "until the connection closes": [SSE + b"\r\n", BODY.encode()],
    "as HTTP/1.0": [b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", BODY.encode()],
    "compressed": [SSE + b"Content-Encoding: gzip\r\n\r\n", *_bytewise(gzip.compress(BODY.encode()))],
    "with CRLF": _chunked(*_bytewise(BODY.replace("\n", "\r\n").encode())),
    "without spaces": _chunked(BODY.replace("data: ", "data:").encode()),
    "between comments": _chunked(b": wait\n\n", BODY.replace("\n\n", "\n\n: keep-alive\n\n").encode()),
    "without [DONE]": _chunked(BODY.replace("data: [DONE]\n\n", "").encode()),
    "usage with the end": _chunked(
        (_delta(TEXT) + _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USED}) + "data: [DONE]\n\n").encode()
    ),
    "usage with every piece": _chunked(
        "".join(
            _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], "usage": {**USED, "completion_tokens": made}})
            for text, finish, made in (("", None, 0), (TEXT, None, 1), ("", "stop", 2))
        ).encode()
    ),
}


@pytest.mark.parametrize("pieces", ODD.values(), ids=ODD)
async def test_a_stream_says_the_same_however_it_comes(stage: Stage, pieces: list[bytes]) -> None:
    """Cut anywhere, compressed, with any line ends, comments, with or without the mark of its end: the same facts and text."""
    async with server(pieces) as url:
        assert await stage.ask(url) == TEXT
    said = stage.said
    assert (said[semconv.GEN_AI_RESPONSE_ID], said[semconv.GEN_AI_RESPONSE_MODEL], said[semconv.GEN_AI_FINISH_REASONS]) == ("c", "m-1", ["stop"])
    assert (said[semconv.GEN_AI_INPUT_TOKENS], said[semconv.GEN_AI_OUTPUT_TOKENS], said[semconv.GEN_AI_CACHE_READ_TOKENS]) == (3, 2, 1)
    assert (said[semconv.SERVER_ADDRESS], said[semconv.SERVER_PORT]) == ("127.0.0.1", int(url.split(":")[2].split("/")[0]))
    assert semconv.ERROR_TYPE not in said
    assert semconv.OUTCOME not in said


async def test_what_is_not_said_is_unknown(stage: Stage) -> None:
    """No id, no reason, no usage: nothing is made up, and it is no error."""
    async with server(_chunked(b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n')) as url:
        assert await stage.ask(url) == "x"
    unknown = {
        semconv.GEN_AI_RESPONSE_ID,
        semconv.GEN_AI_RESPONSE_MODEL,
        semconv.GEN_AI_FINISH_REASONS,
        semconv.GEN_AI_INPUT_TOKENS,
        semconv.GEN_AI_OUTPUT_TOKENS,
        semconv.ERROR_TYPE,
    }
    assert not unknown & set(stage.said)


async def test_an_answer_that_is_not_streamed_is_understood(stage: Stage) -> None:
    """The whole of it is one JSON document."""
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m-1", "usage": USED}
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    body = json.dumps({**whole, "choices": [choice]}, indent=1).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with server([head, body]) as url:
        assert await stage.ask(url, stream=False) == TEXT
    assert (stage.said[semconv.GEN_AI_RESPONSE_ID], stage.said[semconv.GEN_AI_INPUT_TOKENS], stage.said[semconv.GEN_AI_FINISH_REASONS]) == (
        "c",
        3,
        ["stop"],
    )


async def test_each_resend_is_a_call_of_its_own(stage: Stage) -> None:
    """The client sends again what was refused: the first call failed, the second has the answer and says which attempt it is."""
    refused = [b"HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"]
    async with server(refused, refused, ODD["in chunks"]) as url:
        assert await stage.ask(url, retries=2) == TEXT
    first, second, third = ((span.attributes or {}) for span in stage.calls)
    assert (first[semconv.ERROR_TYPE], first[semconv.HTTP_STATUS], semconv.HTTP_RESEND in first) == ("429", 429, False)
    assert (second[semconv.ERROR_TYPE], second[semconv.HTTP_RESEND]) == ("429", 1)
    assert (third[semconv.GEN_AI_INPUT_TOKENS], third[semconv.HTTP_RESEND], semconv.ERROR_TYPE in third) == (3, 2, False)
    assert [span.status.is_ok for span in stage.calls] == [False, False, True]


async def test_a_connection_that_breaks_is_an_error(stage: Stage) -> None:
    """What had come is there; how it ended, too."""
    async with server(_chunked(_delta("so far").encode(), end=False)) as url:
        await stage.ask(url)
    (call,) = stage.calls
    assert (stage.said[semconv.ERROR_TYPE], stage.said[semconv.GEN_AI_RESPONSE_ID]) == ("RemoteProtocolError", "c")
    assert not call.status.is_ok


async def test_an_error_in_the_stream_is_an_error(stage: Stage) -> None:
    """The status was 200, but the provider says then that it cannot go on."""
    broken = _delta("so far") + 'data: {"error": {"code": 502, "message": "upstream is gone"}}\n\n'
    async with server(_chunked(broken.encode())) as url:
        await stage.ask(url)
    (call,) = stage.calls
    assert stage.said[semconv.ERROR_TYPE] == "502"
    assert not call.status.is_ok
    assert "upstream is gone" in str(call.status.description)


async def test_an_answer_that_is_not_read_to_its_end_is_cancelled(stage: Stage) -> None:
    """Who reads no further has given the call up; that is no error."""
    begun = _delta("") + _delta(TEXT)
    async with server(_chunked(begun.encode(), end=False)) as url:
        await stage.ask(url, chunks=1)
    assert stage.said[semconv.OUTCOME] == "cancelled"
    assert semconv.ERROR_TYPE not in stage.said


async def test_an_answer_whose_finish_reason_has_come_is_complete(stage: Stage) -> None:
    """Who reads no further then has missed nothing."""
    async with server([SSE + b"\r\n", BODY.encode()]) as url:
        await stage.ask(url, chunks=1)
    assert semconv.OUTCOME not in stage.said
    assert stage.said[semconv.GEN_AI_FINISH_REASONS] == ["stop"]


async def test_requests_outside_of_calls_are_left_alone(stage: Stage) -> None:
    """Nothing is traced, and a client that traces itself goes on with that; within a call it gets no span of its own."""
    assert stage.models.span_of_client(lambda: "a span") == "a span"
    async with server(ODD["in chunks"]) as url, openai.AsyncOpenAI(base_url=url, api_key="k") as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        async for _ in stream:
            pass
    assert not stage.calls
    stage.models.start_api_call_timing(_nothing, stage.backend, "m")
    assert stage.models.span_of_client(lambda: "a span") is None
    stage.models.finish(stage.backend)


class Lines:
    """As much of aiohttp's `StreamReader` as Google's client uses."""

    def __init__(self, body: bytes, breaks: bool = False) -> None:
        self._left = body.splitlines(keepends=True)
        self._breaks = breaks
        self.total_bytes = len(body)

    async def readline(self) -> bytes:
        if not self._left and self._breaks:
            raise ConnectionResetError("broken")
        return self._left.pop(0) if self._left else b""

    async def readchunk(self) -> tuple[bytes, bool]:
        return await self.readline(), True

    def at_eof(self) -> bool:
        return not self._left and not self._breaks


GEMINI = {
    "responseId": "r1",
    "modelVersion": "gemini-x",
    "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3},
}


@pytest.mark.parametrize("how", ["line by line", "chunk by chunk", "as an iterator"])
async def test_streams_of_aiohttp_are_seen(stage: Stage, how: str) -> None:
    """Google's client reads lines off aiohttp's stream; the stream does all that it did."""
    body = b"data: " + json.dumps(GEMINI).encode() + b"\n\n"
    response = SimpleNamespace(status=200, content=Lines(body))

    async def original(*_: Any, **__: Any) -> Any:
        return response

    stage.models.start_api_call_timing(_nothing, stage.backend, "m")
    got = await Http(stage.models).request(original, None, "POST", "http://host:81/v1", data=b'{"contents": [{"role": "user"}]}')
    assert got.content.total_bytes == len(body)
    if how == "as an iterator":
        lines = [line async for line in got.content]
    else:
        read = got.content.readline if how == "line by line" else got.content.readchunk
        lines = []
        while not got.content.at_eof():
            data = await read()
            lines.append(data[0] if isinstance(data, tuple) else data)
    assert b"".join(lines) == body
    stage.models.finish(stage.backend)
    said = stage.said
    assert (said[semconv.GEN_AI_RESPONSE_ID], said[semconv.GEN_AI_INPUT_TOKENS], said[semconv.GEN_AI_OUTPUT_TOKENS]) == ("r1", 9, 7)
    assert (said[semconv.SERVER_ADDRESS], said[semconv.SERVER_PORT]) == ("host", 81)
    assert semconv.OUTCOME not in said


async def test_a_stream_of_aiohttp_that_breaks_is_an_error(stage: Stage) -> None:
    """The reader gets the error that it got before, and the call has it."""
    response = SimpleNamespace(status=200, content=Lines(b"", breaks=True))

    async def original(*_: Any, **__: Any) -> Any:
        return response

    stage.models.start_api_call_timing(_nothing, stage.backend, "m")
    got = await Http(stage.models).request(original, None, "POST", "http://host/v1")
    with pytest.raises(ConnectionResetError):
        await got.content.readline()
    stage.models.finish(stage.backend)
    assert stage.said[semconv.ERROR_TYPE] == "ConnectionResetError"


RESPONSE = {"id": "resp_1", "object": "response", "model": "m-1", "status": "completed", "usage": {"input_tokens": 7, "output_tokens": 5}}
EVENTS = [{"type": "response.created", "response": {"id": "resp_1"}}, {"type": "response.completed", "response": RESPONSE}]


@pytest.mark.parametrize("breaks", [False, True], ids=["to its end", "that breaks"])
async def test_a_websocket_is_as_good_as_http(stage: Stage, breaks: bool) -> None:
    """The same events say the same; a connection that breaks is an error of its kind."""

    async def original(_transport: object, _params: object) -> AsyncIterator[Any]:
        for event in EVENTS:
            yield event
        if breaks:
            raise ConnectionResetError("broken")

    stage.models.start_api_call_timing(_nothing, stage.backend, "m")
    seen = []
    events = Http(stage.models).send_and_receive(original, SimpleNamespace(url="ws://host:82/v1/responses"), {})
    try:
        async for event in events:
            seen.append(event)
    except ConnectionResetError:
        assert breaks
    stage.models.finish(stage.backend)
    assert seen == EVENTS
    said = stage.said
    assert (said[semconv.GEN_AI_RESPONSE_ID], said[semconv.GEN_AI_INPUT_TOKENS]) == ("resp_1", 7)
    assert (said[semconv.SERVER_ADDRESS], said[semconv.SERVER_PORT]) == ("host", 82)
    assert said.get(semconv.ERROR_TYPE) == ("ConnectionResetError" if breaks else None)
