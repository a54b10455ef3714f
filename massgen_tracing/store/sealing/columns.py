"""What lines of one shape say -> columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.model import SpanRecord
from massgen_tracing.store.sealing import begun, slices, typed
from massgen_tracing.store.sealing.groups import Part, constants, times
from massgen_tracing.store.sealing.patterns import Pattern
from massgen_tracing.store.sealing.slices import Cut
from massgen_tracing.store.tables import jsontext, records

_STRING: Final = pa.string()
_INT: Final = pa.int64()
_FIRST_TIME, _LAST_TIME = 10**18, 9 * 10**18
"""Times of nineteen digits, as far as a signed number of 64 bits and Arrow's own times go."""


class NotPlain(Exception):
    """A value that the total reader has to judge."""


@dataclass(frozen=True)
class Sample:
    """What the line that made a shape says.

    Attributes:
        pattern: the shape.
        span: the line's span.
        row: that span's row.
        shown: the attributes that the row's `attributes` has.
    """

    pattern: Pattern
    span: SpanRecord
    row: records.Row
    shown: frozenset[str]

    @cached_property
    def constants(self) -> dict[str, Any]:
        """The columns that say the same of all spans of the shape, and those that are given others instead."""
        return constants(self.row)


def part(sample: Sample, cut: Cut, counts: npt.NDArray[np.int16]) -> Part:
    """The rows of lines of one shape.

    Args:
        sample: the shape.
        cut: the lines.
        counts: how many attributes each span had at its start, as `begun.counts` says it.

    Raises:
        NotPlain: if a value is not what it looks like.
    """
    try:
        return _part(sample, cut, counts)
    except (ValueError, pa.ArrowException) as error:
        raise NotPlain from error


def _part(sample: Sample, cut: Cut, counts: npt.NDArray[np.int16]) -> Part:
    pattern, row = sample.pattern, sample.row
    texts = cut.pieces(*range(1, 2 * len(pattern.values), 2), kind=_STRING)
    fields = {value.kind: text for value, text in zip(pattern.values, texts, strict=True)}
    columns = dict(sample.constants)
    columns["trace_id"], columns["span_id"] = _id(fields["trace"], 32), _id(fields["span"], 16)
    if "parent" in fields:
        columns["parent_span_id"] = _id(fields["parent"], 16)
    columns["span_name"] = columns["message"] = _strings(fields["name"])[0]
    columns |= times(_times(fields["start"]), _times(fields["end"]), timed=row["duration"] is not None)
    if "status" in fields:
        columns["otel_status_message"] = _said(fields["status"])
    if pattern.exception:
        columns |= _exception(sample, _times(fields["event"]), texts)
    text = _Joined("{")
    lengths = [text.length()]
    values: list[tuple[str, str, Any]] = []
    for key in pattern.keys:
        found = [(pattern.values[number].kind, *_READ[pattern.values[number].kind](texts[number])) for number in key.values]
        if key.name not in sample.shown:
            continue
        constant = sample.span.attributes[key.name]
        text.add(f"{',' if len(lengths) > 1 else ''}{jsontext.dumps(key.name)}:")
        if key.kind == "array":
            text.add("[")
            for number, (kind, _, json) in enumerate(found):
                text.add("," if number else "")
                text.add_value(kind, json)
            text.add("]")
            values.append((key.name, typed.OTHER, None))
        elif found:
            ((kind, column, json),) = found
            text.add_value(kind, json)
            values.append((key.name, typed.kind_of(constant), column))
        else:
            text.add(jsontext.dumps(constant))
            values.append((key.name, typed.kind_of(constant), pa.scalar(constant)))
        lengths.append(text.length())
    text.add("}")
    columns["attributes"] = text.text()
    if (counts != begun.UNKNOWN).any():
        columns["start_length"] = _lengths(counts, lengths)
    return Part(len(counts), columns, values, columns["span_id"])


_MARK: Final = "\ue000"
"""A character for private use."""


def _exception(sample: Sample, times_ns: pa.Array, texts: Sequence[pa.Array]) -> dict[str, Any]:
    """The columns that say which exception a span had."""
    (event,) = sample.span.events
    found = {key.name: _strings(texts[key.values[0]]) for key in sample.pattern.exception}
    columns = {column: found[key][0] for column, key in records.EXCEPTION.items() if key in found}
    stamps = pc.binary_join_element_wise(pc.strftime(pc.divide(times_ns, 1000).cast(pa.timestamp("us")), "%Y-%m-%dT%H:%M:%S"), "Z", "")
    # What stands between the values is taken from the text of the same event with marks instead of them.
    marked = records.events_text([replace(event, attributes={key: f"{_MARK}{number}{_MARK}" for number, key in enumerate(found)})])
    before, after = marked.split(records.stamp(event.time_ns), 1)
    begin, *rest = re.split(f"{_MARK}[0-9]+{_MARK}", after)
    if len(rest) != len(found):
        raise NotPlain  # a key has such a mark itself
    text = _Joined(before)
    text.add_column(stamps)
    text.add(begin)
    for (_, json), behind in zip(found.values(), rest, strict=True):
        text.add_column(json)
        text.add(behind)
    columns["otel_events"] = text.text()
    before, after = sample.row["otlp_rest"].split(str(event.time_ns), 1)
    columns["otlp_rest"] = pc.binary_join_element_wise(before, times_ns.cast(_STRING), after, "")
    return columns


def _said(texts: pa.Array) -> pa.Array:
    """Texts of which none is empty, for that would be no text."""
    said = _strings(texts)[0]
    if pc.any(pc.equal(said, "")).as_py():
        raise NotPlain
    return said


class _Joined:
    """Texts that are put together from the same constants and the columns' texts."""

    def __init__(self, text: str) -> None:
        self._pieces: list[Any] = [text]
        self._constant = len(text)
        self._columns: list[pa.Array] = []

    def add(self, text: str) -> None:
        """The same text in each row."""
        self._pieces[-1] += text
        self._constant += len(text)

    def add_column(self, texts: pa.Array) -> None:
        """Another text in each row."""
        self._pieces += [texts, ""]
        self._columns.append(texts)

    def add_value(self, kind: str, json: pa.Array) -> None:
        """Values in each row; of texts what stands between the quotes."""
        quote = '"' if kind == "string" else ""
        self.add(quote)
        self.add_column(json)
        self.add(quote)

    def text(self) -> Any:
        """The whole; a scalar where all rows say the same."""
        pieces = [piece for piece in self._pieces if isinstance(piece, pa.Array) or piece]
        return pc.binary_join_element_wise(*pieces, "") if self._columns else pa.scalar(self._pieces[0])

    def length(self) -> Callable[[], Any]:
        """How many characters it has so far."""
        constant, columns = self._constant, tuple(self._columns)

        def length() -> Any:
            total: Any = pa.scalar(constant, pa.int32())
            for each in columns:
                total = pc.add(total, pc.utf8_length(each))
            return total

        return length


def _lengths(counts: npt.NDArray[np.int16], lengths: Sequence[Callable[[], Any]]) -> Any:
    """How many characters of its attributes each span had at its start."""
    different = np.unique(counts).tolist()
    if len(different) == 1:
        return lengths[different[0]]()
    column: Any = pa.scalar(None, pa.int32())
    for count in different:
        if count != begun.UNKNOWN:
            column = pc.if_else(pa.array(counts == count), lengths[count](), column)
    return column


def _id(texts: pa.Array, digits: int) -> pa.Array:
    if not slices.are_ids(slices.rows_of(texts, digits)).all():
        raise NotPlain
    return texts


def _times(texts: pa.Array) -> pa.Array:
    numbers = texts.cast(_INT)
    borders = pc.min_max(numbers).as_py()
    if borders["min"] < _FIRST_TIME or borders["max"] >= _LAST_TIME:
        raise NotPlain
    return numbers


def _strings(plain: pa.Array) -> tuple[pa.Array, pa.Array]:
    if not slices.has_backslash(slices.bytes_of(plain)):
        return plain, plain
    escaped = pc.match_substring(plain, "\\")
    texts = [orjson.loads(f'"{value}"') for value in plain.filter(escaped).to_pylist()]
    written = [jsontext.dumps(text)[1:-1] for text in texts]
    return tuple(pc.replace_with_mask(plain, escaped, pa.array(said, _STRING)) for said in (texts, written))


def _integers(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    numbers = texts.cast(_INT)
    if not numbers.cast(_STRING).equals(texts):
        raise NotPlain  # zeros or a sign too many, or hexadecimal
    return numbers, texts


_NUMBER: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


def _doubles(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    numbers = texts.cast(pa.float64())
    size = np.abs(numbers.to_numpy())
    # Arrow writes these numbers as Python does, and others without a fraction or with other exponents.
    is_common = (size >= 1e-4) & (size < 1e15) & (size % 1 != 0)
    written = numbers.cast(_STRING)
    if not is_common.all():
        if not np.isfinite(size).all():
            raise NotPlain
        others = pa.array(~is_common)
        written = pc.replace_with_mask(written, others, pa.array(map(repr, numbers.filter(others).to_pylist()), _STRING))
    if not written.equals(texts) and not pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py():
        raise NotPlain
    return numbers, written


def _booleans(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    true = pc.equal(texts, "true")
    if not pc.all(pc.or_(true, pc.equal(texts, "false"))).as_py():
        raise NotPlain
    return true, texts


_READ: Final[dict[str, Callable[[pa.Array], tuple[pa.Array, pa.Array]]]] = {
    "string": _strings,
    "int": _integers,
    "double": _doubles,
    "bool": _booleans,
}
