"""OTLP/JSON lines written by hand, so that the reading half is tested against the format and not against our own writer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BASE_NS = 1_800_000_000_000_000_000
"""2027-01-15 08:00:00 UTC."""

TRACE = "0af7651916cd43dd8448eb211c80319c"
MS = 1_000_000

RESOURCE = {"service.name": "massgen", "service.version": "0.1", "process.pid": 4242, "telemetry.sdk.language": "python"}


def any_value(value: Any) -> dict[str, Any]:
    """A Python value as OTLP AnyValue."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case Mapping():
            return {"kvlistValue": {"values": key_values(value)}}
        case Sequence():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
    raise TypeError(value)


def key_values(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A mapping as a list of OTLP KeyValue."""
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def line(*spans: Mapping[str, Any], resource: Mapping[str, Any] = RESOURCE) -> bytes:
    """One line of a recording."""
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": key_values(resource)},
                "scopeSpans": [{"scope": {"name": "massgen_tracing", "version": "1"}, "spans": list(spans)}],
            }
        ]
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def span_id(number: int) -> str:
    """A span id that is recognised in an error message."""
    return f"{number:016x}"


def span(
    number: int,
    name: str,
    *,
    parent: int = 0,
    start_ms: float = 0,
    end_ms: float = 1,
    attributes: Mapping[str, Any] | None = None,
    trace: str = TRACE,
    **fields: Any,
) -> dict[str, Any]:
    """A span that has ended; times in milliseconds from `BASE_NS`."""
    made: dict[str, Any] = {
        "traceId": trace,
        "spanId": span_id(number),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(BASE_NS + int(start_ms * MS)),
        "endTimeUnixNano": str(BASE_NS + int(end_ms * MS)),
        "attributes": key_values(attributes or {}),
        "status": {},
        **fields,
    }
    if parent:
        made["parentSpanId"] = span_id(parent)
    return made


def pending(
    number: int,
    name: str,
    *,
    parent: int = 0,
    start_ms: float = 0,
    attributes: Mapping[str, Any] | None = None,
    trace: str = TRACE,
    own: int | None = None,
) -> dict[str, Any]:
    """The start of span *number*, as Logfire puts it on the wire."""
    marks = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": span_id(parent)}
    return span(
        own or 0xF000_0000 + number,
        name,
        parent=number,
        start_ms=start_ms,
        end_ms=start_ms,
        attributes={**(attributes or {}), **marks},
        trace=trace,
    )


def event(number: int, name: str, *, parent: int, at_ms: float, attributes: Mapping[str, Any] | None = None, trace: str = TRACE) -> dict[str, Any]:
    """A point event: a span of no duration."""
    return span(number, name, parent=parent, start_ms=at_ms, end_ms=at_ms, attributes={**(attributes or {}), "logfire.span_type": "log"}, trace=trace)


def exception(kind: str, message: str, at_ms: float = 0) -> dict[str, Any]:
    """A span event that records an exception."""
    stack = f"Traceback (most recent call last):\n{kind}: {message}"
    return {
        "name": "exception",
        "timeUnixNano": str(BASE_NS + int(at_ms * MS)),
        "attributes": key_values({"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}),
    }


def sample_spans(trace: str = TRACE) -> list[dict[str, Any]]:
    """A whole run of two agents: answers, a failing tool, a vote, the winner's presentation."""
    a0 = {"massgen.agent_id": "agent_a", "massgen.round": 0, "massgen.round_type": "initial_answer"}
    b0 = {"massgen.agent_id": "agent_b", "massgen.round": 0, "massgen.round_type": "initial_answer"}
    b1 = {"massgen.agent_id": "agent_b", "massgen.round": 1, "massgen.round_type": "voting"}
    ap = {"massgen.agent_id": "agent_a", "massgen.round_type": "presentation"}
    llm = {"gen_ai.request.model": "gpt-5-nano"}
    failed = {"code": 2, "message": "no such file"}
    spans = [
        span(
            1,
            "coordination.session",
            end_ms=5000,
            attributes={
                "massgen.task": "Which is the best?",
                "massgen.num_agents": 2,
                "massgen.agent_ids": ["agent_a", "agent_b"],
                "massgen.winner": "agent_a",
                "massgen.winner_label": "agent1.1",
                "massgen.votes": {"agent1.1": 1},
                "logfire.msg": "coordination of 2 agents",
                "logfire.tags": ["demo", "two"],
            },
        ),
        event(2, "Coordination event: coordination_started", parent=1, at_ms=10, attributes={"massgen.event_type": "coordination_started"}),
        span(
            3,
            "agent.agent_a.round_0",
            parent=1,
            start_ms=20,
            end_ms=2020,
            attributes={
                **a0,
                "massgen.outcome": "answer",
                "massgen.answer_label": "agent1.1",
                "massgen.usage.input": 1200,
                "massgen.usage.output": 300,
                "massgen.usage.cost": 0.0125,
                "token_count": 1500,
            },
        ),
        span(
            4,
            "llm.openrouter.stream",
            parent=3,
            start_ms=30,
            end_ms=1530,
            kind=3,
            attributes={**a0, **llm, "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 300, "operation.cost": 0.0125},
        ),
        event(5, "Tool execution: mcp__filesystem__write_file", parent=3, at_ms=1540, attributes=a0),
        span(
            6,
            "mcp.filesystem.write_file",
            parent=3,
            start_ms=1550,
            end_ms=1750,
            kind=3,
            attributes={**a0, "gen_ai.tool.name": "write_file", "error.type": "FileNotFoundError"},
            events=[exception("FileNotFoundError", "no such file: 'x'", 1740)],
            status=failed,
        ),
        event(7, "Agent answer: agent1.1", parent=3, at_ms=1900, attributes=a0),
        span(
            8,
            "agent.agent_b.round_0",
            parent=1,
            start_ms=25,
            end_ms=3025,
            attributes={**b0, "massgen.outcome": "error", "massgen.error_message": "connection lost"},
            events=[exception("ConnectionError", "connection lost", 3020)],
            status={"code": "STATUS_CODE_ERROR", "message": "connection lost"},
        ),
        span(9, "llm.openrouter.stream", parent=8, start_ms=35, end_ms=3000, kind=3, attributes={**b0, **llm}),
        span(
            10,
            "agent.agent_b.round_1",
            parent=1,
            start_ms=3100,
            end_ms=4100,
            attributes={
                **b1,
                "massgen.outcome": "vote",
                "massgen.voted_for": "agent_a",
                "massgen.voted_for_label": "agent1.1",
                "massgen.usage.input": 900,
                "massgen.usage.output": 50,
                "massgen.usage.cost": 0.0025,
            },
        ),
        span(
            11,
            "llm.openrouter.stream",
            parent=10,
            start_ms=3110,
            end_ms=4000,
            kind=3,
            attributes={**b1, **llm, "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 50, "operation.cost": 0.0025},
        ),
        event(12, "Agent vote: agent_b -> agent1.1", parent=10, at_ms=4050, attributes=b1),
        event(13, "Coordination event: winner_selected", parent=1, at_ms=4200, attributes={"massgen.event_type": "winner_selected"}),
        span(
            14,
            "agent.agent_a.presentation",
            parent=1,
            start_ms=4300,
            end_ms=4900,
            attributes={**ap, "massgen.is_winner": True, "massgen.usage.input": 100, "massgen.usage.output": 20},
        ),
        event(15, "Winner selected: agent1.1", parent=14, at_ms=4310, attributes=ap),
        span(
            16,
            "llm.openrouter.stream",
            parent=14,
            start_ms=4320,
            end_ms=4800,
            kind=3,
            attributes={**ap, **llm, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20},
        ),
        event(17, "Final answer from agent_a", parent=14, at_ms=4890, attributes=ap),
    ]
    for made in spans:
        made["traceId"] = trace
    return spans


def sample_lines(trace: str = TRACE) -> list[bytes]:
    """The sample run as a writer records it: each span's start, then its end, in order of time."""
    timed: list[tuple[int, int, bytes]] = []
    for made in sample_spans(trace):
        start, end, number = int(made["startTimeUnixNano"]), int(made["endTimeUnixNano"]), int(made["spanId"], 16)
        if end > start:
            parent = int(made.get("parentSpanId", "0"), 16)
            begun = pending(number, made["name"], parent=parent, start_ms=(start - BASE_NS) / MS, trace=trace)
            timed.append((start, number, line(begun)))
        timed.append((end, 100 - number, line(made)))
    return [text for _, _, text in sorted(timed)]


def write(path: Path, lines: Sequence[bytes]) -> Path:
    """Put lines into a file, with the directories that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return path


def write_run(root: Path, name: str = "log_20270115_080000_000000", lines: Sequence[bytes] | None = None) -> Path:
    """Put a run's recording under *root* as the writing half does; returns the run's directory."""
    run = root / "massgen_logs" / name
    write(run / "turn_1" / "attempt_1" / "trace.otlp.jsonl", sample_lines() if lines is None else lines)
    return run
