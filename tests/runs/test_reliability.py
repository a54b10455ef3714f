"""What a run can be relied on for: it ends, with a winner and the reason, whatever single agents do, within what it may use and take."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path
from typing import cast

import pytest

from massgen_tracing import semconv
from massgen_tracing.errors import RunError, RunTimeout
from massgen_tracing.runs.coordinator.agent import AgentRound, Outdated
from massgen_tracing.runs.coordinator.board import Board
from massgen_tracing.runs.coordinator.config import Limits, ToolServerConfig
from massgen_tracing.runs.coordinator.model_openai import ChatModel
from massgen_tracing.runs.coordinator.progress import Pulse
from massgen_tracing.runs.coordinator.protocol import Reply, ToolCall, Usage
from massgen_tracing.runs.coordinator.scripted import ScriptedCall, Turn
from massgen_tracing.runs.coordinator.seat import Seat, Table
from massgen_tracing.runs.coordinator.tools import Toolbox
from massgen_tracing.views.cli import main

NEVER = 100_000.0
"""Seconds of a reply that does not come."""

USED = Usage(input=1000, output=100)


def settled(kit, *, used: Usage | None = None):
    """A script by which each agent answers once, and all vote for the first of those there are."""

    def script(asked):
        if kit.presenting(asked):
            return Turn("final", usage=used)
        place = 1 + ["agent_a", "agent_b", "agent_c"].index(asked.agent_id)
        if any(label.startswith(f"agent{place}.") for label in kit.seen(asked)):
            return kit.vote(kit.seen(asked)[0], usage=used)
        return kit.answer(f"by {asked.agent_id}", usage=used)

    return script


def session(ran, kit):
    """The attributes of the session."""
    [span] = ran.spans.named("coordination.session")
    return kit.attributes(span)


# --- the validation plan: functional, reliability, cost and speed, dry run -----------------------------------------------------------


async def test_a_run_comes_to_its_end(coordinate, kit):
    """A run ends with a winner and the reason, presents, and keeps the answer."""
    ran = await coordinate(settled(kit))
    assert session(ran, kit)["massgen.finish_reason"] == "completed"
    assert "massgen.finish_details" not in session(ran, kit)
    assert session(ran, kit)["massgen.winner"] == ran.answered.winner == "agent_a"
    assert session(ran, kit)["massgen.winner_reason"] == ran.answered.reason == "most votes (2 of 2 votes)"
    assert ran.answered.ballots == {"agent_a": "agent_a", "agent_b": "agent_a"}
    assert ran.run.final_answer("agent_a").read_text() == "final"
    assert [event.text for event in ran.progress if event.kind == "phase"] == ["initial_answer", "enforcement", "presentation"]


async def test_an_agent_that_hangs(coordinate, kit, clock):
    """An agent that hangs is timed out by a bound of its own; the others go on to the end, and it is said who failed."""
    good = settled(kit)
    config = kit.agents("agent_a", "agent_b", "agent_c", max_restarts=0, idle_timeout=NEVER)
    agents = [dataclasses.replace(agent, timeout=500 if agent.id == "agent_b" else None) for agent in config.agents]
    ran = await coordinate(
        lambda asked: Turn("late", seconds=NEVER) if asked.agent_id == "agent_b" else good(asked),
        dataclasses.replace(config, agents=tuple(agents)),
        on_progress=lambda event: clock.passes(400) if event.kind == "vote" else None,
    )
    assert ran.answered.answer == "final"
    assert list(ran.answered.failures) == ["agent_b"]
    assert "within 500 s" in ran.answered.failures["agent_b"]
    assert ran.spans.outcomes("agent_b") == ["timeout"]
    assert session(ran, kit)["massgen.finish_reason"] == "completed"


async def test_restarts_of_one_agent_are_bounded(coordinate, kit):
    """An agent with a bound of its own is interrupted so often and no more; then it ends its round."""
    config = kit.agents("agent_a", "agent_b")
    agents = [dataclasses.replace(agent, max_restarts=1 if agent.id == "agent_b" else None) for agent in config.agents]

    def script(asked):
        if kit.presenting(asked):
            return Turn("final")
        if asked.agent_id == "agent_b":
            # Slow enough for the other one's two answers; its third round is its second restart, which there is none of.
            return kit.vote("agent1", seconds=0.8) if kit.seen(asked) else Turn("slow", seconds=NEVER)
        answered = [label for label in kit.seen(asked) if label.startswith("agent1.")]
        if answered in ([], ["agent1.1"]):
            return kit.answer(f"answer {len(answered)}")
        return kit.vote("agent1")

    ran = await coordinate(script, dataclasses.replace(config, agents=tuple(agents)))
    assert ran.spans.outcomes("agent_b")[0] == "restarted"
    assert ran.spans.outcomes("agent_b").count("restarted") == 1
    assert ran.spans.outcomes("agent_b")[-1] == "vote"


async def test_what_a_run_costs_is_known_while_it_goes_on(coordinate, kit):
    """Tokens and cost of each agent are told after each of its calls, and come to what the spans say."""
    ran = await coordinate(settled(kit, used=USED))
    for agent_id in ("agent_a", "agent_b"):
        told = [event for event in ran.progress if event.kind == "spent" and event.agent_id == agent_id]
        calls = [span for span in ran.spans.named("llm.") if kit.attributes(span)["massgen.agent_id"] == agent_id]
        counted = [kit.attributes(span) for span in calls if "operation.cost" in kit.attributes(span)]
        assert [event.tokens for event in told] == [1100 * (n + 1) for n in range(len(counted))]
        assert told[-1].cost == pytest.approx(sum(float(values["operation.cost"]) for values in counted))


_VARYING = (
    (r"log_\d{8}_\d{6}_\d{6}|\d{8}_\d{6}_\d{6}|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?", "<time>"),
    (r"127\.0\.0\.1:\d+", "<endpoint>"),
    (r"\b(?:[0-9a-f]{32}|[0-9a-f]{16})\b", "<id>"),
    (r"\b\d+\.\d+\b|\b\d{13,19}\b", "<seconds>"),
    (r'("\w*(?:ms|seconds|pid|port)\w*"): ?\d+', r"\1: <number>"),
)
"""What two runs of the same script may differ in: times and ids."""


def artifacts(root: Path) -> dict[str, str]:
    """Every file of a run but its recording, without times and ids."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name != "trace.otlp.jsonl":
            name, text = str(path.relative_to(root)), path.read_text(encoding="utf-8")
            for pattern, word in _VARYING:
                name, text = re.sub(pattern, word, name), re.sub(pattern, word, text)
            found[name] = text
    return found


def test_dry_run_leaves_the_same_every_time(tmp_path, monkeypatch, capsys):
    """Without any endpoint two runs leave the same files with the same content, but for times and ids; with tools, see `test_dry_run`."""
    monkeypatch.chdir(tmp_path)
    agent = {"id": "agent_a", "backend": {"type": "openai", "model": "gpt-5-mini"}}
    Path("one.yaml").write_text(json.dumps({"agent": agent}), encoding="utf-8")
    left = []
    for _ in range(2):
        assert main(["run", "--dry-run", "--automation", "--config", "one.yaml", "What is AI?"]) == 0
        left.append(artifacts(tmp_path / ".massgen"))
        shutil.rmtree(tmp_path / ".massgen")
    capsys.readouterr()
    assert len(left[0]) >= 12
    assert left[0] == left[1]


# --- enforcement ----------------------------------------------------------------------------------------------------------------------


async def test_every_reason_of_enforcement(coordinate, kit):
    """Each of the eleven reasons is reached by what it stands for, and the agent goes on to its end all the same."""
    moves = [
        Turn("overloaded", status=503),
        Turn("only text"),
        Turn(calls=(ScriptedCall("no_such_tool", {}),)),
        kit.vote("agent1"),
        Turn("half a rep", cut=True),
        Turn(calls=(ScriptedCall("mcp__filesystem__execute_command", {"command": "kill -9 $PPID"}),)),
        kit.answer("one two three four five"),
        Turn(calls=(ScriptedCall("vote", {"agent_id": "agent1"}), ScriptedCall("new_answer", {"content": "x"}))),
        kit.vote("agent7"),
        kit.answer("one two three four five"),
        kit.answer("one two three four six"),
        kit.answer("nothing alike"),
        kit.answer("yet another thing"),
    ]

    def script(asked):
        if kit.presenting(asked):
            return Turn("final")
        return moves[asked.number - 1] if asked.number <= len(moves) else kit.vote("agent1")

    limits = Limits(max_attempts=8, max_answers=2, novelty=0.7)
    ran = await coordinate(script, kit.agents("agent_a", servers=(kit.QUICK_SERVER,)), limits=limits)
    assert ran.answered.answer == "final"
    enforced = [kit.attributes(span) for span in ran.spans.named("Coordination event: enforcement")]
    assert [values["massgen.enforcement.reason"] for values in enforced] == [
        "api_error",
        "no_tool_calls",
        "no_workflow_tool",
        "vote_no_answers",
        "connection_recovery",
        "mcp_disconnected",
        "vote_and_answer",
        "invalid_vote_id",
        "answer_duplicate",
        "answer_novelty",
        "answer_limit",
    ]
    assert {values["massgen.enforcement.reason"] for values in enforced} == set(semconv.ENFORCEMENT_REASONS[:11])
    assert all(values["massgen.enforcement.max_attempts"] == 8 and values["massgen.error_message"] for values in enforced)
    assert [values["massgen.enforcement.attempt"] for values in enforced] == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 1]
    assert enforced[4]["massgen.enforcement.buffer_preview"] == "half a rep"
    assert enforced[4]["massgen.enforcement.buffer_chars"] == len("half a rep")
    assert list(enforced[2]["massgen.enforcement.tool_calls"]) == ["no_such_tool"]


async def test_stream_that_breaks(coordinate, kit):
    """A connection that breaks in the middle is an `api_error`; the agent is asked again."""
    good = settled(kit)
    ran = await coordinate(lambda asked: Turn("half a", broken=True) if asked.number == 1 else good(asked), kit.agents("agent_a"))
    [event] = ran.spans.named("Coordination event: enforcement")
    assert kit.attributes(event)["massgen.enforcement.reason"] == "api_error"
    assert ran.answered.answer == "final"


@pytest.mark.parametrize("cut", [Turn("The final ans", cut=True), Turn(cut=True), Turn("The fi", broken=True), Turn("busy", status=503)])
async def test_presentation_is_asked_for_again(coordinate, kit, cut):
    """A presentation that is cut, breaks off or is refused for a moment is asked for again; half a text is never the final answer."""
    asked_for = []

    def script(asked):
        if not kit.presenting(asked):
            return settled(kit)(asked)
        asked_for.append(asked)
        return cut if len(asked_for) == 1 else Turn("The final answer.")

    ran = await coordinate(script, kit.agents("agent_a"))
    assert ran.answered.answer == "The final answer."
    [presentation] = ran.spans.named("agent.agent_a.presentation")
    [event] = ran.spans.children(presentation, "Coordination event: enforcement")
    assert kit.attributes(event)["massgen.enforcement.reason"] == ("connection_recovery" if cut.cut else "api_error")
    assert kit.attributes(presentation)["massgen.outcome"] == "answer"


async def test_presentation_that_never_comes(coordinate, kit):
    """After its last attempt the answer that won stands, and the run says why."""
    ran = await coordinate(
        lambda asked: Turn("The fin", cut=True) if kit.presenting(asked) else settled(kit)(asked), kit.agents("agent_a", max_attempts=2)
    )
    assert ran.answered.answer == "by agent_a"
    assert ran.answered.finish_reason == "completed"
    assert "the presentation failed" in session(ran, kit)["massgen.finish_details"]
    assert len(ran.spans.named("Coordination event: enforcement")) == 2


async def test_vote_that_comes_too_late(coordinate, kit):
    """A vote on answers that are no longer the latest is void: outcome `restarted`, and an event that tells whose vote for what."""

    class Model:
        host, port, errors = "", 0, ()

        async def stream(self, *_asked):
            board.add_answer("agent_b", "newer")  # while the vote is on its way
            yield Reply("", (ToolCall("1", "vote", json.dumps({"agent_id": "agent1", "reason": "good"})),), "stop")

    config, limits = kit.agents("agent_a", "agent_b"), Limits()
    board = Board(["agent_a", "agent_b"], limits)
    board.add_answer("agent_a", "first")
    with coordinate.tracer.session("What?", agents=["agent_a", "agent_b"]) as opened:
        table = Table(opened, board, "What?", limits, (), Pulse(lambda _progress: None))
        seat = Seat(config.agents[0], cast("ChatModel", Model()), Toolbox((), coordinate.root), 60.0, 5)
        steps = [step async for step in AgentRound(seat, table, 0).steps()]
    assert steps[-1] == Outdated()
    assert board.votes == {}
    spans = kit.Spans(list(coordinate.exporter.get_finished_spans()))
    assert spans.outcomes("agent_a") == ["restarted"]
    [ignored] = spans.named("Coordination event: vote_ignored")
    assert kit.attributes(ignored)["voter"] == "agent_a"
    assert kit.attributes(ignored)["label"] == kit.attributes(ignored)["massgen.voted_for_label"] == "agent1.1"


# --- what brings a run to its end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "unanswered"])
async def test_watchdog(coordinate, kit, clock, answered):
    """Where no agent gives a sign of life, the run is brought to its end as timed out, with what there is."""
    loop = asyncio.get_running_loop()

    def script(asked):
        if answered and asked.agent_id == "agent_a" and not kit.seen(asked):
            return kit.answer("in time")
        if bool(kit.seen(asked)) == answered and asked.agent_id == "agent_b":
            loop.call_soon_threadsafe(clock.passes, 300)
        return Turn("slow", seconds=NEVER)

    ran = await coordinate(script, kit.agents("agent_a", "agent_b", idle_timeout=300))
    [event] = ran.spans.named("Coordination event: watchdog")
    assert "no agent gave a sign of life for 300 s" in kit.attributes(event)["massgen.event_details"]
    assert session(ran, kit)["massgen.finish_reason"] == "timeout"
    assert ran.spans.outcomes("agent_b")[-1] == "timeout"
    if answered:
        assert ran.answered.answer == "in time"
        assert ran.answered.finish_reason == "timeout"
    else:
        assert isinstance(ran.error, RunTimeout)


@pytest.mark.parametrize("limits", [Limits(max_tokens=2000), Limits(max_cost=0.0004)], ids=["tokens", "cost"])
async def test_budget(coordinate, kit, limits):
    """A run that has used what it may use stops what is under way, and presents the best answer without asking anybody."""
    ran = await coordinate(settled(kit, used=USED), limits=limits)
    [event] = ran.spans.named("Coordination event: budget_reached")
    assert "its limit is" in kit.attributes(event)["massgen.event_details"]
    assert ran.answered.finish_reason == "completed"
    assert ran.answered.finish_details == session(ran, kit)["massgen.finish_details"] == kit.attributes(event)["massgen.event_details"]
    assert ran.answered.answer.startswith("by ")
    assert not any(kit.presenting(kit.Asked("", 0, "", entry["messages"], tuple(entry["tools"]))) for entry in ran.log)
    assert ran.spans.named("agent.")[-1].name.endswith(".presentation")


async def test_budget_of_the_presentation(coordinate, kit):
    """What the last vote has used up is not there for the presentation."""
    script = settled(kit, used=USED)
    ran = await coordinate(script, kit.agents("agent_a", max_tokens=2200))
    assert ran.spans.outcomes("agent_a") == ["answer", "vote"]
    assert ran.answered.answer == "by agent_a"
    assert "2,200 tokens" in str(ran.answered.finish_details)
    assert len(ran.log) == 2


async def test_budget_without_answer(coordinate, kit):
    """A budget that is used up before there is any answer is an error that says so."""
    ran = await coordinate(lambda asked: Turn("let me think", usage=USED), kit.agents("agent_a", max_tokens=10))
    assert type(ran.error) is RunError
    assert "its limit is" in str(ran.error)
    assert session(ran, kit)["massgen.finish_reason"] == "error"


async def test_tool_server_that_takes_too_long(coordinate, kit):
    """The run's time holds for the start of tool servers too."""
    slow = ToolServerConfig("slow", sys.executable, ("-c", "import time; time.sleep(100000)"))
    ran = await coordinate(settled(kit), kit.agents("agent_a", servers=(slow,), overall_timeout=0.3))
    assert isinstance(ran.error, RunTimeout)
    assert session(ran, kit)["massgen.finish_reason"] == "timeout"
    assert ran.log == []


# --- models of single phases, turns --------------------------------------------------------------------------------------------------------


async def test_models_of_phases(coordinate, kit):
    """First answers, votes and the presentation ask the models that the profile names, and are priced as these."""
    config = kit.agents("agent_a")
    models = {"initial_answer": "gpt-5-nano", "presentation": "gpt-5"}
    config = dataclasses.replace(config, agents=tuple(dataclasses.replace(agent, models=models) for agent in config.agents))
    ran = await coordinate(settled(kit, used=USED), config)
    assert [entry["model"] for entry in ran.log] == ["gpt-5-nano", "gpt-5-mini", "gpt-5"]
    calls = [kit.attributes(span) for span in ran.spans.named("llm.")]
    assert [values["gen_ai.request.model"] for values in calls] == ["gpt-5-nano", "gpt-5-mini", "gpt-5"]
    rounds = [kit.attributes(span)["gen_ai.request.model"] for span in ran.spans.named("agent.")]
    assert rounds == ["gpt-5-nano", "gpt-5-mini", "gpt-5"]
    assert calls[0]["operation.cost"] < calls[1]["operation.cost"] < calls[2]["operation.cost"]
    spent = [event.cost for event in ran.progress if event.kind == "spent"]
    assert spent[-1] == pytest.approx(sum(values["operation.cost"] for values in calls))
