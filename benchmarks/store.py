"""What sealing and asking cost: `python -m benchmarks.store`.

All queries of `tests/store/queries.sql` over sealed recordings, beside a hand-written query of the same engine over typed Parquet columns of the same
data, and, where an attribute is used, beside DuckDB over the same rows with `attributes` as JSON text.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import datafusion
import duckdb
import pyarrow as pa
from pyarrow import parquet

from benchmarks._measure import Figure, Round, arguments, interleave, report, timed
from benchmarks._spans import recordings, run_lines
from massgen_tracing import store
from massgen_tracing.store.sealing import seal, sealed
from massgen_tracing.store.tables import records

SPANS_A_RUN = 20_000
SPANS_OF_ONE = 200_000
TYPED = sealed.SCHEMA.append(pa.field("app_tenant", pa.string()))
QUERIES = Path(__file__).resolve().parents[1] / "tests" / "store" / "queries.sql"

BY_HAND = {
    "attributes->>'massgen.agent_id'": "massgen_agent_id",
    "attributes->>'massgen.round'": "CAST(massgen_round AS VARCHAR)",
    "attributes->>'massgen.round_type'": "massgen_round_type",
    "attributes->>'gen_ai.request.model'": "gen_ai_request_model",
    "(attributes->'massgen.usage.input')::int": "massgen_usage_input",
    "(attributes->'massgen.usage.output')::int": "massgen_usage_output",
    "(attributes->'massgen.usage.cost')::float": "massgen_usage_cost",
    "(attributes->'token_count')::int": "CAST(NULL AS BIGINT)",
    "attributes->>'massgen.usage.input'": "massgen_usage_input",
    "attributes->>'app.tenant'": "app_tenant",
}
"""What a person would write who knows the typed columns."""

EVERY_ROW = {
    "every_agent": """SELECT attributes->>'massgen.agent_id' AS agent, COUNT(*) AS rounds, SUM((attributes->'massgen.usage.cost')::float) AS cost
        FROM records WHERE span_name LIKE 'agent.%' GROUP BY 1""",
    "every_model": """SELECT attributes->>'gen_ai.request.model' AS model, COUNT(*) AS calls FROM records GROUP BY 1""",
    "every_undocumented_key": """SELECT attributes->>'app.tenant' AS tenant, COUNT(*) AS rounds FROM records GROUP BY 1""",
}
"""Further questions, whose answers need all rows: no file can be left out."""


def queries(trace: str) -> dict[str, str]:
    """Every query by its name; the trace is one that is there."""
    parts = (part.partition("\n") for part in QUERIES.read_text().split("-- name: ")[1:])
    return {name.strip(): sql.strip().rstrip(";").replace("[TRACE_ID]", trace) for name, _, sql in parts} | EVERY_ROW


def uses_attributes(sql: str) -> bool:
    """Whether a query asks for any, so that it can be compared with one on JSON text."""
    return "attributes" in sql


def ours(root: Path, sql: str) -> Round:
    """The store, from the statement's text to its rows as a table."""
    return timed(lambda: store.query(sql, root))


def typed(directory: Path, sql: str) -> Round:
    """DataFusion over the typed columns, as if they had been written so."""
    for ours_, theirs in BY_HAND.items():
        sql = sql.replace(ours_, theirs)

    def ask() -> None:
        config = (
            datafusion.SessionConfig().set("datafusion.sql_parser.dialect", "PostgreSQL").set("datafusion.execution.parquet.pushdown_filters", "true")
        )
        context = datafusion.SessionContext(config)
        context.register_parquet("records", directory)
        context.sql(sql).limit(store.DEFAULT_LIMIT).to_arrow_table()

    return timed(ask)


def duck(directory: Path, sql: str) -> Round:
    """DuckDB over the same rows, with `attributes` as JSON text."""
    sql = sql.replace("attributes->", "attributes::JSON->")
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW records AS SELECT {', '.join(records.SCHEMA.names)} FROM '{directory}/*.parquet'")
    connection.execute("SET threads TO 2")
    return timed(lambda: connection.sql(f"SELECT * FROM ({sql}) LIMIT {store.DEFAULT_LIMIT}").to_arrow_table())


def make(root: Path, directory: Path, spans: int) -> None:
    """Write, seal, and print what that cost; *directory* gets the same columns as plain typed files."""
    seconds = busy = before = after = count = 0.0
    made = []
    with tempfile.TemporaryDirectory() as elsewhere:
        for path in recordings(Path(elsewhere), spans=1000, spans_a_run=1000):
            seal.seal(path)  # what is loaded at its first use is no cost of sealing
    for path in recordings(root, spans=spans, spans_a_run=min(spans, SPANS_A_RUN)):
        start, start_busy = time.perf_counter(), time.process_time()
        outcome = seal.seal(path)
        seconds, busy = seconds + time.perf_counter() - start, busy + time.process_time() - start_busy
        assert outcome.sealed is not None, outcome.reason
        index = sealed.index(outcome.sealed)
        assert index is not None
        before, after, count = before + outcome.before, after + outcome.after, count + index.spans
        made.append(outcome.sealed)
    print(
        f"Sealing: {count:,.0f} spans, {count / seconds:,.0f} spans/s ({count / busy:,.0f} per second of processor time),"
        f" {before / count:,.0f} bytes/span before, {after / count:,.0f} after",
        flush=True,
    )
    for number, path in enumerate(made):
        table = parquet.read_table(path)
        for field in TYPED:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(len(table), field.type))
        parquet.write_table(table.select(TYPED.names).cast(TYPED), directory / f"{number:06}.parquet", compression="zstd")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__, rounds=3, argv=argv, spans=1_000_000)
    with tempfile.TemporaryDirectory() as place:
        root, directory = Path(place, "root"), Path(place, "typed")
        directory.mkdir()
        make(root, directory, args.spans)
        trace = run_lines(0, min(args.spans, SPANS_A_RUN))[-1].split('"traceId":"')[1][:32]
        figures = []
        for name, sql in queries(trace).items():
            uses = uses_attributes(sql)
            contenders = {"ours": ours(root, sql), "typed": typed(directory, sql)} | ({"duck": duck(directory, sql)} if uses else {})
            samples = interleave(contenders, args.rounds)
            figures.append(Figure(f"{name} / typed columns by hand", samples["ours"], samples["typed"], 1.5))
            if uses:
                figures.append(Figure(f"{name} / DuckDB on JSON text", samples["ours"], samples["duck"], 1 / 5))
        code = report(f"Queries over {args.spans:,} spans, {args.rounds} rounds", figures, unit="ms", check=args.check)
        answering = max(map(peak, children()))
        print(f"Peak memory: the process that answers {answering:,.0f} MiB; one that seals {of_sealing(Path(place, 'one'), args.spans):,.0f} MiB")
    return code


def of_sealing(place: Path, spans: int) -> float:
    """The most memory, in MiB, that a process holds which seals one long recording and does nothing else."""
    (path,) = recordings(place, spans=min(spans, SPANS_OF_ONE), spans_a_run=min(spans, SPANS_OF_ONE))
    code = "import sys; from pathlib import Path; from massgen_tracing.store.sealing.seal import seal\n"
    code += "seal(Path(sys.argv[1])); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sealer:
        assert sealer.stdin is not None
        assert sealer.stdout is not None
        sealer.stdout.readline()
        held = peak(sealer.pid)
        sealer.stdin.write(b"\n")
    return held


def children() -> list[int]:
    """The processes that this one has started."""
    return [int(child) for thread in Path("/proc/self/task").iterdir() for child in (thread / "children").read_text().split()]


def peak(pid: int) -> float:
    """The most memory that a process has held, in MiB; 0 of one that has ended."""
    held = re.search(r"^VmHWM:\s+([0-9]+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(held[1]) / 1024 if held else 0.0


if __name__ == "__main__":
    sys.exit(main())
