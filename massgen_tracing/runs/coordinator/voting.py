"""Who wins, and why: a pure function, so that the same votes always give the same winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent whose latest answer can win.

    Attributes:
        label: label of that answer.
        votes: how many agents voted for it.
        cost: what the agent has cost so far in USD; None when no price is known.
        order: the answer's place among all answers of the run, from 0.
    """

    agent_id: str
    label: str
    votes: int
    cost: float | None
    order: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner and the reason, as a sentence."""

    winner: Candidate
    reason: str


def choose_winner(candidates: Sequence[Candidate]) -> Choice:
    """Most votes, then lowest cost (an unknown cost after every known one), then earliest answer, then agent id.

    Raises:
        ValueError: without candidates.
    """
    if not candidates:
        raise ValueError("there is no answer to choose from")
    ranked = sorted(candidates, key=_rank)
    winner = ranked[0]
    votes = f"{winner.votes} of {sum(candidate.votes for candidate in candidates)} votes"
    tied = [candidate for candidate in ranked[1:] if candidate.votes == winner.votes]
    if len(candidates) == 1:
        return Choice(winner, f"only answer, {votes}")
    if not tied:
        return Choice(winner, f"most votes ({votes})")
    names = ", ".join(candidate.label for candidate in tied)
    return Choice(winner, f"{votes}, tied with {names}; {_tie_break(winner, tied[0])}")


def _rank(candidate: Candidate) -> tuple[int, bool, float, int, str]:
    return (-candidate.votes, candidate.cost is None, candidate.cost or 0.0, candidate.order, candidate.agent_id)


def _tie_break(winner: Candidate, second: Candidate) -> str:
    if winner.cost is not None and winner.cost != second.cost:
        other = "unknown" if second.cost is None else f"${second.cost:.6f}"
        return f"lowest cost (${winner.cost:.6f} against {other})"
    if winner.order != second.order:
        return "earliest answer"
    return "first agent id"
