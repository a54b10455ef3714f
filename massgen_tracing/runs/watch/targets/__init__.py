"""What can be watched, and how it is named.

a run (its directory, its id)     `run`
tmux:SESSION[:WINDOW[.PANE]]      `pane`, of each that a pattern means, also of those that come later
pid:N                             `process`
file:PATH                         `file`
dir:PATH                          `directory`
-- COMMAND …                      `command`
"""

from __future__ import annotations

import difflib
from pathlib import Path

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.runs.watch.targets.command import CommandTarget
from massgen_tracing.runs.watch.targets.directory import DirectoryTarget
from massgen_tracing.runs.watch.targets.file import FileTarget
from massgen_tracing.runs.watch.targets.pane import PanesTarget
from massgen_tracing.runs.watch.targets.process import ProcessTarget
from massgen_tracing.runs.watch.targets.run import RunTarget
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target

__all__ = [
    "Asked",
    "CommandTarget",
    "DirectoryTarget",
    "FileTarget",
    "PanesTarget",
    "ProcessTarget",
    "RunTarget",
    "Subject",
    "Target",
    "all_runs",
    "named",
]

_KINDS = ("tmux", "pid", "file", "dir")
_MOST_NEAR = 3
FORMS = "a run's directory or id, tmux:SESSION[:WINDOW[.PANE]], pid:N, file:PATH, dir:PATH"


def named(name: str, asked: Asked, now: float) -> Target:
    """The target of a name.

    Args:
        name: one of the forms above.
        asked: what is asked of it.
        now: Unix seconds.

    Raises:
        ConfigError: if it names nothing that can be watched.
        MissingPackageError: if a package is missing that it takes.
    """
    kind, colon, rest = name.partition(":")
    if colon and kind in _KINDS and not rest:
        raise ConfigError(f"The target {name} names nothing", expected=FORMS, got=name)
    if colon and kind == "tmux":
        return PanesTarget(name, rest, asked, now)
    if colon and kind == "pid":
        if not (rest.isascii() and rest.isdecimal()) or not 0 < int(rest) < 2**31:
            raise ConfigError("A process is named by its number", expected="pid:N, as in pid:4711", got=name)
        return ProcessTarget(name, int(rest), asked, now)
    if colon and kind == "file":
        return FileTarget(name, Path(rest).expanduser(), asked, now)
    if colon and kind == "dir":
        return DirectoryTarget(name, Path(rest).expanduser(), asked, now)
    return _run(name, asked, now)


def all_runs(asked: Asked, now: float) -> list[Target]:
    """A target for each run below the root, by name."""
    folder = Path(asked.root) / layout.LOGS_DIR
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(layout.RUN_PREFIX) and entry.is_dir())
    except OSError:
        names = []
    return [RunTarget(name, folder / name, asked, now) for name in names]


def _run(name: str, asked: Asked, now: float) -> Target:
    found = layout.run_of(Path(name))
    if found is not None and found.log_dir.is_dir():
        return RunTarget(found.run_id, found.log_dir, asked, now)
    below = Path(asked.root) / layout.LOGS_DIR / name
    if below.is_dir() and layout.run_of(below) is not None:
        return RunTarget(name, below, asked, now)
    raise ConfigError(f"There is no run {name} below {asked.root}", expected=FORMS, got=name, hint=_meant(name, asked))


def _meant(name: str, asked: Asked) -> str:
    """What to do about a name that names no run."""
    kind, colon, rest = name.partition(":")
    if colon and (near := difflib.get_close_matches(kind, _KINDS, 1)):
        return f"Perhaps {near[0]}:{rest} was meant"
    path = Path(name).expanduser()
    if path.is_dir():
        return f"This folder is no run; watch it as a workspace with dir:{name}"
    if path.is_file():
        return f"Watch this file with file:{name}"
    runs = [target.name for target in all_runs(asked, 0.0)]
    close = [run for run in runs if name in run][-_MOST_NEAR:] or difflib.get_close_matches(name, runs, _MOST_NEAR)
    if close:
        return f"Perhaps {' or '.join(close)} was meant"
    return f"The newest one is {runs[-1]}; `massgen-tracing logs list` shows all" if runs else "There is none at all; name another root with --root"
