"""What lines of one shape have in common: the pattern that a line makes of itself, and what it takes for others to be like it.

Our writer writes the same keys in the same order with nothing between them, so that two lines of a shape differ in values only. What stands before a
value says where it begins, the next quote or bracket where it ends. All lines of a shape are compared with the first one at once, piece by piece, and
byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.store.reading.lines import is_text
from massgen_tracing.store.sealing import slices
from massgen_tracing.store.sealing.slices import Bytes, Places, Rows

_TEXT: Final = rb'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*'
_TIME: Final = rb"[1-8][0-9]{18}"
_INTEGER: Final = rb"-?[1-9][0-9]{0,17}|0"
_SCALARS: Final = (
    rb'stringValue":"(?P<string>' + _TEXT + rb')"',
    rb'intValue":"(?P<int>' + _INTEGER + rb')"',
    rb'boolValue":(?P<bool>true|false)',
)
_ITEM: Final = re.compile(rb'\{"(?:' + rb"|".join(_SCALARS) + rb")\},?")
_ITEMS: Final = re.sub(rb"\?P<[a-z]+>", b"?:", rb'\{"(?:' + rb"|".join(_SCALARS) + rb")\}")
_VALUES: Final = (
    *_SCALARS,
    rb'doubleValue":(?P<double>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)',
    rb'arrayValue":\{"values":\[(?P<array>(?:' + _ITEMS + rb"(?:," + _ITEMS + rb")*)?)\]\}",
)
"""Values that are plain; anything else is decoded."""

_PAIR: Final = re.compile(rb'\{"key":"(?P<key>[^"\\\x00-\x1f]*)","value":\{"(?:' + rb"|".join(_VALUES) + rb")\}\}")
_EXCEPTION: Final = rb'\{"key":"[^"\\\x00-\x1f]*","value":\{"stringValue":"' + _TEXT + rb'"\}\}'
_FIELDS: Final = re.compile(
    rb'"traceId":"(?P<trace>(?!0{32})[0-9a-f]{32})","spanId":"(?P<span>(?!0{16})[0-9a-f]{16})",'
    rb'(?:"parentSpanId":"(?P<parent>(?!0{16})[0-9a-f]{16})",)?'
    rb'(?:"events":\[\{"timeUnixNano":"(?P<event>' + _TIME + rb')","name":"exception",'
    rb'"attributes":\[(?P<exception>' + _EXCEPTION + rb"(?:," + _EXCEPTION + rb")*)\]\}\],)?"
    rb'(?:"status":\{"code":[0-2](?:,"message":"(?P<status>' + _TEXT + rb')")?\},)?'
    rb'(?:"dropped(?:Attributes|Events|Links)Count":[1-9][0-9]{0,8},){0,3}"flags":(?:0|[1-9][0-9]{0,8}),'
    rb'"name":"(?P<name>' + _TEXT + rb')","kind":[0-5],'
    rb'"startTimeUnixNano":"(?P<start>' + _TIME + rb')","endTimeUnixNano":"(?P<end>' + _TIME + rb')","attributes":\[',
)
TAIL: Final = b"]}]}]}]}"
_SAME_LENGTH: Final = frozenset({"trace", "span", "parent", "event", "start", "end"})
"""Fields that have always as many characters."""

_BARE: Final = frozenset({"double", "bool"})
"""Types that have a bracket behind them, not a quote."""

_ESCAPED: Final = frozenset({"name", "status", "string"})
"""Fields and types that may have escapes."""

_TELLING: Final = ((75, 1), (105, 31))
"""Places in a line, and how many bytes of it, that are likely to tell shapes apart: whether there is a parent, and how the name begins."""

_WEIGHTS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)
"""Make one number of those bytes."""

_PADDING: Final = pa.array([b'"}' * slices.WINDOW + b"\0" * 2 * slices.WINDOW], pa.binary())

_FIXED: Final = frozenset({semconv.LOGFIRE_SPAN_TYPE, semconv.LOGFIRE_LEVEL, semconv.HTTP_METHOD, semconv.HTTP_STATUS, semconv.HTTP_STATUS_OLD})
"""Attributes with few values that other columns are derived from: their value belongs to the shape."""

_REFUSED: Final = frozenset(
    {
        *(semconv.LOGFIRE_MSG, semconv.LOGFIRE_TAGS, semconv.LOGFIRE_JSON_SCHEMA),
        *(semconv.HTTP_ROUTE, semconv.URL_FULL, semconv.HTTP_URL, semconv.URL_PATH, semconv.URL_QUERY),
    }
)
"""Attributes with many values that other columns are derived from."""

_MAX_FIXED: Final = 96
"""Characters of a pair that belongs to the shape; texts that are longer hardly recur."""


@dataclass(frozen=True, slots=True)
class Value:
    """A place in a line where lines of one shape differ.

    Attributes:
        kind: which field of the span it is, or which type of OTLP's values.
        begin, end: where it is in the line that made the pattern.
    """

    kind: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute.

    Attributes:
        name: its key.
        kind: OTLP's type of its value.
        values: the numbers of the pattern's values that it has: one; of an array, as many as that has items; none if the value belongs to the shape.
        end: where it ends, the brackets behind it included, in the line that made the pattern.
    """

    name: str
    kind: str
    values: range
    end: int


@dataclass(frozen=True)
class Pattern:
    """What a line tells of those that are like it.

    Attributes:
        line: the line.
        values: what differs.
        keys: the attributes, in their order.
        exception: those of the exception that the span had; empty where it had none.
    """

    line: bytes
    values: tuple[Value, ...]
    keys: tuple[Key, ...]
    exception: tuple[Key, ...]

    def field(self, kind: str) -> Value | None:
        """The value that is a field of the span; None where lines of the shape have no such field."""
        return next((value for value in self.values if value.kind == kind), None)

    @cached_property
    def _borders(self) -> Places:
        """The borders of the line's own pieces."""
        return np.array([0, *(place for value in self.values for place in (value.begin, value.end)), len(self.line)], np.int32)

    def at(self, borders: Places, place: int) -> Places:
        """Where each of some lines has what the pattern's line has at a place that is in no value.

        Args:
            borders: the borders of the lines' pieces.
            place: in the pattern's line.
        """
        number = int(np.searchsorted(self._borders, place, side="right")) - 1
        there: Places = borders[:, number] + (place - self._borders[number])
        return there

    @cached_property
    def _constants(self) -> list[bytes]:
        """What stands before each value, and behind the last."""
        return [self.line[begin:end] for begin, end in zip(self._borders[::2], self._borders[1::2], strict=True)]

    def matching(self, lines: Lines, rows: Rows) -> tuple[Rows, Places]:
        """Which lines are of the shape, and where their pieces begin and the last one ends.

        Args:
            lines: lines.
            rows: those of them to be looked at, ascending.
        """
        ends = lines.offsets[rows + 1]
        place = lines.offsets[rows]
        borders = [place]
        for value, constant in zip((*self.values, None), self._constants, strict=True):
            fits = lines.data.have(place, constant)
            if value is None:
                fits &= place + len(constant) == ends
            if not fits.all():
                rows, ends, place, *borders = (each[fits] for each in (rows, ends, place, *borders))
            if not len(rows):
                break
            begin = place + len(constant)
            borders.append(begin)
            if value is not None:
                if value.kind in _SAME_LENGTH:
                    place = begin + (value.end - value.begin)
                else:
                    place = lines.data.ends(begin, "}" if value.kind in _BARE else '"', escapes=value.kind in _ESCAPED)
                borders.append(place)
        return rows, np.stack(borders, axis=1)


class Lines:
    """Lines, without the head that they share and their ends.

    Args:
        pieces: arrays of lines.
    """

    def __init__(self, pieces: Iterable[pa.Array]) -> None:
        # What is behind the last line belongs to none, but may be looked at.
        padded = pa.concat_arrays([*pieces, _PADDING])
        self.texts = padded[:-1]
        self.buffer: pa.Buffer = padded.buffers()[2]
        self.offsets = slices.offsets_of(self.texts)
        self.data = Bytes(self.buffer, int(slices.offsets_of(padded)[-1]))

    def alike(self) -> Iterator[tuple[int, Rows]]:
        """The numbers of lines that are likely to have the same shape, for they have a parent or none and are named alike, and a number for these."""
        if not len(self.texts):
            return iter(())
        said = np.concatenate([self.data.at(self.offsets[:-1] + place, count) for place, count in _TELLING], axis=1)
        keys = said.view(np.uint64) @ _WEIGHTS
        order = np.argsort(keys, kind="stable")
        borders = np.flatnonzero(np.diff(keys[order])) + 1
        return ((int(keys[rows[0]]), rows) for rows in np.split(order, borders))


def of(line: bytes) -> Pattern | None:
    """The pattern of a line; None where it is not plain."""
    fields = _FIELDS.match(line)
    if fields is None or fields["status"] == b"" or not is_text(line):
        return None
    values: list[Value] = []
    exception: list[Key] = []
    for name in ("trace", "span", "parent", "event", "exception", "status", "name", "start", "end"):
        if fields[name] is None:
            continue
        if name == "exception":
            exception = _keys(line, fields.start(name), values)
        else:
            values.append(Value(name, *fields.span(name)))
    keys = _keys(line, fields.end(), values)
    end = keys[-1].end if keys else fields.end()
    names, of_exception = {key.name for key in keys}, {key.name for key in exception}
    are_plain = _REFUSED.isdisjoint(names) and _FIXED.isdisjoint(of_exception)
    are_different = len(names) == len(keys) and len(of_exception) == len(exception)
    if line[end:] != TAIL or not are_plain or not are_different:
        return None
    return Pattern(line, tuple(values), tuple(keys), tuple(exception))


def _keys(line: bytes, place: int, values: list[Value]) -> list[Key]:
    """The plain attributes from a place on; their values are added to the others."""
    keys: list[Key] = []
    while (pair := _PAIR.match(line, place)) is not None:
        name, kind = pair["key"].decode(), pair.lastgroup or ""
        found = [Value(kind, *pair.span(kind))]
        if kind == "array":
            found = [Value(item.lastgroup or "", *item.span(item.lastgroup or "")) for item in _ITEM.finditer(line, *pair.span(kind))]
        if name in _FIXED:
            if kind == "array" or pair.end() - pair.start() > _MAX_FIXED or b"\\" in pair[0]:
                break
            found = []
        keys.append(Key(name, kind, range(len(values), len(values) + len(found)), pair.end()))
        values += found
        if line[pair.end() : pair.end() + 1] != b",":
            break
        place = pair.end() + 1
    return keys
