"""Times of spans where the system's time is set: starts are wall time, durations monotonic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import massgen_tracing as mt
from massgen_tracing import store
from massgen_tracing.testing import capture
from massgen_tracing.trace.clock import CLOCK, STEP, Clock

SECOND = 10**9


class SystemTime:
    """The system's time, which a test can set."""

    def __init__(self) -> None:
        self._real = time.time_ns
        self.ahead = 0

    def __call__(self) -> int:
        return self._real() + self.ahead


@pytest.fixture(name="system")
def _system(monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemTime]:
    system = SystemTime()
    monkeypatch.setattr(time, "time_ns", system)
    yield system
    monkeypatch.undo()
    CLOCK.start()  # back to the real time for the tests that follow


def _duration(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


@pytest.mark.parametrize("ahead", [-30 * SECOND, 30 * SECOND, -3600 * SECOND])
def test_a_span_lasts_as_long_as_it_lasted_though_the_time_is_set_within(system: SystemTime, ahead: int) -> None:
    """Set forth or back inside a call, the durations of all spans around it stay what they are, and events stay within."""
    with capture() as captured:
        with captured.tracer.session("q") as session, session.agent_round("a") as rnd, rnd.llm_call("openai") as call:
            began = time.monotonic_ns()
            system.ahead = ahead
            call.span.add_event("later")
            set_after = time.monotonic_ns()
        took = time.monotonic_ns() - began
    for span in captured.ended:
        assert 0 <= _duration(span) <= took + SECOND
    ended = captured.find("llm.openai.stream")
    assert ended.start_time is not None
    assert ended.start_time <= ended.events[0].timestamp <= ended.start_time + set_after - began + SECOND


def test_what_starts_after_the_time_was_set_starts_at_the_new_time(system: SystemTime) -> None:
    """Wall time is what the system says when the span starts."""
    with capture() as captured:
        with captured.tracer.span("before"):
            pass
        system.ahead = -30 * SECOND
        earliest = system()
        with captured.tracer.span("after"):
            pass
        latest = system()
    start = captured.find("after").start_time
    assert start is not None
    assert earliest - STEP <= start <= latest + STEP
    assert _duration(captured.find("after")) >= 0


def test_in_a_provider_of_ones_own_durations_are_monotonic_too(system: SystemTime) -> None:
    """The facade tells the SDK's spans when they start and end."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = mt.configure(tracer_provider=provider)
    with tracer.session("q") as session, session.agent_round("a"):
        system.ahead = -30 * SECOND
    ended = exporter.get_finished_spans()
    assert len(ended) == 2
    assert all(0 <= _duration(span) < 10 * SECOND for span in ended)
    provider.shutdown()


def test_sums_of_durations_are_right_though_the_time_was_set(system: SystemTime, tmp_path: Path) -> None:
    """What SQL says of the recording."""
    tracer = mt.configure(root=tmp_path)
    with tracer.session("q") as session, session.agent_round("a") as rnd:
        with rnd.llm_call("openai"):
            system.ahead = -30 * SECOND
    mt.shutdown()
    [row] = store.query("SELECT min(duration) AS least, max(duration) AS most FROM records", root=tmp_path).rows
    assert row["least"] >= 0
    assert row["most"] < 10


def _clock(looks: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(time, "time_ns", lambda: looks()[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: looks()[1])
    return Clock()


@given(steps=st.lists(st.tuples(st.integers(0, 10**12), st.integers(-(10**12), 10**12)), min_size=1, max_size=20))
def test_the_clock_is_never_further_from_the_system_than_a_step(steps: list[tuple[int, int]]) -> None:
    """Whatever passes and however the time is set, a start is the system's time to within `STEP`, and what has begun never runs backwards."""
    now = [10**18, 10**12]
    with pytest.MonkeyPatch.context() as patch:
        clock = _clock(lambda: (now[0], now[1]), patch)
        begun: list[tuple[int, int, int]] = []
        for passes, is_set in steps:
            now[0] += passes + is_set
            now[1] += passes
            start, measure = clock.start()
            assert abs(start - now[0]) < STEP
            begun.append((start, measure, now[1]))
            for earlier, its, ticks in begun:
                assert clock.since(its) - earlier == now[1] - ticks


@given(passes=st.lists(st.integers(0, 10**10), min_size=1, max_size=20))
def test_while_the_time_is_not_set_all_spans_are_measured_alike(passes: list[int]) -> None:
    """So that a child lies within its parent to the nanosecond."""
    now = [10**18, 10**12]
    with pytest.MonkeyPatch.context() as patch:
        clock = _clock(lambda: (now[0], now[1]), patch)
        measures = set()
        for passed in passes:
            now[0] += passed
            now[1] += passed
            measures.add(clock.start()[1])
        assert len(measures) == 1
