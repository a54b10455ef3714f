"""A segment: the rows of many small recordings in one Parquet file, and beside it whose they are.

It is made of recordings that lie in their runs' directories, and is there for questions about many of them only: what it has not, they have. So it
leaves out what makes rows whole spans, and what other columns say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa

from massgen_tracing import layout, semconv
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.sealing import sealed, typed, written
from massgen_tracing.store.sealing.sealed import Index
from massgen_tracing.store.tables import records

_FORMAT: Final = 1
_SUFFIX: Final = ".members"
_METADATA: Final = b"massgen_tracing"
_FOOTER: Final = b"massgen_tracing.footer"
_ROWS: Final = 32_768
"""Rows of a row group."""

DERIVED: Final = {
    "created_at": "coalesce(end_timestamp, start_timestamp)",
    "duration": f"""CASE WHEN end_timestamp IS NOT NULL AND kind NOT IN ('{semconv.SPAN_TYPE_LOG}', '{records.SPAN_EVENT}')
        THEN (arrow_cast(end_timestamp, 'Int64') - arrow_cast(start_timestamp, 'Int64')) / 1e6 END""",
}
"""SQL for the columns of records that a segment does not have."""

_IN_TEXT_ONLY: Final = (semconv.GEN_AI_RESPONSE_ID, semconv.GEN_AI_TOOL_CALL_ID)
"""Documented keys that have no column: no two values are alike, so that each would be there twice, and few ask for them."""

_LEFT_OUT: Final = frozenset({*DERIVED, *(typed.COLUMNS[key].column for key in _IN_TEXT_ONLY), *sealed.WHOLE_ONLY})
SCHEMA: Final = pa.schema([item for item in sealed.SCHEMA if item.name not in _LEFT_OUT])

_PLACE: Final = pa.struct([("path", pa.string()), ("inode", pa.uint64()), ("stamp", pa.int64())])
_MEMBERS: Final = pa.schema(
    [
        ("name", pa.string()),
        ("inode", pa.uint64()),
        ("traces", pa.list_(pa.string())),
        ("first_us", pa.int64()),
        ("last_us", pa.int64()),
        ("spans", pa.int32()),
        ("lines", pa.int32()),
        ("directories", pa.list_(_PLACE)),
        ("files", pa.list_(_PLACE)),
    ]
)


class Place(NamedTuple):
    """A directory or a file of a member as it was.

    Attributes:
        path: below the member; empty for itself.
        inode: which it was.
        stamp: of a directory when it had changed, in nanoseconds; of a file how long it was.
    """

    path: str
    inode: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Member:
    """A run, or a recording of work outside of runs, all of whose rows a segment has.

    Attributes:
        name: its path in the root.
        inode: of what has this name.
        traces: its traces, which no other member of the segment has.
        first_us, last_us: no row starts before or after, Unix time in microseconds.
        spans, lines: how many it has, and its live files had.
        directories: itself and all below, down to its recordings.
        files: its recordings.
    """

    name: str
    inode: int
    traces: tuple[str, ...]
    first_us: int
    last_us: int
    spans: int
    lines: int
    directories: tuple[Place, ...]
    files: tuple[Place, ...]


class Segment:
    """A segment as it is on the disk.

    Attributes:
        rows: the Parquet file.
        index: what its footer says.
        as_of: when its members were looked at, Unix time in nanoseconds.
        names: of its members; everything else of a member is asked for by its place among them.
    """

    def __init__(self, rows: Path, index: Index, members: pa.Table) -> None:
        self.rows = rows
        self.index = index
        self.as_of = int(json.loads(members.schema.metadata[_METADATA])["as_of"])
        self._members = members
        self.names: list[str] = members["name"].to_pylist()

    @cached_property
    def inodes(self) -> list[int]:
        """Of the members."""
        inodes: list[int] = self._members["inode"].to_pylist()
        return inodes

    @cached_property
    def traces(self) -> list[list[str]]:
        """Of each member."""
        lists = self._members["traces"].combine_chunks()
        every: list[str] = lists.values.to_pylist()
        return [every[begin:end] for begin, end in pairwise(lists.offsets.to_pylist())]

    @cached_property
    def by_trace(self) -> dict[str, int]:
        """Which member has a trace."""
        return {trace: number for number, traces in enumerate(self.traces) for trace in traces}

    @cached_property
    def times(self) -> tuple[list[int], list[int]]:
        """When the members' first and last rows start."""
        return self._numbers("first_us"), self._numbers("last_us")

    def _numbers(self, name: str) -> list[int]:
        numbers: list[int] = self._members[name].to_pylist()
        return numbers

    def counts(self, numbers: Collection[int]) -> tuple[int, int, int]:
        """How many recordings, lines and spans some members have."""
        if len(numbers) == len(self.names):
            return self._every
        files, lines, spans = (sum(counts[number] for number in numbers) for counts in self._counts)
        return files, lines, spans

    @cached_property
    def _counts(self) -> tuple[list[int], ...]:
        files = [end - begin for begin, end in pairwise(self._members["files"].combine_chunks().offsets.to_pylist())]
        return files, self._numbers("lines"), self._numbers("spans")

    @cached_property
    def _every(self) -> tuple[int, int, int]:
        files, lines, spans = map(sum, self._counts)
        return files, lines, spans

    def directories(self, number: int) -> list[Place]:
        """The directories of a member, itself among them."""
        return self._places(self._directories, number)

    def files(self, number: int) -> list[Place]:
        """The recordings of a member."""
        return self._places(self._files, number)

    @cached_property
    def _directories(self) -> _Lists:
        return self._lists("directories")

    @cached_property
    def _files(self) -> _Lists:
        return self._lists("files")

    def _lists(self, name: str) -> _Lists:
        lists = self._members[name].combine_chunks()
        said = lists.values
        return lists.offsets.to_pylist(), [said.field(field.name).to_pylist() for field in _PLACE]

    @staticmethod
    def _places(lists: _Lists, number: int) -> list[Place]:
        ends, fields = lists
        begin, end = ends[number : number + 2]
        return list(map(Place._make, zip(*(field[begin:end] for field in fields), strict=True)))


_Lists = tuple[list[int], list[list[Any]]]
"""Where the lists of the members begin and end, and the fields of what is in all of them."""


def members_file(rows: Path) -> Path:
    """The file that says whose the rows of a segment are; without it a segment is none."""
    return rows.with_suffix(_SUFFIX)


def write(rows: Path, table: pa.Table, index: Index, members: Sequence[Member], *, as_of: int) -> None:
    """Write a segment; it is one when this has returned.

    Args:
        rows: its Parquet file, which there must not be.
        table: rows as `groups.Groups` makes them.
        index: what these say of their footer.
        members: whose they are; each trace is one member's.
        as_of: when the members were looked at, Unix time in nanoseconds.

    Raises:
        OSError: if it cannot be written.
    """
    keys = None if index.keys is None else {key: typed.OTHER if key in _IN_TEXT_ONLY else kind for key, kind in index.keys.items()}
    footer = replace(index, traces=None, keys=keys).metadata()
    table = table.select(SCHEMA.names)
    empty = {name for name in table.column_names if table.column(name).null_count == len(table)}
    with rows.open("xb") as file:
        with written.writer(file, table.schema, empty=empty, level=_LEVEL) as writer:
            writer.write_table(table, row_group_size=_ROWS)
            writer.add_key_value_metadata(footer)
        _sync(file)
    columns = {item.name: [getattr(member, item.name) for member in members] for item in _MEMBERS}
    for name in ("directories", "files"):
        columns[name] = [[{"path": place.path, "inode": place.inode, "stamp": place.stamp} for place in places] for places in columns[name]]
    said = pa.table(columns, _MEMBERS)
    # What the footer says is here too, for reading it takes longer than all else that is read of a segment.
    said = said.replace_schema_metadata({_METADATA: json.dumps({"format": _FORMAT, "as_of": as_of}).encode(), _FOOTER: footer[sealed.METADATA]})
    target = members_file(rows)
    temporary = target.with_name(f"{target.name}.tmp")
    with temporary.open("wb") as file:
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=_LEVEL))
        with pa.ipc.new_file(file, said.schema, options=options) as writer:
            writer.write_table(said)
        _sync(file)
    os.replace(temporary, target)


_LEVEL: Final = 9
"""Of compression: rows are written once and kept."""


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def read(rows: Path) -> Segment | None:
    """A segment; None where there is none, where it is damaged, or where it is of a format that this version does not know."""
    members = members_file(rows)
    if rows in _distrusted:
        return None
    try:
        status, of_rows = os.stat(members), os.stat(rows)
        return _read(rows, members, (status.st_ino, status.st_size, status.st_mtime_ns, of_rows.st_ino, of_rows.st_size))
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError, RecordingError):
        return None


@lru_cache(maxsize=1024)
def _read(rows: Path, members: Path, _as_of: tuple[int, ...]) -> Segment | None:
    said = pa.ipc.open_file(members.read_bytes()).read_all()
    if json.loads(said.schema.metadata[_METADATA])["format"] != _FORMAT:
        return None
    footer = said.schema.metadata.get(_FOOTER)  # segments of earlier versions have it in their rows' file only
    index = sealed.index(rows) if footer is None else sealed.index_of(footer)
    return None if index is None else Segment(rows, index, said)


_distrusted: Final[set[Path]] = set()


def distrust(rows: Path) -> None:
    """Do without a segment from now on, in this process: it is gone, or damaged. Its name is no other's."""
    _distrusted.add(rows)


def remove(rows: Path) -> None:
    """Remove a segment, whole or a part of one."""
    members_file(rows).unlink(missing_ok=True)
    rows.unlink(missing_ok=True)


def is_segment(path: Path) -> bool:
    """Whether a Parquet file's rows are those of a segment."""
    return path.parent.name == layout.SEGMENTS_DIR
