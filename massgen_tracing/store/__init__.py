"""In: recordings as records, and SQL over them. Reads files of any OTLP/JSON writer, also while a run still writes.

    reader      files -> span records, whatever the files hold
    lines       lines of our own writer -> span records, fast
    catalogue   where recordings lie: runs, directories, single files
    records     span records -> rows of Logfire's `records_all`
    seal        an ended live file -> a sealed one
    shapes      lines that look alike -> columns; groups puts columns together as row groups
    sealed      the sealed file's format; typed its columns for documented keys, rest what they leave out
    encode      span records -> OTLP/JSON
    dialect     Logfire's SQL -> DataFusion's
    direct      where a statement can be answered by columns and file indexes
    first       where a few files have all the rows that a statement wants
    sources     which files a query reads, as tables of the engine
    engine      one query: read-only, with a deadline and a row limit

Importing this package loads none of them; the SQL engine is loaded by the first query.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import layout

if TYPE_CHECKING:
    from massgen_tracing.store.engine import Result

__all__ = ["DEFAULT_LIMIT", "DEFAULT_TIMEOUT", "query"]

DEFAULT_LIMIT: Final = 10_000
"""Rows of an answer, unless another number is asked for; Logfire's most."""

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds."""


def query(
    sql: str,
    root: Path | str | Sequence[Path | str] = layout.DEFAULT_ROOT,
    *,
    min_timestamp: datetime | None = None,
    max_timestamp: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = DEFAULT_TIMEOUT,
) -> Result:
    """Ask one SELECT, in Logfire's SQL, of recordings.

    Args:
        sql: one SELECT (or WITH … SELECT) over `records` and `records_all`.
        root: a root, a run's directory, any directory of recordings, one OTLP/JSON-lines file, or several of these.
        min_timestamp: leave out what started before; a naive time is UTC.
        max_timestamp: leave out what started after; a naive time is UTC.
        limit: rows of the answer at most; `Result.truncated` says whether there were more.
        timeout: seconds until the query is given up.

    Returns:
        The rows, as dicts or as an Arrow table.

    Raises:
        QueryError: if the statement is refused, fails, or takes too long.
        RecordingError: if *root* does not exist or a recording cannot be opened.
    """
    from massgen_tracing.store import engine

    return engine.query(sql, root, min_timestamp=min_timestamp, max_timestamp=max_timestamp, limit=limit, timeout=timeout)
