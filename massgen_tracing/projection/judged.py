"""What the state of a run comes to: who is at what, which votes count, who has won, how it ended."""

from __future__ import annotations

from typing import Final, Literal

from massgen_tracing import semconv
from massgen_tracing.projection.state import AgentState, RoundState, RunState, Said
from massgen_tracing.projection.values import counts, text

Phase = Literal["initial_answer", "enforcement", "presentation"]
Status = Literal["waiting", "streaming", "answered", "voted", "restarting", "error", "timeout", "completed"]

IN_PROGRESS: Final = "in_progress"
_ALMOST: Final = 99
_OUTCOMES: Final[dict[str, Status]] = {"answer": "answered", "vote": "voted", "restarted": "restarting", "error": "error", "timeout": "timeout"}


def agent_status(state: RunState, agent: AgentState) -> Status:
    """What an agent is at."""
    if agent.working and not _over(state):
        return "streaming"
    if agent.vote is None and agent.presentation is not None and agent.presentation.outcome == "answer":
        return "completed"
    latest = agent.latest
    if latest is None:
        return "waiting"
    status = _OUTCOMES.get(latest.outcome)
    if status is not None:
        return status
    return "answered" if agent.answer is not None else "waiting"


def has_failed(agent: AgentState) -> bool:
    """Whether an agent takes no part any more."""
    return not agent.working and agent.latest is not None and agent.latest.outcome in {"error", "timeout"}


def failed_round(agent: AgentState) -> RoundState | None:
    """The round in which an agent failed, if it has."""
    if not has_failed(agent):
        return None
    return agent.latest


def counted_vote(agent: AgentState) -> Said | None:
    """An agent's vote, as long as it counts: whoever is asked again, because there is a new answer, has none."""
    vote, latest = agent.vote, agent.latest
    if vote is None or (latest is not None and vote.round != latest.number):
        return None
    return vote


def restarts(agent: AgentState) -> int:
    """How often others' new answers have made an agent start again: in the middle of a round, or after a vote that was void by that."""
    standing = agent.latest is not None and agent.latest.outcome == "vote"
    return agent.restarts + agent.votes - standing


def votes(state: RunState) -> dict[str, int]:
    """Votes that count, by label; none is 0 once somebody has voted."""
    told = counts(state.about.get(semconv.VOTES))
    if told:
        return dict(sorted(told.items()))
    cast = [vote.label or vote.voted_for for agent in state.agents.values() if (vote := counted_vote(agent)) is not None]
    if not cast:
        return {}
    labels = {agent.answer.label for agent in state.agents.values() if agent.answer is not None} | set(cast)
    return {label: cast.count(label) for label in sorted(labels)}


def winner(state: RunState) -> str:
    """Who has won, as soon as the final answer stands; empty until then."""
    return text(state.about.get(semconv.WINNER)) or (state.final.agent_id if state.final is not None else "")


def winner_label(state: RunState) -> str:
    """The label of the answer that has won; empty where there is none."""
    return text(state.about.get(semconv.WINNER_LABEL)) or state.winner_label


def final_answer(state: RunState) -> Said | None:
    """The final answer; where a run has ended without a presentation, the answer that has won."""
    won = winner(state)
    if state.final is not None and state.final.agent_id == won:
        return state.final
    agent = state.agents.get(won)
    if agent is None or agent.answer is None or state.end_ns is None:
        return None
    return agent.answer


def presents(state: RunState) -> bool:
    """Whether the winner presents, or has presented."""
    return state.final is not None or any(agent.presentation is not None for agent in state.agents.values())


def phase(state: RunState) -> Phase:
    """The phase of the coordination; it never goes back."""
    if presents(state):
        return "presentation"
    agents = state.agents.values()
    if any(agent.vote is not None for agent in agents):
        return "enforcement"
    given = any(agent.answer is not None for agent in agents) and all(agent.answer is not None or agent.failures for agent in agents)
    return "enforcement" if given else "initial_answer"


def finish_reason(state: RunState) -> str:
    """How it ended, `in_progress` while it has not."""
    told = text(state.about.get(semconv.FINISH_REASON))
    if state.end_ns is None:
        return "interrupted" if state.interrupted else IN_PROGRESS
    if told:
        return told
    if "coordination_interrupted" in state.coordination or state.about.get(semconv.OUTCOME) == "cancelled":
        return "interrupted"
    if "coordination_timeout" in state.coordination:
        return "timeout"
    return "error" if state.failed else "completed"


def finish_details(state: RunState) -> str | None:
    """More about how it ended."""
    told = text(state.about.get(semconv.FINISH_DETAILS))
    if told:
        return told
    reason = finish_reason(state)
    if reason == "completed":
        won = winner(state)
        return f"Winner: {won}" if won else None
    if state.interrupted and state.end_ns is None:
        return "The process ended before the run did"
    return None


def completion(state: RunState) -> int:
    """How far it is, in percent, by answers and votes; 100 when the final answer of a run that has ended stands."""
    if state.end_ns is not None and winner(state):
        return 100
    done = sum(2 if has_failed(agent) else (agent.answer is not None) + (agent.vote is not None) for agent in state.agents.values())
    return min(_ALMOST, 100 * done // (2 * len(state.agents))) if state.agents else 0


def active_agent(state: RunState) -> str | None:
    """The first agent, in the order of the session, that is at work; None where nobody is."""
    if _over(state):
        return None
    return next((agent.id for agent in state.agents.values() if agent.working), None)


def _over(state: RunState) -> bool:
    return state.end_ns is not None
