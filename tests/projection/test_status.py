"""`status.json`: what it says at each moment of a run, and that it obeys the schema that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from opentelemetry import trace

import massgen_tracing as mt
from massgen_tracing import semconv
from massgen_tracing.insight.calls import Tree, model_calls
from massgen_tracing.projection.fold import Fold
from massgen_tracing.projection.metrics import metrics_summary
from massgen_tracing.projection.status import schema, status
from tests.projection.scenes import START, Scene, a_run, folded, recorded, scenes

VALIDATOR = jsonschema.Draft202012Validator(schema())


def said(fold: Fold, now_ns: int | None = None) -> dict[str, Any]:
    """What the file says; it obeys the schema."""
    found: dict[str, Any] = json.loads(status(fold.state, now_ns))
    VALIDATOR.validate(found)
    return found


def test_the_schema_is_one() -> None:
    """What ships is a JSON Schema, and it says no to a file that lacks something, or has more."""
    jsonschema.Draft202012Validator.check_schema(schema())
    found = said(folded(a_run().steps))
    for section in ("meta", "coordination", "agents", "results"):
        assert list(VALIDATOR.iter_errors({key: value for key, value in found.items() if key != section}))
    assert list(VALIDATOR.iter_errors(found | {"more": 1}))


@given(scenes())
@settings(max_examples=25)
def test_whatever_a_run_does_each_state_obeys_the_schema(scene: Scene) -> None:
    """After every step; the percentage never falls, and the phase never goes back."""
    fold, percent, phases = Fold(), 0, ["initial_answer", "enforcement", "presentation"]
    for step in scene.steps:
        folded([step], fold)
        found = said(fold)["coordination"]
        failures = fold.state.outcomes.keys() & {"error", "timeout"}  # who has failed is done, until it is asked again
        assert failures or found["completion_percentage"] >= percent
        percent = found["completion_percentage"]
        phases = phases[phases.index(found["phase"]) :]


@given(scenes(all_end=True))
@settings(max_examples=40, deadline=None)
def test_calls_and_tokens_are_those_of_the_recording(scene: Scene) -> None:
    """Whoever reports a model call, and in however many layers, it counts once, as in what is said of the recording afterwards."""
    for rnd in [step for step in scene.steps if step.end_ns is None and semconv.ROUND_TYPE in step.attributes][:3]:
        scene.layers(rnd, ["call", "other", "call"])
    found = said(folded(scene.steps))["telemetry"]["total"]
    calls = model_calls(Tree(recorded(scene.steps)))
    known = [call.usage for call in calls if call.usage.input is not None]
    assert found["calls"] == len(calls)
    assert found["input_tokens"] == (sum(usage.input or 0 for usage in known) if known else None)
    assert found["calls_of_unknown_cost"] == sum(call.usage.cost is None for call in calls)
    costs = [call.usage.cost for call in calls if call.usage.cost is not None]
    assert found["cost"] == (pytest.approx(sum(costs)) if costs else None)


def test_a_call_that_ends_later_than_the_one_around_it_counts_once() -> None:
    """As a client's span does that ends with its stream; also where one of the two never ends. With a tool call between them both count."""
    for kinds, order, calls in (
        (["facade", "call"], [0, 1], 1), (["facade", "other", "call"], [0, 1, 2], 1), (["facade", "call"], [1], 1), (["facade", "call"], [0], 1),
        (["facade", "tool", "facade"], None, 2), (["call", "other", "tool", "call"], None, 2),
    ):  # fmt: skip
        scene = Scene(("a",))
        session = scene.session()
        scene.layers(scene.round(session, "a", 0), kinds, order)
        scene.end(session)
        found = said(folded(scene.steps))["telemetry"]["total"]
        assert (found["calls"], found["input_tokens"]) == (calls, 1000 * calls), (kinds, order)


def test_a_span_that_says_at_its_end_only_that_it_is_a_call_counts_once() -> None:
    """With a call within it that has counted it is the same one."""
    for inner in (True, False):
        scene = Scene(("a",))
        session = scene.session()
        rnd = scene.round(session, "a", 0)
        outer = scene.begin("chat gpt-4o-mini", rnd, **scene.whose(rnd))
        if inner:
            scene.layers(outer, ["call"])
        scene.end(outer, **{semconv.GEN_AI_OPERATION: "chat", semconv.GEN_AI_INPUT_TOKENS: 1000})
        scene.end(session)
        assert said(folded(scene.steps))["telemetry"]["total"]["calls"] == 1


def test_calls_of_other_instrumentations_stand_in_the_file_of_a_run(tmp_path: Path) -> None:
    """A client's instrumentation needs no call of the facade's: tokens, cost by the price list, by model and by agent."""
    tracer = mt.configure(root=tmp_path)
    others = trace.get_tracer("opentelemetry.instrumentation.openai_v2")
    about = {semconv.GEN_AI_OPERATION: "chat", semconv.GEN_AI_REQUEST_MODEL: "gpt-4o-mini", semconv.GEN_AI_PROVIDER: "openai"}
    with tracer.session("Why?", agents=["a"]) as session, session.agent_round("a", 0):
        with tracer.llm_call("openai", model="gpt-4o-mini"), others.start_as_current_span("chat gpt-4o-mini", attributes=about) as span:
            span.set_attributes({semconv.GEN_AI_INPUT_TOKENS: 1_000_000, semconv.GEN_AI_OUTPUT_TOKENS: 0})
        with others.start_as_current_span("chat gpt-4o-mini", attributes=about) as span:
            span.set_attributes({semconv.GEN_AI_INPUT_TOKENS: 1_000_000, semconv.GEN_AI_OUTPUT_TOKENS: 0})
    mt.shutdown()
    (path,) = tmp_path.rglob("attempt_1/status.json")
    telemetry = json.loads(path.read_bytes())["telemetry"]
    for used in (telemetry["total"], telemetry["by_model"]["gpt-4o-mini"], telemetry["by_agent"]["a"]):
        assert (used["calls"], used["input_tokens"], used["calls_of_unknown_cost"]) == (2, 2_000_000, 0)
        assert used["cost"] == pytest.approx(0.3)


def test_states_along_a_run() -> None:
    """Who is at what, how far it is, which votes count: at each moment as documented."""
    fold = Fold()
    seen: list[tuple[object, ...]] = []
    for step in a_run().steps:
        folded([step], fold)
        found = said(fold)
        at = found["coordination"]
        state = (at["phase"], at["active_agent"], at["completion_percentage"], *(found["agents"][agent]["status"] for agent in "abc"))
        if not seen or seen[-1] != state:
            seen.append(state)
    assert seen == [
        ("initial_answer", None, 0, "waiting", "waiting", "waiting"),
        ("initial_answer", "a", 0, "streaming", "waiting", "waiting"),
        ("initial_answer", "a", 0, "streaming", "streaming", "waiting"),
        ("initial_answer", "a", 0, "streaming", "streaming", "streaming"),
        ("initial_answer", "a", 16, "streaming", "streaming", "streaming"),
        ("initial_answer", "b", 16, "answered", "streaming", "streaming"),
        ("initial_answer", "c", 16, "answered", "restarting", "streaming"),
        ("initial_answer", "b", 16, "answered", "streaming", "streaming"),
        ("initial_answer", "a", 16, "streaming", "streaming", "streaming"),
        ("enforcement", "a", 33, "streaming", "streaming", "streaming"),
        ("enforcement", "b", 33, "voted", "streaming", "streaming"),
        ("enforcement", "b", 50, "voted", "streaming", "streaming"),
        ("enforcement", "c", 50, "voted", "answered", "streaming"),
        ("enforcement", None, 83, "voted", "answered", "error"),
        ("enforcement", "a", 83, "streaming", "answered", "error"),
        ("enforcement", "a", 83, "streaming", "streaming", "error"),
        ("enforcement", "a", 99, "streaming", "streaming", "error"),
        ("enforcement", "a", 99, "streaming", "voted", "error"),
        ("enforcement", None, 99, "voted", "voted", "error"),
        ("presentation", "b", 99, "voted", "streaming", "error"),
        ("presentation", None, 99, "voted", "voted", "error"),
        ("presentation", None, 100, "voted", "voted", "error"),
    ]


def test_the_end_of_a_run() -> None:
    """Documented keys as documented; MassGen's others with right numbers; what is unknown stays so in the telemetry."""
    found = said(folded(a_run().steps))
    assert found["is_complete"]
    assert found["finish_reason"], found["finish_reason_details"] == ("completed", "Winner: b")
    assert found["meta"]["session_id"] == "log_1"
    assert found["meta"]["log_dir"] == "/runs/log_1"
    assert found["results"] == {
        "votes": {"agent1.1": 0, "agent2.1": 2},
        "winner": "b",
        "winner_label": "agent2.1",
        "winner_reason": "most votes",
        "final_answer_preview": ("The final answer " * 20)[:200],
    }
    a, b, c = (found["agents"][agent] for agent in "abc")
    assert a["vote_cast"] == {"voted_for_agent": "b", "voted_for_label": "agent2.1", "reason_preview": "best"}
    assert len(b["vote_cast"]["reason_preview"]) == 100
    assert [agent["times_restarted"] for agent in (a, b, c)] == [1, 1, 0], "a by a vote that became void, b in the middle of a round"
    assert (c["error"]["type"], c["error"]["message"]) == ("error", "no luck")
    assert found["rounds"]["by_outcome"] == {
        **dict.fromkeys(["post_evaluation", "timeout", "cancelled"], 0),
        "answer": 2,
        "vote": 3,
        "presentation": 1,
        "restarted": 1,
        "error": 1,
    }
    assert found["costs"] == {"total_estimated_cost": 0.2, "total_input_tokens": 30, "total_output_tokens": 15, "calls_of_unknown_cost": 1}
    assert found["telemetry"]["by_model"]["other"]["cost"] is None
    assert found["telemetry"]["by_model"]["m"]["cost"] == 0.2
    assert found["telemetry"]["by_agent"]["b"]["calls"] == 2
    assert sum(rnd["input_tokens"] for agent in found["agents"].values() for rnd in agent["round_history"]) == 30, "each call once"
    tool = found["tools"]["by_tool"]["mcp__fs__read"]
    assert (tool["call_count"], tool["failure_count"], tool["tool_type"], tool["total_input_chars"]) == (2, 1, "mcp", 34)
    reliability = b["reliability"]
    assert reliability["enforcement_attempts"][0]["reason"] == "no_tool_calls"
    assert reliability["by_round"] == {"1": {"count": 1, "reasons": ["no_tool_calls"]}}
    assert (reliability["total_enforcement_retries"], reliability["total_buffer_chars_lost"], reliability["outcome"]) == (1, 7, "ok")
    assert (a["reliability"], len(found["historical_workspaces"])) == (None, 2)


def test_restarts_are_rounds_given_up_and_votes_made_void() -> None:
    """By new answers of others, as the schema says; `by_outcome` has the rounds alone, as SQL, the drawing and the report have."""
    scene = Scene()
    session = scene.session()
    scene.answer(scene.round(session, "a", 0), "agent1.1", "A")
    scene.restart(scene.round(session, "b", 0), "a")
    scene.vote(scene.round(session, "a", 1), "a", "agent1.1")
    scene.answer(scene.round(session, "b", 1), "agent2.1", "B")
    scene.vote(scene.round(session, "a", 2), "b", "agent2.1")
    scene.vote(scene.round(session, "b", 2), "b", "agent2.1")
    found = said(folded(scene.steps))
    assert [agent["times_restarted"] for agent in found["agents"].values()] == [1, 1]
    assert found["rounds"]["by_outcome"]["restarted"] == 1
    described = schema()["$defs"]["agent"]["properties"]["times_restarted"]["description"]
    assert all(part in described for part in ("answers of others", "outcome restarted", "void"))


def test_tokens_of_rounds_are_those_of_calls_in_rounds() -> None:
    """A call outside of every round is in the run's costs and in no total of rounds, which their histories add up to."""
    scene = Scene()
    session = scene.session()
    scene.call(session)
    for agent in scene.agents:
        rnd = scene.round(session, agent, 0)
        scene.call(rnd)
        scene.end(rnd)
    fold = folded(scene.steps)
    found, metrics = said(fold), json.loads(metrics_summary(fold.state))
    history = [rnd for agent in found["agents"].values() for rnd in agent["round_history"]]
    in_rounds = (20, 10, pytest.approx(0.2))
    assert tuple(sum(rnd[key] for rnd in history) for key in ("input_tokens", "output_tokens", "estimated_cost")) == in_rounds
    assert tuple(found["rounds"][f"total_round_{key}"] for key in ("input_tokens", "output_tokens", "cost")) == in_rounds
    assert tuple(metrics["rounds"][f"total_{key}"] for key in ("input_tokens", "output_tokens", "estimated_cost")) == in_rounds
    assert (found["costs"]["total_input_tokens"], metrics["totals"]["input_tokens"]) == (30, 30)


def test_the_winner_is_named_when_the_final_answer_stands() -> None:
    """Whoever finds a winner finds the answer; that somebody presents can be seen before."""
    scene = a_run()
    final = next(place for place, step in enumerate(scene.steps) if step.name.startswith("Final answer"))
    before, after = said(folded(scene.steps[:final])), said(folded(scene.steps[: final + 2]))
    assert before["coordination"]["is_final_presentation"]
    assert before["results"]["winner"] is None
    assert after["results"]["winner"] == "b"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({semconv.FINISH_REASON: "timeout"}, "timeout"),
        ({semconv.FINISH_REASON: "interrupted"}, "interrupted"),
        ({}, "completed"),
    ],
)
def test_how_a_run_has_finished(end: dict[str, Any], reason: str) -> None:
    """What its coordinator says; where it says nothing, what its spans say."""
    scene = Scene()
    scene.end(scene.session(), **end)
    assert said(folded(scene.steps))["finish_reason"] == reason


def test_without_a_winner_an_agent_that_has_failed_comes_first() -> None:
    """MassGen's `export` looks for the error of such a run at the first agent."""
    scene = Scene()
    session = scene.session()
    scene.fail(scene.round(session, "b", 0))
    scene.end(session, True)
    found = said(folded(scene.steps))
    assert list(found["agents"]) == ["b", "a"]
    assert found["finish_reason"] == "error"


def test_a_clock_that_is_set_back_counts_no_time_backwards() -> None:
    """Elapsed time is never less than what the spans have seen."""
    fold = folded(a_run().steps[:-1])
    found = said(fold, START - 10**12)
    assert found["meta"]["elapsed_seconds"] > 0


def test_a_write_reads_no_more_of_a_long_run_than_of_a_short_one() -> None:
    """Of many rounds the latest are shown, and all are counted."""
    scene = Scene(("a",))
    session = scene.session()
    for number in range(200):
        rnd = scene.round(session, "a", number)
        scene.enforce(rnd)
        scene.restart(rnd, "b")
    found = said(folded(scene.steps))
    agent = found["agents"]["a"]
    assert (len(agent["round_history"]), agent["times_restarted"], found["rounds"]["total_rounds"]) == (10, 200, 200)
    assert (len(agent["reliability"]["enforcement_attempts"]), agent["reliability"]["total_enforcement_retries"]) == (50, 200)
    assert agent["round_history"][-1]["round_number"] == 199


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (1, 0)])
def test_of_several_presentations_the_latest_by_its_time_counts(numbers: tuple[int, int]) -> None:
    """Whatever their numbers, and whichever is heard of first."""
    scene = Scene(("a",))
    session = scene.session()
    earlier, later = (scene.round(session, "a", number, "presentation") for number in numbers)
    found = []
    for rounds in ((earlier, later), (later, earlier)):
        fold = Fold()
        for span in (session, *rounds):
            fold.started(span)
        found.append(said(fold))
    assert found[0] == found[1]
    assert found[0]["agents"]["a"]["round_timing"]["round_start_time"] == pytest.approx(later.start_ns / 1e9)
