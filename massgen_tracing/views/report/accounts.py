"""The sections that count: cost, errors, enforcement; and what follows from it all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from massgen_tracing import conventions, layout, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.findings import KINDS, SEVERITIES
from massgen_tracing.insight.findings.finding import Evidence
from massgen_tracing.insight.overview import Failure
from massgen_tracing.model import Usage
from massgen_tracing.projection.values import mapping
from massgen_tracing.thresholds import VARIABLES
from massgen_tracing.views import text
from massgen_tracing.views.report.blocks import Bar, Paragraph, Picture, Section, listed, table
from massgen_tracing.views.report.subject import UNKNOWN, Subject, costs, money, named, number, percent, seconds, spans_sql, told

_MOST_SPANS: Final = 60
_ERROR: Final = 200


def cost(subject: Subject) -> Iterator[Section]:
    """`6. Cost & Token Analysis`."""
    analysis = subject.analysis
    summary = analysis.summary
    yield Section(2, "6. Cost & Token Analysis")
    rows = [_account(agent, usage, analysis.costless[agent]) for agent, usage in analysis.used.items()]
    rows.append(_account("Total", summary.usage, summary.costless_calls))
    bars = []
    for agent, usage in analysis.used.items():
        told_bar = f"{agent}: {text.tokens(usage.input, usage.output)}, {money(usage, analysis.costless[agent])}"
        bars.append(Bar(agent, 0, (usage.input or 0) + (usage.output or 0), "vote", told_bar))
    left_out = told(analysis.of("unpriced_calls", "missing_usage"))
    columns = "Input Tokens|Output Tokens|Reasoning|Cost"
    outliers = told(analysis.of("cost_outlier", "token_outlier"))
    yield Section(3, "Cost Breakdown", [
        *table(f"Agent|{columns}", rows, columns), Picture("Tokens by agent", bars, "tokens"), subject.query("token_usage_by_agent"),
        *(listed([f"The totals leave out: {line}" for line in left_out]) if left_out else []), *(listed(outliers) if outliers else []),
    ])  # fmt: skip
    yield Section(3, "Cache Efficiency", listed([
        f"Cached input tokens: {_cached(summary.usage)}",
        *(f"{agent}: {_cached(usage)}" for agent, usage in analysis.used.items()),
        *told(analysis.of("cache_low")),
    ]))  # fmt: skip
    rows2 = [(each.name, str(each.calls), seconds(each.seconds), f"{each.failures} failed" if each.failures else "") for each in analysis.tools]
    yield Section(3, "Tool Cost Impact", table("Tool|Calls|Est. Time Cost|Notes", rows2, "Calls|Est. Time Cost"))


def _account(name: str, usage: Usage, costless: int = 0) -> tuple[str, ...]:
    return name, number(usage.input), number(usage.output), number(usage.reasoning), money(usage, costless)


def _cached(usage: Usage) -> str:
    if usage.cached_input is None:
        return UNKNOWN
    return f"{usage.cached_input:,} ({percent(usage.cached_input, usage.input or 0)} cache hit rate)"


def errors(subject: Subject) -> Iterator[Section]:
    """`7. Errors & Issues`."""
    analysis = subject.analysis
    yield Section(2, "7. Errors & Issues")
    yield Section(3, "Exceptions", [*listed(_told(subject, "exception")), subject.query("exceptions_in_trace")])
    failed = [call for call in analysis.parts.tools if call.failed]
    lines = [f"{subject.place(call.span)}: {text.shorten(call.command, 80)}: {text.shorten(call.result or words.error(call.span), _ERROR)}"
             f" (span {call.span.span_id})" for call in failed]  # fmt: skip
    yield Section(3, "Failed Tool Calls", listed(lines))
    calls = [each for each in analysis.failures if conventions.kind_of(each.span.name, each.span.attributes) == "model"]
    yield Section(3, "Failed Model Calls", listed([_failure(each) for each in calls]))
    yield Section(3, "Agent Errors", listed(_told(subject, "agent_error")))
    yield Section(3, "Timeouts", listed(_told(subject, "timeout")))


def _failure(each: Failure) -> str:
    return f"{named(each.agent_id, each.round)}: {each.span.name}: {text.shorten(each.error, _ERROR)} (span {each.span.span_id})"


def _told(subject: Subject, code: str) -> list[str]:
    return [_piece(piece) for each in subject.analysis.of(code) for piece in each.evidence]


def _piece(piece: Evidence) -> str:
    return text.shorten(piece.text, 2 * _ERROR) + (f" (span {piece.span_id})" if piece.span_id else "")


def enforcement(subject: Subject) -> Iterator[Section]:
    """`Enforcement & Workflow Reliability`, the standard question 10."""
    analysis = subject.analysis
    rows = [
        (
            each.agent_id or "no agent", str(each.retries), ", ".join(f"{reason} {many}" for reason, many in each.reasons.items()),
            ", ".join(f"{'?' if rnd is None else rnd}: {many}" for rnd, many in each.by_round.items()), f"{each.lost_chars:,}",
            ", ".join(each.unknown_tools) or "none",
        )
        for each in analysis.enforced
    ]  # fmt: skip
    flags = _told(subject, "enforcement")
    yield Section(2, "Enforcement & Workflow Reliability", [
        *table("Agent|Retries|Reasons|By round|Characters lost|Unknown tools", rows, "Retries|Characters lost"),
        *(listed([f"Red flag: {flag}" for flag in flags], "No red flag.") if rows else []),
    ])  # fmt: skip


def recommendations(subject: Subject) -> Iterator[Section]:
    """`8. Recommendations` and `9. Suggested Linear Issues`."""
    analysis = subject.analysis
    yield Section(2, "8. Recommendations")
    titles = {"high": "High Priority", "medium": "Medium Priority", "low": "Low Priority / Future Improvements"}
    by_code = {code: analysis.of(code) for code in KINDS}
    for severity in SEVERITIES:
        codes = [code for code, found in by_code.items() if found and found[0].severity == severity]
        lines = [f"{code}: {_whom(subject, code)}. {by_code[code][0].recommendation}" for code in codes]
        yield Section(3, titles[severity], listed(lines))
    rows = [
        (found[0].severity.capitalize(), text.shorten(found[0].what, 90), f"{_whom(subject, code)}. {found[0].recommendation}",
         f"log-analysis, {KINDS[code].area}")
        for severity in SEVERITIES for code, found in by_code.items() if found and found[0].severity == severity
    ]  # fmt: skip
    yield Section(2, "9. Suggested Linear Issues", [
        Paragraph("Proposals only: have them approved before they are created."), *table("Priority|Title|Description|Labels", rows)])  # fmt: skip


def _whom(subject: Subject, code: str) -> str:
    found = subject.analysis.of(code)
    agents = sorted({agent for each in found for agent in each.agents})
    who = f" ({', '.join(agents)})" if agents else ""
    return f"{text.count(len(found), 'finding')}{who}{costs(found[0]) if len(found) == 1 else ''}"


def appendix(subject: Subject) -> Iterator[Section]:
    """`Appendix`: the configuration, the files, what is missing, and by which thresholds was judged."""
    analysis = subject.analysis
    yield Section(2, "Appendix")
    session = analysis.last.session if analysis.last is not None else None
    config = mapping(session.attributes.get(semconv.RUN_CONFIG)) if session is not None else {}
    lines = []
    agents = config.get("agents")
    for agent in agents if isinstance(agents, list | tuple) else ():
        told_agent = mapping(agent)
        backend = mapping(told_agent.get("backend"))
        lines.append(f"{told_agent.get('id')}: {backend.get('type')}, {backend.get('model')}")
    if config.get("limits"):
        lines.append("limits: " + ", ".join(f"{key} {value}" for key, value in mapping(config["limits"]).items() if value is not None))
    if not lines:
        lines = [
            f"{agent or 'no agent'}: {', '.join(sorted({call.model or 'unknown model' for call in calls}))}"
            for agent, calls in sorted(analysis.calls_of.items())
            if calls
        ]
    if session is not None and (version := session.attributes.get(semconv.MASSGEN_VERSION)):
        lines.append(f"MassGen {version}")
    yield Section(3, "Configuration Used", listed(lines, UNKNOWN))
    yield Section(3, "Files Generated", listed(files_of(subject), f"{UNKNOWN}: a bare recording has no directory of its own."))
    yield Section(3, "What Is Missing", listed(analysis.missing, "Nothing that is known to be missing."))
    changed = [f"{name} {getattr(analysis.limits, name):g} ({variable})" for name, variable in VARIABLES.items()]
    compared = f"Compared with {text.count(len(analysis.earlier), 'earlier run')} of the same configuration."
    yield Section(3, "Thresholds", [Paragraph(", ".join(changed) + "."), Paragraph(compared)])
    shown = [span for each in analysis.findings for span in each.spans]
    if shown:
        yield Section(3, "Evidence", [subject.ask(spans_sql(list(dict.fromkeys(shown))[:_MOST_SPANS]))])


def files_of(subject: Subject) -> list[str]:
    """The files of the run, or the recordings where it has no directory."""
    if subject.log_dir is None:
        return [str(path) for path in subject.files]
    turn = subject.log_dir / f"{layout.TURN_PREFIX}{subject.turn}"
    place = turn if turn.is_dir() else subject.log_dir
    return sorted(str(path.relative_to(subject.log_dir)) for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))
