"""Queries in processes of their own, which are ended at the deadline: the caller's side.

A worker answers one query at a time and is kept for the next one. Several threads have a worker each. A worker that did not answer in time, or
whose caller was interrupted, is killed; one that died is named with what it probably died of.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

from massgen_tracing import errors
from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine import limits
from massgen_tracing.store.process import stopping, wire

_KEPT: Final = 2
"""Workers that are kept when nobody asks."""

_AT_ONCE: Final = max(4, os.cpu_count() or 1)
"""Workers that answer at the same time; who asks then waits."""

_PROGRESS_SECONDS: Final = 0.2
_BOOT: Final = "import sys; sys.path[:] = sys.argv[2:]; from massgen_tracing.store.process.worker import main; main(sys.argv[1])"
_VARIABLES: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "TZDIR", "SYSTEMROOT", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_VARIABLE_PREFIXES: Final = ("LC_", "LD_", "DYLD_", "PYTHON")
"""The worker's environment: what a process needs to start. Credentials are none of it."""

_DYING_SECONDS: Final = 5.0


class _Gone(Exception):
    """The worker was gone before it began with the request; another one can have it."""


class _Died(Exception):
    """The worker died."""


class Worker:
    """One process, and the thread that hears it."""

    def __init__(self) -> None:
        if not sys.executable:
            raise QueryError("A query needs a process of its own, and this program does not say where its Python is", expected="sys.executable")
        # For the files that the engine needs for a moment: a worker that is killed cannot remove them.
        self._scratch = tempfile.mkdtemp(prefix="massgen-tracing-")
        self._stderr: IO[bytes] = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 - closed with the worker
        environment = {name: value for name, value in os.environ.items() if name in _VARIABLES or name.startswith(_VARIABLE_PREFIXES)}
        path = [entry or os.getcwd() for entry in sys.path]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, self._scratch, *path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                env={**environment, "TMPDIR": self._scratch, "RUST_MIN_STACK": str(limits.STACK_BYTES)},
                # A group of its own: what Ctrl-C means is for the caller to say.
                process_group=0 if os.name == "posix" else None,
            )
        except OSError as error:
            self._tidy()
            raise QueryError(f"The process that answers queries cannot be started ({error.strerror or error})") from error
        self._messages: queue.SimpleQueue[wire.Message | None] = queue.SimpleQueue()
        self.ready = False
        self._listener = threading.Thread(target=self._listen, name="massgen-tracing-query", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        message: wire.Message | None = ({}, b"")
        while message is not None:
            message = wire.receive(descriptor)
            self._messages.put(message)

    def send(self, request: dict[str, Any]) -> None:
        """Give it a request; one that is gone is found out when its answer is waited for."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            wire.send(self._process.stdin.fileno(), request)

    def receive(self, seconds: float) -> wire.Message:
        """What it says next.

        Raises:
            queue.Empty: if it says nothing for so long.
            _Died: if it is gone.
        """
        message = self._messages.get(timeout=seconds)
        if message is None:
            self._messages.put(None)
            raise _Died
        return message

    def end(self, *, patience: float = 0.0) -> tuple[int, str]:
        """End it; returns its exit code and what it last said on stderr.

        Args:
            patience: seconds for one that is dying by itself, whose exit code says why.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        code = self._process.wait()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - stopping.STDERR_BYTES))
        said = self._stderr.read().decode("utf-8", "replace")
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._tidy()
        return code, said

    def forget(self) -> None:
        """Let go of it in a forked child: it is the parent's, and has to see when the parent is gone."""
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            assert pipe is not None
            pipe.close()
        self._process.returncode = 0

    def _tidy(self) -> None:
        self._stderr.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


class _Pool:
    """The workers of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    @contextlib.contextmanager
    def place(self, seconds: float) -> Iterator[None]:
        """One of the places for a query.

        Raises:
            QueryError: if there is none for so long.
        """
        if not self._places.acquire(timeout=seconds):
            raise QueryError(f"{_AT_ONCE} other queries are being answered", hint="Ask again later, or ask one after the other")
        try:
            yield
        finally:
            self._places.release()

    def take(self) -> Worker:
        """A worker that nobody else has."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        worker = Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """Keep a worker for the next query, or end it where there are enough."""
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(worker)
                return
        self.end(worker)

    def end(self, worker: Worker, *, patience: float = 0.0) -> tuple[int, str]:
        """End a worker that was taken."""
        with self._lock:
            self._all.discard(worker)
        return worker.end(patience=patience)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            self.end(worker)

    def forget(self) -> None:
        """Let go of all of them, in a forked child."""
        for worker in self._all:
            worker.forget()


_pool = _Pool()


def _after_fork() -> None:
    global _pool
    _pool.forget()
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    _pool.close()


def prepare() -> None:
    """Start a worker; see `massgen_tracing.store.prepare`."""
    _pool.give_back(_pool.take())


def ask(request: dict[str, Any], timeout: float, on_progress: Callable[[float], None]) -> wire.Message:
    """A worker's answer.

    Raises:
        MassGenTracingError: what the worker raised, or a QueryError if it is too late or dies.
    """
    request = {**request, "directory": _directory()}
    pool = _pool
    with pool.place(timeout):
        while True:
            worker = pool.take()
            try:
                message, keep = _Conversation(worker, timeout, on_progress).hold(request)
            except _Gone:
                pool.end(worker)
                continue
            except _Died:
                raise stopping.cause(*pool.end(worker, patience=_DYING_SECONDS), ready=worker.ready) from None
            except BaseException:
                pool.end(worker)
                raise
            if keep:
                pool.give_back(worker)
            else:
                pool.end(worker)
            head, _ = message
            if head["event"] == "error":
                raise getattr(errors, head["kind"])(head["text"])
            return message


def _directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


class _Conversation:
    """One request and what comes back."""

    def __init__(self, worker: Worker, timeout: float, on_progress: Callable[[float], None]) -> None:
        self._worker = worker
        self._timeout = timeout
        self._on_progress = on_progress
        self._begun = time.monotonic()

    def hold(self, request: dict[str, Any]) -> tuple[wire.Message, bool]:
        """The answer or the error, and whether the worker can be asked again.

        Raises:
            QueryError: if it takes too long.
        """
        self._worker.send(request)
        if not self._worker.ready:
            importlib.import_module("massgen_tracing.store.engine.answer")  # while the worker loads the engine
            self._next(stopping.START_SECONDS, stopping.NOT_STARTED)
            self._worker.ready = True
        try:
            self._next(stopping.START_SECONDS, "The process that answers queries does not take the statement")
        except _Died:
            raise _Gone from None
        deadline = time.monotonic() + self._timeout
        head: dict[str, Any] = {"event": "asking"}
        while head["event"] in stopping.STAGES:
            head, body = self._next(deadline - time.monotonic(), *stopping.stopped(self._timeout, head["event"]))
        if head["event"] == "error":
            return (head, body), True
        last = head if head["done"] else self._next(stopping.AFTERWARDS_SECONDS, stopping.NOT_ENDED)[0]
        return (head, body), not last["retire"]

    def _next(self, seconds: float, problem: str, hint: str | None = None) -> wire.Message:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._on_progress(time.monotonic() - self._begun)
            with contextlib.suppress(queue.Empty):
                return self._worker.receive(min(left, _PROGRESS_SECONDS))
        raise QueryError(problem, hint=hint)
