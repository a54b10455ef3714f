"""What the Collector has answered with success is not lost, whoever is down and whoever is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.collector import sent
from tests.collector.conftest import eventually
from tools.backends import running
from tools.backends.binaries import CONFIGURATION

pytestmark = pytest.mark.binaries


def test_a_kill_while_jaeger_is_down_loses_nothing(tmp_path: Path) -> None:
    """200 requests answered with success, the Collector killed at once, both started again: each span is in Jaeger, and in the file."""
    with running.jaeger(tmp_path / "jaeger") as jaeger, running.collecting(tmp_path / "collector", {"JAEGER_OTLP": jaeger.grpc}) as collector:
        jaeger.stop()
        root = sent.span("root")
        spans = [root, *(sent.span(f"child {number}", trace=sent.trace_id(root), parent=root.span_id.hex()) for number in range(199))]
        assert {sent.send(collector.http, span).status_code for span in spans} == {200}
        collector.kill()
        jaeger.start()
        collector.start()

        def all_there() -> list[dict[str, Any]] | None:
            found = jaeger.trace(sent.trace_id(root))
            return found if len(found) >= len(spans) else None

        found = eventually(all_there)
        assert sorted({span["name"] for span in found}) == sorted(span.name for span in spans)
        in_file = [
            span["name"] for line in collector.lines for group in line["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]
        ]
        assert sorted(in_file) == sorted(span.name for span in spans)


def test_a_collector_starts_and_works_while_clickhouse_is_down(tmp_path: Path) -> None:
    """What is sent meanwhile waits on the disk; Jaeger gets it at once, when the run's root has ended."""
    (port,) = running.free_ports(1)
    variables = {"CLICKHOUSE_ENDPOINT": f"http://127.0.0.1:{port}", "CLICKHOUSE_COMPRESS": "none"}
    with (
        running.jaeger(tmp_path / "jaeger") as jaeger,
        running.collecting(tmp_path / "collector", {**variables, "JAEGER_OTLP": jaeger.grpc}, CONFIGURATION / "scale.yaml") as collector,
    ):
        root = sent.span("root")
        assert sent.send(collector.http, root).status_code == 200
        eventually(lambda: jaeger.trace(sent.trace_id(root)))
        eventually(lambda: "connection refused" in collector.said())
        assert running.answered(collector.health)
