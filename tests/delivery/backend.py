"""A backend on this machine: a real HTTP server whose answers are scripted, and which counts what it has taken."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.sinks.collector import body_of
from tests.sinks.lines import message


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: its status code.
        headers: besides the usual ones.
        body: its body.
        takes: how many of the spans are taken; None: all where the status is 200, else none.
        how: `whole`; `reset` the connection in place of an answer, or `reset in the body`; `silent`, no answer as long as the server lives;
            `slow`, a byte now and then for as long.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    takes: int | None = None
    how: str = "whole"


def partly(rejected: int, why: str) -> Reply:
    """OTLP's partial success."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = why
    return Reply(body=answer.SerializeToString())


Script = Callable[[int, list[Span], int], Reply]
"""What is answered to which request: its number from 0, its spans, the bytes of its body."""


class Backend(ThreadingHTTPServer):
    """Takes spans.

    Attributes:
        script: what is answered.
        empty: what is answered to a request without spans.
        knocks: how many of these there were.
        taken: how often each span was taken, by trace and span id.
        spans: those that were taken, with their requests' resources.
        requests: path and headers (names in lower case) of each request that had spans in it.
        sizes: bytes of their bodies.
    """

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.empty = Reply()
        self.knocks = 0
        self.taken: Counter[bytes] = Counter()
        self.spans: list[Span] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sizes: list[int] = []
        self.changed = threading.Condition()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def names(self) -> list[str]:
        """The names of the spans that were taken, sorted."""
        return sorted(span.name for span in self.spans)

    def wait_for(self, condition: Callable[[Backend], bool]) -> None:
        """Return when it is so."""
        with self.changed:
            self.changed.wait_for(lambda: condition(self))


class _Handler(BaseHTTPRequestHandler):
    server: Backend
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = body_of(self)
        if self.headers.get("Content-Type") == "application/json":
            body = message(body or b"{}").SerializeToString()
        spans = [span for group in ExportTraceServiceRequest.FromString(body).resource_spans for scope in group.scope_spans for span in scope.spans]
        server = self.server
        with server.changed:
            if spans:
                server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                server.sizes.append(len(body))
            server.knocks += not spans
            reply = server.script(len(server.requests) - 1, spans, len(body)) if spans else server.empty
            if reply.takes is None:
                taken = spans if reply.status == 200 and reply.how in {"whole", "slow", "reset in the body"} else []
            else:
                taken = spans[: reply.takes]
            server.taken.update(span.trace_id + span.span_id for span in taken)
            server.spans += taken
            server.changed.notify_all()
        self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        if reply.how == "silent":
            self.server.over.wait()
            self.close_connection = True
            return
        if reply.how.startswith("reset"):
            if reply.how == "reset in the body":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\n\n")
                self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if reply.how == "slow":
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 10_000:
                if self.server.over.wait(0.02):
                    break
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    break
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/x-protobuf", "Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        pass


def always(reply: Reply) -> Script:
    """The same answer to every request."""
    return lambda *_: reply


def then(*replies: Reply) -> Script:
    """These answers, and 200 to all later requests."""
    return lambda number, *_: replies[number] if number < len(replies) else Reply()


@contextmanager
def taking(script: Script | None = None) -> Iterator[Backend]:
    """A backend for one block; without a script it takes everything."""
    with Backend(script or always(Reply())) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


@contextmanager
def black_hole() -> Iterator[str]:
    """A URL at which no connection comes about and none is refused, as behind a firewall: a queue of connections that is full."""
    with ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
