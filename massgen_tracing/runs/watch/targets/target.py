"""What a target is: it looks at something, and keeps the facts of one or several things up to date."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from massgen_tracing.runs.watch.checklist import Check, Wanted
from massgen_tracing.runs.watch.judge import Patience
from massgen_tracing.runs.watch.profiles import Profile
from massgen_tracing.runs.watch.signals import Facts
from massgen_tracing.runs.watch.telemetry import Telemetry
from massgen_tracing.runs.watch.terminals import Terminals
from massgen_tracing.runs.watch.transcripts import Place


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every target.

    Attributes:
        files: have to be there at the end; relative ones in the target's folder, or in the working directory.
        marker: has to stand in its output; empty: none.
        checks: conditions of the caller's own, by name; asked at each look.
        patience: how long things may take.
        profile: the program that runs there; None: found out where that can be.
        root: where runs lie.
        terminals: looks at the panes of tmux for all targets together.
        own_streams: of a command that is started here: whether its output goes where ours would go (else all of it to stderr).
    """

    files: tuple[str, ...] = ()
    marker: str = ""
    checks: Mapping[str, Check] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    profile: Profile | None = None
    root: str = ".massgen"
    terminals: Terminals = field(default_factory=Terminals)
    own_streams: bool = True

    def wanted(self, folder: Path | None) -> Wanted:
        """The conditions, with paths as seen from a folder."""
        return Wanted(tuple((folder or Path()) / name for name in self.files), self.marker, self.checks)

    def patience_of(self, profile: Profile | None) -> Patience:
        """As long as the program is known to be silent."""
        if profile is None:
            return self.patience
        quiet = self.patience.quiet if profile.quiet is None else profile.quiet
        return replace(self.patience, quiet=quiet, stalled=max(self.patience.stalled, profile.stalled or 0.0))


@dataclass(slots=True)
class Subject:
    """One thing that has a state.

    Attributes:
        name: what it is called.
        facts: what is known of it.
        wanted: what is asked of it.
        patience: how long it may take.
        kind: `target`, or `agent` for one of a run's, which does not count at the end.
        folder: where its files lie, whose disk is watched.
        pids: the processes that may be ended where that was asked for.
        program: which program it is; None where that is not known.
        place: where that runs, so that its transcripts are found.
        telemetry: what it sends of itself; None where that is not taken in.
    """

    name: str
    facts: Facts
    wanted: Wanted
    patience: Patience
    kind: Literal["target", "agent"] = "target"
    folder: Path | None = None
    pids: tuple[int, ...] = ()
    program: Profile | None = None
    place: Place | None = None
    telemetry: Telemetry | None = None


class Target(ABC):
    """Something that was named to be watched.

    Attributes:
        name: as it was named.
        subjects: what of it has a state; they may become more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.subjects: list[Subject] = []

    async def start(self, wake: Callable[[], None]) -> None:  # noqa: B027 - most need none
        """Begin; *wake* is to be called whenever there is something to look at."""

    @abstractmethod
    def look(self, now: float) -> bool:
        """Look at it; whether anything has changed. It raises nothing that one can expect of files, processes and terminals.

        Args:
            now: Unix seconds.
        """

    def goes_on(self) -> bool:
        """Whether it is watched to its end, whatever it is."""
        return False

    def folders(self) -> Iterable[Path]:
        """The folders in which changes are worth a look."""
        return ()

    async def close(self) -> None:  # noqa: B027 - most need none
        """End watching; what is watched goes on."""


def nearest(folder: Path) -> Path:
    """A folder, or the nearest one above that is there."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))


def not_there(path: Path) -> str:
    """In words, that a file or a folder is awaited, and how much of its path there is."""
    there = nearest(path.parent)
    return f"{path} is not there yet" + ("" if there == path.parent else f", nor is the folder {path.relative_to(there).parts[0]} in {there}")
