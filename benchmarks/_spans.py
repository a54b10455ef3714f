"""Seeded, realistic spans: recordings of runs as the package's own writer writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BASE_NS = 1_800_000_000_000_000_000
SECOND = 1_000_000_000
TASKS = ("Which city is the best to live in?", "Plan the migration.", "Prove the lemma.", "Summarise the report.", "Find the bug.")
MODELS = ("gpt-5-mini", "gpt-5-nano", "claude-sonnet-5", "gemini-3-pro")
TOOLS = ("read_file", "write_file", "search", "list_directory", "execute")
TENANTS = ("north", "east", "south", "west")
AGENTS = ("agent_a", "agent_b", "agent_c")
RESOURCE = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
    "service.name": "massgen",
    "service.version": "0.1.97",
    "process.pid": 4242,
    "host.name": "benchmark",
}


def _any_value(value: Any) -> str:
    if isinstance(value, bool):
        return f'{{"boolValue":{"true" if value else "false"}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{value!r}}}'
    if isinstance(value, str):
        return f'{{"stringValue":{json.dumps(value)}}}'
    return f'{{"arrayValue":{{"values":[{",".join(map(_any_value, value))}]}}}}'


def _attributes(values: dict[str, Any]) -> str:
    return ",".join(f'{{"key":"{key}","value":{_any_value(value)}}}' for key, value in values.items())


HEAD = (
    f'{{"resourceSpans":[{{"resource":{{"attributes":[{_attributes(RESOURCE)}]}},'
    '"scopeSpans":[{"scope":{"name":"massgen_tracing","version":"0.1.0"},"spans":[{'
)
TAIL = "}]}]}]}\n"


class _Run:
    """One run: a session, rounds of agents, model and tool calls inside them."""

    def __init__(self, rng: random.Random, start_ns: int) -> None:
        self.rng = rng
        self.trace_id = f"{rng.getrandbits(128) | 1:032x}"
        self.now = start_ns
        self.lines: list[str] = []

    def span(self, name: str, parent: str, attributes: dict[str, Any], inside: Any, *, kind: int = 1, failed: bool = False) -> str:
        rng = self.rng
        span_id, start = f"{rng.getrandbits(64) | 1:016x}", self.now
        pending = {**attributes, "logfire.span_type": "pending_span", "logfire.pending_parent_id": parent or "0" * 16}
        self.lines.append(
            f'{HEAD}"traceId":"{self.trace_id}","spanId":"{rng.getrandbits(64) | 1:016x}","parentSpanId":"{span_id}","name":"{name}",'
            f'"kind":{kind},"startTimeUnixNano":"{start}","endTimeUnixNano":"{start}","attributes":[{_attributes(pending)}]{TAIL}'
        )
        attributes.update(inside(span_id) or {})
        optional = f'"parentSpanId":"{parent}",' if parent else ""
        if failed:
            stack = "Traceback (most recent call last):\n" + "".join(f'  File "agent.py", line {rng.randrange(900)}, in call\n' for _ in range(12))
            values = {"exception.type": "TimeoutError", "exception.message": f"no answer after {rng.randrange(90)} s", "exception.stacktrace": stack}
            optional += f'"events":[{{"timeUnixNano":"{self.now}","name":"exception","attributes":[{_attributes(values)}]}}],'
            optional += '"status":{"code":2,"message":"no answer"},'
        self.lines.append(
            f'{HEAD}"traceId":"{self.trace_id}","spanId":"{span_id}",{optional}"flags":257,"name":"{name}","kind":{kind},'
            f'"startTimeUnixNano":"{start}","endTimeUnixNano":"{self.now}","attributes":[{_attributes(attributes)}]{TAIL}'
        )
        return span_id

    def wait(self, low: float, high: float, then: dict[str, Any] | None = None) -> dict[str, Any] | None:
        self.now += int(self.rng.uniform(low, high) * SECOND)
        return then

    def event(self, name: str, parent: str, attributes: dict[str, Any]) -> None:
        span_id = f"{self.rng.getrandbits(64) | 1:016x}"
        self.wait(0.0001, 0.001)
        known = {**attributes, "logfire.span_type": "log"}
        self.lines.append(
            f'{HEAD}"traceId":"{self.trace_id}","spanId":"{span_id}","parentSpanId":"{parent}","flags":257,"name":"{name}","kind":1,'
            f'"startTimeUnixNano":"{self.now}","endTimeUnixNano":"{self.now}","attributes":[{_attributes(known)}]{TAIL}'
        )

    def session(self, spans: int) -> None:
        attributes = {"massgen.task": self.rng.choice(TASKS), "massgen.num_agents": len(AGENTS), "massgen.agent_ids": list(AGENTS)}
        self.span("coordination.session", "", attributes, lambda session: self._rounds(session, spans))

    def _rounds(self, session: str, spans: int) -> dict[str, Any]:
        self.event("Coordination event: coordination_started", session, {"massgen.event_type": "coordination_started"})
        number, rng = 0, self.rng
        while len(self.lines) < 2 * spans - 12:
            agent = AGENTS[number % len(AGENTS)]
            count = number // len(AGENTS)
            known = {"massgen.agent_id": agent, "massgen.round": count, "massgen.round_type": "voting" if count else "initial_answer"}
            told = {**known, "massgen.backend": "openai", "app.tenant": rng.choice(TENANTS)}
            self.span(f"agent.{agent}.round_{count}", session, told, lambda id_, known=known: self._calls(id_, known))
            number += 1
        return {"massgen.winner": "agent_a", "massgen.winner_label": "agent1.1"}

    def _calls(self, parent: str, known: dict[str, Any]) -> dict[str, Any]:
        rng, total_in, total_out, total = self.rng, 0, 0, 0.0
        for _ in range(rng.randrange(1, 5)):
            tokens, out = rng.randrange(300, 9000), rng.randrange(20, 1500)
            cost = (tokens * 25 + out * 200) / 1e8
            model = rng.choice(MODELS)
            call = {
                **known,
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": model,
                "gen_ai.response.model": model,
            }
            usage = {
                "gen_ai.response.id": f"resp_{rng.getrandbits(96):024x}",
                "gen_ai.usage.input_tokens": tokens,
                "gen_ai.usage.output_tokens": out,
                "gen_ai.response.time_to_first_chunk": rng.uniform(0.1, 2.0),
                "operation.cost": cost,
            }
            self.span("llm.openai.stream", parent, call, lambda _, usage=usage: self.wait(0.5, 20, usage), kind=3, failed=rng.random() < 0.02)
            total_in, total_out, total = total_in + tokens, total_out + out, total + cost
            for _ in range(rng.randrange(3)):
                tool = rng.choice(TOOLS)
                called = {**known, "gen_ai.tool.name": tool, "gen_ai.tool.call.id": f"call_{rng.getrandbits(64):016x}"}
                self.event(f"Tool execution: mcp__filesystem__{tool}", parent, known)
                self.span(f"mcp.filesystem.{tool}", parent, called, lambda _: self.wait(0.005, 0.5), kind=3, failed=rng.random() < 0.02)
        self.event("Agent answer: agent1.1", parent, known)
        outcome = "vote" if known["massgen.round"] else "answer"
        return {
            "massgen.outcome": outcome,
            "massgen.usage.input": total_in,
            "massgen.usage.output": total_out,
            "massgen.usage.cost": total,
        }


def run_lines(seed: int, spans: int) -> list[str]:
    """The lines of one run of about *spans* spans."""
    rng = random.Random(seed)
    run = _Run(rng, BASE_NS + seed * 600 * SECOND + rng.randrange(SECOND))
    run.session(spans)
    return run.lines


def recordings(root: Path, *, spans: int, spans_a_run: int) -> Iterator[Path]:
    """Write recordings of about *spans* spans in all under *root*, one file a run."""
    for seed in range(max(1, spans // spans_a_run)):
        path = root / "massgen_logs" / f"log_20270115_08{seed // 60 % 60:02}{seed % 60:02}_{seed:06}" / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(run_lines(seed, spans_a_run)))
        yield path
