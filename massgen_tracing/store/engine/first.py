"""Statements that want the newest rows only, or just any so many: they can be answered from a few files where a recording has many.

`SELECT … FROM records WHERE … ORDER BY start_timestamp DESC LIMIT 20` looks at each row by itself. Asked of the newest files, and only of what
started after all that the other files have, it gives rows that come before any other; if they are as many as are wanted, they are the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from massgen_tracing.store.engine.sources import Sources, Window
from massgen_tracing.store.sql import direct
from massgen_tracing.store.sql.functions import JSON_FUNCTIONS
from massgen_tracing.store.sql.tokens import Group, Item, Token, group_brackets, tokenize

_ROW_BY_ROW: Final = frozenset(
    {
        *(*JSON_FUNCTIONS, "json_contains", "level_name", "level_num"),
        *("abs", "arrow_cast", "cast", "ceil", "coalesce", "concat", "date_bin", "date_part", "date_trunc", "extract", "floor", "greatest", "least"),
        *("length", "lower", "ltrim", "now", "nullif", "regexp_like", "replace", "round", "rtrim", "split_part", "starts_with", "strpos", "substr"),
        *("substring", "to_timestamp", "trim", "try_cast", "upper"),
    }
)
"""Functions of one row's values. Any other might look at several rows; then all of them have to be read."""

_BEFORE_BRACKET: Final = frozenset({"AND", "BETWEEN", "ELSE", "ILIKE", "IN", "LIKE", "NOT", "OR", "SELECT", "THEN", "WHEN", "WHERE"})
_SEVERAL_ROWS: Final = frozenset(
    {"DISTINCT", "EXCEPT", "FETCH", "FILTER", "GROUP", "GROUP BY", "HAVING", "INTERSECT", "OVER", "QUALIFY", "UNION", "WINDOW", "WITH", "WITHIN"}
)
_BEFORE_COLUMN: Final = frozenset({"SELECT", "WHERE", "AND", "OR", "NOT", "BY", "ORDER BY", "BETWEEN", "WHEN", "THEN", "ELSE", "CASE"})
_TIME: Final = "start_timestamp"

_FIRST: Final = 4
"""So many times the rows that are wanted have the first files that are asked."""

_GROWTH: Final = 16
"""Each time that they do not have enough, so many times more files are asked."""


@dataclass(frozen=True, slots=True)
class First:
    """That a statement wants its first rows only.

    Attributes:
        rows: how many; None where it does not say.
        newest: whether by their start, the latest first; otherwise any will do.
    """

    rows: int | None
    newest: bool


def wanted(sql: str) -> First | None:
    """What a statement wants; None where more than its first rows has to be read."""
    items = group_brackets(sql, tokenize(sql))
    flat = list(_flat(items))
    words = [token.word for token in flat]
    if words[:1] != ["SELECT"] or words.count("SELECT") > 1 or not _SEVERAL_ROWS.isdisjoint(words) or direct.only_table(list(items)) is None:
        return None
    if not _each_row_by_itself(items) or _renamed(flat):
        return None
    top = [(item.word or item.text) if isinstance(item, Token) else "(" for item in items]
    clauses = [place for place, word in enumerate(top) if word in {"ORDER", "ORDER BY"}]
    newest = bool(clauses)
    if newest:
        key = [word for word in top[clauses[0] + 1 :] if word != "BY"]
        if key[1:2] == ["."]:
            key = key[2:]
        if len(clauses) > 1 or key[:2] != [_TIME.upper(), "DESC"] or not (key[2:] == [] or key[2] in {",", "NULLS", "LIMIT", "OFFSET"}):
            return None
    if "LIMIT" not in top:
        return First(None, newest)
    number, *after = top[top.index("LIMIT") + 1 :] or [""]
    return First(int(number), newest) if number.isdecimal() and (not after or after[0] == "OFFSET") else None


def _flat(items: Sequence[Item]) -> Iterator[Token]:
    for item in items:
        if isinstance(item, Group):
            yield item.opening
            yield from _flat(item.items)
            yield item.closing
        else:
            yield item


def _each_row_by_itself(items: Sequence[Item]) -> bool:
    """Whether all functions that are called look at one row."""
    for place, item in enumerate(items):
        if not isinstance(item, Group):
            continue
        before = items[place - 1] if place else None
        called = isinstance(before, Token) and before.is_name and item.opening.text == "(" and before.word not in _BEFORE_BRACKET
        if (called and isinstance(before, Token) and before.text.lower() not in _ROW_BY_ROW) or not _each_row_by_itself(item.items):
            return False
    return True


def _renamed(tokens: Sequence[Token]) -> bool:
    """Whether the column of starts may be the name of something else."""
    for place, token in enumerate(tokens):
        if token.is_name and token.text.lower() == _TIME:
            before = tokens[place - 1]
            named = before.word == "" or before.is_name or before.text in {"]", ")"}
            if token.text != token.word.lower() or (named and before.word not in _BEFORE_COLUMN):
                return True
    return False


@dataclass(frozen=True, slots=True)
class Step:
    """Something to ask.

    Attributes:
        sources, window: where, and which rows count.
        enough: how many rows make it the answer; None where it is the answer in any case.
    """

    sources: Sources
    window: Window
    enough: int | None = None


def steps(first: First | None, sources: Sources, window: Window, limit: int) -> Iterator[Step]:
    """What to ask until there are enough rows.

    Args:
        first: what the statement wants.
        sources: all that there is to read.
        window: the rows that are asked for.
        limit: how many rows of the answer are taken at most.
    """
    enough = 0 if first is None else min(limit if first.rows is None else first.rows, limit)
    if first is not None and enough:
        files = sorted(sources.sealed, key=lambda file: file[1].last_us, reverse=True) if first.newest else sources.sealed
        rows = _FIRST * enough
        count = 1
        while True:
            while count < len(files) and sum(index.spans for _, index in files[:count]) < rows:
                count += 1
            if count * 2 > len(files):
                break
            since = window.min_us
            if first.newest:
                others = files[count][1].last_us + 1
                since = others if since is None else max(since, others)
            yield Step(replace(sources, sealed=tuple(files[:count])), replace(window, min_us=since), enough)
            rows, count = rows * _GROWTH, count * _GROWTH
    yield Step(sources, window)
