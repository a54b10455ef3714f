"""How spans began, told by their ends: the line of a start says nothing that the line of its end does not, but for how many attributes there were.

Most starts are that plain. Where one is not, it keeps a row of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.store.reading.lines import PENDING, PENDING_START
from massgen_tracing.store.sealing import slices
from massgen_tracing.store.sealing.patterns import TAIL, Lines, Pattern
from massgen_tracing.store.sealing.slices import Mask, Places, Rows

UNKNOWN: Final = -1
OTHERWISE: Final = -2
"""What stands for a number of attributes where no start is known, and where it says something else than the end."""

_TRACE_LENGTH, _ID, _DIGITS = 32, 16, 19
"""Characters of a trace's id, of a span's, and of a time."""

_TRACE: Final = len('"traceId":"')
_OWN: Final = _TRACE + _TRACE_LENGTH + len('","spanId":"')
_SPAN: Final = _OWN + _ID + len('","parentSpanId":"')
_SINCE_NAME: Final = _SPAN + _ID + len('",')
"""Where a start has its trace, an id of its own (where an end has that of its span), the id of its span, and what follows."""

_FRAME: Final = ((0, b'"traceId":"'), (_TRACE + _TRACE_LENGTH, b'","spanId":"'), (_OWN + _ID, b'","parentSpanId":"'), (_SPAN + _ID, b'",'))
"""What stands around these, and where."""

_NAME: Final = b'"name":"'
_KEY: Final = b'{"key":"'
_SINCE: Final = b'","attributes":['
_BEHIND: Final = b'"}}' + TAIL
_MARKS: Final = PENDING.count(_KEY)
_MARK: Final = semconv.SPAN_TYPE_PENDING[:4].encode()
"""As much as tells a start from most ends."""

_NO_PARENT: Final = b"0" * _ID


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


def counts(pattern: Pattern, ends: Lines, borders: Places, starts: Lines, rows: Rows, tried: list[int]) -> npt.NDArray[np.int16]:
    """How many of its attributes each span had when it started; `UNKNOWN` without a start, `OTHERWISE` where that says what its end does not.

    Args:
        pattern: the shape of the ends.
        ends: lines.
        borders: the borders of the pieces of those of them that are of this shape.
        starts: lines of starts.
        rows: for each of these ends, which of the starts is its span's; less than 0 for none.
        tried: counts that were found for this shape before; new ones are added.
    """
    found = np.where(rows < 0, UNKNOWN, OTHERWISE).astype(np.int16)
    left = np.flatnonzero(rows >= 0)
    untried = iter([*tried])
    tested: set[int] = set()
    while len(left):
        count = next(untried, None)
        if count is None:
            count = starts.texts[int(rows[left[0]])].as_py().count(_KEY) - _MARKS
            if count in tested or count > len(pattern.keys):
                left = left[1:]
                continue
        tested.add(count)
        same = _begun_with(pattern, count, ends, borders[left], starts, rows[left])
        found[left[same]] = count
        if same.any() and count not in tried:
            tried.append(count)
        left = left[~same]
    return found


def _begun_with(pattern: Pattern, count: int, ends: Lines, borders: Places, starts: Lines, rows: Rows) -> Mask:
    """Which starts say what their ends say of a span that had so many attributes then."""
    trace, parent, name, end = (pattern.field(field) for field in ("trace", "parent", "name", "end"))
    assert trace is not None
    assert name is not None
    assert end is not None
    named, timed, timed_end = (pattern.at(borders, place) for place in (name.begin - len(_NAME), end.begin, end.end))
    had = pattern.at(borders, pattern.keys[count - 1].end if count else end.end + len(_SINCE))
    # A start has all that its end has from the name to the attributes that it had, but for another time of its end, and ids and marks around it.
    marks = PENDING if count == 0 else b"," + PENDING
    begins = starts.offsets[rows]
    since = begins + _SINCE_NAME
    time = since + (timed - named)
    attributes = time + _DIGITS
    mark = attributes + (had - timed_end)
    parent_id = mark + len(marks)
    same: Mask = parent_id + (_ID + len(_BEHIND)) == starts.offsets[rows + 1]
    some = np.flatnonzero(same)
    here, there = starts.data, ends.data
    agrees = slices.are_ids(here.at(begins[some] + _OWN, _ID)) & slices.are_digits(here.at(time[some], _DIGITS))
    for place, text in _FRAME:
        agrees &= here.have(begins[some] + place, text)
    for places, text in ((mark, marks), (parent_id + _ID, _BEHIND)):
        agrees &= here.have(places[some], text)
    if parent is None:
        agrees &= here.have(parent_id[some], _NO_PARENT)
    else:
        agrees &= here.same(parent_id[some], there, pattern.at(borders[some], parent.begin), _ID)
    agrees &= here.same(begins[some] + _TRACE, there, pattern.at(borders[some], trace.begin), _TRACE_LENGTH)
    for places, others, length in ((since, named, timed - named), (attributes, timed_end, had - timed_end)):
        agrees &= here.same(places[some], there, others[some], length[some])
    same[some] = agrees
    return same
