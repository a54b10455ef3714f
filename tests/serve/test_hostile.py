"""Whatever is sent and asked: the server answers, says what was expected, and goes on."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.serve.client import BEGINNING, JSON, PROTOBUF, Client, protobuf, spans, trace_id
from tests.store import otlp

GOOD = protobuf(spans(otlp.span(1, "a", attributes={"k": ["v", {"n": 1}]}, events=[otlp.exception("E", "m")])))
SIGNALS = ("traces", "logs", "metrics")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request with some bytes that are others, or missing."""
    body = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(body) - 1))
        body[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))
otlp_like = st.recursive(
    json_values,
    lambda inner: st.dictionaries(
        st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "startTimeUnixNano", "attributes", "key", "value", "resource"]),
        inner | st.lists(inner, max_size=2),
        max_size=4,
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.sampled_from(SIGNALS), damaged() | st.binary(max_size=60), st.sampled_from(["", "gzip", "deflate", "zstd", "\x7f"]), st.booleans())
@example("metrics", b"\x0a\x02\x12\x00", "", False)
def test_any_protobuf_is_answered(server: Client, signal: str, body: bytes, encoding: str, packed: bool) -> None:
    """With 200 or an error of the sender's."""
    answer = server.post(f"/v1/{signal}", gzip.compress(body) if packed else body, PROTOBUF, "gzip" if packed else encoding)
    assert answer.status_code in {200, 400, 413, 415}, answer.text


@settings(max_examples=60)
@given(st.sampled_from(SIGNALS), otlp_like)
def test_any_json_is_answered(server: Client, signal: str, document: Any) -> None:
    """Also where it is like OTLP and is none."""
    answer = server.post(f"/v1/{signal}", json.dumps(document).encode(), JSON)
    assert answer.status_code in {200, 400}, answer.text


@settings(max_examples=25)
@given(st.text(max_size=40) | st.sampled_from(["SELECT * FROM records ORDER BY", "SELECT '\0'", "WITH a AS (SELECT 1) SELECT * FROM a, a, a"]))
def test_any_statement_is_answered(server: Client, sql: str) -> None:
    """With rows, or with what is wrong."""
    answer = server.http.post("/v2/query", json={"sql": sql, "min_timestamp": BEGINNING.isoformat()})
    assert answer.status_code in {200, 400, 422}, answer.text


@settings(max_examples=40)
@given(
    st.sampled_from(["run", "spans", "span", "search", "compare", "queries", "dashboards", "sql", "spam", "../../etc/passwd"]),
    st.dictionaries(st.sampled_from(["run", "turn", "trace", "span", "q", "first", "second", "limit"]), st.text(max_size=12), max_size=3),
    st.none() | otlp_like,
)
def test_any_request_of_the_pages_is_answered(server: Client, name: str, asked: dict[str, str], document: Any) -> None:
    """Whatever run, span or search is asked for, and whatever stands in a question."""
    if document is None:
        answer = server.http.get(f"/api/{name}", params=asked)
    else:
        answer = server.http.post(f"/api/{name}", params=asked, content=json.dumps(document), headers={"content-type": JSON})
    assert answer.status_code < 500, answer.text


@settings(max_examples=20)
@given(otlp_like | st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "id": st.integers(), "method": st.text(max_size=12), "params": otlp_like}))
def test_any_request_of_an_assistant_is_answered(server: Client, document: Any) -> None:
    """Also where it is none of the protocol."""
    headers = {"content-type": JSON, "accept": "application/json, text/event-stream"}
    answer = server.http.post("/mcp", content=json.dumps(document), headers=headers)
    assert answer.status_code < 500, answer.text


@settings(max_examples=40)
@given(
    st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=30),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"]),
    st.dictionaries(
        st.sampled_from(["host", "origin", "authorization", "cookie", "content-length", "accept", "expect"]), st.text(max_size=20), max_size=3
    ),
)
def test_any_request_is_answered(server: Client, path: str, method: str, headers: dict[str, str]) -> None:
    """Whatever its path and headers; nothing outside of what is served is read. A connection may be closed on what is no HTTP."""
    lines = [f"{method} /{path} HTTP/1.1", "Connection: close", *(f"{name}: {value}" for name, value in {"host": "localhost", **headers}.items())]
    request = "\r\n".join(line.replace("\r", "").replace("\n", "") for line in lines).encode("utf-8", "replace") + b"\r\n\r\n"
    with socket.create_connection((server.http.base_url.host, server.http.base_url.port or 80), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert not answer or answer.split()[1][:1] in {b"2", b"3", b"4"}, answer[:500]


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/../../etc/passwd", "/.arrivals/lock", "/traces/"])
def test_no_file_is_given_out(server: Client, path: str) -> None:
    """Neither outside of the root nor inside: there is nothing, or the page that looks for a trace."""
    answer = server.http.get(path)
    assert answer.status_code == 404 or (answer.headers["content-type"].startswith("text/html") and "root:" not in answer.text)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY records TO '/tmp/x'",
        "SET datafusion.x = 1",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_statement_sees_the_tables_only(server: Client, sql: str) -> None:
    """No file, no setting, no second statement."""
    assert server.http.post("/v2/query", json={"sql": sql, "min_timestamp": BEGINNING.isoformat()}).status_code == 400


def test_after_all_that_the_server_takes_and_answers(server: Client, tmp_path: Path) -> None:
    """What was sent by then is in the recordings."""
    trace = trace_id()
    server.send(spans(otlp.span(1, "after", trace=trace)))
    assert server.ask(f"SELECT span_name FROM records WHERE trace_id = '{trace}'") == [{"span_name": "after"}]
