"""The parts of a line of OTLP/JSON (OpenTelemetry's file-exporter format: a TracesData object a line).

Written by hand because it is on the run's way: `MessageToJson` over the protobuf takes ten times as long. What recurs, names and
keys, is encoded once.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from math import isfinite, isnan
from typing import Any, Final

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, TraceState

quote = encode_basestring_ascii
"""A text as a JSON string: ASCII only, so that a line torn anywhere still decodes."""

_MAX_CACHED: Final = 8192
_SHORT: Final = 128


class _Known(dict[str, str]):
    """What recurs, encoded; at most `_MAX_CACHED` short texts.

    Args:
        form: how a text is written, once it is a JSON string.
    """

    def __init__(self, form: str) -> None:
        self._form = form

    def __missing__(self, text: str) -> str:
        done = self._form % quote(str(text))
        if len(text) <= _SHORT:
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[text] = done
        return done


_names: Final = _Known("%s")
_values: Final = _Known('{"key":%s,"value":')
_texts: Final = _Known('{"key":%s,"value":{"stringValue":')
_ints: Final = _Known('{"key":%s,"value":{"intValue":"')

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1

_CONTEXT_HAS_IS_REMOTE: Final = 0x100
_CONTEXT_IS_REMOTE: Final = 0x200


def head(resource: Mapping[str, Any], resource_schema: str | None, scope: str, scope_schema: str | None) -> str:
    """The beginning of every line of one resource and scope, up to the span's first field; *scope* is the inside of its object."""
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{attributes(resource)}]}},{_schema(resource_schema)}'
        f'"scopeSpans":[{{"scope":{{{scope}}},{_schema(scope_schema)}"spans":[{{'
    )


def _schema(url: str | None) -> str:
    return f'"schemaUrl":{quote(url)},' if url else ""


def scope(name: str, version: str | None, values: Mapping[str, Any] | None) -> str:
    """An instrumentation scope as the inside of a JSON object."""
    fields = [f'"name":{quote(name)}'] if name else []
    if version:
        fields.append(f'"version":{quote(version)}')
    if values:
        fields.append(f'"attributes":[{attributes(values)}]')
    return ",".join(fields)


def attributes(values: Mapping[str, Any]) -> str:
    """Attributes as the inside of a JSON list."""
    return ",".join(
        [
            f"{_texts[key]}{quote(value)}}}}}"
            if (kind := type(value)) is str
            else f'{_ints[key]}{value}"}}}}'
            if kind is int and _INT64_MIN <= value <= _INT64_MAX
            else f'{_values[key]}{{"doubleValue":{value!r}}}}}'
            if kind is float and isfinite(value)
            else f"{_values[key]}{any_value(value)}}}"
            for key, value in values.items()
        ]
    )


name: Final = _names.__getitem__
"""The name of a span or an event as a JSON string."""


def any_value(value: Any) -> str:
    """OTLP's AnyValue in protobuf's JSON mapping: 64-bit integers as text, bytes in base64, NaN and infinities by name."""
    if isinstance(value, str):
        return f'{{"stringValue":{quote(value)}}}'
    if isinstance(value, bool):
        return '{"boolValue":true}' if value else '{"boolValue":false}'
    if isinstance(value, int):
        if not _INT64_MIN <= value <= _INT64_MAX:  # OTLP's integers have 64 bits
            return f'{{"stringValue":{quote(_decimal(value))}}}'
        return f'{{"intValue":"{int(value)}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{_double(value)}}}'
    if value is None:
        return "{}"
    if isinstance(value, bytes):
        return f'{{"bytesValue":"{base64.b64encode(value).decode()}"}}'
    if isinstance(value, Mapping):
        pairs = ",".join(f'{{"key":{quote(str(key))},"value":{any_value(item)}}}' for key, item in value.items())
        return f'{{"kvlistValue":{{"values":[{pairs}]}}}}'
    if isinstance(value, Sequence | Iterable):
        items = list(value)
        said = _texts_of(items) if set(map(type, items)) == {str} else ",".join(map(any_value, items))
        return f'{{"arrayValue":{{"values":[{said}]}}}}'
    return f'{{"stringValue":{quote(str(value))}}}'


_BETWEEN: Final = "\x1f"
_BETWEEN_QUOTED: Final = quote(_BETWEEN)[1:-1]


def _texts_of(items: list[str]) -> str:
    """Texts as values, between commas: encoded all at once where none has in it what is put between them."""
    text = _BETWEEN.join(items)
    if "\\" in text or text.count(_BETWEEN) != len(items) - 1:
        return ",".join(map(any_value, items))
    between = '"},{"stringValue":"'
    return f'{{"stringValue":{quote(text).replace(_BETWEEN_QUOTED, between)}}}'


def _decimal(value: int) -> str:
    try:
        return str(int(value))
    except ValueError:  # more digits than Python converts
        return hex(value)


def _double(value: float) -> str:
    if isfinite(value):
        return repr(float(value))
    return '"NaN"' if isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def event(name: str, event: Event, values: Mapping[str, Any]) -> str:
    """A span event of this name, from `name`, with these attributes."""
    count = dropped("Attributes", event.dropped_attributes).rstrip(",")
    return f'{{"timeUnixNano":"{event.timestamp}","name":{name},"attributes":[{attributes(values)}]{"," if count else ""}{count}}}'


def link(link: Link, values: Mapping[str, Any]) -> str:
    """A span link with these attributes."""
    context = link.context
    return (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",{state(context.trace_state)}'
        f'"flags":{flags(context.trace_flags, parent_is_remote=context.is_remote)},"attributes":[{attributes(values)}]}}'
    )


def state(state: TraceState | None) -> str:
    """The trace state as a field, with its comma; empty without one."""
    return f'"traceState":{quote(state.to_header())},' if state else ""


def status(code: int, description: str | None) -> str:
    """The status as a field, with its comma. OpenTelemetry's API numbers UNSET 0, OK 1, ERROR 2, as OTLP does."""
    message = f',"message":{quote(description)}' if description else ""
    return f'"status":{{"code":{code}{message}}},'


def dropped(what: str, count: int) -> str:
    """A count of what was dropped as a field, with its comma; empty for none."""
    return f'"dropped{what}Count":{count},' if count else ""


def flags(flags: int, *, parent_is_remote: bool) -> int:
    """W3C trace flags, and above them whether the parent is of another process (OTLP span flags)."""
    return flags | _CONTEXT_HAS_IS_REMOTE | (_CONTEXT_IS_REMOTE if parent_is_remote else 0)
