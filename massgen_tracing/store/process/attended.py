"""Statements of a command, answered in a copy of its process, which it attends: it ends the copy at a deadline, and says what it died of.

A worker is an interpreter of its own, and whoever asks one loads Arrow once more, to read what it answers. A command that asks, prints and ends needs
neither. It has loaded next to nothing yet, so that copying it takes a millisecond; the copy asks, prints and ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import ModuleType
from typing import Any, Final, NoReturn

from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine import limits
from massgen_tracing.store.process import lean, stopping, wire

_PROGRESS_SECONDS: Final = 0.2
_ALARM_SECONDS: Final = 2.0
"""After the deadline. The attending process ends the copy at the deadline, the kernel's alarm does where that one is stopped itself."""

_FOR_BOTH: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What reaches both, as what a terminal sends does, is for the attending process to answer; where that one ends, the copy tidies up."""

_STDERR: Final = "stderr"
_caller: int | None = None
"""Where a copy says what it does; None in any other process."""


def is_copy() -> bool:
    """Whether this process is such a copy."""
    return _caller is not None


def can_attend() -> bool:
    """Whether this process may be copied: it has one thread, and what it prints goes where a copy's goes."""
    streams = (sys.stdout, sys.stderr)
    if sys.platform != "linux" or None in streams or streams != (sys.__stdout__, sys.__stderr__):
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def run(work: Callable[[], int]) -> int:
    """Do *work* in a copy of this process; returns what it returns.

    Raises:
        QueryError: if a statement takes too long, or the copy dies.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryDirectory(prefix="massgen-tracing-", ignore_cleanup_errors=True) as scratch, _told_of_an_end():
        return _run(work, scratch)


@contextlib.contextmanager
def _told_of_an_end() -> Iterator[None]:
    """In the block how the copy ended can be asked, also where whoever started this process ignores SIGCHLD, and this process with it."""
    was = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if was is None else was)


def _run(work: Callable[[], int], scratch: str) -> int:
    events, caller = os.pipe()
    until, alive = os.pipe()
    copy = os.fork()
    if not copy:
        os.close(events)
        os.close(alive)
        _be_copy(work, caller, until, scratch)
    os.close(caller)
    os.close(until)
    try:
        ready = _attend(events)
    except BaseException:
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)
        raise
    else:
        code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        if code < 0:
            raise stopping.cause(code, _said(scratch), ready=ready)
        return code
    finally:
        os.close(events)
        os.close(alive)


def _attend(events: int) -> bool:
    """Hear what the copy says until it ends; gives whether it had loaded the engine.

    Raises:
        QueryError: if it does not say more in time.
    """
    last: dict[str, Any] = {"until": None, "ready": False}
    while True:
        left = None if last["until"] is None else max(0.0, last["until"] - time.monotonic())
        if not select.select([events], [], [], left)[0]:
            raise QueryError(last["problem"], hint=last["hint"])
        message = wire.receive(events)
        if message is None:
            return bool(last["ready"])
        last = message[0]


def _said(scratch: str) -> str:
    """What the engine last said in a copy."""
    with contextlib.suppress(OSError), open(os.path.join(scratch, _STDERR), "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - stopping.STDERR_BYTES))
        return file.read().decode("utf-8", "replace")
    return ""


def _be_copy(work: Callable[[], int], caller: int, until: int, scratch: str) -> NoReturn:
    """Do the work, and end when it is done or the attending process is gone."""
    global _caller
    _caller = caller
    for each in _FOR_BOTH:
        signal.signal(each, signal.SIG_IGN)
    lean.do_without()
    os.environ |= {"TMPDIR": scratch, "RUST_MIN_STACK": str(limits.STACK_BYTES)}
    tempfile.tempdir = scratch
    # What the engine says when it dies is not for the user, but for `stopping.cause`.
    sys.stderr = open(os.dup(2), "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1)  # noqa: SIM115 - as long as the process
    os.dup2(os.open(os.path.join(scratch, _STDERR), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    threading.stack_size(limits.STACK_BYTES)
    threading.Thread(target=_do, args=(work,), daemon=True).start()
    os.read(until, 1)  # it ends when nobody can write any more
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _do(work: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        code = work()
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the thread is the process: whatever ends it ends both, with the reason on stderr
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)  # the engine may be in the middle of something that nobody waits for


def ask(request: dict[str, Any], timeout: float, on_progress: Callable[[float], None]) -> wire.Message:
    """The answer to a request, in a copy.

    Raises:
        MassGenTracingError: if there is none.
    """
    _tell(time.monotonic() + stopping.START_SECONDS, stopping.NOT_STARTED, ready=_engine.cache_info().currsize > 0)
    with _told_of(on_progress):
        execute = _engine()
        deadline = time.monotonic() + timeout
        told = partial(_tell, deadline)
        told(*stopping.stopped(timeout, "asking"))
        limits.alarm(timeout + _ALARM_SECONDS)
        try:
            head, body, afterwards = execute.answer(**request, on_stage=lambda stage: told(*stopping.stopped(timeout, stage)))
        finally:
            limits.alarm(0)
            _tell(None)
        if afterwards is not None:
            _tell(time.monotonic() + stopping.AFTERWARDS_SECONDS, stopping.NOT_ENDED)
            afterwards()
            _tell(None)
    return head, body


@cache
def _engine() -> ModuleType:
    with lean.loading():
        from massgen_tracing.store.engine import execute
    return execute


def _tell(until: float | None, problem: str = "", hint: str | None = None, *, ready: bool = True) -> None:
    """Say until when more will be said, and what is to be said if that is not so."""
    assert _caller is not None
    with contextlib.suppress(BrokenPipeError):  # nobody attends any more, and this process ends
        wire.send(_caller, {"until": until, "problem": problem, "hint": hint, "ready": ready})


@contextlib.contextmanager
def _told_of(on_progress: Callable[[float], None]) -> Iterator[None]:
    """Have it called with the seconds since now for as long as the block runs."""
    begun = time.monotonic()
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(_PROGRESS_SECONDS):
            on_progress(time.monotonic() - begun)

    thread = threading.Thread(target=go_on, name="massgen-tracing-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
