"""ClickHouse's HTTP interface, as servers may be: slow, silent, something else, failing in the middle of an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.store.clickhouse import http
from massgen_tracing.store.terms import ClickHouse

BATCH = pa.RecordBatch.from_pydict({"n": list(range(1000))})
FAILED = b"Code: 241. DB::Exception: Memory limit (total) exceeded: would use 2.00 GiB. (MEMORY_LIMIT_EXCEEDED)"


def stream(*batches: pa.RecordBatch, whole: bool = True) -> bytes:
    """An answer; without its end where it is not whole."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, BATCH.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    said = bytes(sink.getvalue())
    return said if whole else said[:-8]


@contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[ClickHouse]:
    """A server that does this with each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            respond(self)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield ClickHouse(f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()


def saying(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """A server that always says the same."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def rows(place: ClickHouse, seconds: float = 30) -> int:
    """How many rows an answer has."""
    return sum(batch.num_rows for batch in http.ask(place, "SELECT n FROM t", seconds))


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (saying(200, b"<html>Welcome</html>"), r"is not ClickHouse's HTTP interface \(<html>Welcome"),
        (saying(200, b""), r"is not ClickHouse's HTTP interface"),
        (saying(302, b"", Location="http://elsewhere/"), r"it says 302, and sends to http://elsewhere/"),
        (saying(404, b"no such page"), r"it says 404"),
        (saying(200, stream(BATCH, whole=False) + FAILED), r"refuses to read so much \(Memory limit .*Ask for less"),
        (saying(200, stream(BATCH, BATCH)[:-4000] + b"__exception__\r\n" + FAILED), r"refuses to read so much \(Memory limit"),
        (saying(200, stream(BATCH, BATCH)[:-4000]), r"ended in the middle of its answer"),
        (saying(200, stream(BATCH, BATCH)[:-4000], Content_Length="99999"), r"ended in the middle of its answer"),
        (saying(200, stream(BATCH)[:200]), r"is not ClickHouse's HTTP interface"),
        (saying(500, FAILED, X_ClickHouse_Exception_Code="241"), r"refuses to read so much"),
        (saying(500, b"Code: 159. DB::Exception: Timeout exceeded: elapsed 9 s. (TIMEOUT_EXCEEDED)"), r"did not find the rows in time"),
        (saying(500, b"Code: 999. DB::Exception: Something new. (NEW)"), r"refuses the statement \(Something new\. \(NEW\)\)"),
        (lambda handler: handler.connection.close(), r"cannot be reached"),
    ],
)
def test_what_a_server_says_is_told(respond: Callable[[BaseHTTPRequestHandler], None], said: str) -> None:
    """Whatever answers there: what is wrong, and what to do."""
    with answering(respond) as place, pytest.raises(QueryError, match=said):
        rows(place)


def test_whoever_may_only_read_is_asked_without_limits() -> None:
    """A profile that lets nobody set anything has its answer all the same."""
    asked: list[str] = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if "max_execution_time" in handler.path:
            saying(500, b"Code: 164. DB::Exception: Cannot modify 'max_execution_time' setting in readonly mode. (READONLY)")(handler)
        else:
            saying(200, stream(BATCH, BATCH))(handler)

    with answering(respond) as place:
        assert rows(place) == 2000
    assert asked == [
        "/?default_format=ArrowStream&max_execution_time=30&cancel_http_readonly_queries_on_client_disconnect=1",
        "/?default_format=ArrowStream",
    ]


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    """By the process that asks, and by its caller's deadline."""
    held = threading.Event()

    def silent(_handler: BaseHTTPRequestHandler) -> None:
        held.wait()

    with answering(silent) as place:
        try:
            with pytest.raises(QueryError, match="did not answer in time"):
                rows(place, 0.2)
            with pytest.raises(QueryError, match=r"(stopped after 0\.5 seconds, while spans were still being fetched|did not answer in time)"):
                store.query("SELECT count(*) FROM records", backend=place, timeout=0.5)
        finally:
            held.set()


@pytest.mark.parametrize(
    ("said", "variables", "place"),
    [
        (None, {}, ClickHouse()),
        ("https://ch.example/", {}, ClickHouse("https://ch.example")),
        ("http://u%40x:p@h:1/db?table=t", {"CLICKHOUSE_USER": "other"}, ClickHouse("http://h:1", "u@x", "p", "db", "t")),
        (None, {"CLICKHOUSE_URL": "http://[::1]:8", "CLICKHOUSE_USER": "u", "CLICKHOUSE_PASSWORD": "p"}, ClickHouse("http://[::1]:8", "u", "p")),
    ],
)
def test_a_place_is_named_by_url_and_variables(
    said: str | None, variables: dict[str, str], place: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the URL does not say, the variables of ClickHouse's own clients do."""
    for name in ("CLICKHOUSE_URL", "CLICKHOUSE_USER", "CLICKHOUSE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ClickHouse.named(said) == place
    assert "'p'" not in repr(place)


@pytest.mark.parametrize("said", ["localhost:8123", "tcp://u:secret@h:9000", "http://", "http://h:x"])
def test_what_is_no_address_is_refused(said: str) -> None:
    """With what one looks like, and without the password that it may have."""
    with pytest.raises(QueryError, match="one such as http://localhost:8123") as raised:
        ClickHouse.named(said)
    assert "secret" not in str(raised.value)
