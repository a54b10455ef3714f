"""A run through the facade, as if it were happening: its times are the log files', its ids follow from what is named.

Ids are hashes of the run's name, turn and attempt, of what a span is and of its how-many-th it is, so that a second import gives the same.
"""

from __future__ import annotations

import contextvars
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from massgen_tracing import semconv, settings
from massgen_tracing._version import __version__
from massgen_tracing.runs.massgen.imports import sources, values
from massgen_tracing.runs.massgen.imports.facts import Act, Happening, Round, Run, Tool
from massgen_tracing.runs.massgen.imports.places import Place
from massgen_tracing.trace.payload import keep_content
from massgen_tracing.trace.pipeline import Pipeline
from massgen_tracing.trace.provider import TracerProvider
from massgen_tracing.trace.round import Presentation
from massgen_tracing.trace.round import Round as RoundHandle
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.span import Span
from massgen_tracing.trace.tracer import Tracer

_UNKNOWN_AGENT: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Imported:
    """A run as spans.

    Attributes:
        place: where it lies.
        spans: ended, each after those below it; none where nothing is known of the run.
        rounds, answers, votes, tools: how many, without those of subagents.
        subagents: how many runs of subagents are below it, as sessions of their own.
        missing: what the files do not tell, in words.
    """

    place: Place
    spans: tuple[Span, ...]
    rounds: int
    answers: int
    votes: int
    tools: int
    subagents: int
    missing: tuple[str, ...]


def replay(place: Place, run: Run) -> Imported:
    """Make *run*'s spans."""
    stage = _Stage(place)
    if run.known:
        # A context of its own: nothing that is current here is any of the run's business.
        contextvars.Context().run(stage.play, place, run)
    acts = [rnd.ended.kind for rnd in run.rounds if rnd.ended is not None]
    tools = len(run.tools) + sum(len(rnd.tools) for rnd in run.rounds)
    made = (len(run.rounds), acts.count("answer"), acts.count("vote"), tools, len(run.subagents))
    return Imported(place, tuple(stage.spans), *made, tuple(run.missing))


class _Ids(IdGenerator):
    """Ids by name; several spans under one name are told apart by their order."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._name = ""
        self._used: dict[str, int] = {}

    def name(self, name: str) -> None:
        self._name = name

    def generate_span_id(self) -> int:
        number = self._used[self._name] = self._used.get(self._name, -1) + 1
        return self._hash(f"{self._name}\0{number}", 8)

    def generate_trace_id(self) -> int:
        return self._hash("trace", 16)

    def _hash(self, text: str, size: int) -> int:
        digest = hashlib.sha256(f"{self._identity}\0{text}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:size], "big") or 1


class _Stage(SpanProcessor):
    """Plays one run: sets the clock and the next span's name before each call of the facade, marks what starts, keeps what ends."""

    def __init__(self, place: Place) -> None:
        self._ids = _Ids(f"massgen\0{place.run.run_id}\0{place.run.turn}\0{place.run.attempt}")
        self._within = ""
        self._now = 0
        self._estimated: tuple[str, ...] = ()
        self.spans: list[Span] = []
        chosen = settings.resolve({})
        service = chosen["service_name"]
        keep_content(chosen["full_content"])
        provider = TracerProvider()
        provider.pipeline = Pipeline(Resource({semconv.SERVICE_NAME: service}), [self], ids=self._ids, now=lambda: self._now)
        self._tracer = Tracer(provider.get_tracer(semconv.SCOPE, __version__), service_name=service, full_content=chosen["full_content"])

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the processor protocol
        """Mark a span as imported."""
        span.set_attributes({semconv.IMPORTED: True, semconv.ESTIMATED: list(self._estimated) or None})

    def on_end(self, span: Any) -> None:
        """Keep a span."""
        self.spans.append(span)

    def play(self, place: Place, run: Run) -> None:
        """The whole run, below the span that is current, and its subagents below it."""
        attributes = {
            semconv.IMPORTED_LAYOUT: place.layout,
            semconv.IMPORTED_MISSING: run.missing or None,
            semconv.MASSGEN_VERSION: run.version or None,
            semconv.MODEL_CALLS: run.model_calls,
        }
        self._at(run.start, "session", run.estimated)
        session = self._tracer.session(run.question, run.agents, run=place.run, attributes=attributes).start()
        self._at(run.start, "started", run.estimated & {"start"})
        session.event("coordination_started")
        if run.winner:
            self._select(session, run)
        for number, happening in enumerate(run.happenings):
            self._at(happening.at, f"event\0{number}")
            own = {semconv.AGENT_ID: happening.agent or None}
            session.event(happening.type, {**own, **_attributes(happening)})
        for rnd in run.rounds:
            self._round(session, run, rnd)
        for number, tool in enumerate(run.tools):
            self._tool(session, tool, f"tool\0{number}")
        for name, inner, started in run.subagents:
            contextvars.Context().run(self._subagent, session, name, inner, started)
        self._now = run.end
        session.end()

    def _subagent(self, parent: Session, name: str, place: Place, run: Run) -> None:
        """A subagent's run, whose ids are its own."""
        assert parent.context is not None
        otel_context.attach(parent.context)
        around, self._within = self._within, f"{self._within}subagent\0{name}\0{place.run.turn}\0{place.run.attempt}\0"
        self.play(place, run)
        self._within = around

    def _select(self, session: Session, run: Run) -> None:
        at = run.winner_at
        if at is None:
            presented = [rnd.start.at for rnd in run.rounds if rnd.start.presentation and rnd.agent == run.winner]
            at = presented[-1] if presented else run.end
        self._at(at, "winner", () if run.winner_at is not None else ("start",))
        session.event("winner_selected")
        session.winner(run.winner, run.winner_label or None, votes=run.votes, reason=run.winner_reason or None)

    def _round(self, session: Session, run: Run, rnd: Round) -> None:
        agent = rnd.agent
        options: dict[str, Any] = {
            "iteration": rnd.start.iteration,
            "backend": run.backends.get(agent) or None,
            "model": run.models.get(agent) or None,
        }
        name = f"{'presentation' if rnd.start.presentation else 'round'}\0{agent}"
        self._at(rnd.start.at, name, rnd.estimated)
        handle: RoundHandle
        if rnd.start.presentation:
            handle = session.presentation(agent, **options)
        else:
            handle = session.agent_round(agent, round_type=rnd.type, context_labels=rnd.start.labels or (), **options)
        handle.start()
        inner = f"{name}\0{handle.identity[semconv.ROUND]}"
        for number, happening in enumerate(sorted(rnd.happenings, key=lambda happening: happening.at)):
            self._at(happening.at, f"{inner}\0event\0{number}")
            _tell(handle, happening)
        for number, tool in enumerate(rnd.tools):
            self._tool(handle, tool, f"{inner}\0tool\0{number}")
        handle.add_usage(rnd.usage)
        if rnd.sums is not None:
            handle.set(semconv.USAGE_RAW, rnd.sums.raw_usage or None)
        self._at(rnd.end, f"{inner}\0end", rnd.estimated & {"end"} and {"start"})
        if isinstance(handle, Presentation):
            if agent in run.final_answers:
                self._now = run.final_at if run.final_at is not None and rnd.start.at <= run.final_at <= rnd.end else rnd.end
                handle.final_answer(run.final_answers[agent])
        else:
            self._end(handle, rnd)
        self._now = rnd.end
        handle.end()

    def _end(self, handle: RoundHandle, rnd: Round) -> None:
        """How the round ended."""
        act = rnd.ended
        if act is not None and act.at is not None:
            self._at(act.at, f"{act.kind}\0{rnd.agent}\0{act.label if act.kind == 'answer' else ''}", {"start"} if act.estimated else ())
            _act(handle, act)
        if rnd.outcome == "restarted":
            self._at(rnd.end, f"restart\0{rnd.agent}", {"start"} if "end" in rnd.estimated else ())
            handle.restarted(rnd.restarted_by or None)
        elif rnd.outcome == "error":
            handle.error(rnd.message)
        elif rnd.outcome == "timeout":
            handle.timeout(rnd.message)
        elif rnd.outcome:
            handle.set(semconv.OUTCOME, rnd.outcome)

    def _tool(self, parent: Session | RoundHandle, tool: Tool, name: str) -> None:
        """The wrapper around a call, and below it the MCP call where it is one."""
        details: dict[str, Any] = {"arguments": tool.arguments, "call_id": tool.call_id or None, "base": parent.context,
                   "attributes": {semconv.AGENT_ID: tool.agent or _UNKNOWN_AGENT} if isinstance(parent, Session) else None}  # fmt: skip
        self._at(tool.start, name, tool.estimated)
        calls = [self._tracer.tool_call(tool.name, **details).start()]
        if tool.server:
            calls.append(self._tracer.mcp_call(tool.server, tool.tool, **{**details, "base": calls[0].context}).start())
        self._now = max(tool.start, tool.end)
        for call in reversed(calls):
            call.record_result(tool.result, is_error=tool.failed)
            call.set(semconv.ERROR_MESSAGE, tool.error if tool.failed and tool.error else None)
            call.end()

    def _at(self, moment: int, name: str, estimated: Iterable[str] = ()) -> None:
        """It is *moment*, and what starts now is called *name*."""
        self._now = moment
        self._ids.name(self._within + name)
        self._estimated = tuple(sorted(estimated))


def _act(handle: RoundHandle, act: Act) -> None:
    if act.kind == "answer":
        handle.answer(act.label, act.text)
    elif act.kind == "vote" and act.target:
        handle.vote(act.target, act.label or None, act.text or None)
    elif act.kind == "vote":
        handle.set(semconv.OUTCOME, "vote")
    elif act.kind == "ignored_vote":
        handle.event("vote_ignored", {semconv.VOTED_FOR: act.target or None, semconv.VOTE_REASON: act.text or None})
    elif act.kind == "error":
        handle.error(act.text)
    elif act.kind == "timeout":
        handle.timeout(act.text)
    else:
        handle.cancelled()


def _tell(handle: RoundHandle, happening: Happening) -> None:
    if happening.type != sources.ENFORCEMENT:
        handle.event(happening.type, happening.attributes)
        return
    details = _enforcement(happening.attributes)
    if details["reason"] in semconv.ENFORCEMENT_REASONS:
        handle.enforcement(**details)
    else:  # a newer version's reason
        handle.event(sources.ENFORCEMENT, _attributes(happening))


def _attributes(happening: Happening) -> Mapping[str, Any]:
    """The attributes of an event that is told outside of any round, or in words that the facade does not know."""
    if happening.type != sources.ENFORCEMENT:
        return happening.attributes
    details = _enforcement(happening.attributes)
    return {semconv.ENFORCEMENT_REASON: details["reason"] or None, semconv.ERROR_MESSAGE: details["error_message"]}


def _enforcement(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of MassGen's `enforcement_attempts` as the facade's arguments."""
    return {
        "reason": values.text(attempt.get("reason")),
        "attempt": values.count(attempt.get("attempt")),
        "max_attempts": values.count(attempt.get("max_attempts")),
        "tool_calls": values.texts(attempt.get("tool_calls")),
        "error_message": values.text(attempt.get("error_message")) or None,
        "buffer_preview": values.text(attempt.get("buffer_preview")) or None,
        "buffer_chars": values.positive(attempt.get("buffer_chars")),
    }
