"""Logfire's query API over recordings: what its own client is answered, written down from its source and its documentation."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.views import formats

TOKEN = "pylf_v1_local_read"
RATE = "rate"
"""A statement with this word comes too often."""


class Logfire(ThreadingHTTPServer):
    """The server.

    Attributes:
        asked: the bodies of the queries.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Logfire

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == "/v1/read-token-info":
            self._answer(200, {"token_id": "t", "organization_id": "o", "project_id": "p", "organization_name": "org", "project_name": "proj"})
        elif self.path == "/v1/schemas":
            columns = {"kind": {"data_type": "TEXT", "nullable": False, "description": "what it is"}, "attributes": {"data_type": "TEXT"}}
            self._answer(200, {"tables": [{"name": "records", "schema": columns}]})
        else:
            self._answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._allowed():
            return
        self.server.asked.append(body)
        if RATE in body["sql"]:
            self._answer(429, {"detail": "Rate limit exceeded for organization"}, {"Retry-After": "7"})
            return
        since, until = (datetime.fromisoformat(body[name]) if body.get(name) else None for name in ("min_timestamp", "max_timestamp"))
        try:
            # The runs of these tests lie in the future: what is kept for 30 days is everything.
            found = store.query(body["sql"], self.server.root, limit=body.get("limit", 100), min_timestamp=since, max_timestamp=until)
        except QueryError as error:
            problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": str(error), "error_details": {"detail": str(error)}}
            self._answer(400, problem, kind="application/problem+json")
            return
        fields = [{"name": name, "data_type": "Utf8", "nullable": True} for name in found.columns]
        self._answer(200, {"schema": {"fields": fields}, "data": list(formats.objects(found, expand=True))})

    def _allowed(self) -> bool:
        if self.headers.get("authorization", "").removeprefix("Bearer ") == TOKEN:
            return True
        self._answer(401, {"detail": "Invalid token"})
        return False

    def _answer(self, status: int, document: Any, headers: dict[str, str] | None = None, kind: str = "application/json") -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(root: Path) -> Iterator[Logfire]:
    """A Logfire that has what is recorded."""
    server = Logfire(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
