"""What a statement can need of ClickHouse's table: which columns, which attributes, which rows.

What is asked for may be too much, never too little: the statement itself is answered here, with all of its conditions. A condition goes to ClickHouse
where a row that fails it can be in no answer, whatever table stands on the other side of a join: it looks at one table and is never true of NULL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.store.tables import metrics, records
from massgen_tracing.store.terms import Value

_TABLES: Final = frozenset({records.TABLE, records.TABLE_ALL})
_ATTRIBUTES: Final = "attributes"
_WORD: Final = re.compile(r"[a-z_].*", re.IGNORECASE | re.DOTALL)
"""A text that no number and no JSON is written like; ClickHouse has the same."""

_JSON_FUNCTION: Final = re.compile(r"json_\w+")
_LONGEST: Final = 2 * 24 * 3600 * 10**6
"""Microseconds. An event that started in a time window is looked for on spans that began so long before it at most: without any such border,
ClickHouse would have to look through everything that it has.
"""

_LATEST: Final = 9_223_372_036_000_000
"""Unix time in microseconds."""

_SLACK: Final = 2e-6
"""Seconds by which a duration in microseconds may differ from one in nanoseconds."""

Moment = Callable[[str], int | None]
"""Unix time in microseconds of an expression without columns; None where it has none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a statement can need.

    Attributes:
        names: the columns that it may name, in small letters; None for all.
        keys: the keys of `attributes` that it asks for; None where it may ask for any.
        starts: whether it may ask for rows of pending spans.
        points: whether it asks for data points of metrics.
        condition: what all rows that it needs fulfil, in ClickHouse's SQL; empty where it needs all.
    """

    names: frozenset[str] | None = None
    keys: frozenset[str] | None = None
    starts: bool = True
    points: bool = False
    condition: str = ""

    def column(self, *names: str) -> bool:
        """Whether one of these columns may be asked for."""
        return self.names is None or not self.names.isdisjoint(names)


def find(sql: str, params: Mapping[str, Value], moment: Moment) -> Wanted:
    """What a translated statement can need.

    Args:
        sql: the statement as the engine gets it.
        params: the values of its parameters.
        moment: gives the time that an expression stands for.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    words = sql.lower()
    try:
        tree = sqlglot.parse_one(sql, read="postgres")
        conditions = list(_conditions(traverse_scope(tree), _Reader(params, moment)))
    except Exception:  # noqa: BLE001 - a parser of another kind of SQL may fail as it likes, its depth included: then everything is read
        return Wanted(starts=records.TABLE_ALL in words, points=metrics.TABLE in words)
    tables = [table.name.lower() for table in tree.find_all(exp.Table)]
    every = any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star))
    # It compares all columns that both sides have.
    every = every or any(join.method == "NATURAL" for join in tree.find_all(exp.Join))
    # A table that no scope knows has no condition.
    known = len(conditions) == sum(table in _TABLES for table in tables) and all(conditions)
    return Wanted(
        None if every else frozenset(name.name.lower() for name in tree.find_all(exp.Identifier)),
        None if every else _keys(tree),
        records.TABLE_ALL in tables,
        metrics.TABLE in tables,
        " OR ".join(dict.fromkeys(f"({each})" for each in conditions)) if known else "",
    )


def _keys(tree: Any) -> frozenset[str] | None:
    """The keys that are asked of `attributes`; None where it is asked for as a whole."""
    from sqlglot import exp

    found = set()
    for column in tree.find_all(exp.Column):
        if column.name.lower() == _ATTRIBUTES:
            key = _key(column.parent)
            if key is None:
                return None
            found.add(key)
    return frozenset(found)


def _key(call: Any) -> str | None:
    """The key that a function of JSON asks of `attributes`; None for anything else."""
    from sqlglot import exp

    if not (isinstance(call, exp.Anonymous) and _JSON_FUNCTION.fullmatch(call.name.lower()) and len(call.expressions) == 2):
        return None
    column, key = call.expressions
    if isinstance(column, exp.Column) and column.name.lower() == _ATTRIBUTES and isinstance(key, exp.Literal) and key.is_string:
        return str(key.this)
    return None


def _conditions(scopes: Iterable[Any], reader: _Reader) -> Iterator[str]:
    """For each place where a statement reads spans, what the rows fulfil; empty where that is nothing."""
    from sqlglot import exp

    for scope in scopes:
        select = scope.expression
        for alias, source in scope.sources.items():
            if not isinstance(source, exp.Table) or source.name.lower() not in _TABLES:
                continue
            parts = []
            if isinstance(select, exp.Select):
                parts += _all_of(select.args.get("where"))
                for join in select.args.get("joins") or ():
                    if join.this is source and join.side in {"", "LEFT"} and join.kind in {"", "INNER", "OUTER"}:
                        parts += _all_of(join.args.get("on"))
            alone = len(scope.sources) == 1
            said = (reader.said(part, _Columns(alias, alone)) for part in parts)
            yield " AND ".join(f"({each})" for each in said if each)


def _all_of(condition: Any) -> list[Any]:
    """The conditions that all have to hold."""
    from sqlglot import exp

    if condition is None:
        return []
    inner = condition.this if isinstance(condition, exp.Where) else condition
    inner = inner.unnest()
    return [*_all_of(inner.left), *_all_of(inner.right)] if isinstance(inner, exp.And) else [inner]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which names are columns of a table: those with its *alias*, and those without any where it stands *alone*."""

    alias: str
    alone: bool

    def name(self, node: Any) -> str:
        """The name of a column of the table; empty for anything else."""
        from sqlglot import exp

        if not isinstance(node, exp.Column):
            return ""
        return str(node.name).lower() if (node.table == self.alias if node.table else self.alone) else ""


class _Reader:
    """Says conditions in ClickHouse's SQL, as far as it can: what it says holds wherever the condition does."""

    def __init__(self, params: Mapping[str, Value], moment: Moment) -> None:
        self._params = params
        self._moment = moment

    def said(self, node: Any, columns: _Columns) -> str:
        """A condition; empty where it cannot be said, or may hold where there is NULL."""
        from sqlglot import exp

        node = node.unnest()
        if isinstance(node, exp.And | exp.Or):
            left, right = self.said(node.left, columns), self.said(node.right, columns)
            if isinstance(node, exp.And):
                return " AND ".join(f"({each})" for each in (left, right) if each)
            return f"({left}) OR ({right})" if left and right else ""
        if columns.name(node) == "is_exception":
            return _EXCEPTION
        if isinstance(node, exp.Is):
            negated = bool(node.args.get("negate")) and isinstance(node.expression, exp.Null)
            return self._asked(node.this, columns) if negated else ""
        if (
            isinstance(node, exp.Not)
            and isinstance(node.this, exp.Is)
            and isinstance(node.this.expression, exp.Null)
            and not node.this.args.get("negate")
        ):
            return self._asked(node.this.this, columns)
        if node.args.get("negate") or node.args.get("escape"):
            return ""
        if isinstance(node, exp.In):
            return self._any_of(node, columns)
        if isinstance(node, exp.Between):
            low, high = (_Comparison(sign, node.this, node.args[end]) for sign, end in ((">=", "low"), ("<=", "high")))
            both = [said for each in (low, high) if (said := self._compared(each, columns))]
            return " AND ".join(f"({each})" for each in both)
        sign = _SIGNS.get(type(node).__name__, "")
        if not sign:
            return self._asked(node, columns)
        here = _Comparison(sign, node.left, node.right)
        return self._compared(here, columns) or ("" if sign == "LIKE" else self._compared(here.turned(), columns))

    def _compared(self, here: _Comparison, columns: _Columns) -> str:
        from sqlglot import exp

        name = columns.name(here.column)
        if name == "is_exception":
            return _EXCEPTION if here.sign == "=" and isinstance(here.value, exp.Boolean) and here.value.this else ""
        if name == "start_timestamp":
            # A number may be a time in whatever unit.
            constant = not isinstance(here.value, exp.Literal) or here.value.is_string
            constant = constant and not any(here.value.find_all(exp.Column, exp.Query))
            moment = self._moment(here.value.sql(dialect="postgres")) if constant else None
            return "" if moment is None else _started(here.sign, moment)
        if name == "duration":
            number = here.value.this if isinstance(here.value, exp.Literal) and not here.value.is_string else None
            return "" if number is None or here.sign == "LIKE" else _lasted(here.sign, float(number))
        text = self._text(here.value)
        if text is None or here.sign not in {"=", "LIKE"}:
            return self._asked(here.column, columns)
        return self._is(name, here.sign, text) or self._asked(here.column, columns, None if here.sign == "LIKE" else text)

    def _any_of(self, node: Any, columns: _Columns) -> str:
        texts = [self._text(each) for each in node.expressions]
        if not texts or node.args.get("query") or None in texts:
            return self._asked(node.this, columns)
        name = columns.name(node.this)
        said = [self._is(name, "=", text) for text in texts if text is not None]
        return " OR ".join(said) if all(said) else self._asked(node.this, columns)

    def _text(self, node: Any) -> str | None:
        from sqlglot import exp

        if isinstance(node, exp.Parameter):
            value = self._params.get(node.name)
            return value if isinstance(value, str) else None
        return str(node.this) if isinstance(node, exp.Literal) and node.is_string else None

    @staticmethod
    def _is(name: str, sign: str, text: str) -> str:
        """That a column is like a text."""
        if sign == "LIKE" and "\\" in text:
            return ""
        literal = quoted(text)
        if name == "span_name":
            # Events are rows of their own, with their own names.
            return f"SpanName {sign} {literal} OR arrayExists(name -> name {sign} {literal}, Events.Name)"
        if name == "trace_id":
            return f"TraceId {sign} {literal}"
        return f"ServiceName {sign} {literal}" if name == "service_name" and sign == "=" and not text.startswith("unknown") else ""

    def _asked(self, node: Any, columns: _Columns, text: str | None = None) -> str:
        """That a key is there, of a condition that does not hold where it is not."""
        node = node.unnest()
        key = _key(node)
        if key is None or not columns.name(node.expressions[0]):
            return ""
        literal = quoted(key)
        if text is not None and node.name.lower() == "json_as_text" and _WORD.fullmatch(text):
            return f"SpanAttributes[{literal}] = {quoted(text)} OR arrayExists(each -> each[{literal}] = {quoted(text)}, Events.Attributes)"
        return f"mapContains(SpanAttributes, {literal}) OR arrayExists(each -> mapContains(each, {literal}), Events.Attributes)"


_EXCEPTION: Final = f"has(Events.Name, '{semconv.EXCEPTION_EVENT}')"
_SIGNS: Final = {"EQ": "=", "GT": ">", "GTE": ">=", "LT": "<", "LTE": "<=", "Like": "LIKE"}
_TURNED: Final = {"=": "=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A sign between what may be a column and what may be a value."""

    sign: str
    column: Any
    value: Any

    def turned(self) -> _Comparison:
        """The same from the other side."""
        return _Comparison(_TURNED[self.sign], self.value, self.column)


def _started(sign: str, us: int) -> str:
    """That a row started then."""
    if sign == "LIKE":
        return ""
    return within(us if sign in {">", ">=", "="} else None, us if sign in {"<", "<=", "="} else None)


def within(min_us: int | None, max_us: int | None) -> str:
    """That a span or one of its events started between these, Unix time in microseconds."""
    # The border itself may have nanoseconds.
    bounds = [(">=", min_us), ("<=", None if max_us is None else max_us + 1)]

    def all_of(what: str) -> str:
        return " AND ".join(f"{what} {sign} {_moment(us)}" for sign, us in bounds if us is not None)

    if min_us is None and max_us is None:
        return ""
    before = "" if min_us is None else f"Timestamp >= {_moment(min_us - _LONGEST)} AND "
    return f"{before}({all_of('Timestamp')} OR arrayExists(at -> {all_of('at')}, Events.Timestamp))"


def _moment(us: int) -> str:
    """Unix time in microseconds as a time, within what ClickHouse's times can be."""
    return f"fromUnixTimestamp64Micro(toInt64({min(max(us, 0), _LATEST)}))"


def _lasted(sign: str, seconds: float) -> str:
    """That a span took so long."""
    low = f"Duration / 1e9 >= {seconds - _SLACK!r}" if sign in {">", ">=", "="} else ""
    high = f"Duration / 1e9 <= {seconds + _SLACK!r}" if sign in {"<", "<=", "="} else ""
    return " AND ".join(each for each in (low, high) if each)


def quoted(text: str) -> str:
    """A text in ClickHouse's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
