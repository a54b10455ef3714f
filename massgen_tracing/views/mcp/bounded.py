"""Any value within a number of characters; what is cut is marked, and counted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from massgen_tracing.views import formats

MOST: Final = 24_000
"""Characters of an answer: about 8,000 tokens; assistants refuse, or put aside, answers of more than 25,000."""

_WIDTHS: Final = (4_000, 1_000, 250, 60)
"""Characters of a single value; the first with which an answer fits."""
_LONGEST_KEY: Final = 200

_Item = TypeVar("_Item")


def size(value: Any) -> int:
    """How many characters it takes as JSON."""
    return len(json.dumps(value, ensure_ascii=False))


def plain(value: Any) -> Any:
    """A recorded value in JSON's types; text that UTF-8 has no bytes for is escaped."""
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {plain(str(key)): plain(item) for key, item in value.items()}
        case Sequence():
            return [plain(item) for item in value]
    return formats.value(value)


def clipped(value: Any, width: int) -> Any:
    """A value of at most so many characters; of a longer one the beginning of its text, or of its JSON, and how much is missing."""
    value = plain(value)
    text = value if isinstance(value, str) else None if not isinstance(value, dict | list) else json.dumps(value, ensure_ascii=False)
    if text is None or len(text) <= width:
        return value
    return f"{text[:width]}… (+{len(text) - width:,} characters)"


def values(of: Mapping[str, Any], width: int) -> dict[str, Any]:
    """A mapping with each value clipped."""
    return {plain(str(key))[:_LONGEST_KEY]: clipped(item, width) for key, item in of.items()}


def cut(of: Mapping[str, Any], width: int) -> list[str]:
    """The keys whose values `values` clips."""
    return [plain(str(key)) for key, item in of.items() if clipped(item, width) != plain(item)]


def narrowed(make: Callable[[int], _Item], room: int = MOST) -> tuple[_Item, int]:
    """What *make* makes of the largest width with which it fits, or else of the smallest, and that width."""
    for width in _WIDTHS:
        made = make(width)
        if size(made) <= room:
            break
    return made, width


def fitting(items: Iterable[_Item], most: int, room: int = MOST) -> list[_Item]:
    """The first of the items, at most so many and of at most so many characters together."""
    kept: list[_Item] = []
    for item in items:
        room -= size(item) + 2
        if len(kept) >= most or room < 0:
            break
        kept.append(item)
    return kept
