"""Outlines say of every span what the total reader says of it, or that they cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks._spans import run_lines
from massgen_tracing import semconv
from massgen_tracing.model import Attributes
from massgen_tracing.store.reading.lines import LineDecoder
from massgen_tracing.store.reading.outline import Asked
from massgen_tracing.store.roots import outlines, reader
from massgen_tracing.store.sealing import seal
from tests.store import otlp
from tests.store.test_seal import live, spans, written_lines

KEYS = (semconv.AGENT_ID, semconv.LOGFIRE_SPAN_TYPE, semconv.LOGFIRE_MSG, "app.own", "a")
Said = tuple[str, ...]


def said(name: str, attributes: Attributes) -> Said:
    """A name and the values of the keys, as far as they are texts."""
    values = [attributes.get(key, "") for key in KEYS]
    return name, *(value if isinstance(value, str) else "no text" for value in values)


ASKED: Asked[Said] = Asked(KEYS, lambda name: name == "other", said)


def assert_the_same(path: Path, *, may_refuse: bool = False) -> None:
    """What is asked of a file's spans, their times and their places are those of the total reader."""
    found = outlines.read([path], ASKED)
    if found is None:
        assert may_refuse
        return
    assert sorted(found) == sorted(map(ASKED.of, reader.read([path]).spans))


@given(written_lines())
@settings(max_examples=25, deadline=None)
def test_lines_of_our_writer_and_their_sealed_file_give_the_same(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Whatever our writer may write, spans that have not ended among them."""
    path = live(tmp_path_factory.mktemp("root"), lines)
    assert_the_same(path)
    sealed = seal.seal(path).sealed
    assert sealed is not None
    assert_the_same(sealed)


@given(st.lists(spans(), min_size=1, max_size=3, unique_by=lambda span: span["spanId"]))
@settings(max_examples=15, deadline=None)
def test_any_spans_give_the_same(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]]) -> None:
    """Of any writer, whose lines may have to be read in full, and sealed."""
    path = live(tmp_path_factory.mktemp("root"), [otlp.line(span) for span in made])
    assert_the_same(path, may_refuse=True)
    sealed = seal.seal(path).sealed
    assert sealed is not None
    assert_the_same(sealed)


HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("a key of a value", {"x": {semconv.AGENT_ID: "inner"}, "a": "1"}),
    ("a key of a value before the own one", {"x": {"a": "inner"}, "a": "own"}),
    ("a text that looks like a key", {"x": '{"key":"a","value":{"stringValue":"no"}}'}),
    ("a text that ends as a list does", {"x": 'text],"more', "a": "]"}),
    ("a text that ends with a bracket", {"x": "text],", "a": "1"}),
    ("escapes", {"a": 'quote " backslash \\ é \U0001f600 \n', "app.own": "\\"}),
    ("other types", {"a": 1, "app.own": ["a"], semconv.AGENT_ID: True}),
    ("nothing", {}),
]


@pytest.mark.parametrize(("attributes"), [case[1] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_only_a_spans_own_keys_count(tmp_path: Path, attributes: dict[str, Any]) -> None:
    """Not those within its values, whatever they look like."""
    values = json.dumps(otlp.key_values(attributes), separators=(",", ":"))
    times = f'"startTimeUnixNano":"{otlp.BASE_NS}","endTimeUnixNano":"{otlp.BASE_NS + 5}"'
    span = f'"traceId":"{otlp.TRACE}","spanId":"{otlp.span_id(1)}","flags":257,"name":"n","kind":3,{times},"attributes":{values}'
    head = '{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{"name":"s"},"spans":[{'
    assert_the_same(live(tmp_path, [f"{head}{span}}}]}}]}}]}}\n".encode()]))


def test_a_key_that_comes_twice_counts_as_the_reader_has_it(tmp_path: Path) -> None:
    """The last one."""
    line = otlp.line(otlp.span(1, "n", attributes={"a": "first", "b": "last"})).replace(b'"key":"b"', b'"key":"a"').replace(b',"status":{}', b"")
    assert_the_same(live(tmp_path, [line]))


def test_plain_lines_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None but those with exceptions, and those of names whose attributes are all wanted."""
    lines = [line.encode() for line in run_lines(seed=1, spans=400)]
    failed = sum(b'"events"' in line for line in lines)
    decoded: list[bytes] = []
    span = LineDecoder.span
    monkeypatch.setattr(LineDecoder, "span", lambda decoder, line: (decoded.append(line), span(decoder, line))[1])  # type: ignore[func-returns-value]
    assert outlines.read([live(tmp_path, lines)], ASKED) is not None
    assert 0 < len(decoded) == failed


@pytest.mark.parametrize("damage", [b"garbage\n", b'{"resourceSpans":[', b"\0" * 30], ids=["garbage", "a torn line", "zeros"])
def test_damaged_files_are_read_in_full(tmp_path: Path, damage: bytes) -> None:
    """For only that reader says what is lost."""
    lines = [line.encode() for line in run_lines(seed=1, spans=20)]
    assert outlines.read([live(tmp_path, [*lines, damage])], ASKED) is None


@pytest.mark.parametrize("fields", [{"startTimeUnixNano": "abc"}, {"endTimeUnixNano": "abc"}, {"kind": 77}], ids=["start", "end", "kind"])
def test_lines_of_which_something_cannot_be_read_are_read_in_full(tmp_path: Path, fields: dict[str, Any]) -> None:
    """The same: that reader counts it and names it."""
    path = live(tmp_path, [otlp.line(otlp.span(1, "n")), otlp.line(otlp.span(2, "n") | fields)])
    assert outlines.read([path], ASKED) is None
    assert reader.read([path]).report.skipped == 1


def test_a_span_that_starts_after_it_has_ended_is_seen_twice(tmp_path: Path) -> None:
    """Who draws them finds the id twice, and asks the total reader."""
    first, *_ = lines = [line.encode() for line in run_lines(seed=1, spans=20)]
    found = outlines.read([live(tmp_path, [*lines, first])], ASKED)
    assert found is not None
    assert len(found) == len({(each.trace_id, each.span_id) for each in found}) + 1
