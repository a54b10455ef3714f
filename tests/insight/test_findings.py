"""What is found in runs with planted faults, in their clean twins, and in what is no run at all."""

from __future__ import annotations

from typing import Any

import pytest

from massgen_tracing.insight.decisions import coordinations
from massgen_tracing.insight.findings import KINDS, Finding, find
from massgen_tracing.insight.parts import Parts
from massgen_tracing.model import SpanRecord
from massgen_tracing.thresholds import Thresholds
from tests.insight.planted import FAULTS, TEXTS, Play, Stage, early, model, play

LIMITS = Thresholds()
SPLIT = {"self_vote", "vote_against_shown"}
"""Of the votes of one run not all can be planted at once."""


def found(spans: tuple[SpanRecord, ...], **limits: Any) -> list[Finding]:
    return find(Parts(spans), Thresholds(**limits))


def matches(code: str, each: Finding, names: dict[str, str], *, exactly: bool) -> bool:
    """Whether a finding is that of a planted fault: its agents, rounds and evidence, and where nothing else is planted its cost."""
    fault = FAULTS[code]
    shown = tuple(names[span] for span in (piece.span_id for piece in each.evidence) if span)
    is_right = each.code == code and "".join(each.agents) == fault.agents and (not fault.shown or shown == fault.shown)
    if exactly:
        cost = [(fault.seconds, each.cost.seconds), (fault.tokens, each.cost.tokens), (fault.usd, each.cost.usd)]
        is_right &= all(expected is None or got == pytest.approx(expected) for expected, got in cost)
        is_right &= set(fault.rounds) <= set(each.rounds) if not fault.shown else each.rounds == fault.rounds
    return is_right


def test_every_code_is_planted() -> None:
    """None can be found that is not tried."""
    assert set(FAULTS) == set(KINDS)


@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(code: str) -> None:
    """With whom it concerns, the rounds, the spans that show it, and what it cost; its clean twin gives nothing."""
    spans = play(code)
    told = found(spans)
    names = {span.span_id: span.name for span in spans}
    assert {each.code for each in told} == {code, *FAULTS[code].also}
    assert [each for each in told if matches(code, each, names, exactly=True)], told
    assert found(play(code, twins=True)) == []


def test_all_planted_faults_of_one_run_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them; and nothing is found that was not planted, by way of one fault or another."""
    planted = [code for code in FAULTS if code not in SPLIT]
    spans = play(*planted)
    told = found(spans, slow_share=0.05, run_ratio=1)
    names = {span.span_id: span.name for span in spans}
    right = [code for code in planted if any(matches(code, each, names, exactly=False) or _is_mixed(code, each) for each in told)]
    wanted = {*planted, *(also for code in planted for also in FAULTS[code].also)}
    true = [each for each in told if each.code in wanted]
    with capsys.disabled():
        print(f"\nplanted {len(planted)}, found {len(right)}: recall {len(right) / len(planted):.0%}, precision {len(true) / len(told):.0%}")
    assert right == planted
    assert len(true) == len(told)


def _is_mixed(code: str, each: Finding) -> bool:
    """Whether it is a fault that others planted beside it have changed: rounds have other numbers, and further spans show it."""
    return each.code == code and set(FAULTS[code].agents) <= set(each.agents)


def test_clean_twins_of_all_together_give_nothing() -> None:
    """As much of everything as is no fault."""
    assert found(play(*FAULTS, twins=True)) == []


def test_agents_that_never_vote_lack_no_vote() -> None:
    """A session in which nobody votes, or was to, has come to its end without; where some vote, the others lack theirs."""
    stage = Stage()
    with stage.tracer.session("Which bridge?", agents=list("ab")) as session:
        for agent in "ab":
            with session.agent_round(agent) as rnd:
                rnd.answer(None, TEXTS[agent])
        session.winner("a", "agent1.1", {"agent1.1": 2}, "most votes")
        session.final_answer("a", TEXTS["a"])
        session.finished("completed")
    assert found(stage.records()) == []
    voting = Play()
    voting.abstains = "a"
    [lacks] = found(voting.perform().records())
    assert (lacks.code, lacks.agents, lacks.severity) == ("incomplete_coordination", ("a",), "medium")
    assert lacks.what == "The coordination did not come to its end as it should: no vote that counts of a"


def test_votes_with_and_without_a_label_count_together() -> None:
    """A vote that names an agent is for the answer of that agent which others name, the latest one; where nobody names one, for the agent."""
    stage = Stage()
    votes = {"a": ("b", "agent2.1"), "b": ("b", None), "c": ("a", None)}
    with stage.tracer.session("Which bridge?", agents=list("abc")) as session:
        for agent in "abc":
            with session.agent_round(agent) as rnd:
                rnd.answer(None, TEXTS[agent])
        for agent, (target, label) in votes.items():
            with session.agent_round(agent) as rnd:
                rnd.vote(target, label)
        session.winner("b", "agent2.1", {"agent2.1": 2, "agent1.1": 1}, "most votes")
    [told] = coordinations(Parts(stage.records()))
    assert told.tally() == {"a": 1, "agent2.1": 2}
    assert told.votes_for_winner == 2
    assert "vote_split" not in {each.code for each in found(stage.records())}


def test_a_cost_that_leaves_calls_out_says_how_many() -> None:
    """Of findings about rounds and about agents: what they cost is at least that much."""
    made = Play()
    for code in ("cost_outlier", "wasted_round"):
        FAULTS[code].plant(made)
    early("c", lambda stage, rnd: model(stage, rnd, name="unheard-of", input=7, output=3))(made)
    costs = {each.code: each.cost for each in found(made.perform().records())}
    assert costs["cost_outlier"].costless_calls == 1
    assert costs["wasted_round"].costless_calls == 0


def test_findings_are_the_same_twice_whatever_the_order_of_the_spans() -> None:
    """Pure functions."""
    spans = play(*FAULTS)
    assert found(spans) == found(tuple(reversed(spans)))


def test_every_finding_has_evidence_in_the_run() -> None:
    """Spans that are there, and a sentence each."""
    spans = play(*FAULTS)
    known = {span.span_id for span in spans}
    for each in found(spans):
        assert each.evidence
        assert all(piece.text for piece in each.evidence)
        assert set(each.spans) <= known
