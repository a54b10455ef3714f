"""Values of OTLP/JSON as Python: attributes, ids, times, numbers; as any writer may have put them.

Where the meaning is plain, a value is understood however it is written: attributes as an object, values without their type, numbers as texts. What
cannot be understood is None, or empty, and is told to *complain*.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from massgen_tracing.model import EMPTY, Attributes, AttributeValue
from massgen_tracing.store.reading import names

_HEX: Final = frozenset("0123456789abcdef")
_PLAIN_ID: Final = re.compile(r"(?!0*$)[0-9a-f]+")
_LATEST_NS: Final = 2**63
"""Times beyond year 2262 do not fit OTLP's fixed64 as every reader uses it; they are taken for garbage."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_FRACTION: Final = re.compile(r"[.,](\d+)")
_SHOWN: Final = 40
"""Characters of what could not be read that a complaint shows."""

Complain = Callable[[str], object]
"""Told, in words, of each thing that could not be read."""


class Malformed(Exception):
    """Something that cannot be read; the text says why."""


def quiet(_problem: str) -> None:
    """The complaint of those who do not want to know."""


def attributes(value: object, complain: Complain = quiet) -> Attributes:
    """A list of OTLP KeyValue, or an object, as a mapping; of equal keys the last one counts."""
    pairs: dict[str, AttributeValue] = {}
    if isinstance(value, list):
        usual = _usual(value)
        if usual is not None:
            return usual or EMPTY
        for pair in value:
            # Protobuf leaves out an empty key, as all that has its default.
            if isinstance(pair, dict) and isinstance(key := pair["key"] if "key" in pair else pair.get("Key", ""), str):
                pairs[key] = any_value(pair["value"] if "value" in pair else pair.get("Value"), complain)
            else:
                complain(f"an attribute that has no key: {_shown(pair)}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            pairs[key] = any_value(inner, complain) if not isinstance(inner, dict) or _typed(inner) else attributes(inner, complain)
    elif value is not None:
        complain(f"attributes that are no list: {_shown(value)}")
    return pairs or EMPTY


def attributes_of(lists: Sequence[Any], complain: Complain = quiet) -> tuple[list[Attributes], Sequence[AttributeValue] | None]:
    """The same for many; where all of them are usual, in a few steps for all together, which takes half as long.

    Returns:
        Those of each, and where all are texts, numbers and truth values these, one after the other.
    """
    try:
        pairs = list(itertools.chain.from_iterable(lists)) if set(map(type, lists)) == {list} else []
        keys, inner = list(map(_KEY, pairs)), list(map(_VALUE, pairs))
        kinds: list[str] = list(itertools.chain.from_iterable(inner))
        said: list[AttributeValue] = list(itertools.chain.from_iterable(map(dict.values, inner)))
        types = set(zip(kinds, map(type, said), strict=True))
        if types - _USUAL or set(map(type, keys)) != {str} or set(map(len, inner)) != {1}:
            return [attributes(each, complain) for each in lists], None
        if ("intValue", str) in types:
            said = [int(one) if kind == "intValue" else one for kind, one in zip(kinds, said, strict=True)]  # type: ignore[arg-type]
    except (LookupError, TypeError, ValueError):
        return [attributes(each, complain) for each in lists], None
    together = zip(keys, said, strict=True)
    return [dict(itertools.islice(together, length)) for length in map(len, lists)], said


def _usual(value: list[Any]) -> dict[str, AttributeValue] | None:
    """A list of KeyValue whose values are texts, numbers and truth values in the types that they say; None for any other.

    Nearly all are such, and most of the time that a file takes goes by here. Keys and short texts, which recur from span to span, are one object
    each: a run of 100,000 spans takes a quarter less memory.
    """
    pairs: dict[str, AttributeValue] = {}
    try:
        for pair in value:
            ((kind, said),) = pair["value"].items()
            key = pair["key"]
            if type(key) is not str:
                return None
            key = sys.intern(key)
            if type(said) is _TYPES[kind]:
                pairs[key] = sys.intern(said) if type(said) is str and len(said) < _SHORT else said  # type: ignore[assignment]  # mypy sees no type
            elif kind == "intValue" and type(said) is str:
                pairs[key] = int(said)
            else:
                return None
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return pairs


def any_value(value: object, complain: Complain = quiet) -> AttributeValue:
    """OTLP AnyValue, or a plain value, as Python; None for an empty one, and for one that cannot be read."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((kind, inner),) = value.items()
            read = _READERS.get(kind)
            if read is not None:
                return read(inner, complain)
        return _odd(value, complain)
    if isinstance(value, list):
        return tuple(any_value(item, complain) for item in value)
    return value  # type: ignore[return-value]  # JSON has no other types


def _odd(value: dict[str, Any], complain: Complain) -> AttributeValue:
    """A value with other names than OTLP/JSON's, or several of them, of which the one counts that says more than nothing."""
    known = [(read, inner) for key, inner in value.items() if (read := _BY_PLAIN_NAME.get(names.plain(key))) is not None]
    if known:
        read, inner = next(((read, inner) for read, inner in known if inner not in _NOTHING), known[0])
        return read(inner, complain)
    if len(value) == 1 and names.plain(next(iter(value))) == "value":
        return any_value(next(iter(value.values())), complain)
    if value:
        complain(f"a value of no known type: {_shown(value)}")
    return None


def _typed(value: dict[str, Any]) -> bool:
    """Whether an object is an AnyValue, and no value by itself."""
    return not value or any(names.plain(key) in _BY_PLAIN_NAME for key in value)


def _unreadable(kind: str, value: object, complain: Complain) -> None:
    if value is not None:  # which stands for the default
        complain(f"a value that is no {kind}: {_shown(value)}")


def _text(value: object, complain: Complain) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    _unreadable("text", value, complain)
    return None


def _integer(value: object, complain: Complain) -> int | None:
    number = value if type(value) is int else as_int(value)
    if number is None or (isinstance(value, float) and abs(value) >= 2**63):  # which the parser has rounded
        _unreadable("integer of 64 bits", value, complain)
        return None
    return number


def _double(value: object, complain: Complain) -> float | None:
    number = as_float(value)
    if number is None:
        _unreadable("number", value, complain)
    return number


def _boolean(value: object, complain: Complain) -> bool | None:
    if isinstance(value, bool):
        return value
    known = _BOOLEANS.get(value.strip().lower() if isinstance(value, str) else value) if isinstance(value, str | int) else None
    if known is None:
        _unreadable("truth value", value, complain)
    return known


def _array(value: object, complain: Complain) -> tuple[AttributeValue, ...]:
    inner = _listed(value)
    if not isinstance(inner, list | None):
        _unreadable("list", value, complain)
    return tuple(any_value(item, complain) for item in items(inner))


def _mapping(value: object, complain: Complain) -> Attributes:
    return attributes(_listed(value), complain)


def _listed(value: object) -> object:
    """What an ArrayValue or a KeyValueList has; anything else as it is."""
    if isinstance(value, dict) and not value.keys() - {"values", "Values"}:
        return value.get("values", value.get("Values"))
    return value


def _bytes(value: object, complain: Complain) -> bytes | None:
    raw = raw_bytes(value)
    if raw is None:
        _unreadable("base64", value, complain)
    return raw


def raw_bytes(value: object) -> bytes | None:
    """Bytes, or base64 of any of its alphabets, with or without its padding; None for anything else."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


_READERS: Final[dict[str, Callable[[Any, Complain], AttributeValue]]] = {
    "stringValue": _text,
    "intValue": _integer,
    "doubleValue": _double,
    "boolValue": _boolean,
    "arrayValue": _array,
    "kvlistValue": _mapping,
    "bytesValue": _bytes,
}
_BY_PLAIN_NAME: Final = {name.lower(): read for name, read in _READERS.items()}
_TYPES: Final[dict[str, type]] = {"stringValue": str, "intValue": int, "doubleValue": float, "boolValue": bool}
"""Of these types a value is what JSON gives."""
_USUAL: Final = {*_TYPES.items(), ("intValue", str)}
_KEY, _VALUE = itemgetter("key"), itemgetter("value")
_SHORT: Final = 32
"""Characters from which on a text is taken to be like no other."""
_NOTHING: Final[tuple[object, ...]] = ("", 0, "0", None, [], {})
_BOOLEANS: Final[dict[object, bool]] = {"true": True, "false": False, 1: True, 0: False, "1": True, "0": False}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


UNKNOWN_TIMES: Final = (None, "", 0, "0")
"""How a time is written that nobody knows."""


def hex_id(value: object, digits: int, *, optional: bool = False) -> str:
    """An id as lower-case hex of *digits* digits; protobuf's own JSON mapping writes base64, which is read too, and protobuf bytes.

    Raises:
        Malformed: if it is none, or missing and not *optional*.
    """
    if isinstance(value, str) and _PLAIN_ID.fullmatch(value) and len(value) == digits:
        return value
    if optional and value in (None, "", b""):
        return ""
    if not isinstance(value, str | bytes):
        raise Malformed("a span whose id is missing or not text")
    text = value.hex() if isinstance(value, bytes) else value.lower()
    if len(text) != digits and isinstance(value, str):
        text = text.removeprefix("0x").replace("-", "")  # as some print them, and as a UUID
    if len(text) != digits or not _HEX.issuperset(text):
        raw = raw_bytes(value)
        text = "" if raw is None else raw.hex()
    if len(text) != digits or not _HEX.issuperset(text):
        raise Malformed(f"a span whose id is not hexadecimal or has the wrong length: {_shown(value)}")
    if text.count("0") == digits:
        if optional:
            return ""
        raise Malformed("a span whose id is all zeros")
    return text


def moment(value: object) -> int | None:
    """Nanoseconds since 1970; None for a missing or impossible time (OTLP writes 0 for unknown)."""
    try:
        number = int(value) if type(value) is str else as_int(value)
    except ValueError:
        number = as_int(value)
    if number is None and isinstance(value, str):
        number = _of_date(value)
    return number if number is not None and 0 < number < _LATEST_NS else None


def no_time(value: object, what: str, complain: Complain) -> None:
    """Complain of what is no time, unless it only says that the time is not known; *what* says whose it is."""
    if value not in UNKNOWN_TIMES:
        complain(f"{what}, which is no time: {_shown(value)}")


def _of_date(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 time with an offset; None for anything else."""
    fraction = _FRACTION.search(text)
    try:
        time = datetime.fromisoformat(text if fraction is None else text.replace(fraction[0], "", 1))
    except ValueError:
        return None
    seconds = (time - _EPOCH) // _SECOND if time.tzinfo is not None else None
    return None if seconds is None else seconds * 10**9 + (0 if fraction is None else int(fraction[1].ljust(9, "0")[:9]))


def as_int(value: object) -> int | None:
    """An integer, also one written as text, as protobuf writes 64 bits, and one that is written as another number."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = as_float(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def as_float(value: object) -> float | None:
    """A number, also NaN and the infinities, which are written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None if isinstance(value, str) else math.inf


def count(value: object) -> int:
    """A count of 32 bits; 0 for anything else."""
    if not value:
        return 0
    number = as_int(value)
    return number if number is not None and 0 <= number < 2**32 else 0


def enum(value: object, prefix: str, known: dict[str, int], complain: Complain) -> int:
    """A value of an enum by its number or its name, with its prefix or without; 0 for anything else."""
    if value is None:
        return 0
    if type(value) is int and 0 <= value < len(known):
        return value
    number = known.get(value.upper().removeprefix(prefix)) if isinstance(value, str) else None
    if number is None:
        number = as_int(value)
    if number is None or number not in known.values():
        complain(f"{_shown(value)}, which is no {prefix.rstrip('_')}")
        return 0
    return number


def as_text(value: object) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else []


def objects(value: object) -> Iterator[dict[str, Any]]:
    """The objects of a list."""
    return (item for item in items(value) if isinstance(item, dict))
