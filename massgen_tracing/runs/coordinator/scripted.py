"""A local OpenAI-compatible endpoint that plays a script: the dry run's stand-in for a provider, reached over real HTTP.

    POST /agents/<agent id>/v1/chat/completions    streamed (SSE) or whole
    GET  /agents/<agent id>/v1/models
    GET  /healthz
    GET  /_log                                     every completion request seen, and what was answered

The agent's id stands in the URL, since a request names a model and no agent. The log's `began_ns`, `first_ns` and `ended_ns` are Unix nanoseconds:
when the request had been read, when the first chunk and when the last byte were handed to the system; None where it did not come to that.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from massgen_tracing.errors import EndpointError

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
    """

    text: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    seconds: float = 0.0
    usage: Usage | None = None
    status: int = 200
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One completion request, as a script sees it; *number* counts the agent's requests from 1, *tools* are the offered tools' names."""

    agent_id: str
    number: int
    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: tuple[str, ...]


Script = Callable[[Asked], Turn]


@dataclass(slots=True)
class _Log:
    """What the endpoint saw; touched by the server's thread only, read through HTTP."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class ScriptedEndpoint:
    """The endpoint on a port of its own at 127.0.0.1, served from a thread; a context manager.

    Args:
        script: decides every reply; called in the server's thread.

    Raises:
        EndpointError: on entering, if it does not start.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._log = _Log()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    def __enter__(self) -> Self:
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

    def base_url(self, agent_id: str) -> str:
        """The `base_url` of one agent."""
        return f"{self.url}/agents/{agent_id}/v1"

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

        prefix = "/agents/{agent_id}/v1"
        return Starlette(
            routes=[
                Route("/healthz", health),
                Route("/_log", log),
                Route(f"{prefix}/models", models),
                Route(f"{prefix}/chat/completions", self._complete, methods=["POST"]),
            ]
        )

    async def _complete(self, request: Request) -> Response:
        from starlette.responses import JSONResponse, StreamingResponse

        body = await request.json()
        began_ns = time.time_ns()
        agent_id = request.path_params["agent_id"]
        number = self._log.counts[agent_id] = self._log.counts.get(agent_id, 0) + 1
        tools = tuple(tool["function"]["name"] for tool in body.get("tools") or ())
        turn = self._script(Asked(agent_id, number, body["model"], body["messages"], tools))
        reply_id = f"chatcmpl-{agent_id}-{number}"
        entry: dict[str, Any] = {
            "agent_id": agent_id,
            "number": number,
            "id": reply_id,
            "model": body["model"],
            "messages": body["messages"],
            "tools": tools,
            "status": turn.status,
            "calls": [call.name for call in turn.calls],
            "usage": None,
            "finished": False,
            "began_ns": began_ns,
            "first_ns": None,
            "ended_ns": None,
        }
        self._log.entries.append(entry)
        if turn.status != 200:
            await asyncio.sleep(turn.seconds)
            entry.update(finished=True, ended_ns=time.time_ns())
            return JSONResponse({"error": {"message": turn.text, "type": "scripted", "code": None}}, turn.status)
        if not body.get("stream"):
            await asyncio.sleep(turn.seconds)
            entry.update(finished=True, usage=_usage(turn.usage), ended_ns=time.time_ns())
            return JSONResponse(_whole(turn, reply_id, body["model"]))
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return StreamingResponse(_events(turn, reply_id, body["model"], entry, with_usage=with_usage), media_type="text/event-stream")


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    prompt, completion = usage.input or 0, usage.output or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
    }


def _whole(turn: Turn, reply_id: str, model: str) -> dict[str, Any]:
    calls = [
        {"id": _call_id(reply_id, index), "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for index, call in enumerate(turn.calls)
    ]
    message = {"role": "assistant", "content": turn.text or None, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": _finish(turn)}
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": _usage(turn.usage),
    }


async def _events(turn: Turn, reply_id: str, model: str, entry: dict[str, Any], *, with_usage: bool) -> AsyncIterator[str]:
    """The reply as server-sent events, spread over the turn's seconds."""
    base = {"id": reply_id, "object": "chat.completion.chunk", "created": CREATED, "model": model}

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        return f"data: {json.dumps({**base, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"

    deltas = [{"role": "assistant", "content": ""}, *_text_deltas(turn.text), *_call_deltas(turn, reply_id)]
    try:
        await asyncio.sleep(turn.seconds / 3)
        for delta in deltas:
            yield event(delta)
            entry["first_ns"] = entry["first_ns"] or time.time_ns()
            await asyncio.sleep(turn.seconds * 2 / 3 / len(deltas))
        if turn.cut:
            entry["finished"] = True
            return
        yield event({}, _finish(turn))
        if with_usage and turn.usage is not None:
            entry["usage"] = _usage(turn.usage)
            yield f"data: {json.dumps({**base, 'choices': [], 'usage': entry['usage']})}\n\n"
        entry["finished"] = True
        yield "data: [DONE]\n\n"
    finally:  # also when the client went away
        entry["ended_ns"] = time.time_ns()


def _text_deltas(text: str) -> list[dict[str, Any]]:
    words = text.split(" ")
    return [{"content": word if n == 0 else f" {word}"} for n, word in enumerate(words)] if text else []


def _call_deltas(turn: Turn, reply_id: str) -> list[dict[str, Any]]:
    """Tool calls as providers stream them: the name first, then the arguments in pieces."""
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(turn.calls):
        start = {"index": index, "id": _call_id(reply_id, index), "type": "function", "function": {"name": call.name, "arguments": ""}}
        deltas.append({"tool_calls": [start]})
        text = json.dumps(call.arguments)
        pieces = (text[at : at + 48] for at in range(0, len(text), 48))
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    return deltas


def _call_id(reply_id: str, index: int) -> str:
    return f"call_{reply_id.removeprefix('chatcmpl-')}_{index}"


def _finish(turn: Turn) -> str:
    return "tool_calls" if turn.calls else "stop"
