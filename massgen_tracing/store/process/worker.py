"""The process that answers queries: reads requests from its input, answers on its output, and holds itself to its limits.

It ends by itself when its caller is gone, when nobody asks for a while, and, by the kernel's alarm, soon after a deadline that nobody enforces.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shutil
import threading
import traceback
from types import ModuleType
from typing import Any, Final, NoReturn

from massgen_tracing.errors import MassGenTracingError
from massgen_tracing.store.engine import limits
from massgen_tracing.store.process import lean, wire

_IDLE_SECONDS: Final = 60.0
_ALARM_SECONDS: Final = 2.0
"""After the deadline. The caller ends the process at the deadline, the alarm does where the caller is gone."""

_RETIRING_BYTES: Final = 2**29
"""A process that holds as much after an answer is not asked again."""


class _Work:
    """How much there was to do, which only who asks counts, and how much is done, which only who answers counts: so neither overtakes the other."""

    def __init__(self) -> None:
        self.asked = 0
        self.done = -1  # until the engine is loaded

    @property
    def is_under_way(self) -> bool:
        return self.done < self.asked


def main(scratch: str) -> NoReturn:
    """Answer until the caller is gone; then *scratch*, the directory for temporary files, goes too."""
    lean.do_without()
    # The protocol has a descriptor of its own; whatever else is printed goes where errors go.
    output = os.dup(1)
    os.dup2(2, 1)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    work = _Work()
    threading.stack_size(limits.STACK_BYTES)
    threading.Thread(target=_answer_all, args=(requests, output, work), daemon=True).start()
    while _is_asked() or work.is_under_way:
        message = wire.receive(0)
        if message is None:
            break
        work.asked += 1
        requests.put(message[0])
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)  # the engine may be in the middle of something that nobody waits for


def _is_asked() -> bool:
    """Wait for a request, as long as a worker may be idle."""
    return os.name != "posix" or bool(select.select([0], [], [], _IDLE_SECONDS)[0])


def _answer_all(requests: queue.SimpleQueue[dict[str, Any]], output: int, work: _Work) -> None:
    try:
        with lean.loading():
            from massgen_tracing.store.engine import execute

        wire.send(output, {"event": "ready"})
        while True:
            work.done += 1
            _answer(execute, requests.get(), output)
    except BaseException:  # noqa: BLE001 - the thread is the process: whatever ends it ends both, with the reason on stderr
        traceback.print_exc()
        os._exit(1)


def _is_to_retire() -> bool:
    return limits.resident_bytes() > _RETIRING_BYTES


def _answer(execute: ModuleType, request: dict[str, Any], output: int) -> None:
    wire.send(output, {"event": "begun"})
    limits.alarm(request["seconds"] + _ALARM_SECONDS)
    directory = request.pop("directory")
    with contextlib.suppress(OSError):
        os.chdir(directory or "/")
    try:
        head, body, afterwards = execute.answer(**request, on_stage=lambda stage: wire.send(output, {"event": stage}))
        wire.send(output, {"event": "answer", **head, "retire": _is_to_retire(), "done": afterwards is None}, body)
        limits.alarm(0)
        if afterwards is not None:
            afterwards()
            wire.send(output, {"event": "done", "retire": _is_to_retire()})
    except MassGenTracingError as error:
        wire.send(output, {"event": "error", "kind": type(error).__name__, "text": str(error)})
    finally:
        limits.alarm(0)
