"""Queries of the kinds that Logfire's users write: counts, percentiles, buckets, costs, rankings, histograms, joins, metrics in spans."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from tests.store import otlp

METRICS = {"tokens": {"total": 12, "details": [{"total": 5, "attributes": {"type": "input"}}, {"total": 7, "attributes": {"type": "output"}}]}}
LLM = {"gen_ai.request.model": "m1", "operation.cost": 0.5, "gen_ai.usage.input_tokens": 10}
SPANS = [
    otlp.span(1, "GET /a", end_ms=1000, attributes={"http.route": "/a", "http.method": "GET", "logfire.msg": "root"}),
    otlp.span(2, "chat m1", parent=1, start_ms=100, end_ms=300, attributes={**LLM, "result": {"name": "Ben", "born": "1990-05-06"}}),
    otlp.span(3, "chat m1", parent=1, start_ms=1200, end_ms=1600, attributes={**LLM, "operation.cost": 0.25, "logfire.level_num": 17}),
    otlp.span(4, "chat m2", parent=1, start_ms=1700, end_ms=1800, attributes={"gen_ai.request.model": "m2", "logfire.metrics": METRICS}),
    otlp.event(5, "note", parent=1, at_ms=2000),
]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One trace: a request, three model calls, a log."""
    return otlp.write(tmp_path_factory.mktemp("logfire") / "x.jsonl", [otlp.line(span) for span in SPANS])


def at(second: int) -> datetime:
    return datetime(2027, 1, 15, 8, 0, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sql", "params", "rows"),
    [
        pytest.param(
            "SELECT COUNT() AS count, span_name FROM records GROUP BY span_name ORDER BY count DESC, span_name LIMIT 2",
            {},
            [(2, "chat m1"), (1, "GET /a")],
            id="counts",
        ),
        pytest.param(
            """SELECT span_name, count(*) AS requests, approx_percentile_cont(duration, 0.5) * 1000 AS p50_ms
               FROM records WHERE attributes ? 'http.route' GROUP BY span_name ORDER BY p50_ms DESC""",
            {},
            [("GET /a", 1, 1000.0)],
            id="percentile of two arguments",
        ),
        pytest.param(
            """WITH dataset AS (SELECT time_bucket($resolution, start_timestamp) AS x, duration * 1000 AS ms FROM records WHERE kind = 'span')
               SELECT x, approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99 FROM dataset GROUP BY x ORDER BY x""",
            {"resolution": "1 second"},
            [(at(0), 1000.0), (at(1), 400.0)],
            id="percentiles over time",
        ),
        pytest.param(
            """SELECT date_trunc('day', start_timestamp) AS day, attributes->>'gen_ai.request.model' AS model,
               SUM((attributes->'operation.cost')::numeric) AS cost FROM records WHERE attributes ? 'gen_ai.request.model'
               GROUP BY day, model ORDER BY day DESC, cost DESC NULLS LAST""",
            {},
            [(datetime(2027, 1, 15, tzinfo=UTC), "m1", 0.75), (datetime(2027, 1, 15, tzinfo=UTC), "m2", None)],
            id="cost by day",
        ),
        pytest.param("SELECT day, count() FROM records GROUP BY day", {}, [(date(2027, 1, 15), 5)], id="the internal day"),
        pytest.param(
            "SELECT SUM((attributes->'operation.cost')::numeric) AS c FROM records HAVING SUM((attributes->'operation.cost')::numeric) > 50",
            {},
            [],
            id="an alert that is quiet",
        ),
        pytest.param(
            """SELECT time_bucket($resolution, start_timestamp) AS x, log(count()) AS n, level_name(level) AS level
               FROM records GROUP BY x, level ORDER BY x, level""",
            {"resolution": "1 minute"},
            [(at(0), 0.0, "error"), (at(0), pytest.approx(0.602, abs=0.001), "info")],
            id="levels over time",
        ),
        pytest.param(
            """SELECT * FROM (SELECT COUNT() AS count, service_name || ' - ' || span_name AS both_names FROM records
               GROUP BY both_names ORDER BY count DESC, both_names LIMIT 2) ORDER BY count ASC""",
            {},
            [(1, "massgen - GET /a"), (2, "massgen - chat m1")],
            id="two columns as one",
        ),
        pytest.param(
            """WITH original AS (SELECT time_bucket('1 minute', start_timestamp) AS x, count() AS count, span_name FROM records
               GROUP BY x, span_name),
               ranked AS (SELECT x, count, span_name, ROW_NUMBER() OVER (PARTITION BY x ORDER BY count DESC, span_name) AS place FROM original)
               SELECT count, span_name FROM ranked WHERE place <= 2 ORDER BY x, place""",
            {},
            [(2, "chat m1"), (1, "GET /a")],
            id="the first of each bucket",
        ),
        pytest.param(
            """WITH data AS (SELECT duration AS amount FROM records WHERE duration IS NOT NULL), config AS (SELECT 3 AS n),
               raw AS (SELECT MIN(amount)::numeric AS low, MAX(amount)::numeric AS high, n FROM data, config GROUP BY n),
               base AS (SELECT *, CASE WHEN low = high THEN 1.000000001 ELSE exp(ln(high / low) / n::double) END AS b FROM raw),
               counts AS (SELECT floor(log(b, amount / low))::int AS at, COUNT() AS count FROM data, base GROUP BY at),
               buckets AS (SELECT UNNEST(generate_series(0, n - 1)) AS at FROM base)
               SELECT round(low * power(b, k.at + 0.5), 3)::text AS middle, COALESCE(count, 0) AS count
               FROM (SELECT * FROM buckets, base) k LEFT JOIN counts c ON k.at = c.at ORDER BY low * power(b, k.at + 0.5)""",
            {},
            [("0.147", 2), ("0.316", 1), ("0.681", 0)],
            id="a histogram with exponential buckets",
        ),
        pytest.param(
            """SELECT parents.message AS parent, children.message AS child FROM records parents JOIN records children
               ON children.trace_id = parents.trace_id AND children.parent_span_id = parents.span_id WHERE children.level >= 'error'""",
            {},
            [("root", "chat m1")],
            id="parents and children",
        ),
        pytest.param(
            """SELECT attributes->'result'->>'name' AS name, extract(year FROM (attributes->'result'->>'born')::date) AS "birth year"
               FROM records WHERE attributes->'result'->>'name' = 'Ben'""",
            {},
            [("Ben", 1990)],
            id="nested values",
        ),
        pytest.param(
            "SELECT attributes->>'logfire.metrics'->>'tokens'->>'total' AS total FROM records WHERE attributes ? 'logfire.metrics'",
            {},
            [("12",)],
            id="a metric of a span",
        ),
        pytest.param(
            """WITH named AS (SELECT unnest(json_keys(attributes->>'logfire.metrics')::text[]) AS metric, * FROM records),
               valued AS (SELECT attributes->>'logfire.metrics'->>metric AS value, * FROM named),
               detailed AS (SELECT value->>'details'->>unnest(generate_series((json_length(value->>'details') - 1)::int)) AS detail, * FROM valued)
               SELECT metric, detail->>'total' AS total, detail->>'attributes'->>'type' AS type FROM detailed
               WHERE metric = 'tokens' ORDER BY total""",
            {},
            [("tokens", "5", "input"), ("tokens", "7", "output")],
            id="the details of a metric of a span",
        ),
        pytest.param(
            """SELECT span_name, AVG(duration) AS mean, SUM((attributes->>'gen_ai.usage.input_tokens')::int) AS tokens FROM records
               WHERE service_name = $service AND start_timestamp > '2027-01-15T08:00:00Z'::timestamptz - INTERVAL '1 hour'
               GROUP BY span_name HAVING COUNT(*) > 1 ORDER BY mean DESC""",
            {"service": "massgen"},
            [("chat m1", pytest.approx(0.3), 20)],
            id="by name, since an hour ago",
        ),
        pytest.param(
            "SELECT trace_id IS NULL, exception_type FROM records -- (1)!\nWHERE\n  is_exception and  -- (2)!\n  attributes->>'http.route' = '/a'",
            {},
            [],
            id="comments at the ends of lines",
        ),
        pytest.param(
            "SELECT is_exception, count(*) FROM records GROUP BY is_exception ORDER BY is_exception;", {}, [(False, 5)], id="a semicolon at the end"
        ),
    ],
)
def test_a_query_of_logfires_users_gives_its_rows(recording: Path, sql: str, params: dict[str, Any], rows: list[tuple[Any, ...]]) -> None:
    """Unchanged, with their parameters bound, and with the rows that Logfire would give."""
    assert [tuple(row.values()) for row in store.query(sql, recording, params=params).rows] == rows


def test_json_columns_come_back_as_json(recording: Path) -> None:
    """What is nested in attributes is whole."""
    (row,) = store.query("SELECT attributes->'logfire.metrics' AS m FROM records WHERE attributes ? 'logfire.metrics'", recording).rows
    assert json.loads(json.loads(row["m"]) if row["m"].startswith('"') else row["m"]) == METRICS
