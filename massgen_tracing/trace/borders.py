"""Crossing borders: streams, coroutines, threads, processes and requests keep the context that they were given.

The heart of it is `_steps`: it advances an awaitable by calling its `send` and `throw` inside one `contextvars.Context`, from within the task
that awaits it. What the work sets in one step it finds in the next, nothing of it reaches the driver, and because no task of its own is
made, cancellation, timeouts, task groups and `asyncio.current_task()` are the driver's, as without it.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import os
import sys
import threading
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, ParamSpec, Self, TypeVar, cast, overload

from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from massgen_tracing import semconv

P = ParamSpec("P")
T = TypeVar("T")

Run = Callable[..., Any]
"""`contextvars.Context.run`, or what does more: calls a function with arguments."""

_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
_BAGGAGE: Final = W3CBaggagePropagator()
_FIELDS: Final = ("traceparent", "tracestate", "baggage")

_bypassed = False


def bypass(on: bool) -> None:
    """Make `bind_stream` and `bind` return what they are given, as the disabled facade does."""
    global _bypassed
    _bypassed = on


def bind_stream(stream: AsyncIterator[T]) -> AsyncGenerator[T, Any]:
    """An async generator whose every step runs in one persistent copy of the context at this call, whichever task drives it.

    What the stream sets in one step (a span held open across a `yield`, any ContextVar) it finds in the next; nothing leaks to whoever drives
    it. `asend`, `athrow`, `aclose`, cancellation, `asyncio.timeout`, task groups and garbage collection behave as on the bare generator, and
    `asyncio.current_task()` is the driver's.

    Args:
        stream: an async generator, or any async iterator.
    """
    if _bypassed:
        return cast("AsyncGenerator[T, Any]", stream)
    return _bound(stream, contextvars.copy_context())


async def _bound(stream: AsyncIterator[T], context: contextvars.Context) -> AsyncGenerator[T, Any]:
    # The outer generator is a real one, so that the interpreter itself gives it a generator's life: running twice at once is refused, and an
    # unfinished one is closed by the loop's hooks when it is collected or the loop shuts down. Every step, the closing one included, goes
    # through `_steps`, so the inner one ends in its own context too.
    asend, athrow, aclose = (getattr(stream, name, None) for name in ("asend", "athrow", "aclose"))
    # A generator's steps are iterators already; those of another iterator may be any awaitables.
    native = isinstance(stream, types.AsyncGeneratorType)
    proceed: Callable[[], Any] = stream.__anext__ if native else lambda: _iterator(anext(stream))
    run = _runner(context)
    step = _first_step(stream, proceed)
    try:
        while True:
            try:
                pending = run(step.send, None)
            except StopIteration as stop:
                value = stop.value  # the step had nothing to wait for
            else:
                value = await _rest(run, step, pending)
            try:
                sent = yield value
            except BaseException as error:
                # GeneratorExit comes the same way: whether this generator is being closed or was thrown it, the inner one's answer (return,
                # raise, or yield again) becomes this one's, and the interpreter judges it as it would have judged the inner one's.
                if athrow is None:  # an iterator that is no generator: all that can be done is to close it
                    if aclose is not None:
                        await _steps(run, aclose())
                    raise
                step = athrow(error) if native else _iterator(athrow(error))
            else:
                step = proceed() if sent is None or asend is None else _iterator(asend(sent))
    except StopAsyncIteration:
        return


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


def _runner(context: contextvars.Context) -> Run:
    """`context.run` for a stream's steps, which also closes in order what the stream leaves unfinished.

    Streams are made of streams: `async for chunk in backend.stream(): yield chunk`. When such a stream is closed early, nobody closes the inner
    generator: the interpreter hands it to the event loop, which closes it some time later in some other context, when the spans around it
    have ended. So generators that begin within a step are given a hook of ours, which closes them there and then, as the interpreter does
    with ordinary generators.
    """
    stepping = 0
    fallback: Callable[[Any], Any] | None = None

    def finalize(generator: AsyncGenerator[Any, Any]) -> None:
        if stepping == threading.get_ident() or fallback is None:
            closing: Any = generator.aclose()
            try:
                pending = closing.send(None)
            except StopIteration:
                return
            finish: Callable[[], Awaitable[None]] = partial(_rest, context.run, closing, pending)
        else:  # dropped elsewhere, or found by the garbage collector
            finish = partial(_close, context.run, generator)
        if fallback is not None:
            fallback(_Unfinished(finish))

    def run(function: Callable[..., Any], *args: Any) -> Any:
        nonlocal stepping, fallback
        hooks = sys.get_asyncgen_hooks()
        fallback = hooks.finalizer
        sys.set_asyncgen_hooks(None, finalize)
        stepping = threading.get_ident()
        try:
            return context.run(function, *args)
        finally:
            stepping = 0
            sys.set_asyncgen_hooks(*hooks)

    return run


class _Unfinished:
    """An unfinished generator as the event loop's hook takes it: `aclose()` closes it in its own context."""

    def __init__(self, finish: Callable[[], Awaitable[None]]) -> None:
        self._finish = finish

    async def aclose(self) -> None:
        await self._finish()


async def _close(run: Run, generator: AsyncGenerator[Any, Any]) -> None:
    await _steps(run, generator.aclose())


@types.coroutine
def _steps(run: Run, awaitable: Awaitable[T]) -> Generator[Any, Any, T]:
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
    try:
        while True:
            try:
                sent = yield pending
            except GeneratorExit:
                run(steps.close)
                raise
            except BaseException as error:  # noqa: BLE001 - cancellation comes this way; the work is told, and its answer is passed on
                pending = run(steps.throw, error)
            else:
                pending = run(steps.send, sent)
    except StopIteration as stop:
        return stop.value


def _iterator(awaitable: Awaitable[Any]) -> Any:
    """The steps of *awaitable*, with `send`, `throw` and `close`."""
    steps = awaitable.__await__()
    return steps if hasattr(steps, "send") and hasattr(steps, "throw") and hasattr(steps, "close") else _delegate(steps)


def _delegate(steps: Iterator[Any]) -> Generator[Any, Any, Any]:
    return (yield from steps)


@overload
def bind(work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]: ...
@overload
def bind(work: Callable[P, T]) -> Callable[P, T]: ...
def bind(work: Any) -> Any:
    """A coroutine or function that runs in a copy of the context at this call, in whatever task or thread it is run.

    For threads (`threading.Thread`, `executor.submit`, `run_in_executor`), callbacks and signal handlers, which start with an empty or a
    stranger's context. `create_task`, `gather`, `TaskGroup` and `asyncio.to_thread` carry the context by themselves.

    Args:
        work: a coroutine; or a function, a coroutine function or an async generator function. A function may be called any number of times, also
            from several threads at once; each call gets a copy of its own.

    Raises:
        TypeError: for anything else.
    """
    if _bypassed:
        return work
    context = contextvars.copy_context()
    if inspect.iscoroutine(work):
        return _BoundCoroutine(work, context)
    if inspect.isasyncgen(work):
        return _bound(work, context)
    if not callable(work):
        raise TypeError(f"bind() takes a coroutine or a function, got {type(work).__name__}. Call it as bind(work()) or bind(work).")
    if inspect.iscoroutinefunction(work):

        @functools.wraps(work)
        async def bound_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await _steps(context.copy().run, work(*args, **kwargs))

        return bound_coroutine
    if inspect.isasyncgenfunction(work):

        @functools.wraps(work)
        def bound_stream(*args: Any, **kwargs: Any) -> Any:
            return _bound(work(*args, **kwargs), context.copy())

        return bound_stream

    @functools.wraps(work)
    def bound(*args: Any, **kwargs: Any) -> Any:
        return context.copy().run(work, *args, **kwargs)

    return bound


class _BoundCoroutine(Coroutine[Any, Any, T]):
    """A coroutine whose every step runs in one context. It delegates everything, so that one cancelled before its first step is closed too."""

    def __init__(self, work: Coroutine[Any, Any, T], context: contextvars.Context) -> None:
        self._work = work
        self._run = context.run
        self.__name__ = getattr(work, "__name__", type(work).__name__)
        self.__qualname__ = getattr(work, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        return self._run(self._work.send, value)

    def throw(self, *error: Any) -> Any:
        return self._run(self._work.throw, *error)

    def close(self) -> None:
        self._run(self._work.close)

    def __await__(self) -> Generator[Any, Any, T]:
        return self  # an iterator with send, throw and close, which is what `await` asks for

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)


def child_env(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process, with the current span in `TRACEPARENT` (and `TRACESTATE`, `BAGGAGE`).

    A process that calls `configure()` under it continues the trace: its session is a child of the current span. Without a current span the
    variables stay as they are. (OpenTelemetry environment carriers.)

    Args:
        env: what to start from; None: this process's environment. Not changed.
    """
    child = dict(os.environ if env is None else env)
    carrier: dict[str, str] = {}
    inject(carrier, otel_context.get_current())
    if semconv.TRACEPARENT in carrier:
        for field in _FIELDS:
            child.pop(field.upper(), None)  # a stranger's tracestate must not go with our traceparent
        child.update({field.upper(): value for field, value in carrier.items()})
    return child


def inject(carrier: MutableMapping[str, Any], context: Context) -> None:
    """Put the current span and the baggage of *context* into *carrier*, as W3C headers in lower case."""
    _TRACE_CONTEXT.inject(carrier, context)
    _BAGGAGE.inject(carrier, context)


def remote_context(env: Mapping[str, str] | None = None) -> Context:
    """What the process that started this one put into its environment: a Context with its span and baggage, empty without."""
    source = os.environ if env is None else env
    carrier = {field: source[field.upper()] for field in _FIELDS if source.get(field.upper())}
    if semconv.TRACEPARENT not in carrier:
        return Context()
    return _BAGGAGE.extract(carrier, _TRACE_CONTEXT.extract(carrier, Context()))
