"""The real Collector's exporter into ClickHouse's own engine: what it writes, and that SQL over it answers what a recording answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from massgen_tracing.model import AttributeValue, Event, Link, Resource, SpanRecord
from massgen_tracing.store.roots import catalogue, reader
from tests.collector import sent
from tests.collector.conftest import dry_run, eventually, massgen_run
from tests.e2e.test_dashboards import FOLDER, comparable
from tests.store import exported
from tests.store.test_queries import QUERIES
from tools.backends import clickhouse, running
from tools.backends.binaries import CONFIGURATION
from tools.backends.clickhouse import Served
from tools.backends.running import Collector
from tools.dashboards import values_for

pytestmark = [pytest.mark.binaries, pytest.mark.skipif(not clickhouse.installed(), reason=clickhouse.MISSING)]

KINDS: dict[str, AttributeValue] = {
    "int": -5,
    "double": 1.0,
    "small": 1.5e-07,
    "nan": float("nan"),
    "infinite": float("-inf"),
    "bool": True,
    "text": "5 <b>",
    "empty": "",
    "list": (2, 1),
    "texts": ("b", "a <b>"),
    "doubles": (1.0, 2.5),
    "not numbers": (1.0, float("nan")),
    "map": {"z": 1, "a": 2.0, "in": {"y": 3.0, "b": ({"d": 4.0, "c": None}, 5), "none": {}}},
    "bytes": b"\0\1",
    "nothing": None,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """ClickHouse with the tables that `collector/` makes."""
    with clickhouse.serving(tmp_path_factory.mktemp("clickhouse")) as here:
        yield here


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[Collector]:
    """A Collector for scale before it; there is no Jaeger."""
    variables = {**served.exporting, "SAMPLING_PERCENTAGE": "100", "JAEGER_OTLP": "127.0.0.1:1"}
    with running.collecting(tmp_path_factory.mktemp("collector"), variables, CONFIGURATION / "scale.yaml") as here:
        yield here


def count(served: Served, condition: str) -> int:
    """How many spans have come."""
    return int(served.answer(f"SELECT count() FROM otel.otel_traces WHERE {condition}"))


@pytest.mark.parametrize("of", ["dry run", pytest.param("massgen", marks=pytest.mark.massgen)])
def test_a_run_has_the_same_answers(served: Served, exporting: Collector, tmp_path: Path, of: str) -> None:
    """All queries, and all columns, of a dry run, and of one of real MassGen, that were sent while they went on, their starts too."""
    served.answer("TRUNCATE TABLE otel.otel_traces")  # many of the queries are about whatever is there
    root = massgen_run(tmp_path, exporting.http) if of == "massgen" else dry_run(tmp_path, "--otlp", exporting.http, "--otlp-pending")
    recorded = reader.read(catalogue.files(root))
    trace = recorded.spans[0].trace_id
    eventually(lambda: count(served, f"TraceId = '{trace}' AND SpanAttributes['logfire.span_type'] != 'pending_span'") >= len(recorded.spans))
    mine = f"FROM records WHERE trace_id = '{trace}'"
    statements = {
        **QUERIES,
        **{path.stem: path.read_text() for path in (FOLDER / "sql").glob("*.sql")},
        "all": f"SELECT * {mine}",
        "as a Collector says it": f"SELECT otel_scope_attributes, otel_resource_attributes, process_pid {mine} LIMIT 1",
    }
    for name, written in statements.items():
        statement, params = written.replace("[TRACE_ID]", trace), values_for(written)
        here, there = (store.query(statement, root, params=params, backend=backend) for backend in (None, served.place))
        assert there.table.schema == here.table.schema, name
        assert sorted(map(comparable, there.rows)) == sorted(map(comparable, here.rows)), name


def test_the_exporter_writes_what_the_other_tests_take_it_to_write(served: Served, exporting: Collector) -> None:
    """Each kind of value, of spans, events, links, resources and scopes."""
    one = sent.span("kinds", KINDS)
    one.kind, one.trace_state = one.SPAN_KIND_CLIENT, "a=b"
    one.status.code, one.status.message = one.status.STATUS_CODE_ERROR, "so"
    one.events.add(name="happened", time_unix_nano=one.start_time_unix_nano + 7).attributes.extend(sent.pairs(KINDS))
    one.links.add(trace_id=one.trace_id, span_id=one.span_id).attributes.extend(sent.pairs({"a": "b"}))
    assert sent.send(exporting.http, one).status_code == 200
    eventually(lambda: count(served, "SpanName = 'kinds'"))
    trace, own = one.trace_id.hex(), one.span_id.hex()
    expected = SpanRecord(
        trace_id=trace,
        span_id=own,
        parent_span_id="",
        name="kinds",
        start_ns=one.start_time_unix_nano,
        end_ns=one.end_time_unix_nano,
        kind=3,
        attributes=KINDS,
        events=(Event("happened", one.start_time_unix_nano + 7, KINDS),),
        links=(Link(trace, own, "", {"a": "b"}),),
        status_code=2,
        status_message="so",
        trace_state="a=b",
        resource=Resource({"service.name": "massgen"}),
    )
    moments = "toString(toUnixTimestamp64Nano(Timestamp)) AS start, arrayMap(at -> toString(toUnixTimestamp64Nano(at)), Events.Timestamp) AS times"
    (row,) = map(json.loads, served.answer(f"SELECT *, {moments} FROM otel.otel_traces WHERE SpanName = 'kinds'", "JSONEachRow").splitlines())
    assert row.pop("start") == str(expected.start_ns)
    assert row.pop("times") == [str(expected.start_ns + 7)]
    laid_out = exported.span_row(expected)
    for name in ("Timestamp", "Events.Timestamp"):
        del row[name], laid_out[name]
    row["Duration"] = str(row["Duration"])
    assert said(row) == said(laid_out)
    (back,) = store.query("SELECT attributes FROM records WHERE span_name = 'kinds'", backend=served.place).rows
    assert json.loads(back["attributes"])["map"] == {"z": 1, "a": 2.0, "in": {"y": 3.0, "b": [{"d": 4.0, "c": None}, 5], "none": {}}}
    assert list(json.loads(back["attributes"])) == list(KINDS)


def said(value: Any) -> Any:
    """A row with its texts of JSON read, in which Go writes numbers in ways of its own; keys of mappings have no order there."""
    if isinstance(value, dict):
        return {key: said(item) for key, item in value.items()}
    if isinstance(value, list):
        return [said(item) for item in value]
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    try:
        return float(value) if value != "NaN" else value
    except ValueError:
        return value
