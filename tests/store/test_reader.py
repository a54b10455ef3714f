"""The reader is total: whatever a file holds, what is intact is read and what is not is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from massgen_tracing import errors
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots.reader import Reader, read
from tests.store import otlp

LINES = otlp.sample_lines()
WHOLE = b"".join(LINES)


def recording(*lines: bytes, alive: bool = False) -> Recording:
    """What the reader makes of lines."""
    reader = Reader()
    reader.add_lines(b"".join(lines).splitlines(keepends=True), source="test", alive=alive)
    return reader.recording()


def only(*lines: bytes, alive: bool = False) -> SpanRecord:
    """The one span that is in the lines."""
    (span,) = recording(*lines, alive=alive).spans
    return span


def intact(lines: list[bytes]) -> set[str]:
    """The ids of the spans whose end is in one of the lines."""
    found = set()
    for line in lines:
        span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        if not any(pair["key"] == "logfire.pending_parent_id" for pair in span["attributes"]):
            found.add(span["spanId"])
    return found


def ended(found: Recording) -> set[str]:
    """The ids of the spans that have ended."""
    return {span.span_id for span in found.spans if span.state == "ended"}


# --- properties --------------------------------------------------------------------------------------------------------------------


@given(st.permutations(LINES))
@settings(max_examples=30)
def test_order_of_lines_does_not_matter(lines: list[bytes]) -> None:
    """The same lines in any order give the same spans."""
    found = recording(*lines)
    assert recording(*LINES).spans == found.spans
    assert recording(*LINES).starts == found.starts
    assert found.report.skipped == 0


def test_a_tail_torn_at_any_byte_loses_only_its_last_line() -> None:
    """Cut the file after any byte: every line before the cut is read, and nothing is made up."""
    places = [0]
    for line in LINES:
        places.append(places[-1] + len(line))
    for cut in range(0, len(WHOLE), 7):
        whole_lines = [line for line, end in zip(LINES, places[1:], strict=True) if end <= cut + 1]
        found = recording(WHOLE[:cut])
        assert ended(found) == intact(whole_lines)
        assert found.report.skipped <= 1


@given(st.lists(st.sampled_from(LINES), unique=True))
@settings(max_examples=50)
def test_missing_lines_lose_only_their_own_spans(lines: list[bytes]) -> None:
    """Drop any lines: every span whose end is left has ended, and a start that is left alone is interrupted."""
    found = recording(*lines)
    assert ended(found) == intact(lines)
    assert {span.state for span in found.spans} <= {"ended", "interrupted"}


garbage = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"\0" * 50, b"{}", b"[]", b"null", b'{"resourceSpans": 5}', b'{"resourceSpans":[', b"\xff\xfe{", b'"' * 100, b"[" * 100_000]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps({"resourceSpans": value}).encode()),
)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_garbage_between_lines_hurts_nobody(data: st.DataObject) -> None:
    """Put anything between the lines: the reader does not fail, and every intact span is there."""
    pieces = []
    for line in LINES:
        for rubbish in data.draw(st.lists(garbage, max_size=1)):
            pieces.append(rubbish.replace(b"\n", b" ") + b"\n")
        pieces.append(line)
    assert intact(LINES) <= ended(recording(*pieces))


json_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["", "0", "-1", "9" * 30, "0" * 32, "NaN", "SPAN_KIND_CLIENT", [], {}, [{}], {"values": [{}]}, [{"key": "a", "value": {}}]]),
)


@given(st.dictionaries(st.sampled_from(sorted(otlp.span(1, "x", parent=2, events=[], links=[]))), json_values))
@settings(max_examples=300)
def test_wrong_types_in_a_span_do_not_raise(fields: dict[str, Any]) -> None:
    """A span with anything in any of its fields is read or skipped, and its neighbours are read."""
    found = recording(otlp.line({**otlp.span(1, "x", parent=2), **fields}), otlp.line(otlp.span(7, "neighbour")))
    assert "neighbour" in {span.name for span in found.spans}
    assert len(found.spans) + found.report.skipped >= 2


@given(
    st.recursive(
        json_values,
        lambda inner: (
            st.dictionaries(
                st.sampled_from(
                    ["intValue", "doubleValue", "stringValue", "arrayValue", "kvlistValue", "bytesValue", "boolValue", "values", "key", "value"]
                ),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
    )
)
@settings(max_examples=300)
def test_any_attribute_value_becomes_a_row(value: Any) -> None:
    """Whatever stands for an attribute's value, the span can be read and becomes a row of the table."""
    from massgen_tracing.store.tables import records

    found = recording(otlp.line({**otlp.span(1, "x"), "attributes": [{"key": "k", "value": value}]}))
    assert records.table(found).num_rows == 1


# --- single cases ------------------------------------------------------------------------------------------------------------------


def test_ids_are_read_as_hex_of_any_case_and_as_base64() -> None:
    """Upper-case hex and protobuf's base64 give the same id as lower-case hex."""
    made = otlp.span(0xABCDEF, "x")
    upper = only(otlp.line({**made, "traceId": otlp.TRACE.upper()}))
    base64 = only(otlp.line({**made, "traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": "AAAAAACrze8="}))
    assert (otlp.TRACE, "0000000000abcdef") == (upper.trace_id, upper.span_id) == (base64.trace_id, base64.span_id)


def test_numbers_may_be_texts_and_enums_may_be_names() -> None:
    """Times and integers as text or number, kinds and status codes as name or number mean the same."""
    one = only(otlp.line(otlp.span(1, "x", kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"})))
    made = otlp.span(1, "x", kind=3, status={"code": 2})
    two = only(otlp.line({**made, "startTimeUnixNano": int(made["startTimeUnixNano"]), "endTimeUnixNano": int(made["endTimeUnixNano"])}))
    assert one == two
    assert (one.kind, one.status_code) == (3, 2)


def test_every_kind_of_attribute_value_is_read() -> None:
    """OTLP's seven kinds of values come back as Python's; NaN and infinities are numbers, an empty value is None."""
    values = {
        "s": {"stringValue": "text"},
        "i": {"intValue": "-42"},
        "n": {"intValue": 42},
        "d": {"doubleValue": 1.5},
        "inf": {"doubleValue": "-Infinity"},
        "b": {"boolValue": True},
        "a": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}},
        "m": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}},
        "y": {"bytesValue": "AAE="},
        "e": {},
    }
    span = only(otlp.line({**otlp.span(1, "x"), "attributes": [{"key": key, "value": value} for key, value in values.items()]}))
    expected = {
        "s": "text", "i": -42, "n": 42, "d": 1.5, "inf": float("-inf"), "b": True, "a": (1, "x"), "m": {"k": False}, "y": b"\0\1", "e": None,
    }  # fmt: skip
    assert expected == dict(span.attributes)


def test_half_a_surrogate_pair_is_replaced() -> None:
    """A text that no UTF-8 can hold does not stop the table: the bad half becomes the replacement character, a whole pair its character."""
    line = otlp.line(otlp.span(1, "NAME")).replace(b"NAME", b"a\\ud800b \\ud83d\\ude00")
    assert only(line).name == "a�b 😀"


def test_a_line_glued_to_a_torn_one_is_saved() -> None:
    """After a crash another process appends to the torn line; its span is read all the same."""
    torn, after = LINES[0][:100], otlp.line(otlp.span(77, "after"))
    assert [span.name for span in recording(torn + after).spans] == ["after"]


def test_of_the_same_span_twice_the_last_end_counts() -> None:
    """A span that was written twice is one span, as its last end says; a later start does not undo an end."""
    first = otlp.span(1, "first")
    found = recording(otlp.line(first), otlp.line({**first, "name": "last"}), otlp.line(otlp.pending(1, "start")))
    assert [span.name for span in found.spans] == ["last"]
    assert [span.name for span in found.starts] == ["start"]


def test_a_start_without_an_end_keeps_its_real_ids() -> None:
    """A pending span gives the span it speaks of: its id, its parent, its attributes without the marks of the wire."""
    span = only(otlp.line(otlp.pending(3, "agent.a.round_0", parent=1, attributes={"k": "v"})), alive=True)
    assert ("open", otlp.span_id(3), otlp.span_id(1), None) == (span.state, span.span_id, span.parent_span_id, span.end_ns)
    assert dict(span.attributes) == {"k": "v"}
    assert only(otlp.line(otlp.pending(3, "root"))).parent_span_id == ""


def test_a_dead_writers_unfinished_spans_are_interrupted() -> None:
    """What a dead process left open is marked, in its state and in an attribute."""
    span = only(otlp.line(otlp.pending(3, "x")))
    assert span.state == "interrupted"
    assert span.attributes["massgen.interrupted"] is True


def test_a_live_writers_lock_keeps_its_spans_open(tmp_path: Path) -> None:
    """While the writer holds its lock the span is open; when it lets go, the same file says interrupted."""
    fcntl = pytest.importorskip("fcntl")
    path = otlp.write(tmp_path / "trace.otlp.jsonl", [otlp.line(otlp.pending(1, "x"))])
    with path.open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        assert [read([path]).spans[0].state for _ in range(2)] == ["open", "open"]
        fcntl.flock(writer, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert read([path]).spans[0].state == "interrupted"


def test_a_live_writers_half_line_is_no_loss() -> None:
    """The line that a live writer is in the middle of is not reported; a dead writer's torn line is."""
    assert recording(LINES[0], LINES[1][:50], alive=True).report.skipped == 0
    report = recording(LINES[0], LINES[1][:50]).report
    assert (report.skipped, report.first_skips[0].line, report.first_skips[0].reason) == (1, 2, "a torn line")
    assert report.sentence == "skipped 1 line or record that could not be read; the first: test, line 2: a torn line"


def test_the_report_names_the_first_places_and_counts_all() -> None:
    """Thousands of bad lines are counted; only the first are named."""
    report = recording(b"rubbish\n" * 1000).report
    assert (report.skipped, len(report.first_skips)) == (1000, 20)


def test_nuls_and_a_byte_order_mark_around_a_line_are_passed_over() -> None:
    """What a power loss or an editor leaves around a line does not cost the line."""
    assert only(b"\xef\xbb\xbf" + b"\0" * 512 + otlp.line(otlp.span(1, "x"))).name == "x"


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    """A file that cannot be opened is named, with what to do."""
    with pytest.raises(errors.RecordingError, match=r"nothing\.otlp\.jsonl cannot be read \(No such file or directory\)"):
        read([tmp_path / "nothing.otlp.jsonl"])
