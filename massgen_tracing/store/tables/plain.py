"""Spans as OTLP/JSON has them, straight into columns of `records`: those that have no events and links, and nothing that has a meaning of its own.

Most spans of other programs are such, and making them in this way takes half as long as making each a record and then a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.model import Resource, Scope
from massgen_tracing.store.reading.spans import Identity, SpanKey
from massgen_tracing.store.reading.values import Complain, attributes
from massgen_tracing.store.tables import jsontext, records

_HEX: Final = re.compile("[0-9a-f]*")
_KINDS: Final = range(6)
_CODES: Final = range(3)
_LATEST_NS: Final = 2**63
_NO_PARENT: Final = "0" * 16
_OTHERWISE: Final = records.TAKEN_OUT | {semconv.LOGFIRE_SPAN_TYPE}
"""Attributes that say more than that they are there."""


class Plain:
    """Columns of spans.

    Attributes:
        table: their rows.
        keys: trace and id of each.
        identities: what `reading.spans.identity` says of each.
    """

    __slots__ = ("identities", "keys", "table")

    def __init__(self, table: pa.Table, keys: list[SpanKey], identities: list[Identity]) -> None:
        self.table = table
        self.keys = keys
        self.identities = identities


def is_plain(span: Any) -> bool:
    """Whether a span may be one for `columns`."""
    return type(span) is dict and not span.get("events") and not span.get("links")


def columns(spans: Sequence[dict[str, Any]], resource: Resource, scope: Scope, complain: Complain) -> Plain | None:
    """The columns of spans that are alike; None where one of them is of another kind, and nothing has been complained of then.

    Args:
        spans: spans for which `is_plain` holds; one at least.
        resource: whose they are.
        scope: what made them.
        complain: told of what cannot be read.
    """
    try:
        traces = [span["traceId"] for span in spans]
        ids = [span["spanId"] for span in spans]
        parents = [span.get("parentSpanId") or _NO_PARENT for span in spans]
        begun = [int(time) if type(time := span["startTimeUnixNano"]) is str else time for span in spans]
        ended = [int(time) if type(time := span["endTimeUnixNano"]) is str else time for span in spans]
        kinds = [span.get("kind", 0) for span in spans]
        statuses = [span.get("status") or {} for span in spans]
        codes = [status.get("code", 0) for status in statuses]
        messages = [status.get("message") or None for status in statuses]
        names = [span.get("name", "") for span in spans]
        if not (
            _are_ids(traces, 32)
            and _are_ids(ids, 16)
            and _are_ids(parents, 16, zeros=True)
            and _are(int, begun, ended, kinds, codes)
            and min(*begun, *ended) > 0
            and max(*begun, *ended) < _LATEST_NS
            and min(kinds) in _KINDS
            and max(kinds) in _KINDS
            and min(codes) in _CODES
            and max(codes) in _CODES
            and _are(str, names, (message for message in messages if message is not None))
        ):
            return None
    except (LookupError, ValueError, TypeError, AttributeError):
        return None
    problems: list[str] = []
    said = [attributes(span.get("attributes"), problems.append) for span in spans]
    known = set().union(*said)
    if not _OTHERWISE.isdisjoint(known):
        return None
    for problem in problems:
        complain(problem)
    http = {name: [records.http_column(name, each) for each in said] for name, keys in records.HTTP_COLUMNS.items() if not known.isdisjoint(keys)}
    nothing = [None] * len(spans)
    starts, ends = [time // 1000 for time in begun], [time // 1000 for time in ended]
    varying: dict[str, Sequence[Any]] = {
        "attributes": [jsontext.dumps(each) for each in said],
        "created_at": ends,
        "day": [records.day(time) for time in starts],
        "duration": [(end - start) / 1e6 for start, end in zip(starts, ends, strict=True)],
        "end_timestamp": ends,
        "level": [
            records.level(None, code, kind, status) for code, kind, status in zip(codes, kinds, http.get(records.HTTP_STATUS, nothing), strict=True)
        ],
        "message": names,
        "otel_status_code": [records.STATUS_NAMES[code] for code in codes],
        "otel_status_message": messages,
        "parent_span_id": [None if parent == _NO_PARENT else parent for parent in parents],
        "span_id": ids,
        "span_name": names,
        "start_timestamp": starts,
        "trace_id": traces,
        **http,
    }
    same = records.home_columns(resource, scope) | _SAME
    made = [
        pa.array(varying[item.name], item.type) if item.name in varying else _repeated(same.get(item.name), item.type, len(spans))
        for item in records.SCHEMA
    ]
    service = repr(resource.attributes.get(semconv.SERVICE_NAME))
    identities = [(trace, span, kind, start, service) for trace, span, kind, start in zip(traces, ids, kinds, starts, strict=True)]
    return Plain(pa.table(made, schema=records.SCHEMA), list(zip(traces, ids, strict=True)), identities)


_SAME: Final = {
    "is_exception": False,
    "kind": semconv.SPAN_TYPE_SPAN,
    "otel_events": "[]",
    "otel_links": "[]",
    "project_id": records.PROJECT,
}
"""What all such spans say; other columns that do not vary are empty."""


def _repeated(value: Any, kind: pa.DataType, length: int) -> pa.Array:
    return pa.nulls(length, kind) if value is None else pa.repeat(pa.scalar(value, kind), length)


def _are(kind: type, *lists: Any) -> bool:
    return all(set(map(type, each)) <= {kind} for each in lists)


def _are_ids(texts: list[str], digits: int, *, zeros: bool = False) -> bool:
    """Whether all are lower-case hexadecimal of so many digits, and, unless *zeros* may be, none has no other digit."""
    return set(map(len, texts)) == {digits} and _HEX.fullmatch("".join(texts)) is not None and (zeros or "0" * digits not in texts)
