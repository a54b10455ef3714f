"""Calls that begin outside of every round although rounds are open are told of at the end: by name, by number, and with what to do."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry import trace as otel_trace
from opentelemetry.context import Context

import massgen_tracing as mt
from massgen_tracing import Tracer, guard
from massgen_tracing.trace import outside
from massgen_tracing.views.cli import doctor


@pytest.fixture
def tracer(tmp_path: Path) -> Iterator[Tracer]:
    """A tracer that records under the test's own directory."""
    yield mt.configure(root=tmp_path / "root")
    mt.shutdown()


def told(swallowed: list[str]) -> list[str]:
    """What is said of it when tracing is shut down."""
    mt.shutdown()
    kinds = [kind for kind in swallowed if kind == "usage.outside"]
    swallowed[:] = [kind for kind in swallowed if kind != "usage.outside"]
    return [problem.message for problem in guard.problems() if problem.kind == "usage.outside"] if kinds else []


def agent(tracer: Tracer, calls: int) -> AsyncIterator[int]:
    """An agent's stream, with so many model calls."""

    async def stream() -> AsyncIterator[int]:
        for number in range(calls):
            with tracer.llm_call("openai", "gpt-5-mini"), tracer.mcp_call("files", "read"):
                yield number

    return stream()


async def consumed(streams: Sequence[AsyncIterator[int]]) -> None:
    """Take what streams give, one after the other's step, outside of any round."""
    for stream in streams:
        async for _ in stream:
            await asyncio.sleep(0)


def test_a_stream_that_was_not_bound_is_told_of(tracer: Tracer, swallowed: list[str], tmp_path: Path) -> None:
    """The names of its calls and how many there were, in one line at the end, and in what the doctor says of the root."""
    with tracer.session("Why?", ["a", "b"]) as session:
        rounds = [session.agent_round(name).start() for name in ("a", "b")]
        asyncio.run(consumed([agent(tracer, 3) for _ in rounds]))
        for rnd in rounds:
            rnd.end()
    [message] = told(swallowed)
    assert message.startswith("12 calls began outside of every agent's round although rounds were open")
    assert "llm.openai.stream (6), mcp.files.read (6)" in message
    assert "bind_stream" in message
    assert [problem.kind for problem in doctor.examine(str(tmp_path / "root")).problems] == ["usage.outside"]


def test_bound_streams_are_not(tracer: Tracer, swallowed: list[str]) -> None:
    """The same streams, bound, and calls that are opened on the round."""
    with tracer.session("Why?", ["a", "b"]) as session:
        with session.agent_round("a") as first:
            streams = [mt.bind_stream(agent(tracer, 3))]
            with session.agent_round("b"):
                streams.append(mt.bind_stream(agent(tracer, 3)))
                asyncio.run(consumed(streams))
        rnd = session.agent_round("a").start()
        with first.llm_call("openai", "gpt-5-mini"):
            pass
        rnd.end()
    assert told(swallowed) == []


def test_calls_where_no_round_is_open_are_not(tracer: Tracer, swallowed: list[str]) -> None:
    """Before the rounds, after them, in a session that has none while another one has, and after a round was dropped."""
    with tracer.session("Why?", ["a"]) as session:
        with tracer.llm_call("openai", "gpt-5-mini"):
            pass
        with session.agent_round("a"):
            pass
        with tracer.llm_call("openai", "gpt-5-mini"):
            pass
        session.agent_round("a").start()
        gc.collect()  # a round and its span refer to each other
        with tracer.llm_call("openai", "gpt-5-mini"):
            pass
        rnd = session.agent_round("a").start()
        with tracer.session("What?", ["b"]), tracer.llm_call("openai", "gpt-5-mini"):
            pass
        rnd.end()
    assert told(swallowed) == []


def test_what_has_no_session_is_told_of_where_any_round_is_open(tracer: Tracer, swallowed: list[str]) -> None:
    """A task that was begun before the session, say: its calls are in a trace of their own."""
    with tracer.session("Why?", ["a"]) as session:
        rnd = session.agent_round("a").start()
        with tracer.llm_call("openai", "gpt-5-mini", base=otel_trace.set_span_in_context(otel_trace.INVALID_SPAN, Context())):
            pass
        rnd.end()
    [message] = told(swallowed)
    assert message.startswith("1 call began outside")


def test_other_instrumentations_calls_are_told_of_too(tracer: Tracer, swallowed: list[str]) -> None:
    """Spans by anybody's tracer that are model or tool calls by the GenAI conventions; other spans are not."""
    others = otel_trace.get_tracer("someone.else")
    with tracer.session("Why?", ["a"]) as session:
        rnd = session.agent_round("a").start()
        for operation in ("chat", "execute_tool", "invoke_agent"):
            others.start_span(f"{operation} it", attributes={"gen_ai.operation.name": operation}).end()
        others.start_span("GET /").end()
        with rnd:
            others.start_span("chat within", attributes={"gen_ai.operation.name": "chat"}).end()
    [message] = told(swallowed)
    assert "chat it (1), execute_tool it (1)." in message


def test_names_are_bounded(tracer: Tracer, swallowed: list[str]) -> None:
    """A program that gives each call a name of its own costs no memory; the line has a few of them."""
    with tracer.session("Why?", ["a"]) as session:
        rnd = session.agent_round("a").start()
        for number in range(1500):
            with tracer.mcp_call("files", f"tool_{number}"):
                pass
        assert len(outside._calls) == 1000
        rnd.end()
    [message] = told(swallowed)
    assert "992 more names" in message
    assert len(message) < 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_tell_of_its_parents_calls(tracer: Tracer, swallowed: list[str]) -> None:
    """What the parent has noted is the parent's."""
    with tracer.session("Why?", ["a"]) as session:
        rnd = session.agent_round("a").start()
        with tracer.llm_call("openai", "gpt-5-mini"):
            pass
        child = os.fork()
        if child == 0:
            os._exit(len(outside._calls) + len(outside._rounds))
        assert os.waitpid(child, 0)[1] == 0
        rnd.end()
    assert len(told(swallowed)) == 1
