"""What in a run is worth a look, each with a code, its evidence, what it cost, and what can be done: pure functions on recorded spans."""

from __future__ import annotations

from collections.abc import Sequence

from massgen_tracing.insight.decisions import Coordination, coordinations
from massgen_tracing.insight.findings import answers, coordination, failures, repetition, spending, waiting
from massgen_tracing.insight.findings.finding import KINDS, SEVERITIES, Cost, Evidence, Finding, Severity
from massgen_tracing.insight.findings.spending import Earlier
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import Summary, total
from massgen_tracing.thresholds import Thresholds

__all__ = ["KINDS", "SEVERITIES", "Cost", "Earlier", "Evidence", "Finding", "Severity", "find"]

_ORDER = {code: place for place, code in enumerate(KINDS)}


def find(
    parts: Parts,
    limits: Thresholds,
    *,
    summary: Summary | None = None,
    known: Sequence[Coordination] | None = None,
    earlier: Sequence[Earlier] = (),
) -> list[Finding]:
    """All findings of a run, the most severe first; of those, what took longest.

    Args:
        parts: the run.
        limits: from where on something is worth a finding.
        summary: its totals, where they are made already.
        known: its coordinations, where they are made already.
        earlier: earlier runs of the same configuration, that it is compared with.
    """
    known = coordinations(parts) if known is None else known
    found = [
        *coordination.incomplete(parts, known),
        *waiting.stalls(parts, limits),
        *waiting.slow(parts, limits),
        *repetition.repeated(parts, limits),
        *repetition.long_outputs(parts, limits),
        *coordination.wasted(parts),
        *answers.isolated(parts, known, limits),
        *answers.near_duplicates(parts, known, limits),
        *answers.votes(parts, known, limits),
        *failures.failures(parts, known, limits),
        *repetition.inconsistent(parts),
        *repetition.false_status(parts),
        *repetition.storms(parts, limits),
        *coordination.enforcement(parts, limits),
        *spending.outliers(parts, limits),
        *spending.against_earlier(parts, total(parts) if summary is None else summary, earlier, limits),
        *spending.left_out(parts),
    ]
    return sorted(found, key=lambda each: (SEVERITIES.index(each.severity), -(each.cost.seconds or 0), _ORDER[each.code]))
