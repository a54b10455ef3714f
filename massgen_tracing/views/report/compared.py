"""Two questions of runs side by side, as data; `massgen_tracing/views/schemas/comparison.schema.json` says what it is."""

from __future__ import annotations

import re
from typing import Any, Final

from massgen_tracing.insight.comparison import Comparison
from massgen_tracing.store.roots import lookup
from massgen_tracing.views.report import analysed
from massgen_tracing.views.report.subject import Subject

_TURN: Final = re.compile(r"(.+):(\d+)")


def subject(root: str, wanted: str) -> Subject:
    """What is compared: `RUN`, or `RUN:N` for its question N.

    Raises:
        RecordingError: if there is no such thing.
    """
    turn = _TURN.fullmatch(wanted)
    if turn is None or lookup.place_named(root, wanted) is not None:
        return analysed.subject(analysed.find(root, wanted))
    return analysed.subject(analysed.find(root, turn[1], int(turn[2])))


def document(first: Subject, second: Subject, found: Comparison) -> dict[str, Any]:
    """The comparison of both."""
    runs = [
        {
            "run": each.title,
            "turn": each.turn,
            "trace_id": each.trace_id or None,
            "calls_of_unknown_cost": each.analysis.summary.costless_calls,
        }
        for each in (first, second)
    ]
    return {
        "first": runs[0],
        "second": runs[1],
        "same_configuration": found.same_configuration,
        "measures": [
            {
                "name": line.name,
                "unit": line.unit or None,
                "first": line.first,
                "second": line.second,
                "spread": None if line.spread is None else list(line.spread),
                "beyond_spread": line.beyond,
            }
            for line in found.lines
        ],
        "tools": [{"tool": name, "first": one, "second": other} for name, one, other in found.tools],
        "findings": [{"code": name, "first": one, "second": other} for name, one, other in found.findings],
        "compared_with": [each.run for each in second.analysis.earlier],
    }
