"""The lines of one span: at its start Logfire's pending span, at its end the span itself. What both say is encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import StatusCode, TraceFlags, TraceState

from massgen_tracing import semconv
from massgen_tracing.sinks.recording import encode
from massgen_tracing.trace.origin import clean_resource, clean_scope

_NO_PARENT: Final = "0" * 16
_NOTHING: Final[Mapping[str, Any]] = {}
_TAIL: Final = "]}]}]}]}\n"
"""Ends the attributes, and what `head` began."""

_PENDING: Final = (
    f'{{"key":"{semconv.LOGFIRE_SPAN_TYPE}","value":{{"stringValue":"{semconv.SPAN_TYPE_PENDING}"}}}},'
    f'{{"key":"{semconv.LOGFIRE_PENDING_PARENT}","value":{{"stringValue":"'
)
_MAX_KEPT: Final = 8192
"""Characters of a span's encoded attributes that are kept until it ends."""


def head(resource: Resource, scope: InstrumentationScope | None) -> str:
    """The beginning of every line of one resource and scope, up to the span's first field."""
    resource = clean_resource(resource)
    fields, schema_url = "", None
    if scope is not None:
        scope = clean_scope(scope)
        fields, schema_url = encode.scope(scope.name, scope.version, scope.attributes), scope.schema_url
    return encode.head(resource.attributes, resource.schema_url, fields, schema_url)


class Identity(Protocol):
    """A span's identity: its `SpanContext`, or the package's own span itself, which need not have made one."""

    @property
    def trace_id(self) -> int: ...
    @property
    def span_id(self) -> int: ...
    @property
    def trace_flags(self) -> TraceFlags: ...
    @property
    def trace_state(self) -> TraceState | None: ...


class SpanLines:
    """Writes the lines of one span.

    Args:
        beginning: from `head`.
        span: the span, just started.
        identity: its identity.
    """

    __slots__ = ("_attributes", "_beginning", "_count", "_name", "_named", "_parent_id", "_parent_remote", "_since", "_span_id", "_started", "_state")

    def __init__(self, beginning: str, span: ReadableSpan, identity: Identity) -> None:
        parent = span.parent
        # Formatting a number costs three times as much as its bytes' hex digits.
        self._beginning = f'{beginning}"traceId":"{identity.trace_id.to_bytes(16, "big").hex()}","spanId":"'
        self._span_id = identity.span_id.to_bytes(8, "big").hex()
        self._parent_id = "" if parent is None else parent.span_id.to_bytes(8, "big").hex()
        self._parent_remote = parent is not None and parent.is_remote
        state = identity.trace_state
        self._state = encode.state(state) if state else ""
        self._name = span.name
        self._named = named = f'"name":{encode.name(self._name)},'
        self._started = started = str(span.start_time)
        # OTLP numbers the kinds from 1, OpenTelemetry's API from 0.
        self._since = f'{named}"kind":{span.kind._value_ + 1},"startTimeUnixNano":"{started}","endTimeUnixNano":"'
        self._attributes = ""
        self._count = 0

    def start(self, span: ReadableSpan, pending_id: int) -> str:
        """The line that says that the span has started.

        It is a span of its own id whose parent is the real span; an attribute names the real span's parent.

        Args:
            span: the span.
            pending_id: the id of the pending span.
        """
        values = span.attributes or _NOTHING
        text = encode.attributes(values)
        if len(text) <= _MAX_KEPT:
            self._attributes, self._count = text, len(values)
        optional = self._state
        if span.links:
            optional += self._links(span)
        return (
            f'{self._beginning}{pending_id.to_bytes(8, "big").hex()}","parentSpanId":"{self._span_id}",{optional}{self._since}{self._started}",'
            f'"attributes":[{text}{"," if text else ""}{_PENDING}{self._parent_id or _NO_PARENT}"}}}}{_TAIL}'
        )

    def end(self, span: ReadableSpan, identity: Identity) -> str:
        """The line of the span, which has ended."""
        optional, since = self._state, self._since
        if span.name != self._name:
            since = f'"name":{encode.name(span.name)},{since.removeprefix(self._named)}'
        if self._parent_id:
            optional += f'"parentSpanId":"{self._parent_id}",'
        if span.events:
            optional += (
                f'"events":[{",".join([encode.event(encode.name(event.name), event, event.attributes or _NOTHING) for event in span.events])}],'
            )
        if span.links:
            optional += self._links(span)
        status = span.status
        if status.status_code is not StatusCode.UNSET:
            optional += encode.status(status.status_code.value, status.description)
        if span.dropped_attributes or span.dropped_events or span.dropped_links:
            optional += encode.dropped("Attributes", span.dropped_attributes)
            optional += encode.dropped("Events", span.dropped_events)
            optional += encode.dropped("Links", span.dropped_links)
        flags = encode.flags(identity.trace_flags, parent_is_remote=self._parent_remote)
        return f'{self._beginning}{self._span_id}",{optional}"flags":{flags},{since}{span.end_time}","attributes":[{self._at_end(span)}{_TAIL}'

    def _at_end(self, span: ReadableSpan) -> str:
        """The span's attributes; those that it already had at its start are not encoded again where it knows that they have not changed."""
        values = span.attributes or _NOTHING
        count = self._count
        if not count or getattr(span, "rewritten", True):
            return encode.attributes(values)
        if len(values) == count:
            return self._attributes
        return f"{self._attributes},{encode.attributes(dict(list(values.items())[count:]))}"

    @staticmethod
    def _links(span: ReadableSpan) -> str:
        return f'"links":[{",".join([encode.link(link, link.attributes or _NOTHING) for link in span.links])}],'
