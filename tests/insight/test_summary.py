"""The totals of a run."""

from __future__ import annotations

from typing import Any

import pytest

from massgen_tracing.insight.summary import Summary, summarise
from massgen_tracing.model import Usage
from massgen_tracing.store.roots.reader import Reader
from tests.store import otlp


def summary(*spans: dict[str, Any], alive: bool = False) -> Summary:
    """The totals of hand-written spans."""
    reader = Reader()
    reader.add_lines([otlp.line(span) for span in spans], source="test", alive=alive)
    return summarise(reader.recording().spans)


def test_the_sample_run_adds_up() -> None:
    """Question, agents, winner, rounds, tokens, cost and errors of a whole run."""
    found = summary(*otlp.sample_spans())
    assert (found.question, found.agents, found.winner, found.winner_label) == ("Which is the best?", ("agent_a", "agent_b"), "agent_a", "agent1.1")
    assert (found.seconds, found.state, found.trace_ids, found.start_ns) == (5.0, "ended", (otlp.TRACE,), otlp.BASE_NS)
    assert found.usage._replace(cost=None) == Usage(2200, 370)
    assert found.usage.cost == pytest.approx(0.015)
    assert (found.llm_calls, found.costless_calls, found.tool_calls, found.errors) == (4, 2, 1, 2)
    assert [(item.agent_id, item.number, item.kind, item.outcome, item.label, item.error) for item in found.rounds] == [
        ("agent_a", 0, "initial_answer", "answer", "agent1.1", ""),
        ("agent_b", 0, "initial_answer", "error", "", "connection lost"),
        ("agent_b", 1, "voting", "vote", "agent1.1", ""),
        ("agent_a", None, "presentation", "", "", ""),
    ]


def test_only_the_innermost_model_calls_count() -> None:
    """A call inside a call, and the sums on rounds, are not counted twice."""
    found = summary(
        otlp.span(1, "agent.a.round_0", attributes={"massgen.usage.input": 100, "massgen.usage.output": 10}),
        otlp.span(2, "llm.router.create", parent=1, attributes={"gen_ai.usage.input_tokens": 100, "operation.cost": 1.0}),
        otlp.span(3, "retry", parent=2),
        otlp.span(4, "llm.openai.create", parent=3, attributes={"gen_ai.usage.input_tokens": 100, "operation.cost": 1.0}),
    )
    assert (found.llm_calls, found.usage.input, found.usage.cost) == (1, 100, 1.0)


def test_unknown_is_not_zero() -> None:
    """Where nobody reported tokens or cost the sums are unknown; a reported 0 is 0."""
    assert summary(otlp.span(1, "llm.a.create")).usage == Usage()
    assert summary(otlp.span(1, "llm.a.create", attributes={"gen_ai.usage.output_tokens": 0})).usage == Usage(output=0)


def test_a_running_run_is_live_and_a_killed_one_interrupted() -> None:
    """The session's state is the run's; it has run as long as its last sign of life says; unfinished calls have no cost to miss."""
    spans = [
        otlp.pending(1, "coordination.session", attributes={"massgen.task": "q", "massgen.agent_ids": ["b", "a"]}),
        otlp.pending(2, "agent.a.round_0", parent=1, start_ms=10, attributes={"massgen.agent_id": "a"}),
        otlp.span(3, "llm.x.create", parent=2, start_ms=20, end_ms=2000, attributes={"gen_ai.usage.input_tokens": 7, "operation.cost": 0.5}),
        otlp.pending(4, "llm.x.create", parent=2, start_ms=2100),
    ]
    live, dead = summary(*spans, alive=True), summary(*spans)
    assert (live.state, live.open, live.interrupted, live.seconds) == ("live", 3, 0, 2.1)
    assert (dead.state, dead.open, dead.interrupted) == ("interrupted", 0, 3)
    assert (dead.question, dead.agents, dead.costless_calls) == ("q", ("a", "b"), 0)
    assert dead.rounds[0].usage == Usage(input=7, cost=0.5)


def test_a_recording_of_something_else_has_a_summary_too() -> None:
    """No session, no agents: what there is to say is said."""
    found = summary(otlp.span(1, "GET /", end_ms=20), otlp.span(2, "db", parent=1, start_ms=5, end_ms=30))
    assert (found.question, found.agents, found.winner, found.state, found.seconds) == ("", (), "", "ended", 0.03)
    assert summarise([]).seconds is None


def test_parents_in_a_circle_do_not_hang_the_sums() -> None:
    """Two model calls that are each other's parents end, somehow."""
    found = summary(otlp.span(1, "llm.a.create", parent=2), otlp.span(2, "llm.a.create", parent=1), otlp.span(3, "agent.x.round_0", parent=3))
    assert len(found.rounds) == 1


def test_of_several_turns_the_last_one_says_what_was_asked_and_won() -> None:
    """Time, calls and rounds are those of all; a turn within another one is part of it."""
    first = {"massgen.task": "first?", "massgen.winner": "a"}
    turns = [
        otlp.span(1, "coordination.session", end_ms=3000, attributes=first),
        otlp.span(2, "llm.x", parent=1, end_ms=10),
        otlp.span(3, "coordination.session", start_ms=10_000, end_ms=15_000, attributes={"massgen.task": "second?", "massgen.winner": "b"}),
        otlp.span(4, "llm.x", parent=3, start_ms=10_000, end_ms=10_010),
        otlp.span(5, "coordination.session", parent=4, start_ms=10_001, end_ms=10_002, attributes=first),
    ]
    found = summary(*turns)
    assert (found.question, found.winner, found.state, found.seconds, found.llm_calls) == ("second?", "b", "ended", 8.0, 2)
    assert found.start_ns == otlp.BASE_NS
    live = summary(*turns[:2], otlp.pending(3, "coordination.session", start_ms=10_000, attributes={"massgen.task": "second?"}), alive=True)
    assert (live.question, live.winner, live.state) == ("second?", "", "live")


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["llm.x", "agent.a.round_0"])
def test_a_cost_that_is_no_number_is_unknown(name: str, cost: float) -> None:
    """Other writers may have recorded one."""
    key = "operation.cost" if name == "llm.x" else "massgen.usage.cost"
    assert summary(otlp.span(1, name, end_ms=10, attributes={key: cost, "gen_ai.usage.input_tokens": 5})).usage.cost is None
