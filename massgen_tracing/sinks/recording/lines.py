"""The lines of one span: at its start Logfire's pending span, at its end the span itself. What both say is encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, StatusCode

from massgen_tracing import semconv
from massgen_tracing.sinks.recording import encode
from massgen_tracing.trace.origin import clean_resource, clean_scope

_KINDS: Final = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
"""OTLP's numbers; OpenTelemetry's API counts from 0."""

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
    scope_fields = []
    if scope is not None:
        scope = clean_scope(scope)
        scope_fields.append(f'"name":{encode.quote(scope.name)}')
        if scope.version:
            scope_fields.append(f'"version":{encode.quote(scope.version)}')
        if scope.attributes:
            scope_fields.append(f'"attributes":[{encode.attributes(scope.attributes)}]')
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{encode.attributes(resource.attributes)}]}},{_schema(resource.schema_url)}'
        f'"scopeSpans":[{{"scope":{{{",".join(scope_fields)}}},{_schema(scope.schema_url if scope else None)}"spans":[{{'
    )


def _schema(url: str | None) -> str:
    return f'"schemaUrl":{encode.quote(url)},' if url else ""


class SpanLines:
    """Writes the lines of one span.

    Args:
        beginning: from `head`.
        span: the span, just started.
        context: its identity.
    """

    __slots__ = ("_attributes", "_beginning", "_count", "_parent_id", "_parent_remote", "_since", "_span_id", "_state")

    def __init__(self, beginning: str, span: ReadableSpan, context: SpanContext) -> None:
        parent = span.parent
        self._beginning = f'{beginning}"traceId":"{context.trace_id:032x}","spanId":"'
        self._span_id = f"{context.span_id:016x}"
        self._parent_id = "" if parent is None else f"{parent.span_id:016x}"
        self._parent_remote = parent is not None and parent.is_remote
        self._state = encode.state(context) if context.trace_state else ""
        self._since = f'"kind":{_KINDS[span.kind.name]},"startTimeUnixNano":"{span.start_time}","endTimeUnixNano":"'
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
            f'{self._beginning}{pending_id:016x}","parentSpanId":"{self._span_id}",{optional}"name":{encode.name(span.name)},'
            f'{self._since}{span.start_time}","attributes":[{text}{"," if text else ""}{_PENDING}{self._parent_id or _NO_PARENT}"}}}}{_TAIL}'
        )

    def end(self, span: ReadableSpan, context: SpanContext) -> str:
        """The line of the span, which has ended."""
        optional = self._state
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
        return (
            f'{self._beginning}{self._span_id}",{optional}"flags":{encode.flags(context, parent_is_remote=self._parent_remote)},'
            f'"name":{encode.name(span.name)},{self._since}{span.end_time}","attributes":[{self._at_end(span)}{_TAIL}'
        )

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
