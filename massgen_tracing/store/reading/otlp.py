"""OTLP/JSON of spans, as Python records: what one line of a recording says.

Accepts what any writer may have put there: enum names for numbers, numbers as strings, ids as hex or base64, unknown keys, protobuf's own names
of keys. A span that cannot be placed (no valid ids, no time) is refused with `Malformed`; anything less is read as well as it can be, and what of it
cannot is told to whoever asks (*complain*).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from sys import intern
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.model import EMPTY, Event, Link, Resource, Scope, SpanRecord
from massgen_tracing.store.reading import names
from massgen_tracing.store.reading.values import Complain, Malformed, as_text, attributes, count, enum, hex_id, moment, no_time, objects, quiet

_KINDS: Final = {"UNSPECIFIED": 0, "INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUSES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
_NO_PARENT: Final = "0" * 16


class Decoder:
    """What decoding lines of one or many recordings keeps: equal resources and scopes become one object, which saves memory and later work.

    Args:
        complain: told of what cannot be read.
    """

    def __init__(self, complain: Complain = quiet) -> None:
        self.complain = complain
        self._resources: dict[str, Resource] = {}
        self._scopes: dict[str, Scope] = {}

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
            found = Resource(attributes(names.usual(value).get("attributes"), self.complain) if isinstance(value, dict) else EMPTY)
            self._resources[key] = found
        return found

    def scope(self, value: object) -> Scope:
        """A scope; equal ones are one object."""
        key = repr(value)
        found = self._scopes.get(key)
        if found is None:
            scope = names.usual(value) if isinstance(value, dict) else {}
            found = Scope(as_text(scope.get("name")), as_text(scope.get("version")), attributes(scope.get("attributes"), self.complain))
            self._scopes[key] = found
        return found


def is_pending(span: SpanRecord) -> bool:
    """Whether the record is Logfire's pending span: the sign that another span has started."""
    return span.attributes.get(semconv.LOGFIRE_SPAN_TYPE) == semconv.SPAN_TYPE_PENDING


def started(pending: SpanRecord) -> SpanRecord | None:
    """The span whose start a pending span tells, without an end; None when it does not say which span that is, or, damaged, that it is pending."""
    if not pending.parent_span_id or not is_pending(pending):
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


def span_record(value: Any, resource: Resource, scope: Scope, complain: Complain = quiet) -> SpanRecord:
    """One OTLP/JSON span as a record; what of it cannot be read, though the span can, is told to *complain*.

    Raises:
        Malformed: if it cannot be placed.
    """
    if not isinstance(value, dict):
        raise Malformed("a span that is not an object")
    if "traceId" not in value or "startTimeUnixNano" not in value:
        value = names.usual(value)
    trace_id = _trace_id(value.get("traceId"))
    span_id = hex_id(value.get("spanId"), 16)
    start = moment(value.get("startTimeUnixNano"))
    end = moment(value.get("endTimeUnixNano"))
    if start is None:
        if end is None:
            raise Malformed("a span without a start time")
        no_time(value.get("startTimeUnixNano"), "the start of a span", complain)
        start = end
    elif end is None:
        no_time(value.get("endTimeUnixNano"), "the end of a span", complain)
    try:
        parent = hex_id(value.get("parentSpanId"), 16, optional=True)
    except Malformed:
        parent = ""
        complain("the id of a parent, which is not hexadecimal or has the wrong length")
    status = value.get("status")
    if not isinstance(status, dict):
        status = {}
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=intern(as_text(value.get("name"))),
        start_ns=start,
        end_ns=end,
        kind=enum(value.get("kind"), "SPAN_KIND_", _KINDS, complain),
        attributes=attributes(value.get("attributes"), complain),
        events=tuple(event(each, start, complain) for each in objects(events)) if (events := value.get("events")) else (),
        links=tuple(_links(links, complain)) if (links := value.get("links")) else (),
        status_code=enum(status.get("code"), "STATUS_CODE_", _STATUSES, complain),
        status_message=as_text(status.get("message")),
        trace_state=as_text(value.get("traceState")),
        flags=count(value.get("flags")),
        dropped_attributes=count(value.get("droppedAttributesCount")),
        dropped_events=count(value.get("droppedEventsCount")),
        dropped_links=count(value.get("droppedLinksCount")),
        resource=resource,
        scope=scope,
    )


def event(value: dict[str, Any], default_ns: int, complain: Complain = quiet) -> Event:
    """One event of an OTLP/JSON span, at *default_ns* where it does not say when; what of it cannot be read is told to *complain*."""
    time_ns = moment(value.get("timeUnixNano"))
    if time_ns is None:
        no_time(value.get("timeUnixNano"), "the time of an event", complain)
    return Event(
        name=as_text(value.get("name")),
        time_ns=default_ns if time_ns is None else time_ns,
        attributes=attributes(value.get("attributes"), complain),
        dropped_attributes=count(value.get("droppedAttributesCount")),
    )


def _links(value: object, complain: Complain) -> Iterator[Link]:
    for link in objects(value):
        try:
            trace_id, span_id = hex_id(link.get("traceId"), 32), hex_id(link.get("spanId"), 16)
        except Malformed:
            complain("a link whose ids are missing, not hexadecimal or of the wrong length")
            continue
        yield Link(
            trace_id=trace_id,
            span_id=span_id,
            trace_state=as_text(link.get("traceState")),
            attributes=attributes(link.get("attributes"), complain),
            flags=count(link.get("flags")),
            dropped_attributes=count(link.get("droppedAttributesCount")),
        )


@lru_cache(maxsize=1024)
def _known_trace_id(value: str) -> str:
    return hex_id(value, 32)


def _trace_id(value: object) -> str:
    """Many spans share a trace."""
    return _known_trace_id(value) if isinstance(value, str) else hex_id(value, 32)
