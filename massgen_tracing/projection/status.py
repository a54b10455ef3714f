"""The state of a run as `status.json`: documented keys as documented, and those that MassGen 0.1.97 writes besides.

`status.schema.json` beside this file says what every such file obeys. What it takes to write one grows with the agents, not with the run.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Final

from massgen_tracing import layout, semconv
from massgen_tracing.projection import judged
from massgen_tracing.projection.encoded import as_document
from massgen_tracing.projection.events import stamp
from massgen_tracing.projection.state import AgentState, RoundState, RunState, Said, Tools, ToolStats
from massgen_tracing.projection.usage import ms
from massgen_tracing.projection.values import text

OUTCOMES: Final = ("answer", "vote", "presentation", "post_evaluation", "restarted", "error", "timeout", "cancelled")
"""Ends of rounds, all of which are counted, also where there are none."""

SHOWN_ROUNDS: Final = 10
"""Rounds of an agent that `status.json` shows, the latest; `metrics_summary.json` has all."""

_SHOWN_NAMES: Final = 100
"""Tools and models that it shows by name."""

_SHOWN_ANSWERS: Final = 100
_REASON_CHARS: Final = 100
_ANSWER_CHARS: Final = 200
_CHARS_A_TOKEN: Final = 4


def schema() -> dict[str, Any]:
    """The JSON Schema of `status.json`."""
    loaded: dict[str, Any] = json.loads(resources.files(__package__).joinpath("status.schema.json").read_bytes())
    return loaded


def status(state: RunState, now_ns: int | None = None) -> bytes:
    """The content of `status.json`.

    Args:
        state: what is known of the run.
        now_ns: Unix nanoseconds; None: the run's end, or the last that is known of it.
    """
    now = state.last_ns if now_ns is None else max(now_ns, state.last_ns)
    if state.end_ns is not None:
        now = state.end_ns
    agents = list(state.agents.values())
    won = judged.winner(state)
    if not won and (state.outcomes.get("error") or state.outcomes.get("timeout")):
        # MassGen's `export` looks for the error of such a run at the first agent, and stops where that one has none.
        agents.sort(key=lambda agent: not judged.has_failed(agent))
    reason, place = judged.finish_reason(state), _attempt_path(state)
    said: dict[str, Any] = {
        "meta": _meta(state, place, now),
        "is_complete": reason != judged.IN_PROGRESS,
        "finish_reason": reason,
        "finish_reason_details": judged.finish_details(state),
        "review_pending": False,
        "coordination": {
            "phase": judged.phase(state),
            "active_agent": judged.active_agent(state),
            "completion_percentage": judged.completion(state),
            "is_final_presentation": judged.presents(state),
        },
        "agents": {agent.id: _agent(state, agent) for agent in agents},
        "results": _results(state),
        "costs": {
            "total_estimated_cost": state.used.cost or 0.0,
            "total_input_tokens": state.used.input or 0,
            "total_output_tokens": state.used.output or 0,
            "calls_of_unknown_cost": state.used.costless,
        },
        "tools": tools(state.tools, _SHOWN_NAMES),
        "rounds": rounds(state),
        "telemetry": telemetry(state, _SHOWN_NAMES),
        "historical_workspaces": [_workspace(state, place, answer) for answer in state.answers[-_SHOWN_ANSWERS:]],
    }
    return as_document(said)


def _attempt_path(state: RunState) -> str:
    """Where the attempt's files lie, as the recording says."""
    return str(layout.RunDirectory(Path(text(state.about.get(semconv.LOG_DIR))), state.turn, state.attempt).attempt_dir)


def telemetry(state: RunState, most: int | None = None) -> dict[str, Any]:
    """Tokens, cost, latency and calls; of very many models, the *most* that come first by name."""
    return {
        "total_calls": state.used.calls,
        "total": state.used.telemetry(),
        "by_model": {name: used.telemetry() for name, used in sorted(state.by_model.items())[:most]},
        "by_agent": {agent.id: agent.used.telemetry() for agent in state.agents.values()},
    }


def tools(used: Tools, most: int | None = None) -> dict[str, Any]:
    """How tools were used; of very many, the *most* that come first by name."""
    return {
        "total_calls": used.total.calls,
        "total_failures": used.total.failures,
        "total_execution_time_ms": ms(used.total.ns.total),
        "by_tool": {name: _tool(stats) for name, stats in sorted(used.by_name.items())[:most]},
    }


def round_of(agent: AgentState, rnd: RoundState) -> dict[str, Any]:
    """One round of an agent's history."""
    outcome = "presentation" if rnd.presents and rnd.outcome == "answer" else rnd.outcome
    return {
        "round_number": rnd.number,
        "agent_id": agent.id,
        "round_type": rnd.kind,
        "outcome": outcome or None,
        "error": rnd.error or None,
        **rnd.used.tokens(),
        "context_window_size": 0,
        "context_usage_pct": 0.0,
        "tool_calls_count": rnd.tools,
        "token_source": "api",
        "start_time": rnd.start_ns / 1e9,
        "end_time": None if rnd.end_ns is None else rnd.end_ns / 1e9,
        "duration_ms": 0.0 if rnd.end_ns is None else ms(max(0, rnd.end_ns - rnd.start_ns)),
        "api_calls_count": rnd.used.calls,
        "api_time_ms": ms(rnd.used.latency_ns),
        "avg_ttft_ms": rnd.used.first_ms,
    }


def rounds(state: RunState) -> dict[str, Any]:
    """How many rounds have ended, and how; the tokens and the cost are those of the model calls in rounds, each once."""
    used = state.in_rounds
    return {
        "total_rounds": state.rounds,
        "by_outcome": {**dict.fromkeys(OUTCOMES, 0), **dict(sorted(state.outcomes.items()))},
        "total_round_input_tokens": used.input or 0,
        "total_round_output_tokens": used.output or 0,
        "total_round_cost": used.cost or 0.0,
    }


def _meta(state: RunState, place: str, now: int) -> dict[str, Any]:
    about = state.about
    log_dir = text(about.get(semconv.LOG_DIR))
    return {
        "last_updated": now / 1e9,
        "session_id": Path(log_dir).name,
        "log_dir": log_dir,
        "question": text(about.get(semconv.TASK)),
        "start_time": state.start_ns / 1e9,
        "elapsed_seconds": round(max(0, now - state.start_ns) / 1e9, 3),
        "turn": state.turn,
        "attempt": state.attempt,
        "attempt_dir": place,
        "trace_id": state.trace_id,
        "orchestrator_paths": {"snapshot_storage": None, "temp_workspace_parent": None},
        "eval_criteria": None,
        "context_paths": None,
        "docker_enabled": False,
    }


def _agent(state: RunState, agent: AgentState) -> dict[str, Any]:
    vote, failed, current = judged.counted_vote(agent), judged.failed_round(agent), _current(agent)
    return {
        "status": judged.agent_status(state, agent),
        "answer_count": agent.answers,
        "latest_answer_label": agent.answer.label if agent.answer is not None else None,
        "vote_cast": None if vote is None else _vote(vote),
        "times_restarted": judged.restarts(agent),
        "last_activity": (agent.last_ns or state.start_ns) / 1e9,
        "error": None if failed is None else _error(failed),
        "model": agent.model or None,
        "workspace_paths": None,
        "token_usage": agent.used.tokens(),
        "tool_metrics": tools(agent.tools, _SHOWN_NAMES),
        "round_history": [round_of(agent, agent.rounds[number]) for number in agent.numbers[-SHOWN_ROUNDS:]],
        "round_timing": {} if current is None else {"round_number": current.number, "round_start_time": current.start_ns / 1e9},
        "reliability": _reliability(agent),
    }


def _current(agent: AgentState) -> RoundState | None:
    return agent.presentation or agent.latest


def _vote(vote: Said) -> dict[str, Any]:
    return {"voted_for_agent": vote.voted_for, "voted_for_label": vote.label or None, "reason_preview": vote.text[:_REASON_CHARS]}


def _error(failed: RoundState) -> dict[str, Any]:
    return {"type": failed.outcome, "message": failed.error, "timestamp": (failed.end_ns or failed.start_ns) / 1e9}


def _reliability(agent: AgentState) -> dict[str, Any] | None:
    """The enforcement of an agent's protocol; None where there was none."""
    if not agent.reasons:
        return None
    newest = [number for number in agent.numbers[-SHOWN_ROUNDS:] if number in agent.reasons]
    latest = agent.latest
    outcomes = {"error": "failed", "timeout": "timeout"}
    return {
        "enforcement_attempts": [dict(attempt.values) for attempt in agent.attempts],
        "by_round": {str(number): {"count": sum(agent.reasons[number].values()), "reasons": sorted(agent.reasons[number])} for number in newest},
        "unknown_tools": sorted(agent.unknown_tools)[:_SHOWN_NAMES],
        "workflow_errors": sorted(agent.workflow_errors)[:_SHOWN_NAMES],
        "total_enforcement_retries": agent.enforced,
        "total_buffer_chars_lost": agent.lost_chars,
        "outcome": outcomes.get(latest.outcome, "ok") if latest is not None and not agent.working else "ok",
    }


def _results(state: RunState) -> dict[str, Any]:
    final = judged.final_answer(state)
    return {
        "votes": judged.votes(state),
        "winner": judged.winner(state) or None,
        "winner_label": judged.winner_label(state) or None,
        "winner_reason": text(state.about.get(semconv.WINNER_REASON)) or None,
        "final_answer_preview": None if final is None else final.text[:_ANSWER_CHARS],
    }


def _tool(stats: ToolStats) -> dict[str, Any]:
    taken, sent, got = stats.ns, stats.input_chars, stats.output_chars
    times, sizes = taken.percentiles(0.5, 0.9), got.percentiles(0.5, 0.9, 0.99)
    return {
        "call_count": stats.calls,
        "success_count": stats.calls - stats.failures,
        "failure_count": stats.failures,
        "total_execution_time_ms": ms(taken.total),
        "avg_execution_time_ms": ms(int(taken.mean)),
        "min_execution_time_ms": ms(taken.least),
        "max_execution_time_ms": ms(taken.most),
        "exec_time_distribution": {"min_ms": ms(taken.least), "max_ms": ms(taken.most), "median_ms": ms(times[0]), "p90_ms": ms(times[1])},
        "total_input_chars": sent.total,
        "total_output_chars": got.total,
        "avg_input_chars": round(sent.mean, 1),
        "avg_output_chars": round(got.mean, 1),
        "input_distribution": {"min": sent.least, "max": sent.most, "median": sent.percentiles(0.5)[0]},
        "output_distribution": {"min": got.least, "max": got.most, "median": sizes[0], "p90": sizes[1], "p99": sizes[2]},
        "input_tokens_est": sent.total // _CHARS_A_TOKEN,
        "output_tokens_est": got.total // _CHARS_A_TOKEN,
        "tool_type": "mcp" if stats.mcp else "custom",
    }


def _workspace(state: RunState, place: str, answer: Said) -> dict[str, Any]:
    when = stamp(answer.ns, state.offset)
    return {
        "answerId": f"{answer.agent_id}-{when}",
        "agentId": answer.agent_id,
        "answerNumber": answer.round,
        "answerLabel": answer.label,
        "timestamp": when,
        # MassGen lists what is there, and reads answer.txt in it, or beside it: the answer's own directory has it, and is always there.
        "workspacePath": f"{place}/{state.place_of(answer)}",
    }
