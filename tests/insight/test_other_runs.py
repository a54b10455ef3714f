"""Runs unlike those that the findings were made with: other agents, tools and orders, faults on top of each other, what only looks like one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

from massgen_tracing.insight.findings import find
from massgen_tracing.insight.parts import Parts
from massgen_tracing.thresholds import Thresholds
from massgen_tracing.trace.round import Round
from massgen_tracing.trace.session import Session
from tests.insight.planted import Stage

Step = Callable[[Stage, Round], None]
Found = Counter[tuple[str, str]]
"""How often which code was found of whom."""

ANSWERS: Final = {
    "opus": "Use a B-tree on disk with pages of four kilobytes, a write-ahead log, and checkpoints every minute.",
    "gpt.5": "An append-only log with an in-memory index is simplest; compact it once garbage exceeds half of its size.",
    "Müller": "Pages in a B-tree with a log in front; compaction is not needed and recovery reads the log alone.",
}
VOTES: Final = {"opus": "gpt.5", "gpt.5": "opus", "Müller": "opus"}


def thinks(seconds: float = 3.0, **usage: float | None) -> Step:
    def step(stage: Stage, rnd: Round) -> None:
        with rnd.llm_call("anthropic", "claude-sonnet-4-5") as call:
            stage.wait(seconds)
            used = {"input": 5000, "output": 300, "cached_input": 2500, "cost": 0.02} | usage
            call.record_usage(**{key: value for key, value in used.items() if value is not None})  # type: ignore[arg-type]

    return step


def fails_to_think(stage: Stage, rnd: Round) -> None:
    try:
        with rnd.llm_call("openai", "gpt-5"):
            stage.wait(1)
            raise ConnectionError("429 rate limit")
    except ConnectionError:
        pass


def tool(name: str, arguments: object, *results: str, failed: bool = False, seconds: float = 0.5) -> list[Step]:
    """Calls of a tool that no MCP server has, one for each result."""

    def step(result: str) -> Step:
        def call(stage: Stage, rnd: Round) -> None:
            with rnd.tool_call(name, arguments) as handle:
                stage.wait(seconds)
                handle.record_result(result, is_error=failed)

        return call

    return [step(result) for result in results]


def mcp(name: str, *arguments: object) -> list[Step]:
    """Calls of an MCP tool without a wrapper around them, one for each of the arguments."""

    def step(given: object) -> Step:
        def call(stage: Stage, rnd: Round) -> None:
            with rnd.mcp_call("db", name, given) as handle:
                stage.wait(0.5)
                handle.record_result("rows")

        return call

    return [step(given) for given in arguments]


def asked_again(times: int, chars: int = 100, reason: str = "no_tool_calls", tools: Sequence[str] = ()) -> Step:
    def step(stage: Stage, rnd: Round) -> None:
        for attempt in range(times):
            rnd.enforcement(reason, attempt + 1, 3, tool_calls=tools, buffer_chars=chars)
            thinks()(stage, rnd)

    return step


def swallows(stage: Stage, rnd: Round) -> None:
    with rnd.tool_call("outer", {"k": 1}) as outer:
        try:
            with outer.tool_call("inner", {"k": 2}):
                stage.wait(1)
                raise OSError("disk")
        except OSError:
            pass
        outer.record_result("fine")


def restarted(agent: str, by: str, *steps: Step) -> Callable[[Stage, Session], None]:
    def lose(stage: Stage, session: Session) -> None:
        with session.agent_round(agent) as rnd:
            for step in (thinks(), *steps):
                step(stage, rnd)
            rnd.restarted(by=by)

    return lose


def out_of_time(agent: str) -> Callable[[Stage, Session], None]:
    def lose(stage: Stage, session: Session) -> None:
        try:
            with session.agent_round(agent) as rnd:
                thinks()(stage, rnd)
                raise TimeoutError("no answer in 30 s")
        except TimeoutError:
            pass

    return lose


def play(
    first: Mapping[str, Sequence[Step]] | None = None,
    last: Mapping[str, Sequence[Step]] | None = None,
    *,
    before: Sequence[Callable[[Stage, Session], None]] = (),
    answers: Mapping[str, str] = ANSWERS,
    votes: Mapping[str, str] = VOTES,
    ends: bool = True,
) -> Stage:
    """Each agent sees the answers given so far; they vote in the opposite order."""
    stage = Stage()
    with stage.tracer.session("How should it be stored?", agents=list(answers)) as session:
        labels: dict[str, str] = {}
        for lose in before:
            lose(stage, session)
        for agent, said in answers.items():
            with session.agent_round(agent, context_labels=list(labels.values())) as rnd:
                for step in (thinks(), *(first or {}).get(agent, ())):
                    step(stage, rnd)
                labels[agent] = rnd.answer(None, said)
        for agent in reversed(list(answers)):
            with session.agent_round(agent, round_type="voting", context_labels=list(labels.values())) as rnd:
                for step in (thinks(), *(last or {}).get(agent, ())):
                    step(stage, rnd)
                rnd.vote(votes[agent], labels[votes[agent]], "fits best")
        if ends:
            session.winner("opus", labels["opus"], None, "most votes")
            with session.presentation("opus") as presentation:
                thinks()(stage, presentation)
                presentation.final_answer(answers["opus"])
            session.finished("completed")
    return stage


def found(stage: Stage) -> Found:
    return Counter((each.code, " ".join(each.agents)) for each in find(Parts(stage.records()), Thresholds()))


def told(**text: str) -> dict[str, Any]:
    return {"answers": ANSWERS | {name.replace("_", "."): said for name, said in text.items()}}


FAILS: Final = tool("fetch", {"u": 1}, *["no route"] * 6, failed=True)

RUNS: Final[dict[str, tuple[dict[str, Any], list[tuple[str, str]]]]] = {
    "nothing": ({}, []),
    "a call again in another round": (
        {"first": {"gpt.5": tool("read_file", {"path": "x"}, "c", "c")}, "last": {"gpt.5": tool("read_file", {"path": "x"}, "c")}},
        [("repeated_command", "gpt.5")],
    ),
    "arguments in another order, and as text": (
        {"first": {"opus": mcp("ask", {"a": 1, "b": 2}, {"b": 2, "a": 1}, '{"a": 1, "b": 2}')}}, [("repeated_command", "opus")],
    ),
    "arguments that nobody knows": ({"first": {"opus": mcp("ask", None, None, None, None)}}, []),
    "other arguments each time": ({"first": {"opus": mcp("ask", *({"page": number} for number in range(9)))}}, []),
    "the same of two, in other orders": (
        {"first": {"opus": mcp("ls", {"d": 1}, {"d": 2}), "Müller": mcp("ls", {"d": 2}, {"d": 1})}}, [("repeated_across_agents", "Müller opus")] * 2,
    ),
    "tests that are run twice": ({"first": {"opus": tool("execute_command", {"command": "pytest"}, "3 passed in 0.31s", "3 passed in 0.29s")}}, []),
    "a file that is written twice": ({"first": {"opus": tool("write_file", {"path": "a"}, "created", "updated")}}, []),
    "a state that is polled": ({"first": {"opus": tool("job_status", {"id": 1}, "queued", "running")}}, []),
    "a forecast that changes": ({"first": {"Müller": tool("forecast", {"c": "Bern"}, "sun", "rain")}}, [("tool_inconsistent", "Müller")]),
    "a text about errors": ({"first": {"opus": tool("read_file", {"path": "g"}, "Error Handling in Rust\n====\nUse Result.")}}, []),
    "a log with a traceback": (
        {"first": {"opus": tool("read_file", {"path": "l"}, "start\nTraceback (most recent call last):\nValueError: y")}}, [],
    ),
    "a script with a traceback": (
        {"first": {"opus": tool("python", {"code": "f()"}, "start\nTraceback (most recent call last):\nValueError: y")}},
        [("tool_false_success", "opus")],
    ),
    "a failure in words": ({"first": {"opus": tool("store", {"path": "a"}, "Failed to save: disk full")}}, [("tool_false_success", "opus")]),
    "a failure in JSON": ({"first": {"gpt.5": tool("store", {}, '{"success": false, "reason": "x"}')}}, [("tool_false_success", "gpt.5")]),
    "no error in JSON": ({"first": {"opus": tool("store", {}, '{"error": null, "data": [1]}')}}, []),
    "a failure that begins well": ({"first": {"opus": tool("deploy", {"to": "x"}, "OK button not found", failed=True)}}, []),
    "a success that failed": ({"first": {"opus": tool("deploy", {"to": "x"}, "Done.", failed=True)}}, [("tool_false_success", "opus")]),
    "failures of other calls": (
        {"first": {"gpt.5": [step for number in range(8) for step in tool("fetch", {"u": number}, "no route", failed=True)]}}, [],
    ),
    "six failures, then success": ({"first": {"gpt.5": [*FAILS, *tool("fetch", {"u": 1}, "page")]}}, [("retry_storm", "gpt.5")]),
    "five failures, then success": ({"first": {"gpt.5": [*FAILS[:5], *tool("fetch", {"u": 1}, "page")]}}, []),
    "two storms in each other": (
        {"first": {"gpt.5": [step for number in range(12) for step in tool("fetch", {"u": number % 2}, "no route", failed=True)]}},
        [("retry_storm", "gpt.5")] * 2,
    ),
    "a model that fails": ({"first": {"gpt.5": [fails_to_think] * 6}}, [("retry_storm", "gpt.5")]),
    "a model that fails once": ({"first": {"gpt.5": [fails_to_think]}}, [("exception", "gpt.5")]),
    "an error that a tool gets over": ({"first": {"opus": [swallows]}}, [("exception", "opus")]),
    "long thought": ({"last": {"gpt.5": [thinks(70)]}}, [("stall", "gpt.5"), ("slow_operation", "gpt.5")]),
    "thought for 29 seconds": ({"last": {"gpt.5": [thinks(29)]}}, []),
    "agreement by label": (told(Müller="I agree with agent3.1 and have nothing to say on top."), []),
    "agreement by name": (told(Müller="I fully agree with what opus says and have nothing to say on top."), []),
    "an answer to something else": (
        told(Müller="Bananas ripen quickly when kept beside apples inside paper bags overnight."), [("isolated_work", "Müller")],
    ),
    "the same answer": (told(Müller=ANSWERS["gpt.5"]), [("near_duplicate_answer", "Müller gpt.5")]),
    "the same number": (told(opus="42", gpt_5="42", Müller="42"), []),
    "a vote for each": ({"votes": {"opus": "gpt.5", "gpt.5": "Müller", "Müller": "opus"}}, [("vote_split", "Müller gpt.5 opus")]),
    "a vote for itself": ({"votes": dict.fromkeys(ANSWERS, "opus")}, [("self_vote", "opus")]),
    "three times the others' cost": ({"first": {"opus": [thinks(cost=0.09)]}}, [("cost_outlier", "opus")]),
    "twice the others' cost": ({"first": {"opus": [thinks(cost=0.03)]}}, []),
    "many tokens": ({"last": {"Müller": [thinks(input=60_000, cached_input=30_000)]}}, [("token_outlier", "Müller")]),
    "out of time": ({"before": [out_of_time("gpt.5")]}, [("timeout", "gpt.5"), ("wasted_round", "gpt.5")]),
    "restarts of two": (
        {"before": [restarted("gpt.5", "opus"), restarted("Müller", "opus"), restarted("gpt.5", "Müller")]},
        [("wasted_round", "gpt.5"), ("wasted_round", "Müller")],
    ),
    "a restart, and the same again": (
        {"before": [restarted("gpt.5", "opus", *mcp("ls", {"d": 1}))], "last": {"gpt.5": mcp("ls", {"d": 1})}},
        [("wasted_round", "gpt.5"), ("repeated_after_restart", "gpt.5")],
    ),
    "asked again in two rounds": ({"first": {"opus": [asked_again(1)]}, "last": {"opus": [asked_again(1)]}}, []),
    "much lost in two rounds": ({"first": {"opus": [asked_again(1, 2600)]}, "last": {"opus": [asked_again(1, 2600)]}}, [("enforcement", "opus")]),
    "a tool that there is not": ({"first": {"opus": [asked_again(1, 0, "no_workflow_tool", ["mcp__db__ls"])]}}, [("enforcement", "opus")]),
    "a tool that there is": ({"first": {"opus": [*mcp("ls", {}), asked_again(1, 0, "no_workflow_tool", ["mcp__db__ls"])]}}, []),
    "5,000 letters of two bytes": ({"first": {"opus": tool("dump", {}, "é" * 5000)}}, []),
    "5,001 of them": ({"first": {"opus": tool("dump", {}, "é" * 5001)}}, [("long_output", "opus")]),
    "no end": ({"ends": False}, [("incomplete_coordination", "")]),
}  # fmt: skip
"""Each run with all that is to be found in it."""


@pytest.mark.parametrize("name", RUNS)
def test_what_is_there_is_found_and_nothing_else(name: str) -> None:
    """Of whom, and how often."""
    made, expected = RUNS[name]
    assert found(play(**made)) == Counter(expected)


def test_an_agent_that_failed_at_once_is_no_measure_for_the_others() -> None:
    """It used next to nothing, and nobody stands out beside it."""
    stage = Stage()
    with stage.tracer.session("How should it be stored?", agents=["x", "y"]) as session:
        try:
            with session.agent_round("y") as rnd:
                thinks(input=100, output=5, cached_input=0, cost=0.0001)(stage, rnd)
                raise RuntimeError("boom")
        except RuntimeError:
            pass
        with session.agent_round("x") as rnd:
            for _ in range(6):
                thinks()(stage, rnd)
            rnd.answer(None, ANSWERS["opus"])
        session.winner("x", "agent1.1", None, "the only answer")
        session.final_answer("x", ANSWERS["opus"])
        session.finished("completed")
    assert found(stage) == Counter({("agent_error", "y"): 1, ("incomplete_coordination", "y"): 1})


ALONE: Final = frozenset({"three times the others' cost", "twice the others' cost", "many tokens"})
"""What is measured by the other agents, which further faults use more of."""


def test_faults_on_top_of_each_other_are_found_and_little_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Several of these runs in one, in any order, also several of one agent: all that is in each is found, and little that is in none."""
    chance = random.Random(13)
    steps = [name for name, (made, _) in RUNS.items() if set(made) <= {"first", "last", "before"} and name not in ALONE]
    planted, right, extra = Counter[str](), Counter[str](), Counter[str]()
    for _ in range(40):
        chosen = chance.sample(steps, 4)
        made: dict[str, Any] = {"first": {}, "last": {}, "before": []}
        for name in chosen:
            for place, work in RUNS[name][0].items():
                if place == "before":
                    made[place] += work
                else:
                    for agent, own in work.items():
                        made[place][agent] = [*made[place].get(agent, ()), *own]
        wanted = Counter(each for name in chosen for each in RUNS[name][1])
        got = found(play(**made))
        planted.update(code for code, _ in wanted.elements())
        right.update(code for code, _ in (wanted & got).elements())
        extra.update(code for code, _ in (got - wanted).elements())
    recall, precision = right.total() / planted.total(), right.total() / (right.total() + extra.total())
    with capsys.disabled():
        print(f"\nplanted {planted.total()} on top of each other: recall {recall:.0%}, precision {precision:.0%} (beside them: {dict(extra)})")
    assert recall > 0.9
    assert precision > 0.9
