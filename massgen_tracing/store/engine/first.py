"""Statements that want the newest rows only, or just any so many: they can be answered from a few files where a recording has many.

`SELECT … FROM records WHERE … ORDER BY start_timestamp DESC LIMIT 20` looks at each row by itself. Asked only of what has started since some time, of
the files that have anything as new, it gives rows that come before any other; if they are as many as are wanted, they are the answer.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.engine.sources import Sources, Window
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.sealing import sealed
from massgen_tracing.store.sealing.sealed import Index
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
"""So many times the rows that are wanted are asked at first."""

_LEAST: Final = 4096
"""Fewer rows are not worth asking for: what a statement costs before it reads any is more."""

_OF_A_FILE: Final = 256
"""A file with fewer rows counts as having so many, for opening it costs as much as reading them."""

_MANY_RUNS: Final = 100
"""Fewer are looked through in a millisecond, and then the report tells of each."""

_GROWTH: Final = 16
"""Each time that there are not enough, so many times more rows are asked."""


@dataclass(frozen=True, slots=True)
class First:
    """That a statement wants its first rows only.

    Attributes:
        rows: how many; None where it does not say.
        newest: whether by their start, the latest first; otherwise any will do.
        every: whether each row counts, without any condition.
    """

    rows: int | None
    newest: bool
    every: bool

    def enough(self, limit: int) -> int:
        """How many rows are enough where *limit* of them are taken at most."""
        return limit if self.rows is None else min(self.rows, limit)


@lru_cache(maxsize=16)
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
    every = "WHERE" not in top
    if "LIMIT" not in top:
        return First(None, newest, every)
    number, *after = top[top.index("LIMIT") + 1 :] or [""]
    return First(int(number), newest, every) if number.isdecimal() and (not after or after[0] == "OFFSET") else None


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


def few(first: First | None, places: Sequence[str], limit: int) -> tuple[Path, ...] | None:
    """Recordings that have enough rows, of the newest runs where there are many; None where others may have to be read as well.

    Args:
        first: what the statement wants.
        places: roots, directories and files.
        limit: how many rows of the answer are taken at most.
    """
    if first is None or first.newest or not first.every:
        return None
    if any(catalogue.has_segments(Path(place)) for place in places):
        return None  # which have the rows of many runs
    listed = [catalogue.newest_first(place) for place in places]
    runs = list(itertools.chain.from_iterable(listed))
    if not all(listed) or len(runs) < _MANY_RUNS:
        return None
    found: list[Path] = []
    rows = 0
    for run in runs[: len(runs) // 4]:
        files = catalogue.below(run)
        found += files
        rows += sum(map(_ended, files))
        if rows >= first.enough(limit):
            return tuple(found)
    return None


def _ended(path: Path) -> int:
    """How many ended spans a sealed file has; none where it cannot be read, which its reader reports."""
    with contextlib.suppress(RecordingError):
        index = sealed.index(path) if layout.is_sealed(path) else None
        return 0 if index is None else index.spans - index.pending
    return 0


def steps(first: First | None, sources: Sources, window: Window, limit: int) -> Iterator[Step]:
    """What to ask until there are enough rows.

    Args:
        first: what the statement wants.
        sources: all that there is to read.
        window: the rows that are asked for.
        limit: how many rows of the answer are taken at most.
    """
    enough = 0 if first is None else first.enough(limit)
    if first is not None and enough:
        part = _newest if first.newest else _some
        rows = max(_FIRST * enough, _LEAST)
        while rows < sum(_rows(index) for _, index in sources.sealed):
            step = part(sources, window, rows)
            if len(step.sources.sealed) * 2 > len(sources.sealed):
                break  # a file costs nearly as much whether all of its rows are asked or a few
            yield replace(step, enough=enough)
            rows *= _GROWTH
    yield Step(sources, window)


def _some(sources: Sources, window: Window, rows: int) -> Step:
    """So many rows, to whole files."""
    before = itertools.accumulate((_rows(index) for _, index in sources.sealed), initial=0)
    files = (file for file, count in zip(sources.sealed, before, strict=False) if count < rows)
    return Step(replace(sources, sealed=tuple(files)), window)


def _rows(index: Index) -> int:
    return max(index.spans, _OF_A_FILE)


def _newest(sources: Sources, window: Window, rows: int) -> Step:
    """About so many of the newest rows: whatever has started since a time, from all files that may have such rows.

    A file's rows are taken to be spread evenly over its time. Where they are not there are more or fewer of them, but no newer ones elsewhere.
    """
    # Back from the end: where a file's time ends and begins, a microsecond has more or fewer rows.
    borders = []
    for _, index in sources.sealed:
        density = _rows(index) / (index.last_us - index.first_us + 1)
        borders += [(index.last_us + 1, density), (index.first_us, -density)]
    borders.sort(reverse=True)
    at, found, density = borders[0][0], 0.0, 0.0
    for border, change in borders:
        within = density * (at - border)
        if found + within >= rows:
            at -= math.ceil((rows - found) / density)
            break
        at, found, density = border, found + within, density + change
    since = at if window.min_us is None else max(at, window.min_us)
    files = (file for file in sources.sealed if file[1].last_us >= since)
    return Step(replace(sources, sealed=tuple(files)), replace(window, min_us=since))
