"""A program that uses MassGen from Python and asks it several questions, one after the other.

    python driver.py CONFIG QUESTION…              to be started under `massgen-tracing exec`
    python driver.py --instrument CONFIG QUESTION…     activates the instrumentor itself

Prints each question's winner, as JSON lines, and last the name of the span that is current then (null for none).
"""

# mypy: ignore-errors
# It runs in an environment of MassGen.

from __future__ import annotations

import asyncio
import json
import sys


async def main(config: str, questions: list[str]) -> None:
    """Ask, in one event loop."""
    import massgen
    from opentelemetry import trace

    for question in questions:
        result = await massgen.run(query=question, config=config, enable_logging=True)
        print(json.dumps({"question": question, "winner": result.get("selected_agent"), "answer": result["final_answer"]}), flush=True)
    span = trace.get_current_span()
    print(json.dumps(getattr(span, "name", "?") if span.get_span_context().is_valid else None), flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "--instrument":
        from massgen_tracing.instrumentation import MassGenInstrumentor

        MassGenInstrumentor().instrument()
        words = words[1:]
    asyncio.run(main(words[0], words[1:]))
