"""One statement of a caller as a request, and the answer as what the caller gets."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing.errors import QueryError
from massgen_tracing.store.process import attended
from massgen_tracing.store.terms import ZONES, ClickHouse, Value, is_zone

if TYPE_CHECKING:
    from massgen_tracing.store.engine.answer import Result

_MOST_CHARACTERS: Final = 2**20
_MOST_SECONDS: Final = 10**6


def query(
    sql: str,
    sources: Path | str | Sequence[Path | str],
    *,
    params: Mapping[str, Value] | None,
    min_timestamp: datetime | None,
    max_timestamp: datetime | None,
    environments: Sequence[str] | None,
    timezone: str,
    explain: bool,
    limit: int,
    max_bytes: int,
    timeout: float,
    on_progress: Callable[[float], None] | None,
    backend: ClickHouse | None,
) -> Result:
    """The answer to one SELECT; see `massgen_tracing.store.query`."""
    begun = time.monotonic()
    if not is_zone(timezone):
        raise QueryError("There is no such time zone here", expected=ZONES, got=timezone)
    if len(sql) > _MOST_CHARACTERS:
        raise QueryError("The statement is too long", expected=f"at most {_MOST_CHARACTERS:,} characters", got=len(sql))
    if not 0 < timeout <= _MOST_SECONDS:
        raise QueryError("The timeout of the statement is none", expected=f"a number of seconds above 0, at most {_MOST_SECONDS:,}", got=timeout)
    places = [sources] if isinstance(sources, str | Path) else sources
    request = {
        "sql": sql,
        "sources": [str(place) for place in places],
        "params": dict(params or {}),
        "min_us": _microseconds(min_timestamp),
        "max_us": _microseconds(max_timestamp),
        "environments": None if environments is None else list(environments),
        "zone": timezone,
        "explained": explain,
        "limit": limit,
        "max_bytes": max_bytes,
        "clickhouse": None if backend is None else dataclasses.asdict(backend),
        "seconds": timeout,
    }
    if attended.is_copy():
        ask = attended.ask
    else:
        from massgen_tracing.store.process import sandbox

        ask = sandbox.ask
    head, body = ask(request, timeout, on_progress or (lambda _seconds: None))
    import pyarrow as pa

    from massgen_tracing.store.engine.answer import Plan, Result
    from massgen_tracing.store.reading.report import Report, Skip

    report = Report(**{**head["report"], "first_skips": [Skip(**skip) for skip in head["report"]["first_skips"]]})
    with pa.ipc.open_stream(body) as stream:
        table = stream.read_all()
    return Result(table, head["cut"], limit, max_bytes, report, time.monotonic() - begun, None if head["plan"] is None else Plan(**head["plan"]))


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
