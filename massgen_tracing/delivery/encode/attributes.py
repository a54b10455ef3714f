"""Many lists of attributes at once: what is in them, each of what recurs once, and as the field `attributes` of Span messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.delivery.encode.octets import Lengths, Mask, Positions, Text, column, mask, of_rows, offsets, varints, whole_rows
from massgen_tracing.delivery.encode.protobuf import Protobuf
from massgen_tracing.delivery.encode.shape import BETWEEN, DOUBLE
from massgen_tracing.delivery.encode.spans import attempted

_VALUE: Final = b'","value":{"'
_SHORT: Final = 120
"""Bytes of an attribute with which each of its lengths has one byte."""


class Lists(NamedTuple):
    """Lists of attributes, none of them empty.

    Attributes:
        firsts: which attribute of all is the first of each list.
        once: the attributes, from behind the beginnings of their keys; equal ones once.
        which: for each attribute of all, its number in *once*.
        text: what is in *once*.
        begins, ends: of each attribute in it.
        key_ends: where its key ends; where the first quotation mark is none that ends a key, its beginning.
    """

    firsts: Positions
    once: pa.BinaryArray
    which: pa.IntegerArray
    text: Text
    begins: Positions
    ends: Positions
    key_ends: Positions

    @classmethod
    def of(cls, written: pa.BinaryArray) -> Self:
        """Those that stand in such texts, each from behind the beginning of its first key."""
        lists = pc.split_pattern(written, BETWEEN)
        found = lists.flatten().dictionary_encode()
        once: pa.BinaryArray = found.dictionary
        text, places = Text.of(once.buffers()[2]), offsets(once).astype(np.int64)
        quotes = places[:-1] + pc.find_substring(once, b'"').to_numpy()
        key_ends = np.where(text.has(quotes, _VALUE), quotes, places[:-1])
        return cls(offsets(lists)[:-1].astype(np.int64), once, found.indices, text, places[:-1], places[1:], key_ends)

    def good(self, once: Mask) -> Mask:
        """Which lists have only attributes that are good, and no key twice: of these, the last one is to be sent."""
        which = self.which.to_numpy()
        keys = self.text.parts(self.begins, self.key_ends).dictionary_encode()
        once = once & ((self.key_ends > self.begins) & (pc.find_substring(keys.dictionary, b"\\").to_numpy() < 0)[keys.indices.to_numpy()])
        good = np.ones(len(self.firsts), np.bool_) if once.all() else np.logical_and.reduceat(once[which], self.firsts)
        lengths = np.diff(np.append(self.firsts, len(which)))
        pairs = np.repeat(np.arange(len(lengths)) * len(keys.dictionary), lengths) + keys.indices.to_numpy()[which]
        pairs.sort()
        good[pairs[1:][pairs[1:] == pairs[:-1]] // len(keys.dictionary)] = False
        return good


class _Kind(NamedTuple):
    """A kind of value.

    Attributes:
        begins, ends: what stands around it.
        form: what the values that are encoded at once look like; empty for all without quotation marks.
        encode: makes the contents of AnyValue messages of them.
    """

    begins: bytes
    ends: bytes
    form: str
    encode: Callable[[pa.BinaryArray], pa.BinaryArray]


def encoded(lists: Lists, form: Protobuf) -> pa.BinaryArray:
    """What is in lists, each attribute once, encoded; null where one is none.

    Args:
        lists: them.
        form: what encodes those that are long, or no plain text or number.
    """
    once, text, begins, ends, key_ends = lists.once, lists.text, lists.begins, lists.ends, lists.key_ends
    plain = (key_ends > begins) & (ends - begins < _SHORT)
    if (text.octets == ord("\\")).any():
        plain &= ~mask(pc.match_substring(once, b"\\"))
    values = np.where(plain, key_ends + len(_VALUE), 0)
    numbers, made = [], []
    for kind in _KINDS:
        chosen = np.flatnonzero(plain & (text.octets[values] == kind.begins[0]))
        inside = values[chosen] + len(kind.begins) <= ends[chosen] - len(kind.ends)
        chosen = chosen[inside & text.has(values[chosen], kind.begins) & text.has(ends[chosen] - len(kind.ends), kind.ends)]
        if not len(chosen):
            continue
        contents = text.parts(values[chosen] + len(kind.begins), ends[chosen] - len(kind.ends))
        fits = mask(pc.match_substring_regex(contents, kind.form)) if kind.form else pc.find_substring(contents, b'"').to_numpy() < 0
        chosen, contents = chosen[fits], contents.filter(pa.array(fits))
        if not len(chosen):
            continue
        numbers.append(chosen)
        made.append(_whole(text.parts(begins[chosen], key_ends[chosen]), kind.encode(contents)))
    odd = np.ones(len(once), np.bool_)
    for chosen in numbers:
        odd[chosen] = False
    numbers.append(np.flatnonzero(odd))
    made.append(pa.array([attempted(form.attribute, each) for each in once.filter(pa.array(odd)).to_pylist()], pa.binary()))
    order = np.empty(len(once), np.int64)
    order[np.concatenate(numbers)] = np.arange(len(once))
    return pa.concat_arrays(made).take(pa.array(order))


def _whole(keys: pa.BinaryArray, values: pa.BinaryArray) -> pa.BinaryArray:
    """Attributes of keys and contents of AnyValue messages, both short."""
    of_key, of_value = _lengths(keys), _lengths(values)
    count = len(keys)
    before = np.concatenate([column(count, 0x4A), _octet(of_key + of_value + 4), column(count, 0x0A), _octet(of_key)], axis=1)
    between = np.concatenate([column(count, 0x12), _octet(of_value)], axis=1)
    return pc.binary_join_element_wise(whole_rows(before), keys, whole_rows(between), values, b"")


def _texts(values: pa.BinaryArray) -> pa.BinaryArray:
    before = np.concatenate([column(len(values), 0x0A), _octet(_lengths(values))], axis=1)
    return pc.binary_join_element_wise(whole_rows(before), values, b"")


def _integers(values: pa.BinaryArray) -> pa.BinaryArray:
    rows, needed = varints(values.cast(pa.string()).cast(pa.int64()).to_numpy(), 10)
    before = column(len(values), 0x18)
    return of_rows(np.concatenate([before, rows], axis=1), np.concatenate([before > 0, needed], axis=1))


def _doubles(values: pa.BinaryArray) -> pa.BinaryArray:
    numbers = values.cast(pa.string()).cast(pa.float64()).to_numpy().astype("<f8")
    return whole_rows(np.concatenate([column(len(values), 0x21), numbers[:, None].view(np.uint8)], axis=1))


def _lengths(of: pa.BinaryArray) -> Lengths:
    return np.diff(offsets(of)).astype(np.int64)


def _octet(numbers: Lengths) -> Any:
    return numbers.astype(np.uint8)[:, None]


_KINDS: Final = (
    _Kind(b'stringValue":"', b'"}}', "", _texts),
    _Kind(b'intValue":"', b'"}}', r"^-?\d{1,18}$", _integers),
    _Kind(b'doubleValue":', b"}}", f"^{DOUBLE}$", _doubles),
)
