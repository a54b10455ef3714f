"""`bind_stream` behaves as the bare generator does, but for the context that its steps run in."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace as otel_trace

import massgen_tracing as mt
from massgen_tracing.testing import capture
from tests.trace.bare import Boom, complaints

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="outside")


async def _ticks(count: int) -> AsyncIterator[int]:
    for i in range(count):
        await asyncio.sleep(0)
        yield i


async def told(seen: list[str]) -> list[str]:
    """What a stream says when the loop has come to closing it."""
    while not seen:  # noqa: ASYNC110 - the stream is closed by the loop, which tells nobody
        await asyncio.sleep(0)
    return seen


async def test_what_a_step_sets_the_next_step_finds_whoever_drives_it() -> None:
    """A ContextVar set in the first step is there in the later ones, each driven by a task of its own, and never in the driver."""

    async def stream() -> AsyncIterator[str]:
        VAR.set("inside")
        for _ in range(3):
            yield VAR.get()

    bound = mt.bind_stream(stream())
    VAR.set("driver")
    assert [await asyncio.create_task(anext(bound)) for _ in range(3)] == ["inside"] * 3
    assert VAR.get() == "driver"


async def test_the_context_is_that_of_the_call() -> None:
    """What the caller had set when it bound the stream is what the stream finds, however it has changed since."""

    async def stream() -> AsyncIterator[str]:
        yield VAR.get()

    VAR.set("then")
    bound = mt.bind_stream(stream())
    VAR.set("now")
    assert await anext(bound) == "then"


async def test_the_current_task_is_the_drivers() -> None:
    """No task stands between driver and stream."""

    async def stream() -> AsyncIterator[Any]:
        yield asyncio.current_task()

    assert await anext(mt.bind_stream(stream())) is asyncio.current_task()


async def test_a_timeout_of_the_driver_reaches_the_stream() -> None:
    """`asyncio.timeout` around a step cancels what the stream waits for, and the stream sees it."""
    seen: list[str] = []

    async def stream() -> AsyncIterator[int]:
        try:
            await asyncio.sleep(60)
            yield 1
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    bound = mt.bind_stream(stream())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(bound)
    assert seen == ["cancelled"]
    assert await anext(bound, "ended") == "ended"


async def test_a_timeout_and_a_task_group_within_a_step_work() -> None:
    """Structured concurrency inside of a step belongs to the task that drives it."""

    async def stream() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            yield "timed out"
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0, "done"))
        yield task.result()

    assert [chunk async for chunk in mt.bind_stream(stream())] == ["timed out", "done"]


async def test_nested_generators_are_closed_in_order_when_a_stream_is_closed_early() -> None:
    """A stream of streams, closed at a yield: the innermost span ends first, each within the one around it, at once."""

    async def inner() -> AsyncIterator[int]:
        with mt.get_tracer().span("inner"):
            yield 1

    async def middle() -> AsyncIterator[int]:
        with mt.get_tracer().span("middle"):
            async for chunk in inner():
                yield chunk

    async def outer() -> AsyncIterator[int]:
        with mt.get_tracer().span("outer"):
            async for chunk in middle():
                yield chunk

    with capture() as captured:
        bound = mt.bind_stream(outer())
        await asyncio.create_task(anext(bound))
        await asyncio.create_task(bound.aclose())
        assert [span.name for span in captured.ended] == ["inner", "middle", "outer"]
    assert captured.tree() == "outer\n  middle\n    inner"


async def test_a_nested_generator_whose_closing_must_wait_is_finished_by_the_loop() -> None:
    """Where a nested generator awaits while it is closed, the event loop goes on with it in the stream's own context."""
    seen: list[str] = []

    async def inner() -> AsyncIterator[int]:
        VAR.set("inner")
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append(VAR.get())

    async def outer() -> AsyncIterator[int]:
        async for chunk in inner():
            yield chunk

    bound = mt.bind_stream(outer())
    await anext(bound)
    await bound.aclose()
    assert await told(seen) == ["inner"]


async def test_a_nested_generator_is_closed_by_one_task_from_its_first_step_on() -> None:
    """Cancel scopes remember their task: a connection that is left in the middle of its answer is closed by one task, in nested streams too."""
    closers: list[list[asyncio.Task[Any] | None]] = []

    async def connection() -> AsyncIterator[int]:
        seen: list[asyncio.Task[Any] | None] = []
        closers.append(seen)
        try:
            yield 1
            yield 2
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    seen.append(asyncio.current_task())
                    await anyio.lowlevel.checkpoint()
            seen.append(asyncio.current_task())

    async def left_early() -> AsyncIterator[str]:
        async for _ in connection():
            break
        yield VAR.get()
        async for _ in mt.bind_stream(left_half()):
            pass
        yield VAR.get()

    async def left_half() -> AsyncIterator[str]:
        async for _ in connection():
            yield "half"
            break

    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    VAR.set("inside")
    bound = mt.bind_stream(left_early())
    driver = asyncio.current_task()
    assert [await asyncio.create_task(anext(bound)) for _ in range(2)] == ["inside", "inside"]
    await bound.aclose()
    for _ in range(20):
        await asyncio.sleep(0)
    assert [len(seen) for seen in closers] == [4, 4]
    assert all(len(set(seen)) == 1 and seen[0] is not None for seen in closers)
    assert asyncio.current_task() is driver
    assert problems == []


async def test_a_nested_generator_dropped_elsewhere_is_closed_in_the_streams_context() -> None:
    """A generator that began within a stream and is dropped by a stranger still ends in the stream's context."""
    seen: list[str] = []
    kept: list[Any] = []

    async def inner() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            seen.append(VAR.get())

    async def outer() -> AsyncIterator[int]:
        VAR.set("stream")
        generator = inner()
        kept.append(generator)
        yield await anext(generator)
        yield 2

    bound = mt.bind_stream(outer())
    await anext(bound)
    kept.clear()
    await bound.aclose()
    gc.collect()
    assert await told(seen) == ["stream"]


async def test_a_collected_stream_is_closed_by_the_loop_in_its_own_context() -> None:
    """An unfinished stream that nobody holds any more runs its `finally` in the context that it was bound in."""
    seen: list[str] = []

    async def stream() -> AsyncIterator[int]:
        VAR.set("stream")
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append(VAR.get())

    bound = mt.bind_stream(stream())
    await anext(bound)
    del bound
    gc.collect()
    assert await told(seen) == ["stream"]


def test_a_stream_left_at_the_end_of_the_loop_is_closed_once_and_in_its_context(caplog: pytest.LogCaptureFixture) -> None:
    """`asyncio.run` closes what is left when it ends: the stream's spans end, nothing complains."""
    left: list[Any] = []

    async def inner() -> AsyncIterator[int]:
        with otel_trace.get_tracer("third.party").start_as_current_span("inner"):
            yield 1

    async def stream() -> AsyncIterator[int]:
        with mt.get_tracer().span("stream"):
            async for chunk in inner():
                yield chunk

    async def main() -> None:
        bound = mt.bind_stream(stream())
        left.append(bound)
        await anext(bound)

    with capture() as captured:
        asyncio.run(main())
        assert [span.name for span in captured.ended] == ["inner", "stream"]
    assert caplog.records == []
    left.clear()


def test_a_nested_generator_that_outlives_its_loop_is_the_loops_as_without_us(caplog: pytest.LogCaptureFixture) -> None:
    """The loop closes it at its end; one that begins later closes none of the first one's, and nobody complains."""
    closed: list[asyncio.AbstractEventLoop] = []
    kept: list[AsyncGenerator[int, None]] = []

    async def inner() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(asyncio.get_running_loop())

    async def outer() -> AsyncGenerator[int, None]:
        kept.append(inner())
        yield await anext(kept[-1])

    async def main() -> asyncio.AbstractEventLoop:
        assert [number async for number in mt.bind_stream(outer())] == [1]
        return asyncio.get_running_loop()

    async def later() -> None:
        kept.clear()
        gc.collect()
        await asyncio.sleep(0)

    first = asyncio.run(main())
    asyncio.run(later())
    assert closed == [first]
    assert caplog.records == []


async def test_references_are_let_go() -> None:
    """A finished stream keeps neither its generator nor the last chunk alive."""

    class Chunk:
        pass

    async def stream() -> AsyncIterator[Chunk]:
        yield Chunk()

    bound = mt.bind_stream(stream())
    chunk = await anext(bound)
    reference = weakref.ref(chunk)
    del chunk
    async for _ in bound:
        pass
    del bound
    assert reference() is None


@pytest.mark.parametrize("caught", [True, False])
@pytest.mark.parametrize("waits", [True, False])
async def test_nothing_is_held_in_a_circle(caught: bool, waits: bool) -> None:
    """An exception that was thrown into a stream is freed without the garbage collector, whether the stream catches it or not."""

    async def stream() -> AsyncGenerator[int, None]:
        while True:
            try:
                yield 1
            except KeyError:
                if waits:
                    await asyncio.sleep(0)
                if not caught:
                    raise

    class Thrown(KeyError):
        pass

    gc.disable()
    try:
        bound = mt.bind_stream(stream())
        await anext(bound)
        error = Thrown()
        reference = weakref.ref(error)
        with contextlib.suppress(Thrown):
            await bound.athrow(error)
        del error
        assert reference() is None
    finally:
        gc.enable()
    await bound.aclose()


async def test_an_object_that_makes_its_iterator_is_bound_with_it() -> None:
    """What `async for` would take: its `__aiter__` is called in the stream's context."""

    class Agent:
        async def __aiter__(self) -> AsyncIterator[str]:
            yield VAR.get()
            VAR.set("inside")
            yield VAR.get()

    bound: AsyncGenerator[str, Any] = mt.bind_stream(Agent())
    VAR.set("driver")
    assert [await asyncio.create_task(anext(bound)) for _ in range(2)] == ["outside", "inside"]


async def test_any_async_iterator_can_be_bound() -> None:
    """A class with `__anext__` is driven in one context too, and closed by its `aclose` where it has one."""

    class Numbers:
        closed = False

        def __init__(self) -> None:
            self.n = 0

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(0)
            self.n += 1
            if self.n > 3:
                raise StopAsyncIteration
            before = VAR.get()
            VAR.set(f"step {self.n}")
            return before

        async def aclose(self) -> None:
            self.closed = True

    numbers = Numbers()
    assert [chunk async for chunk in mt.bind_stream(numbers)] == ["outside", "step 1", "step 2"]
    numbers = Numbers()
    bound = mt.bind_stream(numbers)
    await anext(bound)
    await bound.aclose()
    assert numbers.closed


async def test_it_is_an_async_generator() -> None:
    """Whoever looks finds an async generator, which a loop and a type checker know."""
    bound = mt.bind_stream(_ticks(1))
    assert isinstance(bound, AsyncGenerator)
    assert isinstance(bound, types.AsyncGeneratorType)
    await bound.aclose()


async def test_the_loops_hooks_are_left_as_they_were() -> None:
    """After a step the interpreter's generator hooks are the event loop's again."""
    before = sys.get_asyncgen_hooks()
    assert [chunk async for chunk in mt.bind_stream(_ticks(3))] == [0, 1, 2]
    assert sys.get_asyncgen_hooks() == before


# --- the same as the bare generator, for any way of driving it ----------------------------------------------------------------------

ACTIONS = st.sampled_from(["next", "send", "throw", "throw_exit", "throw_stop", "throw_class", "close", "cancel", "twice"])
BODIES = st.lists(
    st.sampled_from(["yield", "await", "catch", "ignore_exit", "raise", "return", "finally_await", "raise_stop"]), min_size=1, max_size=6
)


def _generator(body: list[str], log: list[str]) -> Callable[[], AsyncGenerator[Any, Any]]:
    async def generator() -> AsyncGenerator[Any, Any]:
        for i, what in enumerate(body):
            if what == "yield":
                log.append(f"got {(yield i)!r}")
            elif what == "await":
                await asyncio.sleep(0)
            elif what == "catch":
                try:
                    yield f"catch{i}"
                except Exception as error:
                    log.append(f"caught {error!r}")
            elif what == "ignore_exit":
                try:
                    yield f"ignore{i}"
                except GeneratorExit:
                    yield "ignored"
            elif what == "raise":
                raise Boom(i)
            elif what == "raise_stop":
                raise StopAsyncIteration(i)
            elif what == "return":
                return
            elif what == "finally_await":
                try:
                    yield f"finally{i}"
                finally:
                    log.append("cleaning")
                    await asyncio.sleep(0)
                    log.append("cleaned")

    return generator


async def _outcome(awaitable: Any) -> str:
    try:
        return f"value {await awaitable!r}"
    except BaseException as error:
        return f"{type(error).__name__} {error.args!r}"


async def _drive(generator: AsyncGenerator[Any, Any], actions: list[str]) -> list[str]:
    seen = []
    for action in actions:
        if action == "next":
            seen.append(await _outcome(anext(generator)))
        elif action == "send":
            seen.append(await _outcome(generator.asend("sent")))
        elif action == "throw":
            seen.append(await _outcome(generator.athrow(Boom("thrown"))))
        elif action == "throw_class":
            seen.append(await _outcome(generator.athrow(Boom)))
        elif action == "throw_exit":
            seen.append(await _outcome(generator.athrow(GeneratorExit())))
        elif action == "throw_stop":
            seen.append(await _outcome(generator.athrow(StopAsyncIteration("thrown"))))
        elif action == "close":
            seen.append(await _outcome(generator.aclose()))
        elif action == "cancel":
            task = asyncio.create_task(_outcome(anext(generator)))
            await asyncio.sleep(0)
            task.cancel()
            seen.append(repr(await asyncio.gather(task, return_exceptions=True)))
        elif action == "twice":
            seen.append(repr(await asyncio.gather(_outcome(anext(generator)), _outcome(anext(generator)))))
    seen.append(await _outcome(generator.aclose()))
    seen.append(await _outcome(generator.aclose()))
    return seen


@pytest.mark.usefixtures("cheap_collections")
@pytest.mark.parametrize("cases", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_it_answers_as_the_bare_generator_does(cases: int) -> None:
    """Whatever is sent, thrown, closed or cancelled, values, errors and what the body goes through are the same with and without binding."""

    def run(body: list[str], actions: list[str], *, bind: bool) -> tuple[list[str], list[str], set[str]]:
        log: list[str] = []
        gc.freeze()  # Hypothesis keeps more with each case

        async def main() -> list[str]:
            generator = _generator(body, log)()
            return await _drive(mt.bind_stream(generator) if bind else generator, actions)

        with complaints() as said:
            answers = asyncio.run(main())
            gc.collect()
        return answers, log, set(said)

    @settings(max_examples=cases)
    @given(body=BODIES, actions=st.lists(ACTIONS, max_size=6))
    def search(body: list[str], actions: list[str]) -> None:
        assert run(body, actions, bind=True) == run(body, actions, bind=False)

    search()
