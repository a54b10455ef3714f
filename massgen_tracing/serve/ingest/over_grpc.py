"""OTLP over gRPC, for exporters that are told no protocol: the same checks and the same spool, on a port of its own."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import grpc

from massgen_tracing.errors import ConfigError
from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.serve.ingest.requests import SIGNALS, Signal, answer, from_protobuf
from massgen_tracing.serve.ingest.spool import Spool
from massgen_tracing.serve.served import Served

_THREADS: Final = 4
_MOST_AT_ONCE: Final = 64
_END_SECONDS: Final = 2.0
_SERVICES: Final[Mapping[str, str]] = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService", "metrics": "metrics.v1.MetricsService"}
_CODES: Final = {400: grpc.StatusCode.INVALID_ARGUMENT, 429: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE}


@contextmanager
def serving(served: Served, spool: Spool, host: str, port: int) -> Iterator[int]:
    """Take requests for as long as the block runs; gives the port.

    Args:
        served: whose token is asked for, and how large requests may be.
        spool: where what is taken goes.
        host: where to listen.
        port: 0 for any that is free.

    Raises:
        ConfigError: if it cannot listen there.
    """
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="massgen-tracing grpc"),
        options=[("grpc.max_receive_message_length", served.most_body), ("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=_MOST_AT_ONCE,
    )
    for name, service in _SERVICES.items():
        export = grpc.unary_unary_rpc_method_handler(_export(SIGNALS[name], served, spool))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"opentelemetry.proto.collector.{service}", {"Export": export}),))
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(place)
    except RuntimeError as error:
        raise ConfigError(f"The server cannot listen on {place} for gRPC ({error})", hint="Name another port with --grpc-port") from None
    server.start()
    try:
        yield bound
    finally:
        server.stop(_END_SECONDS).wait()


def _export(signal: Signal, served: Served, spool: Spool) -> Callable[[bytes, Any], bytes]:
    def export(content: bytes, context: grpc.ServicerContext) -> bytes:
        if served.token is not None and not _shows(context, served.token):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The token is missing or is another one; expected `authorization: Bearer TOKEN`")
        try:
            checked = from_protobuf(signal, content)
            if checked.content:
                spool.add(checked.content).result()
        except Refused as refused:
            context.abort(_CODES[refused.status], str(refused))
        return bytes(answer(signal, checked).SerializeToString())

    return export


def _shows(context: grpc.ServicerContext, token: str) -> bool:
    said = [value for name, value in context.invocation_metadata() if name == "authorization" and isinstance(value, str)]
    return any(hmac.compare_digest(value.removeprefix("Bearer ").encode(), token.encode()) for value in said)
