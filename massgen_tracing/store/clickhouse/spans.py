"""Rows of the exporter's table as span records: which columns are asked for, and what they say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.model import EMPTY, Attributes, Event, Link, Resource, Scope, SpanRecord
from massgen_tracing.store.clickhouse import values
from massgen_tracing.store.clickhouse.wanted import Wanted, quoted
from massgen_tracing.store.tables import records

_KINDS: Final = {"Internal": 1, "Server": 2, "Client": 3, "Producer": 4, "Consumer": 5}
_STATUSES: Final = {"Ok": 1, "Error": 2}
_UNSIGNED: Final = 2**64
_LATEST_NS: Final = 2**63

_MOST_HOMES: Final = 4096

_OF_COLUMNS: Final = {
    **{column: (key,) for column, key in records.EXCEPTION.items()},
    "attributes_json_schema": (semconv.LOGFIRE_JSON_SCHEMA,),
    "http_method": (semconv.HTTP_METHOD,),
    "http_response_status_code": (semconv.HTTP_STATUS, semconv.HTTP_STATUS_OLD),
    "http_route": (semconv.HTTP_ROUTE,),
    "level": (semconv.LOGFIRE_LEVEL, semconv.HTTP_STATUS, semconv.HTTP_STATUS_OLD),
    "message": (semconv.LOGFIRE_MSG,),
    "tags": (semconv.LOGFIRE_TAGS,),
    "url_full": (semconv.URL_FULL, semconv.HTTP_URL),
    "url_path": (semconv.URL_PATH,),
    "url_query": (semconv.URL_QUERY,),
}
"""The attributes that columns are made of."""

_OF_SPANS: Final = (semconv.LOGFIRE_SPAN_TYPE, semconv.LOGFIRE_PENDING_PARENT)

_OF_RESOURCE: Final = {
    "deployment_environment": (semconv.DEPLOYMENT_ENVIRONMENT, semconv.DEPLOYMENT_ENVIRONMENT_OLD),
    "process_pid": (semconv.PROCESS_PID,),
    "service_instance_id": (semconv.SERVICE_INSTANCE_ID,),
    "service_name": (semconv.SERVICE_NAME,),
    "service_namespace": (semconv.SERVICE_NAMESPACE,),
    "service_version": (semconv.SERVICE_VERSION,),
    "telemetry_sdk_language": (semconv.SDK_LANGUAGE,),
    "telemetry_sdk_name": (semconv.SDK_NAME,),
    "telemetry_sdk_version": (semconv.SDK_VERSION,),
}


def columns(wanted: Wanted) -> str:
    """What to select, for `spans`; what nobody asks for is left out."""
    keys = None if wanted.keys is None or wanted.column("otel_events") else {*wanted.keys, *_keys(_OF_COLUMNS, wanted), *_OF_SPANS, *_stored(wanted)}
    of_resource = None if wanted.column("otel_resource_attributes") else {*_keys(_OF_RESOURCE, wanted), semconv.STORED_TYPES}
    selected = {
        "start_ns": "toUnixTimestamp64Nano(Timestamp)",
        "trace_id": "TraceId",
        "span_id": "SpanId",
        "parent_span_id": "ParentSpanId",
        "name": "SpanName",
        "kind": "SpanKind",
        "duration": "Duration",
        "status_code": "StatusCode",
        "attributes": _only(keys, "SpanAttributes"),
        "event_times": "arrayMap(at -> toUnixTimestamp64Nano(at), Events.Timestamp)",
        "event_names": "Events.Name",
        "event_attributes": "Events.Attributes" if keys is None else f"arrayMap(each -> {_only(keys, 'each')}, Events.Attributes)",
    }
    if wanted.column("otel_status_message"):
        selected["status_message"] = "StatusMessage"
    if of_resource is None or len(of_resource) > 1:
        selected["resource"] = _only(of_resource, "ResourceAttributes")
    if wanted.column("otel_scope_name", "otel_scope_version"):
        selected |= {"scope_name": "ScopeName", "scope_version": "ScopeVersion"}
    if wanted.column("otel_links"):
        selected |= {f"link_{name}": f"Links.{column}" for name, column in _LINKS.items()}
    return ", ".join(f"{said} AS {name}" for name, said in selected.items())


_LINKS: Final = {"traces": "TraceId", "spans": "SpanId", "states": "TraceState", "attributes": "Attributes"}


def _keys(of: dict[str, tuple[str, ...]], wanted: Wanted) -> Iterator[str]:
    return (key for column, keys in of.items() if wanted.column(column) for key in keys)


def _stored(wanted: Wanted) -> Iterator[str]:
    """What of that which the Collector has put down is needed where the attributes are not asked for as a whole: not their order."""
    wanted_scope = wanted.column("otel_scope_attributes")
    return (key for key in values.STORED if key != semconv.STORED_KEYS and (key != semconv.STORED_SCOPE or wanted_scope))


def _only(keys: set[str] | None, mapping: str) -> str:
    """A mapping with these keys only; None for all."""
    return mapping if keys is None else f"mapFilter((key, value) -> key IN ({', '.join(map(quoted, sorted(keys)))}), {mapping})"


class Spans:
    """Makes records of rows; equal resources and scopes become one object, which saves memory and later work."""

    def __init__(self) -> None:
        self._resources: dict[Any, Resource] = {}
        self._scopes: dict[Any, Scope] = {}

    def of(self, batch: pa.RecordBatch) -> Iterator[SpanRecord]:
        """The spans of a batch, as often as they were written."""
        rows = batch.num_rows
        plain = {name: batch.column(name).to_pylist() for name in batch.schema.names if name not in _NESTED}
        attributes = _mappings(batch.column("attributes"))
        empty = [""] * rows
        messages, scopes, versions = (plain.get(name, empty) for name in ("status_message", "scope_name", "scope_version"))
        resources = _pairs(batch.column("resource")) if "resource" in batch.schema.names else [()] * rows
        events = _lists(batch, "event_times", "event_names", "event_attributes")
        links = _lists(batch, *(f"link_{name}" for name in _LINKS))
        for at in range(rows):
            start = plain["start_ns"][at]
            end = (start + plain["duration"][at]) % _UNSIGNED
            own, of_scope = values.restored(attributes[at])
            yield SpanRecord(
                trace_id=plain["trace_id"][at],
                span_id=plain["span_id"][at],
                parent_span_id=plain["parent_span_id"][at],
                name=plain["name"][at],
                start_ns=start,
                end_ns=end if 0 < end < _LATEST_NS else None,
                kind=_KINDS.get(plain["kind"][at], 0),
                attributes=own,
                events=tuple(Event(name, time, values.restored(dict(said))[0]) for time, name, said in events.get(at, ())),
                links=tuple(Link(trace, span, state, values.restored(dict(said))[0]) for trace, span, state, said in links.get(at, ())),
                status_code=_STATUSES.get(plain["status_code"][at], 0),
                status_message=messages[at],
                resource=self._resource(resources[at]),
                scope=self._scope(scopes[at], versions[at], of_scope),
            )

    def _resource(self, pairs: tuple[tuple[str, str], ...]) -> Resource:
        found = self._resources.get(pairs)
        if found is None:
            if len(self._resources) >= _MOST_HOMES:
                self._resources.clear()
            found = self._resources[pairs] = Resource(values.restored(dict(pairs))[0])
        return found

    def _scope(self, name: str, version: str, attributes: Attributes) -> Scope:
        key = name, version, repr(attributes) if attributes else ""
        found = self._scopes.get(key)
        if found is None:
            if len(self._scopes) >= _MOST_HOMES:
                self._scopes.clear()
            found = self._scopes[key] = Scope(name, version, attributes or EMPTY)
        return found


_NESTED: Final = frozenset({"attributes", "resource", "event_times", "event_names", "event_attributes", *(f"link_{name}" for name in _LINKS)})


def _mappings(column: pa.MapArray) -> list[dict[str, str]]:
    """Mappings of texts, each as one of Python; much faster than Arrow does it one by one."""
    keys, items, offsets = column.keys.to_pylist(), column.items.to_pylist(), column.offsets.to_pylist()
    return [dict(zip(keys[begin:end], items[begin:end], strict=True)) for begin, end in itertools.pairwise(offsets)]


def _pairs(column: pa.MapArray) -> list[tuple[tuple[str, str], ...]]:
    return [tuple(each.items()) for each in _mappings(column)]


def _lists(batch: pa.RecordBatch, *names: str) -> dict[int, list[tuple[Any, ...]]]:
    """What lies in lists beside each other, by the rows that have any: few have."""
    if names[0] not in batch.schema.names:
        return {}
    offsets = batch.column(names[0]).offsets.to_pylist()
    some = [at for at, (begin, end) in enumerate(itertools.pairwise(offsets)) if begin < end]
    taken = batch.select(names).take(pa.array(some, pa.int64())) if some else None
    rows = zip(*(taken.column(name).to_pylist() for name in names), strict=True) if taken is not None else ()
    return {at: list(zip(*row, strict=True)) for at, row in zip(some, rows, strict=True)}
