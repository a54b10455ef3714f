"""What recordings owe to backends, and sending it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from massgen_tracing import guard, layout, ledger
from massgen_tracing.delivery import backend as backends
from massgen_tracing.delivery.answers import Blocked, Later
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.deliver import Delivery
from massgen_tracing.delivery.senders import open_sender
from massgen_tracing.delivery.spool import Spool
from massgen_tracing.delivery.tally import Tally, pause
from massgen_tracing.errors import MassGenTracingError
from massgen_tracing.ledger import THROUGH, Busy, Entry, Ledger
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots import catalogue

COUNTING_SECONDS: Final = 0.1
"""How long what is owed is counted at exit."""

_ATTEMPTS: Final = 6
_ATTEMPTS_UNREACHED: Final = 3
"""Attempts in a row that a backend has: one that answers, and one that does not."""

_GIVEN_UP: Final = "given up by `push --forget`"
_LONGEST_WAIT: Final = 120.0
"""Seconds; a backend that asks for more is left for another time."""


@dataclass(slots=True)
class Pushed:
    """What was sent to one backend.

    Attributes:
        place: where it is.
        tally: what became of the spans.
        recordings: how many were gone through.
        busy: how many another process is sending just now.
        stopped: why the backend does not take the rest.
        unread: recordings that could not be read, or whose ledger could not be written, with the reason.
        aside: spans that it has not taken, though it takes others; they are still owed.
        left: spans that it is still owed besides.
    """

    place: str
    tally: Tally = field(default_factory=Tally)
    recordings: int = 0
    busy: int = 0
    stopped: Later | Blocked | None = None
    unread: dict[str, str] = field(default_factory=dict)
    aside: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class Debt:
    """What a root owes to one backend.

    Attributes:
        entry: of one of its ledgers.
        paths: the recordings that have spans for it.
        spans: how many.
        aside: how many of these it did not take where it took others.
        refused, late: how many it has not taken, in all of its ledgers.
        why: what it said last.
    """

    entry: Entry
    paths: tuple[Path, ...]
    spans: int
    aside: int
    refused: int
    late: int
    why: str


def recordings(source: Path | str, *, since: float | None = None) -> tuple[Path, ...]:
    """Our own recordings of spans in *source*, written to since then (Unix time), the oldest first.

    Raises:
        RecordingError: if *source* does not exist.
    """
    found = []
    for path in catalogue.files(source):
        of_spans = layout.is_sealed(path) or (path.name.endswith(layout.RECORDING_SUFFIX) and path.parent.name != layout.SIGNALS_DIR)
        if of_spans:
            written = _written(path)
            if written is not None and (since is None or written >= since):
                found.append((written, path))
    return tuple(path for _, path in sorted(found))


def _written(path: Path) -> float | None:
    """When a recording was written last; None where it is gone, or none."""
    try:
        if layout.is_sealed(path):
            from massgen_tracing.store.sealing import sealed  # loads Arrow

            index = sealed.index(path)
            return None if index is None else index.last_us / 1e6
        return path.stat().st_mtime
    except (OSError, MassGenTracingError):
        return None


def push(paths: Iterable[Path], backend: Backend, *, pending: bool = False, progress: Callable[[int], None] = lambda _: None) -> Pushed:
    """Send to a backend what recordings owe to it, one after the other; what it does not take now stays owed.

    Args:
        paths: the recordings.
        backend: where to.
        pending: whether the starts of unfinished spans are sent too, where no ledger says so.
        progress: is told how many spans were sent, after each request.

    Raises:
        MassGenTracingError: if it cannot be set up.
    """
    sender = open_sender(backend)
    delivery = Delivery(backend, sender, _wait, progress, at_once=True)
    pushed = Pushed(backend.place, delivery.tally)
    try:
        # Those with spans set aside come last: by then it is known whether it takes others.
        for path in sorted(paths, key=lambda path: bool(ledger.aside(path, backend.name))):
            try:
                if pushed.stopped is not None:
                    delivery.owe(path, pending=pending)
                    pushed.left += owed(path, backend.name)
                    continue
                if backend.kind == backends.LOGFIRE and not layout.is_sealed(path) and liveness.writer_alive(path):
                    pushed.busy += 1  # its SDK sends them
                    continue
                pushed.stopped = delivery.deliver(path, pending=pending)
                pushed.recordings += 1
                if pushed.stopped is None:
                    pushed.aside += len(ledger.aside(path, backend.name))
            except Busy:
                pushed.busy += 1
            except (OSError, MassGenTracingError) as error:
                pushed.unread[str(path)] = getattr(error, "strerror", None) or str(error)
            if pushed.stopped is not None:
                pushed.left += owed(path, backend.name)
    finally:
        sender.close()
    return pushed


def owing(root: Path, backend: Backend) -> Iterator[Path]:
    """The live recordings under a root that have something for a backend, by its ledgers.

    Raises:
        RecordingError: if the root does not exist.
    """
    return (path for path in catalogue.files(root) if path.name.endswith(layout.RECORDING_SUFFIX) and owes(path, backend))


def owes(path: Path, backend: Backend) -> bool:
    """Whether a recording has something for a backend, by its ledger."""
    return any((entry.kind, entry.url) == (backend.kind, backend.place) for entry in ledger.unfinished(path))


def owed(path: Path, name: str) -> int:
    """How many spans of a recording the backend of that name has not been through; 0 where it cannot be read."""
    return _owed(path, ledger.read(ledger.path_for(path, name)), name)


def owed_at_least(paths: Iterable[Path], name: str, seconds: float) -> tuple[int, bool, list[Path]]:
    """How many spans of these recordings the backend of that name has not been through, counted for about so long; and whether that is all.

    The third are those of the recordings of which it has everything.
    """
    until, sum_of_all, whole = time.monotonic() + seconds, 0, True
    through: list[Path] = []
    for path in paths:
        if time.monotonic() >= until:
            return sum_of_all, False, through
        count, counted = _count(path, ledger.read(ledger.path_for(path, name)), name, until)
        sum_of_all, whole = sum_of_all + count, whole and counted
        if counted and not count:
            through.append(path)
    return sum_of_all, whole, through


def _owed(path: Path, entry: Entry | None, name: str) -> int:
    return _count(path, entry, name, math.inf)[0]


def _count(path: Path, entry: Entry | None, name: str, until: float) -> tuple[int, bool]:
    try:
        with contextlib.closing(Spool(path, only=entry.only if entry else "", without=ledger.taken(path, name))) as spool:
            count, whole = spool.owed(spool.position(entry) if entry else 0, until=until)
            return count + len(ledger.aside(path, name)), whole
    except (OSError, MassGenTracingError) as error:
        guard.passing(error)
        return 0, True


def debts(*sources: Path | str) -> list[Debt]:
    """What the recordings in these places owe, by backend.

    Raises:
        RecordingError: if one does not exist.
    """
    found: dict[tuple[str, str], list[tuple[Path, Entry]]] = {}
    for path in [path for source in sources for path in recordings(source)]:
        for entry in ledger.entries(path):
            found.setdefault((entry.kind, entry.url), []).append((path, entry))
    return [_debt(each) for each in found.values()]


def _debt(found: list[tuple[Path, Entry]]) -> Debt:
    name = backends.name(found[0][1].kind, found[0][1].url)
    counted = [(path, _owed(path, entry, name)) for path, entry in found if entry in ledger.unfinished(path)]
    owing = [(path, count) for path, count in counted if count]
    return Debt(
        found[0][1],
        tuple(path for path, _ in owing),
        sum(count for _, count in owing),
        sum(len(ledger.aside(path, name)) for path, _ in owing),
        sum(entry.refused for _, entry in found),
        sum(entry.late for _, entry in found),
        next((entry.why for _, entry in reversed(found) if entry.why), ""),
    )


def forget(paths: Iterable[Path], entry: Entry) -> tuple[int, int]:
    """Give up what a backend is owed of these recordings: it counts as refused, and is not sent again.

    Args:
        paths: the recordings.
        entry: a ledger of the backend's.

    Returns:
        How many spans, and how many recordings another process is sending just now, which are left as they are.

    Raises:
        OSError: if a recording cannot be read, or its ledger not written.
    """
    name, count, busy = backends.name(entry.kind, entry.url), 0, 0
    for path in paths:
        try:
            count += _give_up(path, name)
        except Busy:
            busy += 1
    return count, busy


def _give_up(path: Path, name: str) -> int:
    """Count all that a recording owes to the backend of that name as refused; returns how many spans."""
    with Ledger(ledger.path_for(path, name)) as book:
        if book.entry is None:
            return 0
        with contextlib.closing(Spool(path, only=book.entry.only, without=ledger.taken(path, name))) as spool:
            position = spool.position(book.entry)
            count = spool.owed(position)[0] + len(ledger.aside(path, name))
            end = max((batch.end for batch in spool.batches(position)), default=position)
            given_up = replace(book.entry, refused=book.entry.refused + count, why=_GIVEN_UP if count else book.entry.why)
            position = THROUGH if spool.sealed else end
            book.write(replace(given_up, inode=spool.inode, position=position, landmark=spool.landmark(position)))
        ledger.set_aside(path, name, {})
        ledger.forget_taken(path, name)
    return count


def backend_named(name: str, environ: Mapping[str, str], say: Callable[[str], None]) -> Backend:
    """The backend that `--to` names: `logfire`, or a collector's URL.

    Raises:
        ConfigError: if it cannot be reached so.
    """
    return backends.logfire(environ) if name == backends.LOGFIRE else backends.otlp(name, environ, say=say)


def _wait(answer: Later, failures: int) -> bool:
    seconds = pause(answer, failures)
    if failures >= (_ATTEMPTS if answer.reached else _ATTEMPTS_UNREACHED) or seconds > _LONGEST_WAIT:
        return False
    time.sleep(seconds)
    return True
