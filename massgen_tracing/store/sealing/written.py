"""What is written to a sealed file, and the proof that the file gives it back."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import pyarrow as pa

from massgen_tracing.errors import RecordingError
from massgen_tracing.store.sealing import sealed, typed

if TYPE_CHECKING:
    from pyarrow import parquet

_WITH_STATISTICS: Final = ("trace_id", "start_timestamp", "end_timestamp", "duration", "span_name", "kind", "level", "is_exception")
_WITHOUT_DICTIONARY: Final = frozenset(
    {"span_id", "start_timestamp", "end_timestamp", "created_at", "duration", "start_nanos", "end_nanos", "attributes"}
)

_FEW_VALUES: Final = frozenset(
    {
        *("kind", "level", "is_exception", "day", "project_id", "process_pid", "http_method", "http_response_status_code", "trace_id"),
        *(each.name for each in sealed.FIXED if each.name.startswith(("service_", "telemetry_sdk_", "otel_scope_", "otel_dropped_"))),
        *("deployment_environment", "otel_flags", "otel_span_kind", "otel_status_code", "otel_trace_state", "start_length"),
        *typed.FEW_VALUES,
    }
)
"""Columns whose dictionary says all: a few bits a row are left, which take longer to compress than to write."""

_COPY_BYTES: Final = 2**26
"""How much of what was written is kept in memory until it is compared; more goes to a temporary file."""


def writer(file: IO[bytes], schema: pa.Schema, *, empty: Collection[str] = (), level: int | None = None) -> parquet.ParquetWriter:
    """Writes a sealed file.

    Args:
        file: where.
        schema: its columns.
        empty: those that will have no values.
        level: how much of the compressor's time is worth a smaller file; None for its own choice.
    """
    from pyarrow import parquet

    plain = {*_WITHOUT_DICTIONARY, *empty, *(each.name for each in schema if pa.types.is_floating(each.type))}
    compressed = [name for name in schema.names if name not in _FEW_VALUES and name not in empty]
    return parquet.ParquetWriter(
        file,
        schema,
        compression={name: "zstd" if name in compressed else "none" for name in schema.names},
        compression_level=None if level is None else dict.fromkeys(compressed, level),
        use_dictionary=[name for name in schema.names if name not in plain],
        write_statistics=[name for name in schema.names if name in _WITH_STATISTICS],
        store_schema=False,
    )


class Copies:
    """The row groups that were written, without the columns that have no values.

    Args:
        directory: where a temporary file may be.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._in_memory: list[pa.Table] = []
        self._bytes = 0
        self._spilled = 0
        self._file: IO[bytes] | None = None

    def close(self) -> None:
        """Forget them."""
        self._in_memory.clear()
        if self._file is not None:
            self._file.close()

    def add(self, table: pa.Table) -> None:
        """Add the next row group."""
        said = table.select([name for name, column in zip(table.column_names, table.columns, strict=True) if column.null_count < len(table)])
        self._bytes += said.nbytes
        if self._bytes <= _COPY_BYTES:
            self._in_memory.append(said)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - `close` closes it
        with pa.ipc.new_stream(self._file, said.schema) as stream:
            stream.write_table(said)
        self._spilled += 1

    def compare(self, path: Path, schema: pa.Schema) -> None:
        """Read the file back, group by group.

        Args:
            path: the file.
            schema: what its row groups had when they were written.

        Raises:
            RecordingError: if the disk gives back something else than was written.
        """
        from pyarrow import parquet

        texts = [each.name for each in schema if pa.types.is_dictionary(each.type)]
        with parquet.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
            same = file.num_row_groups == len(self._in_memory) + self._spilled and all(
                _same(file.read_row_group(number, use_threads=False), written) for number, written in enumerate(self._all())
            )
        if not same:
            raise RecordingError(f"What was written to {path} reads differently", hint="Check the disk; the recording was left as it is")

    def _all(self) -> Iterator[pa.Table]:
        yield from self._in_memory
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._spilled):
                yield pa.ipc.open_stream(self._file).read_all()  # to its end, for another one follows


def _same(read: pa.Table, written: pa.Table) -> bool:
    """Whether a row group is as it was written, and has nothing in the columns that were left out."""
    said = set(written.column_names)
    return (
        len(read) == len(written)
        and said <= set(read.column_names)
        and all(
            _same_column(_whole(column), _whole(written.column(name))) if name in said else column.null_count == len(read)
            for name, column in zip(read.column_names, read.columns, strict=True)
        )
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies


def _same_column(read: pa.Array, written: pa.Array) -> bool:
    """Whether two columns say the same; of dictionaries the order counts for nothing."""
    import pyarrow.compute as pc

    if read.equals(written):
        return True
    if not pa.types.is_dictionary(written.type):
        return False
    places = pc.index_in(read.dictionary, written.dictionary).cast(pa.int32())
    return bool(places.take(read.indices).equals(written.indices))
