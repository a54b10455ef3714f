"""Logfire's own SDK, in a program that knows nothing of us: only LOGFIRE_BASE_URL is another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.serve.client import Client

PROGRAM = """
import sys
from dataclasses import dataclass
from decimal import Decimal
import logfire

@dataclass
class Plan:
    a: str
    steps: list[int]

logfire.configure(console=False, inspect_arguments=False, service_name="program")
with logfire.span("plan of {who}", who="ada", plan=Plan("x", [1, 2]), price=Decimal("10.25"), nothing=None, _tags=["t"]) as span:
    logfire.warn("careful")
    logfire.force_flush()
    print(f"{span.get_span_context().trace_id:032x}", flush=True)
    sys.stdin.readline()
logfire.metric_counter("answers").add(3)
logfire.shutdown()
"""


def test_logfires_sdk_sends_here(server: Client, tmp_path: Path) -> None:
    """A span is seen as open while it is, and then as it ended; values are what they were; metrics come too; and the SDK has nothing to say."""
    # Under pytest, as its variables say, the SDK sends nothing.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LOGFIRE_", "OTEL_", "PYTEST_"))}
    variables |= {"LOGFIRE_BASE_URL": server.url, "LOGFIRE_TOKEN": "any", "HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        trace = program.stdout.readline().strip()
        asked = f"SELECT kind, message, end_timestamp IS NULL AS open FROM records_all WHERE trace_id = '{trace}' ORDER BY start_timestamp"
        said = {"kind": "log", "message": "careful", "open": False}
        assert server.ask(asked) == [{"kind": "pending_span", "message": "plan of ada", "open": True}, said]
        _, complaints = program.communicate("\n")
    assert complaints == ""
    asked = f"""SELECT message, level, service_name, tags, attributes->'plan'->>'a' AS a, json_length(attributes, 'plan', 'steps') AS steps,
        (attributes->>'price')::numeric > 10 AS dear, attributes->'nothing' IS NULL AS nothing
        FROM records WHERE trace_id = '{trace}' AND kind = 'span'"""
    expected = {"message": "plan of ada", "level": 9, "service_name": "program", "tags": ["t"], "a": "x", "steps": 2, "dear": True, "nothing": True}
    assert server.ask(asked) == [expected]
    assert server.ask("SELECT sum(scalar_value) AS s FROM metrics WHERE metric_name = 'answers'") == [{"s": 3.0}]
