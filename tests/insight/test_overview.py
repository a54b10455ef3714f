"""What to look at in a run: what was used by whom, thrown away and why, where nothing went on, what failed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import semconv
from massgen_tracing.insight.overview import GAP_SECONDS, overview
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.roots.reader import Reader
from tests.store import otlp

SECOND = 10**9


def span(number: int, name: str, start: float, end: float | None, parent: int = 1, /, *, failed: bool = False, **attributes: Any) -> SpanRecord:
    """A span by seconds; attributes by the last parts of their names."""
    keys = {
        "agent": semconv.AGENT_ID, "round": semconv.ROUND, "outcome": semconv.OUTCOME, "by": semconv.RESTART_BY, "error": semconv.ERROR_MESSAGE,
        "model": semconv.GEN_AI_REQUEST_MODEL, "sent": semconv.GEN_AI_INPUT_TOKENS, "received": semconv.GEN_AI_OUTPUT_TOKENS,
        "cost": semconv.OPERATION_COST, "tool": semconv.GEN_AI_TOOL_NAME,
    }  # fmt: skip
    return SpanRecord(
        "a" * 32, f"{number:016x}", f"{parent:016x}" if parent else "", name, round(start * SECOND), None if end is None else round(end * SECOND),
        status_code=2 if failed else 0, attributes={keys[key]: value for key, value in attributes.items()},
    )  # fmt: skip


RUN = [
    span(1, "coordination.session", 0, 20, 0),
    span(2, "agent.a.round_0", 0, 10, agent="a", round=0, outcome="answer"),
    span(3, "llm.openai.stream", 0.5, 4, 2, agent="a", model="m", sent=100, received=10, cost=0.5),
    span(4, "mcp.fs.read", 4, 5, 2, agent="a", tool="read"),
    span(5, "mcp.fs.read", 4.5, 8, 2, failed=True, agent="a", tool="read", error="no such file"),
    span(6, "agent.b.round_0", 0, 9, agent="b", round=0, outcome="restarted"),
    span(7, "llm.openai.stream", 1, 9, 6, agent="b", model="m", sent=50, received=5),
    span(8, "Agent restart: b", 9, 9, 6, agent="b", round=0, by="a"),
    span(9, "agent.b.round_1", 9, 12, failed=True, agent="b", round=1, outcome="timeout", error="after 3 s"),
    span(10, "llm.openai.stream", 9, 12, 9, agent="b", model="n", sent=7, received=1, cost=0.25),
]


def test_what_was_used_by_whom() -> None:
    """By agent and model, the most expensive first; calls of unknown cost are counted; together they are the run's totals."""
    found = overview(RUN)
    assert [(each.agent_id, each.model, each.calls, each.costless_calls, each.usage.input, each.usage.cost) for each in found.used] == [
        ("a", "m", 1, 0, 100, 0.5),
        ("b", "n", 1, 0, 7, 0.25),
        ("b", "m", 1, 1, 50, None),
    ]
    assert sum(each.calls for each in found.used) == found.summary.llm_calls
    assert sum(each.usage.cost or 0 for each in found.used) == found.summary.usage.cost


def test_what_was_thrown_away_and_why() -> None:
    """Rounds that neither answered nor voted, with the agent whose answer has restarted them."""
    found = overview(RUN).wasted
    assert [(each.round.agent_id, each.round.number, each.round.outcome, each.by, each.round.usage.input) for each in found] == [
        ("b", 0, "restarted", "a", 50),
        ("b", 1, "timeout", "", 7),
    ]


def test_tools_by_their_time() -> None:
    """Calls, failures, all of their time, and the longest."""
    [used] = overview(RUN).tools
    assert (used.name, used.calls, used.failures, used.seconds, used.longest) == ("read", 2, 1, 4.5, 3.5)


def test_where_nothing_went_on() -> None:
    """What no span of a round covers, at its start, between, and at its end; the longest first."""
    found = overview(RUN).gaps
    assert [(each.agent_id, each.round, each.start_ns / SECOND, each.seconds, each.after) for each in found] == [
        ("a", 0, 8, 2, "mcp.fs.read"),
        ("b", 0, 0, 1, ""),
    ]


def test_a_call_without_an_end_may_have_gone_on() -> None:
    """No gap is claimed behind it."""
    rnd = span(2, "agent.a.round_0", 0, 10, 0, agent="a", round=0)
    assert [gap.start_ns for gap in overview([rnd, span(3, "llm.openai.stream", 2, None, 2)]).gaps] == [0]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40), st.booleans()), max_size=8))
def test_gaps_are_what_is_left_of_a_round(made: list[tuple[int, int, bool]]) -> None:
    """Whatever is in it, also beyond its end: a gap overlaps nothing, and none that is long enough is missing."""
    calls = [span(3 + place, "llm.x", start / 10, (start + length) / 10, 2 if first else 3) for place, (start, length, first) in enumerate(made)]
    calls = [call if place else span(3, "llm.x", call.start_ns / SECOND, (call.end_ns or 0) / SECOND, 2) for place, call in enumerate(calls)]
    found = overview([span(2, "agent.a.round_0", 0, 10, 0, agent="a", round=0), *calls]).gaps
    idle = [not any(call.start_ns <= tick < (call.end_ns or 0) for call in calls) for tick in range(0, 10 * SECOND, SECOND // 10)]
    expected, run = [], 0
    for free in [*idle, False]:
        run, over = (run + 1, 0) if free else (0, run)
        expected += [over / 10] if over / 10 >= GAP_SECONDS else []
    assert sorted(round(gap.seconds, 6) for gap in found) == pytest.approx(sorted(expected))


def test_failures_are_told_once_with_whose_they_are() -> None:
    """What failed of itself, not what it was in."""
    found = overview(RUN).failures
    assert [(each.span.name, each.agent_id, each.round, each.error) for each in found] == [
        ("mcp.fs.read", "a", 0, "no such file"),
        ("agent.b.round_1", "b", 1, "after 3 s"),
    ]


def test_of_a_recording_of_other_programs() -> None:
    """Without agents and rounds there is what there is."""
    reader = Reader()
    reader.add_lines([otlp.line(otlp.span(1, "GET /", end_ms=5000), otlp.span(2, "query", parent=1, end_ms=10))], source="test", alive=False)
    found = overview(reader.recording().spans)
    assert (found.used, found.wasted, found.tools, found.gaps, found.failures) == ((), (), (), (), ())
