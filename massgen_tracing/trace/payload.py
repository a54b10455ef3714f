"""Any value becomes an attribute value: JSON-safe, bounded, scrubbed; never an error. Names, keys and previews do too."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from massgen_tracing import guard, semconv
from massgen_tracing.conventions import is_content
from massgen_tracing.model import AttributeValue
from massgen_tracing.trace.bounds import cut_clean, dump, encodable, fit, scrubbed_start, shorten_json, size
from massgen_tracing.trace.conversion import FEW, INT64_MAX, INT64_MIN, Converter, Unscrubbed, plain_texts
from massgen_tracing.trace.scrub import MARK, is_secret_key, scrub, use

MAX_BYTES: Final = 64 * 1024
"""Bytes (UTF-8) of one attribute value."""

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""The same of an answer's whole text: more than models write, and less than a collector takes in one request."""

MAX_ATTRIBUTES: Final = 256
"""Attributes of one span, event or link."""

PREVIEW_CHARS: Final = 2000
"""Characters of message content and of tool arguments and results, unless full content was asked for."""

MAX_NAME: Final = 256
"""Characters of a name: of a span, an event, an agent, a tool, an instrumentation scope."""

_LONGEST_PREVIEW: Final = PREVIEW_CHARS + 64
"""With the note that says what was cut."""

_MAX_KEY: Final = 512
"""Characters of an attribute's key."""

_SHORT: Final = 128
_RECURS: Final = 64
"""Characters of a text that may well recur (agent ids, models, tool names), so that it is looked at once; longer ones mostly are said once."""

_MAX_CACHED: Final = 8192
_cleaned: dict[tuple[object, object], str] = {}
"""Such texts, by key."""

_names: dict[object, str] = {}
"""Names that were looked at, as they are recorded."""

_ID_PREFIXES: Final = frozenset({"resp", "call", "toolu", "msg", "run", "req", "item", "thread"})
_PLAIN_ID: Final = re.compile(r"(?:resp|call|toolu|msg|run|req|item|thread|chatcmpl)-[A-Za-z0-9]+|[0-9a-f]{16,32}")
"""Ids that no other call has, in which no secret can stand: looking for one would cost more than all else about them."""

_plain = semconv.IDENTIFIERS
"""Keys under which such ids stand; none where the user says of anything that it is secret too."""

known_name: Final = _names.get
"""What `clean_name` makes of a name that it was given before; None of others."""

_keys: dict[str, None] = {}
"""Keys that were looked at, stand as they are, and name no secret."""

_keeps_content = False
"""Whether content is recorded in full."""

_MAX_SHAPES: Final = 1024
_MAX_TOGETHER: Final = 64
_shapes: dict[tuple[str, ...], None] = {}
"""Such keys as they stood together: a span mostly has those of another one before it, and its keys need not be looked at one by one."""


def scrub_also(patterns: Sequence[str]) -> None:
    """Say which regular expressions find further secrets; what was looked at before is looked at again."""
    global _plain
    if use(patterns):
        _plain = frozenset() if patterns else semconv.IDENTIFIERS
        for seen in (_cleaned, _names, _keys, _shapes):
            seen.clear()


def keep_content(full: bool) -> None:
    """Say whether content of any span, whoever made it, is recorded in full; it is cut to a preview otherwise."""
    global _keeps_content
    _keeps_content = full


def clean(key: str, value: object, max_bytes: int = MAX_BYTES) -> AttributeValue:
    """*value* as an attribute value under *key*; None means that there is nothing to set.

    Never raises: what cannot be read (its `__repr__` raises, it changes while it is read) is named by its type.
    """
    kind = type(value)
    if kind is str:
        return _text(key, value, max_bytes)  # type: ignore[arg-type]
    if kind is bool or value is None:
        return value  # type: ignore[return-value]
    if is_secret_key(key):
        return MARK
    if kind is float or (kind is int and INT64_MIN <= value <= INT64_MAX):  # type: ignore[operator]
        return value  # type: ignore[return-value]
    try:
        if (kind is list or kind is tuple) and (texts := plain_texts(value, max_bytes // 8)) is not None and not is_content(key):  # type: ignore[arg-type]
            return texts
        bounded = _bound(Converter(max_bytes, attribute_key, _text).convert(value, 0), max_bytes)
        is_long = isinstance(bounded, list | dict) and not _keeps_content and is_content(key) and len(dump(bounded)) > _LONGEST_PREVIEW
        return preview(value) if is_long else bounded
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
        guard.passing(error)
        return f"<unreadable {kind.__name__}>"


def clean_all(attributes: Mapping[str, object], limit: int = MAX_ATTRIBUTES) -> dict[str, Any]:
    """The first *limit* attributes, each cleaned; those without a value left out."""
    cleaned: dict[str, Any] = dict(attributes) if type(attributes) is dict else dict(list(attributes.items())[: 4 * limit])
    if tuple(cleaned) not in _shapes or len(cleaned) > limit:
        return _clean_others(attributes, limit)
    nothing = False
    known = _cleaned.get
    for item in cleaned.items():
        value = item[1]
        kind = type(value)
        if kind is str:
            kept = known(item)
            if kept is not value:
                cleaned[item[0]] = _new_text(item[0], value, MAX_BYTES) if kept is None else kept
        elif kind is float or (kind is int and INT64_MIN <= value <= INT64_MAX) or kind is bool:
            continue
        elif value is None:
            nothing = True
        else:
            cleaned[item[0]] = converted = clean(item[0], value)
            nothing = nothing or converted is None
    return {key: value for key, value in cleaned.items() if value is not None} if nothing else cleaned


def _clean_others(attributes: Mapping[Any, object], limit: int) -> dict[str, Any]:
    """Attributes whose keys have not been seen together before."""
    cleaned: dict[str, Any] = {}
    given = list(attributes.items())[: 4 * limit]  # a copy, for another thread may change them meanwhile
    for key, value in given:
        name = attribute_key(key)
        kept = clean(name, value)
        if kept is not None:
            cleaned[name] = kept
    if len(given) <= _MAX_TOGETHER and all(type(key) is str and key in _keys for key, _ in given):
        if len(_shapes) >= _MAX_SHAPES:
            _shapes.clear()
        _shapes[tuple(key for key, _ in given)] = None
    return cleaned if len(cleaned) <= limit else dict(islice(cleaned.items(), limit))


def attribute_key(given: object) -> str:
    """*given* as an attribute's key: a text, scrubbed, without lone surrogates, and not longer than a name needs to be."""
    if type(given) is str and given in _keys:
        return given
    key = _bounded(given, _MAX_KEY)
    if type(given) is str and key == given and len(key) <= _SHORT and not is_secret_key(key):
        if len(_keys) >= _MAX_CACHED:
            _keys.clear()
        _keys[given] = None
    return key


def clean_name(name: object) -> str:
    """*name* as the name of a span, an event or a scope: scrubbed, at most `MAX_NAME` characters. Names recur: each is looked at once."""
    known = _names.get(name) if type(name) is str else None
    if known is None:
        known = _bounded(name, MAX_NAME)
        if type(name) is str and len(name) <= MAX_NAME:
            if len(_names) >= _MAX_CACHED:
                _names.clear()
            _names[name] = known
    return known


def text_of(value: object) -> str:
    """The text that *value* is or stands for, as an id or a name: an enumeration's member for its value; never raises.

    What holds more than a few plain values is JSON text, and bounded: its own text might take seconds to make.
    """
    if type(value) is str:
        return value
    try:
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, str):
            return str.__str__(value)
        return to_json(value) if holds_many(value) else str(value)
    except Exception as error:  # noqa: BLE001 - a stranger's __str__ may raise anything
        guard.passing(error)
        return f"<unreadable {type(value).__name__}>"


def holds_many(value: object) -> bool:
    """Whether it holds more than a few plain values, so that its own text might take long to make."""
    if isinstance(value, str | type) or not isinstance(value, Collection):
        return False
    if isinstance(value, bytes | bytearray):
        return len(value) > MAX_BYTES
    if type(value) is dict:
        return len(value) > FEW or not all(isinstance(item, str | float | int | None) for pair in value.items() for item in pair)
    return (
        type(value) not in {tuple, list, set, frozenset} or len(value) > FEW or not all(isinstance(item, str | float | int | None) for item in value)
    )


def _bounded(name: object, limit: int) -> str:
    """A name or a key, scrubbed and cut to *limit* characters."""
    text = text_of(name)
    start, whole = scrubbed_start(text, limit)
    return start if whole and len(start) <= limit else f"{start[: limit - 1]}…"


def preview(value: object, *, full: bool = False) -> AttributeValue:
    """Message content or a tool's arguments or result as a bounded text: a preview, or all that one attribute may hold.

    Anything but text becomes JSON text, and JSON text stays JSON where it is cut.
    """
    if value is None:
        return None
    if type(value) is not str:
        return to_json(value) if full else _preview_of(value)
    if full:
        return value
    if len(value) > PREVIEW_CHARS and value[:1] in ("{", "["):
        shorter = shorten_json(value, PREVIEW_CHARS, len)
        if shorter is not None:
            return shorter
    return cut_clean(value, PREVIEW_CHARS)


def _preview_of(value: object) -> str:
    """What is no text, as JSON text of a preview's length: only so much of long texts is scrubbed as is kept of them."""
    texts = Unscrubbed(MAX_BYTES, attribute_key)
    plain = texts.convert(value, 0)
    if texts.read <= PREVIEW_CHARS:
        text = to_json(value)
        if len(text) <= PREVIEW_CHARS:
            return cut_clean(text, PREVIEW_CHARS)
    return fit(plain, PREVIEW_CHARS, len)


def answered(value: object, *, full: bool, whole: bool) -> dict[str, AttributeValue]:
    """The attributes of an answer: its preview and, with *whole*, all of its text where the preview may not be that."""
    if value is None or text_of(value) == "":
        return {}
    said = preview(value, full=full)
    if whole and len(text := text_of(value)) > PREVIEW_CHARS // 2:
        return {semconv.ANSWER_PREVIEW: said, semconv.ANSWER_TEXT: text}
    return {semconv.ANSWER_PREVIEW: said}


def to_json(value: object) -> str:
    """*value* as JSON text, whatever it is."""
    try:
        if type(value) is str:
            return json.dumps(value, ensure_ascii=False)
        return dump(Converter(MAX_BYTES, attribute_key, _text).convert(value, 0))
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
        guard.passing(error)
        return json.dumps(f"<unreadable {type(value).__name__}>")


def _text(key: str, value: str, max_bytes: int) -> str:
    done = _cleaned.get((key, value))
    if done is not None:
        return done
    return MARK if is_secret_key(key) else _new_text(key, value, max_bytes)


def _new_text(key: str, value: str, max_bytes: int) -> str:
    """A text under a key that names no secret."""
    if len(value) > _LONGEST_PREVIEW and not _keeps_content and is_content(key):
        return str(preview(value))
    if len(value) > max_bytes // 4:
        return _bound_text(value, MAX_ANSWER_BYTES if key == semconv.ANSWER_TEXT else max_bytes)
    # No character takes more than four bytes, and a mark at most doubles what it stands for.
    if key in _plain and _is_plain_id(value):
        return value
    done = scrub(encodable(value))
    if len(value) <= _RECURS and len(key) <= _SHORT:
        if len(_cleaned) >= _MAX_CACHED:
            _cleaned.clear()
        _cleaned[key, value] = done
    return done


def _is_plain_id(value: str) -> bool:
    prefix, _, rest = value.partition("_")
    return (prefix in _ID_PREFIXES and rest.isalnum()) or _PLAIN_ID.fullmatch(value) is not None


def _bound_text(value: str, max_bytes: int) -> str:
    if len(value) <= max_bytes:
        whole = scrub(encodable(value))
        if size(whole) <= max_bytes:
            return whole
    if value[:1] in "{[":
        shorter = shorten_json(value, max_bytes, size)
        if shorter is not None:
            return shorter
    note = f"… [cut, {len(value)} characters]"
    start, _ = scrubbed_start(value, max_bytes)
    return start.encode()[: max(0, max_bytes - size(note))].decode("utf-8", "ignore") + note


def _bound(value: AttributeValue, max_bytes: int) -> AttributeValue:
    """A converted value that fits, or the JSON text of what of it fits."""
    if isinstance(value, list | dict):
        text = dump(value)
        # Infinities and NaN are longer than the null that stands for them in JSON text.
        if len(text) > max_bytes // 4 and size(json.dumps(value, ensure_ascii=False, default=repr)) > max_bytes:
            return fit(json.loads(text), max_bytes, size)
    return value
