"""Level names: beside every name that means the column `level`, wherever it comes from, and beside no other."""

from __future__ import annotations

from typing import Any

import pytest

from massgen_tracing import errors
from massgen_tracing.store.sql import levels
from tests.store import otlp
from tests.store.conftest import Ask

NUMBERS = {"info": 9, "warn": 13, "error": 17}
SPANS = [otlp.span(at, name, start_ms=at, attributes={"logfire.level_num": number}) for at, (name, number) in enumerate(NUMBERS.items(), 1)]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT span_name FROM records WHERE level = 'warn'", ["warn"]),
        ("SELECT span_name FROM records WHERE (level) <> ('warn')", None),
        ("SELECT span_name FROM records r WHERE 'warn' <= r.level", ["warn", "error"]),
        ("SELECT span_name FROM records WHERE \"level\" NOT IN ('warn', 'error')", ["info"]),
        ("SELECT span_name FROM records WHERE LEVEL BETWEEN 'notice' AND 'warn'", ["warn"]),
        ("SELECT span_name FROM records WHERE level NOT BETWEEN 'notice' AND 'warn'", ["info", "error"]),
        ("SELECT span_name FROM records WHERE level IS DISTINCT FROM 'warn'", ["info", "error"]),
        ("SELECT span_name FROM records WHERE level IS NOT DISTINCT FROM 'warn'", ["warn"]),
        ("SELECT CASE level WHEN 'warn' THEN 'w' WHEN 'error' THEN 'e' END FROM records", [None, "w", "e"]),
        ("SELECT CASE WHEN level >= 'error' THEN 'bad' ELSE 'error' END FROM records", ["error", "error", "bad"]),
        ("SELECT trace_id IS NOT NULL FROM records GROUP BY trace_id HAVING max(level) = 'error' AND MIN(level) < 'warn'", [True]),
        ("SELECT count(*) FILTER (WHERE level >= 'warn') FROM records", [2]),
        ("SELECT span_name FROM records ORDER BY level = 'warn' DESC, level DESC", ["warn", "error", "info"]),
        ("SELECT span_name FROM (SELECT * FROM records) WHERE level = 'warn'", ["warn"]),
        ("SELECT span_name FROM (SELECT span_name, level FROM records) x WHERE x.level = 'warn'", ["warn"]),
        ("SELECT span_name FROM (SELECT span_name, level AS l FROM records) WHERE l = 'warn'", ["warn"]),
        ('SELECT span_name FROM (SELECT span_name, r.level AS "L" FROM records AS r) WHERE "L" > \'info\'', ["warn", "error"]),
        (
            "WITH a AS (SELECT span_name, level AS l FROM records), b AS (SELECT span_name, l AS m FROM a) SELECT span_name FROM b WHERE m = 'warn'",
            ["warn"],
        ),
        ("WITH a AS (SELECT span_name, max(level) AS l FROM records GROUP BY span_name) SELECT span_name FROM a WHERE a.l = 'warn'", ["warn"]),
        ("SELECT l FROM (SELECT max(span_name) AS l FROM records) WHERE l = 'warn'", ["warn"]),
        ("WITH a AS (SELECT * FROM records), b AS (SELECT a.* FROM a) SELECT span_name FROM b WHERE level IN ('warn')", ["warn"]),
        ("SELECT level FROM (SELECT level_name(level) AS level FROM records) WHERE level = 'warn'", ["warn"]),
        ("SELECT x.level FROM (SELECT span_name AS level, level AS n FROM records) x WHERE x.level = 'warn' AND n > 'info'", ["warn"]),
        ("WITH records AS (SELECT 'warn' AS level) SELECT level FROM records WHERE level = 'warn'", ["warn"]),
        ("WITH a AS (SELECT level_name(level) AS level FROM records WHERE level > 'info') SELECT level FROM a WHERE level = 'error'", ["error"]),
        (
            (
                "SELECT a.span_name FROM records a JOIN (SELECT span_name, span_name AS level FROM records) b ON a.span_name = b.span_name"
                " WHERE a.level = 'warn' AND b.level = 'warn'"
            ),
            ["warn"],
        ),
        ("SELECT span_name FROM records a WHERE EXISTS (SELECT 1 FROM (SELECT 'warn' AS n) WHERE a.level = 'warn' AND n = 'warn')", ["warn"]),
        ("SELECT span_name FROM records WHERE span_name IN (SELECT span_name FROM records WHERE level = 'warn')", ["warn"]),
        (
            "SELECT span_name FROM records WHERE level = 'warn' UNION ALL SELECT span_name FROM records WHERE level = 'error' ORDER BY 1",
            ["error", "warn"],
        ),
        ("SELECT span_name FROM (SELECT span_name, level FROM records UNION ALL SELECT 'x', 13) WHERE level = 'warn' ORDER BY 1", ["warn", "x"]),
        ("SELECT attributes->>'level' = 'warn' FROM (SELECT '{\"level\": \"warn\"}' AS attributes)", [True]),
        ("SELECT 'level = ''warn''' FROM (SELECT 1)", ["level = 'warn'"]),
    ],
)
def test_a_level_is_compared_with_names(ask: Ask, sql: str, values: list[Any] | None) -> None:
    """In every kind of comparison, through aliases, subqueries, WITH, joins and unions; a text that is named `level` stays a text."""
    rows = [next(iter(row.values())) for row in ask(sql, *SPANS)]
    assert rows == (["info", "error"] if values is None else values)


def test_a_name_that_is_no_level_is_refused_with_the_names_there_are(ask: Ask) -> None:
    """Also in the depth of a statement."""
    sql = "SELECT 1 FROM (SELECT level AS l FROM records) WHERE l = 'loud'"
    with pytest.raises(errors.QueryError, match=r"no level of the name at line 1, column 58\. Expected one of trace, debug, info"):
        ask(sql, *SPANS)


def test_what_the_parser_does_not_know_takes_every_level_for_the_column() -> None:
    """SQL that is the engine's only, or none at all."""
    assert levels.places("SELECT FROM WHERE ((") is None
