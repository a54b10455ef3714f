"""Which recordings of a root can have what is asked for, without opening the others.

A small file in the root says of each recording which traces it has and when its spans were, as of the recording's size, time of change and
inode; where one of these differs, the recording is looked into again. The file is a cache and nothing else: several processes may write it, each
puts a whole one in its place and the last one stays; where it cannot be read or written, recordings are looked into instead.

What is said of a recording may be too much, never too little: one that cannot be judged counts as one that may have anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError

_FORMAT: Final = 1
SETTLED_NS: Final = 2_000_000_000
"""What has changed less than two seconds ago may change again without another time of change: file systems count in ticks."""

_MAX_TRACES: Final = 1024
_LINE_START: Final = b'{"resourceSpans":[{'
_OTHER_SIGNALS: Final = (b'"resourceLogs"', b'"resourceMetrics"')
_TRACE: Final = re.compile(rb'"traceId":"([0-9a-f]{32})"')
_ANY_TRACE: Final = b'"traceId"'
_TIME: Final = re.compile(rb'imeUnixNano":"([0-9]{1,19})"')
_ANY_TIME: Final = b'imeUnixNano"'
"""Inside of a JSON text the quotes of these would be escaped, so they stand for keys only."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a recording has.

    Attributes:
        first_us, last_us: no row starts before or after, Unix time in microseconds.
        traces: the ids of the traces; None where they are too many to list.
    """

    first_us: int
    last_us: int
    traces: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question asks for; None for no condition.

    Attributes:
        traces: ids of traces, or what they begin with.
        min_us, max_us: when its rows start, Unix time in microseconds.
    """

    traces: Collection[str] | None = None
    min_us: int | None = None
    max_us: int | None = None

    @property
    def everything(self) -> bool:
        """Whether there is no condition at all."""
        return self.traces is None and self.min_us is None and self.max_us is None

    def may_be_in(self, contents: Contents) -> bool:
        """Whether a recording with these contents may have such rows."""
        if (self.min_us is not None and contents.last_us < self.min_us) or (self.max_us is not None and contents.first_us > self.max_us):
            return False
        known, asked = contents.traces, self.traces
        return known is None or asked is None or any(trace.startswith(tuple(asked)) for trace in known)


_Stamp = tuple[int, int, int]
"""Inode, size and time of change in nanoseconds."""


def relevant(root: Path, files: Iterable[Path], wanted: Wanted) -> tuple[Path, ...]:
    """Those of the *files* under *root* that may have what is wanted; a file that is gone or unreadable is kept, for its reader to report."""
    if wanted.everything:
        return tuple(files)
    known = _known(root)
    now: dict[str, tuple[_Stamp, Contents]] = {}
    prefix = f"{root}{os.sep}"
    kept = []
    changed = False
    for path in files:
        contents = None
        with contextlib.suppress(OSError):
            status = os.stat(path)
            stamp = _stamp(status)
            name = str(path).removeprefix(prefix)
            entry = known.get(name)
            if entry is not None and entry[0] == stamp:
                now[name], contents = entry, entry[1]
            elif time.time_ns() - status.st_mtime_ns > SETTLED_NS and (contents := look_into(path)) is not None:
                now[name] = stamp, contents
                changed = True
        if contents is None or wanted.may_be_in(contents):
            kept.append(path)
    if changed or len(now) < len(known):
        _store(root, now)
    return tuple(kept)


def look_into(path: Path) -> Contents | None:
    """What one recording has; None where that cannot be told without decoding it.

    Raises:
        OSError: if it cannot be read.
    """
    if layout.is_sealed(path):
        from massgen_tracing.store.sealing import sealed  # loads Arrow

        try:
            index = sealed.index(path)
        except RecordingError:
            return None
        return None if index is None else Contents(index.first_us, index.last_us, index.traces)
    traces: set[bytes] = set()
    first, last = 2**63, 0
    with path.open("rb") as lines:
        for line in lines:
            found, times = _TRACE.findall(line), _TIME.findall(line)
            if (
                not line.startswith(_LINE_START)
                or any(map(line.count, _OTHER_SIGNALS))
                or len(found) != line.count(_ANY_TRACE)
                or len(times) != line.count(_ANY_TIME)
            ):
                return None
            traces.update(found)
            for moment in map(int, times):
                first, last = min(first, moment), max(last, moment)
    listed = tuple(sorted(trace.decode() for trace in traces)) if len(traces) <= _MAX_TRACES else None
    return Contents(first // 1000, last // 1000, listed)


def _known(root: Path) -> Mapping[str, tuple[_Stamp, Contents]]:
    """What is known of a root's recordings; nothing where the file is missing, unreadable, or not what it should be."""
    path = os.path.abspath(root / layout.INDEX_FILE)
    try:
        return _load(path, _stamp(os.stat(path)))
    except OSError:
        return {}


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=4)
def _load(path: str, _as_of: _Stamp) -> Mapping[str, tuple[_Stamp, Contents]]:
    """The same, of the file as it was when it had this stamp; it is only ever replaced, never written to."""
    try:
        said: Any = orjson.loads(Path(path).read_bytes())
        if said["format"] != _FORMAT:
            return {}
        return {
            str(name): ((int(inode), int(size), int(changed)), Contents(int(first), int(last), None if traces is None else tuple(map(str, traces))))
            for name, (inode, size, changed, first, last, traces) in said["files"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def _store(root: Path, now: dict[str, tuple[_Stamp, Contents]]) -> None:
    """Put a new file in place of the old one, whole or not at all; a root that cannot be written to does without."""
    files = {name: (*stamp, contents.first_us, contents.last_us, contents.traces) for name, (stamp, contents) in now.items()}
    temporary = root / f"{layout.INDEX_FILE}.{os.getpid()}.{threading.get_ident()}"
    with contextlib.suppress(OSError):
        try:
            temporary.write_bytes(orjson.dumps({"format": _FORMAT, "files": files}))
            os.replace(temporary, root / layout.INDEX_FILE)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
