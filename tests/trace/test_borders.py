"""Context across tasks, threads, processes and requests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace

import massgen_tracing as mt
from massgen_tracing.testing import capture

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="outside")


def test_a_bound_function_runs_in_the_context_of_the_binding_in_any_thread() -> None:
    """Spans opened in threads and executors are children of the span in which the function was bound; the thread keeps nothing."""

    def work(name: str) -> bool:
        with mt.get_tracer().span(name):
            return True

    with capture() as captured, concurrent.futures.ThreadPoolExecutor(1) as pool:
        with captured.tracer.span("parent"):
            bound = mt.bind(work)
        thread = threading.Thread(target=bound, args=("thread",))
        thread.start()
        thread.join()
        assert pool.submit(bound, "executor").result()
        assert not pool.submit(lambda: otel_trace.get_current_span().get_span_context().is_valid).result()
    assert captured.tree() == "parent\n  thread\n  executor"


def _in_another_process(name: str) -> int:
    with mt.get_tracer().span(name):
        return os.getpid()


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_pool_gets_the_span_with_the_bound_function(method: str, tmp_path: Path) -> None:
    """Work that a process pool does for a span is a child of that span, in the pool's own recording."""
    tracer = mt.configure(root=tmp_path)
    context = multiprocessing.get_context(method)
    with (
        concurrent.futures.ProcessPoolExecutor(1, context, initializer=mt.configure, initargs=()) as pool,
        tracer.span("parent") as parent,
    ):
        os.environ["MASSGEN_TRACING_ROOT"] = str(tmp_path)
        try:
            pid = pool.submit(mt.bind(_in_another_process), "child").result()
        finally:
            del os.environ["MASSGEN_TRACING_ROOT"]
    assert pid != os.getpid()
    [child] = [span for span in _sessions(tmp_path) if span["name"] == "child"]
    assert (child["traceId"], child["parentSpanId"]) == (parent.trace_id, parent.span_id)


def test_one_bound_function_may_run_in_many_threads_at_once() -> None:
    """Each call gets a copy of the context: what one sets no other sees."""
    barrier = threading.Barrier(4)

    def work(i: int) -> str:
        VAR.set(str(i))
        barrier.wait()
        return VAR.get()

    bound = mt.bind(work)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(bound, range(4))) == ["0", "1", "2", "3"]
    assert VAR.get() == "outside"


async def test_a_bound_coroutine_runs_in_the_context_of_the_binding() -> None:
    """Awaited or made a task anywhere, it finds what was current when it was bound, and leaks nothing."""

    async def work() -> str:
        await asyncio.sleep(0)
        found = VAR.get()
        VAR.set("changed")
        return found

    VAR.set("then")
    awaited, task = mt.bind(work()), mt.bind(work())
    VAR.set("now")
    assert await awaited == "then"
    assert await asyncio.create_task(task) == "then"
    assert VAR.get() == "now"


async def test_a_bound_coroutine_is_cancelled_and_closed_like_a_bare_one() -> None:
    """Cancelled before or after its first step, closed, or failing: as without binding."""
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    early = asyncio.create_task(mt.bind(work()))
    early.cancel()
    await asyncio.gather(early, return_exceptions=True)
    late = asyncio.create_task(mt.bind(work()))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert (early.cancelled(), late.cancelled(), seen) == (True, True, ["cancelled"])
    mt.bind(work()).close()

    async def fails() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await mt.bind(fails())


async def test_bound_coroutine_and_generator_functions() -> None:
    """Binding the function binds every coroutine or stream that it makes."""

    async def work(x: int) -> tuple[int, str]:
        return x, VAR.get()

    async def stream(x: int) -> Any:
        yield x
        yield VAR.get()

    VAR.set("then")
    bound, bound_stream = mt.bind(work), mt.bind(stream)
    VAR.set("now")
    assert await bound(1) == (1, "then")
    assert [chunk async for chunk in bound_stream(2)] == [2, "then"]
    assert asyncio.iscoroutinefunction(bound)
    assert bound.__name__ == "work"


def test_what_cannot_be_bound_says_so() -> None:
    """Anything but a coroutine or function is a TypeError that names what it got."""
    with pytest.raises(TypeError, match="got int"):
        mt.bind(3)  # type: ignore[call-overload]


async def test_plain_tasks_groups_and_to_thread_carry_the_context() -> None:
    """What asyncio carries by itself keeps working."""
    with capture() as captured:

        async def work(name: str) -> None:
            with captured.tracer.span(name):
                await asyncio.sleep(0)

        def in_thread() -> None:
            with captured.tracer.span("to_thread"):
                pass

        with captured.tracer.span("parent"):
            await asyncio.gather(work("gather"), asyncio.create_task(work("task")))
            async with asyncio.TaskGroup() as group:
                group.create_task(work("group"))
            await asyncio.to_thread(in_thread)
    assert {captured.parent(captured.find(name)).name for name in ("gather", "task", "group", "to_thread")} == {"parent"}  # type: ignore[union-attr]


def test_child_env_carries_span_and_baggage() -> None:
    """TRACEPARENT names the current span; a stale TRACESTATE goes; the given mapping is not changed; without a span nothing changes."""
    given = {"PATH": "/bin", "TRACESTATE": "old=1"}
    assert mt.child_env(given) == given
    with capture() as captured, captured.tracer.span("parent") as span:
        token = otel_context.attach(baggage.set_baggage("team", "red"))
        env = mt.child_env(given)
        otel_context.detach(token)
        assert env == {"PATH": "/bin", "TRACEPARENT": f"00-{span.trace_id}-{span.span_id}-03", "BAGGAGE": "team=red"}
        assert "TRACESTATE" in given
        assert "PATH" in mt.child_env()


def test_an_mcp_request_carries_the_calls_context() -> None:
    """`meta()` adds the W3C context of the call's own span to what else is in `_meta`."""
    with capture() as captured, captured.tracer.mcp_call("s", "t") as call:
        assert call.meta({"progressToken": 1}) == {"progressToken": 1, "traceparent": f"00-{call.trace_id}-{call.span_id}-03"}


CHILD = """
import sys, subprocess, massgen_tracing as mt
tracer = mt.configure(root=sys.argv[1])
if len(sys.argv) == 3:
    tracer.info("outside of any session")
with tracer.session("inner", agents=["a"]) as session:
    if len(sys.argv) == 2:
        subprocess.run([sys.executable, "-c", open(sys.argv[1] + "/child.py").read(), sys.argv[1], "grandchild"],
                       env=mt.child_env(), check=True)
"""


def _sessions(root: Path) -> list[dict[str, Any]]:
    spans = []
    for path in root.rglob("*.otlp.jsonl"):
        for line in path.read_text().splitlines():
            span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
            pending = any(attribute["value"].get("stringValue") == "pending_span" for attribute in span["attributes"])
            if not pending:
                spans.append(span)
    return spans


def test_a_child_process_continues_the_trace(tmp_path: Path) -> None:
    """Sessions of a child and a grandchild are children of the spans under which they were started; so are their other spans."""
    (tmp_path / "child.py").write_text(CHILD)
    tracer = mt.configure(root=tmp_path)
    with tracer.session("outer", agents=["a"]) as session, session.agent_round("a") as rnd:
        subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], env=mt.child_env(), check=True)
        expected = (session.trace_id, session.span_id, rnd.span_id)
    mt.shutdown()
    spans = _sessions(tmp_path)
    assert {span["traceId"] for span in spans} == {expected[0]}
    sessions = {span["spanId"]: span for span in spans if span["name"] == "coordination.session"}
    assert len(sessions) == 3
    parents = {span_id: span.get("parentSpanId") for span_id, span in sessions.items()}
    child = next(span_id for span_id, parent in parents.items() if parent == expected[2])
    grandchild = next(span_id for span_id, parent in parents.items() if parent == child)
    assert {expected[1], child, grandchild} == set(sessions)
    [record] = [span for span in spans if span["name"] == "outside of any session"]
    assert record["parentSpanId"] == child


@pytest.mark.parametrize("traceparent", ["garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-abc-def-01", ""])
def test_a_broken_traceparent_is_passed_over(traceparent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be parsed starts a trace of its own."""
    monkeypatch.setenv("TRACEPARENT", traceparent)
    with capture() as captured, captured.tracer.session("q"):
        pass
    assert captured.find("coordination.session").parent is None
