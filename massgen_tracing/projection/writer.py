"""Writes files of a run, each whole or not at all, and leaves alone what has not changed."""

from __future__ import annotations

import filecmp
import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from massgen_tracing import guard, layout

_MOST_PLACES: Final = 1024
_MOST_WAITING: Final = 4 << 20
"""Bytes that wait to be written, at most."""


@dataclass(slots=True)
class Saved:
    """What a writer has done.

    Attributes:
        written, bytes: files that were written, and what stands in them.
        unchanged: writes that were not needed, for the same stood there already.
        empty: writes that were refused, for there was nothing in them.
        failed: writes that the disk has not taken.
    """

    written: int = 0
    bytes: int = 0
    unchanged: int = 0
    empty: int = 0
    failed: int = 0


class ArtifactWriter:
    """Writes files atomically: whoever reads one finds all of the old or all of the new content.

    A file that cannot be written costs a warning, never the run. What this writer itself wrote last is not read again to be compared. Paths are texts
    where many files are written: to put them together as `Path` would take as long as to write them.

    Attributes:
        saved: what it has done.
    """

    def __init__(self) -> None:
        self.saved = Saved()
        self._last: dict[str, bytes] = {}
        self._places: dict[str, set[str] | None] = {}
        """Directories that were written to lately: what has been put into those that this writer has made, None for others."""
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes_waiting = 0

    def later(self, path: str, content: bytes) -> None:
        """Have a file written by the next `catch_up`, in the order in which they come."""
        self._waiting.append((path, content))
        self._bytes_waiting += len(content)

    def catch_up(self, until: float = math.inf) -> bool:
        """Write the files that wait; whether none does any more.

        Args:
            until: when to stop, in monotonic seconds, unless too much waits for that.
        """
        while self._waiting:
            path, content = self._waiting.popleft()
            self._bytes_waiting -= len(content)
            self.write(path, content)
            if time.monotonic() > until and self._bytes_waiting <= _MOST_WAITING:
                break
        return not self._waiting

    def write(self, path: str | Path, content: bytes, *, require_non_empty: bool = False, remember: bool = False) -> bool:
        """Write a file; whether its content has changed by that.

        Args:
            path: the file; directories that are missing are made.
            content: all that is to stand in it.
            require_non_empty: refuse content that is nothing but white space.
            remember: it is written again and again, so that what was written last is worth keeping in memory.
        """
        if require_non_empty and not content.strip():
            self.saved.empty += 1
            return False
        path = os.fspath(path)
        try:
            if not self._is_new(path) and self._stands(path, content):
                self.saved.unchanged += 1
                return False
            self._put(path, content)
        except OSError as error:
            self.failed(path, error)
            return False
        if remember:
            self._last[path] = content
        return True

    def _is_new(self, path: str) -> bool:
        """Whether nothing can stand there yet, for its directory is this writer's; one that is missing is made."""
        place, _, name = path.rpartition("/")
        if place not in self._places:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            self._places[place] = set() if _made(place) else None
        names = self._places[place]
        if names is None or name in names:
            return False
        names.add(name)
        return True

    def write_pieces(self, path: str | Path, pieces: Iterable[bytes]) -> None:
        """Write a file of pieces that are not all in memory at once."""
        path = os.fspath(path)
        try:
            self._replace(path, pieces)
        except OSError as error:
            self.failed(path, error)

    def _put(self, path: str, content: bytes) -> None:
        # With few calls of the system: after each, Python makes a thread wait for the program's own.
        try:
            self._place(path, content)
        except FileNotFoundError as error:  # at the end of a process the thread before may be at the same file, and has put ours in its place
            guard.passing(error)
            self._place(path, content)
        self.saved.written += 1
        self.saved.bytes += len(content)

    @staticmethod
    def _place(path: str, content: bytes) -> None:
        with _beside(path) as temporary:
            append(temporary, content, os.O_TRUNC)
            os.replace(temporary, path)

    def _replace(self, path: str, pieces: Iterable[bytes]) -> None:
        with _beside(path) as temporary:
            with os.fdopen(_create(temporary), "wb") as file:
                file.writelines(pieces)
                size = file.tell()
            if os.path.isfile(path) and filecmp.cmp(temporary, path, shallow=False):
                self.saved.unchanged += 1
                os.unlink(temporary)
                return
            os.replace(temporary, path)
        self.saved.written += 1
        self.saved.bytes += size

    def link(self, path: Path, target: str) -> None:
        """Have *path* be a link to *target*; a file of somebody else's that is in its place stays."""
        try:
            if os.path.lexists(path) and (not path.is_symlink() or os.readlink(path) == target):
                return
            temporary = path.with_name(f".{path.name}.tmp")
            with suppress(FileNotFoundError):
                temporary.unlink()
            os.symlink(target, temporary)
            os.replace(temporary, path)
        except (OSError, NotImplementedError) as error:  # some systems have no links, or not for everybody
            guard.passing(error)
            guard.logger.debug("no link %s could be made", path, exc_info=True)

    def _stands(self, path: str, content: bytes) -> bool:
        last = self._last.get(path)
        try:
            size = os.stat(path).st_size
            return size == len(content) and (Path(path).read_bytes() if last is None else last) == content
        except OSError as error:
            guard.passing(error)
            return False

    def failed(self, path: str | Path, error: OSError) -> None:
        """Say that a file could not be written."""
        guard.passing(error)
        self.saved.failed += 1
        guard.report(
            "run.files",
            f"{path} could not be written ({error.strerror or error}); the run goes on, and `massgen-tracing logs rebuild` makes its files of the"
            " recording. Is the disk full, or the directory read-only?",
            error=error,
        )


@contextmanager
def _beside(path: str) -> Iterator[str]:
    """Where a file is written before it takes its place; what is left there when that fails is removed."""
    place, slash, name = path.rpartition("/")
    temporary = f"{place}{slash}.{name}.tmp"
    try:
        yield temporary
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _made(directory: str) -> bool:
    """Make a directory that is missing; whether it was. One that cannot be made is told of by whoever writes there."""
    try:
        os.mkdir(directory)
    except OSError as error:
        guard.passing(error)
        return False
    return True


def _create(path: str, flags: int = os.O_TRUNC) -> int:
    """Open a file for writing, in a directory that is made where it is missing."""
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        layout.make_directory(Path(path).parent)
        return os.open(path, flags, 0o666)


def append(path: str, content: bytes, flags: int = os.O_APPEND) -> None:
    """Add to a file's end, or otherwise as *flags* say, with one write as a rule.

    Raises:
        OSError: if it cannot be written; part of it may be there then.
    """
    number = _create(path, flags)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(number, left) :]
    finally:
        os.close(number)
