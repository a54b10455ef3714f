"""What sends to a backend, by its protocol; each protocol's packages are loaded when it is used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Protocol

from massgen_tracing.delivery.answers import Answer, Blocked
from massgen_tracing.delivery.backend import GRPC, Backend
from massgen_tracing.errors import ConfigError, MassGenTracingError, MissingPackageError

_ANSWERS: Final = "opentelemetry.proto.trace.v1.trace_pb2"
"""What a backend's answers are read with, by way of others of its package."""


class Sender(Protocol):
    """Sends requests to a backend and judges its answers."""

    def send(self, body: bytes, seconds: float) -> Answer:
        """Send the body of an ExportTraceServiceRequest within so many seconds. Raises nothing of the network."""

    def close(self) -> None:
        """Close the connection."""


class Unopened:
    """A sender that is opened with its first request, on the thread that sends: what it needs takes a tenth of a second to load.

    Args:
        backend: where to; what can be wrong with it is seen at once.

    Raises:
        MissingPackageError, ConfigError: as `open_sender`.
    """

    def __init__(self, backend: Backend) -> None:
        if not _is_there(_ANSWERS) or (backend.protocol == GRPC and not _is_there("grpc")):
            raise _missing()
        self._backend = backend
        named = backend.certificate or backend.client_certificate or backend.client_key
        self._sender = open_sender(backend) if named else None

    def send(self, body: bytes, seconds: float) -> Answer:
        if self._sender is None:
            try:
                self._sender = open_sender(self._backend)
            except MassGenTracingError as error:
                return Blocked(str(error), "The run goes on and is recorded")
        return self._sender.send(body, seconds)

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()


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
        raise _missing() from error
    except (OSError, ValueError) as error:
        hint = "Correct the URL, or the OTEL_EXPORTER_OTLP_* variables"
        raise ConfigError(f"Export to {backend.place} cannot be set up ({error})", hint=hint) from error


def _is_there(module: str) -> bool:
    """Whether a module can be loaded, as far as that is seen without loading it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the packages that it is in
        return False


def _missing() -> MissingPackageError:
    return MissingPackageError("Export to a collector", "opentelemetry-exporter-otlp")
