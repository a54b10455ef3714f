"""Answers and votes so far, and which moves are allowed: the one shared state of a run.

Plain and without tasks or clocks: agents' rounds ask it and tell it from one event loop, one call at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from massgen_tracing.semconv import ANSWER_LABEL, EnforcementReason

from .config import Limits
from .voting import Candidate


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; *order* is its place among all answers of the run, from 0."""

    agent_id: str
    label: str
    text: str
    order: int


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote that counts."""

    voter: str
    agent_id: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """What an agent sees during one round.

    Attributes:
        answers: latest answer of each agent that has one, by agent id.
        revision: how many answers there were; a newer answer makes the view old.
        may_answer: whether the agent has answers left.
    """

    answers: tuple[Answer, ...]
    revision: int
    may_answer: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the answers."""
        return tuple(answer.label for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A move that is not allowed: MassGen's reason code, and what the agent is told."""

    reason: EnforcementReason
    message: str


class Board:
    """The state of one run.

    Args:
        agent_ids: all agents.
        limits: the run's bounds.
    """

    def __init__(self, agent_ids: Sequence[str], limits: Limits) -> None:
        self.agent_ids = tuple(sorted(agent_ids))
        self._limits = limits
        self.answers: list[Answer] = []
        self.votes: dict[str, Vote] = {}

    def view(self, agent_id: str) -> View:
        """What *agent_id* sees now."""
        latest = {answer.agent_id: answer for answer in self.answers}
        answers = tuple(latest[other] for other in self.agent_ids if other in latest)
        return View(answers, len(self.answers), self._given(agent_id) < self._limits.max_answers)

    def is_old(self, view: View) -> bool:
        """Whether an answer came after *view* was taken."""
        return view.revision != len(self.answers)

    def place(self, agent_id: str) -> str:
        """The agent's name without its id (`agent1`), under which the others see it."""
        return f"agent{self.agent_ids.index(agent_id) + 1}"

    def refuse_answer(self, agent_id: str, text: str) -> Refusal | None:
        """Why *agent_id* may not give this answer; None if it may."""
        if self._given(agent_id) >= self._limits.max_answers:
            return Refusal("answer_limit", f"You have given {self._limits.max_answers} answers, which is the limit. Call vote instead.")
        if any(answer.text.strip() == text.strip() for answer in self.answers):
            return Refusal("answer_duplicate", "This answer exists already, word for word. Vote for it, or give a different one.")
        if self._limits.novelty < 1.0:
            words = _words(text)
            for answer in self.answers:
                shared = len(words & _words(answer.text)) / max(len(words), 1)
                if shared > self._limits.novelty:
                    return Refusal(
                        "answer_novelty",
                        f"{shared:.0%} of this answer's words stand in {answer.label} already, at most {self._limits.novelty:.0%} may."
                        " Vote, or give an answer that is really new.",
                    )
        return None

    def add_answer(self, agent_id: str, text: str) -> Answer:
        """Add an answer; every vote cast so far is void from now on."""
        # Not the session's label, which is the same: a run without tracing has labels too.
        label = ANSWER_LABEL.format(place=self.agent_ids.index(agent_id) + 1, count=self._given(agent_id) + 1)
        answer = Answer(agent_id, label, text, len(self.answers))
        self.answers.append(answer)
        self.votes.clear()
        return answer

    def find(self, view: View, name: str) -> Answer | Refusal:
        """The answer that a vote names, as `agent1`, as an agent's id, or by its label."""
        if not view.answers:
            return Refusal("vote_no_answers", "There is no answer to vote for yet. Call new_answer.")
        wanted = name.strip()
        for answer in view.answers:
            if wanted in {self.place(answer.agent_id), answer.agent_id, answer.label}:
                return answer
        known = ", ".join(self.place(answer.agent_id) for answer in view.answers)
        return Refusal("invalid_vote_id", f"There is no answer of {wanted!r}. Vote for one of: {known}.")

    def add_vote(self, voter: str, answer: Answer, reason: str) -> Vote:
        """Count a vote."""
        vote = self.votes[voter] = Vote(voter, answer.agent_id, answer.label, reason)
        return vote

    def all_voted(self, active: Sequence[str]) -> bool:
        """Whether every one of *active* has a vote that counts."""
        return all(agent_id in self.votes for agent_id in active)

    def candidates(self, cost: Callable[[str], float | None]) -> list[Candidate]:
        """Every agent with an answer, with its votes; *cost* gives an agent's cost in USD."""
        latest = {answer.agent_id: answer for answer in self.answers}
        tally = [vote.agent_id for vote in self.votes.values()]
        return [Candidate(agent_id, answer.label, tally.count(agent_id), cost(agent_id), answer.order) for agent_id, answer in latest.items()]

    def latest(self, agent_id: str) -> Answer:
        """The agent's latest answer.

        Raises:
            LookupError: if it has none.
        """
        for answer in reversed(self.answers):
            if answer.agent_id == agent_id:
                return answer
        raise LookupError(agent_id)

    def _given(self, agent_id: str) -> int:
        return sum(answer.agent_id == agent_id for answer in self.answers)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
