"""Records, in any order, into the state of a run; and what happened, as events.

Nothing hangs on the order in which records come, but that a call comes after the one around it has started: totals are sums of whole numbers, the
latest is the latest by its time. A span counts once for its start and once for its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection import judged, points, values
from massgen_tracing.projection.events import Event
from massgen_tracing.projection.scribe import Scribe
from massgen_tracing.projection.state import PRESENTATION
from massgen_tracing.projection.values import integer, text, texts
from massgen_tracing.projection.work import Work

_WORK: Final = (semconv.LLM_PREFIX, semconv.MCP_PREFIX, semconv.TOOL_PREFIX)


PREFIXES: Final = (semconv.SESSION, semconv.AGENT_PREFIX, *_WORK, *points.PREFIXES)
"""What the names of the facade's spans begin with that say something of a run. Of others only model calls do, and what they are within."""


class Fold(Scribe):
    """Folds the records of one coordination; arguments and attributes as a scribe's."""

    def __init__(self, turn: int = 1, attempt: int = 1, on_event: Callable[[Event], None] | None = None) -> None:
        super().__init__(turn, attempt, on_event)
        self._work = Work(self)
        self._points = points.Points(self)

    def started(self, span: SpanRecord) -> None:
        """A span has started; what it says at its end is passed over."""
        if not span.name.startswith(PREFIXES):
            self._work.others_started(span)
            return
        self.seen(span, span.start_ns)
        if span.name == semconv.SESSION:
            self._begin(span)
        elif span.name.startswith(semconv.AGENT_PREFIX):
            self._round_started(span)
        elif span.name.startswith(_WORK):
            self._work.started(span)

    def ended(self, span: SpanRecord) -> None:
        """A span that has started has ended."""
        if span.end_ns is None:
            return
        if not span.name.startswith(PREFIXES):
            self._work.others_ended(span)
            return
        self.seen(span, span.end_ns)
        if span.name == semconv.SESSION:
            self._end(span)
        elif span.name.startswith(semconv.AGENT_PREFIX):
            self._round_ended(span)
        elif span.name.startswith(_WORK):
            self._work.ended(span)
        else:
            self._points.happened(span)

    # --- the session ---------------------------------------------------------------------------------------------------------------

    def _begin(self, span: SpanRecord) -> None:
        state = self.state
        state.trace_id, state.span_id, state.start_ns = span.trace_id, span.span_id, span.start_ns
        state.about = span.attributes
        state.offset = integer(span.attributes.get(semconv.UTC_OFFSET)) or 0
        named = dict.fromkeys(agent_id for agent_id in texts(span.attributes.get(semconv.AGENT_IDS)) if agent_id)
        state.agents = {agent_id: state.agent(agent_id) for agent_id in named} | state.agents
        state.named = len(named)
        self.changed = True
        self.tell(span.start_ns, "system_status", None, 0, {"message": "Coordination started", "kind": "session_start"})

    def _end(self, span: SpanRecord) -> None:
        self._work.over()
        state = self.state
        state.end_ns, state.about = span.end_ns, span.attributes
        state.failed = span.status_code == 2
        self.changed = True
        assert span.end_ns is not None
        data = {"message": f"Coordination finished: {judged.finish_reason(state)}", "kind": "session_end"}
        self.tell(span.end_ns, "system_status", None, 0, data)

    # --- rounds --------------------------------------------------------------------------------------------------------------------

    def _round_started(self, span: SpanRecord) -> None:
        found = self.place(span)
        if found is None or semconv.ROUND_TYPE not in span.attributes:
            return
        agent, rnd = found
        about = span.attributes
        agent.working[span.span_id] = rnd
        moment = span.start_ns, span.span_id
        labels = list(texts(about.get(semconv.CONTEXT_LABELS)))
        kind, model = text(about.get(semconv.ROUND_TYPE)), text(about.get(semconv.GEN_AI_REQUEST_MODEL))
        if moment >= (rnd.start_ns, rnd.span_id):  # of several with one number, the latest
            rnd.start_ns, rnd.span_id = moment
            rnd.kind, rnd.model = kind, model
            rnd.iteration = integer(about.get(semconv.ITERATION))
            rnd.labels = tuple(labels)
        if model and moment >= agent.model_from:
            agent.model, agent.model_from = model, moment
        if kind == PRESENTATION:
            if agent.presentation is None or moment >= (agent.presentation.start_ns, agent.presentation.span_id):
                agent.presentation = rnd
        elif agent.latest is None or rnd.number >= agent.latest.number:
            agent.latest = rnd
        self.changed = True
        tell = self.telling(span.start_ns, agent, rnd)
        if kind == PRESENTATION:
            tell("final_presentation_start", {})
            return
        tell("round_start", {"round_type": kind})
        if labels:
            tell("context_received", {"context_labels": labels})

    def _round_ended(self, span: SpanRecord) -> None:
        found = self.place(span)
        if found is None or semconv.ROUND_TYPE not in span.attributes:
            return
        agent, rnd = found
        about = span.attributes
        state = self.state
        agent.working.pop(span.span_id, None)
        presents = text(about.get(semconv.ROUND_TYPE)) == PRESENTATION
        said, error = text(about.get(semconv.OUTCOME)), text(about.get(semconv.ERROR_MESSAGE)) or span.status_message
        if (span.end_ns, span.span_id) >= (rnd.end_ns or 0, rnd.ended_by):
            rnd.end_ns, rnd.ended_by = span.end_ns, span.span_id
            rnd.outcome, rnd.error = said, error
        state.rounds += 1
        outcome = PRESENTATION if presents and said == "answer" else said or "cancelled"
        state.outcomes[outcome] = state.outcomes.get(outcome, 0) + 1
        if not presents:
            agent.votes += said == "vote"
            agent.restarts += said == "restarted"
            agent.failures += said in {"error", "timeout"}
        if not rnd.used.calls:  # its owner has told what it used, and has traced no call
            self._work.use(agent, rnd, "", values.usage_of(span))
        self.changed = True
        assert span.end_ns is not None
        tell = self.telling(span.end_ns, agent, rnd)
        if said in {"error", "timeout"}:
            tell("status", {"message": f"{said}: {error}", "level": "error", "kind": said})
        if presents:
            tell("final_presentation_end", {})
        self.due.append((agent, rnd, None))
