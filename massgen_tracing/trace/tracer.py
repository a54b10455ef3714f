"""The tracer: the openers, and what `configure()` decided.

An opener called on the tracer finds its parent, and the round that its work belongs to, in the current context; called on a handle, the handle
is the parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, SpanKind
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as OtelTracer

from massgen_tracing import guard, semconv
from massgen_tracing.errors import UsageError, compose, one_of
from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace.calls import LlmCall, McpCall, ToolCall, Work
from massgen_tracing.trace.current import adopted, current
from massgen_tracing.trace.handle import ROUND_KEY, SESSION_KEY
from massgen_tracing.trace.noop import (
    NOOP_LLM_CALL,
    NOOP_MCP_CALL,
    NOOP_PRESENTATION,
    NOOP_ROUND,
    NOOP_SESSION,
    NOOP_TOOL_CALL,
    NOOP_WORK,
)
from massgen_tracing.trace.payload import clean, clean_all
from massgen_tracing.trace.round import Presentation, Round
from massgen_tracing.trace.session import Session

SCOPE: Final = "massgen_tracing"
"""The instrumentation scope of the facade's spans."""

Price = Callable[[str, str, int, int, int], float | None]
"""(provider, model, input, output, cached input) -> USD, or None for an unknown model."""


class Tracer:
    """Opens spans; made by `massgen_tracing.configure()`.

    Args:
        spans: OpenTelemetry's tracer, which makes the spans.
        service_name: who is running.
        open_run: makes what a run needs; its argument is the directory it has already, and the result the directory it has then.
        price: estimates what a model call costs.
        remote: the Context of the process that started this one; spans without a parent here are its children.
        strict: raise `UsageError` where the caller is wrong, instead of a counted warning.
        full_content: record messages, tool arguments and results in full, not as previews.
        cleans: whether the spans clean their own values, as the package's own do.
    """

    enabled: bool = True
    """Whether anything is traced."""

    def __init__(
        self,
        spans: OtelTracer,
        *,
        service_name: str,
        open_run: Callable[[RunDirectory | None], RunDirectory | None] | None = None,
        price: Price | None = None,
        remote: Context | None = None,
        strict: bool = False,
        full_content: bool = False,
        cleans: bool = True,
    ) -> None:
        self._start_span = spans.start_span
        self.service_name = service_name
        self._open_run = open_run
        self.price = price
        self.remote = remote or None
        self.strict = strict
        self.full_content = full_content
        self._cleans = cleans

    # --- openers -----------------------------------------------------------------------------------------------------------------

    def session(
        self,
        question: str,
        agents: Sequence[str] = (),
        *,
        run: RunDirectory | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Session:
        """One coordination of several agents on one question: `coordination.session`.

        Args:
            question: what is asked.
            agents: the agents' ids.
            run: the directory that the recording goes to; None: a new one under the configured root.
            attributes: more of the caller's own.
        """
        return Session(self, question, agents, run, attributes, None)

    def agent_round(self, agent_id: str, *args: Any, **options: Any) -> Round:
        """A round of an agent in the current session; see `Session.agent_round`."""
        return self._session(f"agent_round({agent_id!r})").agent_round(agent_id, *args, **options)

    def presentation(self, agent_id: str, *args: Any, **options: Any) -> Presentation:
        """The winner's presentation in the current session; see `Session.presentation`."""
        return self._session(f"presentation({agent_id!r})").presentation(agent_id, *args, **options)

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
            base: the Context that it starts in; None: the current one.
        """
        if operation not in semconv.LLM_OPERATIONS:
            self.misuse("llm_operation", "Unknown operation of a model call", expected=one_of(semconv.LLM_OPERATIONS), got=operation)
        return LlmCall(self, provider, model, operation, server_address, server_port, attributes, base)

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
            base: the Context that it starts in; None: the current one.
        """
        return McpCall(self, server, tool, arguments, call_id, transport, attributes, base)

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
        return ToolCall(self, name, arguments, call_id, attributes, base)

    def span(self, name: str, attributes: Mapping[str, Any] | None = None, *, base: Context | None = None) -> Work:
        """A span of the caller's own, below the current one."""
        return Work(self, name, attributes, base)

    # --- point records -----------------------------------------------------------------------------------------------------------

    def debug(self, template: str, /, **attributes: Any) -> None:
        """A point record of level debug; `{name}` in the template is filled from the attributes."""
        self._log("debug", template, attributes)

    def info(self, template: str, /, **attributes: Any) -> None:
        """A point record of level info; `{name}` in the template is filled from the attributes."""
        self._log("info", template, attributes)

    def warning(self, template: str, /, **attributes: Any) -> None:
        """A point record of level warn; `{name}` in the template is filled from the attributes."""
        self._log("warn", template, attributes)

    def error(self, template: str, /, **attributes: Any) -> None:
        """A point record of level error; `{name}` in the template is filled from the attributes."""
        self._log("error", template, attributes)

    # --- what the current session and round can do ---------------------------------------------------------------------------------

    def event(self, event_type: str, attributes: Mapping[str, Any] | None = None) -> None:
        """A coordination event of the current round, or of the session outside of any round."""
        rnd = self.current_round()
        (rnd if rnd is not None else self._session(f"event({event_type!r})")).event(event_type, attributes)

    def answer(self, label: str | None = None, text: str = "") -> str:
        """The current round's agent answered; see `Round.answer`."""
        return self._round("answer").answer(label, text)

    def vote(self, voted_for: str, label: str | None = None, reason: str | None = None) -> None:
        """The current round's agent voted; see `Round.vote`."""
        self._round("vote").vote(voted_for, label, reason)

    def restarted(self, by: str | None = None) -> None:
        """The current round was given up because another agent answered; see `Round.restarted`."""
        self._round("restarted").restarted(by)

    def enforcement(self, reason: str, **details: Any) -> None:
        """The current round's agent broke the protocol; see `Round.enforcement`."""
        self._round("enforcement").enforcement(reason, **details)

    def current_session(self) -> Session | None:
        """The session that the current context belongs to."""
        return current().get(SESSION_KEY)  # type: ignore[return-value]

    def current_round(self) -> Round | None:
        """The agent's round that the current context belongs to."""
        return current().get(ROUND_KEY)  # type: ignore[return-value]

    def ambient(self) -> Context:
        """The current context; where no span is current, below the span of the process that started this one."""
        return adopted(current(), self.remote)

    # --- for handles ---------------------------------------------------------------------------------------------------------------

    def start_span(self, name: str, context: Context, kind: SpanKind, attributes: Mapping[str, Any]) -> ApiSpan:
        """Start an OpenTelemetry span."""
        return self._start_span(name, context, kind, attributes if self._cleans else clean_all(attributes))

    def set_attribute(self, span: ApiSpan, key: str, value: object) -> None:
        """Set an attribute of any type; never raises."""
        try:
            if not self._cleans:
                value = clean(key, value)
            if value is not None:
                span.set_attribute(key, value)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("set_attribute", error)

    def point(self, name: str, attributes: Mapping[str, Any], base: Context | None = None) -> None:
        """A point record: a span without duration, as Logfire writes a log."""
        try:
            if base is None:
                base = self.ambient()
            marked = {semconv.LOGFIRE_SPAN_TYPE: semconv.SPAN_TYPE_LOG, semconv.LOGFIRE_LEVEL: semconv.LEVELS["info"], **attributes}
            span = self.start_span(name, base, SpanKind.INTERNAL, marked)
            span.end(getattr(span, "start_time", None))
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow("point", error)

    def clean_all(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Attributes of an event, cleaned where the span does not do it."""
        return attributes if self._cleans else clean_all(attributes)

    def clean_text(self, text: str) -> str:
        """A text that is no attribute (a status description), bounded and scrubbed."""
        return str(clean("", text))

    def open_run(self, run: RunDirectory | None) -> RunDirectory | None:
        """Make what a run needs; returns its directory, which is *run* where that is given, and None where nothing is recorded."""
        return run if self._open_run is None else self._open_run(run)

    def misuse(self, kind: str, problem: str, *, expected: str | None = None, got: object | None = None, hint: str | None = None) -> None:
        """The caller is wrong: an error in strict mode, else a counted warning.

        Raises:
            UsageError: in strict mode.
        """
        if self.strict:
            raise UsageError(problem, expected=expected, got=got, hint=hint)
        guard.report(f"usage.{kind}", compose(problem, expected, got, hint))

    # --- inner ---------------------------------------------------------------------------------------------------------------------

    def _log(self, level: str, template: str, attributes: Mapping[str, Any]) -> None:
        try:
            message = template.format_map(attributes)
        except Exception:  # noqa: BLE001 - a template that does not fit is shown as it is
            message = template
        own = {
            semconv.LOGFIRE_LEVEL: semconv.LEVELS[level],
            semconv.LOGFIRE_MSG_TEMPLATE: template,
            semconv.LOGFIRE_MSG: message,
            **attributes,
        }
        self.point(template, own)

    def _session(self, what: str) -> Session:
        session = self.current_session()
        if session is None:
            self.misuse("session", f"{what} outside of any session", hint="Open one first: with tracer.session(question, agents=[…])")
            # An unopened session gives the caller something to go on with: its rounds nest under whatever is current.
            session = Session(self, "", (), None, None, None)
        return session

    def _round(self, what: str) -> Round:
        rnd = self.current_round()
        if rnd is not None:
            return rnd
        self.misuse("round", f"{what} outside of any agent's round", hint="Open one first: with session.agent_round(agent_id)")
        return NOOP_ROUND


class NoopTracer(Tracer):
    """The tracer of a disabled facade, and the one before `configure()`: every call does nothing and costs next to nothing."""

    # ruff: noqa: ARG002 - the arguments are the tracer's

    enabled = False

    def __init__(self) -> None:
        super().__init__(NoOpTracer(), service_name="")

    def session(self, *args: Any, **options: Any) -> Session:
        return NOOP_SESSION

    def agent_round(self, *args: Any, **options: Any) -> Round:
        return NOOP_ROUND

    def presentation(self, *args: Any, **options: Any) -> Presentation:
        return NOOP_PRESENTATION

    def llm_call(self, *args: Any, **options: Any) -> LlmCall:
        return NOOP_LLM_CALL

    def mcp_call(self, *args: Any, **options: Any) -> McpCall:
        return NOOP_MCP_CALL

    def tool_call(self, *args: Any, **options: Any) -> ToolCall:
        return NOOP_TOOL_CALL

    def span(self, *args: Any, **options: Any) -> Work:
        return NOOP_WORK

    def point(self, *args: Any, **options: Any) -> None:
        pass

    def _log(self, *args: Any, **options: Any) -> None:
        pass

    def _session(self, what: str) -> Session:
        return NOOP_SESSION

    def _round(self, what: str) -> Round:
        return NOOP_ROUND

    def current_session(self) -> Session | None:
        return None

    def current_round(self) -> Round | None:
        return None
