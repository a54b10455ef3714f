"""Asking: limits, windows, the sandbox, and errors in words."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from massgen_tracing import errors, store
from tests.store import otlp

COUNT = "SELECT count(*) AS n FROM records"


def test_an_answer_that_was_cut_says_so(root: Path) -> None:
    """With more rows than the limit the answer is cut and says so; with exactly as many it does not."""
    cut = store.query("SELECT span_name FROM records ORDER BY start_timestamp", root, limit=5)
    assert (len(cut), cut.truncated, cut.cut, cut.limit) == (5, True, "rows", 5)
    whole = store.query("SELECT span_name FROM records", root, limit=17)
    assert (len(whole), whole.truncated, whole.cut) == (17, False, "")


def test_an_answer_of_too_many_bytes_is_cut_too(root: Path) -> None:
    """As many whole rows as fit into the bytes, and the answer says that it was cut by them."""
    cut = store.query("SELECT repeat('x', 1000) AS x FROM generate_series(1, 100)", root, max_bytes=10_500)
    assert (len(cut), cut.truncated, cut.cut) == (10, True, "bytes")
    none = store.query("SELECT repeat('x', 1000) AS x", root, max_bytes=900)
    assert (none.columns, len(none), none.cut) == (("x",), 0, "bytes")
    assert store.query("SELECT repeat('x', 1000) AS x FROM generate_series(1, 100)", root, max_bytes=110_000).cut == ""


def test_a_limit_below_one_is_refused(root: Path) -> None:
    """There is no answer of no rows at most."""
    with pytest.raises(errors.QueryError, match="Expected a number from 1, got 0"):
        store.query(COUNT, root, limit=0)


def test_a_time_window_leaves_out_what_started_outside(root: Path) -> None:
    """Both ends of the window count; naive times are UTC."""
    begin, end = datetime(2027, 1, 15, 8, 0, 3, tzinfo=UTC), datetime(2027, 1, 15, 8, 0, 4, 200_000)
    names = store.query("SELECT span_name FROM records ORDER BY start_timestamp", root, min_timestamp=begin, max_timestamp=end).rows
    assert [row["span_name"] for row in names] == [
        "agent.agent_b.round_1",
        "llm.openrouter.stream",
        "Agent vote: agent_b -> agent1.1",
        "Coordination event: winner_selected",
    ]


def test_several_places_are_asked_at_once(tmp_path: Path) -> None:
    """A list of roots, runs and files is one set of records; the same span in two of them is one."""
    one = otlp.write_run(tmp_path / "a")
    two = otlp.write(tmp_path / "b.jsonl", [otlp.line(otlp.span(99, "other"))])
    assert store.query(COUNT, [tmp_path / "a", one, two]).rows == [{"n": 18}]


def test_a_root_without_recordings_has_empty_tables(tmp_path: Path) -> None:
    """Where nothing was recorded yet the tables are there, with their columns and without rows."""
    assert store.query(COUNT, tmp_path).rows == [{"n": 0}]
    assert len(store.query("SELECT * FROM records_all", tmp_path).columns) == 44


def test_an_empty_answer_has_its_columns(root: Path) -> None:
    """No rows, but names and types."""
    result = store.query("SELECT span_name, duration FROM records WHERE false", root)
    assert (result.columns, result.rows) == (("span_name", "duration"), [])


def test_times_are_microseconds_utc_whatever_made_them(root: Path) -> None:
    """Functions that compute in nanoseconds or without a zone give the same kind of time."""
    sql = "SELECT date_trunc('hour', start_timestamp) AS a, '2027-01-15T08:00:00'::timestamp AS b, now() AS c FROM records LIMIT 1"
    result = store.query(sql, root)
    assert {str(item.type) for item in result.to_arrow().schema} == {"timestamp[us, tz=UTC]"}
    assert result.rows[0]["a"] == result.rows[0]["b"] == datetime(2027, 1, 15, 8, tzinfo=UTC)


def test_values_of_json_are_told_from_texts(root: Path) -> None:
    """A column of `->` is known to hold JSON, one of `->>` to hold text."""
    result = store.query("SELECT attributes->'massgen.round' AS a, attributes->>'massgen.round' AS b, duration FROM records", root)
    assert (set(result.json_columns), set(result.numeric_columns)) == ({"a"}, {"duration"})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM information_schema.routines",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "WITH x AS (SELECT 1) INSERT INTO records SELECT * FROM x",
        "SELECT 1 INTO elsewhere",
    ],
)
def test_nothing_outside_the_tables_can_be_reached(root: Path, sql: str) -> None:
    """Files, catalogues, table functions that read files, and anything that writes are refused."""
    with pytest.raises(errors.QueryError):
        store.query(sql, root)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT foo(1) FROM records", "Invalid function 'foo'. (line 1, column 8)"),
        ("SELECT aprox_distinct(trace_id) FROM records", "Invalid function 'aprox_distinct'. Did you mean approx_distinct?"),
        ("SELECT mod(level, 2) FROM records", "Invalid function 'mod'. (line 1, column 8). Write a % b"),
        ("SELECT r.durations FROM records r", "No field named r.durations. Did you mean duration? (line 1, column 10)"),
        ("SELECT timestamp FROM records", "Did you mean end_timestamp or start_timestamp? (line 1, column 8)"),
        ('SELECT attributes->>"http.route" FROM records', "Did you mean http_route? (line 1, column 21). A text stands in 'single quotes'"),
        ('SELECT 1 FROM records WHERE service_name = "massgen"', "(line 1, column 44). A text stands in 'single quotes'"),
        ("SELECT time_bucket(start_timestamp, 5) FROM records", "The function `time_bucket` (line 1, column 8) cannot take values of the type"),
        ("SELECT metric_quantile(value) FROM metrics", "It is asked as metric_quantile(0.95, value)"),
        ("SELECT span_name FROM records WHERE", "found the end of the statement"),
        ("SELECT span_name FROM records FETCH FIRST 1 ROWS ONLY", "FETCH clause is not supported yet (line 1, column 31). Write LIMIT n"),
        ("SELECT attributes::jsonb FROM records", "Unsupported SQL type JSONB (line 1, column 20). JSON columns need no cast"),
        ("SELECT 1 FROM records WHERE attributes @> '{}'", "The operator `@>` cannot be used here (line 1, column 40). For JSON compare keys"),
        ("SELECT tags && ARRAY['a'] FROM records", "The operator `&&` cannot be used here (line 1, column 13). Write array_has_any"),
        ("SELECT attributes['x'] FROM records", "A key of a JSON column is asked by ->>"),
        ("SELECT attributes->>'x' + 1 FROM records", "needs a cast to be computed with"),
        ("SELECT 1 FROM records WHERE attributes->>'x' = false", "The text of a truth value is 'true' or 'false'"),
        ("SELECT 1 FROM records WHERE duration > interval '1 second'", "`duration` is a number of seconds"),
        ("SELECT extract(epoch FROM duration) FROM records", "The function `extract` (line 1, column 8) cannot take values of the type it is given"),
        ("SELECT 1 FROM records a SEMI JOIN records b ON a.span_id = b.span_id", "Semi is not supported. Write LEFT SEMI JOIN"),
        ("SELECT now() - '1 hour' FROM records", "An interval is written INTERVAL '1 hour'"),
        ("SELECT tag FROM records r, unnest(r.tags) t(tag)", "`unnest` goes into the SELECT"),
        (
            "SELECT tag FROM records r, LATERAL unnest(r.tags) t(tag)",
            "table function 'unnest' not found (line 1, column 36). `unnest` goes into the SELECT",
        ),
        (
            "SELECT trace_id FROM records a JOIN records b ON a.span_id = b.span_id",
            "field trace_id (line 1, column 8). Put the table's alias before it",
        ),
        ("SELECT span_name, count(*) FROM records", 'column "records.span_name" must appear in the GROUP BY clause'),
        (
            "SELECT duration > 'abc' FROM records",
            "Cannot cast string 'abc' to value of Float64 type (line 1, column 19). try_cast(value AS type) gives NULL",
        ),
        ("SELECT 1 FROM records WHERE message LIKE '%a!%' ESCAPE '!'", "(line 1, column 49). Escape with a backslash"),
        ("SELECT\n nope FROM records", "No field named nope. (line 2, column 2). `SHOW COLUMNS FROM records` lists what there is"),
        ("SELECT agent_id FROM records", "It may be an attribute: attributes->>'massgen.agent_id'"),
        ("SELECT input_tokens FROM records", "It may be an attribute: attributes->>'gen_ai.usage.input_tokens'"),
        ("SELECT * FROM nope", "table 'nope' not found (line 1, column 15). The tables are records, records_all and metrics"),
        ("SELECT attributes->>'x' FROM records WHERE x y", "at line 1, column 46"),
        ("SELECT sum(attributes->'x') FROM records", "The function `sum` (line 1, column 8) cannot take values of the type"),
        ("SELECT sum(attributes->'x') FROM records", "(attributes->'key')::int"),
        ("SELECT span_name::int FROM records", "The statement failed: Cannot cast string"),
        ("SELECT span_id FROM records WHERE (attributes->>'massgen.agent_id')::int = 1", "The statement failed: Cannot cast string 'agent_"),
        (
            "SELECT count(*) FILTER (WHERE span_id IN (SELECT parent_span_id FROM records)) FROM records",
            "A subquery cannot stand here. Subqueries go into SELECT, WHERE, HAVING and FROM",
        ),
        ("SELECT 1/0", "Divide by zero"),
    ],
)
def test_the_engines_errors_are_one_line_with_a_place(root: Path, sql: str, message: str) -> None:
    """What failed, where in the statement as it was written, and where there is one, the next step."""
    with pytest.raises(errors.QueryError) as refusal:
        store.query(sql, root)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_query_without_end_is_stopped(tmp_path: Path) -> None:
    """The caller has its answer at the deadline, and the process can end."""
    otlp.write_run(tmp_path)
    code = f"""
from massgen_tracing import store, errors
try:
    store.query("SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b", {str(tmp_path)!r}, timeout=0.2)
except errors.QueryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "stopped after 0.2 seconds" in done.stdout


def test_what_could_not_be_read_is_reported_with_the_answer(tmp_path: Path) -> None:
    """The rows that are there come with a count of the lines that were not read."""
    path = otlp.write(tmp_path / "x.jsonl", [b"rubbish\n", otlp.line(otlp.span(1, "x"))])
    result = store.query(COUNT, path)
    assert (result.rows, result.report.skipped, result.report.first_skips[0].line) == ([{"n": 1}], 1, 1)


def test_importing_the_store_loads_no_engine() -> None:
    """`import massgen_tracing.store` is cheap; and asking loads nothing of the writing half."""
    code = (
        "import sys, massgen_tracing.store; print(sorted({'datafusion', 'pyarrow', 'sqlglot'} & set(sys.modules)));"
        "import massgen_tracing.store.engine.execute, massgen_tracing.views.terminal;"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'opentelemetry', 'logfire', 'openai', 'mcp'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
