"""The report on a question of a run: all sections of MassGen's template, computed, with evidence; as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from massgen_tracing.views.report import accounts, course, work
from massgen_tracing.views.report.blocks import Report, Section
from massgen_tracing.views.report.subject import UNKNOWN, Subject

TITLE: Final = "MassGen Log Analysis Report"
FILE: Final = "ANALYSIS_REPORT.md"


def build(subject: Subject, judgement: Sequence[Section] = ()) -> Report:
    """The report; *judgement* is what agents have added, in sections of its own."""
    turn = "" if subject.turn is None else f", turn {subject.turn}"
    head = [
        ("Session", f"{subject.title}{turn}"),
        ("Trace ID", subject.trace_id or UNKNOWN),
        ("Generated", subject.generated.strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("Logfire Link", subject.link or "not sent to Logfire, as far as is known here"),
    ]
    parts = (
        course.summary, course.correctness, course.efficiency, work.commands, work.duplication, course.behaviour, accounts.cost, accounts.errors,
        work.reasoning, work.reliability, accounts.enforcement, accounts.recommendations, accounts.appendix,
    )  # fmt: skip
    sections = [section for part in parts for section in part(subject)]
    last = next(place for place, section in enumerate(sections) if section.title == "8. Recommendations")
    return Report(TITLE, head, [*sections[:last], *judgement, *sections[last:]])
