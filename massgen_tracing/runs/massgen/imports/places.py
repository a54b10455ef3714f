"""Where runs lie below a path that a person names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.layout import RunDirectory
from massgen_tracing.runs.massgen.imports import files

Layout = Literal["attempts", "turns", "flat"]

_TURN: Final = re.compile(r"turn_(\d{1,9})", re.ASCII)
_SUBAGENTS: Final = "subagents"
_FULL_LOGS: Final = "full_logs"
"""Below an attempt, MassGen from 0.1.32 on keeps the whole log directory of each subagent in `subagents/<id>/full_logs`."""

_ATTEMPT: Final = re.compile(r"attempt_(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """One coordination's files.

    Attributes:
        directory: where they lie, absolute; the recording goes there.
        run: the run's directory, and which turn and attempt this is; 1 where the layout does not tell.
        layout: `attempts` (`log_…/turn_1/attempt_1/`), `turns` (`log_…/turn_1/`), `flat` (`log_…/`), the older, the further on.
    """

    directory: Path
    run: RunDirectory
    layout: Layout

    @property
    def name(self) -> str:
        """What to call it: the run's name, and turn and attempt where the layout has them."""
        parent = self.run.log_dir.parent
        return self.directory.relative_to(parent).as_posix()


def find(path: Path | str) -> list[Place]:
    """Every coordination in *path*: a `.massgen`, a `massgen_logs`, a run, a turn or an attempt of it, or a directory that has a `.massgen`.

    Raises:
        RecordingError: if *path* is not a directory, or there is none in it.
    """
    given = Path(os.path.abspath(path))
    if not given.is_dir():
        raise RecordingError(f"{path} is not a directory", hint="Name a log directory of MassGen, such as .massgen/massgen_logs/log_…")
    found = list(_in(given))
    if not found:
        raise RecordingError(f"There is no run of MassGen in {path}", expected="a .massgen, a massgen_logs, or a log_… directory or a part of one")
    return found


def subagents(place: Place) -> list[tuple[str, list[Place]]]:
    """The subagents that a run has started, by id, each with its own runs; none of these where its logs have not been kept."""
    return [(directory.name, list(_in(directory / _FULL_LOGS))) for directory in _directories(place.directory / _SUBAGENTS)]


def _in(path: Path) -> Iterator[Place]:
    attempt, turn = _ATTEMPT.fullmatch(path.name), _TURN.fullmatch(path.parent.name)
    if attempt and turn:
        yield Place(path, RunDirectory(path.parent.parent, int(turn[1]), int(attempt[1])), "attempts")
        return
    turn = _TURN.fullmatch(path.name)
    if turn:
        yield from _turn(path, int(turn[1]))
        return
    children = _directories(path)
    turns = _numbered(children, _TURN)
    if turns:
        for number, directory in turns:
            yield from _turn(directory, number)
        return
    logs = path / layout.LOGS_DIR
    runs = [child for child in (_directories(logs) if logs.is_dir() else children) if child.name.startswith(layout.RUN_PREFIX)]
    if runs and not path.name.startswith(layout.RUN_PREFIX):
        for child in runs:
            yield from _in(child)
    elif path.name.startswith(layout.RUN_PREFIX) or files.has_any(path):
        yield Place(path, RunDirectory(path), "flat")
    elif (path / layout.DEFAULT_ROOT / layout.LOGS_DIR).is_dir():
        yield from _in(path / layout.DEFAULT_ROOT)


def _turn(path: Path, number: int) -> Iterator[Place]:
    attempts = _numbered(_directories(path), _ATTEMPT)
    for attempt, directory in attempts:
        yield Place(directory, RunDirectory(path.parent, number, attempt), "attempts")
    if not attempts:
        yield Place(path, RunDirectory(path.parent, number), "turns")


def _directories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []  # what cannot be listed is a run of which nothing is known


def _numbered(directories: list[Path], pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    return sorted((int(match[1]), directory) for directory in directories if (match := pattern.fullmatch(directory.name)))
