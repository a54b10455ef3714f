"""While a run goes on: a thread that reads the recordings behind their writer and sends what it finds, as `massgen-tracing push` does later.

Nothing waits for a backend. The recording has every span already, so this keeps none: what a span's end costs is a flag, and memory is that of one
batch, however slow the backend is. The thread ends before a fork and begins again with the next session or round.
"""

from __future__ import annotations

import logging
import math
import os
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from massgen_tracing import finalization, guard, layout, ledger, semconv
from massgen_tracing.delivery import leftovers
from massgen_tracing.delivery.answers import Blocked, Later
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.deliver import Delivery
from massgen_tracing.delivery.owing import NO_ANSWER, Owing
from massgen_tracing.delivery.push import COUNTING_SECONDS, owed_at_least, owing
from massgen_tracing.delivery.senders import Unopened
from massgen_tracing.delivery.tally import pause
from massgen_tracing.delivery.thread import Worker
from massgen_tracing.errors import MassGenTracingError
from massgen_tracing.ledger import Busy
from massgen_tracing.worker import end_at_forks

_FORK_SECONDS: Final = 0.1
"""How long a fork waits for the thread to be gone."""

_ATTEMPTS_AT_END: Final = 4
_LOOK_BACK_SECONDS: Final = 1.0
"""How long what earlier runs owe may be sent when the program ends."""

_MOST_THROUGH: Final = 4096
_GLANCE_SECONDS: Final = 0.05


class LiveDelivery(SpanProcessor):
    """Delivers the recordings of this process to one backend.

    Args:
        backend: where to.
        root: where recordings live; of earlier runs, what is still owed is sent too.
        path_of: the recording of a run; of None: of spans outside of runs.
        run: the run that this process belongs to.
        only: the `service.instance.id` of the spans that are meant; empty for all.
        pending: whether starts are sent too.
        delay: seconds from a span's end until it is sent, with what has come by then.

    Raises:
        MassGenTracingError: if the backend cannot be set up.
    """

    def __init__(
        self,
        backend: Backend,
        root: Path,
        path_of: Callable[[layout.RunDirectory | None], Path],
        *,
        run: layout.RunDirectory | None = None,
        only: str = "",
        pending: bool = False,
        delay: float = 1.0,
    ) -> None:
        self.backend = backend
        self._root = root
        self._owing = Owing(backend, path_of, run, backend.entry(only=only, pending=pending))
        self._delay = delay
        self._connect()
        self._worker: dict[None, Worker] = {}
        """One at most: `setdefault` is what decides where several begin at once."""
        self._before: Worker | None = None
        """The one that a fork has ended, or is to end."""
        self._paused = False
        self._not_before = 0.0
        self._blocked = False
        self._why = self._hint = ""
        """Why it does not take what is owed, and what to do; as parts of a line."""
        self._refused = 0
        self._away = False
        """Whether it did not even answer the last time."""
        self._through: dict[Path, tuple[int, int]] = {}
        """The recordings that the backend has been through, as they were then."""
        self._looked_back = False
        self._until: float | None = None
        """The monotonic time by which it has to be done; None as long as the run goes on."""
        _all.add(self)

    # --- spans -------------------------------------------------------------------------------------------------------------------------

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note which recording a span goes to, and that this backend is owed it."""
        if self._until is not None:
            return
        if self._owing.start(span, parent_context) or span.name == semconv.SESSION or span.name.startswith(semconv.AGENT_PREFIX):
            self._begin()

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - the processor protocol
        """There is something to send."""
        worker = self._worker.get(None)
        if worker is not None:
            worker.wake()

    def _connect(self) -> None:
        self._sender = Unopened(self.backend)
        self._delivery = Delivery(self.backend, self._sender, self._waits, enough=self._enough)

    # --- the thread's life -------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._worker or finalization.begun() or not (self._before is None or self._before.wait(0)):
            return
        worker = Worker(self._round, self._delay)
        if self._worker.setdefault(None, worker) is worker:
            self._paused = False
            if not worker.start():
                self._worker.clear()

    def shutdown(self) -> None:
        """Send what is left, for as long as the backend takes, or until it is told to `give_up`."""
        self.shutdown_within(math.inf)

    def shutdown_within(self, seconds: float) -> None:
        """Send what is left, for at most so long; on this thread, where there is no other."""
        if finalization.begun():
            return
        self._until = 0.0 if self._away else time.monotonic() + seconds  # one that is away has had its chance
        worker = self._worker.pop(None, self._before)
        if worker is not None:
            worker.end()
            while not worker.wait(_GLANCE_SECONDS):
                if self._enough() or finalization.begun():
                    return
        if worker is None or self._paused or worker.broken:
            self._paused = False
            with guard.guarded("otlp.deliver"):
                self._round()
        self._sender.close()

    def give_up(self) -> None:
        """Stop sending what is left; it is owed."""
        self._until = 0.0

    def pause(self) -> Worker | None:
        """Have the thread end as soon as it can, and return it; it begins again with the next session or round."""
        worker = self._worker.pop(None, None)
        if worker is not None:
            self._paused, self._before = True, worker
            worker.end()
        return worker

    def after_fork(self) -> None:
        """In a forked child: the thread, the connection and what was to be sent are the parent's."""
        self._worker, self._before, self._paused = {}, None, False
        self._owing.forget()
        self._through = {}
        self._looked_back = True
        self._not_before, self._until, self._away = 0.0, None, False
        with guard.guarded("otlp.fork"):
            self._connect()

    # --- sending -----------------------------------------------------------------------------------------------------------------------

    def _round(self) -> float | None:
        """Send what there is, as far as the backend takes it; returns in how many seconds to try again what it does not take now."""
        ending = self._until is not None
        if self._blocked or self._enough():
            return None
        left = self._not_before - time.monotonic()
        if left > 0 and not ending:
            return left
        if self._away:  # then nothing is encoded for it
            stopped = self._delivery.knock()
            if stopped is not None:
                self._stopped(stopped)
                return None if self._blocked else max(0.0, self._not_before - time.monotonic())
            self._away = False
        self._owing.settle()
        own = all(map(self._send, [*self._owing.paths, *(self._left_by_others() if ending else ())]))
        if own and self._delivery.tally.sent and not self._looked_back:
            self._looked_back = True
            if self._until is not None:
                self._until = min(self._until, time.monotonic() + _LOOK_BACK_SECONDS)
            own = all(map(self._send, self._others_in(self._root))) and all(map(self._send_left, leftovers.directories()))
        return None if own or self._blocked else max(0.0, self._not_before - time.monotonic())

    def _send_left(self, directory: Path) -> bool:
        """Send what a temporary recording of a killed process owes; whether others may be sent."""
        goes_on = all(map(self._send, self._others_in(directory)))
        leftovers.discard(directory)
        return goes_on

    def _send(self, path: Path) -> bool:
        """Send what one recording owes; whether others may be sent."""
        state = _state(path)
        if state is None or state == self._through.get(path):
            return True
        try:
            stopped = self._delivery.deliver(path, only=self._owing.entry.only, pending=self._owing.entry.pending)
        except (Busy, FileNotFoundError):
            return True
        except (OSError, MassGenTracingError) as error:
            guard.report("otlp.read", f"The recording {path} cannot be delivered ({error}). The run goes on.", error=error)
            return True
        refused = self._delivery.tally.refused - self._refused
        if refused:
            self._refused += refused
            problem = f"{self.backend.place} refuses spans for good ({self._delivery.tally.why})."
            guard.report("otlp.refused", f"{problem} They are in the recording; `massgen-tracing doctor` says how many.", lost=refused)
        if stopped is None:
            if len(self._through) >= _MOST_THROUGH:
                self._through.clear()
            if not ledger.aside(path, self.backend.name):
                self._through[path] = state
        elif not self._enough():
            self._stopped(stopped)
        return stopped is None

    def _stopped(self, stopped: Later | Blocked) -> None:
        self._blocked = isinstance(stopped, Blocked)
        self._why = f" ({stopped.why})"
        self._hint = f" {stopped.hint}." if isinstance(stopped, Blocked) else ""
        if isinstance(stopped, Later):
            self._away = not stopped.reached
            self._not_before = time.monotonic() + pause(stopped, self._delivery.failures)
        if self._until is None:  # the line that is shown comes at the end, with what is owed
            problem = f"The collector at {self.backend.place} does not take spans{self._why}."
            then = "The run goes on and is recorded, and what it does not take can be sent later."
            guard.report("otlp.export", f"{problem} {then}{self._hint}", level=logging.INFO)

    def _waits(self, answer: Later, failures: int) -> bool:
        """Wait for another attempt: at the end only, where it is near enough; during the run there is the next round."""
        self._why = f" ({answer.why})"
        if self._until is None or not answer.reached or failures >= _ATTEMPTS_AT_END:
            return False
        wake = time.monotonic() + pause(answer, failures)
        while time.monotonic() < wake:
            if wake > self._until or finalization.begun():
                return False
            time.sleep(_GLANCE_SECONDS)
        return True

    def _enough(self) -> bool:
        return self._paused or (self._until is not None and time.monotonic() >= self._until)

    def _left_by_others(self) -> Iterator[Path]:
        """Recordings beside ours, of processes that were forked from this one, or started by it, and have not sent all."""
        for directory in {path.parent for path in self._owing.paths}:
            yield from self._others_in(directory)

    def _others_in(self, place: Path) -> Iterator[Path]:
        """Recordings of others in a root or a directory that owe something."""
        with guard.ignored(MassGenTracingError):
            yield from (path for path in owing(place, self.backend) if path not in self._owing.paths)

    def say_owed(self, command: str) -> int:
        """Say, in one line, what the backend has not taken of this process's runs; returns how many spans, nearly.

        Args:
            command: what sends them; empty where there is no recording that would outlive the process.
        """
        self._owing.settle()
        paths = [*reversed(self._owing.paths), *self._left_by_others()]  # the latest first: it is most likely to be owed something
        paths = [path for path in paths if path not in self._through or _state(path) != self._through[path]]
        count, whole, _ = owed_at_least(paths, self.backend.name, COUNTING_SECONDS)
        if count:
            number = f"{'' if whole else 'at least '}{count:,} span{'' if count == 1 else 's'}"
            problem = f"{self.backend.place} has not taken {number} of this process{self._why or NO_ANSWER}."
            then = f"The recording has what is missing, and `{command}` sends it." if command else "They are lost, for nothing is recorded."
            guard.report("otlp.owed", f"{problem} {then}{self._hint}", lost=0 if command else count)
        return count

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the processor protocol
        """Nothing is held back that is not recorded."""
        return True


def _state(path: Path) -> tuple[int, int] | None:
    """Which file it is, and how long; None where there is none."""
    try:
        status = os.stat(path)
    except OSError as error:
        guard.passing(error)
        return None
    return status.st_ino, status.st_size


_all: Final[weakref.WeakSet[LiveDelivery]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_all):
        each.after_fork()


# They begin again with the next session or round.
end_at_forks(lambda: [each.pause() for each in list(_all)], _FORK_SECONDS, in_child=_after_fork_in_child)
