"""Parameters of a statement: bound as values, with the types that they have, and named when they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import errors, store
from tests.store import otlp

SPAN = otlp.span(1, "x", attributes={"n": 5, "s": "it's $n", "b": True, "list": [1]}, status={"code": 2})


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A recording of one span."""
    return otlp.write(tmp_path / "x.jsonl", [otlp.line(SPAN)])


@pytest.mark.parametrize(
    ("expression", "params", "value"),
    [
        ("$a", {"a": "x'; DROP TABLE records; --"}, "x'; DROP TABLE records; --"),
        ("$a", {"a": None}, None),
        ("$a + 1", {"a": 2}, 3),
        ("$a / 2", {"a": 2.5}, 1.25),
        ("$a - $b * 2", {"a": 5, "b": 1.5}, 2.0),
        ("$a AND true", {"a": False}, False),
        ("$end || $select || '$end'", {"end": "a", "select": "b"}, "ab$end"),
        ("attributes->>$key", {"key": "n"}, "5"),
        ("attributes ? $key", {"key": "none"}, False),
        ("attributes->$list->>$at", {"list": "list", "at": 0}, "1"),
        ("attributes->'n' > $n", {"n": 4}, True),
        ("$n < attributes->'n'", {"n": 5}, False),
        ("attributes->'s' = $s", {"s": "it's $n"}, True),
        ("attributes->'s' IN ($s, $t)", {"s": "it's $n", "t": "y"}, True),
        ("attributes->'b' = $b", {"b": True}, True),
        ("level = $l", {"l": "error"}, True),
        ("level IN ($l, 'fatal') AND $l = 'error' AND level > $m", {"l": "error", "m": 13}, True),
        ("level BETWEEN $low AND $high", {"low": "debug", "high": "warn"}, False),
        ("start_timestamp > $t", {"t": "2027-01-15T07:59:59Z"}, True),
        ("start_timestamp > $t::timestamptz", {"t": "2027-01-15T08:00:59+00:00"}, False),
        ("time_bucket($w, start_timestamp) = start_timestamp", {"w": "1 hour"}, True),
        ("$$a $n$$ || $a", {"a": "!"}, "a $n!"),
        ("60 / extract(epoch FROM $w)", {"w": "30 seconds"}, 2.0),
        ("service_name = ANY($services)", {"services": ["x", "massgen"]}, True),
        ("array_has($services, service_name)", {"services": ["x"]}, False),
        ("array_has($services, service_name)", {"services": []}, False),
        ("5 = ANY($numbers) AND attributes->'n' = ANY($numbers)", {"numbers": [4, 5]}, True),
        ("attributes->'s' = ANY($texts)", {"texts": ["it's $n", None]}, True),
        ("level = ANY($levels) AND array_length($levels) = 2", {"levels": ["warn", "error"]}, True),
    ],
)
def test_a_parameter_is_its_value(one: Path, expression: str, params: dict[str, Any], value: Any) -> None:
    """Wherever a literal may stand a parameter may too; texts stay texts whatever they look like."""
    assert store.query(f"SELECT {expression} AS value FROM records", one, params=params).rows == [{"value": value}]


def test_a_limit_can_be_a_parameter(root: Path) -> None:
    """Also outside of expressions."""
    assert len(store.query("SELECT span_name FROM records ORDER BY 1 LIMIT $n", root, params={"n": 3})) == 3


@pytest.mark.parametrize(
    ("sql", "params", "message"),
    [
        ("SELECT $a, $b", {"a": 1}, "The parameter `$b` at line 1, column 12 has no value. Expected one of $a."),
        ("SELECT $agent", None, "On the command line: --param 'agent=%'"),
        ("SELECT $a", None, 'The parameter `$a` at line 1, column 8 has no value. From Python: params={"a": …}.'),
        ("SELECT $a", {"a": 1, "b": 2}, "The parameter `b` is not in the statement. Expected one of a."),
        ("SELECT 1 -- $a", {"a": 1}, "The parameter `a` is not in the statement. Expected no parameters"),
        ("SELECT $a", {"a": {"b": 1}}, "The value of the parameter `a` cannot be bound. Expected a text, an int of 64 bits"),
        ("SELECT $a", {"a": 2**63}, "cannot be bound"),
        ("SELECT $a", {"a": [1, "b"]}, "cannot be bound"),
        ("SELECT $a", {"a": [[1]]}, "cannot be bound"),
        ("SELECT $a", {"a": [2**63]}, "cannot be bound"),
        ("SELECT $ a", {"a": 1}, "`$` at line 1, column 8 has no name after it"),
        ("SELECT level = $a FROM records", {"a": "loud"}, "no level of the name at line 1, column 16"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(one: Path, sql: str, params: dict[str, Any] | None, message: str) -> None:
    """Missing, unused and impossible values are refused, with the name, and the place where there is one."""
    with pytest.raises(errors.QueryError) as refusal:
        store.query(sql, one, params=params)
    assert message in str(refusal.value)


def test_progress_is_told_while_there_is_no_answer(root: Path) -> None:
    """The caller hears at least once how many seconds have passed, from the thread that asked."""
    told: list[float] = []
    store.query("SELECT count(*) FROM records", root, on_progress=told.append)
    assert told
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("sql", "values", "expected"),
    [
        ("SELECT unnest($v) AS v", ["b", "a"], ["b", "a"]),
        ("SELECT unnest($v) AS v", [1, 2], [1, 2]),
        ("SELECT unnest($v) AS v", [0.5, None], [0.5, None]),
        ("SELECT unnest($v) AS v", [], []),
        ("SELECT unnest(array_sort($v)) AS v", ["b", "a"], ["a", "b"]),
        ("SELECT v FROM unnest($v) AS t(v)", ["a", "b"], ["a", "b"]),
        ("SELECT unnest($v || ARRAY['c']) AS v", ["a"], ["a", "c"]),
        ("SELECT count(*) AS v FROM records WHERE service_name IN (SELECT unnest($v))", ["massgen", "other"], [17]),
        ("SELECT count(*) AS v FROM records WHERE service_name IN (SELECT unnest($v))", [], [0]),
    ],
)
def test_a_list_becomes_rows(root: Path, sql: str, values: store.Value, expected: list[object]) -> None:
    """`unnest($list)` knows what the list is of, an empty one too."""
    assert [row["v"] for row in store.query(sql, root, params={"v": values}).rows] == expected


def test_what_is_no_list_has_no_rows(root: Path) -> None:
    """The refusal says how a list is given."""
    with pytest.raises(errors.QueryError, match="It makes rows of a list"):
        store.query("SELECT unnest($v)", root, params={"v": "text"})
