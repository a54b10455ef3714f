"""Many lines of our own writer at once: where their fields stand is found for all of them, and what recurs in them is encoded once.

It takes a fraction of the time of a line at a time, and needs Arrow and NumPy, which take a while to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import compress, repeat
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.delivery.encode import attributes as at_once
from massgen_tracing.delivery.encode.octets import (
    Lengths,
    Mask,
    Octets,
    Positions,
    Text,
    binary,
    bounds,
    column,
    of_rows,
    offsets,
    varints,
    whole_rows,
)
from massgen_tracing.delivery.encode.protobuf import BETWEEN, KEY, Protobuf
from massgen_tracing.delivery.encode.shape import REST
from massgen_tracing.delivery.encode.spans import EncodedSpan, Form, Home, attempted
from massgen_tracing.store.reading.lines import PENDING, PENDING_START, SPANS

_MOST_HEADS: Final = 16
"""Heads in one block that are looked for; lines with others are taken one by one."""

_TRACE: Final = b'{"traceId":"'
_SPAN: Final = b'","spanId":"'
_PARENT: Final = b'","parentSpanId":"'
_NEXT: Final = b'",'
_START: Final = b'"startTimeUnixNano":"'
_END: Final = b'","endTimeUnixNano":"'
_ATTRIBUTES: Final = b'","attributes":[' + KEY
_SPAN_TAIL: Final = b"]}"
_TAIL: Final = _SPAN_TAIL + b"]}]}]}\n"
_NEAR: Final = 256
"""Bytes within which a span's start follows its ids; where it does not, its line is taken for itself."""
_PRINTABLE: Final = np.uint8(0x20), np.uint8(0x7E)
_DIGITS: Final = 19
"""Of a time between 2001 and 2262."""

Times = npt.NDArray[np.uint64]

_NONE: Final[tuple[Positions, list[EncodedSpan]]] = np.empty(0, np.int64), []
"""Of these lines, none."""

_NIBBLES: Final = np.full(256, 0xFF, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_LOWER: Final = 9
_POWERS: Final = np.zeros((_DIGITS, 2))
_POWERS[:-_LOWER, 0], _POWERS[-_LOWER:, 1] = 10.0 ** np.arange(_DIGITS - _LOWER)[::-1], 10.0 ** np.arange(_LOWER)[::-1]
"""What each digit of a time counts, in its upper digits and in its lower ones, which are exact as doubles."""


class _Beginnings(NamedTuple):
    """What no two spans have alike."""

    keys: Octets
    started: Times
    ended: Times
    parents: Octets
    has_parent: Mask

    def before(self, lengths: Lengths) -> pa.BinaryArray:
        """The field `spans` of a ScopeSpans message up to the rest of it, which has these lengths."""
        count = len(lengths)
        # What stands below before the rest: 18 bytes of a trace's id, 10 of a span's, 9 of each time, and 10 of a parent.
        size, needed = varints(lengths + np.where(self.has_parent, 56, 46), 5)
        columns = (
            column(count, 0x12), size, column(count, 0x0A, 0x10), self.keys[:, :16], column(count, 0x12, 0x08), self.keys[:, 16:],
            column(count, 0x39), _fixed(self.started), column(count, 0x41), _fixed(self.ended), column(count, 0x22, 0x08), self.parents,
        )  # fmt: skip
        rows = np.concatenate(columns, axis=1)
        kept = np.ones(rows.shape, np.bool_)
        kept[:, 1:6], kept[:, -10:] = needed, self.has_parent[:, None]
        return of_rows(rows, kept)


def _fixed(numbers: Times) -> Octets:
    return numbers.astype("<u8")[:, None].view(np.uint8)


class Run(NamedTuple):
    """Lines that follow each other.

    Attributes:
        spans: theirs, each with the position behind its line.
        line: the line after them, which is none of the plain ones; empty where there is none.
        end: the position behind all of it.
    """

    spans: list[tuple[EncodedSpan, int]]
    line: bytes
    end: int


def runs(block: memoryview, position: int, form: Form, wanted: Callable[[bytes], bool]) -> Iterator[Run]:
    """Whole lines as spans, starts left out.

    Args:
        block: the lines.
        position: where they begin.
        form: what encodes what recurs.
        wanted: whether spans with this head are.
    """
    text = Text.of(block)
    ends: Positions = np.flatnonzero(text.octets == ord("\n")) + 1
    begins: Positions = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    given = ~text.has(ends + PENDING_START, PENDING)
    found: list[Any] = [None] * len(ends)
    for head, numbers in _by_head(text, begins, ends, given):
        if not wanted(head):
            given[numbers] = False
        elif head.isascii() and (home := form.home(head)) is not None:
            plain, made = attempted(_plain, text.parts(begins[numbers] + len(head) - 1, ends[numbers]), home, form) or _NONE
            for number, span in zip(numbers[plain].tolist(), made, strict=True):
                found[number] = span
    chosen = np.flatnonzero(given)
    behind = (ends[chosen] + position).tolist()
    spans = [found[number] for number in chosen.tolist()]
    begin = 0
    for at in [at for at, span in enumerate(spans) if span is None]:
        line = bytes(text.octets[begins[chosen[at]] : ends[chosen[at]]])
        yield Run(list(zip(spans[begin:at], behind[begin:at], strict=True)), line, behind[at])
        begin = at + 1
    yield Run(list(zip(spans[begin:], behind[begin:], strict=True)), b"", position + len(text.octets))


def _by_head(text: Text, begins: Positions, ends: Positions, given: Mask) -> Iterator[tuple[bytes, Positions]]:
    """What given lines begin with, up to the span, and the numbers of those that do."""
    lines = binary(np.append(begins[:1], ends).astype(np.int32), text.buffer)
    left = given.copy()
    for _ in range(_MOST_HEADS):
        if not left.any():
            break
        line = lines[int(left.argmax())].as_py()
        head = line[: line.find(SPANS) + len(SPANS)]
        same = left & pc.starts_with(lines, head).to_numpy(zero_copy_only=False)
        left &= ~same
        if head.endswith(SPANS):
            yield head, np.flatnonzero(same)


def _plain(bodies: pa.BinaryArray, home: Home, form: Form) -> tuple[Positions, list[EncodedSpan]]:
    """Which of these lines, each from where its span begins, are plain spans; and these."""
    text = Text.of(bodies.buffers()[2])
    places = offsets(bodies).astype(np.int64)
    begins, ends = places[:-1], places[1:] - len(_TAIL)
    span_id = begins + len(_TRACE) + 32 + len(_SPAN)
    has_parent = text.has(span_id + 16, _PARENT)
    since = np.minimum(span_id + 16 + np.where(has_parent, len(_PARENT) + 16, 0), places[1:])
    near = text.parts(since, np.minimum(since + _NEAR, places[1:]))
    start = since + pc.find_substring(near, _START).to_numpy()
    attributes = start + len(_START) + _DIGITS + len(_END) + _DIGITS + len(_ATTRIBUTES)
    plain = text.has(begins, _TRACE) & text.has(span_id - len(_SPAN), _SPAN) & text.has(ends, _TAIL) & (since < start) & (attributes < ends)
    plain &= text.has(since, _NEXT) & text.has(start + len(_START) + _DIGITS, _END) & text.has(attributes - len(_ATTRIBUTES), _ATTRIBUTES)
    odd = text.octets[: places[-1]] - _PRINTABLE[0] > _PRINTABLE[1] - _PRINTABLE[0]  # below, where numbers wrap around, or above
    if np.count_nonzero(odd) > len(bodies):  # each line has its end
        plain &= np.add.reduceat(odd, begins, dtype=np.int64) == 1
    numbers = np.flatnonzero(plain)
    if not len(numbers):
        return numbers, []
    has_parent, since, start, attributes = has_parent[numbers], since[numbers], start[numbers], attributes[numbers]
    keys, of_keys = _ids(text, (begins[numbers] + len(_TRACE), 32), (span_id[numbers], 16))
    parents, of_parents = _ids(text, (np.where(has_parent, since - 16, span_id[numbers]), 16))
    (started, of_start), (ended, of_end) = (_times(text, at) for at in (start + len(_START), start + len(_START) + _DIGITS + len(_END)))
    if isinstance(form, Protobuf):
        written = text.parts(since + len(_NEXT), start), text.parts(attributes, ends[numbers])
        contents, good = _contents(_Beginnings(keys, started, ended, parents, has_parent), *written, form)
    else:  # in JSON, as it stands
        contents = text.parts(begins[numbers], ends[numbers] + len(_SPAN_TAIL))
        good = pc.match_substring_regex(text.parts(since + len(_NEXT), ends[numbers] + len(_SPAN_TAIL)), f"^{REST}$").to_numpy(zero_copy_only=False)
    above = binary(bounds(8 * has_parent.astype(np.int64)), parents[has_parent].tobytes())
    fields = zip(repeat(home), _listed(keys), above.to_pylist(), started.tolist(), contents.to_pylist(), repeat(False))
    made: Iterator[EncodedSpan] = map(tuple.__new__, repeat(EncodedSpan), fields)  # half the time of the class itself
    chosen = good & of_keys & of_parents & of_start & of_end
    return numbers[chosen], list(compress(made, chosen.tolist()))


def _contents(beginnings: _Beginnings, middles: pa.BinaryArray, attributes: pa.BinaryArray, form: Protobuf) -> tuple[pa.BinaryArray, Mask]:
    """Spans in protobuf, and which of them are right: of what stands between ids and times, and in the lists of attributes."""
    middles = _middles(middles, form)
    texts = pc.split_pattern(attributes, BETWEEN)
    pieces = at_once.encoded(texts.flatten(), form)
    firsts = offsets(texts)[:-1]
    good = ~np.logical_or.reduceat(pieces.is_null().to_numpy(zero_copy_only=False), firsts) & middles.is_valid().to_numpy(zero_copy_only=False)
    encoded = binary(offsets(pieces)[np.append(firsts, len(pieces))], pieces.buffers()[2])
    lengths = np.diff(offsets(middles)) + np.diff(offsets(encoded))
    return pc.binary_join_element_wise(beginnings.before(lengths.astype(np.int64)), middles, encoded, b""), good


def _ids(text: Text, *parts: tuple[Positions, int]) -> tuple[Octets, Mask]:
    """Ids that are written in hex, as bytes, a row each; and which rows are such ids."""
    nibbles = _NIBBLES[np.concatenate([text.rows(at, width) for at, width in parts], axis=1)]
    found: Octets = nibbles[:, ::2] << 4 | nibbles[:, 1::2]
    good = _every(nibbles < 16)
    begin = 0
    for _, width in parts:
        good &= found[:, begin : begin + width // 2].any(axis=1)  # all zeros stand for no id
        begin += width // 2
    return found, good


def _times(text: Text, at: Positions) -> tuple[Times, Mask]:
    """Nanoseconds that are written at these places; and which of them are a time."""
    digits = text.rows(at, _DIGITS) - ord("0")
    halves = (digits.astype(np.float64) @ _POWERS).astype(np.uint64)
    return halves[:, 0] * np.uint64(10**_LOWER) + halves[:, 1], _every(digits < 10) & (digits[:, 0] > 0) & (digits[:, 0] < 9)


def _every(good: Mask) -> Mask:
    """In which rows all is good; mostly in all of them."""
    return np.ones(len(good), np.bool_) if good.all() else np.all(good, axis=1)


def _middles(written: pa.BinaryArray, form: Protobuf) -> pa.BinaryArray:
    """What stands between ids and times, encoded; null where it is not that of a plain span."""
    found = written.dictionary_encode()
    return pa.array([attempted(form.since, each) for each in found.dictionary.to_pylist()], pa.binary()).take(found.indices)


def _listed(rows: Octets) -> list[bytes]:
    """Rows as bytes."""
    found: list[bytes] = whole_rows(rows).to_pylist()
    return found
