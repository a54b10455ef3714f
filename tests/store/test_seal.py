"""Sealing loses nothing, doubles nothing, and can be stopped at any moment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from benchmarks._spans import run_lines
from massgen_tracing import semconv, store
from massgen_tracing.model import SpanRecord
from massgen_tracing.sinks.recording.file import AppendFile
from massgen_tracing.store.reading import encode
from massgen_tracing.store.reading.lines import LineDecoder
from massgen_tracing.store.roots import catalogue, lookup, reader
from massgen_tracing.store.sealing import candidates, regular, seal, sealed, typed, written
from tests.store import otlp
from tests.store.dying import dying

# --- values ------------------------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HUGE = st.sampled_from(['é\n"\\' * 20_000, "x" * 70_000])
SCALARS = st.one_of(
    TEXTS,
    TEXTS,
    HUGE,
    st.integers(-(2**63), 2**64),
    st.floats(),
    st.booleans(),
    st.binary(max_size=8),
    st.none(),
)
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)), max_leaves=6)
KEYS = st.one_of(TEXTS, st.sampled_from([*typed.COLUMNS, semconv.LOGFIRE_MSG, semconv.LOGFIRE_TAGS, semconv.LOGFIRE_LEVEL, semconv.HTTP_STATUS]))
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=5)
COUNTS = st.integers(0, 2**32 - 1)
TIMES = st.integers(1, 2**63 - 1)
IDS = st.integers(1, 2**64 - 1)


def key_values(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Any attributes as OTLP KeyValue."""
    return encode.attributes(values)


@st.composite
def spans(draw: st.DrawFn) -> dict[str, Any]:
    """Any span that has ended, as OTLP/JSON."""
    start, end = sorted([draw(TIMES), draw(TIMES)])
    event = st.fixed_dictionaries(
        {
            "name": st.one_of(TEXTS, st.just("exception")),
            "timeUnixNano": TIMES.map(lambda time: str(min(time, 2**62))),
            "attributes": ATTRIBUTES.map(key_values),
            "droppedAttributesCount": COUNTS,
        }
    )
    link = st.fixed_dictionaries(
        {
            "traceId": IDS.map(lambda number: f"{number:032x}"),
            "spanId": IDS.map(lambda number: f"{number:016x}"),
            "traceState": TEXTS,
            "flags": COUNTS,
            "attributes": ATTRIBUTES.map(key_values),
            "droppedAttributesCount": COUNTS,
        }
    )
    return {
        "traceId": f"{draw(st.integers(1, 3)):032x}",
        "spanId": f"{draw(IDS):016x}",
        "parentSpanId": f"{draw(st.integers(0, 2**64 - 1)):016x}",
        "name": draw(TEXTS),
        "kind": draw(st.integers(0, 5)),
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": key_values(draw(ATTRIBUTES)),
        "events": draw(st.lists(event, max_size=2)),
        "links": draw(st.lists(link, max_size=2)),
        "status": {"code": draw(st.integers(0, 2)), "message": draw(TEXTS)},
        "traceState": draw(TEXTS),
        "flags": draw(COUNTS),
        "droppedAttributesCount": draw(COUNTS),
        "droppedEventsCount": draw(COUNTS),
        "droppedLinksCount": draw(COUNTS),
    }


def exact(value: Any) -> Any:
    """A value so that equal means equal in type too, and NaN is itself; the order of keys counts for nothing."""
    if isinstance(value, SpanRecord):
        return {
            **{name: exact(getattr(value, name)) for name in SpanRecord.__slots__ if name not in {"resource", "scope", "events", "links"}},
            "resource": exact(value.resource.attributes),
            "scope": (value.scope.name, value.scope.version, exact(value.scope.attributes)),
            "events": [(event.name, event.time_ns, exact(event.attributes), event.dropped_attributes) for event in value.events],
            "links": [
                (*(getattr(link, name) for name in ("trace_id", "span_id", "trace_state", "flags", "dropped_attributes")), exact(link.attributes))
                for link in value.links
            ],
        }
    if isinstance(value, float):
        return "float", "nan" if value != value else struct.pack("d", value)
    if hasattr(value, "items"):
        return "map", sorted((key, repr(exact(item))) for key, item in value.items())
    if isinstance(value, tuple | list):
        return "list", [exact(item) for item in value]
    return type(value).__name__, value


def live(root: Path, lines: list[bytes]) -> Path:
    """A live file of a dead writer."""
    return otlp.write_run(root, lines=lines) / "turn_1" / "attempt_1" / "trace.otlp.jsonl"


@given(st.lists(spans(), min_size=1, max_size=4, unique_by=lambda span: span["spanId"]), ATTRIBUTES)
@settings(max_examples=150, deadline=None)
def test_every_span_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]], resource: dict[str, Any]) -> None:
    """OTLP to live file to Parquet to OTLP is the identity: all types of values, events, links, counts, resource and scope."""
    scope = {"name": "a", "version": "1", "attributes": key_values(resource)}
    home = {"resource": {"attributes": key_values(resource)}}
    lines = [
        json.dumps({"resourceSpans": [{**home, "scopeSpans": [{"scope": scope, "spans": [span]}]}]}, separators=(",", ":")).encode() + b"\n"
        for span in made
    ]
    path = live(tmp_path_factory.mktemp("root"), lines)
    before = reader.read([path]).spans
    outcome = seal.seal(path)
    assert outcome.sealed is not None, outcome.reason
    assert not path.exists()
    after = reader.read([outcome.sealed]).spans
    assert [exact(span) for span in after] == [exact(span) for span in before]
    exported = [json.dumps(encode.document(span)).encode() + b"\n" for span in after]
    again = reader.Reader()
    again.add_lines(exported, source="exported")
    assert [exact(span) for span in again.recording().spans] == [exact(span) for span in before]


# --- lines as our own writer writes them, taken apart by their shape -----------------------------------------------------------------

PLAIN = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(['"', "\\", "\n", "é\U0001f600", "\x7f", "x" * 200]),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 7, -1, 10**17, 10**18]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.one_of(TEXTS, st.integers(-9, 9), st.booleans()), max_size=2),
)
WRITTEN_KEYS = st.sampled_from(
    ["massgen.agent_id", "massgen.usage.input", "app.own", "app_own", "a", "ä", "", "1", *semconv.LEVELS, semconv.LOGFIRE_LEVEL, semconv.HTTP_STATUS]
)
WRITTEN = st.dictionaries(WRITTEN_KEYS, st.one_of(PLAIN, PLAIN, PLAIN, SCALARS, VALUES), max_size=4)
ALIKE = st.fixed_dictionaries({"massgen.agent_id": st.sampled_from(["a", "b\n"]), "app.own": st.integers(0, 9), "cost": st.floats(0, 1)})

OPTIONAL = [
    *[""] * 6,
    '"status":{"code":2},',
    '"status":{"code":2,"message":"no \\" answer"},',
    '"status":{"code":1},"droppedEventsCount":3,"droppedLinksCount":1,',
    '"events":[{"timeUnixNano":"7","name":"exception","attributes":[]}],',
    '"status":{"code":2,"message":""},',
]
"""Fields that only some lines have."""

EXCEPTION_KEYS = ["exception.type", "exception.message", "exception.stacktrace", "exception.escaped", "", "\ue0000\ue000", semconv.LOGFIRE_LEVEL]


@st.composite
def failures(draw: st.DrawFn) -> str:
    """The fields of a span that an exception ended, as OpenTelemetry records it, or nearly so."""
    values = draw(st.lists(st.one_of(TEXTS, TEXTS, TEXTS, SCALARS), max_size=4))
    time = draw(st.sampled_from([otlp.BASE_NS, otlp.BASE_NS + 1_234_567_891, 10**18, 7]))
    attributes = json.dumps(key_values(dict(zip(draw(st.permutations(EXCEPTION_KEYS)), values, strict=False))), separators=(",", ":"))
    name, more = (
        draw(st.sampled_from(["exception", "exception", "exception", "other"])),
        draw(st.sampled_from(["", "", ',"droppedAttributesCount":1'])),
    )
    event = f'{{"timeUnixNano":"{time}","name":"{name}","attributes":{attributes}{more}}}'
    events = ",".join([event] * draw(st.sampled_from([1, 1, 1, 2])))
    return f'"events":[{events}],"status":{{"code":2,"message":{json.dumps(draw(TEXTS))}}},'


def written_line(head: int, fields: str, attributes: dict[str, Any]) -> bytes:
    """A line with the writer's order of fields, and nothing between them."""
    scope = json.dumps({"name": "massgen_tracing", "version": str(head)}, separators=(",", ":"))
    home = json.dumps({"attributes": key_values({"service.name": "massgen"})}, separators=(",", ":"))
    values = json.dumps(key_values(attributes), separators=(",", ":"))
    return f'{{"resourceSpans":[{{"resource":{home},"scopeSpans":[{{"scope":{scope},"spans":[{{{fields},"attributes":{values}}}]}}]}}]}}\n'.encode()


@st.composite
def written_lines(draw: st.DrawFn) -> list[bytes]:
    """The lines of a recording by our own writer: starts, ends of nearly all of them, and what may have changed in between."""
    starts, ends = [], []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        head, trace, name = draw(st.integers(0, 1)), f"{draw(st.integers(1, 2)):032x}", draw(st.sampled_from(["a", "agent.a", 'é"']))
        parent = draw(st.sampled_from(["", f"{99:016x}"]))
        begin, kind = otlp.BASE_NS + draw(st.integers(0, 9999)), draw(st.integers(0, 3))
        attributes = draw(st.one_of(ALIKE, WRITTEN))
        since = f'"kind":{kind},"startTimeUnixNano":"{begin}","endTimeUnixNano":"'
        if draw(st.booleans()):
            had = dict(list(attributes.items())[: draw(st.integers(0, 4))]) | draw(st.sampled_from([{}, {}, {}, {"a": 1}]))
            had |= {semconv.LOGFIRE_SPAN_TYPE: "pending_span", semconv.LOGFIRE_PENDING_PARENT: parent or "0" * 16}
            first = draw(st.sampled_from([name, name, name, "other"]))
            ids = f'"traceId":"{trace}","spanId":"{number + 1000:016x}","parentSpanId":"{number:016x}"'
            starts.append(written_line(head, f'{ids},"name":{json.dumps(first)},{since}{begin}"', had))
        if draw(st.sampled_from([True, True, True, False])) or not starts:
            optional = f'"parentSpanId":"{parent}",' if parent else ""
            optional += draw(st.one_of(st.sampled_from(OPTIONAL), failures()))
            marks = draw(st.sampled_from([{}, {}, {semconv.LOGFIRE_SPAN_TYPE: "log"}]))
            flags = draw(st.sampled_from([257, 257, 1]))
            fields = f'"traceId":"{trace}","spanId":"{number:016x}",{optional}"flags":{flags},"name":{json.dumps(name)}'
            ends.append(written_line(head, f'{fields},{since}{begin + draw(st.integers(0, 10**7))}"', {**attributes, **marks}))
    return [*starts, *ends]


@given(written_lines())
@settings(max_examples=100, deadline=None)
def test_shapes_give_what_the_total_reader_gives(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Whatever our writer may write: the same table, column for column, and the same footer, also where a block holds less than a line."""
    tables = []
    for way in ("regular", "in small blocks", "irregular"):
        path = live(tmp_path_factory.mktemp("root"), lines)
        with pytest.MonkeyPatch.context() as patch:
            if way == "irregular":
                patch.setattr(seal._Sealing, "_regular", refuse)
            if way == "in small blocks":
                patch.setattr(seal, "_BLOCK_BYTES", 100)
            outcome = seal.seal(path)
        assert outcome.sealed is not None, outcome.reason
        tables.append((parquet.read_table(outcome.sealed), sealed.index(outcome.sealed)))
    for table, index in tables[:2]:
        assert index == tables[2][1]
        assert table.schema == tables[2][0].schema
        assert table.to_pylist() == tables[2][0].to_pylist()


def refuse(_sealing: Any) -> Iterator[Any]:
    """Stands for reading lines by their shape."""
    if _sealing is not None:
        raise regular.Irregular
    yield


def test_lines_of_our_writer_are_taken_apart_by_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first of a shape none is parsed, neither ends with exceptions nor starts."""
    parsed: list[bytes] = []
    span = LineDecoder.span

    def watched(decoder: LineDecoder, line: bytes) -> SpanRecord | None:
        parsed.append(line)
        return span(decoder, line)

    monkeypatch.setattr(LineDecoder, "span", watched)
    lines = [line.encode() for line in run_lines(seed=1, spans=4000)]
    assert seal.seal(live(tmp_path, lines)).sealed
    assert sum(b'"events"' in line for line in lines) > 5
    assert len(parsed) <= 10


@given(written_lines())
@settings(max_examples=40, deadline=None)
def test_rows_are_those_of_the_live_file(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Every row and column of `records_all` and `records` is the same after sealing, pending rows of ended spans among them."""
    root = tmp_path_factory.mktemp("root")
    path = live(root, lines)
    queries = ["SELECT * FROM records_all", "SELECT * FROM records", "SELECT span_id, kind, attributes->>'app.own' AS own FROM records_all"]
    before = [sorted(map(repr, store.query(sql, root).rows)) for sql in queries]
    starts = [exact(start) for start in reader.read([path]).starts]
    target = seal.seal(path).sealed
    assert target is not None
    assert [sorted(map(repr, store.query(sql, root).rows)) for sql in queries] == before
    assert [exact(start) for start in reader.read([target]).starts] == starts


@given(st.lists(spans(), min_size=1, max_size=3, unique_by=lambda span: span["spanId"]))
@settings(max_examples=40, deadline=None)
def test_rows_of_any_spans_are_those_of_the_live_file(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]]) -> None:
    """Every column of `records_all` is the same after sealing."""
    root = tmp_path_factory.mktemp("root")
    path = live(root, [otlp.line(span) for span in made])
    sql = "SELECT * FROM records_all"
    before = store.query(sql, root).rows
    assert seal.seal(path).sealed
    assert sorted(map(repr, store.query(sql, root).rows)) == sorted(map(repr, before))


def test_a_start_that_its_row_tells_costs_no_row(tmp_path: Path) -> None:
    """The pending row is made of the span's; a start that says something else keeps a row of its own."""
    same = [otlp.line(otlp.pending(1, "a", attributes={"a": 1})), otlp.line(otlp.span(1, "a", attributes={"a": 1, "b": 2}))]
    renamed = [otlp.line(otlp.pending(2, "old")), otlp.line(otlp.span(2, "new"))]
    target = seal.seal(live(tmp_path, [*same, *renamed])).sealed
    assert target is not None
    index = sealed.index(target)
    assert index is not None
    assert (index.spans, index.begun, index.pending) == (2, 1, 1)
    rows = store.query("SELECT kind, span_name, attributes FROM records_all ORDER BY span_id, kind", tmp_path).rows
    assert [tuple(row.values()) for row in rows] == [
        ("pending_span", "a", '{"a":1}'),
        ("span", "a", '{"a":1,"b":2}'),
        ("pending_span", "old", "{}"),
        ("span", "new", "{}"),
    ]


# --- what is sealed, and what is not -----------------------------------------------------------------------------------------------


def test_a_live_file_of_a_running_writer_is_left(tmp_path: Path) -> None:
    """The writer's lock says that it lives."""
    path = live(tmp_path, otlp.sample_lines())
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        outcome = seal.seal(path)
    assert (outcome.sealed, outcome.reason) == (None, "its writer still runs")
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [([], "it is empty"), ([b"\0\0\n"], "it has no spans"), ([*otlp.sample_lines(), b'{"other":[]}\n'], "it has lines that are no spans")],
)
def test_a_file_that_would_lose_something_is_left(tmp_path: Path, lines: list[bytes], reason: str) -> None:
    """Other signals in a file, or nothing in it: the live file stays and nothing lies beside it."""
    path = live(tmp_path, lines)
    assert seal.seal(path).reason == reason
    assert os.listdir(path.parent) == [path.name]


def test_a_torn_line_is_counted_for_ever(tmp_path: Path) -> None:
    """What could not be read before sealing is reported after it too."""
    whole = otlp.sample_lines()
    path = live(tmp_path, [*whole, whole[0][:50]])
    assert seal.seal(path).sealed
    result = store.query("SELECT span_id FROM records", tmp_path)
    assert (len(result), result.report.skipped, result.report.lines) == (17, 1, len(whole) + 1)


def test_an_unfinished_span_of_a_dead_writer_is_kept(tmp_path: Path) -> None:
    """It is interrupted, before and after."""
    path = live(tmp_path, [otlp.line(otlp.pending(1, "open", attributes={"a": 1})), otlp.line(otlp.span(2, "done", parent=1))])
    before = reader.read([path]).spans
    assert seal.seal(path).sealed
    after = reader.read(catalogue.files(tmp_path)).spans
    assert after == before
    assert [span.state for span in after] == ["interrupted", "ended"]


def test_a_span_that_is_in_the_file_twice_is_kept_once(tmp_path: Path) -> None:
    """Also where its start stands after its end."""
    path = live(tmp_path, [otlp.line(otlp.span(1, "a")), otlp.line(otlp.span(1, "a")), otlp.line(otlp.pending(1, "a"))])
    sql = "SELECT kind FROM records_all ORDER BY kind"
    assert store.query(sql, tmp_path).rows == [{"kind": "pending_span"}, {"kind": "span"}]
    assert seal.seal(path).sealed
    assert store.query(sql, tmp_path).rows == [{"kind": "pending_span"}, {"kind": "span"}]


def test_sealing_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Equal recordings become equal files."""
    paths = [live(tmp_path / name, otlp.sample_lines()) for name in "ab"]
    contents = {seal.seal(path).sealed.read_bytes() for path in paths}  # type: ignore[union-attr]
    assert len(contents) == 1


def test_many_row_groups_are_one_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are streamed in groups; none is lost at their borders."""
    monkeypatch.setattr(regular, "GROUP_LINES", 8)
    monkeypatch.setattr(seal, "_BLOCK_BYTES", 2000)
    path = live(tmp_path, otlp.sample_lines())
    before = reader.read([path]).spans
    target = seal.seal(path).sealed
    assert target is not None
    assert parquet.read_metadata(target).num_row_groups > 2
    assert reader.read([target]).spans == before


# --- stopping it, and going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(12))
def test_a_sealer_that_dies_between_any_two_steps_loses_and_doubles_nothing(tmp_path: Path, step: int) -> None:
    """Whatever is on the disk then, a query gives every span once, and sealing again finishes the work."""
    path = live(tmp_path, otlp.sample_lines())
    sql = "SELECT span_id, span_name, attributes FROM records ORDER BY span_id"
    before = store.query(sql, tmp_path).rows
    with dying(step, ((os, "replace"), (os, "fsync"), (written.Copies, "compare"), (seal, "_sync"), (Path, "unlink"))):
        seal.seal(path)
    assert store.query(sql, tmp_path).rows == before
    seal.seal(path)
    assert sorted(each.name for each in path.parent.iterdir() if not each.name.startswith(".")) == ["trace.parquet"]
    assert store.query(sql, tmp_path).rows == before


def test_a_live_file_that_went_on_after_a_crash_is_sealed_whole(tmp_path: Path) -> None:
    """The sealed file holds its beginning; sealing again replaces it."""
    lines = otlp.sample_lines()
    path = live(tmp_path, lines[:10])
    beginning = path.read_bytes()
    target = seal.seal(path).sealed
    path.write_bytes(beginning + b"".join(lines[10:]))
    assert len(store.query("SELECT span_id FROM records", tmp_path)) == 17
    assert seal.seal(path).sealed == target
    assert len(store.query("SELECT span_id FROM records", tmp_path)) == 17


def test_a_run_that_goes_on_gets_a_second_sealed_file(tmp_path: Path) -> None:
    """The first is left alone; both are read."""
    path = live(tmp_path, [otlp.line(otlp.span(1, "first"))])
    seal.seal(path)
    otlp.write(path, [otlp.line(otlp.span(2, "second"))])
    second = seal.seal(path).sealed
    assert second is not None
    assert second.name == "trace.part2.parquet"
    assert store.query("SELECT span_name FROM records ORDER BY 1", tmp_path).rows == [{"span_name": "first"}, {"span_name": "second"}]


def test_a_copied_run_counts_once(tmp_path: Path) -> None:
    """Sealed files that share spans, as a copy of a directory does, are read as one recording."""
    for name in ("log_20270115_080000_000000", "log_20270116_080000_000000"):
        seal.seal(otlp.write_run(tmp_path, name) / "turn_1" / "attempt_1" / "trace.otlp.jsonl")
    assert len(store.query("SELECT span_id FROM records", tmp_path)) == 17


def test_a_file_that_changes_while_it_is_sealed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that opens it again meanwhile keeps its file, and nothing is left beside it."""
    path = live(tmp_path, otlp.sample_lines())
    compare = written.Copies.compare

    def late(*args: Any) -> None:
        compare(*args)
        with path.open("ab") as writer:
            writer.write(otlp.line(otlp.span(50, "late")))

    monkeypatch.setattr(written.Copies, "compare", late)
    assert seal.seal(path).reason == "it has changed meanwhile"
    assert os.listdir(path.parent) == [path.name]


def test_a_writer_that_opens_a_file_just_being_removed_makes_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the sealer's lock, sees that the name is gone, and loses nothing."""
    path = tmp_path / "trace.otlp.jsonl"
    path.write_bytes(b"sealed\n")
    sealer = path.open("rb")
    fcntl.flock(sealer, fcntl.LOCK_EX)

    def pause(_seconds: float) -> None:
        if not sealer.closed:
            path.unlink()
            sealer.close()

    monkeypatch.setattr("massgen_tracing.sinks.recording.file.time.sleep", pause)
    file = AppendFile(path, tmp_path)
    assert file.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    file.close()


def test_readers_seal_in_passing_only_what_has_settled(tmp_path: Path) -> None:
    """A recording that was written just now is left alone; one that nobody has touched for a while is sealed by the next query."""
    path = live(tmp_path, otlp.sample_lines())
    store.query("SELECT 1 FROM records", tmp_path)
    assert path.exists()
    os.utime(path, (1, 1))
    assert len(store.query("SELECT span_id FROM records", tmp_path)) == 17
    assert not path.exists()
    assert len(store.query("SELECT span_id FROM records", tmp_path)) == 17


def test_a_recording_that_is_sealed_between_finding_and_reading_it_is_read(tmp_path: Path) -> None:
    """The live file's name still leads to its spans."""
    path = live(tmp_path, otlp.sample_lines())
    seal.seal(path)
    assert len(reader.read([path]).spans) == 17


# What a sealer does that a test kills: it waits to be told, seals, and says that it has.
SEALER = """
import sys
from pathlib import Path
from massgen_tracing.store.sealing import groups, seal, shapes
print("ready", flush=True)
sys.stdin.readline()
seal.seal(Path(sys.argv[1]))
print("sealed", flush=True)
"""


def sealer(path: Path) -> subprocess.Popen[bytes]:
    """A process that is about to seal."""
    process = subprocess.Popen([sys.executable, "-c", SEALER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("roots", [1, pytest.param(6, marks=pytest.mark.long)])
def test_a_sealer_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, roots: int) -> None:
    """SIGKILL at once and after random times: each span is readable once, and sealing goes on to its end."""
    lines = [line.encode() for line in run_lines(seed=7, spans=1500)]
    rng = random.Random(7)
    longest = 0.3
    killed = 0
    for number in range(roots):
        root = tmp_path / str(number)
        path = live(root, lines)
        spans = [exact(span) for span in reader.read([path]).spans]
        for seconds in (0.0, rng.uniform(0, longest), rng.uniform(0, longest)):
            if not path.exists():
                continue  # the sealer was done before it was killed
            with sealer(path) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(b"go\n")
                process.stdin.flush()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                process.kill()
                killed += process.stdout.read() != b"sealed\n"
            assert [exact(span) for span in reader.read(catalogue.files(root)).spans] == spans
            assert len(store.query("SELECT span_id FROM records", root)) == len(spans)
        if path.exists():
            seal.seal(path)
        assert os.listdir(path.parent) == ["trace.parquet"]
        assert [exact(span) for span in reader.read(catalogue.files(root)).spans] == spans
    assert killed


# --- the file for others, and for us ------------------------------------------------------------------------------------------------


READERS: dict[str, Callable[[str], Any]] = {
    "duckdb": lambda path: duckdb.connect().sql(f"SELECT * FROM '{path}'").to_arrow_table().to_pydict(),
    "polars": lambda path: pl.read_parquet(path).to_dict(as_series=False),
    "pandas": lambda path: pytest.importorskip("pandas").read_parquet(path).to_dict(orient="list"),
    "arrow": lambda path: parquet.read_table(path).to_pydict(),
}


@pytest.mark.parametrize("name", READERS)
def test_the_file_opens_elsewhere(tmp_path: Path, name: str) -> None:
    """Plain names, plain types: others filter and sum typed columns; which column has an undocumented key, the footer says."""
    target = seal.seal(live(tmp_path, otlp.sample_lines())).sealed
    columns = READERS[name](str(target))
    assert all(column.isidentifier() and column == column.lower() for column in columns)
    inputs = [int(value) for value in columns["massgen_usage_input"] if value is not None and value == value]
    assert sum(inputs) == 2200
    assert target is not None
    index = sealed.index(target)
    assert index is not None
    assert 1500 in columns[index.columns["token_count"]]
    rounds = [name for name, agent in zip(columns["span_name"], columns["massgen_agent_id"], strict=True) if agent == "agent_b"]
    assert len(rounds) == 5
    assert str(columns["start_timestamp"][0])[:19] == "2027-01-15 08:00:00"
    assert len(set(sealed.SCHEMA.names)) == len(sealed.SCHEMA)


def test_a_trace_is_found_in_sealed_files_by_their_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of other traces are not read, only their footers."""
    other = "f" * 32
    seal.seal(live(tmp_path, otlp.sample_lines()))
    run = otlp.write_run(tmp_path, "log_20270116_080000_000000", otlp.sample_lines(other))
    seal.seal(run / "turn_1" / "attempt_1" / "trace.otlp.jsonl")
    read: list[Path] = []
    rebuild = sealed.spans

    def watched(path: Path, prefix: str = "") -> Iterator[SpanRecord]:
        read.append(path)
        return rebuild(path, prefix)

    monkeypatch.setattr(sealed, "spans", watched)
    assert {span.trace_id for span in lookup.trace(tmp_path, "ffffff").spans} == {other}
    assert len(read) == 1
    result = store.query(f"SELECT span_id FROM records WHERE trace_id = '{other}'", tmp_path)
    assert (len(result), result.report.files) == (17, 1)


def test_a_damaged_sealed_file_is_reported_by_name(tmp_path: Path) -> None:
    """And a Parquet file that is no recording is passed over in silence."""
    otlp.write_run(tmp_path)
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "massgen_logs" / "trace_other.parquet")
    assert len(store.query("SELECT span_id FROM records", tmp_path)) == 17
    otlp.write(tmp_path / "massgen_logs" / "trace_bad.parquet", [b"PAR1"])
    result = store.query("SELECT span_id FROM records", tmp_path)
    assert len(result) == 17
    assert "trace_bad.parquet" in result.report.sentence


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("massgen_logs/log_20260101_000000_000000/turn_1/attempt_1/trace.otlp.jsonl", True),
        ("massgen_logs/log_20260101_000000_000000/turn_1/attempt_1/trace.4711.otlp.jsonl", True),
        ("massgen_logs/log_20260101_000000_000000/turn_1/attempt_1/traces.otlp.jsonl", False),
        ("traces/trace_20260101_000000_000000_4711.otlp.jsonl", True),
        ("traces/trace.otlp.jsonl", False),
        ("trace.otlp.jsonl", False),
        ("collector/traces.otlp.jsonl", False),
    ],
)
def test_only_our_own_recordings_are_ever_sealed(path: str, own: bool, tmp_path: Path) -> None:
    """A file that somebody else wrote, or put elsewhere, is read and never replaced, whatever its name begins with."""
    assert candidates.is_own(tmp_path / path) is own


UNLIKE = [
    [otlp.span(1, "a", trace="a" * 32, attributes={"http.route": "/x", "db.system": "pg", "n": 1, "odd": 1.5})],
    [otlp.span(1, "b", trace="b" * 32, attributes={"massgen.agent_id": "agent_b", "http.route": 5, "flag": True})],
    otlp.sample_spans("c" * 32),
]
"""Runs whose attributes have little in common."""


def sealed_runs(root: Path) -> list[Path]:
    """A sealed file of each of the unlike runs."""
    found = []
    for number, spans in enumerate(UNLIKE):
        run = otlp.write_run(root, f"log_2027011{number}_080000_000000", [otlp.line(span) for span in spans])
        target = seal.seal(run / "turn_1" / "attempt_1" / "trace.otlp.jsonl").sealed
        assert target is not None
        found.append(target)
    return found


def test_sealed_files_of_unlike_runs_are_one_table_elsewhere(tmp_path: Path) -> None:
    """DuckDB and polars read `**/trace.parquet` without any option: all files have the same columns, whatever is in them."""
    files = sealed_runs(tmp_path)
    assert {tuple(parquet.read_schema(path).names) for path in files} == {tuple(sealed.SCHEMA.names)}
    assert not any(name.startswith("http_route_") for name in sealed.SCHEMA.names)
    pattern = f"{tmp_path}/**/trace.parquet"
    agents = "SELECT count(*), count(massgen_agent_id) FROM (SELECT * FROM '{}')"
    assert duckdb.connect().sql(agents.format(pattern)).fetchall() == [(19, 15)]
    frame = pl.read_parquet(pattern)
    assert (frame.height, frame["massgen_agent_id"].count()) == (19, 15)
    assert pl.scan_parquet(pattern).select(pl.col("span_name").n_unique()).collect().item() > 3


def test_sealed_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """They lack columns without values, and name those of undocumented keys after them; beside new ones they answer as before."""
    files = sealed_runs(tmp_path)
    sql = (
        "SELECT trace_id, span_name, attributes->>'http.route' AS route, attributes->>'token_count' AS tokens, (attributes->'odd')::float AS odd,"
        " attributes->>'massgen.agent_id' AS agent, attributes ? 'flag' AS flag FROM records ORDER BY trace_id, span_id"
    )
    expected = store.query(sql, tmp_path).rows
    spans = [exact(span) for span in reader.read(files).spans]
    for path in (files[0], files[2]):
        table, index = parquet.read_table(path), sealed.index(path)
        assert index is not None
        names = {column: key.replace(".", "_") + ("_2" if key == "http.route" else "") for key, column in index.columns.items()}
        table = table.drop_columns([name for name in typed_names() if table.column(name).null_count == len(table)])
        table = table.rename_columns([names.get(name, name) for name in table.column_names])
        old = replace(index, columns={key: names[column] for key, column in index.columns.items()})
        parquet.write_table(table.replace_schema_metadata(old.metadata()), path)
    assert store.query(sql, tmp_path).rows == expected
    assert [exact(span) for span in reader.read(files).spans] == spans


def typed_names() -> list[str]:
    """The columns beside those that every version has."""
    return [name for name in sealed.SCHEMA.names if name not in sealed.FIXED.names]
