"""`make demo`: a real run of three agents on a scripted model, the span tree that it left, and questions put to it in SQL.

Everything goes through the command line, as a user would go: nothing here is shown that the commands do not show.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from massgen_tracing import settings
from massgen_tracing.views.cli import main as command

QUESTION: Final = "Which storage layout should a small library use?"

QUERIES: Final = (
    (
        "What did each agent's rounds come to, and what did restarts waste?",
        """SELECT attributes->>'massgen.agent_id' AS agent, attributes->>'massgen.outcome' AS outcome, COUNT(*) AS rounds,
       ROUND(SUM(duration)::numeric, 2) AS seconds, SUM((attributes->'massgen.usage.input')::int) AS input_tokens
FROM records WHERE span_name LIKE 'agent.%.round_%' GROUP BY 1, 2 ORDER BY 1, 2""",
    ),
    (
        "Which models were asked, how fast, at what price?",
        """SELECT attributes->>'gen_ai.request.model' AS model, COUNT(*) AS calls, ROUND(AVG(duration)::numeric, 3) AS avg_seconds,
       ROUND(AVG((attributes->'gen_ai.response.time_to_first_chunk')::float)::numeric, 3) AS first_chunk,
       ROUND(SUM((attributes->'operation.cost')::float)::numeric, 5) AS usd
FROM records WHERE span_name LIKE 'llm.%' GROUP BY 1 ORDER BY usd DESC""",
    ),
    (
        "Who voted for what, and when?",
        """SELECT start_timestamp, span_name, attributes->>'massgen.vote.reason' AS reason
FROM records WHERE span_name LIKE 'Agent vote:%' ORDER BY start_timestamp""",
    ),
)


def main() -> int:
    """Run the demo; returns an exit code."""
    heading("Three agents, one question, a scripted model behind a real HTTP endpoint, a real MCP server each")
    say(f'$ massgen-tracing run --dry-run "{QUESTION}"')
    code = command(["run", "--dry-run", QUESTION])
    if code:
        return code
    heading("What happened: every span under the round that it belongs to")
    say("$ massgen-tracing trace --depth 3")
    code = command(["trace", "--depth", "3"])
    for question, query in QUERIES:
        heading(question)
        say(f'$ massgen-tracing sql "{query}"')
        code = code or command(["sql", "--since", "1m", query])
    heading("Where to look next")
    if shutil.which("massgen-tracing") is None:
        say(f"  first, for the command to be found:  . {Path(sys.prefix) / 'bin' / 'activate'}")
    say("  massgen-tracing view                all of it in a browser: agents over time, votes, cost, every span")
    say("  massgen-tracing logs list           every run so far")
    say("  massgen-tracing trace RUN           the tree of one of them")
    say("  massgen-tracing summary RUN         what it cost, what was thrown away, what was slow, what failed")
    say("  massgen-tracing report RUN -o FILE  a page with pictures: findings, rounds, votes, cost")
    say("  massgen-tracing doctor              what works here, and what to do about the rest")
    say("  massgen-tracing sql --query NAME    more questions: one of the queries of dashboards/")
    say(f"  {settings.resolve({})['root']}/massgen_logs/".ljust(36) + "  beside each recording: status.json, answers, metrics, logs")
    say('  massgen-tracing run --config examples/local.yaml "…"    the same with an endpoint of your own')
    return code


def heading(text: str) -> None:
    """Begin a part."""
    say(f"\n── {text} {'─' * max(2, 96 - len(text))}\n")


def say(text: str) -> None:
    """Say a line, at once: other programs write to the same terminal."""
    print(text, flush=True)  # noqa: T201 - this is what the demo is for


if __name__ == "__main__":
    sys.exit(main())
