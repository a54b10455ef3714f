"""What a report costs: `python -m benchmarks.report`.

The whole report on a run of 100,000 spans, from its recording to Markdown, beside one full scan of the same spans: by SQL, and by the reader alone.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks._measure import Figure, arguments, interleave, report
from benchmarks._spans import recordings
from massgen_tracing import store
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.views.report import analysed, build, markdown

SPANS = 100_000
SCAN = "SELECT count(*), sum(length(attributes)), max(duration) FROM records"
"""A question whose answer needs every row and all of its attributes."""


def timed(work: Callable[[], object]) -> float:
    """The seconds that a piece of work takes."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    args = arguments(str(__doc__), rounds=3, argv=argv)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        list(recordings(root, spans=SPANS, spans_a_run=SPANS))
        files = catalogue.files(root)
        samples = interleave(
            {
                "report": lambda: timed(lambda: markdown.render(build(analysed.subject(analysed.find(folder, None))))),
                "sql": lambda: timed(lambda: store.query(SCAN, root)),
                "reader": lambda: timed(lambda: reader.read(files)),
            },
            args.rounds,
        )
    figures = [Figure(f"/ {what}", samples["report"], samples[what], 3.0) for what in ("sql", "reader")]
    return report(f"A report on {SPANS:,} spans, beside a full scan of them", figures, unit="ms", check=args.check)


if __name__ == "__main__":
    raise SystemExit(main())
