"""Lengths of time in SQL, against exact arithmetic: differences of times, and intervals."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from tests.store import otlp

DAY = 86_400 * 10**6
"""In microseconds, as all numbers here where nothing else is said."""

MICROSECONDS = st.one_of(st.integers(-5_000_000, 5_000_000), st.integers(-(10**14), 10**14))
TIMES = st.lists(st.tuples(st.integers(0, 10**15), MICROSECONDS), min_size=1, max_size=8)
INTERVALS = st.tuples(st.integers(0, 20), st.integers(0, 400), st.integers(-(10**12), 10**12))
"""Months, days, microseconds."""


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory without recordings; Hypothesis asks of values that stand in the statement."""
    return tmp_path_factory.mktemp("nowhere")


def of_times(selected: str, times: list[tuple[int, int]], rest: str = "") -> str:
    """A query of times `a` and `b`, which is so much later."""
    values = ", ".join(f"({at}, {start}, {start + length})" for at, (start, length) in enumerate(times))
    return f"SELECT {selected} FROM (SELECT at, to_timestamp_micros(x) AS a, to_timestamp_micros(y) AS b FROM (VALUES {values}) v(at, x, y)) t {rest}"


def written(interval: tuple[int, int, int]) -> str:
    """An interval in SQL."""
    months, days, length = interval
    return f"INTERVAL '{months} months {days} days {Decimal(length).scaleb(-6):f} seconds'"


def in_microseconds(interval: tuple[int, int, int]) -> int:
    """What PostgreSQL takes an interval to be where it compares it."""
    months, days, length = interval
    return (months * 30 + days) * DAY + length


@given(TIMES)
@settings(max_examples=25, deadline=None)
def test_a_part_of_a_difference_of_times_has_all_of_its_digits(nowhere: Path, times: list[tuple[int, int]]) -> None:
    """Seconds and milliseconds are the nearest floats, microseconds and nanoseconds whole numbers, however long it is, and before zero too."""
    parts = ("epoch", "second", "milliseconds", "microseconds", "nanoseconds")
    selected = ", ".join(f"extract({part} FROM b - a) AS {part}, date_part('{part}', b - a) AS {part}_called" for part in parts)
    rows = store.query(of_times(selected, times, "ORDER BY at"), nowhere).rows
    for row, (_, length) in zip(rows, times, strict=True):
        seconds, milliseconds = float(Fraction(length, 10**6)), float(Fraction(length, 1000))
        assert list(row.values()) == [each for each in (seconds, seconds, milliseconds, length, length * 1000) for _ in range(2)]


@given(TIMES)
@settings(max_examples=20, deadline=None)
def test_sums_and_averages_of_differences_are_exact_to_the_microsecond(nowhere: Path, times: list[tuple[int, int]]) -> None:
    """The sum is exact, the average less than a microsecond away from it; the seconds of both are their seconds."""
    selected = "sum(b - a) AS total, avg(b - a) AS mean, extract(epoch FROM sum(b - a)) AS s, extract(ms FROM avg(b - a)) AS ms, max(b - a) AS most"
    row = store.query(of_times(selected, times), nowhere).rows[0]
    lengths = [length for _, length in times]
    assert row["total"] == timedelta(microseconds=sum(lengths))
    assert abs(Fraction(row["mean"] // timedelta(microseconds=1)) - Fraction(sum(lengths), len(lengths))) < 1
    assert row["s"] == float(Fraction(sum(lengths), 10**6))
    assert row["ms"] == float(Fraction(row["mean"] // timedelta(microseconds=1), 1000))
    assert row["most"] == timedelta(microseconds=max(lengths))


@given(TIMES)
@settings(max_examples=20, deadline=None)
def test_a_difference_of_times_as_text_and_as_number_is_exact(nowhere: Path, times: list[tuple[int, int]]) -> None:
    """Its text says the same length, and its cast to a number the same microseconds."""
    rows = store.query(of_times("(b - a)::text AS said, concat(b - a) AS joined, (b - a)::bigint AS counted", times, "ORDER BY at"), nowhere).rows
    for row, (_, length) in zip(rows, times, strict=True):
        days, hours, minutes, seconds = re.fullmatch(r"(-?\d+) days (-?\d+) hours (-?\d+) mins (-?[\d.]+) secs", row["said"]).groups()  # type: ignore[union-attr]
        assert ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 * 10**6 + Decimal(seconds).scaleb(6) == length
        assert (row["joined"], row["counted"]) == (row["said"], length)


@given(TIMES, INTERVALS, INTERVALS)
@settings(max_examples=25, deadline=None)
def test_a_difference_of_times_is_compared_with_an_interval_by_its_length(
    nowhere: Path, times: list[tuple[int, int]], one: tuple[int, int, int], two: tuple[int, int, int]
) -> None:
    """A day has 24 hours and a month 30 days, whatever compares: operators, BETWEEN, IN, IS DISTINCT FROM, and two intervals too."""
    a, b = written(one), written(two)
    selected = (
        f"b - a < {a} AS lt, {a} <= b - a AS ge, b - a = {a} AS eq, b - a BETWEEN {a} AND {b} AS within, b - a NOT BETWEEN {a} AND {b} AS outside,"
        f" b - a IN ({a}, {b}) AS listed, b - a IS DISTINCT FROM {a} AS differs, {a} > {b} AS more, (b - a) - {a} > {b} AS rest"
    )
    rows = store.query(of_times(selected, times, "ORDER BY at"), nowhere).rows
    first, second = in_microseconds(one), in_microseconds(two)
    for row, (_, length) in zip(rows, times, strict=True):
        within = first <= length <= second
        assert row == {
            "lt": length < first,
            "ge": first <= length,
            "eq": length == first,
            "within": within,
            "outside": not within,
            "listed": length in {first, second},
            "differs": length != first,
            "more": first > second,
            "rest": length - first > second,
        }


@given(INTERVALS)
@settings(max_examples=20, deadline=None)
def test_a_part_of_an_interval_has_all_of_its_digits(nowhere: Path, interval: tuple[int, int, int]) -> None:
    """Seconds and what is smaller are counted within the minute, as PostgreSQL does; the epoch counts everything."""
    asked = written(interval)
    parts = ("second", "milliseconds", "microseconds", "nanoseconds", "epoch")
    selected = ", ".join(f"extract({part} FROM {asked}) AS {part}" for part in parts)
    row = store.query(f"SELECT {selected}", nowhere).rows[0]
    below = abs(interval[2]) % (60 * 10**6) * (1 if interval[2] >= 0 else -1)
    assert (row["second"], row["milliseconds"]) == (float(Fraction(below, 10**6)), float(Fraction(below, 1000)))
    assert (row["microseconds"], row["nanoseconds"]) == (below, below * 1000)
    assert row["epoch"] == pytest.approx(in_microseconds(interval) / 10**6, rel=1e-15, abs=1e-9)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        # Wherever a difference comes from, and wherever its part stands.
        ("SELECT extract(epoch FROM max(end_timestamp) - min(start_timestamp)) AS v FROM records", 100_000.5),
        ("SELECT extract(epoch FROM gap) AS v FROM (SELECT max(end_timestamp - start_timestamp) AS gap FROM records) t", 100_000.5),
        ("WITH t AS (SELECT end_timestamp - start_timestamp AS gap FROM records) SELECT sum(extract(ms FROM gap)) AS v FROM t", 100_009_930.0 + 500),
        ("SELECT max(EXTRACT('epoch' FROM r.end_timestamp - r.start_timestamp)) AS v FROM records r", 100_000.5),
        ("SELECT count(*) AS v FROM records WHERE extract(epoch FROM end_timestamp - start_timestamp) > 9.92", 2),
        ("SELECT max(extract(seconds FROM coalesce(end_timestamp - start_timestamp, INTERVAL '0 seconds'))) AS v FROM records", 40.5),
        ("SELECT count(*) AS v FROM (SELECT extract(epoch FROM end_timestamp - start_timestamp) FROM records GROUP BY 1) t", 2),
        ("SELECT count(*) AS v FROM (SELECT extract(epoch FROM d) AS s, count(*) FROM t GROUP BY extract(epoch FROM d)) u WHERE s = 9.93", 1),
        ("SELECT extract(epoch FROM now() - now()) AS v", 0.0),
        ("SELECT extract(second FROM '10:00:09.5'::time - '10:00:00'::time) AS v", 9.5),
        # A difference of times in one row and an interval in another are both intervals in the end.
        (
            (
                "WITH d AS (SELECT CASE WHEN 'long' = span_name THEN end_timestamp - start_timestamp ELSE INTERVAL '1.25 s' END AS v FROM records)"
                " SELECT max(extract(epoch FROM v)) AS v FROM d"
            ),
            100_000.5,
        ),
        (
            (
                "WITH d AS (SELECT CASE WHEN 'short' = span_name THEN end_timestamp - start_timestamp ELSE INTERVAL '61 s' END AS v FROM records)"
                " SELECT max(extract(second FROM v)) AS v FROM d"
            ),
            9.93,
        ),
        (
            "SELECT sum(extract(ms FROM d)) AS v FROM (SELECT end_timestamp - start_timestamp AS d FROM records UNION ALL SELECT INTERVAL '1.5 s') u",
            51_930.0,
        ),
        (
            (
                "WITH u AS (SELECT end_timestamp - start_timestamp AS d FROM records UNION ALL SELECT INTERVAL '1 day')"
                " SELECT count(*) AS v FROM u WHERE d >= INTERVAL '24 hours'"
            ),
            2,
        ),
        # What is no length of time stays the engine's.
        ("SELECT max(extract(epoch FROM start_timestamp)) AS v FROM records", 1_800_000_000.0),
        ("SELECT max(extract(hour FROM start_timestamp)) AS v FROM records", 8),
        ("SELECT max(extract(minute FROM end_timestamp - start_timestamp)) AS v FROM records", 1666),
        # Comparisons.
        ("SELECT count(*) AS v FROM records WHERE end_timestamp - start_timestamp > INTERVAL '1 day'", 1),
        ("SELECT count(*) AS v FROM records WHERE end_timestamp - start_timestamp > INTERVAL '1' DAY", 1),
        ("SELECT count(*) AS v FROM records WHERE NOT INTERVAL '1' DAY >= end_timestamp - start_timestamp", 1),
        ("SELECT count(*) AS v FROM records WHERE end_timestamp - start_timestamp > '1 day'::interval", 1),
        ("SELECT count(*) AS v FROM records WHERE end_timestamp - start_timestamp > INTERVAL '1 day' + INTERVAL '1 hour'", 1),
        ("SELECT count(*) AS v FROM (SELECT *, INTERVAL '1 day' AS most FROM records) t WHERE end_timestamp - start_timestamp > most", 1),
        ("SELECT count(*) AS v FROM records WHERE end_timestamp > start_timestamp + INTERVAL '1 day'", 1),
        ("SELECT sum(CASE WHEN end_timestamp - start_timestamp >= INTERVAL '24 hours' THEN 1 ELSE 0 END) AS v FROM records", 1),
        ("SELECT extract(epoch FROM max(greatest(end_timestamp - start_timestamp, INTERVAL '1 day'))) AS v FROM records", 100_000.5),
        ("SELECT extract(epoch FROM least(INTERVAL '25 hours', INTERVAL '1 day')) AS v", 86_400.0),
        ("SELECT (INTERVAL '1 day' = INTERVAL '24 hours' AND INTERVAL '1 month' < INTERVAL '31 days') AS v", True),
    ],
)
def test_lengths_are_exact_wherever_they_stand(ask: Any, sql: str, expected: object) -> None:
    """In aggregates, subqueries, WITH, conditions and groups; other types are left alone."""
    spans = [otlp.span(1, "long", end_ms=100_000_500), otlp.span(2, "short", end_ms=9930)]
    named = "WITH t AS (SELECT end_timestamp - start_timestamp AS d FROM records) " if " FROM t GROUP" in sql else ""
    assert ask(named + sql, *spans) == [{"v": expected}]


def test_the_title_of_a_part_is_what_it_was(root: Path) -> None:
    """A column without a name of its own is called as Logfire calls it."""
    result = store.query("SELECT extract(epoch FROM end_timestamp - start_timestamp) FROM records LIMIT 1", root)
    assert result.columns == ('date_part(Utf8("EPOCH"),records.end_timestamp - records.start_timestamp)',)


def test_several_parts_of_one_length_stand_side_by_side(nowhere: Path) -> None:
    """Each has its own column, also without a name."""
    sql = "SELECT extract(epoch FROM d), extract(second FROM d), extract(ms FROM d), d FROM (SELECT now() - now() + INTERVAL '61.5 s' AS d) t"
    assert list(store.query(sql, nowhere).rows[0].values())[:3] == [61.5, 1.5, 1500.0]


def test_parameters_are_lengths_too(nowhere: Path) -> None:
    """A length that is given as a value is compared by what it is."""
    sql = "SELECT to_timestamp_micros(90000000000) - to_timestamp_micros(0) > $w::interval AS v"
    assert [store.query(sql, nowhere, params={"w": w}).rows[0]["v"] for w in ("1 day", "26 hours")] == [True, False]


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT (end_timestamp - start_timestamp) / 2 FROM records", "as its seconds: extract(epoch FROM end_timestamp - start_timestamp)"),
        ("SELECT INTERVAL '1 hour' * 2", "as its seconds: extract(epoch FROM"),
        ("SELECT median(end_timestamp - start_timestamp) FROM records", "as its seconds: extract(epoch FROM"),
        ("SELECT 1 FROM records WHERE end_timestamp - start_timestamp > 1", "as its seconds: extract(epoch FROM"),
        ("SELECT date_diff('second', start_timestamp, end_timestamp) FROM records", "Write extract(epoch FROM end_timestamp - start_timestamp)"),
        ("SELECT end_timestamp + 1 FROM records", "An interval is written INTERVAL '1 hour'"),
        ("SELECT tags + 1 FROM records", "A cast makes it another type"),
        ("SELECT sum(span_name) FROM records", "A cast makes it another type"),
        ("SELECT 1 FROM records WHERE level = is_exception", "Cast one side to the type of the other: value::bigint"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_a_next_step_that_fits(root: Path, sql: str, hint: str) -> None:
    """A hint speaks of JSON only where there is JSON."""
    with pytest.raises(QueryError) as refusal:
        store.query(sql, root)
    assert hint in str(refusal.value)
    assert "JSON" not in str(refusal.value)
    assert "attributes" not in str(refusal.value)


VALUES = "(SELECT unnest(ARRAY[INTERVAL '1 day', INTERVAL '25 hours', INTERVAL '24 hours']) AS v) t"


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT max(v) FROM {VALUES}",
        f"SELECT min(v + INTERVAL '1 hour') OVER () FROM {VALUES}",
        f"SELECT v FROM {VALUES} ORDER BY v DESC LIMIT 1",
        f"SELECT 1 AS one, v AS w FROM {VALUES} ORDER BY one, w",
        f"SELECT 1 AS one, v FROM {VALUES} ORDER BY 1, 2 DESC",
        f"SELECT array_agg(v ORDER BY v) FROM {VALUES}",
        f"SELECT row_number() OVER (PARTITION BY 1 ORDER BY v) FROM {VALUES}",
        f"SELECT DISTINCT 1, v FROM {VALUES}",
        f"SELECT DISTINCT ON (v) v FROM {VALUES}",
        f"SELECT count(DISTINCT v) FROM {VALUES}",
        f"SELECT v, count(*) FROM {VALUES} GROUP BY v",
        f"SELECT count(*), v FROM {VALUES} GROUP BY 2",
        f"SELECT count(*) FROM (SELECT DISTINCT v FROM {VALUES}) u",
    ],
)
def test_intervals_are_not_put_in_order_field_by_field(nowhere: Path, sql: str) -> None:
    """For the engine 25 hours come before a day, and 24 hours are another length; it is said what to write."""
    with pytest.raises(QueryError, match=r"Intervals cannot be put in order or told apart here: .* Take its seconds: extract\(epoch FROM [vw]"):
        store.query(sql, nowhere)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"SELECT max(extract(epoch FROM v)) AS n FROM {VALUES}", [90_000.0]),
        (f"SELECT DISTINCT extract(epoch FROM v) AS n FROM {VALUES} ORDER BY 1 DESC", [90_000.0, 86_400.0]),
        (f"SELECT extract(epoch FROM v) AS n FROM {VALUES} GROUP BY n ORDER BY n", [86_400.0, 90_000.0]),
        (f"SELECT count(*) AS n FROM {VALUES} WHERE v IS DISTINCT FROM INTERVAL '1 day'", [1]),
        (f"SELECT extract(hour FROM max(greatest(v, INTERVAL '26 hours'))) AS n FROM {VALUES}", [26]),
        (f"SELECT max(now() - now() + to_timestamp(2) - to_timestamp(1)) > INTERVAL '1 hour' AS n FROM {VALUES}", [False]),
    ],
)
def test_lengths_are_put_in_order(nowhere: Path, sql: str, expected: list[object]) -> None:
    """As seconds, and as differences of times."""
    assert [row["n"] for row in store.query(sql, nowhere).rows] == expected


@pytest.mark.parametrize("sql", ["SELECT INTERVAL '300 years' > INTERVAL '1 day' AS v", "SELECT INTERVAL '1 day' IN (INTERVAL '300 years') AS v"])
def test_a_length_that_is_too_long_to_be_compared_is_refused(nowhere: Path, sql: str) -> None:
    """In one line, with what to write; where our function stands is nobody's concern."""
    with pytest.raises(QueryError) as refusal:
        store.query(sql, nowhere)
    assert "of more than 292 years" in str(refusal.value)
    assert "extract(epoch FROM" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)
    assert store.query("SELECT extract(epoch FROM INTERVAL '300 years') > 86400 AS v", nowhere).rows == [{"v": True}]
