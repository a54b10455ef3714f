"""Answers in the forms of Logfire's API: JSON, JSON lines, CSV, Arrow; and columns as it describes them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from massgen_tracing.serve.queries.asked import Asked
from massgen_tracing.serve.queries.problems import Problem, wrong
from massgen_tracing.store.engine import export
from massgen_tracing.store.engine.answer import Plan, Result
from massgen_tracing.views import formats

JSON: Final = "application/json"
_LINES: Final = "application/x-ndjson"
_ARROW: Final = "application/vnd.apache.arrow.stream"
_CSV: Final = "text/csv"
_TOGETHER: Final = 500
"""Rows of one message of JSON lines."""

_NAMES: Final = {
    pa.string(): "Utf8",
    pa.large_string(): "LargeUtf8",
    pa.string_view(): "Utf8View",
    pa.bool_(): "Boolean",
    pa.float16(): "Float16",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.date32(): "Date32",
    pa.date64(): "Date64",
    pa.binary(): "Binary",
    pa.null(): "Null",
    **{kind: str(kind).replace("uint", "UInt").replace("int", "Int") for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{kind: str(kind).replace("uint", "UInt") for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
}
_UNITS: Final = {"s": "Second", "ms": "Millisecond", "us": "Microsecond", "ns": "Nanosecond"}


def data_type(kind: pa.DataType) -> Any:
    """A type of Arrow as Arrow's Rust library writes it in JSON, which is what Logfire's clients are given."""
    if kind in _NAMES:
        return _NAMES[kind]
    if pa.types.is_timestamp(kind):
        return {"Timestamp": [_UNITS[kind.unit], kind.tz]}
    if pa.types.is_duration(kind):
        return {"Duration": _UNITS[kind.unit]}
    if pa.types.is_decimal(kind):
        return {f"Decimal{kind.bit_width}": [kind.precision, kind.scale]}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"List" if pa.types.is_list(kind) else "LargeList": field(kind.value_field)}
    if pa.types.is_struct(kind):
        return {"Struct": [field(inner) for inner in kind]}
    return str(kind)


def field(item: pa.Field) -> dict[str, Any]:
    """A column, or a part of one."""
    return {"name": item.name, "data_type": data_type(item.type), "nullable": item.nullable}


def form(accept: str) -> str:
    """The first of the forms that an `Accept` header takes.

    Raises:
        Problem: if it takes none of them.
    """
    if not accept.strip():
        return JSON
    for part in accept.split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in WRITERS:
            return kind
        if kind in {"*/*", "application/*"}:
            return JSON
    raise Problem(422, [wrong(("header", "accept"), "enum", f"Expected one of {', '.join(WRITERS)}", accept[:200])])


def _rows(result: Result) -> Iterator[dict[str, Any]]:
    return formats.objects(result, expand=True)


def _schema(result: Result) -> dict[str, Any]:
    return {"fields": [field(item) for item in result.table.schema]}


def _plan(plan: Plan) -> dict[str, str]:
    """Plans under the names that Logfire's messages have. Where JSON has them, Logfire does not say: they stand beside the schema."""
    return {"logical_plan": plan.logical, "physical_plan": plan.physical}


def _json(result: Result, asked: Asked) -> bytes:
    said = {"schema": _schema(result)} if asked.with_schema else {}
    if result.plan is not None:
        said["explain"] = _plan(result.plan)
    return json.dumps({**said, "data": list(_rows(result))}, ensure_ascii=False).encode()


def _lines(result: Result, asked: Asked) -> bytes:
    messages: list[dict[str, Any]] = [{"type": "schema", "schema": _schema(result)}] if asked.with_schema else []
    if result.plan is not None:
        messages.append({"type": "explain", **_plan(result.plan)})
    rows = _rows(result)
    while together := list(itertools.islice(rows, _TOGETHER)):
        messages.append({"type": "data", "rows": together})
    messages.append({"type": "end", "row_count": len(result)})
    return b"".join(json.dumps(message, ensure_ascii=False).encode() + b"\n" for message in messages)


WRITERS: Final[dict[str, Callable[[Result, Asked], bytes]]] = {
    JSON: _json,
    _LINES: _lines,
    _ARROW: lambda result, _: export.to_arrow(result),
    _CSV: lambda result, _: formats.to_csv(result).encode(),
}
"""By what clients call them."""


def first_version(result: Result, asked: Asked) -> bytes:
    """JSON as the first version has it: columns with their values, or rows and columns."""
    columns = [{"name": item.name, "datatype": data_type(item.type), "nullable": item.nullable} for item in result.table.schema]
    rows = list(_rows(result))
    if asked.by_row:
        return json.dumps({"columns": columns, "rows": rows}, ensure_ascii=False).encode()
    return json.dumps({"columns": [{**column, "values": [row[column["name"]] for row in rows]} for column in columns]}, ensure_ascii=False).encode()
