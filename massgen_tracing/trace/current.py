"""Making a span current, and no longer: by setting OpenTelemetry's context, never by resetting it.

A token of `ContextVar.set` is only valid in the `contextvars.Context` that made it, and a block may well be left in another one (an async
generator finalised elsewhere, a task cancelled from outside). So no token is kept: entering sets the block's Context, leaving sets what was
current before. Where a block is left in a context that does not have the block's Context as its current one, there is nothing of ours to
take away, and nothing is touched.
"""

from __future__ import annotations

from typing import Final, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context

from massgen_tracing import guard

SPAN_KEY: Final[str] = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""OpenTelemetry's own key of the current span, asked of its public API."""

_BLOCK_KEY: Final = "massgen_tracing.block"

current = otel_context.get_current
_set = otel_context.attach

T = TypeVar("T")


def adopted(context: Context, remote: Context | None) -> Context:
    """*context*, or, where no span is current in it, the same below the span of *remote*."""
    return context if not remote or SPAN_KEY in context else Context({**remote, **context})


class _Block:
    """One `with` block in which a span is current.

    Its Context is one of its own, made when the block is entered, and older than whatever is made current within: so the way outwards, from block to
    block, always ends. Context and block do not refer to each other in a circle: a finished span is freed at once, without waiting for the garbage
    collector.
    """

    __slots__ = ("open", "outer")

    def __init__(self, outer: Context) -> None:
        self.open = True
        self.outer = outer


class Blocks(list[tuple[_Block, Context, T]]):
    """The `with` blocks of one object that are open now: as many as it was entered, by whichever tasks and threads.

    What belongs to a block (*T*) is given when it is entered and returned when it is left.
    """

    __slots__ = ()

    def enter(self, base: Context, span: Span, item: T, outer: Context) -> None:
        """Make *base*, with *span* as its current one, the current Context, which is *outer* before."""
        block = _Block(outer)
        inside = Context({**base, SPAN_KEY: span, _BLOCK_KEY: block})
        entry = block, inside, item
        self.append(entry)
        try:
            _set(inside)
        except BaseException:  # a signal handler's
            self.remove(entry)
            _set(outer)
            raise

    def leave(self) -> T | None:
        """Make current what was so outside of the block that is left here, if that block's Context still is current; returns what belongs to it.

        Where none is open, nothing happens.
        """
        try:
            entry = self[-1] if len(self) <= 1 else self._innermost()
        except IndexError:  # not entered, or left by another thread meanwhile
            return None
        try:
            self._left(entry)
        except BaseException:  # a signal handler's: what it interrupted is done all the same
            self._left(entry)
            raise
        return entry[2]

    def _left(self, entry: tuple[_Block, Context, T]) -> None:
        block, inside, _ = entry
        block.open = False
        outer = block.outer
        if _BLOCK_KEY in outer:
            # Shortened even where nothing is restored: a chain of tasks that each outlive the last must not keep them all.
            outer = block.outer = _still_open(outer)
        if current() is inside:
            _set(outer)
        try:
            self.remove(entry)
        except ValueError as error:  # another thread has left it
            guard.passing(error)

    def _innermost(self) -> tuple[_Block, Context, T]:
        """The block around the current Context; where there is none, the one that was entered last."""
        by_block = {one[0]: one for one in tuple(self)}
        block = current().get(_BLOCK_KEY)
        while isinstance(block, _Block):
            one = by_block.get(block)
            if one is not None:
                return one
            block = block.outer.get(_BLOCK_KEY)
        return self[-1]


def _still_open(context: Context) -> Context:
    """*context*, or the nearest one outside of it whose block is still open.

    Blocks that are left in another order than they were entered would otherwise bring an ended span back as the current one.
    """
    while True:
        block = context.get(_BLOCK_KEY)
        if not isinstance(block, _Block) or block.open:
            return context
        context = block.outer
