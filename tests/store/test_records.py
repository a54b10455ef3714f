"""Rows of `records_all`: every column as Logfire derives it."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from massgen_tracing.store.sealing import seal
from massgen_tracing.store.tables import records
from tests.store import otlp
from tests.store.conftest import Ask

START = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


def row(ask: Ask, span: dict[str, Any]) -> dict[str, Any]:
    """The row of one span."""
    (found,) = ask("SELECT * FROM records WHERE kind <> 'span_event'", span)
    return found


def test_a_span_fills_the_columns_that_every_span_has(ask: Ask) -> None:
    """Ids, times, names, resource and scope stand in their columns; a root has no parent."""
    found = row(ask, otlp.span(1, "work", end_ms=1500, attributes={"k": [1, "x"]}))
    expected = {
        "attributes": '{"k":[1,"x"]}',
        "day": date(2027, 1, 15),
        "duration": 1.5,
        "start_timestamp": START,
        "end_timestamp": START.replace(second=1, microsecond=500_000),
        "is_exception": False,
        "kind": "span",
        "level": 9,
        "message": "work",
        "span_name": "work",
        "otel_events": "[]",
        "otel_links": "[]",
        "otel_scope_name": "massgen_tracing",
        "otel_status_code": "UNSET",
        "parent_span_id": None,
        "process_pid": 4242,
        "service_name": "massgen",
        "service_version": "0.1",
        "span_id": otlp.span_id(1),
        "tags": None,
        "telemetry_sdk_language": "python",
        "trace_id": otlp.TRACE,
    }
    assert expected == {key: found[key] for key in expected}
    assert json.loads(found["otel_resource_attributes"]) == otlp.RESOURCE


def test_logfires_own_attributes_become_columns(ask: Ask) -> None:
    """Message, tags and level are taken out of the attributes and stand in columns."""
    found = row(ask, otlp.span(1, "x", attributes={"logfire.msg": "hello", "logfire.tags": ["a", "b"], "logfire.level_num": 13, "k": 1}))
    assert (found["message"], found["tags"], found["level"], found["attributes"]) == ("hello", ["a", "b"], 13, '{"k":1}')


@pytest.mark.parametrize(
    ("fields", "attributes", "level"),
    [
        ({}, {}, 9),
        ({"status": {"code": 2}}, {}, 17),
        ({"status": {"code": 2}}, {"logfire.level_num": 5}, 5),
        ({"kind": 2}, {"http.response.status_code": 404}, 13),
        ({"kind": 2}, {"http.status_code": 503}, 17),
        ({"kind": 3}, {"http.response.status_code": 404}, 17),
        ({"kind": 3}, {"http.response.status_code": 200}, 9),
        ({"kind": 1}, {"http.response.status_code": 500}, 9),
    ],
)
def test_level_comes_from_the_attribute_the_status_or_http(ask: Ask, fields: dict[str, Any], attributes: dict[str, Any], level: int) -> None:
    """A stated level counts most, then an error status, then HTTP's status as server or client."""
    assert level == row(ask, otlp.span(1, "x", attributes=attributes, **fields))["level"]


def test_the_first_exception_event_fills_the_exception_columns(ask: Ask) -> None:
    """Of several exceptions the first one stands in the columns; all of them stay in the events."""
    found = row(ask, otlp.span(1, "x", events=[otlp.exception("ValueError", ""), otlp.exception("KeyError", "k")]))
    assert (found["is_exception"], found["exception_type"], found["exception_message"]) == (True, "ValueError", "")
    assert [event["event_name"] for event in json.loads(found["otel_events"])] == ["exception", "exception"]


def test_other_events_are_rows_of_their_own(ask: Ask) -> None:
    """An event that is no exception is copied as a row below its span, and stays in the span's events."""
    event = {"name": "retry", "timeUnixNano": otlp.BASE_NS + 5_000_000, "attributes": otlp.key_values({"attempt": 2})}
    rows = ask("SELECT * FROM records ORDER BY kind", otlp.span(1, "x", events=[event, otlp.exception("E", "m")]))
    assert [found["kind"] for found in rows] == ["span", "span_event"]
    copied = rows[1]
    assert ("retry", otlp.span_id(1), '{"attempt":2}', None) == (
        copied["span_name"], copied["parent_span_id"], copied["attributes"], copied["duration"],
    )  # fmt: skip
    assert START.replace(microsecond=5000) == copied["start_timestamp"] == copied["end_timestamp"]


def test_a_request_with_events_has_answered_once(ask: Ask) -> None:
    """What its attributes and its status say stands in the span's row only; an event has what its own attributes say."""
    events = [
        {"name": "retry", "timeUnixNano": otlp.BASE_NS, "attributes": otlp.key_values({"logfire.tags": ["own"], "http.route": "/own"})},
        {"name": "sent", "timeUnixNano": otlp.BASE_NS},
    ]
    attributes = {"http.route": "/pay", "http.response.status_code": 500, "url.path": "/pay", "logfire.tags": ["web"]}
    request = otlp.span(1, "POST /pay", events=events, attributes=attributes, status={"code": 2, "message": "boom"})
    rows = ask("SELECT * FROM records ORDER BY span_name", request)
    said = [(row["http_route"], row["http_response_status_code"], row["tags"], row["otel_status_code"], row["otel_status_message"]) for row in rows]
    assert said == [("/pay", 500, ["web"], "ERROR", "boom"), ("/own", None, ["own"], "UNSET", None), (None, None, None, "UNSET", None)]
    assert [row["service_name"] for row in rows] == ["massgen"] * 3


def test_rows_of_events_have_ids_of_their_own(ask: Ask) -> None:
    """Also where spans are numbered in order, no event has another row's id."""
    event = {"name": "retry", "timeUnixNano": otlp.BASE_NS}
    rows = ask("SELECT span_id FROM records", *(otlp.span(number, "x", events=[event] * 3) for number in range(1, 20)))
    assert len({found["span_id"] for found in rows}) == len(rows) == 19 * 4


def test_a_log_has_no_duration(ask: Ask) -> None:
    """A point event is a log: it ends when it starts, and has no duration."""
    found = row(ask, otlp.event(2, "Agent answer: agent1.1", parent=1, at_ms=3))
    assert ("log", None, found["start_timestamp"]) == (found["kind"], found["duration"], found["end_timestamp"])


def test_http_url_and_environment_have_columns_with_old_names_too(ask: Ask) -> None:
    """Columns are filled from the new names, else from the old ones; a status that is no number is NULL."""
    values = {"http.method": "GET", "http.status_code": "200", "http.route": "/x", "http.url": "http://h/x?q", "url.path": "/x", "url.query": "q"}
    path_span = otlp.span(1, "x", attributes=values)
    found = row(ask, path_span)
    assert (
        found["http_method"], found["http_response_status_code"], found["http_route"], found["url_full"], found["url_path"], found["url_query"],
    ) == ("GET", 200, "/x", "http://h/x?q", "/x", "q")  # fmt: skip
    assert row(ask, otlp.span(1, "x", attributes={"http.status_code": "teapot"}))["http_response_status_code"] is None


def test_a_status_that_is_no_number_is_in_the_text_only(ask: Ask) -> None:
    """As Logfire documents: the column and the attribute are NULL, the attributes' text has it."""
    key = "http.response.status_code"
    sql = f"""SELECT http_response_status_code AS c, attributes->>'{key}' AS a, r.attributes->>'{key}' || '!' AS b, (attributes::text)->>'{key}' AS t
        FROM records r ORDER BY span_name"""
    spans = [otlp.span(at, str(at), attributes={key: value}) for at, value in enumerate(("teapot", "404", 200), 1)]
    assert [tuple(found.values()) for found in ask(sql, *spans)] == [
        (None, None, None, "teapot"),
        (404, "404", "404!", "404"),
        (200, "200", "200!", "200"),
    ]


def test_a_recording_without_resource_has_an_unknown_service(tmp_path: Path) -> None:
    """`service_name` is never NULL; the environment's old name is understood."""
    path = otlp.write(tmp_path / "x.jsonl", [otlp.line(otlp.span(1, "x"), resource={"deployment.environment": "dev"})])
    (found,) = store.query("SELECT service_name, deployment_environment FROM records", path).rows
    assert found == {"service_name": "unknown_service", "deployment_environment": "dev"}


def test_an_ended_span_keeps_its_pending_row_beside(ask: Ask) -> None:
    """`records_all` has the start and the end of a span under its one id; `records` has only the end."""
    spans = [otlp.pending(1, "x", attributes={"early": 1}), otlp.span(1, "x", attributes={"early": 1, "late": 2})]
    rows = ask("SELECT kind, span_id, attributes, end_timestamp IS NULL AS unended FROM records_all ORDER BY kind", *spans)
    assert [
        {"kind": "pending_span", "span_id": otlp.span_id(1), "attributes": '{"early":1}', "unended": True},
        {"kind": "span", "span_id": otlp.span_id(1), "attributes": '{"early":1,"late":2}', "unended": False},
    ] == rows
    assert ask("SELECT kind FROM records", *spans) == [{"kind": "span"}]


def test_an_unfinished_span_is_only_in_records_all(ask: Ask) -> None:
    """A span that never ended has no end and no duration, its real parent, and the mark of its death."""
    spans = [otlp.pending(2, "x", parent=1)]
    assert ask("SELECT * FROM records", *spans) == []
    (found,) = ask("SELECT * FROM records_all", *spans)
    assert ("pending_span", None, None, otlp.span_id(1)) == (
        found["kind"], found["end_timestamp"], found["duration"], found["parent_span_id"],
    )  # fmt: skip
    assert json.loads(found["attributes"]) == {"massgen.interrupted": True}


# --- every column ------------------------------------------------------------------------------------------------------------------

FULL = otlp.span(
    3,
    "GET /users/{id}",
    parent=1,
    start_ms=0.0015,
    end_ms=2500,
    kind=2,
    status={"code": 2, "message": "ValueError: oops"},
    events=[otlp.exception("ValueError", "oops", 7), {"name": "retry", "timeUnixNano": otlp.BASE_NS + 5_000_000, "attributes": []}],
    links=[{"traceId": "c" * 32, "spanId": otlp.span_id(9), "attributes": otlp.key_values({"why": "cause"})}],
    attributes={
        "logfire.msg": "GET /users/7",
        "logfire.tags": ["web", "slow"],
        "logfire.level_num": 13,
        "logfire.json_schema": '{"type":"object"}',
        "http.method": "GET",
        "http.response.status_code": 500,
        "http.status_code": 200,
        "http.route": "/users/{id}",
        "url.full": "http://h/users/7?q=1",
        "http.url": "http://old",
        "url.path": "/users/7",
        "url.query": "q=1",
        "a.b": "ü",
    },
)

FULL_RESOURCE = {
    "service.name": "web",
    "service.namespace": "shop",
    "service.version": "1.2",
    "service.instance.id": "i-7",
    "process.pid": 4242,
    "deployment.environment.name": "prod",
    "deployment.environment": "old",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45",
}
KEPT = {key: value["value"] for key, value in ((pair["key"], pair) for pair in FULL["attributes"]) if not key.startswith("logfire.")}

COLUMNS: dict[str, tuple[str, bool, Any]] = {
    "attributes": ("string", True, {key: int(value["intValue"]) if "intValue" in value else value["stringValue"] for key, value in KEPT.items()}),
    "attributes_json_schema": ("string", True, '{"type":"object"}'),
    "created_at": ("timestamp[us, tz=UTC]", False, START.replace(second=2, microsecond=500_000)),
    "day": ("date32[day]", False, date(2027, 1, 15)),
    "deployment_environment": ("string", True, "prod"),
    "duration": ("double", True, 2.499999),
    # A pending span, which Logfire gives the end of its start, has none here: NOT NULL is the one difference.
    "end_timestamp": ("timestamp[us, tz=UTC]", True, START.replace(second=2, microsecond=500_000)),
    "exception_message": ("string", True, "oops"),
    "exception_stacktrace": ("string", True, "Traceback (most recent call last):\nValueError: oops"),
    "exception_type": ("string", True, "ValueError"),
    "http_method": ("string", True, "GET"),
    "http_response_status_code": ("int32", True, 500),
    "http_route": ("string", True, "/users/{id}"),
    "is_exception": ("bool", True, True),
    "kind": ("string", False, "span"),
    "level": ("int32", False, 13),
    "log_body": ("string", True, None),
    "message": ("string", False, "GET /users/7"),
    "otel_events": (
        "string",
        True,
        [
            {
                "event_name": "exception",
                "event_timestamp": "2027-01-15T08:00:00.007000Z",
                "attributes": {
                    "exception.type": "ValueError",
                    "exception.message": "oops",
                    "exception.stacktrace": "Traceback (most recent call last):\nValueError: oops",
                },
            },
            {"event_name": "retry", "event_timestamp": "2027-01-15T08:00:00.005000Z", "attributes": {}},
        ],
    ),
    "otel_links": ("string", True, [{"trace_id": "c" * 32, "span_id": otlp.span_id(9), "trace_state": "", "attributes": {"why": "cause"}}]),
    "otel_resource_attributes": ("string", True, FULL_RESOURCE),
    "otel_scope_attributes": ("string", True, {}),
    "otel_scope_name": ("string", True, "massgen_tracing"),
    "otel_scope_version": ("string", True, "1"),
    "otel_status_code": ("string", True, "ERROR"),
    "otel_status_message": ("string", True, "ValueError: oops"),
    "parent_span_id": ("string", True, otlp.span_id(1)),
    "process_pid": ("int32", True, 4242),
    "project_id": ("string", False, "local"),
    "service_instance_id": ("string", True, "i-7"),
    "service_name": ("string", False, "web"),
    "service_namespace": ("string", True, "shop"),
    "service_version": ("string", True, "1.2"),
    "span_id": ("string", False, otlp.span_id(3)),
    "span_name": ("string", False, "GET /users/{id}"),
    "start_timestamp": ("timestamp[us, tz=UTC]", False, START.replace(microsecond=1)),
    "tags": ("list<item: string>", True, ["web", "slow"]),
    "telemetry_sdk_language": ("string", True, "python"),
    "telemetry_sdk_name": ("string", True, "opentelemetry"),
    "telemetry_sdk_version": ("string", True, "1.45"),
    "trace_id": ("string", False, otlp.TRACE),
    "url_full": ("string", True, "http://h/users/7?q=1"),
    "url_path": ("string", True, "/users/7"),
    "url_query": ("string", True, "q=1"),
}
"""Each of Logfire's columns: its type, whether it may be NULL, and what it is for the span above. Values of JSON columns are parsed."""

JSON_COLUMNS = {"attributes", "otel_events", "otel_links", "otel_resource_attributes", "otel_scope_attributes"}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The full span's row while its recording is live, the same when it is sealed, and the row of a span that says nothing."""
    root = tmp_path_factory.mktemp("full")
    run = otlp.write_run(root, lines=[otlp.line(FULL, resource=FULL_RESOURCE)])
    sql = "SELECT * FROM records WHERE kind = 'span'"
    (live,) = store.query(sql, root).rows
    outcome = seal.seal(run / "turn_1" / "attempt_1" / "trace.otlp.jsonl")
    assert outcome.sealed is not None, outcome.reason
    (sealed,) = store.query(sql, root).rows
    bare = otlp.write(root / "bare.jsonl", [otlp.line(otlp.span(1, "bare", status={}), resource={})])
    return live, sealed, store.query(sql, bare).rows[0]


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_each_column_has_logfires_type_and_derivation(full: tuple[dict[str, Any], ...], column: str) -> None:
    """Its type, its value for a span that has everything, live and sealed, and NULL for one that has nothing, where it may be NULL."""
    kind, nullable, expected = COLUMNS[column]
    live, sealed, bare = full
    found = records.SCHEMA.field(column)
    assert (str(found.type), found.nullable) == (kind, nullable)
    for row in (live, sealed):
        assert (json.loads(row[column]) if column in JSON_COLUMNS else row[column]) == expected
    never_null = {"end_timestamp", "duration", "is_exception", "otel_status_code", "otel_scope_name", "otel_scope_version", *JSON_COLUMNS}
    assert (bare[column] is None) == (nullable and column not in never_null)


def test_the_columns_are_logfires() -> None:
    """All of them, in Logfire's order, in both tables."""
    assert list(COLUMNS) == records.SCHEMA.names == sorted(COLUMNS)


@pytest.mark.parametrize(("alive", "interrupted"), [(True, None), (False, "true")])
def test_an_open_span_is_told_from_an_interrupted_one(tmp_path: Path, alive: bool, interrupted: str | None) -> None:
    """While the writer lives a span without an end is open; when it is dead, the span is marked interrupted. Both are pending rows without an end."""
    run = otlp.write_run(tmp_path, lines=[otlp.line(otlp.pending(2, "x", parent=1))])
    sql = "SELECT kind, end_timestamp, duration, attributes->>'massgen.interrupted' AS interrupted FROM records_all"
    with (run / "turn_1" / "attempt_1" / "trace.otlp.jsonl").open("ab") as writer:
        if alive:
            fcntl.flock(writer, fcntl.LOCK_SH)
        assert store.query(sql, tmp_path).rows == [{"kind": "pending_span", "end_timestamp": None, "duration": None, "interrupted": interrupted}]
    assert store.query("SELECT * FROM records", tmp_path).rows == []
