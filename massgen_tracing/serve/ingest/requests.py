"""Requests of OTLP, checked: what of one can be taken, and what not.

Protobuf is parsed by its own library, which takes a third of a microsecond a span; nothing is made of it here. What is taken goes on as it was sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.store.reading import otlp, signals, wire
from massgen_tracing.store.reading.envelopes import Envelopes
from massgen_tracing.store.reading.values import Malformed, quiet

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_SHOWN: Final = 3
"""Reasons that an answer names."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A kind of request.

    Attributes:
        name: as in the path.
        mark: ends a request on the disk: a field that OTLP does not have, which says of which kind the request is.
        request, response: OTLP's messages.
        group: what `reading.envelopes` calls it.
        rejected: the field of the response that counts what was not taken.
        check: takes out of a request what cannot be read, and gives how many were left and why others were not.
    """

    name: str
    mark: bytes
    request: type[Message]
    response: type[Message]
    group: str
    rejected: str
    check: Callable[[Any], tuple[int, Counter[str]]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What of a request is taken.

    Attributes:
        content: what is to be kept; empty for nothing.
        taken: how many spans, log records or data points.
        rejected: how many were not, by why.
    """

    content: bytes
    taken: int
    rejected: Counter[str]

    @property
    def why(self) -> str:
        """In words, what was not taken; empty where all was."""
        most = self.rejected.most_common(_SHOWN)
        more = len(self.rejected) - len(most)
        return "; ".join(f"{count} of {self.rejected.total() + self.taken}: {reason}" for reason, count in most) + (
            f"; and {more} other reasons" if more else ""
        )


def answer(signal: Signal, checked: Checked) -> Message:
    """What the sender is told of a request that was taken as far as it could be."""
    said: Any = signal.response()
    if checked.rejected:
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
    taken, rejected = signal.check(message)
    if not taken:
        return Checked(b"", 0, rejected)
    if rejected or not wire.begins_message(content):  # its fields may stand in another order than the reader expects
        content = message.SerializeToString()
    return Checked(content + signal.mark, taken, rejected)


def from_json(signal: Signal, content: bytes) -> Checked:
    """Check a request in OTLP/JSON.

    Raises:
        Refused: if it is none.
    """
    document, content = _document(content)
    rejected: Counter[str] = Counter()
    taken = 0
    envelopes = Envelopes(quiet)
    decoder = otlp.Decoder()
    try:
        for group in envelopes.groups(document):
            if group.signal != signal.group:
                rejected[f"{group.signal} are no {signal.name}"] += len(group.values)
                continue
            for record in signals.records(decoder, group):
                if isinstance(record, Malformed):
                    rejected[str(record)] += 1
                else:
                    taken += 1
    except RecursionError:
        raise Refused(400, "The body is nested too deep") from None
    if not envelopes.known and document:
        raise Refused(400, f"The body has nothing of OTLP; expected an object as in OTLP/JSON, with resource{signal.group.capitalize()}")
    return Checked(content if taken else b"", taken, rejected)


def _document(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The object, and the text that says it."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            # Half of a surrogate pair, which JavaScript writes where it has cut a text, is no reason to lose all the others.
            text = json.dumps(json.loads(content), ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            document, content = json.loads(text), text.encode()
        except (ValueError, RecursionError):
            raise Refused(400, f"The body is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise Refused(400, "The body is JSON, but no object; expected an object as in OTLP/JSON")
    return document, content.strip()


def _keep(container: Any, reasons: Iterable[str]) -> Counter[str]:
    """Take out of a list the items for which there is a reason, which is empty for the others; gives the reasons."""
    rejected: Counter[str] = Counter()
    for place, reason in reversed(list(enumerate(reasons))):
        if reason:
            rejected[reason] += 1
            del container[place]
    return rejected


def _spans(message: Any) -> tuple[int, Counter[str]]:
    taken = 0
    rejected: Counter[str] = Counter()
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            spans = scope.spans
            for span in spans:
                trace_id, span_id = span.trace_id, span.span_id
                if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN or not _is_time(span):
                    rejected += _keep(spans, map(_of_span, spans))
                    break
            taken += len(spans)
    return taken, rejected


def _is_time(span: Any) -> bool:
    return bool(0 < span.start_time_unix_nano < _LATEST and span.end_time_unix_nano < _LATEST)


_LATEST: Final = 2**63


def _of_span(span: Any) -> str:
    if len(span.trace_id) != 16 or span.trace_id == _NO_TRACE:
        return "a span whose trace_id is not 16 bytes, or all zeros"
    if len(span.span_id) != 8 or span.span_id == _NO_SPAN:
        return "a span whose span_id is not 8 bytes, or all zeros"
    return "" if _is_time(span) else "a span without a start time, or of no time that can be"


def _logs(message: Any) -> tuple[int, Counter[str]]:
    taken = 0
    rejected: Counter[str] = Counter()
    for resource in message.resource_logs:
        for scope in resource.scope_logs:
            rejected += _keep(
                scope.log_records,
                (
                    "" if 0 < (log.time_unix_nano or log.observed_time_unix_nano) < _LATEST else "a log record without a time"
                    for log in scope.log_records
                ),
            )
            taken += len(scope.log_records)
    return taken, rejected


def _metrics(message: Any) -> tuple[int, Counter[str]]:
    taken = 0
    rejected: Counter[str] = Counter()
    for points in _points(message):
        rejected += _keep(points, ("" if 0 < point.time_unix_nano < _LATEST else "a data point without a time" for point in points))
        taken += len(points)
    return taken, rejected


def _points(message: Any) -> Iterator[Any]:
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                if kind is not None:
                    yield getattr(metric, kind).data_points


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
