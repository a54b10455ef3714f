"""What `massgen-tracing run --automation` prints: a few lines that programs read, in MassGen's words and order.

    LOG_DIR: <absolute path>
    STATUS: <absolute path>
    QUESTION: …
    [Coordination in progress - monitor status.json for real-time updates]
    Phase: initial_answer
    Phase: enforcement
    Phase: presentation
    WINNER: agent_a
    ANSWER_FILE: <path>
    DURATION: 12.3s
    TIMELINE:
      [VOTE] agent_a -> agent_b
      [RESULTS]
        agent_b: 1 vote (winner)
    ANSWER_PREVIEW: …
    FINAL_ANSWER: <absolute path>
    COMPLETED: 2 agents, 12.3s total
    FINAL_DIR: <path>

At most `MAX_LINES`, and no control characters. A run that did not come to its end says why in a line FINISH_REASON, and has FAILED, TIMED_OUT or
INTERRUPTED in the place of COMPLETED; without any answer the lines about it are left out. Where a run that failed is tried once more
(`max_orchestration_restarts`), another STATUS tells where.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from massgen_tracing.layout import RunDirectory
from massgen_tracing.views import text

if TYPE_CHECKING:
    from massgen_tracing.runs.coordinator.coordinator import RunResult
    from massgen_tracing.runs.coordinator.progress import Progress
    from massgen_tracing.semconv import FinishReason

MAX_LINES: Final = 20
_QUESTION: Final = 500
_PREVIEW: Final = 200
_AFTER_TIMELINE: Final = 4
"""Lines that follow the timeline."""

_STILL_TO_COME: Final = 10
"""Lines that may follow the first phase's, but for the timeline."""

_LEAST_TIMELINE: Final = 3
"""Lines of a timeline with the winner alone."""

_LAST_WORDS: Final[Mapping[FinishReason, str]] = {
    "completed": "COMPLETED",
    "error": "FAILED",
    "timeout": "TIMED_OUT",
    "interrupted": "INTERRUPTED",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        reason: in a word.
        details: in words; None where there is nothing to say.
        result: what there is; None without any answer.
        agents: how many took part.
        seconds: how long it took.
    """

    reason: FinishReason
    details: str | None
    result: RunResult | None
    agents: int
    seconds: float


class Automation:
    """Writes the lines.

    Args:
        stream: where to.
        run: the run's directory.
    """

    def __init__(self, stream: TextIO, run: RunDirectory) -> None:
        self._stream: TextIO | None = stream
        self._run = run
        self._lines = 0
        self._phases: set[str] = set()

    def begin(self, question: str) -> None:
        """What is known at the start."""
        self._write(f"LOG_DIR: {self._run.log_dir}")
        self._write(f"STATUS: {self._run.status}")
        self._write(f"QUESTION: {_line(question, _QUESTION)}")
        self._write("[Coordination in progress - monitor status.json for real-time updates]")

    def __call__(self, progress: Progress) -> None:
        """A line where a phase begins for the first time; everything else stands in status.json."""
        if progress.kind == "phase" and progress.text not in self._phases:
            self._phases.add(progress.text)
            self._write(f"Phase: {progress.text}")

    def retry(self, run: RunDirectory) -> None:
        """The run has failed, and is tried once more in another directory; which is said where there is room for it."""
        self._run = run
        if self._lines + _STILL_TO_COME < MAX_LINES:
            self._write(f"STATUS: {run.status}")

    def end(self, ended: Ended) -> None:
        """What is known at the end."""
        result = ended.result
        if result is not None:
            self._write(f"WINNER: {result.winner}")
            self._write(f"ANSWER_FILE: {_relative(self._run.final_answer(result.winner))}")
        if ended.reason != "completed" or ended.details is not None:
            self._write(f"FINISH_REASON: {ended.reason}" + (f" ({_line(ended.details, _QUESTION)})" if ended.details else ""))
        self._write(f"DURATION: {ended.seconds:.1f}s")
        if result is not None:
            for line in _timeline(result, MAX_LINES - self._lines - _AFTER_TIMELINE):
                self._write(line)
            self._write(f"ANSWER_PREVIEW: {_line(result.answer, _PREVIEW)}")
            self._write(f"FINAL_ANSWER: {self._run.final_answer(result.winner)}")
        self._write(f"{_LAST_WORDS[ended.reason]}: {text.count(ended.agents, 'agent')}, {ended.seconds:.1f}s total")
        if result is not None:
            self._write(f"FINAL_DIR: {_relative(self._run.final_answer(result.winner).parents[1])}")

    def _write(self, line: str) -> None:
        self._lines += 1
        if self._stream is not None:
            try:
                self._stream.write(f"{text.clean(line)}\n")
                self._stream.flush()
            except BrokenPipeError:
                # Whoever reads may have read enough; the run is what was asked for, not its lines.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
                self._stream = None


def _line(said: str, width: int) -> str:
    """The beginning of what may be many lines, in one."""
    return text.shorten(" ".join(said.split()), width)


def _timeline(result: RunResult, room: int) -> list[str]:
    """Votes and results in at most *room* lines: all results, or the winner's, and what fits of the votes; none of it where that is not enough."""
    if room < _LEAST_TIMELINE:
        return []
    tally = Counter(result.ballots.values())
    ranked = sorted(tally, key=lambda agent_id: (agent_id != result.winner, -tally[agent_id], agent_id))
    if result.winner not in tally:
        ranked.insert(0, result.winner)
    tied = " (tie-broken)" if sum(count == tally[result.winner] for count in tally.values()) > 1 else ""
    results = [
        f"    {agent_id}: {text.count(tally[agent_id], 'vote')}" + (f" (winner){tied}" if agent_id == result.winner else "") for agent_id in ranked
    ]
    votes = [f"  [VOTE] {voter} -> {chosen}" for voter, chosen in result.ballots.items()]
    room -= 2
    results = results[: max(1, room - (len(votes) if len(votes) < room else 2))]
    room -= len(results)
    if len(votes) > room:
        votes = [*votes[: room - 1], f"  … {text.count(len(votes) - max(room - 1, 0), 'more vote')} in status.json"] if room > 0 else []
    return ["TIMELINE:", *votes, "  [RESULTS]", *results]


def _relative(path: Path) -> str:
    """*path* as seen from here, where it lies below."""
    with contextlib.suppress(OSError, ValueError):  # a working directory that is gone; a path elsewhere
        return str(path.relative_to(Path.cwd()))
    return str(path)
