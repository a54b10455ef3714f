"""A handle in any order: opened, entered, left, ended, copied, by any tasks and threads."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import dataclasses
import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace as otel_trace

import massgen_tracing as mt
from massgen_tracing import configuration, finalization, guard, semconv
from massgen_tracing.testing import Captured, capture, left_behind
from massgen_tracing.trace.handle import Handle

PATIENCE = 60.0
"""Seconds after which a program is taken for one that never ends."""


class Place:
    """Where a program's steps run: a thread of its own, or a context of its own in a shared thread, as a task has one."""

    def __init__(self, thread: Thread | None = None) -> None:
        self._thread = thread or Thread()
        self._context = contextvars.Context()

    def do(self, step: Callable[[], object]) -> Any:
        return self._thread.do(lambda: self._context.run(step))


class Thread:
    """A thread that takes one step after the other."""

    def __init__(self) -> None:
        self._steps: queue.SimpleQueue[tuple[Callable[[], object], Future[object]] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while (job := self._steps.get()) is not None:
            step, future = job
            try:
                future.set_result(step())
            except BaseException as error:
                future.set_exception(error)
            del job, step, future

    def do(self, step: Callable[[], object]) -> object:
        future: Future[object] = Future()
        self._steps.put((step, future))
        return future.result(PATIENCE)

    def stop(self) -> None:
        self._steps.put(None)
        self.thread.join(PATIENCE)


OPENERS: dict[str, Callable[[Any], Handle]] = {
    "session": lambda tracer: tracer.session("q", agents=["a"]),
    "work": lambda tracer: tracer.span("work", {"k": 1}),
    "llm": lambda tracer: tracer.llm_call("openai", model="m"),
    "round": lambda tracer: tracer.session("of a round").start().agent_round("a"),
    "tool": lambda tracer: tracer.tool_call("t"),
}
STEPS = ("start", "enter", "enter", "leave", "leave", "end", "copy", "deepcopy", "pickle", "child")
PROGRAMS = st.tuples(
    st.lists(st.sampled_from(sorted(OPENERS)), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2), st.integers(0, 3)), max_size=30),
)


class Expected:
    """What a handle is expected to be after each step: the documented rules, by counting."""

    def __init__(self) -> None:
        self.spans = 0
        self.open = False
        self.entered = 0

    def step(self, name: str) -> None:
        if name in {"start", "enter"}:
            self.spans += not self.open
            self.open = True
        if name == "enter":
            self.entered += 1
        if name == "leave":
            self.entered = max(0, self.entered - 1)
        if name == "end" or (name == "leave" and not self.entered):
            self.open = False


def take(name: str, handle: Handle, tracer: Any) -> None:
    """One step of a program."""
    if name == "start":
        handle.start()
    elif name == "enter":
        handle.__enter__()
    elif name == "leave":
        handle.__exit__(None, None, None)
    elif name == "end":
        handle.end()
    elif name == "copy":
        assert copy.copy(handle) is handle
    elif name == "deepcopy":
        assert copy.deepcopy({"handle": handle})["handle"] is handle
    elif name == "pickle":
        pickle.loads(pickle.dumps(handle))
    else:
        with tracer.span("child"):
            pass


def well_formed(captured: Captured) -> None:
    """Every span's parent is a span of the program, and the way up ends."""
    known = {span.context.span_id for span in captured.ended}
    for span in captured.ended:
        assert span.parent is None or span.parent.span_id in known
        assert len(captured.ancestors(span)) < len(known)


@settings(max_examples=150)
@given(program=PROGRAMS)
def test_any_order_of_steps_ends_and_gives_a_tree(program: tuple[list[str], list[tuple[str, int, int]]]) -> None:
    """Whatever is done with handles, in whatever order, by whichever threads and tasks: each step ends, each life of a handle is one span."""
    kinds, steps = program
    shared = Thread()
    own = [Thread(), Thread()]
    places = [Place(shared), Place(shared), *(Place(thread) for thread in own)]
    observed = guard._observer  # calls outside of rounds are told of
    guard.observe(lambda kind, error: kind == "usage.outside" or observed is None or observed(kind, error))  # type: ignore[arg-type]
    try:
        with capture() as captured:
            handles = [OPENERS[kind](captured.tracer) for kind in kinds]
            expected = [Expected() for _ in handles]
            for name, which, where in steps:
                number = which % len(handles)
                places[where].do(lambda: take(name, handles[number], captured.tracer))  # noqa: B023 - done at once
                expected[number].step(name)
                assert (handles[number].is_open, bool(handles[number]._blocks)) == (expected[number].open, bool(expected[number].entered))
            for number, handle in enumerate(handles):
                for _ in range(expected[number].entered):
                    places[0].do(lambda: handle.__exit__(None, None, None))  # noqa: B023
                handle.end()
                if kinds[number] == "round":
                    assert handle.session is None or isinstance(handle.session, Handle)
            for span in list(captured.open.values()):
                span.end()  # type: ignore[attr-defined]  # the sessions that the rounds were opened in
            names = {"session": semconv.SESSION, "work": "work", "llm": "llm.openai.stream", "tool": "Tool execution: t"}
            for kind in set(kinds) - {"round", "session"}:
                ended = [span for span in captured.ended if span.name == names[kind]]
                assert len(ended) == sum(rule.spans for rule, other in zip(expected, kinds, strict=True) if other == kind)
                if kind == "work":
                    assert {span.attributes["k"] for span in ended} <= {1}  # type: ignore[index]
                if kind == "llm":
                    assert {span.attributes[semconv.GEN_AI_REQUEST_MODEL] for span in ended} <= {"m"}  # type: ignore[index]
            rounds = [span.name for span in captured.ended if span.name.startswith("agent.")]
            assert len(rounds) == sum(rule.spans for rule, kind in zip(expected, kinds, strict=True) if kind == "round")
            well_formed(captured)
    finally:
        guard.observe(observed)
        for thread in (shared, *own):
            thread.stop()


@settings(max_examples=60)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=20))
def test_blocks_that_are_left_where_they_were_entered_leave_nothing_current(steps: list[tuple[bool, int]]) -> None:
    """However often handles are entered within each other, in any order of leaving: at last nothing is current, and meanwhile no ended span."""
    with capture() as captured:
        handles = [captured.tracer.span(f"work{number}") for number in range(3)]
        entered = [0, 0, 0]
        for enter, which in steps:
            if enter:
                handles[which].__enter__()
                entered[which] += 1
            elif entered[which]:
                handles[which].__exit__(None, None, None)
                entered[which] -= 1
            current = otel_trace.get_current_span()
            assert current.is_recording() or not current.get_span_context().is_valid
        for which, count in enumerate(entered):
            for _ in range(count):
                handles[which].__exit__(None, None, None)
        assert left_behind() == []
        assert not captured.open


def test_a_helper_may_enter_a_handle_that_is_entered() -> None:
    """The span goes on after the inner block, and ends with the outer one."""
    with capture() as captured, captured.tracer.session("q") as session:
        with session:
            assert otel_trace.get_current_span() is session.span
        assert session.is_open
        assert otel_trace.get_current_span() is session.span
        with captured.tracer.span("after"):
            pass
    assert captured.tree() == "coordination.session\n  after"


def test_recursion_is_one_span() -> None:
    """A function that enters its handle and calls itself."""

    def descend(depth: int) -> None:
        with work:
            if depth:
                descend(depth - 1)

    with capture() as captured:
        work = captured.tracer.span("work")
        descend(50)
        assert left_behind() == []
    assert [span.name for span in captured.ended] == ["work"]


async def test_two_tasks_may_enter_one_handle() -> None:
    """It ends with the one that leaves last; an error that leaves the other's block is on it."""
    with capture() as captured:
        work = captured.tracer.span("work")
        first_in, first_out = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            with pytest.raises(ValueError, match="wrong"), work:
                first_in.set()
                await first_out.wait()
                assert otel_trace.get_current_span() is work.span
                raise ValueError("wrong")
            assert left_behind() == []

        async def second() -> None:
            await first_in.wait()
            with work:
                first_out.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert work.is_open
                with captured.tracer.span("below"):
                    pass
            assert left_behind() == []

        await asyncio.gather(first(), second())
    assert captured.tree() == "work\n  below"
    ended = captured.find("work")
    assert [event.name for event in ended.events] == ["exception"]
    assert ended.status.description == "ValueError: wrong"


def test_threads_that_enter_a_handle_at_once_share_its_span() -> None:
    """Of threads that come together one starts the span."""
    with capture() as captured:
        work = captured.tracer.span("work")
        together, apart = threading.Barrier(8), threading.Barrier(8)

        def use() -> None:
            together.wait()
            with work, captured.tracer.span("below"):
                apart.wait()

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert captured.tree() == "work" + "\n  below" * 8


def test_a_handle_that_is_used_again_is_a_new_span_of_the_same_attributes() -> None:
    """After its end, each use is a span of its own; a round is the agent's next one, a session begins to count anew."""
    with capture() as captured:
        work = captured.tracer.span("work", {"k": "v"})
        for _ in range(2):
            with work:
                pass
        with captured.tracer.session("q", agents=["a"]) as session:
            rnd = session.agent_round("a", backend="openai")
            for label in ("agent1.1", "agent1.2"):
                with rnd, rnd.llm_call("openai", model="m") as call:
                    call.record_usage(input=1, output=2, cost=0.5)
                    assert rnd.answer() == label
        with session:
            with session.agent_round("a"):
                pass
    assert [span.attributes for span in captured.ended if span.name == "work"] == [{"k": "v"}] * 2
    rounds = [span for span in captured.spans if span.name.startswith("agent.")]
    assert [span.name for span in rounds] == ["agent.a.round_0", "agent.a.round_1", "agent.a.round_0"]
    assert [(span.attributes or {}).get(semconv.USAGE_INPUT) for span in rounds] == [1, 1, None]
    assert [(span.attributes or {}).get(semconv.BACKEND) for span in rounds] == ["openai", "openai", None]
    sessions = [span for span in captured.ended if span.name == semconv.SESSION]
    assert [span.attributes[semconv.TASK] for span in sessions] == ["q", "q"]  # type: ignore[index]
    assert sessions[0].context.trace_id != sessions[1].context.trace_id


def test_used_again_a_session_is_a_run_of_its_own(tmp_path: Path) -> None:
    """Each use has its own directory."""
    session = mt.configure(root=tmp_path).session("q")
    runs = []
    for _ in range(2):
        with session:
            runs.append(session.run)
    assert None not in runs
    assert runs[0] != runs[1]


@dataclasses.dataclass
class Holder:
    handle: Any
    span: Any
    tracer: Any


def test_a_copy_is_the_handle_itself() -> None:
    """`copy`, `deepcopy` and `asdict` of what holds handles, spans and tracers."""
    with capture() as captured, captured.tracer.session("q") as session, session.agent_round("a") as rnd, rnd.llm_call("openai") as call:
        for handle in (session, rnd, call):
            held = Holder(handle, handle.span, captured.tracer)
            for copied in (dataclasses.asdict(held), copy.deepcopy(held).__dict__, copy.copy(held).__dict__):
                assert copied["handle"] is handle
                assert copied["span"] is handle.span
                assert copied["tracer"] is captured.tracer


def test_a_pickled_handle_opens_work_below_the_span_and_does_nothing_to_it() -> None:
    """What another process does with it stands in the tree; it cannot end the span, nor set anything."""
    with capture() as captured:
        with captured.tracer.session("q", agents=["a", "b"]) as session, session.agent_round("a") as rnd:
            there_session, there, tracer, span = pickle.loads(pickle.dumps((session, rnd, captured.tracer, rnd.span)))
            assert (there.trace_id, there.span_id) == (rnd.trace_id, rnd.span_id)
            assert span.get_span_context().span_id == rnd.span.get_span_context().span_id
            with there, tracer.llm_call("openai", model="m"):
                pass
            with there.mcp_call("s", "t"):
                pass
            with there_session.agent_round("b"):
                pass
            there.answer("agent1.1", "text")
            there.set("key", "value")
            there.end()
            assert rnd.is_open
    assert captured.tree().splitlines() == [
        "coordination.session",
        "  agent.a.round_0",
        "    llm.openai.stream",
        "    mcp.s.t",
        "    Agent answer: agent1.1",
        "  agent.b.round_0",
    ]
    assert captured.find("llm.openai.stream").attributes[semconv.AGENT_ID] == "a"  # type: ignore[index]
    assert "key" not in (captured.find("agent.a.round_0").attributes or {})


def test_a_handle_before_its_start_can_be_pickled() -> None:
    """It has no span to be below of."""
    with capture() as captured:
        there = pickle.loads(pickle.dumps(captured.tracer.span("work")))
        with there, captured.tracer.span("root"):
            pass
    assert captured.tree() == "root"


def test_a_received_handle_without_configuration_does_nothing() -> None:
    """In a process that does not trace, it is one more handle that does nothing."""
    with capture() as captured, captured.tracer.session("q") as session:
        text = pickle.dumps(session).hex()
    program = f"""
import pickle
session = pickle.loads(bytes.fromhex("{text}"))
with session, session.agent_round("a") as rnd, rnd.llm_call("openai") as call:
    call.record_usage(input=1)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_an_error_is_put_on_the_span_once_however_many_blocks_it_leaves() -> None:
    """The same exception on its way through an outer block of the same handle."""
    with capture() as captured:
        work = captured.tracer.span("work")
        with pytest.raises(ValueError, match="wrong"), work, work:
            raise ValueError("wrong")
    assert [event.name for event in captured.find("work").events] == ["exception"]


def test_a_context_that_was_attached_by_hand_is_no_circle() -> None:
    """A handle whose Context is current already may be entered, below others too."""
    from opentelemetry import context as otel_context

    with capture() as captured:
        outer, inner = captured.tracer.span("outer").start(), captured.tracer.span("inner").start()
        assert outer.context is not None
        before = otel_context.get_current()
        otel_context.attach(outer.context)
        for _ in range(3):
            outer.__enter__()
            inner.__enter__()
        for _ in range(3):
            outer.__exit__(None, None, None)
            inner.__exit__(None, None, None)
        otel_context.attach(before)
    assert {span.name for span in captured.ended} == {"outer", "inner"}


def test_an_ended_call_is_freed_at_once() -> None:
    """Without waiting for the garbage collector."""

    def use() -> weakref.ref[Any]:
        with captured.tracer.span("work") as work:
            with work:
                pass
        captured.ended.clear()
        return weakref.ref(work.span)

    gc.disable()
    try:
        with capture() as captured:
            assert use()() is None
    finally:
        gc.enable()


@pytest.fixture(params=[1e-6])
def _switching_often(request: pytest.FixtureRequest) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_switching_often")
def test_round_numbers_and_labels_are_unique_whichever_threads_ask() -> None:
    """An agent's rounds are numbered without gaps or doubles, and so are its answers."""
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session:
        labels: list[str] = []

        def rounds() -> None:
            for _ in range(100):
                with session.agent_round("a") as rnd:
                    labels.append(rnd.answer())

        threads = [threading.Thread(target=rounds) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    numbers: list[Any] = [span.attributes[semconv.ROUND] for span in captured.ended if span.name.startswith("agent.")]  # type: ignore[index]
    assert sorted(numbers) == list(range(800))
    assert sorted(labels) == sorted(f"agent1.{count}" for count in range(1, 801))


@pytest.mark.usefixtures("_switching_often")
def test_a_forked_child_waits_for_no_thread_of_its_parents() -> None:
    """Whatever another thread was in the middle of: the child goes on in the session, counts what goes wrong, configures anew and ends."""
    inside, leave = threading.Event(), threading.Event()
    with capture() as captured, captured.tracer.session("q", agents=["a"]) as session:

        def hold() -> None:
            with session._lock.held(), guard._lock.held(), configuration._lock:
                inside.set()
                leave.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        inside.wait()
        with warnings.catch_warnings(action="ignore"):  # from Python 3.12 on, that there are threads
            child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE))
            with session.agent_round("a") as rnd:
                rnd.answer("text")
            guard.report("of the child", "text")
            mt.configure(enabled=False)
            configuration._end()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        leave.set()
        thread.join()


def test_a_fork_within_a_lock_leaves_it_usable() -> None:
    """A finalizer or a signal handler may fork wherever it runs; the child leaves the block that it is in."""
    lock = finalization.Lock()
    with lock.held():
        child = os.fork()
    if child == 0:
        with lock.held():
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_span_that_several_threads_end_ends_once() -> None:
    """Processors see one end."""
    with capture() as captured:
        for number in range(200):
            handle = captured.tracer.span(f"work{number}").start()
            together = threading.Barrier(4)

            def end(handle: Any = handle, together: threading.Barrier = together, which: int = number) -> None:
                together.wait()
                (handle.end if which % 2 else handle.span.end)()

            threads = [threading.Thread(target=end) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(captured.ended) == 200
