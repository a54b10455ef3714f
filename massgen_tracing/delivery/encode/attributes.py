"""Many attributes at once, as the field `attributes` of Span messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.delivery.encode.octets import Lengths, Mask, Text, column, of_rows, offsets, varints, whole_rows
from massgen_tracing.delivery.encode.protobuf import Protobuf
from massgen_tracing.delivery.encode.shape import DOUBLE
from massgen_tracing.delivery.encode.spans import attempted

_VALUE: Final = b'","value":{"'
_SHORT: Final = 120
"""Bytes of an attribute with which each of its lengths has one byte."""


class _Kind(NamedTuple):
    """A kind of value.

    Attributes:
        begins, ends: what stands around it.
        quotes: how many quotation marks an attribute of the kind has, from behind the beginning of its key; with more, they are in its texts.
        form: what the values that are encoded at once look like; empty for any.
        encode: makes the contents of AnyValue messages of them.
    """

    begins: bytes
    ends: bytes
    quotes: int
    form: str
    encode: Callable[[pa.BinaryArray], pa.BinaryArray]


def encoded(written: pa.BinaryArray, form: Protobuf) -> pa.BinaryArray:
    """Attributes, from behind the beginning of their keys, encoded; null where one is none. Equal ones are encoded once.

    Args:
        written: how they stand on the lines.
        form: what encodes those that are long, or no plain text or number.
    """
    found = written.dictionary_encode()
    once: pa.BinaryArray = found.dictionary
    text, places = Text.of(once.buffers()[2]), offsets(once).astype(np.int64)
    begins, ends = places[:-1], places[1:]
    key_ends = begins + pc.find_substring(once, _VALUE).to_numpy()
    quotes = pc.count_substring(once, b'"').to_numpy()
    plain = (key_ends > begins) & (ends - begins < _SHORT)
    if (text.octets == ord("\\")).any():
        plain &= ~_mask(pc.match_substring(once, b"\\"))
    values = np.where(plain, key_ends + len(_VALUE), 0)
    numbers, made = [], []
    for kind in _KINDS:
        chosen = np.flatnonzero(plain & (quotes == kind.quotes) & (text.octets[values] == kind.begins[0]))
        inside = values[chosen] + len(kind.begins) <= ends[chosen] - len(kind.ends)
        chosen = chosen[inside & text.has(values[chosen], kind.begins) & text.has(ends[chosen] - len(kind.ends), kind.ends)]
        if not len(chosen):
            continue
        contents = text.parts(values[chosen] + len(kind.begins), ends[chosen] - len(kind.ends))
        if kind.form:
            fits = _mask(pc.match_substring_regex(contents, kind.form))
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
    return pa.concat_arrays(made).take(pa.array(order)).take(found.indices)


def _mask(of: pa.BooleanArray) -> Mask:
    found: Mask = of.to_numpy(zero_copy_only=False)
    return found


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
    _Kind(b'stringValue":"', b'"}}', 7, "", _texts),
    _Kind(b'intValue":"', b'"}}', 7, r"^-?\d{1,18}$", _integers),
    _Kind(b'doubleValue":', b"}}", 5, f"^{DOUBLE}$", _doubles),
)
