"""Each file's part of a run, in MassGen's own words as far as it has one for it.

`coordination_events.json` has every act with its moment; `metrics_events.json` every tool call and every round that was not given up;
`events.jsonl` what the terminal was shown, in local time; the agents' directories their answers and counted votes; `status.json` the
state and the enforcement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from massgen_tracing import layout, semconv
from massgen_tracing.runs.massgen.imports import files, values
from massgen_tracing.runs.massgen.imports.clock import Clock
from massgen_tracing.runs.massgen.imports.facts import Act, ActKind, Happening, Start, Sums, Tool
from massgen_tracing.trace.usage import Usage

_SNAPSHOT: Final = re.compile(r"\d{8}_\d{6}_\d{1,6}", re.ASCII)
_IGNORED: Final = re.compile(r"Voted for (.+?) but ignored")
_MCP_PREFIX: Final = "mcp__"
_LONGEST_CALL: Final = 1e6
"""Seconds."""

_MARK: Final = "❌"
_GAVE_UP: Final = f"{_MARK} Agent failed"
"""How MassGen shows that an agent has used up its attempts; where no agent has answered, it says it nowhere else."""

TIMEOUT_EVENT: Final = "coordination_timeout"
ENFORCEMENT: Final = "enforcement"
_MOST_ANSWERS: Final = 1000
"""An agent that is said to have given more answers has not."""

_ENDS: Final[dict[str, ActKind]] = {
    "new_answer": "answer",
    "vote_cast": "vote",
    "vote_ignored": "ignored_vote",
    "agent_error": "error",
    "agent_timeout": "timeout",
    "agent_cancelled": "cancelled",
}
"""Coordination events that end a round."""

_SHOWN_ACTS: Final[dict[str, ActKind]] = {"answer_submitted": "answer", "vote": "vote", "text": "error"}
"""What `events.jsonl` calls them; a text only if it says that the agent gave up."""

_TOLD_OTHERWISE: Final = frozenset({
    *_ENDS, "session_start", "session_end", "iteration_start", "iteration_end", "status_change", "context_received", "restart_triggered",
    "restart_completed", "final_agent_selected", "final_round_start", "final_answer",
})  # fmt: skip
"""Coordination events that are no events of their own in the tree: they begin or end something, or say what its spans say."""

_ADDITIVE: Final = ("claude", "anthropic")
"""Backends whose input tokens leave out the cached ones."""


def acts_of_events(events: Iterable[dict[str, Any]]) -> list[Act]:
    """Every act of `coordination_events.json`, in its order."""
    found = []
    for event in events:
        kind, agent, at = _ENDS.get(values.text(event.get("event_type"))), values.text(event.get("agent_id")), values.moment(event.get("timestamp"))
        if kind is None or not agent or at is None:
            continue
        context, details = values.mapping(event.get("context")), values.text(event.get("details"))
        act = Act(kind, agent, at)
        if kind == "answer":
            act.label = values.text(context.get("label"))
        elif kind == "vote":
            act.target, act.label = values.text(context.get("voted_for")), _label(context.get("voted_for_label"))
            act.text = values.text(context.get("reason"))
        elif kind == "ignored_vote":
            voted = _IGNORED.search(details)
            act.target = voted[1] if voted else ""
        else:
            act.text = details.partition(": ")[2] or details
        found.append(act)
    return found


def starts_of_events(events: Iterable[dict[str, Any]]) -> list[Start]:
    """When agents were given their context, and when the winner was told to present."""
    found = []
    for event in events:
        kind, agent, at = values.text(event.get("event_type")), values.text(event.get("agent_id")), values.moment(event.get("timestamp"))
        if not agent or at is None or kind not in ("context_received", "final_round_start"):
            continue
        context = values.mapping(event.get("context"))
        shown = context.get("available_answer_labels")
        labels = values.texts(shown) if isinstance(shown, list) else None
        found.append(Start(agent, at, labels, values.count(context.get("iteration")), presentation=kind == "final_round_start"))
    return found


def happenings_of_events(events: Iterable[dict[str, Any]]) -> list[Happening]:
    """Injections, broadcasts, checkpoints and whatever else a newer version notes."""
    found = []
    for event in events:
        kind, at = values.text(event.get("event_type")), values.moment(event.get("timestamp"))
        if not kind or at is None or kind in _TOLD_OTHERWISE:
            continue
        details = values.text(event.get("details"))
        found.append(Happening(kind, at, values.text(event.get("agent_id")), {semconv.EVENT_DETAILS: details or None}))
    return found


def sums_of(rows: Iterable[dict[str, Any]], backends: dict[str, str]) -> list[Sums]:
    """Rounds as the metrics tell them."""
    found = []
    for row in rows:
        agent, start, end = values.text(row.get("agent_id")), values.moment(row.get("start_time")), values.moment(row.get("end_time"))
        if agent and start is not None and end is not None and end >= start:
            usage, raw = usage_of(row, backends.get(agent, ""))
            found.append(Sums(agent, start, end, values.text(row.get("round_type")), values.text(row.get("outcome")), usage, raw))
    return found


def usage_of(row: dict[str, Any], backend: str) -> tuple[Usage, dict[str, Any]]:
    """Tokens and cost as this project counts them, and as MassGen did where that differs; its 0 may also mean that nobody reported any."""
    sent, cached = values.positive(row.get("input_tokens")), values.positive(row.get("cached_input_tokens"))
    raw: dict[str, Any] = {}
    if sent is not None and cached is not None and backend.startswith(_ADDITIVE):
        raw = {"input_tokens": sent, "cached_input_tokens": cached}
        sent += cached
    cost = values.number(row.get("estimated_cost"))
    return Usage(sent, values.positive(row.get("output_tokens")), values.positive(row.get("reasoning_tokens")), cached,
                 cost if cost is not None and cost > 0 else None), raw  # fmt: skip


def tools_of(rows: Iterable[dict[str, Any]], servers: Iterable[str]) -> list[Tool]:
    """Tool calls as the metrics tell them."""
    found = []
    known = list(servers)
    for row in rows:
        agent, name = values.text(row.get("agent_id")), values.text(row.get("tool_name"))
        start, end = values.moment(row.get("start_time")), values.moment(row.get("end_time"))
        if not name or start is None:
            continue
        server, tool = split_tool(name, known)
        estimated = ("end",) if end is None or end < start else ()
        found.append(
            Tool(agent, name, server, tool, values.text(row.get("call_id")), start, start if estimated else end or start,
                 failed=row.get("success") is False, error=values.text(row.get("error_message")), estimated=estimated)
        )  # fmt: skip
    return found


def complete_tools(tools: list[Tool], stream: Iterable[dict[str, Any]], clock: Clock, servers: Iterable[str]) -> None:
    """Add arguments and results from `events.jsonl`, and the calls that the metrics lack."""
    known: dict[tuple[str, str], list[Tool]] = {}
    for tool in tools:
        known.setdefault((tool.agent, tool.call_id), []).append(tool)
    open_calls: dict[tuple[str, str], Tool] = {}
    names = list(servers)
    for event in stream:
        kind, data = event.get("event_type"), values.mapping(event.get("data"))
        if kind not in ("tool_start", "tool_complete"):
            continue
        key = (values.text(event.get("agent_id")), values.text(data.get("tool_id")))
        name, at = values.text(data.get("tool_name")), clock.at(event.get("timestamp"))
        if not name or at is None:
            continue
        if kind == "tool_start":
            open_calls[key] = _called(tools, known, key, name, at, names)
            open_calls[key].arguments = data.get("args") or {}
        elif key in open_calls:
            _returned(open_calls.pop(key), data, at)


def _called(tools: list[Tool], known: dict[tuple[str, str], list[Tool]], key: tuple[str, str], name: str, at: int, servers: Iterable[str]) -> Tool:
    """The call that the metrics know by this agent and id, or a new one."""
    for tool in known.get(key, ()):
        if tool.arguments is None:
            return tool
    made = Tool(key[0], name, *split_tool(name, servers), key[1], at, at, estimated=("end",))
    tools.append(made)
    return made


def _returned(tool: Tool, data: dict[str, Any], at: int) -> None:
    tool.result = data.get("result")
    tool.failed = tool.failed or data.get("is_error") is True
    if tool.estimated:
        seconds = values.number(data.get("elapsed_seconds"))
        tool.end = max(tool.start, at if seconds is None else tool.start + int(min(max(seconds, 0.0), _LONGEST_CALL) * 1e9))
        tool.estimated = ()


def split_tool(name: str, servers: Iterable[str]) -> tuple[str, str]:
    """Server and tool of MassGen's `mcp__server__tool`; no server for any other name."""
    if not name.startswith(_MCP_PREFIX):
        return "", name
    rest = name.removeprefix(_MCP_PREFIX)
    for server in sorted(servers, key=len, reverse=True):
        if rest.startswith(f"{server}__"):
            return server, rest.removeprefix(f"{server}__")
    server, _, tool = rest.partition("__")
    return (server, tool) if server and tool else ("", name)


def servers_of(backends: dict[str, dict[str, Any]]) -> list[str]:
    """Names of the MCP servers in the agents' settings, which are a list of objects or an object by name."""
    found: set[str] = set()
    for backend in backends.values():
        servers = backend.get("mcp_servers")
        found |= {values.text(server.get("name")) for server in values.records(servers)}
        found |= {name for name in values.mapping(servers) if isinstance(name, str)}
    return sorted(found - {""})


def acts_of_directories(read: files.Files, agents: Iterable[str], clock: Clock) -> list[Act]:
    """Each agent's answers and counted votes as they lie in its directory, by time."""
    found = []
    for agent in agents:
        for name in filter(_SNAPSHOT.fullmatch, read.children(agent)):
            at = clock.at(name)
            answer = read.text(agent, name, layout.ANSWER_FILE)
            if answer:
                found.append(Act("answer", agent, at, estimated=not clock.known, text=answer))
            vote, _ = files.parse(read.text(agent, name, files.VOTE) or "null")
            if isinstance(vote, dict):
                exact = values.moment(vote.get("unix_timestamp"))
                found.append(
                    Act("vote", agent, exact or at, estimated=exact is None and not clock.known, target=values.text(vote.get("voted_for")),
                        label=_label(vote.get("voted_for_label")), text=values.text(vote.get("reason")))
                )  # fmt: skip
    return found


def agents_with_directories(read: files.Files) -> list[str]:
    """Names of the directories that hold snapshots."""
    return [name for name in read.children() if any(_SNAPSHOT.fullmatch(child) for child in read.children(name))]


def moments_of_votes(read: files.Files) -> Iterator[tuple[object, int | None]]:
    """Local time and moment of every vote that tells both."""
    for agent in agents_with_directories(read):
        for name in filter(_SNAPSHOT.fullmatch, read.children(agent)):
            vote = values.mapping(files.parse(read.text(agent, name, files.VOTE) or "null")[0])
            if vote:
                yield vote.get("timestamp"), values.moment(vote.get("unix_timestamp"))


def acts_of_snapshots(snapshots: dict[str, Any], clock: Clock) -> list[Act]:
    """Answers and votes of `snapshot_mappings.json`, by time."""
    found = []
    for entry in map(values.mapping, snapshots.values()):
        kind, agent, at = entry.get("type"), values.text(entry.get("agent_id")), clock.at(entry.get("timestamp"))
        if not agent or at is None or kind not in ("answer", "vote"):
            continue
        act = Act(kind, agent, at, estimated=not clock.known, target=values.text(entry.get("voted_for")))
        act.label = _label(entry.get("label" if kind == "answer" else "voted_for_label"))
        found.append(act)
    return sorted(found, key=lambda act: act.at or 0)


def acts_of_stream(stream: Iterable[dict[str, Any]], clock: Clock) -> list[Act]:
    """Answers, counted votes and agents that gave up, of `events.jsonl`."""
    found = []
    for event in stream:
        kind, agent, at = _SHOWN_ACTS.get(values.text(event.get("event_type"))), values.text(event.get("agent_id")), clock.at(event.get("timestamp"))
        data = values.mapping(event.get("data"))
        content = values.text(data.get("content"))
        if kind is None or not agent or at is None or (kind == "error" and not content.startswith(_GAVE_UP)):
            continue
        act = Act(kind, agent, at, estimated=not clock.known, target=values.text(data.get("target_id")))
        act.label = _label(data.get("voted_for_label" if kind == "vote" else "answer_label"))
        act.text = {"answer": content, "vote": values.text(data.get("reason"))}.get(kind, content.removeprefix(_MARK).strip())
        found.append(act)
    return found


def starts_of_stream(stream: Iterable[dict[str, Any]], clock: Clock) -> list[Start]:
    """When `events.jsonl` says that rounds began, and the answers that agents were shown then."""
    found: list[Start] = []
    for event in stream:
        kind, agent, at = event.get("event_type"), values.text(event.get("agent_id")), clock.at(event.get("timestamp"))
        if not agent or at is None:
            continue
        if kind in ("round_start", "final_presentation_start"):
            found.append(Start(agent, at, presentation=kind == "final_presentation_start", estimated=not clock.known))
        elif kind == "context_received":
            shown = values.mapping(event.get("data")).get("context_labels")
            begun = next((start for start in reversed(found) if start.agent == agent), None)
            if begun is not None and isinstance(shown, list):
                begun.labels = values.texts(shown)
    return found


def timeouts_of_stream(stream: Iterable[dict[str, Any]], clock: Clock) -> list[Happening]:
    """That the whole run was out of time."""
    found = []
    for event in stream:
        at = clock.at(event.get("timestamp"))
        if event.get("event_type") == "orchestrator_timeout" and at is not None:
            reason = values.text(values.mapping(event.get("data")).get("timeout_reason"))
            found.append(Happening(TIMEOUT_EVENT, at, "", {semconv.ERROR_MESSAGE: reason or None}))
    return found


def enforcement_of(status: dict[str, Any]) -> list[Happening]:
    """Every time that an agent was asked again, from `status.json`."""
    found = []
    for agent, about in values.mapping(status.get("agents")).items():
        for attempt in values.records(values.mapping(values.mapping(about).get("reliability")).get("enforcement_attempts")):
            at = values.moment(attempt.get("timestamp"))
            if at is not None:
                found.append(Happening(ENFORCEMENT, at, agent, attempt))
    return found


def acts_of_status(status: dict[str, Any]) -> list[Act]:
    """How many answers each agent has given, and its vote; without their times."""
    found: list[Act] = []
    for agent, about in values.mapping(status.get("agents")).items():
        known = values.mapping(about)
        if not agent:
            continue
        found += [Act("answer", agent) for _ in range(min(values.count(known.get("answer_count")) or 0, _MOST_ANSWERS))]
        vote = values.mapping(known.get("vote_cast"))
        if vote:
            target, label = values.text(vote.get("voted_for_agent")), _label(vote.get("voted_for_label"))
            found.append(Act("vote", agent, target=target, label=label, text=values.text(vote.get("reason_preview"))))
    return found


def _label(value: object) -> str:
    """An answer's label; MassGen writes `unknown` for one that it does not find."""
    label = values.text(value)
    return "" if label == "unknown" else label
