"""All tools, and calling them by name."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from massgen_tracing.errors import MassGenTracingError, QueryError, compose
from massgen_tracing.views.mcp import bounded, logfire, parameters, runs, spans, worth
from massgen_tracing.views.mcp.backend import Backend
from massgen_tracing.views.mcp.tool import Tool

TOOLS: Final[Mapping[str, Tool]] = {each.name: each for each in (*runs.TOOLS, *spans.TOOLS, *worth.TOOLS, *logfire.TOOLS)}
"""By name."""

_INSTEAD: Final = "run_list has the runs there are"
_MOST_SAID: Final = 4_000
"""Characters of an error."""


def call(backend: Backend, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A call's result, as the protocol has it; what is wrong with a call is a result too: what was expected, what was given, what to do."""
    tool = TOOLS.get(name)
    try:
        if tool is None:
            near = difflib.get_close_matches(name, TOOLS, n=1)
            raise QueryError("There is no such tool", expected=", ".join(TOOLS), got=name, hint=f"Did you mean {near[0]}?" if near else None)
        answer = tool.answer(backend, parameters.read(tool.takes, arguments))
    except MassGenTracingError as error:
        return _refused(error, error.hint or (tool.instead if tool is not None and isinstance(error, QueryError) else _INSTEAD))
    return {
        "content": [{"type": "text", "text": block} for block in answer.blocks],
        "structuredContent": dict(answer.document),
        "isError": False,
    }


def _refused(error: MassGenTracingError, instead: str) -> dict[str, Any]:
    """An error as a result: in words, and its parts as data."""
    got = None if error.got is None else str(error.got)
    parts = {"type": type(error).__name__, "problem": error.problem, "expected": error.expected, "got": got, "next": instead}
    said = compose(error.problem, error.expected, error.got, instead)
    blocks = (bounded.clipped(said, _MOST_SAID), json.dumps(bounded.values(parts, _MOST_SAID // 2), ensure_ascii=False))
    return {"content": [{"type": "text", "text": block} for block in blocks], "isError": True}
