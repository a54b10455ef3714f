"""What sends to a backend, by its protocol; each protocol's packages are loaded when it is used."""

from __future__ import annotations

from typing import Protocol

from massgen_tracing.delivery.answers import Answer
from massgen_tracing.delivery.backend import GRPC, Backend
from massgen_tracing.errors import ConfigError, MissingPackageError


class Sender(Protocol):
    """Sends requests to a backend and judges its answers."""

    def send(self, body: bytes, seconds: float) -> Answer:
        """Send the body of an ExportTraceServiceRequest within so many seconds. Raises nothing of the network."""

    def close(self) -> None:
        """Close the connection."""


def open_sender(backend: Backend) -> Sender:
    """What sends to a backend.

    Raises:
        MissingPackageError: if the package of its protocol is not installed.
        ConfigError: if its certificates cannot be used.
    """
    try:
        if backend.protocol == GRPC:
            from massgen_tracing.delivery.over_grpc import GrpcSender

            return GrpcSender(backend)
        from massgen_tracing.delivery.over_http import HttpSender

        return HttpSender(backend)
    except ImportError as error:
        raise MissingPackageError("Export to a collector", "opentelemetry-exporter-otlp") from error
    except (OSError, ValueError) as error:
        hint = "Correct the URL, or the OTEL_EXPORTER_OTLP_* variables"
        raise ConfigError(f"Export to {backend.place} cannot be set up ({error})", hint=hint) from error
