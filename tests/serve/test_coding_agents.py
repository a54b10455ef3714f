"""Coding agents' own OpenTelemetry, sent here: each request to a model counts once, with the tokens that the model's endpoint served.

`agents/` has what the programs sent once (Claude Code 2.1.197, Codex 0.171, Gemini CLI 0.61, OpenCode 1.18), on the task and at the endpoint of
`rehearsal/coding_agents`; of hundreds of spans, those that tell of models and tools and those around them, long texts cut, and without what tells of
a machine. Where the programs are installed, they are run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.insight.summary import summarise
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedEndpoint
from massgen_tracing.serve.served import Served
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.views.mcp.local import Local
from massgen_tracing.views.mcp.tools import call
from rehearsal.coding_agents import CODING_AGENTS, MISSING, PROGRAMS
from rehearsal.interfaces import INTERFACES
from tests.serve.client import JSON, Client
from tests.serve.conftest import serving

RECORDED = Path(__file__).parent / "agents"
QUERY = (Path(__file__).parents[2] / "dashboards" / "sql" / "coding_agents.sql").read_text(encoding="utf-8")
SERVICES = {"claude": "claude-code", "codex": "codex_exec", "gemini": "gemini-cli", "opencode": "opencode"}
REQUESTS = {"claude": 2, "codex": 2, "gemini": 2, "opencode": 3}
"""OpenCode has a model give the conversation a title, which its own figures leave out."""


def traces(server: Client, agent: str) -> set[str]:
    return {row["trace_id"] for row in server.ask(f"SELECT DISTINCT trace_id FROM records WHERE service_name = '{SERVICES[agent]}'")}


def served(agent: str, requests: int) -> tuple[int, int]:
    """Tokens in and out that the endpoint served; Gemini CLI says nowhere on its spans what of those out was thought."""
    turns = (CODING_AGENTS[agent].script(Asked("a", number, "", (), ())) for number in range(1, requests + 1))
    used = [turn.usage for turn in turns if turn.usage is not None]
    thought = sum(usage.reasoning or 0 for usage in used) if agent == "gemini" else 0
    return sum(usage.input or 0 for usage in used), sum(usage.output or 0 for usage in used) - thought


def check(server: Client, agent: str, own: set[str], requests: int) -> None:
    """Every view of these traces has each of the first requests once, and, where they are all there, the one tool call."""
    right, complete = served(agent, requests), requests == REQUESTS[agent]
    some = ", ".join(f"'{trace}'" for trace in own)
    (row,) = server.ask(QUERY.replace("WHERE kind", f"WHERE trace_id IN ({some}) AND kind"))
    assert (row["calls"], row["input_tokens"], row["output_tokens"]) == (requests, *right)

    spans = [span for span in reader.read(catalogue.files(server.root)).spans if span.trace_id in own]
    totals = {trace: summarise([span for span in spans if span.trace_id == trace]) for trace in own}
    assert sum(each.llm_calls for each in totals.values()) == requests
    assert (_sum(totals.values(), "input"), _sum(totals.values(), "output")) == right
    assert sum(each.tool_calls for each in totals.values()) == 1 or not complete
    assert all(each.usage.cost is not None for each in totals.values() if each.llm_calls)

    used, tools = [], []
    for trace, total in totals.items():
        if total.llm_calls or total.tool_calls:
            page = eventually(partial(_page, server, trace))
            told = call(Local(str(server.root)), "run_summary", {"run": trace})["structuredContent"]["recorded"]
            assert told["used"] == page["used"]
            used += [(each["calls"], each["input_tokens"], each["output_tokens"]) for each in page["used"]]
            tools += [tool["tool"] for tool in told["tools"]]
    assert tuple(map(sum, zip(*used, strict=True))) == (requests, *right)
    assert tools == [CODING_AGENTS[agent].tool.name] or not complete


def _sum(totals: Iterable[Any], part: str) -> int:
    return sum(getattr(each.usage, part) or 0 for each in totals)


def _page(server: Client, trace: str) -> dict[str, Any] | None:
    """What the run's page is told, as soon as the run has a recording."""
    answer = server.http.get("/api/run", params={"run": trace})
    return dict(answer.json()) if answer.status_code == 200 else None


def eventually(found: Callable[[], Any]) -> Any:
    """What it gives as soon as it gives something; where it never does, pytest ends the test."""
    while (value := found()) is None:
        time.sleep(0.05)
    return value


@pytest.mark.parametrize("agent", CODING_AGENTS)
def test_what_agents_sent_counts_once(server: Client, agent: str) -> None:
    """In SQL, in summaries, on the page and for assistants: spans, parents that say it again, logs and metrics are all there, and nothing twice."""
    before = traces(server, agent)
    for line in (RECORDED / f"{agent}.jsonl").read_text(encoding="utf-8").splitlines():
        sent = json.loads(line)
        server.send(sent["document"], sent["signal"], JSON)
    check(server, agent, traces(server, agent) - before, REQUESTS[agent])


@pytest.fixture(scope="module")
def unbounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with the bounds that a user's has: some of the programs send a megabyte at once."""
    with serving(Served(tmp_path_factory.mktemp("agents"))) as client:
        yield client


@pytest.mark.parametrize("agent", CODING_AGENTS)
def test_what_agents_send_counts_once(unbounded: Client, agent: str, tmp_path: Path) -> None:
    """The same of the real programs: what their model's endpoint served is what is told of them, whatever forms their exporters speak."""
    if not (PROGRAMS / CODING_AGENTS[agent].program).exists():
        pytest.skip(MISSING)
    with ScriptedEndpoint(CODING_AGENTS[agent].script, INTERFACES) as endpoint:
        ran = CODING_AGENTS[agent].run(tmp_path, endpoint.address("a"), unbounded.url)
    assert ran.returncode == 0, ran.stderr
    assert len(endpoint.log) == REQUESTS[agent]
    arrived = REQUESTS[agent]
    if agent == "opencode":  # it may end before it has sent the last of its spans
        arrived = unbounded.ask("SELECT count(DISTINCT span_id) AS n FROM records WHERE span_name = 'ai.streamText.doStream'")[0]["n"]
        assert arrived
    check(unbounded, agent, traces(unbounded, agent), arrived)
