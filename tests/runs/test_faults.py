"""Agents and endpoints that do what nobody should: the run goes on without them, in bounded time and memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from massgen_tracing.runs.coordinator import model_openai, tools
from massgen_tracing.runs.coordinator.agent import CALLS_AT_ONCE, MAX_CALLS
from massgen_tracing.runs.coordinator.scripted import ChatCompletions, Reply, ScriptedCall, ScriptedEndpoint, Turn, event
from massgen_tracing.runs.coordinator.tools import ToolServer

HUNDRED_MB = 100_000_000


class Odd(ChatCompletions):
    """Chat completions of which a reply whose text names one of these is odd."""

    def events(self, reply: Reply) -> Iterator[str]:
        match reply.turn.text:
            case "floods":
                part = self._chunk(reply, {"content": "x" * 20_000})
                return itertools.repeat(part, HUNDRED_MB // 20_000)
            case "one line":
                return itertools.chain(["data: "], itertools.repeat("x" * 1_000_000, HUNDRED_MB // 1_000_000))
            case "endless arguments":
                start = {"index": 0, "id": "1", "type": "function", "function": {"name": "new_answer", "arguments": ""}}
                part = self._chunk(reply, {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 20_000}}]})
                return itertools.chain([self._chunk(reply, {"tool_calls": [start]})], itertools.repeat(part, HUNDRED_MB // 20_000))
            case "no json":
                return iter(["data: {not json}\n\n"])
            case "nothing known":
                return iter([event({"something": "else"})])
            case "html":
                return iter(["<html><body>Welcome to the captive portal</body></html>"])
            case _:
                return super().events(reply)


@pytest.fixture
def odd(monkeypatch):
    """The scripted endpoint's replies may be odd."""
    before = ScriptedEndpoint.__init__
    monkeypatch.setattr(ScriptedEndpoint, "__init__", lambda self, script: before(self, script, (Odd(),)))


def beside(kit, turn):
    """A script by which agent_b does what is odd, and agent_a what is right."""

    def script(asked):
        if asked.agent_id == "agent_b":
            return turn
        if kit.presenting(asked):
            return Turn("final")
        return kit.vote(kit.seen(asked)[0]) if kit.seen(asked) else kit.answer("mine")

    return script


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("floods", "more than 2,000,000 characters"),
        ("endless arguments", "more than 2,000,000 characters"),
        ("one line", "more than 16,000,000 bytes in one line"),
    ],
)
async def test_endpoint_that_sends_a_hundred_megabytes(coordinate, kit, odd, text, said):
    """It is listened to up to a bound, of which little is kept; the agent drops out, the others finish."""
    ran = await coordinate(beside(kit, Turn(text)), kit.agents("agent_a", "agent_b", max_attempts=1, max_restarts=0))
    assert ran.answered.answer == "final"
    assert said in ran.answered.failures["agent_b"]
    [entry] = [entry for entry in ran.log if entry["agent_id"] == "agent_b"]
    assert not entry["finished"]
    [enforced] = ran.spans.named("Coordination event: enforcement")
    assert kit.attributes(enforced)["massgen.enforcement.reason"] == "api_error"
    assert kit.attributes(enforced)["massgen.enforcement.buffer_chars"] <= model_openai.MAX_REPLY
    assert len(kit.attributes(enforced).get("massgen.enforcement.buffer_preview", "")) <= 500


@pytest.mark.parametrize("text", ["no json", "nothing known", "html"])
async def test_endpoint_that_talks_nonsense(coordinate, kit, odd, text):
    """An agent whose endpoint says what no client understands drops out, in whatever way that shows; the others finish."""
    ran = await coordinate(beside(kit, Turn(text, cut=True)), kit.agents("agent_a", "agent_b", max_attempts=1, max_restarts=0))
    assert ran.answered.answer == "final"
    assert list(ran.answered.failures) == ["agent_b"]
    assert ran.spans.outcomes("agent_b") == ["error"]


async def test_flood_of_tool_calls(coordinate, kit, monkeypatch):
    """Of a thousand calls in one reply so many are made, few of them at once; each has its span and its result, and the agent goes on."""
    at_once = [0, 0]
    call = ToolServer.call

    async def counted(self, *args):
        at_once[0] += 1
        at_once[1] = max(at_once)
        try:
            return await call(self, *args)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(ToolServer, "call", counted)
    flood = Turn(calls=(ScriptedCall("mcp__filesystem__list_directory", {}),) * 1000)

    def script(asked):
        if kit.presenting(asked):
            return Turn("final")
        if asked.number == 1:
            return flood
        return kit.vote(kit.seen(asked)[0]) if kit.seen(asked) else kit.answer("mine")

    ran = await coordinate(script, kit.agents("agent_a", servers=(kit.QUICK_SERVER,)))
    assert ran.answered.answer == "final"
    assert len(ran.spans.named("mcp.")) == MAX_CALLS
    assert len(ran.spans.named("Tool execution")) == 1000
    assert at_once[1] <= CALLS_AT_ONCE
    results = [message["content"] for message in ran.log[1]["messages"] if message["role"] == "tool"]
    assert len(results) == 1000
    assert sum("not made" in result for result in results) == 1000 - MAX_CALLS


def test_result_of_a_hundred_megabytes():
    """Of what a tool gives, as much reaches the model, and the memory of the run, as a model can read."""

    class Result:
        def model_dump(self, **_options):
            return {"content": [{"type": "text", "text": "x" * (HUNDRED_MB // 10)}] * 10}

    text = tools._result(Result()).text
    assert len(text) < tools.MAX_RESULT + 100
    assert text.endswith("(cut: 100,000,009 characters in all)")


async def test_halves_of_characters(coordinate, kit):
    """An answer with half a character, which UTF-8 cannot write, reaches the others, the files and the end."""

    def script(asked):
        if kit.presenting(asked):
            return Turn("final \ud83d")
        return kit.vote(kit.seen(asked)[0]) if kit.seen(asked) else kit.answer(f"by {asked.agent_id} \ud83d\ude00 \udc00")

    ran = await coordinate(script)
    assert ran.answered.answer == "final �"
    kept = [(path.parts[-3], path.read_text(encoding="utf-8")) for path in ran.run.attempt_dir.glob("agent_?/*/answer.txt")]
    assert kept
    assert all(text == f"by {agent_id} \U0001f600 �" for agent_id, text in kept)
    json.dumps(ran.log, ensure_ascii=False).encode()


async def test_runs_beside_each_other(coordinate, kit):
    """Runs that start at the same moment share nothing: each has its directory, its trace and its answer."""
    import asyncio

    def script(asked):
        question = asked.messages[1]["content"].partition("\n")[2].partition("\n")[0]
        return (
            Turn(f"final: {question}")
            if kit.presenting(asked)
            else kit.vote(kit.seen(asked)[0])
            if kit.seen(asked)
            else kit.answer(f"about {question}")
        )

    ran = await asyncio.gather(*(coordinate(script, question=f"question {n}") for n in range(3)))
    assert [one.answered.answer for one in ran] == [f"final: question {n}" for n in range(3)]
    assert len({one.run.log_dir for one in ran}) == 3
    assert len({one.coordination.trace_id for one in ran}) == 3
    assert [one.run.final_answer(one.answered.winner).read_text() for one in ran] == [one.answered.answer for one in ran]
