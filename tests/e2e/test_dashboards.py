"""The queries of `dashboards/sql` over recorded runs of the coordinator: each answers what the spans say when they are counted by hand."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import layout, store
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, ScriptedEndpoint, Turn
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal
from tests.store import exported, otlp
from tests.store.test_queries import QUERIES
from tools.backends import clickhouse
from tools.dashboards import values_for

FOLDER = Path(__file__).parents[2] / "dashboards"
DEAD = "d" * 32
"""The trace of a run that was killed."""


def _script(asked: Asked) -> Turn:
    """An agent that reads the same missing file twice, forgets its tools once, answers and votes; one whose endpoint refuses it."""
    if asked.agent_id == "agent_b":
        return Turn(status=400, text="no such model")
    missing = ScriptedCall("mcp__filesystem__read_file", {"path": "missing.txt"})
    turns = {
        1: Turn(calls=(missing, missing)),
        2: Turn(text="I forgot how to answer."),
        3: Turn(calls=(ScriptedCall("new_answer", {"content": "forty-two"}),)),
        4: Turn(calls=(ScriptedCall("vote", {"agent_id": "agent1", "reason": "only one"}),)),
    }
    turn = turns.get(asked.number, Turn(text="forty-two"))
    return Turn(turn.text, turn.calls, turn.seconds, Usage(input=1000 + asked.number, output=10, reasoning=0, cached_input=128))


def _run(*words: str, cwd: Path) -> None:
    argv = [sys.executable, "-m", "massgen_tracing.views.cli", "run", *words]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dry run with restarts, a scripted run with errors, and a killed one."""
    place = tmp_path_factory.mktemp("dashboards")
    _run("--dry-run", "Which layout?", cwd=place)
    with ScriptedEndpoint(_script) as endpoint:
        config = place / "config.yaml"
        config.write_text(
            f"""\
agents:
  - {{id: agent_a, backend: {{type: chatcompletion, model: gpt-5-nano, base_url: "{endpoint.base_url("agent_a")}", api_key: x}}}}
  - {{id: agent_b, backend: {{type: chatcompletion, model: unheard-of, base_url: "{endpoint.base_url("agent_b")}", api_key: x}}}}
mcp_servers:
  filesystem: {{type: stdio, command: "{sys.executable}", args: [-m, massgen_tracing.runs.coordinator.tool_server, --root, "${{cwd}}"]}}
"""
        )
        _run("--config", str(config), "Why?", cwd=place)
    killed = [otlp.pending(1, "work", trace=DEAD), otlp.pending(2, "call", parent=1, start_ms=5, attributes={"massgen.agent_id": "x"}, trace=DEAD)]
    otlp.write_run(place / layout.DEFAULT_ROOT, "log_20260101_000000_000000", [otlp.line(span) for span in killed])
    return place / layout.DEFAULT_ROOT


@pytest.fixture(scope="module")
def spans(root: Path) -> list[SpanRecord]:
    """What the runs have recorded, without the killed one."""
    return [span for span in reader.read(catalogue.files(root)).spans if span.end_ns is not None]


def ask(root: Path, name: str) -> list[tuple[Any, ...]]:
    """The rows of one of the queries."""
    return [tuple(row.values()) for row in store.query((FOLDER / "sql" / f"{name}.sql").read_text(), root).rows]


def named(spans: Iterable[SpanRecord], start: str) -> list[SpanRecord]:
    """Spans by the beginning of their names, in order of time."""
    return sorted((span for span in spans if span.name.startswith(start)), key=lambda span: (span.start_ns, span.span_id))


def by(spans: Iterable[SpanRecord], *keys: str) -> dict[Any, list[SpanRecord]]:
    """Spans by attributes; `trace` is the trace."""
    groups = defaultdict(list)
    for span in spans:
        values = tuple(span.trace_id if key == "trace" else span.attributes.get(key) for key in keys)
        groups[values[0] if len(values) == 1 else values].append(span)
    return groups


def total(spans: Iterable[SpanRecord], key: str) -> Any:
    """The sum of an attribute over the spans that have it; None where none has."""
    values = [span.attributes[key] for span in spans if key in span.attributes]
    return sum(values) if values else None


def seconds(spans: Iterable[SpanRecord]) -> list[float]:
    """Durations as `records` has them, in microseconds' steps."""
    return [(span.end_ns // 1000 - span.start_ns // 1000) / 1e6 for span in spans if span.end_ns is not None]


def close(value: Any) -> Any:
    """Equal but for the order of additions."""
    return None if value is None else pytest.approx(value, rel=1e-6, abs=1e-6)


AGENT, OUTCOME, MODEL, TOOL = "massgen.agent_id", "massgen.outcome", "gen_ai.request.model", "gen_ai.tool.name"


def test_wasted_work(root: Path, spans: list[SpanRecord]) -> None:
    """Restarted rounds of each agent with their time, tokens and cost."""
    expected = {}
    for agent, rounds in by(named(spans, "agent."), AGENT).items():
        wasted = [span for span in rounds if span.attributes[OUTCOME] == "restarted"]
        sums = [total(wasted, f"massgen.usage.{key}") for key in ("input", "output", "cost")]
        expected[agent] = (len(rounds), len(wasted), close(sum(seconds(wasted))) if wasted else None, *sums[:2], close(sums[2]))
    assert {row[0]: row[1:] for row in ask(root, "wasted_work")} == expected
    assert expected["agent_b"][1] == 3
    assert expected["agent_a"][1:] == (0, None, None, None, None)


def test_cost_per_answer(root: Path, spans: list[SpanRecord]) -> None:
    """The cost of each run and what one of its answers cost."""
    expected = []
    for session in reversed(named(spans, "coordination.session")):
        own = [span for span in spans if span.trace_id == session.trace_id]
        cost, answers = total(named(own, "llm."), "operation.cost"), len(named(own, "Agent answer:"))
        expected.append((session.trace_id, session.attributes["massgen.winner_label"], answers, close(cost), close(cost / answers)))
    assert ask(root, "cost_per_answer") == expected
    assert [row[2] for row in expected] == [1, 4]


def test_vote_agreement(root: Path, spans: list[SpanRecord]) -> None:
    """Votes that stood at the end; a vote before a restart does not count."""
    rows = {row[0]: row[1:] for row in ask(root, "vote_agreement")}
    for session in named(spans, "coordination.session"):
        counted: dict[str, int] = dict(session.attributes["massgen.votes"])  # type: ignore[arg-type]
        winner, votes = str(session.attributes["massgen.winner_label"]), sum(counted.values())
        assert rows.pop(session.trace_id) == (winner, votes, counted[winner], close(counted[winner] / votes))
    assert rows == {}


def test_slowest_tool_per_agent(root: Path, spans: list[SpanRecord]) -> None:
    """The tool with the longest average, one a agent."""
    expected = []
    for agent, calls in by(named(spans, "mcp."), AGENT).items():
        tools = {tool: seconds(found) for tool, found in by(calls, TOOL).items()}
        slowest = max(tools, key=lambda tool: statistics.mean(tools[tool]))
        expected.append((agent, slowest, len(tools[slowest]), close(statistics.mean(tools[slowest])), max(tools[slowest])))
    assert ask(root, "slowest_tool_per_agent") == sorted(expected, key=lambda row: -row[3].expected)


def test_cache_hit_rate(root: Path, spans: list[SpanRecord]) -> None:
    """Cached of all input tokens, by model."""
    expected = {}
    key = "gen_ai.usage.cache_read.input_tokens"
    for model, calls in by((span for span in named(spans, "llm.") if key in span.attributes), MODEL).items():
        sent, cached = total(calls, "gen_ai.usage.input_tokens"), total(calls, key)
        expected[model] = (len(calls), sent, cached, close(cached / sent))
    rows = ask(root, "cache_hit_rate")
    assert {row[0]: row[1:] for row in rows} == expected
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
    assert rows[0][4] > 0


def test_enforcement_retries(root: Path, spans: list[SpanRecord]) -> None:
    """Each reason with its retries, agents, runs and most attempts."""
    expected = {}
    for reason, retries in by(named(spans, "Coordination event: enforcement"), "massgen.enforcement.reason").items():
        agents, runs = {span.attributes[AGENT] for span in retries}, {span.trace_id for span in retries}
        expected[reason] = (len(retries), len(agents), len(runs), max(span.attributes["massgen.enforcement.attempt"] for span in retries))  # type: ignore[type-var]
    assert {row[0]: row[1:] for row in ask(root, "enforcement_retries")} == expected
    assert expected == {"no_tool_calls": (1, 1, 1, 1), "no_workflow_tool": (1, 1, 1, 1)}


def test_critical_path_share(root: Path, spans: list[SpanRecord]) -> None:
    """Microseconds in which one agent alone had a round, counted one spell after the other."""
    expected = {}
    for session in named(spans, "coordination.session"):
        rounds = [span for span in named(spans, "agent.") if span.trace_id == session.trace_id]
        edges = sorted({edge // 1000 for span in rounds for edge in (span.start_ns, span.end_ns or 0)})
        alone: Counter[Any] = Counter()
        for begin, end in itertools.pairwise(edges):
            working = [span for span in rounds if span.start_ns // 1000 <= begin and (span.end_ns or 0) // 1000 >= end]
            if len(working) == 1:
                alone[working[0].attributes[AGENT]] += end - begin
        for agent, spent in alone.items():
            expected[session.trace_id, agent] = (close(spent / 1e6), close(spent / 1e6 / seconds([session])[0]))
    assert {row[:2]: tuple(map(float, row[2:])) for row in ask(root, "critical_path_share")} == expected


def test_tokens_per_minute(root: Path, spans: list[SpanRecord]) -> None:
    """Tokens by the minute in which their call began, and by model."""
    minutes = defaultdict(list)
    for call in named(spans, "llm."):
        minute = datetime.fromtimestamp(call.start_ns // 60_000_000_000 * 60, UTC)
        minutes[minute, call.attributes[MODEL]].append(call)
    expected = [
        (*place, total(calls, "gen_ai.usage.input_tokens"), total(calls, "gen_ai.usage.output_tokens"))
        for place, calls in sorted(minutes.items(), key=lambda item: (item[0][0], str(item[0][1])))
    ]
    assert ask(root, "tokens_per_minute") == expected


def test_error_rate_by_model(root: Path, spans: list[SpanRecord]) -> None:
    """A refused call is an error, a cancelled one is not."""
    expected = {}
    for model, calls in by(named(spans, "llm."), MODEL).items():
        errors, cancelled = sum(call.status_code == 2 for call in calls), sum(call.attributes.get(OUTCOME) == "cancelled" for call in calls)
        expected[model] = (len(calls), errors, cancelled, close(errors / len(calls)))
    rows = ask(root, "error_rate_by_model")
    assert {row[0]: row[1:] for row in rows} == expected
    assert (rows[0][0], rows[0][4]) == ("unheard-of", 1.0)
    assert sum(row[3] for row in rows) > 0


def test_duplicate_tool_calls(root: Path, spans: list[SpanRecord]) -> None:
    """The file that was read twice, and whatever else an agent did twice."""
    expected = {}
    for place, calls in by(named(spans, "mcp."), "trace", AGENT, TOOL, "gen_ai.tool.call.arguments").items():
        if len(calls) > 1:
            expected[place] = (len(calls), close(sum(seconds(calls)) - max(seconds(calls))))
    assert {row[:4]: row[4:] for row in ask(root, "duplicate_tool_calls")} == expected
    assert any(place[2] == "read_file" and "missing.txt" in place[3] for place in expected)


def test_time_to_first_chunk(root: Path, spans: list[SpanRecord]) -> None:
    """Median and worst by model; the 95th percentile lies between them."""
    expected = {}
    key = "gen_ai.response.time_to_first_chunk"
    for model, calls in by((span for span in named(spans, "llm.") if key in span.attributes), MODEL).items():
        values: list[float] = [call.attributes[key] for call in calls]  # type: ignore[misc]
        expected[model] = (len(values), close(statistics.median(values)), max(values))
    rows = ask(root, "time_to_first_chunk")
    assert {row[0]: (row[1], row[2], row[4]) for row in rows} == expected
    assert all(row[2] <= row[3] <= row[4] for row in rows)


def test_longest_gap(root: Path, spans: list[SpanRecord]) -> None:
    """The longest time between two beginnings in a round, its own beginning and its end included."""
    expected = {}
    for one in named(spans, "agent."):
        below = [span for span in spans if span.parent_span_id == one.span_id and span.name.startswith(("llm.", "Tool execution:"))]
        moments = [one.start_ns // 1000, *sorted(span.start_ns // 1000 for span in below), (one.end_ns or 0) // 1000]
        expected[one.trace_id, one.name] = max(later - earlier for earlier, later in itertools.pairwise(moments)) / 1e6
    rows = ask(root, "longest_gap")
    longest = sorted(expected.values(), reverse=True)[:20]
    assert [float(row[2]) for row in rows] == [close(value) for value in longest]
    assert all(expected[row[:2]] == close(float(row[2])) for row in rows)


def test_superseded_answers(root: Path, spans: list[SpanRecord]) -> None:
    """The first answer of the agent that improved its own is superseded."""
    expected = {place: (len(found), len(found) - 1) for place, found in by(named(spans, "Agent answer:"), "trace", AGENT).items()}
    rows = ask(root, "superseded_answers")
    assert {row[:2]: row[2:4] for row in rows} == expected
    assert sum(row[3] for row in rows) == 1


def test_tool_error_rate(root: Path, spans: list[SpanRecord]) -> None:
    """Calls and failures of each tool."""
    expected = {}
    for tool, calls in by(named(spans, "mcp."), TOOL).items():
        failed = [str(call.attributes["error.type"]) for call in calls if "error.type" in call.attributes]
        expected[tool] = (len(calls), len(failed), close(len(failed) / len(calls)), min(failed, default=None))
    assert {row[0]: row[1:] for row in ask(root, "tool_error_rate")} == expected
    assert expected["read_file"][1] >= 2


def test_cost_by_model(root: Path, spans: list[SpanRecord]) -> None:
    """Calls, tokens and cost of each model; a call without a price is counted, not taken for free."""
    expected = {}
    for place, calls in by(named(spans, "llm."), "gen_ai.provider.name", MODEL).items():
        unknown = sum("operation.cost" not in call.attributes for call in calls)
        sums = [total(calls, key) for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "operation.cost")]
        expected[place] = (len(calls), *sums[:2], close(sums[2]), unknown)
    rows = ask(root, "cost_by_model")
    assert {row[:2]: row[2:] for row in rows} == expected
    assert rows[-1][1] == "unheard-of"


def test_unfinished(root: Path) -> None:
    """Only what the killed run had begun."""
    base = datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert ask(root, "unfinished") == [(DEAD, "work", base, None), (DEAD, "call", base.replace(microsecond=5000), "x")]


@pytest.mark.skipif(not clickhouse.installed(), reason=clickhouse.MISSING)
def test_clickhouse_has_the_same_answers(root: Path, spans: list[SpanRecord], tmp_path: Path) -> None:
    """Every query, and those that have to run in Logfire unchanged, of what the Collector's exporter would have written of these runs."""
    (trace,) = {span.trace_id for span in spans if span.attributes.get("massgen.num_agents") == 3}
    statements = QUERIES | {path.stem: path.read_text() for path in (FOLDER / "sql").glob("*.sql")}
    with clickhouse.serving(tmp_path) as served:
        sql, rows = exported.insert(reader.read(catalogue.files(root)), starts=True, times=2)
        assert not served.answer(sql, rows=rows)
        for name, written in statements.items():
            statement = written.replace("[TRACE_ID]", trace)
            params = values_for(statement)
            here, there = store.query(statement, root, params=params), store.query(statement, backend=served.place, params=params)
            assert there.table.schema == here.table.schema, name
            # What begins at the same time has no order.
            assert sorted(map(comparable, there.rows)) == sorted(map(comparable, here.rows)), name
    assert len(statements) > 30


def comparable(row: dict[str, Any]) -> str:
    """A row apart from the order of additions."""
    return str([f"{value:.9g}" if isinstance(value, float) else value for value in row.values()])


def test_every_query_is_listed() -> None:
    """The list for people names each file, in the words of its header."""
    listed = (FOLDER / "README.md").read_text()
    for path in sorted((FOLDER / "sql").glob("*.sql")):
        header = path.read_text().partition("\n")[0].removeprefix("-- ")
        assert f"| [{path.stem}](sql/{path.name}) | {header} |" in listed, path.name


def test_gaps_and_shares_of_long_runs_have_their_fractions(tmp_path: Path) -> None:
    """Times alone and longest gaps are exact to the millisecond also where they are longer than two seconds, sealed or not."""

    def of(agent: str) -> dict[str, Any]:
        return {"massgen.agent_id": agent}

    chat = {"gen_ai.operation.name": "chat"}
    spans = [
        otlp.span(1, "coordination.session", end_ms=20_900),
        otlp.span(2, "agent.a.round_0", parent=1, start_ms=1_000, end_ms=10_930, attributes=of("a")),
        otlp.span(3, "agent.b.round_0", parent=1, start_ms=11_000, end_ms=19_990, attributes=of("b")),
        otlp.span(4, "llm.openai.stream", parent=2, start_ms=1_040, end_ms=10_900, attributes=of("a") | chat),
        otlp.span(5, "llm.openai.stream", parent=3, start_ms=14_950, end_ms=19_000, attributes=of("b") | chat),
    ]
    run = otlp.write_run(tmp_path, "log_20270115_080000_000000", [otlp.line(span) for span in spans])
    for _ in range(2):
        alone = store.query((FOLDER / "sql" / "critical_path_share.sql").read_text(), tmp_path).rows
        assert [(row["agent"], row["alone_seconds"], row["share"]) for row in alone] == [
            ("a", 9.93, pytest.approx(9.93 / 20.9)),
            ("b", 8.99, pytest.approx(8.99 / 20.9)),
        ]
        gaps = store.query((FOLDER / "sql" / "longest_gap.sql").read_text(), tmp_path).rows
        assert [(row["span_name"], row["longest_gap_seconds"], row["round_seconds"]) for row in gaps] == [
            ("agent.a.round_0", 9.89, 9.93),
            ("agent.b.round_0", 5.04, 8.99),
        ]
        seal.seal(run / "turn_1" / "attempt_1" / "trace.otlp.jsonl")
