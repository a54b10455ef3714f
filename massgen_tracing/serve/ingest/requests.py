"""Requests of OTLP, checked: what of one can be taken, and what not.

Protobuf is parsed by its own library, which takes a third of a microsecond a span; nothing is made of it here. What is taken goes on as it was sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from massgen_tracing import semconv
from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.store.reading import wire

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_SHOWN: Final = 3
"""Reasons that an answer names."""

NO_TIME: Final = "a span without a start time, or of no time that can be"
PENDING_OF_NONE: Final = "a pending span without a parent, which says of no span that it has started"

_Found = tuple[int, Counter[str], dict[str, None]]


@dataclass(frozen=True, slots=True)
class Signal:
    """A kind of request.

    Attributes:
        name: as in the path.
        mark: ends a request on the disk: a field that OTLP does not have, which says of which kind the request is.
        request, response: OTLP's messages.
        group: what `reading.envelopes` calls it.
        rejected: the field of the response that counts what was not taken.
        check: takes out of a request what cannot be read, and gives how many were left, why others were not, and what of those left was taken out.
    """

    name: str
    mark: bytes
    request: type[Message]
    response: type[Message]
    group: str
    rejected: str
    check: Callable[[Any], _Found]


@dataclass(frozen=True, slots=True)
class Checked:
    """What of a request is taken.

    Attributes:
        content: what is to be kept; empty for nothing.
        taken: how many spans, log records or data points.
        rejected: how many were not, by why.
        warned: what of those that were taken could not be read.
    """

    content: bytes
    taken: int
    rejected: Counter[str]
    warned: Sequence[str] = ()

    @property
    def why(self) -> str:
        """In words, what was not taken or not read; empty where all was."""
        unread = f"not read: {'; '.join(self.warned[:_SHOWN])}{_others(len(self.warned))}" if self.warned else ""
        return "; ".join(filter(None, (self._rejections, unread)))

    @property
    def _rejections(self) -> str:
        most = self.rejected.most_common(_SHOWN)
        total = self.rejected.total() + self.taken
        return "; ".join(f"{count} of {total}: {reason}" for reason, count in most) + _others(len(self.rejected))


def _others(count: int) -> str:
    return f"; and {count - _SHOWN} other reasons" if count > _SHOWN else ""


def answer(signal: Signal, checked: Checked) -> Message:
    """What the sender is told of a request that was taken as far as it could be."""
    said: Any = signal.response()
    if checked.why:  # OTLP has a message without a number for warnings
        setattr(said.partial_success, signal.rejected, checked.rejected.total())
        said.partial_success.error_message = checked.why
    return said


def from_protobuf(signal: Signal, content: bytes) -> Checked:
    """Check a request in protobuf.

    Raises:
        Refused: if it is none.
    """
    message: Any = signal.request()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise Refused(400, f"The body is no {signal.request.__name__} in protobuf ({error})") from None
    taken, rejected, warned = signal.check(message)
    if not taken:
        return Checked(b"", 0, rejected)
    if rejected or warned or not wire.begins_message(content):  # its fields may stand in another order than the reader expects
        content = message.SerializeToString()
    return Checked(content + signal.mark, taken, rejected, tuple(warned))


def _keep(container: Any, reasons: Iterable[str]) -> Counter[str]:
    """Take out of a list the items for which there is a reason, which is empty for the others; gives the reasons."""
    rejected: Counter[str] = Counter()
    for place, reason in reversed(list(enumerate(reasons))):
        if reason:
            rejected[reason] += 1
            del container[place]
    return rejected


def _spans(message: Any) -> _Found:
    taken = 0
    rejected: Counter[str] = Counter()
    warned: dict[str, None] = {}
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            spans = scope.spans
            reasons = ["" if _is_usual(span) else _of_span(span, warned) for span in spans]
            if any(reasons):
                rejected += _keep(spans, reasons)
            taken += len(spans)
    return taken, rejected, warned


def _is_usual(span: Any) -> bool:
    """Whether nothing can be wrong with a span, as with most."""
    trace_id, span_id, parent = span.trace_id, span.span_id, span.parent_span_id
    return bool(
        len(trace_id) == 16
        and len(span_id) == len(parent) == 8
        and trace_id != _NO_TRACE
        and _NO_SPAN not in {span_id, parent}
        and _is_time(span)
        and span.kind in _KINDS
        and span.status.code in _STATUSES
        and not span.links
    )


def _is_time(span: Any) -> bool:
    return bool(0 < span.start_time_unix_nano < _LATEST and span.end_time_unix_nano < _LATEST)


_LATEST: Final = 2**63
_KINDS: Final = frozenset(Span.SpanKind.values())
_STATUSES: Final = frozenset(Status.StatusCode.values())


def _of_span(span: Any, warned: dict[str, None]) -> str:
    """Why a span cannot be taken; of one that can, takes out what cannot be read."""
    if len(span.trace_id) != 16 or span.trace_id == _NO_TRACE:
        return "a span whose trace_id is not 16 bytes, or all zeros"
    if len(span.span_id) != 8 or span.span_id == _NO_SPAN:
        return "a span whose span_id is not 8 bytes, or all zeros"
    if not _is_time(span):
        return NO_TIME
    if len(span.parent_span_id) not in {0, 8}:
        warned.setdefault("a parent_span_id that is not 8 bytes")
        span.parent_span_id = b""
    if span.parent_span_id in {b"", _NO_SPAN} and any(map(_says_pending, span.attributes)):
        return PENDING_OF_NONE
    if span.kind not in _KINDS:
        warned.setdefault(f"the kind {span.kind}, which is none of a span's")
        span.kind = 0
    if span.status.code not in _STATUSES:
        warned.setdefault(f"the status {span.status.code}, which is none of a span's")
        span.status.code = 0
    for reason in _keep(span.links, map(_of_link, span.links)):
        warned.setdefault(reason)
    return ""


def _says_pending(attribute: Any) -> bool:
    return bool(attribute.key == semconv.LOGFIRE_SPAN_TYPE and attribute.value.string_value == semconv.SPAN_TYPE_PENDING)


def _of_link(link: Any) -> str:
    is_id = len(link.trace_id) == 16 and len(link.span_id) == 8 and link.trace_id != _NO_TRACE and link.span_id != _NO_SPAN
    return "" if is_id else "a link whose ids have not 16 and 8 bytes, or are all zeros"


def _logs(message: Any) -> _Found:
    taken = 0
    rejected: Counter[str] = Counter()
    for resource in message.resource_logs:
        for scope in resource.scope_logs:
            rejected += _keep(scope.log_records, map(_of_log, scope.log_records))
            taken += len(scope.log_records)
    return taken, rejected, {}


def _of_log(log: Any) -> str:
    is_time = 0 < log.time_unix_nano < _LATEST or 0 < log.observed_time_unix_nano < _LATEST
    return "" if is_time else "a log record without a time"


def _metrics(message: Any) -> _Found:
    taken = 0
    rejected: Counter[str] = Counter()
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            rejected += _keep(scope.metrics, ("" if metric.WhichOneof("data") else "a metric of no known kind" for metric in scope.metrics))
            for metric in scope.metrics:
                points = getattr(metric, metric.WhichOneof("data")).data_points
                rejected += _keep(points, ("" if 0 < point.time_unix_nano < _LATEST else "a data point without a time" for point in points))
                taken += len(points)
    return taken, rejected, {}


_FIELD: Final = 15 << 3
"""A number that none of OTLP's requests has as a field."""

SIGNALS: Final = {
    each.name: each
    for each in (
        Signal("traces", bytes((_FIELD, 1)), ExportTraceServiceRequest, ExportTraceServiceResponse, "spans", "rejected_spans", _spans),
        Signal("logs", bytes((_FIELD, 2)), ExportLogsServiceRequest, ExportLogsServiceResponse, "logs", "rejected_log_records", _logs),
        Signal("metrics", bytes((_FIELD, 3)), ExportMetricsServiceRequest, ExportMetricsServiceResponse, "metrics", "rejected_data_points", _metrics),
    )
}
BY_MARK: Final = {each.mark: each for each in SIGNALS.values()}
