"""What stands in files as bytes: text as UTF-8, and values as JSON that every reader takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import orjson

_INT64: Final = 2**63


def as_bytes(content: str) -> bytes:
    """UTF-8, whatever the text holds."""
    return content.encode("utf-8", "replace")


def as_json(value: object) -> bytes:
    """JSON in one line."""
    return _dumped(value, 0)


def as_document(value: object) -> bytes:
    """JSON for people too, as a whole file."""
    return _dumped(value, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _dumped(value: object, option: int) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except TypeError:  # what the facade has cleaned is never so, but anybody may have written a record
        return orjson.dumps(_plain(value), option=option)


def _plain(value: object) -> Any:
    """*value* as JSON can hold it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool) or (isinstance(value, int) and -_INT64 <= value < _INT64):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else _plain(str(value))
