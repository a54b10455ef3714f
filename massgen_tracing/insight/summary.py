"""What a run came to: who took part, how each round ended, who won, what it used and cost, what is unfinished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from massgen_tracing import conventions, semconv, settings
from massgen_tracing.insight import words
from massgen_tracing.insight.calls import ModelCall
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection.values import integer, text, usage_of

_PLAIN: Final = frozenset({int, float, bool, type(None)})
"""Kinds of values in which nothing can stand."""

RunState = Literal["live", "interrupted", "ended"]


@dataclass(frozen=True, slots=True)
class Round:
    """One execution of an agent.

    Attributes:
        number: from 0; None for the presentation.
        kind: `initial_answer`, `voting`, `presentation`, or empty when the recording does not say.
        outcome: how it ended; empty while it has not, or when the recording does not say.
        label: the answer it gave, or the answer it voted for where it ended in a vote, or the agent whose answer that was; empty for neither.
        seconds: None while it has not ended.
        usage: what its model calls used.
        costless_calls: how many of these have ended without a known cost; they are not in `usage.cost`.
    """

    span_id: str
    agent_id: str
    number: int | None
    kind: str
    outcome: str
    label: str
    error: str
    seconds: float | None
    usage: Usage
    costless_calls: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The totals of a run, or of any recording.

    Attributes:
        trace_ids: its traces, by first start.
        question: what was asked last, of which `winner` and `state` tell too; empty when the recording does not say.
        work: without a session, the name of its first span, behind the service's where that is not ours; empty with one.
        start_ns: first start, Unix nanoseconds; None for a recording without spans.
        seconds: how long the sessions took, one after the other, or, for one that has not ended, how long it is known to have run.
        agents: ids of the agents, by name.
        winner, winner_label: empty while there is none.
        usage: sum of the model calls, each once (`massgen_tracing.insight.calls`); of the rounds where a recording has no model calls (one that
            was imported).
        costless_calls: how many of those calls have ended without a known cost; they are not in `usage.cost`.
        llm_calls, tool_calls, errors: how many, each once.
        scrubbed: places where a secret was taken out.
        open, interrupted: how many spans have not ended, with their process alive or dead.
        watched: of agents that were only watched, how that ended; empty for others.
    """

    trace_ids: tuple[str, ...]
    question: str
    work: str
    start_ns: int | None
    seconds: float | None
    state: RunState
    agents: tuple[str, ...]
    rounds: tuple[Round, ...]
    winner: str
    winner_label: str
    usage: Usage
    llm_calls: int
    costless_calls: int
    tool_calls: int
    errors: int
    scrubbed: int
    open: int
    interrupted: int
    watched: str = ""


def summarise(spans: Sequence[SpanRecord]) -> Summary:
    """The totals of the spans of one run."""
    return total(Parts(spans))


def total(parts: Parts) -> Summary:
    """The totals of a run that is taken apart."""
    ordered, sessions = parts.spans, parts.sessions
    session = sessions[-1] if sessions else None
    about: Mapping[str, Any] = session.attributes if session is not None else {}
    calls = parts.calls
    used = Usage()
    for usage in (call.usage for call in calls) if calls else map(usage_of, parts.rounds):
        used += usage
    open_count = sum(span.state == "open" for span in ordered)
    interrupted = sum(span.state == "interrupted" for span in ordered)
    return Summary(
        trace_ids=tuple(dict.fromkeys(span.trace_id for span in ordered)),
        question=text(about.get(semconv.TASK)),
        work=_work(ordered[0]) if ordered and session is None else "",
        start_ns=_first_start(sessions, ordered),
        seconds=_seconds(sessions, ordered),
        state=_state(session, open_count, interrupted),
        agents=_agents(about, ordered),
        rounds=tuple(round_of(parts, span) for span in parts.rounds),
        winner=text(about.get(semconv.WINNER)),
        winner_label=text(about.get(semconv.WINNER_LABEL)),
        usage=used,
        llm_calls=len(calls),
        costless_calls=sum(map(is_costless, calls)),
        tool_calls=len(parts.tools),
        errors=len(parts.errors),
        scrubbed=sum(map(_scrubbed, ordered)),
        open=open_count,
        interrupted=interrupted,
        watched=text(about.get(semconv.FINISH_REASON)) or "watched" if about.get(semconv.WATCHING) is True else "",
    )


def _work(first: SpanRecord) -> str:
    service = text(first.resource.attributes.get(semconv.SERVICE_NAME))
    return first.name if service in {"", settings.DEFAULT_SERVICE} else f"{service}: {first.name}"


def _scrubbed(span: SpanRecord) -> int:
    found = span.name.count(semconv.SCRUBBED) + span.status_message.count(semconv.SCRUBBED) + _marks(span.attributes)
    for event in span.events:
        found += event.name.count(semconv.SCRUBBED) + _marks(event.attributes)
    return found + sum(_marks(link.attributes) for link in span.links)


def _marks(value: object) -> int:
    if isinstance(value, str):
        return value.count(semconv.SCRUBBED)
    if isinstance(value, Mapping):
        found = 0
        for key, item in value.items():
            found += key.count(semconv.SCRUBBED)
            if type(item) not in _PLAIN:
                found += _marks(item)
        return found
    return sum(map(_marks, value)) if isinstance(value, Sequence) and not isinstance(value, bytes) else 0


def round_of(parts: Parts, span: SpanRecord) -> Round:
    """What the span of a round says, and the calls in it."""
    values, calls = span.attributes, parts.calls_of[span.key]
    usage = usage_of(span)
    # A round that was killed has no sums yet, and none has what other instrumentations than the facade report; the calls still tell.
    for call in calls:
        if usage_of(span) == Usage() or not call.of_facade:
            usage += call.usage
    return Round(
        span_id=span.span_id,
        agent_id=text(values.get(semconv.AGENT_ID)),
        number=integer(values.get(semconv.ROUND)),
        kind=text(values.get(semconv.ROUND_TYPE)),
        outcome=text(values.get(semconv.OUTCOME)),
        label=words.about(values),
        error=text(values.get(semconv.ERROR_MESSAGE)),
        seconds=span.seconds,
        usage=usage,
        costless_calls=sum(map(is_costless, calls)),
    )


def is_costless(call: ModelCall) -> bool:
    """Whether nobody knows what an ended call cost; one that failed without having used anything cost nothing."""
    span = call.span
    return call.usage.cost is None and span.state == "ended" and not (span.status_code == 2 and call.usage == Usage())


def _first_start(sessions: Sequence[SpanRecord], ordered: Sequence[SpanRecord]) -> int | None:
    first = sessions or ordered
    return first[0].start_ns if first else None


def _seconds(sessions: Sequence[SpanRecord], ordered: Sequence[SpanRecord]) -> float | None:
    if not ordered:
        return None
    last = max(max(span.start_ns, span.end_ns or 0) for span in ordered)
    known = [span.seconds if span.seconds is not None else (last - span.start_ns) / 1e9 for span in sessions]
    return sum(known) if known else (last - ordered[0].start_ns) / 1e9


def _state(session: SpanRecord | None, open_count: int, interrupted: int) -> RunState:
    if session is not None:
        return {"open": "live", "interrupted": "interrupted", "ended": "ended"}[session.state]  # type: ignore[return-value]
    return "live" if open_count else "interrupted" if interrupted else "ended"


def _agents(about: Mapping[str, Any], spans: Sequence[SpanRecord]) -> tuple[str, ...]:
    stated = about.get(semconv.AGENT_IDS)
    names = {name for name in stated if isinstance(name, str)} if isinstance(stated, list | tuple) else set()
    names |= {text(span.attributes.get(semconv.AGENT_ID)) for span in spans if span.name.startswith(semconv.AGENT_PREFIX)}
    if not names:
        kinds = (span.attributes for span in spans if conventions.kind_of(span.name, span.attributes) == "agent")
        names = {conventions.text_of(values, conventions.AGENT) for values in kinds}
    return tuple(sorted(names - {""}))
