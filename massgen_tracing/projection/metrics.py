"""The state of a run as `metrics_summary.json`: what was used, by tool, round and agent, in the form that MassGen's `logs` reads."""

from __future__ import annotations

from typing import Any

from massgen_tracing import semconv
from massgen_tracing.projection import judged
from massgen_tracing.projection.encoded import as_document
from massgen_tracing.projection.state import AgentState, RunState
from massgen_tracing.projection.status import round_of, rounds, telemetry, tools
from massgen_tracing.projection.usage import Used, ms
from massgen_tracing.projection.values import text


def metrics_summary(state: RunState) -> bytes:
    """The content of `metrics_summary.json`."""
    used, in_rounds, counted = state.used, state.in_rounds, rounds(state)
    said: dict[str, Any] = {
        "meta": {
            "generated_at": (state.end_ns or state.last_ns) / 1e9,
            "session_id": f"attempt_{state.attempt}",
            "question": text(state.about.get(semconv.TASK)),
            "num_agents": len(state.agents),
            "winner": judged.winner(state) or None,
            "finish_reason": judged.finish_reason(state),
            "trace_id": state.trace_id,
        },
        "totals": {
            **used.tokens(),
            "agent_cost": used.cost or 0.0,
            "subagent_cost": 0.0,
            "calls": used.calls,
            "calls_of_unknown_cost": used.costless,
        },
        "tools": tools(state.tools),
        "rounds": {
            "total_rounds": counted["total_rounds"],
            "by_outcome": counted["by_outcome"],
            "total_input_tokens": in_rounds.input or 0,
            "total_output_tokens": in_rounds.output or 0,
            "total_reasoning_tokens": in_rounds.reasoning or 0,
            "total_estimated_cost": in_rounds.cost or 0.0,
            "avg_context_usage_pct": 0.0,
        },
        "api_timing": {
            "total_calls": used.calls,
            "total_time_ms": ms(used.latency_ns),
            "avg_time_ms": ms(used.latency_ns // used.calls) if used.calls else 0.0,
            "avg_ttft_ms": used.first_ms,
            "by_round": {f"round_{number}": _timing(found) for number, found in sorted(state.by_round.items())},
            "by_backend": {name: _timing(found) for name, found in sorted(state.by_backend.items())},
        },
        "telemetry": telemetry(state),
        "agents": {agent.id: _agent(agent) for agent in state.agents.values()},
        "subagents": {"total_subagents": 0, "total_estimated_cost": 0.0, "subagents": []},
    }
    return as_document(said)


def _agent(agent: AgentState) -> dict[str, Any]:
    return {
        "tool_metrics": tools(agent.tools),
        "round_history": [round_of(agent, agent.rounds[number]) for number in agent.numbers],
        "token_usage": agent.used.tokens(),
        "answers": agent.answers,
        "restarts": judged.restarts(agent),
        "enforcements": agent.enforced,
    }


def _timing(used: Used) -> dict[str, Any]:
    average = ms(used.latency_ns // used.calls) if used.calls else 0.0
    return {"calls": used.calls, "time_ms": ms(used.latency_ns), "avg_time_ms": average, "ttft_ms": ms(used.first_ns)}
