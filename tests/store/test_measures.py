"""`metric_…`: Logfire's functions over the column `value`, for every kind of metric, temporality and grouping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import errors, store
from massgen_tracing.store.sql import words
from tests.store import otlp

DELTA, CUMULATIVE = {"aggregationTemporality": 1}, {"aggregationTemporality": 2}


def point(second: float, *, since: float | None = None, labels: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A data point; times in seconds."""
    start = {} if since is None else {"startTimeUnixNano": str(otlp.BASE_NS + int(since * 1e9))}
    made = {"timeUnixNano": str(otlp.BASE_NS + int(second * 1e9)), **start, **fields}
    return made if labels is None else {**made, "attributes": otlp.key_values(labels)}


def counts(*values: tuple[float, float], since: float = 0, **labels: Any) -> list[dict[str, Any]]:
    """Points of a counter, by time and value."""
    return [point(second, since=since, labels=labels, asDouble=float(value)) for second, value in values]


def exponential(second: float, scale: int, offset: int, *counted: int, **fields: Any) -> dict[str, Any]:
    """A point of an exponential histogram."""
    return point(second, scale=scale, positive={"offset": offset, "bucketCounts": list(map(str, counted))}, count=str(sum(counted)), **fields)


def explicit(second: float, *counted: int, bounds: tuple[float, ...] = (1.0, 5.0), **fields: Any) -> dict[str, Any]:
    """A point of a histogram."""
    return point(second, bucketCounts=list(map(str, counted)), explicitBounds=list(bounds), count=str(sum(counted)), **fields)


METRICS = [
    ("gauge", "gauge", [point(second, asDouble=float(second)) for second in range(1, 6)], {}),
    ("one", "gauge", [point(1, asInt="7")], {}),
    ("delta", "sum", [point(10, since=0, asInt="1"), point(20, since=10, asInt="2"), point(30, since=20, asInt="3")], {**DELTA, "isMonotonic": True}),
    ("cumulative", "sum", counts((0, 5), (10, 8), (20, 2), (30, 6)), {**CUMULATIVE, "isMonotonic": True}),
    ("started", "sum", counts((0, 5), (10, 9)) + counts((20, 9), (30, 10), since=15), {**CUMULATIVE, "isMonotonic": True}),
    ("up_down", "sum", counts((0, 5), (10, 2), (20, 4)), CUMULATIVE),
    ("two", "sum", [*counts((0, 100), (10, 110), core=0), *counts((0, 1), (10, 3), core=1)], {**CUMULATIVE, "isMonotonic": True}),
    ("explicit", "histogram", [explicit(1, 1, 2, 1, sum=10.0, min=0.5, max=6.0), explicit(2, 0, 0, 1, sum=7.0, min=7.0, max=7.0)], DELTA),
    ("open", "histogram", [explicit(1, 2, 0, 2, sum=10.0)], DELTA),
    ("single", "histogram", [explicit(1, 3, bounds=(), sum=6.0, min=1.0, max=3.0)], DELTA),
    ("growing", "histogram", [explicit(1, 1, 0, 0, sum=1.0, since=0), explicit(2, 1, 2, 0, sum=7.0, since=0)], CUMULATIVE),
    (
        "exponential",
        "exponentialHistogram",
        [exponential(1, 0, 1, 1, 1, min=0.0, max=7.0, sum=10.0, zeroCount="1"), exponential(2, 1, 3, 1, min=3.0, max=3.0, sum=3.0)],
        DELTA,
    ),
    (
        "below",
        "exponentialHistogram",
        [point(1, scale=0, negative={"offset": 0, "bucketCounts": ["2", "1"]}, count="3", sum=-6.0)],
        DELTA,
    ),
    ("summary", "summary", [point(1, count="2", sum=4.0, quantileValues=[{"quantile": 0.0, "value": 1.0}, {"quantile": 1.0, "value": 3.0}])], {}),
    ("nothing", "gauge", [point(1)], {}),
]
"""Name, kind, data points, and what else the metric says."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All metrics as one line of another writer."""
    made = [{"name": name, "unit": "s", kind: {"dataPoints": points, **more}} for name, kind, points, more in METRICS]
    document = {"resourceMetrics": [{"scopeMetrics": [{"scope": {"name": "scope"}, "metrics": made}]}]}
    return otlp.write(tmp_path_factory.mktemp("metrics") / "metrics.jsonl", [json.dumps(document).encode() + b"\n"])


def ask(path: Path, expression: str, name: str) -> Any:
    """An aggregate of one metric."""
    (row,) = store.query(f"SELECT {expression} AS found FROM metrics WHERE metric_name = $name", path, params={"name": name}).rows
    return row["found"]


@pytest.mark.parametrize(
    ("name", "part", "found"),
    [
        ("gauge", 0.5, 3.0),
        ("gauge", 0.9, 4.6),
        ("gauge", 0, 1.0),
        ("gauge", 1, 5.0),
        ("one", 0.95, 7.0),
        ("delta", 0.5, 2.0),
        # Buckets -1 [0.5, 1], 1-5, 5- [5, 7], with 1, 2 and 2 observations: 0.75, 1, 5, 5, 7.
        ("explicit", 0, 0.75),
        ("explicit", 0.25, 1.0),
        ("explicit", 0.5, 5.0),
        ("explicit", 1, 7.0),
        ("explicit", 0.875, 6.0),
        # Without extremes an outer bucket is its one bound.
        ("open", 0.25, 1.0),
        ("open", 1, 5.0),
        ("single", 0.5, 2.0),
        # The second point has all of the first.
        ("growing", 0.5, 1.0),
        ("growing", 1, 5.0),
        # At scale 0: one zero, two from 2 to 4, one from 4 to 7.
        ("exponential", 0, 0.0),
        ("exponential", 1 / 3, 2.0),
        ("exponential", 2 / 3, 4.0),
        ("exponential", 1, 5.5),
        ("below", 0, -3.0),
        ("below", 0.5, -2.0),
        ("below", 1, -1.0),
        ("summary", 0.5, None),
        ("nothing", 0.5, None),
        ("absent", 0.5, None),
    ],
)
def test_a_quantile_of_observations(measured: Path, name: str, part: float, found: float | None) -> None:
    """Of gauges and counters their readings; of histograms what their buckets tell, each observation where the documentation puts it."""
    assert ask(measured, f"metric_quantile({part}, value)", name) == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize(
    ("name", "increase", "rate"),
    [
        ("delta", 6.0, 0.2),
        ("cumulative", 9.0, 0.3),
        ("started", 14.0, 14 / 30),
        ("up_down", -1.0, -0.05),
        ("two", 12.0, 1.2),
        ("gauge", None, None),
        ("explicit", None, None),
        ("absent", None, None),
    ],
)
def test_an_increase_and_its_rate(measured: Path, name: str, increase: float | None, rate: float | None) -> None:
    """Of either temporality, over starts anew, each series by itself; what is no counter has none."""
    assert ask(measured, "metric_increase(value, recorded_timestamp)", name) == increase
    assert ask(measured, "metric_rate(value, recorded_timestamp)", name) == (None if rate is None else pytest.approx(rate))


def test_a_rate_needs_time(measured: Path) -> None:
    """One cumulative point tells of none."""
    assert ask(measured, "metric_rate(value, recorded_timestamp) FILTER (WHERE scalar_value = 8)", "cumulative") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gauge", (5, 15.0, 1.0, 5.0, 3.0)),
        ("delta", (3, 6.0, 1.0, 3.0, 2.0)),
        ("explicit", (5, 17.0, 0.5, 7.0, 3.4)),
        ("exponential", (3, 13.0, 0.0, 7.0, 13 / 3)),
        ("summary", (2, 4.0, 1.0, 3.0, 2.0)),
        ("nothing", (1, None, None, None, None)),
    ],
)
def test_what_each_point_says(measured: Path, name: str, expected: tuple[Any, ...]) -> None:
    """Count, sum and extremes have one name for every kind; an outer aggregate makes statistics of them."""
    sums = "SUM(metric_sum(value)) / NULLIF(SUM(metric_count(value)), 0)"
    parts = ["SUM(metric_count(value))", "SUM(metric_sum(value))", "MIN(metric_min(value))", "MAX(metric_max(value))", sums]
    assert tuple(ask(measured, part, name) for part in parts) == pytest.approx(expected)


def test_the_average_of_each_point(measured: Path) -> None:
    """A reading is its own; a histogram's is its sum by its count."""
    sql = "SELECT metric_avg(value) AS a FROM metrics WHERE metric_name IN ('explicit', 'one') ORDER BY metric_name, recorded_timestamp"
    assert [row["a"] for row in store.query(sql, measured).rows] == [2.5, 7.0, 7.0]


@pytest.mark.parametrize("name", ["gauge", "delta", "explicit", "exponential", "growing"])
def test_merged_points_say_what_they_said_apart(measured: Path, name: str) -> None:
    """One value stands for a group: its sum and extremes are the group's, and for histograms its quantiles too."""
    for part in ("metric_sum({})", "metric_min({})", "metric_max({})"):
        apart = "SUM" if "sum" in part else "MIN" if "min" in part else "MAX"
        if name not in {"growing", "delta"}:
            assert ask(measured, part.format("metric_merge(value)"), name) == ask(measured, f"{apart}({part.format('value')})", name)
    assert ask(measured, "metric_sum(metric_merge(value))", name) == {"gauge": 15, "delta": 6, "explicit": 17, "exponential": 13, "growing": 7}[name]
    if "x" in name or name == "growing":
        sql = "SELECT metric_quantile(0.4, merged) AS q FROM (SELECT metric_merge(value) AS merged FROM metrics WHERE metric_name = $name)"
        (row,) = store.query(sql, measured, params={"name": name}).rows
        assert row["q"] == ask(measured, "metric_quantile(0.4, value)", name)


def test_groups_buckets_and_windows(measured: Path) -> None:
    """As any aggregate: by time, by name, over a window."""
    sql = """SELECT time_bucket('20 seconds', recorded_timestamp) AS x, metric_rate(value, recorded_timestamp) AS per_second FROM metrics
        WHERE metric_name = 'delta' GROUP BY x ORDER BY x"""
    assert [row["per_second"] for row in store.query(sql, measured).rows] == [0.1, 0.25]
    sql = "SELECT metric_name, metric_quantile(0.5, value) AS q FROM metrics WHERE metric_type = 'gauge' GROUP BY metric_name ORDER BY 1"
    assert [tuple(row.values()) for row in store.query(sql, measured).rows] == [("gauge", 3.0), ("nothing", None), ("one", 7.0)]
    sql = "SELECT DISTINCT metric_quantile(0.5, value) OVER (PARTITION BY metric_name) AS q FROM metrics WHERE metric_name = 'gauge'"
    assert store.query(sql, measured).rows == [{"q": 3.0}]


def test_buckets_can_be_unpacked_by_hand(measured: Path) -> None:
    """As the documentation shows for whoever wants the distribution itself."""
    sql = """
        WITH indices AS (
            SELECT *, unnest(generate_series(1, array_length(exp_histogram_positive_bucket_counts, 1)::integer)) AS bucket_index FROM metrics),
        counts AS (SELECT *, exp_histogram_positive_bucket_counts[bucket_index] AS bucket_count FROM indices),
        bounds AS (
            SELECT counts.*,
                greatest(histogram_min,
                    power(2.0, (exp_histogram_positive_bucket_counts_offset+bucket_index-1)/power(2.0, exp_histogram_scale))) AS lower_bound,
                least(histogram_max,
                    power(2.0, (exp_histogram_positive_bucket_counts_offset+bucket_index  )/power(2.0, exp_histogram_scale))) AS upper_bound
            FROM counts WHERE bucket_count > 0),
        items AS (SELECT unnest(generate_series(0, bucket_count - 1)) AS i, * FROM bounds)
        SELECT bucket_index, lower_bound, upper_bound, i FROM items ORDER BY recorded_timestamp, bucket_index"""
    assert [tuple(row.values()) for row in store.query(sql, measured).rows] == [(1, 2.0, 4.0, 0), (2, 4.0, 7.0, 0), (1, 3.0, 3.0, 0)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT metric_quantile(0.5, value) FROM metrics WHERE metric_name IN ('gauge', 'delta', 'open')",
            "of one kind, got gauge and histogram and sum",
        ),
        ("SELECT metric_merge(value) FROM metrics WHERE metric_name IN ('open', 'single')", "histograms with the same bounds"),
        ("SELECT metric_quantile(95, value) FROM metrics", "a part from 0 to 1, not 95"),
        ("SELECT metric_sum(scalar_value) FROM metrics", "The function `metric_sum` (line 1, column 8)"),
    ],
)
def test_what_cannot_be_put_together_is_refused(measured: Path, sql: str, message: str) -> None:
    """In one line that says what to do."""
    with pytest.raises(errors.QueryError) as refusal:
        store.query(sql, measured)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_functions_are_known_to_those_who_list_them() -> None:
    """The prompt completes them; the column's type is told in a word."""
    assert {"metric_quantile", "metric_rate", "metric_increase", "metric_merge", "metric_avg"} <= set(words.FUNCTIONS)
    assert words.TABLES["metrics"]["value"] == "struct"
