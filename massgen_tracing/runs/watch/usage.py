"""What agents have used so far, and when they last told anything of it; transcripts are read again only when they have changed."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from massgen_tracing import prices
from massgen_tracing.runs.watch import told, transcripts
from massgen_tracing.runs.watch.signals import Used
from massgen_tracing.runs.watch.targets import Subject
from massgen_tracing.runs.watch.transcripts import Call

_SECONDS: Final = 5.0
"""Between two looks."""


class Usage:
    """Of one agent.

    Args:
        subject: what is known of it.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._looked_at = float("-inf")
        self._changed_at = subject.facts.watched_since
        self._sent = 0

    def look(self) -> None:
        """Bring the facts up to date, at most each few seconds."""
        subject, facts = self._subject, self._subject.facts
        if subject.program is None or subject.place is None or time.monotonic() - self._looked_at < _SECONDS:
            return
        self._looked_at = time.monotonic()
        changed_at = transcripts.changed_at(subject.program.transcripts, subject.place)
        written = changed_at is not None and changed_at > self._changed_at
        if written and changed_at is not None:
            self._changed_at = changed_at
            facts.moved("the transcript was written", min(changed_at, time.time()))
        sent = 0 if subject.telemetry is None else subject.telemetry.taken
        if written or sent != self._sent:
            self._sent = sent
            calls = {(session.id, key): call for session in told.sessions(subject) for key, call in session.calls.items()}
            facts.used = used(calls.values()) or facts.used


def used(calls: Collection[Call]) -> Used | None:
    """The sum of calls; None for none."""
    if not calls:
        return None
    known = [cost for call in calls if (cost := _cost(call)) is not None]
    return Used(sum(call.input for call in calls), sum(call.output for call in calls), sum(known) if known else None)


def _cost(call: Call) -> float | None:
    if call.cost is not None:
        return call.cost
    return prices.estimate(call.provider, call.model, call.input, call.output, call.cached, reasoning_tokens=call.reasoning, at=call.end / 1e9)
