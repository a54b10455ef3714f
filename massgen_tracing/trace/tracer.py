"""The tracer: the openers, and what `configure()` decided.

An opener called on the tracer finds its parent, and the round that its work belongs to, in the current context; called on a handle, the handle
is the parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer
from opentelemetry.trace import Tracer as OtelTracer

from massgen_tracing import semconv
from massgen_tracing.layout import RunDirectory
from massgen_tracing.trace import factory
from massgen_tracing.trace.arguments import identifier, identifiers, run_directory
from massgen_tracing.trace.belonging import ROUND_KEY, SESSION_KEY
from massgen_tracing.trace.calls import LlmCall, McpCall, Openers, ToolCall, Work, open_span
from massgen_tracing.trace.current import current
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.lenient import lenient
from massgen_tracing.trace.message import fill
from massgen_tracing.trace.noop import (
    NOOP_LLM_CALL,
    NOOP_MCP_CALL,
    NOOP_PRESENTATION,
    NOOP_ROUND,
    NOOP_SESSION,
    NOOP_TOOL_CALL,
    NOOP_WORK,
)
from massgen_tracing.trace.payload import text_of
from massgen_tracing.trace.round import Presentation, Round
from massgen_tracing.trace.session import RoundOpeners, Session
from massgen_tracing.trace.single import Single


@lenient
class Tracer(Single, Openers, RoundOpeners):
    """Opens spans; made by `massgen_tracing.configure()`. A copy is the tracer itself; a pickled one is the other process's own.

    Wherever attributes may be given by name, `tags` is none of them: it stands for Logfire's tags, a list of texts, or one.

    Args:
        spans: OpenTelemetry's tracer, which makes the spans.
        options: those of `SpanFactory`.
    """

    enabled: bool = True
    """Whether anything is traced."""

    def __init__(self, spans: OtelTracer, **options: Any) -> None:
        self._spans = SpanFactory(spans, **options)

    @property
    def spans(self) -> SpanFactory:
        """What its handles start their spans with."""
        return self._spans

    def __reduce__(self) -> tuple[Any, ...]:
        return _here, ()

    # --- openers -----------------------------------------------------------------------------------------------------------------

    def session(
        self,
        question: str,
        agents: Sequence[str] | str | None = (),
        *,
        run: RunDirectory | None = None,
        attributes: Mapping[str, Any] | None = None,
        base: Context | None = None,
        **more: Any,
    ) -> Session:
        """One coordination of several agents on one question: `coordination.session`.

        Args:
            question: what is asked.
            agents: the agents' ids.
            run: the directory that the recording goes to; None: a new one under the configured root.
            attributes: more of the caller's own, as a mapping or as pairs.
            base: the Context that it starts in; None: the one that is current at its start.
            more: attributes too.
        """
        spans = self._spans
        run = None if run is None else spans.take("run", run, run_directory, None)
        return Session(spans, question, identifiers(agents), run, spans.attributes(attributes, more), spans.base(base, None))

    def span(self, name: str, attributes: Mapping[str, Any] | None = None, *, base: Context | None = None, **more: Any) -> Work:
        """A span of the caller's own, below the current one.

        Args:
            name: the span's name.
            attributes: of any type, as a mapping or as pairs.
            base: the Context that it starts in; None: the one that is current at its start.
            more: attributes too.
        """
        return open_span(self._spans, name, attributes, base, None, more)

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

    def event(self, event_type: str, attributes: Mapping[str, Any] | None = None, **more: Any) -> None:
        """A coordination event of the current round, or of the session outside of any round."""
        rnd = self.current_round()
        place = self._session(f"event({identifier(event_type)!r})") if rnd is None else rnd
        place.event(event_type, self._spans.attributes(attributes, more))

    def answer(self, label: str | None = None, text: object = "") -> str:
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
        return cast("Session | None", current().get(SESSION_KEY))

    def current_round(self) -> Round | None:
        """The agent's round that the current context belongs to."""
        return cast("Round | None", current().get(ROUND_KEY))

    # --- inner ---------------------------------------------------------------------------------------------------------------------

    def _log(self, level: str, template: str, attributes: Mapping[str, Any]) -> None:
        template = text_of(template)
        own = {
            semconv.LOGFIRE_LEVEL: semconv.LEVELS[level],
            semconv.LOGFIRE_MSG_TEMPLATE: template,
            semconv.LOGFIRE_MSG: fill(template, attributes),
            **self._spans.attributes(None, attributes),
        }
        self._spans.point(template, own)

    def _session(self, what: str) -> Session:
        session = self.current_session()
        if session is None:
            self._spans.misuse("session", f"{what} outside of any session", hint="Open one first: with tracer.session(question, agents=[…])")
            # An unopened session gives the caller something to go on with: its rounds nest under whatever is current.
            session = Session(self._spans, "", (), None, None, None)
        return session

    def _round(self, what: str) -> Round:
        rnd = self.current_round()
        if rnd is not None:
            return rnd
        self._spans.misuse("round", f"{what} outside of any agent's round", hint="Open one first: with session.agent_round(agent_id)")
        return NOOP_ROUND


class NoopTracer(Tracer):
    """The tracer of a disabled facade, and the one before `configure()`: every call does nothing and costs next to nothing."""

    # ruff: noqa: ARG002 - the arguments are the tracer's

    enabled = False

    def __init__(self) -> None:
        super().__init__(NoOpTracer())

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


def _here() -> Tracer:
    tracer = Tracer.__new__(Tracer)
    tracer._spans = factory.here()  # noqa: SLF001 - for pickle, which takes functions of modules only
    return tracer
