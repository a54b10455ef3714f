"""Which recordings this process writes, and that a backend is owed them: on the disk when a first span begins, so that a kill loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span

from massgen_tracing import finalization, guard, layout
from massgen_tracing.delivery.backend import Backend
from massgen_tracing.ledger import Busy, Entry, Ledger, path_for
from massgen_tracing.model import RUN_CONTEXT_KEY

NO_ANSWER: Final = " (no answer so far)"
"""Why a backend has not taken what it is owed, where it has not said so itself; as part of a line."""

_MOST_PATHS: Final = 256
"""Recordings that are looked into again and again; of more than these, the others are looked into at the end."""

_LOOK_SECONDS: Final = 0.1
_MOST_PLACES: Final = 4096


class Owing:
    """What this process owes to one backend.

    Args:
        backend: which.
        path_of: the recording of a run; of None: of spans outside of runs.
        run: the run that this process belongs to.
        entry: how its ledgers begin.

    Attributes:
        paths: the recordings, in the order in which they began.
    """

    def __init__(
        self, backend: Backend, path_of: Callable[[layout.RunDirectory | None], Path], run: layout.RunDirectory | None, entry: Entry
    ) -> None:
        self.paths: dict[Path, None] = {}
        self.entry = entry
        self._backend = backend
        self._path_of = path_of
        self._run = run
        self._places: dict[layout.RunDirectory | None, Path] = {}
        self._missing: Path | None = None
        """The recording of spans outside of runs, where some have begun and it was not there."""
        self._look_at = 0.0

    def start(self, span: Span, context: Context | None) -> Path | None:
        """A span has started; the recording, where that is a new one."""
        place = self._place(context)
        if place in self._places or finalization.begun():
            return None
        path = self._path_of(place)
        if place is self._run and span.parent is not None and not self._is_there(path):
            return None  # it is where its parent is, in a run that its Context does not name
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        self._places[place] = path
        self._owe(path)
        return path

    def settle(self) -> None:
        """Look once more for the recording of spans outside of runs that was not there when they began."""
        path, self._missing = self._missing, None
        if path is not None and layout.is_there(path) and self._run not in self._places:
            self._places[self._run] = path
            self._owe(path)

    def _is_there(self, path: Path) -> bool:
        """Whether there is such a file; it is not looked for at each span."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        found = layout.is_there(path)
        self._missing = None if found else path
        return found

    def recording(self, context: Context | None) -> tuple[Path | None, bool]:
        """Where spans of a Context are recorded, as far as that is known; and whether it is the Context that names it."""
        place = self._place(context)
        return self._places.get(place), place is not self._run

    def _place(self, context: Context | None) -> layout.RunDirectory | None:
        run = (otel_context.get_current() if context is None else context).get(RUN_CONTEXT_KEY)
        return run if isinstance(run, layout.RunDirectory) else self._run

    def forget(self) -> None:
        """In a forked child: they are the parent's."""
        self.paths, self._places, self._missing, self._look_at = {}, {}, None, 0.0

    def _owe(self, path: Path) -> None:
        try:
            try:
                book = Ledger(path_for(path, self._backend.name))
            except FileNotFoundError:  # a first record that has no start of its own: nothing is recorded yet
                layout.make_directory(path.parent)
                book = Ledger(path_for(path, self._backend.name))
            with book:
                if book.entry is None:
                    book.write(self.entry)
        except Busy:
            pass
        except OSError as error:
            guard.passing(error)
            problem = f"No ledger can be written beside the recording {path} ({error.strerror or error})."
            hint = f"What {self._backend.place} does not take during the run is recorded, but has to be sent by hand: `massgen-tracing push --to …`."
            guard.report("otlp.ledger", f"{problem} {hint}", error=error)
        self.paths[path] = None
        if len(self.paths) > _MOST_PATHS:
            self.paths.pop(next(iter(self.paths)), None)
