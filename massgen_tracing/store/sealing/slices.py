"""Many texts cut at once: pieces of one buffer as Arrow arrays, by where they begin and end, without a look at each of them."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.signedinteger[Any]]
"""Offsets into a buffer, of 32 bits."""

Mask = npt.NDArray[np.bool_]

Rows = npt.NDArray[np.signedinteger[Any]]
"""Numbers of texts, ascending."""

MAX_BYTES: Final = 2**30
"""Of one buffer, so that its offsets are numbers of 32 bits."""

_BACKSLASH, _SPACE = b"\\ "

_SHORT: Final = 32
WINDOW: Final = 128
"""So many bytes are looked at at once, at most."""

_UNTIL: Final = {end: re.compile(rb"[^\\%b]*(?:\\.[^\\%b]*)*" % (end.encode(), end.encode()), re.DOTALL) for end in '"}'}


def of_lines(buffer: bytearray, length: int) -> pa.Array:
    """The lines, each with its end, that so many bytes at the beginning of a buffer are; the bytes stay there.

    Raises:
        ValueError: if the last line has no end, or they are too many.
    """
    if length > MAX_BYTES or not buffer.endswith(b"\n", 0, length):
        raise ValueError("whole lines are expected")
    offsets, place = [0], 0
    while place := buffer.find(b"\n", place, length) + 1:  # which takes less time than NumPy: lines are long
        offsets.append(place)
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(np.array(offsets, np.int32)), pa.py_buffer(buffer)])


def offsets_of(texts: pa.Array) -> Places:
    """Where each of an array's texts begins, and where the last one ends."""
    return np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, texts.offset * 4)


def bytes_of(texts: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of an array's texts, one behind the other."""
    offsets = offsets_of(texts)
    length = int(offsets[-1] - offsets[0])
    return np.frombuffer(texts.buffers()[2], np.uint8, length, int(offsets[0])) if length else np.zeros(0, np.uint8)


def has_backslash(data: npt.NDArray[np.uint8]) -> bool:
    """Whether any text has an escape."""
    return bool((data == _BACKSLASH).any())


def has_controls(texts: pa.Array) -> bool:
    """Whether there are control characters; JSON has none in strings."""
    data = bytes_of(texts)
    return bool(len(data) and data.min() < _SPACE)


class Bytes:
    """A buffer that is looked at in many places at once; what is asked for must lie in it.

    Args:
        buffer: the buffer.
        length: how many of its bytes count.
    """

    def __init__(self, buffer: pa.Buffer | bytearray, length: int) -> None:
        self._buffer = buffer
        self._length = length

    def at(self, places: Places, count: int) -> npt.NDArray[np.uint8]:
        """So many bytes at each place."""
        # An array of all pieces of this length, which overlap; NumPy copies those that are asked for.
        everywhere = np.ndarray((max(0, self._length - count + 1),), f"V{count}", self._buffer, strides=(1,))
        return everywhere[places].view(np.uint8).reshape(len(places), count)

    def have(self, places: Places, expected: bytes) -> Mask:
        """At which places some bytes are."""
        mask = _of_rows(self.at(places, min(len(expected), WINDOW)) == np.frombuffer(expected[:WINDOW], np.uint8))
        if len(expected) > WINDOW:
            mask[mask] = self.have(places[mask] + WINDOW, expected[WINDOW:])
        return mask

    def ends(self, places: Places, end: str) -> Places:
        """Where what begins at each place ends: before a byte, which a backslash escapes."""
        ends, left = places.copy(), np.arange(len(places))
        for count in (_SHORT, WINDOW):
            is_end = self.at(ends[left], count) == ord(end)
            first = is_end.argmax(axis=1)
            is_found = is_end[np.arange(len(left)), first]
            ends[left] += np.where(is_found, first, count)
            left = left[~is_found]
            if not len(left):
                break
        # Few are that long or end with an escape, which may be that of the byte.
        is_escaped = np.flatnonzero(self.at(np.maximum(ends - 1, places), 1)[:, 0] == _BACKSLASH)
        until, data = _UNTIL[end], memoryview(self._buffer)
        for number in {*left.tolist(), *is_escaped.tolist()}:
            found = until.match(data, int(places[number]), self._length)
            assert found is not None
            ends[number] = found.end()
        return ends


class Cut:
    """Texts, each cut at places of its own into the same number of pieces.

    Args:
        buffer: where the texts are.
        borders: for each text, in their order in the buffer, where its pieces begin and where the last one ends.
    """

    def __init__(self, buffer: pa.Buffer, borders: Places) -> None:
        rows, self._width = borders.shape
        offsets = np.empty(borders.size + 1, np.int32)
        offsets[:-1] = borders.ravel()
        offsets[-1] = offsets[-2] if rows else 0
        # Behind each text's last piece comes what lies between it and the next text.
        self._all = pa.Array.from_buffers(pa.binary(), borders.size, [None, pa.py_buffer(offsets), buffer])
        self._rows = rows

    def pieces(self, *numbers: int, kind: pa.DataType | None = None) -> list[pa.Array]:
        """The same pieces of each text.

        Raises:
            pyarrow.ArrowException: if they are to be strings and are not UTF-8.
        """
        places = np.arange(0, len(self._all), self._width) + np.array(numbers)[:, None]
        found = self._all.take(pa.array(places.ravel())).cast(kind or pa.binary())
        return [found[at : at + self._rows] for at in range(0, len(found), self._rows)] if self._rows else [found] * len(numbers)

    def are(self, numbers: list[int], expected: bytes) -> Mask:
        """Whether some pieces of each text, put together, are what is expected; they must be as long as that."""
        places = np.arange(0, len(self._all), self._width)[:, None] + np.array(numbers)
        said = rows_of(self._all.take(pa.array(places.ravel())), self._rows, len(expected))
        same: Mask = said == np.frombuffer(expected, np.uint8)
        return _of_rows(same)


def between(texts: pa.Array, begin: int, end: int | None = None, rows: Rows | None = None) -> pa.Array:
    """A part of each text, from and to places that count from its end if they are negative; what a text does not have is left out.

    Arrow's own function fails for some texts that are shorter than it expects.

    Args:
        texts: texts.
        begin: the first place.
        end: the last; None for the text's end.
        rows: of which texts; None for all.
    """
    offsets = offsets_of(texts)
    starts, stops = (offsets[:-1], offsets[1:]) if rows is None else (offsets[rows], offsets[rows + 1])
    borders = np.empty((len(starts), 2), np.int32)
    borders[:, 0] = np.clip((stops if begin < 0 else starts) + begin, starts, stops)
    borders[:, 1] = stops if end is None else np.clip((stops if end < 0 else starts) + end, borders[:, 0], stops)
    return Cut(texts.buffers()[2], borders).pieces(0)[0]


def rows_of(texts: pa.Array, rows: int, length: int) -> npt.NDArray[np.uint8]:
    """The bytes of texts that all have the same length, text by text."""
    return bytes_of(texts).reshape(rows, length)


def are_ids(texts: pa.Array, digits: int) -> Mask:
    """Which of texts with so many characters are ids as OTLP/JSON has them: lower-case hexadecimal, and not all zeros."""
    said = rows_of(texts, len(texts), digits)
    is_hexadecimal = ((said - ord("0")) < 10) | ((said - ord("a")) < 6)
    return _of_rows(is_hexadecimal) & ~as_mask(pc.equal(texts, pa.scalar("0" * digits, texts.type)))


def are_digits(texts: pa.Array, digits: int) -> Mask:
    """Which of texts with so many characters are decimal digits only."""
    return _of_rows((rows_of(texts, len(texts), digits) - ord("0")) < 10)


def _of_rows(truths: npt.NDArray[np.bool_]) -> Mask:
    """In which rows all is true; most often in each."""
    if truths.all():
        return np.ones(len(truths), np.bool_)
    mask: Mask = np.logical_and.reduce(truths, axis=1)
    return mask


def as_mask(truths: pa.Array) -> Mask:
    """Arrow's truth values as NumPy's."""
    mask: Mask = truths.to_numpy(zero_copy_only=False)
    return mask
