"""Transcripts that agents keep of their sessions, by the programs' names in their profiles: model calls, tools, tokens and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from massgen_tracing.runs.watch.transcripts import claude, codex, gemini, opencode
from massgen_tracing.runs.watch.transcripts.session import Call, Session, ToolUse

__all__ = ["Call", "Place", "Session", "ToolUse", "sessions"]

_OF_FILES = {"claude": claude, "codex": codex, "gemini": gemini}
NAMES = frozenset({*_OF_FILES, "opencode"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs.

    Attributes:
        home: its home directory.
        cwd: its working directory.
    """

    home: Path
    cwd: Path


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
