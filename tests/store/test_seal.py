"""Sealing loses nothing, doubles nothing, and can be stopped at any moment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from massgen_tracing import semconv, store
from massgen_tracing.model import SpanRecord
from massgen_tracing.sinks.recording.file import AppendFile
from massgen_tracing.store import catalogue, encode, lookup, reader, seal, sealed, typed
from tests.store import otlp

# --- values ------------------------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(
    TEXTS,
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


@given(st.lists(spans(), min_size=1, max_size=3, unique_by=lambda span: span["spanId"]))
@settings(max_examples=40, deadline=None)
def test_rows_are_those_of_the_live_file(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]]) -> None:
    """Every column of `records_all` is the same after sealing."""
    root = tmp_path_factory.mktemp("root")
    path = live(root, [otlp.line(span) for span in made])
    sql = "SELECT * FROM records_all"
    before = store.query(sql, root).rows
    assert seal.seal(path).sealed
    assert sorted(map(repr, store.query(sql, root).rows)) == sorted(map(repr, before))


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
    monkeypatch.setattr(seal, "_GROUP_LINES", 8)
    monkeypatch.setattr(seal, "_BLOCK_BYTES", 2000)
    path = live(tmp_path, otlp.sample_lines())
    before = reader.read([path]).spans
    target = seal.seal(path).sealed
    assert target is not None
    assert parquet.read_metadata(target).num_row_groups > 2
    assert reader.read([target]).spans == before


# --- stopping it, and going on -----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("step", range(12))
def test_a_sealer_that_dies_between_any_two_steps_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Whatever is on the disk then, a query gives every span once, and sealing again finishes the work."""
    path = live(tmp_path, otlp.sample_lines())
    sql = "SELECT span_id, span_name, attributes FROM records ORDER BY span_id"
    before = store.query(sql, tmp_path).rows
    left = step

    def dying(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for owner, name in ((os, "replace"), (os, "fsync"), (seal, "_compare"), (seal, "_sync"), (Path, "unlink")):
            patch.setattr(owner, name, dying(getattr(owner, name)))
        with contextlib.suppress(Killed):
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
    compare = seal._compare

    def late(*args: Any) -> None:
        compare(*args)
        with path.open("ab") as writer:
            writer.write(otlp.line(otlp.span(50, "late")))

    monkeypatch.setattr(seal, "_compare", late)
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
    file = AppendFile(lambda: path)
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


# --- the file for others, and for us ------------------------------------------------------------------------------------------------


def test_the_file_opens_elsewhere(tmp_path: Path) -> None:
    """Plain names, plain types: DuckDB, polars and Arrow sum a typed column without being told anything."""
    target = seal.seal(live(tmp_path, otlp.sample_lines())).sealed
    assert target is not None
    table = parquet.read_table(target)
    assert all(name.isidentifier() for name in table.column_names)
    assert table.column("massgen_usage_input").type == pa.int64()
    assert duckdb.connect().execute(f"SELECT sum(massgen_usage_input) FROM '{target}'").fetchall() == [(2200,)]
    assert pl.read_parquet(target).get_column("massgen_usage_input").sum() == 2200
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
    assert seal.is_own(tmp_path / path) is own
