"""Engines: DataFusion as statements need it, without files, catalogue or settings of its own; kept from one statement to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeVar

import datafusion
import pyarrow as pa

from massgen_tracing.store.engine import limits
from massgen_tracing.store.engine.zones import of_engine
from massgen_tracing.store.sql import functions, lengths, measures, schema
from massgen_tracing.store.sql.tokens import MOST_LEVELS
from massgen_tracing.store.tables import metrics, records
from massgen_tracing.store.tables.meanings import METRICS, RECORDS, RUN
from massgen_tracing.store.terms import UTC

EMPTY: Final = {
    records.TABLE: pa.RecordBatch.from_pylist([], schema=records.SCHEMA),
    records.TABLE_ALL: pa.RecordBatch.from_pylist([], schema=records.SCHEMA),
    metrics.TABLE: pa.RecordBatch.from_pylist([], schema=metrics.SCHEMA),
}
"""The tables without rows. Without any batch an engine would not know the columns."""

_MOST_KEPT: Final = 16

Made = TypeVar("Made")


@dataclass(slots=True)
class Engine:
    """An engine, which knows the footers that it has read, and what was made with it."""

    context: datafusion.SessionContext
    _made: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made under a key, or is now; of the last few."""
        made: Made = self._made.pop(key) if key in self._made else make()
        self._made[key] = made
        if len(self._made) > _MOST_KEPT:
            del self._made[next(iter(self._made))]
        return made


_idle: Final[dict[bool, list[Engine]]] = {False: [], True: []}
"""Engines that have answered, by whether they read lists of columns."""


@contextlib.contextmanager
def taken(*, lists: bool, zone: str = UTC) -> Iterator[Engine]:
    """An engine that nobody else uses meanwhile. One that has answered is kept, but for those of other zones; one that failed is not."""
    if zone != UTC:
        yield Engine(_new(lists=lists, zone=zone))
        return
    kept = _idle[lists]
    engine = kept.pop() if kept else Engine(_new(lists=lists))
    yield engine
    kept.append(engine)


@lru_cache(maxsize=4)
def planner(*, lists: bool, runs: bool = False, zone: str = UTC) -> datafusion.SessionContext:
    """An engine whose tables are empty, to plan with and never to ask; with *runs* rows of records have their run."""
    context = _new(lists=lists, zone=zone)
    _register_empty(context, runs=runs)
    return context


def _register_empty(context: datafusion.SessionContext, *, runs: bool) -> None:
    for name, empty in EMPTY.items():
        with_run = runs and name != metrics.TABLE
        context.register_record_batches(name, [[empty.append_column(RUN, pa.array([], pa.string())) if with_run else empty]])


def know_schema(context: datafusion.SessionContext) -> None:
    """Let an engine answer what tables and columns there are."""
    catalog = context.catalog()
    if schema.NAME not in catalog.names():
        described = datafusion.catalog.Schema.memory_schema()
        catalog.register_schema(schema.NAME, described)
        for name, table in _information().items():
            described.register_table(name, context.from_arrow(table))


@lru_cache(maxsize=1)
def _information() -> dict[str, pa.Table]:
    """What the engine itself says of the tables, and what their columns mean."""
    context = datafusion.SessionContext(datafusion.SessionConfig().with_information_schema(enabled=True))
    _register_empty(context, runs=True)
    of_columns = "SELECT * FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
    columns = context.sql(of_columns).to_arrow_table()
    names = zip(columns["table_name"].to_pylist(), columns["column_name"].to_pylist(), strict=True)
    meanings = pa.array([(METRICS if table == metrics.TABLE else RECORDS)[column] for table, column in names])
    tables = context.sql("SELECT * FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name").to_arrow_table()
    return {"columns": columns.append_column("description", meanings), "tables": tables}


def _new(*, lists: bool, zone: str = UTC) -> datafusion.SessionContext:
    config = (
        datafusion.SessionConfig()
        .with_information_schema(enabled=False)
        # PostgreSQL has no `* EXCEPT (…)`, which DataFusion documents.
        .set("datafusion.sql_parser.dialect", "Generic" if lists else "PostgreSQL")
        .set("datafusion.sql_parser.recursion_limit", str(2 * MOST_LEVELS))
        .set("datafusion.execution.time_zone", of_engine(zone))
        .set("datafusion.execution.parquet.schema_force_view_types", "false")
        .set("datafusion.execution.parquet.pushdown_filters", "true")
        # Planning reads the footers, which are then kept: the statistics say which files are enough, and which cannot have newer rows.
        .set("datafusion.execution.collect_statistics", "true")
        # It compares what may be NULL, which two parts of the planner find out differently where a CASE never gives NULL.
        .set("datafusion.execution.skip_physical_aggregate_schema_check", "true")
        # Sealed files have none.
        .set("datafusion.execution.parquet.bloom_filter_on_read", "false")
    )
    runtime = datafusion.RuntimeEnvBuilder().with_disk_manager_disabled().with_greedy_memory_pool(limits.POOL_BYTES)
    context = datafusion.SessionContext(config, runtime)
    functions.register(context)
    measures.register(context)
    lengths.register(context)
    return context
