"""The functions that Logfire adds to DataFusion, as vectorised functions over Arrow arrays.

JSON functions take a JSON text and one key: a name for an object, a place from 0 for an array. Where Logfire's would say nothing (no such
key, another type, no JSON at all) they give NULL. Longer paths are nested calls, which the dialect makes.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from typing import Any, Final

import datafusion
import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.store import jsontext
from massgen_tracing.store.answer import JSON_MARK

_ABSENT: Final = object()
_INT64: Final = 2**63

_parsed = threading.local()


def _find(document: Any, key: str | None) -> Any:
    if isinstance(document, dict) and key is not None:
        return document.get(key, _ABSENT)
    if isinstance(document, list) and key is not None and key.isdecimal():
        place = int(key)
        return document[place] if place < len(document) else _ABSENT
    return _ABSENT


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
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _ABSENT


def _as_json(value: Any) -> str:
    return jsontext.dumps(value)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return jsontext.dumps(value)


def _as_str(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_int(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
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

JSON_FUNCTIONS: Final[dict[str, tuple[Callable[[Any], Any], pa.DataType]]] = {
    "json_get": (_as_json, pa.string()),
    "json_get_json": (_as_json, pa.string()),
    "json_as_text": (_as_text, pa.string()),
    "json_get_str": (_as_str, pa.string()),
    "json_get_int": (_as_int, pa.int64()),
    "json_get_float": (_as_float, pa.float64()),
    "json_get_bool": (_as_bool, pa.bool_()),
    "json_get_array": (_array, _TEXTS),
    "json_length": (_length, pa.uint64()),
    "json_object_keys": (_keys, _TEXTS),
}
"""What each function makes of the value that it finds, and its type."""

WHOLE: Final = "_of_whole"
"""Suffix of the form without a key, for the functions that have one."""

WITHOUT_KEY: Final = frozenset({"json_length", "json_object_keys"})


def _getter(convert: Callable[[Any], Any], result: pa.DataType) -> Callable[[pa.Array, pa.Array], pa.Array]:
    def call(texts: pa.Array, keys: pa.Array) -> pa.Array:
        pairs = zip(_documents(texts), keys.to_pylist(), strict=True)
        return pa.array([None if (value := _find(document, key)) is _ABSENT else convert(value) for document, key in pairs], result)

    return call


def _whole(convert: Callable[[Any], Any], result: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    def call(texts: pa.Array) -> pa.Array:
        return pa.array([None if value is _ABSENT else convert(value) for value in _documents(texts)], result)

    return call


def _contains(texts: pa.Array, keys: pa.Array) -> pa.Array:
    pairs = zip(_documents(texts), keys.to_pylist(), strict=True)
    return pa.array([_find(document, key) is not _ABSENT for document, key in pairs], pa.bool_())


def _level_num(names: pa.Array) -> pa.Array:
    return pa.array([semconv.LEVELS.get(name) if name is not None else None for name in names.to_pylist()], pa.int32())


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
    for name, (convert, result) in JSON_FUNCTIONS.items():
        field = pa.field(name, result, metadata=JSON_MARK) if name in {"json_get", "json_get_json"} else pa.field(name, result)
        text = pa.string()
        context.register_udf(datafusion.udf(_getter(convert, result), [text, text], field, "immutable", name))
        if name in WITHOUT_KEY:
            context.register_udf(datafusion.udf(_whole(convert, result), [text], field, "immutable", name + WHOLE))
    context.register_udf(datafusion.udf(_contains, [pa.string(), pa.string()], pa.bool_(), "immutable", "json_contains"))
    context.register_udf(datafusion.udf(_level_num, [pa.string()], pa.int32(), "immutable", "level_num"))
    context.register_udf(datafusion.udf(_level_name, [pa.int32()], pa.string(), "immutable", "level_name"))
