"""Making a span current, and no longer: by setting OpenTelemetry's context, never by resetting it.

A token of `ContextVar.set` is only valid in the `contextvars.Context` that made it, and a block may well be left in another one (an async
generator finalised elsewhere, a task cancelled from outside). So no token is kept: entering sets the block's Context, leaving sets what was
current before. Where a block is left in a context that does not have the block's Context as its current one, there is nothing of ours to
take away, and nothing is touched.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context

SPAN_KEY: Final[str] = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""OpenTelemetry's own key of the current span, asked of its public API."""

_BLOCK_KEY: Final = "massgen_tracing.block"

current = otel_context.get_current
_set = otel_context.attach


def adopted(context: Context, remote: Context | None) -> Context:
    """*context*, or, where no span is current in it, the same below the span of *remote*."""
    return context if not remote or SPAN_KEY in context else Context({**remote, **context})


class Block:
    """One `with` block in which a span is current.

    Its Context and it do not refer to each other in a circle with the span or its handle: a finished span is freed at once, without waiting
    for the garbage collector.

    Attributes:
        open: whether the block has been entered and not yet left.
    """

    __slots__ = ("_outer", "open")

    def __init__(self) -> None:
        self.open = False
        self._outer: Context | None = None

    def context(self, base: Context, span: Span) -> Context:
        """*base* with *span* as the current one, inside this block."""
        return Context({**base, SPAN_KEY: span, _BLOCK_KEY: self})

    def enter(self, context: Context) -> None:
        """Make *context*, which `context()` has made, the current one."""
        self._outer = current()
        self.open = True
        _set(context)

    def leave(self, context: Context) -> None:
        """Make current what was so outside of the block, if *context* still is current here."""
        if not self.open or self._outer is None:
            return
        self.open = False
        # Shortened even where nothing is restored: a chain of tasks that each outlive the last must not keep them all.
        self._outer = _still_open(self._outer)
        if current() is context:
            _set(self._outer)


def _still_open(context: Context) -> Context:
    """*context*, or the nearest one outside of it whose block is still open.

    Blocks that are left in another order than they were entered would otherwise bring an ended span back as the current one.
    """
    while True:
        block = context.get(_BLOCK_KEY)
        if not isinstance(block, Block) or block.open or block._outer is None:  # noqa: SLF001 - of the same class
            return context
        context = block._outer  # noqa: SLF001
