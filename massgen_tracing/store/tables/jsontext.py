"""Values of spans as JSON text, and back: the one way the store writes and reads JSON, so that equal values are equal text."""

from __future__ import annotations

import base64
import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

MARK: Final = {b"is_json": b"true"}
"""Metadata of a result's column whose texts are JSON values. Arrow's own mark for that turns the column into another type."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


_ALIKE: Final = frozenset({str, int, bool, type(None), float})
"""Types whose values both encoders write alike; the other one does so in a tenth of the time."""


def dumps(value: Any) -> str:
    """JSON text of an attribute value: bytes as base64, and NaN and the infinities as text, as OTLP/JSON writes them."""
    try:
        if type(value) is dict and (types := set(map(type, value.values()))) <= _ALIKE and (float not in types or _are_plain(value.values())):
            return orjson.dumps(value).decode()
    except TypeError:  # halves of surrogate pairs, numbers of more than 64 bits
        pass
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError):
        return _ENCODER.encode(plain(value))


def dumps_all(values: Sequence[Mapping[str, Any]], every: Sequence[Any] | None) -> list[str]:
    """The same of many objects; *every* value that is in one of them, where that is known to be no list, object or bytes."""
    if every is not None and _are_plain(every):
        with contextlib.suppress(TypeError):
            return [text.decode() for text in map(orjson.dumps, values)]
    return list(map(dumps, values))


def _are_plain(values: Iterable[Any]) -> bool:
    """Whether all numbers with a fraction are such as are written without an exponent."""
    return all(1e-4 <= abs(value) < 1e16 for value in [value for value in values if type(value) is float])


def plain(value: Any) -> Any:
    """The value in the types that JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
