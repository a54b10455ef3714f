"""What attributes were, of the texts that ClickHouse's exporter made of them.

`collector/scale.yaml` puts down beside them what the texts do not say. Where another Collector has written, keys that are documented have the kind
that they are documented with; of others, texts that are exactly how a number or a boolean is written are taken for one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import EMPTY, Attributes, AttributeValue
from massgen_tracing.store.sealing import typed

STORED: Final = (semconv.STORED_TYPES, semconv.STORED_KEYS, semconv.STORED_ORDER, semconv.STORED_DOUBLES, semconv.STORED_SCOPE)
"""Keys that no program has recorded: what the Collector has put down."""

_STORED: Final = frozenset(STORED)

_JSON: Final = frozenset(
    {
        *(semconv.CONTEXT_LABELS, semconv.AGENT_IDS, semconv.VOTES, semconv.USAGE_RAW, semconv.ESTIMATED, semconv.IMPORTED_MISSING),
        *(semconv.GEN_AI_FINISH_REASONS, semconv.LOGFIRE_TAGS, semconv.LOGFIRE_TRUNCATED, semconv.LOGFIRE_SCRUBBED),
    }
)
"""Documented keys whose values are lists or mappings."""

_LETTERS: Final = {"int": "i", "float": "d", "bool": "b"}
_DOCUMENTED: Final = {
    **{key: _LETTERS.get(known.kind, "s") for key, known in typed.COLUMNS.items()},
    **dict.fromkeys(_JSON, "j"),
    **dict.fromkeys((semconv.LOGFIRE_LEVEL, semconv.PROCESS_PID, semconv.HTTP_STATUS, semconv.HTTP_STATUS_OLD), "i"),
    **dict.fromkeys((semconv.LOGFIRE_MSG, semconv.LOGFIRE_JSON_SCHEMA, semconv.LOGFIRE_SPAN_TYPE, semconv.LOGFIRE_PENDING_PARENT), "s"),
}
_INTEGER: Final = re.compile(r"0|-?[1-9]\d{0,18}")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,16})\.\d*[1-9]")


def restored(texts: Mapping[str, str]) -> tuple[Attributes, Attributes]:
    """Attributes as they were, in their order, and those of the scope that came with them."""
    if not texts:
        return EMPTY, EMPTY
    said = texts.get(semconv.STORED_TYPES)
    if said is None:
        return {key: _read(text, _guessed(key, text)) for key, text in texts.items()}, EMPTY
    kinds = _decoded(said)
    keys: Iterable[str] = texts
    if order := texts.get(semconv.STORED_KEYS):
        keys = sorted(texts, key=_places(order))
    inner = _Inner(texts) if semconv.STORED_ORDER in texts or semconv.STORED_DOUBLES in texts else None
    values = {
        key: (inner.value(key, texts[key]) if inner is not None and kind == "j" else _read(texts[key], kind))
        for key in keys
        if key not in _STORED
        for kind in (kinds.get(key, "s"),)
    }
    of_scope = texts.get(semconv.STORED_SCOPE)
    return values or EMPTY, _frozen(json.loads(of_scope)) if of_scope else EMPTY  # type: ignore[return-value]


def _guessed(key: str, text: str) -> str:
    """The kind of a value of which nothing was put down."""
    known = _DOCUMENTED.get(key)
    if known is not None:
        return known
    if _INTEGER.fullmatch(text):
        return "i"
    if text in _BOOLEANS:
        return "b"
    return "d" if _NUMBER.fullmatch(text) else "s"


def _read(text: str, kind: str) -> AttributeValue:
    """A value from its text; one that is not written like its kind stays the text."""
    reader = _READERS.get(kind)
    if reader is None:
        return text
    try:
        return reader(text)
    except (ValueError, KeyError, binascii.Error, RecursionError):
        return text


_BOOLEANS: Final = {"true": True, "false": False}

_READERS: Final[dict[str, Callable[[str], AttributeValue]]] = {
    "i": int,
    "d": float,
    "b": _BOOLEANS.__getitem__,
    "j": lambda text: _frozen(json.loads(text)),
    "y": lambda text: base64.b64decode(text, validate=True),
    "n": lambda _text: None,
}


def _frozen(value: Any) -> AttributeValue:
    """Lists and mappings as the reader of recordings gives them."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()} or EMPTY
    return value  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _decoded(said: str) -> dict[str, str]:
    """What a mapping of texts says; programs' spans are of few kinds, so that most are known."""
    found: dict[str, str] = json.loads(said)
    return found


@lru_cache(maxsize=1024)
def _places(said: str) -> Callable[[str], int]:
    """The place of each key; those that are not named come last."""
    places = {key: place for place, key in enumerate(json.loads(said))}
    last = len(places)
    return lambda key: places.get(key, last)


class _Inner:
    """Lists and mappings with what their JSON has lost: the order of keys, and which numbers are doubles."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._places: dict[str, int] = {}
        for place, path in enumerate(json.loads(texts.get(semconv.STORED_ORDER) or "[]")):
            # What a mapping is in has the place of its first value.
            at = len(path)
            while at > 0 and self._places.setdefault(path[:at], place) == place:
                at = path.rfind(".", 0, at)
        self._doubles = _decoded(texts.get(semconv.STORED_DOUBLES) or "{}")

    def value(self, key: str, text: str) -> AttributeValue:
        """The value of a key."""
        if not text:  # JSON cannot say NaN: the Collector then says nothing
            begin = f"{key}."
            return tuple(float(said) for path, said in self._doubles.items() if path.startswith(begin))
        try:
            return self._whole(key, json.loads(text))
        except (ValueError, RecursionError):
            return text

    def _whole(self, path: str, value: Any) -> AttributeValue:
        if isinstance(value, list):
            return tuple(self._whole(f"{path}.{place}", item) for place, item in enumerate(value))
        if isinstance(value, dict):
            last = len(self._places)
            keys = sorted(value, key=lambda key: self._places.get(f"{path}.{key}", last))
            return {key: self._whole(f"{path}.{key}", value[key]) for key in keys} or EMPTY
        said = self._doubles.get(path)
        return value if said is None else float(said)
