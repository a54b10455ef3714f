"""SQL over what the Collector has written into ClickHouse: the answers of a recording of the same spans, from ClickHouse's own engine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import store
from massgen_tracing.errors import QueryError
from massgen_tracing.model import AttributeValue
from massgen_tracing.store.clickhouse import fetch, values, wanted
from massgen_tracing.store.engine import execute, remote
from massgen_tracing.store.engine.sources import Sources
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sql import dialect
from massgen_tracing.store.terms import ClickHouse
from massgen_tracing.views.cli import main
from tests.store import exported, otlp
from tests.store.test_random_statements import statements
from tools.backends import clickhouse, running
from tools.backends.clickhouse import Served

pytestmark = pytest.mark.skipif(not clickhouse.installed(), reason=clickhouse.MISSING)

KINDS = {
    "int": 5,
    "double": 1.0,
    "small": 1e-07,
    "bool": True,
    "text": "5",
    "said": "true",
    "empty": "",
    "quote": 'it\'s \\ "so"\n',
    "list": [1, 2],
    "doubles": [1.0, 2.5],
    "map": {"z": 1, "a": 2.0, "in": {"y": 3.0, "b": [4.0, 5]}},
    "logfire.tags": ["one", "two"],
    "logfire.level_num": 13,
    "logfire.msg": "all kinds",
    "own": 3,
}
"""A value of each kind, and keys out of the order of the alphabet."""


def several() -> list[bytes]:
    """Runs with keys that all have, that some have, and one with values of several kinds; events, links, exceptions, and a start without an end."""
    lines = []
    for number in range(1, 61):
        attributes: dict[str, Any] = {"own": ["x", 1, "1", 2.5, True][number % 5], f"only.{number % 6}": "pq"[number % 2]}
        if number % 4:
            attributes |= {"massgen.agent_id": f"agent_{'abc'[number % 3]}", "massgen.round": number % 3}
        if number % 3 == 0:
            attributes |= {"massgen.usage.cost": number / 4, "massgen.is_winner": number % 2 == 0}
        name = ["llm.chat", "mcp.tool", "agent.agent_a.round_1", "coordination.session"][number % 4]
        more: dict[str, Any] = {}
        if number % 7 == 0:
            more["events"] = [
                otlp.exception("Broken", "it's broken", number),
                {"name": "agent.note", "timeUnixNano": str(otlp.BASE_NS + 70 * otlp.MS)},
            ]
            more["links"] = [{"traceId": otlp.TRACE, "spanId": otlp.span_id(1), "attributes": otlp.key_values({"massgen.agent_id": "agent_b"})}]
        times = {"start_ms": 17 * number % 50, "end_ms": 50 + 13 * number % 70}
        lines.append(otlp.line(otlp.span(number, name, trace=f"{number % 3 + 1:032x}", attributes=attributes, **times, **more)))
    lines.append(otlp.line(otlp.span(100, "kinds", attributes=KINDS, kind=3, status={"code": 2, "message": "so"})))
    lines.append(otlp.line(otlp.pending(101, "never ended", start_ms=3, attributes={"massgen.agent_id": "agent_a"})))
    return lines


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a recording of these."""
    place = tmp_path_factory.mktemp("root")
    otlp.write_run(place, "log_20270115_080000_000000", several())
    return place


@pytest.fixture(scope="module")
def recording(root: Path) -> Recording:
    """What it says."""
    return reader.read(catalogue.files(root))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, recording: Recording) -> Iterator[Served]:
    """A ClickHouse that has the same, starts of spans too, each twice; and, in a table of its own, what another Collector would have written."""
    with clickhouse.serving(tmp_path_factory.mktemp("clickhouse")) as here:
        written = [here.answer(sql, rows=rows) for sql, rows in (exported.insert(recording, starts=True, times=2),)]
        written.append(here.answer("CREATE TABLE otel.elsewhere AS otel.otel_traces"))
        sql, rows = exported.insert(recording, types=False)
        written.append(here.answer(sql.replace("otel_traces", "elsewhere"), rows=rows))
        assert written == ["", "", ""]
        yield here


def fetched(sql: str, place: ClickHouse, *, limit: int = store.DEFAULT_LIMIT, min_us: int | None = None) -> pa.Table:
    """The rows that ClickHouse's spans give, without a process of its own."""
    _, body, _ = execute.answer(
        sql,
        (),
        params={},
        min_us=min_us,
        max_us=None,
        limit=limit,
        max_bytes=store.DEFAULT_MAX_BYTES,
        clickhouse=dataclasses.asdict(place),
        seconds=60,
        on_stage=lambda _stage: None,
    )
    with pa.ipc.open_stream(body) as stream:
        return stream.read_all()


def same(rows: list[dict[str, Any]]) -> list[str]:
    """Rows in an order of their own, for most statements leave it open; sums apart from the order of additions."""
    return sorted(str([f"{value:.9g}" if isinstance(value, float) else value for value in row.values()]) for row in rows)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM records WHERE kind <> 'span_event' ORDER BY trace_id, span_id",
        "SELECT * FROM records",
        "SELECT count(*) AS n, kind FROM records_all WHERE span_name <> 'never ended' GROUP BY kind",
        "SELECT span_name, kind, end_timestamp, duration FROM records_all WHERE span_name = 'never ended'",
        "SELECT attributes->'map' AS map, attributes->'doubles' AS doubles, attributes->>'quote' AS quote FROM records WHERE span_name = 'kinds'",
        "SELECT (attributes->'own')::int AS own, attributes->'own' AS json FROM records ORDER BY span_id",
        "SELECT attributes->>'none' AS none, attributes->>'empty' AS empty, attributes ? 'empty' AS has FROM records WHERE attributes ? 'empty'",
        "SELECT message, level, tags, otel_status_code, otel_status_message FROM records WHERE level >= 'warn'",
        "SELECT exception_type, exception_message FROM records WHERE is_exception",
        "SELECT span_name, otel_links, otel_events FROM records WHERE otel_links <> '[]'",
        "SELECT span_name, start_timestamp FROM records WHERE span_name LIKE 'agent.%' AND kind = 'span_event'",
        "SELECT count(*) AS n FROM records WHERE start_timestamp >= '2027-01-15T08:00:00.060Z'",
        "SELECT count(*) AS n FROM records WHERE start_timestamp BETWEEN '2027-01-15T08:00:00.010Z' AND '2027-01-15T08:00:00.02Z'",
        "SELECT count(*) AS n FROM records WHERE start_timestamp > now() - interval '1 hour' OR service_name = 'massgen'",
        "SELECT count(*) AS n FROM records WHERE duration >= 0.05 AND 0.09 > duration",
        "SELECT count(*) AS n FROM records WHERE span_name IN ('kinds', 'llm.chat') AND NOT (span_name = 'kinds')",
        "SELECT a.span_id, b.span_name FROM records a LEFT JOIN records b ON b.trace_id = a.trace_id AND b.span_name = 'mcp.tool'",
        "SELECT a.span_id FROM records a LEFT JOIN records b ON b.span_id = a.span_id AND b.span_name = 'mcp.tool' WHERE b.span_id IS NULL",
        "SELECT process_pid, service_version, otel_scope_name, otel_scope_version, telemetry_sdk_language FROM records LIMIT 1",
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'records'",
        "SHOW COLUMNS FROM records",
        "SELECT span_name FROM records WHERE attributes->>'massgen.agent_id' = 'agent_a' AND attributes->>'own' IN ('x', '1')",
    ],
)
def test_answers_are_those_of_the_recording(served: Served, root: Path, sql: str) -> None:
    """Types, NULLs, names of columns; each span once, though it lies there twice."""
    here, there = store.query(sql, root), store.query(sql, backend=served.place)
    assert there.table.schema == here.table.schema
    assert same(there.rows) == same(here.rows)
    assert here.rows or "1 hour" in sql


@given(statements())
@settings(max_examples=30, deadline=None)
def test_random_statements_have_the_same_answers(served: Served, recording: Recording, sql: str) -> None:
    """What is left to ClickHouse leaves out nothing that a statement needs."""
    here, *_ = execute.ask(dialect.translate(sql), Sources(recording))
    assert same(fetched(sql, served.place).to_pylist()) == same(here.to_pylist())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple) | st.dictionaries(st.text("xyz", min_size=1), inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["d", "b.c", "b.a", "e"]), JSON_VALUES | st.floats() | st.binary()))
@settings(max_examples=60, deadline=None)
def test_attributes_come_back_as_they_were(attributes: dict[str, AttributeValue]) -> None:
    """Types, order of keys, doubles in lists and mappings; a map of ClickHouse's has its keys in the order of the alphabet."""
    stored = dict(sorted(exported.texts(attributes).items()))
    assert repr(values.restored(stored)[0] or {}) == repr(attributes)


def test_what_json_cannot_say_comes_back() -> None:
    """A list of doubles that are no numbers, which the exporter makes an empty text of."""
    back, _ = values.restored(exported.texts({"x": (1.0, math.inf, math.nan)}))
    assert str(back["x"]) == "(1.0, inf, nan)"


def test_another_collector_may_have_written(served: Served, root: Path) -> None:
    """Documented keys have their types, other texts that are written as numbers are taken for them, and the rest is text."""
    place = dataclasses.replace(served.place, table="elsewhere")
    sql = """SELECT attributes->'massgen.round' AS round, attributes->'massgen.usage.cost' AS cost, attributes->'massgen.agent_id' AS agent,
             attributes->'massgen.is_winner' AS winner, attributes->>'own' AS own, tags, level FROM records"""
    assert same(store.query(sql, backend=place).rows) == same(store.query(sql, root).rows)
    (row,) = store.query("SELECT attributes->'text' AS t, attributes->'map' AS m FROM records WHERE span_name = 'kinds'", backend=place).rows
    assert row == {"t": "5", "m": '"{\\"a\\":2,\\"in\\":{\\"b\\":[4,5],\\"y\\":3},\\"z\\":1}"'}


def find(sql: str) -> wanted.Wanted:
    """What a statement needs."""
    statement = dialect.translate(sql)
    return wanted.find(statement.text, statement.params, partial(remote._moment, "UTC"))


def test_only_what_is_needed_is_asked_for() -> None:
    """Conditions, attributes and columns are ClickHouse's work where that is sure to leave out nothing."""
    llm = find(
        "SELECT attributes->>'gen_ai.request.model' AS model, count(*) FROM records WHERE span_name LIKE 'llm.%' AND trace_id = 'x' GROUP BY 1"
    )
    assert llm.keys == frozenset({"gen_ai.request.model"})
    assert llm.condition == "((SpanName LIKE 'llm.%' OR arrayExists(name -> name LIKE 'llm.%', Events.Name)) AND (TraceId = 'x'))"
    assert not llm.column("otel_resource_attributes")
    assert not llm.starts
    assert find("SELECT a.span_id FROM records a NATURAL JOIN records b").keys is None
    both = find("SELECT a.span_id FROM records a JOIN records b ON b.parent_span_id = a.span_id AND b.trace_id = 'x' WHERE a.trace_id = 'y'")
    assert both.condition == "((TraceId = 'y')) OR ((TraceId = 'x'))"
    assert both.keys == frozenset()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM records",
        "SELECT count(*) FROM records WHERE parent_span_id IS NULL",
        "SELECT count(*) FROM records WHERE NOT span_name = 'x'",
        "SELECT count(*) FROM records WHERE span_name = 'x' OR level > 9",
        "SELECT count(*) FROM records WHERE span_name <> 'x'",
        "SELECT count(*) FROM records WHERE coalesce(attributes->>'a', 'x') = 'x'",
        "SELECT count(*) FROM records WHERE attributes->>'a' IS NULL",
        "SELECT count(*) FROM records WHERE start_timestamp > 1700000000",
        "SELECT count(*) FROM records a LEFT JOIN records b ON b.span_id = a.parent_span_id AND a.span_name = 'x' WHERE b.trace_id = 'y'",
        "SELECT count(*) FROM records a FULL JOIN records b ON a.trace_id = 'x' AND b.trace_id = 'x'",
        "SELECT (SELECT count(*) FROM records) AS all_of_them, span_id FROM records WHERE trace_id = 'x'",
        "WITH RECURSIVE r AS (SELECT span_id FROM records UNION ALL SELECT b.span_id FROM records b JOIN r ON true) SELECT count(*) FROM r",
    ],
)
def test_conditions_that_may_leave_out_rows_stay_here(sql: str) -> None:
    """What is true of NULL, what is negated, and what concerns another table is no condition for ClickHouse."""
    assert find(sql).condition == ""


def test_the_newest_rows_are_fetched_first(served: Served, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many spans as are likely to be enough; more where they are not; all of them where even that has too few rows."""
    asked: list[int] = []
    newest = fetch.Source.newest

    def counted(source: fetch.Source, count: int) -> int | None:
        asked.append(count)
        return newest(source, count)

    monkeypatch.setattr(remote, "_LEAST", 8)
    monkeypatch.setattr(remote, "_GROWTH", 2)
    monkeypatch.setattr(fetch.Source, "newest", counted)
    for where, rounds in (("", [8]), ("WHERE level = 13", [8, 16, 32, 64, 128]), ("WHERE start_timestamp < '2027-01-15T08:00:00.01Z'", [8])):
        asked.clear()
        sql = f"SELECT span_id, start_timestamp FROM records {where} ORDER BY start_timestamp DESC, span_id LIMIT 2"
        assert fetched(sql, served.place).to_pylist() == store.query(sql, root).rows
        assert asked == rounds, where


def test_a_time_window_holds(served: Served, root: Path) -> None:
    """Of events too, whose spans began before it."""
    since = otlp.BASE_NS // 1000 + 45_000
    count = "SELECT kind, count(*) AS n FROM records GROUP BY kind"
    here = [row for row in store.query("SELECT kind, start_timestamp FROM records", root).rows if row["start_timestamp"].microsecond >= 45_000]
    rows = {row["kind"]: row["n"] for row in fetched(count, served.place, min_us=since).to_pylist()}
    assert rows == {kind: sum(row["kind"] == kind for row in here) for kind in {row["kind"] for row in here}}
    assert rows["span_event"] == 8


def test_too_much_is_said_before_it_is_fetched(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much there is, how much may be, and how to ask for less."""
    monkeypatch.setattr(fetch, "MOST_SPANS", 50)
    with pytest.raises(QueryError, match=r"needs 122 spans of ClickHouse, and 50 are fetched at most\. Ask for less: a time window .*one trace_id"):
        fetched("SELECT count(*) FROM records", served.place)
    monkeypatch.setattr(fetch, "MOST_BYTES", 1000)
    with pytest.raises(QueryError, match="more than 0 GiB"):
        fetched("SELECT count(*) FROM records WHERE span_name = 'llm.chat'", served.place)


def test_the_command_asks_clickhouse(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By the address that is given, or the variables of ClickHouse's own clients."""
    words = ["sql", "SELECT count(*) AS n FROM records WHERE span_name = 'kinds'", "--format", "csv", "--backend", "clickhouse"]
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", clickhouse.PASSWORD)
    assert main([*words, "--url", served.url + "/otel?table=otel_traces"]) == 0
    monkeypatch.setenv("CLICKHOUSE_URL", served.url)
    assert main(words) == 0
    assert capsys.readouterr().out.split() == ["n", "1", "n", "1"]
    assert main([*words[:4], "--url", served.url]) != 0
    assert "Expected --backend clickhouse beside it" in capsys.readouterr().err


def test_what_is_wrong_is_said_with_the_next_step(served: Served) -> None:
    """The password, the table, what is asked for, and who does not answer; the password is in none of it."""
    place = served.place
    (free,) = running.free_ports(1)
    for wrong, said in (
        (dataclasses.replace(place, password="secret"), r"does not let the user 'default' in \(.*CLICKHOUSE_USER and CLICKHOUSE_PASSWORD say who"),
        (dataclasses.replace(place, table="nowhere"), r"has no table otel\.nowhere \(.*schema\.sql makes"),
        (dataclasses.replace(place, database="nowhere"), r"has no table nowhere\.otel_traces"),
        (dataclasses.replace(place, table="records"), r"otel\.records .* is not laid out as the Collector's exporter does it"),
        (dataclasses.replace(place, url=f"http://127.0.0.1:{free}"), r"cannot be reached \(Connection refused\)\. See that it is up"),
    ):
        with pytest.raises(QueryError, match=said) as raised:
            fetched("SELECT * FROM records", wrong)
        assert "secret" not in str(raised.value)
    with pytest.raises(QueryError, match="Ask metrics of the recordings, without --backend"):
        fetched("SELECT count(*) FROM metrics", place)
    with pytest.raises(QueryError, match="nope"):
        fetched("SELECT nope FROM records", place)


def test_a_time_zone_is_that_of_the_answer_and_of_what_is_fetched(root: Path, served: Served) -> None:
    """Times that name no zone are read in it, also where ClickHouse is asked for what lies between them."""
    early = store.query("SELECT min(start_timestamp)::text AS t FROM records", root, timezone="Asia/Tokyo").rows[0]["t"]
    assert early.endswith("+09:00")
    until = early.partition("+")[0]
    sql = f"SELECT span_name, start_timestamp, date_trunc('day', start_timestamp) AS day FROM records WHERE start_timestamp <= '{until}'"
    here, there = (store.query(sql, timezone="Asia/Tokyo", **place) for place in ({"root": root}, {"backend": served.place}))
    assert len(here)
    assert same(here.rows) == same(there.rows)
