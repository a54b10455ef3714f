"""Ends the processes of what is watched, which happens only where `--kill-on` asks for it: SIGTERM, and SIGKILL for what is left after a while."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psutil

GRACE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1


class Ending:
    """Ends processes of which others are told, each with those below it."""

    def __init__(self) -> None:
        self._pending: set[asyncio.Task[None]] = set()

    def end(self, pids: Sequence[int], told: Callable[[str], None]) -> None:
        """Begin to; *told* is called with what was done."""
        from massgen_tracing.runs.watch.processes import library

        library("ending processes")
        processes = _with_those_below(pids)
        if not processes:
            told("nothing: no process of it is known")
            return
        _send(processes, signal.SIGTERM, told)
        task = asyncio.get_running_loop().create_task(_see_to_it(processes, told))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def close(self) -> None:
        """Wait until what was begun is done: the processes are gone, or SIGKILL was sent to them. Whoever does not wait so long has it sent now."""
        await asyncio.gather(*self._pending)


async def _see_to_it(processes: Sequence[psutil.Process], told: Callable[[str], None]) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        while time.monotonic() < deadline:
            if not any(map(_lives, processes)):
                break
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        left = [process.pid for process in processes if _lives(process)]
        _send(_with_those_below(left), signal.SIGKILL, told)  # also to those that they have started meanwhile


def _with_those_below(pids: Iterable[int]) -> list[psutil.Process]:
    import psutil

    from massgen_tracing.runs.watch.processes import TABLE

    found = {}
    for pid in (pid for root in pids for pid in TABLE.below(root) if pid != os.getpid()):
        try:
            found[pid] = psutil.Process(pid)
        except psutil.Error:  # gone meanwhile
            continue
    return list(found.values())


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _send(processes: Sequence[psutil.Process], number: signal.Signals, told: Callable[[str], None]) -> None:
    import psutil

    for process in reversed(processes):  # children first, or they are somebody else's by then
        try:
            process.send_signal(number)  # never to another process that has got its number
        except psutil.Error:
            continue
        told(f"{number.name} to process {process.pid}")
