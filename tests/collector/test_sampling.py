"""Tail sampling keeps whole runs or leaves whole runs out."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.collector import sent
from tests.collector.conftest import eventually
from tools.backends import running
from tools.backends.binaries import CONFIGURATION

pytestmark = pytest.mark.binaries


def test_runs_are_kept_whole_and_those_with_errors_always(tmp_path: Path) -> None:
    """40 runs of 5 spans at a share of one half, children first: each that is kept has all its spans, also those that come after the decision."""
    (port,) = running.free_ports(1)
    variables = {"SAMPLING_PERCENTAGE": "50", "CLICKHOUSE_ENDPOINT": f"http://127.0.0.1:{port}", "CLICKHOUSE_COMPRESS": "none"}
    with (
        running.jaeger(tmp_path / "jaeger") as jaeger,
        running.collecting(tmp_path / "collector", {**variables, "JAEGER_OTLP": jaeger.grpc}, CONFIGURATION / "scale.yaml") as collector,
    ):
        roots = [sent.span(f"run {number}") for number in range(40)]
        failed, last = roots[:5], sent.span("the last run")
        for root in roots:
            children = [sent.span("child", trace=sent.trace_id(root), parent=root.span_id.hex()) for _ in range(3)]
            if root in failed:
                children[0].status.code = children[0].status.STATUS_CODE_ERROR
            assert sent.send(collector.http, *children).status_code == 200
            assert sent.send(collector.http, root).status_code == 200
        failed_last = sent.span("failed", trace=sent.trace_id(last), parent=last.span_id.hex())
        failed_last.status.code = failed_last.status.STATUS_CODE_ERROR
        sent.send(collector.http, failed_last, last)
        eventually(lambda: jaeger.trace(sent.trace_id(last)))

        def whole(trace: str) -> bool:
            return len(jaeger.trace(trace)) == 5

        kept = [root for root in roots if jaeger.trace(sent.trace_id(root))]
        for root in roots:
            sent.send(collector.http, sent.span("late", trace=sent.trace_id(root), parent=root.span_id.hex()))
        for root in kept:
            eventually(functools.partial(whole, sent.trace_id(root)))
        assert [root.name for root in failed if root not in kept] == []
        assert [root.name for root in roots if root not in kept and jaeger.trace(sent.trace_id(root))] == []
        assert 5 < len(kept) < 40
        in_file = [span for line in collector.lines for group in line["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]
        assert len(in_file) == 40 * 5 + 2
