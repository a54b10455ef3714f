-- The Collector's exporter makes these tables too, where it may (create_schema: true); its columns, with an order for looking at runs.
-- Every value of an attribute is a text there, lists and mappings as JSON, and a key that was not recorded is the empty text. What a value was,
-- scale.yaml puts down in keys of its own (massgen.types and its like), for `massgen-tracing sql --backend clickhouse`.
CREATE DATABASE IF NOT EXISTS otel;

CREATE TABLE IF NOT EXISTS otel.otel_traces
(
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1;

-- Logfire's columns, for spans that have ended: each once, though a Collector that was answered too late has sent it twice.
CREATE VIEW IF NOT EXISTS otel.records AS
WITH
    (attributes -> mapFilter((key, value) -> NOT startsWith(key, 'massgen.types') AND key != 'massgen.scope', attributes)) AS recorded,
    SpanAttributes['logfire.span_type'] = 'log' AS is_log,
    indexOf(Events.Name, 'exception') AS exception_at,
    if(exception_at = 0, map(), Events.Attributes[exception_at]) AS exception,
    toInt32OrNull(nullIf(SpanAttributes['http.response.status_code'], '')) AS status_new,
    toInt32OrNull(nullIf(SpanAttributes['http.status_code'], '')) AS status_old
SELECT
    toJSONString(mapFilter((key, value) -> key NOT IN ('logfire.msg', 'logfire.tags', 'logfire.level_num', 'logfire.json_schema'), recorded(SpanAttributes))) AS attributes,
    nullIf(SpanAttributes['logfire.json_schema'], '') AS attributes_json_schema,
    addNanoseconds(Timestamp, Duration) AS created_at,
    toDate(Timestamp) AS day,
    coalesce(nullIf(ResourceAttributes['deployment.environment.name'], ''), nullIf(ResourceAttributes['deployment.environment'], '')) AS deployment_environment,
    if(is_log, NULL, Duration / 1e9) AS duration,
    addNanoseconds(Timestamp, Duration) AS end_timestamp,
    nullIf(exception['exception.message'], '') AS exception_message,
    nullIf(exception['exception.stacktrace'], '') AS exception_stacktrace,
    nullIf(exception['exception.type'], '') AS exception_type,
    nullIf(SpanAttributes['http.request.method'], '') AS http_method,
    coalesce(status_new, status_old) AS http_response_status_code,
    nullIf(SpanAttributes['http.route'], '') AS http_route,
    toBool(exception_at > 0) AS is_exception,
    if(is_log, 'log', 'span') AS kind,
    multiIf(
        toInt32OrNull(SpanAttributes['logfire.level_num']) IS NOT NULL, assumeNotNull(toInt32OrNull(SpanAttributes['logfire.level_num'])),
        StatusCode = 'Error', 17,
        SpanKind = 'Server' AND http_response_status_code >= 500, 17,
        SpanKind = 'Server' AND http_response_status_code >= 400, 13,
        SpanKind = 'Client' AND http_response_status_code >= 400, 17,
        9) AS level,
    CAST(NULL AS Nullable(String)) AS log_body,
    if(SpanAttributes['logfire.msg'] = '', SpanName, SpanAttributes['logfire.msg']) AS message,
    toJSONString(CAST(arrayZip(Events.Name, Events.Timestamp, arrayMap(recorded, Events.Attributes)),
        'Array(Tuple(event_name String, event_timestamp DateTime64(9), attributes Map(String, String)))')) AS otel_events,
    toJSONString(CAST(arrayZip(Links.TraceId, Links.SpanId, Links.TraceState, Links.Attributes),
        'Array(Tuple(trace_id String, span_id String, trace_state String, attributes Map(String, String)))')) AS otel_links,
    toJSONString(recorded(ResourceAttributes)) AS otel_resource_attributes,
    nullIf(ScopeName, '') AS otel_scope_name,
    nullIf(ScopeVersion, '') AS otel_scope_version,
    upper(StatusCode) AS otel_status_code,
    nullIf(StatusMessage, '') AS otel_status_message,
    nullIf(ParentSpanId, '') AS parent_span_id,
    toInt32OrNull(ResourceAttributes['process.pid']) AS process_pid,
    nullIf(ResourceAttributes['service.instance.id'], '') AS service_instance_id,
    ServiceName AS service_name,
    nullIf(ResourceAttributes['service.namespace'], '') AS service_namespace,
    nullIf(ResourceAttributes['service.version'], '') AS service_version,
    SpanId AS span_id,
    SpanName AS span_name,
    Timestamp AS start_timestamp,
    JSONExtract(SpanAttributes['logfire.tags'], 'Array(String)') AS tags,
    nullIf(ResourceAttributes['telemetry.sdk.language'], '') AS telemetry_sdk_language,
    nullIf(ResourceAttributes['telemetry.sdk.name'], '') AS telemetry_sdk_name,
    nullIf(ResourceAttributes['telemetry.sdk.version'], '') AS telemetry_sdk_version,
    TraceId AS trace_id,
    coalesce(nullIf(SpanAttributes['url.full'], ''), nullIf(SpanAttributes['http.url'], '')) AS url_full,
    nullIf(SpanAttributes['url.path'], '') AS url_path,
    nullIf(SpanAttributes['url.query'], '') AS url_query
FROM otel.otel_traces
WHERE SpanAttributes['logfire.span_type'] != 'pending_span'
LIMIT 1 BY TraceId, SpanId;
