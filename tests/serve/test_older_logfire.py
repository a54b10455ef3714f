"""Clients of Logfire 4 ask the server: its query clients, and logfire-mcp 0.8.0, whose place our tools take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serve.client import Client, spans, trace_id
from tests.store import otlp

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-older-logfire" / "bin" / "python"
PROGRAM = Path(__file__).with_name("programs") / "older_logfire.py"
HOUR = 60

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="Logfire 4 and logfire-mcp are not installed: `make older-logfire` does it (50 MB)")


@pytest.fixture(scope="module")
def trace(server: Client) -> str:
    """A trace of a failed span and one with values of all kinds."""
    trace = trace_id()
    failed = otlp.span(2, "failed", trace=trace, parent=1, start_ms=1, end_ms=2, events=[otlp.exception("ValueError", trace)])
    server.send(spans(otlp.span(1, "whole", trace=trace, end_ms=9, attributes={"n": 1, "plan": {"a": [1, "é"]}, "none": ""}), failed))
    return trace


@pytest.fixture(scope="module")
def told(server: Client, trace: str) -> dict[str, Any]:
    """What the clients are told, by whom: logfire-mcp of the server; ours of the server, as hosted Logfire; ours of the recordings."""
    query = f"SELECT span_name, start_timestamp, duration, attributes, tags, level FROM records WHERE trace_id = '{trace}' ORDER BY start_timestamp"
    calls = [
        ("arbitrary_query", {"query": query, "age": HOUR}),
        ("find_exceptions_in_file", {"filepath": trace, "age": HOUR}),
        ("schema_reference", {}),
        ("logfire_link", {"trace_id": trace}),
        ("arbitrary_query", {"query": "SELECT nothing FROM records", "age": HOUR}),
        ("arbitrary_query", {"query": f"{query} LIMIT 0", "age": HOUR}),
    ]
    ours = [sys.executable, "-m", "massgen_tracing.views.cli", "mcp"]
    servers = [
        [str(PYTHON), "-m", "logfire_mcp", "--read-token", "any", "--base-url", server.url],
        [*ours, "--backend", "logfire"],
        [*ours, "--root", str(server.root)],
    ]
    asked = {"url": server.url, "sql": query, "calls": calls, "servers": servers}
    env = {**os.environ, "LOGFIRE_READ_TOKEN": "any", "LOGFIRE_BASE_URL": server.url}
    done = subprocess.run([str(PYTHON), str(PROGRAM), json.dumps(asked)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_query_clients(told: dict[str, Any]) -> None:
    """The query client and its asynchronous twin get the rows."""
    one, other = told["rows"]
    assert one == other
    assert [row["span_name"] for row in one["rows"]] == ["whole", "failed"]
    assert one["rows"][0]["attributes"] == {"n": 1, "plan": {"a": [1, "é"]}, "none": ""}


def test_the_same_tools_say_the_same(told: dict[str, Any]) -> None:
    """All four tools answer with the same rows, block by block, the same schema, and an error where it is one; ours say besides what the rows are."""
    theirs, hosted, local = told["servers"]
    for ours in (hosted, local):
        assert [each["is_error"] for each in ours] == [each["is_error"] for each in theirs] == [False, False, False, False, True, False]
        for number in (0, 1, 2, 5):
            assert ours[number]["result"] == theirs[number]["result"]
            assert ours[number]["blocks"][: len(theirs[number]["blocks"])] == theirs[number]["blocks"]
        assert "data" in json.loads(ours[0]["blocks"][-1])["note"]
    assert len(theirs[0]["result"]) == 2
    assert [row["exception_type"] for row in theirs[1]["result"]] == ["ValueError"]
    assert hosted[3] == theirs[3]
