"""Context across tasks, threads, processes and requests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import inspect
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace

import massgen_tracing as mt
from massgen_tracing.errors import UsageError
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


async def test_a_bound_function_of_any_kind_can_be_sent() -> None:
    """Partials, methods, coroutine and stream functions too; elsewhere they run below the span in which they were bound."""
    with capture() as captured, captured.tracer.span("parent") as parent:
        works: list[Callable[[], Any]] = [functools.partial(_span_of), _Sent().method, _span_later, functools.partial(_span_later)]
        sent = [pickle.dumps(mt.bind(work)) for work in works] + [pickle.dumps(mt.bind_stream(_spans))]
    received = [pickle.loads(each) for each in sent]
    found = [received[0](), received[1](), await received[2](), await received[3](), *received[4]()]
    assert found == [int(parent.span_id, 16)] * 5
    assert _span_of() == 0


def _span_of() -> int:
    return otel_trace.get_current_span().get_span_context().span_id


async def _span_later() -> int:
    await asyncio.sleep(0)
    return _span_of()


def _spans() -> Iterator[int]:
    yield _span_of()


class _Sent:
    def method(self) -> int:
        return _span_of()


def test_what_is_bound_twice_has_its_first_context() -> None:
    """As what is bound once; a bound stream that is bound again, too."""
    VAR.set("first")
    bound, stream = mt.bind(_function), mt.bind_stream(_generator())
    VAR.set("second")
    assert (mt.bind(bound)(), list(mt.bind_stream(stream))) == ("first", ["", "first!"])
    VAR.set("outside")


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


# --- every kind of callable --------------------------------------------------------------------------------------------------------


async def _coroutine(prefix: str = "") -> str:
    await asyncio.sleep(0)
    return prefix + VAR.get()


async def _stream(prefix: str = "") -> AsyncIterator[str]:
    VAR.set(VAR.get() + "!")
    yield prefix
    yield prefix + VAR.get()


def _generator(prefix: str = "") -> Iterator[str]:
    VAR.set(VAR.get() + "!")
    yield prefix
    yield prefix + VAR.get()


def _function(prefix: str = "") -> str:
    return prefix + VAR.get()


BARE: dict[str, tuple[Callable[..., Any], str]] = {
    "a function": (_function, "then"),
    "a coroutine function": (_coroutine, "then"),
    "a stream function": (_stream, "then!"),
    "a generator function": (_generator, "then!"),
}


class _Object:
    """Called, awaited for, iterated: what its `work` is."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work

    def method(self, prefix: str = "") -> Any:
        return self.work(prefix)

    __call__ = method


class _Async:
    async def __call__(self, prefix: str = "") -> str:
        return await _coroutine(prefix)

    async def method(self, prefix: str = "") -> str:
        return await _coroutine(prefix)


class _Streaming:
    async def __call__(self, prefix: str = "") -> AsyncIterator[str]:
        async for chunk in _stream(prefix):
            yield chunk


class _Generating:
    def __call__(self, prefix: str = "") -> Iterator[str]:
        yield from _generator(prefix)


def _decorated(work: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(work)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return work(*args, **kwargs)

    return wrapper


def _later(work: Callable[..., Any]) -> Callable[..., Any]:
    async def opened(prefix: str = "") -> Any:
        await asyncio.sleep(0)
        return work(prefix)

    return opened


WRAPPED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "itself": lambda work: work,
    "a partial of it": functools.partial,
    "a partial of a partial": lambda work: functools.partial(functools.partial(work, *[])),
    "decorated with functools.wraps": _decorated,
    "in a lambda": lambda work: lambda prefix="": work(prefix),
    "behind a method": lambda work: _Object(work).method,
    "behind an object": _Object,
    "behind a decorated object": lambda work: _decorated(_Object(work)),
    "after an await": _later,
}
CALLABLES = {
    **{f"{kind}, {how}": (wrap(work), found) for kind, (work, found) in BARE.items() for how, wrap in WRAPPED.items()},
    "an object with async __call__": (_Async(), "then"),
    "a method of it": (_Async().method, "then"),
    "a partial of it": (functools.partial(_Async()), "then"),
    "an object whose __call__ is a stream": (_Streaming(), "then!"),
    "an object whose __call__ is a generator": (_Generating(), "then!"),
    "a mock of a coroutine function": (mock.AsyncMock(side_effect=_coroutine, spec=_coroutine), "then"),
}


async def _last(result: Any) -> Any:
    """What a call comes to in the end, each step driven by a task or thread of its own."""
    if inspect.isawaitable(result):
        return await _last(await asyncio.ensure_future(result))
    last = None
    if isinstance(result, AsyncIterator):
        while (chunk := await asyncio.create_task(anext(result, _last))) is not _last:
            last = chunk
        return last
    if isinstance(result, Generator):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            while (chunk := pool.submit(next, result, _last).result()) is not _last:
                last = chunk
        return last
    return result


@pytest.mark.parametrize(("work", "found"), CALLABLES.values(), ids=CALLABLES)
async def test_every_kind_of_callable_runs_in_the_context_of_the_binding(work: Callable[..., Any], found: str) -> None:
    """Whatever a call is or returns, all of its steps find what was current when it was bound, and each call has a copy of its own."""
    VAR.set("then")
    bound, streaming = mt.bind(work), mt.bind_stream(work)
    VAR.set("now")
    for _ in range(2):
        assert await _last(bound()) == found
        assert await _last(streaming("a ")) == f"a {found}"
    assert VAR.get() == "now"


ASKED: list[tuple[Callable[[Any], bool], Callable[[Any], bool]]] = [
    (inspect.iscoroutinefunction, inspect.iscoroutine),
    (asyncio.iscoroutinefunction, asyncio.iscoroutine),
    (inspect.isasyncgenfunction, inspect.isasyncgen),
    (inspect.isgeneratorfunction, inspect.isgenerator),
]


@pytest.mark.parametrize("work", [work for work, _ in CALLABLES.values()], ids=CALLABLES)
async def test_frameworks_see_what_they_would_see_without_binding(work: Callable[..., Any]) -> None:
    """Whether it makes coroutines, streams or generators, its signature and its name: said of the bound one as of the bare one, or of its call."""
    bound = mt.bind(work)
    assert _signature(bound) == _signature(work)
    assert getattr(bound, "__name__", "") == getattr(work, "__name__", bound.__name__)
    assert (bound.__doc__, bound.__module__) == (work.__doc__, work.__module__)
    results = [work(), bound()]
    for of_function, of_result in ASKED:
        # Of an object with `__call__` frameworks ask its `__call__`, too; of what is bound they need not.
        assert of_function(bound) or not (of_function(work) or of_function(type(work).__call__))
        assert of_result(results[1]) or not of_function(bound)
        assert of_result(results[0]) == of_result(results[1])
    for result in results:
        await _last(result)


def _signature(work: Callable[..., Any]) -> inspect.Signature | None:
    """None where Python does not know it: early ones of 3.11 do not that of a mock."""
    try:
        return inspect.signature(work)
    except TypeError:
        return None


def test_a_marked_function_stays_marked() -> None:
    """What `inspect.markcoroutinefunction` (Python 3.12) has marked is a coroutine function when it is bound."""
    if sys.version_info >= (3, 12):

        @inspect.markcoroutinefunction
        def marked() -> Any:
            return _coroutine()

        assert inspect.iscoroutinefunction(mt.bind(marked))
        assert inspect.iscoroutinefunction(mt.bind(functools.partial(marked)))
    assert not inspect.iscoroutinefunction(mt.bind(_function))


def test_a_bound_function_has_the_attributes_of_the_bare_one() -> None:
    """Those that somebody has set, whatever they are called; and as a method it is given its object."""

    class Tool:
        _work, _context, name = 1, 2, "search"

        def __init__(self) -> None:
            self._then = 3

        def __call__(self) -> str:
            return self.name + VAR.get()

    bound: Any = mt.bind(Tool())
    assert (bound.name, bound()) == ("search", "searchoutside")
    assert not hasattr(bound, "__enter__")

    class Agent:
        answer = mt.bind(lambda self, text: (type(self).__name__, text))

    assert Agent().answer("x") == ("Agent", "x")


async def test_what_a_function_returns_beside_steps_is_passed_on() -> None:
    """Values, futures, context managers and iterators of other classes are what the function returned."""

    class Connection:
        """Awaitable, and a context manager: whoever has it uses it as either."""

        def __await__(self) -> Iterator[Any]:
            return _coroutine().__await__()

        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, *exc: object) -> None:
            pass

    task = asyncio.create_task(_coroutine())
    for result in ("text", None, 3, [1], iter([1]), task, Connection(), contextlib.nullcontext()):
        assert mt.bind(lambda result=result: result)() is result
    await task


async def test_a_function_that_makes_context_managers_or_lists_is_called_in_its_context() -> None:
    """What a context manager sets, it sets for its block, as without binding."""

    @contextlib.contextmanager
    def setting() -> Iterator[None]:
        token = VAR.set("set")
        yield
        VAR.reset(token)

    @contextlib.asynccontextmanager
    async def setting_later() -> AsyncIterator[None]:
        with setting():
            yield

    VAR.set("then")
    with mt.bind(setting)():
        assert VAR.get() == "set"
    async with mt.bind(setting_later)():
        assert VAR.get() == "set"
    assert VAR.get() == "then"


class _Chunks:
    """A stream as clients of models have it."""

    def __init__(self) -> None:
        self.count = 0

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> str:
        self.count += 1
        if self.count > 2:
            raise StopAsyncIteration
        found = VAR.get()
        VAR.set(f"{found}!")
        return found


async def test_bind_stream_of_a_function_binds_any_iterator_that_it_returns() -> None:
    """Also one that has to be awaited for, as a client's `create(stream=True)`."""

    async def create() -> _Chunks:
        return _Chunks()

    VAR.set("then")
    bound, awaited, plain = mt.bind_stream(_Chunks), mt.bind_stream(create), mt.bind_stream(lambda: map(_function, "ab"))
    VAR.set("now")
    assert [chunk async for chunk in bound()] == ["then", "then!"]
    assert [chunk async for chunk in await awaited()] == ["then", "then!"]
    assert list(plain()) == ["athen", "bthen"]


async def test_any_awaitable_and_iterator_can_be_bound() -> None:
    """An object with `__await__`, a generator that is a coroutine, and iterators: each in one context, a bound one in its task too."""

    class Work:
        def __await__(self) -> Generator[Any, Any, str]:
            return _coroutine().__await__()

    @types.coroutine
    def old() -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return VAR.get()

    VAR.set("then")
    bound = [mt.bind(Work()), mt.bind(old()), mt.bind(Work()), mt.bind(old())]
    chunks, plain = mt.bind(_Chunks()), mt.bind(map(_function, "ab"))
    VAR.set("now")
    assert [await bound[0], await bound[1], await asyncio.create_task(bound[2]), await asyncio.create_task(bound[3])] == ["then"] * 4
    assert [chunk async for chunk in chunks] == ["then", "then!"]
    assert list(plain) == ["athen", "bthen"]


def test_a_bound_coroutine_that_is_dropped_ends_in_its_context() -> None:
    """Begun and dropped, it runs its `finally` in its own context; never begun, the interpreter says so as of the bare one."""
    seen: list[str] = []

    async def work() -> None:
        VAR.set("inside")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(VAR.get())

    coroutine = mt.bind(work())
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.call_soon(coroutine.send, None)
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_SUSPENDED
    del coroutine
    assert seen == ["inside"]
    dropped = [mt.bind(work())]
    with pytest.warns(RuntimeWarning, match="'.*work' was never awaited"):
        dropped.clear()


CANNOT: dict[str, tuple[Callable[[], Any], str, str]] = {
    "a number": (lambda: 3, r"got int\. Call it as bind\(work\(\)\)", r"got int\. Call it as bind_stream\(agent\(\)\)"),
    "nothing": (lambda: None, "got NoneType", "got NoneType"),
    "a list": (lambda: [1], "got list", "got list"),
    "a text": (lambda: "text", "got str", "got str"),
    "a future": (lambda: asyncio.get_running_loop().create_future(), r"got _?Future\. It is under way", r"got _?Future\. Await it first"),
    "a thread's future": (concurrent.futures.Future, "got Future. It is under way", "got Future"),
    "a context manager": (contextlib.contextmanager(_generator), "acts on the context that its block is in", "_GeneratorContextManager"),
    "an async one": (contextlib.asynccontextmanager(_stream), "acts on the context that its block is in", "_AsyncGeneratorContextManager"),
}


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(("make", "says", "stream_says"), CANNOT.values(), ids=CANNOT)
async def test_what_cannot_be_bound_says_so(make: Callable[[], Any], says: str, stream_says: str, enabled: bool) -> None:
    """It is a TypeError at once, switched off or not, that names what it got and what to do."""
    mt.configure(enabled=enabled, record=False)
    with pytest.raises(TypeError, match=says):
        mt.bind(make())
    with pytest.raises(TypeError, match=stream_says):
        mt.bind_stream(make())


async def test_a_coroutine_is_no_stream() -> None:
    """Whoever has forgotten to await it is told."""
    coroutine: Any = _coroutine()
    with pytest.raises(TypeError, match=r"got coroutine\. Await it first"):
        mt.bind_stream(coroutine)
    coroutine.close()


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


@pytest.mark.parametrize("env", [5, "x", b"x", [1], object(), {"A": "b"}.items, ValueError], ids=lambda env: type(env).__name__)
def test_child_env_takes_anything(env: Any, swallowed: list[str]) -> None:
    """What is no environment counts as not given, with one line; strict raises."""
    mt.configure(record=False, logfire=False, strict=False)
    with mt.get_tracer().span("parent") as span:
        assert mt.child_env(env) == {**os.environ, "TRACEPARENT": f"00-{span.trace_id}-{span.span_id}-03"}
        assert mt.child_env(env, 1, more=2).keys() == {*os.environ, "TRACEPARENT"}  # type: ignore[call-arg]
    assert swallowed == ["usage.argument.env", "usage.arguments.child_env", "usage.argument.env"]
    swallowed.clear()
    mt.configure(record=False, logfire=False, strict=True)
    with pytest.raises(UsageError, match="a mapping of variables to texts"):
        mt.child_env(env)


def test_child_env_takes_pairs() -> None:
    """As `dict` does; so do mappings of other classes."""
    assert mt.child_env([("A", "b")]) == mt.child_env(types.MappingProxyType({"A": "b"})) == {"A": "b"}  # type: ignore[arg-type]


def test_a_child_process_records_under_its_parents_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it works, with a current span and without; a root that it is given itself holds, and where nothing is recorded it is told none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASSGEN_TRACING_ROOT", "of the environment")
    own = {"MASSGEN_TRACING_ROOT": "of its own"}
    with mt.configure(root="runs").span("parent"):
        envs = [mt.child_env(), mt.child_env({}), mt.child_env(own)]
    assert [env["MASSGEN_TRACING_ROOT"] for env in (*envs, mt.child_env())] == [*2 * [str(tmp_path / "runs")], "of its own", str(tmp_path / "runs")]
    mt.configure(record=False)
    assert mt.child_env({}) == {}
    mt.configure(root="runs")
    (tmp_path / "elsewhere").mkdir()
    with mt.get_tracer().session("outer", agents=["a"]) as outer:
        code = "import massgen_tracing as mt\nwith mt.configure().session('inner', agents=['a']): pass"
        subprocess.run([sys.executable, "-c", code], env=mt.child_env(), cwd=tmp_path / "elsewhere", check=True)
    mt.shutdown()
    spans = _sessions(tmp_path / "runs")
    assert {span["parentSpanId"] for span in spans if span["traceId"] == outer.trace_id and "parentSpanId" in span} == {outer.span_id}
    assert list((tmp_path / "elsewhere").iterdir()) == []


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
def test_a_broken_traceparent_is_passed_over(traceparent: str, monkeypatch: pytest.MonkeyPatch, swallowed: list[str]) -> None:
    """What cannot be parsed is said, and starts a trace of its own."""
    monkeypatch.setenv("TRACEPARENT", traceparent)
    with capture() as captured, captured.tracer.session("q"):
        pass
    assert captured.find("coordination.session").parent is None
    assert swallowed == ["settings.traceparent"] * bool(traceparent)
    swallowed.clear()
