"""Lengths of time, exactly: differences of times, and intervals.

The engine cuts a part of a length to whole seconds or to 32 bits (`extract(epoch FROM b - a)` of 9.93 s is 9), and compares lengths field by field,
so that for it 48 hours are less than a day. Here such a part has its fraction and such a comparison its meaning, PostgreSQL's: a day has 24 hours,
a month 30 days.

What stands in a statement is a length or a time by its type, which the engine knows: it is asked, place by place.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import datafusion
import pyarrow as pa

from massgen_tracing.errors import QueryError
from massgen_tracing.store.sql import syntax
from massgen_tracing.store.sql.syntax import Atom, Parts, Stretch
from massgen_tracing.store.sql.tokens import Group, Item, Token, arguments, group_brackets, tokenize

TypeOf = Callable[[str], str | None]
"""The engine's name for the type of what `PROBE` is given in a statement; None where it does not say."""

PROBE: Final = "probed_type"
"""A function that takes nothing, so that the engine says what it was given."""

_PROBE_OF_DURATIONS: Final = "probed_duration"
"""A function that takes and gives lengths, so that the engine says what it has made of them in the end, where that is something else."""

PROBES: Final = (PROBE, _PROBE_OF_DURATIONS)

_EXTRACTS: Final = frozenset({"EXTRACT", "DATE_PART", "DATEPART"})
_COMPARING_CALLS: Final = frozenset({"GREATEST", "LEAST", "NULLIF"})
_ORDERING_CALLS: Final = frozenset({"MAX", "MIN"})
_LIST_ENDS: Final = frozenset(
    {"EXCEPT", "FETCH", "FROM", "GROUP", "HAVING", "INTERSECT", "LIMIT", "OFFSET", "ORDER", "QUALIFY", "RANGE", "ROWS", "UNION", "WHERE", "WINDOW"}
)
"""What is behind a list of expressions."""

_INTERVAL: Final = "INTERVAL"
_INTERVAL_TYPE: Final = "Interval("

_PARTS: Final = {
    "epoch": "epoch",
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("ms", "msec", "msecs", "msecond", "mseconds", "millisecond", "milliseconds"), "millisecond"),
    **dict.fromkeys(("us", "usec", "usecs", "usecond", "useconds", "microsecond", "microseconds"), "microsecond"),
    **dict.fromkeys(("nanosecond", "nanoseconds"), "nanosecond"),
}
"""Names of the parts that the engine narrows."""

_PER_SECOND: Final = {"epoch": 1, "second": 1, "millisecond": 10**3, "microsecond": 10**6, "nanosecond": 10**9}
_WHOLE: Final = frozenset({"microsecond", "nanosecond"})
"""Parts that are whole numbers; the others have a fraction."""

_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DURATIONS: Final = {"Duration(s)": "s", "Duration(ms)": "ms", "Duration(µs)": "us", "Duration(ns)": "ns"}
_MINUTE_NS: Final = 60 * 10**9
_DAY_NS: Final = 86_400 * 10**9
_MONTH_DAYS: Final = 30
_EXACT_FLOAT: Final = 2**53
_MOST_PROBES: Final = 100
"""A statement that has more places than that is planned too often."""

_MOST_SAID: Final = 60
"""Characters of the statement in a message."""

_LITERAL_UNITS: Final = frozenset(
    f"{unit}{plural}" for unit in ("YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND") for plural in ("", "S")
)
"""What may stand behind `INTERVAL '1'`."""


def exact(sql: str, type_of: TypeOf) -> str:
    """A statement whose lengths of time are exact.

    Args:
        sql: a statement in the engine's words.
        type_of: tells types.

    Raises:
        QueryError: if intervals are put in order, or told apart, which the engine does field by field.
    """
    places = _Places(sql)
    if places.words.isdisjoint({*_EXTRACTS, _INTERVAL}):
        return sql
    items = group_brackets(sql, places.tokens)
    # Without an interval, all lengths are differences of times, which the engine compares as they are.
    compared = list(places.compared(items)) if _INTERVAL in places.words else []
    compared.sort(key=lambda operands: not any(operand.names_interval for operand in operands))
    text = _Rewriter(sql, list(places.extracts(items)), compared, type_of, has_intervals=_INTERVAL in places.words).text
    if _INTERVAL in places.words:
        _refuse_order(text, type_of)
    return text


@dataclass(frozen=True, slots=True)
class _Operand(Stretch):
    """A part of a statement that has a value; its items are tokens."""

    @property
    def is_literal(self) -> bool:
        """Whether it is a text, a number or a parameter."""
        return self.token is not None and not self.token.is_name

    @property
    def names_interval(self) -> bool:
        return any(isinstance(item, Token) and item.word == _INTERVAL for item in self.items)


@dataclass(frozen=True, slots=True)
class _Extract:
    """`extract(part FROM operand)`, from *start*; its closing bracket stands behind the operand."""

    start: int
    part: str
    operand: _Operand


class _Places:
    """Where lengths of time may stand in a statement."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self.tokens = tokenize(sql)
        self.words = {token.word for token in self.tokens}
        self._starts = [token.start for token in self.tokens]

    def extracts(self, items: Sequence[Item]) -> Iterator[_Extract]:
        """The calls that take a part of something."""
        for before, item in itertools.pairwise((None, *items)):
            if not isinstance(item, Group):
                continue
            if isinstance(before, Token) and before.word in _EXTRACTS and (asked := self._asked(before, item)) is not None:
                yield asked
            yield from self.extracts(item.items)

    def _asked(self, name: Token, call: Group) -> _Extract | None:
        """The part that a call names and what it is asked of; None for a part that the engine does not narrow."""
        if name.word == "EXTRACT":
            part, given = call.items[:1], call.items[2:]
        else:
            part, given = both if len(both := arguments(call)) == 2 else ((), ())
        named = _PARTS.get(part[0].text.lower()) if len(part) == 1 and isinstance(part[0], Token) else None
        return _Extract(name.start, named, self._operand(given[0].start, given[-1].end)) if named is not None and given else None

    def compared(self, items: tuple[Item, ...]) -> Iterator[list[_Operand]]:
        """What is compared with each other."""
        for before, item in itertools.pairwise((None, *items)):
            if isinstance(item, Group):
                if isinstance(before, Token) and before.word in _COMPARING_CALLS:
                    yield self._listed(item)
                yield from self.compared(item.items)
        parts = syntax.level(self._sql, items)
        words = [part.word if isinstance(part, Token) else "" for part in parts]
        for at, word in enumerate(words):
            operands: list[_Operand | None] = []
            if word in syntax.COMPARISONS:
                operands = [self._before(parts, at), self._after(parts, at)]
            elif word == "BETWEEN":
                then = words.index("AND", at) if "AND" in words[at:] else at
                operands = [self._before(parts, at - (words[at - 1] == "NOT")), self._after(parts, at), self._after(parts, then)]
            elif word == "IN" and at + 1 < len(parts) and isinstance(found := parts[at + 1], Atom) and isinstance(group := found.items[-1], Group):
                operands = [self._before(parts, at - (words[at - 1] == "NOT")), *self._listed(group)]
            elif words[at : at + 2] == ["DISTINCT", "FROM"]:
                operands = [self._before(parts, at - 1 - (words[at - 1] == "NOT")), self._after(parts, at + 1)]
            known = [operand for operand in operands if operand is not None]
            if known and len(known) == len(operands):
                yield known

    def ordered(self, items: tuple[Item, ...]) -> Iterator[_Operand]:
        """What is put in order or told apart: by MAX and MIN, ORDER BY, GROUP BY and DISTINCT."""
        for before, item in itertools.pairwise((None, *items)):
            if isinstance(item, Group):
                if isinstance(before, Token) and before.word in _ORDERING_CALLS:
                    yield from self._listed(item)
                yield from self.ordered(item.items)
        parts = syntax.level(self._sql, items)
        words = [part.word if isinstance(part, Token) else "" for part in parts]
        selected: list[_Operand | None] = []
        for at, word in enumerate(words):
            following = words[at + 1] if at + 1 < len(words) else ""
            if word == "SELECT":
                selected = list(self._several(parts, at + (following in {"DISTINCT", "ALL"})))
            elif (word == "BY" and words[at - 1] in {"ORDER", "GROUP"}) or (word == "DISTINCT" and following not in {"FROM", "ON"}):
                for operand in self._several(parts, at):
                    place = operand.token.text if operand is not None and operand.token is not None else ""
                    if place.isdecimal() and None not in selected[: int(place)]:  # the number of a column
                        yield from (each for each in selected[int(place) - 1 : int(place)] if each is not None)
                    elif operand is not None:
                        yield operand
            elif word == "ON" and words[at - 1] == "DISTINCT" and at + 1 < len(parts) and isinstance(atom := parts[at + 1], Atom):
                yield from (each for group in atom.items[:1] if isinstance(group, Group) for each in self._listed(group))

    def _several(self, parts: Parts, at: int) -> Iterator[_Operand | None]:
        """The operands of a list after a border; None for what is no expression."""
        yield self._after(parts, at)
        for place in range(at + 1, len(parts)):
            part = parts[place]
            if isinstance(part, Token) and part.word in _LIST_ENDS:
                return
            if isinstance(part, Token) and part.word == ",":
                yield self._after(parts, place)

    def _listed(self, group: Group) -> list[_Operand]:
        return [self._operand(each[0].start, each[-1].end) for each in arguments(group) if each]

    def _after(self, parts: Parts, at: int) -> _Operand | None:
        """The operand after a border; None where it is no expression."""
        end = at + 1
        while end < len(parts) and not isinstance(parts[end], Token) and (end == at + 1 or self._goes_on(parts, end)):
            end += 1
        return self._operand(parts[at + 1].start, parts[end - 1].end) if end > at + 1 else None

    def _before(self, parts: Parts, at: int) -> _Operand | None:
        """The operand before a border; None where it is no expression."""
        start = at
        while start > 0 and not isinstance(parts[start - 1], Token) and (start == at or self._goes_on(parts, start)):
            start -= 1
        return self._operand(parts[start].start, parts[at - 1].end) if start < at else None

    def _goes_on(self, parts: Parts, at: int) -> bool:
        """Whether an expression is the text, or the unit, of an INTERVAL that begins in the one before it."""
        if at < 1 or isinstance(parts[at - 1], Token):
            return False
        first = bisect_left(self._starts, parts[at].start)
        unit = self.tokens[first].word in _LITERAL_UNITS and self._goes_on(parts, at - 1)
        return self.tokens[first - 1].word == _INTERVAL or unit

    def _operand(self, start: int, end: int) -> _Operand:
        return _Operand(tuple(self.tokens[bisect_left(self._starts, start) : bisect_left(self._starts, end)]))


_Edit = tuple[int, int, str]
"""Where it starts and ends, and what stands there then."""


class _Types:
    """The types of operands of a statement, each asked for once."""

    def __init__(self, sql: str, operands: Iterable[_Operand], type_of: TypeOf, *, has_intervals: bool) -> None:
        self._sql = sql
        self._type_of = type_of
        self._has_intervals = has_intervals
        self._known: dict[str, str | None] = {}
        self._becoming: set[str] = set()
        self._places: dict[str, set[_Operand]] = {}
        for operand in operands:
            self._places.setdefault(self.said(operand), set()).add(operand)

    def of(self, operand: _Operand) -> str:
        """The type of an operand; empty where it is not known."""
        said = self.said(operand)
        if said not in self._known and len(self._known) < _MOST_PROBES:
            kind = self._probed(said, PROBE)
            if self._has_intervals and kind in _DURATIONS and (then := self._probed(said, _PROBE_OF_DURATIONS)) is not None:
                # A CASE or a UNION of both kinds is made an interval only after it has been planned.
                kind = then
                if then.startswith(_INTERVAL_TYPE):
                    self._becoming.add(said)
            self._known[said] = kind
        return self._known.get(said) or ""

    def becomes_interval(self, operand: _Operand) -> bool:
        """Whether an operand whose type was asked for is no interval before the statement is planned."""
        return self.said(operand) in self._becoming

    def said(self, operand: _Operand) -> str:
        """An operand as it is written."""
        return self._sql[operand.start : operand.end]

    def _probed(self, said: str, function: str) -> str | None:
        # In all places, for what is selected has to stay what is grouped by.
        edits = {edit for place in self._places[said] for edit in ((place.start, place.start, f"{function}("), (place.end, place.end, ")"))}
        return self._type_of(_edited(self._sql, edits))


class _Rewriter:
    """Asks for the types of operands, and makes the edits."""

    def __init__(
        self, sql: str, extracts: Sequence[_Extract], compared: Sequence[Sequence[_Operand]], type_of: TypeOf, *, has_intervals: bool
    ) -> None:
        asked = (*(extract.operand for extract in extracts), *itertools.chain.from_iterable(compared))
        self._types = _Types(sql, asked, type_of, has_intervals=has_intervals)
        self._edits: set[_Edit] = set()
        for extract in extracts:
            self._take(extract)
        for operands in compared:
            self._compare(operands)
        self.text = _edited(sql, self._edits)

    def _take(self, extract: _Extract) -> None:
        """Let a part of a length have all of its digits."""
        kind = self._types.of(extract.operand)
        of = f"duration_{_DURATIONS[kind]}" if kind in _DURATIONS else "interval" if kind.startswith(_INTERVAL_TYPE) else ""
        # The engine has an interval's epoch right.
        if of and (of, extract.part) != ("interval", "epoch"):
            before, after = self._made_interval(extract.operand)
            start, end = extract.operand.start, extract.operand.end
            self._edits |= {(extract.start, start, f"{extract.part}_of_{of}({before}"), (end, end, after)}

    def _compare(self, operands: Sequence[_Operand]) -> None:
        """Let intervals that are compared be lengths."""
        intervals = []
        for operand in sorted(operands, key=lambda operand: not operand.names_interval):
            kind = "" if operand.is_literal else self._types.of(operand)
            if kind.startswith(_INTERVAL_TYPE):
                intervals.append(operand)
            elif not operand.is_literal and kind not in _DURATIONS:
                return
        for operand in intervals:
            before, after = self._made_interval(operand)
            self._edits |= {(operand.start, operand.start, f"{_LENGTH}({before}"), (operand.end, operand.end, f"{after})")}

    def _made_interval(self, operand: _Operand) -> tuple[str, str]:
        """What stands around an operand that only becomes an interval, where one is expected."""
        return ("(", ")::interval") if self._types.becomes_interval(operand) else ("", "")


def _refuse_order(sql: str, type_of: TypeOf) -> None:
    """Let no intervals be put in order, or told apart: for the engine 25 hours come before a day, and 24 hours are not a day."""
    places = _Places(sql)
    ordered = [operand for operand in places.ordered(group_brackets(sql, places.tokens)) if not operand.is_literal]
    types = _Types(sql, ordered, type_of, has_intervals=True)
    for operand in ordered:
        # What is made of lengths has no days or months, also where it becomes an interval.
        if f"{_LENGTH}(" not in types.said(operand) and types.of(operand).startswith(_INTERVAL_TYPE):
            said = " ".join(types.said(operand).split())
            raise QueryError(
                f"Intervals cannot be put in order or told apart here: {said if len(said) <= _MOST_SAID else said[:_MOST_SAID] + ' …'}",
                expected="numbers or times in MAX, MIN, ORDER BY, GROUP BY and DISTINCT",
                hint=f"Take its seconds: extract(epoch FROM {said if len(said) <= _MOST_SAID else '…'})",
            )


def _edited(sql: str, edits: Iterable[_Edit]) -> str:
    out, at = [], 0
    for start, end, text in sorted(edits):
        out += [sql[at:start], text]
        at = end
    return "".join([*out, sql[at:]])


# --- the functions -------------------------------------------------------------------------------------------------------------------

# Each loads `pyarrow.compute` itself: that takes as long as a small question, and few ask for lengths.

_LENGTH: Final = "length_of_interval"
TOO_LONG: Final = "A length of time of more than 292 years has too many nanoseconds"
"""What the functions say where they cannot compute."""


def _of_duration(part: str, unit: str, lengths: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    counts, finer, coarser = lengths.cast(pa.int64()), _PER_SECOND[part], _UNITS[unit]
    if finer > coarser:
        try:
            counts, coarser = pc.multiply_checked(counts, finer // coarser), finer
        except pa.ArrowInvalid:
            raise OverflowError(TOO_LONG) from None
    return pc.divide(counts, coarser // finer) if part in _WHOLE else _quotient(counts, coarser // finer)


def _of_interval(part: str, intervals: pa.Array) -> pa.Array:
    """A part of what an interval has below a minute."""
    import pyarrow.compute as pc

    nanoseconds = _fields(intervals)[2]
    whole_minutes = pc.multiply(pc.divide(nanoseconds, _MINUTE_NS), _MINUTE_NS)
    return _of_duration(part, "ns", pc.subtract(nanoseconds, whole_minutes))


def _length(intervals: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    months, days, nanoseconds = _fields(intervals)
    days = pc.add(pc.multiply(months, _MONTH_DAYS), days)
    try:
        return pc.add_checked(pc.multiply_checked(days, _DAY_NS), nanoseconds).cast(pa.duration("ns"))
    except pa.ArrowInvalid:
        raise OverflowError(TOO_LONG) from None


def _quotient(counts: pa.Array, by: int) -> pa.Array:
    """The nearest float."""
    import pyarrow.compute as pc

    most = pc.max(pc.abs(counts)).as_py() or 0
    if most <= _EXACT_FLOAT:
        return pc.divide(counts.cast(pa.float64()), float(by))
    return pa.array([None if count is None else count / by for count in counts.to_pylist()], pa.float64())


def _fields(intervals: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Months, days and nanoseconds as whole numbers of 64 bits: two numbers of 32 bits and one of 64 are what Arrow has of each interval."""
    data, there = intervals.buffers()[1], intervals.is_valid()

    def field(kind: pa.DataType, many: int, which: int) -> pa.Array:
        import pyarrow.compute as pc

        numbers = pa.Array.from_buffers(kind, len(intervals) * many, [None, data], offset=intervals.offset * many)
        return pc.if_else(there, pc.list_element(pa.FixedSizeListArray.from_arrays(numbers, many), which).cast(pa.int64()), None)

    return field(pa.int32(), 4, 0), field(pa.int32(), 4, 1), field(pa.int64(), 2, 1)


def register(context: datafusion.SessionContext) -> None:
    """Make the functions known to an engine."""

    def add(name: str, function: Callable[[Any], Any], argument: pa.DataType, result: pa.DataType) -> None:
        context.register_udf(datafusion.udf(function, [argument], result, "immutable", name))

    interval = pa.month_day_nano_interval()
    for part in _PER_SECOND:
        result = pa.int64() if part in _WHOLE else pa.float64()
        add(f"{part}_of_interval", partial(_of_interval, part), interval, result)
        for unit in _UNITS:
            add(f"{part}_of_duration_{unit}", partial(_of_duration, part, unit), pa.duration(unit), result)
    add(_LENGTH, _length, interval, pa.duration("ns"))
    add(PROBE, lambda values: values, pa.struct([pa.field("nothing", pa.null())]), pa.int64())
    add(_PROBE_OF_DURATIONS, lambda values: values, pa.duration("us"), pa.duration("us"))
