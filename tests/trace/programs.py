"""Random programs of several agents, and what their spans must look like.

A program is a number of agents, each a stream (async generator) that opens rounds and, within them, any of the things that agents do: model and
tool calls, spans held open across a `yield`, nested streams, tasks, task groups, threads, executors, third-party spans, timeouts. A driver
interleaves the agents' steps in any order, each step in a task of its own or in the driver's, and may close, cancel, throw into or drop a
stream at any point.

What is expected is not derived from contextvars: every span carries the path of the work that opened it (`test.path`), and the path of a
span's parent must be the longest proper prefix of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.trace import ReadableSpan

import massgen_tracing as mt
from massgen_tracing.trace.carriers import extract, remote_context
from massgen_tracing.trace.round import Round
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer

PATH = "test.path"

Step = tuple[Any, ...]

# --- strategies --------------------------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(
    [
        "llm",
        "mcp",
        "tool",
        "span",
        "explicit_llm",
        "explicit_span",
        "third_party",
        "info",
        "yield",
        "sleep",
        "thread",
        "to_thread",
        "executor",
        "callback",
        "child_env",
        "mcp_meta",
    ]
)
BLOCKS = st.sampled_from(["span", "llm", "third_party", "explicit_span", "timeout", "stream", "task", "group", "bound_coroutine", "bare"])


def _steps(children: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    return st.tuples(BLOCKS, st.lists(children, max_size=3).map(tuple))


STEPS = st.recursive(st.tuples(LEAVES), _steps, max_leaves=8)

ROUND = st.tuples(st.lists(STEPS, max_size=4).map(tuple), st.sampled_from(["answer", "vote", "raise", "nothing", "error"]))


@dataclass(frozen=True)
class Program:
    """What each agent does, and how the driver drives them."""

    agents: tuple[tuple[Any, ...], ...]
    drives: tuple[tuple[int, str], ...]
    ending: str


PROGRAMS = st.builds(
    Program,
    agents=st.lists(st.lists(ROUND, min_size=1, max_size=2).map(tuple), min_size=1, max_size=4).map(tuple),
    drives=st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from(["task", "task", "task", "own", "thread_of_tasks", "close", "cancel", "throw", "timeout", "drop"])
        ),
        max_size=14,
    ).map(tuple),
    ending=st.sampled_from(["finish", "close", "drop"]),
)


class Thrown(Exception):
    """Thrown into a stream by the driver."""


class Expected(Exception):
    """Raised by a program on purpose."""


# --- running a program -------------------------------------------------------------------------------------------------------------

_marker: contextvars.ContextVar[str] = contextvars.ContextVar("marker", default="")


class _Waited(ThreadPoolExecutor):
    """Its work can be waited for, also by those who have asked for it and were cancelled meanwhile: what runs already goes on then."""

    def __init__(self) -> None:
        super().__init__(max_workers=2)
        self.under_way: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self.under_way.add(future)
        future.add_done_callback(self.under_way.discard)
        return future


_executor = _Waited()
_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waited] = weakref.WeakKeyDictionary()
"""Their default executors."""


class Agent:
    """One agent of a program."""

    def __init__(self, tracer: Tracer, session: Session, agent_id: str, rounds: tuple[Any, ...], complaints: list[str]) -> None:
        self.tracer = tracer
        self.session = session
        self.agent_id = agent_id
        self.rounds = rounds
        self.complaints = complaints
        self.count = 0

    def attributes(self, path: tuple[str, ...]) -> dict[str, Any]:
        return {PATH: "/".join(path)}

    def fresh(self, name: str) -> str:
        self.count += 1
        return f"{name}{self.count}"

    async def stream(self) -> AsyncIterator[str]:
        for number, (steps, ending) in enumerate(self.rounds):
            path = ("session", f"{self.agent_id}.{number}")
            with self.session.agent_round(self.agent_id, number, attributes=self.attributes(path)) as rnd:
                _marker.set(path[-1])
                try:
                    async for chunk in self.run(steps, path, rnd):
                        yield chunk
                    yield "end of round"
                    self.check(path)
                    if ending == "answer":
                        rnd.answer(None, "text")
                    elif ending == "vote":
                        rnd.vote(self.agent_id, "agent1.1", reason="good")
                    elif ending == "error":
                        rnd.error("failed")
                    elif ending == "raise":
                        raise Expected
                except (Expected, Thrown):
                    pass

    def check(self, path: tuple[str, ...]) -> None:
        """After each step: what this stream set is what it finds, whoever drove it."""
        current: Any = otel_trace.get_current_span()
        if current.attributes[PATH] != "/".join(path):
            self.complaints.append(f"{path}: after a step {current.attributes[PATH]} is current")
        if _marker.get() != path[1]:
            self.complaints.append(f"{path}: its own ContextVar was lost")

    async def run(self, steps: tuple[Step, ...], path: tuple[str, ...], rnd: Round) -> AsyncIterator[str]:
        for step in steps:
            name = step[0]
            here = (*path, self.fresh(name))
            if len(step) == 1:
                if name in {"yield", "sleep"}:
                    await asyncio.sleep(0)
                    if name == "yield":
                        yield here[-1]
                    self.check(path)
                else:
                    await self.leaf(name, here, rnd)
            else:
                async for chunk in self.block(name, step[1], here, path, rnd):
                    yield chunk

    async def leaf(self, name: str, path: tuple[str, ...], rnd: Round) -> None:
        explicit_ok = len(path) == 3  # an explicit opener's parent is the round
        attributes = self.attributes(path)
        if name == "llm" or (name == "explicit_llm" and not explicit_ok):
            with self.tracer.llm_call("openai", model="m", attributes=attributes) as call:
                call.first_chunk()
                await asyncio.sleep(0)
                call.record_usage(input=10, output=5, cost=0.001)
        elif name == "explicit_llm":
            async with rnd.llm_call("openai", model="m", attributes=attributes):
                await asyncio.sleep(0)
        elif name == "mcp":
            with self.tracer.mcp_call("fs", "read", {"path": "a"}, attributes=attributes) as mcp:
                mcp.record_result("ok")
        elif name == "tool":
            with rnd.tool_call("t", attributes=attributes) if explicit_ok else self.tracer.tool_call("t", attributes=attributes):
                await asyncio.sleep(0)
        elif name == "span" or (name == "explicit_span" and not explicit_ok):
            with self.tracer.span("work", attributes):
                pass
        elif name == "explicit_span":
            with rnd.span("work", attributes=attributes):
                pass
        elif name == "third_party":
            with otel_trace.get_tracer("third.party").start_as_current_span("foreign", attributes=attributes):
                await asyncio.sleep(0)
        elif name == "info":
            self.tracer.info("hello {x}", x=1, **attributes)
        elif name == "child_env":  # what a child process finds in its environment; processes have tests of their own
            with self.tracer.span("child", attributes, base=remote_context(mt.child_env({}))):
                pass
        elif name == "mcp_meta":  # what an MCP server finds in its request
            with self.tracer.mcp_call("fs", "read", attributes=attributes) as request:
                await asyncio.sleep(0)
                with self.tracer.span("server", self.attributes((*path, "server")), base=extract(request.meta())):
                    pass
        else:
            await self.elsewhere(name, attributes)

    async def elsewhere(self, name: str, attributes: dict[str, Any]) -> None:
        def work() -> None:
            with self.tracer.span("elsewhere", attributes):
                pass

        loop = asyncio.get_running_loop()
        if name in {"thread", "to_thread", "executor"}:
            await self.in_thread(name, work)
        elif name == "callback":
            done = loop.create_future()

            def callback() -> None:
                work()
                if not done.done():
                    done.set_result(None)

            loop.call_soon(mt.bind(callback))
            await done

    @staticmethod
    async def in_thread(name: str, work: Callable[[], None]) -> None:
        """Do it in a thread; who is cancelled meanwhile waits for it all the same, so that it ends within the span around it."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=mt.bind(work))
        if loop not in _of_loops:
            loop.set_default_executor(_of_loops.setdefault(loop, _Waited()))
        try:
            if name == "thread":
                thread.start()
                await loop.run_in_executor(None, thread.join)
            elif name == "to_thread":
                await asyncio.to_thread(work)
            else:
                await loop.run_in_executor(_executor, mt.bind(work))
        except BaseException:
            wait({*_of_loops[loop].under_way, *_executor.under_way})
            if thread.ident is not None:
                thread.join()
            raise

    async def block(self, name: str, steps: tuple[Step, ...], here: tuple[str, ...], path: tuple[str, ...], rnd: Round) -> AsyncIterator[str]:
        attributes = self.attributes(here)
        if name in {"span", "explicit_span"}:
            opener = rnd.span("held", attributes=attributes) if name == "explicit_span" and len(here) == 3 else self.tracer.span("held", attributes)
            with opener:
                async for chunk in self.run(steps, here, rnd):
                    yield chunk  # the span is held open across the yield
        elif name == "llm":
            async with self.tracer.llm_call("openai", model="m", attributes=attributes):
                async for chunk in self.run(steps, here, rnd):
                    yield chunk
        elif name == "third_party":
            with otel_trace.get_tracer("third.party").start_as_current_span("foreign", attributes=attributes):
                async for chunk in self.run(steps, here, rnd):
                    yield chunk
        elif name == "timeout":
            try:
                async with asyncio.timeout(30):
                    with self.tracer.span("timed", attributes):
                        await self.consume(steps, here, rnd)
            except TimeoutError:
                self.complaints.append(f"{here}: an unexpected timeout")
        elif name == "stream":
            with self.tracer.span("outer", attributes):
                async with aclosing(mt.bind_stream(self.run(steps, here, rnd))) as inner:
                    async for chunk in inner:
                        yield chunk
        elif name == "bare":  # a plain generator within the stream, driven by it alone
            async for chunk in self.run(steps, path, rnd):
                yield chunk
        else:
            await self.tasks(name, steps, here, rnd)
            yield here[-1]

    async def tasks(self, name: str, steps: tuple[Step, ...], here: tuple[str, ...], rnd: Round) -> None:
        async def work(at: tuple[str, ...]) -> None:
            with self.tracer.span("in task", self.attributes(at)):
                await self.consume(steps, at, rnd)

        if name == "task":
            await asyncio.create_task(work(here))
        elif name == "bound_coroutine":
            await asyncio.create_task(mt.bind(work(here)))
        else:
            async with asyncio.TaskGroup() as group:
                for i in range(2):
                    group.create_task(work((*here[:-1], f"{here[-1]}_{i}")))

    async def consume(self, steps: tuple[Step, ...], at: tuple[str, ...], rnd: Round) -> None:
        async with aclosing(self.run(steps, at, rnd)) as inner:  # type: ignore[type-var]
            async for _ in inner:
                pass


async def _step(stream: Any) -> str:
    return await anext(stream, "finished")


async def run_program(program: Program, tracer: Tracer) -> list[str]:
    """Run one program; returns what was wrong while it ran (nothing, one hopes)."""
    complaints: list[str] = []
    ids = [f"agent_{i}" for i in range(len(program.agents))]
    with tracer.session("question", agents=ids, attributes={PATH: "session"}) as session:
        session.event("coordination_started")
        before = contextvars.copy_context()
        streams: dict[int, Any] = {
            i: mt.bind_stream(Agent(tracer, session, ids[i], rounds, complaints).stream()) for i, rounds in enumerate(program.agents)
        }
        for chosen, how in program.drives:
            i = chosen % len(ids)
            if i in streams:
                await _drive(streams, i, how)
        await _finish(streams, program.ending)
        after = contextvars.copy_context()
        if {var: after[var] for var in after} != {var: before[var] for var in before}:
            complaints.append("something leaked into the driver's context")
        session.event("winner_selected")
    return complaints


async def _drive(streams: dict[int, Any], i: int, how: str) -> None:
    stream = streams[i]
    try:
        if how == "task":
            await asyncio.create_task(_step(stream))
        elif how == "own":
            await _step(stream)
        elif how == "thread_of_tasks":
            await asyncio.gather(*(asyncio.create_task(_step(other)) for other in streams.values()))
        elif how == "close":
            del streams[i]
            await asyncio.create_task(stream.aclose())
        elif how == "cancel":
            task = asyncio.create_task(_step(stream))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if task.cancelled():
                del streams[i]
                await stream.aclose()
        elif how == "throw":
            await stream.athrow(Thrown())
        elif how == "timeout":
            async with asyncio.timeout(0):
                await _step(stream)
        elif how == "drop":
            del streams[i], stream
            gc.collect()
            await asyncio.sleep(0)
    except (Thrown, TimeoutError, StopAsyncIteration):
        stream = streams.pop(i, None)
        if stream is not None:
            await stream.aclose()


async def _finish(streams: dict[int, Any], ending: str) -> None:
    while streams:
        i, stream = next(iter(streams.items()))
        if ending == "finish":
            while await asyncio.create_task(_step(stream)) != "finished":
                pass
        elif ending == "close":
            await asyncio.create_task(stream.aclose())
        del streams[i], stream
    gc.collect()
    for _ in range(20):  # what the loop's hooks close is closed by tasks of the loop
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)


# --- what the spans must look like -------------------------------------------------------------------------------------------------


def misnested(spans: list[ReadableSpan]) -> list[str]:
    """Every span whose parent is not the span of the longest proper prefix of its path, or that does not lie within it in time."""
    by_path = {str(span.attributes[PATH]): span for span in spans if span.attributes and PATH in span.attributes}
    wrong = []
    for path, span in by_path.items():
        parts = path.split("/")
        above = next((by_path[prefix] for n in range(len(parts) - 1, 0, -1) if (prefix := "/".join(parts[:n])) in by_path), None)
        parent_id = None if span.parent is None else span.parent.span_id
        if parent_id != (None if above is None else above.context.span_id):
            wrong.append(f"{path}: its parent is not {'/'.join(parts[:-1])}")
        elif above is not None and not (_times(above)[0] <= _times(span)[0] and _times(span)[1] <= _times(above)[1]):
            wrong.append(f"{path}: it is not within its parent's time")
    return wrong


def _times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time
