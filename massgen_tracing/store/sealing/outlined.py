"""Outlines of the spans of a sealed recording, from the columns that say what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import orjson
from pyarrow import parquet

from massgen_tracing.model import Resource
from massgen_tracing.store.reading.outline import CALLING, Asked, NoOutline, Outline
from massgen_tracing.store.sealing import rest, sealed
from massgen_tracing.store.tables import records

M = TypeVar("M")

_COLUMNS: Final = (
    *("trace_id", "span_id", "parent_span_id", "span_name", "kind", "start_timestamp", "start_nanos", "end_timestamp", "end_nanos"),
    *("otel_status_code", "otel_span_kind", "attributes", "otlp_rest", "otel_resource_attributes"),
)

_ABSENT: Final = object()
"""Stands for the value of a key that a span has not; None is one."""


def read(path: Path, asked: Asked[M]) -> list[Outline[M]]:
    """The spans of a sealed file.

    Raises:
        NoOutline: if it is no sealed recording.
        Exception: of any kind, if it is damaged.
    """
    if sealed.index(path) is None:
        raise NoOutline
    return _read(parquet.ParquetFile(path, pre_buffer=False), asked)


def _read(file: parquet.ParquetFile, asked: Asked[M]) -> list[Outline[M]]:
    ended: list[Outline[M]] = []
    begun: list[Outline[M]] = []
    resources: dict[tuple[str, str], Resource] = {}
    meanings: dict[tuple[str | None, ...], M] = {}
    for number in range(file.num_row_groups):
        table = sealed.plain(file.read_row_group(number, columns=list(_COLUMNS), use_threads=False))
        columns = (table.column(name).to_pylist() for name in _COLUMNS)
        for trace, span, parent, name, row, start, start_nanos, end, end_nanos, status, kind, text, more, home in zip(*columns, strict=True):
            if row == records.SPAN_EVENT:
                continue
            left = {} if more is None else orjson.loads(more)
            in_resource = left.get("resource", [])
            resource = resources.get((home, repr(in_resource)))
            if resource is None:
                resource = resources[home, repr(in_resource)] = rest.resource(home, in_resource)
            attributes = rest.attributes(text, left["attributes"]) if "attributes" in left else orjson.loads(text)
            values = [attributes.get(key, _ABSENT) for key in asked.keys]
            said = (name, *(value if type(value) is str else None for value in values))
            if asked.whole(name) or any(value is not _ABSENT and type(value) is not str for value in values):
                meaning = asked.meaning(name, attributes)
            elif said in meanings:
                meaning = meanings[said]
            else:
                meaning = meanings[said] = asked.meaning(name, attributes)
            ended_ns = None if end is None else end * 1000 + end_nanos
            (begun if end is None else ended).append(
                Outline(
                    start * 1000 + start_nanos,
                    trace,
                    span,
                    kind not in CALLING,
                    parent or "",
                    ended_ns,
                    sealed.STATUS_CODES[status],
                    "interrupted" if end is None else "ended",
                    resource,
                    meaning,
                )
            )
    known = {(each.trace_id, each.span_id) for each in ended}
    return ended + [each for each in begun if (each.trace_id, each.span_id) not in known]
