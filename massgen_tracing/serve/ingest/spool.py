"""What was sent, on the disk before it is acknowledged: requests that wait at the same time are written, and synced, together.

Each such commit is a file among the root's arrivals, in a form that the store reads as it is. A process of its own (`sorting`) then puts what is in
it into recordings, where most readers find it. Whatever is killed, and whenever: what was acknowledged is in the one place or the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Self

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.serve.ingest.arrivals import framed
from massgen_tracing.serve.ingest.bodies import Refused

_TOGETHER_BYTES: Final = 2**25
"""What waits beyond that is for the next commit."""

_MOST_WAITING: Final = 2**29
"""Bytes among the arrivals; where there are more, the sorter cannot keep up or the disk is full, and senders have to wait."""

_LOCK_SECONDS: Final = 2.0
_RESTART_SECONDS: Final = 5.0
_END_SECONDS: Final = 30.0
_SORTER: Final = "import sys; sys.path[:] = sys.argv[2:]; from massgen_tracing.serve.ingest.sorting import main; main(sys.argv[1])"

_Waiting = tuple[bytes, "Future[None]"]


class Spool:
    """The arrivals of a root; a context manager. One process has them at a time.

    Args:
        root: made where it is not there.

    Raises:
        ConfigError: on entering, if it cannot be written, or another server has it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = root / layout.ARRIVALS_DIR
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_all, name="massgen-tracing arrivals", daemon=True)
        self._sorter: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._number = 0
        self._lock = self._directory_descriptor = -1

    def __enter__(self) -> Self:
        try:
            layout.make_directory(self._directory)
            self._lock = os.open(self._directory / layout.ARRIVALS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._directory_descriptor = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
            self._take()
            self._number = 1 + max(map(_number, os.listdir(self._directory)), default=0)
        except OSError as error:
            self._close()
            raise ConfigError(
                f"The server cannot write into {self._root} ({error.strerror or error})", hint="Name another place with --root"
            ) from None
        except BaseException:
            self._close()
            raise
        self._start_sorter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._sorter is not None and self._sorter.stdin is not None:
            # It ends when it has sorted everything.
            self._sorter.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._sorter.wait(_END_SECONDS)
        self._close()

    def _close(self) -> None:
        for descriptor in (self._lock, self._directory_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._directory_descriptor = -1

    def _take(self) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # a reader looks for a moment, another server for as long as it lives
                if time.monotonic() > deadline:
                    raise ConfigError(f"Another server records into {self._root}", hint="End it, or name another place with --root") from None
                time.sleep(0.02)
            else:
                return

    def add(self, content: bytes) -> Future[None]:
        """Have a request, as `requests` has checked it, put on the disk.

        Returns:
            What is done when it is there, or raises `Refused` when it cannot be.
        """
        done: Future[None] = Future()
        self._queue.put((content, done))
        return done

    def _commit_all(self) -> None:
        ended = False
        while not ended:
            together: list[_Waiting] = []
            size = 0
            waiting = self._queue.get()
            while waiting is not None:
                together.append(waiting)
                size += len(waiting[0])
                if size > _TOGETHER_BYTES or self._queue.empty():
                    break
                waiting = self._queue.get()
            ended = waiting is None
            if together:
                self._commit(together)

    def _commit(self, together: Sequence[_Waiting]) -> None:
        problem: Refused | None = None
        try:
            if self._waiting_bytes() > _MOST_WAITING:
                problem = Refused(429, "The server has not yet sorted what was sent before; send this again in a moment")
            else:
                self._write(together)
        except OSError as error:
            problem = Refused(503, f"What was sent cannot be written to the disk ({error.strerror or error})")
        for _, done in together:
            if problem is None:
                done.set_result(None)
            else:
                done.set_exception(problem)
        self._wake_sorter()

    def _waiting_bytes(self) -> int:
        with os.scandir(self._directory) as entries:
            return sum(_size(entry) for entry in entries if entry.name.endswith(layout.ARRIVAL_SUFFIX))

    def _write(self, together: Sequence[_Waiting]) -> None:
        name = f"{self._number:016d}"
        self._number += 1
        temporary = f"{name}.part"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=self._directory_descriptor)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for content, _ in together:
                    _write_all(file.fileno(), framed(content))
                os.fsync(file.fileno())
            os.rename(temporary, f"{name}{layout.ARRIVAL_SUFFIX}", src_dir_fd=self._directory_descriptor, dst_dir_fd=self._directory_descriptor)
            os.fsync(self._directory_descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._directory_descriptor)
            raise

    def _start_sorter(self) -> None:
        self._started = time.monotonic()
        path = [entry or os.getcwd() for entry in sys.path]
        self._sorter = subprocess.Popen(
            [sys.executable, "-c", _SORTER, str(self._root), *path],
            stdin=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # what Ctrl-C means is for the server to say
        )
        assert self._sorter.stdin is not None
        os.set_blocking(self._sorter.stdin.fileno(), False)

    def _wake_sorter(self) -> None:
        """Say that something has come; where the sorter is gone, start another one, at most every few seconds."""
        assert self._sorter is not None
        assert self._sorter.stdin is not None
        try:
            with contextlib.suppress(BlockingIOError):  # it has been told often enough
                os.write(self._sorter.stdin.fileno(), b".")
        except BrokenPipeError:
            if time.monotonic() - self._started > _RESTART_SECONDS:
                self._sorter.stdin.close()
                self._sorter.wait()
                self._start_sorter()


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _number(name: str) -> int:
    stem = name.partition(".")[0]
    return int(stem) if stem.isdecimal() else 0


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # sorted just now
        return 0
