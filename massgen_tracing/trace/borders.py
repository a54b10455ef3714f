"""Crossing borders: streams, coroutines, functions in threads and other processes keep the context that they were given."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Coroutine, Generator, Iterable, Iterator
from typing import Any, Final, ParamSpec, TypeVar, overload

from opentelemetry import context as otel_context

from massgen_tracing.trace.carriers import extract, inject
from massgen_tracing.trace.steps import CoroutineIn, Then, generator_in, steps_of, stream_in

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")

Bound = Callable[[Any, contextvars.Context], Any]
"""Makes what it is given run in a context."""

_bypassed = False


def bypass(on: bool) -> None:
    """Make `bind_stream` and `bind` return what they are given, as the disabled facade does."""
    global _bypassed
    _bypassed = on


@overload
def bind_stream(stream: Generator[T, S, R]) -> Generator[T, S, R]: ...
@overload
def bind_stream(stream: AsyncIterable[T]) -> AsyncGenerator[T, Any]: ...
@overload
def bind_stream(stream: Iterable[T]) -> Generator[T, Any, Any]: ...
@overload
def bind_stream(stream: Callable[P, Generator[T, S, R]]) -> Callable[P, Generator[T, S, R]]: ...
@overload
def bind_stream(stream: Callable[P, AsyncIterable[T]]) -> Callable[P, AsyncGenerator[T, Any]]: ...
@overload
def bind_stream(stream: Callable[P, Iterable[T]]) -> Callable[P, Generator[T, Any, Any]]: ...
@overload
def bind_stream(stream: Callable[P, Coroutine[Any, Any, AsyncIterable[T]]]) -> Callable[P, Coroutine[Any, Any, AsyncGenerator[T, Any]]]: ...
def bind_stream(stream: Any) -> Any:
    """A generator whose every step runs in one persistent copy of the context at this call, whoever drives it.

    What the stream sets in one step (a span held open across a `yield`, any ContextVar) it finds in the next; nothing leaks to whoever drives
    it. Of an async stream it is an async generator: `asend`, `athrow`, `aclose`, cancellation, `asyncio.timeout`, task groups and garbage
    collection behave as on the bare one, and `asyncio.current_task()` is the driver's. Of a sync one it is a sync generator: `send`, `throw`,
    `close`, `yield from` with its value and garbage collection behave as on the bare one, from whatever thread it is driven.

    The bound stream owns the one that it was given, and closes it when it is closed or dropped itself.

    Args:
        stream: an async or sync generator or iterator, or an object with `__aiter__` or `__iter__` that makes one; or a function (also a method, a
            partial, a lambda, an object with `__call__`) that returns one, or is `async` and returns one when it is awaited: then a function of
            the same arguments, each of whose streams gets a copy of its own. What else it returns is passed on.

    Raises:
        TypeError: for anything else: coroutines (await them first), collections, whose items are there already.
    """
    bound = _stream_kind(stream) or (_bound_maker if _callable(stream) else None)
    if bound is None:
        hint = "Await it first: bind_stream(await work())." if inspect.isawaitable(stream) else "Call it as bind_stream(agent())."
        raise TypeError(f"bind_stream() takes a generator, an iterator, or a function that returns one, got {type(stream).__name__}. {hint}")
    return stream if _bypassed else bound(stream, contextvars.copy_context())


@overload
def bind(work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]: ...
@overload
def bind(work: Generator[T, S, R]) -> Generator[T, S, R]: ...
@overload
def bind(work: Callable[P, T]) -> Callable[P, T]: ...
@overload
def bind(work: AsyncIterator[T]) -> AsyncGenerator[T, Any]: ...
@overload
def bind(work: Iterator[T]) -> Generator[T, Any, Any]: ...
@overload
def bind(work: Awaitable[T]) -> Coroutine[Any, Any, T]: ...
def bind(work: Any) -> Any:
    """A coroutine or function that runs in a copy of the context at this call, in whatever task or thread it is run.

    For threads (`threading.Thread`), executors (`executor.submit`, `run_in_executor`; a process pool gets the current span and the baggage),
    callbacks and signal handlers, which start with an empty or a stranger's context. `create_task`, `gather`, `TaskGroup` and
    `asyncio.to_thread` carry the context by themselves.

    Args:
        work: a function: `def`, `async def`, with `yield` or without, a method, a partial, a lambda, a decorated function, a class, an object with
            `__call__`. It may be called any number of times, also from several threads at once; each call gets a copy of its own. Where a call
            returns, or is awaited for, a coroutine or a generator, its steps run in that copy too. What else it returns is passed on as it is,
            context managers among them, which act on the context that their block is in, and iterators of other classes (`bind_stream` takes
            functions that make these). `inspect` and `asyncio` say of the bound function what they say of the bare one.
            Or a coroutine or another awaitable, a generator or another iterator (as `bind_stream`), whose every step runs in one copy.

    Raises:
        TypeError: for anything else: futures and tasks, which are under way already, context managers, values.
    """
    bound = _kind(work)
    if bound is None:
        raise TypeError(f"bind() takes a function, a coroutine or a generator, got {type(work).__name__}. {_instead(work)}")
    return work if _bypassed else bound(work, contextvars.copy_context())


def _kind(work: Any) -> Bound | None:
    """How *work* is bound; None where it cannot be."""
    if alone := _steps_alone(work):
        return alone
    if _callable(work):
        return _bound_function
    if isinstance(work, AsyncIterator | Iterator):
        return _stream_kind(work)
    return _bound_awaitable if isinstance(work, Awaitable) and not isinstance(work, _FUTURES) else None


def _callable(work: Any) -> bool:
    """Whether *work* is called for its own sake: a context manager that can also decorate a function is not."""
    return callable(work) and type(work).__call__ not in _DECORATES


def _steps_alone(work: Any) -> Bound | None:
    """How a coroutine or generator is bound; None for all else, also for what is one beside other things, such as a context manager."""
    if work is None or hasattr(type(work), "__exit__") or hasattr(type(work), "__aexit__"):
        return None
    if inspect.isawaitable(work):  # among them generators that `types.coroutine` makes coroutines of
        return _bound_coroutine if isinstance(work, Coroutine | Generator) else None
    return _stream_kind(work) if isinstance(work, Generator | AsyncGenerator) else None


def _stream_kind(stream: Any) -> Bound | None:
    if isinstance(stream, AsyncIterable):
        return _bound_async
    # Futures and old coroutines are iterable, for `yield from`; collections have their items already.
    return _bound_sync if isinstance(stream, Iterable) and not isinstance(stream, Collection) and not inspect.isawaitable(stream) else None


_FUTURES: Final = (asyncio.Future, concurrent.futures.Future)
_DECORATES: Final = (contextlib.ContextDecorator.__call__, contextlib.AsyncContextDecorator.__call__)


def _instead(work: Any) -> str:
    if isinstance(work, _FUTURES):
        return "It is under way already, in the context in which it was begun. Bind what it is made of: create_task(bind(work()))."
    if hasattr(type(work), "__exit__") or hasattr(type(work), "__aexit__"):
        return "A context manager acts on the context that its block is in. Bind the function that has the block."
    return "Call it as bind(work()) or bind(work)."


def _bound_async(stream: AsyncIterable[Any], context: contextvars.Context) -> AsyncGenerator[Any, Any]:
    return _named(stream_in(stream if isinstance(stream, AsyncIterator) else context.run(aiter, stream), context), stream)


def _bound_sync(stream: Iterable[Any], context: contextvars.Context) -> Generator[Any, Any, Any]:
    return _named(generator_in(stream if isinstance(stream, Iterator) else context.run(iter, stream), context), stream)


def _named(bound: T, bare: Any) -> T:
    """*bound* with the name of *bare*, where that has one: tasks, warnings and tracebacks say it."""
    for name in ("__name__", "__qualname__"):
        with contextlib.suppress(AttributeError, TypeError):
            setattr(bound, name, getattr(bare, name))
    return bound


def _bound_coroutine(work: Any, context: contextvars.Context) -> Coroutine[Any, Any, Any]:
    return CoroutineIn(work, context, _goes_on)


def _bound_awaitable(work: Awaitable[Any], context: contextvars.Context) -> Coroutine[Any, Any, Any]:
    return CoroutineIn(steps_of(work), context, _goes_on)


def _bound_function(work: Callable[..., Any], context: contextvars.Context) -> _BoundFunction:
    return _BoundFunction(work, context, _goes_on)


def _bound_maker(work: Callable[..., Any], context: contextvars.Context) -> _BoundFunction:
    return _BoundFunction(work, context, _streams_on)


def _goes_on(result: Any, context: contextvars.Context) -> Any:
    """What a bound function or coroutine returned: where that has steps still to be made, they run in *context* too."""
    bound = _steps_alone(result)
    return result if bound is None else bound(result, context)


def _streams_on(result: Any, context: contextvars.Context) -> Any:
    """The same for a function that makes a stream: any iterator is one."""
    if inspect.isawaitable(result):
        return CoroutineIn(result, context, _streams_on) if isinstance(result, Coroutine) else result
    bound = _stream_kind(result)
    return result if bound is None else bound(result, context)


class _BoundFunction:
    """A function that runs in a copy of one context. Sent to another process (a process pool), it takes the current span and baggage along.

    To whoever asks (`inspect`, `asyncio`, frameworks) it is the function: it has its name, its signature, its attributes, and its code, whose flags
    say whether it makes coroutines or generators.
    """

    def __init__(self, work: Callable[..., Any], context: contextvars.Context, then: Then) -> None:
        self._work = work
        self._context = context
        self._then = then
        functools.update_wrapper(self, _with_code(work), (*functools.WRAPPER_ASSIGNMENTS, "__code__", "__defaults__", "__kwdefaults__"), ())
        functools.update_wrapper(self, work, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context = self._context.copy()
        return self._then(context.run(self._work, *args, **kwargs), context)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        get = getattr(type(self._work), "__get__", None)
        return self if get is None else _BoundFunction(get(self._work, instance, owner), self._context, self._then)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what makes a method, a context manager or the like of an object: this is none
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        # What marks a coroutine function (`inspect.markcoroutinefunction`) holds for a partial of it, too.
        return getattr(self._work if hasattr(self._work, name) else _unwrapped(self._work), name)

    def __reduce__(self) -> tuple[Any, ...]:
        carrier: dict[str, str] = {}
        inject(carrier, self._context.run(otel_context.get_current))
        return _bound_elsewhere, (self._work, carrier, self._then)


def _with_code(work: Any) -> Any:
    """The function that runs when *work*, a partial or an object with `__call__` perhaps, is called."""
    work = _unwrapped(work)
    return work if hasattr(work, "__code__") or isinstance(work, type) else type(work).__call__


def _unwrapped(work: Any) -> Any:
    while isinstance(work, functools.partial):
        work = work.func
    return work


def _bound_elsewhere(work: Callable[..., Any], carrier: dict[str, str], then: Then) -> _BoundFunction:
    context = contextvars.copy_context()
    context.run(otel_context.attach, extract(carrier))
    return _BoundFunction(work, context, then)
