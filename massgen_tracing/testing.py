r"""A test kit for code that is traced: counting ids, a ticking clock, and `capture()`, which gives the span tree.

    from massgen_tracing.testing import capture

    with capture() as captured:
        with captured.tracer.session("Which?", agents=["a"]) as session, session.agent_round("a"):
            pass
    assert captured.tree() == "coordination.session\n  agent.a.round_0"

Within `capture()` the facade is strict: where it is called wrongly it raises `massgen_tracing.errors.UsageError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from massgen_tracing import configuration, semconv
from massgen_tracing.trace.belonging import ROUND_KEY, SESSION_KEY
from massgen_tracing.trace.current import SPAN_KEY
from massgen_tracing.trace.provider import SHARED

if TYPE_CHECKING:
    from massgen_tracing.trace.tracer import Tracer


class CountingIds(IdGenerator):
    """Span and trace ids 1, 2, 3, … in the order of the spans' starts."""

    def __init__(self) -> None:
        self._span_id = 0
        self._trace_id = 0

    def generate_span_id(self) -> int:
        self._span_id += 1
        return self._span_id

    def generate_trace_id(self) -> int:
        self._trace_id += 1
        return self._trace_id


class TickingClock:
    """A clock that moves one second at each look.

    Args:
        start_ns: Unix nanoseconds of the first look.
    """

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now = start_ns - 1_000_000_000

    def __call__(self) -> int:
        self._now += 1_000_000_000
        return self._now


class Captured(SpanProcessor):
    """The spans of a `capture()` block.

    Attributes:
        tracer: the facade's tracer for the block.
        ended: spans in the order of their ends.
        open: spans that have started and not ended, by span id.
    """

    tracer: Tracer

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []
        self.open: dict[int, ReadableSpan] = {}

    def on_start(self, span: ReadableSpan, parent_context: object = None) -> None:  # noqa: ARG002 - the processor protocol
        self.open[span.context.span_id] = span

    def on_end(self, span: ReadableSpan) -> None:
        self.open.pop(span.context.span_id, None)
        self.ended.append(span)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The ended spans in the order of their starts."""
        return sorted(self.ended, key=lambda span: (span.start_time or 0, span.context.span_id))

    def find(self, name: str) -> ReadableSpan:
        """The one ended span of that name.

        Raises:
            LookupError: if there is none, or more than one.
        """
        found = [span for span in self.ended if span.name == name]
        if len(found) != 1:
            raise LookupError(f"Expected one span named {name!r}, got {len(found)} among {sorted({span.name for span in self.ended})}")
        return found[0]

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        """The span above *span*, if it is among those that ended."""
        if span.parent is None:
            return None
        return next((other for other in self.ended if other.context.span_id == span.parent.span_id), None)

    def ancestors(self, span: ReadableSpan) -> list[ReadableSpan]:
        """The spans above *span*, the nearest first."""
        above = []
        parent = self.parent(span)
        while parent is not None:
            above.append(parent)
            parent = self.parent(parent)
        return above

    def tree(self, *, points: bool = True) -> str:
        """The span tree as indented names, in the order of the starts; two spaces a level.

        Args:
            points: whether point records are shown.
        """
        lines: list[str] = []
        known = {span.context.span_id for span in self.ended}

        def draw(parent_id: int | None, depth: int) -> None:
            for span in self.spans:
                above = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
                if above == parent_id and (points or (span.attributes or {}).get(semconv.LOGFIRE_SPAN_TYPE) != semconv.SPAN_TYPE_LOG):
                    lines.append("  " * depth + span.name)
                    draw(span.context.span_id, depth + 1)

        draw(None, 0)
        return "\n".join(lines)


@contextmanager
def capture(*, full_content: bool = False, ids: IdGenerator | None = None, clock: TickingClock | None = None) -> Iterator[Captured]:
    """Configure the facade, strict and without any file or network, for one block; its spans are in the yielded object.

    Args:
        full_content: as in `configure()`.
        ids: where ids come from; None: random ones.
        clock: where times come from; None: the real time.
    """
    captured = Captured()
    added = SHARED.others.added
    captured.tracer = configuration.configure(record=False, enabled=True, logfire=False, otlp_endpoint="", strict=True, full_content=full_content)
    pipeline = SHARED.pipeline
    assert pipeline is not None
    pipeline.ids = ids or pipeline.ids
    pipeline.use_clock(clock)
    pipeline.processors += (captured,)
    try:
        yield captured
    finally:
        configuration.shutdown()
        SHARED.others.added = added  # what is added within the block is gone with it


def left_behind() -> list[str]:
    """What tracing has left in the current context: nothing, between runs. Names of what is current."""
    context = otel_context.get_current()
    return [key for key in (SPAN_KEY, SESSION_KEY, ROUND_KEY) if key in context]
