"""A process and those below it: whether it lives, what it uses, and whether it does anything."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import guard
from massgen_tracing.errors import MissingPackageError
from massgen_tracing.runs.watch.signals import Resources
from massgen_tracing.runs.watch.transcripts import Place

if TYPE_CHECKING:
    import psutil

_BUSY_SHARE: Final = 0.01
"""Of one core: what uses more does something."""

_BUSY_BYTES: Final = 8192
"""Read and written, over files and sockets, since the last look."""

_EXIT_FIELD: Final = 50
"""Fields of `/proc/PID/stat` behind the name, of which the last is the status that `wait` would give (proc(5); to who may trace the process)."""

_TABLE_SECONDS: Final = 1.0
"""So long the list of who is whose child is taken for new."""


def library(what: str) -> ModuleType:
    """Psutil.

    Raises:
        MissingPackageError: where it is not installed; *what* is what needs it.
    """
    try:
        import psutil
    except ImportError:
        raise MissingPackageError(what, "psutil", extra="watch") from None
    return psutil


class Table:
    """Who is whose child, read once for all that ask within a second."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        self._read_at = float("-inf")

    def below(self, pid: int) -> list[int]:
        """The processes below one, and itself first."""
        if time.monotonic() - self._read_at >= _TABLE_SECONDS:
            self._read()
        found, new = [pid], [pid]
        while new:
            new = [child for parent in new for child in self._children.get(parent, ()) if child not in found]
            found += new
        return found

    def _read(self) -> None:
        import psutil

        self._children = {}
        for process in psutil.process_iter():
            try:
                self._children.setdefault(process.ppid(), []).append(process.pid)
            except psutil.Error:
                continue
        self._read_at = time.monotonic()


TABLE: Final = Table()


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a process.

    Attributes:
        lives: whether it runs.
        how: in words: `sleeping`, `zombie`, `gone`, …
        active: what it and those below it did since the last look; empty: nothing.
        resources: what they use; None where it does not run.
    """

    lives: bool
    how: str
    active: str = ""
    resources: Resources | None = None


class Tree:
    """A process and those below it.

    Args:
        pid: the process.

    Raises:
        MissingPackageError: where psutil is not installed.
    """

    def __init__(self, pid: int) -> None:
        self._library = library("watching a process")
        self.pid = pid
        self._process: psutil.Process | None = None
        self._known: dict[int, psutil.Process] = {}
        self._cpu: float | None = None
        self._moved: int | None = None
        self._members: frozenset[int] = frozenset()
        self._looked_at = 0.0
        self._total = 0
        try:
            self._process = self._library.Process(pid)
        except self._library.Error:
            return
        self._total = self._library.virtual_memory().total

    @property
    def command(self) -> str:
        """Its command line; empty where it cannot be seen."""
        return command_of(self._process) if self._process is not None else ""

    def members(self) -> list[int]:
        """It and those below it."""
        return TABLE.below(self.pid)

    def commands(self) -> list[tuple[int, str]]:
        """The command lines of it and of those below it, with their processes."""
        return [(pid, command) for pid in self.members() if (command := command_of(self._of(pid)))]

    def look(self) -> Look:
        """How it is now."""
        process = self._process
        if process is None or not process.is_running():  # which also tells another process that has got its number
            return Look(False, "gone")
        try:
            how = str(process.status())
        except self._library.Error:
            return Look(False, "gone")
        if how == self._library.STATUS_ZOMBIE:
            return Look(False, "zombie")
        return Look(True, how, *self._used())

    def _used(self) -> tuple[str, Resources]:
        members = self.members()
        cpu, memory, files, moved = 0.0, 0, 0, 0
        seen = []
        for pid in members:
            process = self._of(pid)
            if process is None:
                continue
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    cpu += times.user + times.system
                    memory += process.memory_info().rss
                seen.append(pid)
                files += process.num_fds() if hasattr(process, "num_fds") else 0
                counters: Any = process.io_counters() if hasattr(process, "io_counters") else None
                moved += getattr(counters, "read_chars", 0) + getattr(counters, "write_chars", 0)
            except self._library.Error:
                continue
        now = time.monotonic()
        share = None if self._cpu is None or now <= self._looked_at else max(0.0, (cpu - self._cpu) / (now - self._looked_at))
        active = ""
        if self._cpu is not None:
            if share is not None and share > _BUSY_SHARE:
                active = f"CPU time, {share:.0%} of a core"
            elif self._moved is not None and moved - self._moved > _BUSY_BYTES:
                active = f"{moved - self._moved} bytes read and written"
            elif frozenset(seen) - self._members:
                active = "a process was started"
        self._cpu, self._moved, self._members, self._looked_at = cpu, moved, frozenset(seen), now
        self._known = {pid: process for pid, process in self._known.items() if pid in self._members}
        return active, Resources(share, memory, memory / self._total if self._total else 0.0, files or None, len(seen))

    def _of(self, pid: int) -> psutil.Process | None:
        if pid == self.pid:
            return self._process
        if pid not in self._known:
            try:
                self._known[pid] = self._library.Process(pid)
            except self._library.Error:
                return None
        return self._known[pid]


def exit_of_zombie(pid: int) -> int | None:
    """How a process ended whose parent has not asked yet: its exit code, negative for a signal; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < _EXIT_FIELD or fields[0] != b"Z" or not fields[-1].isdigit():
        return None
    status = int(fields[-1])
    return os.waitstatus_to_exitcode(status)


def command_of(process: psutil.Process | None) -> str:
    """A command line, or the name where there is none; empty where it cannot be seen."""
    import psutil

    try:
        return "" if process is None else " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return ""


def place_of(pid: int) -> Place | None:
    """Where a process runs; None where that cannot be seen."""
    try:
        process = library("finding a program's transcripts").Process(pid)
        return Place(Path(process.environ().get("HOME") or Path.home()), Path(process.cwd()))
    except MissingPackageError:
        return None
    except Exception as error:  # noqa: BLE001 - psutil's, whose classes are not known without it
        guard.passing(error)
        return None


def holder(path: str | os.PathLike[str]) -> int | None:
    """A process that has a file open, of those that can be seen; None where none has, or none can be seen."""
    try:
        library("finding a run's process")
        wanted = os.stat(path)
    except (MissingPackageError, OSError):
        return None
    return next((pid for pid, inode in _open_files() if inode == (wanted.st_dev, wanted.st_ino)), None)


def _open_files() -> Iterable[tuple[int, tuple[int, int]]]:
    import psutil

    own = os.getpid()
    for pid in psutil.pids():
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder) if pid != own else []
        except OSError:
            continue
        for name in names:
            try:
                status = os.stat(f"{folder}/{name}")
            except OSError:
                continue
            yield pid, (status.st_dev, status.st_ino)


def ended(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"ended by signal {signal.Signals(-code).name}"
    return f"ended by signal {-code}"
