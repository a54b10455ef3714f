"""The engine's errors in the words of this package: one clear line, with the place in the statement as it was written, and the next step."""

from __future__ import annotations

import difflib
import re
from typing import Final

from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine import limits
from massgen_tracing.store.sql import functions, lengths, syntax, words
from massgen_tracing.store.sql.dialect import Statement
from massgen_tracing.store.sql.tokens import Kind, tokenize, too_deep

_MAX_MESSAGE: Final = 500
_MOST_NEAR: Final = 3

_NOISE: Final = re.compile(
    r"^(DataFusion error: |SQL error: |Error during planning: |Schema error: |Execution error: |Arrow error: |External error: |ValueError: "
    r"|This feature is not implemented: |Internal error: |Compute error: |Cast error: |External: |Parquet error: "
    r"|Optimizer rule '\w+' failed\s+caused by\s+|type_coercion\s+caused by\s+|Error evaluating filter predicate: "
    r"|NotImplemented\(\"|ParserError\(\")+"
)
_WRAPPED: Final = re.compile(r'^ArrowError\(\w+\("(.*)"\), Some\(""\)\)$', re.DOTALL)
_RAISED: Final = re.compile(r"""PyErr \{ type: <class '[\w.]+'>, value: \w+\((['"])(.*?)\1\), traceback: .*""", re.DOTALL)
"""What one of our own functions has raised; where in it is of no use to whoever asks."""

_SUBQUERY: Final = re.compile(r"^Physical plan does not support logical expression (Exists|InSubquery|ScalarSubquery|SetComparison)\(.*", re.DOTALL)
_PARSER_PLACE: Final = re.compile(r" at Line: (\d+), Column: (\d+)")
_COLUMN: Final = re.compile(r'No field named (?P<name>(?:"[^"]*"|[^\s".]+)(?:\.(?:"[^"]*"|[^\s".]+))*)\.')
_COLUMNS: Final = re.compile(r"Valid fields are (.*)", re.DOTALL)
_FUNCTION: Final = re.compile(r"Invalid function '([^']+)'")
_MISMATCH: Final = re.compile(
    r"(?:Function '(\w+)' (?:failed to match any signature|requires|expects)|arguments to satisfy a call to '(\w+)' function)"
)
_TREE: Final = re.compile(r"Unsupported (?:ast node (?:in sqltorel: )?|JOIN operator )(\w+) ?[{(].*")

_NAMED: Final = re.compile(
    r"table function '([^']+)'|table '(?:datafusion\.)?(?:public\.)?([^']+)' not found|SQL type (\w+)|^(FETCH) clause|Cannot cast string '([^']*)'"
    r"|column \"(?:\w+\.)?(\w+)\" must appear|unqualified field (\w+)|unqualified field name (\w+) which|input syntax for type interval: \"([^\"]*)\""
    r"|granularity: '([^']*)'|Error parsing timestamp from '([^']*)'|not allowed in the (WHERE) clause"
)
"""What a message names, so that its place can be told."""

_HINTS: Final[tuple[tuple[str, str], ...]] = (
    ("table function 'unnest'", "`unnest` goes into the SELECT: SELECT t.* FROM (SELECT span_name, unnest(tags) AS tag FROM records) t"),
    (
        "OuterReferenceColumn",
        "A subquery in FROM cannot use the row beside it; `unnest` goes into the SELECT: SELECT unnest(tags) AS tag FROM records",
    ),
    (
        "A subquery cannot stand here",
        "Subqueries go into SELECT, WHERE, HAVING and FROM; in the ON of a join or in FILTER, join with what they select",
    ),
    ("unnest() ", "It makes rows of a list: unnest(tags), unnest(ARRAY['a', 'b']), or of a parameter whose value is one: $name=[\"a\", \"b\"]"),
    ("table '", "The tables are records, records_all and metrics"),
    ("which would be ambiguous", "Give the column another name than the one that the rows are ordered by"),
    ("type JSON", "JSON columns need no cast: attributes->>'key'"),
    (lengths.TOO_LONG, "Its seconds can be compared: extract(epoch FROM INTERVAL '300 years') > 86400"),
    ("Cannot access field", "A key of a JSON column is asked by ->> : attributes->>'key'"),
    ("escape_char", "Escape with a backslash: LIKE '%100\\%%'"),
    ("Semi is not supported", "Write LEFT SEMI JOIN"),
    ("Anti is not supported", "Write LEFT ANTI JOIN"),
    ("FETCH clause", "Write LIMIT n"),
    ("'AtArrow'", "For JSON compare keys: attributes->>'key' = 'value'. For arrays: tags @> ARRAY['a']"),
    ("PGOverlap", "Write array_has_any(tags, ARRAY['a', 'b'])"),
    ("Utf8 = Boolean", "The text of a truth value is 'true' or 'false'; (attributes->'key')::bool is one"),
    ("Float64 > Interval", "`duration` is a number of seconds: duration > 1"),
    ("Cannot cast string", "try_cast(value AS type) gives NULL for what cannot be cast"),
    ("must appear in the GROUP BY", "Add it to GROUP BY, or put it into an aggregate: any_value(column)"),
    ("Ambiguous reference", "Put the table's alias before it"),
)
"""What to do, by what a message says."""

_COMPUTED: Final = ("Cannot coerce arithmetic", "temporal operation", "Unary operator '-'")
_COMPARED: Final = "Cannot infer common argument type"
"""What a message says where values of some types cannot be computed with, or compared."""

_TAKEN: Final = re.compile(r"requires \w+|expects \w+|Candidate functions:.*", re.DOTALL)
"""Where a message names types that would be taken."""

_SECONDS: Final = "extract(epoch FROM end_timestamp - start_timestamp)"
_OF_TYPES: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("Duration", "Interval"), f"A length of time is computed with as its seconds: {_SECONDS}. An interval is written INTERVAL '1 hour'"),
    (("Timestamp", "Date"), "An interval is written INTERVAL '1 hour': start_timestamp + INTERVAL '1 hour'. Two times of one zone can be subtracted"),
)
"""What to do where values cannot be computed with, by what the message calls their types."""

_OPERATORS: Final = {"AtArrow": "@>", "ArrowAt": "<@", "PGOverlap": "&&"}
_ELSEWHERE: Final = {
    "age": "later - earlier",
    "date": "start_timestamp::date",
    "date_diff": f"{_SECONDS}, or end_timestamp - start_timestamp",
    "date_format": "to_char(start_timestamp, '%Y-%m-%d')",
    "datediff": f"{_SECONDS}, or end_timestamp - start_timestamp",
    "get_json_object": "attributes->>'key'",
    "group_concat": "string_agg(span_name, ', ')",
    "if": "CASE WHEN … THEN … ELSE … END",
    "iif": "CASE WHEN … THEN … ELSE … END",
    "json_array_length": "json_length(attributes, 'key')",
    "json_extract": "attributes->'key'",
    "json_extract_path_text": "attributes->'a'->>'b'",
    "json_extract_scalar": "attributes->>'key'",
    "json_value": "attributes->>'key'",
    "jsonb_array_elements": "unnest(json_get_array(otel_events))",
    "json_array_elements": "unnest(json_get_array(otel_events))",
    "jsonb_array_length": "json_length(attributes, 'key')",
    "jsonb_object_keys": "unnest(json_object_keys(attributes))",
    "len": "length(text)",
    "make_interval": "INTERVAL '1 hour'",
    "mod": "a % b",
    "percentile_disc": "percentile_cont(0.95) WITHIN GROUP (ORDER BY duration)",
    "regexp_substr": "(regexp_match(message, 'pattern'))[1]",
    "row_number": "row_number() OVER (ORDER BY start_timestamp)",
    "strftime": "to_char(start_timestamp, '%Y-%m-%d')",
    "timestampdiff": f"{_SECONDS}, or end_timestamp - start_timestamp",
    "tostring": "value::text",
}
"""What others call a function, and how the same is said here."""

_NEAR_KEY: Final = 0.75
"""How like an attribute's key a name has to be to be taken for it."""


def is_own_fault(error: BaseException) -> bool:
    """Whether the engine says that it has made a plan that is wrong, and not that the statement is."""
    return any(said in str(error) for said in ("SanityCheckPlan", "Internal error"))


def refusal(error: BaseException, statement: Statement) -> QueryError:
    """What to tell about an error of the engine."""
    if isinstance(error, MemoryError) or "Resources exhausted" in str(error) or "malloc of size" in str(error):
        return limits.too_much_memory()
    text = functions.plain(_RAISED.sub(r"\2", _WRAPPED.sub(r"\1", _NOISE.sub("", str(error)))))
    if "RecursionLimitExceeded" in text:
        return too_deep()
    return _column(text, statement) or _function(text, statement) or _mismatch(text, statement) or _other(text, statement)


def _column(text: str, statement: Statement) -> QueryError | None:
    """A column that is not there, with the nearest that are."""
    found = _COLUMN.match(text)
    if found is None:
        return None
    name = found["name"]
    own = name.rpartition(".")[2] if not name.endswith('"') else name.rstrip('"').rpartition('"')[2]
    valid = _COLUMNS.search(text)
    there = [each.strip(' ".').rpartition(".")[2] for each in valid[1].split(",")] if valid else []
    near = _nearest(own, there)
    place = statement.place_of(own)
    quoted = any(token.kind is Kind.QUOTED and token.text == own for token in tokenize(statement.written))
    return QueryError(
        f"The statement failed: No field named {name}.{_did_you_mean(near)}{f' ({place})' if place else ''}",
        hint="A text stands in 'single quotes', a name in \"double quotes\"" if quoted else None if near else _elsewhere(own),
    )


def _elsewhere(name: str) -> str:
    """Where what is no column may stand: among the attributes, by the last part of its key."""
    keys = {key.rpartition(".")[2]: key for key in sorted(words.KEYS, key=len, reverse=True)} | {key: key for key in words.KEYS}
    near = difflib.get_close_matches(name.lower(), keys, 1, _NEAR_KEY)
    return f"It may be an attribute: attributes->>'{keys[near[0]]}'" if near else "`SHOW COLUMNS FROM records` lists what there is"


def _nearest(name: str, there: list[str]) -> list[str]:
    """The names most like one, and those that have it as a part."""
    name = name.lower()
    parts = [each for each in there if len(name) > 2 and (name in each or (len(each) > 2 and each in name))]
    return list(dict.fromkeys([*difflib.get_close_matches(name, there, _MOST_NEAR, 0.7), *parts]))[:_MOST_NEAR]


def _did_you_mean(near: list[str]) -> str:
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _function(text: str, statement: Statement) -> QueryError | None:
    found = _FUNCTION.match(text)
    if found is None:
        return None
    name = found[1]
    place = statement.place_of(name)
    near = [] if name in _ELSEWHERE else difflib.get_close_matches(name, words.FUNCTIONS, _MOST_NEAR, 0.75)
    return QueryError(
        f"The statement failed: Invalid function '{name}'.{_did_you_mean(near)}{f' ({place})' if place else ''}",
        hint=f"Write {_ELSEWHERE[name]}" if name in _ELSEWHERE else None,
    )


def _mismatch(text: str, statement: Statement) -> QueryError | None:
    """A function that is given what it cannot take."""
    found = _MISMATCH.search(text)
    if found is None:
        return None
    name = found[1] or found[2]
    written = {"date_bin": "time_bucket", "date_part": "extract", "substr": "substring", "strpos": "position"}.get(name, name)
    name = name if statement.place_of(name) or not statement.place_of(written) else written
    place = statement.place_of(name)
    return QueryError(
        f"The function `{name}`{f' ({place})' if place else ''} cannot take values of the type it is given",
        hint=_USES.get(name) or _cast(text, statement),
    )


def _cast(text: str, statement: Statement) -> str:
    """What makes values such that they can be computed with, or compared."""
    given = _TAKEN.sub("", text)
    asks_json = any(token.word in syntax.JSON_OPERATORS or token.text.lower().startswith("json_") for token in tokenize(statement.written))
    of_json = asks_json and "Utf8" in given
    if _COMPARED in text and not any(kind in given for kind in _OF_TYPES[0][0]):
        return "Cast one side to the type of the other: " + ("(attributes->>'key')::int" if of_json else "value::bigint")
    if of_json:
        return "A value of a JSON text needs a cast to be computed with: (attributes->'key')::int"
    return next((hint for types, hint in _OF_TYPES if any(kind in given for kind in types)), "A cast makes it another type: value::double")


_USES: Final = {
    "extract": "It is asked of a time or of a difference of times; `duration` is a number of seconds",
    "time_bucket": "It is asked as time_bucket('5 minutes', start_timestamp)",
    "metric_increase": "It is asked as metric_increase(value, recorded_timestamp)",
    "metric_merge": "It is asked as metric_merge(value)",
    "metric_quantile": "It is asked as metric_quantile(0.95, value)",
    "metric_rate": "It is asked as metric_rate(value, recorded_timestamp)",
    **dict.fromkeys(("metric_avg", "metric_count", "metric_max", "metric_min", "metric_sum"), "It is asked of the column `value`"),
}


def _other(text: str, statement: Statement) -> QueryError:
    text = " ".join(text.split()).removesuffix('")')
    text = _PARSER_PLACE.sub(lambda match: f" at {statement.place(int(match[1]), int(match[2]))}", text)
    text = _TREE.sub(r"\1 is not supported", text)
    text = _SUBQUERY.sub("A subquery cannot stand here", text)
    hint = next((hint for said, hint in _HINTS if said in text), None)
    if hint is None and any(said in text for said in (*_COMPUTED, _COMPARED)):
        hint = _cast(text, statement)
    name = next((group for group in found.groups() if group), None) if (found := _NAMED.search(text)) else None
    for called, operator in _OPERATORS.items():
        if called in text:
            text, name = f"The operator `{operator}` cannot be used here", operator
    if "OuterReferenceColumn" in text:
        text = "FROM has a part that uses the row beside it"
    if "escape_char" in text:
        name = "ESCAPE"
    text = text.replace("While expanding wildcard, column", "column").replace("found: EOF", "found the end of the statement")
    text = text.replace("datafusion.public.", "")
    if len(text) > _MAX_MESSAGE:
        text = text[:_MAX_MESSAGE] + " …"
    place = statement.place_of(name) if name else None
    return QueryError(f"The statement failed: {text.rstrip('.')}" + (f" ({place})" if place else ""), hint=hint)
