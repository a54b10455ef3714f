"""Recorded runs, newest first, with what came of them and whether they were analyzed; for the list that people see, and for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from massgen_tracing import layout
from massgen_tracing.errors import RecordingError
from massgen_tracing.insight.summary import Summary, summarise
from massgen_tracing.store.roots import catalogue, order, reader
from massgen_tracing.views.report import FILE


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a run: how often it was attempted, and its report; None where there is none."""

    turn: int
    attempts: int
    report: Path | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A run as its directory tells it; work without a session has no questions."""

    run: catalogue.Run
    turns: tuple[Turn, ...]

    @property
    def is_analyzed(self) -> bool:
        """Whether each of its questions has a report."""
        return bool(self.turns) and all(turn.report is not None for turn in self.turns)


def runs(root: str) -> tuple[int, Iterator[Listed]]:
    """How many runs there are at most, and those that were not started in another one, found out as far as it is asked for.

    Raises:
        RecordingError: if *root* does not exist.
    """
    many, ordered = order.listed(root)
    return many, (_listed(item) for item in ordered if not item.is_nested)


def _listed(item: catalogue.Run) -> Listed:
    if item.log_dir is None:
        return Listed(item, ())
    attempts: dict[int, int] = {}
    for attempt in layout.attempts(item.log_dir):
        attempts[attempt.turn] = attempts.get(attempt.turn, 0) + 1
    if not attempts:  # older layouts have no attempts, or no turns either
        return Listed(item, (Turn(1, 1, _report(item.log_dir / "turn_1") or _report(item.log_dir)),))
    turns = ((turn, many, item.log_dir / f"{layout.TURN_PREFIX}{turn}") for turn, many in sorted(attempts.items()))
    return Listed(item, tuple(Turn(turn, many, _report(folder)) for turn, many, folder in turns))


def _report(folder: Path) -> Path | None:
    path = folder / FILE
    return path if path.is_file() else None


def read(item: catalogue.Run, note: Callable[[str], None], *, alone: bool = False) -> Summary | None:
    """The totals of a run; None where nothing was recorded, or it cannot be read.

    Args:
        item: the run.
        note: is told what cannot be read.
        alone: whether it is the only one that was asked for.

    Raises:
        RecordingError: if it is, and cannot be read.
    """
    try:
        recording = reader.read(item.files())
    except RecordingError as error:
        if alone:
            raise
        note(str(error))
        return None
    if recording.report.sentence:
        note(recording.report.sentence)
    return summarise(recording.spans) if recording.spans else None


def document(listed: Listed, summary: Summary | None) -> dict[str, Any]:
    """One run for programs; what is not known is null."""
    item = listed.run
    started = item.started.astimezone(UTC) if item.started is not None else None
    if summary is not None and summary.start_ns is not None:
        started = datetime.fromtimestamp(summary.start_ns / 1e9, UTC)
    known: dict[str, Any] = {
        "run": item.run_id,
        "directory": None if item.log_dir is None else str(item.log_dir),
        "started": None if started is None else started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "state": None,
        "analyzed": listed.is_analyzed,
        "turns": [
            {"turn": turn.turn, "attempts": turn.attempts, "report": None if turn.report is None else str(turn.report)} for turn in listed.turns
        ],
    }
    if summary is None:
        return known
    return known | {
        "state": summary.state,
        "trace_ids": list(summary.trace_ids),
        "question": summary.question or None,
        "work": summary.work or None,
        "agents": list(summary.agents),
        "seconds": summary.seconds,
        "winner": summary.winner or None,
        "winner_label": summary.winner_label or None,
        "input_tokens": summary.usage.input,
        "output_tokens": summary.usage.output,
        "cost_usd": summary.usage.cost,
        "calls_of_unknown_cost": summary.costless_calls,
        "errors": summary.errors,
        "open": summary.open,
        "interrupted": summary.interrupted,
    }
