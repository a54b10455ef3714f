"""`logfire.yaml`: what comes in goes to Logfire too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector import sent
from tests.sinks.collector import collecting
from tools.backends import running
from tools.backends.binaries import CONFIGURATION

pytestmark = pytest.mark.binaries


def test_spans_go_to_logfire_with_the_token_and_what_waits_outlives_a_kill(tmp_path: Path) -> None:
    """Pending spans too, which Logfire knows; and what was answered while Logfire was down is sent by the next Collector."""
    with collecting() as logfire:
        (down,) = running.free_ports(1)
        variables = {"LOGFIRE_TOKEN": "pylf_v1_local_of_nobody", "LOGFIRE_BASE_URL": f"http://127.0.0.1:{down}", "JAEGER_OTLP": f"127.0.0.1:{down}"}
        with running.collecting(tmp_path / "collector", variables, CONFIGURATION / "logfire.yaml") as collector:
            root = sent.span("root")
            pending = sent.span("root", {"logfire.span_type": "pending_span"}, trace=sent.trace_id(root), parent=root.span_id.hex())
            assert sent.send(collector.http, pending).status_code == 200
            assert sent.send(collector.http, root).status_code == 200
            collector.kill()
            collector.variables = {**collector.variables, "LOGFIRE_BASE_URL": logfire.url}
            collector.start()
            with logfire.arrived:
                logfire.arrived.wait_for(lambda: len(logfire.spans) >= 2)
    assert {span.span_id for span in logfire.spans} == {root.span_id, pending.span_id}
    assert {headers["authorization"] for _, path, headers in logfire.requests if path.endswith("/v1/traces")} == {"pylf_v1_local_of_nobody"}
