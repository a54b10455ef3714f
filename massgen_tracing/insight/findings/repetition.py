"""Findings about tool calls that are made again, and about what they give."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from massgen_tracing.insight import words
from massgen_tracing.insight.findings.coordination import thrown_away
from massgen_tracing.insight.findings.finding import Cost, Evidence, Finding, at, finding, where
from massgen_tracing.insight.parts import Parts
from massgen_tracing.insight.summary import is_costless
from massgen_tracing.insight.tools import ToolCall
from massgen_tracing.model import SpanRecord, Usage
from massgen_tracing.projection.values import decoded
from massgen_tracing.thresholds import Thresholds

_CHANGES: Final = frozenset({
    "write", "edit", "create", "delete", "remove", "move", "rename", "append", "update", "patch", "execute", "command", "bash", "shell", "run",
    "install", "make", "mkdir", "put", "set", "save", "insert", "post", "send", "click", "type", "submit", "upload",
})  # fmt: skip
"""Words in the names of tools by which an agent may change what other tools look at."""

_VARIES: Final = frozenset({"status", "progress", "poll", "wait", "time", "now", "date", "clock", "random", "uuid"})
"""Words in the names of tools that are there to give something else each time."""

_READS: Final = frozenset({"read", "get", "fetch", "cat", "view", "open", "show", "find", "search", "grep", "list", "browse", "crawl"})
"""Words in the names of tools whose results are what others have written, their errors too."""

_WORD: Final = re.compile("[A-Z]?[a-z]+")
_FAILURE: Final = re.compile(
    r"\s*(?:traceback \(most recent call last\)|(?:error|exception|failure|fatal)\s*(?:[:\[(!]|-\s|\d|\Z)"
    r"|error (?:while|when|in|executing|calling|running|reading|writing|occurred)\b|failed(?:\s*[:!]|\s+to\b|\s*\Z))",
    re.IGNORECASE,
)
"""How a result begins that is an error, and no text about errors."""

_TRACEBACK: Final = "Traceback (most recent call last)"
_SUCCESS: Final = re.compile(r"\s*(?:(?:ok|success|successful|successfully|done)\s*(?:[.!:,;]|\Z)|successfully\s+\w)", re.IGNORECASE)
_SHOWN: Final = 120


def _shown(call: ToolCall) -> str:
    command = call.command
    return command if len(command) <= _SHOWN else command[: _SHOWN - 1] + "…"


def _place(parts: Parts, call: ToolCall) -> str:
    return where(parts.agent_of(call.span), parts.number_of(call.span))


def _all(parts: Parts, calls: Sequence[ToolCall]) -> list[Evidence]:
    return [at(parts, call.span, f"{_place(parts, call)}: {_shown(call)}, {call.seconds:.2f} s") for call in calls]


def _again(calls: Sequence[ToolCall]) -> Cost:
    """The time of all but the first."""
    return Cost(sum(call.seconds for call in calls[1:]))


def same_calls(parts: Parts) -> dict[tuple[str, str, str], list[ToolCall]]:
    """The calls that succeeded, by trace, tool and arguments, where these are recorded."""
    found: dict[tuple[str, str, str], list[ToolCall]] = defaultdict(list)
    for call in parts.tools:
        if call.arguments is not None and not call.failed:
            found[call.span.trace_id, call.tool, call.arguments].append(call)
    return found


def by_agent(parts: Parts, calls: Sequence[ToolCall]) -> Mapping[str, list[ToolCall]]:
    """The same calls by whose they are."""
    found: dict[str, list[ToolCall]] = defaultdict(list)
    for call in calls:
        found[parts.agent_of(call.span)].append(call)
    return found


def repeated(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`repeated_command`, `repeated_across_agents` and `repeated_after_restart`."""
    given_up = {rnd.key for rnd, cause, _ in thrown_away(parts) if cause in {"restarted", "vote ignored"}}
    for calls in same_calls(parts).values():
        if len(calls) < 2:
            continue
        agents = by_agent(parts, calls)
        for agent, own in agents.items():
            if len(own) >= limits.repeated_calls:
                yield finding("repeated_command", f"{agent or 'no agent'} ran {_shown(own[0])} {len(own)} times", _all(parts, own), _again(own))
            again = _after_restart(parts, own, given_up)
            if again:
                what = f"{agent} ran {_shown(own[0])} again after a restart had thrown the first away"
                yield finding("repeated_after_restart", what, _all(parts, again), _again(again))
        named = [agent for agent in agents if agent]
        if len(named) > 1:
            what = f"{', '.join(sorted(named))} each ran {_shown(calls[0])}"
            yield finding("repeated_across_agents", what, _all(parts, calls), _again([own[0] for own in agents.values()]))


def _after_restart(parts: Parts, calls: Sequence[ToolCall], given_up: set[tuple[str, str]]) -> list[ToolCall]:
    """A call in a round that was given up, and the same in a later round; none where there is no such pair."""
    for place, call in enumerate(calls):
        rnd = parts.tree.round_of(call.span)
        if rnd is not None and rnd.key in given_up:
            later = [other for other in calls[place + 1 :] if (of := parts.tree.round_of(other.span)) is not None and of.key != rnd.key]
            if later:
                return [call, *later]
    return []


def long_outputs(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`long_output`: results over a size, by agent and tool, with how often each was read again: by the same call, by later calls of the model."""
    found: dict[tuple[str, str], list[ToolCall]] = defaultdict(list)
    for call in parts.tools:
        if call.chars is not None and call.chars > limits.long_output_chars:
            found[parts.agent_of(call.span), call.tool].append(call)
    same = same_calls(parts)
    for (agent, tool), calls in found.items():
        evidence = []
        for call in calls:
            rnd = parts.tree.round_of(call.span)
            models = parts.calls_of[rnd.key] if rnd is not None else []
            after = sum(model.span.start_ns >= (call.span.end_ns or call.span.start_ns) for model in models)
            again = len(same.get((call.span.trace_id, call.tool, call.arguments or ""), ())) - 1 if call.arguments is not None else 0
            told = f", asked for {words.counted(again, 'time')} more" * (again > 0) + f", sent to the model {words.counted(after, 'time')}" * (
                after > 0
            )
            evidence.append(at(parts, call.span, f"{_place(parts, call)}: {_shown(call)} gave {call.chars:,} characters{told}"))
        longest = max(call.chars or 0 for call in calls)
        yield finding("long_output", f"{tool} gave {agent or 'no agent'} up to {longest:,} characters", evidence, Cost(sum(c.seconds for c in calls)))


def inconsistent(parts: Parts) -> Iterator[Finding]:
    """`tool_inconsistent`: the same call of an agent gave different results, and nothing that it did in between can have changed them."""
    changes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for call in parts.tools:
        if not _CHANGES.isdisjoint(_words(call)):
            changes[call.span.trace_id, parts.agent_of(call.span)].append(call.span.start_ns)
    for calls in same_calls(parts).values():
        for agent, own in by_agent(parts, calls).items():
            told = [call for call in own if call.result is not None and _VARIES.isdisjoint(_words(call))]
            differing: list[ToolCall] = []
            for earlier, later in pairwise(told):
                moments = changes.get((later.span.trace_id, agent), ())
                changed = any(earlier.span.start_ns <= moment < later.span.start_ns for moment in moments)  # by the first call itself, perhaps
                if earlier.result != later.result and not changed:
                    differing += [call for call in (earlier, later) if call not in differing]
            if differing:
                evidence = [at(parts, call.span, f"{_place(parts, call)}: {_shown(call)} gave {_said(call)}") for call in differing]
                what = f"{own[0].tool} gave {agent or 'no agent'} different results for the same arguments"
                yield finding("tool_inconsistent", what, evidence, _again(differing))


def _said(call: ToolCall) -> str:
    result = " ".join((call.result or "").split())
    return repr(result if len(result) <= _SHOWN else result[: _SHOWN - 1] + "…")


def false_status(parts: Parts) -> Iterator[Finding]:
    """`tool_false_success`: a call that reports success and gives an error, or the reverse, by agent and tool."""
    found: dict[tuple[str, str, bool], list[ToolCall]] = defaultdict(list)
    for call in parts.tools:
        if call.result is not None and call.span.state == "ended" and _has_failed(call) is (not call.failed):
            found[parts.agent_of(call.span), call.tool, call.failed].append(call)
    for (agent, tool, failed), calls in found.items():
        told = "reported a failure of what had succeeded" if failed else "reported success with an error in the result"
        evidence = [at(parts, call.span, f"{_place(parts, call)}: {_shown(call)} gave {_said(call)}") for call in calls]
        yield finding("tool_false_success", f"{tool} {told}", evidence, Cost(), agents=[agent])


def _words(call: ToolCall) -> set[str]:
    """The words that a tool's name is made of."""
    return {word.lower() for word in _WORD.findall(call.tool)}


def _has_failed(call: ToolCall) -> bool | None:
    """What a result says of itself; None where it says neither."""
    result = call.result or ""
    said = decoded(result)
    if isinstance(said, dict):
        for key, good in (("success", True), ("ok", True), ("isError", False), ("is_error", False)):
            if isinstance(told := said.get(key), bool):
                return told is not good
        for key in ("exit_code", "returncode", "exit_status"):
            if isinstance(told := said.get(key), int) and not isinstance(told, bool):
                return told != 0
        if isinstance(told := said.get("status"), str) and told.lower() in {"error", "failed", "failure", "success", "ok"}:
            return told.lower() not in {"success", "ok"}
        return True if said.get("error") else None
    if _FAILURE.match(result) or (_TRACEBACK in result[:2000] and _READS.isdisjoint(_words(call))):
        return True
    return False if _SUCCESS.match(result) else None


def storms(parts: Parts, limits: Thresholds) -> Iterator[Finding]:
    """`retry_storm`: a call that fails again and again, of a tool with the same arguments, or of a model."""
    for calls in failing(parts):
        if len(calls) >= limits.storm_calls:
            seconds = sum(call.seconds for call in calls)
            what = f"{parts.agent_of(calls[0].span) or 'no agent'} made {_shown(calls[0])} {len(calls)} times, and it failed each time"
            yield finding("retry_storm", what, _all(parts, calls), Cost(seconds))
    for rnd in parts.rounds:
        failed: list[SpanRecord] = []
        usage, costless = Usage(), 0
        for call in [*parts.calls_of[rnd.key], None]:
            if call is not None and call.span.status_code == 2:
                failed.append(call.span)
                usage += call.usage
                costless += is_costless(call)
                continue
            if len(failed) >= limits.storm_calls:
                evidence = [at(parts, span, f"{where(parts.agent_of(span), parts.number_of(span))}: {span.name} failed") for span in failed]
                what = f"{parts.agent_of(rnd)} called its model {len(failed)} times in a row, and it failed each time"
                yield finding("retry_storm", what, evidence, Cost.of(usage, sum(span.seconds or 0.0 for span in failed), costless))
            failed, usage, costless = [], Usage(), 0


def failing(parts: Parts) -> list[list[ToolCall]]:
    """Calls of one agent to the same tool with the same arguments that failed, as long as none of them succeeded in between, by their starts."""
    going: dict[tuple[str, str, str, str], list[ToolCall]] = {}
    found: list[list[ToolCall]] = []
    for call in parts.tools:
        key = (call.span.trace_id, parts.agent_of(call.span), call.tool, call.arguments or "")
        if not call.failed:
            going.pop(key, None)
        elif key in going:
            going[key].append(call)
        else:
            going[key] = [call]
            found.append(going[key])
    return found
