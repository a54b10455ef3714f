"""Questions of runs, read and analysed once, for as long as their files are the same."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.insight.calls import Key
from massgen_tracing.insight.findings.waiting import Step, critical_path
from massgen_tracing.insight.overview import Gap, Used, gaps, used
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots import catalogue, lookup, outlines
from massgen_tracing.views.report import analysed
from massgen_tracing.views.report.subject import Subject
from massgen_tracing.views.web import columns
from massgen_tracing.views.web.columns import Spans

_KEPT: Final = 4
"""Questions that are kept; one of 50,000 spans takes about 150 MB."""


T = TypeVar("T")


class _once(Generic[T]):  # noqa: N801 - used as a decorator
    """A property that is computed when it is first asked for, by one thread, for which the others wait."""

    def __init__(self, compute: Callable[[Opened], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Opened, owner: type | None = None) -> T:
        with instance.lock:
            if self._name not in instance.__dict__:
                instance.__dict__[self._name] = self._compute(instance)  # which is found there from now on, and asks nobody
            made: T = instance.__dict__[self._name]
            return made


class Opened:
    """A question of a run. Its spans are drawn from their outlines, before anything is read in full; what is said of them comes later.

    Args:
        located: where it lies.
        version: changes whenever its files, or who writes them, do.
        found: the same, where it has been read already.

    Attributes:
        lock: held while something is computed.
    """

    def __init__(self, located: analysed.Located, version: str, found: analysed.Found | None = None) -> None:
        self.located = located
        self.version = version
        self.lock = threading.RLock()
        if found is not None:
            self.__dict__["found"] = found

    @_once
    def spans(self) -> Spans:
        """Its spans as the page has them.

        Raises:
            RecordingError: if there are none.
        """
        outlined = None if self.located.trace or "found" in self.__dict__ else outlines.read(self.located.files, columns.ASKED)
        return (columns.drawn(outlined) if outlined else None) or self._whole[0]

    @_once
    def encoded(self) -> bytes:
        """The same as JSON."""
        return columns.encode(self.spans, self.version)

    @_once
    def found(self) -> analysed.Found:
        """All that its files say."""
        with _undisturbed():
            return analysed.read(self.located)

    @_once
    def records(self) -> list[SpanRecord]:
        """Its spans in full, in the order of the arrays."""
        spans = self.spans
        if "_whole" in self.__dict__:
            return self._whole[1]
        known = {span.key: span for span in self.found.recording.spans}
        try:
            return [known[each.trace_id, each.span_id] for each in spans.outlines]
        except KeyError:
            raise RecordingError(f"The files of {self.located.title} have changed while they were read", hint="Read it again") from None

    @_once
    def _whole(self) -> tuple[Spans, list[SpanRecord]]:
        return columns.of(self.found.recording.spans)

    @_once
    def subject(self) -> Subject:
        """What is computed of it."""
        made = analysed.subject(self.found)
        with _undisturbed():
            made.analysis.parts  # noqa: B018 - what all of it is made of
        return made

    @_once
    def used(self) -> list[Used]:
        """Who used what."""
        return used(self.subject.analysis.parts)

    @_once
    def gaps(self) -> list[Gap]:
        """Where nothing went on."""
        return gaps(self.subject.analysis.parts)

    @_once
    def tool_calls(self) -> dict[Key, ToolCall]:
        """The tool calls by their spans."""
        return {call.span.key: call for call in self.subject.analysis.parts.tools}

    @_once
    def path(self) -> list[Step]:
        """What the run waited for, the last first."""
        parts = self.subject.analysis.parts
        return [step for session in parts.sessions for step in critical_path(parts, session)]

    @property
    def turns(self) -> list[int]:
        """The questions of its run; none for a bare recording."""
        log_dir = self.located.log_dir
        return [] if log_dir is None else sorted({attempt.turn for attempt in layout.attempts(log_dir)})


class Shelf:
    """The questions of one root that were asked for last.

    Args:
        root: where runs are looked for.

    Attributes:
        lines: of each run that was listed, by its name: the version of its files, what is told of it, and what could not be read.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.lines: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {}
        self._kept: OrderedDict[tuple[str | None, int | None], Opened] = OrderedDict()
        self._lock = threading.Lock()
        self._opening: dict[tuple[str | None, int | None], threading.Lock] = {}

    def open(self, run: str | None, turn: int | None = None) -> Opened:
        """A question, as its files have it now.

        Args:
            run: a run's name, a recording, or a trace's first digits; None for the newest run.
            turn: which of its questions; None for the last one.

        Raises:
            RecordingError: if there is no such thing, or nothing in it.
        """
        key = run, turn
        with self._lock:
            opening = self._opening.setdefault(key, threading.Lock())
        with opening:  # who asks for the same at once waits, rather than reads it too
            located = self._located(run, turn)
            version = version_of(located.files)
            made = self._kept.get(key)
            if made is None or made.version != version:
                made = Opened(located, version)
                with _undisturbed():
                    made.encoded  # noqa: B018 - what every page asks for first
        with self._lock:
            self._kept[key] = made
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._opening.pop(self._kept.popitem(last=False)[0], None)
        return made

    def _located(self, run: str | None, turn: int | None) -> analysed.Located:
        """Where a question lies; who asks over HTTP is shown nothing that lies outside of the root.

        Raises:
            RecordingError: if there is no such thing in it.
        """
        if run is None:
            whole = str(Path(self.root).resolve()) if catalogue.is_whole(self.root) else None
            return analysed.locate(self.root, whole, turn)
        place = self._place(run)
        return analysed.locate_trace(self.root, run) if place is None else analysed.locate(self.root, place, turn)

    def _place(self, run: str) -> str | None:
        """The path in the root that a run's name means; None where it means none, and so may be a trace's id.

        A name leads out of the root by no part of its own. Links that its owner has put there are followed, as everywhere.
        """
        name, root = Path(run), Path(self.root).absolute()
        if "\0" in run or name.is_absolute() or ".." in name.parts or not name.parts:
            return None
        if root.is_file():
            return str(root) if run == root.name else None
        with contextlib.suppress(OSError):  # a name that is too long for any file
            return next((str(place) for place in lookup.places_of(root, name) if lookup.place_named(root, str(place)) is not None), None)
        return None


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Within, nobody looks for garbage: of some hundred thousand objects that all stay, that takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def version_of(files: Iterable[Path]) -> str:
    """Says whether files are what they were: where they lie, how long they are, when they have changed, and whether somebody writes them."""
    made = hashlib.blake2b(digest_size=12)
    for file in files:
        try:
            status = file.stat()
            alive = not layout.is_sealed(file) and liveness.writer_alive(file)
            made.update(f"{file}\0{status.st_ino}\0{status.st_size}\0{status.st_mtime_ns}\0{alive}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            made.update(f"{file}\0gone\n".encode("utf-8", "surrogateescape"))
    return made.hexdigest()
