"""The facade: names, nesting, attributes, outcomes and usage of the spans that its handles make."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import massgen_tracing as mt
from massgen_tracing import guard
from massgen_tracing.errors import UsageError
from massgen_tracing.testing import Captured, CountingIds, TickingClock, capture, left_behind
from massgen_tracing.trace.tracer import Tracer
from massgen_tracing.views.cli import main


def a_whole_run(tracer: Tracer) -> None:
    """The example of the documentation: two agents, three rounds, a presentation."""
    with tracer.session("What is AI?", agents=["agent_a", "agent_b"]) as session:
        session.event("coordination_started")
        with session.agent_round("agent_a", number=0, round_type="initial_answer", iteration=0, backend="openai", context_labels=()) as rnd:
            with tracer.llm_call("openai", model="gpt-5-mini", operation="stream") as call:
                call.first_chunk()
                call.record_response(model="gpt-5-mini-2025", id="resp_1", finish_reasons=["stop"])
                call.record_usage(input=1200, output=300, reasoning=100, cached_input=800, cost=0.5)
            with (
                rnd.tool_call("mcp__filesystem__write_file"),
                tracer.mcp_call("filesystem", "write_file", arguments={"path": "a.txt"}, call_id="c1", transport="pipe") as mcp,
            ):
                mcp.record_result("written", is_error=False)
            rnd.answer("agent1.1", "the answer's text")
        with session.agent_round("agent_b", number=0, round_type="voting", iteration=1, backend="groq", context_labels=["agent1.1"]) as rnd:
            rnd.vote("agent_a", "agent1.1", reason="clear")
        session.event("winner_selected")
        session.winner("agent_a", "agent1.1", votes={"agent1.1": 1}, reason="most votes")
        with session.presentation("agent_a", backend="openai") as pres:
            with pres.llm_call("openai", model="gpt-5-mini"):
                pass
            pres.final_answer("the final answer")


WHOLE_RUN = """\
coordination.session
  Coordination event: coordination_started
  agent.agent_a.round_0
    llm.openai.stream
    Tool execution: mcp__filesystem__write_file
      mcp.filesystem.write_file
    Agent answer: agent1.1
  agent.agent_b.round_0
    Agent vote: agent_b -> agent1.1
  Coordination event: winner_selected
  agent.agent_a.presentation
    Winner selected: agent1.1
    llm.openai.stream
    Final answer from agent_a"""


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """The span's attributes, sequences as lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in (span.attributes or {}).items()}


def test_a_run_gives_the_documented_tree() -> None:
    """Every span has its documented name and its documented parent."""
    with capture(ids=CountingIds(), clock=TickingClock()) as captured:
        a_whole_run(captured.tracer)
    assert captured.tree() == WHOLE_RUN


def test_a_provider_of_ones_own_gets_the_same_tree() -> None:
    """With `tracer_provider=` every span goes there, with the same names, parents and attributes, and nothing else is set up."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = mt.configure(tracer_provider=provider, strict=True)
    a_whole_run(tracer)
    theirs = Captured()
    theirs.ended = list(exporter.get_finished_spans())
    assert theirs.tree() == WHOLE_RUN
    with capture() as ours:
        a_whole_run(ours.tracer)
    volatile = {"gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"}
    for mine, other in zip(ours.spans, theirs.spans, strict=True):
        assert {k: v for k, v in attributes(mine).items() if k not in volatile} == {k: v for k, v in attributes(other).items() if k not in volatile}
        assert (mine.kind, mine.status.status_code) == (other.kind, other.status.status_code)


def test_every_documented_attribute_is_set() -> None:
    """Attributes of each kind of span, exactly: what does not apply is absent."""
    with capture() as captured:
        a_whole_run(captured.tracer)
    assert attributes(captured.find("coordination.session")) == {
        "massgen.task": "What is AI?",
        "massgen.num_agents": 2,
        "massgen.agent_ids": ["agent_a", "agent_b"],
        "massgen.winner": "agent_a",
        "massgen.winner_label": "agent1.1",
        "massgen.winner_reason": "most votes",
        "massgen.votes": {"agent1.1": 1},
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "massgen",
    }
    assert attributes(captured.find("agent.agent_a.round_0")) == {
        "massgen.agent_id": "agent_a",
        "massgen.round": 0,
        "massgen.round_type": "initial_answer",
        "massgen.iteration": 0,
        "massgen.backend": "openai",
        "massgen.outcome": "answer",
        "massgen.answer_label": "agent1.1",
        "massgen.usage.input": 1200,
        "massgen.usage.output": 300,
        "massgen.usage.reasoning": 100,
        "massgen.usage.cached_input": 800,
        "massgen.usage.cost": 0.5,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "agent_a",
    }
    assert attributes(captured.find("agent.agent_b.round_0")) == {
        "massgen.agent_id": "agent_b",
        "massgen.round": 0,
        "massgen.round_type": "voting",
        "massgen.iteration": 1,
        "massgen.backend": "groq",
        "massgen.num_context_answers": 1,
        "massgen.context_labels": ["agent1.1"],
        "massgen.outcome": "vote",
        "massgen.voted_for": "agent_a",
        "massgen.voted_for_label": "agent1.1",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "agent_b",
    }
    presentation = attributes(captured.find("agent.agent_a.presentation"))
    assert presentation["massgen.is_winner"] is True
    assert presentation["massgen.round_type"] == "presentation"
    llm = attributes(next(span for span in captured.spans if span.name == "llm.openai.stream"))
    first = llm.pop("gen_ai.response.time_to_first_chunk")
    assert first == llm.pop("gen_ai.client.operation.time_to_first_chunk") > 0
    assert llm == {
        "massgen.agent_id": "agent_a",
        "massgen.round": 0,
        "massgen.round_type": "initial_answer",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-5-mini-2025",
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.reasoning.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 800,
        "operation.cost": 0.5,
    }
    assert attributes(captured.find("mcp.filesystem.write_file")) == {
        "massgen.agent_id": "agent_a",
        "massgen.round": 0,
        "massgen.round_type": "initial_answer",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "write_file",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": '{"path": "a.txt"}',
        "gen_ai.tool.call.result": "written",
        "mcp.method.name": "tools/call",
        "network.transport": "pipe",
    }
    vote = attributes(captured.find("Agent vote: agent_b -> agent1.1"))
    assert vote["massgen.agent_id"] == "agent_b"
    assert vote["massgen.vote.reason"] == "clear"
    assert vote["logfire.span_type"] == "log"


def test_kinds_and_durations() -> None:
    """Model and MCP calls are CLIENT spans, all else INTERNAL; point events have no duration."""
    with capture() as captured:
        a_whole_run(captured.tracer)
    for span in captured.spans:
        assert span.kind is (SpanKind.CLIENT if span.name.startswith(("llm.", "mcp.")) else SpanKind.INTERNAL)
        if "logfire.span_type" in attributes(span):
            assert span.start_time == span.end_time


def test_explicit_openers_nest_under_their_handle_wherever_they_are_called() -> None:
    """An opener on a handle ignores what is current: its parent is the handle."""
    with capture() as captured:
        tracer = captured.tracer
        with tracer.session("q", agents=["a", "b"]) as session, session.agent_round("a") as one, session.agent_round("b") as two:
            with tracer.span("current"), one.llm_call("openai"), two.mcp_call("s", "t"), one.span("mine", attributes={"k": 1}), two.tool_call("x"):
                pass
    assert (
        captured.tree()
        == """\
coordination.session
  agent.a.round_0
    llm.openai.stream
    mine
  agent.b.round_0
    current
    mcp.s.t
    Tool execution: x"""
    )
    assert attributes(captured.find("llm.openai.stream"))["massgen.agent_id"] == "a"
    assert attributes(captured.find("mcp.s.t"))["massgen.agent_id"] == "b"


def test_rounds_are_direct_children_of_the_session_wherever_they_are_opened() -> None:
    """`tracer.agent_round` within another span still hangs under the session."""
    with capture() as captured, captured.tracer.session("q", agents=["a"]), captured.tracer.span("loop"):
        with captured.tracer.agent_round("a") as rnd:
            assert captured.tracer.current_round() is rnd
        with captured.tracer.agent_round("a"):
            pass
        with captured.tracer.presentation("a"):
            pass
    assert captured.tree() == "coordination.session\n  loop\n  agent.a.round_0\n  agent.a.round_1\n  agent.a.presentation"


def test_ambient_openers_find_the_round_in_the_context() -> None:
    """Calls and events on the tracer belong to the round that is current, also deep below it; plain spans carry nothing of it."""
    with capture() as captured:
        tracer = captured.tracer
        with tracer.session("q", agents=["a"]) as session, session.agent_round("a", 3, "voting"), tracer.span("deep") as deep:
            with tracer.tool_call("t", {"x": 1}) as tool:
                tool.record_result({"rows": 2}, is_error=True)
            tracer.enforcement("no_tool_calls", attempt=1, max_attempts=3, buffer_chars=10)
            tracer.vote("a", "agent1.1")
            assert deep.round is not None
    assert (
        captured.tree()
        == """\
coordination.session
  agent.a.round_3
    deep
      Tool execution: t
    Coordination event: enforcement
    Agent vote: a -> agent1.1"""
    )
    tool_span = captured.find("Tool execution: t")
    assert attributes(tool_span)["massgen.round"] == 3
    assert attributes(tool_span)["error.type"] == "tool_error"
    assert attributes(tool_span)["gen_ai.tool.call.result"] == '{"rows": 2}'
    assert tool_span.status.status_code is StatusCode.ERROR
    assert attributes(captured.find("deep")) == {}
    event = attributes(captured.find("Coordination event: enforcement"))
    assert event["massgen.enforcement.reason"] == "no_tool_calls"
    assert event["massgen.event_type"] == "enforcement"


def test_an_answer_label_is_the_place_among_the_sorted_ids_and_the_count() -> None:
    """agent{i}.{k}: i from 1 in the order of the names, not of their mention; k counts the agent's answers."""
    with capture() as captured, captured.tracer.session("q", agents=["zoe", "adam"]) as session:
        with session.agent_round("zoe") as rnd:
            assert rnd.answer(text="one") == "agent2.1"
        with session.agent_round("adam") as rnd:
            assert rnd.answer(text="one") == "agent1.1"
        with session.agent_round("zoe") as rnd:
            assert rnd.answer(text="two") == "agent2.2"
        assert session.answer_label("adam") == "agent1.2"
        assert session.answer_label("adam", 7) == "agent1.7"


def test_an_exception_is_recorded_and_goes_on_unchanged() -> None:
    """Type, message and stack trace as an event, status ERROR, the same exception object outside; the round's outcome is `error`."""
    error = ValueError("boom")
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session:
        with pytest.raises(ValueError, match="boom") as caught, session.agent_round("a") as rnd, rnd.llm_call("openai"):
            raise error
        assert caught.value is error
    for name in ("llm.openai.stream", "agent.a.round_0"):
        span = captured.find(name)
        assert span.status.status_code is StatusCode.ERROR
        [event] = span.events
        assert event.name == "exception"
        details = event.attributes or {}
        assert (details["exception.type"], details["exception.message"]) == ("ValueError", "boom")
        assert "raise error" in str(details["exception.stacktrace"])
        assert attributes(span)["error.type"] == "ValueError"
    assert attributes(captured.find("agent.a.round_0"))["massgen.outcome"] == "error"
    assert attributes(captured.find("agent.a.round_0"))["massgen.error_message"] == "boom"
    assert captured.find("coordination.session").status.status_code is StatusCode.UNSET


def test_a_timeout_that_leaves_the_round_is_its_outcome() -> None:
    """A TimeoutError is told apart from other errors."""
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session, pytest.raises(TimeoutError), session.agent_round("a"):
        raise TimeoutError("after 5 s")
    assert attributes(captured.find("agent.a.round_0"))["massgen.outcome"] == "timeout"


async def test_a_cancelled_span_is_marked_and_is_no_error() -> None:
    """Cancellation ends the spans it passes through, marked `cancelled`, without an error status or an exception event."""
    entered = asyncio.Event()
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session:

        async def work() -> None:
            with session.agent_round("a") as rnd, rnd.llm_call("openai"), captured.tracer.span("inner"):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    for name in ("agent.a.round_0", "llm.openai.stream", "inner"):
        span = captured.find(name)
        assert attributes(span)["massgen.outcome"] == "cancelled"
        assert span.status.status_code is StatusCode.UNSET
        assert list(span.events) == []


def test_a_restart_stays_a_restart_when_the_round_is_then_closed() -> None:
    """`restarted` followed by the stream's early close does not become `cancelled`."""
    with capture() as captured, captured.tracer.session("q", agents=["a", "b"]) as session:
        with pytest.raises(GeneratorExit), session.agent_round("a") as rnd:
            rnd.restarted(by="b")
            raise GeneratorExit
    span = captured.find("agent.a.round_0")
    assert attributes(span)["massgen.outcome"] == "restarted"
    assert attributes(captured.find("Agent restart: a"))["massgen.restart.triggered_by"] == "b"


def test_errors_without_an_exception() -> None:
    """`error` and `timeout` set outcome, message and status."""
    with capture() as captured, captured.tracer.session("q", agents=["a", "b"]) as session:
        with session.agent_round("a") as rnd:
            rnd.error("no answer")
        with session.agent_round("b") as rnd:
            rnd.timeout("after 5 s")
    for name, outcome, message in (("agent.a.round_0", "error", "no answer"), ("agent.b.round_0", "timeout", "after 5 s")):
        span = captured.find(name)
        assert (attributes(span)["massgen.outcome"], attributes(span)["massgen.error_message"]) == (outcome, message)
        assert span.status.status_code is StatusCode.ERROR


def test_usage_is_summed_over_the_rounds_model_calls_and_unknown_is_not_zero() -> None:
    """Tokens of a round are those of its model calls, in whatever span or task; what no provider reported is absent."""
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd, rnd.span("deeper"):
        for _ in range(2):
            with captured.tracer.llm_call("nobody", model="unknown-model") as call:
                call.record_usage(input=1, output=1)
                call.record_usage(input=10, output=5)  # providers report running totals: the last one counts
        with captured.tracer.llm_call("nobody", model="unknown-model"):
            pass
    round_attributes = attributes(captured.find("agent.a.round_0"))
    assert (round_attributes["massgen.usage.input"], round_attributes["massgen.usage.output"]) == (20, 10)
    assert not {"massgen.usage.reasoning", "massgen.usage.cached_input", "massgen.usage.cost"} & round_attributes.keys()
    silent = [attributes(span) for span in captured.spans if span.name == "llm.nobody.stream"]
    assert [call.get("gen_ai.usage.input_tokens") for call in silent] == [10, 10, None]
    assert [call.get("massgen.cost_unknown") for call in silent] == [True, True, None]


def test_a_cost_is_estimated_from_the_price_list_with_cached_tokens_as_a_subset() -> None:
    """A known model costs something, less with part of its input cached; the provider's own figure goes before the list's."""
    with capture() as captured:
        for cached in (None, 800):
            with captured.tracer.llm_call("openai", model="gpt-5-mini") as call:
                call.record_usage(input=1200, output=300, cached_input=cached)
        with captured.tracer.llm_call("openai", model="gpt-5-mini") as call:
            call.record_usage(input=1200, output=300, cost=9.0)
    full, part, told = [float(attributes(span)["operation.cost"]) for span in captured.spans]
    assert 0 < part < full
    assert told == 9.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda t: t.vote("a", "agent1.1"), "outside of any agent's round"),
        (lambda t: t.answer("agent1.1", "x"), "outside of any agent's round"),
        (lambda t: t.agent_round("a"), "outside of any session"),
        (lambda t: t.event("x"), "outside of any session"),
        (lambda t: t.llm_call("openai", operation="guess"), "stream, create"),
        (lambda t: t.session("q").agent_round("a", round_type="lunch"), "initial_answer, voting, presentation"),
        (lambda t: t.session("q").agent_round("a").vote("a", "agent1.1"), "has not started"),
    ],
)
def test_wrong_use_is_an_error_in_strict_mode_and_a_counted_warning_otherwise(wrong: Any, says: str, swallowed: list[str], tmp_path: Any) -> None:
    """The message says what was expected and what to do; without strict mode the run goes on."""
    with capture() as captured, pytest.raises(UsageError, match=says):
        wrong(captured.tracer)
    assert wrong(mt.configure(record=False, strict=False)) is not Ellipsis
    assert all(kind.startswith("usage.") for kind in swallowed)
    assert swallowed
    swallowed.clear()


UNSTARTED: dict[str, Callable[[Any], object]] = {
    "set": lambda t: t.span("x").set("k", 1),
    "winner": lambda t: t.session("q").winner("a"),
    "finished": lambda t: t.session("q").finished("completed"),
    "session event": lambda t: t.session("q").event("x"),
    "session final_answer": lambda t: t.session("q").final_answer("a", "x"),
    "answer": lambda t: t.session("q").start().agent_round("a").answer(text="x"),
    "error": lambda t: t.session("q").start().agent_round("a").error("x"),
    "cancelled": lambda t: t.session("q").start().agent_round("a").cancelled(),
    "restarted": lambda t: t.session("q").start().agent_round("a").restarted(),
    "first_chunk": lambda t: t.llm_call("openai").first_chunk(),
    "record_response": lambda t: t.llm_call("openai").record_response(id="x"),
    "record_usage": lambda t: t.llm_call("openai").record_usage(input=1),
    "record_content": lambda t: t.llm_call("openai").record_content(input="x"),
    "record_result": lambda t: t.tool_call("x").record_result("y"),
}
"""What may be called on a handle, called before it is entered."""


@pytest.mark.parametrize("call", UNSTARTED)
def test_what_is_called_on_a_handle_that_was_never_entered_is_said(call: str, swallowed: list[str]) -> None:
    """By an error in strict mode and a counted warning otherwise: nothing of it is recorded."""
    with capture() as captured:
        with pytest.raises(UsageError, match="has not started"):
            UNSTARTED[call](captured.tracer)
        assert [span.name for span in captured.ended] == []
    UNSTARTED[call](mt.configure(record=False, strict=False))
    assert swallowed == ["usage.handle"]
    swallowed.clear()


@pytest.mark.parametrize(
    "name",
    [lambda session: session.agent_round("agent_B"), lambda session: session.presentation("agent_B"), lambda session: session.winner("agent_B"),
     lambda session: session.agent_round("agent_a").start().vote("agent_B", "agent2.1")],
)  # fmt: skip
def test_an_agent_that_the_session_does_not_have_is_told_of(name: Callable[[Any], object], swallowed: list[str]) -> None:
    """With those that it has, and the one that may be meant; it is taken as it is. Of a session that names no agents any will do."""
    with capture() as captured, captured.tracer.session("q", ["agent_a", "agent_b"]) as session:
        with pytest.raises(UsageError, match=r"session's\. Expected one of agent_a, agent_b, got 'agent_B'\. Did you mean agent_b\?$"):
            name(session)
    tracer = mt.configure(record=False, strict=False)
    with tracer.session("q", ["agent_a", "agent_b"]) as session:
        name(session)
    with tracer.session("q") as session:
        name(session)
    assert swallowed == ["usage.agent"]
    swallowed.clear()


def test_each_wrong_agent_is_told_of(swallowed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, to the log, to the file of problems and by `doctor`, and so is the label of an answer in an agent's place."""
    tracer = mt.configure(root=tmp_path, strict=False)
    with tracer.session("q", ["agent_a", "agent_b"]) as session:
        for _ in range(2):
            for wrong in ("agnet_b", "agnt_a", "agent_z"):
                session.agent_round(wrong)
        with session.agent_round("agent_a") as rnd:
            rnd.vote("agent1.1")
    assert [(problem.about, problem.count) for problem in guard.problems()] == [("agnet_b", 2), ("agnt_a", 2), ("agent_z", 2), ("agent1.1", 1)]
    assert all("session's, and is taken as it is." in problem.message for problem in guard.problems())
    assert "label of an answer" in guard.problems()[-1].message
    mt.shutdown()
    assert swallowed == ["usage.agent"] * 7
    swallowed.clear()
    assert main(["doctor", "--root", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert [told.count(f"got '{wrong}'") for wrong in ("agnet_b", "agnt_a", "agent_z", "agent1.1")] == [1, 1, 1, 1]


def test_a_vote_after_its_round_is_wrong_use_but_not_lost(swallowed: list[str]) -> None:
    """Outside strict mode the late vote is still recorded, under its round."""
    tracer = mt.configure(record=False)
    with tracer.session("q", agents=["a"]) as session:
        with session.agent_round("a") as rnd:
            pass
        rnd.vote("a", "agent1.1")
    assert swallowed == ["usage.handle"]
    swallowed.clear()


def test_tags_are_those_of_logfire() -> None:
    """Wherever attributes are given by name, `tags` are Logfire's: each once, one alone is a list of one, none are none."""
    with capture() as captured:
        tracer = captured.tracer
        with tracer.session("q", agents=["a"], tags=["run"]) as session, session.agent_round("a", tags=("one", "two", "one")) as rnd:
            with rnd.llm_call("openai", model="m", tags="slow"), tracer.span("inner", tags=[], number=1):
                pass
            rnd.event("seen", tags={"x": 1})
        tracer.info("Hello {tags}", tags=["t"])
    tags = {span.name: attributes(span).get("logfire.tags") for span in captured.spans}
    assert tags == {
        "coordination.session": ["run"],
        "agent.a.round_0": ["one", "two"],
        "llm.openai.stream": ["slow"],
        "inner": None,
        "Coordination event: seen": ["x"],
        "Hello {tags}": ["t"],
    }
    assert attributes(captured.find("Hello {tags}"))["logfire.msg"] == "Hello ['t']"
    assert not any("tags" in attributes(span) for span in captured.spans)


def test_point_records_carry_level_message_and_template() -> None:
    """`info` and its kin are what Logfire's are: the template is the name, the filled text the message."""
    with capture() as captured:
        captured.tracer.info("Hello {name}", name="Alice")
        captured.tracer.warning("{not here}")
        captured.tracer.error("bad {x!r}", x={"a": 1})
        captured.tracer.debug("plain")
    hello = attributes(captured.find("Hello {name}"))
    assert hello["logfire.msg"] == "Hello Alice"
    assert (hello["logfire.msg_template"], hello["logfire.level_num"], hello["name"]) == ("Hello {name}", 9, "Alice")
    assert attributes(captured.find("{not here}"))["logfire.msg"] == "{not here}"
    assert [attributes(span)["logfire.level_num"] for span in captured.spans] == [9, 13, 17, 5]


def test_handles_show_span_and_ids() -> None:
    """`.span` is the OpenTelemetry span and current in the block; ids are lower-case hex."""
    with capture() as captured:
        with captured.tracer.session("q", agents=["a"]) as session:
            assert otel_trace.get_current_span() is session.span
            with session.agent_round("a") as rnd, rnd.llm_call("openai") as call:
                assert otel_trace.get_current_span() is call.span
                assert isinstance(rnd.span, otel_trace.Span)
                call.set("k", {"a": [1, None]})
                rnd.span.set_attribute("from.span", 1)
                context = call.span.get_span_context()
                assert (call.trace_id, call.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
                assert call.trace_id == session.trace_id
        assert left_behind() == []
    assert attributes(captured.find("llm.openai.stream"))["k"] == {"a": [1, None]}
    assert attributes(captured.find("agent.a.round_0"))["from.span"] == 1


def test_content_is_previewed_and_in_full_on_request() -> None:
    """Tool results, arguments and answers are bounded previews that say how long they were; full content only when asked for."""
    long = "x" * 10_000
    for full in (False, True):
        with capture(full_content=full) as captured, captured.tracer.mcp_call("s", "t", {"text": long}) as call:
            call.record_result(long)
        found = attributes(captured.find("mcp.s.t"))
        for key in ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"):
            assert (len(found[key]) >= 10_000) is full
            if not full:
                assert "[cut, 100" in found[key]


def test_blocks_left_out_of_order_leave_nothing_behind() -> None:
    """Spans that are ended in another order than they were opened never bring an ended one back as current."""
    with capture() as captured:
        spans = [captured.tracer.span(f"s{i}") for i in range(4)]
        for span in spans:
            span.__enter__()
        for i in (0, 2, 1, 3):
            spans[i].__exit__(None, None, None)
        assert left_behind() == []
        with captured.tracer.span("after"):
            pass
        assert captured.find("after").parent is None


def test_start_and_end_without_a_block() -> None:
    """An orchestrator that cannot hold a block open starts and ends handles itself; nothing becomes current."""
    with capture() as captured:
        session = captured.tracer.session("q", agents=["a"]).start()
        rnd = session.agent_round("a").start()
        assert left_behind() == []
        with rnd.llm_call("openai"):
            pass
        rnd.end(TimeoutError("slow"))
        rnd.end()
        session.end()
    assert captured.tree(points=False) == "coordination.session\n  agent.a.round_0\n    llm.openai.stream"
    assert attributes(captured.find("agent.a.round_0"))["massgen.outcome"] == "timeout"


async def test_handles_are_async_context_managers_too() -> None:
    """`async with` does what `with` does."""
    with capture() as captured:
        async with captured.tracer.session("q", agents=["a"]) as session, session.agent_round("a") as rnd, rnd.llm_call("openai"):
            await asyncio.sleep(0)
    assert captured.tree() == "coordination.session\n  agent.a.round_0\n    llm.openai.stream"


def test_two_sessions_at_once_are_two_traces() -> None:
    """Sessions in tasks of one process share nothing; a session inside a session continues its trace."""

    async def run(tracer: Tracer, name: str) -> None:
        with tracer.session(name, agents=["a"]) as session:
            await asyncio.sleep(0)
            with session.agent_round("a") as rnd:
                await asyncio.sleep(0)
                rnd.answer(text=name)

    async def both(tracer: Tracer) -> None:
        await asyncio.gather(run(tracer, "one"), run(tracer, "two"))

    with capture() as captured:
        asyncio.run(both(captured.tracer))
        with captured.tracer.session("outer", agents=["x"]) as outer, outer.agent_round("x"), captured.tracer.session("inner", agents=["y"]) as inner:
            assert inner.trace_id == outer.trace_id
            with captured.tracer.llm_call("openai"):
                pass
    sessions = {attributes(span)["massgen.task"]: span for span in captured.spans if span.name == "coordination.session"}
    assert len({span.context.trace_id for span in sessions.values()}) == 3
    inner_parent = captured.parent(sessions["inner"])
    assert inner_parent is not None
    assert inner_parent.name == "agent.x.round_0"
    assert "massgen.agent_id" not in attributes(captured.find("llm.openai.stream"))


def test_winner_is_announced_under_the_session_where_no_presentation_follows() -> None:
    """`Winner selected` appears once: under the presentation, or else under the session."""
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session:
        session.winner("a", "agent1.1")
    assert captured.tree() == "coordination.session\n  Winner selected: agent1.1"


def test_a_session_says_how_it_finished() -> None:
    """The last word counts; a reason that is none of the known ones is the caller's mistake."""
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session:
        session.finished("error", "no agent answered")
        session.finished("timeout")
    assert attributes(captured.find("coordination.session"))["massgen.finish_reason"] == "timeout"
    with capture() as captured, captured.tracer.session("q") as session, pytest.raises(UsageError, match="finish reason"):
        session.finished("bored")


def test_nothing_breaks_when_the_provider_does(swallowed: list[str]) -> None:
    """A provider that raises at every call costs its spans, not the run; it is counted."""

    class Broken(otel_trace.Tracer):
        def start_span(self, *args: Any, **kwargs: Any) -> otel_trace.Span:
            raise RuntimeError("broken")

        def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("broken")

    class Provider(otel_trace.TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> otel_trace.Tracer:
            return Broken()

    a_whole_run(mt.configure(tracer_provider=Provider()))
    assert "handle.start" in swallowed
    swallowed.clear()


def test_any_value_is_accepted() -> None:
    """Attributes of any type are recorded, JSON-safe; None is absent."""

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    with capture() as captured, captured.tracer.span("s", {"odd": Odd(), "none": None, "set": {1}, "nested": {"a": [Odd()]}}) as span:
        span.set("big", 2**70)
        span.set("bytes", b"\x00\xff")
    found = attributes(captured.find("s"))
    assert found.keys() == {"odd", "set", "nested", "big", "bytes"}
    json.dumps(found, default=repr)
