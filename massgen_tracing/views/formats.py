"""Query results in the formats that programs read."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing.store.tables.records import JSON_TEXTS

if TYPE_CHECKING:
    from massgen_tracing.store.engine.answer import Result


_DAY_NS: Final = 86_400 * 10**9
_UTC: Final = frozenset({"None", "UTC"})
"""What a zone says of itself that is UTC, or not known."""


def value(item: Any) -> Any:
    """A value of a result in JSON's types.

    Times are ISO 8601 with microseconds, in UTC or with the offset of their zone. Lengths of time are seconds, those of months ISO 8601 too.
    What JSON has no word for is null.
    """
    match item:
        case datetime():
            if str(item.tzinfo) in _UTC:
                return item.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return item.isoformat(timespec="microseconds")
        case date():
            return item.isoformat()
        case timedelta():
            return item.total_seconds()
        case Decimal():
            return float(item)
        case float():
            return item if math.isfinite(item) else None
        case bytes():
            return base64.b64encode(item).decode("ascii")
        case dict():
            return {key: value(inner) for key, inner in item.items()}
        case (int(months), int(days), int(nanoseconds)) if hasattr(item, "months"):  # an interval
            return f"P{months}M{days}DT{Decimal(nanoseconds).scaleb(-9).normalize():f}S" if months else (days * _DAY_NS + nanoseconds) / 10**9
        case list() | tuple():
            return [value(inner) for inner in item]
        case None | bool() | int() | str():
            return item
    return str(item)


def objects(result: Result, *, expand: bool = False) -> Iterator[dict[str, Any]]:
    """The rows as JSON objects, columns in the order of the SELECT; values of JSON columns as what they are, not as text.

    Args:
        result: the answer.
        expand: do so too with the columns of `records` that hold JSON as text (`attributes`, say).
    """
    decoded, texts = result.json_columns, frozenset(JSON_TEXTS if expand else ())
    for row in result.rows:
        yield {
            name: json.loads(item) if name in decoded and item is not None else _expanded(item) if name in texts else value(item)
            for name, item in zip(result.columns, row.values(), strict=True)
        }


def _expanded(item: Any) -> Any:
    """What a JSON text says; anything else as it is: a column may have been given such a name."""
    try:
        return json.loads(item) if isinstance(item, str) else value(item)
    except ValueError:
        return item


def cells(result: Result) -> list[list[str | None]]:
    """The rows as text for a table or CSV."""
    return [[_cell(item) for item in row.values()] for row in result.rows]


def _cell(item: Any) -> str | None:
    plain = value(item)
    match plain:
        case None | str():
            return plain
        case float():
            return f"{plain:.6f}".rstrip("0").rstrip(".") if abs(plain) >= 1e-3 or plain == 0 else f"{plain:.4g}"
    return json.dumps(plain, ensure_ascii=False)


def to_json(result: Result, *, expand: bool = False) -> str:
    """One array of objects, one object a line."""
    lines = [json.dumps(row, ensure_ascii=False) for row in objects(result, expand=expand)]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def to_jsonl(result: Result, *, expand: bool = False) -> str:
    """One object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects(result, expand=expand))


def to_csv(result: Result) -> str:
    """Comma-separated values with a header; NULL is an empty field, numbers have all their digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(result.columns)
    for row in result.rows:
        plain = [value(item) for item in row.values()]
        writer.writerow([json.dumps(item, ensure_ascii=False) if isinstance(item, bool | list | dict) else item for item in plain])
    return out.getvalue()


OBJECTS: Final[dict[str, Callable[..., str]]] = {"json": to_json, "jsonl": to_jsonl}
"""The formats whose rows are objects."""
