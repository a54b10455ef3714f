"""Handles of what an agent does in a round: model calls, MCP calls, other tool calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from massgen_tracing import guard, semconv
from massgen_tracing.errors import one_of
from massgen_tracing.trace.carriers import inject
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.handle import Handle
from massgen_tracing.trace.payload import preview
from massgen_tracing.trace.usage import Usage


class Openers:
    """Opens what an agent does, below one place: that of a handle, or on the tracer the current one."""

    __slots__ = ()

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
        """
        if operation not in semconv.LLM_OPERATIONS:
            self._spans.misuse("llm_operation", "Unknown operation of a model call", expected=one_of(semconv.LLM_OPERATIONS), got=operation)
        return LlmCall(self._spans, provider, model, operation, server_address, server_port, attributes, base or self.context)

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
        """
        return McpCall(self._spans, server, tool, arguments, call_id, transport, attributes, base or self.context)

    def tool_call(
        self,
        name: str,
        arguments: object = None,
        *,
        call_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        base: Context | None = None,
    ) -> ToolCall:
        """The wrapper around one tool call of any kind: `Tool execution: {name}`; arguments as for `mcp_call`."""
        return ToolCall(self._spans, name, arguments, call_id, attributes, base or self.context)


class Work(Handle, Openers):
    """A span of work; opens further work below itself."""

    __slots__ = ()


class _RoundWork(Work):
    """Work that carries `massgen.agent_id`, `massgen.round` and `massgen.round_type` of its round."""

    __slots__ = ()

    def _begin(self) -> Mapping[str, Any]:
        return self._given if self.round is None else {**self.round.identity, **self._given}


class LlmCall(_RoundWork):
    """One model call, `llm.{provider}.{operation}`; lasts until its stream has ended."""

    kind: ClassVar[SpanKind] = SpanKind.CLIENT

    __slots__ = ("_began", "_complete", "_model", "_provider", "_usage")

    def __init__(
        self,
        spans: SpanFactory,
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
        super().__init__(spans, semconv.LLM_NAME.format(provider=provider, operation=operation), named, base)
        self._provider = provider
        self._model = model
        self._usage = Usage()
        self._began = 0.0
        self._complete = False

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
        self._complete = self._complete or bool(finish_reasons)

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
        if cost is None and self._spans.price is not None and self._model is not None and (input is not None or output is not None):
            try:
                cost = self._spans.price(self._provider, self._model, input or 0, output or 0, cached_input or 0)
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
        full = self._spans.full_content
        self.set(semconv.GEN_AI_INPUT_MESSAGES, preview(input, full=full))
        self.set(semconv.GEN_AI_OUTPUT_MESSAGES, preview(output, full=full))

    def _begin(self) -> Mapping[str, Any]:
        self._began = time.perf_counter()
        self._complete = False
        return super()._begin()

    def _portable(self) -> dict[str, Any]:
        own = {"_provider": self._provider, "_model": self._model, "_usage": Usage(), "_began": 0.0, "_complete": False}
        return {**super()._portable(), **own}

    def _cancelled(self) -> None:
        if not self._complete:  # a consumer that stops at the finish reason has had all of the answer
            super()._cancelled()

    def _finish(self) -> None:
        if self.round is not None and self._usage != Usage():
            self.round.add_usage(self._usage)
            self._usage = Usage()


class ToolCall(_RoundWork):
    """The wrapper around one tool call of any kind, `Tool execution: {name}`."""

    __slots__ = ()

    def __init__(
        self, spans: SpanFactory, name: str, arguments: object, call_id: str | None, attributes: Mapping[str, Any] | None, base: Context | None
    ) -> None:
        named = {**_tool(spans, name, arguments, call_id), **(attributes or {})}
        super().__init__(spans, semconv.TOOL_NAME.format(name=name), named, base)

    def record_result(self, result: object, *, is_error: bool = False) -> None:
        """Note what the tool gave back, as a bounded preview; *is_error* where the tool itself says that it failed."""
        self.set(semconv.GEN_AI_TOOL_RESULT, preview(result, full=self._spans.full_content))
        if is_error:
            self.set(semconv.ERROR_TYPE, semconv.TOOL_ERROR)
            self.span.set_status(StatusCode.ERROR, semconv.TOOL_ERROR)


class McpCall(ToolCall):
    """One MCP tool call, `mcp.{server}.{tool}` (OpenTelemetry MCP conventions: the client's `tools/call`)."""

    kind: ClassVar[SpanKind] = SpanKind.CLIENT

    __slots__ = ()

    def __init__(
        self,
        spans: SpanFactory,
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
        super().__init__(spans, tool, arguments, call_id, named, base)
        self.name = semconv.MCP_NAME.format(server=server, tool=tool)

    def meta(self, meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The request's `params._meta` with this span's W3C trace context in it (MCP SEP-414), so that the server's spans become its children.

        Args:
            meta: what else belongs in there; not changed.
        """
        carrier = dict(meta or {})
        if self.context is not None:
            inject(carrier, self.context)
        return carrier


def _tool(spans: SpanFactory, name: str, arguments: object, call_id: str | None) -> dict[str, Any]:
    return {
        semconv.GEN_AI_TOOL_NAME: name,
        semconv.GEN_AI_TOOL_CALL_ID: call_id,
        semconv.GEN_AI_TOOL_ARGUMENTS: preview(arguments, full=spans.full_content),
    }
