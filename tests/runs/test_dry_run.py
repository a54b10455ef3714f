"""The dry run from end to end: a real OpenAI client, real MCP servers, and the spans they leave."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import sys
from collections import Counter

import pytest

from massgen_tracing.runs.coordinator.script import SLOW, DryRunScript, dry_run_config

IDS = ["agent_a", "agent_b", "agent_c"]


class Patient(DryRunScript):
    """An agent that is to be interrupted in the middle of something is there still, however long the others take."""

    def __call__(self, asked):
        turn = super().__call__(asked)
        return dataclasses.replace(turn, seconds=100_000) if turn.seconds == max(SLOW) else turn


@pytest.fixture
async def ran(coordinate, monkeypatch, tmp_path):
    """One dry run, with the tool servers' log."""
    monkeypatch.setenv("MASSGEN_TRACING_TOOL_LOG", str(tmp_path / "tools.jsonl"))
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 60.0
    config = dry_run_config(sys.executable)
    return await coordinate(Patient(IDS), config)


async def test_everything_in_its_place(ran, kit, tmp_path):
    """Every request, tool call, answer, vote and token of a dry run stands once in the trace, in the right round of the right agent, in its time."""
    spans, attributes = ran.spans, kit.attributes
    assert ran.answered.winner == "agent_a"
    assert ran.answered.label == "agent1.2"
    assert ran.answered.votes == {"agent1.2": 2, "agent2.1": 1, "agent3.1": 0}
    assert ran.answered.failures == {}
    [session] = spans.named("coordination.session")
    assert session.parent is None
    assert attributes(session)["massgen.winner_label"] == "agent1.2"

    # Agents' spans are direct children of the session, and all work lies inside its round: below it, and within its time.
    rounds = spans.named("agent.")
    assert all(spans.parent(span) is session for span in rounds)
    work = [*spans.named("llm."), *spans.named("mcp."), *spans.named("Tool execution")]
    for span in work:
        above = spans.round_of(span)
        assert above is not None
        assert above.start_time <= span.start_time <= span.end_time <= above.end_time
        for key in ("massgen.agent_id", "massgen.round", "massgen.round_type"):
            assert attributes(span)[key] == attributes(above)[key]

    # Each request is one model call under the round that saw the same answers.
    calls = {attributes(span).get("gen_ai.response.id"): span for span in spans.named("llm.")}
    read = {attributes(span)["gen_ai.response.id"] for span in spans.named("llm.") if "gen_ai.usage.input_tokens" in attributes(span)}
    finished = [entry for entry in ran.log if entry["id"] in read]
    # What the endpoint has sent to its end may have been on its way when its agent was restarted.
    cancelled = Counter(
        attributes(span)["massgen.agent_id"] for span in spans.named("llm.") if attributes(span).get("massgen.outcome") == "cancelled"
    )
    assert Counter(entry["agent_id"] for entry in ran.log if entry["finished"] and entry["id"] not in read) <= cancelled
    assert all(entry["finished"] for entry in finished)
    assert len(spans.named("llm.")) == len(ran.log)
    for entry in finished:
        above = spans.round_of(calls[entry["id"]])
        assert above is not None
        assert attributes(above)["massgen.agent_id"] == entry["agent_id"]
        labels = kit.seen(kit.Asked(entry["agent_id"], 0, "", entry["messages"], ()))
        if not above.name.endswith("presentation"):
            assert list(attributes(above).get("massgen.context_labels", ())) == labels
    asked = Counter(entry["agent_id"] for entry in ran.log)
    assert Counter(attributes(span)["massgen.agent_id"] for span in spans.named("llm.")) == asked

    # Each MCP call stands in one wrapper, and its server saw its trace context, or that of the span that the MCP SDK makes below it where it has
    # found a provider, from a process of the agent's own; one that was cancelled at once, because its agent was restarted, may never have come there.
    tools = spans.named("mcp.")
    log = [json.loads(line) for line in (tmp_path / "tools.jsonl").read_text().splitlines()]
    sent = {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"): span for span in tools}
    made_by_sdk = {f"{span.context.span_id:016x}": f"{span.parent.span_id:016x}" for span in spans.named("MCP send tools/call")}
    seen = [entry["meta"]["traceparent"].split("-")[1:3] for entry in log]
    received = [(trace_id, made_by_sdk.get(span_id, span_id)) for trace_id, span_id in seen]
    assert len(set(received)) == len(received)
    assert {ids for ids, span in sent.items() if attributes(span).get("massgen.outcome") != "cancelled"} <= set(received) <= set(sent)
    assert all(entry["tool"] == attributes(sent[ids])["gen_ai.tool.name"] for entry, ids in zip(log, received, strict=True))
    assert len({entry["pid"] for entry in log}) == 3
    assert all(entry["env"].split("-")[1] == f"{session.context.trace_id:032x}" for entry in log)
    assert [spans.parent(span) for span in tools] == spans.named("Tool execution")

    # Tokens: what the endpoint reported, in the model calls and summed over the rounds.
    for key, total in (("input", "prompt_tokens"), ("output", "completion_tokens")):
        reported = sum(entry["usage"][total] for entry in finished)
        assert sum(attributes(span).get(f"gen_ai.usage.{key}_tokens", 0) for span in spans.named("llm.")) == reported
        assert sum(attributes(span).get(f"massgen.usage.{key}", 0) for span in rounds) == reported
    assert any(entry["usage"]["prompt_tokens_details"]["cached_tokens"] for entry in finished)
    assert any(entry["usage"]["completion_tokens_details"]["reasoning_tokens"] for entry in finished)
    assert all(attributes(calls[entry["id"]])["operation.cost"] > 0 for entry in finished)

    # Restarts, the retry, and the end.
    assert spans.outcomes("agent_a") == ["answer", "vote", "vote", "answer", "vote"]
    assert spans.outcomes("agent_b") == ["restarted", "answer", "restarted", "restarted", "vote"]
    assert spans.outcomes("agent_c") == ["restarted", "restarted", "answer", "restarted", "vote"]
    restarts = spans.named("Agent restart")
    assert Counter(attributes(spans.round_of(span))["massgen.agent_id"] for span in restarts) == {"agent_b": 3, "agent_c": 3}
    [retry] = spans.named("Coordination event: enforcement")
    assert attributes(retry)["massgen.enforcement.reason"] == "no_tool_calls"
    assert attributes(retry)["massgen.enforcement.buffer_chars"] > 0
    [presentation] = spans.named("agent.agent_a.presentation")
    assert [span.name for span in spans.children(presentation)] == [
        "Winner selected: agent1.2",
        "llm.openai.stream",
        "Final answer from agent_a",
    ]

    # Files.
    assert ran.run.final_answer("agent_a").read_text() == ran.answered.answer
    assert len(list(ran.run.attempt_dir.glob("agent_*/*/answer.txt"))) == 4

    # Rounds of different agents overlap in time, and an agent's own rounds never do.
    by_agent = {agent_id: spans.named(f"agent.{agent_id}.") for agent_id in IDS}
    for own in by_agent.values():
        for earlier, later in itertools.pairwise(own):
            assert earlier.end_time <= later.start_time
    first = [own[0] for own in by_agent.values()]
    assert max(span.start_time for span in first) < min(span.end_time for span in first)


async def test_same_run_twice(coordinate, kit):
    """Two dry runs of the same question give the same answers, events and tokens, and leave the same files but for the times in their names."""

    async def facts():
        coordinate.exporter.clear()
        ran = await coordinate(Patient(IDS), dry_run_config(sys.executable))
        counts = Counter(span.name for span in ran.spans.all)
        tokens = sorted(kit.attributes(span).get("gen_ai.usage.input_tokens", 0) for span in ran.spans.named("llm."))
        kept = sorted((path.relative_to(ran.run.attempt_dir).parts[0], path.read_text()) for path in ran.run.attempt_dir.rglob("answer.txt"))
        files = sorted((str(path.relative_to(ran.run.attempt_dir)), path.read_text()) for path in ran.run.attempt_dir.glob("workspaces/**/*.md"))
        return dataclasses.asdict(ran.answered), counts, tokens, kept, files

    assert await facts() == await facts()
