"""A run through the real Collector into the real Jaeger: what comes out of Jaeger's API is what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.model import SpanRecord
from massgen_tracing.store.roots import catalogue, reader
from tests.collector import sent
from tests.collector.conftest import dry_run, eventually, massgen_run
from tools.backends.running import Collector, Jaeger

pytestmark = pytest.mark.binaries


@pytest.fixture(scope="module", params=["grpc", "http", pytest.param("massgen", marks=pytest.mark.massgen)])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> list[SpanRecord]:
    """The spans of a run that was sent while it went on, with the starts of its spans: dry ones, and one of real MassGen."""
    place = tmp_path_factory.mktemp("run")
    if request.param == "massgen":
        root = massgen_run(place, collector.http)
    else:
        url = {"grpc": collector.grpc, "http": collector.http}[request.param]
        protocol = {"grpc": "grpc", "http": "http/protobuf"}[request.param]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            root = dry_run(place, "--otlp", url, "--otlp-pending")
    spans = list(reader.read(catalogue.files(root)).spans)
    assert {span.state for span in spans} == {"ended"}
    return spans


@pytest.fixture(scope="module")
def arrived(recorded: list[SpanRecord], jaeger: Jaeger) -> list[dict[str, Any]]:
    """The same run as Jaeger's API has it."""
    ids = {span.trace_id for span in recorded}
    assert len(ids) == 1

    def all_there() -> list[dict[str, Any]] | None:
        found = jaeger.trace(next(iter(ids)))
        return found if len(found) >= len(recorded) else None

    return list(eventually(all_there))


def test_the_tree_is_the_recorded_one(recorded: list[SpanRecord], arrived: list[dict[str, Any]]) -> None:
    """Every span once, with its name and its parent, and no pending one beside it."""
    assert len(arrived) == len(recorded)
    assert sent.tree(arrived) == sent.recorded_tree(recorded)


def test_kinds_times_and_statuses_are_as_recorded(recorded: list[SpanRecord], arrived: list[dict[str, Any]]) -> None:
    """To the nanosecond; but Jaeger knows no span without length, and such records are one nanosecond long there."""
    by_id = {span["spanId"]: span for span in arrived}
    for span in recorded:
        theirs = by_id[span.span_id]
        assert span.end_ns is not None
        assert int(theirs["startTimeUnixNano"]) == span.start_ns
        assert int(theirs["endTimeUnixNano"]) == max(span.end_ns, span.start_ns + 1)
        assert theirs["kind"] == span.kind
        assert theirs.get("status", {}).get("code", 0) == span.status_code
        assert theirs.get("status", {}).get("message", "") == span.status_message
    assert any(span.end_ns == span.start_ns for span in recorded)


def test_attributes_are_as_recorded(recorded: list[SpanRecord], arrived: list[dict[str, Any]]) -> None:
    """With their types; lists and mappings are texts of JSON in the storage that it uses. The resource's are there too."""
    by_id = {span["spanId"]: span for span in arrived}
    for span in recorded:
        theirs = sent.values(by_id[span.span_id]["attributes"])
        assert theirs.keys() == span.attributes.keys()
        for key, value in span.attributes.items():
            assert sent.as_said(theirs[key], value) == sent.as_kept(value), key
            assert isinstance(value, list | tuple | dict) or hasattr(value, "items") or type(theirs[key]) is type(value), key
        resource = sent.values(by_id[span.span_id]["resource"])
        assert resource.items() >= dict(span.resource.attributes).items()


def test_jaeger_finds_nothing_to_warn_of(arrived: list[dict[str, Any]]) -> None:
    """Neither of lengths nor of clocks nor of parents that are not there."""
    assert not [span["name"] for span in arrived if "@jaeger@warnings" in sent.values(span["attributes"])]


def test_the_older_api_has_the_same_tree(recorded: list[SpanRecord], arrived: list[dict[str, Any]], jaeger: Jaeger) -> None:
    """The one that Jaeger's pages ask."""
    found = jaeger.older(recorded[0].trace_id)
    assert found is not None
    parents = {
        span["spanID"]: (span["operationName"], next((link["spanID"] for link in span["references"] if link["refType"] == "CHILD_OF"), ""))
        for span in found["spans"]
    }
    assert parents == sent.recorded_tree(recorded)
    assert not [span["operationName"] for span in found["spans"] if span.get("warnings")]
    assert len(arrived) == len(parents)


def test_the_file_has_the_starts_too(recorded: list[SpanRecord], arrived: list[dict[str, Any]], collector: Collector) -> None:
    """All that was sent, as it was sent: ended spans once, and of each that was announced its pending span; SQL reads it as it reads a recording."""
    assert arrived
    wanted = recorded[0].trace_id
    in_file = [
        span
        for line in collector.lines
        for group in line["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
        if span["traceId"] == wanted
    ]
    kinds = [sent.values(span.get("attributes", [])).get("logfire.span_type") for span in in_file]
    ended = [span for span, kind in zip(in_file, kinds, strict=True) if kind != "pending_span"]
    assert sorted(span["spanId"] for span in ended) == sorted(span.span_id for span in recorded)
    assert {span["flags"] for span in ended} == {span.flags for span in recorded}
    assert "pending_span" in kinds
    read_again = [span for span in reader.read(catalogue.files(collector.data / "spans")).spans if span.trace_id == wanted]
    assert sent.recorded_tree(read_again) == sent.recorded_tree(recorded)
    assert all(span.attributes == next(one for one in recorded if one.span_id == span.span_id).attributes for span in read_again)


def test_jaeger_has_no_traces_of_itself(arrived: list[dict[str, Any]], jaeger: Jaeger) -> None:
    """What it was asked above is none of the traces that it keeps."""
    assert arrived
    found = jaeger.asked("/api/services")
    assert found is not None
    assert "jaeger" not in found["data"]
    assert Path(jaeger.log).exists()
    assert "traces export" not in jaeger.said()
