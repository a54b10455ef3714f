"""A local OpenAI-compatible endpoint that plays a script: the dry run's stand-in for a provider, reached over real HTTP.

    POST /agents/<agent id>/v1/chat/completions    streamed (SSE) or whole; and the path of each other interface that it is given
    GET  /agents/<agent id>/v1/models
    GET  /healthz
    GET  /_log                                     every completion request seen, and what was answered

The agent's id stands in the URL, since a request names a model and no agent. The log's `began_ns`, `first_ns` and `ended_ns` are Unix nanoseconds:
when the request had been read, when the first chunk had been handed to the system and when the last one was about to be; None where it did not come
to that.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from massgen_tracing.errors import EndpointError

from . import packages
from .config import AgentConfig
from .protocol import Usage

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

START_TIMEOUT: Final = 15.0
STOP_TIMEOUT: Final = 5.0
CREATED: Final = 1_700_000_000
"""Unix time in every reply; fixed, so that replies are the same in every run."""


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One tool call of a scripted reply."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """What the endpoint answers to one request.

    Attributes:
        text: streamed word by word.
        calls: tool calls, streamed in pieces after the text.
        seconds: how long the reply takes; a third of it before the first chunk.
        usage: reported in the last chunk; None to report none.
        status: HTTP status; other than 200, *text* is the error's message.
        cut: end the stream before its end: no finish reason, no usage.
        broken: break the connection where *cut* would end the stream.
    """

    text: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    seconds: float = 0.0
    usage: Usage | None = None
    status: int = 200
    cut: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One completion request, as a script sees it; *number* counts the agent's requests from 1, *tools* are the offered tools' names."""

    agent_id: str
    number: int
    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: tuple[str, ...]


Script = Callable[[Asked], Turn]


@dataclass(frozen=True, slots=True)
class Question:
    """A request as an interface has read it.

    Attributes:
        messages: in the shape that chat completions have.
        tools: the offered tools' names.
        streams: whether the reply is to be streamed.
        with_usage: whether a streamed reply is to say what it has used.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: tuple[str, ...]
    streams: bool = True
    with_usage: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What an interface is to write: a turn, under the id and the model's name that it goes by."""

    turn: Turn
    id: str
    model: str


class Interface(Protocol):
    """How one provider's requests are read and its replies written."""

    @property
    def path(self) -> str:
        """Below the agent's own prefix; may have parameters."""

    @property
    def kind(self) -> str:
        """How the ids of its replies begin."""

    @property
    def counts(self) -> tuple[str, ...]:
        """The fields of `Usage` that it reports."""

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Question:
        """Read a request; *path* has the path's parameters."""

    def error(self, message: str, status: int) -> dict[str, Any]:
        """The body of an error."""

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Tokens as it reports them."""

    def finish(self, turn: Turn) -> str:
        """Why the model stopped, as it says it."""

    def whole(self, reply: Reply) -> dict[str, Any]:
        """A reply that is not streamed."""

    def events(self, reply: Reply) -> Iterator[str]:
        """The server-sent events up to the end of what the model says."""

    def ending(self, reply: Reply, *, with_usage: bool) -> Iterator[str]:
        """The server-sent events by which a reply ends that is not cut off."""


@dataclass(slots=True)
class _Log:
    """What the endpoint saw; touched by the server's thread only, read through HTTP."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class ScriptedEndpoint:
    """The endpoint on a port of its own at 127.0.0.1, served from a thread; a context manager.

    Args:
        script: decides every reply; called in the server's thread.
        interfaces: what it can be asked by.

    Raises:
        EndpointError: on entering, if it does not start.
        MissingPackageError: on entering, if a package is not installed that it needs.
    """

    def __init__(self, script: Script, interfaces: Sequence[Interface] | None = None) -> None:
        self._script = script
        self._interfaces = (ChatCompletions(),) if interfaces is None else interfaces
        self._log = _Log()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    def __enter__(self) -> Self:
        packages.check("starlette", "uvicorn")
        import uvicorn

        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            ws="none",
            http="h11",
            loop="asyncio",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="scripted endpoint", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        if not self._server.started:
            raise EndpointError(f"The scripted endpoint did not start at {self.url}", hint="Look for a firewall on 127.0.0.1")
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_TIMEOUT)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What `/_log` answers, for the process that runs the endpoint: a copy, safe while requests come in."""
        return [dict(entry) for entry in list(self._log.entries)]

    def address(self, agent_id: str) -> str:
        """What the paths of one agent's interfaces are below."""
        return f"{self.url}/agents/{agent_id}"

    def base_url(self, agent_id: str) -> str:
        """The `base_url` of one agent, for clients of OpenAI's interfaces."""
        return f"{self.address(agent_id)}/v1"

    def redirect(self, agent: AgentConfig) -> AgentConfig:
        """*agent* with this endpoint in the place of its own; its key stays at home."""
        return replace(agent, base_url=self.base_url(agent.id), api_key="", api_key_env=None)

    def _application(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        async def health(_request: Request) -> Response:
            return JSONResponse({"status": "ok"})

        async def log(_request: Request) -> Response:
            return JSONResponse(self._log.entries)

        async def models(request: Request) -> Response:
            listed = {"id": "scripted", "object": "model", "created": CREATED, "owned_by": request.path_params["agent_id"]}
            return JSONResponse({"object": "list", "data": [listed]})

        def answering(interface: Interface) -> Callable[[Request], Awaitable[Response]]:
            async def answer(request: Request) -> Response:
                return await self._answer(interface, request)

            return answer

        prefix = "/agents/{agent_id}"
        return Starlette(
            routes=[
                Route("/healthz", health),
                Route("/_log", log),
                Route(f"{prefix}/v1/models", models),
                *(Route(f"{prefix}{interface.path}", answering(interface), methods=["POST"]) for interface in self._interfaces),
            ]
        )

    async def _answer(self, interface: Interface, request: Request) -> Response:
        from starlette.responses import JSONResponse, StreamingResponse

        body = await request.json()
        began_ns = time.time_ns()
        agent_id = request.path_params["agent_id"]
        number = self._log.counts[agent_id] = self._log.counts.get(agent_id, 0) + 1
        asked = interface.read(body, request.path_params)
        turn = self._script(Asked(agent_id, number, asked.model, asked.messages, asked.tools))
        reply = Reply(turn, f"{interface.kind}-{agent_id}-{number}", asked.model)
        entry: dict[str, Any] = {
            "agent_id": agent_id,
            "number": number,
            "id": reply.id,
            "model": asked.model,
            "messages": asked.messages,
            "tools": asked.tools,
            "server": self.url,
            "status": turn.status,
            "broken": turn.broken,
            "calls": [call.name for call in turn.calls],
            "finish": interface.finish(turn),
            "usage": None,
            "tokens": {},
            "finished": False,
            "began_ns": began_ns,
            "first_ns": None,
            "ended_ns": None,
        }
        self._log.entries.append(entry)
        if turn.status != 200:
            await asyncio.sleep(turn.seconds)
            entry.update(finished=True, ended_ns=time.time_ns())
            return JSONResponse(interface.error(turn.text, turn.status), turn.status)
        if not asked.streams:
            await asyncio.sleep(turn.seconds)
            entry.update(finished=True, **_used(interface, turn), ended_ns=time.time_ns())
            return JSONResponse(interface.whole(reply))
        return StreamingResponse(_events(interface, reply, entry, with_usage=asked.with_usage), media_type="text/event-stream")


def _used(interface: Interface, turn: Turn) -> dict[str, Any]:
    """What the log has of a reply's tokens: as the interface reports them, and each count that it reports."""
    if turn.usage is None:
        return {}
    return {"usage": interface.usage(turn.usage), "tokens": {count: getattr(turn.usage, count) or 0 for count in interface.counts}}


async def _events(interface: Interface, reply: Reply, entry: dict[str, Any], *, with_usage: bool) -> AsyncIterator[str]:
    """The reply as server-sent events, spread over the turn's seconds."""
    turn, events = reply.turn, list(interface.events(reply))
    try:
        await asyncio.sleep(turn.seconds / 3)
        for event in events:
            yield event
            entry["first_ns"] = entry["first_ns"] or time.time_ns()
            await asyncio.sleep(turn.seconds * 2 / 3 / len(events))
        entry["finished"] = True
        if turn.broken:
            raise ConnectionResetError(f"{reply.id} was to be broken off")
        if turn.cut:
            return
        if with_usage:
            entry.update(_used(interface, turn))
        entry["ended_ns"] = time.time_ns()  # before the end is sent: a client may close the stream at any part of it
        for event in interface.ending(reply, with_usage=with_usage):
            yield event
    finally:  # also when the client went away
        entry["ended_ns"] = entry["ended_ns"] or time.time_ns()


def event(data: Mapping[str, Any], name: str | None = None) -> str:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n"


def pieces(call: ScriptedCall) -> Iterator[str]:
    """A call's arguments as providers stream them."""
    text = json.dumps(call.arguments)
    return (text[at : at + 48] for at in range(0, len(text), 48))


def words(text: str) -> list[str]:
    """A text as providers stream it."""
    return [word if n == 0 else f" {word}" for n, word in enumerate(text.split(" "))] if text else []


def call_id(reply: Reply, index: int) -> str:
    """The id of a reply's tool call."""
    return f"call_{reply.id.partition('-')[2]}_{index}"


@dataclass(frozen=True, slots=True)
class ChatCompletions:
    """OpenAI's chat completions, which many others imitate."""

    path: str = "/v1/chat/completions"
    kind: str = "chatcmpl"
    counts: tuple[str, ...] = ("input", "output", "reasoning", "cached_input")

    def read(self, body: Mapping[str, Any], path: Mapping[str, str]) -> Question:  # noqa: ARG002 - all of it is in the body
        tools = tuple(tool["function"]["name"] for tool in body.get("tools") or ())
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return Question(body["model"], body["messages"], tools, bool(body.get("stream")), with_usage)

    def error(self, message: str, status: int) -> dict[str, Any]:  # noqa: ARG002 - the status is in the response's head
        return {"error": {"message": message, "type": "scripted", "code": None}}

    def usage(self, usage: Usage) -> dict[str, Any]:
        prompt, completion = usage.input or 0, usage.output or 0
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached_input or 0},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        }

    def finish(self, turn: Turn) -> str:
        return "tool_calls" if turn.calls else "stop"

    def whole(self, reply: Reply) -> dict[str, Any]:
        turn = reply.turn
        calls = [
            {"id": call_id(reply, index), "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for index, call in enumerate(turn.calls)
        ]
        message = {"role": "assistant", "content": turn.text or None, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": self.finish(turn)}
        usage = self.usage(turn.usage) if turn.usage is not None else None
        return {**self._base(reply, "chat.completion"), "choices": [choice], "usage": usage}

    def events(self, reply: Reply) -> Iterator[str]:
        yield self._chunk(reply, {"role": "assistant", "content": ""})
        for word in words(reply.turn.text):
            yield self._chunk(reply, {"content": word})
        for index, call in enumerate(reply.turn.calls):
            start = {"index": index, "id": call_id(reply, index), "type": "function", "function": {"name": call.name, "arguments": ""}}
            yield self._chunk(reply, {"tool_calls": [start]})
            for piece in pieces(call):
                yield self._chunk(reply, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def ending(self, reply: Reply, *, with_usage: bool) -> Iterator[str]:
        yield self._chunk(reply, {}, self.finish(reply.turn))
        if with_usage and reply.turn.usage is not None:
            yield event({**self._base(reply), "choices": [], "usage": self.usage(reply.turn.usage)})
        yield "data: [DONE]\n\n"

    def _chunk(self, reply: Reply, delta: Mapping[str, Any], finish: str | None = None) -> str:
        return event({**self._base(reply), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    @staticmethod
    def _base(reply: Reply, kind: str = "chat.completion.chunk") -> dict[str, Any]:
        return {"id": reply.id, "object": kind, "created": CREATED, "model": reply.model}
