"""Query results as files that other programs read column by column."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine.answer import Result


def to_arrow(result: Result) -> bytes:
    """An Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, result.table.schema) as writer:
        writer.write_table(result.table)
    return sink.getvalue()


def to_parquet(result: Result) -> bytes:
    """A Parquet file.

    Raises:
        QueryError: if a column has intervals.
    """
    intervals = [item.name for item in result.table.schema if pa.types.is_interval(item.type)]
    if intervals:
        raise QueryError(
            f"Parquet has no type for the intervals of the column {intervals[0]!r}", hint="Ask for their seconds: extract(epoch FROM interval)"
        )
    sink = io.BytesIO()
    parquet.write_table(result.table, sink)
    return sink.getvalue()


WRITERS: Final[dict[str, Callable[[Result], bytes]]] = {"arrow": to_arrow, "parquet": to_parquet}
