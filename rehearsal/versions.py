"""Which versions of MassGen are traced how far, as the tests find it; the README's table is made from this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PARTS: Final = {
    "tree": "sessions, rounds, answers, votes",
    "calls": "model calls, tokens",
    "tools": "MCP calls",
    "subagents": "subagents",
    "process": "several questions in one process",
    "logfire": "own `--logfire` on top",
    "launcher": "`opentelemetry-instrument`",
}
"""What a version may be traced with: a column each. A test that is marked with a part stands for it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A version that the tests run.

    Attributes:
        version: of MassGen.
        needs: what is installed beside it, since with the newest that it allows it cannot be imported.
        lacks: parts that do not work, each with what is missing; a test of such a part is expected to fail, and must.
        note: what a user should know about it.
    """

    version: str
    needs: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


VERSIONS: Final = (
    Tried("0.1.97", note="the newest that this release was tried with"),
    Tried("0.1.65"),
    Tried("0.1.32", needs=("mcp<2",), note="the first with `--logfire`; it tells nobody of ignored votes and enforcement"),
)
"""Newest first."""


def table() -> str:
    """A row for each version."""
    heads = ["MassGen", *PARTS.values(), ""]
    rows = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for tried in VERSIONS:
        cells = [tried.version, *(tried.lacks.get(part, "yes") for part in PARTS), tried.note]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
