"""Handles of what an agent does in a round: model calls, MCP calls, other tool calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from massgen_tracing import guard, semconv
from massgen_tracing.trace.carriers import inject
from massgen_tracing.trace.handle import Handle
from massgen_tracing.trace.payload import preview

if TYPE_CHECKING:
    from massgen_tracing.trace.tracer import Tracer


class Usage(NamedTuple):
    """Tokens and cost of one model call, or of several added up; None is unknown, which is not 0.

    Attributes:
        input: tokens sent, cached ones included.
        output: tokens received, reasoning included.
        reasoning: those of *output* that were reasoning.
        cached_input: those of *input* that were read from a cache.
        cost: USD.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached_input: int | None = None
    cost: float | None = None

    def __add__(self, other: object) -> Usage:
        """Field by field; unknown plus known is known."""
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            _sum(self.input, other.input),
            _sum(self.output, other.output),
            _sum(self.reasoning, other.reasoning),
            _sum(self.cached_input, other.cached_input),
            _sum(self.cost, other.cost),
        )


_Number = TypeVar("_Number", int, float)


def _sum(a: _Number | None, b: _Number | None) -> _Number | None:
    return b if a is None else a if b is None else a + b


class Work(Handle):
    """A span of work within a round; carries the round's identity and opens further work below itself."""

    __slots__ = ()

    def llm_call(self, provider: str, **options: Any) -> LlmCall:
        """A model call below this span; see `Tracer.llm_call`."""
        return self._tracer.llm_call(provider, base=self._context, **options)

    def mcp_call(self, server: str, tool: str, **options: Any) -> McpCall:
        """An MCP call below this span; see `Tracer.mcp_call`."""
        return self._tracer.mcp_call(server, tool, base=self._context, **options)

    def tool_call(self, name: str, **options: Any) -> ToolCall:
        """A tool call below this span; see `Tracer.tool_call`."""
        return self._tracer.tool_call(name, base=self._context, **options)


class _RoundWork(Work):
    """Work that carries `massgen.agent_id`, `massgen.round` and `massgen.round_type` of its round."""

    __slots__ = ()

    def _prepare(self, base: Context) -> Context:
        if self.round is not None:
            self._attributes = {**self.round.identity, **self._attributes}
        return base


class LlmCall(_RoundWork):
    """One model call, `llm.{provider}.{operation}`; lasts until its stream has ended."""

    kind: ClassVar[SpanKind] = SpanKind.CLIENT

    __slots__ = ("_began", "_model", "_provider", "_usage")

    def __init__(
        self,
        tracer: Tracer,
        provider: str,
        model: str | None,
        operation: str,
        server_address: str | None,
        server_port: int | None,
        attributes: Mapping[str, Any] | None,
        base: Context | None,
    ) -> None:
        named = {
            semconv.GEN_AI_OPERATION: "chat",
            semconv.GEN_AI_PROVIDER: provider,
            semconv.GEN_AI_SYSTEM: provider,
            semconv.GEN_AI_REQUEST_MODEL: model,
            semconv.GEN_AI_REQUEST_STREAM: True if operation == "stream" else None,
            semconv.SERVER_ADDRESS: server_address,
            semconv.SERVER_PORT: server_port,
            **(attributes or {}),
        }
        super().__init__(tracer, semconv.LLM_NAME.format(provider=provider, operation=operation), named, base)
        self._provider = provider
        self._model = model
        self._usage = Usage()
        self._began = 0.0

    def first_chunk(self) -> None:
        """Note that the first chunk of the answer has arrived; only the first call counts."""
        if self._began:
            seconds = time.perf_counter() - self._began
            self._began = 0.0
            self.set(semconv.GEN_AI_TIME_TO_FIRST_CHUNK, seconds)
            self.set(semconv.GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK, seconds)

    def record_response(self, *, model: str | None = None, id: str | None = None, finish_reasons: Sequence[str] | None = None) -> None:  # noqa: A002
        """Note what the provider says of its answer: the model that gave it, its id, why it stopped."""
        self.set(semconv.GEN_AI_RESPONSE_MODEL, model)
        self.set(semconv.GEN_AI_RESPONSE_ID, id)
        self.set(semconv.GEN_AI_FINISH_REASONS, list(finish_reasons) if finish_reasons else None)

    def record_usage(
        self,
        input: int | None = None,  # noqa: A002
        output: int | None = None,
        reasoning: int | None = None,
        cached_input: int | None = None,
        cost: float | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        """Note the call's tokens; a later call replaces an earlier one (providers report running totals).

        Args:
            input: tokens sent, cached ones included. A provider that reports them apart is normalised by the caller, who passes *raw* too.
            output: tokens received, reasoning included.
            reasoning: those of *output* that were reasoning.
            cached_input: those of *input* that were read from a cache.
            cost: USD as the provider reports it; None: estimated from the price list, absent for a model that it does not know.
            raw: the provider's own usage, kept beside.
        """
        unknown_cost = False
        if cost is None and self._tracer.price is not None and self._model is not None and (input is not None or output is not None):
            try:
                cost = self._tracer.price(self._provider, self._model, input or 0, output or 0, cached_input or 0)
                unknown_cost = cost is None
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                guard.swallow("prices", error)
        self._usage = Usage(input, output, reasoning, cached_input, cost)
        self.set(semconv.GEN_AI_INPUT_TOKENS, input)
        self.set(semconv.GEN_AI_OUTPUT_TOKENS, output)
        self.set(semconv.GEN_AI_REASONING_TOKENS, reasoning)
        self.set(semconv.GEN_AI_CACHE_READ_TOKENS, cached_input)
        self.set(semconv.OPERATION_COST, cost)
        self.set(semconv.COST_UNKNOWN, unknown_cost or None)
        self.set(semconv.USAGE_RAW, raw)

    def record_content(self, *, input: object = None, output: object = None) -> None:  # noqa: A002
        """Note messages as bounded previews, in full where full content was asked for."""
        full = self._tracer.full_content
        self.set(semconv.GEN_AI_INPUT_MESSAGES, preview(input, full=full))
        self.set(semconv.GEN_AI_OUTPUT_MESSAGES, preview(output, full=full))

    def _prepare(self, base: Context) -> Context:
        self._began = time.perf_counter()
        return super()._prepare(base)

    def _finish(self) -> None:
        if self.round is not None and self._usage != Usage():
            self.round.add_usage(self._usage)
            self._usage = Usage()


class ToolCall(_RoundWork):
    """The wrapper around one tool call of any kind, `Tool execution: {name}`."""

    __slots__ = ()

    def __init__(
        self, tracer: Tracer, name: str, arguments: object, call_id: str | None, attributes: Mapping[str, Any] | None, base: Context | None
    ) -> None:
        named = {**_tool(tracer, name, arguments, call_id), **(attributes or {})}
        super().__init__(tracer, semconv.TOOL_NAME.format(name=name), named, base)

    def record_result(self, result: object, *, is_error: bool = False) -> None:
        """Note what the tool gave back, as a bounded preview; *is_error* where the tool itself says that it failed."""
        self.set(semconv.GEN_AI_TOOL_RESULT, preview(result, full=self._tracer.full_content))
        if is_error:
            self.set(semconv.ERROR_TYPE, semconv.TOOL_ERROR)
            self.span.set_status(StatusCode.ERROR, semconv.TOOL_ERROR)


class McpCall(ToolCall):
    """One MCP tool call, `mcp.{server}.{tool}` (OpenTelemetry MCP conventions: the client's `tools/call`)."""

    kind: ClassVar[SpanKind] = SpanKind.CLIENT

    __slots__ = ()

    def __init__(
        self,
        tracer: Tracer,
        server: str,
        tool: str,
        arguments: object,
        call_id: str | None,
        transport: str | None,
        attributes: Mapping[str, Any] | None,
        base: Context | None,
    ) -> None:
        named = {
            semconv.GEN_AI_OPERATION: "execute_tool",
            semconv.MCP_METHOD: "tools/call",
            semconv.NETWORK_TRANSPORT: transport,
            **(attributes or {}),
        }
        super().__init__(tracer, tool, arguments, call_id, named, base)
        self.name = semconv.MCP_NAME.format(server=server, tool=tool)

    def meta(self, meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The request's `params._meta` with this span's W3C trace context in it (MCP SEP-414), so that the server's spans become its children.

        Args:
            meta: what else belongs in there; not changed.
        """
        carrier = dict(meta or {})
        if self._context is not None:
            inject(carrier, self._context)
        return carrier


def _tool(tracer: Tracer, name: str, arguments: object, call_id: str | None) -> dict[str, Any]:
    return {
        semconv.GEN_AI_TOOL_NAME: name,
        semconv.GEN_AI_TOOL_CALL_ID: call_id,
        semconv.GEN_AI_TOOL_ARGUMENTS: preview(arguments, full=tracer.full_content),
    }
