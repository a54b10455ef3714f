"""Where a statement asks the tables themselves for an attribute or for one trace, so that columns and file indexes can answer.

A SELECT whose FROM is `records` or `records_all` alone, and which does not ask for `*`, may read a table that has further columns: what a
function of JSON says of `attributes` is then such a column. Everything else stays as it is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from massgen_tracing.store.sealing import typed
from massgen_tracing.store.sql.tokens import Group, Item, Kind, Token, group_brackets, tokenize
from massgen_tracing.store.tables import metrics, records

_FUNCTIONS: Final = frozenset({*typed.NULLS, "json_contains"})
_TABLES: Final = frozenset({records.TABLE, records.TABLE_ALL})
ALL_TABLES: Final = frozenset({*_TABLES, metrics.TABLE})
_SET_WORDS: Final = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_AFTER_FROM: Final = frozenset({"WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "WINDOW"})
_WITH_NULL: Final = frozenset({"json_as_text", "json_get"})
"""Functions that say NULL where there is no value, and only there."""

_BEFORE_TEST: Final = frozenset({"WHERE", "AND", "OR", "NOT", "SELECT", "ON", "WHEN", "HAVING", "BY", ","})
_BEFORE_STAR: Final = frozenset({"SELECT", "DISTINCT", "ALL", ",", "."})


@dataclass(frozen=True, slots=True)
class Access:
    """A function of JSON asked of `attributes`; *column* is the name that stands for it."""

    function: str
    key: str
    column: str

    @property
    def text(self) -> str:
        """SQL that reads the text for it."""
        called, asked = ("json_as_text", " IS NOT NULL") if self.function == typed.IS_THERE else (self.function, "")
        key = self.key.replace("'", "''")
        return f"{called}(attributes, '{key}'){asked}"


@dataclass(slots=True)
class Direct:
    """A statement with direct accesses put in.

    Attributes:
        text: the statement; the same text where nothing was put in.
        tables: for each table that it reads under another name, that name.
        accesses: the columns that those tables need.
        traces: the only traces that the statement can have rows of; None where it may have rows of any.
        plain: the tables that it may read under their own names.
        names: what it names, in small letters; the columns that it reads of tables under other names are among them.
    """

    text: str
    tables: dict[str, str] = field(default_factory=dict)
    accesses: list[Access] = field(default_factory=list)
    traces: frozenset[str] | None = None
    plain: frozenset[str] = ALL_TABLES
    names: frozenset[str] = frozenset()

    def reads(self, table: str) -> bool:
        """Whether rows of a table may be asked for."""
        return table in self.plain or table in self.tables

    @property
    def reads_any(self) -> bool:
        """Whether rows of any table may be asked for."""
        return bool(self.plain or self.tables)


@lru_cache(maxsize=16)
def find(sql: str) -> Direct:
    """The direct accesses of a translated statement; of one that was just asked, the same object."""
    tokens = tokenize(sql)
    items = group_brackets(sql, tokens)
    selects = list(_selects(items))
    found = _Finder(sql)
    # Whether WITH gives a name of ours to something else.
    redefined = any(
        before.word in {"WITH", "RECURSIVE", ","} and name.is_name and name.text.lower() in _TABLES and after.word == "AS"
        for before, name, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
    )
    if not redefined:
        for select in selects:
            found.look_into(select)
    names = Counter(token.text.lower() for token in tokens if token.is_name)
    asked = [trace for select in selects if (trace := _trace(select)) is not None]
    # A column may be qualified by the table's name; only where every mention is a FROM of its own is it certain which rows are read.
    certain = not redefined and len(asked) == sum(names[table] for table in ALL_TABLES)
    return found.result(frozenset(asked) if certain and asked else None, names)


def _selects(items: tuple[Item, ...]) -> Iterator[list[Item]]:
    """The items of each SELECT, wherever it stands; set operations take it apart."""
    current: list[Item] | None = None
    for item in items:
        if isinstance(item, Group):
            yield from _selects(item.items)
        elif item.word == "SELECT":
            if current is not None:
                yield current
            current = []
        elif item.word in _SET_WORDS:
            if current is not None:
                yield current
            current = None
        if current is not None:
            current.append(item)
    if current is not None:
        yield current


def only_table(select: list[Item]) -> tuple[Token, Token | None, int] | None:
    """The table of a FROM that has one table only, its alias, and where the FROM ends; None for any other FROM."""
    place = next((at for at, item in enumerate(select) if isinstance(item, Token) and item.word == "FROM"), None)
    if place is None or place + 1 >= len(select):
        return None
    table = select[place + 1]
    if not isinstance(table, Token) or not table.is_name or table.text.lower() not in _TABLES:
        return None
    at, alias = place + 2, None
    following = select[at] if at < len(select) else None
    if isinstance(following, Token) and following.word == "AS":
        at += 1
        following = select[at] if at < len(select) else None
    if isinstance(following, Token) and following.is_name and following.word not in _AFTER_FROM:
        alias = following
        at += 1
        following = select[at] if at < len(select) else None
    if following is not None and not (isinstance(following, Token) and following.word in _AFTER_FROM):
        return None
    return table, alias, at


def _trace(select: list[Item]) -> str | None:
    """The id where a SELECT from one table has `trace_id = 'id'` among the conditions that all have to hold."""
    table = only_table(select)
    if table is None:
        return None
    _, alias, at = table
    if at >= len(select) or not isinstance(where := select[at], Token) or where.word != "WHERE":
        return None
    conditions: list[Item] = []
    for item in select[at:]:
        if isinstance(item, Token) and item.word in _AFTER_FROM - {"WHERE"}:
            break
        conditions.append(item)
    words = [item.word if isinstance(item, Token) else "" for item in conditions]
    if "OR" in words or "BETWEEN" in words:
        return None
    for place in range(1, len(conditions) - 2):
        name, equals, value = conditions[place : place + 3]
        after = words[place + 3] if place + 3 < len(words) else "AND"
        before = words[place - 1]
        if before == "." and place >= 3 and alias is not None and _text(conditions[place - 2]) == alias.text:
            before = words[place - 3]
        if (
            before in {"WHERE", "AND"}
            and after == "AND"
            and _text(name).lower() == "trace_id"
            and _text(equals) == "="
            and isinstance(value, Token)
            and value.kind == Kind.STRING
        ):
            return value.text
    return None


def _text(item: Item) -> str:
    return item.text if isinstance(item, Token) and item.kind not in {Kind.STRING, Kind.OTHER_TEXT} else ""


@dataclass(frozen=True, slots=True)
class _Call:
    """Where a function of a key stands; of one that asks whether there is a value, *negated* says that it asks whether there is none."""

    function: str
    key: str
    start: int
    end: int
    negated: bool = False


class _Finder:
    """Gathers accesses, and the edits that put their columns in."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        # A name that the statement does not have, so that nothing else can mean it.
        self._prefix = "direct"
        while self._prefix in sql:
            self._prefix += "_"
        self._edits: list[tuple[int, int, str]] = []
        self._tables: dict[str, str] = {}
        self._replaced: Counter[str] = Counter()
        self._accesses: dict[tuple[str, str], Access] = {}

    def look_into(self, select: list[Item]) -> None:
        """Put columns into one SELECT, where that is safe."""
        only = only_table(select)
        if only is None:
            return
        table, alias, _ = only
        before_from = select[: select.index(table)]
        for previous, item in itertools.pairwise(before_from):
            if isinstance(item, Token) and item.word == "*" and isinstance(previous, Token) and previous.word in _BEFORE_STAR:
                return
        name = table.text.lower()
        calls = list(self._calls(select, {name if alias is None else alias.text}))
        if not calls:
            return
        hidden = self._tables.setdefault(name, f"{self._prefix}_{name}")
        self._replaced[name] += 1
        self._edits.append((table.start, table.end, hidden if alias is not None else f"{hidden} AS {name}"))
        for call in calls:
            asked = call.function, call.key
            access = self._accesses.setdefault(asked, Access(*asked, f"{self._prefix}_{len(self._accesses)}"))
            self._edits.append((call.start, call.end, f"(NOT {access.column})" if call.negated else access.column))

    def _calls(self, items: Sequence[Item], qualifiers: set[str]) -> Iterator[_Call]:
        """The functions that are asked of `attributes`; not those inside of subqueries, whose `attributes` may be another."""
        for at, item in enumerate(items):
            if not isinstance(item, Group):
                continue
            before = items[at - 1] if at else None
            if isinstance(before, Token) and (function := before.text.lower()) in {*_FUNCTIONS, "json_get"}:
                key = self._asked_key(item, qualifiers)
                test = None if key is None or function not in _WITH_NULL else self._test(items, at)
                if key is not None and test is not None:
                    yield _Call(typed.IS_THERE, key, before.start, test[-1].end, negated=len(test) == 2)
                    continue
                if key is not None and function in _FUNCTIONS:
                    yield _Call(function, key, before.start, item.end)
                    continue
            if not (item.items and isinstance(item.items[0], Token) and item.items[0].word in {"SELECT", "WITH"}):
                yield from self._calls(item.items, qualifiers)

    def _test(self, items: Sequence[Item], at: int) -> list[Token] | None:
        """What asks whether the call that ends there is NULL, and nothing else that could belong to it stands before."""
        before = items[at - 2] if at > 1 else None
        if (isinstance(before, Token) and before.word not in _BEFORE_TEST) or isinstance(before, Group) or "BETWEEN" in self._sql.upper():
            return None
        after = [item for item in items[at + 1 : at + 4] if isinstance(item, Token)]
        words = [token.word for token in after]
        return after[:2] if words[:2] == ["IS", "NULL"] else after[:3] if words == ["IS", "NOT", "NULL"] else None

    @staticmethod
    def _asked_key(group: Group, qualifiers: set[str]) -> str | None:
        items = list(group.items)
        if len(items) == 5 and _text(items[1]) == "." and _text(items[0]) in qualifiers:
            del items[:2]
        if len(items) != 3 or _text(items[0]) != "attributes" or _text(items[1]) != ",":
            return None
        literal = items[2]
        return literal.text if isinstance(literal, Token) and literal.kind == Kind.STRING else None

    def result(self, traces: frozenset[str] | None, names: Counter[str]) -> Direct:
        """The statement with all columns put in; *names* says how often it names what."""
        out, at = [], 0
        for start, end, text in sorted(self._edits):
            out += [self._sql[at:start], text]
            at = end
        out.append(self._sql[at:])
        plain = ALL_TABLES.intersection(names - self._replaced)
        return Direct("".join(out), self._tables, list(self._accesses.values()), traces, plain, frozenset(names))
