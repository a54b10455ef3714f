"""Sessions of programs that send their own telemetry to where it is recorded: which are there, so that what their transcripts tell counts once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from massgen_tracing import conventions, semconv
from massgen_tracing.errors import MassGenTracingError

_TRACES: Final = """
SELECT DISTINCT coalesce(attributes->>'session.id', attributes->>'conversation.id', attributes->>'gen_ai.conversation.id') AS session, trace_id
FROM records
WHERE coalesce(attributes->>'session.id', attributes->>'conversation.id', attributes->>'gen_ai.conversation.id') = ANY($sessions)
"""
"""The keys are Claude Code's and OpenCode's, Codex', Gemini CLI's."""

_SPANS: Final = """
SELECT DISTINCT trace_id, span_name, attributes->>'gen_ai.operation.name' AS operation, attributes->>'gen_ai.usage.input_tokens' AS sent
FROM records
WHERE trace_id = ANY($traces)
"""


def recorded(sessions: Collection[str], root: str, since: float) -> dict[str, str]:
    """The trace of each session of which a root has model calls as spans; of others nothing.

    Args:
        sessions: by the programs' own ids.
        root: where it is recorded.
        since: Unix seconds.
    """
    from massgen_tracing import store

    began = datetime.fromtimestamp(since, UTC)
    try:
        found = store.query(_TRACES, root, params={"sessions": list(sessions)}, min_timestamp=began).table.to_pylist()
        traces = [row["trace_id"] for row in found]
        spans = store.query(_SPANS, root, params={"traces": traces}, min_timestamp=began).table.to_pylist() if traces else []
    except MassGenTracingError:  # nothing is recorded there, or what is cannot be read
        return {}
    calls = {row["trace_id"] for row in spans if _is_model_call(row)}
    return {row["session"]: row["trace_id"] for row in found if row["trace_id"] in calls}


def _is_model_call(row: dict[str, str | None]) -> bool:
    said = {semconv.GEN_AI_OPERATION: row["operation"], semconv.GEN_AI_INPUT_TOKENS: row["sent"]}
    return conventions.kind_of(row["span_name"] or "", {key: value for key, value in said.items() if value is not None}) == "model"
