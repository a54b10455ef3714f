"""What a run came to: who took part, how each round ended, who won, what it used and cost, what is unfinished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection.values import LLM_PREFIX, integer, text, usage_of

RunState = Literal["live", "interrupted", "ended"]

_ROUND_PREFIX: Final = semconv.ROUND_NAME.partition("{")[0]
_MCP_PREFIX: Final = semconv.MCP_NAME.partition("{")[0]


@dataclass(frozen=True, slots=True)
class Round:
    """One execution of an agent.

    Attributes:
        number: from 0; None for the presentation.
        kind: `initial_answer`, `voting`, `presentation`, or empty when the recording does not say.
        outcome: how it ended; empty while it has not, or when the recording does not say.
        label: the answer it gave, or the answer it voted for; empty for neither.
        seconds: None while it has not ended.
        usage: what its model calls used.
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


@dataclass(frozen=True, slots=True)
class Summary:
    """The totals of a run, or of any recording.

    Attributes:
        trace_ids: its traces, by first start.
        question: what was asked; empty when the recording does not say.
        start_ns: first start, Unix nanoseconds; None for a recording without spans.
        seconds: how long the session took, or, for one that has not ended, how long it is known to have run.
        agents: ids of the agents, by name.
        winner, winner_label: empty while there is none.
        usage: sum of the model calls that have no model call inside, so that nothing counts twice; of the rounds where a recording has no
            model calls (one that was imported).
        costless_calls: how many of those calls have ended without a known cost; they are not in `usage.cost`.
        llm_calls, tool_calls, errors: how many; errors are spans whose status is error.
        scrubbed: places where a secret was taken out.
        open, interrupted: how many spans have not ended, with their process alive or dead.
    """

    trace_ids: tuple[str, ...]
    question: str
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


def summarise(spans: Sequence[SpanRecord]) -> Summary:
    """The totals of the spans of one run."""
    ordered = sorted(spans, key=lambda span: span.start_ns)
    session = next((span for span in ordered if span.name == semconv.SESSION), None)
    about: Mapping[str, Any] = session.attributes if session is not None else {}
    calls = leaf_calls(ordered)
    rounds = [span for span in ordered if span.name.startswith(_ROUND_PREFIX)]
    usages = [usage_of(call) for call in calls]
    total = Usage()
    for usage in usages if calls else map(usage_of, rounds):
        total += usage
    open_count = sum(span.state == "open" for span in ordered)
    interrupted = sum(span.state == "interrupted" for span in ordered)
    return Summary(
        trace_ids=tuple(dict.fromkeys(span.trace_id for span in ordered)),
        question=text(about.get(semconv.TASK)),
        start_ns=_first_start(session, ordered),
        seconds=_seconds(session, ordered),
        state=_state(session, open_count, interrupted),
        agents=_agents(about, ordered),
        rounds=tuple(_round(span, ordered) for span in rounds),
        winner=text(about.get(semconv.WINNER)),
        winner_label=text(about.get(semconv.WINNER_LABEL)),
        usage=total,
        llm_calls=len(calls),
        costless_calls=sum(usage.cost is None and call.state == "ended" for call, usage in zip(calls, usages, strict=True)),
        tool_calls=sum(span.name.startswith(_MCP_PREFIX) for span in ordered),
        errors=sum(span.status_code == 2 for span in ordered),
        scrubbed=sum(map(_scrubbed, ordered)),
        open=open_count,
        interrupted=interrupted,
    )


def leaf_calls(spans: Iterable[SpanRecord]) -> list[SpanRecord]:
    """The model calls that have no model call below them."""
    known = {(span.trace_id, span.span_id): span for span in spans}
    calls = [span for span in known.values() if span.name.startswith(LLM_PREFIX)]
    outer: set[tuple[str, str]] = set()
    for call in calls:
        seen = {(call.trace_id, call.span_id)}
        above = known.get((call.trace_id, call.parent_span_id))
        while above is not None and (above.trace_id, above.span_id) not in seen:
            key = (above.trace_id, above.span_id)
            seen.add(key)
            outer.add(key)
            above = known.get((above.trace_id, above.parent_span_id))
    return [call for call in calls if (call.trace_id, call.span_id) not in outer]


def _scrubbed(span: SpanRecord) -> int:
    texts = [span.name, span.status_message, *(event.name for event in span.events)]
    held = [span.attributes, *(event.attributes for event in span.events), *(link.attributes for link in span.links)]
    return sum(_marks(each) for each in (*texts, *held))


def _marks(value: object) -> int:
    if isinstance(value, str):
        return value.count(semconv.SCRUBBED)
    if isinstance(value, Mapping):
        return sum(_marks(item) for pair in value.items() for item in pair)
    return sum(map(_marks, value)) if isinstance(value, Sequence) and not isinstance(value, bytes) else 0


def _round(span: SpanRecord, spans: Sequence[SpanRecord]) -> Round:
    values = span.attributes
    usage = usage_of(span)
    if usage == Usage():
        # A round that was killed has no sums yet; its finished calls still tell what they used.
        for call in leaf_calls(_below(span, spans)):
            usage += usage_of(call)
    return Round(
        span_id=span.span_id,
        agent_id=text(values.get(semconv.AGENT_ID)),
        number=integer(values.get(semconv.ROUND)),
        kind=text(values.get(semconv.ROUND_TYPE)),
        outcome=text(values.get(semconv.OUTCOME)),
        label=text(values.get(semconv.ANSWER_LABEL_KEY)) or text(values.get(semconv.VOTED_FOR_LABEL)),
        error=text(values.get(semconv.ERROR_MESSAGE)),
        seconds=span.seconds,
        usage=usage,
    )


def _below(top: SpanRecord, spans: Sequence[SpanRecord]) -> list[SpanRecord]:
    children: dict[str, list[SpanRecord]] = {}
    for span in spans:
        if span.trace_id == top.trace_id:
            children.setdefault(span.parent_span_id, []).append(span)
    found: list[SpanRecord] = []
    waiting = [top.span_id]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += [span.span_id for span in below]
    return found


def _first_start(session: SpanRecord | None, ordered: Sequence[SpanRecord]) -> int | None:
    if session is not None:
        return session.start_ns
    return ordered[0].start_ns if ordered else None


def _seconds(session: SpanRecord | None, ordered: Sequence[SpanRecord]) -> float | None:
    start = _first_start(session, ordered)
    if start is None:
        return None
    if session is not None and session.seconds is not None:
        return session.seconds
    last = max(max(span.start_ns, span.end_ns or 0) for span in ordered)
    return (last - start) / 1e9


def _state(session: SpanRecord | None, open_count: int, interrupted: int) -> RunState:
    if session is not None:
        return {"open": "live", "interrupted": "interrupted", "ended": "ended"}[session.state]  # type: ignore[return-value]
    return "live" if open_count else "interrupted" if interrupted else "ended"


def _agents(about: Mapping[str, Any], spans: Sequence[SpanRecord]) -> tuple[str, ...]:
    stated = about.get(semconv.AGENT_IDS)
    names = {name for name in stated if isinstance(name, str)} if isinstance(stated, list | tuple) else set()
    names |= {text(span.attributes.get(semconv.AGENT_ID)) for span in spans if span.name.startswith(_ROUND_PREFIX)}
    return tuple(sorted(names - {""}))
