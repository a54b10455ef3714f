"""What many small runs cost: `python -m benchmarks.many_runs`.

A seeded root of ended runs of about 20 spans each, compacted as they come. Questions over all of them, beside DuckDB over one Parquet file of the
same rows and beside the build that made a Parquet file of each run; what is asked of the newest run and of one trace, beside a root of ten runs;
and how all of it grows with the number of runs. `--runs 100000` goes on to as many, which takes an hour.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from benchmarks import _earlier
from benchmarks._measure import Figure, Round, Samples, interleave, report, timed
from benchmarks._spans import run_lines
from benchmarks.store import duck
from massgen_tracing import store

SPANS_A_RUN = 20
STEPS = (1_000, 10_000, 100_000)
AT_ONCE = 5_000
"""Runs that are written before they are compacted: live files take fifty times as much room."""

DASHBOARDS = Path(__file__).resolve().parents[1] / "dashboards" / "sql"
QUESTIONS = {
    "newest sessions": """SELECT trace_id, start_timestamp, duration FROM records WHERE span_name = 'coordination.session'
        ORDER BY start_timestamp DESC LIMIT 10""",
    "count(*)": "SELECT count(*) FROM records",
    "tokens per agent": """SELECT attributes->>'massgen.agent_id' AS agent, SUM((attributes->'massgen.usage.input')::int) AS tokens
        FROM records WHERE span_name LIKE 'agent.%' GROUP BY 1""",
}
EMPTY = "SELECT 1"


def write(root: Path, seeds: Sequence[int]) -> None:
    """Runs as the package's own writer writes them, a minute after each other by their names."""
    for seed in seeds:
        minutes, seconds = divmod(seed, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        name = f"log_202601{1 + days:02}_{hours:02}{minutes:02}{seconds:02}_{seed:06}"
        path = root / "massgen_logs" / name / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(run_lines(seed, SPANS_A_RUN)))


def compact(root: Path, build: _earlier.Build | None = None) -> tuple[float, float]:
    """The command, today's or another build's; gives its seconds of processor time, and the most memory that it took, in MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of `getrusage` a new process begins with what its parent had.
    script = "import re, sys; from massgen_tracing.views.cli import main; main(sys.argv[1:])"
    script += "; print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1], file=sys.stderr)"
    environment = None if build is None else build.environment
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "compact", "--root", root], env=environment, check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(done.stderr.split()[-1]) / 1024


def size(root: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(os.stat(os.path.join(place, name)).st_size for place, _, names in os.walk(root) for name in names)


def ours(root: Path, sql: str) -> Round:
    """The store, from the statement's text to its rows as a table."""
    return timed(lambda: store.query(sql, root))


def command(*words: str | Path) -> Round:
    """A command, with its start."""
    line = [sys.executable, "-m", "massgen_tracing.views.cli", *map(str, words)]
    return timed(lambda: subprocess.run(line, check=True, capture_output=True))


def statements(root: Path) -> dict[str, str]:
    """The questions, and all that come with the package; those about one trace ask for the newest."""
    trace = store.query(QUESTIONS["newest sessions"], root).rows[0]["trace_id"]
    values = {"[TRACE_ID]": trace, "$resolution": "'1 hour'", "$agent": "'%'"}
    shipped = {path.stem: path.read_text().strip().rstrip(";") for path in sorted(DASHBOARDS.glob("*.sql"))}
    for variable, value in values.items():
        shipped = {name: sql.replace(variable, value) for name, sql in shipped.items()}
    return QUESTIONS | shipped


def without(base: Samples, own: Samples) -> Samples:
    """What is left of each round without the quickest of another."""
    return Samples([max(seconds - base.best, 1e-4) for seconds in own.seconds])


def beside_one_file(root: Path, place: Path, rounds: int) -> Iterator[Figure]:
    """All statements beside DuckDB over one file, after the time of an empty statement has been taken away."""
    place.mkdir()
    everything = store.query("SELECT * FROM records", root, limit=10**9, max_bytes=2**40, timeout=600).to_arrow()
    duckdb.connect().sql("SELECT * FROM everything").write_parquet(str(place / "all.parquet"))
    print(f"  one file of {everything.num_rows:,} rows, by DuckDB: {size(place):,} bytes")
    del everything
    for name, sql in statements(root).items():
        contenders = {"ours": ours(root, sql), "empty": ours(root, EMPTY), "duck": duck(place, sql)}
        try:
            contenders["duck"]()
        except duckdb.Error:
            del contenders["duck"]
        samples = interleave(contenders, rounds)
        if "duck" in samples:
            yield Figure(f"{name} / DuckDB, one file", without(samples["empty"], samples["ours"]), samples["duck"], 2.0)
        else:
            yield Figure(f"{name} (not DuckDB's SQL) / the empty statement", samples["ours"], samples["empty"])


def beside_earlier(root: Path, ten: Path, place: Path, runs: int, most: int, rounds: int) -> Iterator[Figure]:
    """The questions beside the build that made a Parquet file of each run.

    It is asked of half of *most* runs and of all of them; where these are not all that there are, its times are taken to grow with their number.
    """
    build = _earlier.build(place / "build") if most else None
    if build is None:
        return
    for done, some in ((0, most // 2), (most // 2, most)):
        grown(place / "runs", done, some, build)
        with build.asking() as process:
            for name, sql in QUESTIONS.items():
                by_query = {"new": ours(root, sql), "old": build.asked(process, place / "runs", sql), "empty": ours(ten, EMPTY)}
                words = ("sql", "--format", "json", "--root")
                by_command = {
                    "new": command(*words, root, sql),
                    "old": build.command(*words, place / "runs", sql),
                    "empty": command(*words, ten, EMPTY),
                }
                for way, contenders, target in (("store.query", by_query, 1 / 100), ("the command", by_command, 1 / 40)):
                    samples = interleave(contenders, rounds)
                    start = samples["empty"].best
                    taken = Samples([start + (seconds - start) * runs / some for seconds in samples["old"].seconds])
                    yield Figure(f"{name} by {way} / the earlier build, from {some:,} runs", samples["new"], taken, target)


def beside_ten(root: Path, ten: Path, rounds: int) -> Iterator[Figure]:
    """What is asked of the newest run and of one trace, beside the same in a root of ten runs."""
    for name, words in {"logs list": ["logs", "list", "--limit", "10"], "trace": ["trace"]}.items():
        samples = interleave({place: command(*words, "--root", place) for place in (root, ten)}, rounds)
        yield Figure(f"{name} / ten runs", samples[root], samples[ten], 1.5)
    for name, sql in {
        "newest ten": QUESTIONS["newest sessions"],
        "one trace": "SELECT count(*), sum(duration) FROM records WHERE trace_id = '{}'",
    }.items():
        asked = {place: sql.format(store.query(QUESTIONS["newest sessions"], place).rows[0]["trace_id"]) for place in (root, ten)}
        samples = interleave({place: ours(place, asked[place]) for place in (root, ten)}, rounds)
        yield Figure(f"{name} by store.query / ten runs", samples[root], samples[ten])


def grown(root: Path, done: int, runs: int, build: _earlier.Build | None = None) -> None:
    """More runs, written and compacted, and what that has cost."""
    busy = most = 0.0
    for begin in range(done, runs, AT_ONCE):
        write(root, range(begin, min(begin + AT_ONCE, runs)))
        seconds, held = compact(root, build)
        busy, most = busy + seconds, max(most, held)
    held = size(root)
    # Today's build would put together what another one has left.
    rows = 0 if build is not None else store.query("SELECT count(*) AS n FROM records", root).rows[0]["n"]
    print(
        f"{runs:,} runs{', the earlier build' if build else ''}: compacting took {busy / (runs - done) * 1e3:.1f} ms of processor time a run,"
        f" {most:,.0f} MiB at most; {held:,} bytes, {held / runs:,.0f} a run{f', {held / rows:.1f} a row' if rows else ''}",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each contender (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=10_000, help="how many runs (default: %(default)s)")
    parser.add_argument(
        "--earlier", type=int, default=2_000, help="runs of them that the earlier build is asked of, 0 for none (default: %(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    args = parser.parse_args(argv)
    code = done = 0
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        root, ten = place / "many", place / "ten"
        write(ten, range(10))
        compact(ten)
        for runs in sorted({*(step for step in STEPS if step < args.runs), args.runs}):
            grown(root, done, runs)
            done = runs
            figures = list(beside_ten(root, ten, args.rounds))
            if runs == min(args.runs, STEPS[1]):
                figures += beside_one_file(root, place / "one", args.rounds)
                figures += beside_earlier(root, ten, place / "earlier", runs, min(runs, args.earlier), args.rounds)
            code |= report(f"{runs:,} runs, {args.rounds} rounds", figures, unit="ms", check=args.check)
    return code


if __name__ == "__main__":
    sys.exit(main())
