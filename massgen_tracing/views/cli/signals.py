"""Signals that end a command as Ctrl-C does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

_ENDING: Final = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """In the block these signals are `KeyboardInterrupt`s; but those stay ignored that whoever started the process has it ignore."""
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cancel(task: asyncio.Task[Any]) -> None:
    """Have them cancel a task of the running loop, as `asyncio.run` does on Ctrl-C; within `as_interrupts`."""
    for number in _ENDING:
        if signal.getsignal(number) is _interrupt:
            with contextlib.suppress(NotImplementedError):  # not on Windows
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def handle(handler: Callable[[int], None]) -> None:
    """Have them, and Ctrl-C, call *handler* with their number in the running loop; within `as_interrupts`."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, *_ENDING):
        if signal.getsignal(number) is _interrupt or (number == signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN):
            with contextlib.suppress(NotImplementedError):  # not on Windows
                asyncio.get_running_loop().add_signal_handler(number, handler, number)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
