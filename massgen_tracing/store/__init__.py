"""In: recordings as records, and SQL over them. Reads files of any OTLP/JSON writer, also while a run still writes.

    reader      files -> span records, whatever the files hold; live one file's lines, kept for the next time; report what was skipped
    lines       lines of our own writer -> span records, fast
    signals     logs and metrics of other writers -> records
    catalogue   where recordings lie: runs, directories, single files
    contents    which of a root's recordings can have what is asked for
    records     span and log records -> rows of Logfire's `records_all`; metrics those of its `metrics`
    seal        an ended live file -> a sealed one
    shapes      lines that look alike -> columns; groups puts columns together as row groups
    sealed      the sealed file's format; typed its columns for documented keys, rest what they leave out
    encode      span records -> OTLP/JSON
    dialect     Logfire's SQL -> DataFusion's
    direct      where a statement can be answered by columns and file indexes
    first       where a few files have all the rows that a statement wants
    sources     which files a query reads, as tables of the engine
    engine      one query: read-only, with limits of rows, bytes and memory; damage: files that go wrong under it
    worker      the process that the engine runs in; sandbox its caller, wire what they say, limits what it may take
    answer      rows, and how they were cut

Importing this package loads none of them; the SQL engine is loaded by the process that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import layout

if TYPE_CHECKING:
    from massgen_tracing.store.answer import Result

__all__ = ["DEFAULT_LIMIT", "DEFAULT_MAX_BYTES", "DEFAULT_TIMEOUT", "Value", "query"]

Value = str | int | float | bool | list[str] | list[int] | list[float] | None
"""What a parameter of a statement can be."""

DEFAULT_LIMIT: Final = 10_000
"""Rows of an answer, unless another number is asked for; Logfire's most."""

DEFAULT_MAX_BYTES: Final = 2**28
"""Bytes of an answer, unless another number is asked for."""

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds."""


def query(
    sql: str,
    root: Path | str | Sequence[Path | str] = layout.DEFAULT_ROOT,
    *,
    params: Mapping[str, Value] | None = None,
    min_timestamp: datetime | None = None,
    max_timestamp: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
    max_bytes: int = DEFAULT_MAX_BYTES,
    timeout: float = DEFAULT_TIMEOUT,
    on_progress: Callable[[float], None] | None = None,
) -> Result:
    """Ask one SELECT, in Logfire's SQL, of recordings.

    Args:
        sql: one SELECT (or WITH … SELECT) over `records`, `records_all` and `metrics`.
        root: a root, a run's directory, any directory of recordings, one OTLP/JSON-lines file, or several of these.
        params: a value for each `$name` of the statement. Values are bound, never put into the text; a time is an ISO 8601 text, a list is
            for `= ANY($name)` and functions of arrays.
        min_timestamp: leave out what started before; a naive time is UTC.
        max_timestamp: leave out what started after; a naive time is UTC.
        limit: rows of the answer at most; `Result.cut` says whether there were more.
        max_bytes: bytes of the answer at most.
        timeout: seconds until the query is given up.
        on_progress: called with the seconds since the start about five times a second, until there is an answer.

    Returns:
        The rows, as dicts or as an Arrow table.

    Raises:
        QueryError: if the statement is refused, fails, or takes too long.
        RecordingError: if *root* does not exist or a recording cannot be opened.
    """
    from massgen_tracing.store import sandbox

    return sandbox.query(
        sql,
        root,
        params=params,
        min_timestamp=min_timestamp,
        max_timestamp=max_timestamp,
        limit=limit,
        max_bytes=max_bytes,
        timeout=timeout,
        on_progress=on_progress,
    )
