"""Questions of runs, read and analysed once, for as long as their files are the same."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from massgen_tracing import layout
from massgen_tracing.insight.calls import Key
from massgen_tracing.insight.findings.waiting import Step, critical_path
from massgen_tracing.insight.overview import Gap, Used, gaps, used
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots import catalogue, lookup
from massgen_tracing.views.report import analysed
from massgen_tracing.views.report.subject import Subject
from massgen_tracing.views.web import columns
from massgen_tracing.views.web.columns import Spans

_KEPT: Final = 4
"""Questions that are kept; one of 50,000 spans takes about 150 MB."""


@dataclass(frozen=True)
class Opened:
    """A question of a run.

    Attributes:
        found: where it lies, and its spans.
        version: changes whenever its files, or who writes them, do.
    """

    found: analysed.Found
    version: str

    @cached_property
    def subject(self) -> Subject:
        """What is computed of it."""
        return analysed.subject(self.found)

    @cached_property
    def spans(self) -> Spans:
        """Its spans as the page has them."""
        return columns.of(self.found.recording.spans)

    @cached_property
    def encoded(self) -> bytes:
        """The same as JSON."""
        return columns.encode(self.spans, self.version)

    @cached_property
    def used(self) -> list[Used]:
        """Who used what."""
        return used(self.subject.analysis.parts)

    @cached_property
    def gaps(self) -> list[Gap]:
        """Where nothing went on."""
        return gaps(self.subject.analysis.parts)

    @cached_property
    def tool_calls(self) -> dict[Key, ToolCall]:
        """The tool calls by their spans."""
        return {call.span.key: call for call in self.subject.analysis.parts.tools}

    @cached_property
    def path(self) -> list[Step]:
        """What the run waited for, the last first."""
        parts = self.subject.analysis.parts
        return [step for session in parts.sessions for step in critical_path(parts, session)]

    @property
    def turns(self) -> list[int]:
        """The questions of its run; none for a bare recording."""
        return [] if self.found.log_dir is None else sorted({attempt.turn for attempt in layout.attempts(self.found.log_dir)})


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
                with _undisturbed():
                    made = Opened(analysed.read(located), version)
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
        places = (root / layout.LOGS_DIR / name, root / layout.TRACES_DIR / name, root / name)
        with contextlib.suppress(OSError):  # a name that is too long for any file
            return next((str(place) for place in places if lookup.place_named(root, str(place)) is not None), None)
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
