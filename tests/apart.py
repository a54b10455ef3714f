"""Programs that need a process of their own, because what they set is the process's: global providers, Logfire, the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.sinks import lines
from tests.sinks.collector import Collector, texts

ROOT = Path(__file__).parents[1]

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


def run(place: Path, programs: dict[str, str], collector: Collector, environments: dict[str, dict[str, str]] | None = None) -> dict[str, Program]:
    """Run programs, each in a process of its own, whose variables `environments` may name; each has `root` and what `BEFORE` defines."""
    places = {name: place / str(number) for number, name in enumerate(programs)}
    work = [
        {
            "place": str(places[name]),
            "program": BEFORE + program,
            "environment": {"LOGFIRE_BASE_URL": collector.url, **(environments or {}).get(name, {})},
        }
        for name, program in programs.items()
    ]
    listed = place / "programs.json"
    listed.write_text(json.dumps(work))
    # Under pytest Logfire sends nothing.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGFIRE_", "OTEL_", "MASSGEN_", "PYTEST_"))}
    subprocess.run([sys.executable, "-m", "tests.forked", str(listed)], cwd=ROOT, env=kept, timeout=60 + 10 * len(work), check=True)
    return {name: Program(places[name], collector) for name in programs}
