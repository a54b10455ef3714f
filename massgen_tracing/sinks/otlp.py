"""Export to an OpenTelemetry collector, through OpenTelemetry's own exporters."""

from __future__ import annotations

import logging
import os
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from massgen_tracing import finalization, guard
from massgen_tracing.errors import MissingPackageError, compose
from massgen_tracing.trace.exceptions import summary
from massgen_tracing.trace.scrub import scrub

_EXPORTER_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
_SETTINGS_LOGGERS: Final = (*_EXPORTER_LOGGERS, "opentelemetry.exporter.otlp.proto.http._common")
_TRACES_PATH: Final = "v1/traces"
_DAY_MS: Final = 86_400_000


def otlp_processor(endpoint: str, *, whole: bool = False) -> SpanProcessor | None:
    """A processor that sends ended spans to *endpoint* in batches, on a thread of its own; None, with one line, where it cannot be made.

    The protocol is HTTP unless `OTEL_EXPORTER_OTLP_PROTOCOL` (or `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`) says `grpc`; headers, certificates,
    timeout and compression come from the `OTEL_EXPORTER_OTLP_*` variables.

    Args:
        endpoint: the collector's base URL, such as `http://localhost:4318`.
        whole: whether it is the URL of traces itself, to which no path is added.
    """
    try:
        with guard.overheard(*_SETTINGS_LOGGERS) as passed_over:
            exporter = _exporter(endpoint, whole=whole)
        if passed_over:
            problem = f"Of the OTEL_EXPORTER_OTLP_* variables some are passed over ({'; '.join(passed_over)})"
            guard.report("otlp.settings", compose(problem, hint="Correct or unset them"))
    except ImportError:
        missing = MissingPackageError("Export to a collector", "opentelemetry-exporter-otlp")
        guard.report("otlp.package", f"{missing} The run goes on and is recorded locally.")
        return None
    except Exception as error:  # noqa: BLE001 - what the variables say may be nonsense to the exporter
        guard.report(
            "otlp.configure",
            f"Export to the collector at {scrub(endpoint)} could not be set up ({scrub(summary(error))}). The run goes on and is recorded"
            " locally. Check the URL and the OTEL_EXPORTER_OTLP_* variables.",
            error=error,
        )
        return None
    return _Export(endpoint, exporter)


class _Export(BatchSpanProcessor):
    """OpenTelemetry's batches, with one line in place of the exporter's many, and an end that can be hastened."""

    def __init__(self, endpoint: str, exporter: SpanExporter) -> None:
        self._line = _OneLine(endpoint)
        queue = _number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1_000_000)
        batch = _number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, queue), queue)
        timeout = _number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, _DAY_MS)
        super().__init__(exporter, queue, _number("OTEL_BSP_SCHEDULE_DELAY", 1000, _DAY_MS), batch, timeout)

    def on_end(self, span: ReadableSpan) -> None:
        """Have an ended span sent with the next batch; not once the interpreter ends, for then the thread that sends is stopped, with its locks."""
        if not finalization.begun():
            super().on_end(span)

    def shutdown(self) -> None:
        """Send what is left, for as long as the exporter takes."""
        if not finalization.begun():
            super().shutdown()  # type: ignore[no-untyped-call]
        self._line.remove()

    def shutdown_within(self, seconds: float) -> None:
        """Send what is left, for at most so long, without a thread besides the one that sends: at the interpreter's end."""
        batches = getattr(self, "_batch_processor", None)
        if batches is None:
            self.shutdown()
            return
        if not finalization.begun():
            batches.shutdown(timeout_millis=int(seconds * 1000))
        self._line.silent = True

    def give_up(self) -> None:
        """Stop trying to send what is left."""
        self._line.silent = True
        self.span_exporter.shutdown()


def _number(variable: str, default: int, at_most: int) -> int:
    """What one of OpenTelemetry's variables of batches says; *default*, with one line, where it is no number that can be."""
    text = os.environ.get(variable, "")
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = 0
    if 1 <= number <= at_most:
        return number
    problem = f"The environment variable {variable} is wrong"
    guard.report(f"settings.{variable.lower()}", compose(problem, f"an integer from 1 to {at_most}", text, f"{default} is used"))
    return default


def _exporter(endpoint: str, *, whole: bool) -> SpanExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    # As an argument the exporter takes the endpoint as it is; as a variable it would append the path itself.
    url = endpoint if whole or endpoint.rstrip("/").endswith(_TRACES_PATH) else f"{endpoint.rstrip('/')}/{_TRACES_PATH}"
    return HttpExporter(endpoint=url)


class _OneLine(logging.Filter):
    """Says once that the collector does not take spans, instead of each of the exporter's retries; for as long as the export lasts."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = scrub(endpoint)
        self.silent = False
        for logger in map(logging.getLogger, _EXPORTER_LOGGERS):
            logger.addFilter(self)

    def remove(self) -> None:
        """Let the exporters speak for themselves again."""
        for logger in map(logging.getLogger, _EXPORTER_LOGGERS):
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if not self.silent:
            guard.report(
                "otlp.export",
                f"The collector at {self._endpoint} does not take spans ({scrub(record.getMessage()).rstrip('.')}). The run goes on and is recorded"
                " locally. Check that it is running and that the URL is right.",
            )
        return False
