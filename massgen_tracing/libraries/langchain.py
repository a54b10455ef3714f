"""LangChain's model calls, current while the model is at work.

OpenInference's instrumentor gives each call a span by LangChain's callbacks, which cannot leave it current; so the spans of the client that makes
the request would stand beside it, and the call would count twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

from opentelemetry.trace import Span, use_span

from massgen_tracing.trace.borders import bind_stream

_WORK: Final = ("_stream", "_astream")
"""What a chat model of its own streams with; nothing tells it which run it works for."""

_DONE: Final = "_massgen_tracing_nests"

_run: ContextVar[Any] = ContextVar("massgen_tracing.langchain.run", default=None)
"""The id of the run that a chat model streams for."""


def nest(instrumentor: Any) -> None:
    """Have the span that *instrumentor* has for a model call be current in what a chat model does for it."""
    from langchain_core.language_models.chat_models import BaseChatModel

    def work_of(model: type) -> None:
        for kind in model.__mro__[: model.__mro__.index(BaseChatModel)]:
            for name in _WORK:
                _wrap(kind, name, lambda method: _streaming(method, instrumentor.get_span))

    # Versions that lack one of the private two are nested as far as they go.
    _wrap(BaseChatModel, "_generate_with_cache", lambda method: _answering(method, instrumentor.get_span, work_of))
    _wrap(BaseChatModel, "_agenerate_with_cache", lambda method: _answering_later(method, instrumentor.get_span, work_of))
    _wrap(BaseChatModel, "stream", lambda method: _streamed(method, work_of))
    _wrap(BaseChatModel, "astream", lambda method: _streamed(method, work_of))


def _wrap(kind: type, name: str, wrapped: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Wrap a method that a class itself has, once."""
    method = vars(kind).get(name)
    if method is not None and not hasattr(method, _DONE):
        by = wrapped(method)
        setattr(by, _DONE, True)
        setattr(kind, name, by)


def _answering(method: Callable[..., Any], span_of: Callable[[Any], Span | None], work_of: Callable[[type], None]) -> Callable[..., Any]:
    @wraps(method)
    def nested(self: Any, *args: Any, **options: Any) -> Any:
        work_of(type(self))
        run = _run_id(args, options)
        with _Current(run, span_of(run)):
            return method(self, *args, **options)

    return nested


def _answering_later(method: Callable[..., Any], span_of: Callable[[Any], Span | None], work_of: Callable[[type], None]) -> Callable[..., Any]:
    @wraps(method)
    async def nested(self: Any, *args: Any, **options: Any) -> Any:
        work_of(type(self))
        run = _run_id(args, options)
        with _Current(run, span_of(run)):
            return await method(self, *args, **options)

    return nested


def _streamed(method: Callable[..., Any], work_of: Callable[[type], None]) -> Callable[..., Any]:
    """A stream whose run has an id that is known before it begins."""

    @wraps(method)
    def nested(self: Any, input: Any, config: Mapping[str, Any] | None = None, **options: Any) -> Any:  # noqa: A002 - LangChain's name
        work_of(type(self))
        run = (config or {}).get("run_id") or _new_id()
        token = _run.set(run)
        try:
            return bind_stream(method(self, input, {**(config or {}), "run_id": run}, **options))
        finally:
            _run.reset(token)

    return nested


def _streaming(method: Callable[..., Any], span_of: Callable[[Any], Span | None]) -> Callable[..., Any]:
    @wraps(method)
    def nested(self: Any, *args: Any, **options: Any) -> Any:
        run = _run.get()
        with _Current(run, span_of(run)):
            return bind_stream(method(self, *args, **options))

    return nested


class _Current:
    """A block in which a run's span is current, where it has one; errors in it are the instrumentor's to record."""

    def __init__(self, run: Any, span: Span | None) -> None:
        self._run = run
        self._block = None if span is None else use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def __enter__(self) -> None:
        self._token = _run.set(self._run)
        if self._block is not None:
            self._block.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._block is not None:
            self._block.__exit__(*error)  # type: ignore[arg-type]
        _run.reset(self._token)


def _run_id(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The id of the run whose manager a method was called with: `(messages, stop, run_manager, **options)`; None where there is none."""
    return getattr(options.get("run_manager", args[2] if len(args) > 2 else None), "run_id", None)


def _new_id() -> Any:
    """An id as LangChain gives it to a run."""
    from langchain_core.utils import uuid

    return uuid.uuid7()
