"""Advancing an awaitable or a generator step by step inside one context: what `bind_stream` and `bind` stand on.

It is advanced by calling its `send` and `throw` inside one `contextvars.Context`, from within the task or thread that drives it. What the work sets
in one step it finds in the next, nothing of it reaches the driver, and because no task of its own is made, cancellation, timeouts, task groups
and `asyncio.current_task()` are the driver's, as without it.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Self, TypeVar, cast

T = TypeVar("T")

Run = Callable[[Callable[..., Any], Any], Any]
"""`contextvars.Context.run`, or what does more: calls a function with one argument."""


Then = Callable[[Any, contextvars.Context], Any]
"""What becomes of a result of work that ran in a context."""


def generator_in(generator: Iterator[T], context: contextvars.Context) -> Generator[T, Any, Any]:
    """*generator*, or any other iterator, with every step made inside *context*."""
    # A real generator, as with `stream_in`: running twice at once, sending to one that has not begun and ignoring one's closing are judged by the
    # interpreter. Nothing that was sent, thrown or raised is kept in a local variable: it would hold this frame, and this frame it, in a circle.
    run = context.run
    proceed = getattr(generator, "send", None) or (lambda _: next(generator))
    throw, close = getattr(generator, "throw", None), getattr(generator, "close", None)
    step, given = proceed, None
    while True:
        try:
            value = run(step, given)
        except StopIteration as stop:
            return stop.value
        finally:
            given = None
        try:
            given = yield value
        except BaseException as error:
            # Closing comes this way too, as GeneratorExit: the inner one's answer to it becomes this one's.
            if throw is None:  # an iterator that is no generator: all that can be done is to close it
                if close is not None:
                    run(_close_steps, generator)
                raise
            step, given = throw, error
        else:
            step = proceed


async def stream_in(stream: AsyncIterator[T], context: contextvars.Context) -> AsyncGenerator[T, Any]:
    """*stream*, with every step made inside *context*."""
    # The outer generator is a real one, so that the interpreter itself gives it a generator's life: running twice at once is refused, and an
    # unfinished one is closed by the loop's hooks when it is collected or the loop shuts down. Every step, the closing one included, goes
    # through `await_in`, so the inner one ends in its own context too.
    asend, athrow, aclose = (getattr(stream, name, None) for name in ("asend", "athrow", "aclose"))
    # A generator's steps are iterators already; those of another iterator may be any awaitables.
    native = isinstance(stream, types.AsyncGeneratorType)
    proceed: Callable[[], Any] = stream.__anext__ if native else lambda: _iterator(anext(stream))
    run, leave = _runner(context)
    step = _first_step(stream, proceed)
    try:
        while True:
            try:
                pending = run(step.send, None)
            except StopIteration as stop:
                value = stop.value  # the step had nothing to wait for
            else:
                value = await _rest(run, step, pending)
            step = None  # what was thrown holds this frame, and the step holds what was thrown
            try:
                sent = yield value
            except BaseException as error:
                # GeneratorExit comes the same way: whether this generator is being closed or was thrown it, the inner one's answer (return,
                # raise, or yield again) becomes this one's, and the interpreter judges it as it would have judged the inner one's.
                if athrow is None:  # an iterator that is no generator: all that can be done is to close it
                    if aclose is not None:
                        await await_in(run, aclose())
                    raise
                step = athrow(error) if native else _iterator(athrow(error))
            else:
                step = proceed() if sent is None or asend is None else _iterator(asend(sent))
    except StopAsyncIteration:
        return
    finally:
        step = None
        leave()


def _first_step(stream: AsyncIterator[Any], proceed: Callable[[], Any]) -> Any:
    # A generator tells the event loop of itself when its first step is made, and the loop would later close it in whatever context it
    # happens to be in, while the outer generator does so too. The outer one is enough: it holds the inner one and closes it.
    if not isinstance(stream, types.AsyncGeneratorType):
        return proceed()
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return proceed()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _runner(context: contextvars.Context) -> tuple[Run, Callable[[], None]]:
    """`context.run` for a stream's steps, which also closes in order what the stream leaves unfinished; and what is to be called at its end.

    Streams are made of streams: `async for chunk in backend.stream(): yield chunk`. When such a stream is closed early, nobody closes the inner
    generator: the interpreter hands it to the event loop, which closes it some time later in some other context, when the spans around it
    have ended. So generators that begin within a step are given a hook of ours, which closes them there and then, as the interpreter does
    with ordinary generators. What somebody still holds when the stream is over is the loop's then, which closes it when it ends itself.
    """
    # Looked up once: this is on the way of every chunk.
    enter, get_hooks, set_hooks = context.run, sys.get_asyncgen_hooks, sys.set_asyncgen_hooks
    seen: Callable[[Any], Any] | None = None
    fallback: Callable[[Any], Any] | None = None
    thread = 0
    loop: asyncio.AbstractEventLoop | None = None
    begun: weakref.WeakSet[AsyncGenerator[Any, Any]] | None = None

    def begin(generator: AsyncGenerator[Any, Any]) -> None:
        nonlocal begun
        if begun is None:
            begun = weakref.WeakSet()
        begun.add(generator)

    def finalize(generator: AsyncGenerator[Any, Any]) -> None:
        # A copy: the generator's context may be in use just now, further out on the stack.
        own = context.copy()
        closed = threading.get_ident() == thread and loop is not None and _close_now(generator, own, loop)
        if not closed and fallback is not None:
            fallback(_Unfinished(generator, own))

    def run(function: Callable[..., Any], argument: Any) -> Any:
        nonlocal seen, fallback, thread, loop
        firstiter, finalizer = get_hooks()
        if finalizer is not seen:  # another loop, or within another stream's step
            seen, thread, loop = finalizer, threading.get_ident(), asyncio._get_running_loop()  # noqa: SLF001 - public but for its name
            if (
                getattr(finalizer, "__code__", None) is not finalize.__code__
            ):  # another stream's: an unfinished generator is the loop's, not that one's
                fallback = finalizer
        set_hooks(begin, finalize)
        try:
            return enter(function, argument)
        finally:
            del function, argument
            set_hooks(firstiter, finalizer)

    def leave() -> None:
        left = [generator for generator in begun or () if getattr(generator, "ag_frame", None) is not None]
        firstiter = get_hooks()[0]
        if left and firstiter is not None and not getattr(loop, "_asyncgens_shutdown_called", False):
            for generator in left:
                firstiter(generator)

    return run, leave


def _close_now(generator: AsyncGenerator[Any, Any], context: contextvars.Context, loop: asyncio.AbstractEventLoop) -> bool:
    """Close *generator* here and now, as far as it has nothing to wait for; what is left goes on in a task.

    It is that task's work from its first step on (`asyncio.current_task()`): cancel scopes and locks remember the task that took them. That is what
    a task with an eager start is, which asyncio has from Python 3.12 on.

    Returns:
        False where *loop*, which the generator belongs to, does not run in this thread: nothing has been done.
    """
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001
        return False
    closing = _Closing(generator.aclose())
    task = loop.create_task(closing, context=context)
    driver = asyncio.current_task(loop)
    if driver is not None:
        asyncio.tasks._leave_task(loop, driver)  # noqa: SLF001 - for implementations of tasks (asyncio, "Extending")
    asyncio.tasks._enter_task(loop, task)  # noqa: SLF001
    try:
        closing.begin(context)
    finally:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001
        if driver is not None:
            asyncio.tasks._enter_task(loop, driver)  # noqa: SLF001
    if closing.done:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - a loop that stops now leaves nothing undone
    return True


class _Closing(Coroutine[Any, Any, None]):
    """The closing of a generator, whose first step is made before its task begins."""

    def __init__(self, steps: Any) -> None:
        self._steps = steps
        self._first: Callable[[], Any] | None = None
        self.done = False

    def begin(self, context: contextvars.Context) -> None:
        """Make the first step; the task will get what came of it."""
        try:
            pending = context.run(self._steps.send, None)
        except StopIteration:
            self.done = True
            self._first = partial(_raise, StopIteration())
        except BaseException as error:  # noqa: BLE001 - the task raises it, and asyncio tells of it as of every other task
            self._first = partial(_raise, error)
        else:
            self._first = lambda: pending

    def send(self, value: Any) -> Any:
        first, self._first = self._first, None
        return self._steps.send(value) if first is None else first()

    def throw(self, *error: Any) -> Any:
        first, self._first = self._first, None
        if self.done:
            assert first is not None
            first()
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._steps.__await__()


def _raise(error: BaseException) -> None:
    raise error


class _Unfinished:
    """An unfinished generator as the event loop's hook takes it: `aclose()` closes it in its own context."""

    def __init__(self, generator: AsyncGenerator[Any, Any], context: contextvars.Context) -> None:
        self._generator = generator
        self._context = context

    async def aclose(self) -> None:
        await await_in(self._context.run, self._generator.aclose())


@types.coroutine
def await_in(run: Run, awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
    """Await *awaitable* with each of its steps made by *run*."""
    steps = _iterator(awaitable)
    try:
        pending = run(steps.send, None)
    except StopIteration as stop:
        return cast("T", stop.value)
    return cast("T", (yield from _rest(run, steps, pending)))


@types.coroutine
def _rest(run: Run, steps: Any, pending: Any) -> Generator[Any, Any, Any]:
    """Await what is left of *steps* after the first one, each step made by *run*; what `await` does (PEP 380), but for the context.

    Args:
        run: `contextvars.Context.run`, or what does more.
        steps: an iterator with `send`, `throw` and `close`.
        pending: what the first step waits for.
    """
    send = steps.send
    try:
        while True:
            try:
                sent = yield pending
            except GeneratorExit:
                run(_close_steps, steps)
                raise
            except BaseException as error:  # noqa: BLE001 - cancellation comes this way; the work is told, and its answer is passed on
                pending = run(steps.throw, error)
            else:
                pending = run(send, sent)
    except StopIteration as stop:
        return stop.value
    finally:
        steps = send = None


def _close_steps(steps: Any) -> None:
    steps.close()


def _iterator(awaitable: Awaitable[Any]) -> Any:
    """The steps of *awaitable*, with `send`, `throw` and `close`."""
    steps = awaitable.__await__()
    return steps if hasattr(steps, "send") and hasattr(steps, "throw") and hasattr(steps, "close") else _delegate(steps)


def _delegate(steps: Iterator[Any]) -> Generator[Any, Any, Any]:
    return (yield from steps)


def steps_of(awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
    """The steps of *awaitable*, which is not asked for them before the first is made."""
    return (yield from awaitable.__await__())


class CoroutineIn(Coroutine[Any, Any, T]):
    """A coroutine whose every step runs in one context. It delegates everything, so that one cancelled before its first step is closed too."""

    def __init__(self, work: Coroutine[Any, Any, T] | Generator[Any, Any, T], context: contextvars.Context, then: Then) -> None:
        self._work = work
        self._context = context
        self._then = then
        self.__name__ = getattr(work, "__name__", type(work).__name__)
        self.__qualname__ = getattr(work, "__qualname__", self.__name__)

    @property  # type: ignore[misc]  # of mypy's stubs, it can be set
    def __class__(self) -> type:
        # `inspect.iscoroutine` and the like, which frameworks decide by, ask for no more than this.
        return self._work.__class__ if isinstance(self._work, Coroutine) else CoroutineIn

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._work, name)  # what `inspect.getcoroutinestate` and debuggers ask for

    def _step(self, method: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._context.run(method, *args)
        except StopIteration as stop:
            stop.value = self._then(stop.value, self._context)
            raise

    def send(self, value: Any) -> Any:
        return self._step(self._work.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._work.throw, *error)

    def close(self) -> None:
        self._context.run(self._work.close)

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # an iterator with send, throw and close, which is what `await` asks for

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def __del__(self) -> None:
        # One that is dropped in the middle ends in its context; of one that never began the interpreter says so.
        if getattr(self._work, "cr_suspended", False):
            self.close()
