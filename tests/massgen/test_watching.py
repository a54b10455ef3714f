"""What `watch` says of runs of real MassGen, by what they have left: MassGen itself ends with exit code 0 whatever became of them."""

from __future__ import annotations

import asyncio

import pytest

from massgen_tracing.runs.watch import FINAL
from rehearsal.cases import CASES
from rehearsal.run import Ran
from tests.runs.watch.seen import until, watch

pytestmark = pytest.mark.massgen


def test_what_became_of_a_run(ran: Ran, request: pytest.FixtureRequest) -> None:
    """An answer is a success; that no agent had one is a failure, or that they had no time to."""
    case = CASES[request.node.callspec.params["ran"][1]]
    [log_dir] = ran.place.glob(".massgen/massgen_logs/log_*")

    async def became() -> str:
        async with watch(str(log_dir)) as watcher:
            return (await until(watcher, lambda change: change.role == "target" and change.state in FINAL)).state

    assert asyncio.run(became()) == ("completed" if case.answered else "timed_out" if case.setup.timeout else "failed")
