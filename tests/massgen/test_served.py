"""Real MassGen with its own `--logfire`, and nothing of ours in its process, sends to our server; Logfire's client asks what happened."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from logfire.query_client import LogfireQueryClient

from massgen_tracing.serve import running
from massgen_tracing.serve.app import application
from massgen_tracing.serve.served import Served
from rehearsal.cases import NO_SERVER
from rehearsal.environments import Environment
from rehearsal.run import agents, stage
from rehearsal.script import Script

pytestmark = pytest.mark.massgen

SESSIONS = """SELECT trace_id, attributes->>'massgen.task' AS task, attributes->'massgen.num_agents' AS agents FROM records
    WHERE span_name = 'coordination.session' ORDER BY start_timestamp DESC LIMIT 10"""
ROUNDS = """SELECT attributes->>'massgen.agent_id' AS agent, count(*) AS rounds FROM records
    WHERE span_name LIKE 'agent.%.round_%' AND trace_id = '{}' GROUP BY 1 ORDER BY 1"""
STARTED = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.part("logfire")
def test_massgens_own_tracing_is_asked_here(newest_preloaded: Environment, tmp_path: Path) -> None:
    """The newest of the sessions (MassGen opens one that stays empty, too) and the rounds of each agent, as its skill tells people to ask Logfire."""
    root = tmp_path / "served"
    with (
        running.listener("127.0.0.1", 0) as of,
        application(Served(root)) as app,
        running.running(app, of) as url,
        stage(newest_preloaded, Script(agents(3), seed=51), NO_SERVER, place=tmp_path) as here,
    ):
        ran = here.run(here.massgen("--logfire"), traced=False, env={"LOGFIRE_TOKEN": "any", "LOGFIRE_BASE_URL": url})
        assert ran.code == 0, ran.stderr
        with LogfireQueryClient("any", base_url=url) as client:
            session, *_ = client.query_json_rows(SESSIONS, min_timestamp=STARTED)["rows"]
            rounds = client.query_json_rows(ROUNDS.format(session["trace_id"]), min_timestamp=STARTED)["rows"]
    assert session["agents"] == 3
    assert session["task"]
    assert [row["agent"] for row in rounds] == sorted(agents(3))
