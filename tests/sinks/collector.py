"""A collector on this machine: a plain HTTP server that keeps the OTLP spans it is sent, and answers as Logfire does where that asks."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent.

    Attributes:
        spans: in the order of arrival.
        requests: method, path and headers (names in lower case) of every request.
        status: what it answers to spans; 401 and 403 to everything.
        rejects: how many spans of the next request it says it has rejected, for want of a quota.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.status = 200
        self.rejects = 0
        self.arrived = threading.Condition()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ended(self) -> dict[str, Span]:
        """The spans by name, without Logfire's pending ones; no name twice."""
        found: dict[str, Span] = {}
        for span in self.spans:
            if texts(span).get("logfire.span_type") != "pending_span":
                assert span.name not in found, f"{span.name} arrived twice"
                found[span.name] = span
        return found

    def wait_for(self, *names: str) -> None:
        """Return when spans of these names have arrived."""
        with self.arrived:
            self.arrived.wait_for(lambda: set(names) <= {span.name for span in self.spans})

    def tree(self) -> dict[str, str]:
        """Each span's name with its parent's; an empty text for none."""
        by_id = {span.span_id: span.name for span in self.ended().values()}
        return {span.name: by_id.get(span.parent_span_id, "?") if span.parent_span_id else "" for span in self.ended().values()}


def texts(span: Span) -> dict[str, str]:
    """The attributes that are texts."""
    return {pair.key: pair.value.string_value for pair in span.attributes}


def body_of(request: BaseHTTPRequestHandler) -> bytes:
    """What was sent, decompressed."""
    body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    match request.headers.get("Content-Encoding"):
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
    return body


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_GET(self) -> None:
        self.server.requests.append(("GET", self.path, self._lower()))
        status = self.server.status if self.server.status in {401, 403} else 200
        said = {"project_name": "p", "project_url": self.server.url} if status == 200 else {"detail": "no"}
        self._answer(status, json.dumps(said).encode(), "application/json")

    def do_POST(self) -> None:
        body = body_of(self)
        with self.server.arrived:
            self.server.requests.append(("POST", self.path, self._lower()))
            if self.path.endswith("/v1/traces") and self.server.status == 200:
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.server.resources.append({pair.key: pair.value.string_value for pair in group.resource.attributes})
                    for scope in group.scope_spans:
                        self.server.spans.extend(scope.spans)
            self.server.arrived.notify_all()
        answer = ExportTraceServiceResponse()
        if self.server.rejects:
            answer.partial_success.rejected_spans, answer.partial_success.error_message = self.server.rejects, "no quota"
            self.server.rejects = 0
        self._answer(self.server.status, answer.SerializeToString(), "application/x-protobuf")

    def _lower(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for one block."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
