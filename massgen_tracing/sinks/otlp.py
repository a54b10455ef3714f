"""Export to an OpenTelemetry collector, through OpenTelemetry's own exporters."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from massgen_tracing import finalization, guard
from massgen_tracing.errors import MissingPackageError, compose
from massgen_tracing.trace.exceptions import summary
from massgen_tracing.trace.scrub import scrub

_EXPORTER_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
_SETTINGS_LOGGERS: Final = (
    *_EXPORTER_LOGGERS,
    "opentelemetry.exporter.otlp.common",
    "opentelemetry.exporter.otlp.proto.http._common",
    "opentelemetry.util.re",
)
_TRACES_PATH: Final = "v1/traces"
_DAY_MS: Final = 86_400_000

_DOWN_SECONDS: Final = 1.5
"""How long a collector that takes nothing is waited for at the end: less than whoever waits for it does, who would take it for one that hangs."""


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
            problem = f"Of the OTEL_EXPORTER_OTLP_* variables some are passed over ({scrub('; '.join(dict.fromkeys(passed_over)))})"
            guard.report("otlp.settings", compose(problem, hint="Correct or unset them"))
        return _Export(endpoint, exporter)
    except ImportError:
        missing = MissingPackageError("Export to a collector", "opentelemetry-exporter-otlp")
        guard.report("otlp.package", f"{missing} The run goes on and is recorded locally.")
    except Exception as error:  # noqa: BLE001 - what the variables say may be nonsense to the exporter
        guard.passing(error)
        check = "Check the URL and the OTEL_EXPORTER_OTLP_* variables."
        if isinstance(error, RuntimeError) and "thread" in str(error):
            check = "Spans are sent on a thread of their own, of which there are none to be had at the program's end."
        guard.report(
            "otlp.configure",
            f"Export to the collector at {scrub(endpoint)} could not be set up ({scrub(summary(error))}). The run goes on and is recorded"
            f" locally. {check}",
            error=error,
        )
    return None


class _Export(BatchSpanProcessor):
    """OpenTelemetry's batches, with one line in place of the exporter's many, and an end that can be hastened."""

    def __init__(self, endpoint: str, exporter: SpanExporter) -> None:
        queue = _number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1_000_000)
        batch = _number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, queue), queue)
        timeout = _number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, _DAY_MS)
        delay = _number("OTEL_BSP_SCHEDULE_DELAY", 1000, _DAY_MS)
        self._watched = _Watched(endpoint, exporter)
        try:
            super().__init__(self._watched, queue, delay, batch, timeout)
        except BaseException:  # no thread can be started
            self._watched.leave()
            raise

    @property
    def fails(self) -> bool:
        """Whether the collector does not take what it was sent last, which has been said."""
        return self._watched.fails

    def on_end(self, span: ReadableSpan) -> None:
        """Have an ended span sent with the next batch; not once the interpreter ends, for then the thread that sends is stopped, with its locks."""
        if not finalization.begun():
            super().on_end(span)

    def shutdown(self) -> None:
        """Send what is left, for as long as the exporter takes; a collector that is down is soon given up."""
        if not finalization.begun():
            if self._watched.ends():
                super().shutdown()  # type: ignore[no-untyped-call]
            else:
                self._within(_DOWN_SECONDS)
        self._watched.leave()

    def shutdown_within(self, seconds: float) -> None:
        """Send what is left, for at most so long, without a thread besides the one that sends: at the interpreter's end."""
        if not finalization.begun():
            self._within(seconds if self._watched.ends() else min(seconds, _DOWN_SECONDS))
        self._watched.silent = True

    def give_up(self) -> None:
        """Stop trying to send what is left."""
        self._watched.silent = True
        self._watched.shutdown()

    def _within(self, seconds: float) -> None:
        batches = getattr(self, "_batch_processor", None)
        if batches is None:  # another version of the SDK
            super().shutdown()  # type: ignore[no-untyped-call]
        else:
            batches.shutdown(timeout_millis=int(seconds * 1000))


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


class _Watched(SpanExporter, logging.Filter):
    """An exporter of which is known whether the collector takes what it sends; that it does not is said once, not for each of its retries.

    Attributes:
        fails: whether the collector has not taken what it was sent last.
        silent: whether nothing more is said.
    """

    def __init__(self, endpoint: str, exporter: SpanExporter) -> None:
        logging.Filter.__init__(self)
        self.fails = False
        self.silent = False
        self._exporter = exporter
        self._endpoint = scrub(endpoint)
        self._ends = False
        self._tries = 0
        """Those that have failed since the end began."""
        self._shut = self._left = False
        self._sending: set[int] = set()
        """The threads that do; what others say is said of the program's own exporters."""
        for logger in map(logging.getLogger, _EXPORTER_LOGGERS):
            logger.addFilter(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._sending.add(threading.get_ident())
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - the exporter's affair, as what it returns
            guard.passing(error)
            self._say(summary(error))
            result = SpanExportResult.FAILURE
        finally:
            self._sending.discard(threading.get_ident())
            if self._left:
                self.leave()
        self.fails = result is not SpanExportResult.SUCCESS
        return result

    def ends(self) -> bool:
        """Begin the end, from which on a try that has failed is made again only once; returns whether the last one has gone well."""
        self._ends = True
        return not self.fails

    def shutdown(self) -> None:
        if not self._shut:
            self._shut = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def leave(self) -> None:
        """Let the exporters speak for themselves again; not before what is being sent has come to an end."""
        self._left = True
        if self._sending:
            return
        for logger in map(logging.getLogger, _EXPORTER_LOGGERS):
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep back what the exporter says of a try that has failed, after which it would wait and try again."""
        if threading.get_ident() not in self._sending:
            return True
        self._say(record.getMessage())
        if self._ends:
            self._tries += 1
            if self._tries == 2:
                self.silent = True
                self.shutdown()
        return False

    def _say(self, reason: str) -> None:
        self.fails = True
        if not self.silent:
            guard.report(
                "otlp.export",
                f"The collector at {self._endpoint} does not take spans ({scrub(reason).rstrip('.')}). The run goes on and is recorded"
                " locally. Check that it is running and that the URL is right.",
            )
