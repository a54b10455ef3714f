"""Recordings that the pages are tested with: a run with every fault, an ordinary one, other programs' spans, and texts that try to be markup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.insight.planted import BEGIN, FAULTS, TEXTS, Play, record
from tests.store import otlp

FAULTY = "log_20270115_080000_000000"
ORDINARY = "log_20270114_080000_000000"
TURNS = "log_20270113_080000_000000"
HOSTILE = "log_20270112_080000_000000"
MARKUP = (
    "<script>alert(1)</script> <img src=x onerror=alert(2)> <plan>keep me</plan> [a](javascript:alert(3)) ![p](http://evil.example/p.png) **bold**"
)
LONG = "word " * 2000 + "the end"
DAY_NS = 86_400 * 10**9

FRAMEWORK = "5d1e0000000000000000000000000001"
CONVENTIONS = "5d1e0000000000000000000000000002"


def make(root: Path) -> None:
    """All of them."""
    faulty = Play()
    for fault in FAULTS.values():
        fault.plant(faulty)
    record(root, FAULTY, faulty)
    record(root, ORDINARY, Play(), begin=BEGIN - DAY_NS)
    for turn, question in ((1, "Which bridge?"), (2, "And which tunnel?")):
        record(root, TURNS, Play(question=question), turn=turn, begin=BEGIN - 2 * DAY_NS)
    hostile = Play(question=MARKUP, texts={agent: f"{MARKUP} {said}" for agent, said in TEXTS.items()})
    hostile.early["a"] = [lambda _, rnd: rnd.tool_call(MARKUP, {MARKUP: MARKUP}).start().end()]
    record(root, HOSTILE, hostile, begin=BEGIN - 3 * DAY_NS)
    traces = root / "traces"
    traces.mkdir()
    (traces / "20270115_090000_000000_1_app.otlp.jsonl").write_bytes(framework() + conversations())


def framework() -> bytes:
    """What a framework of agents says without a session of ours."""

    def agent(name: str) -> dict[str, Any]:
        return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}

    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    spans = [
        otlp.span(1, "POST /ask", end_ms=900, trace=FRAMEWORK),
        otlp.span(2, "invoke_agent planner", parent=1, start_ms=10, end_ms=800, attributes=agent("planner"), trace=FRAMEWORK),
        otlp.span(3, "chat gpt-5-mini", parent=2, start_ms=20, end_ms=300, attributes=chat, trace=FRAMEWORK),
        otlp.span(4, "invoke_agent critic", parent=2, start_ms=310, end_ms=700, attributes=agent("critic"), trace=FRAMEWORK),
        otlp.span(5, "execute_tool search", parent=4, start_ms=320, end_ms=400, attributes=tool, trace=FRAMEWORK),
        otlp.span(6, "execute_tool search", parent=4, start_ms=330, end_ms=600, attributes=tool, trace=FRAMEWORK),
    ]
    return otlp.line(*spans, resource={"service.name": "assistant"})


def messages(role: str, *parts: dict[str, Any]) -> str:
    """One message as OpenTelemetry's conventions write it down."""
    return json.dumps([{"role": role, "parts": list(parts)}])


ASKED = {"type": "text", "content": f"Use the <plan>secret</plan> tag. {MARKUP}"}
THOUGHT = {"type": "reasoning", "content": "It wants a plan."}
SAID = {"type": "text", "content": "# Plan\n\n* stone\n* steel"}
CALLED = {"type": "tool_call", "id": "c1", "name": "search", "arguments": {"q": "bridges", "exact": 9007199254740993}}

SPOKEN: dict[str, dict[str, Any]] = {
    "OpenTelemetry": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": messages("user", ASKED),
        "gen_ai.output.messages": messages("assistant", THOUGHT, SAID, CALLED),
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be brief.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.contents.0.message_content.type": "text",
        "llm.input_messages.1.message.contents.0.message_content.text": ASKED["content"],
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": SAID["content"],
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "search",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"q": "bridges", "exact": 9007199254740993}',
    },
    "Logfire's clients": {
        "gen_ai.operation.name": "chat",
        "request_data": json.dumps({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED["content"]}]}),
        "response_data": json.dumps({"message": {
            "role": "assistant", "content": SAID["content"],
            "tool_calls": [{"id": "c1", "function": {"name": "search", "arguments": '{"q": "bridges", "exact": 9007199254740993}'}}],
        }}),
    },
    "older instrumentations": {
        "gen_ai.operation.name": "chat",
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be brief.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": ASKED["content"],
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": SAID["content"],
        "gen_ai.completion.0.tool_calls.0.id": "c1",
        "gen_ai.completion.0.tool_calls.0.name": "search",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"q": "bridges", "exact": 9007199254740993}',
    },
}  # fmt: skip
"""The same conversation, by whoever reports it."""


def conversations() -> bytes:
    """A call of each, and a tool with a long result."""
    spans = [otlp.span(20, "talks", end_ms=100, trace=CONVENTIONS)]
    for number, (name, attributes) in enumerate(SPOKEN.items(), 21):
        spans.append(otlp.span(number, name, parent=20, start_ms=number, end_ms=number + 1, attributes=attributes, trace=CONVENTIONS))
    tool = {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "dump", "gen_ai.tool.call.arguments": '{"n": 9007199254740993}',
        "gen_ai.tool.call.result": LONG,
    }  # fmt: skip
    spans.append(otlp.span(30, "execute_tool dump", parent=20, start_ms=50, end_ms=60, attributes=tool, trace=CONVENTIONS))
    return otlp.line(*spans, resource={"service.name": "talker"})
