"""What is found in runs of the coordinator: nothing in one without faults, and what is planted by the scripted endpoint and the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from massgen_tracing.insight.findings import Finding, find
from massgen_tracing.insight.parts import Parts
from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Asked, Turn
from massgen_tracing.sinks.recording import whole
from massgen_tracing.store.roots.reader import Reader
from massgen_tracing.thresholds import Thresholds
from tests.insight.planted import TEXTS

USAGE = Usage(input=2000, output=100, reasoning=0, cached_input=1024)


def found(ran: Any) -> list[Finding]:
    """The findings of a run, as its recording would have them."""
    reader = Reader()
    reader.add_lines(whole.encode(ran.spans.all).splitlines(keepends=True), source="run")
    return find(Parts(reader.recording().spans), Thresholds())


def plain(kit: Any, change: Callable[[Asked], Turn | None] = lambda _: None) -> Callable[[Asked], Turn]:
    """An agent that answers, and agrees with itself when it is asked; *change* replies where it has something else to say.

    Of several agents, who sees whose answer first is for the machine to say; one alone does the same each time.
    """

    def reply(asked: Asked) -> Turn:
        if (changed := change(asked)) is not None:
            return changed
        turn = Turn("The final answer.") if kit.presenting(asked) else kit.vote("agent1") if kit.seen(asked) else kit.answer(TEXTS["a"])
        return replace(turn, usage=USAGE)

    return reply


async def test_a_run_without_faults_has_no_findings(coordinate: Any, kit: Any) -> None:
    """An agent that answers, votes and presents."""
    ran = await coordinate(plain(kit), kit.agents("agent_a"))
    assert ran.answered.winner == "agent_a"
    assert found(ran) == []


@pytest.mark.parametrize("code", ["agent_error", "enforcement", "missing_usage"])
async def test_a_fault_of_a_run_is_found(code: str, coordinate: Any, kit: Any) -> None:
    """With its agent, and nothing else but what follows from it."""

    def plant(asked: Asked) -> Turn | None:
        if code == "agent_error":
            return Turn("no such model", status=400)
        if code == "enforcement":
            return Turn("I forgot how to answer.", usage=USAGE) if asked.number < 3 else None
        return None if kit.seen(asked) else cast("Turn", kit.answer(TEXTS["a"]))

    ran = await coordinate(plain(kit, plant), kit.agents("agent_a"))
    told = found(ran)
    assert {each.code for each in told} == {code} | ({"incomplete_coordination"} if code == "agent_error" else set())
    [one] = [each for each in told if each.code == code]
    assert (one.agents, one.rounds) == (("agent_a",), (0,))
    if code == "agent_error":
        assert "no such model" in one.evidence[-1].text
