"""OTLP over gRPC: OpenTelemetry's own exporter, as a program has it that is told no protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.serve.ingest import over_grpc
from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.serve.served import Served
from massgen_tracing.store.roots import reader
from tests.serve.client import protobuf, spans
from tests.store import otlp

TOKEN = "a token of some length"


class Written:
    """A spool whose arrivals are written at once, and that can be full."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.full = False

    def add(self, content: bytes) -> Any:
        from concurrent.futures import Future

        done: Future[None] = Future()
        if self.full:
            done.set_exception(Refused(429, "later"))
        else:
            (self.root / f"1{layout.ARRIVAL_SUFFIX}").write_bytes(len(content).to_bytes(4, "big") + content)
            done.set_result(None)
        return done


@contextlib.contextmanager
def taking(tmp_path: Path) -> Iterator[tuple[Any, Any, int]]:
    """A function that exports, the spool, and the port."""
    spool: Any = Written(tmp_path)
    with over_grpc.serving(Served(tmp_path, TOKEN), spool, "127.0.0.1", 0) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export"), spool, port


def test_an_exporter_sends_over_grpc(tmp_path: Path) -> None:
    """With the token as a header."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    with taking(tmp_path) as (_, _, port):
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}", insecure=True, headers={"authorization": f"Bearer {TOKEN}"})
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("mine").start_span("work").end()
        provider.shutdown()
    assert [span.name for span in reader.read([tmp_path / f"1{layout.ARRIVAL_SUFFIX}"]).spans] == ["work"]


def test_what_is_wrong_is_said_in_grpcs_words(tmp_path: Path) -> None:
    """No token, no OTLP, too much, a full disk; what is partly good is taken."""
    good = protobuf(spans(otlp.span(1, "good"), otlp.span(2, "bad", trace="0" * 32)))
    metadata = [("authorization", TOKEN)]
    with taking(tmp_path) as (export, spool, port):
        said = ExportTraceServiceResponse.FromString(export(good, metadata=metadata))
        assert said.partial_success.rejected_spans == 1
        for body, shown, code in (
            (good, [], grpc.StatusCode.UNAUTHENTICATED),
            (b"\x0a\xff", metadata, grpc.StatusCode.INVALID_ARGUMENT),
            (bytes(2**25 + 1), metadata, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                export(body, metadata=shown)
            assert raised.value.code() is code
        spool.full = True
        with pytest.raises(grpc.RpcError) as raised:
            export(good, metadata=metadata)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(ConfigError, match="--grpc-port"), over_grpc.serving(Served(tmp_path), spool, "127.0.0.1", port):
            pass
