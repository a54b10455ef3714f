"""One recording to one backend: from where the ledger says, batch by batch, each judged by its answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from massgen_tracing import ledger
from massgen_tracing.delivery.answers import Answer, Blocked, Later, Taken, TooLarge
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.encode import EncodedSpan, Form, form
from massgen_tracing.delivery.encode.placed import Listed, Spans
from massgen_tracing.delivery.senders import Sender
from massgen_tracing.delivery.spool import Batch, Spool
from massgen_tracing.delivery.tally import Tally
from massgen_tracing.ledger import THROUGH, Entry, Ledger

_FEW: Final = 40
"""Requests that are spent at most on finding what of a batch is refused."""

_PATIENCE: Final = 3
_LONG_PATIENCE: Final = 6
"""Failures in a row after which it is asked whether the backend takes anything at all; the second where it says that it passes."""

_UNPROVEN: Final = 2
"""Single spans that may fail one after the other and be set aside, though no other was taken meanwhile."""

_ATTEMPTS: Final = 3
_MOST_TRIES: Final = 10
"""How often a span that was set aside is sent at a time, and at how many times, if it is not taken and others are."""


@dataclass(slots=True)
class Delivery:
    """Sends recordings to one backend.

    Attributes:
        backend: where to.
        sender: sends requests to it.
        wait: after so many failures in a row, waits for the next attempt, and says whether there is to be one.
        progress: is told how many spans were sent, after each request.
        enough: says whether to stop with what is under way.
        at_once: whether much is encoded at once, for which Arrow is loaded; not in a program that is traced.
        tally: what became of the spans so far.
        failures: how many requests in a row were not taken for now.
    """

    backend: Backend
    sender: Sender
    wait: Callable[[Later, int], bool]
    progress: Callable[[int], None] = lambda _: None
    enough: Callable[[], bool] = lambda: False
    at_once: bool = False
    tally: Tally = field(default_factory=Tally)
    failures: int = 0
    _form: Form = field(init=False)
    _doubts_from: int = 0
    """How many failures in a row there have to be until it is asked again which spans it fails on."""
    _tried: set[bytes] = field(default_factory=set)
    """Those that were set aside, and have had their chance."""

    def __post_init__(self) -> None:
        self._form = form(self.backend.protocol)

    def owe(self, path: Path, *, pending: bool = False) -> None:
        """Put down that a recording owes this backend what it has, without sending it now; arguments and errors as of `deliver`."""
        with Ledger(ledger.path_for(path, self.backend.name)) as book:
            self._begun(path, book, "", pending).close()

    def _begun(self, path: Path, book: Ledger, only: str, pending: bool) -> Spool:
        """A recording, of which the ledger says from where on it is to be sent."""
        entry = book.entry
        if entry is None:
            entry = self.backend.entry(only=only, pending=pending)
        without = ledger.taken(path, self.backend.name)
        spool = Spool(path, only=entry.only, pending=entry.pending, form=self._form, at_once=self.at_once, without=without)
        try:
            position = spool.position(entry)
            if book.entry is None or (entry.inode, entry.position) != (spool.inode, position):
                book.write(_at(entry, spool, position))
            if position != entry.position:  # all of it is sent again
                ledger.set_aside(path, self.backend.name, {})
        except BaseException:
            spool.close()
            raise
        return spool

    def deliver(self, path: Path, *, only: str = "", pending: bool = False) -> Later | Blocked | None:
        """Send what a recording owes; None where it owes nothing any more, else why the backend does not take the rest.

        Args:
            path: a live or a sealed file.
            only: the `service.instance.id` of the spans that are meant, where no ledger says so; empty for all.
            pending: whether starts are sent too, where no ledger says so.

        Raises:
            Busy: if another process is sending it to this backend.
            OSError: if the recording cannot be read, or its ledger not written.
        """
        with Ledger(ledger.path_for(path, self.backend.name)) as book:
            with contextlib.closing(self._begun(path, book, only, pending)) as spool:
                assert book.entry is not None
                position = book.entry.position
                batches = spool.batches(position)
                with contextlib.closing(ahead(batches) if self.at_once else batches) as coming:
                    for batch in coming:
                        stopped = self._send(batch, book, spool)
                        if stopped is not None:
                            return stopped
                if spool.sealed and book.entry is not None:
                    book.write(replace(book.entry, position=THROUGH))
            stopped = self._try_again(path, book)
            if stopped is None:
                ledger.forget_taken(path, self.backend.name)
        return stopped

    def knock(self) -> Later | Blocked | None:
        """Whether the backend is there at all, by a request without spans; None where it is."""
        answer = self.sender.send(b"", self.backend.seconds)
        if isinstance(answer, Later | Blocked):
            self.failures += 1
            return answer
        return None

    def _send(self, batch: Batch, book: Ledger, spool: Spool) -> Later | Blocked | None:
        """Send a batch, in parts where that is needed; the ledger follows each part.

        What is refused is found by halving. So is what the backend fails on again and again. Once others are taken all the same, it counts as
        refused; where the backend says that it passes, or nothing at all, it is set aside.
        """
        oldest = (time.time() - self.backend.within) * 1e9 if self.backend.within else 0.0
        waiting: list[Spans] = [batch.spans] if batch.spans else []
        budget, doubts, proven, aside = _FEW, False, False, Tally()
        singles: list[bytes] = []
        while waiting:
            part = waiting.pop()
            fresh = part.since(oldest) if oldest else part
            if self.enough():
                return Later("its time was over", reached=False)
            answer = self._request(fresh) if fresh else Taken()
            while isinstance(answer, Later):
                doubts = doubts or self._doubts(answer)
                if doubts or not self.wait(answer, self.failures):
                    break
                answer = self._request(fresh)
            if isinstance(answer, Later) and doubts and budget > 0:
                budget -= 1
                if len(fresh) > 1:
                    waiting += _halves(part)
                    continue
                if answer.doubtful and (waiting or proven):
                    aside.add(Tally(refused=1, late=len(part) - 1, why=answer.why))
                    continue
                if not answer.doubtful and (proven or len(singles) < _UNPROVEN):
                    aside.add(Tally(aside=1, late=len(part) - 1, why=answer.why))
                    singles.append(fresh[0][0].key)
                    continue
            if isinstance(answer, Blocked | Later):
                self._doubts_from = 2 * self.failures if doubts else 0
                _note(book, answer.why)
                return answer
            if not isinstance(answer, Taken) and len(fresh) > 1 and (budget > 0 or isinstance(answer, TooLarge)):
                budget -= 1
                waiting += _halves(part)
                continue
            refused = min(answer.rejected, len(fresh)) if isinstance(answer, Taken) else len(fresh)
            aside.add(Tally(len(fresh) - refused, refused, len(part) - len(fresh), why=answer.why if refused else ""))
            self._set_aside(spool.path, singles, proven=True)
            self._done(aside, book, spool, part[-1][1])
            proven, aside, singles = doubts, Tally(), []
        self._set_aside(spool.path, singles, proven=proven)
        aside.unreadable += batch.unreadable
        self._done(aside, book, spool, batch.end)
        return None

    def _doubts(self, answer: Later) -> bool:
        """Whether it may be the spans that a backend fails on: it has failed often enough, and is there."""
        patience = _LONG_PATIENCE if answer.reached and not answer.doubtful else _PATIENCE
        if self.failures < max(patience, self._doubts_from):
            return False
        return answer.doubtful or not isinstance(self.sender.send(b"", self.backend.seconds), Later | Blocked)

    def _set_aside(self, path: Path, keys: Sequence[bytes], *, proven: bool) -> None:
        """Put down that these spans are still owed, though others after them may be taken; *proven*: some have been."""
        if keys:
            if proven:
                self._tried.update(keys)
            else:
                self._doubts_from = 2 * self.failures
            ledger.set_aside(path, self.backend.name, {**ledger.aside(path, self.backend.name), **dict.fromkeys(keys, int(proven))})

    def _try_again(self, path: Path, book: Ledger) -> Later | Blocked | None:
        """Send what was set aside, each span by itself; what is not taken after several times, when others are, counts as refused."""
        tries = ledger.aside(path, self.backend.name)
        due = frozenset(tries) - self._tried
        if not due or book.entry is None:
            return None
        proven = self.tally.sent > 0 and not self.failures
        if proven:
            self._tried |= due
        with contextlib.closing(Spool(path, form=self._form, among=due)) as spool:
            for span in [span for batch in spool.batches(0) for span, _ in batch.spans]:
                if self.enough():
                    return Later("its time was over", reached=False)
                answer = self._judged_alone(span)
                if isinstance(answer, Blocked) or (isinstance(answer, Later) and self.knock() is not None):
                    return answer
                self.failures = 0 if proven else self.failures
                tries[span.key] += proven
                if isinstance(answer, Later) and tries[span.key] < _MOST_TRIES:
                    tally = Tally(aside=1, why=answer.why)
                else:
                    del tries[span.key]
                    refused = answer.rejected if isinstance(answer, Taken) else 1
                    tally = Tally(1 - refused, refused, why=answer.why)
                self._done(tally, book, spool, book.entry.position)
                ledger.set_aside(path, self.backend.name, tries)
        return None

    def _judged_alone(self, span: EncodedSpan) -> Answer:
        """What the backend says of one span, asked a few times where there is time."""
        for number in range(1, _ATTEMPTS + 1):
            answer = self._request(Listed([(span, 0)]))
            if not isinstance(answer, Later) or number == _ATTEMPTS or not self.wait(answer, number):
                break
        return answer

    def _done(self, tally: Tally, book: Ledger, spool: Spool, position: int) -> None:
        self.tally.add(tally)
        entry = book.entry
        assert entry is not None
        counted = replace(
            entry,
            sent=entry.sent + tally.sent,
            refused=entry.refused + tally.refused,
            late=entry.late + tally.late,
            why=tally.why or (entry.why if entry.refused or ledger.aside(spool.path, self.backend.name) else ""),
        )
        book.write(_at(counted, spool, position))
        self.progress(self.tally.sent)

    def _request(self, spans: Spans) -> Answer:
        answer = self.sender.send(self._form.body(spans.contents()), self.backend.seconds)
        self.failures = self.failures + 1 if isinstance(answer, Later) else 0
        if not self.failures:
            self._doubts_from = 0
        return answer


def ahead(batches: Iterator[Batch]) -> Generator[Batch]:
    """The same batches, each made while the one before it is sent."""
    with ThreadPoolExecutor(1, "massgen-tracing-push") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _halves(part: Spans) -> list[Spans]:
    """The two halves, the first one last."""
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _at(entry: Entry, spool: Spool, position: int) -> Entry:
    return replace(entry, inode=spool.inode, position=position, landmark=spool.landmark(position))


def _note(book: Ledger, why: str) -> None:
    assert book.entry is not None
    if book.entry.why != why:
        book.write(replace(book.entry, why=why))
