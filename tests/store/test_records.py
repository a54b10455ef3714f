"""Rows of `records_all`: every column as Logfire derives it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
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
