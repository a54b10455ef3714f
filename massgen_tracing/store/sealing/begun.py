"""How spans began, told by their ends: the line of a start says nothing that the line of its end does not, but for how many attributes there were.

Most starts are that plain. Where one is not, it keeps a row of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing import semconv
from massgen_tracing.store.reading.lines import PENDING, PENDING_START
from massgen_tracing.store.sealing import slices
from massgen_tracing.store.sealing.patterns import TAIL, Pattern
from massgen_tracing.store.sealing.slices import Cut, Mask, Places

UNKNOWN: Final = -1
OTHERWISE: Final = -2
"""What stands for a number of attributes where no start is known, and where it says something else than the end."""

_TRACE, _ID, _DIGITS = 32, 16, 19
"""Characters of a trace's id, of a span's, and of a time."""

_FRAME: Final = (b'"traceId":"', b'","spanId":"', b'","parentSpanId":"', b'",')
"""What stands before, between and behind the ids of a start."""

_OWN: Final = len(_FRAME[0]) + _TRACE + len(_FRAME[1])
_SPAN: Final = _OWN + _ID + len(_FRAME[2])
"""Where a start has an id of its own, as an end has that of its span; and where it has that of its span."""

_NAME: Final = b'"name":"'
_KEY: Final = b'{"key":"'
_SINCE: Final = b'","attributes":['
_BEHIND: Final = b'"}}' + TAIL
_MARKS: Final = PENDING.count(_KEY)
_MARK: Final = semconv.SPAN_TYPE_PENDING[:4].encode()
"""As much as tells a start from most ends."""

_NO_PARENT: Final = pa.scalar(b"0" * _ID, pa.binary())


def are_starts(lines: pa.Array) -> Mask:
    """Which lines look as one that tells a start; what else is in them is compared later."""
    offsets = slices.offsets_of(lines)
    places = offsets[1:] + (PENDING_START + PENDING.index(_MARK))
    are = places >= offsets[:-1]
    are[are] = slices.Bytes(lines.buffers()[2], int(offsets[-1])).have(places[are], _MARK)
    return are


def started_ids(starts: pa.Array) -> pa.Array:
    """The ids of the spans whose starts some lines tell."""
    return slices.between(starts, _SPAN, _SPAN + _ID)


def ended_ids(ends: pa.Array) -> pa.Array:
    """The ids of the spans that some lines are of."""
    return slices.between(ends, _OWN, _OWN + _ID)


def counts(pattern: Pattern, buffer: pa.Buffer, borders: Places, starts: pa.Array, tried: list[int]) -> npt.NDArray[np.int16]:
    """How many of its attributes each span had when it started; `UNKNOWN` without a start, `OTHERWISE` where that says what its end does not.

    Args:
        pattern: the shape of the ends.
        buffer: where these are.
        borders: the borders of their pieces.
        starts: for each of them, the line of its start, if there is one.
        tried: counts that were found for this shape before; new ones are added.
    """
    found = np.full(len(borders), UNKNOWN, np.int16)
    left = np.flatnonzero(slices.as_mask(starts.is_valid()))
    if len(left) < len(starts):
        starts = starts.take(pa.array(left))
    found[left] = OTHERWISE
    untried = iter([*tried])
    tested: set[int] = set()
    while len(left):
        count = next(untried, None)
        if count is None:
            count = starts[0].as_py().count(_KEY) - _MARKS
            if count in tested or count > len(pattern.keys):
                left, starts = left[1:], starts[1:]
                continue
        tested.add(count)
        same = _begun_with(pattern, count, buffer, borders[left], starts)
        found[left[same]] = count
        if same.any() and count not in tried:
            tried.append(count)
        left, starts = left[~same], starts.filter(pa.array(~same)) if not same.all() else starts[:0]
    return found


def _begun_with(pattern: Pattern, count: int, buffer: pa.Buffer, borders: Places, starts: pa.Array) -> Mask:
    """Which starts say what their ends say of a span that had so many attributes then."""
    trace, parent, name, end = (pattern.field(field) for field in ("trace", "parent", "name", "end"))
    assert trace is not None
    assert name is not None
    assert end is not None
    had = pattern.keys[count - 1].end if count else end.end + len(_SINCE)
    places = [trace.begin, trace.end, *((parent.begin, parent.end) if parent else ()), name.begin - len(_NAME), end.begin, end.end, had]
    said = np.stack([pattern.at(borders, place) for place in places], axis=1)
    # From the end's line: the ids, the name and the start's time with all between them, and the attributes. What a start has besides is known.
    marks = PENDING if count == 0 else b"," + PENDING
    frame = [len(_FRAME[0]), _TRACE, len(_FRAME[1]), _ID, len(_FRAME[2]), _ID, len(_FRAME[3]), 0, _DIGITS, 0, len(marks), _ID, len(_BEHIND)]
    lengths = np.tile(np.array(frame, np.int32), (len(said), 1))
    lengths[:, 7], lengths[:, 9] = said[:, -3] - said[:, -4], said[:, -1] - said[:, -2]
    offsets = slices.offsets_of(starts)
    begins = np.empty((len(said), len(frame) + 1), np.int32)
    begins[:, 0] = offsets[:-1]
    np.cumsum(lengths, axis=1, out=begins[:, 1:])
    begins[:, 1:] += offsets[:-1, None]
    same: Mask = begins[:, -1] == offsets[1:]
    rows = np.flatnonzero(same)
    start, whole = Cut(starts.buffers()[2], begins[rows]), Cut(buffer, said[rows])
    agrees = start.are([0, 2, 4, 6, 10, 12], b"".join(_FRAME) + marks + _BEHIND)
    trace_id, own_id, since, time, attributes, parent_id = start.pieces(1, 3, 7, 8, 9, 11)
    agrees &= slices.are_ids(own_id, _ID) & slices.are_digits(time, _DIGITS)
    wanted = whole.pieces(0, len(places) - 4, len(places) - 2, *((2,) if parent else ()))
    for here, there in zip((trace_id, since, attributes, parent_id), (*wanted, _NO_PARENT), strict=False):
        agrees &= slices.as_mask(pc.equal(here, there))
    same[rows] = agrees
    return same
