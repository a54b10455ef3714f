"""What Logfire has taken from its own SDK, noted beside the recordings by its answers, so that a push sends the rest and nothing twice."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Span, SpanProcessor

from massgen_tracing import guard, layout, ledger
from massgen_tracing.delivery.answers import Blocked, Taken, judge_http
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.delivery.earlier import EarlierRuns
from massgen_tracing.delivery.owing import NO_ANSWER, Owing
from massgen_tracing.delivery.push import COUNTING_SECONDS, owed_at_least
from massgen_tracing.delivery.spool import Spool
from massgen_tracing.ledger import Busy, Ledger
from massgen_tracing.sinks.logfire import Answered

_MOST_TRACES: Final = 4096
_MOST_SPANS: Final = 65_536
"""Whose recording is remembered."""


class Acknowledged(SpanProcessor):
    """Sees where spans are recorded, and which of them Logfire takes; of earlier runs, what it is still owed is sent as soon as it is there.

    Args:
        backend: Logfire.
        root: where recordings live.
        path_of: the recording of a run; of None: of spans outside of runs.
        run: the run that this process belongs to.
    """

    def __init__(self, backend: Backend, root: Path, path_of: Callable[[layout.RunDirectory | None], Path], run: layout.RunDirectory | None) -> None:
        self._backend = backend
        self._listens = False
        self._why = self._hint = ""
        """Why Logfire did not take the latest spans, and what to do; as parts of a line."""
        self._owing = Owing(backend, path_of, run, backend.entry())
        self._spans: dict[int, Path] = {}
        """Where spans that Logfire has not taken are recorded, by their ids."""
        self._earlier = EarlierRuns(backend, root, self._owing.paths)
        self._traces: dict[int, Path] = {}
        """Where the first spans of traces are: for those that are not among the others any more."""
        _all.add(self)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note where a span is recorded, and that Logfire is owed it: where it is known what its SDK brings there."""
        if not self._listens:
            return
        new = self._owing.start(span, parent_context)
        identity, parent = span.get_span_context(), span.parent
        path, is_named = self._owing.recording(parent_context)
        assert identity is not None
        if parent is not None and not is_named:  # some libraries keep of a Context only the parent's ids
            path = self._spans.get(parent.span_id) or self._traces.get(identity.trace_id) or path
        if path is None:
            return
        self._spans[identity.span_id] = path
        if new is not None or identity.trace_id not in self._traces:
            self._traces[identity.trace_id] = path
            _bound(self._traces, _MOST_TRACES)
        _bound(self._spans, _MOST_SPANS)

    def begin(self) -> None:
        """From now on Logfire's answers are told."""
        self._listens = True

    def heard(self, answer: Answered) -> None:
        """What Logfire has answered to spans.

        Raises:
            OSError: if that cannot be put down.
            DecodeError: if it is no request of OTLP.
        """
        found = judge_http(
            answer.status,
            location=answer.headers.get("location", ""),
            content_type=answer.headers.get("content-type", ""),
            body=answer.content,
            secrets=self._backend.secrets,
            mend=self._backend.mend,
        )
        if not isinstance(found, Taken):
            self._why, self._hint = f" ({found.why})", f" {found.hint}." if isinstance(found, Blocked) else ""
        elif answer.spans is not None:
            self._taken(answer.spans, found)
            self._earlier.begin()

    def stop(self, until: float) -> None:
        """Send no more of what earlier runs owe, at that monotonic time at the latest."""
        self._earlier.stop(until)

    def _taken(self, body: bytes, answer: Taken) -> None:
        keys: dict[Path, list[bytes]] = {}
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    trace_id, span_id = int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big")
                    path = self._spans.pop(span_id, None) or self._traces.get(trace_id)
                    if path is not None:
                        keys.setdefault(path, []).append(span.trace_id + span.span_id)
        for path, found in keys.items():
            ledger.note_taken(path, self._backend.name, b"".join(found))
        if answer.rejected and keys:
            self._count_refused(max(keys, key=lambda path: len(keys[path])), answer)

    def _count_refused(self, path: Path, answer: Taken) -> None:
        """Logfire has rejected some spans of a request, and does not say which."""
        problem = f"Logfire refuses {answer.rejected:,} spans for good ({answer.why})."
        guard.report("logfire.refused", f"{problem} They are in the recording; `massgen-tracing doctor` says how many.", lost=answer.rejected)
        with guard.ignored(Busy), Ledger(ledger.path_for(path, self._backend.name)) as book:
            if book.entry is not None:
                book.write(replace(book.entry, refused=book.entry.refused + answer.rejected, why=answer.why))

    def say_owed(self, command: str) -> int:
        """Say, in one line, what Logfire has not taken; returns how many spans. Recordings that it has whole are marked so."""
        self._owing.settle()
        count, whole, through = owed_at_least(reversed(self._owing.paths), self._backend.name, COUNTING_SECONDS)
        for path in through:
            self._finish(path)
        if count:
            number = f"{'' if whole else 'at least '}{count:,} span{'' if count == 1 else 's'}"
            problem = f"Logfire has not taken {number} of this process{self._why or NO_ANSWER}."
            guard.report("logfire.owed", f"{problem} The recording has what is missing, and `{command}` sends it.{self._hint}")
        return count

    def _finish(self, path: Path) -> None:
        name = self._backend.name
        with guard.ignored(OSError), guard.ignored(Busy), Ledger(ledger.path_for(path, name)) as book, contextlib.closing(Spool(path)) as spool:
            if book.entry is not None:
                end = path.stat().st_size
                sent = len(ledger.taken(path, name)) - book.entry.refused
                book.write(replace(book.entry, inode=spool.inode, position=end, landmark=spool.landmark(end), sent=sent))
                ledger.forget_taken(path, name)

    def after_fork(self) -> None:
        """In a forked child: they are the parent's."""
        self._owing.forget()
        self._spans, self._traces = {}, {}


def _bound(known: dict[int, Path], most: int) -> None:
    if len(known) > most:
        with guard.ignored(RuntimeError), guard.ignored(StopIteration):  # another thread is just adding to it
            known.pop(next(iter(known)), None)


_all: Final[weakref.WeakSet[Acknowledged]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_all):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
