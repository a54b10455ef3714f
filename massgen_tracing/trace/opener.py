"""A span that, called, opens a span below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import SpanContext, Status, StatusCode

from massgen_tracing.trace.calls import Work
from massgen_tracing.trace.factory import SpanFactory
from massgen_tracing.trace.handle import Handle
from massgen_tracing.trace.single import Single


class OpenerSpan(Single, ApiSpan):
    """The OpenTelemetry span of a session or round, which, called, opens a span below it: `rnd.span("parse", attributes={…})`.

    Everything else is the span itself.
    """

    def __init__(self, span: ApiSpan, handle: Handle, spans: SpanFactory) -> None:
        self._span = span
        self._handle = handle
        self._spans = spans

    def __call__(self, name: str, attributes: Mapping[str, Any] | None = None) -> Work:
        """A span below this one; see `Tracer.span`."""
        return Work(self._spans, name, attributes, self._handle.context)

    def __reduce__(self) -> tuple[Any, ...]:
        return _span_of, (self._handle,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    def get_span_context(self) -> SpanContext:
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        return self._span.is_recording()

    def set_attribute(self, key: str, value: Any) -> None:
        self._span.set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(attributes)

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        self._span.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        self._span.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self._span.update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._span.set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._span.record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        self._span.end(end_time)


def _span_of(handle: Handle) -> ApiSpan:
    return handle.span
