"""MassGen's own tracing, which goes through one `TracerProxy`: what the tree has already is left out, the rest goes into the tree.

With `--logfire` MassGen would configure Logfire itself and have it instrument the model clients; then each thing would stand there twice or three
times. So Logfire is configured by this package, once, and gets the tree as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import guard

if TYPE_CHECKING:
    from massgen_tracing.trace.tracer import Tracer

OURS: Final = ("coordination.session", "coordination.iteration", "agent.", "llm.", "mcp.", "mcp_tool.", "custom_tool.", "tool.")
"""What the names of MassGen's spans begin with that the tree has itself."""

TOLD: Final = (
    "Agent answer: ", "Agent vote: ", "Agent restart: ", "Agent round context: ", "Winner selected: ", "Final answer from ", "Tool execution: ",
    "Token usage recorded", "Iteration ", "Coordination event: coordination_started", "Coordination event: winner_selected",
)  # fmt: skip
"""What MassGen's log records begin with that the tree has itself."""


class _NoSpan:
    """Takes the place of a span that the tree has itself."""

    def set_attribute(self, *_: Any) -> None:
        pass

    set_attributes = add_event = record_exception = set_status = set_attribute


class OwnTracing:
    """The wrappers of MassGen's `structured_logging`.

    Args:
        tracer: gives the tracer in force.
        logfire_is_ours: in its block, whoever configures Logfire has the facade export to it instead.
    """

    def __init__(self, tracer: Callable[[], Tracer], logfire_is_ours: Callable[[], AbstractContextManager[None]]) -> None:
        self._tracer = tracer
        self._logfire_is_ours = logfire_is_ours

    @contextlib.contextmanager
    def span(
        self, _original: Callable[..., Any], _proxy: Any, name: str, attributes: Mapping[str, Any] | None = None, *_: Any, **__: Any
    ) -> Iterator[Any]:
        """`TracerProxy.span`."""
        if name.startswith(OURS):
            yield _NoSpan()
            return
        with self._tracer().span(name, attributes) as work:
            yield work.span

    def log(self, level: str) -> Callable[..., Any]:
        """`TracerProxy.debug`, `info`, `warning`, `error`."""

        def log(original: Callable[..., Any], proxy: Any, message: str, **attributes: Any) -> Any:
            if not message.startswith(TOLD):
                with guard.ignored():
                    getattr(self._tracer(), level)(message, **attributes)
            # Without Logfire it is a line in massgen.log, which stays; with it, it would be the same record again.
            return None if _has_logfire(proxy) else original(proxy, message, **attributes)

        return log

    def instrument_client(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """`TracerProxy.instrument_openai` and its like: the tree has these calls."""

    def configure_observability(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`configure_observability`: MassGen's `--logfire`."""
        with self._logfire_is_ours():
            return original(*args, **kwargs)


def _has_logfire(proxy: Any) -> bool:
    try:
        return proxy._get_logfire() is not None  # noqa: SLF001 - it is what its own methods ask
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
        guard.swallow("massgen.logfire", error)
        return False
