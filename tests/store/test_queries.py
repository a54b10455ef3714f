"""The queries that have to run unchanged: each gives the right rows of the sample run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from tests.store import otlp
from tools.dashboards import values_for

HERE = Path(__file__).parent
QUERIES: dict[str, str] = {
    name.strip(): sql.strip() for name, _, sql in (part.partition("\n") for part in (HERE / "queries.sql").read_text().split("-- name: ")[1:])
}


def at(milliseconds: int) -> datetime:
    """A moment of the sample run."""
    return datetime(2027, 1, 15, 8, 0, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def run(name: str, root: Path) -> list[dict[str, Any]]:
    """The rows of one of the queries."""
    return store.query(QUERIES[name].replace("[TRACE_ID]", otlp.TRACE), root).rows


def values(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Some columns of the rows."""
    return [tuple(row[name] for name in names) for row in rows]


IN_ORDER = [span["name"] for span in sorted(otlp.sample_spans(), key=lambda span: span["startTimeUnixNano"])]


def test_trace_hierarchy(root: Path) -> None:
    """Every span of the trace, in the order they started, with its parent."""
    rows = run("trace_hierarchy", root)
    assert [row["span_name"] for row in rows] == IN_ORDER
    assert (otlp.span_id(1), None, 5.0, at(0)) == values(rows, "span_id", "parent_span_id", "duration", "start_timestamp")[0]
    assert (otlp.span_id(3), otlp.span_id(1), 2.0, at(20)) == values(rows, "span_id", "parent_span_id", "duration", "start_timestamp")[2]


def test_recent_sessions(root: Path) -> None:
    """The sessions, newest first."""
    otlp.write_run(root, "log_20270116_080000_000000", [otlp.line(otlp.span(1, "coordination.session", start_ms=9000, end_ms=9500, trace="f" * 32))])
    assert [("f" * 32, 0.5, at(9000)), (otlp.TRACE, 5.0, at(0))] == values(run("recent_sessions", root), "trace_id", "duration", "start_timestamp")


def test_agent_round_performance(root: Path) -> None:
    """Rounds with their agent, number and type, as text; a presentation has no number."""
    assert values(run("agent_round_performance", root), "span_name", "duration", "agent_id", "round", "round_type") == [
        ("agent.agent_a.presentation", 0.6, "agent_a", None, "presentation"),
        ("agent.agent_b.round_1", 1.0, "agent_b", "1", "voting"),
        ("agent.agent_b.round_0", 3.0, "agent_b", "0", "initial_answer"),
        ("agent.agent_a.round_0", 2.0, "agent_a", "0", "initial_answer"),
    ]


def test_tool_calls(root: Path) -> None:
    """MCP calls and the wrappers around them, newest first."""
    assert [
        ("mcp.filesystem.write_file", 0.2, otlp.span_id(3), at(1550)),
        ("Tool execution: mcp__filesystem__write_file", None, otlp.span_id(3), at(1540)),
    ] == values(run("tool_calls", root), "span_name", "duration", "parent_span_id", "start_timestamp")


def test_find_errors(root: Path) -> None:
    """Exceptions with type, message and trace, newest first."""
    assert [
        ("mcp.filesystem.write_file", "FileNotFoundError", "no such file: 'x'", otlp.TRACE, at(1550)),
        ("agent.agent_b.round_0", "ConnectionError", "connection lost", otlp.TRACE, at(25)),
    ] == values(run("find_errors", root), "span_name", "exception_type", "exception_message", "trace_id", "start_timestamp")


def test_llm_performance(root: Path) -> None:
    """Model calls with their model, newest first."""
    assert values(run("llm_performance", root), "duration", "model") == [
        (0.48, "gpt-5-nano"),
        (0.89, "gpt-5-nano"),
        (2.965, "gpt-5-nano"),
        (1.5, "gpt-5-nano"),
    ]


def test_nested_view(root: Path) -> None:
    """The root as it is, everything else below it."""
    assert [IN_ORDER[0], *("  └─ " + name for name in IN_ORDER[1:])] == [row["hierarchy"] for row in run("nested_view", root)]


def test_coordination_timeline(root: Path) -> None:
    """The coordination's events, newest first; none has a duration."""
    rows = run("coordination_timeline", root)
    expected = [
        "Winner selected: agent1.1",
        "Coordination event: winner_selected",
        "Agent vote: agent_b -> agent1.1",
        "Agent answer: agent1.1",
        "Coordination event: coordination_started",
    ]
    assert [(name, name, None) for name in expected] == values(rows, "span_name", "message", "duration")


def test_slow_tools(root: Path) -> None:
    """The trace's MCP calls."""
    assert [("mcp.filesystem.write_file", 0.2, otlp.span_id(3))] == values(run("slow_tools", root), "span_name", "duration", "parent_span_id")


def test_agent_comparison(root: Path) -> None:
    """Rounds, total and average time of each agent."""
    rows = sorted(values(run("agent_comparison", root), "agent", "rounds", "total_time", "avg_round_time"))
    assert [("agent_a", 2, pytest.approx(2.6), pytest.approx(1.3)), ("agent_b", 2, 4.0, 2.0)] == rows


def test_recent_exceptions_cte(root: Path) -> None:
    """Only exceptions of the last hour: the sample lies in the future of its writing, an old one is left out."""
    old = otlp.span(1, "old", trace="f" * 32, events=[otlp.exception("Old", "old")])
    old |= {"startTimeUnixNano": "1600000000000000000", "endTimeUnixNano": "1600000000000000001"}
    otlp.write_run(root, "log_20200116_080000_000000", [otlp.line(old)])
    assert {"ConnectionError", "FileNotFoundError"} == {row["exception_type"] for row in run("recent_exceptions_cte", root)}


def test_json_text(root: Path) -> None:
    """An attribute as text, NULL where it is not there; one row a record."""
    agents = [row["agent"] for row in run("json_text", root)]
    assert (len(agents), agents.count("agent_a"), agents.count("agent_b"), agents.count(None)) == (17, 9, 5, 3)


def test_json_cast(root: Path) -> None:
    """An attribute as a number, NULL where it is not there."""
    tokens = [row["tokens"] for row in run("json_cast", root)]
    assert [number for number in tokens if number is not None] == [1500]
    assert len(tokens) == 17


def test_coordination_flow(root: Path) -> None:
    """The coordination's events and the final answer, in order."""
    assert [(row["start_timestamp"] - at(0)) / timedelta(milliseconds=1) for row in run("coordination_flow", root)] == [
        10,
        1900,
        4050,
        4200,
        4310,
        4890,
    ]


def test_phase_breakdown(root: Path) -> None:
    """Times by phase, rounded to two decimals as numbers of exactly two decimals."""
    rows = run("phase_breakdown", root)
    names = ("phase", "count", "avg_duration_sec", "max_duration_sec", "total_duration_sec")
    assert [
        ("initial_answer", 2, Decimal("2.50"), Decimal("3.00"), Decimal("5.00")),
        ("voting", 1, Decimal("1.00"), Decimal("1.00"), Decimal("1.00")),
        ("presentation", 1, Decimal("0.60"), Decimal("0.60"), Decimal("0.60")),
    ] == values(rows, *names)


def test_exceptions_in_trace(root: Path) -> None:
    """The trace's exceptions in order."""
    assert [row["exception_type"] for row in run("exceptions_in_trace", root)] == ["ConnectionError", "FileNotFoundError"]


def test_token_usage_by_agent(root: Path) -> None:
    """Tokens are whole numbers, cost adds up; a round that reported nothing is left out."""
    rows = sorted(values(run("token_usage_by_agent", root), "agent", "total_input_tokens", "total_output_tokens", "total_cost_usd"))
    assert [("agent_a", 1300, 320, pytest.approx(0.0125)), ("agent_b", 900, 50, pytest.approx(0.0025))] == rows


def test_every_query_is_tested_and_is_a_dashboard() -> None:
    """No query is left out: each has a test here and a file that says what it answers."""
    assert set(QUERIES) == {name.removeprefix("test_") for name in globals() if name.removeprefix("test_") in QUERIES}
    folder = HERE.parents[1] / "dashboards" / "sql"
    for name, sql in QUERIES.items():
        header, _, text = (folder / f"{name}.sql").read_text().partition("\n")
        assert header.startswith("-- ")
        assert sql == text.strip()


def test_every_dashboard_query_runs(root: Path) -> None:
    """Each file under dashboards/sql is accepted as it is."""
    for path in sorted((HERE.parents[1] / "dashboards" / "sql").glob("*.sql")):
        sql = path.read_text()
        assert store.query(sql, root, params=values_for(sql)).columns
