"""What tables there are, as `GET /v1/schemas` says it."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from massgen_tracing.store.tables import meanings, metrics, records

_NAMES: Final = {
    pa.string(): "TEXT",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "DOUBLE PRECISION",
    pa.date32(): "DATE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
}


def schemas() -> dict[str, Any]:
    """The tables, and of each column its type, and what it means."""
    tables = ((records.TABLE, records.SCHEMA, meanings.RECORDS), (metrics.TABLE, metrics.SCHEMA, meanings.METRICS))
    return {
        "tables": [
            {
                "name": name,
                "schema": {
                    item.name: {"data_type": _sql(item.type), "nullable": item.nullable, "description": said.get(item.name, "")} for item in schema
                },
            }
            for name, schema, said in tables
        ]
    }


def _sql(kind: pa.DataType) -> str:
    """A type's name in PostgreSQL's words, as far as it has one."""
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    if pa.types.is_list(kind):
        return f"{_sql(kind.value_type)}[]"
    return _NAMES.get(kind, "STRUCT" if pa.types.is_struct(kind) else str(kind).upper())
