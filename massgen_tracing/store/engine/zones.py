"""Time zones: that of a question, in which its times are told, and those that its statement names."""

from __future__ import annotations

import re
import zoneinfo
from typing import Final

import datafusion
import pyarrow as pa

from massgen_tracing.errors import QueryError
from massgen_tracing.store.sql import dialect
from massgen_tracing.store.terms import UTC, ZONES, is_zone

_ENGINES_UTC: Final = "+00:00"
"""What the engine says for UTC in the types that it makes itself."""

_SAME_AS_UTC: Final = frozenset({None, _ENGINES_UTC, UTC})
_ZONE: Final = re.compile(r"timestamp\[\w+, tz=([^]]*)\]")
"""The zone in the name of a type, also inside of lists and structs."""


def of_engine(zone: str) -> str:
    """What the engine calls a zone."""
    return _ENGINES_UTC if zone == UTC else zone


def told_in(frame: datafusion.DataFrame, zone: str) -> datafusion.DataFrame:
    """Rows whose times are the same moments, told in a zone.

    What a statement asks of such a time is asked of the column that it stands for, so that files are left out as they are without a zone.
    """
    if zone == UTC:
        return frame
    columns = [
        datafusion.col(item.name).cast(pa.timestamp(item.type.unit, zone)).alias(item.name)
        if pa.types.is_timestamp(item.type)
        else datafusion.col(item.name)
        for item in frame.schema()
    ]
    return frame.select(*columns)


def check(schema: pa.Schema, statement: dialect.Statement) -> None:
    """See that the zones of `AT TIME ZONE` exist: the engine does not look them up before it has to.

    Raises:
        QueryError: if one does not.
    """
    for zone in {zone for item in schema for zone in _ZONE.findall(str(item.type))} - _SAME_AS_UTC:
        if not is_zone(zone):
            place = statement.place_of(zone)
            raise QueryError(
                f"There is no time zone {zone!r} here{f' ({place})' if place else ''}",
                expected=ZONES,
                hint=None if zoneinfo.available_timezones() else "This machine has no such database: pip install tzdata",
            )


def in_microseconds(table: pa.Table) -> pa.Table:
    """Times and lengths of time in microseconds, whatever the functions that made them computed in; times without a zone are UTC."""
    for index, item in enumerate(table.schema):
        wanted = _of_microseconds(item.type)
        if wanted != item.type:
            column = table.column(index)
            if pa.types.is_timestamp(item.type) and item.type.tz is None:
                import pyarrow.compute as pc  # takes as long to load as a small question

                column = pc.assume_timezone(column, UTC)
            table = table.set_column(index, item.with_type(wanted), column.cast(wanted, safe=False))
    return table


def _of_microseconds(kind: pa.DataType) -> pa.DataType:
    """The same type in microseconds, also inside of lists and structs; a zone stays."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", UTC if kind.tz in _SAME_AS_UTC else kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_struct(kind):
        return pa.struct([inner.with_type(_of_microseconds(inner.type)) for inner in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_of_microseconds(kind.value_type)))
    return kind
