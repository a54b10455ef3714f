"""The proof that a sealed file gives back what was written to it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa
import pytest

from massgen_tracing.errors import RecordingError
from massgen_tracing.store.sealing import written

GROUPS = [
    pa.table({"span_id": ["a", "b"], "kind": pa.array(["span", "log"]).dictionary_encode(), "tags": pa.nulls(2, pa.string())}),
    pa.table({"span_id": ["c"], "kind": pa.array(["span"]).dictionary_encode(), "tags": pa.nulls(1, pa.string())}),
]


def other(group: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """A row group with another column in the place of one."""
    return group.set_column(group.column_names.index(name), name, column)


DIFFERENT = {
    "a value": [other(GROUPS[0], "span_id", pa.array(["a", "x"])), GROUPS[1]],
    "a value that recurs": [GROUPS[0], other(GROUPS[1], "kind", pa.array(["log"]).dictionary_encode())],
    "a value where there was none": [GROUPS[0], other(GROUPS[1], "tags", pa.array(["x"]))],
    "no value where there was one": [other(GROUPS[0], "span_id", pa.array(["a", None])), GROUPS[1]],
    "a column less": [group.drop_columns(["span_id"]) for group in GROUPS],
    "a row less": [GROUPS[0].slice(0, 1), GROUPS[1]],
    "a group less": GROUPS[:1],
    "a group more": [*GROUPS, GROUPS[1]],
    "groups in another order": GROUPS[::-1],
}


def compare(path: Path, in_file: list[pa.Table]) -> None:
    """Compare a file with what should have been written to it."""
    with path.open("wb") as file, written.writer(file, in_file[0].schema) as writer:
        for group in in_file:
            writer.write_table(group)
    with contextlib.closing(written.Copies(path.parent)) as copies:
        for group in GROUPS:
            copies.add(group)
        copies.compare(path, in_file[0].schema)


@pytest.mark.parametrize("in_memory", [2**20, GROUPS[0].nbytes, 0])
def test_a_file_that_is_as_it_was_written_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    """Whether the copies are in memory, in a temporary file, or some here and some there; nothing is left of them."""
    monkeypatch.setattr(written, "_COPY_BYTES", in_memory)
    compare(tmp_path / "trace.parquet", GROUPS)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.parquet"]


@pytest.mark.parametrize("in_memory", [2**20, GROUPS[0].nbytes, 0])
@pytest.mark.parametrize("what", DIFFERENT)
def test_a_file_that_differs_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, in_memory: int) -> None:
    """In one value, a column, a row or a row group."""
    monkeypatch.setattr(written, "_COPY_BYTES", in_memory)
    with pytest.raises(RecordingError, match="reads differently"):
        compare(tmp_path / "trace.parquet", DIFFERENT[what])
