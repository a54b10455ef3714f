"""Crossing borders: streams, coroutines, functions in threads and other processes keep the context that they were given."""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast, overload

from opentelemetry import context as otel_context

from massgen_tracing.trace.carriers import extract, inject
from massgen_tracing.trace.steps import CoroutineIn, await_in, stream_in

P = ParamSpec("P")
T = TypeVar("T")

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
    return stream_in(stream, contextvars.copy_context())


@overload
def bind(work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]: ...
@overload
def bind(work: Callable[P, T]) -> Callable[P, T]: ...
def bind(work: Any) -> Any:
    """A coroutine or function that runs in a copy of the context at this call, in whatever task or thread it is run.

    For threads (`threading.Thread`), executors (`executor.submit`, `run_in_executor`; a process pool gets the current span and the baggage),
    callbacks and signal handlers, which start with an empty or a stranger's context. `create_task`, `gather`, `TaskGroup` and
    `asyncio.to_thread` carry the context by themselves.

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
        return CoroutineIn(work, context)
    if inspect.isasyncgen(work):
        return stream_in(work, context)
    if not callable(work):
        raise TypeError(f"bind() takes a coroutine or a function, got {type(work).__name__}. Call it as bind(work()) or bind(work).")
    if inspect.iscoroutinefunction(work):

        @functools.wraps(work)
        async def bound_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await await_in(context.copy().run, work(*args, **kwargs))

        return bound_coroutine
    if inspect.isasyncgenfunction(work):

        @functools.wraps(work)
        def bound_stream(*args: Any, **kwargs: Any) -> Any:
            return stream_in(work(*args, **kwargs), context.copy())

        return bound_stream

    return _BoundFunction(work, context)


class _BoundFunction:
    """A function that runs in a copy of one context. Sent to another process (a process pool), it takes the current span and baggage along."""

    def __init__(self, work: Callable[..., Any], context: contextvars.Context) -> None:
        self._work = work
        self._context = context
        functools.update_wrapper(self, work)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._context.copy().run(self._work, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        carrier: dict[str, str] = {}
        inject(carrier, self._context.run(otel_context.get_current))
        return _bound_elsewhere, (self._work, carrier)


def _bound_elsewhere(work: Callable[..., Any], carrier: dict[str, str]) -> _BoundFunction:
    context = contextvars.copy_context()
    context.run(otel_context.attach, extract(carrier))
    return _BoundFunction(work, context)
