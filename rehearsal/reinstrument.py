"""A program that instruments MassGen, asks it something, and takes the instrumentation away: for two providers, one after the other.

    python reinstrument.py CONFIG

Prints one JSON line for each provider: how many functions were replaced, which were not put back, which a second `instrument()` replaced again, and
the names of the spans that the provider got; then it asks a third question, untraced.
"""

# mypy: ignore-errors
# It runs in an environment of MassGen.

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from contextlib import nullcontext

import massgen
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from massgen_tracing.instrumentation import MassGenInstrumentor
from massgen_tracing.runs.massgen.points import points


def functions() -> dict[str, object]:
    """What stands in each place that is patched, as its owner holds it."""
    found = {}
    for point in points(lambda: None, version=lambda: None, root=lambda: None, logfire_is_ours=nullcontext, child_environment=dict):
        owner = importlib.import_module(point.module)
        *parents, name = point.path.split(".")
        for parent in parents:
            owner = getattr(owner, parent, None)
        if hasattr(owner, name):
            found[f"{point.module}.{point.path}"] = vars(owner).get(name)
    return found


def ask(question: str) -> None:
    """One question, in an event loop of its own."""
    asyncio.run(massgen.run(query=question, config=sys.argv[1], enable_logging=True))


def main() -> None:
    """Instrument, ask, undo; twice."""
    before = functions()
    for number in (1, 2):
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        MassGenInstrumentor().instrument(tracer_provider=provider)
        during = functions()
        MassGenInstrumentor().instrument(tracer_provider=TracerProvider())
        again = functions()
        ask(f"Question {number}?")
        MassGenInstrumentor().uninstrument()
        after = functions()
        said = {
            "replaced": sum(during[place] is not before[place] for place in before),
            "left alone": [place for place in before if during[place] is before[place]],
            "twice": [place for place in before if again[place] is not during[place]],
            "not put back": [place for place in before if after[place] is not before[place]],
            "spans": [span.name for span in exporter.get_finished_spans()],
        }
        print(json.dumps(said), flush=True)
    ask("Untraced?")


if __name__ == "__main__":
    main()
