"""The answer to a query. Knows Arrow and not the engine, so that whoever only reads answers loads no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa

from massgen_tracing.store.reading.report import Report
from massgen_tracing.store.tables import jsontext

Cut = Literal["", "rows", "bytes"]
"""By which of its limits an answer was cut; empty when it is whole."""

_NUMERIC: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_duration)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the engine comes to an answer, in its own words.

    Attributes:
        logical: what is done.
        physical: how it is done.
    """

    logical: str
    physical: str


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a query.

    Attributes:
        table: the rows as an Arrow table; times in microseconds, with the zone that `AT TIME ZONE` has given, or else that of the question.
        cut: by which limit the answer was cut; empty when it is whole.
        limit: how many rows were asked for at most.
        max_bytes: how many bytes were asked for at most.
        report: what the reader read, and what it had to skip.
        seconds: how long reading and asking took.
        plan: how the engine came to it, where that was asked.
    """

    table: pa.Table
    cut: Cut
    limit: int
    max_bytes: int
    report: Report
    seconds: float
    plan: Plan | None = None

    @property
    def truncated(self) -> bool:
        """Whether there was more than the limits allow."""
        return bool(self.cut)

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names, in the order of the SELECT."""
        return tuple(self.table.column_names)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as dicts; times are aware datetimes, in the zone of the question where `AT TIME ZONE` has not given them another one."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    @property
    def json_columns(self) -> frozenset[str]:
        """Columns whose texts are JSON values (`attributes->'key'`)."""
        return frozenset(item.name for item in self.table.schema if item.metadata and jsontext.MARK.items() <= item.metadata.items())

    @property
    def numeric_columns(self) -> frozenset[str]:
        """Columns that hold numbers."""
        return frozenset(item.name for item in self.table.schema if any(test(item.type) for test in _NUMERIC))

    def to_arrow(self) -> pa.Table:
        """The answer as an Arrow table."""
        return self.table

    def to_pandas(self) -> Any:
        """The answer as a pandas data frame; needs pandas."""
        return self.table.to_pandas()

    def __len__(self) -> int:
        return int(self.table.num_rows)
