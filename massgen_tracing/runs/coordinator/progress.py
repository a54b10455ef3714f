"""What a run tells while it goes on, for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ProgressKind = Literal[
    "started", "phase", "round", "text", "tool", "spent", "retry", "restart", "answer", "vote", "failed", "timeout", "budget", "winner", "final"
]


@dataclass(frozen=True, slots=True)
class Progress:
    """Something to show while a run goes on.

    Attributes:
        agent_id: empty for the run itself.
        text: what it is about: a label, a tool's name, a piece of text, a message.
        tokens, cost: with `spent`, what the agent has used so far; the cost in USD, None where no price is known.
    """

    kind: ProgressKind
    agent_id: str
    text: str
    tokens: int = 0
    cost: float | None = None


OnProgress = Callable[[Progress], None]


class Pulse:
    """Passes on what a run tells, and knows when it last told anything.

    Args:
        on_progress: told of everything.

    Attributes:
        last: monotonic seconds of the last sign of life.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self.last = time.monotonic()
        self._on_progress = on_progress

    def __call__(self, progress: Progress) -> None:
        self.last = time.monotonic()
        self._on_progress(progress)
