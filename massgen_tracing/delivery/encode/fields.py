"""Where the fields of many plain spans stand on their lines."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.delivery.encode import messages, verbatim
from massgen_tracing.delivery.encode.columns import Fields, Times
from massgen_tracing.delivery.encode.octets import Mask, Octets, Positions, Text, offsets
from massgen_tracing.delivery.encode.protobuf import Protobuf
from massgen_tracing.delivery.encode.shape import KEY
from massgen_tracing.delivery.encode.spans import Form

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
"""Bytes within which a span's start mostly follows its ids."""
_PRINTABLE: Final = np.uint8(0x20), np.uint8(0x7E)
_DIGITS: Final = 19
"""Of a time between 2001 and 2262."""

_DIGIT: Final = np.uint8(ord("0"))
_LETTER: Final = np.uint8(ord("a"))
_LOWER: Final = 9
_POWERS: Final = np.zeros((_DIGITS, 2))
_POWERS[:-_LOWER, 0], _POWERS[-_LOWER:, 1] = 10.0 ** np.arange(_DIGITS - _LOWER)[::-1], 10.0 ** np.arange(_LOWER)[::-1]
"""What each digit of a time counts, in its upper digits and in its lower ones, which are exact as doubles."""


def plain(bodies: pa.BinaryArray, form: Form) -> Fields | None:
    """The plain spans of these lines, each from where its span begins; None where there are none."""
    text = Text.of(bodies.buffers()[2])
    places = offsets(bodies).astype(np.int64)
    begins, ends = places[:-1], places[1:] - len(_TAIL)
    span_id = begins + len(_TRACE) + 32 + len(_SPAN)
    has_parent = text.has(span_id + 16, _PARENT)
    since = np.minimum(span_id + 16 + np.where(has_parent, len(_PARENT) + 16, 0), places[1:])
    start = _starts(text, since, places[1:])
    attributes = start + len(_START) + _DIGITS + len(_END) + _DIGITS + len(_ATTRIBUTES)
    good = text.has(begins, _TRACE) & text.has(span_id - len(_SPAN), _SPAN) & text.has(ends, _TAIL) & (since < start) & (attributes < ends)
    good &= text.has(since, _NEXT) & text.has(start + len(_START) + _DIGITS, _END) & text.has(attributes - len(_ATTRIBUTES), _ATTRIBUTES)
    odd = text.octets[: places[-1]] - _PRINTABLE[0] > _PRINTABLE[1] - _PRINTABLE[0]  # below, where numbers wrap around, or above
    if np.count_nonzero(odd) > len(bodies):  # each line has its end
        good &= np.add.reduceat(odd, begins, dtype=np.int64) == 1
    numbers = np.flatnonzero(good)
    if not len(numbers):
        return None
    has_parent, since, start, attributes, ends = has_parent[numbers], since[numbers], start[numbers], attributes[numbers], ends[numbers]
    keys, of_keys = _ids(text, (begins[numbers] + len(_TRACE), 32), (span_id[numbers], 16))
    parents, of_parents = _ids(text, (np.where(has_parent, since - 16, span_id[numbers]), 16))
    (started, of_start), (ended, of_end) = (_times(text, at) for at in (start + len(_START), start + len(_START) + _DIGITS + len(_END)))
    written = text.parts(since + len(_NEXT), start), text.parts(attributes, ends)
    if isinstance(form, Protobuf):
        contents, good = messages.contents(messages.Beginnings(keys, started, ended, parents, has_parent), *written, form)
    else:  # in JSON, as it stands
        good = verbatim.good(*written)
        contents = pc.binary_join_element_wise(text.parts(begins[numbers], ends + len(_SPAN_TAIL)), form.separator, b"")
    fields = Fields(numbers, np.zeros(len(numbers), np.int64), keys, parents, has_parent, started, contents)
    good = good & of_keys & of_parents & of_start & of_end
    return fields if good.all() else fields.rows(good)


def _starts(text: Text, since: Positions, ends: Positions) -> Positions:
    """Where between these places the start of each span stands; before them where it is not there."""
    found = pc.find_substring(text.parts(since, np.minimum(since + _NEAR, ends)), _START).to_numpy()
    far = np.flatnonzero((found < 0) & (since + _NEAR < ends))
    if len(far):  # behind events
        found = found.copy()
        found[far] = pc.find_substring(text.parts(since[far], ends[far]), _START).to_numpy()
    starts: Positions = since + found
    return starts


def _ids(text: Text, *parts: tuple[Positions, int]) -> tuple[Octets, Mask]:
    """Ids that are written in hex, as bytes, a row each; and which rows are such ids."""
    digits = np.concatenate([text.rows(at, width) for at, width in parts], axis=1)
    nibbles: Octets = (digits & np.uint8(0x0F)) + np.uint8(9) * (digits >> np.uint8(6))
    found: Octets = nibbles[:, ::2] << np.uint8(4) | nibbles[:, 1::2]
    good = _every((digits - _DIGIT < 10) | (digits - _LETTER < 6))  # below, numbers wrap around
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
