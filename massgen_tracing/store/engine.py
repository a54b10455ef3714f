"""SQL over recordings: one query, read-only, with a deadline, a memory limit and a row limit.

The engine is DataFusion, which Logfire runs too. A query sees two tables, `records` and `records_all`, and nothing else: no files, no
catalogue, no settings.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import datafusion
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.errors import QueryError
from massgen_tracing.store import DEFAULT_LIMIT, DEFAULT_TIMEOUT, catalogue, dialect, direct, first, functions, seal
from massgen_tracing.store.reader import Report
from massgen_tracing.store.sources import Sources, Window, choose, tables

_NUMERIC: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_duration)
_MEMORY_BYTES: Final = 2**30
_MAX_MESSAGE: Final = 500
_SEALING_SECONDS: Final = 0.5
"""For sealing, after an answer, what has ended a while ago."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a query.

    Attributes:
        table: the rows as an Arrow table; times in microseconds.
        truncated: whether there were more than `limit` rows.
        limit: how many rows were asked for at most.
        report: what the reader read, and what it had to skip.
        seconds: how long reading and asking took.
    """

    table: pa.Table
    truncated: bool
    limit: int
    report: Report
    seconds: float

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names, in the order of the SELECT."""
        return tuple(self.table.column_names)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as dicts; times are aware datetimes in UTC."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    @property
    def json_columns(self) -> frozenset[str]:
        """Columns whose texts are JSON values (`attributes->'key'`)."""
        marked = functions.JSON_MARK.items()
        return frozenset(item.name for item in self.table.schema if item.metadata and marked <= item.metadata.items())

    @property
    def numeric_columns(self) -> frozenset[str]:
        """Columns that hold numbers."""
        return frozenset(item.name for item in self.table.schema if any(test(item.type) for test in _NUMERIC))

    def to_arrow(self) -> pa.Table:
        """The answer as an Arrow table."""
        return self.table

    def to_pandas(self) -> Any:
        """The answer as a pandas data frame; needs pandas."""
        return self.table.to_pandas()

    def __len__(self) -> int:
        return int(self.table.num_rows)


def query(
    sql: str,
    sources: Path | str | Sequence[Path | str],
    *,
    min_timestamp: datetime | None = None,
    max_timestamp: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = DEFAULT_TIMEOUT,
) -> Result:
    """Ask one SELECT of all recordings in *sources*; see `massgen_tracing.store.query`."""
    begun = time.monotonic()
    # Before any file is read: a statement that is refused costs nothing.
    statement = dialect.translate(sql)
    places = [sources] if isinstance(sources, str | Path) else list(sources)
    window = Window(_microseconds(min_timestamp), _microseconds(max_timestamp))
    files = [path for place in places for path in catalogue.files(place)]
    chosen = choose(files, traces=direct.find(statement.text).traces, window=window)
    table, truncated = ask(statement, chosen, window=window, limit=limit, timeout=timeout)
    result = Result(table, truncated, limit, chosen.recording.report, time.monotonic() - begun)
    seal.seal_settled(files, seconds=_SEALING_SECONDS)
    return result


def ask(
    statement: dialect.Statement,
    sources: Sources,
    *,
    window: Window = Window(),  # noqa: B008 - frozen
    limit: int = DEFAULT_LIMIT,
    timeout: float = DEFAULT_TIMEOUT,
    typed_columns: bool = True,
) -> tuple[pa.Table, bool]:
    """The answer of one translated statement, and whether it was cut at *limit* rows.

    Without *typed_columns*, attributes are read from their JSON text only; the answer is the same.

    Raises:
        QueryError: if the engine refuses the statement, fails at it, or is not done after *timeout* seconds.
    """
    if limit < 1:
        raise QueryError("The row limit cannot be right", expected="a number from 1", got=limit)
    asked = direct.find(statement.text) if typed_columns and sources.sealed else direct.Direct(statement.text)
    options = datafusion.SQLOptions().with_allow_ddl(allow=False).with_allow_dml(allow=False).with_allow_statements(allow=False)

    def run() -> pa.Table:
        for step in first.steps(first.wanted(statement.text), sources, window, limit + 1):
            context = _context()
            with tables(context, step.sources, window=step.window, asked=asked):
                frame = context.sql_with_options(statement.text, options)
                names = frame.schema().names
                if asked.tables:
                    # Planned as it was written first: its errors and its titles are those that people know.
                    frame = context.sql_with_options(asked.text, options)
                table = frame.limit(limit + 1).to_arrow_table().rename_columns(names)
            if step.enough is None or len(table) >= step.enough:
                return table
        raise AssertionError  # the last step is enough in any case

    table = _microsecond_times(_within(run, timeout, statement))
    return table.slice(0, limit), table.num_rows > limit


def _context() -> datafusion.SessionContext:
    config = (
        datafusion.SessionConfig()
        .with_information_schema(enabled=False)
        .set("datafusion.sql_parser.dialect", "PostgreSQL")
        .set("datafusion.execution.time_zone", "+00:00")
        .set("datafusion.execution.parquet.schema_force_view_types", "false")
        .set("datafusion.execution.parquet.pushdown_filters", "true")
        # Planning would read the footers of all files; reading does, of those that are needed.
        .set("datafusion.execution.collect_statistics", "false")
    )
    runtime = datafusion.RuntimeEnvBuilder().with_disk_manager_disabled().with_greedy_memory_pool(_MEMORY_BYTES)
    context = datafusion.SessionContext(config, runtime)
    functions.register(context)
    return context


def _within(run: Callable[[], pa.Table], timeout: float, statement: dialect.Statement) -> pa.Table:
    """Run in a thread, so that the caller gets its answer at the deadline; the engine stops where it next can."""
    done: list[pa.Table] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(run())
        except BaseException as error:  # noqa: BLE001 - the engine's panics are no Exception; all of them are the caller's to hear
            failed.append(error)

    thread = threading.Thread(target=work, name="massgen-tracing-query", daemon=True)
    thread.start()
    thread.join(timeout)
    if failed:
        raise _refusal(failed[0], statement) from failed[0]
    if not done:
        raise QueryError(
            f"The statement was stopped after {timeout:g} seconds",
            hint="Ask for less: a time window, one trace_id, or a join with a condition",
        )
    return done[0]


_PARSER_PLACE: Final = re.compile(r" at Line: (\d+), Column: (\d+)")
_NAMED: Final = re.compile(r"Invalid function '([^']+)'|No field named \"?(?:\w+\.)?(\w+)|table '(?:\w+\.)*(\w+)' not found")
_MISMATCH: Final = re.compile(r"Function '(\w+)' (?:failed to match any signature|requires|expects)")
_NOISE: Final = re.compile(
    r"^(DataFusion error: |SQL error: |Error during planning: |Schema error: |Execution error: |Arrow error: |External error: "
    r"|This feature is not implemented: |Optimizer rule '\w+' failed\s+caused by\s+|ParserError\(\")+"
)


def _refusal(error: BaseException, statement: dialect.Statement) -> QueryError:
    """The engine's error in one clear line, with the place in the statement as it was written."""
    text = _NOISE.sub("", str(error))
    text = text.split("\nValid fields are")[0].split("\nColumn names are case sensitive")[0]
    text = " ".join(text.split()).removesuffix('")')
    mismatch = _MISMATCH.search(text)
    if mismatch is not None:
        place = statement.place_of(mismatch[1])
        return QueryError(
            f"The function `{mismatch[1]}`{f' ({place})' if place else ''} cannot take values of the type it is given",
            hint="A value of a JSON text needs a cast to be computed with: (attributes->'key')::int",
        )
    text = _PARSER_PLACE.sub(lambda match: f" at {statement.place(int(match[1]), int(match[2]))}", text)
    named = _NAMED.search(text)
    name = next((group for group in named.groups() if group), None) if named else None
    place = statement.place_of(name) if name else None
    text = text.replace("datafusion.public.", "")
    if len(text) > _MAX_MESSAGE:
        text = text[:_MAX_MESSAGE] + " …"
    hint = "The tables are records and records_all" if named and named[3] else None
    return QueryError(f"The statement failed: {text}" + (f" ({place})" if place else ""), hint=hint)


def _microsecond_times(table: pa.Table) -> pa.Table:
    """Times in microseconds, UTC, whatever the functions that made them computed in."""
    for index, item in enumerate(table.schema):
        if pa.types.is_timestamp(item.type):
            column = table.column(index)
            if item.type.tz is None:
                column = pc.assume_timezone(column, "UTC")
            column = column.cast(pa.timestamp("us", "UTC"), safe=False)
            table = table.set_column(index, item.with_type(column.type), column)
    return table


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return (_utc(moment) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
