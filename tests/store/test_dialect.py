"""Logfire's SQL on plain DataFusion: what is rewritten, what is left as it stands, what is refused and where."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import errors
from massgen_tracing.store.sql import functions
from massgen_tracing.store.sql.dialect import translate
from massgen_tracing.store.tables import records
from tests.store import otlp
from tests.store.conftest import Ask

VALUES = {
    "logfire.tags": ["t"],
    "s": "text",
    "n": 5,
    "neg": -7,
    "f": 2.5,
    "b": True,
    "digits": "42",
    "list": [10, 20, {"deep": "down"}],
    "map": {"inner": {"x": 1}, "text": "y"},
    "a.b": "dotted",
    "json": '{"k": 1}',
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("attributes->>'s'", "text"),
        ("attributes->>'n'", "5"),
        ("attributes->>'f'", "2.5"),
        ("attributes->>'b'", "true"),
        ("attributes->>'a.b'", "dotted"),
        ("attributes->>'list'", '[10,20,{"deep":"down"}]'),
        ("attributes->>'none'", None),
        ("attributes->'map'->'inner'->>'x'", "1"),
        ("(attributes->'map')->>'text'", "y"),
        ("attributes->'list'->1", "20"),
        ("attributes->'list'->2->>'deep'", "down"),
        ("attributes->'s'->>'x'", None),
        ("attributes->'s'", '"text"'),
        ("attributes ? 's'", True),
        ("attributes ? 'none'", False),
        ("attributes?'s' AND NOT attributes ? 'none'", True),
        ("(attributes->'n')::int", 5),
        ("(attributes->'neg')::bigint", -7),
        ("(attributes->'digits')::int", 42),
        ("(attributes->'s')::int", None),
        ("(attributes->'f')::int", None),
        ("(attributes->'n')::float + 1", 6.0),
        ("(attributes->'f')::numeric(10, 1)", 2.5),
        ("(attributes->'f')::double precision", 2.5),
        ("(attributes->'b')::bool", True),
        ("(attributes->'s')::text", "text"),
        ("(attributes->'n')::text", None),
        ("((attributes->'map'->'inner'->'x'))::int", 1),
        ("CAST(attributes->'n' AS int)", 5),
        ("CAST(attributes->>'digits' AS int)", 42),
        ("json_get(attributes, 'n')::int", 5),
        ("attributes->'s' = 'text'", True),
        ("attributes->'n' > 4", True),
        ("4 < attributes->'n'", True),
        ("attributes->'s' IN ('a', 'text')", True),
        ("attributes->'n' NOT BETWEEN 1 AND 4", True),
        ("attributes->'s' LIKE 'te%'", True),
        ("attributes->'b' = true", True),
        ("attributes->>'s' IS DISTINCT FROM 'x' AND attributes->>'n' = '6'", False),
        ("attributes->>'s' IS NOT DISTINCT FROM 'text' OR attributes->>'n' = '6'", True),
        ("NOT attributes->>'s' IS DISTINCT FROM attributes->>'none' AND true", False),
        ("attributes->>'s' IS DISTINCT FROM 'x' AND attributes->>'none' IS NOT DISTINCT FROM NULL AND attributes ? 's'", True),
        ("attributes->>'s' || '!'", "text!"),
        ("attributes->>('a' || '.b')", "dotted"),
        ("json_get_int(attributes, 'map', 'inner', 'x')", 1),
        ("json_get_int(attributes->'map', 'inner', 'x')", 1),
        ("json_as_text(attributes, 'list', 0)", "10"),
        ("json_get_str(attributes, 's')", "text"),
        ("json_get_float(attributes, 'f')", 2.5),
        ("json_get_bool(attributes, 'b')", True),
        ("json_get_json(attributes, 's')", '"text"'),
        ("json_get_array(attributes, 'list')", ["10", "20", '{"deep":"down"}']),
        ("json_contains(attributes, 'map', 'inner')", True),
        ("json_length(attributes, 'list')", 3),
        ("json_length(attributes)", len(VALUES) - 1),
        ("json_object_keys(attributes, 'map')", ["inner", "text"]),
        ("json_len(attributes->'list')", 3),
        ("json_keys(attributes->'map')", ["inner", "text"]),
        ("attributes->'list'->'1'", None),
        ("json_get_int(attributes, 'list', '1')", None),
        ("json_get_int(attributes, 'list', 1)", 20),
        ("JSON_GET_INT(attributes->'list', 1)", 20),
        ("attributes->0", None),
        ("attributes->'list'->>(0 + 1)", "20"),
        ("attributes->'list'->-1", None),
        ("attributes->'list'->>9", None),
        ("(attributes->'list'->1)::int", 20),
        ("json_get(attributes, 'list', 2, 'deep')::text", "down"),
        ("attributes->'list' ? 0", True),
        ("json_contains(attributes, 'list', 3)", False),
        ("json_from_scalar('te\"xt')", '"te\\"xt"'),
        ("json_from_scalar(5)", "5"),
        ("json_from_scalar(2.5)", "2.5"),
        ("json_from_scalar(true)", "true"),
        ("json_from_scalar(NULL)", None),
        ("scalar_to_json(attributes->>'s' || '!')", '"text!"'),
        ("json_union_to_text(attributes->'map'->'inner')", '{"x":1}'),
        ("json_union_to_text(attributes->'s')", '"text"'),
        ("json_union_to_text(attributes->'nothing')", None),
        ("json_union_to_text(json_get('{\"a\": null}', 'a'))", None),
        ("tags @> ['t'] AND ['t'] <@ tags", True),
        ("tags @> ARRAY['x']", False),
        ("(attributes->>'json')->>'k'", "1"),
        ("json_get('\"foo\"')::string", "foo"),
        ("json_get('123')::int", 123),
        ("json_get('true')::int", None),
        ("json_get('[1]')", "[1]"),
        ("json_get_int('7')", 7),
        ("json_get_str('\"a\"')", "a"),
        ("json_get_bool('true')", True),
        ("json_get_float('1.5')", 1.5),
        ("json_get_json('{\"a\": 1}')", '{"a":1}'),
        ("json_as_text('[1,2]')", "[1,2]"),
        ("json_contains('{}') AND NOT json_contains('x')", True),
        ("json_get_array('[1, \"a\", null]')", ["1", '"a"', "null"]),
        ("json_get_array('')", None),
        ("json_length('[1, 2]')", 2),
        ("json_get_array(attributes, 'list')[3]->>'deep'", "down"),
        ("json_get_array(attributes->'list')[1]", "10"),
        ("json_get_int('{\"n\": \" 42 \"}', 'n')", None),
        ("json_get_int('{\"n\": \"+42\"}', 'n')", 42),
        ("json_get_int('{\"n\": \"4_2\"}', 'n')", None),
        ("json_get_float('{\"n\": \"4_2\"}', 'n')", None),
        ("json_get_float('{\"n\": \"1e3\"}', 'n')", 1000.0),
        ("('{\"x\": null}'->'x') IS NULL AND '{\"x\": null}' ? 'x'", True),
        ("('{\"x\": {\"y\": null}}'->'x'->'y') IS NULL", True),
        ("json_get_json('{\"x\": null}', 'x')", "null"),
        ("lower(attributes->'s') || (attributes->'n')", "text5"),
        ("attributes->'s' || '!'", "text!"),
        ("concat(attributes->'s', '-', attributes->'n')", "text-5"),
        ("upper(json_get(attributes, 's'))", "TEXT"),
        ("CASE attributes->'s' WHEN 'text' THEN 1 ELSE 2 END", 1),
        ("CASE attributes->'n' WHEN 4 THEN 'four' WHEN 5 THEN 'five' END", "five"),
        ("attributes->'s' = ANY(ARRAY['a', 'text'])", True),
        ("level = ANY(ARRAY['warn', 'info']) AND level <> ALL(ARRAY['warn', 'error'])", True),
        ("level IN (('info'), 'error') AND NOT level = ANY(['warn'])", True),
        ("level < 'warning' AND level_num('warning') = 13", True),
        ("extract(epoch FROM '5 minutes') = 300 AND extract(epoch FROM '2027-01-15T08:00:00Z') = 1800000000", True),
        ("100 / extract(epoch FROM '1 minute') < 2", True),
        ("2 * 3 + (4) * 5", 26),
        ("level_name(13) || level_name(level) || level_name(14::bigint)", "warninfowarn"),
        ("CASE WHEN attributes ? 's' THEN attributes->>'n' ELSE attributes->>'f' END", "5"),
        ("CASE WHEN true THEN attributes END ->> 's'", "text"),
        ("level = 'info' AND level >= 'debug' AND 'warn' > level", True),
        ("level IN ('warn', 'error') OR level BETWEEN 'trace' AND 'info'", True),
        ("level_name(level)", "info"),
        ("level_num('warn')", 13),
        ("1/2", 0),
        ("time_bucket('1 hour', start_timestamp) = start_timestamp", True),
        ("time_bucket(interval '1 hour', start_timestamp) = date_trunc('hour', start_timestamp)", True),
    ],
)
def test_expressions_mean_what_they_mean_in_logfire(ask: Ask, expression: str, value: Any) -> None:
    """Operators, casts, comparisons, JSON functions, levels and time buckets give Logfire's values."""
    (row,) = ask(f"SELECT {expression} AS value FROM records", otlp.span(1, "x", attributes=VALUES))
    assert row["value"] == value


def test_aggregates_of_logfire_work(ask: Ask) -> None:
    """`count()` without an argument, percentiles within a group, FILTER and array functions are understood."""
    spans = [otlp.span(number, "x", end_ms=1000 * number, attributes={"logfire.tags": ["t"] if number == 1 else []}) for number in range(1, 5)]
    sql = """SELECT count() AS n, approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY duration) AS p50, median(duration) AS mid,
             count(*) FILTER (WHERE duration > 2) AS long, count() FILTER (WHERE array_has(tags, 't')) AS tagged FROM records"""
    (row,) = ask(sql, *spans)
    assert row == {"n": 4, "p50": pytest.approx(2.5, abs=0.5), "mid": 2.5, "long": 2, "tagged": 1}


def test_null_comes_first_in_descending_order(ask: Ask) -> None:
    """As on Logfire, and unlike on some other engines."""
    rows = ask("SELECT duration FROM records ORDER BY duration DESC", otlp.span(1, "x"), otlp.event(2, "y", parent=1, at_ms=0))
    assert [row["duration"] for row in rows] == [None, 0.001]


@pytest.mark.parametrize(
    ("sql", "title"),
    [
        ("SELECT attributes->>'s' FROM records", "attributes ->> 's'"),
        ("SELECT r.attributes -> 'map'->> 'text' FROM records r", "attributes -> 'map' ->> 'text'"),
        ("SELECT (attributes->'n')::int FROM records", "attributes -> 'n'"),
        ("SELECT DISTINCT attributes ? 's' FROM records", "attributes ? 's'"),
        ("SELECT attributes->>'s' s FROM records", "s"),
    ],
)
def test_a_column_without_a_name_is_titled_by_its_operator(ask: Ask, sql: str, title: str) -> None:
    """A select item that is only a JSON operator has the title that Logfire gives it."""
    assert list(ask(sql, otlp.span(1, "x", attributes=VALUES))[0]) == [title]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ("* EXCLUDE (attributes, otel_events)", None),
        ("* EXCEPT (attributes, otel_events)", None),
        ("r.* EXCEPT (attributes, otel_events)", None),
        ("DISTINCT ON (trace_id) * EXCLUDE (attributes, otel_events)", None),
        ("* EXCLUDE attributes, level_name(level) AS l", {"l"}),
        ("* REPLACE (upper(span_name) AS span_name)", set()),
    ],
)
def test_a_star_may_leave_columns_out(ask: Ask, columns: str, names: set[str] | None) -> None:
    """As DataFusion's reference says; what is left out can be asked for all the same."""
    sql = f"SELECT {columns} FROM records r WHERE attributes ? 's' AND level = 'info' AND span_name ~ '^x'"
    (row,) = ask(sql, otlp.span(1, "x", attributes=VALUES))
    everything = set(records.SCHEMA.names)
    if names is None:
        assert set(row) == everything - {"attributes", "otel_events"}
    elif names:
        assert set(row) == everything - {"attributes"} | names
    else:
        assert (set(row), row["span_name"]) == (everything, "X")


def test_a_star_behind_a_bracket_stands_for_all_columns(ask: Ask) -> None:
    """`DISTINCT ON (…) *` is no product."""
    spans = [otlp.span(number, "x", end_ms=number, attributes={"k": number % 2}) for number in range(1, 5)]
    sql = """WITH latest AS (SELECT DISTINCT ON (k) * FROM (SELECT *, attributes->>'k' AS k FROM records) ORDER BY k, duration DESC)
        SELECT k, (1) * duration AS d FROM latest ORDER BY k"""
    assert ask(sql, *spans) == [{"k": "0", "d": 0.004}, {"k": "1", "d": 0.003}]
    assert ask("SELECT DISTINCT ON (trace_id) *, span_name AS n FROM records", *spans)[0]["n"] == "x"


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("duration = ANY (SELECT duration FROM records WHERE span_name = 'b')", "b"),
        ("records.duration = SOME (SELECT DISTINCT records.duration FROM records WHERE span_name = 'b')", "b"),
        ("duration <> ALL (SELECT duration FROM records WHERE span_name = 'b')", "ac"),
        ("duration > ALL (SELECT duration FROM records WHERE span_name = 'b')", "c"),
        ("duration < ANY (SELECT duration FROM records WHERE span_name <> 'a')", "ab"),
        ("duration >= ALL (SELECT i.duration FROM records i WHERE i.trace_id = records.trace_id)", "c"),
        ("duration = ANY (SELECT max(duration) FROM records)", "c"),
        ("duration IN (SELECT duration FROM records WHERE span_name = 'b')", "b"),
        ("attributes->>'k' = ANY (SELECT attributes->>'k' FROM records WHERE span_name = 'b')", "b"),
    ],
)
def test_a_subquery_of_the_same_table_is_compared_with(ask: Ask, condition: str, names: str) -> None:
    """Its column is not the row's own, though both have one name."""
    spans = [otlp.span(number, name, end_ms=number, attributes={"k": number}) for number, name in enumerate("abc", 1)]
    rows = ask(f"SELECT span_name FROM records WHERE {condition} ORDER BY 1", *spans)
    assert "".join(row["span_name"] for row in rows) == names


def test_the_other_except_is_what_it_was(ask: Ask) -> None:
    """Between two queries it takes away rows."""
    sql = "SELECT * FROM (SELECT span_name FROM records EXCEPT (SELECT span_name FROM records WHERE span_name = 'a')) x"
    assert ask(sql, otlp.span(1, "a"), otlp.span(2, "b")) == [{"span_name": "b"}]


def test_an_order_by_a_column_that_an_alias_hides(ask: Ask) -> None:
    """Rows come in the order of the column, not of what the SELECT calls by its name, and the answer has the columns that were asked for."""
    spans = [otlp.span(number, name, end_ms=number) for number, name in enumerate(("aa", "b", "ccc"), 1)]
    sql = "SELECT length(r.span_name) AS span_name, -r.duration AS duration FROM records r ORDER BY r.span_name DESC, r.duration LIMIT 2"
    assert ask(sql, *spans) == [{"span_name": 3, "duration": -0.003}, {"span_name": 1, "duration": -0.002}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT span_name, duration FROM records WHERE span_name LIKE 'a->>b?%' -- not ->> here ? 'x'\n  AND  kind='span'",
        'select  "we->ird"\tfrom (select 1 as "we->ird") /* level = \'warn\' /* nested ? */ -> */ x',
        "SELECT 'level = ''warn''', $$ a ->> 'b' $$, E'\\'->\\'' FROM records",
        "SELECT 'é' || '└─ ' || span_name FROM records ORDER   BY 1",
    ],
)
def test_what_needs_no_rewriting_stays_as_it_is(sql: str) -> None:
    """Texts, comments, quoted names and blanks are not touched."""
    assert translate(sql).text == sql


def test_only_the_places_that_must_change_are_changed() -> None:
    """Everything around an operator is kept to the byte."""
    sql = "SELECT  a.attributes  ->>  'k'  AS x,/*c*/ level FROM records a WHERE level>='warn' ;"
    assert translate(sql).text == "SELECT  json_as_text(a.attributes  ,   'k')  AS x,/*c*/ level FROM records a WHERE level>=13"


@given(st.text(alphabet="->?'\"()[]$/*:;, \nabE1.é=<|", max_size=40))
def test_any_text_is_translated_or_refused(text: str) -> None:
    """Whatever somebody types, it comes back as a statement or as a refusal, never as another error."""
    with contextlib.suppress(errors.QueryError):
        translate("SELECT " + text)


def test_a_name_for_another_level_is_left_alone(ask: Ask) -> None:
    """Where `level` was given to level names by a subquery, a comparison with a name is one of texts."""
    sql = "WITH named AS (SELECT level_name(level) AS level FROM records WHERE level >= 'info') SELECT level FROM named WHERE level = 'error'"
    assert ask(sql, otlp.span(1, "x"), otlp.span(2, "y", status={"code": 2})) == [{"level": "error"}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "The statement is empty"),
        ("DROP TABLE records", "`DROP` at line 1, column 1 is refused. Expected one SELECT"),
        ("  EXPLAIN SELECT 1", "`EXPLAIN` at line 1, column 3 is refused"),
        ("SHOW SCHEMAS", "`SHOW` at line 1, column 1 is refused"),
        ("COPY (SELECT 1) TO '/tmp/x'", "`COPY` at line 1, column 1 is refused"),
        ("SELECT 1; SELECT 2", "more than one statement (a second one starts after line 1, column 9)"),
        ("SELECT\n  attributes #> 'x' FROM records", "The operator `#>` at line 2, column 14 is not supported"),
        ("SELECT * FROM records WHERE attributes ?| ARRAY['a']", "The operator `?|` at line 1, column 40"),
        ("SELECT attributes #>> '{a,b}' FROM records", "The operator `#>>` at line 1, column 19 is not supported. Expected one of ->, ->>, ?"),
        ("SELECT * FROM records WHERE level = 'warned'", "no level of the name at line 1, column 37. Expected one of trace, debug, info"),
        ("SELECT level_num('loud')", "no level of the name at line 1, column 18"),
        ("SELECT attributes ->> FROM records", "An operand is missing at `FROM`, line 1, column 23"),
        ("SELECT ? FROM records", "An operand is missing at `?`, line 1, column 8"),
        ("SELECT 1 FROM records WHERE attributes->'a' < attributes->'b'", "Two JSON values are compared by `<` at line 1, column 29"),
        ("SELECT (1", "`(` at line 1, column 8 is never closed"),
        ("SELECT 1)", "`)` at line 1, column 9 closes nothing"),
        ("SELECT 'x", "The text that begins at line 1, column 8 has no end"),
        ("SELECT max(attributes) FILTER (WHERE true) ->> 'x' FROM records", "The operand of `->>` at line 1, column 44 is not clear"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "nested too deep"),
    ],
)
def test_what_is_not_supported_is_refused_by_name_and_place(sql: str, message: str) -> None:
    """A refusal says what, where, and what would have been right."""
    with pytest.raises(errors.QueryError) as refusal:
        translate(sql)
    assert message in str(refusal.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
        max_leaves=5,
    )
)
@settings(max_examples=50)
def test_values_of_json_are_what_its_text_says(value: Any) -> None:
    """Also integers of more than 64 bits, what JSON has no number for, and halves of surrogate pairs."""
    text = json.dumps(value)
    assert repr(functions._load(text)) == repr(json.loads(text))
