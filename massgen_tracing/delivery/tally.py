"""What became of spans that were sent, and how long to wait where they were not taken."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from massgen_tracing.delivery.answers import Later

_LONGEST_PAUSE: Final = 60.0
_LONGEST_WISH: Final = 300.0


@dataclass(slots=True)
class Tally:
    """What became of spans.

    Attributes:
        sent: taken.
        refused: not taken, and not to be tried again.
        late: not sent, because the backend would not keep them any more.
        aside: still owed, and tried again another time: the backend does not take them, but takes others.
        unreadable: lines or spans of recordings that could not be read.
        why: what the backend said of the last refusal.
    """

    sent: int = 0
    refused: int = 0
    late: int = 0
    aside: int = 0
    unreadable: int = 0
    why: str = ""

    def add(self, other: Tally) -> None:
        self.sent += other.sent
        self.refused += other.refused
        self.late += other.late
        self.aside += other.aside
        self.unreadable += other.unreadable
        self.why = other.why or self.why


def pause(answer: Later, failures: int) -> float:
    """Seconds until the next attempt, after so many in a row that failed.

    The backend's own wish, up to five minutes; or twice as long each time, up to one, and not for all clients the same.
    """
    own = min(2.0 ** min(failures - 1, 10), _LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311 - a pause is no secret
    return own if answer.seconds is None else min(max(0.0, answer.seconds), _LONGEST_WISH)
