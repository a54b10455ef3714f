"""What scrubbing costs a span: `python -m benchmarks.scrub`.

Keys and values of the attributes of a model call, with and without the texts of a conversation, beside Logfire's scrubber with the same attributes.
Each span's texts are its own, so nobody has seen them before.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from logfire._internal.scrubbing import Scrubber

from benchmarks._measure import Figure, Round, arguments, interleave, report
from massgen_tracing.trace.scrub import is_secret_key, scrub

SPANS: Final = 300
TEXT: Final = (
    "Summarise what the other agents have answered so far, weigh the evidence for each claim, name the sources, and say in the end which of the"
    " answers is the best one and why. Keep to the facts in the files; where two of them disagree, say so. "
)
CHARACTERS: Final = 4000


def attributes(rng: random.Random, *, content: bool) -> dict[str, Any]:
    """Those of one model call."""
    made: dict[str, Any] = {
        "massgen.agent_id": rng.choice(("agent_a", "agent_b")),
        "massgen.round": rng.randrange(9),
        "massgen.round_type": "voting",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.response.id": f"resp_{rng.getrandbits(96):024x}",
        "gen_ai.usage.input_tokens": rng.randrange(9000),
        "gen_ai.usage.output_tokens": rng.randrange(900),
        "operation.cost": rng.random(),
    }
    if content:
        for key in ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"):
            begin = rng.randrange(len(TEXT))
            # No two are alike: what the facade has scrubbed lately it does not scrub again.
            made[key] = f"{rng.getrandbits(32)} " + (TEXT * (CHARACTERS // len(TEXT) + 1))[begin : begin + CHARACTERS // 2]
    return made


def ours(values: dict[str, Any]) -> None:
    """Scrub as the facade does."""
    for key, value in values.items():
        if not is_secret_key(key) and isinstance(value, str):
            scrub(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__ or "", rounds=20, argv=argv)
    scrubber = Scrubber(None)

    def theirs(values: dict[str, Any]) -> None:
        span: Any = {"name": "chat", "instrumentation_scope": None, "attributes": values, "events": [], "links": []}
        scrubber.scrub_span(span)

    def seconds(scrubs: Callable[[dict[str, Any]], None], *, content: bool) -> float:
        rng = random.Random(time.perf_counter_ns())
        spans = [attributes(rng, content=content) for _ in range(SPANS)]
        begin = time.perf_counter()
        for values in spans:
            scrubs(values)
        return (time.perf_counter() - begin) / SPANS

    contenders: dict[tuple[bool, bool], Round] = {
        (own, content): partial(seconds, ours if own else theirs, content=content) for own in (True, False) for content in (False, True)
    }
    samples = interleave(contenders, args.rounds)
    figures = [
        Figure(f"a span {what} / by Logfire's scrubber", samples[True, content], samples[False, content], 1.0)
        for content, what in ((False, "without content"), (True, f"with {CHARACTERS:,} characters"))
    ]
    return report(f"Scrubbing, {args.rounds} rounds of {SPANS} spans", figures, unit="µs", check=args.check)


if __name__ == "__main__":
    sys.exit(main())
