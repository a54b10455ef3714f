"""A prompt for a coding assistant that is to judge what cannot be computed: where the files are, what is known already, what to ask."""

from __future__ import annotations

import json
import shlex
from typing import Final

from massgen_tracing.views.report import FILE, facts
from massgen_tracing.views.report.accounts import files_of
from massgen_tracing.views.report.blocks import MOST
from massgen_tracing.views.report.subject import Subject, told

QUESTIONS: Final = (
    "Strategy: which approach did each agent take, and did it fit the task?",
    "Tool responses: how did each agent take successes, failures and results that contradict each other?",
    "Error recovery: did it notice what went wrong, and was its way around it a good one?",
    "Decision quality: where did it verify too much or too little, go round in circles, or answer too early?",
    "Evaluation: do the reasons of the votes speak of what stands in the answers?",
    "Collaboration: what did later answers take from earlier ones, and what did they lose?",
    "Causes: which of the findings have the same cause, and what would remove it?",
)
"""What needs judgement."""

NEUTRAL: Final = (
    "Do not call any answer right or wrong unless the user gives the ground truth: agents claimed, produced, submitted, arrived at. Agents that"
    " agree have arrived at the same answer, no more. Every number that you write must be one of those computed below; quote spans by their ids."
)


def render(subject: Subject) -> str:
    """The prompt."""
    root = shlex.quote(subject.root)
    trace = subject.trace_id
    place = subject.log_dir if subject.log_dir is not None else ", ".join(map(str, subject.files))
    report = "" if subject.log_dir is None else f"{subject.log_dir}/turn_{subject.turn}/{FILE}"
    lines = [
        "# Analyse a run of several agents",
        "",
        f"Run: {subject.title}" + (f", turn {subject.turn}" if subject.turn is not None else ""),
        f"Trace: {trace or 'not recorded'}",
        f"Files: {place}",
        "",
        "## What was computed already",
        "",
        *(f"- {line}" for line in told(subject.analysis.findings[:MOST])),
        *(["- There are no findings."] if not subject.analysis.findings else []),
        "",
        "The facts, as JSON:",
        "",
        "```json",
        json.dumps(facts.facts(subject), ensure_ascii=False, indent=1).replace("```", "'''"),
        "```",
        "",
        "## Where to look",
        "",
        *(f"- {name}" for name in files_of(subject)[:MOST]),
        "",
        "## What needs judgement",
        "",
        *(f"{number}. {question}" for number, question in enumerate(QUESTIONS, 1)),
        "",
        NEUTRAL,
        "",
        "## What you can use",
        "",
        f"- `massgen-tracing trace --root {root} {trace}`: the tree of the run",
        f'- `massgen-tracing sql --root {root} "SELECT …"`: Logfire\'s SQL over `records`; `--query NAME --trace {trace}` for one that comes with it',
        f"- `massgen-tracing logs analyze --root {root} --format json {subject.title}`: all of this again, with every finding's evidence",
        "- where Logfire's MCP server is connected and has the run: `arbitrary_query`, `schema_reference`, `logfire_link`, by the trace above",
        "",
        *(
            [f"Write what you judge into the sections of {report}, which `massgen-tracing logs analyze` makes; leave its numbers as they are."]
            if report
            else []
        ),
    ]
    return "\n".join(lines)
