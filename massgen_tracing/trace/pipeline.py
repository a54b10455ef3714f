"""Where spans go: the processors that see them, the resource that they carry, where ids and times come from."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from massgen_tracing import finalization, guard
from massgen_tracing.trace.clock import CLOCK


class RandomIds(IdGenerator):
    """Random ids, from a generator of its own: a program that seeds `random` for its own purposes would give two runs the same ids."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 - ids, not secrets

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1


class Pipeline:
    """Where spans go.

    A processor that raises costs its own work only: the others still see the span, and the run never notices.

    Args:
        resource: who writes the spans.
        processors: in this order, at a span's start and at its end.
        ids: where ids come from.
        now: the time, in Unix nanoseconds; None: the system's, and spans last as long as the monotonic clock says.
        remote: the Context of the process that started this one; spans without a parent are its children.
    """

    process: ClassVar[int] = 0
    """Counts the forks that led to this process, so that a span knows whether it began in it."""

    def __init__(
        self,
        resource: Resource,
        processors: Sequence[SpanProcessor],
        ids: IdGenerator | None = None,
        now: Callable[[], int] | None = None,
        remote: Context | None = None,
    ) -> None:
        self.remote = remote
        self.resource = resource
        self.ids = ids or RandomIds()
        self.use_clock(now)
        self.processors: tuple[SpanProcessor, ...] = tuple(processors)
        self.unfinished: list[SpanProcessor] = []
        """Those that have said, when they were shut down, that they were not through with everything."""

    def use_clock(self, now: Callable[[], int] | None) -> None:
        """Take the time from *now*, as the argument of that name."""
        self.start: Callable[[], tuple[int, int | None]] = CLOCK.start if now is None else lambda: (now(), None)
        """When a span starts that starts now, in Unix nanoseconds, and what `until` takes to tell when it ends."""

    def until(self, measure: int | None) -> int:
        """Now, for a span that has started, in Unix nanoseconds.

        Args:
            measure: what `start` gave; None: the span's start was given to it.
        """
        return self.start()[0] if measure is None else CLOCK.since(measure)

    def on_start(self, span: ReadableSpan, context: Context) -> None:
        """Show a span that has just started to every processor."""
        meant_for_program = None
        for processor in self.processors:
            try:
                processor.on_start(span, context)  # type: ignore[arg-type]  # a ReadableSpan and an API Span, as processors use it
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                meant_for_program = guard.sort(f"{type(processor).__name__}.on_start", error) or meant_for_program
        if meant_for_program is not None:
            raise meant_for_program

    def on_end(self, span: ReadableSpan) -> None:
        """Show an ended span to every processor."""
        meant_for_program = None
        for processor in self.processors:
            try:
                processor.on_end(span)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
                meant_for_program = guard.sort(f"{type(processor).__name__}.on_end", error) or meant_for_program
        if meant_for_program is not None:
            raise meant_for_program

    def shutdown(self, timeout: float) -> bool:
        """Flush and stop every processor, together within *timeout* seconds; whether all were done by then.

        Each stops in a daemon thread of its own, so that a backend that does not answer can delay neither the exit nor the others. One that has a
        method `give_up` takes as long as it likes, and is told to when it is not done by then; of others, a `shutdown_within` (seconds) is told the
        time. Where no thread can be started, those with such a method stop one after the other within the time, and then the others, whose own
        bounds hold.
        """
        deadline = time.monotonic() + timeout
        threads: list[tuple[threading.Thread, SpanProcessor]] = []
        inline: list[SpanProcessor] = []
        for processor in self.processors:
            until = None if hasattr(processor, "give_up") else deadline
            thread = threading.Thread(target=self._stop, args=(processor, until), name="massgen-tracing-shutdown", daemon=True)
            try:
                if finalization.begun():
                    inline.append(processor)
                    continue
                thread.start()
            except RuntimeError as error:  # from Python 3.12 on an interpreter that is on its way out starts no threads
                guard.passing(error)
                inline.append(processor)
            else:
                threads.append((thread, processor))
        for processor in sorted(inline, key=lambda processor: not hasattr(processor, "shutdown_within")):
            self._stop(processor, deadline)
        for thread, _ in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = [processor for thread, processor in threads if thread.is_alive()]
        for processor in late:
            self._guarded(processor, "give_up", getattr(processor, "give_up", bool))
        return not late

    def _stop(self, processor: SpanProcessor, deadline: float | None = None) -> None:
        within = getattr(processor, "shutdown_within", None)
        if deadline is None or within is None:
            self._guarded(processor, "shutdown", processor.shutdown)
        elif self._guarded(processor, "shutdown", lambda: within(max(0.0, deadline - time.monotonic()))) is False:
            self.unfinished.append(processor)

    @staticmethod
    def _guarded(processor: SpanProcessor, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow(f"{type(processor).__name__}.{what}", error)
            return None
