"""Row groups of a sealed file: rows from either way of reading, put together by their start, with columns for the attributes that are asked for.

A group is made of parts: rows of one shape, and rows of spans that were decoded one by one. Which attributes have a column besides the documented
ones is decided by the file's first group, for a column says one thing throughout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.model import SpanRecord
from massgen_tracing.store.sealing import sealed, slices, typed
from massgen_tracing.store.tables import records

_MAX_TRACES: Final = 4096
_MAX_KEYS: Final = 4096

_FREQUENT: Final = 100
"""One row of so many has to have the key."""

_MAX_CHARACTERS: Final = 64
"""The longest text a key may have, on average, to be worth keeping twice."""

_DIFFERENT: Final = frozenset({"trace_id", "span_name", "message", "span_id", "parent_span_id", "attributes"})
"""Texts that differ from row to row; all others recur."""

_TIME: Final = sealed.FIXED.field("start_timestamp").type
_ORDER: Final = [("start_timestamp", "ascending"), ("trace_id", "ascending"), ("span_id", "ascending"), ("kind", "ascending")]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows.

    Attributes:
        rows: how many they are.
        columns: arrays by the columns' names, or a scalar where all rows say the same; a column that is not named is empty.
        values: for each key that attributes have, the kind of its values, and these as a column; None for values that no column can hold.
        span_ids: of those that are spans, not copies of events or starts.
    """

    rows: int
    columns: dict[str, Any]
    values: list[tuple[str, str, Any]]
    span_ids: pa.Array


def of_spans(spans: Iterable[tuple[SpanRecord, SpanRecord | None]]) -> Part | None:
    """The rows of spans that were decoded one by one, each with how it was at its start, where that is known; None for no rows."""
    rows: list[records.Row] = []
    ids: list[str] = []
    values: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for span, start in spans:
        ids.append(span.span_id)
        for row, shown in sealed.rows(span, start):
            for key, value in shown.items():
                values.setdefault((key, typed.kind_of(value)), []).append((len(rows), value))
            rows.append(row)
    if not rows:
        return None
    table = records.to_table(rows, sealed.FIXED)
    said = [(key, kind, _sparse(len(rows), pairs, kind)) for (key, kind), pairs in values.items()]
    columns = {name: column.combine_chunks() for name, column in zip(table.column_names, table.columns, strict=True)}
    return Part(len(rows), columns, said, pa.array(ids, pa.string()))


def _sparse(length: int, values: Iterable[tuple[int, Any]], kind: str) -> pa.Array | None:
    """A column that has values in a few places."""
    if kind == typed.OTHER:
        return None
    column: list[Any] = [None] * length
    for place, value in values:
        column[place] = value
    return pa.array(column, typed.ARROW[kind])


def constants(row: records.Row) -> dict[str, Any]:
    """The columns of rows that all say the same as one row."""
    return {each.name: pa.scalar(row[each.name], each.type) for each in sealed.FIXED if row[each.name] is not None}


def times(start_ns: pa.Array, end_ns: pa.Array, *, timed: bool) -> dict[str, Any]:
    """The columns that say when spans were; *timed* where they have a duration."""
    thousand = pa.scalar(1000, pa.int64())
    start, end = pc.divide(start_ns, thousand), pc.divide(end_ns, thousand)
    columns = {
        "start_timestamp": start.cast(_TIME),
        "start_nanos": pc.subtract(start_ns, pc.multiply(start, thousand)).cast(pa.int16()),
        "end_timestamp": end.cast(_TIME),
        "end_nanos": pc.subtract(end_ns, pc.multiply(end, thousand)).cast(pa.int16()),
        "created_at": end.cast(_TIME),
        "day": start.cast(_TIME).cast(pa.date32()),
    }
    if timed:
        columns["duration"] = pc.divide(pc.subtract(end, start).cast(pa.float64()), 1e6)
    return columns


@dataclass(slots=True)
class Groups:
    """Makes the row groups of one file, and gathers what its footer says."""

    pending: int = 0
    begun: int = 0
    first_us: int = 2**63 - 1
    last_us: int = 0
    traces: set[str] | None = field(default_factory=set)
    keys: dict[str, str] | None = field(default_factory=dict)
    columns: dict[str, typed.Typed] | None = None
    ids: list[pa.Array] = field(default_factory=list)

    def table(self, parts: Sequence[Part]) -> pa.Table:
        """The rows of some parts as one row group."""
        for part in parts:
            self._note(part)
        if self.columns is None:
            self.columns = typed.COLUMNS | {known.key: known for known in _worth(parts)}
        order = _order(parts)
        self.first_us = min(self.first_us, order.first_us)
        self.last_us = max(self.last_us, order.last_us)
        columns = {}
        for each in sealed.FIXED:
            pieces = [part.columns.get(each.name) for part in parts]
            recurs = each.type == pa.string() and each.name not in _DIFFERENT
            columns[each.name] = _recurring(pieces, order) if recurs else _merged(pieces, each.type, order)
        values = [{(key, kind): value for key, kind, value in part.values} for part in parts]
        for known in self.columns.values():
            pieces = [said.get((known.key, known.kind)) for said in values]
            columns[known.column] = _merged(pieces, known.field.type, order)
        for each in typed.SPARE_FIELDS:
            columns.setdefault(each.name, pa.nulls(len(order.places), each.type))
        return pa.table(columns).select(sealed.SCHEMA.names)

    def _note(self, part: Part) -> None:
        self.ids.append(_numbers(part.span_ids))
        if self.traces is not None:
            traces = part.columns["trace_id"]
            self.traces.update([traces.as_py()] if isinstance(traces, pa.Scalar) else traces.unique().to_pylist())
            if len(self.traces) > _MAX_TRACES:
                self.traces = None
        kinds = part.columns["kind"]
        if isinstance(kinds, pa.Array):
            self.pending += pc.sum(pc.equal(kinds, records.PENDING)).as_py()
        lengths = part.columns.get("start_length")
        if lengths is not None:
            self.begun += part.rows - lengths.null_count if isinstance(lengths, pa.Array) else part.rows
        for key, kind, _ in part.values:
            if self.keys is not None and self.keys.get(key) != kind:
                self.keys[key] = kind if key not in self.keys else typed.OTHER
                if len(self.keys) > _MAX_KEYS:
                    self.keys = None

    def repeats(self) -> bool:
        """Whether two spans may be the same; spans of different traces that have the same id count too, for they are as rare."""
        return bool(pc.count_distinct(pa.chunked_array(self.ids, pa.uint64())).as_py() < self._spans())

    def _spans(self) -> int:
        return sum(map(len, self.ids))

    def index(self, *, lines: int, skipped: int, source_bytes: int, source_digest: str) -> sealed.Index:
        """All that was gathered."""
        return sealed.Index(
            spans=self._spans(),
            pending=self.pending,
            begun=self.begun,
            lines=lines,
            skipped=skipped,
            first_us=self.first_us,
            last_us=self.last_us,
            traces=None if self.traces is None else tuple(sorted(self.traces)),
            keys=self.keys,
            columns={key: known.column for key, known in (self.columns or {}).items() if key not in typed.COLUMNS},
            source_bytes=source_bytes,
            source_digest=source_digest,
        )


def _numbers(ids: pa.Array) -> pa.Array:
    """Ids of sixteen digits as numbers, which take a third of the memory."""
    digits = slices.bytes_of(ids).tobytes().decode("ascii")
    return pa.Array.from_buffers(pa.uint64(), len(ids), [None, pa.py_buffer(bytes.fromhex(digits))])


def _worth(parts: Sequence[Part]) -> list[typed.Typed]:
    """The undocumented keys that are worth a column."""
    rows: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    for part in parts:
        for key, kind, values in part.values:
            kinds[key] = kind if kinds.get(key, kind) == kind else typed.OTHER
            if key in typed.COLUMNS or values is None:
                continue
            one = isinstance(values, pa.Scalar)
            rows[key] += part.rows if one else part.rows - values.null_count
            if kind == "str":
                length = pc.utf8_length(values)
                characters[key] += length.as_py() * part.rows if one else pc.sum(length).as_py() or 0
    every = sum(part.rows for part in parts)
    frequent = [
        key
        for key, count in sorted(rows.items(), key=lambda item: (-item[1], item[0]))
        if kinds[key] != typed.OTHER and count * _FREQUENT >= every and characters[key] <= count * _MAX_CHARACTERS
    ]
    return typed.spared((key, kinds[key]) for key in frequent)


@dataclass(frozen=True, slots=True)
class _Order:
    """In which order the rows of all parts come; *sizes* are those of the parts."""

    places: pa.Array
    sizes: tuple[int, ...]
    first_us: int
    last_us: int


def _order(parts: Sequence[Part]) -> _Order:
    sizes = tuple(part.rows for part in parts)
    keys = [
        pa.concat_arrays([_array(part.columns[name], sealed.FIXED.field(name).type, part.rows) for part in parts])
        for name in (name for name, _ in _ORDER)
    ]
    borders = pc.min_max(keys[0].cast(pa.int64())).as_py()
    places = pc.sort_indices(pa.record_batch(keys, names=[name for name, _ in _ORDER]), sort_keys=_ORDER)
    return _Order(places, sizes, borders["min"], borders["max"])


def _array(piece: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if piece is None:
        return pa.nulls(rows, kind)
    return pa.repeat(piece, rows) if isinstance(piece, pa.Scalar) else piece


def _merged(pieces: Sequence[Any], kind: pa.DataType, order: _Order) -> pa.Array:
    """The columns of all parts as one, in order."""
    if all(piece is None for piece in pieces):
        return pa.nulls(len(order.places), kind)
    if all(isinstance(piece, pa.Scalar) and piece == pieces[0] for piece in pieces):
        return pa.repeat(pieces[0], len(order.places))
    whole = pa.concat_arrays([_array(piece, kind, rows) for piece, rows in zip(pieces, order.sizes, strict=True)])
    return whole.take(order.places)


def _recurring(pieces: Sequence[Any], order: _Order) -> pa.Array:
    """The same for texts that recur: each is there once, in a dictionary."""
    numbers: dict[str, int] = {}
    places: list[Any] = []
    for piece in pieces:
        if isinstance(piece, pa.Array):
            encoded = piece.dictionary_encode()
            known = [numbers.setdefault(text, len(numbers)) for text in encoded.dictionary.to_pylist()]
            places.append(pa.array(known, pa.int32()).take(encoded.indices))
        else:
            places.append(None if piece is None else pa.scalar(numbers.setdefault(piece.as_py(), len(numbers)), pa.int32()))
    return pa.DictionaryArray.from_arrays(_merged(places, pa.int32(), order), pa.array(list(numbers), pa.string()))
