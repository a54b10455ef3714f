"""Telemetry never breaks the run: what goes wrong inside the package is swallowed, counted and said once.

The one place where the package swallows an error. Only `Exception` is swallowed; `KeyboardInterrupt`, `CancelledError` and every
other `BaseException` passes, and so does what a signal handler of the program raises while the package's code happens to run. The caller's own code
never runs inside a guard.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Final

from massgen_tracing import finalization

logger: Final = logging.getLogger("massgen_tracing")

_MAX_SAID: Final = 300
_MAX_DETAIL: Final = 4000
"""Characters."""

_MOST_OF_A_KIND: Final = 5
"""Problems of one kind that are told apart, by what they are about."""


@dataclass(slots=True)
class Problem:
    """One kind of thing that went wrong, and how often.

    Attributes:
        kind: short stable name, such as `recording.write`.
        about: what of its kind it is about, where there may be several; None for all that came after the first few.
        message: the first occurrence, with what to do.
        detail: the first occurrence's traceback, empty when there was no exception.
        count: how often it happened.
        lost: how many records were lost to it.
        first, last: Unix times in seconds.
    """

    kind: str
    message: str
    detail: str = ""
    about: str | None = ""
    count: int = 0
    lost: int = 0
    first: float = field(default_factory=time.time)
    last: float = 0.0


_problems: dict[tuple[str, str | None], Problem] = {}
_lock = finalization.Lock()
_observer: Callable[[str, BaseException | None], None] | None = None


def report(
    kind: str, message: str, *, about: str | None = "", error: BaseException | None = None, lost: int = 0, level: int = logging.WARNING
) -> None:
    """Count a problem; log it the first time its kind is seen, unless the interpreter ends: a handler may wait for a lock that nobody gives back.

    Args:
        kind: short stable name; one line is logged per kind and process.
        message: what happened and what to do, as one line.
        about: what of its kind it is about, where another one is another problem, as each wrong name is: the first few have a line each, and one
            more line says that the rest is counted.
        error: the exception that was swallowed, if any.
        lost: how many records were lost.
        level: logging level of the one line.
    """
    with _lock.held():
        if about and (kind, about) not in _problems and sum(known == kind for known, _ in _problems) >= _MOST_OF_A_KIND:
            about, message = None, f"{message} More of this kind are counted, and not said."
        problem = _problems.get((kind, about))
        first = problem is None
        if problem is None:
            problem = _problems[kind, about] = Problem(kind, message, _detail(error), about)
        problem.count += 1
        problem.lost += lost
        problem.last = time.time()
    if first and not finalization.begun():  # a thread that was stopped may hold the lock of a logging handler, or of stderr
        try:
            logger.log(level, "%s", message)
        except Exception as failure:  # noqa: BLE001 - a handler is the caller's own code, and may raise
            passing(failure)
    if _observer is not None:
        _observer(kind, error)


def swallow(kind: str, error: Exception) -> None:
    """Swallow an error of the package itself: the run goes on, and `massgen-tracing doctor` shows it.

    Raises:
        Exception: *error*, where a signal handler of the program raised it.
    """
    passing(error)
    report(
        kind,
        f"Tracing failed inside ({kind}: {_said(error)}); the run goes on without it. `massgen-tracing doctor` shows how often; please report it.",
        error=error,
    )


def passing(error: BaseException) -> None:
    """Let an error through that a signal handler of the program raised, such as the end of a time limit: it is meant for the program.

    Python runs a handler wherever the main thread happens to be, which may be inside the package: then its exception arrives in the package's own
    `except` clauses. To be called first in each clause that would keep it.

    Raises:
        BaseException: *error*, where a signal handler of the program raised it.
    """
    step = error.__traceback__
    if step is None or step.tb_next is None:
        return
    handlers = set(_handlers())
    while step.tb_next is not None:
        if _handles_signal(step.tb_next.tb_frame, step.tb_frame, handlers):
            raise error
        step = step.tb_next


def _handlers() -> Iterator[CodeType]:
    """The code of the program's signal handlers, as far as they are functions, methods or objects with a `__call__` of Python's."""
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        while isinstance(handler, functools.partial):
            handler = handler.func
        for function in (handler, vars(type(handler)).get("__call__")):
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType):
                yield code


def _handles_signal(frame: FrameType, interrupted: FrameType, handlers: set[CodeType]) -> bool:
    """Whether *frame* is a signal handler's: it is one of those that are set, or what it was called with is the frame that it interrupts."""
    code = frame.f_code
    if code in handlers:
        return True
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        if value is interrupted or (type(value) is tuple and any(item is interrupted for item in value)):
            return True
    return False


def sort(kind: str, error: Exception) -> Exception | None:
    """Swallow an error of the package itself; one that is meant for the program is returned, to be raised when the work is done."""
    try:
        swallow(kind, error)
    except Exception as meant_for_program:  # noqa: BLE001 - returned
        return meant_for_program
    return None


@contextlib.contextmanager
def guarded(kind: str) -> Iterator[None]:
    """Swallow what goes wrong in the block, which is the package's own."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
        swallow(kind, error)


@contextlib.contextmanager
def overheard(*loggers: str) -> Iterator[list[str]]:
    """Keep back what these loggers say in the block, so that it can be said in one line; yields their messages."""
    messages: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return False

    found = [logging.getLogger(name) for name in loggers]
    for each in found:
        each.addFilter(keep)
    try:
        yield messages
    finally:
        for each in found:
            each.removeFilter(keep)


@contextlib.contextmanager
def ignored(kind: type[Exception] = Exception) -> Iterator[None]:
    """Pass over what goes wrong in the block, in this way: what it is for is worth having, its absence is no harm."""
    try:
        yield
    except kind as error:
        passing(error)


def _said(error: Exception) -> str:
    """The error in one line, whatever its own text is."""
    try:
        text = " ".join(str(error).split())
    except Exception as failure:  # noqa: BLE001 - a stranger's __str__ may raise anything
        passing(failure)
        text = "unreadable"
    return f"{type(error).__name__}: {text[:_MAX_SAID]}"


def _detail(error: BaseException | None) -> str:
    if error is None:
        return ""
    if finalization.begun():  # a traceback's lines are read from files, by modules that may have to be imported
        return type(error).__name__
    try:
        return "".join(traceback.format_exception(error))[-_MAX_DETAIL:]
    except Exception as failure:  # noqa: BLE001 - formatting runs the exception's own code
        passing(failure)
        return type(error).__name__


def problems() -> list[Problem]:
    """What went wrong so far in this process, oldest kind first."""
    with _lock.held():
        return list(_problems.values())


def reset() -> None:
    """Forget all problems, so that each kind is said again."""
    with _lock.held():
        _problems.clear()


def observe(observer: Callable[[str, BaseException | None], None] | None) -> None:
    """Let tests see what production swallows; None ends it."""
    global _observer
    _observer = observer
