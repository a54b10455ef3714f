"""A live file that was read before is read from where it was left, and always says what a fresh reading says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.store.reading import live
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import reader
from massgen_tracing.store.roots.reader import Reader
from tests.store import otlp

LINES = [
    *otlp.sample_lines(),
    b"rubbish\n",
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"7","body":{"stringValue":"x"}}]}]}]}\n',
    b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"7","asInt":"1"}]}}]}]}]}\n',
]


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    """No test knows another's files."""
    live._kept.clear()
    yield
    live._kept.clear()


def fresh(path: Path) -> Recording:
    """What is read without any memory."""
    whole = Reader()
    whole.add_lines(path.read_bytes().splitlines(keepends=True), source=str(path))
    return whole.recording()


def same(one: Recording, other: Recording) -> bool:
    """Whether two recordings say the same."""
    return (one.spans, one.starts, one.logs, one.points, one.report) == (other.spans, other.starts, other.logs, other.points, other.report)


@given(st.data())
def test_reading_while_it_grows_gives_what_reading_it_whole_gives(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """However the bytes arrive, in the middle of lines too: each reading says what a fresh one says at that moment."""
    content = b"".join(data.draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=12)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    path = tmp_path_factory.mktemp("grows") / "trace.otlp.jsonl"
    for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        with path.open("ab") as file:
            file.write(content[begin:end])
        assert same(reader.read([path]), fresh(path))


@pytest.mark.parametrize("torn", [b"{", b"[", LINES[0][:1] + b"\n" + LINES[0], LINES[0][:20] + b"\n" + LINES[0]])
def test_a_recording_that_was_torn_behind_its_first_bracket_is_one(tmp_path: Path, torn: bytes) -> None:
    """As by a disk that was full for a moment: it is read line by line, and is not taken for another program's document over several lines."""
    path = tmp_path / "trace.otlp.jsonl"
    path.write_bytes(torn)
    assert len(reader.read([path]).spans) == int(LINES[0] in torn)


class _Counting:
    """A file whose reading is counted."""

    def __init__(self, file: IO[bytes], read: list[int]) -> None:
        self._file, self._read = file, read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._read.append(len(content))
        return content

    def __iter__(self) -> Iterator[bytes]:
        for line in self._file:
            self._read.append(len(line))
            yield line


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes were read of the files, reading by reading."""
    found: list[int] = []
    opened = Path.open

    def counting(path: Path, mode: str = "r") -> Any:
        return _Counting(opened(path, mode), found) if mode == "rb" else opened(path, mode)

    monkeypatch.setattr(Path, "open", counting)
    return found


def test_only_what_is_new_is_read(tmp_path: Path, read: list[int]) -> None:
    """An unchanged file costs a look at its end, a grown one its new lines."""
    path = otlp.write(tmp_path / "trace.otlp.jsonl", otlp.sample_lines()[:-1])
    first = reader.read([path])
    assert sum(read) == path.stat().st_size
    read.clear()
    assert same(reader.read([path]), first)
    assert sum(read) == 64
    read.clear()
    last = otlp.sample_lines()[-1]
    with path.open("ab") as file:
        file.write(last)
    assert len(reader.read([path]).spans) >= len(first.spans)
    assert sum(read) == 64 + len(last)


@pytest.mark.parametrize("how", ["shorter", "other bytes", "another file"])
def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path, how: str) -> None:
    """Cut, overwritten with as many bytes, or put in its place: nothing of the old one stays."""
    path = otlp.write(tmp_path / "trace.otlp.jsonl", otlp.sample_lines())
    before = reader.read([path])
    content = path.read_bytes()
    if how == "shorter":
        os.truncate(path, 2000)
    elif how == "other bytes":
        path.write_bytes(content.replace(otlp.TRACE.encode(), b"f" * 32)[:-70] + b"x" * 70)
    else:
        other = otlp.write(tmp_path / "other", otlp.sample_lines("e" * 32))
        other.replace(path)
    assert not same(reader.read([path]), before)
    assert same(reader.read([path]), fresh(path))


def test_what_was_given_does_not_change_when_the_file_grows(tmp_path: Path) -> None:
    """A recording is of its moment, its starts too, though they are decoded when they are asked for."""
    lines = otlp.sample_lines()
    path = otlp.write(tmp_path / "trace.otlp.jsonl", lines[:9])
    early, expected = reader.read([path]), fresh(path)
    otlp.write(tmp_path / "rest", lines[9:])
    with path.open("ab") as file:
        file.write((tmp_path / "rest").read_bytes())
    reader.read([path])
    assert same(early, expected)


def test_no_more_is_kept_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that were asked for longest ago go first; one that is too large alone is not kept at all."""
    size = len(b"".join(otlp.sample_lines()))
    monkeypatch.setattr(live, "_KEPT_BYTES", 2 * size)
    paths = [otlp.write(tmp_path / f"{number}.otlp.jsonl", otlp.sample_lines()) for number in range(3)]
    for path in (paths[0], paths[1], paths[0], paths[2]):
        reader.read([path])
    assert list(live._kept) == [str(paths[0]), str(paths[2])]
    large = otlp.write(tmp_path / "large.otlp.jsonl", otlp.sample_lines() * 3)
    assert same(reader.read([large]), fresh(large))
    assert str(large) not in live._kept


def test_a_damaged_start_is_counted_where_it_is_needed() -> None:
    """A line that is a start at both of its ends and rubbish between: its span has no other sign of life, so it is skipped and reported."""
    start = next(line for line in otlp.sample_lines() if b"pending_span" in line)
    damaged = start.replace(b'"kind":1', b'"kind":}')
    one = Reader()
    one.add_lines([damaged], source="x")
    found = one.recording()
    assert (found.spans, found.report.skipped) == ((), 1)
