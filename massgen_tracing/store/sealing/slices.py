"""Many texts cut at once: pieces of one buffer as Arrow arrays, by where they begin and end, without a look at each of them."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Places = npt.NDArray[np.signedinteger[Any]]
"""Offsets into a buffer, of 32 bits."""

Mask = npt.NDArray[np.bool_]

Rows = npt.NDArray[np.signedinteger[Any]]
"""Numbers of texts, ascending."""

MAX_BYTES: Final = 2**30
"""Of one buffer, so that its offsets are numbers of 32 bits."""

_BACKSLASH, _SPACE = b"\\ "

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

    def same(self, places: Places, other: Bytes, others: Places, length: Places | int) -> Mask:
        """At which places the same bytes are as at others, as many as are told."""
        lengths = np.broadcast_to(np.asarray(length, np.int32), places.shape)
        mask = np.ones(len(places), np.bool_)
        if not len(places):
            return mask
        count = min(WINDOW, 2 ** (int(lengths.min()).bit_length() - 1))
        rows, at = np.arange(len(places)), 0
        while len(rows):
            # The last bytes are compared from their end, with some that were compared before.
            shift = np.minimum(at, lengths[rows] - count)
            mask[rows] &= _of_rows(self.at(places[rows] + shift, count) == other.at(others[rows] + shift, count))
            at += count
            rows = rows[lengths[rows] > at]
        return mask

    def ends(self, places: Places, end: str, *, escapes: bool) -> Places:
        """Where what begins at each place ends: before a byte; *escapes* tells whether a backslash before it makes it one of many."""
        first = _first(self.at(places, 8).view("<u8")[:, 0], ord(end))
        ends, left = places + first, np.flatnonzero(first == 8)
        if len(left):
            is_end = self.at(ends[left], WINDOW) == ord(end)
            first = is_end.argmax(axis=1)
            ends[left] += first
            left = left[~is_end[np.arange(len(left)), first]]
        # Few are that long or end with an escape, which may be that of the byte.
        if escapes:
            left = np.append(left, np.flatnonzero(self.at(np.maximum(ends - 1, places), 1)[:, 0] == _BACKSLASH))
        data = memoryview(self._buffer)
        for number in left.tolist():
            found = _UNTIL[end].match(data, int(places[number]), self._length)
            assert found is not None
            ends[number] = found.end()
        return ends


_ONES: Final = np.uint64(0x0101010101010101)
_HIGHS: Final = np.uint64(0x8080808080808080)


def _first(words: npt.NDArray[np.uint64], byte: int) -> Places:
    """Which of the eight bytes of each word is the first that is *byte*; 8 where none is."""
    differ = words ^ (np.uint64(byte) * _ONES)
    marks = (differ - _ONES) & ~differ & _HIGHS  # the highest bit of the first byte that does not differ, and perhaps of some behind it
    below = (marks & (~marks + np.uint64(1))) - np.uint64(1)
    count = ((below & _ONES) * _ONES) >> np.uint64(56)
    return np.where(marks == 0, 8, count.astype(np.int32) - 1)


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


def rows_of(texts: pa.Array, length: int) -> npt.NDArray[np.uint8]:
    """The bytes of texts that all have the same length, text by text."""
    return bytes_of(texts).reshape(len(texts), length)


def are_ids(said: npt.NDArray[np.uint8]) -> Mask:
    """Which rows of characters are ids as OTLP/JSON has them: lower-case hexadecimal, and not all zeros."""
    return _of_rows(((said - ord("0")) < 10) | ((said - ord("a")) < 6)) & ~_of_rows(said == ord("0"))


def are_digits(said: npt.NDArray[np.uint8]) -> Mask:
    """Which rows of characters are decimal digits only."""
    return _of_rows((said - ord("0")) < 10)


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
