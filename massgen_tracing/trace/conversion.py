"""Any value as what OTLP's AnyValue can hold: str, bool, int of 64 bits, float, bytes, and lists and string-keyed dicts of those."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any, Final, cast

from massgen_tracing import guard
from massgen_tracing.model import AttributeValue
from massgen_tracing.trace.bounds import cut_clean
from massgen_tracing.trace.scrub import MARK, is_secret_flag, is_secret_key, may_hold_secret, scrub

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

FEW: Final = 16
"""Plain values whose own text is soon made."""

_TELLING: Final = ("name", "key", "header", "field", "variable")
"""Keys whose value tells what the value under the key `value` is."""

_MAX_DEPTH: Final = 12
_MAX_ITEMS: Final = 1000
_MAX_NODES: Final = 20_000
"""Values looked at within one attribute, at all depths: lists of lists of the same list would be without end."""

_MAX_CHARS: Final = 256 * 1024
"""Characters of text kept within one attribute before it is made to fit: more than fits."""

_MAX_STARTS: Final = 200
"""Texts beyond those characters of which the start is kept: looking for secrets in each of 20,000 would take half a minute."""

_START: Final = 128
"""Characters of such a start."""


def plain_texts(value: Collection[object], chars: int) -> list[str] | None:
    """A list of texts without a secret, as labels and ids are, looked at all at once; None for any other, and for more than so many characters."""
    if type(value) not in {list, tuple} or not FEW < len(value) <= _MAX_ITEMS:
        return None
    items = cast("list[str]", list(value))
    if set(map(type, items)) != {str}:
        return None
    text = "\n".join(items)
    if len(text) > chars or not text.isascii() or may_hold_secret(text):
        return None
    return items


class Converter:
    """Converts one value, and what it holds, to OTLP's types; the work is bounded, whatever the value refers to.

    Args:
        max_bytes: of one text within it.
        key: what becomes of the key of a mapping.
        clean: what becomes of a text; its arguments are a key, here none, the text, and `max_bytes`.
    """

    __slots__ = ("_chars", "_clean", "_key", "_max_bytes", "_nodes", "_starts")

    def __init__(self, max_bytes: int, key: Callable[[object], str], clean: Callable[[str, str, int], str]) -> None:
        self._max_bytes = max_bytes
        self._key = key
        self._clean = clean
        self._nodes = _MAX_NODES
        self._chars = _MAX_CHARS
        self._starts = _MAX_STARTS

    def convert(self, value: object, depth: int) -> AttributeValue:
        """*value*; what cannot be read is named by its type."""
        self._nodes -= 1
        try:
            return self._convert(value, depth)
        except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
            guard.passing(error)
            return f"<unreadable {type(value).__name__}>"

    def _convert(self, value: object, depth: int) -> AttributeValue:
        kind = type(value)  # most values are of these types, and to ask for each of the following takes long
        if kind is str:
            return self._text(value)  # type: ignore[arg-type]
        if kind is dict and depth < _MAX_DEPTH:
            return self._mapping(value, depth)  # type: ignore[arg-type]
        if (kind is list or kind is tuple) and depth < _MAX_DEPTH:
            return self._items(value, depth)  # type: ignore[arg-type]
        return self._convert_other(value, depth)

    def _convert_other(self, value: object, depth: int) -> AttributeValue:
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            return int(value) if INT64_MIN <= value <= INT64_MAX else str(int(value))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(value)
        if depth >= _MAX_DEPTH:
            return f"<{type(value).__name__} too deep to record>"
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Collection):
            return self._items(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth)
        if isinstance(value, dt.date | dt.time):
            return value.isoformat()
        return self._stranger(value, depth)

    def _text(self, text: str) -> str:
        if len(text) <= self._chars:
            kept = self._clean("", text, self._max_bytes)
        elif self._starts:
            self._starts -= 1
            kept = cut_clean(text, max(self._chars, _START))
        else:
            kept = f"… [cut, {len(text)} characters]"
        self._chars -= len(kept)
        return kept

    def _bytes(self, value: bytes | bytearray | memoryview) -> AttributeValue:
        length = value.nbytes if isinstance(value, memoryview) else len(value)
        if length <= min(self._max_bytes, self._chars):
            self._chars -= length
            kept = bytes(value)
            text = kept.decode("utf-8", "replace")
            return kept if (found := scrub(text)) is text else found
        start = bytes(value[:_START]) if not isinstance(value, memoryview) else b""
        return f"{start!r}… [cut, {length} bytes]"

    def _items(self, value: Collection[object], depth: int) -> list[AttributeValue]:
        plain = plain_texts(value, min(self._max_bytes // 4, self._chars)) if len(value) <= self._nodes else None
        if plain is not None:
            self._nodes -= len(plain)
            self._chars -= sum(map(len, plain))
            return cast("list[AttributeValue]", plain)
        items: list[AttributeValue] = []
        is_secret = False
        for item in islice(value, _MAX_ITEMS):
            if self._nodes <= 0:
                break
            items.append(MARK if is_secret and type(item) is str and item[:1] != "-" else self.convert(item, depth + 1))
            is_secret = type(item) is str and is_secret_flag(item)
        length = len(value)
        if length > len(items):
            items.append(f"… [cut, {length} items]")
        return items

    def _mapping(self, value: Mapping[Any, object], depth: int) -> dict[str, AttributeValue]:
        converted: dict[str, AttributeValue] = {}
        tells_secret = "value" in value and any(type(told := value.get(name)) is str and is_secret_key(told) for name in _TELLING)
        # A small dict is read at one go, so that another thread may change it meanwhile.
        for key, item in tuple(value.items()) if len(value) <= _MAX_ITEMS else value.items():
            if len(converted) >= _MAX_ITEMS or self._nodes <= 0:
                converted["…"] = f"[cut, {len(value)} items]"
                break
            name = self._key(key.decode("utf-8", "replace") if isinstance(key, bytes) else key)
            is_secret = is_secret_key(name) or (tells_secret and name == "value")
            converted[name] = MARK if item is not None and is_secret else self.convert(item, depth + 1)
        return converted

    def _stranger(self, value: object, depth: int) -> AttributeValue:
        dump = None if isinstance(value, type) else getattr(value, "model_dump", None)  # pydantic, which openai and mcp use for their messages
        if callable(dump):
            return self.convert(dump(), depth + 1)
        item = getattr(value, "item", None)  # numpy scalars
        if callable(item) and type(value).__module__.partition(".")[0] == "numpy":
            return self.convert(item(), depth + 1)
        return self._text(str(value) if isinstance(value, BaseException) or hasattr(value, "__fspath__") else repr(value))


class Unscrubbed(Converter):
    """Leaves texts as they are, for one who scrubs what is kept of them.

    Attributes:
        read: characters of all texts.
    """

    __slots__ = ("read",)

    def __init__(self, max_bytes: int, key: Callable[[object], str]) -> None:
        super().__init__(max_bytes, key, lambda _key, text, _max_bytes: text)
        self.read = 0

    def _text(self, text: str) -> str:
        self.read += len(text)
        return text

    def _bytes(self, value: bytes | bytearray | memoryview) -> AttributeValue:
        return self._text(str(super()._bytes(value)))
