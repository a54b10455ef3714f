"""Handles of what an agent does in a round: model calls, MCP calls, other tool calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from massgen_tracing import guard, semconv
from massgen_tracing.errors import one_of
from massgen_tracing.trace import outside
from massgen_tracing.trace.arguments import identifier, identifiers, is_true, optional
from massgen_tracing.trace.carriers import inject
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.handle import Handle
from massgen_tracing.trace.heard import Heard
from massgen_tracing.trace.lenient import lenient
from massgen_tracing.trace.payload import preview, text_of
from massgen_tracing.trace.replies import Reply
from massgen_tracing.trace.reported import Reported, as_mapping, priced_apart, reported, usage_of
from massgen_tracing.trace.usage import Unfit, Usage, amount, count, is_number

T = TypeVar("T")

_STREAMS = ("__aiter__", "__iter__", "__aenter__", "__enter__")
"""What a stream has, or what gives one when it is entered, as Anthropic's `messages.stream` does."""


@lenient
class Openers:
    """Opens what an agent does, below one place: that of a handle, or on the tracer the current one.

    Every opener takes *attributes* as a mapping or as pairs; keyword arguments that it does not know are attributes too.
    """

    _spans: SpanFactory

    @property
    def context(self) -> Context | None:
        """The OpenTelemetry Context in which what is opened here starts; None: the one that is current at its start."""
        return None

    def llm_call(
        self,
        provider: str,
        model: str | None = None,
        operation: str = "stream",
        *,
        server_address: str | None = None,
        server_port: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        base: Context | None = None,
        **more: Any,
    ) -> LlmCall:
        """One model call: `llm.{provider}.{operation}`, to be left when its stream has ended.

        Args:
            provider: `openai`, `anthropic`, … (OpenTelemetry's `gen_ai.provider.name`).
            model: the model that is asked for.
            operation: `stream` or `create`.
            server_address: host name of the endpoint.
            server_port: its port.
            attributes: more of the caller's own.
            base: the Context that it starts in; None: the one of this place.
            more: attributes too.
        """
        provider, operation = identifier(provider), identifier(operation)
        if operation not in semconv.LLM_OPERATIONS:
            self._spans.misuse(
                "llm_operation", "Unknown operation of a model call", expected=one_of(semconv.LLM_OPERATIONS), got=operation, about=operation
            )
        named = {
            semconv.GEN_AI_OPERATION: "chat",
            semconv.GEN_AI_PROVIDER: provider,
            semconv.GEN_AI_SYSTEM: provider,
            semconv.GEN_AI_REQUEST_MODEL: (model := optional(model)),
            semconv.GEN_AI_REQUEST_STREAM: True if operation == "stream" else None,
            semconv.SERVER_ADDRESS: server_address,
            semconv.SERVER_PORT: server_port,
            **self._spans.attributes(attributes, more),
        }
        return LlmCall(self._spans, provider, model, operation, named, self._spans.base(base, self.context))

    def mcp_call(
        self,
        server: str,
        tool: str,
        arguments: object = None,
        *,
        call_id: str | None = None,
        transport: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        base: Context | None = None,
        **more: Any,
    ) -> McpCall:
        """One MCP tool call: `mcp.{server}.{tool}`. Send its `meta()` as the request's `params._meta`.

        Args:
            server: the MCP server's name.
            tool: the tool's name on that server.
            arguments: what it is called with, kept as a bounded preview.
            call_id: the model's id of the call.
            transport: `pipe` for stdio, `tcp` for HTTP (OpenTelemetry's `network.transport`).
            attributes: more of the caller's own.
            base: the Context that it starts in; None: the one of this place.
            more: attributes too.
        """
        tool = identifier(tool)
        named = {
            **_tool(self._spans, tool, arguments, call_id),
            semconv.GEN_AI_OPERATION: "execute_tool",
            semconv.MCP_METHOD: "tools/call",
            semconv.NETWORK_TRANSPORT: optional(transport),
            **self._spans.attributes(attributes, more),
        }
        name = semconv.MCP_NAME.format(server=identifier(server), tool=tool)
        return McpCall(self._spans, name, named, self._spans.base(base, self.context))

    def tool_call(
        self,
        name: str,
        arguments: object = None,
        *,
        call_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        base: Context | None = None,
        **more: Any,
    ) -> ToolCall:
        """The wrapper around one tool call of any kind: `Tool execution: {name}`; arguments as for `mcp_call`."""
        name = identifier(name)
        named = {**_tool(self._spans, name, arguments, call_id), **self._spans.attributes(attributes, more)}
        return ToolCall(self._spans, semconv.TOOL_NAME.format(name=name), named, self._spans.base(base, self.context))


class Work(Handle, Openers):
    """A span of work; opens further work below itself."""


class _RoundWork(Work):
    """Work that carries `massgen.agent_id`, `massgen.round` and `massgen.round_type` of its round."""

    def _begin(self) -> Mapping[str, Any]:
        if self.round is None:
            outside.call(self.name, self.session)
            return self._given
        return {**self.round.identity, **self._given}


@lenient
class LlmCall(_RoundWork):
    """One model call, `llm.{provider}.{operation}`; lasts until its stream has ended."""

    kind: ClassVar[SpanKind] = SpanKind.CLIENT

    def __init__(
        self, spans: SpanFactory, provider: str, model: str | None, operation: str, attributes: Mapping[str, Any], base: Context | None
    ) -> None:
        super().__init__(spans, semconv.LLM_NAME.format(provider=provider, operation=operation), attributes, base)
        self._provider = provider
        self._model = model
        self._answered_by: str | None = None
        self._usage = Usage()
        self._raw: dict[str, Any] = {}
        self._raw_beside: Mapping[str, Any] = {}
        self._began = 0.0
        self._complete = False

    def first_chunk(self) -> None:
        """Note that the first chunk of the answer has arrived; only the first call counts."""
        if self._began:
            seconds = time.perf_counter() - self._began
            self._began = 0.0
            self._put(semconv.GEN_AI_TIME_TO_FIRST_CHUNK, seconds)
            self._put(semconv.GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK, seconds)
        elif self.context is None:  # of a call that has ended, a further chunk tells nothing
            self._check_open("first_chunk()")

    def record_response(self, *, model: str | None = None, id: str | None = None, finish_reasons: Sequence[str] | str | None = None) -> None:  # noqa: A002
        """Note what the provider says of its answer: the model that gave it, its id, why it stopped."""
        self._check_open("record_response()")
        self._answered_by = optional(model) or self._answered_by
        self._put(semconv.GEN_AI_RESPONSE_MODEL, optional(model))
        self._put(semconv.GEN_AI_RESPONSE_ID, id)
        reasons = identifiers(finish_reasons)
        self._put(semconv.GEN_AI_FINISH_REASONS, reasons or None)
        self._complete = self._complete or bool(reasons)

    def record_usage(
        self,
        input: object = None,  # noqa: A002
        output: int | None = None,
        reasoning: int | None = None,
        cached_input: int | None = None,
        cost: float | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        """Note the call's tokens, or some of them: what is not given keeps what was known; what is replaces it (providers report running totals).

        Args:
            input: tokens sent, cached ones included; or the provider's answer, an event of its stream or its usage, as an object or a dict, from
                which all of this is read (`massgen_tracing.trace.reported`).
            output: tokens received, reasoning included.
            reasoning: those of *output* that were reasoning.
            cached_input: those of *input* that were read from a cache.
            cost: USD as the provider reports it, which stands until another is; without one it is estimated at the end of the call from all its
                tokens, and absent for a model that the price list does not know.
            raw: the provider's own usage, kept beside; where nothing else is given, it is read.
        """
        if not self.is_open:
            self._check_open("record_usage()")
            return
        if input is not None and not is_number(input):
            said = self._spans.take("input", input, _reported, Reported({}))
            input = None  # noqa: A001
        else:
            nothing = input is output is reasoning is cached_input is cost is None
            said = self._spans.take("raw", raw, reported, Reported({})) if nothing and raw is not None else Reported({})
        if said.usage:
            self._raw.update(said.usage)
            self._usage = self._usage.updated(usage_of(self._raw))
            if said.model is not None or said.id is not None:
                self.record_response(model=said.model, id=said.id)
        take = self._count
        given = Usage(take("input", input), take("output", output), take("reasoning", reasoning), take("cached_input", cached_input), None)
        if cost is not None:
            given = given._replace(cost=self._spans.take("cost", cost, amount, None))
        self._usage = used = self._usage.updated(given)
        self._put(semconv.GEN_AI_INPUT_TOKENS, used.input)
        self._put(semconv.GEN_AI_OUTPUT_TOKENS, used.output)
        self._put(semconv.GEN_AI_REASONING_TOKENS, used.reasoning)
        self._put(semconv.GEN_AI_CACHE_READ_TOKENS, used.cached_input)
        if raw is not None and not said.usage:
            self._raw_beside = as_mapping(raw)
        self._put(semconv.USAGE_RAW, self._raw or None if raw is None else raw)

    def record_content(self, *, input: object = None, output: object = None) -> None:  # noqa: A002
        """Note messages as bounded previews, in full where full content was asked for."""
        self._check_open("record_content()")
        full = self._spans.full_content
        self._put(semconv.GEN_AI_INPUT_MESSAGES, preview(input, full=full))
        self._put(semconv.GEN_AI_OUTPUT_MESSAGES, preview(output, full=full))

    def wrap(self, answer: T) -> T:
        """A provider's stream, which is to be used in its place: the call hears all that it says, and ends when it ends or is left.

        Its chunks are those of OpenAI's clients (chat completions and Responses), Anthropic's or Gemini's, or are made like theirs, as objects or
        dicts. The call has the time to the first chunk then, messages, finish reason, model, id and usage, and is begun where it is not.

        Args:
            answer: an iterator or an async iterator of chunks; or a whole answer, which comes back as it is.

        Returns:
            A stream with everything that the given one has: it is iterated, entered and closed as that one.
        """
        self.start()
        streams = self._spans.take("answer", answer, _streams, None)
        if streams:
            self._over = "has ended, as it does with a stream that it wraps"
            return cast("T", Heard(answer, self.first_chunk, self._heard))
        if streams is not None:
            reply = Reply()
            with guard.guarded("model_call.answer"):
                reply.read(as_mapping(answer))
            self._heard(reply, None)
        return answer

    def _heard(self, reply: Reply, error: BaseException | None) -> None:
        """The answer has ended, or was left."""
        facts, said = reply.facts, reply.output()
        has_usage = usage_of(facts.usage) != Usage()
        if not self.is_open and not (said or has_usage or facts.model or facts.id or facts.finish_reasons):
            return  # a stream that nobody has read is collected when the call is over
        try:
            self.record_response(model=facts.model, id=facts.id, finish_reasons=facts.finish_reasons)
            if has_usage:
                self.record_usage(facts.usage)
            if said:
                self._put(semconv.GEN_AI_OUTPUT_MESSAGES, preview(said, full=self._spans.full_content))
            if facts.error is not None and error is None:
                kind, told = facts.error
                self._put(semconv.ERROR_TYPE, kind)
                self.span.set_status(StatusCode.ERROR, self._spans.clean_text(told))
        finally:
            self._end(error)

    def _count(self, name: str, value: object) -> int | None:
        return None if value is None else self._spans.take(name, value, count, None)

    def _begin(self) -> Mapping[str, Any]:
        self._began = time.perf_counter()
        self._complete = False
        self._answered_by = None
        self._usage = Usage()
        self._raw = {}
        self._raw_beside = {}
        return super()._begin()

    def _portable(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "_provider": self._provider,
            "_model": self._model,
            "_answered_by": None,
            "_usage": Usage(),
            "_raw": {},
            "_raw_beside": {},
        }
        return {**super()._portable(), **own, "_began": 0.0, "_complete": False}

    def _cancelled(self) -> None:
        if not self._complete:  # a consumer that stops at the finish reason has had all of the answer
            super()._cancelled()

    def _finish(self) -> None:
        used = self._usage
        if used == Usage():
            return
        if used.cost is None:
            used = used._replace(cost=self._estimated(used))
        self._put(semconv.OPERATION_COST, used.cost)
        if self.round is not None:
            self.round.add_usage(used)

    def _estimated(self, used: Usage) -> float | None:
        """What the tokens cost by the price list: of the model that was asked for, or else of the one that answered."""
        price, models = self._spans.price, [model for model in (self._model, self._answered_by) if model is not None]
        if price is None or not models or used.input is used.output is None:
            return None
        try:
            apart = priced_apart({**self._raw_beside, **self._raw})
            began = getattr(self.span, "start_time", None)
            for model in models:
                cost = price(
                    self._provider,
                    model,
                    used.input or 0,
                    used.output or 0,
                    used.cached_input or 0,
                    reasoning_tokens=used.reasoning or 0,
                    at=None if began is None else began / 1e9,
                    **apart,
                )
                if cost is not None:
                    return cost
            self._put(semconv.COST_UNKNOWN, True)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("prices", error)
        return None


@lenient
class ToolCall(_RoundWork):
    """The wrapper around one tool call of any kind, `Tool execution: {name}`."""

    def record_result(self, result: object, *, is_error: bool = False) -> None:
        """Note what the tool gave back, as a bounded preview; *is_error* where the tool itself says that it failed."""
        self._check_open("record_result()")
        self._put(semconv.GEN_AI_TOOL_RESULT, preview(result, full=self._spans.full_content))
        if is_true(is_error):
            self._put(semconv.ERROR_TYPE, semconv.TOOL_ERROR)
            self.span.set_status(StatusCode.ERROR, semconv.TOOL_ERROR)


@lenient
class McpCall(ToolCall):
    """One MCP tool call, `mcp.{server}.{tool}` (OpenTelemetry MCP conventions: the client's `tools/call`)."""

    kind: ClassVar[SpanKind] = SpanKind.CLIENT

    def meta(self, meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The request's `params._meta` with this span's W3C trace context in it (MCP SEP-414), so that the server's spans become its children.

        Args:
            meta: what else belongs in there; not changed.
        """
        carrier = dict(self._spans.attributes(meta, {}))
        if self.context is not None:
            inject(carrier, self.context)
        return carrier


def open_span(spans: SpanFactory, name: object, attributes: object, base: object, place: Context | None, more: Mapping[str, Any]) -> Work:
    """A span of the caller's own, in the Context *base*, else in that of its *place*."""
    if type(name) is not str:
        name = text_of(name)
    given = attributes if type(attributes) is dict and not more else spans.attributes(attributes, more)
    return Work(spans, name, given, place if base is None else spans.base(base, place))


def _reported(answer: object) -> Reported:
    said = reported(answer)
    if not said.usage:
        raise Unfit("a number of tokens, or a provider's answer, its usage or an event of its stream that tells it")
    return said


def _streams(answer: object) -> bool:
    """Whether an answer is a stream; False: it is all of it."""
    if isinstance(answer, Mapping) or hasattr(answer, "model_dump"):  # whose `__iter__` gives its fields
        return False
    if not isinstance(answer, str | bytes) and any(hasattr(answer, name) for name in _STREAMS):
        return True
    if as_mapping(answer):
        return False
    raise Unfit("a stream of chunks, or a provider's whole answer")


def _tool(spans: SpanFactory, name: str, arguments: object, call_id: str | None) -> dict[str, Any]:
    return {
        semconv.GEN_AI_TOOL_NAME: name,
        semconv.GEN_AI_TOOL_CALL_ID: call_id,
        semconv.GEN_AI_TOOL_ARGUMENTS: preview(arguments, full=spans.full_content),
    }
