"""What a report costs: `python -m benchmarks.report`.

The whole report on a run of 100,000 spans, from its recording to Markdown, beside one full scan of the same spans: by SQL, and by the reader alone.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks._measure import Figure, arguments, interleave, report
from benchmarks._spans import recordings
from massgen_tracing import store
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.views.report import analysed, build, markdown

SPANS = 100_000
SCAN = "SELECT count(*), sum(length(attributes)), max(duration) FROM records"
"""A question whose answer needs every row and all of its attributes."""


def timed(written: Path, work: Callable[[Path], object]) -> float:
    """The seconds that a piece of work takes on a root that nobody has read yet: what was read of a file is kept otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(written, Path(folder) / "root"))
        gc.collect()
        began = time.perf_counter()
        work(root)
        return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    args = arguments(str(__doc__), rounds=3, argv=argv)
    works: dict[str, Callable[[Path], object]] = {
        "report": lambda root: markdown.render(build(analysed.subject(analysed.find(str(root), None)))),
        "sql": lambda root: store.query(SCAN, root),
        "reader": lambda root: reader.read(catalogue.files(root)),
    }
    with tempfile.TemporaryDirectory() as folder:
        list(recordings(Path(folder), spans=SPANS, spans_a_run=SPANS))
        samples = interleave({name: partial(timed, Path(folder), work) for name, work in works.items()}, args.rounds)
    figures = [Figure(f"/ {what}", samples["report"], samples[what], 3.0) for what in ("sql", "reader")]
    return report(f"A report on {SPANS:,} spans, beside a full scan of them", figures, unit="ms", check=args.check)


if __name__ == "__main__":
    raise SystemExit(main())
