"""Requests over gRPC."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from massgen_tracing._version import __version__
from massgen_tracing.delivery.answers import Answer, Blocked, Later, Refused, TooLarge, partial, short, unaccepted, unnamed
from massgen_tracing.delivery.backend import Backend

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_COMPRESSIONS: Final = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
_REFUSED: Final = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS}
_PASSING: Final = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""What OTLP has tried again, as it stands."""

_UNACCEPTED: Final = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
_BROKEN: Final = "Socket closed"
"""What gRPC says of TLS that fails."""

_CREDENTIALS: Final = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_ADDRESS: Final = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}


class GrpcSender:
    """Sends to one backend.

    Args:
        backend: where to.

    Raises:
        OSError: if a certificate cannot be read.
    """

    def __init__(self, backend: Backend) -> None:
        url = urlsplit(backend.url)
        target = url.netloc or backend.url
        compression = _COMPRESSIONS[backend.compression]
        options = (("grpc.primary_user_agent", f"massgen-tracing/{__version__}"), ("grpc.enable_retries", 0))
        if backend.insecure:
            self._channel = grpc.insecure_channel(target, compression=compression, options=options)
        else:
            files = (backend.certificate, backend.client_key, backend.client_certificate)
            authorities, key, certificate = (Path(file).read_bytes() if file else None for file in files)
            credentials = grpc.ssl_channel_credentials(authorities, key, certificate)
            self._channel = grpc.secure_channel(target, credentials, compression=compression, options=options)
        self._export = self._channel.unary_unary(_METHOD, None, ExportTraceServiceResponse.FromString)
        self._metadata = tuple((name.lower(), value) for name, value in backend.headers.items())
        self._secrets = backend.secrets
        self._backend = backend

    def send(self, body: bytes, seconds: float) -> Answer:
        """Send a request, within so many seconds, and judge the answer. Raises nothing of the network."""
        try:
            return partial(self._export(body, timeout=seconds, metadata=self._metadata), self._secrets)
        except grpc.RpcError as error:
            return self._judge(error)

    def _judge(self, error: grpc.RpcError) -> Answer:
        answer = _judge(error, self._secrets, self._backend.mend)
        if isinstance(answer, Later) and any(sign in (error.details() or "") for sign in _UNACCEPTED):
            return unaccepted(answer.why)
        broken = isinstance(answer, Later) and not self._backend.insecure and not self._backend.client_certificate
        return unnamed(answer.why) if broken and _BROKEN in answer.why else answer

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _judge(error: grpc.RpcError, secrets: Collection[str] = (), mend: str = "") -> Answer:
    code, details = error.code(), short(error.details() or "", secrets)
    said = f"it answers {code.name}" + (f": {details}" if details else "")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than" in details:
        return TooLarge(said)
    if code in _REFUSED:
        return Refused(said)
    if code in _CREDENTIALS:
        return Blocked(said, mend)
    if code in _ADDRESS:
        return Blocked(said, "Correct the URL, or OTEL_EXPORTER_OTLP_PROTOCOL")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Later("no answer in time", reached=False)
    return Later(said, _retry_after(error), reached=code is not grpc.StatusCode.UNAVAILABLE, passing=code in _PASSING)


def _retry_after(error: grpc.RpcError) -> float | None:
    """Seconds after which the server asks to be tried again; None where it says nothing."""
    for name, value in error.trailing_metadata() or ():
        try:
            if name == "grpc-status-details-bin":
                for detail in Status.FromString(value).details:
                    info = RetryInfo()
                    if detail.Unpack(info):
                        return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
        except (DecodeError, TypeError):
            return None
    return None
