"""Data points as rows of Logfire's `metrics`: its columns, their types, and how each is derived.

Where Logfire says INTEGER of a count, the column has 64 bits, for OTLP's counts do. Of a summary there are columns for its count, its sum
and the extremes; its other quantiles have none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.model import Exemplar, MetricPoint
from massgen_tracing.store.tables import jsontext, records

TABLE: Final = "metrics"

_COUNTS: Final = pa.list_(pa.int64())

Value = dict[str, Any]

VALUE: Final = pa.struct(
    [
        ("type", pa.string()),
        ("temporality", pa.string()),
        ("is_monotonic", pa.bool_()),
        ("series", pa.string()),
        ("start_us", pa.int64()),
        ("time_us", pa.int64()),
        ("scalar", pa.float64()),
        ("count", pa.int64()),
        ("sum", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("bounds", pa.list_(pa.float64())),
        ("bucket_counts", _COUNTS),
        ("scale", pa.int32()),
        ("zero_count", pa.int64()),
        ("zero_threshold", pa.float64()),
        ("positive_offset", pa.int32()),
        ("positive_counts", _COUNTS),
        ("negative_offset", pa.int32()),
        ("negative_counts", _COUNTS),
    ]
)
"""A data point of any kind; Logfire says only that it is a struct, for its functions."""

EMPTY_VALUE: Final[Value] = dict.fromkeys(field.name for field in VALUE)

SCHEMA: Final = pa.schema(
    [
        pa.field("aggregation_temporality", pa.string()),
        pa.field("attributes", pa.string()),
        pa.field("attributes_json_schema", pa.string()),
        pa.field("created_at", records.TIME, nullable=False),
        pa.field("day", pa.date32(), nullable=False),
        pa.field("deployment_environment", pa.string()),
        pa.field("exemplars", pa.string()),
        pa.field("exp_histogram_negative_bucket_counts", _COUNTS),
        pa.field("exp_histogram_negative_bucket_counts_offset", pa.int32()),
        pa.field("exp_histogram_positive_bucket_counts", _COUNTS),
        pa.field("exp_histogram_positive_bucket_counts_offset", pa.int32()),
        pa.field("exp_histogram_scale", pa.int32()),
        pa.field("exp_histogram_zero_count", pa.int64()),
        pa.field("exp_histogram_zero_threshold", pa.float64()),
        pa.field("histogram_bucket_counts", _COUNTS),
        pa.field("histogram_count", pa.int64()),
        pa.field("histogram_explicit_bounds", pa.list_(pa.float64())),
        pa.field("histogram_max", pa.float64()),
        pa.field("histogram_min", pa.float64()),
        pa.field("histogram_sum", pa.float64()),
        pa.field("is_monotonic", pa.bool_()),
        pa.field("metric_description", pa.string()),
        pa.field("metric_name", pa.string(), nullable=False),
        pa.field("metric_type", pa.string(), nullable=False),
        pa.field("otel_resource_attributes", pa.string()),
        pa.field("otel_scope_attributes", pa.string()),
        pa.field("otel_scope_name", pa.string()),
        pa.field("otel_scope_version", pa.string()),
        pa.field("process_pid", pa.int32()),
        pa.field("project_id", pa.string(), nullable=False),
        pa.field("recorded_timestamp", records.TIME),
        pa.field("scalar_value", pa.float64()),
        pa.field("service_instance_id", pa.string()),
        pa.field("service_name", pa.string(), nullable=False),
        pa.field("service_namespace", pa.string()),
        pa.field("service_version", pa.string()),
        pa.field("start_timestamp", records.TIME),
        pa.field("telemetry_sdk_language", pa.string()),
        pa.field("telemetry_sdk_name", pa.string()),
        pa.field("telemetry_sdk_version", pa.string()),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("value", VALUE, nullable=False),
    ]
)
"""Logfire's columns, in its order (by name)."""

_NO_EXPONENTIAL: Final = dict.fromkeys(
    (
        "exp_histogram_negative_bucket_counts",
        "exp_histogram_negative_bucket_counts_offset",
        "exp_histogram_positive_bucket_counts",
        "exp_histogram_positive_bucket_counts_offset",
        "exp_histogram_scale",
        "exp_histogram_zero_count",
        "exp_histogram_zero_threshold",
    )
)


def table(points: Sequence[MetricPoint], *, min_us: int | None = None, max_us: int | None = None) -> pa.Table:
    """All rows of `metrics`.

    Args:
        points: what the reader gave.
        min_us: keep only what was recorded at or after this Unix time in microseconds.
        max_us: keep only what was recorded at or before this one.
    """
    rows = [
        row(point) for point in points if (min_us is None or point.time_ns // 1000 >= min_us) and (max_us is None or point.time_ns // 1000 <= max_us)
    ]
    return records.to_table(rows, SCHEMA)


def row(point: MetricPoint) -> dict[str, Any]:
    """The row of a data point; times are Unix microseconds."""
    recorded = point.time_ns // 1000
    return {
        **records.home_columns(point.resource, point.scope),
        **_exponential_columns(point),
        "aggregation_temporality": point.temporality,
        "attributes": jsontext.dumps({key: value for key, value in point.attributes.items() if key != semconv.LOGFIRE_JSON_SCHEMA}),
        "attributes_json_schema": records.text(point.attributes.get(semconv.LOGFIRE_JSON_SCHEMA)),
        "created_at": recorded,
        "day": records.day(recorded),
        "exemplars": jsontext.dumps([_exemplar(exemplar) for exemplar in point.exemplars]),
        "histogram_bucket_counts": point.bucket_counts,
        "histogram_count": point.count,
        "histogram_explicit_bounds": point.bounds,
        "histogram_max": point.max,
        "histogram_min": point.min,
        "histogram_sum": point.sum,
        "is_monotonic": point.is_monotonic,
        "metric_description": point.description or None,
        "metric_name": point.name,
        "metric_type": point.type,
        "project_id": records.PROJECT,
        "recorded_timestamp": recorded,
        "scalar_value": point.scalar,
        "start_timestamp": None if point.start_ns is None else point.start_ns // 1000,
        "unit": point.unit,
        "value": _value(point),
    }


def _exponential_columns(point: MetricPoint) -> dict[str, Any]:
    found = point.exponential
    if found is None:
        return _NO_EXPONENTIAL
    return {
        "exp_histogram_negative_bucket_counts": found.negative.counts,
        "exp_histogram_negative_bucket_counts_offset": found.negative.offset,
        "exp_histogram_positive_bucket_counts": found.positive.counts,
        "exp_histogram_positive_bucket_counts_offset": found.positive.offset,
        "exp_histogram_scale": found.scale,
        "exp_histogram_zero_count": found.zero_count,
        "exp_histogram_zero_threshold": found.zero_threshold,
    }


def _exemplar(exemplar: Exemplar) -> dict[str, Any]:
    return {
        "timestamp": records.stamp(exemplar.time_ns),
        "value": exemplar.value,
        "trace_id": exemplar.trace_id or None,
        "span_id": exemplar.span_id or None,
        "attributes": exemplar.attributes,
    }


def _value(point: MetricPoint) -> Value:
    """A data point as a value."""
    found = point.exponential
    return {
        **EMPTY_VALUE,
        "type": point.type,
        "temporality": point.temporality,
        "is_monotonic": point.is_monotonic,
        "series": _series(point),
        "start_us": None if point.start_ns is None else point.start_ns // 1000,
        "time_us": point.time_ns // 1000,
        "scalar": point.scalar,
        "count": point.count,
        "sum": point.sum,
        "min": point.min,
        "max": point.max,
        "bounds": point.bounds,
        "bucket_counts": point.bucket_counts,
        **(
            {}
            if found is None
            else {
                "scale": found.scale,
                "zero_count": found.zero_count,
                "zero_threshold": found.zero_threshold,
                "positive_offset": found.positive.offset,
                "positive_counts": found.positive.counts,
                "negative_offset": found.negative.offset,
                "negative_counts": found.negative.counts,
            }
        ),
    }


def _series(point: MetricPoint) -> str:
    said = [point.name, point.type, point.unit, point.attributes, point.resource.attributes, point.scope.name]
    import hashlib

    return hashlib.blake2b(json.dumps(said, sort_keys=True, default=jsontext.dumps).encode(), digest_size=8).hexdigest()
