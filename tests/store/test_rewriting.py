"""Rewriting keeps the meaning: random expressions against an evaluator of their own, and every literal, name and comment as it was."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from massgen_tracing import errors, semconv
from massgen_tracing.store.engine import execute, sources
from massgen_tracing.store.roots.reader import Reader
from massgen_tracing.store.sql import dialect
from massgen_tracing.store.sql.tokens import Kind, tokenize
from tests.store import otlp

VALUES: dict[str, Any] = {
    "s": "it's",
    "n": 5,
    "f": 2.5,
    "t": True,
    "a.b": "->>'x'",
    "list": [1, "two", {"s": "deep"}],
    "map": {"n": -3, "map": {"s": "?"}, "1": "one"},
}
LEVEL = 13
KEYS = ["s", "n", "f", "t", "a.b", "list", "map", "1", "none", "it's"]


@pytest.fixture(scope="module")
def recorded() -> sources.Sources:
    """One span with these attributes."""
    reader = Reader()
    reader.add_lines([otlp.line(otlp.span(1, "x", attributes={**VALUES, "logfire.level_num": LEVEL}))], source="test")
    return sources.Sources(reader.recording())


@dataclass(frozen=True)
class Sql:
    """An expression and what it is; None for NULL."""

    text: str
    value: Any


ABSENT = object()
gaps = st.sampled_from(["", " ", "  ", "\n", " /* ->> ? 'x' */ ", " -- level = 'warn'\n", " /**/ "])
blanks = st.sampled_from([" ", "\n\t", " /* -> /* nested */ ' */ ", " -- it's\n"])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def step(document: Any, key: str | int) -> Any:
    if isinstance(key, str):
        return document.get(key, ABSENT) if isinstance(document, dict) else ABSENT
    return document[key] if isinstance(document, list) and 0 <= key < len(document) else ABSENT


def as_text(document: Any) -> str | None:
    if document is ABSENT or isinstance(document, str):
        return None if document is ABSENT else str(document)
    return json.dumps(document, separators=(",", ":"))


@st.composite
def keys(draw: st.DrawFn) -> tuple[str, str | int]:
    key = draw(st.sampled_from(KEYS) | st.integers(0, 3))
    return (quoted(key) if isinstance(key, str) else str(key)), key


@st.composite
def documents(draw: st.DrawFn) -> Sql:
    """A chain of `->`, in operators, in calls, in brackets."""
    value: Any
    text, value = draw(st.sampled_from(["attributes", "records.attributes", '"attributes"', "(attributes)"])), VALUES
    for key_text, key in draw(st.lists(keys(), max_size=3)):
        how = draw(st.sampled_from(["{0}{1}->{1}{2}", "({0}{1}->{1}{2})", "json_get({0},{1}{2})", "JSON_GET_JSON({0}{1}, {2})"]))
        text, value = how.format(text, draw(gaps), key_text), step(value, key)
    return Sql(text, value)


@st.composite
def texts(draw: st.DrawFn, depth: int) -> Sql:
    value: Any
    kind = draw(st.sampled_from(["literal", "arrow", "call", "cast", "concat", "case"] if depth else ["literal", "arrow"]))
    if kind == "literal":
        value = draw(st.sampled_from(["", "x", "it's", "-> 'k'", "a ? b", "--", "/*", "level", "é🙂"]))
        return Sql(quoted(value), value)
    if kind == "concat":
        left, right = draw(texts(depth - 1)), draw(texts(depth - 1))
        value = None if left.value is None or right.value is None else left.value + right.value
        return Sql(f"({left.text}){draw(blanks)}||{draw(blanks)}({right.text})", value)
    if kind == "case":
        test, yes, no = draw(conditions(depth - 1)), draw(texts(depth - 1)), draw(texts(depth - 1))
        text = f"CASE{draw(blanks)}WHEN {test.text}{draw(blanks)}THEN {yes.text} ELSE {no.text} END"
        return Sql(text, yes.value if test.value else no.value)
    document, (key_text, key) = draw(documents()), draw(keys())
    found = step(document.value, key)
    if kind == "cast":
        return Sql(f"({document.text}->{key_text}){draw(gaps)}::{draw(gaps)}text", found if isinstance(found, str) else None)
    how = "{0}{1}->>{1}{2}" if kind == "arrow" else "json_as_text({0},{1}{2})"
    return Sql(how.format(document.text, draw(gaps), key_text), as_text(found))


@st.composite
def numbers(draw: st.DrawFn, depth: int) -> Sql:
    value: Any
    kind = draw(st.sampled_from(["literal", "cast", "call", "sum"] if depth else ["literal", "cast"]))
    if kind == "literal":
        value = draw(st.integers(0, 9))
        return Sql(str(value), value)
    if kind == "sum":
        left, right = draw(numbers(depth - 1)), draw(numbers(depth - 1))
        sign, compute = draw(st.sampled_from([("+", int.__add__), ("-", int.__sub__), ("*", int.__mul__)]))
        value = None if left.value is None or right.value is None else compute(left.value, right.value)
        return Sql(f"({left.text}{draw(blanks)}{sign} {right.text})", value)
    document, (key_text, key) = draw(documents()), draw(keys())
    found = step(document.value, key)
    value = found if isinstance(found, int) and not isinstance(found, bool) else None
    how = draw(st.sampled_from(["({0} -> {1})::int", "CAST({0}->{1} AS bigint)"])) if kind == "cast" else "json_get_int({0}, {1})"
    return Sql(how.format(document.text, key_text), value)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
}


def compared(left: Any, operator: str, right: Any) -> bool | None:
    return None if left is None or right is None else COMPARE[operator](left, right)


@st.composite
def conditions(draw: st.DrawFn, depth: int) -> Sql:
    kind = draw(st.sampled_from(["has", "text", "number", "json", "level", "in"] + ["and", "or", "not", "null"] * bool(depth)))
    operator = draw(st.sampled_from(sorted(COMPARE)))
    gap = draw(gaps)
    if kind == "has":
        document, (key_text, key) = draw(documents()), draw(keys())
        return Sql(f"{document.text}{gap}?{gap}{key_text}", step(document.value, key) is not ABSENT)
    if kind in {"text", "number"}:
        operands = texts(0) if kind == "text" else numbers(0)
        left, right = draw(operands), draw(operands)
        return Sql(f"{left.text} {operator} {right.text}", compared(left.value, operator, right.value))
    if kind == "json":
        document, (key_text, key) = draw(documents()), draw(keys())
        found = step(document.value, key)
        literal, value, types = draw(st.sampled_from([("'it''s'", "it's", str), ("2.5", 2.5, int | float), ("5", 5, int | float)]))
        known = found if isinstance(found, types) and not isinstance(found, bool) else None
        sides = (known, value) if draw(st.booleans()) else (value, known)
        arrow = f"{document.text}{gap}->{gap}{key_text}"
        text = f"{arrow} {operator} {literal}" if sides[0] is known else f"{literal} {operator} {arrow}"
        return Sql(text, compared(sides[0], operator, sides[1]))
    if kind == "level":
        name = draw(st.sampled_from(sorted(semconv.LEVELS)))
        level = draw(st.sampled_from(["level", "LEVEL", "records.level", '"level"', "(level)"]))
        first = draw(st.booleans())
        numbers_ = (LEVEL, semconv.LEVELS[name]) if first else (semconv.LEVELS[name], LEVEL)
        text = f"{level}{gap}{operator}{gap}'{name}'" if first else f"'{name}'{gap}{operator}{gap}{level}"
        return Sql(text, compared(numbers_[0], operator, numbers_[1]))
    if kind == "in":
        names = draw(st.lists(st.sampled_from(sorted(semconv.LEVELS)), min_size=1, max_size=3))
        listed = f",{gap}".join(map(quoted, names))
        negated = draw(st.booleans())
        return Sql(f"level {'NOT ' * negated}IN ({listed})", (LEVEL in {semconv.LEVELS[name] for name in names}) != negated)
    if kind == "null":
        inner = draw(texts(depth - 1))
        return Sql(f"({inner.text}) IS{gap} NULL", inner.value is None)
    if kind == "not":
        inner = draw(conditions(depth - 1))
        return Sql(f"NOT ({inner.text})", None if inner.value is None else not inner.value)
    left, right = draw(conditions(depth - 1)), draw(conditions(depth - 1))
    pair = {left.value, right.value}
    decided = kind == "or"
    value = decided if decided in pair else None if None in pair else not decided
    return Sql(f"({left.text}{gap} {kind.upper()} {gap}{right.text})", value)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(expression=texts(3) | numbers(3) | conditions(3))
def test_an_expression_means_what_it_says(recorded: sources.Sources, expression: Sql) -> None:
    """Operators, casts, calls, comparisons, levels, CASE, brackets, blanks and comments in any mixture."""
    statement = dialect.translate(f"SELECT {expression.text} AS value FROM records")
    table, *_ = execute.ask(statement, recorded)
    assert table.column("value").to_pylist() == [expression.value], statement.text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(test=conditions(2), expression=texts(2))
def test_a_condition_means_what_it_says_in_every_clause(recorded: sources.Sources, test: Sql, expression: Sql) -> None:
    """In WHERE, FILTER, HAVING, a subquery's WHERE and through WITH."""
    for sql in (
        f"SELECT count(*) AS n FROM records WHERE {test.text}",
        f"SELECT count(*) FILTER (WHERE {test.text}) AS n, max({expression.text}) AS m FROM records",
        f"SELECT count(*) AS n FROM (SELECT * FROM records) AS records WHERE {test.text}",
        f"WITH a AS (SELECT * FROM records WHERE {test.text}) SELECT count(*) AS n, max({expression.text}) AS m FROM a AS records",
    ):
        table, *_ = execute.ask(dialect.translate(sql), recorded)
        assert table.column("n").to_pylist() == [1 if test.value else 0], sql
        if "m" in table.column_names and (test.value or "FILTER" in sql):
            assert table.column("m").to_pylist() == [expression.value], sql


pieces = st.one_of(
    texts(1).map(lambda sql: sql.text),
    conditions(1).map(lambda sql: sql.text),
    st.text(alphabet="ab'é🙂->?\\", max_size=6).map(quoted),
    st.text(alphabet='ab"é->? ', min_size=1, max_size=6).map(lambda name: '"' + name.replace('"', '""') + '"'),
    st.sampled_from(["E'a\\'b ->>'", "$$ it's ->> ? $$", "$x$ $$ level = 'warn' $x$", "N'a'", "1.5e3", "$p", "/* 'x' ->> /* ? */ */", "-- ? '\n"]),
)
KEPT = {Kind.STRING, Kind.OTHER_TEXT, Kind.QUOTED}


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, min_size=1, max_size=6), blanks)
def test_literals_names_and_comments_stay_as_they_are(parts: list[str], blank: str) -> None:
    """In order and to the byte; only names of levels become numbers, and titles come in."""
    sql = "SELECT " + f"{blank}, ".join(f"f({part}\n)" for part in parts)
    try:
        text = dialect.translate(sql, {"p": 1} if any("$p" in part for part in parts) else None).text
    except errors.QueryError:
        return
    kept = [sql[token.start : token.end] for token in tokenize(sql) if token.kind in KEPT and token.text not in semconv.LEVELS]
    left = [text[token.start : token.end] for token in tokenize(text) if token.kind in KEPT and token.text not in semconv.LEVELS]
    assert left == kept
    assert re.sub(r"\s", "", "".join(_comments(text))) == re.sub(r"\s", "", "".join(_comments(sql)))


def _comments(sql: str) -> list[str]:
    """What stands between the tokens."""
    tokens = tokenize(sql)
    between = [sql[before.end : after.start] for before, after in itertools.pairwise(tokens)]
    return [each for each in between if each.strip()]


WORDS = """SELECT FROM records WHERE level = 'warn' attributes -> ->> ? :: int ( ) [ ] , CASE WHEN THEN ELSE END json_get cast AS $p . * day
    GROUP BY WITH UNION IN BETWEEN AND NOT IS NULL 1 'k' "q" json_from_scalar time_bucket OVER FILTER INTO DELETE ORDER LIMIT -- /* */ ; \0 é"""
words = st.sampled_from(WORDS.split())


@settings(max_examples=600, deadline=None)
@given(st.lists(words, max_size=25))
def test_any_sequence_of_words_is_translated_or_refused(parts: list[str]) -> None:
    """Whatever somebody types, it comes back as a statement or as a refusal, never as another error."""
    for sql in (" ".join(["SELECT", *parts]), "".join(["SELECT ", *parts]), " ".join(parts)):
        try:
            assert dialect.translate(sql, {"p": None} if "$p" in sql else None).written == sql
        except errors.QueryError:
            continue


def test_the_evaluator_is_not_the_engine(recorded: sources.Sources) -> None:
    """A check of the check: a wrong expectation is noticed."""
    table, *_ = execute.ask(dialect.translate("SELECT attributes->'list'->>1 AS value FROM records"), recorded)
    assert isinstance(table, pa.Table)
    assert table.column("value").to_pylist() == ["two"] != [as_text(step(VALUES["list"], 2))]
