"""Takes OTLP over HTTP for as long as something is watched, on an address of this machine that only what is started here is told."""

from __future__ import annotations

import re
import tempfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from massgen_tracing.runs.watch.telemetry import events
from massgen_tracing.runs.watch.transcripts import Session
from massgen_tracing.store.reading.foreign import Document
from massgen_tracing.store.reading.sources import Foreign

_LARGEST: Final = 64_000_000
"""Bytes of a request."""

_LINE: Final = 100
"""Bytes of a line that says how long a chunk is, and no more."""

_DIGITS: Final = {10: re.compile(r"[0-9]{1,19}"), 16: re.compile(r"[0-9a-fA-F]{1,16}")}
_EMPTY: Final = re.compile(rb"\s*\{\s*\}\s*")
"""An export of nothing in JSON; in protobuf it is no bytes."""

_TYPES: Final = frozenset({"application/json", "application/x-protobuf"})
_POLL_SECONDS: Final = 0.1
_PATIENCE: Final = 10.0
"""Seconds that a sender may be silent in the middle of a request."""


class Telemetry:
    """What a program has sent; a context manager, within which it is listened to.

    Attributes:
        taken: requests so far whose records `sessions` has.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self.taken = 0
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="massgen-tracing-")
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), name="watch.telemetry", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it is sent: a URL without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._folder.cleanup()

    def sessions(self) -> dict[str, Session]:
        """What was told so far, by the sessions' ids."""
        with self._lock:
            return {name: replace(session, calls=dict(session.calls), tools=dict(session.tools)) for name, session in self._sessions.items()}

    def take(self, body: bytes) -> None:
        """Take a request, of whatever signal.

        Raises:
            Foreign: if it is no OTLP.
            OSError: if there is no room for it.
        """
        with tempfile.NamedTemporaryFile(dir=self._folder.name) as file:
            file.write(body)
            file.flush()
            told = list(events.told(Document(Path(file.name)).records()))
        with self._lock:  # only now, for whoever asks is not to wait for what takes long
            self.taken += 1
            for each in told:
                each.note(self._sessions)


class _Unreadable(Exception):
    """A request's body that is not taken; with the status that says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _size(text: str, base: int) -> int:
    """A number of bytes as HTTP writes it; `int` would take signs and underscores too.

    Raises:
        _Unreadable: if it is none.
    """
    if not _DIGITS[base].fullmatch(text):
        raise _Unreadable(400)
    return int(text, base)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.telemetry = telemetry

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that goes away, or sends what is no request: it is no more told of than what it sends."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: _Server

    def do_POST(self) -> None:
        """An export."""
        kind = self.headers.get_content_type()
        if kind not in _TYPES:  # a page in a browser may send others without asking first
            self._answer(415, kind)
            return
        try:
            body = self._body()
        except _Unreadable as unreadable:
            self.close_connection = True
            self._answer(unreadable.status, kind)
            return
        try:
            if not _EMPTY.fullmatch(body):
                self.server.telemetry.take(body)
        except (Foreign, OSError):
            self._answer(400, kind)
            return
        self._answer(200, kind)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: stderr is the watched program's."""

    def _body(self) -> bytes:
        """As it was sent.

        Raises:
            _Unreadable: if it is larger than any should be, or has no end.
        """
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self._read(_size(self.headers.get("content-length") or "0", 10))
        body = bytearray()
        while size := _size(self.rfile.readline(_LINE).partition(b";")[0].decode("latin-1").strip(), 16):
            body += self._read(size, len(body))
            if self.rfile.readline(_LINE).strip():
                raise _Unreadable(400)
        while self.rfile.readline(_LARGEST).strip():
            pass  # trailers
        return bytes(body)

    def _read(self, size: int, before: int = 0) -> bytes:
        """So many bytes behind others.

        Raises:
            _Unreadable: if they are too many, or fewer come.
        """
        if before + size > _LARGEST:
            raise _Unreadable(413)
        part = self.rfile.read(size)
        if len(part) < size:
            raise _Unreadable(400)
        return part

    def _answer(self, status: int, kind: str) -> None:
        content = b"{}" if kind == "application/json" else b""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
