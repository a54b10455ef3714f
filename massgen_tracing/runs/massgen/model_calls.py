"""Model calls: one `llm.*` span for each request to a provider, from before it is sent until its answer has ended.

Two places see a call. MassGen's backends say when one begins and ends (`LLMBackend.start_api_call_timing`, `end_api_call_timing`); some leave
before the last byte, some never say the end, two say nothing. HTTP (`http`) sees every request and every answer, but not whose it is. So the
backend opens the call, HTTP fills it and sees where it ends, and what the client sends again is a call of its own.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.trace import Status, StatusCode

from massgen_tracing import guard, semconv
from massgen_tracing.trace import conversation

from .wire import Answer, usage_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from massgen_tracing.trace.calls import LlmCall, ToolCall
    from massgen_tracing.trace.handle import Handle
    from massgen_tracing.trace.tracer import Tracer

PROVIDERS: Final = {
    "claude": "anthropic",
    "gemini": "gcp.gemini",
    "grok": "x_ai",
    "azure openai": "azure.ai.openai",
}
"""MassGen's names of providers, in lower case, where OpenTelemetry has another (`gen_ai.provider.name`)."""

_MAX_TEXT: Final = 4096
"""Characters of an answer's text that are kept for its preview."""

_SAID: Final = frozenset({"content", "reasoning", "tool_calls"})
"""MassGen's types of chunks that are pieces of an answer."""

_OTHER: Final = "_OTHER"
"""OpenTelemetry's `error.type` where nothing more exact is known."""


def provider_name(backend: Any) -> str:
    """The provider of a backend, in OpenTelemetry's words where it has one."""
    name = str(backend.get_provider_name()).strip().lower()
    return PROVIDERS.get(name, name.replace(" ", "_")) or "unknown"


class ModelCall:
    """One request, and its answer.

    Attributes:
        handle: its span.
        said: whether MassGen itself has said that it ended, and when (nanoseconds).
        tools: what the program that makes the call runs just now, by id; empty where MassGen runs the tools itself.
    """

    def __init__(self, tracer: Tracer, backend: Any, model: str | None, *, resend: int = 0) -> None:
        self._tracer = tracer
        self._backend = weakref.ref(backend)
        self._model = model
        self._resend = resend
        server = urlsplit(str(_setting(backend, "base_url") or ""))
        self.handle: LlmCall = tracer.llm_call(
            provider_name(backend),
            model=model,
            server_address=server.hostname,
            server_port=server.port,
            attributes={semconv.HTTP_RESEND: resend or None},
        )
        self.handle.start()
        self.said: int | None = None
        self.tools: dict[str, ToolCall] = {}
        self._error: str | None = None
        self._error_type = _OTHER
        self._status: int | None = None
        self._let_go: int | None = None
        self._closed: int | None = None
        self._usage: Mapping[str, Any] | None = None
        self._answer: Answer | None = None
        self._requested = False
        self._open = True
        self._said: list[dict[str, Any]] = []
        self._text = ""

    @property
    def is_open(self) -> bool:
        """Whether its span has not ended."""
        return self._open

    @property
    def is_requested(self) -> bool:
        """Whether HTTP has seen its request."""
        return self._requested

    @property
    def is_over(self) -> bool:
        """Whether its answer has ended, though its span may still wait for the tokens."""
        return self.said is not None or self._closed is not None

    # --- what the backend says ---------------------------------------------------------------------------------------------------

    def first_token(self) -> None:
        """The first piece of the answer is there."""
        self.handle.first_chunk()

    def text(self, piece: str) -> None:
        """A piece of the answer's text."""
        if len(self._text) < _MAX_TEXT:
            self._text += piece[:_MAX_TEXT]

    def used(self, usage: object) -> None:
        """What the provider says it has used."""
        self._usage = usage_in(usage) or self._usage

    def answered_by(self, model: str | None) -> None:
        """The model that answers."""
        self.handle.record_response(model=model)

    def stopped(self, reason: str | None) -> None:
        """Why the model stopped."""
        self.handle.record_response(finish_reasons=[reason] if reason else None)

    def over(self, *, success: bool, error: object = None) -> None:
        """MassGen says that the call has ended."""
        if self.said is None:
            self.said = time.time_ns()
            if not success:
                self._error = str(error or self._error or "failed")
        if self._usage is not None or not success:
            self.finish()

    # --- what HTTP sees ------------------------------------------------------------------------------------------------------------

    def request(self, host: str | None, port: int | None, body: bytes) -> ModelCall:
        """A request goes out; returns the call that it belongs to: a new one where this one has had its answer already."""
        if self._requested:
            backend = self._backend()
            again = self._error is not None or (self._status or 200) >= 400
            self.finish()
            if backend is not None:
                successor = ModelCall(self._tracer, backend, self._model, resend=self._resend + 1 if again else 0)
                return successor.request(host, port, body)
        self._requested = True
        self.handle.set(semconv.SERVER_ADDRESS, host)
        self.handle.set(semconv.SERVER_PORT, port)
        self.handle.record_content(input=_messages(body))
        return self

    def response(self, status: int) -> None:
        """The answer's head is there."""
        self._status = status
        if status >= 400:
            self._closed = time.time_ns()
            self._error, self._error_type = f"HTTP {status}", str(status)
        else:
            self._answer = Answer()

    def chunk(self, data: bytes) -> None:
        """Bytes of the answer are there."""
        if self._open and self._answer is not None and data:
            self._answer.add(data)
            if self._answer.begun:
                self.handle.first_chunk()

    def event(self, event: Mapping[str, Any]) -> None:
        """An event of an answer that does not come over HTTP."""
        if self._open:
            self._answer = self._answer or Answer()
            self._answer.read(event)
            self.handle.first_chunk()

    def let_go(self) -> None:
        """The connection was given back: at the answer's end, or before it."""
        self._let_go = self._let_go or time.time_ns()

    def closed(self) -> None:
        """The answer has been read to its end."""
        if self._closed is None:
            self._closed = self._let_go or time.time_ns()

    def failed(self, error: BaseException) -> None:
        """No answer came, or not all of it."""
        if self._closed is None:
            self._closed = time.time_ns()
            self._error, self._error_type = f"{type(error).__name__}: {error}", type(error).__name__

    # --- the end -------------------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End the span, at the time when the answer ended; a call that was given up before is cancelled."""
        if not self._open:
            return
        self._open = False
        for tool in self.tools.values():
            tool.end(GeneratorExit())
        if self._answer is not None:
            reply = self._answer.reply()
            facts = reply.facts
            self.handle.record_response(model=facts.model, id=facts.id, finish_reasons=facts.finish_reasons)
            self._usage = usage_in(facts.usage) or self._usage
            if facts.error is not None:
                kind, text = facts.error
                self._error_type = kind if self._error_type == _OTHER else self._error_type
                self._error = self._error or text
            self._said = reply.output()
        if self._usage is not None:
            self.handle.record_usage(raw=self._usage)
        if self._said or self._text:
            self.handle.record_content(output=self._said or [{"role": "assistant", "parts": [conversation.text(self._text)]}])
        if self._error is not None:
            if self._status is not None and self._status >= 400:
                self.handle.set(semconv.HTTP_STATUS, self._status)
            self.handle.set(semconv.ERROR_TYPE, self._error_type)
            self.handle.span.set_status(Status(StatusCode.ERROR, self._tracer.spans.clean_text(self._error)))
        # What was given up before its answer had ended is no error, and no answer.
        self.handle.end(None if self.is_over or self._error is not None else GeneratorExit(), self._closed or self.said)


class ModelCalls:
    """The calls that are open, one for each backend at most.

    Args:
        tracer: gives the tracer in force.
    """

    def __init__(self, tracer: Callable[[], Tracer]) -> None:
        self._tracer = tracer
        self._open: weakref.WeakKeyDictionary[Any, ModelCall] = weakref.WeakKeyDictionary()
        self._current: ContextVar[ModelCall | None] = ContextVar("massgen_tracing.model_call", default=None)
        self._said: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()

    @property
    def current(self) -> ModelCall | None:
        """The call that is open in this context."""
        call = self._current.get()
        return call if call is not None and call.is_open else None

    def finish(self, backend: Any) -> None:
        """End what is open of a backend."""
        call = self._open.pop(backend, None)
        if call is not None:
            call.finish()

    def finish_of(self, handle: Handle) -> None:
        """End what is open below a round or a session that is about to end."""
        for backend, call in list(self._open.items()):
            places: tuple[object, ...] = call.handle.round, call.handle.session
            if any(place is handle for place in places):
                self.finish(backend)

    def settle(self) -> None:
        """The agent goes on to something else: end the current call if its answer is over."""
        call = self.current
        if call is not None and call.is_over:
            call.finish()

    # --- LLMBackend ----------------------------------------------------------------------------------------------------------------

    def start_api_call_timing(self, original: Callable[..., Any], backend: Any, model: Any = None, *args: Any, **kwargs: Any) -> Any:
        """A backend is about to call its provider."""
        try:
            self._begin(backend, model)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("massgen.model_call", error)
        return original(backend, model, *args, **kwargs)

    def record_first_token(self, original: Callable[..., Any], backend: Any) -> Any:
        """The first piece of text has come."""
        call = self._open.get(backend)
        if call is not None:
            call.first_token()
        return original(backend)

    def end_api_call_timing(self, original: Callable[..., Any], backend: Any, success: bool = True, error: Any = None) -> Any:
        """The call has ended, says the backend."""
        call = self._open.get(backend)
        if call is not None:
            try:
                call.over(success=success, error=error)
            except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("massgen.model_call", failure)
        return original(backend, success, error)

    def update_usage(self, original: Callable[..., Any], backend: Any, usage: Any, *args: Any, **kwargs: Any) -> Any:
        """The provider's usage has come: during the call, or right after it."""
        call = self._open.get(backend)
        if call is not None and call.is_open:
            try:
                call.used(usage)
                if call.said is not None:
                    call.finish()
            except Exception as failure:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("massgen.model_call", failure)
        return original(backend, usage, *args, **kwargs)

    # --- SingleAgent ---------------------------------------------------------------------------------------------------------------

    def process_stream(self, original: Callable[..., Any], agent: Any, backend_stream: Any, *args: Any, **kwargs: Any) -> Any:
        """An agent reads what its backend streams."""
        return original(agent, self._watched(agent.backend, backend_stream), *args, **kwargs)

    async def _watched(self, backend: Any, stream: Any) -> AsyncIterator[Any]:
        if not self._says_its_calls(type(backend)):
            try:
                self._begin(backend, _setting(backend, "model"))
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("massgen.model_call", error)
        finished = False
        try:
            async for chunk in stream:
                call = self._open.get(backend)
                if call is None:
                    pass
                elif getattr(chunk, "type", None) == "error" and not call.is_requested:  # nobody else would know
                    call.over(success=False, error=getattr(chunk, "error", None) or getattr(chunk, "content", None))
                elif getattr(chunk, "type", None) in _SAID:
                    call.first_token()
                    if chunk.type == "content" and isinstance(chunk.content, str):
                        call.text(chunk.content)
                yield chunk
            finished = True
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
            call = self._open.get(backend)
            if call is not None and finished and not call.is_over:
                call.closed()
            self.finish(backend)

    # --- HTTP ----------------------------------------------------------------------------------------------------------------------

    def requested(self, host: str | None, port: int | None, body: object) -> ModelCall | None:
        """A client sends a request; returns the call of this context that it belongs to, if any."""
        call = self.current
        if call is None or call.said is not None:
            return None
        try:
            successor = call.request(host, port, body if isinstance(body, bytes) else b"")
            if successor is not call:
                for backend, held in list(self._open.items()):
                    if held is call:
                        self._hold(backend, successor)
            call = successor
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("massgen.http", error)
        return call

    def span_of_client(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A client that traces itself is about to begin a span (Anthropic's does); of a call that is in the tree already it gets none."""
        return original(*args, **kwargs) if self.current is None else None

    # --- inner ---------------------------------------------------------------------------------------------------------------------

    def _begin(self, backend: Any, model: Any) -> None:
        self.finish(backend)
        tracer = self._tracer()
        if tracer.enabled:
            call = ModelCall(tracer, backend, None if model in {None, "unknown"} else str(model))
            self._hold(backend, call)

    def _hold(self, backend: Any, call: ModelCall) -> None:
        self._open[backend] = call
        self._current.set(call)

    def _says_its_calls(self, backend: type) -> bool:
        """Whether a backend tells of its single calls; of one that does not, the whole of what it streams is taken for one."""
        known = self._said.get(backend)
        if known is None:
            functions = (value for cls in backend.__mro__ if cls.__name__ != "LLMBackend" for value in vars(cls).values())
            known = self._said[backend] = any(_names(function.__code__) for function in functions if hasattr(function, "__code__"))
        return known


def _names(code: CodeType) -> bool:
    return "start_api_call_timing" in code.co_names or any(_names(inner) for inner in code.co_consts if isinstance(inner, CodeType))


def _setting(backend: Any, name: str) -> Any:
    config = getattr(backend, "config", None)
    value = config.get(name) if isinstance(config, Mapping) else None
    return value if value is not None else getattr(backend, name, None)


def _messages(body: bytes) -> object:
    """The messages in a request."""
    try:
        return conversation.of_request(json.loads(body)) or None if body else None
    except ValueError:
        return None
