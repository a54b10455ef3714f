"""Where a process records: the directories of its sessions, and what its child processes are told of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from massgen_tracing import guard, layout
from massgen_tracing.model import RUN_CONTEXT_KEY
from massgen_tracing.trace.current import current


@dataclass(frozen=True, slots=True)
class Places:
    """Where one configuration records.

    Attributes:
        root: where runs lie; None where nothing is recorded.
        outside: begins the name of the recording of what is in no run.
        parent: the run that this process belongs to: its sessions are this run's.
        around: the run that this process was started in: its sessions are runs in that one.
    """

    root: str | None
    outside: str
    parent: layout.RunDirectory | None
    around: layout.RunDirectory | None

    def opened(self, given: layout.RunDirectory | None, outer: layout.RunDirectory | None) -> layout.RunDirectory | None:
        """The directory of a session; none is made where nothing is recorded.

        Args:
            given: the directory that it has already; None: the parent's, or a new one.
            outer: the run of the session that this one is in.
        """
        if self.root is None:
            return given
        run, outer = given or self.parent or _new_run(self.root), outer or self.around
        if run is not None and outer is not None and run.log_dir != outer.log_dir:
            try:
                layout.nest(run, outer)
            except (OSError, ValueError) as error:  # ValueError: on another drive
                guard.passing(error)
                guard.logger.debug("that %s was started in %s cannot be noted", run.log_dir, outer.log_dir, exc_info=True)
        return run

    def of_child(self) -> tuple[str, str] | None:
        """The root of a child process, and what it is told that it was started in, by the current span; None where nothing is recorded."""
        if self.root is None:
            return None
        run = current().get(RUN_CONTEXT_KEY)
        return self.root, str(run.attempt_dir) if isinstance(run, layout.RunDirectory) else os.path.join(self.root, layout.TRACES_DIR, self.outside)


def _new_run(root: str) -> layout.RunDirectory | None:
    try:
        return layout.new_run(root)
    except (OSError, ValueError) as error:
        guard.passing(error)
        reason = getattr(error, "strerror", None) or error
        guard.report(
            "recording.directory",
            f"No run directory can be made under {root} ({reason}). The run goes on without being recorded."
            " Make it writable, or choose another with root=….",
            error=error,
        )
        return None


def run_of_parent() -> layout.RunDirectory | None:
    """The run that this process belongs to, if it was told: its sessions are this run's."""
    attempt = os.environ.get(layout.RUN_VARIABLE)
    return layout.run_of(Path(attempt)) if attempt else None


def outer_run() -> layout.RunDirectory | None:
    """The run that this process was started in, if it was told: its sessions are runs in that one."""
    place = os.environ.get(layout.OUTER_VARIABLE)
    return run_of_parent() or (layout.run_of(Path(place)) if place and not outer_recording() else None)


def outer_recording() -> str | None:
    """What begins the name of the recording that this process was started in without a session, if it was told."""
    place = Path(os.environ.get(layout.OUTER_VARIABLE, ""))
    return place.name if place.parent.name == layout.TRACES_DIR else None
