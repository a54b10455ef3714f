"""What agents have used so far, and when they last wrote anything down, by their transcripts; a file is read again only when it has changed."""

from __future__ import annotations

import time
from typing import Final

from massgen_tracing import prices
from massgen_tracing.runs.watch import transcripts
from massgen_tracing.runs.watch.signals import Facts, Used
from massgen_tracing.runs.watch.transcripts import Call, Place

_SECONDS: Final = 5.0
"""Between two looks."""


class Usage:
    """Of one agent.

    Args:
        facts: what is known of it.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._looked_at = float("-inf")
        self._changed_at = facts.watched_since

    def look(self, program: str, place: Place) -> None:
        """Bring the facts up to date, at most each few seconds."""
        if time.monotonic() - self._looked_at < _SECONDS:
            return
        self._looked_at = time.monotonic()
        changed_at = transcripts.changed_at(program, place)
        if changed_at is None or changed_at <= self._changed_at:
            return
        self._changed_at = changed_at
        self._facts.moved("the transcript was written", min(changed_at, time.time()))
        since = self._facts.watched_since
        calls = {
            call.key: call for session in transcripts.sessions(program, place, since) for call in session.calls.values() if call.end >= since * 1e9
        }
        if calls:
            costs = [_cost(call) for call in calls.values()]
            known = [cost for cost in costs if cost is not None]
            sent, got = sum(call.input for call in calls.values()), sum(call.output for call in calls.values())
            self._facts.used = Used(sent, got, sum(known) if known else None)


def _cost(call: Call) -> float | None:
    if call.cost is not None:
        return call.cost
    return prices.estimate(call.provider, call.model, call.input, call.output, call.cached, reasoning_tokens=call.reasoning, at=call.end / 1e9)
