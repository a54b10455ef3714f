"""OTLP/JSON of any signal as Python records; here, what files of other writers say beside spans.

As with spans, what any writer may have put there is accepted; a record without a time is refused with `Malformed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from massgen_tracing.model import (
    Buckets,
    Exemplar,
    Exponential,
    LogRecord,
    MetricPoint,
    MetricType,
    Resource,
    Scope,
    SpanRecord,
    Temporality,
)
from massgen_tracing.store.reading import names, otlp
from massgen_tracing.store.reading.envelopes import Group
from massgen_tracing.store.reading.values import (
    Complain,
    Malformed,
    any_value,
    as_float,
    as_int,
    as_text,
    attributes,
    hex_id,
    items,
    moment,
    no_time,
    objects,
)

_SEVERITIES: Final = {
    f"{name}{number or ''}": first + max(number - 1, 0)
    for name, first in {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}.items()
    for number in (0, 2, 3, 4)
}
_MOST_SEVERE: Final = 24

_TEMPORALITIES: Final[dict[object, Temporality]] = {
    1: "delta",
    2: "cumulative",
    "AGGREGATION_TEMPORALITY_DELTA": "delta",
    "AGGREGATION_TEMPORALITY_CUMULATIVE": "cumulative",
}


Record = SpanRecord | LogRecord | MetricPoint


def records(decoder: otlp.Decoder, group: Group) -> Iterator[Record | Malformed]:
    """Every span, log record and data point of a group; one that cannot be read comes as its `Malformed`."""
    resource, scope, complain = decoder.resource(group.resource), decoder.scope(group.scope), decoder.complain
    if group.signal == "metrics":
        for metric in group.values:
            yield from _points(metric, resource, scope, complain)
        return
    decode = otlp.span_record if group.signal == "spans" else _log
    for value in group.values:
        try:
            yield decode(value, resource, scope, complain)
        except Malformed as problem:
            yield problem


def _points(metric: Any, resource: Resource, scope: Scope, complain: Complain) -> Iterator[MetricPoint | Malformed]:
    if not isinstance(metric, dict):
        yield Malformed("a metric that is not an object")
        return
    known = [kind for kind in _KINDS if isinstance(metric.get(kind), dict)]
    if not known or any("dataPoints" not in metric[kind] for kind in known):
        metric = names.usual(metric)
        known = [kind for kind in _KINDS if isinstance(metric.get(kind), dict)]
    if not known:
        yield Malformed(f"a metric of no known kind: {as_text(metric.get('name'))}")
    for key in known:
        data = metric[key]
        kind, decode = _KINDS[key]
        common = _common(metric, kind, data, resource, scope)
        yield from (_point(value, common, decode, complain) for value in items(data.get("dataPoints")))


def _log(value: Any, resource: Resource, scope: Scope, complain: Complain) -> LogRecord:
    if not isinstance(value, dict):
        raise Malformed("a log record that is not an object")
    if "timeUnixNano" not in value:
        value = names.usual(value)
    time = moment(value.get("timeUnixNano"))
    if time is None:
        time = moment(value.get("observedTimeUnixNano"))
        if time is None:
            raise Malformed("a log record without a time")
        no_time(value.get("timeUnixNano"), "the time of a log record", complain)
    return LogRecord(
        time_ns=time,
        severity=_severity(value.get("severityNumber")),
        severity_text=as_text(value.get("severityText")),
        body=any_value(value.get("body"), complain),
        event_name=as_text(value.get("eventName")),
        attributes=attributes(value.get("attributes"), complain),
        trace_id=_known_id(value.get("traceId"), 32),
        span_id=_known_id(value.get("spanId"), 16),
        resource=resource,
        scope=scope,
    )


def _severity(value: object) -> int:
    named = _SEVERITIES.get(value.upper().removeprefix("SEVERITY_NUMBER_")) if isinstance(value, str) else None
    if named is not None:
        return named
    number = as_int(value)
    return number if number is not None and 0 < number <= _MOST_SEVERE else 0


def _known_id(value: object, digits: int) -> str:
    """An id, empty where there is none or none that can be one: the record is worth more than its place."""
    try:
        return hex_id(value, digits, optional=True)
    except Malformed:
        return ""


def _common(metric: dict[str, Any], kind: MetricType, data: dict[str, Any], resource: Resource, scope: Scope) -> dict[str, Any]:
    """What all data points of a metric share."""
    monotonic = data.get("isMonotonic")
    return {
        "name": as_text(metric.get("name")),
        "type": kind,
        "description": as_text(metric.get("description")),
        "unit": as_text(metric.get("unit")),
        "temporality": _TEMPORALITIES.get(temporality if isinstance(temporality := data.get("aggregationTemporality"), int | str) else None),
        # Protobuf's JSON leaves out what is false.
        "is_monotonic": monotonic is True if kind == "sum" else None,
        "resource": resource,
        "scope": scope,
    }


_Fields = dict[str, Any]


def _point(value: object, common: _Fields, decode: Callable[[_Fields], _Fields], complain: Complain) -> MetricPoint | Malformed:
    if not isinstance(value, dict):
        return Malformed("a data point that is not an object")
    time = moment(value.get("timeUnixNano"))
    if time is None:
        return Malformed("a data point without a time")
    start = moment(value.get("startTimeUnixNano"))
    if start is None:
        no_time(value.get("startTimeUnixNano"), "the start of a data point", complain)
    return MetricPoint(
        **common,
        time_ns=time,
        start_ns=start,
        attributes=attributes(value.get("attributes"), complain),
        exemplars=tuple(_exemplar(exemplar, time, complain) for exemplar in objects(value.get("exemplars"))),
        **decode(value),
    )


def _number(value: _Fields) -> float | None:
    return as_float(value["asInt"] if "asInt" in value else value.get("asDouble"))


def _exemplar(value: _Fields, default_ns: int, complain: Complain) -> Exemplar:
    time = moment(value.get("timeUnixNano"))
    if time is None:
        no_time(value.get("timeUnixNano"), "the time of an exemplar", complain)
    return Exemplar(
        time_ns=default_ns if time is None else time,
        value=_number(value),
        trace_id=_known_id(value.get("traceId"), 32),
        span_id=_known_id(value.get("spanId"), 16),
        attributes=attributes(value.get("filteredAttributes"), complain),
    )


def _scalar(value: _Fields) -> _Fields:
    return {"scalar": _number(value)}


def _totals(value: _Fields) -> _Fields:
    """Count and sum; the protobuf JSON mapping leaves a count of 0 out."""
    return {"count": _whole(value.get("count", 0)), "sum": as_float(value.get("sum"))}


def _extremes(value: _Fields) -> _Fields:
    return {"min": as_float(value.get("min")), "max": as_float(value.get("max"))}


def _histogram(value: _Fields) -> _Fields:
    bounds = tuple(bound for item in items(value.get("explicitBounds")) if (bound := as_float(item)) is not None)
    return {**_totals(value), **_extremes(value), "bucket_counts": _counts(value.get("bucketCounts")), "bounds": bounds}


def _exponential(value: _Fields) -> _Fields:
    exponential = Exponential(
        scale=_short(value.get("scale")),
        zero_count=_whole(value.get("zeroCount", 0)),
        zero_threshold=as_float(value.get("zeroThreshold")) or 0.0,
        positive=_buckets(value.get("positive")),
        negative=_buckets(value.get("negative")),
    )
    return {**_totals(value), **_extremes(value), "exponential": exponential}


def _summary(value: _Fields) -> _Fields:
    """A summary; its quantiles 0 and 1 are, as OpenTelemetry says, the smallest and the largest value."""
    quantiles = {as_float(item.get("quantile", 0.0)): as_float(item.get("value", 0.0)) for item in objects(value.get("quantileValues"))}
    total = _totals(value)
    return {**total, "sum": 0.0 if total["sum"] is None else total["sum"], "min": quantiles.get(0.0), "max": quantiles.get(1.0)}


def _buckets(value: object) -> Buckets:
    return Buckets(_short(value.get("offset")), _counts(value.get("bucketCounts"))) if isinstance(value, dict) else Buckets()


def _short(value: object) -> int:
    """A number of 32 bits, as OTLP's are; 0 for anything else."""
    number = as_int(value)
    return number if number is not None and -(2**31) <= number < 2**31 else 0


def _counts(value: object) -> tuple[int, ...]:
    return tuple(_whole(item) for item in items(value))


def _whole(value: object) -> int:
    """A count of 64 bits; what no column can hold is 0."""
    number = as_int(value)
    return number if number is not None and 0 <= number < 2**63 else 0


_KINDS: Final[dict[str, tuple[MetricType, Callable[[_Fields], _Fields]]]] = {
    "gauge": ("gauge", _scalar),
    "sum": ("sum", _scalar),
    "histogram": ("histogram", _histogram),
    "exponentialHistogram": ("exponential_histogram", _exponential),
    "summary": ("summary", _summary),
}
"""OTLP's kinds of metric, by the key that each has in a metric."""
