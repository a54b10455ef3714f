"""What a program that is known keeps about itself while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from massgen_tracing.runs.watch import checklist, statements
from massgen_tracing.runs.watch.profiles import Profile
from massgen_tracing.runs.watch.signals import Facts, Rank, State
from massgen_tracing.runs.watch.transcripts import Place

_NAME: Final = checklist.SESSION
_STATES: Final[dict[str, State]] = {"busy": "running", "idle": "idle", "waiting": "waiting_input"}


def take_on(facts: Facts, profile: Profile | None) -> None:
    """What a profile says of everything that its program tells."""
    if profile is not None:
        facts.program, facts.exit_proves, facts.needs_outcome = profile.title, profile.exit_proves, profile.needs_outcome


def read_status(facts: Facts, profile: Profile | None, pid: int, place: Place | None, now: float) -> None:
    """The file in which a program says whether it is busy, where it has one."""
    if profile is None or not profile.status_file:
        return
    home = Path.home() if place is None else place.home
    path = Path(profile.status_file.format(pid=pid).replace("~", str(home), 1))
    try:
        said, at = statements.parsed(path.read_text(encoding="utf-8", errors="replace")), min(now, path.stat().st_mtime)
    except OSError:
        facts.forget(_NAME)
        return
    status = said.get("status") if isinstance(said, dict) else None
    if isinstance(said, dict) and isinstance(session := said.get("sessionId"), str):
        facts.sessions.add(session)
    state = _STATES.get(status) if isinstance(status, str) else None
    if state is not None:
        waiting = said.get("waitingFor")
        facts.note(Rank.OUTCOME, _NAME, state, f'"status": "{status}"' + (f', waiting for "{waiting}"' if waiting else "") + f" in {path.name}", at)
