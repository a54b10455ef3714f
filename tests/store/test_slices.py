"""Bytes that are looked at in many places at once: the same as one place after the other."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from massgen_tracing.store.sealing import slices
from massgen_tracing.store.sealing.slices import WINDOW, Bytes, Cut

ALPHABET = st.sampled_from([b'"', b"\\", b"}", b"a", b"\x00", b"\x80", b"\xa2", b"!", b"#", b"}" * 9, b"x" * 7, b"y" * 40, b"z" * WINDOW])
PIECES = st.lists(ALPHABET, max_size=12).map(b"".join)
PADDING = b'"}' * 2 * WINDOW


def looked_at(data: bytes) -> Bytes:
    """Some bytes, with others behind them."""
    return Bytes(pa.py_buffer(data + PADDING), len(data + PADDING))


@given(PIECES, st.sampled_from(['"', "}"]))
@example(b'\\\\"', '"')
@example(b'a\\"b"', '"')
def test_what_begins_at_a_place_ends_before_the_first_end_that_is_not_escaped(data: bytes, end: str) -> None:
    """However long it is, wherever it begins, and however many backslashes stand before its end."""
    places = np.arange(len(data) + 1, dtype=np.int32)
    mark = re.escape(end).encode()
    until = re.compile(rb"(?:[^\\" + mark + rb"]|\\.)*", re.DOTALL)
    expected = [found.end() for place in places.tolist() if (found := until.match(data + PADDING, place))]
    found = looked_at(data).ends(places, end, escapes=True).tolist()
    # Begun in the middle of an escape or not, what comes before the end is not asked for a second time.
    assert found == expected


@given(PIECES, st.sampled_from(['"', "}"]))
def test_without_escapes_the_first_end_counts(data: bytes, end: str) -> None:
    """Numbers and truth values have none."""
    data = data.replace(b"\\", b"")
    places = np.arange(len(data) + 1, dtype=np.int32)
    found = looked_at(data).ends(places, end, escapes=False).tolist()
    assert found == [(data + PADDING).index(end.encode(), place) for place in places.tolist()]


@given(PIECES, st.lists(ALPHABET, min_size=1, max_size=4).map(b"".join))
def test_bytes_are_found_where_they_are(data: bytes, expected: bytes) -> None:
    """Also where they are longer than what is looked at at once."""
    data += expected
    places = np.arange(len(data), dtype=np.int32)
    assert looked_at(data).have(places, expected).tolist() == [(data + PADDING).startswith(expected, place) for place in places.tolist()]


@given(PIECES, PIECES, st.data())
def test_the_same_bytes_are_known_at_other_places(here: bytes, there: bytes, data: st.DataObject) -> None:
    """Of any lengths, which differ from place to place."""
    common = data.draw(PIECES)
    here, there = here + common, there + common
    number = data.draw(st.integers(1, 6))
    places = [data.draw(st.integers(0, len(here))) for _ in range(number)] + [len(here) - len(common)]
    others = [data.draw(st.integers(0, len(there))) for _ in range(number)] + [len(there) - len(common)]
    lengths = [data.draw(st.integers(1, WINDOW)) for _ in range(number)] + [len(common) + 1]
    expected = [
        (here + PADDING)[place : place + length] == (there + PADDING)[other : other + length]
        for place, other, length in zip(places, others, lengths, strict=True)
    ]
    found = looked_at(here).same(np.array(places, np.int32), looked_at(there), np.array(others, np.int32), np.array(lengths, np.int32))
    assert found.tolist() == expected
    assert expected[-1]


@given(st.lists(PIECES, max_size=5), st.integers(-9, 9), st.one_of(st.none(), st.integers(-9, 9)))
def test_parts_of_texts_are_those_of_slices(texts: list[bytes], begin: int, end: int | None) -> None:
    """From and to places that count from either end; what a text does not have is left out."""
    array = pa.array([b"before", *texts], pa.binary())[1:]
    expected = []
    for text in texts:
        first = min(max(begin + (len(text) if begin < 0 else 0), 0), len(text))
        last = len(text) if end is None else min(max(end + (len(text) if end < 0 else 0), first), len(text))
        expected.append(text[first:last])
    assert slices.between(array, begin, end).to_pylist() == expected


@given(st.lists(PIECES.filter(lambda line: b"\n" not in line), min_size=1, max_size=5), PIECES)
def test_lines_are_those_of_the_text(lines: list[bytes], behind: bytes) -> None:
    """Each with its end; what is behind them in the buffer does not count."""
    text = b"".join(line + b"\n" for line in lines)
    assert slices.of_lines(bytearray(text + behind), len(text)).to_pylist() == [line + b"\n" for line in lines]


def test_a_torn_line_is_no_line() -> None:
    """Its reader has to know."""
    with pytest.raises(ValueError, match="whole lines"):
        slices.of_lines(bytearray(b"one\ntwo"), 7)


def test_pieces_are_cut_where_the_borders_are() -> None:
    """The same piece of each text, in the order that was asked for; none of no text."""
    cut = Cut(pa.py_buffer(b"onetwo--threefour"), np.array([[0, 3, 6], [8, 13, 17]], np.int32))
    assert [piece.to_pylist() for piece in cut.pieces(1, 0, kind=pa.string())] == [["two", "four"], ["one", "three"]]
    assert [piece.to_pylist() for piece in Cut(pa.py_buffer(b""), np.zeros((0, 3), np.int32)).pieces(0, 1)] == [[], []]


@pytest.mark.parametrize(
    ("text", "is_id"), [("0123456789abcdef", True), ("0123456789ABCDEF", False), ("0" * 16, False), ("0" * 15 + "g", False), ("0" * 15 + "`", False)]
)
def test_an_id_is_hexadecimal_and_not_all_zeros(text: str, is_id: bool) -> None:
    """In lower case, as OTLP/JSON of our writer has it."""
    texts = pa.array([text, "f" * 16])
    assert slices.are_ids(slices.rows_of(texts, 16)).tolist() == [is_id, True]
    assert slices.are_digits(slices.rows_of(texts, 16)).tolist() == [text == "0" * 16, False]
