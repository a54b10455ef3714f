"""Log directories for tests: those of real runs, trimmed, as they lie in `data/`, and ones of the older layout, written by hand.

Each real run has `endpoint.json` beside it: what the model endpoint that it talked to counted by itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from massgen_tracing.runs.massgen import imports
from massgen_tracing.runs.massgen.imports import Imported

DATA = Path(__file__).parent / "data"
ANSWERED = ["v0_1_32_normal", "v0_1_32_fail", "v0_1_65_normal", "v0_1_97_normal", "v0_1_97_fail", "v0_1_97_two"]
"""Runs that came to an answer."""

UNANSWERED = ["v0_1_32_all_fail", "v0_1_32_timeout", "v0_1_97_all_fail", "v0_1_97_timeout"]
ALL = ANSWERED + UNANSWERED


def attempt(run: Path) -> Path:
    """The one attempt of a run."""
    (found,) = run.glob("massgen_logs/log_*/turn_1/attempt_1")
    return found


def copy(name: str, to: Path) -> Path:
    """A copy of a real run's root."""
    return Path(shutil.copytree(DATA / name, to / name))


def read(path: Path) -> Imported:
    """The one run in *path*."""
    (place,) = imports.find(path)
    return imports.read(place)


def spans(made: Imported, prefix: str) -> list[Any]:
    """The spans whose names begin with *prefix*, by start."""
    return sorted((span for span in made.spans if span.name.startswith(prefix)), key=lambda span: span.start_time)


def document(run: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run."""
    found: dict[str, Any] = json.loads((attempt(run) / name).read_text())
    return found


def misplaced(made: Imported) -> list[str]:
    """Names of the spans that do not lie in their parent, by ancestor and by time; a tree has one root."""
    known: dict[int, Any] = {span.span_id: span for span in made.spans}
    wrong = [span.name for span in made.spans if span.parent is None and span.name != "coordination.session"]
    for span in made.spans:
        if span.parent is None:
            continue
        above, end = known.get(span.parent.span_id), span.end_time or 0
        if above is None or not above.start_time <= span.start_time <= end <= above.end_time:
            wrong.append(span.name)
    return wrong


def older(root: Path, *, answers: int = 5, directories: bool = True) -> Path:
    """A run of MassGen 0.1.8 as its documents show one: no turns, no attempts, no metrics, no events.

    Args:
        root: gets the run.
        answers: how many each agent gives.
        directories: whether the agents' own directories are there, too.
    """
    run = root / "massgen_logs" / "log_20251105_074751_835636"
    run.mkdir(parents=True)
    start = 1762328873.189
    agents: dict[str, Any] = {
        agent: {
            "status": "voted",
            "answer_count": answers,
            "latest_answer_label": f"agent{place}.{answers}",
            "vote_cast": {"voted_for_agent": "agent_b", "voted_for_label": f"agent2.{answers}", "reason_preview": "complete and tested"},
            "times_restarted": answers,
            "last_activity": start + 700,
            "error": None,
        }
        for place, agent in enumerate(("agent_a", "agent_b"), 1)
    }
    status = {
        "meta": {"last_updated": start + 712.337, "session_id": run.name, "log_dir": f".massgen/massgen_logs/{run.name}",
                 "question": "Analyse MassGen.", "start_time": start, "elapsed_seconds": 712.337},
        "coordination": {"phase": "presentation", "active_agent": None, "completion_percentage": 100, "is_final_presentation": True},
        "agents": agents,
        "results": {"winner": "agent_b", "votes": {f"agent2.{answers}": 2}, "final_answer_preview": "Following a comprehensive analysis…"},
    }  # fmt: skip
    (run / "status.json").write_text(json.dumps(status))
    (run / "massgen.log").write_text("07:47:52 | INFO     | started\n07:59:45 | INFO     | done\n")
    _text(run / "final" / "agent_b" / "answer.txt", "Following a comprehensive analysis of MassGen's performance, two gaps remain.")
    if directories:
        for agent in agents:
            for number in range(1, answers + 1):
                _text(run / agent / f"20251105_07{48 + number:02d}00_000000" / "answer.txt", f"answer {number} of {agent}")
            vote = {"voter_id": agent, "voted_for": "agent_b", "reason": "complete and tested", "timestamp": "20251105_075900_000000"}
            _text(run / agent / "20251105_075900_000000" / "vote.json", json.dumps(vote))
    return run


def _text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(content)


def labels(made: Imported) -> Sequence[str]:
    """Labels of the answers, in order."""
    return [span.attributes["massgen.answer_label"] for span in spans(made, "Agent answer: ")]
