"""Transcripts that agents keep of their sessions, by the programs' names in their profiles: model calls, tools, tokens and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from massgen_tracing.runs.watch.transcripts import claude, codex, gemini, opencode
from massgen_tracing.runs.watch.transcripts.session import Call, Session, ToolUse

__all__ = ["Call", "Place", "Session", "ToolUse", "changed_at", "sessions"]

_OF_FILES = {"claude": claude, "codex": codex, "gemini": gemini}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs.

    Attributes:
        home: its home directory.
        cwd: its working directory.
    """

    home: Path
    cwd: Path


def changed_at(program: str, place: Place) -> float | None:
    """When a program has last written down anything in a place, in Unix seconds; None where it has not."""
    reader = opencode if program == "opencode" else _OF_FILES.get(program)
    newest = None
    for path in reader.files(place.home, place.cwd) if reader is not None else ():
        for each in (path, path.with_name(f"{path.name}-wal")):
            try:
                newest = max(newest or 0.0, each.stat().st_mtime)
            except OSError:
                continue
    return newest


def sessions(program: str, place: Place, since: float) -> Iterator[Session]:
    """The sessions of a program in a place that have gone on since a moment.

    Args:
        program: as a profile's `transcripts` has it; of others there are none.
        place: where it runs.
        since: Unix seconds.
    """
    if program == "opencode":
        for path in opencode.files(place.home, place.cwd):
            yield from (session for session in opencode.read_all(path) if session.cwd == str(place.cwd))
    elif program in _OF_FILES:
        reader = _OF_FILES[program]
        for path in sorted(reader.files(place.home, place.cwd)):
            try:
                old = path.stat().st_mtime < since
            except OSError:
                continue
            if not old:
                session = reader.read(path)
                if session.cwd in {"", str(place.cwd)}:
                    yield session
