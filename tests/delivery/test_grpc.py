"""Delivery over gRPC, to a real server: as over HTTP, each answer for what it is."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, add_TraceServiceServicer_to_server

import massgen_tracing as mt
from massgen_tracing import ledger
from massgen_tracing.delivery import spool
from massgen_tracing.views.cli import main
from tests.delivery.recordings import record

Answer = Callable[[int, list[Any], grpc.ServicerContext], ExportTraceServiceResponse]


class Server(TraceServiceServicer):
    """Takes spans; *answer* says what it does with which request."""

    def __init__(self) -> None:
        self.answer: Answer = lambda *_: ExportTraceServiceResponse()
        self.taken: Counter[bytes] = Counter()
        self.flags: set[int] = set()
        self.metadata: list[dict[str, str]] = []
        self.port = 0

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:  # noqa: N802 - gRPC's name
        """Answer one request."""
        spans = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
        self.metadata.append(dict(context.invocation_metadata()))
        answer = self.answer(len(self.metadata) - 1, spans, context)
        self.taken.update(span.trace_id + span.span_id for span in spans)
        self.flags |= {span.flags for span in spans}
        return answer

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server, which the environment asks for; nobody waits for another attempt."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "LOGFIRE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    found = Server()
    grpc_server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(found, grpc_server)
    found.port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    yield found
    grpc_server.stop(None).wait()


def pushed(root: Path, server: Server) -> int:
    """Push all of a root; returns the exit code."""
    return main(["push", "--root", str(root), "--to", server.url])


def test_spans_arrive_once_with_headers_and_compression(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a push, and again there is nothing to send."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Team=blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    record(tmp_path, calls=5)
    assert [pushed(tmp_path, server), pushed(tmp_path, server)] == [0, 0]
    assert len(server.taken) == 7
    assert set(server.taken.values()) == {1}
    assert server.flags == {259}
    assert server.metadata[0]["x-team"] == "blue"


def test_spans_arrive_during_the_run(tmp_path: Path, server: Server) -> None:
    """By the thread of the run."""
    tracer = mt.configure(root=tmp_path, otlp_endpoint=server.url, enabled=True)
    with tracer.session("What?", agents=["a"]), tracer.span("work"):
        pass
    assert mt.shutdown(timeout=600)
    assert len(server.taken) == 2
    assert set(server.taken.values()) == {1}


def test_a_batch_beyond_the_servers_limit_is_taken_apart(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own 4 MiB are said as RESOURCE_EXHAUSTED, which is not a matter of waiting."""
    monkeypatch.setattr(spool, "MOST_BYTES", 100_000_000)
    record(tmp_path, calls=150, content=60_000)
    assert pushed(tmp_path, server) == 0
    assert len(server.taken) == 152
    assert set(server.taken.values()) == {1}


def test_what_passes_is_waited_for_as_long_as_the_server_says(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """RetryInfo is gRPC's Retry-After."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)

    def answer(number: int, _spans: list[Any], context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        if number == 0:
            detail = AnyMessage()
            detail.Pack(RetryInfo(retry_delay=Duration(seconds=7)))
            status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "full")
        return ExportTraceServiceResponse()

    server.answer = answer
    record(tmp_path, calls=1)
    assert pushed(tmp_path, server) == 0
    assert waited == [7]
    assert len(server.taken) == 3


@pytest.mark.parametrize(
    ("code", "sent", "refused", "code_of_exit"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 0, 3, 2),
        (grpc.StatusCode.UNAUTHENTICATED, 0, 0, 2),
        (grpc.StatusCode.UNIMPLEMENTED, 0, 0, 2),
        (grpc.StatusCode.UNAVAILABLE, 0, 0, 2),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 0, 0, 2),
    ],
)
def test_refusals(
    tmp_path: Path, server: Server, code: grpc.StatusCode, sent: int, refused: int, code_of_exit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is about the spans is refused for good; what is not, leaves them owed, and is mended by a later push."""
    server.answer = lambda _number, _spans, context: context.abort(code, "no")
    path = record(tmp_path, calls=1)
    assert pushed(tmp_path, server) == code_of_exit
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused, entry.why) == (sent, refused, f"it answers {code.name}: no")
    assert f"it answers {code.name}: no" in capsys.readouterr().err
    server.answer = lambda *_: ExportTraceServiceResponse()
    assert main(["push", "--root", str(tmp_path)]) == 0
    assert len(server.taken) == 3 - refused


def test_partial_success(tmp_path: Path, server: Server) -> None:
    """What is rejected does not count as sent."""

    def answer(*_: object) -> ExportTraceServiceResponse:
        made = ExportTraceServiceResponse()
        made.partial_success.rejected_spans = 2
        return made

    server.answer = answer
    path = record(tmp_path, calls=1)
    assert pushed(tmp_path, server) == 2
    (entry,) = ledger.entries(path)
    assert (entry.sent, entry.refused) == (1, 2)
