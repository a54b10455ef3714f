"""Query results as files that other programs read column by column."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from massgen_tracing.store.engine.answer import Result


def to_arrow(result: Result) -> bytes:
    """An Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, result.table.schema) as writer:
        writer.write_table(result.table)
    return sink.getvalue()


def to_parquet(result: Result) -> bytes:
    """A Parquet file."""
    sink = io.BytesIO()
    parquet.write_table(result.table, sink)
    return sink.getvalue()


WRITERS: Final[dict[str, Callable[[Result], bytes]]] = {"arrow": to_arrow, "parquet": to_parquet}
