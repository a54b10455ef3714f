"""What a span costs: `python -m benchmarks.span`.

The facade with its recording on, beside a bare OpenTelemetry SDK span that goes nowhere and beside `logfire.span`; and the facade switched
off, beside OpenTelemetry's own no-op tracer.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks._measure import Figure, Round, arguments, interleave, report

SPANS = 2000
NAME = "work"

Attributes = dict[str, Any]
Opener = Callable[[str, Attributes], AbstractContextManager[Any]]

_serial = itertools.count()


def attributes() -> Attributes:
    """Ten attributes as an agent's call has them: four texts that recur, three that no other span has, two counts and an amount."""
    number = next(_serial)
    return {
        "massgen.agent_id": "agent_a",
        "massgen.round_type": "initial_answer",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.response.id": f"resp_{number:024x}",
        "gen_ai.tool.call.id": f"call_{number:016x}",
        "app.question": f"Question {number}: what did agent {number % 7} say about part {number % 101} of the plan?",
        "gen_ai.usage.input_tokens": 1000 + number % 500,
        "gen_ai.usage.output_tokens": number % 300,
        "app.score": number / 7,
    }


def spans_round(opener: Opener, after: Callable[[], None] | None = None) -> Round:
    """A round of `SPANS` spans; *after* tidies up, off the clock."""

    def run() -> float:
        batch = [attributes() for _ in range(SPANS)]
        start = time.perf_counter()
        for each in batch:
            with opener(NAME, each):
                pass
        taken = time.perf_counter() - start
        if after is not None:
            after()
        return taken / SPANS

    return run


def sdk() -> Round:
    """The SDK's span, made current, without any processor."""
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("benchmark")
    return spans_round(lambda name, each: tracer.start_as_current_span(name, attributes=each))


def noop() -> Round:
    """OpenTelemetry's no-op tracer."""
    from opentelemetry.trace import NoOpTracer

    tracer = NoOpTracer()
    return spans_round(lambda name, each: tracer.start_as_current_span(name, attributes=each))


def facade(root: Path) -> Round:
    """The facade with its recording, which is emptied after each round: the disk's write-back of one must not slow the next."""
    import massgen_tracing as mt

    tracer = mt.configure(root=root, logfire=False, record=True, enabled=True)

    def empty() -> None:
        for path in root.rglob("*.jsonl"):
            assert path.stat().st_size > SPANS * 500, "the recording is not written"
            os.truncate(path, 0)

    return spans_round(lambda name, each: tracer.span(name, attributes=each), empty)


def disabled() -> Round:
    """The facade switched off; call it before `facade`."""
    import massgen_tracing as mt

    tracer = mt.configure(enabled=False)
    return spans_round(lambda name, each: tracer.span(name, attributes=each))


def logfire_span() -> Round:
    """`logfire.span`, sending nothing."""
    import logfire

    logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False)
    return spans_round(lambda name, each: logfire.span(name, **each))


@contextmanager
def elsewhere(contender: str) -> Iterator[Round]:
    """A contender in a process of its own, because it patches what the others use; it runs a round for each line it is sent."""
    command = [sys.executable, "-m", "benchmarks.span", "--serve", contender]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def run() -> float:
            requests.write("\n")
            requests.flush()
            return float(answers.readline())

        yield run
        requests.close()


def _serve(contender: str) -> int:
    run = {"logfire": logfire_span}[contender]()
    for _ in sys.stdin:
        print(run(), flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["--serve"]:
        return _serve(given[1])
    args = arguments(__doc__, rounds=25, argv=given)
    with tempfile.TemporaryDirectory() as root, elsewhere("logfire") as logfire:
        off = disabled()
        samples = interleave({"facade": facade(Path(root)), "sdk": sdk(), "logfire": logfire, "off": off, "noop": noop()}, args.rounds)
        import massgen_tracing as mt

        mt.shutdown()
    figures = [
        Figure("recorded span / SDK span that goes nowhere", samples["facade"], samples["sdk"], 1.6),
        Figure("recorded span / logfire.span that goes nowhere", samples["facade"], samples["logfire"], 1 / 3),
        Figure("facade off / OpenTelemetry's no-op tracer", samples["off"], samples["noop"], 1 / 3),
    ]
    return report(f"A span with 10 attributes, {args.rounds} rounds of {SPANS}", figures, unit="µs", check=args.check)


if __name__ == "__main__":
    sys.exit(main())
