"""Export to an OpenTelemetry collector, through OpenTelemetry's own exporters."""

from __future__ import annotations

import logging
import os
from typing import Final

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from massgen_tracing import guard

_EXPORTER_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
_TRACES_PATH: Final = "v1/traces"


def otlp_processor(endpoint: str) -> SpanProcessor:
    """A processor that sends ended spans to *endpoint* in batches, on a thread of its own.

    The protocol is HTTP unless `OTEL_EXPORTER_OTLP_PROTOCOL` (or `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`) says `grpc`; headers, certificates,
    timeout and compression come from the `OTEL_EXPORTER_OTLP_*` variables.

    Args:
        endpoint: the collector's base URL, such as `http://localhost:4318`.
    """
    _say_once(endpoint)
    return BatchSpanProcessor(_exporter(endpoint), schedule_delay_millis=1000)


def _exporter(endpoint: str) -> SpanExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    # As an argument the exporter takes the endpoint as it is; as a variable it would append the path itself.
    url = endpoint if endpoint.rstrip("/").endswith(_TRACES_PATH) else f"{endpoint.rstrip('/')}/{_TRACES_PATH}"
    return HttpExporter(endpoint=url)


class _OneLine(logging.Filter):
    """Says once that the collector does not take spans, instead of each of the exporter's retries."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = endpoint

    def filter(self, record: logging.LogRecord) -> bool:
        guard.report(
            "otlp.export",
            f"The collector at {self._endpoint} does not take spans ({record.getMessage().rstrip('.')}). The run goes on and is recorded"
            " locally. Check that it is running and that the URL is right.",
        )
        return False


def _say_once(endpoint: str) -> None:
    for name in _EXPORTER_LOGGERS:
        logger = logging.getLogger(name)
        for old in [known for known in logger.filters if isinstance(known, _OneLine)]:
            logger.removeFilter(old)
        logger.addFilter(_OneLine(endpoint))
