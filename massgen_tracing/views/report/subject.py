"""What a report is about: a question of a run, what was computed of it, and the words that all its sections share."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from massgen_tracing.insight.analysis import Analysis
from massgen_tracing.insight.findings import Finding
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.views import text
from massgen_tracing.views.report.blocks import Repeat

UNKNOWN: Final = "not recorded"
_SPANS: Final = "SELECT span_name, start_timestamp, duration, attributes FROM records_all WHERE span_id IN ({ids})"
QUOTE: Final = 160
"""Characters of what an agent has said that are quoted in a row."""


@dataclass(frozen=True)
class Subject:
    """A question of a run.

    Attributes:
        title: the run's name, or the recording's.
        root: where it was looked for.
        log_dir: the run's directory; None for a bare recording.
        turn: which question of the run it is; None for a bare recording.
        attempts: how many there were; 0 where that is not known.
        files: its recordings.
        analysis: what was computed.
        generated: when.
        link: where its trace can be looked at; empty where that is not known.
    """

    title: str
    root: str
    log_dir: Path | None
    turn: int | None
    attempts: int
    files: tuple[Path, ...]
    analysis: Analysis
    generated: datetime
    link: str = ""

    @property
    def trace_id(self) -> str:
        """The trace of the last attempt; empty for a recording without spans."""
        last = self.analysis.last
        ids = self.analysis.summary.trace_ids
        return last.session.trace_id if last is not None else ids[-1] if ids else ""

    def ask(self, sql: str) -> Repeat:
        """The command that asks this of the recordings."""
        return Repeat(f'massgen-tracing sql --root {shlex.quote(self.root)} "{sql}"')

    def query(self, name: str) -> Repeat:
        """The command that asks a query of the package of this trace."""
        return Repeat(f"massgen-tracing sql --root {shlex.quote(self.root)} --query {name} --trace {self.trace_id}")

    def when(self, ns: int) -> str:
        """A moment, from the start of the run."""
        return f"+{text.duration(max(0, ns - (self.analysis.summary.start_ns or ns)) / 1e9) or '0'}"

    def place(self, span: SpanRecord) -> str:
        """Whose round a span is in."""
        return named(self.analysis.parts.agent_of(span), self.analysis.parts.number_of(span))


def spans_sql(ids: Iterable[str]) -> str:
    """The statement that shows these spans."""
    return _SPANS.format(ids=", ".join(f"'{each}'" for each in ids))


def named(agent_id: str, number: int | None) -> str:
    """An agent and its round."""
    return (agent_id or "no agent") + ("" if number is None else f" round {number}")


def quoted(said: str, width: int = QUOTE) -> str:
    """What somebody has said, between quotes; nothing for nothing."""
    return f"“{text.shorten(' '.join(said.split()), width)}”" if said.strip() else UNKNOWN


def money(usage: Usage, costless: int = 0) -> str:
    """A cost, or that it is not known."""
    return text.cost(usage.cost, at_least=costless > 0) or UNKNOWN


def number(value: int | None) -> str:
    """A whole number with all its digits, or that it is not known."""
    return UNKNOWN if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """Seconds, or that they are not known."""
    return text.duration(value) or UNKNOWN


def percent(part: float, whole: float) -> str:
    """A share; a dash of nothing."""
    return f"{part / whole:.0%}" if whole else "–"


def told(findings: Sequence[Finding]) -> list[str]:
    """Findings in a line each, with the first spans that show them."""
    lines = []
    for each in findings:
        shown = ", ".join(each.spans[:3]) + (", …" if len(each.spans) > 3 else "")
        lines.append(f"{each.code} ({each.severity}): {each.what}{costs(each)}{f' (span {shown})' if shown else ''}")
    return lines


def costs(each: Finding) -> str:
    """What a finding cost, in brackets; nothing where that is not known."""
    cost = each.cost
    parts = [
        *([text.duration(cost.seconds)] if cost.seconds is not None else []),
        *([f"{cost.tokens:,} tokens"] if cost.tokens is not None else []),
        *([text.cost(cost.usd, at_least=cost.costless_calls > 0)] if cost.usd is not None else []),
    ]
    return f" ({', '.join(parts)})" if parts else ""
