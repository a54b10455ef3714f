"""Statements nobody thought of: whatever columns, conditions and clauses come together, typed columns answer what the JSON text answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing.store.engine import execute, sources
from massgen_tracing.store.engine.sources import Sources
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.sealing import seal
from massgen_tracing.store.sql import dialect
from tests.store import otlp
from tests.store.test_typed import comparable

KEYS = st.sampled_from(["massgen.agent_id", "massgen.round", "massgen.usage.cost", "massgen.is_winner", "own", "only.1", "only.4", "none"])
TABLES = st.sampled_from(["records", "records", "records_all"])


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Sealed and live runs, two of which share a trace; keys that all have, that some have, and one with values of several kinds."""
    root = tmp_path_factory.mktemp("root")
    for run in range(1, 7):
        lines = []
        for place in range(1, 12):
            number = 100 * run + place
            attributes: dict[str, object] = {"own": ["x", 1, "1", 2.5, True][place % 5] if run % 2 else place % 3}
            if place % 4:
                attributes |= {"massgen.agent_id": f"agent_{'abc'[place % 3]}", "massgen.round": place % 3}
            if place % 3 == 0:
                attributes |= {"massgen.usage.cost": place / 4, "massgen.is_winner": place % 2 == 0, f"only.{run}": "pq"[place % 2]}
            name = ["llm.chat", "mcp.tool", "agent.agent_a.round_1", "coordination.session"][place % 4]
            times = {"start_ms": 17 * place % 50, "end_ms": 50 + 13 * place % 70}
            lines.append(otlp.line(otlp.span(number, name, trace=f"{(run + 1) // 2:032x}", attributes=attributes, **times)))
        path = otlp.write_run(root, f"log_2027011{run}_080000_000000", lines) / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        if run < 5:
            assert seal.seal(path).sealed is not None
    return sources.choose(catalogue.files(root))


@st.composite
def texts(draw: st.DrawFn, of: str) -> str:
    """An attribute as a text; *of* is empty, or a table's alias and a point."""
    return f"{of}attributes->>'{draw(KEYS)}'"


@st.composite
def conditions(draw: st.DrawFn, of: str = "", depth: int = 0) -> str:
    """What may stand after WHERE."""
    kind = draw(st.integers(0, 10 if depth > 1 else 13))
    key, text = draw(KEYS), draw(texts(of))
    if kind > 10:
        one, other = draw(conditions(of, depth + 1)), draw(conditions(of, depth + 1))
        return [f"({one} AND {other})", f"({one} OR {other})", f"NOT ({one})"][kind - 11]
    return [
        f"{text} = '{draw(st.sampled_from(['agent_a', '1', '0', 'true', 'p']))}'",
        f"{of}attributes ? '{key}'",
        f"({of}attributes->'massgen.round')::int > {draw(st.integers(0, 2))}",
        f"{text} IS NOT NULL",
        f"{of}duration > {draw(st.sampled_from([0.03, 0.05]))}",
        f"{of}span_name LIKE '{draw(st.sampled_from(['agent.%', '%c%', 'llm.chat']))}'",
        f"{text} IN ('agent_a', 'agent_c', '2')",
        f"{of}attributes->'{key}' = {draw(st.integers(0, 2))}",
        f"{text} = {draw(texts(of))}",
        f"{of}trace_id = '{draw(st.integers(1, 3)):032x}'",
        f"{text} IS {draw(st.sampled_from(['', 'NOT ']))}DISTINCT FROM 'agent_a'",
    ][kind]


@st.composite
def values(draw: st.DrawFn, of: str = "") -> str:
    """What may stand after SELECT."""
    kind, text = draw(st.integers(0, 8)), draw(texts(of))
    return [
        text,
        text,
        f"({of}attributes->'{draw(KEYS)}')::int",
        f"({of}attributes->'massgen.usage.cost')::float",
        f"length({text})",
        f"{of}span_name",
        f"{of}start_timestamp",
        f"coalesce({text}, '-')",
        f"CASE WHEN {draw(conditions(of, 1))} THEN {text} ELSE 'z' END",
    ][kind]


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One SELECT whose rows are the same each time."""
    table, value = draw(TABLES), draw(values())
    where = f"WHERE {draw(conditions())}" if draw(st.booleans()) else ""
    columns = ", ".join(f"{said} AS c{place}" for place, said in enumerate([value, *draw(st.lists(values(), max_size=2))]))
    order = draw(st.sampled_from(["", "ORDER BY 1", "ORDER BY start_timestamp DESC, 1", "ORDER BY c0 NULLS FIRST, span_id"]))
    other = draw(conditions("b."))
    return draw(
        st.sampled_from(
            [
                f"SELECT {columns} FROM {table} {where} {order}",
                f"SELECT {value} AS c0, count(*) AS n, max({draw(texts(''))}) AS m FROM {table} {where} GROUP BY 1 HAVING count(*) > 1 ORDER BY 2, 1",
                f"SELECT a.span_id, {draw(values('a.'))} AS c0 FROM {table} a LEFT JOIN records b ON a.trace_id = b.trace_id AND {other}",
                f"WITH r AS (SELECT {columns}, span_id FROM {table} {where}) SELECT c0, count(*) AS n FROM r GROUP BY c0 ORDER BY 2, 1",
                f"SELECT span_id, rank() OVER (PARTITION BY {draw(texts(''))} ORDER BY start_timestamp) AS n FROM {table} {where}",
                f"SELECT DISTINCT {columns} FROM {table} {where}",
                f"SELECT {columns} FROM {table} WHERE span_id IN (SELECT span_id FROM records {where}) UNION ALL SELECT {columns} FROM records",
            ]
        )
    )


@given(statements())
@settings(max_examples=200, deadline=None)
def test_random_statements_mean_the_same_with_typed_columns(several: Sources, sql: str) -> None:
    """None of them fails, and titles, types and rows are the same with typed columns and without."""
    statement = dialect.translate(sql)
    with_columns, *_ = execute.ask(statement, several)
    without, *_ = execute.ask(statement, several, typed_columns=False)
    assert comparable(with_columns) == comparable(without)


def test_what_may_be_null_is_no_matter_of_the_statement(several: Sources) -> None:
    """Two parts of the engine's planner find out differently what a CASE cannot give; the statement has its answer all the same."""
    case = "CASE WHEN (attributes->>'none' = attributes->>'own' OR attributes->>'none' = 'b') THEN attributes->>'none' ELSE 'z' END"
    sql = f"SELECT DISTINCT {case} AS c FROM records"
    table, *_ = execute.ask(dialect.translate(sql), several)
    assert table.to_pylist() == [{"c": "z"}]
