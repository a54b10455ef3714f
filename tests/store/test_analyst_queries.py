"""Queries of Logfire's documentation, of its users and of analysts, over requests, statements of databases, model calls, exceptions and logs.

Each has the same answer of a live file, of sealed recordings, and of some of each.
"""

# ruff: noqa: E501 - a statement is one line

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from massgen_tracing.store.sealing import seal
from tests.store import otlp

WEB, SHOP, CHAT = "a" * 32, "b" * 32, "c" * 32
RESOURCE = {**otlp.RESOURCE, "service.name": "shop", "deployment.environment.name": "production", "k8s.namespace.name": "default"}
NESTED = {"a": {"b": "deep", "n": 5}, "list": [1, 2, {"x": "y"}], "none": {}}
USAGE = {
    "gen_ai.client.token.usage": {"total": 12, "details": [{"total": 5, "attributes": {"kind": "in"}}, {"total": 7, "attributes": {"kind": "out"}}]}
}
GET = {"http.method": "GET", "http.route": "/users/{id}", "http.status_code": 200, "logfire.msg": "GET /users/1", "logfire.tags": ["web", "slow"]}
PAY = {
    "http.method": "POST",
    "http.route": "/pay",
    "http.response.status_code": 500,
    "amount": 12.5,
    "nested": NESTED,
    "flag": True,
    "user_id": "123",
}
LOG = {"logfire.span_type": "log", "logfire.level_num": 13, "logfire.msg": "careful: 100% of_it", "logfire.tags": ["a tag"]}
GPT = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-1",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "operation.cost": 0.25,
}
CLAUDE = {"gen_ai.request.model": "claude", "gen_ai.usage.input_tokens": 200, "gen_ai.usage.output_tokens": 80, "operation.cost": 0.0625}
NOTE = {"name": "note", "timeUnixNano": str(otlp.BASE_NS + 1_500_000_000), "attributes": otlp.key_values({"k": 1})}

FIRST = [
    otlp.span(1, "GET /users/{id}", kind=2, end_ms=120, attributes=GET, trace=WEB),
    otlp.span(2, "SELECT", parent=1, kind=3, start_ms=5, end_ms=45, attributes={"db.statement": "SELECT 1", "rows": 3}, trace=WEB),
    otlp.span(3, "SELECT", parent=1, kind=3, start_ms=50, end_ms=80, attributes={"db.statement": "SELECT 2", "rows": "7"}, trace=WEB),
    otlp.span(
        4,
        "POST /pay",
        kind=2,
        start_ms=1000,
        end_ms=1800,
        attributes=PAY,
        events=[otlp.exception("ValueError", "boom", 1700), NOTE],
        status={"code": 2, "message": "boom"},
        trace=SHOP,
    ),
    otlp.span(5, "warned", parent=4, start_ms=1100, end_ms=1100, attributes=LOG, trace=SHOP),
]
SECOND = [
    otlp.pending(11, "agent run", start_ms=2000, trace=CHAT),
    otlp.span(11, "agent run", start_ms=2000, end_ms=9000, attributes={"logfire.metrics": USAGE}, trace=CHAT),
    otlp.span(12, "chat gpt-4o", parent=11, start_ms=2100, end_ms=4100, attributes=GPT, trace=CHAT),
    otlp.span(13, "chat claude", parent=11, start_ms=4200, end_ms=8200, attributes=CLAUDE, trace=CHAT),
    otlp.pending(14, "still open", parent=11, start_ms=8500, trace=CHAT),
]


def lines(*parts: list[dict[str, Any]]) -> list[bytes]:
    """Each span on a line."""
    return [otlp.line(span, resource=RESOURCE) for part in parts for span in part]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The same spans in a file of another writer, in two sealed recordings, and in a sealed and a live one."""
    base = tmp_path_factory.mktemp("places")
    found = {"live": otlp.write(base / "live" / "x.jsonl", lines(FIRST, SECOND))}
    for name, sealed in (("sealed", 2), ("mixed", 1)):
        found[name] = base / name
        runs = [otlp.write_run(base / name, f"log_20270115_08000{at}_000000", lines(part)) for at, part in enumerate((FIRST, SECOND))]
        for run in runs[:sealed]:
            (live,) = run.rglob("*.otlp.jsonl")
            assert seal.seal(live).sealed
    yield found
    shutil.rmtree(base)


def at(second: float) -> datetime:
    return datetime(2027, 1, 15, 8, 0, tzinfo=UTC) + timedelta(seconds=second)


QUERIES: list[tuple[str, list[tuple[Any, ...]]]] = [
    # Errors, exceptions, HTTP.
    ("SELECT exception_type, exception_message FROM records WHERE is_exception LIMIT 20", [("ValueError", "boom")]),
    (
        "SELECT span_name, exception_stacktrace like '%ValueError: boom%' FROM records WHERE is_exception = true AND level >= 'error'",
        [("POST /pay", True)],
    ),
    (
        "SELECT http_route, http_response_status_code, count(*) AS count FROM records WHERE http_response_status_code >= 400 GROUP BY http_route, http_response_status_code ORDER BY count DESC",
        [("/pay", 500, 1)],
    ),
    (
        "SELECT http_route, approx_percentile_cont(duration, 0.95) AS p95, count(*) AS count FROM records WHERE kind = 'span' AND http_route IS NOT NULL GROUP BY http_route ORDER BY p95 DESC",
        [("/pay", 0.8, 1), ("/users/{id}", 0.12, 1)],
    ),
    ("SELECT message, otel_status_message FROM records WHERE otel_status_code = 'ERROR'", [("POST /pay", "boom")]),
    (
        "SELECT count(*) FILTER (WHERE is_exception) AS errors, count(*) AS total, round(100.0 * count(*) FILTER (WHERE is_exception) / count(*), 1) AS percent FROM records",
        [(1, 9, 11.1)],
    ),
    (
        'SELECT round(100.0 * count(*) FILTER (WHERE http_response_status_code < 500) / nullif(count(*), 0), 4) AS "availability_%" FROM records WHERE http_response_status_code IS NOT NULL',
        [(50.0,)],
    ),
    (
        "SELECT round(greatest(0, 100.0 * (1.0 - (count(*) FILTER (WHERE http_response_status_code >= 500)::double / nullif(count(*), 0)) / (1.0 - CAST($goal AS DOUBLE)))), 2) AS left FROM records WHERE array_has($services, service_name) AND http_response_status_code IS NOT NULL",
        [(0.0,)],
    ),
    (
        "SELECT CASE WHEN COUNT(*) = 0 THEN 'backend is down' ELSE 'backend is up' END AS message FROM records WHERE service_name = 'backend' and span_name = 'GET /health';",
        [("backend is down",)],
    ),
    (
        "SELECT max(duration), attributes->>'http.route' FROM records WHERE duration > 0.5 AND attributes->>'http.route' IS NOT NULL GROUP BY attributes->>'http.route' ORDER BY max(duration) desc",
        [(0.8, "/pay")],
    ),
    (
        "SELECT otel_resource_attributes->>'k8s.namespace.name' AS ns, deployment_environment, service_name, count(*) FROM records GROUP BY ALL",
        [("default", "production", "shop", 9)],
    ),
    # Time.
    (
        "SELECT time_bucket(interval '5 seconds', start_timestamp) AS bucket, count(*) FILTER (WHERE is_exception) AS errors, count(*) AS total FROM records WHERE kind = 'span' GROUP BY bucket ORDER BY bucket DESC LIMIT 50",
        [(at(0), 1, 7)],
    ),
    (
        "SELECT time_bucket('1 second', start_timestamp) AS x, count() FROM records GROUP BY x ORDER BY x",
        [(at(0), 3), (at(1), 3), (at(2), 2), (at(4), 1)],
    ),
    (
        "SELECT time_bucket('1 day', start_timestamp) AS x, date_trunc('hour', start_timestamp) AS h, start_timestamp::date AS d, count(*) FROM records GROUP BY 1, 2, 3",
        [(datetime(2027, 1, 15, tzinfo=UTC), at(0), date(2027, 1, 15), 9)],
    ),
    (
        "SELECT date_bin('5 minutes', start_timestamp) = date_bin(interval '5 minutes', start_timestamp, timestamp '2020-01-01') AS same FROM records LIMIT 1",
        [(True,)],
    ),
    ("SELECT count(*) FROM records WHERE start_timestamp >= now() - interval '5 minutes' OR start_timestamp < now() - interval '5 minutes'", [(9,)]),
    ("SELECT count(*) FROM records WHERE start_timestamp >= '2027-01-15T08:00:01Z' AND start_timestamp < '2027-01-15 08:00:03'", [(5,)]),
    (
        "SELECT count(*) FROM records WHERE start_timestamp BETWEEN '2027-01-15 08:00:00' AND timestamp '2027-01-15 08:00:01' AND end_timestamp > TIMESTAMPTZ '2027-01-15 08:00:00.1Z'",
        [(2,)],
    ),
    (
        "SELECT extract(epoch FROM max(end_timestamp) - min(start_timestamp)) AS s, max(end_timestamp) - min(start_timestamp) AS took FROM records WHERE trace_id = 'cccccccccccccccccccccccccccccccc'",
        [(7.0, timedelta(seconds=7))],
    ),
    (
        "SELECT extract(hour FROM start_timestamp), date_part('dow', start_timestamp), to_char(start_timestamp, '%Y-%m-%d %H:%M'), extract(epoch from start_timestamp) FROM records WHERE is_exception",
        [(8, 5, "2027-01-15 08:00", 1800000001.0)],
    ),
    (
        "SELECT (start_timestamp AT TIME ZONE 'America/New_York')::text AS ny, to_timestamp(1800000000) = '2027-01-15T08:00:00Z' AS t FROM records WHERE is_exception",
        [("2027-01-15T03:00:01-05:00", True)],
    ),
    (
        "SELECT span_name, start_timestamp - lag(start_timestamp) OVER w AS gap FROM records WHERE trace_id = $chat WINDOW w AS (ORDER BY start_timestamp) ORDER BY start_timestamp",
        [("agent run", None), ("chat gpt-4o", timedelta(milliseconds=100)), ("chat claude", timedelta(seconds=2, milliseconds=100))],
    ),
    # Models, tokens, money.
    (
        "SELECT attributes->>'gen_ai.request.model' AS model, count(*) AS calls, avg(duration) AS s, sum((attributes->'operation.cost')::numeric) AS usd, sum((attributes->'gen_ai.usage.input_tokens')::int) AS i, sum((attributes->>'gen_ai.usage.output_tokens')::bigint) AS o FROM records WHERE attributes ? 'gen_ai.request.model' GROUP BY model ORDER BY usd DESC",
        [("gpt-4o", 1, 2.0, 0.25, 100, 50), ("claude", 1, 4.0, 0.0625, 200, 80)],
    ),
    (
        "SELECT (attributes->>'gen_ai.usage.input_tokens')::int / 3 AS i, (attributes->'gen_ai.usage.input_tokens')::numeric / 3 > 33.3 AS n, ((attributes->'gen_ai.usage.input_tokens'))::int % 7 AS m FROM records WHERE span_name = 'chat gpt-4o'",
        [(33, True, 2)],
    ),
    (
        "select time_bucket('1 minute',start_timestamp) as x, deployment_environment as dim, sum((attributes ->> 'operation.cost')::float) as llm_cost, count(distinct trace_id) as runs\nFROM\n    records\nwhere attributes ->> 'operation.cost' is not null\ngroup by 1,2\n;",
        [(at(0), "production", 0.3125, 1)],
    ),
    (
        "SELECT sum(coalesce((attributes->>'gen_ai.usage.input_tokens')::int, 0)) AS t, count(DISTINCT attributes->>'gen_ai.request.model') AS models, max(attributes->>'gen_ai.request.model') AS last FROM records",
        [(300, 2, "gpt-4o")],
    ),
    (
        "WITH base AS (SELECT attributes->>'gen_ai.request.model' AS model, (attributes->'gen_ai.usage.input_tokens')::int AS tokens FROM records), priced AS (SELECT model, tokens * (CASE WHEN model LIKE 'gpt-4o%' THEN 2.5 WHEN model LIKE 'claude%' THEN 3.0 ELSE 0 END) / 1e6 AS cost FROM base) SELECT model, sum(cost) FROM priced WHERE model IS NOT NULL GROUP BY model ORDER BY 1",
        [("claude", 0.0006), ("gpt-4o", 0.00025)],
    ),
    (
        "SELECT 'in' AS dim, sum((attributes->'gen_ai.usage.input_tokens')::int) AS n FROM records UNION ALL SELECT 'out', sum((attributes->'gen_ai.usage.output_tokens')::int) FROM records ORDER BY dim",
        [("in", 300), ("out", 130)],
    ),
    (
        "SELECT attributes->>'gen_ai.request.model' AS model, count(*)::double / sum(count(*)) OVER () AS share FROM records GROUP BY 1 ORDER BY share DESC, model LIMIT 1",
        [(None, 7 / 9)],
    ),
    (
        "WITH named AS (SELECT unnest(json_keys(attributes->>'logfire.metrics')::text[]) AS name, * FROM records), valued AS (SELECT attributes->>'logfire.metrics'->>name AS m, * FROM named), detailed AS (SELECT m->>'details'->>unnest(generate_series((json_length(m->>'details') - 1)::int)) AS d, * FROM valued) SELECT name, d->>'total' AS total, d->>'attributes'->>'kind' AS kind FROM detailed WHERE name = 'gen_ai.client.token.usage' ORDER BY 2",
        [("gen_ai.client.token.usage", "5", "in"), ("gen_ai.client.token.usage", "7", "out")],
    ),
    # JSON.
    (
        "SELECT attributes->'nested'->'a'->>'b', attributes->'nested'->'list'->2->>'x' AS x, (attributes->'nested'->'a'->'n')::int + 1 AS n, json_length(attributes, 'nested', 'list') AS l FROM records WHERE attributes->'nested' ? 'a'",
        [("deep", "y", 6, 3)],
    ),
    (
        "SELECT (attributes->>'user_id')::int + 1, (attributes->>'flag')::boolean AND is_exception AS f, (attributes->>'amount')::numeric(10,2) AS d, CAST(attributes->>'amount' AS DOUBLE) * 2 AS e, attributes->'user_id' = '123' AS u FROM records WHERE attributes ? 'amount'",
        [(124, True, Decimal("12.50"), 25.0, True)],
    ),
    ("SELECT span_name FROM records WHERE attributes->'rows' = '7' OR attributes->'rows' = 3 ORDER BY start_timestamp", [("SELECT",), ("SELECT",)]),
    (
        "SELECT sum((attributes->'rows')::int) AS s, array_agg(attributes->>'rows' ORDER BY start_timestamp) FILTER (WHERE attributes ? 'rows') AS a FROM records",
        [(10, ["3", "7"])],
    ),
    ("SELECT unnest(json_object_keys(attributes->'nested')) AS k FROM records WHERE attributes ? 'nested'", [("a",), ("list",), ("none",)]),
    (
        "SELECT span_name, unnest(json_get_array(otel_events))->>'event_name' AS event FROM records WHERE is_exception ORDER BY 2",
        [("POST /pay", "exception"), ("POST /pay", "note")],
    ),
    (
        "SELECT e->'attributes'->>'exception.type' AS t FROM (SELECT unnest(json_get_array(otel_events)) AS e FROM records) WHERE e->>'event_name' = 'exception'",
        [("ValueError",)],
    ),
    (
        "SELECT otel_events->0->>'event_name' AS e, json_length(otel_events) AS n, json_get_str(otel_events, 1, 'event_name') AS second FROM records WHERE is_exception",
        [("exception", 2, "note")],
    ),
    (
        "SELECT span_name, kind, attributes->>'k' AS k, parent_span_id FROM records WHERE kind = 'span_event'",
        [("note", "span_event", "1", otlp.span_id(4))],
    ),
    (
        "SELECT concat(attributes->'http.method', ' ', http_route) AS c, attributes->>'http.method' || '!' AS d, attributes->>k AS v FROM records, (VALUES ('http.route')) AS keys(k) WHERE attributes ? 'flag'",
        [("POST /pay", "POST!", "/pay")],
    ),
    (
        "SELECT CASE attributes->'http.method' WHEN 'GET' THEN 'read' ELSE 'write' END AS c, (attributes::text)->>'http.route' AS r FROM records WHERE attributes ? 'http.method' ORDER BY 1",
        [("read", "/users/{id}"), ("write", "/pay")],
    ),
    (
        "SELECT coalesce(attributes->>'http.route', attributes->>'db.statement', span_name) AS what, count(*) FROM records WHERE kind <> 'span_event' GROUP BY what ORDER BY 2 DESC, 1 LIMIT 2",
        [("/pay", 1), ("/users/{id}", 1)],
    ),
    # Levels.
    (
        "SELECT level_name(level) AS level, count(*) FROM records GROUP BY level ORDER BY count(*) DESC, level",
        [("info", 7), ("error", 1), ("warn", 1)],
    ),
    ("SELECT span_name, level FROM records WHERE level > 'info' ORDER BY level DESC", [("POST /pay", 17), ("warned", 13)]),
    ("SELECT span_name FROM records WHERE level = ANY(ARRAY['warn', 'fatal']) OR level >= level_num('fatal')", [("warned",)]),
    (
        "SELECT CASE WHEN level >= 'error' THEN 'bad' ELSE 'ok' END AS l, sum((level = 'warn')::int) AS w FROM records GROUP BY 1 ORDER BY 1",
        [("bad", 0), ("ok", 1)],
    ),
    (
        "SELECT trace_id = $chat AS chat, max(level) AS level FROM records GROUP BY trace_id HAVING max(level) <= 'warn' ORDER BY 1",
        [(False, 9), (True, 9)],
    ),
    # Tags and other arrays.
    ("SELECT span_name FROM records WHERE array_has(tags, 'a tag') OR 'web' = ANY(tags) ORDER BY 1", [("GET /users/{id}",), ("warned",)]),
    ("SELECT unnest(tags) AS tag, count(*) FROM records GROUP BY tag ORDER BY tag", [("a tag", 1), ("slow", 1), ("web", 1)]),
    (
        "SELECT tags[1] AS t, array_length(tags) AS n, array_to_string(tags, ',') AS s, tags @> ARRAY['slow'] AS c, cardinality(tags) AS k FROM records WHERE tags IS NOT NULL ORDER BY 1",
        [("a tag", 1, "a tag", False, 1), ("web", 2, "web,slow", True, 2)],
    ),
    (
        "SELECT count(*) FROM records WHERE array_has_any(tags, ['web', 'x']) AND array_has_all(tags, ['web', 'slow']) AND NOT array_has(tags, 'x')",
        [(1,)],
    ),
    # Texts.
    (
        "SELECT message FROM records WHERE message ILIKE '%CAREFUL%' AND message LIKE '%100\\%%' AND message LIKE '%of\\_it'",
        [("careful: 100% of_it",)],
    ),
    (
        "SELECT span_name FROM records WHERE span_name ~ '^GET' OR span_name ~* '^post' AND span_name !~ 'x' ORDER BY 1",
        [("GET /users/{id}",), ("POST /pay",)],
    ),
    (
        "SELECT (regexp_match(span_name, '^(\\w+) (.*)$'))[2] AS path, regexp_replace(span_name, '/.*', '/…') AS r, regexp_like(span_name, 'pay') AS l, split_part(span_name, ' ', 1) AS m FROM records WHERE is_exception",
        [("/pay", "POST /…", True, "POST")],
    ),
    (
        "SELECT substring(exception_stacktrace, 1, 9) AS a, left(span_name, 4) AS b, upper(span_name) AS c, position('/' in span_name) AS d, trim(both '/' from '/x/') AS e, lpad('7', 3, '0') AS f, concat_ws('-', 'a', NULL, 'b') AS g FROM records WHERE is_exception",
        [("Traceback", "POST", "POST /PAY", 6, "x", "007", "a-b")],
    ),
    # Trees.
    (
        "SELECT parents.message AS parent, children.message AS child FROM records parents JOIN records children ON children.trace_id = parents.trace_id AND children.parent_span_id = parents.span_id WHERE parents.kind = 'span' ORDER BY children.start_timestamp",
        [
            ("GET /users/1", "SELECT"),
            ("GET /users/1", "SELECT"),
            ("POST /pay", "careful: 100% of_it"),
            ("POST /pay", "note"),
            ("agent run", "chat gpt-4o"),
            ("agent run", "chat claude"),
        ],
    ),
    (
        "SELECT span_name, (SELECT count(*) FROM records c WHERE c.parent_span_id = r.span_id AND c.trace_id = r.trace_id AND c.kind = 'span') AS children FROM records r WHERE parent_span_id IS NULL ORDER BY start_timestamp",
        [("GET /users/{id}", 2), ("POST /pay", 0), ("agent run", 2)],
    ),
    (
        "WITH RECURSIVE tree AS (SELECT span_id, span_name, 0 AS depth FROM records WHERE parent_span_id IS NULL UNION ALL SELECT r.span_id, r.span_name, t.depth + 1 FROM records r JOIN tree t ON r.parent_span_id = t.span_id) SELECT depth, count(*) FROM tree GROUP BY depth ORDER BY depth",
        [(0, 3), (1, 6)],
    ),
    (
        "SELECT p.span_name, p.duration - sum(c.duration) AS own FROM records p JOIN records c ON p.span_id = c.parent_span_id GROUP BY p.span_name, p.duration HAVING sum(c.duration) > 0 ORDER BY own",
        [("GET /users/{id}", pytest.approx(0.05)), ("agent run", pytest.approx(1.0))],
    ),
    (
        "SELECT span_name FROM records r WHERE EXISTS (SELECT 1 FROM records c WHERE c.parent_span_id = r.span_id AND c.level = 'warn')",
        [("POST /pay",)],
    ),
    (
        "SELECT span_name FROM records WHERE trace_id IN (SELECT trace_id FROM records WHERE is_exception) AND parent_span_id IS NULL",
        [("POST /pay",)],
    ),
    ("SELECT count(*) FROM (SELECT trace_id FROM records EXCEPT SELECT trace_id FROM records WHERE is_exception) x", [(2,)]),
    (
        "SELECT r.span_name, x.n FROM records r JOIN LATERAL (SELECT count(*) AS n FROM records c WHERE c.parent_span_id = r.span_id) x ON true WHERE r.is_exception",
        [("POST /pay", 2)],
    ),
    # Rows of groups, windows, shapes of the answer.
    (
        "SELECT DISTINCT ON (trace_id) span_name, duration FROM records WHERE duration IS NOT NULL ORDER BY trace_id, duration DESC",
        [("GET /users/{id}", 0.12), ("POST /pay", 0.8), ("agent run", 7.0)],
    ),
    (
        "SELECT span_name FROM records WHERE duration IS NOT NULL QUALIFY row_number() OVER (PARTITION BY trace_id ORDER BY duration) = 1 ORDER BY start_timestamp",
        [("SELECT",), ("POST /pay",), ("chat gpt-4o",)],
    ),
    (
        "SELECT span_name, sum(duration) OVER (ORDER BY start_timestamp ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running, rank() OVER (ORDER BY duration DESC) AS place, first_value(span_name) OVER (PARTITION BY trace_id ORDER BY start_timestamp) AS root FROM records WHERE trace_id = $chat ORDER BY start_timestamp",
        [("agent run", 7.0, 1, "agent run"), ("chat gpt-4o", 9.0, 3, "agent run"), ("chat claude", 13.0, 2, "agent run")],
    ),
    (
        "SELECT service_name, kind, count(*) FROM records GROUP BY ROLLUP(service_name, kind) ORDER BY 1, 2",
        [("shop", "log", 1), ("shop", "span", 7), ("shop", "span_event", 1), ("shop", None, 9), (None, None, 9)],
    ),
    (
        "SELECT span_name, count(*) AS count, round(avg(duration)::numeric, 3) AS avg, bool_or(is_exception) AS bad FROM records WHERE kind = 'span' GROUP BY span_name HAVING count(*) > 1 ORDER BY count DESC LIMIT 25",
        [("SELECT", 2, Decimal("0.035"), False)],
    ),
    (
        "SELECT string_agg(span_name, ', ' ORDER BY start_timestamp), first_value(span_name ORDER BY duration DESC NULLS LAST), median(duration), approx_distinct(span_name), count(), count(duration) FROM records WHERE trace_id = $chat",
        [("agent run, chat gpt-4o, chat claude", "agent run", 4.0, 3, 3, 3)],
    ),
    (
        "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY (attributes->'gen_ai.usage.input_tokens')::int) AS a, percentile_cont(0.5) WITHIN GROUP (ORDER BY duration) FILTER (WHERE attributes ? 'gen_ai.request.model') AS b, approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration DESC) FILTER (WHERE trace_id = $chat) AS c FROM records",
        [(150.0, 3.0, pytest.approx(2.0))],
    ),
    (
        "SELECT CASE WHEN duration < 0.1 THEN 'fast' WHEN duration < 1 THEN 'medium' ELSE 'slow' END AS speed, count(*) FROM records WHERE duration IS NOT NULL GROUP BY speed ORDER BY speed",
        [("fast", 2), ("medium", 2), ("slow", 3)],
    ),
    (
        "SELECT floor(duration / 2) * 2 AS bucket, count(*) AS n FROM records WHERE duration IS NOT NULL GROUP BY bucket ORDER BY bucket",
        [(0.0, 4), (2.0, 1), (4.0, 1), (6.0, 1)],
    ),
    (
        "SELECT s.second, count(r.span_id) FROM generate_series(0, 2) AS s(second) LEFT JOIN records r ON extract(second FROM r.start_timestamp)::int = s.second GROUP BY s.second ORDER BY 1",
        [(0, 3), (1, 3), (2, 2)],
    ),
    ("SELECT span_name, duration FROM records ORDER BY duration DESC NULLS LAST, span_name LIMIT 1 OFFSET 1;", [("chat claude", 4.0)]),
    ("SELECT duration FROM records ORDER BY duration DESC LIMIT 3", [(None,), (None,), (7.0,)]),
    (
        'SELECT "span_name" AS "Span Name", "duration" * 1000 AS "Dauer (ms)" FROM "records" /* a comment */ -- (1)!\nWHERE service_name = $service AND "duration" > 5',
        [("agent run", 7000.0)],
    ),
    ("SELECT r.* EXCLUDE (attributes) FROM records r WHERE false", []),
    (
        "SELECT upper(r.span_name) AS span_name FROM records r WHERE r.http_method IS NOT NULL ORDER BY r.span_name DESC",
        [("POST /PAY",), ("GET /USERS/{ID}",)],
    ),
    (
        "SELECT 1/2 AS a, 7/2 AS b, -7/2 AS c, 7 % 3 AS d, 1.0/3 > 0.33 AS e, 5::float/2 AS f, '5'::int/2 AS g, round(2.567, 2) AS h, 10::numeric/4 AS i, power(2, 3) AS j, 9007199254740993 AS k",
        [(0, 3, -3, 1, True, 2.5, 2, 2.57, Decimal("2.5"), 8.0, 9007199254740993)],
    ),
    (
        "SELECT nullif(1, 1) AS a, greatest(1, 2) AS b, NULL IS NULL AS c, 1 IS DISTINCT FROM NULL AS d, try_cast('x' AS int) AS e, E'a\\tb' AS f, 'it''s' AS g, $$dollar$$ AS h, '2027-01-15'::date + interval '1 day' = '2027-01-16' AS i",
        [(None, 2, True, True, None, "a\tb", "it's", "dollar", True)],
    ),
    # Pending spans.
    ("SELECT kind, count(*) FROM records_all GROUP BY kind ORDER BY kind", [("log", 1), ("pending_span", 2), ("span", 7), ("span_event", 1)]),
    (
        "SELECT p.span_name, p.end_timestamp IS NULL AS open FROM records_all p WHERE kind = 'pending_span' AND NOT EXISTS (SELECT 1 FROM records r WHERE r.span_id = p.span_id AND r.trace_id = p.trace_id)",
        [("still open", True)],
    ),
]

PARAMS: dict[str, store.Value] = {"chat": CHAT, "service": "shop", "services": ["shop", "other"], "goal": "0.99"}


@pytest.mark.parametrize(("sql", "rows"), QUERIES, ids=range(len(QUERIES)))
def test_a_query_has_its_rows_wherever_they_lie(places: dict[str, Path], sql: str, rows: list[tuple[Any, ...]]) -> None:
    """The rows that Logfire would give, live, sealed and mixed, under the same titles."""
    params = {name: value for name, value in PARAMS.items() if re.search(rf"\${name}\b", sql)}
    titles = set()
    for name, place in places.items():
        result = store.query(sql, place, params=params)
        assert [tuple(row.values()) for row in result.rows] == rows, name
        titles.add(result.columns)
    assert len(titles) == 1


def test_titles_have_the_names_of_the_functions(places: dict[str, Path]) -> None:
    """Of a column without an alias; not those of the forms that the dialect chooses."""
    sql = "SELECT json_length(otel_events), json_get_int(attributes, 0), json_get(attributes, service_name), attributes->>'a' FROM records"
    assert store.query(sql, places["live"]).columns == (
        "json_length(records.otel_events)",
        "json_get_int(records.attributes,Int64(0))",
        "json_get(records.attributes,records.service_name)",
        "attributes ->> 'a'",
    )
