"""Runs of the coordinator against a scripted endpoint, with every span in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import massgen_tracing as mt
from massgen_tracing import layout
from massgen_tracing.runs.coordinator.config import AgentConfig, Limits, RunConfig, ToolServerConfig
from massgen_tracing.runs.coordinator.coordinator import Coordination, RunResult
from massgen_tracing.runs.coordinator.progress import Progress
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, ScriptedEndpoint, Turn
from massgen_tracing.sinks.run_files import LiveFiles

QUICK_SERVER = ToolServerConfig("filesystem", sys.executable, ("-m", "massgen_tracing.runs.coordinator.tool_server", "--root", "${cwd}"))


@dataclass
class Spans:
    """Finished spans, and who is below whom."""

    all: list[ReadableSpan]

    def __post_init__(self) -> None:
        self.by_id = {span.context.span_id: span for span in self.all if span.context}

    def named(self, start: str) -> list[ReadableSpan]:
        """Spans whose name starts with *start*, in order of start."""
        return sorted((span for span in self.all if span.name.startswith(start)), key=lambda span: span.start_time or 0)

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        return self.by_id.get(span.parent.span_id) if span.parent else None

    def round_of(self, span: ReadableSpan) -> ReadableSpan | None:
        """The nearest `agent.*` span above."""
        above = self.parent(span)
        while above is not None and not above.name.startswith("agent."):
            above = self.parent(above)
        return above

    def children(self, span: ReadableSpan, start: str = "") -> list[ReadableSpan]:
        return [other for other in self.named(start) if self.parent(other) is span]

    def outcomes(self, agent_id: str) -> list[Any]:
        """The outcomes of an agent's rounds, in order."""
        return [attributes(span).get("massgen.outcome") for span in self.named(f"agent.{agent_id}.round_")]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes."""
    return dict(span.attributes or {})


@dataclass
class Ran:
    """One run: its result or its error, its spans, and what the endpoint saw."""

    result: RunResult | None
    error: BaseException | None
    spans: Spans
    log: list[dict[str, Any]]
    progress: list[Progress]
    run: layout.RunDirectory
    coordination: Coordination

    @property
    def answered(self) -> RunResult:
        assert self.result is not None, self.error
        return self.result


@dataclass
class Harness:
    """Runs coordinations; the last endpoint's log stays readable through `Ran.log`."""

    exporter: InMemorySpanExporter
    tracer: mt.Tracer
    root: Any
    files: LiveFiles

    async def __call__(
        self,
        script: Callable[[Asked], Turn],
        config: RunConfig | None = None,
        *,
        question: str = "What is AI?",
        limits: Limits | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        redirect: bool = True,
    ) -> Ran:
        config = config or agents("agent_a", "agent_b")
        if limits is not None:
            config = dataclasses.replace(config, limits=limits)
        run = layout.new_run(self.root)
        progress: list[Progress] = []

        def note(event: Progress) -> None:
            progress.append(event)
            if on_progress is not None:
                on_progress(event)

        result: RunResult | None = None
        error: BaseException | None = None
        with ScriptedEndpoint(script) as endpoint:
            if redirect:
                config = dataclasses.replace(config, agents=tuple(endpoint.redirect(agent) for agent in config.agents))
            coordination = Coordination(config, question, tracer=self.tracer, run=run, on_progress=note)
            try:
                result = await coordination.run()
            except (Exception, asyncio.CancelledError) as caught:
                error = caught
            await asyncio.sleep(0.02)  # the endpoint hears of a closed connection a moment later
            log = await asyncio.to_thread(_get, f"{endpoint.url}/_log")
        assert await asyncio.to_thread(self.files.force_flush)
        return Ran(result, error, Spans(list(self.exporter.get_finished_spans())), log, progress, run, coordination)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def agents(*ids: str, servers: tuple[ToolServerConfig, ...] = (), **limits: Any) -> RunConfig:
    """Agents with these ids, all of the same model."""
    return RunConfig(
        tuple(AgentConfig(agent_id, "openai", "gpt-5-mini", "https://api.openai.com/v1", tool_servers=servers) for agent_id in ids),
        Limits(**limits),
    )


def answer(text: str, **options: Any) -> Turn:
    """A reply that gives an answer."""
    return Turn(calls=(ScriptedCall("new_answer", {"content": text}),), **options)


def vote(name: str, **options: Any) -> Turn:
    """A reply that votes."""
    return Turn(calls=(ScriptedCall("vote", {"agent_id": name, "reason": "good"}),), **options)


def presenting(asked: Asked) -> bool:
    """Whether the request is for the final presentation."""
    return not any(tool in {"new_answer", "vote"} for tool in asked.tools)


def seen(asked: Asked) -> list[str]:
    """Labels of the answers in the request."""
    import re

    return re.findall(r'<answer agent="agent\d+" label="([^"]+)">', asked.messages[1]["content"])


class Clock:
    """The time that this thread, and the event loop in it, is told: the machine's, and what a test lets pass at once.

    Time limits are long, and are over when the test says so: when what has to happen before has happened, however long it took.
    """

    def __init__(self) -> None:
        self._machine = time.monotonic
        self._thread = threading.get_ident()
        self._passed = 0.0

    def __call__(self) -> float:
        return self._machine() + (self._passed if threading.get_ident() == self._thread else 0.0)

    def passes(self, seconds: float) -> None:
        """Let time pass; what waits in the event loop sees it when the callback that called this has returned."""
        self._passed += seconds


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Ctrl-C and a hangup have their effect, as in a terminal's foreground; what runs in the background ignores them, as may the tests."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch):
    """The clock of the test; others, such as the scripted endpoint's, go on as ever."""
    own = Clock()
    monkeypatch.setattr(time, "monotonic", own)
    return own


@pytest.fixture
def coordinate(tmp_path, caplog):
    """Runs a coordination; afterwards no context may have failed to detach."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    files = LiveFiles()
    provider.add_span_processor(files)
    tracer = mt.configure(tracer_provider=provider, strict=True)
    with caplog.at_level(logging.WARNING):
        yield Harness(exporter, tracer, tmp_path, files)
    mt.shutdown()
    provider.shutdown()
    assert "Failed to detach context" not in caplog.text


@pytest.fixture
def kit():
    """The helpers above, for test modules."""
    return sys.modules[__name__]
