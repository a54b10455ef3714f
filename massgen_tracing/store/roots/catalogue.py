"""Where recordings lie: the runs under a root, and the files of a run, a root, a directory or a single file.

Listing reads directory names only, so that a root with ten thousand runs is listed without opening any of their files; which of them have a
trace or a time is known from `contents`. A directory that has not changed is not listed again.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Final, overload

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots.contents import SETTLED_NS, Wanted, relevant

_FOREIGN_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".otlp", ".pb", ".binpb", ".proto", ".protobuf", ".parquet")
_FOREIGN_NAME: Final = re.compile(rf"(?:{'|'.join(map(re.escape, _FOREIGN_ENDINGS))}|\.zst|\.gz)(?=[.-]|$)", re.IGNORECASE)
"""What names of other programs' files have, also of those that were put aside (`traces.json.1`, `traces-2026-01-31T00-00-00.000.json.zst`); looked
for only where none of our own recordings lies."""

_MOST_FOREIGN: Final = 10_000
"""Files of other programs that are taken of a directory."""

_MOST_LISTINGS: Final = 2**16
"""Directories whose listings are kept; of one run there are three."""

_OF_RUNS: Final = (layout.LOGS_DIR, layout.TRACES_DIR)
_PARTS: Final = (layout.ARRIVALS_DIR, *_OF_RUNS, layout.SIGNALS_DIR)
"""What a root has. Arrivals come first: what goes from there while a reader lists the others is found in both, and not in neither."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its directory tells it, or what a process, and those that it has started, have recorded without any session.

    Attributes:
        path: its directory, or one of those recordings, absolute.
        outside: recordings without a session.
        name: of one that lies elsewhere, its place, seen from what was listed.
    """

    path: Path
    outside: tuple[Path, ...] = ()
    name: str = ""

    @property
    def started(self) -> datetime | None:
        """When it started, local time as its name says; None when the name says nothing."""
        return layout.started_at(os.path.basename(self.run_id))

    @property
    def run_id(self) -> str:
        """The name of the directory, which is the run's id, or what begins the names of the recordings, or where the only one lies."""
        return self.name or (layout.name_outside(self.path) if self.outside else self.path.name)

    @property
    def log_dir(self) -> Path | None:
        """The directory of the run; None without a session."""
        return None if self.outside else self.path

    @property
    def is_nested(self) -> bool:
        """Whether it was started in another run, whose tree it belongs to."""
        return self.log_dir is not None and layout.outer_of(self.log_dir) is not None

    def own_files(self) -> tuple[Path, ...]:
        """Its recordings; empty when it was not traced."""
        return self.outside or tuple(_own(self.path))

    def files(self) -> tuple[Path, ...]:
        """Its recordings, and those of the runs that were started in it."""
        return self.outside or tuple(file for directory in with_nested(self.path) for file in _own(directory))


def with_nested(log_dir: Path) -> list[Path]:
    """A run's directory, and those of the runs that were started in it."""
    found = [log_dir]
    for directory in found:
        found += [nested for attempt in layout.attempts(directory) for nested in layout.nested_in(attempt) if nested not in found]
    return found


class Runs(Sequence[Run]):
    """Runs of one root, made when they are looked at: of ten thousand most never are.

    Args:
        directory: where the directories of runs lie.
        outside: recordings without a session, by what begins their names.
        names: of all of them.
    """

    def __init__(self, directory: Path, outside: Mapping[str, tuple[Path, ...]], names: Sequence[str]) -> None:
        self.directory = directory
        self.names = names
        self._outside = outside

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Run: ...

    @overload
    def __getitem__(self, place: slice) -> list[Run]: ...

    def __getitem__(self, place: int | slice) -> Run | list[Run]:
        return [self._named(name) for name in self.names[place]] if isinstance(place, slice) else self._named(self.names[place])

    def _named(self, name: str) -> Run:
        outside = self._outside.get(name, ())
        return Run(outside[0], outside) if outside else Run(self.directory / name)


def runs(root: Path | str) -> Runs:
    """The runs under *root*, the latest name first; reads nothing but the names in two directories. `order.newest_first` knows their times.

    Raises:
        RecordingError: if *root* does not exist or is no directory.
    """
    path = _existing(root)
    if not path.is_dir():
        raise RecordingError(f"{root} is not a directory", expected=f"a root that has {layout.LOGS_DIR}/, such as {layout.DEFAULT_ROOT}")
    logs = path / layout.LOGS_DIR
    directory = logs if logs.is_dir() else path
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(layout.RUN_PREFIX) and entry.is_dir()]
    together: dict[str, tuple[Path, ...]] = {}
    for file in _own(path / layout.TRACES_DIR):
        name = layout.name_outside(file)
        together[name] = (*together.get(name, ()), file)
    return Runs(directory, together, sorted([*names, *together], key=_by_name, reverse=True))


def listed(root: Path | str) -> Sequence[Run]:
    """What is listed of *root*: the runs under it; or else those of the roots in it, by their places; the run that it is; or its recordings.

    Raises:
        RecordingError: if *root* does not exist.
    """
    path = _existing(root)
    found: Sequence[Run] = runs(path) if path.is_dir() else []
    if found or is_root(path):
        return found
    absolute = Path(os.path.abspath(path))
    if roots := roots_below(absolute):
        return [replace(run, name=os.path.relpath(run.path.parent / run.run_id, absolute)) for root in roots for run in runs(root)]
    if path.is_dir() and layout.started_at(absolute.name) is not None:
        return [Run(absolute)]
    recordings = [Path(os.path.abspath(file)) for file in files(path)]
    return [Run(file, (file,), os.path.relpath(file, absolute) if path.is_dir() else file.name) for file in recordings]


def is_whole(source: Path | str) -> bool:
    """Whether a source is looked at as one, for it is, or has, recordings and no runs."""
    path = Path(source)
    return path.exists() and not is_root(path) and (path.is_file() or (not runs(path) and not roots_below(path) and bool(files(path))))


def roots_below(directory: Path | str) -> tuple[Path, ...]:
    """The roots that lie in a directory, which is neither a root nor a run's: that of a project, or of several."""
    path = Path(os.path.abspath(directory))
    if not path.is_dir() or is_root(path) or layout.is_in_run(path):
        return ()
    found = (_root_of(file.relative_to(path).parts) for file in _own(path))
    return tuple(path / root for root in dict.fromkeys(found) if root is not None)


def _root_of(parts: Sequence[str]) -> Path | None:
    """The uppermost root that a recording's path leads through."""
    return next((Path(*parts[:place]) for place, part in enumerate(parts) if part in _PARTS), None)


def _by_name(name: str) -> tuple[str, str]:
    """The time that a name tells, as its digits; what tells none comes last."""
    said = layout.TIMED.match(name)
    return said[1] if said else "~", name


def outside_named(source: Path) -> tuple[Path, ...]:
    """The recordings without a session whose names begin with that of *source*, which is in their directory and no file itself."""
    return tuple(file for file in _own(source.parent) if layout.name_outside(file) == source.name) if source.parent.name == layout.TRACES_DIR else ()


def files(source: Path | str) -> tuple[Path, ...]:
    """Every recording in *source*: a root, a run's directory or a part of it, any directory of recordings, or one file.

    A file that has been sealed meanwhile is what it was sealed into: whoever was told its name need not know.

    Raises:
        RecordingError: if *source* does not exist.
    """
    elsewhere = () if os.path.exists(source) else tuple(layout.sealed_beside(Path(source))) or outside_named(Path(source))
    if elsewhere:
        return elsewhere
    path = _existing(source)
    if not path.is_dir():
        return (path,)
    if is_root(path):
        return tuple(file for part in _PARTS for file in _own(path / part))
    found = tuple(file for directory in with_nested(path) for file in _own(directory))
    return found or tuple(itertools.islice(_foreign(path), _MOST_FOREIGN))


def _foreign(directory: Path) -> Iterator[Path]:
    """Files of other programs anywhere below a directory, by name; hidden ones are not looked at."""
    try:
        with os.scandir(directory) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=attrgetter("name"))
    except OSError:  # another user's, or gone
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _foreign(Path(entry.path))
        elif _FOREIGN_NAME.search(entry.name) and entry.is_file():
            yield Path(entry.path)


def is_without_recordings(source: Path | str) -> bool:
    """Whether a root, a run or an empty directory has none.

    Raises:
        RecordingError: if it is another directory, which has something, and that is no recording.
    """
    path = Path(source)
    if files(path):
        return False
    if not is_root(path) and not layout.is_in_run(path) and any(path.iterdir()):
        others = f"files of OTLP (their names have {', '.join(_FOREIGN_ENDINGS)})"
        raise RecordingError(f"There are no recordings in {source}", expected=f"a root that has {layout.LOGS_DIR}/, a run's directory, or {others}")
    return True


def files_with(source: Path | str, wanted: Wanted) -> tuple[Path, ...]:
    """Those of the `files` of *source* that may have what is wanted; of a root's, the others are not opened.

    Raises:
        RecordingError: if *source* does not exist.
    """
    found = files(source)
    return relevant(Path(source), found, wanted) if is_root(Path(source)) else found


def newest_first(root: Path | str) -> tuple[str | Path, ...]:
    """What lies in the directories of a root, the newest run first, for `below`; nothing where *root* is something else."""
    return tuple(entry for part in _PARTS for entry in reversed(_entries(os.path.join(root, part))))


def below(entry: str | Path) -> tuple[Path, ...]:
    """The recordings of one of the entries that `newest_first` gives."""
    return tuple(_own(entry)) if isinstance(entry, str) else (entry,)


def entries(root: Path) -> Mapping[str, int]:
    """By its name in a root, the inode of each run and of what else is recorded; the same object where nothing has changed."""
    parts = [_inodes(os.path.join(root, part), part) for part in _PARTS]
    known = _known_entries.get(str(root))
    if known is None or any(one is not other for one, other in zip(known[0], parts, strict=True)):
        known = parts, {name: inode for part in parts for name, inode in part.items()}
        _known_entries[str(root)] = known
    return known[1]


_NOTHING: Final[dict[str, int]] = {}
_known_entries: Final[dict[str, tuple[list[dict[str, int]], Mapping[str, int]]]] = {}


def below_name(root: Path, name: str) -> tuple[Path, ...]:
    """The recordings of one of the `entries` of a root."""
    path = os.path.join(root, name)
    return (Path(path),) if layout.is_recording(name.rpartition("/")[2]) and not os.path.isdir(path) else tuple(_own(path))


def was_left(root: Path) -> bool:
    """Whether a server that is gone has left what it was sent in arrivals, which no list of runs has."""
    arrivals = [path for path in _own(root / layout.ARRIVALS_DIR) if layout.is_arrival(path)]
    try:
        return bool(arrivals) and not liveness.writer_alive(layout.held_by_writer(arrivals[0]))
    except OSError:  # sorted just now
        return False


def has_segments(source: Path) -> bool:
    """Whether a source is a root that has segments."""
    return (source / layout.SEGMENTS_DIR).is_dir() and is_root(source)


def is_root(path: Path) -> bool:
    """Whether *path* is where runs are recorded."""
    return any((path / part).is_dir() for part in _PARTS)


@dataclass(frozen=True, slots=True)
class _Listing:
    """What of a directory may have or be a recording.

    Attributes:
        stamp: which directory it was, and when it had changed.
        entries: by name, paths of directories as texts, and recordings.
    """

    stamp: tuple[int, ...]
    entries: tuple[str | Path, ...]


_listings: Final[dict[str, _Listing]] = {}
"""Directories that had not changed for a while when they were listed."""


def _own(path: Path | str) -> Iterator[Path]:
    """Recordings anywhere below *path*, by name; our own suffix only, for a run's directory has other JSON lines too."""
    waiting: list[str | Path] = [os.fspath(path)]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            waiting += reversed(_entries(entry))
        else:
            yield entry


def _entries(path: str) -> tuple[str | Path, ...]:
    """The entries of a directory; none where it has been removed, or is another user's: there is nothing to be read in it.

    Whatever comes, goes or gets another name in a directory changes its times, and those only: a file that grows changes its own.
    """
    try:
        status = os.stat(path)
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        known = _listings.get(path)
        if known is not None and known.stamp == stamp:
            return known.entries
        now = time.time_ns()
        with os.scandir(path) as entries:
            found = sorted(entries, key=attrgetter("name"))
    except OSError:
        return ()
    listed = tuple(
        entry.path if is_folder else Path(entry.path)
        for entry in found
        if (is_folder := entry.is_dir(follow_symlinks=False)) or layout.is_recording(entry.name)
    )
    if now - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
        if len(_listings) >= _MOST_LISTINGS:
            _listings.clear()
        _listings[path] = _Listing(stamp, listed)
    return listed


_known_inodes: Final[dict[str, tuple[tuple[int, ...], dict[str, int]]]] = {}


def _inodes(path: str, part: str) -> dict[str, int]:
    """What a directory of a root has, by name in the root; the same object as before where nothing has changed."""
    try:
        status = os.stat(path)
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        known = _known_inodes.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        now = time.time_ns()
        with os.scandir(path) as listed:
            inodes = {
                f"{part}/{entry.name}": entry.inode() for entry in listed if entry.is_dir(follow_symlinks=False) or layout.is_recording(entry.name)
            }
    except OSError:
        return _NOTHING
    if known is not None and known[1] == inodes:
        inodes = known[1]
    if now - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
        _known_inodes[path] = stamp, inodes
    return inodes


def _existing(source: Path | str) -> Path:
    path = Path(source)
    if path.exists():
        return path
    nested = path.parent / layout.DEFAULT_ROOT
    hint = (
        f"Runs are recorded under {layout.DEFAULT_ROOT} of the directory they are started in: start one with"
        f' `massgen-tracing run "your question"`, or name another place with --root'
    )
    if path.name != layout.DEFAULT_ROOT and nested.is_dir():
        hint = f"There is a root at {nested}: say --root {nested}"
    raise RecordingError(f"There are no recordings at {source}, which does not exist", hint=hint)
