"""Which recordings this process writes, and that a backend is owed them: on the disk when a first span begins, so that a kill loses nothing."""

from __future__ import annotations

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

_MOST_PATHS: Final = 256
"""Recordings that are looked into again and again; of more than these, the others are looked into at the end."""

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

    def start(self, span: Span, context: Context | None) -> Path | None:
        """A span has started; the recording, where that is a new one."""
        place = self._place(context)
        if place in self._places or finalization.begun():
            return None
        path = self._path_of(place)
        if place is self._run and span.parent is not None and not path.exists():
            return None  # it is where its parent is, in a run that its Context does not name
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        self._places[place] = path
        self._owe(path)
        return path

    def recording(self, context: Context | None) -> tuple[Path | None, bool]:
        """Where spans of a Context are recorded, as far as that is known; and whether it is the Context that names it."""
        place = self._place(context)
        return self._places.get(place), place is not self._run

    def _place(self, context: Context | None) -> layout.RunDirectory | None:
        run = (otel_context.get_current() if context is None else context).get(RUN_CONTEXT_KEY)
        return run if isinstance(run, layout.RunDirectory) else self._run

    def forget(self) -> None:
        """In a forked child: they are the parent's."""
        self.paths, self._places = {}, {}

    def _owe(self, path: Path) -> None:
        try:
            with Ledger(path_for(path, self._backend.name)) as book:
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
