"""A real run from the command line to SQL: every documented name, key, label, outcome and figure, read back from the recording."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import layout, store
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, ScriptedEndpoint, Turn
from massgen_tracing.store.roots import catalogue, reader

LABEL = re.compile(r"agent[1-3]\.\d+")


def _command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "massgen_tracing.views.cli", *words], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which `massgen-tracing run --dry-run` has run once."""
    place = tmp_path_factory.mktemp("dry run")
    done = _command("run", "--dry-run", "Which layout?", cwd=place)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def spans(place: Path) -> tuple[SpanRecord, ...]:
    """What that run has recorded."""
    recording = reader.read(catalogue.files(place / layout.DEFAULT_ROOT))
    assert recording.report.skipped == 0
    assert all(span.state == "ended" for span in recording.spans)
    return tuple(recording.spans)


def _named(spans: tuple[SpanRecord, ...], start: str) -> list[SpanRecord]:
    return sorted((span for span in spans if span.name.startswith(start)), key=lambda span: span.start_ns)


Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _some(value: Any) -> bool:
    return type(value) is int and value > 0


def _usd(value: Any) -> bool:
    return isinstance(value, float) and value > 0


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_text, value))


def _is(*allowed: Any) -> Check:
    return lambda value: value in allowed


ROUND_KEYS: dict[str, Check] = {
    "massgen.agent_id": _is("agent_a", "agent_b", "agent_c"),
    "massgen.iteration": _count,
    "massgen.round": _count,
    "massgen.round_type": _is("initial_answer", "voting", "presentation"),
    "massgen.backend": _is("openai"),
    "massgen.outcome": _is("vote", "answer", "restarted"),
    "massgen.usage.input": _some,
    "massgen.usage.output": _some,
    "massgen.usage.reasoning": _count,  # 0 where the provider says 0
    "massgen.usage.cached_input": _count,
    "massgen.usage.cost": _usd,
    "gen_ai.operation.name": _is("invoke_agent"),
    "gen_ai.agent.name": _is("agent_a", "agent_b", "agent_c"),
    "gen_ai.conversation.id": lambda value: value.startswith("log_"),
    "gen_ai.request.model": _text,
}
SOME_ROUNDS_KEYS: dict[str, Check] = {
    "massgen.num_context_answers": _some,
    "massgen.context_labels": lambda value: all(LABEL.fullmatch(label) for label in value),
    "massgen.is_winner": _is(True),
    "massgen.voted_for": _is("agent_a", "agent_b", "agent_c"),
    "massgen.voted_for_label": lambda value: LABEL.fullmatch(value) is not None,
    "massgen.answer_label": lambda value: LABEL.fullmatch(value) is not None,
}
SESSION_KEYS: dict[str, Check] = {
    "massgen.task": _is("Which layout?"),
    "massgen.num_agents": _is(3),
    "massgen.agent_ids": _texts,
    "massgen.log_dir": lambda value: Path(value).is_dir(),
    "massgen.winner": _is("agent_a"),
    "massgen.winner_label": lambda value: LABEL.fullmatch(value) is not None,
    "massgen.winner_reason": _text,
    "massgen.votes": lambda value: sum(value.values()) == 3,
    "massgen.finish_reason": _is("completed"),
    "massgen.utc_offset": lambda value: -86_400 < value < 86_400,
    "massgen.config": lambda value: [agent["id"] for agent in value["agents"]] == ["agent_a", "agent_b", "agent_c"],
    "process.command_args": _texts,
    "process.working_directory": _text,
    "process.runtime.version": _text,
    "gen_ai.operation.name": _is("invoke_workflow"),
    "gen_ai.workflow.name": _is("massgen"),
    "gen_ai.conversation.id": lambda value: value.startswith("log_"),
}
OF_ROUND: dict[str, Check] = {key: ROUND_KEYS[key] for key in ("massgen.agent_id", "massgen.round", "massgen.round_type")}
LLM_KEYS: dict[str, Check] = {
    **OF_ROUND,
    "gen_ai.operation.name": _is("chat"),
    "gen_ai.provider.name": _is("openai"),
    "gen_ai.system": _is("openai"),
    "gen_ai.request.model": _text,
    "gen_ai.request.stream": _is(True),
    "server.address": _is("127.0.0.1"),
}
ANSWERED_LLM_KEYS: dict[str, Check] = {
    "gen_ai.response.model": _text,
    "gen_ai.response.id": _text,
    "gen_ai.response.finish_reasons": _texts,
    "gen_ai.usage.input_tokens": _some,
    "gen_ai.usage.output_tokens": _some,
    "gen_ai.usage.cache_read.input_tokens": _count,
    "gen_ai.usage.reasoning.output_tokens": _count,
    "operation.cost": _usd,
    "gen_ai.response.time_to_first_chunk": lambda value: value > 0,
    "gen_ai.client.operation.time_to_first_chunk": lambda value: value > 0,
}
MCP_KEYS: dict[str, Check] = {
    **OF_ROUND,
    "gen_ai.operation.name": _is("execute_tool"),
    "gen_ai.tool.name": _is("write_file", "read_file", "list_directory", "execute_command"),
    "gen_ai.tool.call.id": _text,
    "mcp.method.name": _is("tools/call"),
    "network.transport": _is("pipe"),
}


def _assert_keys(found: list[SpanRecord], keys: dict[str, Check]) -> None:
    assert found
    for span in found:
        for key, right in keys.items():
            assert key in span.attributes, f"{span.name} has no {key}"
            assert right(span.attributes[key]), f"{span.name}: {key} is {span.attributes[key]!r}"


def test_every_key_of_a_round(spans: tuple[SpanRecord, ...]) -> None:
    """Each round has what applies to every round; what applies to some is on some, right, and absent (not empty) on the others."""
    rounds = _named(spans, "agent.")
    _assert_keys(rounds, ROUND_KEYS)
    for key, right in SOME_ROUNDS_KEYS.items():
        having = [span.attributes[key] for span in rounds if key in span.attributes]
        assert 0 < len(having) < len(rounds), key
        assert all(map(right, having)), (key, having)
    for span in rounds:
        outcome = span.attributes["massgen.outcome"]
        presentation = span.name.endswith(".presentation")
        assert ("massgen.is_winner" in span.attributes) is presentation
        assert ("massgen.answer_label" in span.attributes) is (outcome == "answer" and not presentation)
        assert ("massgen.voted_for" in span.attributes) is ("massgen.voted_for_label" in span.attributes) is (outcome == "vote")
        assert "massgen.error_message" not in span.attributes


def test_every_key_of_session_model_and_tool_calls(spans: tuple[SpanRecord, ...]) -> None:
    """The session, each model call and each MCP call has all of its documented keys; a cancelled call has no response."""
    _assert_keys(_named(spans, "coordination.session"), SESSION_KEYS)
    calls = _named(spans, "llm.openai.stream")
    _assert_keys(calls, LLM_KEYS)
    _assert_keys([call for call in calls if "massgen.outcome" not in call.attributes], ANSWERED_LLM_KEYS)
    for key in ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.cache_read.input_tokens"):
        assert any(_some(call.attributes.get(key)) for call in calls)
    assert not any("gen_ai.response.id" in call.attributes for call in calls if call.attributes.get("massgen.outcome") == "cancelled")
    _assert_keys(_named(spans, "mcp."), MCP_KEYS)
    assert {span.kind for span in (*calls, *_named(spans, "mcp."))} == {3}
    _assert_keys(_named(spans, "Tool execution: "), OF_ROUND)


def test_the_tree(spans: tuple[SpanRecord, ...]) -> None:
    """Rounds hang under the session; calls and events under a round of their own agent; every span lies within its parent's time."""
    by_id = {span.span_id: span for span in spans}
    [session] = _named(spans, "coordination.session")
    for span in spans:
        assert span.trace_id == session.trace_id
        if span is session:
            continue
        parent = by_id[span.parent_span_id]
        assert parent.start_ns <= span.start_ns
        assert span.end_ns is not None
        assert parent.end_ns is not None
        assert span.end_ns <= parent.end_ns
        if span.name.startswith("agent."):
            assert parent is session
        if span.name.startswith(("llm.", "mcp.", "Tool execution", "Agent ", "Final answer", "Winner selected")):
            above = parent
            while not above.name.startswith("agent."):
                above = by_id[above.parent_span_id]
            for key in OF_ROUND:
                assert span.attributes[key] == above.attributes[key]


def test_rounds_are_counted_and_labels_follow_the_sorted_ids(spans: tuple[SpanRecord, ...]) -> None:
    """Round numbers count from 0 for each agent; the k-th answer of the i-th agent by name is agent{i}.{k}."""
    numbers = defaultdict(list)
    for span in _named(spans, "agent."):
        agent_id, number = str(span.attributes["massgen.agent_id"]), int(str(span.attributes["massgen.round"]))
        numbers[agent_id].append(number)
        assert span.name in {f"agent.{agent_id}.round_{number}", f"agent.{agent_id}.presentation"}
    assert all(found == list(range(len(found))) for found in numbers.values())
    labels = defaultdict(list)
    for span in _named(spans, "Agent answer: "):
        labels[span.attributes["massgen.agent_id"]].append(span.attributes["massgen.answer_label"])
    for place, agent_id in enumerate(sorted(numbers), 1):
        assert labels[agent_id] == [f"agent{place}.{count}" for count in range(1, len(labels[agent_id]) + 1)]


def test_usage_is_the_sum_of_the_leaves(spans: tuple[SpanRecord, ...]) -> None:
    """A round's tokens and cost are those of its model calls, neither more nor less."""
    by_id = {span.span_id: span for span in spans}
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    pairs = {
        "massgen.usage.input": "gen_ai.usage.input_tokens",
        "massgen.usage.output": "gen_ai.usage.output_tokens",
        "massgen.usage.reasoning": "gen_ai.usage.reasoning.output_tokens",
        "massgen.usage.cached_input": "gen_ai.usage.cache_read.input_tokens",
        "massgen.usage.cost": "operation.cost",
    }
    for call in _named(spans, "llm."):
        for total, part in pairs.items():
            if part in call.attributes:
                sums[by_id[call.parent_span_id].span_id][total] += call.attributes[part]  # type: ignore[operator]
    for span in _named(spans, "agent."):
        for total in pairs:
            assert span.attributes.get(total) == (pytest.approx(sums[span.span_id][total]) if total in sums[span.span_id] else None)


def test_events_and_point_records(spans: tuple[SpanRecord, ...]) -> None:
    """Start, answers, votes, restarts, the enforcement, the winner and the final answer are there, without duration, each once."""
    points = [span for span in spans if span.attributes.get("logfire.span_type") == "log"]
    assert all(span.start_ns == span.end_ns for span in points)
    names = [span.name for span in points]
    outcomes = [span.attributes["massgen.outcome"] for span in _named(spans, "agent.") if not span.name.endswith("presentation")]
    assert names.count("Coordination event: coordination_started") == names.count("Coordination event: winner_selected") == 1
    assert sum(name.startswith("Agent answer: ") for name in names) == outcomes.count("answer")
    assert sum(bool(re.fullmatch(r"Agent vote: agent_[abc] -> agent\d\.\d", name)) for name in names) == outcomes.count("vote")
    assert sum(name.startswith("Agent restart: ") for name in names) == outcomes.count("restarted")
    [enforcement] = _named(spans, "Coordination event: enforcement")
    assert enforcement.attributes["massgen.enforcement.reason"] == "no_tool_calls"
    [winner] = _named(spans, "Winner selected: ")
    assert winner.name == "Winner selected: " + str(_named(spans, "coordination.session")[0].attributes["massgen.winner_label"])
    assert sum(name == "Final answer from agent_a" for name in names) == 1


def test_sql_agrees_with_the_recording(place: Path, spans: tuple[SpanRecord, ...]) -> None:
    """Counting and summing in SQL gives what the spans say."""
    root = place / layout.DEFAULT_ROOT
    [row] = store.query(
        "SELECT COUNT(*) AS n, SUM((attributes->'massgen.usage.input')::int) AS tokens FROM records WHERE span_name LIKE 'agent.%'", root=root
    ).rows
    rounds = _named(spans, "agent.")
    assert row == {"n": len(rounds), "tokens": sum(span.attributes["massgen.usage.input"] for span in rounds)}  # type: ignore[misc]
    assert len(store.query("SELECT span_id FROM records", root=root).rows) == len(spans)


def test_error_keys_of_a_failing_agent(tmp_path: Path) -> None:
    """An agent whose endpoint refuses, and one whose tool fails: outcome, message and error types are recorded, the run still ends well."""

    def script(asked: Asked) -> Turn:
        if asked.agent_id == "agent_b":
            return Turn(status=400, text="no such model")
        turns = {
            1: Turn(calls=(ScriptedCall("mcp__filesystem__read_file", {"path": "missing.txt"}),)),
            2: Turn(calls=(ScriptedCall("new_answer", {"content": "forty-two"}),)),
            3: Turn(calls=(ScriptedCall("vote", {"agent_id": "agent1", "reason": "only one"}),)),
        }
        return turns.get(asked.number, Turn(text="forty-two"))

    with ScriptedEndpoint(script) as endpoint:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"""\
agents:
  - {{id: agent_a, backend: {{type: chatcompletion, model: m, base_url: "{endpoint.base_url("agent_a")}", api_key: x}}}}
  - {{id: agent_b, backend: {{type: chatcompletion, model: m, base_url: "{endpoint.base_url("agent_b")}", api_key: x}}}}
mcp_servers:
  filesystem: {{type: stdio, command: "{sys.executable}", args: [-m, massgen_tracing.runs.coordinator.tool_server, --root, "${{cwd}}"]}}
"""
        )
        done = _command("run", "--config", str(config), "Why?", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    spans = tuple(reader.read(catalogue.files(tmp_path / layout.DEFAULT_ROOT)).spans)
    failed = _named(spans, "agent.agent_b.round_0")[0]
    assert failed.attributes["massgen.outcome"] == "error"
    assert "no such model" in str(failed.attributes["massgen.error_message"])
    assert failed.status_code == 2
    refused = next(span for span in _named(spans, "llm.") if span.parent_span_id == failed.span_id)
    assert _text(refused.attributes["error.type"])
    tool = _named(spans, "mcp.filesystem.read_file")[0]
    assert tool.attributes["error.type"] == "tool_error"
    assert tool.status_code == 2
