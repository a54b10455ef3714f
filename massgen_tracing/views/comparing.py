"""Two runs, or two questions of runs, side by side: which are meant, and what is compared, as data."""

from __future__ import annotations

import re
from typing import Any, Final

from massgen_tracing.insight.comparison import Comparison
from massgen_tracing.store.roots import lookup
from massgen_tracing.views.report import analysed
from massgen_tracing.views.report.subject import Subject

_TURN: Final = re.compile(r"(.+):(\d+)")


def turn_named(root: str, wanted: str) -> tuple[str, int] | None:
    """The run and the number of its question that `RUN:N` names; None where it names something else."""
    turn = _TURN.fullmatch(wanted)
    return None if turn is None or lookup.place_named(root, wanted) is not None else (turn[1], int(turn[2]))


def subject(root: str, wanted: str) -> Subject:
    """A run's last question, or that which `RUN:N` names.

    Raises:
        RecordingError: if there is no such thing, or nothing in it.
    """
    run, turn = turn_named(root, wanted) or (wanted, None)
    return analysed.subject(analysed.find(root, run, turn))


def document(first: Subject, second: Subject, found: Comparison) -> dict[str, Any]:
    """The same as data: `massgen_tracing/views/schemas/comparison.schema.json` says what it is."""
    runs = [{"run": each.title, "turn": each.turn, "trace_id": each.trace_id or None} for each in (first, second)]
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
