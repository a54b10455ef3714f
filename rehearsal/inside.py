"""A program that asks MassGen from within spans of its own: once by itself, then two questions at the same time.

python inside.py CONFIG        to be started under `massgen-tracing exec`
"""

# mypy: ignore-errors
# It runs in an environment of MassGen.

from __future__ import annotations

import asyncio
import sys

import massgen
from opentelemetry import trace

import massgen_tracing as mt


async def main(config: str) -> None:
    """Ask, and see that one's own span is current afterwards."""
    with trace.get_tracer("program").start_as_current_span("work") as span:
        await massgen.run(query="Alone?", config=config, enable_logging=True)
        assert trace.get_current_span() is span
    with mt.get_tracer().span("both"):
        await asyncio.gather(*(massgen.run(query=question, config=config, enable_logging=True) for question in ("Left?", "Right?")))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
