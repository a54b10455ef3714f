"""Lines of our own writer, taken apart by their shape: spans that differ in values only become columns together.

Most spans of a recording look alike: the same keys in the same order, with other values. The first line of a shape is decoded as any other and
becomes a pattern; what the pattern finds in the lines that follow are the values, which Arrow turns into columns all at once. What the values
cannot change (resource, kind, level) is taken from the row of the first line, so that both ways derive it by the same code. Lines that are not
that plain (events, links, bytes, maps, numbers of more digits) are left to the decoder of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading import otlp
from massgen_tracing.store.reading.lines import PENDING, PENDING_END, PENDING_START, LineDecoder
from massgen_tracing.store.sealing import sealed, typed
from massgen_tracing.store.sealing.groups import Part, constants, times
from massgen_tracing.store.tables import jsontext, records

_MAX_SHAPES: Final = 256
"""So many kinds of lines are told apart in one recording; each costs a pattern."""

_TEXT: Final = rb'[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*'
_TIME: Final = rb"[1-8][0-9]{18}"
_ITEM: Final = rb'\{"(?:stringValue":"' + _TEXT + rb'"|intValue":"(?:-?[1-9][0-9]{0,17}|0)"|boolValue":(?:true|false))\}'
_VALUES: Final = {
    b"string": (b'"', _TEXT, b'"'),
    b"int": (b'"', rb"-?[1-9][0-9]{0,17}|0", b'"'),
    b"double": (b"", rb"-?(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,2})?", b""),
    b"bool": (b"", rb"true|false", b""),
    b"array": (b'{"values":[', rb"(?:" + _ITEM + rb"(?:," + _ITEM + rb")*)?", b"]}"),
}
"""For each type of value, what stands around it and what it looks like; anything else is not plain."""

_PAIR: Final = re.compile(
    rb'\{"key":"([^"\\\x00-\x1f]*)","value":\{"(?:'
    + b"|".join(kind + b'Value":' + re.escape(before) + b"(?:" + value + b")" + re.escape(after) for kind, (before, value, after) in _VALUES.items())
    + rb")\}\}",
)
_KIND: Final = re.compile(rb'","value":\{"([a-z]+)Value":')
_FIELDS: Final = re.compile(
    rb'"traceId":"(?!0{32})[0-9a-f]{32}","spanId":"(?!0{16})[0-9a-f]{16}",'
    rb'(?P<parent>"parentSpanId":"(?!0{16})[0-9a-f]{16}",)?'
    rb'(?P<middle>(?:"status":\{"code":[0-2](?:,"message":"[^"\\\x00-\x1f]{0,64}")?\},)?'
    rb'(?:"dropped(?:Attributes|Events|Links)Count":[1-9][0-9]{0,8},){0,3}"flags":(?:0|[1-9][0-9]{0,8}),)'
    rb'"name":"' + _TEXT + rb'",(?P<kind>"kind":[0-5]),"startTimeUnixNano":"' + _TIME + rb'","endTimeUnixNano":"' + _TIME + rb'","attributes":\[',
)
_IDENTITY: Final = rb'^"traceId":"((?!0{32})[0-9a-f]{32})","spanId":"((?!0{16})[0-9a-f]{16})",'
_PARENT: Final = rb'"parentSpanId":"((?!0{16})[0-9a-f]{16})",'
_NAME: Final = b'"name":"'
_KEY: Final = b'{"key":"'
_TAIL: Final = b"]}]}]}]}\n"
_SPAN_ID, _PARENT_FIELD, _PARENT_ID, _AFTER_PARENT = 55, 74, 89, 107
"""Places after the head: of the span's id, of the field that names its parent if there is one, of the parent's id, and behind it."""

_DIGITS: Final = 19
"""Of a time."""

_UNKNOWN: Final = -1
_OTHERWISE: Final = -2
"""What stands for a number of attributes where no start is known, and where it says something else than the end."""

_PENDING_TAIL: Final = b'"}}' + _TAIL
_SINCE: Final = b'","attributes":['

_PARENT_NAME: Final = b'parentSpanId":"'

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

_STRING: Final = pa.string()
_INT: Final = pa.int64()


class NotPlain(Exception):
    """A value that the total reader has to judge."""


@dataclass(slots=True)
class _Shape:
    """What lines of one shape have in common, and the values that were found in them.

    Attributes:
        pattern: finds the values in a line.
        keys: the attributes in their order, and OTLP's types of their values.
        sample, row: the span of the first line, and its row.
        shown: the attributes that the row's `attributes` has.
        found: for each value, what was found in all lines.
        starts: for each line, how many attributes the span had at its start; `_UNKNOWN` where no start is known.
    """

    pattern: re.Pattern[bytes]
    keys: list[tuple[str, str]]
    sample: SpanRecord
    row: records.Row
    shown: frozenset[str]
    found: list[list[bytes]]
    starts: list[int] = field(default_factory=list)
    tells: dict[int, bool] = field(default_factory=lambda: {_UNKNOWN: True, _OTHERWISE: False})

    def add(self, found: list[tuple[bytes, ...]], counts: list[int]) -> None:
        """Add what was found in some lines."""
        for column, values in zip(self.found, zip(*found, strict=True), strict=True):
            column.extend(values)
        self.starts += counts

    def tells_start(self, count: int) -> bool:
        """Whether the row tells how the span was when it had its first *count* attributes only."""
        known = self.tells.get(count)
        if known is None:
            known = self.tells[count] = sealed.start_length(sealed.begun(self.sample, count), self.row) is not None
        return known


@dataclass(slots=True)
class _Bucket:
    """Lines that are likely to be of one shape.

    Attributes:
        head: resource and scope, with which they all begin.
        lines: what follows it.
        starts: for each line that of its span's start, if there is one.
        counts: how many attributes it had then.
    """

    head: bytes
    shapes: list[_Shape] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    starts: list[bytes | None] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


class Shapes:
    """The shapes of one recording's lines."""

    def __init__(self, decoder: LineDecoder) -> None:
        self._decoder = decoder
        self._heads: dict[bytes, dict[tuple[int, bytes, bytes], _Bucket]] = {}
        self._starts: dict[bytes, bytes] = {}
        self._count = 0

    def take(self, block: list[bytes]) -> list[tuple[bytes, bytes | None]]:
        """Take lines apart; returns those that are not that plain, or whose span began otherwise, each with its start.

        Raises:
            NotPlain: if a line is not one that our writer writes, or a span starts twice.
        """
        starts = self._starts
        head, at, buckets = b"\n", 0, self._heads.get(b"", {})
        for line in block:
            if not line.startswith(head):
                head, at, buckets = self._home(line)
            if line[PENDING_START:PENDING_END] == PENDING:
                span_id = line[at + _PARENT_ID : at + _PARENT_ID + 16]
                if span_id in starts:
                    raise NotPlain
                starts[span_id] = line
                continue
            start = starts.pop(line[at + _SPAN_ID : at + _SPAN_ID + 16], None)
            name = line.find(_NAME, at)
            # What is likely to tell shapes apart: where it does not, more than one pattern is tried.
            key = (line.count(_KEY, name), line[name + 8 : name + 12], line[at + _PARENT_FIELD : at + _PARENT_FIELD + 1])
            bucket = buckets.get(key)
            if bucket is None:
                bucket = buckets[key] = _Bucket(head)
            bucket.lines.append(line[at:])
            bucket.starts.append(start)
            bucket.counts.append(_UNKNOWN if start is None else _told(start, line, at, name))
        return [left for each in self._heads.values() for bucket in each.values() for left in self._settle(bucket)]

    def _home(self, line: bytes) -> tuple[bytes, int, dict[tuple[int, bytes, bytes], _Bucket]]:
        head = self._decoder.head(line)
        if head is None:
            raise NotPlain
        return head, len(head), self._heads.setdefault(head, {})

    def _settle(self, bucket: _Bucket) -> Iterator[tuple[bytes, bytes | None]]:
        """Find the values of a bucket's lines; gives those lines that are not plain."""
        lines, starts, counts = bucket.lines, bucket.starts, bucket.counts
        bucket.lines, bucket.starts, bucket.counts = [], [], []
        if lines and len(bucket.shapes) == 1:
            (only,) = bucket.shapes
            found = only.pattern.findall(b"".join(lines))
            if len(found) == len(lines) and all(map(only.tells_start, set(counts))):
                only.add(found, counts)
                return
        for line, start, count in zip(lines, starts, counts, strict=True):
            known = self._shape(bucket, line)
            if known is None or not known.tells_start(count):
                yield bucket.head + line, start
            else:
                known.add(known.pattern.findall(line), [count])

    def _shape(self, bucket: _Bucket, line: bytes) -> _Shape | None:
        """The shape of a line; None where it is not plain."""
        known = next((shape for shape in bucket.shapes if shape.pattern.fullmatch(line)), None)
        if known is not None or self._count >= _MAX_SHAPES:
            return known
        made = _pattern(line)
        span = None if made is None else self._decoder.span(bucket.head + line)
        if made is None or span is None or otlp.is_pending(span):
            return None
        row, shown = next(sealed.rows(span, None))
        pattern, keys = made
        shape = _Shape(pattern, keys, span, row, frozenset(shown), [[] for _ in range(pattern.groups)])
        self._count += 1
        bucket.shapes.append(shape)
        return shape

    def unfinished(self) -> Iterable[bytes]:
        """The lines of starts whose spans have not ended."""
        return self._starts.values()

    def parts(self) -> Iterator[Part]:
        """The rows of all lines that were taken since the last time.

        Raises:
            NotPlain: if a value is no text after all.
        """
        for buckets in self._heads.values():
            for bucket in buckets.values():
                for shape in bucket.shapes:
                    if shape.starts:
                        try:
                            yield _part(shape)
                        except (ValueError, pa.ArrowException) as error:
                            raise NotPlain from error
                        shape.found, shape.starts = [[] for _ in shape.found], []


def _pattern(line: bytes) -> tuple[re.Pattern[bytes], list[tuple[str, str]]] | None:
    """The pattern of a line's shape, and its keys with the types of their values; None for no plain line."""
    fields = _FIELDS.match(line)
    if fields is None:
        return None
    out = [_IDENTITY, _PARENT if fields["parent"] else b"()", re.escape(fields["middle"]), b'"name":"(', _TEXT, b')",', re.escape(fields["kind"])]
    out += [b',"startTimeUnixNano":"(', _TIME, b')","endTimeUnixNano":"(', _TIME, b')","attributes":\\[']
    place = fields.end()
    keys: dict[str, str] = {}
    while (pair := _PAIR.match(line, place)) is not None:
        key = pair[1].decode()
        kind = _KIND.match(line, pair.end(1))
        assert kind is not None
        if key in keys or key in _REFUSED:
            return None
        if key in _FIXED:
            if pair.end() - pair.start() > _MAX_FIXED or kind[1] == b"array" or b"\\" in pair[0]:
                return None
            out.append(re.escape(pair[0]))
        else:
            before, value, after = _VALUES[kind[1]]
            out += [re.escape(line[pair.start() : kind.end()] + before), b"(", value, b")", re.escape(after + b"}}")]
        keys[key] = kind[1].decode()
        place = pair.end()
        if line[place : place + 1] != b",":
            break
        out.append(b",")
        place += 1
    if line[place:] != _TAIL:
        return None
    out.append(re.escape(_TAIL))
    return re.compile(b"".join(out), re.MULTILINE), list(keys.items())


_NO_PARENT: Final = b"0" * 16
_END_TIME: Final = b'"endTimeUnixNano":"'
_IDS: Final = re.compile(rb'"traceId":"[0-9a-f]{32}","spanId":"(?!0{16})[0-9a-f]{16}","parentSpanId":"[0-9a-f]{16}","name":"')


def _told(start: bytes, line: bytes, at: int, name: int) -> int:
    """How many of its attributes a span had when it started; `_OTHERWISE` where its start says anything that its end does not.

    Args:
        start: a line that is written as that of a start.
        line: the line of a span that has ended, whose id that start names.
        at: where the span begins; in both, if they have the same head.
        name: where its name's field begins.
    """
    said = start[at + _AFTER_PARENT : PENDING_START]
    time = said.find(_END_TIME) + len(_END_TIME)
    after = time + _DIGITS
    parent = line[at + _PARENT_ID : at + _PARENT_ID + 16] if line.startswith(_PARENT_NAME, at + _PARENT_FIELD) else _NO_PARENT
    if (
        start[: at + 43] != line[: at + 43]
        or _IDS.match(start, at) is None
        or said[:time] != line[name : name + time]
        or not said[time:after].isdigit()
        or start[PENDING_END:] != parent + _PENDING_TAIL
    ):
        return _OTHERWISE
    if said.endswith(_SINCE):
        had = said[after:]
    elif said.endswith(b"}},"):
        # Whole attributes, which are followed by another or by none.
        had = said[after:-1]
        if line[name + len(said) - 1 : name + len(said)] not in {b",", b"]"}:
            return _OTHERWISE
    else:
        return _OTHERWISE
    return said.count(_KEY) if line.startswith(had, name + after) else _OTHERWISE


# --- columns -----------------------------------------------------------------------------------------------------------------------


class _Joined:
    """Texts that are put together from the same constants and the columns' texts."""

    def __init__(self) -> None:
        self._pieces: list[Any] = [""]
        self._constant = 0
        self._lengths: list[pa.Array] = []

    def add(self, text: str) -> None:
        """The same text in each row."""
        self._pieces[-1] += text
        self._constant += len(text)

    def add_column(self, texts: pa.Array) -> None:
        """Another text in each row."""
        self._pieces += [texts, ""]
        self._lengths.append(pc.utf8_length(texts))

    def text(self) -> Any:
        """The whole; a scalar where all rows say the same."""
        pieces = [piece for piece in self._pieces if isinstance(piece, pa.Array) or piece]
        return pc.binary_join_element_wise(*pieces, "") if self._lengths else pa.scalar(self._pieces[0])

    def length(self) -> Any:
        """How many characters it has so far."""
        total: Any = pa.scalar(self._constant, pa.int32())
        for each in self._lengths:
            total = pc.add(total, each)
        return total


def _part(shape: _Shape) -> Part:
    """The rows of what a shape found."""
    trace_ids, span_ids, parents, names, starts, ends, *found = shape.found
    columns = constants(shape.row)
    columns["trace_id"], columns["span_id"] = _ascii(trace_ids), _ascii(span_ids)
    if shape.sample.parent_span_id:
        columns["parent_span_id"] = _ascii(parents)
    columns["span_name"] = columns["message"] = _texts(names)[0]
    columns |= times(_integers(starts), _integers(ends), timed=shape.row["duration"] is not None)
    text = _Joined()
    text.add("{")
    lengths = [text.length()]
    values: list[tuple[str, str, Any]] = []
    captured = iter(found)
    for key, kind in shape.keys:
        constant = shape.sample.attributes[key]
        column = None if key in _FIXED else _value(kind, next(captured))
        if key not in shape.shown:
            continue
        text.add(f"{',' if len(lengths) > 1 else ''}{jsontext.dumps(key)}:")
        if column is None:
            text.add(jsontext.dumps(constant))
            values.append((key, typed.kind_of(constant), pa.scalar(constant)))
        else:
            quote = '"' if kind == "string" else ""
            text.add(quote)
            text.add_column(column[1])
            text.add(quote)
            values.append((key, typed.kind_of(constant), column[0]))
        lengths.append(text.length())
    text.add("}")
    columns["attributes"] = text.text()
    if any(count != _UNKNOWN for count in shape.starts):
        columns["start_length"] = _lengths(shape.starts, lengths)
    return Part(len(shape.starts), columns, values, columns["span_id"])


def _lengths(starts: Sequence[int], lengths: Sequence[Any]) -> Any:
    """How many characters of its attributes each span had at its start."""
    column: Any = pa.scalar(None, pa.int32())
    different = set(starts) - {_UNKNOWN}
    if len(different) == 1 and _UNKNOWN not in starts:
        return lengths[different.pop()]
    counts = pa.array(starts, pa.int16())
    for count in different:
        column = pc.if_else(pc.equal(counts, count), lengths[count], column)
    return column


def _ascii(values: Sequence[bytes]) -> pa.Array:
    return pa.array(values, pa.binary()).cast(_STRING)


def _integers(values: Sequence[bytes]) -> pa.Array:
    return _ascii(values).cast(_INT)


def _value(kind: str, values: Sequence[bytes]) -> tuple[Any, pa.Array]:
    """A column of an attribute's values, and their JSON, of texts what stands between the quotes."""
    if kind == "string":
        return _texts(values)
    if kind == "int":
        texts = _ascii(values)
        return texts.cast(_INT), texts
    if kind == "bool":
        texts = _ascii(values)
        return pc.equal(texts, "true"), texts
    if kind == "double":
        numbers = list(map(float, values))
        return pa.array(numbers, pa.float64()), pa.array(map(repr, numbers), _STRING)
    known = {value: _array(value) for value in set(values)}
    return None, pa.array([known[value] for value in values], _STRING)


def _array(items: bytes) -> str:
    """The JSON of an array, whose items' OTLP is given."""
    pair = {"key": "", "value": {"arrayValue": {"values": orjson.loads(b"[%b]" % items)}}}
    return jsontext.dumps(otlp.attributes([pair])[""])


def _texts(values: Sequence[bytes]) -> tuple[pa.Array, pa.Array]:
    """Texts, and their JSON without the quotes."""
    raw = pa.array(values, pa.binary())
    if not pc.any(pc.match_substring(raw, b"\\")).as_py():
        plain = raw.cast(_STRING)
        return plain, plain
    texts = [orjson.loads(b'"%b"' % value) for value in values]
    return pa.array(texts, _STRING), pa.array([jsontext.dumps(text)[1:-1] for text in texts], _STRING)
