"""What a span costs on its way from a run to Jaeger and ClickHouse, stage by stage: `python -m benchmarks.scale`.

Each program's own processor time is divided by the spans that went through it, so that what other work the machine has does not count; and what lies
on the disk is divided by the same spans. The Collector, Jaeger and ClickHouse's engine are the real ones (`make collector`; the engine is chDB), as
`collector/` configures them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import massgen_tracing as mt
from benchmarks._measure import arguments
from benchmarks._spans import recordings
from massgen_tracing import layout, store
from massgen_tracing.delivery import backend, push
from massgen_tracing.store.roots import reader
from massgen_tracing.store.sealing import seal
from tools.backends import binaries, clickhouse, running
from tools.backends.binaries import CONFIGURATION

A_RUN = 150
"""Spans of a run of three agents without content, as `massgen-tracing run --dry-run` has them."""

PEAK = 5
"""So many times as many spans an hour at a day's peak as on average."""


@dataclass(frozen=True)
class Stage:
    """What one program did.

    Attributes:
        what: which.
        cpu: processor time a span, in seconds.
        disk: bytes a span that it keeps; 0 for none.
        memory: bytes that it had at most; 0 where it is not a program of its own.
    """

    what: str
    cpu: float
    disk: float = 0.0
    memory: int = 0


def size(path: Path) -> int:
    """Bytes of all files below a path, as the disk counts them."""
    return sum(each.stat().st_blocks * 512 for each in path.rglob("*") if each.is_file())


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for something that takes a while.

    Raises:
        SystemExit: where it takes too long.
    """
    end = time.monotonic() + 600
    while not done():
        if time.monotonic() > end:
            sys.exit(f"{what} did not come to an end")
        time.sleep(0.2)


@contextlib.contextmanager
def spent() -> Iterator[list[float]]:
    """The processor time of this process in a block."""
    begun = time.process_time()
    seconds = [0.0]
    yield seconds
    seconds[0] = time.process_time() - begun


def writing(root: Path, spans: int) -> Stage:
    """A run's own spans into its recording."""
    tracer = mt.configure(root=root, enabled=True, logfire=False, seal=False)
    with spent() as seconds, tracer.session("What?", agents=["a"]) as session, session.agent_round("a") as rnd:
        for number in range(spans):
            with rnd.llm_call("openai", model="gpt-5-mini") as call:
                call.record_usage(input=number, output=20)
    mt.shutdown()
    (path,) = root.rglob(f"*{layout.RECORDING_SUFFIX}")
    return Stage("the run: a span into the recording", seconds[0] / spans, path.stat().st_size / spans)


def sealing(root: Path, spans: int) -> Stage:
    """Ended recordings into sealed ones."""
    paths = list(recordings(root, spans=spans, spans_a_run=2000))
    with spent() as seconds:
        sealed = [path for each in paths if (path := seal.seal(each).sealed) is not None]
    return Stage("the run: sealing a recording", seconds[0] / spans, sum(path.stat().st_size for path in sealed) / spans)


def stages(place: Path, spans: int) -> Iterator[Stage]:
    """All stages, each as soon as it is known."""
    yield writing(place / "written", min(spans, 20_000))
    paths = list(recordings(place / "root", spans=spans, spans_a_run=2000))
    ended = [span for span in reader.read(paths).spans if span.end_ns is not None]
    count, traces = len(ended), {span.trace_id for span in ended}
    del ended
    yield sealing(place / "sealed", count)
    with clickhouse.serving(place / "clickhouse") as engine, running.jaeger(place / "jaeger") as jaeger:
        variables = {**engine.exporting, "JAEGER_OTLP": jaeger.grpc, "SAMPLING_DECISION_WAIT": "5s"}
        with running.collecting(place / "one", {"JAEGER_OTLP": jaeger.grpc}) as collector:
            idle, before = collector.cpu_seconds(), jaeger.cpu_seconds()
            with spent() as pushing:
                push.push(paths, backend.otlp(collector.http, {}))
            yield Stage("the run or push: sending", pushing[0] / count)
            until(lambda: sum(len(jaeger.trace(trace)) for trace in traces) >= count, "Jaeger")
            yield Stage(
                "the Collector: file and Jaeger", (collector.cpu_seconds() - idle) / count, size(collector.data / "spans") / count, collector.memory()
            )
            yield Stage("Jaeger", (jaeger.cpu_seconds() - before) / count, size(place / "jaeger" / "data") / count, jaeger.memory())
        with running.collecting(place / "two", variables, CONFIGURATION / "scale.yaml") as collector:
            idle, before = collector.cpu_seconds(), engine.cpu_seconds()
            push.push(paths, backend.otlp(collector.http, {}))
            until(lambda: int(engine.answer("SELECT count() FROM otel.otel_traces")) >= count, "ClickHouse")
            yield Stage("the Collector for scale: sampling, types, ClickHouse too", (collector.cpu_seconds() - idle) / count, 0, collector.memory())
            engine.answer("OPTIMIZE TABLE otel.otel_traces FINAL")
            parts = "FROM system.parts WHERE active AND database = 'otel' AND table = 'otel_traces'"
            kept = int(engine.answer(f"SELECT sum(bytes_on_disk) {parts}"))
            yield Stage("ClickHouse", (engine.cpu_seconds() - before) / count, kept / count, engine.memory())
        store.query("SELECT 1 AS one", backend=engine.place)  # the process that answers is there then
        for what, sql in (
            ("sql: every column", "SELECT * FROM records"),
            (
                "sql: two attributes",
                "SELECT attributes->>'massgen.agent_id' AS a, sum((attributes->'operation.cost')::float) FROM records GROUP BY 1",
            ),
            (
                "sql: one attribute of model calls, of all spans",
                "SELECT sum((attributes->'operation.cost')::float) FROM records WHERE span_name LIKE 'llm.%'",
            ),
        ):
            result = store.query(sql + " LIMIT 1000000", backend=engine.place, timeout=600)
            yield Stage(f"{what} (seconds by the clock)", result.seconds / count)


def table(found: Sequence[Stage]) -> Iterator[str]:
    """The stages, and what they come to for so many runs a day."""
    yield f"{'':<62}{'µs/span':>9}{'spans/s of a core':>19}{'bytes/span':>12}{'most MB':>9}"
    for stage in found:
        disk = f"{stage.disk:,.0f}" if stage.disk else ""
        memory = f"{stage.memory / 2**20:,.0f}" if stage.memory else ""
        yield f"{stage.what:<62}{stage.cpu * 1e6:>9.1f}{1 / stage.cpu:>19,.0f}{disk:>12}{memory:>9}"
    yield ""
    yield f"{f'runs a day, of {A_RUN} spans each, {PEAK} times the average at peak':<62}{'cores at peak':>28}{'GB a day':>12}"
    for runs in (1_000, 1_000_000):
        yield f"{runs:,}"
        for stage in found:
            cores = runs * A_RUN / 86_400 * PEAK * stage.cpu
            if not stage.what.startswith("sql"):
                yield f"  {stage.what:<60}{cores:>28.2g}{f'{runs * A_RUN * stage.disk / 1e9:,.2g}' if stage.disk else '':>12}"


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__ or "", rounds=1, argv=argv, spans=20_000)
    if binaries.missing() or not clickhouse.installed():
        print(clickhouse.MISSING if not clickhouse.installed() else f"The Collector and Jaeger are {binaries.MISSING}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as place:
        found = list(stages(Path(place), args.spans))
    print(f"Spans from a run to Jaeger and ClickHouse, {args.spans:,} of them, {os.cpu_count()} cores")
    for line in table(found):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
