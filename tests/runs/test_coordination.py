"""What the coordinator does when agents do not do what they should."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from massgen_tracing.errors import ConfigError, EndpointError, RunError, RunTimeout, ToolServerError
from massgen_tracing.runs.coordinator.config import AgentConfig, RunConfig, ToolServerConfig
from massgen_tracing.runs.coordinator.coordinator import Coordination
from massgen_tracing.runs.coordinator.scripted import ScriptedCall, Turn


def reasons(ran, kit) -> list[str]:
    """The reasons of a run's retries, in order."""
    return [kit.attributes(span)["massgen.enforcement.reason"] for span in ran.spans.named("Coordination event: enforcement")]


def in_turn(*turns, then):
    """A script that gives an agent's first replies as listed, and then asks *then*."""

    def script(asked):
        return turns[asked.number - 1] if asked.number <= len(turns) else then(asked)

    return script


def settle(kit):
    """A script by which every agent answers once and votes for the first answer."""

    def script(asked):
        if kit.presenting(asked):
            return Turn("final")
        own = {"agent_a": 1, "agent_b": 2}[asked.agent_id]
        if not any(label.startswith(f"agent{own}.") for label in kit.seen(asked)):
            return kit.answer(f"answer of {asked.agent_id}")
        return kit.vote("agent1")

    return script


async def test_each_refusal_is_an_enforcement(coordinate, kit):
    """Every wrong reply is recorded with MassGen's reason, the agent is told, and the run goes on."""
    script = in_turn(
        Turn("overloaded", status=503),
        Turn("only text"),
        Turn(calls=(ScriptedCall("no_such_tool", {}),)),
        kit.vote("agent1"),
        Turn("half a rep", cut=True),
        kit.answer("one"),
        Turn(calls=(ScriptedCall("vote", {"agent_id": "agent1"}), ScriptedCall("new_answer", {"content": "x"}))),
        kit.vote("agent7"),
        kit.answer("one"),
        then=lambda asked: Turn("final") if kit.presenting(asked) else kit.vote("agent1"),
    )
    ran = await coordinate(script, kit.agents("agent_a", max_attempts=7))
    assert ran.answered.answer == "final"
    assert reasons(ran, kit) == [
        "api_error",
        "no_tool_calls",
        "no_workflow_tool",
        "vote_no_answers",
        "connection_recovery",
        "vote_and_answer",
        "invalid_vote_id",
        "answer_duplicate",
    ]
    assert len(ran.spans.named("llm.")) == len(ran.log)
    retries = [kit.attributes(span)["massgen.enforcement.attempt"] for span in ran.spans.named("Coordination event: enforcement")]
    assert retries == [1, 2, 3, 4, 5, 1, 2, 3]
    last = ran.log[8]["messages"]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "tool", "tool", "assistant", "tool"]
    [unknown] = ran.spans.named("Tool execution: no_such_tool")
    assert kit.attributes(unknown)["error.type"] == "tool_error"


async def test_answer_limit(coordinate, kit):
    """An agent that has given its answers is refused another one."""
    script = in_turn(kit.answer("one"), kit.answer("two"), then=lambda asked: Turn("final") if kit.presenting(asked) else kit.vote("agent1"))
    ran = await coordinate(script, kit.agents("agent_a", max_answers=1))
    assert reasons(ran, kit) == ["answer_limit"]
    assert ran.answered.votes == {"agent1.1": 1}


async def test_agent_that_never_complies_drops_out(coordinate, kit):
    """After its last attempt an agent drops out with outcome `error`; the others finish without it."""
    good = settle(kit)
    ran = await coordinate(lambda asked: Turn("no") if asked.agent_id == "agent_b" else good(asked), kit.agents("agent_a", "agent_b", max_restarts=0))
    assert ran.answered.winner == "agent_a"
    assert list(ran.answered.failures) == ["agent_b"]
    assert ran.spans.outcomes("agent_b") == ["error"]
    assert reasons(ran, kit) == ["no_tool_calls"] * 3
    [failed] = ran.spans.named("agent.agent_b.round_0")
    assert "end your turn" in kit.attributes(failed)["massgen.error_message"]


async def test_refused_request_is_not_repeated(coordinate, kit):
    """A status that another try cannot change ends the agent at once; its model call's span is an error."""
    good = settle(kit)
    ran = await coordinate(lambda asked: Turn("no such model", status=404) if asked.agent_id == "agent_b" else good(asked))
    assert "404" in ran.answered.failures["agent_b"]
    assert sum(entry["agent_id"] == "agent_b" for entry in ran.log) == len(ran.spans.named("agent.agent_b."))
    [call] = [span for span in ran.spans.named("llm.") if kit.attributes(span)["massgen.agent_id"] == "agent_b" and not span.status.is_ok]
    assert "NotFoundError" in kit.attributes(call)["error.type"]


async def test_all_failing(coordinate, kit):
    """Where every agent fails before there is an answer, the run is an error that names each of them."""
    ran = await coordinate(lambda asked: Turn("bad key", status=401))
    assert type(ran.error) is RunError
    assert re.search(r"Every agent failed. agent_a: .*401.* agent_b: .*401", str(ran.error))
    [session] = ran.spans.named("coordination.session")
    assert not session.status.is_ok


async def test_unreachable_endpoint(coordinate, kit):
    """An endpoint where nobody listens is an error with its URL and the variable of its key."""
    agent = AgentConfig("agent_a", "openai", "m", "http://127.0.0.1:9/v1", api_key_env="SOME_KEY", api_key="sk-secret")
    ran = await coordinate(settle(kit), RunConfig((agent,)), redirect=False)
    assert isinstance(ran.error, EndpointError)
    assert "http://127.0.0.1:9/v1" in str(ran.error)
    assert "SOME_KEY" in str(ran.error)
    assert "sk-secret" not in str(ran.error)
    assert reasons(ran, kit) == ["api_error"] * 3


NEVER = 100_000.0
"""Seconds of a reply that does not come."""


async def test_agent_timeout(coordinate, kit, clock):
    """An agent that takes too long drops out with outcome `timeout`; the others finish."""
    good = settle(kit)
    ran = await coordinate(
        lambda asked: kit.answer("late", seconds=NEVER) if asked.agent_id == "agent_b" else good(asked),
        kit.agents("agent_a", "agent_b", agent_timeout=500, max_restarts=0),
        on_progress=lambda event: clock.passes(500) if event.kind == "vote" else None,
    )
    assert ran.answered.winner == "agent_a"
    assert ran.spans.outcomes("agent_b") == ["timeout"]
    assert "within 500 s" in ran.answered.failures["agent_b"]


async def test_all_agents_time_out(coordinate, kit):
    """Where all agents run out of time, the run did."""
    ran = await coordinate(lambda asked: kit.answer("late", seconds=NEVER), kit.agents("agent_a", "agent_b", agent_timeout=0.3))
    assert isinstance(ran.error, RunTimeout)


async def test_overall_timeout_with_answers(coordinate, kit, clock):
    """When the run's time is up, the best answer so far is kept and presented as it stands, without asking a model."""
    loop = asyncio.get_running_loop()

    def script(asked):
        if asked.agent_id == "agent_b" and kit.seen(asked):
            loop.call_soon_threadsafe(clock.passes, 500)
        return kit.answer("in time") if asked.agent_id == "agent_a" and not kit.seen(asked) else Turn("slow", seconds=NEVER)

    ran = await coordinate(script, kit.agents("agent_a", "agent_b", overall_timeout=500))
    assert ran.answered.finish_reason == "timeout"
    assert ran.answered.answer == "in time"
    assert ran.run.final_answer("agent_a").read_text() == "in time"
    assert ran.spans.outcomes("agent_b")[-1] == "timeout"
    [presentation] = ran.spans.named("agent.agent_a.presentation")
    assert [span.name for span in ran.spans.children(presentation)] == ["Winner selected: agent1.1", "Final answer from agent_a"]


async def test_overall_timeout_without_answers(coordinate, kit):
    """When the run's time is up before there is any answer, that is an error."""
    ran = await coordinate(lambda asked: Turn("slow", seconds=NEVER), kit.agents("agent_a", overall_timeout=0.3))
    assert isinstance(ran.error, RunTimeout)
    assert "No answer within 0.3 s" in str(ran.error)


async def test_presentation_that_hangs(coordinate, kit, clock):
    """A presentation that takes too long leaves the answer that won."""
    loop = asyncio.get_running_loop()

    def script(asked):
        if kit.presenting(asked):
            loop.call_soon_threadsafe(clock.passes, 500)
            return Turn("too late", seconds=NEVER)
        return kit.vote("agent1") if kit.seen(asked) else kit.answer("the answer")

    ran = await coordinate(script, kit.agents("agent_a", agent_timeout=500))
    assert ran.answered.finish_reason == "timeout"
    assert ran.answered.answer == "the answer"
    [presentation] = ran.spans.named("agent.agent_a.presentation")
    assert kit.attributes(presentation)["massgen.outcome"] == "timeout"


@pytest.mark.parametrize("turn", [Turn("down", status=500), Turn("half an ans", cut=True), Turn("")], ids=["error", "cut", "empty"])
async def test_presentation_that_fails(coordinate, kit, turn):
    """A presentation whose model call fails, breaks off or says nothing leaves the answer that won."""

    def script(asked):
        if kit.presenting(asked):
            return turn
        return kit.vote("agent1") if kit.seen(asked) else kit.answer("the answer")

    ran = await coordinate(script, kit.agents("agent_a"))
    assert ran.answered.answer == "the answer"
    assert ran.answered.finish_reason == "completed"


async def test_cancelled_run(coordinate, kit):
    """A run that is cancelled ends its spans as cancelled, keeps the best answer, and passes the cancellation on."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    at_work = set()

    def script(asked):
        if asked.agent_id == "agent_a" and not kit.seen(asked):
            return kit.answer("in time")
        if kit.seen(asked):
            at_work.add(asked.agent_id)
            if at_work == {"agent_a", "agent_b"}:
                loop.call_soon_threadsafe(task.cancel)
        return Turn("slow", seconds=NEVER)

    ran = await coordinate(script)
    assert isinstance(ran.error, asyncio.CancelledError)
    task.uncancel()
    assert ran.spans.outcomes("agent_b") == ["restarted", "cancelled"]
    assert ran.spans.outcomes("agent_a") == ["answer", "cancelled"]
    [session] = ran.spans.named("coordination.session")
    assert kit.attributes(session)["massgen.outcome"] == "cancelled"
    assert session.status.is_unset
    assert ran.run.final_answer("agent_a").read_text() == "in time"


async def test_restart_limit(coordinate, kit):
    """An agent whose restarts are used up finishes its round undisturbed, and its vote or answer counts."""

    def script(asked):
        if kit.presenting(asked):
            return Turn("final")
        if asked.agent_id == "agent_a":
            return kit.answer("quick") if not kit.seen(asked) else kit.vote("agent1")
        return kit.answer("slow and steady", seconds=0.5) if "agent2.1" not in kit.seen(asked) else kit.vote("agent2")

    ran = await coordinate(script, kit.agents("agent_a", "agent_b", max_restarts=0))
    assert ran.spans.outcomes("agent_b") == ["answer", "vote"]
    assert ran.spans.named("Agent restart") == []


async def test_tool_server_that_dies(coordinate, kit):
    """A server that dies is an error on its call's span and an `mcp_disconnected` retry; the agent goes on without it."""
    script = in_turn(
        Turn(calls=(ScriptedCall("mcp__filesystem__execute_command", {"command": "kill -9 $PPID"}),)),
        kit.answer("without tools"),
        then=lambda asked: Turn("final") if kit.presenting(asked) else kit.vote("agent1"),
    )
    ran = await coordinate(script, kit.agents("agent_a", servers=(kit.QUICK_SERVER,)))
    assert ran.answered.answer == "final"
    assert reasons(ran, kit) == ["mcp_disconnected"]
    [call] = ran.spans.named("mcp.")
    assert not call.status.is_ok
    assert "not connected" in ran.log[1]["messages"][-1]["content"]


async def test_tool_error_is_a_result(coordinate, kit):
    """A tool that fails marks its spans as errors; the model reads why, and is not asked again for it."""
    script = in_turn(
        Turn(calls=(ScriptedCall("mcp__filesystem__read_file", {"path": "../x"}),)),
        kit.answer("one"),
        then=lambda asked: Turn("final") if kit.presenting(asked) else kit.vote("agent1"),
    )
    ran = await coordinate(script, kit.agents("agent_a", servers=(kit.QUICK_SERVER,)))
    assert reasons(ran, kit) == []
    [call] = ran.spans.named("mcp.")
    assert kit.attributes(call)["error.type"] == "tool_error"
    assert "lies outside" in ran.log[1]["messages"][-1]["content"]


async def test_tool_server_that_cannot_start(coordinate, kit):
    """A server that does not start ends the run before anything is asked of a model."""
    broken = ToolServerConfig("broken", sys.executable, ("-c", "import sys; sys.exit('no licence')"))
    ran = await coordinate(settle(kit), kit.agents("agent_a", "agent_b", servers=(broken,)))
    assert isinstance(ran.error, ToolServerError)
    assert "no licence" in str(ran.error)
    assert ran.log == []


async def test_missing_usage_stays_missing(coordinate, kit):
    """Where the endpoint reports no usage, the spans have none, and no cost."""
    ran = await coordinate(settle(kit))
    for span in [*ran.spans.named("llm."), *ran.spans.named("agent.")]:
        assert not [key for key in kit.attributes(span) if "usage" in key or "cost" in key]


def test_empty_question(coordinate, kit):
    """A question of blanks is a configuration error."""
    with pytest.raises(ConfigError, match="question is empty"):
        Coordination(kit.agents("agent_a"), "  ", tracer=coordinate.tracer)
