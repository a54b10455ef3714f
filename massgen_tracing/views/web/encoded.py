"""JSON that every browser reads, of values that anybody may have recorded: NaN, lone surrogates, bytes, numbers of any length."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import orjson


def dumps(value: Any) -> bytes:
    """A value as JSON; what JSON has no word for is null, or a text."""
    try:
        return orjson.dumps(value, default=_said)
    except TypeError:  # a lone surrogate, or a whole number of more than 64 bits
        return json.dumps(_plain(value), allow_nan=False).encode()


def pretty(value: Any) -> str:
    """A value for people: a text as it is, anything else as JSON in several lines, with every digit."""
    if isinstance(value, str):
        return value
    return json.dumps(_plain(value), ensure_ascii=False, indent=2)


def _said(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | set | frozenset):
        return list(value)
    return str(value)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case bytes():
            return _said(value)
        case Sequence() | set() | frozenset():
            return [_plain(item) for item in value]
        case date():
            return value.isoformat()
        case _:
            return str(value)
