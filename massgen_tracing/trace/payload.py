"""Any value becomes an attribute value: JSON-safe, bounded, scrubbed; never an error.

What comes out is what OTLP's AnyValue can hold: str, bool, int of 64 bits, float, bytes, and lists and string-keyed dicts of those.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any, Final

from massgen_tracing.model import AttributeValue
from massgen_tracing.trace.scrub import MARK, is_secret_key, scrub

MAX_BYTES: Final = 64 * 1024
"""Bytes (UTF-8) of one attribute value."""

PREVIEW_CHARS: Final = 2000
"""Characters of message content and of tool arguments and results, unless full content was asked for."""

_MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 1000
_SECRET_MARGIN: Final = 4096
"""A secret that straddles the cut must be seen whole before the cut: this much more is scrubbed."""

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1

_SHORT: Final = 128
_MAX_CACHED: Final = 8192
_cleaned: dict[tuple[object, object], str] = {}
"""Short texts recur (agent ids, models, tool names): each is looked at once."""


def clean(key: str, value: object, max_bytes: int = MAX_BYTES) -> AttributeValue:
    """*value* as an attribute value under *key*; None means that there is nothing to set.

    Never raises: a value that cannot be read (its `__repr__` raises, it changes while it is read) is named by its type.
    """
    kind = type(value)
    if kind is str:
        return _text(key, value, max_bytes)  # type: ignore[arg-type]
    if kind is bool or kind is float or value is None:
        return value  # type: ignore[return-value]
    if kind is int and _INT64_MIN <= value <= _INT64_MAX:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    if is_secret_key(key):
        return MARK
    try:
        return _bound(_convert(value, max_bytes, 0), max_bytes)
    except Exception:  # noqa: BLE001 - a stranger's object may raise anything
        return f"<unreadable {kind.__name__}>"


def clean_all(attributes: Mapping[str, object]) -> dict[str, Any]:
    """Every attribute cleaned; those without a value left out."""
    try:
        # Most are short texts that were seen before. Only texts are kept, so a look-up by any other value finds nothing.
        known = list(map(_cleaned.get, attributes.items()))
    except TypeError:  # a list or mapping has no hash
        known = [None] * len(attributes)
    if None not in known:
        return dict(zip(attributes, known, strict=True))
    cleaned: dict[str, Any] = {}
    for done, (key, value) in zip(known, attributes.items(), strict=True):
        kept: Any = clean(key, value) if done is None else done
        if kept is not None:
            cleaned[key if type(key) is str and key.isascii() else encodable(str(key))] = kept
    return cleaned


def preview(value: object, *, full: bool = False) -> AttributeValue:
    """Message content or a tool's arguments or result as a bounded text: a preview, or all that one attribute may hold.

    Anything but text becomes JSON text, so that what is cut can say so.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else to_json(value)
    if not full:
        text = cut(scrub(text[: PREVIEW_CHARS + _SECRET_MARGIN]), PREVIEW_CHARS, len(text))
    return text


def cut(text: str, limit: int, length: int | None = None) -> str:
    """The first *limit* characters of *text*, and how long it was if it was longer.

    Args:
        text: the text, perhaps shortened already.
        limit: characters to keep.
        length: the original number of characters, where *text* was shortened.
    """
    length = len(text) if length is None else length
    return text if length <= limit else f"{text[:limit]}… [cut, {length} characters]"


def to_json(value: object) -> str:
    """*value* as JSON text, whatever it is."""
    if isinstance(value, str | int | float | bool):
        return json.dumps(value, ensure_ascii=False)
    try:
        return json.dumps(_convert(value, MAX_BYTES, 0), ensure_ascii=False, default=repr)
    except Exception:  # noqa: BLE001 - a stranger's object may raise anything
        return json.dumps(f"<unreadable {type(value).__name__}>")


def encodable(text: str) -> str:
    """*text* without lone surrogates, which no exporter can encode as UTF-8 (one would cost a whole batch)."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _text(key: str, value: str, max_bytes: int) -> str:
    if len(value) <= _SHORT:
        item = (key, value)
        done = _cleaned.get(item)
        if done is None:
            done = MARK if is_secret_key(key) else scrub(encodable(value))
            if len(_cleaned) >= _MAX_CACHED:
                _cleaned.clear()
            _cleaned[item] = done
        return done
    if is_secret_key(key):
        return MARK
    value = encodable(value)
    if len(value) <= max_bytes // 4:  # no character takes more than four bytes
        return scrub(value)
    return _bound_text(value, max_bytes)


def _bound_text(value: str, max_bytes: int) -> str:
    size = len(value.encode())
    if size <= max_bytes:
        return scrub(value)
    if value[:1] in "{[":
        shorter = _shorten_json(value, max_bytes)
        if shorter is not None:
            return scrub(shorter)
    note = f"… [cut, {len(value)} characters]"
    head = scrub(value[: max_bytes + _SECRET_MARGIN]).encode()[: max_bytes - len(note.encode())]
    return head.decode("utf-8", "ignore") + note


def _shorten_json(text: str, max_bytes: int) -> str | None:
    """A valid JSON text within *max_bytes* that keeps the shape and cuts long strings and lists; None if *text* is not JSON."""
    if len(text) > 64 * max_bytes:  # parsing it would hold up the run
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _fit(value, max_bytes)


def _fit(value: Any, max_bytes: int) -> str:
    """*value* as JSON text of at most *max_bytes*: ever shorter strings and lists until it fits, at last a note in its place."""
    length, items = 4096, 200
    while length >= 16:
        shorter = json.dumps(_prune(value, length, items), ensure_ascii=False)
        if len(shorter.encode()) <= max_bytes:
            return shorter
        length, items = length // 4, max(items // 3, 3)
    return json.dumps({"cut": f"{type(value).__name__} too large to record"})


def _prune(value: Any, length: int, items: int) -> Any:
    if isinstance(value, str):
        return cut(value, length)
    if isinstance(value, dict):
        kept = {cut(key, length): _prune(item, length, items) for key, item in list(value.items())[:items]}
        if len(value) > items:
            kept["…"] = f"[cut, {len(value)} items]"
        return kept
    if isinstance(value, list):
        some = [_prune(item, length, items) for item in value[:items]]
        return [*some, f"… [cut, {len(value)} items]"] if len(value) > items else some
    return value


def _bound(value: AttributeValue, max_bytes: int) -> AttributeValue:
    """A converted value that fits, or the JSON text of what of it fits."""
    if isinstance(value, list | dict):
        size = len(json.dumps(value, ensure_ascii=False, default=repr))
        if size > max_bytes // 2:
            return _fit(json.loads(json.dumps(value, default=repr)), max_bytes)
    return value


def _convert(value: object, max_bytes: int, depth: int) -> AttributeValue:
    """One value, and what it holds, in OTLP's types."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return _text("", str(value), max_bytes)
    if isinstance(value, int):
        return int(value) if _INT64_MIN <= value <= _INT64_MAX else str(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)[:max_bytes]
    if depth >= _MAX_DEPTH:
        return f"<{type(value).__name__} too deep to record>"
    if isinstance(value, Mapping):
        return _convert_mapping(value, max_bytes, depth)
    if isinstance(value, Collection):
        items = [_convert(item, max_bytes, depth + 1) for item in islice(value, _MAX_ITEMS)]
        length = len(value)
        return [*items, f"… [cut, {length} items]"] if length > _MAX_ITEMS else items
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _convert_mapping(fields, max_bytes, depth)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return _convert_stranger(value, max_bytes, depth)


def _convert_mapping(value: Mapping[Any, object], max_bytes: int, depth: int) -> dict[str, AttributeValue]:
    converted: dict[str, AttributeValue] = {}
    for count, (key, item) in enumerate(value.items()):
        if count >= _MAX_ITEMS:
            converted["…"] = f"[cut, {len(value)} items]"
            break
        name = encodable(key if isinstance(key, str) else str(key))
        converted[name] = MARK if is_secret_key(name) and item is not None else _convert(item, max_bytes, depth + 1)
    return converted


def _convert_stranger(value: object, max_bytes: int, depth: int) -> AttributeValue:
    dump = getattr(value, "model_dump", None)  # pydantic, which openai and mcp use for their messages
    if callable(dump):
        return _convert(dump(), max_bytes, depth + 1)
    item = getattr(value, "item", None)  # numpy scalars
    if callable(item) and type(value).__module__.partition(".")[0] == "numpy":
        return _convert(item(), max_bytes, depth + 1)
    return _text("", str(value) if isinstance(value, Exception) or hasattr(value, "__fspath__") else repr(value), max_bytes)
