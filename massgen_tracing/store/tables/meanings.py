"""What the columns mean, for whoever asks `SHOW COLUMNS FROM records`. Logfire's own meanings, in few words."""

from __future__ import annotations

from typing import Final

RUN: Final = "massgen_run"
"""A column of `records` and `records_all` that Logfire does not have. It is among those of a `*` only where a statement names it."""

_SHARED: Final = {
    "attributes_json_schema": "internal: the types of attributes, from logfire.json_schema",
    "created_at": "internal: when the row was made; ask start_timestamp instead",
    "day": "internal: the date of the row in UTC",
    "deployment_environment": "deployment.environment.name of the resource",
    "otel_resource_attributes": "JSON object: all attributes of the resource",
    "otel_scope_attributes": "JSON object: attributes of the instrumentation scope",
    "otel_scope_name": "the library that made the record",
    "otel_scope_version": "its version",
    "process_pid": "process id",
    "project_id": "internal: Logfire's project; here always the same",
    "service_instance_id": "service.instance.id of the resource",
    "service_name": "service.name of the resource, or unknown_service",
    "service_namespace": "service.namespace of the resource",
    "service_version": "service.version of the resource",
    "telemetry_sdk_language": "language of the SDK that made the record",
    "telemetry_sdk_name": "name of that SDK",
    "telemetry_sdk_version": "version of that SDK",
}

RECORDS: Final[dict[str, str]] = _SHARED | {
    "attributes": "JSON object: what is known of the span or log; a key is asked by attributes->>'key'",
    "duration": "seconds from start to end; NULL for logs and for spans that are still open",
    "end_timestamp": "when the span ended; of a log, its time; NULL for spans that are still open",
    "exception_message": "message of the first exception on the span",
    "exception_stacktrace": "stack trace of the first exception on the span",
    "exception_type": "type of the first exception on the span",
    "http_method": "attribute http.method",
    "http_response_status_code": "attribute http.response.status_code",
    "http_route": "attribute http.route",
    "is_exception": "whether an exception is on the span",
    "kind": "span, log, span_event or (in records_all) pending_span; not OpenTelemetry's span kind",
    "level": "severity number; compared with names: level >= 'warn'",
    "log_body": "body of an OpenTelemetry log",
    "message": "the text that is shown: logfire.msg, or the span's name",
    RUN: "ours, not Logfire's: the name of the run that the row belongs to; in * only where the statement names it",
    "otel_events": "JSON array: events of the span, exceptions among them",
    "otel_links": "JSON array: links to other spans",
    "otel_status_code": "UNSET, OK or ERROR",
    "otel_status_message": "what the span's status says",
    "parent_span_id": "span_id of the span that this one is in; NULL for the first of a trace",
    "span_id": "16 hex digits, unique within the trace",
    "span_name": "name of the kind of operation, with few different values",
    "start_timestamp": "when it began",
    "tags": "list of texts: logfire.tags",
    "trace_id": "32 hex digits: all that belongs to one run",
    "url_full": "attribute url.full",
    "url_path": "attribute url.path",
    "url_query": "attribute url.query",
}

_HISTOGRAM: Final = "of an exponential histogram"

METRICS: Final[dict[str, str]] = _SHARED | {
    "aggregation_temporality": "whether values are since the start (cumulative) or since the point before (delta)",
    "attributes": "JSON object: what tells this series from others of the metric",
    "exemplars": "JSON array: single measurements, with their traces",
    "exp_histogram_negative_bucket_counts": f"counts of buckets below zero {_HISTOGRAM}",
    "exp_histogram_negative_bucket_counts_offset": "number of the first of these buckets",
    "exp_histogram_positive_bucket_counts": f"counts of buckets above zero {_HISTOGRAM}",
    "exp_histogram_positive_bucket_counts_offset": "number of the first of these buckets",
    "exp_histogram_scale": f"how fine the buckets are {_HISTOGRAM}",
    "exp_histogram_zero_count": f"measurements that count as zero {_HISTOGRAM}",
    "exp_histogram_zero_threshold": "up to where measurements count as zero",
    "histogram_bucket_counts": "counts of buckets of a histogram, one more than bounds",
    "histogram_count": "number of measurements",
    "histogram_explicit_bounds": "upper bounds of buckets",
    "histogram_max": "largest measurement",
    "histogram_min": "smallest measurement",
    "histogram_sum": "sum of measurements",
    "is_monotonic": "whether a sum only grows",
    "metric_description": "what the metric is, in words",
    "metric_name": "name of the metric",
    "metric_type": "kind of the metric",
    "recorded_timestamp": "when the point was taken",
    "scalar_value": "the value of a sum or a gauge",
    "start_timestamp": "since when the value is counted",
    "unit": "unit of the value",
    "value": "the whole point, for functions such as metric_rate(value, recorded_timestamp)",
}
