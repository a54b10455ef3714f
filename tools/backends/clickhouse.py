"""ClickHouse's own engine behind ClickHouse's HTTP interface, as a process of this machine: chDB has the engine, and no port.

What the Collector's exporter and `massgen-tracing sql --backend clickhouse` ask of a server is here: one statement a request, rows to insert in its
body, errors with ClickHouse's status and header. `python -m tools.backends.clickhouse DIRECTORY PORT` serves.
"""

from __future__ import annotations

import base64
import gzip
import importlib
import importlib.util
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2

from massgen_tracing.store import ClickHouse

from .binaries import CONFIGURATION, REPOSITORY
from .running import PATIENCE, Running, free_ports

MISSING: Final = "ClickHouse's engine is not there: `make clickhouse` installs it (half a gigabyte)"
PASSWORD: Final = "of-the-tests"  # noqa: S105 - of an engine that goes with the tests
"""Whoever asks says it, in ClickHouse's own header."""

_CODE: Final = re.compile(r"Code: (\d+)\.")
_NOT_FOUND: Final = frozenset({"60", "81"})
"""ClickHouse answers 404 where a table or a database is missing."""


def installed() -> bool:
    """Whether the engine is there."""
    return importlib.util.find_spec("chdb") is not None


class Engine:
    """chDB, a statement at a time."""

    def __init__(self, place: str) -> None:
        self._chdb: Any = importlib.import_module("chdb")
        self._place = place
        self._lock = threading.Lock()
        self._connection = self._chdb.connect(place)

    def answer(self, sql: str, body: bytes, form: str) -> bytes:
        """What a statement gives, in a format; *body* is what it inserts.

        Raises:
            RuntimeError: what the engine says.
        """
        with self._lock, tempfile.NamedTemporaryFile() as rows:
            if body:
                rows.write(body)
                rows.flush()
                sql = re.sub(r"\s+FORMAT\s+(\w+)\s*$", lambda found: f" SELECT * FROM file('{rows.name}', '{found[1]}')", sql)  # noqa: S608
            try:
                return bytes(self._connection.query(sql, form).bytes())
            except RuntimeError:
                # What a failed statement had given already would come before the rows of the next one.
                self._connection.close()
                self._connection = self._chdb.connect(self._place)
                raise


_BLOCK_INFO: Final = bytes.fromhex("0100 02ffffffff 00")
_SIZES: Final = {"UInt8": 1, "UInt32": 4, "UInt64": 8}


def for_clients(native: bytes) -> bytes:
    """A block of ClickHouse's format Native as today's clients are given it over HTTP: with information about the block, and of each column's form.

    The engine here writes the format's first form. It knows the columns of what clients ask to know a server and a table: texts and small numbers.
    """
    if not native:
        return b""
    read = _Reader(native)
    columns, rows = read.number(), read.number()
    out = [_BLOCK_INFO, read.taken()]
    for _ in range(columns):
        read.text()
        kind = read.text()
        out += [read.taken(), b"\0"]
        for _ in range(rows):
            if kind == "String":
                read.text()
            else:
                read.at += _SIZES[kind]
        out.append(read.taken())
    return b"".join(out)


@dataclass(slots=True)
class _Reader:
    """Reads a block, and gives out what it has read since it was last asked."""

    block: bytes
    at: int = 0
    given: int = 0

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.block[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def text(self) -> str:
        size = self.number()
        self.at += size
        return self.block[self.at - size : self.at].decode()

    def taken(self) -> bytes:
        part = self.block[self.given : self.at]
        self.given = self.at
        return part


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def _key(self) -> str:
        """The password as clients send it: by HTTP's basic authentication, as clickhouse-go does, or in ClickHouse's own header."""
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(credentials).decode().partition(":")[2] if scheme == "Basic" else self.headers.get("X-ClickHouse-Key", "")

    def do_GET(self) -> None:
        self._respond(200, b"Ok.\n")

    def do_POST(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        body = self._body()
        if self._key() != PASSWORD:
            user = self.headers.get("X-ClickHouse-User", "default")
            self._respond(403, f"Code: 516. DB::Exception: {user}: Authentication failed. (AUTHENTICATION_FAILED)".encode(), "516")
            return
        sql = asked["query"][0] if "query" in asked else body.decode()
        try:
            answer = self.engine.answer(sql, body if "query" in asked else b"", asked.get("default_format", ["TabSeparated"])[0])
        except RuntimeError as error:
            found = _CODE.search(str(error))
            code = found[1] if found else "1002"
            self._respond(404 if code in _NOT_FOUND else 500, str(error).encode(), code)
        else:
            self._respond(200, for_clients(answer) if asked.get("default_format") == ["Native"] else answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _respond(self, status: int, body: bytes, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that its base gives it
        print(format % args, file=sys.stderr)


@dataclass
class Served(Running):
    """The engine as a server.

    Attributes:
        url: its HTTP interface.
    """

    url: str = ""

    @property
    def place(self) -> ClickHouse:
        """Where `massgen-tracing sql` finds it."""
        return ClickHouse(self.url, password=PASSWORD)

    @property
    def exporting(self) -> dict[str, str]:
        """What the Collector's `scale.yaml` reads from its environment."""
        return {"CLICKHOUSE_ENDPOINT": self.url, "CLICKHOUSE_COMPRESS": "none", "CLICKHOUSE_PASSWORD": PASSWORD}

    def answer(self, sql: str, form: str = "TabSeparated", rows: bytes = b"") -> str:
        """What a statement gives, or what is wrong with it; *rows* are what it inserts."""
        asked = {"default_format": form, **({"query": sql} if rows else {})}
        answer = httpx2.post(self.url, params=asked, content=rows or sql, headers={"X-ClickHouse-Key": PASSWORD}, timeout=PATIENCE)
        return answer.text


@contextmanager
def serving(place: Path) -> Iterator[Served]:
    """An engine that keeps its data below *place*, with the tables of `collector/clickhouse/schema.sql`; started, and ended at the end."""
    place.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    words = [sys.executable, "-m", __spec__.name, str(place / "data"), str(port)]
    here = Served(words, {"PYTHONPATH": str(REPOSITORY)}, f"http://127.0.0.1:{port}/ping", place / "log", url=f"http://127.0.0.1:{port}")
    here.start()
    try:
        for statement in (CONFIGURATION / "clickhouse" / "schema.sql").read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                here.answer(statement)
        yield here
    finally:
        here.kill()


if __name__ == "__main__":
    _Handler.engine = Engine(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Handler).serve_forever()
