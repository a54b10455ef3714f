"""Queries in processes of their own, which are ended at the deadline: the caller's side.

A worker answers one query at a time and is kept for the next one. Several threads have a worker each. A worker that did not answer in time, or
whose caller was interrupted, is killed; one that died is named with what it probably died of.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from massgen_tracing import errors
from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine import limits
from massgen_tracing.store.process import wire
from massgen_tracing.store.terms import ZONES, ClickHouse, Value, is_zone

if TYPE_CHECKING:
    from massgen_tracing.store.engine.answer import Result

_KEPT: Final = 2
"""Workers that are kept when nobody asks."""

_AT_ONCE: Final = max(4, os.cpu_count() or 1)
"""Workers that answer at the same time; who asks then waits."""

_PROGRESS_SECONDS: Final = 0.2
_START_SECONDS: Final = 60.0
_AFTERWARDS_SECONDS: Final = 30.0
"""For what a worker does after an answer; it is short, and nobody may hang on it."""

_STAGES: Final = {
    "reading": (", while the recordings were still being read", "Let `massgen-tracing compact` seal ended runs: reading them then costs nothing"),
    "fetching": (
        ", while spans were still being fetched from ClickHouse",
        "Ask for less: a time window, one trace_id, or names of spans, and only the attributes that are needed",
    ),
    "asking": ("", "Ask for less: a time window, one trace_id, or a join with a condition"),
}
"""Where a statement may be stopped, and what to do about it."""

_BOOT: Final = "import sys; sys.path[:] = sys.argv[2:]; from massgen_tracing.store.process.worker import main; main(sys.argv[1])"
_VARIABLES: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "TZDIR", "SYSTEMROOT", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_VARIABLE_PREFIXES: Final = ("LC_", "LD_", "DYLD_", "PYTHON")
"""The worker's environment: what a process needs to start. Credentials are none of it."""

_STDERR_BYTES: Final = 4000


_DYING_SECONDS: Final = 5.0
_MOST_CHARACTERS: Final = 2**20


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
        self._stderr.seek(max(0, size - _STDERR_BYTES))
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


def query(
    sql: str,
    sources: Path | str | Sequence[Path | str],
    *,
    params: Mapping[str, Value] | None,
    min_timestamp: datetime | None,
    max_timestamp: datetime | None,
    environments: Sequence[str] | None,
    timezone: str,
    explain: bool,
    limit: int,
    max_bytes: int,
    timeout: float,
    on_progress: Callable[[float], None] | None,
    backend: ClickHouse | None,
) -> Result:
    """The answer to one SELECT, from a worker; see `massgen_tracing.store.query`."""
    begun = time.monotonic()
    if not is_zone(timezone):
        raise QueryError("There is no such time zone here", expected=ZONES, got=timezone)
    if len(sql) > _MOST_CHARACTERS:
        raise QueryError("The statement is too long", expected=f"at most {_MOST_CHARACTERS:,} characters", got=len(sql))
    places = [sources] if isinstance(sources, str | Path) else sources
    request = {
        "sql": sql,
        "sources": [str(place) for place in places],
        "params": dict(params or {}),
        "min_us": _microseconds(min_timestamp),
        "max_us": _microseconds(max_timestamp),
        "environments": None if environments is None else list(environments),
        "zone": timezone,
        "explained": explain,
        "limit": limit,
        "max_bytes": max_bytes,
        "clickhouse": None if backend is None else dataclasses.asdict(backend),
        "seconds": timeout,
        "directory": _directory(),
    }
    head, body = _ask(request, timeout, on_progress or (lambda _seconds: None))
    import pyarrow as pa

    from massgen_tracing.store.engine.answer import Plan, Result
    from massgen_tracing.store.reading.report import Report, Skip

    report = Report(**{**head["report"], "first_skips": [Skip(**skip) for skip in head["report"]["first_skips"]]})
    with pa.ipc.open_stream(body) as stream:
        table = stream.read_all()
    return Result(table, head["cut"], limit, max_bytes, report, time.monotonic() - begun, None if head["plan"] is None else Plan(**head["plan"]))


def _directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _microseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _ask(request: dict[str, Any], timeout: float, on_progress: Callable[[float], None]) -> wire.Message:
    """A worker's answer.

    Raises:
        MassGenTracingError: what the worker raised, or a QueryError if it is too late or dies.
    """
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
                raise _cause(worker, *pool.end(worker, patience=_DYING_SECONDS)) from None
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
            self._next(_START_SECONDS, "The process that answers queries did not start")
            self._worker.ready = True
        try:
            self._next(_START_SECONDS, "The process that answers queries does not take the statement")
        except _Died:
            raise _Gone from None
        stopped = f"The statement was stopped after {self._timeout:g} seconds"
        deadline = time.monotonic() + self._timeout
        head: dict[str, Any] = {"event": "asking"}
        while head["event"] in _STAGES:
            so_far, hint = _STAGES[head["event"]]
            head, body = self._next(deadline - time.monotonic(), stopped + so_far, hint)
        if head["event"] == "error":
            return (head, body), True
        last = head if head["done"] else self._next(_AFTERWARDS_SECONDS, "The process that answers queries did not come to an end")[0]
        return (head, body), not last["retire"]

    def _next(self, seconds: float, problem: str, hint: str | None = None) -> wire.Message:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._on_progress(time.monotonic() - self._begun)
            with contextlib.suppress(queue.Empty):
                return self._worker.receive(min(left, _PROGRESS_SECONDS))
        raise QueryError(problem, hint=hint)


def _cause(worker: Worker, code: int, said: str) -> QueryError:
    """What a worker died of."""
    if "memory allocation of" in said or "MemoryError" in said or code == -getattr(signal, "SIGKILL", 9):
        return limits.too_much_memory()
    if worker.ready and code < 0:
        name = signal.Signals(-code).name
        return QueryError(f"The engine crashed on the statement ({name}), as it does on one that is nested too deep", hint="Take it apart with WITH")
    last = said.strip().rsplit("\n", 1)[-1] or f"exit code {code}"
    what = "failed" if worker.ready else "did not start"
    return QueryError(f"The process that answers queries {what}: {last}", hint="Try `massgen-tracing doctor`")
