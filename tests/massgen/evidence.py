"""What a recording says, matched with what the endpoint, the MCP server and MassGen itself say about the same run."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from massgen_tracing.model import SpanRecord
from rehearsal.run import Ran

MILLISECOND = 1_000_000


class Tree:
    """The spans of a run, with their places."""

    def __init__(self, spans: Iterable[SpanRecord]) -> None:
        self.spans = sorted(spans, key=lambda span: span.start_ns)
        self._by_id = {(span.trace_id, span.span_id): span for span in self.spans}

    def named(self, *starts: str) -> list[SpanRecord]:
        return [span for span in self.spans if span.name.startswith(starts)]

    def parent(self, span: SpanRecord) -> SpanRecord | None:
        return self._by_id.get((span.trace_id, span.parent_span_id))

    def above(self, span: SpanRecord, start: str) -> SpanRecord | None:
        """The nearest span above whose name starts with *start*."""
        found = self.parent(span)
        while found is not None and not found.name.startswith(start):
            found = self.parent(found)
        return found

    @property
    def sessions(self) -> list[SpanRecord]:
        return self.named("coordination.session")

    @property
    def rounds(self) -> list[SpanRecord]:
        return self.named("agent.")

    @property
    def model_calls(self) -> list[SpanRecord]:
        return self.named("llm.")

    @property
    def tool_calls(self) -> list[SpanRecord]:
        return self.named("mcp.")


def end(span: SpanRecord) -> int:
    assert span.end_ns is not None, f"{span.name} has no end"
    return span.end_ns


def agent_of(span: SpanRecord) -> Any:
    return span.attributes.get("massgen.agent_id")


def misplaced(tree: Tree) -> list[str]:
    """Everything that does not lie where it belongs: in its parent's time, its agent's round, below the session."""
    wrong = []
    for span in tree.spans:
        parent = tree.parent(span)
        if span.name.startswith("coordination.session"):
            if parent is not None or span.parent_span_id:
                wrong.append(f"{span.name} is not a root")
            continue
        if parent is None:
            wrong.append(f"{span.name} has no parent in the recording")
            continue
        if not parent.start_ns <= span.start_ns <= end(span) <= end(parent):
            late = (end(span) - end(parent)) / MILLISECOND
            wrong.append(f"{span.name} ({agent_of(span)}) does not lie in the time of {parent.name}: it ends {late:.3f} ms after it")
        if span.name.startswith("agent.") and not parent.name.startswith("coordination.session"):
            wrong.append(f"{span.name} lies under {parent.name}")
        if span.name.startswith(("llm.", "mcp.", "Tool execution", "Agent ", "Final answer")):
            rnd = tree.above(span, "agent.")
            if rnd is None:
                wrong.append(f"{span.name} ({agent_of(span)}) lies in no round")
            elif agent_of(rnd) != agent_of(span):
                wrong.append(f"{span.name} of {agent_of(span)} lies under {rnd.name}")
    return wrong


def pairs(
    logged: Sequence[Mapping[str, Any]], spans: Sequence[SpanRecord], same: Callable[[Mapping[str, Any], SpanRecord], bool]
) -> tuple[list[tuple[Mapping[str, Any], SpanRecord]], list[str]]:
    """Each log entry with the one span that is its own; and a complaint about each entry and each span that is left alone."""
    left, found, alone = list(spans), [], []
    for entry in sorted(logged, key=lambda entry: int(entry["began_ns"])):
        span = next((span for span in left if same(entry, span)), None)
        if span is None:
            alone.append(f"no span for {_shown(entry)}")
        else:
            left.remove(span)
            found.append((entry, span))
    return found, alone + [f"nothing was logged for {span.name} of {agent_of(span)} at {span.start_ns}" for span in left]


def _shown(entry: Mapping[str, Any]) -> str:
    return str({key: value for key, value in entry.items() if key not in {"messages", "tools", "meta"}})


def requests_and_spans(ran: Ran, tree: Tree) -> tuple[list[tuple[Mapping[str, Any], SpanRecord]], list[str]]:
    """Every request that the endpoint had, with its model call: by the reply's id where one was sent and read, else by agent and time."""
    by_id = {span.attributes.get("gen_ai.response.id") for span in tree.model_calls}

    def same(entry: Mapping[str, Any], span: SpanRecord) -> bool:
        if agent_of(span) != entry["agent_id"]:
            return False
        if entry["id"] in by_id or span.attributes.get("gen_ai.response.id"):
            return bool(span.attributes.get("gen_ai.response.id") == entry["id"])
        return bool(span.start_ns <= entry["began_ns"] <= end(span))

    return pairs(ran.requests, tree.model_calls, same)


def tools_and_spans(ran: Ran, tree: Tree) -> tuple[list[tuple[Mapping[str, Any], SpanRecord]], list[str]]:
    """Every call that the MCP servers had, with its span: by agent, tool, time and arguments."""

    def same(entry: Mapping[str, Any], span: SpanRecord) -> bool:
        given = json.loads(str(span.attributes["gen_ai.tool.call.arguments"]))
        return (
            agent_of(span) == entry["agent"]
            and span.name == f"mcp.notes.{entry['tool']}"
            and all(entry["arguments"][name] == value for name, value in given.items())
            and span.start_ns <= entry["began_ns"] <= entry["ended_ns"] <= end(span)
        )

    return pairs(ran.tool_calls, tree.tool_calls, same)


TOKENS = {
    "massgen.usage.input": ("gen_ai.usage.input_tokens", "input"),
    "massgen.usage.output": ("gen_ai.usage.output_tokens", "output"),
    "massgen.usage.reasoning": ("gen_ai.usage.reasoning.output_tokens", "reasoning"),
    "massgen.usage.cached_input": ("gen_ai.usage.cache_read.input_tokens", "cached_input"),
}
"""Key of a round, key of a model call, and where the endpoint has it."""


def tokens(ran: Ran, tree: Tree) -> dict[str, dict[tuple[str, str], int]]:
    """Tokens by agent and kind: as the endpoint sent them, as the model calls have them, as the rounds have them."""
    sums: dict[str, dict[tuple[str, str], int]] = {"endpoint": defaultdict(int), "calls": defaultdict(int), "rounds": defaultdict(int)}
    for kind, (key, sent) in TOKENS.items():
        for request in ran.requests:
            if sent in request["tokens"]:
                sums["endpoint"][request["agent_id"], kind] += request["tokens"][sent]
        for where, spans, name in (("calls", tree.model_calls, key), ("rounds", tree.rounds, kind)):
            for span in spans:
                if name in span.attributes:
                    sums[where][str(agent_of(span)), kind] += int(str(span.attributes[name]))
    return {where: dict(found) for where, found in sums.items()}


def own_events(ran: Ran) -> list[dict[str, Any]]:
    """What MassGen has written about the coordination itself; nothing where it wrote nothing."""
    paths = sorted(ran.place.glob(".massgen/massgen_logs/*/turn_*/attempt_*/coordination_events.json"))
    return [event for path in paths for event in json.loads(path.read_text())["events"]]


def own_status(ran: Ran) -> dict[str, Any]:
    """MassGen's status file; empty where there is none."""
    paths = sorted(ran.place.glob(".massgen/massgen_logs/*/turn_*/attempt_*/status.json"))
    return dict(json.loads(paths[-1].read_text())) if paths else {}


def counted(events: Iterable[Mapping[str, Any]], kind: str) -> Counter[str]:
    """How many events of a kind each agent has."""
    return Counter(event["agent_id"] for event in events if event["event_type"] == kind)


def points(tree: Tree, start: str) -> Counter[str]:
    """How many point records whose name starts so each agent has."""
    return Counter(str(agent_of(span)) for span in tree.named(start))
