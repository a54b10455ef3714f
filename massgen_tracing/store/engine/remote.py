"""The spans of a backend as sources of the engine, fetched as far as a statement needs them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from massgen_tracing.errors import QueryError
from massgen_tracing.store.clickhouse import wanted
from massgen_tracing.store.clickhouse.fetch import Source
from massgen_tracing.store.engine import engines, zones
from massgen_tracing.store.engine.first import First, Step
from massgen_tracing.store.engine.sources import Sources, Window
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.sql.dialect import Statement
from massgen_tracing.store.terms import ClickHouse

_FIRST: Final = 4
"""So many times the rows that are wanted are fetched at first."""

_LEAST: Final = 4096
"""Fewer spans are not worth a question of their own."""

_GROWTH: Final = 16
"""Each time that there are not enough, so many times more spans are fetched."""


def source(statement: Statement, place: ClickHouse, seconds: float, window: Window, zone: str) -> Source:
    """What a statement wants of a backend; its times that name no zone are of *zone*.

    Raises:
        QueryError: if the backend has no such table.
    """
    found = wanted.find(statement.text, statement.params, partial(_moment, zone))
    if found.points:
        raise QueryError("ClickHouse has spans here, and no metrics", hint="Ask metrics of the recordings, without --backend")
    return Source(place, found, seconds, window.min_us, window.max_us)


def _moment(zone: str, text: str) -> int | None:
    """The time that an expression without columns stands for, as the engine sees it."""
    try:
        said = f"SELECT CAST(arrow_cast({text}, 'Timestamp(Microsecond, Some(\"{zones.of_engine(zone)}\"))') AS BIGINT)"
        (batch,) = engines.planner(lists=False, zone=zone).sql(said).collect()
    except Exception:  # noqa: BLE001 - then it is no time, and what is wrong is said where the statement is asked
        return None
    moment: int | None = batch.column(0)[0].as_py()
    return moment


def steps(first: First | None, of: Source, limit: int) -> Iterator[Step]:
    """What to ask until there are enough rows; each step fetches what it asks.

    Args:
        first: what the statement wants, if it wants its first rows only.
        of: all that there is to fetch.
        limit: how many rows of the answer are taken at most.

    Raises:
        QueryError: if the backend does not answer, or it is too much.
    """
    enough = 0 if first is None else first.enough(limit)
    if enough:
        spans = max(_FIRST * enough, _LEAST)
        while (since := of.newest(spans)) is not None:
            part = of.since(since)
            yield Step(_fetched(part), Window(part.min_us, part.max_us), enough)
            spans *= _GROWTH
    yield Step(_fetched(of), Window(of.min_us, of.max_us))


def _fetched(of: Source) -> Sources:
    batches = tuple(of.rows())
    return Sources(Recording((), Report(spans=sum(batch.num_rows for batch in batches))), rows=batches)
