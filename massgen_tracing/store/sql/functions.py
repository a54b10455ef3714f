"""The functions that Logfire adds to DataFusion, as vectorised functions over Arrow arrays.

JSON functions take a JSON text and one key, a name for an object or a place from 0 for an array, or no key. Where Logfire's would say nothing
(no such key, another type, no JSON at all) they give NULL. Longer paths are nested calls, and the form for a kind of key, or for none, is its
own function, for the engine's functions have one type an argument; the dialect writes both.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections.abc import Callable, Collection
from typing import Any, Final

import datafusion
import orjson
import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.store.sql import levels
from massgen_tracing.store.tables import jsontext

_ABSENT: Final = object()
_INT64: Final = 2**63
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER_TEXT: Final = re.compile(r"[+-.0-9a-zA-Z]+")
"""Python's own numbers may have blanks around them and `_` within, which in Logfire no number has."""

_parsed = threading.local()


def _member(document: Any, key: str | None) -> Any:
    """What a name finds: in objects only."""
    return document.get(key, _ABSENT) if isinstance(document, dict) and key is not None else _ABSENT


def _item(document: Any, place: int | None) -> Any:
    """What a place from 0 finds: in arrays only."""
    return document[place] if isinstance(document, list) and place is not None and 0 <= place < len(document) else _ABSENT


def _either(document: Any, key: str | None) -> Any:
    """What the text of a computed key finds: a name in an object, a place in an array."""
    if isinstance(document, list):
        return _item(document, int(key)) if key is not None and key.isdecimal() else _ABSENT
    return _member(document, key)


_KEYS: Final[dict[str, tuple[Callable[[Any, Any], Any], pa.DataType]]] = {
    "": (_member, pa.string()),
    "_at": (_item, pa.int64()),
    "_any": (_either, pa.string()),
}
"""Suffixes of the functions' forms by how the key is written: a text, a whole number, anything else."""


def _documents(texts: pa.Array) -> list[Any]:
    """The parsed texts; the last array is remembered, for a query often asks several keys of the same one."""
    address = tuple(buffer.address if buffer is not None else 0 for buffer in texts.buffers()), texts.offset, len(texts)
    if getattr(_parsed, "address", None) == address:
        known: list[Any] = _parsed.documents
        return known
    documents = [_load(text) for text in texts.to_pylist()]
    # The array is kept with its address, or the same memory could come back with other texts.
    _parsed.array, _parsed.address, _parsed.documents = texts, address, documents
    return documents


def _load(text: str | None) -> Any:
    if text is None:
        return _ABSENT
    with contextlib.suppress(ValueError):
        value = orjson.loads(text)
        if type(value) is dict and _are_exact(value.values()):
            return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _ABSENT


def _are_exact(values: Collection[Any]) -> bool:
    """Whether the quick parser has read them as they are; integers of more than 64 bits it makes floats of, and it may not say so within others."""
    types = set(map(type, values))
    return types <= _SCALARS and (float not in types or all(abs(value) < _INT64 for value in values if type(value) is float))


def _as_value(value: Any) -> str | None:
    """A JSON value; JSON's null is none, as in Logfire: `attributes->'k' IS NULL`."""
    return None if value is None else jsontext.dumps(value)


def _as_json(value: Any) -> str:
    """The JSON text, of null too: what is between two `->`."""
    return jsontext.dumps(value)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return jsontext.dumps(value)


def _as_str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_int(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if _WHOLE_NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER_TEXT.fullmatch(value):
        return None
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else -math.inf


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, dict | list) else None


def _array(value: Any) -> list[str] | None:
    return [jsontext.dumps(item) for item in value] if isinstance(value, list) else None


def _keys(value: Any) -> list[str] | None:
    return list(value) if isinstance(value, dict) else None


_TEXTS: Final = pa.list_(pa.string())

_Function = tuple[Callable[[Any], Any], pa.DataType]

JSON_FUNCTIONS: Final[dict[str, _Function]] = {
    "json_get": (_as_value, pa.string()),
    "json_get_json": (_as_json, pa.string()),
    "json_as_text": (_as_text, pa.string()),
    "json_get_str": (_as_str, pa.string()),
    "json_get_int": (_as_int, pa.int64()),
    "json_get_float": (_as_float, pa.float64()),
    "json_get_bool": (_as_bool, pa.bool_()),
    "json_get_array": (_array, _TEXTS),
    "json_length": (_length, pa.uint64()),
    "json_object_keys": (_keys, _TEXTS),
    "json_contains": (lambda _value: True, pa.bool_()),
}
"""What each function makes of the value that it finds, and its type."""

WHOLE: Final = "_of_whole"
"""Suffix of the form without a key."""


_FORM: Final = re.compile(rf"\b({'|'.join(JSON_FUNCTIONS)})(?:{WHOLE}|_at|_any)(?=[('\"`])")


def plain(text: str) -> str:
    """A title or a message of the engine with the functions' own names, whichever form the dialect has chosen."""
    return _FORM.sub(r"\1", text)


def _getter(function: _Function, find: Callable[[Any, Any], Any], absent: Any) -> Callable[[pa.Array, pa.Array], pa.Array]:
    convert, result = function

    def call(texts: pa.Array, keys: pa.Array) -> pa.Array:
        pairs = zip(_documents(texts), keys.to_pylist(), strict=True)
        return pa.array([absent if (value := find(document, key)) is _ABSENT else convert(value) for document, key in pairs], result)

    return call


def _whole(function: _Function, absent: Any) -> Callable[[pa.Array], pa.Array]:
    convert, result = function

    def call(texts: pa.Array) -> pa.Array:
        return pa.array([absent if value is _ABSENT else convert(value) for value in _documents(texts)], result)

    return call


def _from_scalar(types: pa.Array, texts: pa.Array) -> pa.Array:
    return pa.array([_scalar(kind, text) for kind, text in zip(types.to_pylist(), texts.to_pylist(), strict=True)], pa.string())


def _scalar(kind: str, text: str | None) -> str | None:
    """JSON of a value that the engine has made a text of."""
    if text is None:
        return None
    if kind.startswith(("Utf8", "LargeUtf8")):
        return jsontext.dumps(text)
    if kind.startswith("Float"):
        return jsontext.dumps(float(text))
    if kind == "Boolean" or (kind.removeprefix("U").startswith("Int") and not kind.startswith("Interval")):
        return text
    msg = f"json_from_scalar takes a text, a number, a truth value or NULL, not {kind}"
    raise ValueError(msg)


def _union_to_text(values: pa.Array) -> pa.Array:
    return pa.array([None if value == "null" else value for value in values.to_pylist()], pa.string())


def _level_num(names: pa.Array) -> pa.Array:
    return pa.array([levels.NAMES.get(name) if name is not None else None for name in names.to_pylist()], pa.int32())


def _level_name(numbers: pa.Array) -> pa.Array:
    return pa.array([None if number is None else level_name(number) for number in numbers.to_pylist()], pa.string())


def level_name(number: int) -> str:
    """The name of the level that a severity number falls into."""
    name = "trace"
    for candidate, lowest in semconv.LEVELS.items():
        if number >= lowest:
            name = candidate
    return name


def register(context: datafusion.SessionContext) -> None:
    """Make the functions known to an engine."""

    def add(name: str, function: Callable[..., pa.Array], arguments: list[pa.DataType], result: pa.DataType, *, json: bool = False) -> None:
        field = pa.field(name, result, metadata=jsontext.MARK if json else None)
        context.register_udf(datafusion.udf(function, arguments, field, "immutable", name))

    text = pa.string()
    for name, function in JSON_FUNCTIONS.items():
        absent = False if name == "json_contains" else None
        json = name in {"json_get", "json_get_json"}
        for suffix, (find, key) in _KEYS.items():
            add(name + suffix, _getter(function, find, absent), [text, key], function[1], json=json)
        add(name + WHOLE, _whole(function, absent), [text], function[1], json=json)
    add("json_from_scalar", _from_scalar, [text, text], text, json=True)
    add("json_union_to_text", _union_to_text, [text], text, json=True)
    add("level_num", _level_num, [text], pa.int32())
    add("level_name", _level_name, [pa.int64()], text)
