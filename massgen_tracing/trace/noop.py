"""The facade switched off: one handle that does nothing, for everything, at the cost of a method call.

A single object stands for every kind of handle; a test holds its methods against theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan

from massgen_tracing.trace.arguments import is_label
from massgen_tracing.trace.calls import LlmCall, McpCall, ToolCall, Work
from massgen_tracing.trace.payload import text_of
from massgen_tracing.trace.round import Presentation, Round
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.usage import Usage


class _NoopSpan(NonRecordingSpan):
    """OpenTelemetry's invalid span; called as an opener it gives the handle that does nothing."""

    def __call__(self, *args: Any, **options: Any) -> _NoopHandle:
        return _NOOP


class _NoopHandle:
    """Stands for every handle of a disabled facade."""

    # ruff: noqa: ARG002 - the arguments are those of the handles that it stands for

    name = ""
    session: Any = None
    round: Any = None
    run: Any = None
    agents: tuple[str, ...] = ()
    agent_id = ""
    trace_id = "0" * 32
    span_id = "0" * 16
    context: Context | None = None
    span: Any = _NoopSpan(INVALID_SPAN_CONTEXT)
    is_open = False

    @property
    def identity(self) -> dict[str, Any]:
        return {}

    @property
    def usage(self) -> Usage:
        return Usage()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        pass

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        pass

    def _open(self, *args: Any, **options: Any) -> Any:
        return self

    start = llm_call = mcp_call = tool_call = agent_round = presentation = _open

    def _nothing(self, *args: Any, **options: Any) -> None:
        pass

    expect = set = end = event = winner = vote = error = timeout = restarted = cancelled = enforcement = add_usage = final_answer = finished = (
        _nothing
    )
    first_chunk = record_response = record_usage = record_content = record_result = count_answer = _nothing

    def wrap(self, answer: Any = None, *args: Any, **options: Any) -> Any:
        return answer

    def answer(self, label: object = None, *args: Any, **options: Any) -> str:
        return text_of(label) if is_label(label) else ""

    def _no_text(self, *args: Any, **options: Any) -> str:
        return ""

    answer_label = next_answer = _no_text

    def take_winner_label(self, *args: Any, **options: Any) -> str | None:
        return None

    def next_round(self, *args: Any, **options: Any) -> int:
        return 0

    def meta(self, meta: object = None, *args: Any, **options: Any) -> dict[str, Any]:
        return dict(meta) if isinstance(meta, Mapping) else {}


_NOOP: Final = _NoopHandle()
NOOP_SESSION: Final = cast("Session", _NOOP)
NOOP_ROUND: Final = cast("Round", _NOOP)
NOOP_PRESENTATION: Final = cast("Presentation", _NOOP)
NOOP_LLM_CALL: Final = cast("LlmCall", _NOOP)
NOOP_MCP_CALL: Final = cast("McpCall", _NOOP)
NOOP_TOOL_CALL: Final = cast("ToolCall", _NOOP)
NOOP_WORK: Final = cast("Work", _NOOP)
