"""In: recordings as records, and SQL over them. Reads files of any OTLP writer, also while a run still writes.

    terms       what a query may be given
    reading     lines of files -> records
    tables      records -> rows of Logfire's tables
    sealing     an ended recording -> one Parquet file
    roots       where recordings lie
    clickhouse  rows of ClickHouse -> rows of Logfire's tables
    sql         Logfire's SQL -> the engine's
    engine      one statement, answered here
    process     one statement, answered by a process that can be stopped

Each leans on those above it. Importing this package loads none of them; the SQL engine is loaded by the process that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from massgen_tracing import layout
from massgen_tracing.store.terms import DEFAULT_LIMIT, DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT, UTC, ClickHouse, Value

if TYPE_CHECKING:
    from massgen_tracing.store.engine.answer import Result

__all__ = ["DEFAULT_LIMIT", "DEFAULT_MAX_BYTES", "DEFAULT_TIMEOUT", "UTC", "ClickHouse", "Value", "attended", "prepare", "query"]


def prepare() -> None:
    """Let what a query needs be loaded while the caller does something else before it asks, by the process that will answer.

    Raises:
        QueryError: if that process cannot be started.
    """
    from massgen_tracing.store.process import attended

    if not attended.is_copy():  # which asks itself
        from massgen_tracing.store.process import sandbox

        sandbox.prepare()


def attended(work: Callable[[], int]) -> int:
    """Do what asks questions, prints the answers and is then at its end: in a copy of this process where that is possible, which is quicker.

    Args:
        work: what is done; gives an exit code.

    Returns:
        What *work* returned.

    Raises:
        QueryError: if a query takes too long or the engine crashes, in a copy; otherwise whatever *work* raises.
    """
    from massgen_tracing.store.process import attended

    return attended.run(work) if attended.can_attend() else work()


def query(
    sql: str,
    root: Path | str | Sequence[Path | str] = layout.DEFAULT_ROOT,
    *,
    params: Mapping[str, Value] | None = None,
    min_timestamp: datetime | None = None,
    max_timestamp: datetime | None = None,
    environments: Sequence[str] | None = None,
    timezone: str = UTC,
    explain: bool = False,
    limit: int = DEFAULT_LIMIT,
    max_bytes: int = DEFAULT_MAX_BYTES,
    timeout: float = DEFAULT_TIMEOUT,
    on_progress: Callable[[float], None] | None = None,
    backend: ClickHouse | None = None,
) -> Result:
    """Ask one SELECT, in Logfire's SQL, of recordings, or of what the Collector has written into ClickHouse.

    Args:
        sql: one SELECT (or WITH … SELECT) over `records`, `records_all` and `metrics`.
        root: a root, a run's directory, any directory of recordings, a file of OTLP, or several of these.
        params: a value for each `$name` of the statement. Values are bound, never put into the text; a time is an ISO 8601 text, a list is
            for `= ANY($name)` and functions of arrays.
        min_timestamp: leave out what started before; a naive time is UTC.
        max_timestamp: leave out what started after; a naive time is UTC.
        environments: leave out rows of other deployment environments; an empty text stands for rows that say none.
        timezone: the zone of the question, such as `Europe/Paris` or `+02:00`, as a session of PostgreSQL has one: times are told in it, its days and
            hours count (`date_trunc`, `extract`, casts to texts and dates, `now()`), and a time in a text that names no zone is read in it. Only
            `time_bucket` and `date_bin` count from 1970 in UTC, wherever they are asked.
        explain: tell how the engine comes to the answer, in `Result.plan`.
        limit: rows of the answer at most; `Result.cut` says whether there were more.
        max_bytes: bytes of the answer at most.
        timeout: seconds until the query is given up.
        on_progress: called with the seconds since the start about five times a second, until there is an answer.
        backend: instead of *root*, the ClickHouse that has the spans, such as `ClickHouse.named("http://localhost:8123")`.

    Returns:
        The rows, as dicts or as an Arrow table.

    Raises:
        QueryError: if the statement is refused, fails, or takes too long, or the backend does not answer.
        RecordingError: if *root* does not exist, has files that are no recordings and no others, or cannot be read.
    """
    from massgen_tracing.store.process import asking

    return asking.query(
        sql,
        root,
        params=params,
        min_timestamp=min_timestamp,
        max_timestamp=max_timestamp,
        environments=environments,
        timezone=timezone,
        explain=explain,
        limit=limit,
        max_bytes=max_bytes,
        timeout=timeout,
        on_progress=on_progress,
        backend=backend,
    )
