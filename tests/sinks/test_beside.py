"""Beside Logfire and other vendors' providers: in every order there is one tree, and nothing of anybody's is dropped.

Global providers are the process's, so each order is a program of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.sinks import lines
from tests.sinks.collector import Collector, collecting, texts

ROOT = Path(__file__).parents[2]

STEPS = {
    "facade": "tracer = mt.configure(root=root, enabled=True)",
    "facade to logfire": "tracer = mt.configure(root=root, enabled=True, logfire=True)",
    "facade to own": "tracer = mt.configure(root=root, enabled=True, record=True, tracer_provider=TracerProvider(shutdown_on_exit=False))",
    "logfire": "logfire.configure(send_to_logfire=False, console=False)",
    "logfire with token": "logfire.configure(token='theirs', service_name='theirs', console=False)",
    "vendor": "vendor = TracerProvider(); vendor.add_span_processor(Kept()); trace.set_tracer_provider(vendor)",
    "vendor that asks": "trace.get_tracer_provider().add_span_processor(Kept())",
}

BEFORE = """
import logfire
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
import massgen_tracing as mt

kept = []

class Kept(SpanProcessor):
    def on_end(self, span):
        kept.append(span.name)
"""

WORK = """
third = trace.get_tracer("third")
with third.start_as_current_span("outer"):
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
        with logfire.span("theirs {what}", what="x"):
            with tracer.span("ours"):
                with third.start_as_current_span("third party"):
                    tracer.info("note")
"""

TREE = {
    "outer": "",
    "coordination.session": "outer",
    "agent.a.round_0": "coordination.session",
    "theirs {what}": "agent.a.round_0",
    "ours": "theirs {what}",
    "third party": "ours",
    "note": "third party",
}

FACADES = {"facade", "facade to logfire", "facade to own"}
LOGFIRES = {"logfire", "logfire with token", "facade to logfire"}


def _orders() -> list[tuple[str, ...]]:
    """Every order of two steps and of a third one beside Logfire and the facade, and some steps twice; both are configured in each."""
    steps = sorted(STEPS)
    three = [
        order
        for facade in sorted(FACADES)
        for third in ("vendor", "vendor that asks", "facade")
        for order in itertools.permutations(dict.fromkeys((facade, "logfire with token", third)))
    ]
    twice = [(first, second, first) for first, second in itertools.permutations(steps[:5], 2)]
    some = dict.fromkeys([*itertools.product(steps, repeat=2), *three, *twice])
    return [order for order in some if FACADES & set(order) and LOGFIRES & set(order) and order[0] != "vendor that asks"]


@dataclass
class Program:
    """A program that has run.

    Attributes:
        place: its directory.
        collector: the Logfire that it could send to.
    """

    place: Path
    collector: Collector

    @property
    def said(self) -> str:
        """What stands on stderr."""
        return (self.place / "stderr").read_text()

    @property
    def printed(self) -> str:
        """What stands on stdout; the program has ended well."""
        assert (self.place / "code").read_text() == "0", self.said
        return (self.place / "stdout").read_text()

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """All spans of its recordings."""
        return [span for path in lines.recordings(self.place / "root") for span in lines.ended(path).values()]

    def tree(self) -> dict[str, str]:
        """Each recorded span's name with its parent's; none is recorded twice."""
        names = {span["spanId"]: span["name"] for span in self.recorded}
        tree = {span["name"]: names.get(span.get("parentSpanId", ""), "?") if span.get("parentSpanId") else "" for span in self.recorded}
        assert len(tree) == len(self.recorded), sorted(names.values())
        return tree

    @property
    def sent(self) -> list[Span]:
        """What has arrived at Logfire of the traces that it has recorded, without pending spans."""
        traces = {span["traceId"] for span in self.recorded}
        spans = [span for span in self.collector.spans if span.trace_id.hex() in traces]
        return [span for span in spans if texts(span).get("logfire.span_type") != "pending_span"]

    def named(self, name: str) -> dict[str, Any]:
        """The attributes of the recorded span of that name."""
        (found,) = [span for span in self.recorded if span["name"] == name]
        return lines.attributes(found)


def run(place: Path, programs: dict[str, str], collector: Collector, environment: dict[str, str] | None = None) -> dict[str, Program]:
    """Run programs, each in a process of its own."""
    variables = {"LOGFIRE_BASE_URL": collector.url, **(environment or {})}
    places = {name: place / str(number) for number, name in enumerate(programs)}
    work = [{"place": str(places[name]), "program": BEFORE + program, "environment": variables} for name, program in programs.items()]
    listed = place / "programs.json"
    listed.write_text(json.dumps(work))
    # Under pytest Logfire sends nothing.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGFIRE_", "OTEL_", "MASSGEN_", "PYTEST_"))}
    subprocess.run([sys.executable, "-m", "tests.sinks.orders", str(listed)], cwd=ROOT, env=kept, timeout=60 + 10 * len(work), check=True)
    return {name: Program(places[name], collector) for name in programs}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A Logfire."""
    with collecting() as server:
        yield server


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> dict[str, Program]:
    """A program for each order of steps."""
    programs = {" · ".join(order): "\n".join(STEPS[step] for step in order) + WORK for order in _orders()}
    return run(tmp_path_factory.mktemp("orders"), programs, collector)


@pytest.mark.parametrize("order", [" · ".join(order) for order in _orders()])
def test_in_every_order_there_is_one_tree(ordered: dict[str, Program], order: str) -> None:
    """The facade's spans, Logfire's and those of a third party through the global provider are recorded once, each below what caused it."""
    program = ordered[order]
    assert program.printed == ""
    assert program.tree() == TREE
    sent = [span.name for span in program.sent]
    assert len(sent) == len(set(sent))
    assert len([path for path in lines.recordings(program.place) if "note" in lines.names(path)]) == 1
