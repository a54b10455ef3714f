"""`make jaeger-demo`: the real Collector and the real Jaeger on this machine, a dry run through both, and what Jaeger's API says of it."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from massgen_tracing.demo import QUESTION, heading, say
from massgen_tracing.layout import DEFAULT_ROOT
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.views.cli import main as command

from . import binaries, running

SERVICE: Final = "massgen"
DEPTH: Final = 2
"""Levels of the tree that are shown."""


def main() -> int:
    """Run the demo; returns an exit code. At a terminal Collector and Jaeger go on until Enter is pressed."""
    binaries.build()
    with tempfile.TemporaryDirectory(prefix="massgen-tracing-jaeger-") as place:
        heading("The Collector and Jaeger, as collector/ configures them")
        with running.jaeger(Path(place, "jaeger")) as jaeger, running.collecting(Path(place, "collector"), {"JAEGER_OTLP": jaeger.grpc}) as collector:
            say(f"  Collector {binaries.BUILDER.version}   OTLP over HTTP at {collector.http}, over gRPC at {collector.grpc}")
            say(f"  Jaeger {binaries.JAEGER.version}       API at {jaeger.query}/api/v3")
            heading("A run of three agents on a scripted model, sent while it goes on")
            say(f'$ massgen-tracing run --dry-run --otlp {collector.http} "{QUESTION}"')
            code = command(["run", "--dry-run", "--root", str(Path(place, DEFAULT_ROOT)), "--otlp", collector.http, QUESTION])
            if code:
                return code
            recorded = reader.read(catalogue.files(Path(place, DEFAULT_ROOT))).spans
            trace_id = recorded[0].trace_id
            found = _wait(jaeger, trace_id, len(recorded))
            heading(f"What Jaeger says of it: {len(found)} spans, {len(recorded)} were recorded")
            say(f"$ curl {jaeger.query}/api/v3/traces/{trace_id}")
            for line in _tree(found):
                say(line)
            heading("Where to look")
            say(f"  {jaeger.query}/api/v3/traces/{trace_id}    the trace")
            say(f"  {jaeger.query}/api/traces?service={SERVICE}    the runs so far")
            say(f"  {collector.data}/spans    every span that came, as lines of OTLP/JSON: massgen-tracing sql --root reads them")
            say("  cd collector && docker compose up -d    the same by Docker, with Jaeger's pages at http://localhost:16686")
            if sys.stdin.isatty():
                input("\nBoth go on until you press Enter ")
            else:
                say("\nBoth end now; at a terminal they go on until Enter is pressed.")
    return 0 if len(found) == len(recorded) else 1


def _wait(jaeger: running.Jaeger, trace_id: str, count: int) -> list[dict[str, Any]]:
    """The trace's spans in Jaeger, as soon as so many are there; what there is after a while."""
    until = time.monotonic() + running.PATIENCE
    while len(found := jaeger.trace(trace_id)) < count and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _tree(spans: list[dict[str, Any]]) -> list[str]:
    """The upper levels, a line each, with how many spans lie below a line that is the last shown."""
    below: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: int(span["startTimeUnixNano"])):
        below[span.get("parentSpanId", "")].append(span)

    def count(span: dict[str, Any]) -> int:
        return sum(1 + count(child) for child in below[span["spanId"]])

    def lines(span: dict[str, Any], depth: int) -> list[str]:
        seconds = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
        inside = count(span)
        more = f"   ({inside} below)" if depth == DEPTH and inside else ""
        line = f"{'   ' * depth}{span['name']}   {seconds:.3f} s{more}"
        return [line, *(deeper for child in below[span["spanId"]] for deeper in lines(child, depth + 1))] if depth < DEPTH else [line]

    return [line for root in below[""] for line in lines(root, 0)]


if __name__ == "__main__":
    sys.exit(main())
