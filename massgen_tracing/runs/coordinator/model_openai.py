"""One agent's model, through the `openai` package: the only file that imports it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from massgen_tracing.trace.reported import usage_of

from .config import AgentConfig
from .protocol import Message, Reply, ToolCall, Usage, writable

RETRYABLE_STATUS: Final = frozenset({408, 409, 425, 429})

MAX_REPLY: Final = 2_000_000
"""Characters of a reply, its tool calls included; several times what any model writes at once."""

MAX_LINE: Final = 8 * MAX_REPLY
"""Bytes that an endpoint may send without a line's end; the client keeps them all until then."""


def load() -> None:
    """Import the package, which takes a second, before it would stand in the way of a run."""
    import openai  # noqa: F401


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """Why a model call failed.

    Attributes:
        message: one line, without the key.
        retryable: whether the same call may succeed in a moment.
        unreachable: nobody answered at the endpoint.
        wait: seconds that the endpoint asked to wait, if it did.
    """

    message: str
    retryable: bool
    unreachable: bool = False
    wait: float | None = None


class ReplyTooLong(Exception):
    """An endpoint sends more than anybody could use; it is not listened to any longer."""

    def __init__(self, most: int, what: str) -> None:
        super().__init__(f"more than {most:,} {what}")


class ChatModel:
    """Streams chat completions of one agent's endpoint.

    The client's own retries are off: each request is one model call with one span, and the coordinator decides what comes next.

    Attributes:
        host, port: where the endpoint listens.
        errors: what `stream` raises when the endpoint or the way to it fails.
    """

    def __init__(self, agent: AgentConfig, *, timeout: float) -> None:
        import openai

        self._agent = agent
        # An endpoint without keys still gets a header, since the client insists on one.
        self._client = openai.AsyncOpenAI(
            base_url=agent.base_url,
            api_key=agent.api_key or "none",
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [_bound]}),
        )
        address = urlsplit(agent.base_url)
        self.host = address.hostname or ""
        self.port = address.port or (443 if address.scheme == "https" else 80)
        self._openai = openai
        # openai 2 streams through httpx, openai 3 through httpx2; both let some of its errors through while a body is read.
        clients = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
        self.errors: tuple[type[Exception], ...] = (openai.OpenAIError, ReplyTooLong, *(client.HTTPError for client in clients))

    async def stream(self, model: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> AsyncGenerator[str | Reply, None]:
        """Yield each chunk's text (often empty: a piece of a tool call) as it comes, and the whole `Reply` last.

        Args:
            model: the model that is asked; an agent may have several.
            messages: the conversation.
            tools: what the model may call.

        Raises:
            Exception: one of `errors`, which `explain` understands.
        """
        request: dict[str, Any] = {"model": model, "messages": list(messages), **self._agent.options}
        if tools:
            request["tools"] = list(tools)
        stream = await self._client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
        parts = _Parts()
        try:
            async for chunk in stream:
                yield parts.add(chunk)
        finally:
            await stream.close()
        yield parts.reply()

    def explain(self, error: Exception) -> ModelFailure:
        """What *error*, one of `errors`, means for the run."""
        openai = self._openai
        if isinstance(error, ReplyTooLong):
            return ModelFailure(f"the reply from {self._agent.base_url} was stopped: {error}", retryable=True)
        if isinstance(error, openai.APITimeoutError):
            return ModelFailure(f"{self._agent.base_url} did not answer in time", retryable=True)
        if isinstance(error, openai.APIStatusError):
            status = error.status_code
            wait = _seconds(error.response.headers.get("retry-after"))
            return ModelFailure(f"{self._agent.base_url} answered {status}: {_line(error)}", status in RETRYABLE_STATUS or status >= 500, wait=wait)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__ or error
            return ModelFailure(f"no answer from {self._agent.base_url} ({_line(cause)})", retryable=True, unreachable=True)
        return ModelFailure(f"the stream from {self._agent.base_url} broke: {_line(error)}", retryable=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


class _Parts:
    """Puts a stream's chunks together."""

    def __init__(self) -> None:
        self._chars = 0
        self._text: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._usage: Usage | None = None

    def add(self, chunk: Any) -> str:
        """Take one chunk; returns its text.

        Raises:
            ReplyTooLong: if all there is by now is too much.
        """
        self._model = chunk.model or self._model
        self._id = chunk.id or self._id
        if chunk.usage is not None:
            self._usage = _usage(chunk)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        delta = choice.delta
        for piece in (delta.tool_calls if delta else None) or ():
            call = self._calls.setdefault(piece.index or 0, {"id": "", "name": "", "arguments": ""})
            call["id"] = piece.id or call["id"]
            if piece.function is not None:
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
                self._chars += len(piece.function.arguments or "")
        text = (delta.content if delta else None) or ""
        self._text.append(text)
        self._chars += len(text)
        if self._chars > MAX_REPLY:
            raise ReplyTooLong(MAX_REPLY, "characters")
        return text

    def reply(self) -> Reply:
        """Everything taken so far."""
        calls = tuple(
            ToolCall(call["id"] or f"call_{index}", call["name"], writable(call["arguments"]))
            for index, call in sorted(self._calls.items())
            if call["name"]
        )
        return Reply(writable("".join(self._text)), calls, self._finish, self._model, self._id, self._usage)


def _usage(chunk: Any) -> Usage:
    """What the chunk that has the usage says; how the call was served it says beside."""
    raw: dict[str, Any] = chunk.usage.model_dump(exclude_none=True)
    tier = getattr(chunk, "service_tier", None)
    raw = raw if tier is None else {"service_tier": tier, **raw}
    return Usage(*usage_of(raw), raw=raw)


async def _bound(response: Any) -> None:
    """Bound what is read of a response before it comes to be a chunk; a hook of the client's transport."""
    base = next(kind for kind in type(response.stream).__mro__ if kind.__name__ == "AsyncByteStream")
    response.stream = type("Bounded", (_Bounded, base), {})(response.stream)


class _Bounded:
    """A response's body, whose lines are of bounded length."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        length = 0
        async for part in self._stream:
            end = part.rfind(b"\n")
            length = length + len(part) if end < 0 else len(part) - end - 1
            if length > MAX_LINE:
                raise ReplyTooLong(MAX_LINE, "bytes in one line")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        return None  # an HTTP date; the usual wait does


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:300] or type(error).__name__
