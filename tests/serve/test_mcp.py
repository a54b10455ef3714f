"""What the server was sent, asked by assistants: the tools over streamable HTTP, behind the server's checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client as Assistant

from massgen_tracing import layout
from massgen_tracing.views import links
from massgen_tracing.views.cli import main
from tests.serve.client import Client, spans, trace_id
from tests.store import otlp


async def test_an_assistant_asks_of_what_was_sent(server: Client) -> None:
    """A trace that was acknowledged is a run: with a summary, a tree, errors and rows, and a link to its page on this server."""
    trace = trace_id()
    sent = spans(
        otlp.span(1, "work", trace=trace, end_ms=20),
        otlp.span(2, "step", trace=trace, parent=1, start_ms=5, end_ms=9, status={"code": 2, "message": "gone"}),
    )
    server.send(sent)
    async with Assistant(f"{server.url}/mcp") as assistant:

        async def told(name: str, **arguments: Any) -> dict[str, Any]:
            answered = await assistant.call_tool(name, arguments)
            assert not answered.is_error, answered.content
            return answered.structured_content or {}

        rows = (await told("query_run", query=f"SELECT COUNT(*) AS many FROM records WHERE trace_id = '{trace}'"))["result"]
        assert rows == [{"many": 2}]
        assert [row[2] for row in (await told("run_tree", run=trace))["recorded"]["spans"]] == ["work", "step"]
        assert [each["error"] for each in (await told("run_errors", run=trace))["recorded"]["failed"]] == ["gone"]
        link = (await told("project_logfire_link", trace_id=trace))["result"]
    assert link == f"{server.url}/local/massgen?q=trace_id%3D%27{trace}%27"


def test_the_servers_checks_hold(server: Client) -> None:
    """A page of another site, and a name that is not this machine's, are refused before anything is read."""
    assert httpx.post(f"{server.url}/mcp", json={}, headers={"Origin": "http://elsewhere.example"}).status_code == 403
    assert httpx.post(f"{server.url}/mcp", json={}, headers={"Host": "elsewhere.example"}).status_code == 421


def test_a_trace_is_linked_to_where_the_server_shows_it(server: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As long as the server runs: what one that has ended has left leads nowhere."""
    trace = trace_id()
    server.send(spans(otlp.span(1, "root", trace=trace)))
    at = f"{server.url}/local/massgen?q=trace_id%3D%27{trace}%27"
    assert main(["logs", "link", trace, "--root", str(server.root)]) == 0
    assert capsys.readouterr().out.splitlines() == [at]
    left = tmp_path / layout.ARRIVALS_DIR / layout.ARRIVALS_LOCK
    left.parent.mkdir()
    left.write_bytes((server.root / layout.ARRIVALS_DIR / layout.ARRIVALS_LOCK).read_bytes())
    assert links.of_server(str(tmp_path), trace) is None
    assert links.of_server(str(tmp_path / "nothing"), trace) is None
