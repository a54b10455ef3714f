"""OTLP/JSON of spans, as Python records: what one line of a recording says.

Accepts what any writer may have put there: enum names for numbers, numbers as strings, ids as hex or base64, unknown keys. A span that
cannot be placed (no valid ids, no time) is refused with `Malformed`; anything less is read as well as it can be.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import EMPTY, Attributes, AttributeValue, Event, Link, Resource, Scope, SpanRecord

_KINDS: Final = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUSES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
_HEX: Final = frozenset("0123456789abcdef")
_PLAIN_ID: Final = re.compile(r"(?!0*$)[0-9a-f]+")
_NO_PARENT: Final = "0" * 16
_LATEST_NS: Final = 2**63
"""Times beyond year 2262 do not fit OTLP's fixed64 as every reader uses it; they are taken for garbage."""


class Malformed(Exception):
    """A span that cannot be read; the text says why."""


class Decoder:
    """Decodes lines of one or many recordings; equal resources and scopes become one object, which saves memory and later work."""

    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}
        self._scopes: dict[str, Scope] = {}

    def spans(self, document: dict[str, Any]) -> Iterator[SpanRecord | Malformed]:
        """Every span of one decoded line, in order; a span that cannot be read comes as its `Malformed`."""
        for resource, scope, found in self.groups(document, "Spans", "spans"):
            for span in found:
                try:
                    yield span_record(span, resource, scope)
                except Malformed as problem:
                    yield problem

    def groups(self, document: dict[str, Any], signal: str, inner: str) -> Iterator[tuple[Resource, Scope, list[Any]]]:
        """What a document has of one signal (`Spans`, `Logs`, `Metrics`), undecoded, by the resource and scope that it came from."""
        for of_resource in objects(document.get(f"resource{signal}")):
            resource = self.resource(of_resource.get("resource"))
            for of_scope in objects(of_resource.get(f"scope{signal}")):
                yield resource, self.scope(of_scope.get("scope")), items(of_scope.get(inner))

    def home(self, document: dict[str, Any]) -> tuple[Resource, Scope]:
        """Resource and scope of a line that has one of each."""
        (resource_spans,) = document["resourceSpans"]
        (scope_spans,) = resource_spans["scopeSpans"]
        return self.resource(resource_spans["resource"]), self.scope(scope_spans["scope"])

    def resource(self, value: object) -> Resource:
        """A resource; equal ones are one object."""
        key = repr(value)
        found = self._resources.get(key)
        if found is None:
            found = Resource(attributes(value.get("attributes")) if isinstance(value, dict) else EMPTY)
            self._resources[key] = found
        return found

    def scope(self, value: object) -> Scope:
        """A scope; equal ones are one object."""
        key = repr(value)
        found = self._scopes.get(key)
        if found is None:
            scope = value if isinstance(value, dict) else {}
            found = Scope(as_text(scope.get("name")), as_text(scope.get("version")), attributes(scope.get("attributes")))
            self._scopes[key] = found
        return found


def is_pending(span: SpanRecord) -> bool:
    """Whether the record is Logfire's pending span: the sign that another span has started."""
    return span.attributes.get(semconv.LOGFIRE_SPAN_TYPE) == semconv.SPAN_TYPE_PENDING


def started(pending: SpanRecord) -> SpanRecord | None:
    """The span whose start a pending span tells, without an end; None when it does not say which span that is."""
    if not pending.parent_span_id:
        return None
    rest = dict(pending.attributes)
    del rest[semconv.LOGFIRE_SPAN_TYPE]
    parent = rest.pop(semconv.LOGFIRE_PENDING_PARENT, _NO_PARENT)
    try:
        parent_id = hex_id(parent, 16, optional=True)
    except Malformed:
        parent_id = ""
    return SpanRecord(
        trace_id=pending.trace_id,
        span_id=pending.parent_span_id,
        parent_span_id=parent_id,
        name=pending.name,
        start_ns=pending.start_ns,
        end_ns=None,
        kind=pending.kind,
        attributes=rest,
        links=pending.links,
        trace_state=pending.trace_state,
        flags=pending.flags,
        dropped_attributes=pending.dropped_attributes,
        resource=pending.resource,
        scope=pending.scope,
    )


def span_record(value: object, resource: Resource, scope: Scope) -> SpanRecord:
    """One OTLP/JSON span as a record.

    Raises:
        Malformed: if it cannot be placed.
    """
    if not isinstance(value, dict):
        raise Malformed("a span that is not an object")
    trace_id = _trace_id(value.get("traceId"))
    span_id = hex_id(value.get("spanId"), 16)
    start = moment(value.get("startTimeUnixNano"))
    end = moment(value.get("endTimeUnixNano"))
    if start is None:
        if end is None:
            raise Malformed("a span without a start time")
        start = end
    try:
        parent = hex_id(value.get("parentSpanId"), 16, optional=True)
    except Malformed:
        parent = ""
    raw_status = value.get("status")
    status = raw_status if isinstance(raw_status, dict) else {}
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=as_text(value.get("name")),
        start_ns=start,
        end_ns=end,
        kind=_enum(value.get("kind"), "SPAN_KIND_", _KINDS),
        attributes=attributes(value.get("attributes")),
        events=tuple(_event(event, start) for event in objects(value["events"])) if "events" in value else (),
        links=tuple(_links(value["links"])) if "links" in value else (),
        status_code=_enum(status.get("code"), "STATUS_CODE_", _STATUSES),
        status_message=as_text(status.get("message")),
        trace_state=as_text(value.get("traceState")),
        flags=count(value.get("flags")),
        dropped_attributes=count(value.get("droppedAttributesCount", 0)),
        dropped_events=count(value.get("droppedEventsCount", 0)),
        dropped_links=count(value.get("droppedLinksCount", 0)),
        resource=resource,
        scope=scope,
    )


def _event(value: dict[str, Any], default_ns: int) -> Event:
    time_ns = moment(value.get("timeUnixNano"))
    return Event(
        name=as_text(value.get("name")),
        time_ns=default_ns if time_ns is None else time_ns,
        attributes=attributes(value.get("attributes")),
        dropped_attributes=count(value.get("droppedAttributesCount")),
    )


def _links(value: object) -> Iterator[Link]:
    for link in objects(value):
        try:
            trace_id, span_id = hex_id(link.get("traceId"), 32), hex_id(link.get("spanId"), 16)
        except Malformed:
            continue
        yield Link(
            trace_id=trace_id,
            span_id=span_id,
            trace_state=as_text(link.get("traceState")),
            attributes=attributes(link.get("attributes")),
            flags=count(link.get("flags")),
            dropped_attributes=count(link.get("droppedAttributesCount")),
        )


def attributes(value: object) -> Attributes:
    """A list of OTLP KeyValue as a mapping; of equal keys the last one counts."""
    pairs: dict[str, AttributeValue] = {}
    for pair in items(value):
        if isinstance(pair, dict) and isinstance(key := pair.get("key"), str):
            inner = pair.get("value")
            # Most values are texts; the rest of the way costs more than they do.
            text = inner.get("stringValue") if isinstance(inner, dict) and len(inner) == 1 else None
            pairs[key] = text if isinstance(text, str) else any_value(inner)
    return pairs or EMPTY


def any_value(value: object) -> AttributeValue:
    """OTLP AnyValue as Python; None for an empty or unknown one."""
    if not isinstance(value, dict):
        return None
    for kind, inner in value.items():
        if kind == "stringValue":
            return inner if isinstance(inner, str) else None
        if kind == "intValue":
            return as_int(inner)
        if kind == "doubleValue":
            return as_float(inner)
        if kind == "boolValue":
            return inner if isinstance(inner, bool) else None
        if kind == "arrayValue":
            return tuple(any_value(item) for item in items(inner.get("values"))) if isinstance(inner, dict) else ()
        if kind == "kvlistValue":
            return attributes(inner.get("values")) if isinstance(inner, dict) else EMPTY
        if kind == "bytesValue":
            return _bytes(inner)
    return None


def _bytes(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def hex_id(value: object, digits: int, *, optional: bool = False) -> str:
    """An id as lower-case hex of *digits* digits; protobuf's own JSON mapping writes base64, which is read too."""
    if isinstance(value, str) and _PLAIN_ID.fullmatch(value) and len(value) == digits:
        return value
    if optional and (value is None or value == ""):
        return ""
    if not isinstance(value, str):
        raise Malformed("a span whose id is missing or not text")
    text = value.lower()
    if len(text) != digits:
        raw = _bytes(value)
        text = "" if raw is None else raw.hex()
    if len(text) != digits or not _HEX.issuperset(text):
        raise Malformed("a span whose id is not hexadecimal or has the wrong length")
    if text.count("0") == digits:
        if optional:
            return ""
        raise Malformed("a span whose id is all zeros")
    return text


@lru_cache(maxsize=1024)
def _known_trace_id(value: str) -> str:
    return hex_id(value, 32)


def _trace_id(value: object) -> str:
    """Many spans share a trace."""
    return _known_trace_id(value) if isinstance(value, str) else hex_id(value, 32)


def moment(value: object) -> int | None:
    """Nanoseconds since 1970; None for a missing or impossible time (OTLP writes 0 for unknown)."""
    number = as_int(value)
    return number if number is not None and 0 < number < _LATEST_NS else None


def as_int(value: object) -> int | None:
    """An integer, also one written as text, as protobuf writes 64 bits."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def as_float(value: object) -> float | None:
    """A number, also NaN and the infinities, which are written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None if isinstance(value, str) else math.inf


def count(value: object) -> int:
    """A count of 32 bits; 0 for anything else."""
    if value == 0:
        return 0
    number = as_int(value)
    return number if number is not None and 0 <= number < 2**32 else 0


def _enum(value: object, prefix: str, names: dict[str, int]) -> int:
    if isinstance(value, str) and value.startswith(prefix):
        return names.get(value.removeprefix(prefix), 0)
    number = as_int(value)
    return number if number is not None and number in names.values() else 0


def as_text(value: object) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else []


def objects(value: object) -> Iterator[dict[str, Any]]:
    """The objects of a list."""
    return (item for item in items(value) if isinstance(item, dict))
