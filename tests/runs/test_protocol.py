"""Voting, the board, and the reading of replies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.runs.coordinator.board import Answer, Board, Refusal
from massgen_tracing.runs.coordinator.config import Limits
from massgen_tracing.runs.coordinator.protocol import CastVote, GiveAnswer, ToolCall, opening, read_move, workflow_tools
from massgen_tracing.runs.coordinator.voting import Candidate, choose_winner


def board(**limits) -> Board:
    """A board of three agents."""
    return Board(["b", "a", "c"], Limits(**limits))


def call(name: str, **arguments) -> ToolCall:
    """A tool call with these arguments."""
    return ToolCall("1", name, json.dumps(arguments))


def refused(verdict) -> str:
    """The reason of a refusal."""
    assert isinstance(verdict, Refusal), verdict
    return verdict.reason


@pytest.mark.parametrize(
    ("candidates", "winner", "reason"),
    [
        ([Candidate("a", "a.1", 1, 0.1, 0), Candidate("b", "b.1", 2, 9.0, 1)], "b", "most votes (2 of 3 votes)"),
        ([Candidate("a", "a.1", 1, 0.2, 0), Candidate("b", "b.1", 1, 0.1, 1)], "b", "lowest cost ($0.100000 against $0.200000)"),
        ([Candidate("a", "a.1", 1, None, 0), Candidate("b", "b.1", 1, 0.1, 1)], "b", "against unknown"),
        ([Candidate("a", "a.1", 0, None, 1), Candidate("b", "b.1", 0, None, 0)], "b", "earliest answer"),
        ([Candidate("b", "b.1", 0, 0.1, 0), Candidate("a", "a.1", 0, 0.1, 0)], "a", "first agent id"),
        ([Candidate("a", "a.1", 0, None, 0)], "a", "only answer"),
    ],
)
def test_winner_and_reason(candidates, winner, reason):
    """Most votes, then lowest cost, then earliest answer, then agent id; the reason says which of them decided."""
    choice = choose_winner(candidates)
    assert choice.winner.agent_id == winner
    assert reason in choice.reason


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(0, 1))), min_size=1, max_size=6), st.randoms())
def test_winner_does_not_hang_on_the_order(rows, random):
    """The same votes give the same winner, in whatever order the candidates come."""
    candidates = [Candidate(f"a{n}", f"a{n}.1", votes, cost, n) for n, (votes, cost) in enumerate(rows)]
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert choose_winner(candidates) == choose_winner(shuffled)


def test_no_candidates():
    """Nobody wins where nobody answered."""
    with pytest.raises(ValueError, match="no answer"):
        choose_winner([])


def test_new_answer_voids_votes():
    """A vote counts until the next answer."""
    state = board()
    first = state.add_answer("a", "one")
    state.add_vote("b", first, "")
    assert state.candidates(lambda _: None)[0].votes == 1
    state.add_answer("b", "two")
    assert state.votes == {}


def test_view_holds_latest_answers_by_agent_id():
    """An agent sees the latest answer of each agent, in the order of ids, and knows when it is old."""
    state = board()
    state.add_answer("c", "one")
    state.add_answer("a", "two")
    state.add_answer("c", "three")
    view = state.view("b")
    assert view.labels == ("agent1.1", "agent3.2")
    assert not state.is_old(view)
    state.add_answer("b", "four")
    assert state.is_old(view)


def test_votes_by_place_id_or_label():
    """A vote may name the place, the agent or the label."""
    state = board()
    answer = state.add_answer("b", "one")
    view = state.view("a")
    for name in ("agent2", "b", "agent2.1", " agent2 "):
        assert read_move([call("vote", agent_id=name, reason="r")], "a", view, state) == CastVote(answer, "r")


def test_refusals():
    """Each wrong move has MassGen's reason code."""
    state = board(max_answers=1)
    empty = state.view("a")
    assert refused(read_move([call("vote", agent_id="agent1")], "a", empty, state)) == "vote_no_answers"
    assert read_move([call("new_answer", content="one")], "a", empty, state) == GiveAnswer("one")
    state.add_answer("a", "one")
    view = state.view("b")
    assert refused(read_move([call("vote", agent_id="agent2")], "b", view, state)) == "invalid_vote_id"
    assert refused(read_move([call("vote", agent_id="agent1"), call("new_answer", content="x")], "b", view, state)) == "vote_and_answer"
    assert refused(read_move([call("new_answer", content=" one ")], "b", view, state)) == "answer_duplicate"
    assert refused(read_move([call("new_answer", content="two")], "a", view, state)) == "answer_limit"
    assert refused(read_move([call("new_answer", content=" ")], "b", view, state)) == "no_workflow_tool"
    assert refused(read_move([ToolCall("1", "vote", "{")], "b", view, state)) == "no_workflow_tool"
    assert refused(read_move([ToolCall("1", "vote", "[]")], "b", view, state)) == "no_workflow_tool"


def test_novelty():
    """Where novelty is asked for, an answer that repeats another one is refused."""
    state = board(novelty=0.7)
    state.add_answer("a", "one two three four")
    view = state.view("b")
    assert refused(read_move([call("new_answer", content="one two three four five")], "b", view, state)) == "answer_novelty"
    assert isinstance(read_move([call("new_answer", content="five six seven one")], "b", view, state), GiveAnswer)


def test_offered_moves():
    """`vote` is offered once there are answers, `new_answer` while there are answers left."""
    state = board(max_answers=1)

    def offered(agent_id):
        return [tool["function"]["name"] for tool in workflow_tools(state.view(agent_id), state)]

    assert offered("a") == ["new_answer"]
    state.add_answer("a", "one")
    assert offered("a") == ["vote"]
    assert offered("b") == ["new_answer", "vote"]


def test_prompt_names_no_agent():
    """Agents see each other's answers under places and labels, never under ids."""
    state = Board(["secret_one", "secret_two"], Limits())
    state.answers.append(Answer("secret_one", "agent1.1", "the text", 0))
    prompt = str(opening("the question", "Be brief.", state.view("secret_two"), state))
    assert "the text" in prompt
    assert "agent1.1" in prompt
    assert "secret" not in prompt
