"""What programs write on purpose, in lines or in files of their own: a status, how far they are, what they are doing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing.runs.watch.signals import State

_WORDS: Final[Mapping[str, State]] = {
    **dict.fromkeys(("running", "in_progress", "in progress", "working", "started", "active", "busy", "processing", "streaming"), "running"),
    **dict.fromkeys(("pending", "queued", "starting", "initializing", "waiting"), "starting"),
    **dict.fromkeys(("completed", "complete", "done", "success", "succeeded", "finished", "ok"), "completed"),
    **dict.fromkeys(("failed", "failure", "error", "errored", "aborted", "cancelled", "canceled", "crashed"), "failed"),
    **dict.fromkeys(("timeout", "timed_out", "timed out"), "timed_out"),
    **dict.fromkeys(("waiting_input", "needs_input", "blocked", "waiting_for_review"), "waiting_input"),
    **dict.fromkeys(("rate_limited",), "rate_limited"),
    **dict.fromkeys(("idle",), "idle"),
}
_PERCENT: Final = re.compile(r"(?i)\bprogress\W{1,3}(\d{1,3}(?:\.\d+)?)\s*%")
_STATUS: Final = re.compile(r"(?i)\s*(?:(?:status|state)\s*[:=]\s*)?([^:\n]*)(?:$|\n|:(?!\s*\d+\s*(?:$|%|/|of\b)))")
"""Of a status file: the word that says it, before what explains it; `Completed: 3/10` only counts."""

_LONGEST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said.

    Attributes:
        state: the state; None where nothing was said of it.
        quote: where it is said, in the words that stand there.
        progress: percent.
        doing: the task that it is at.
    """

    state: State | None = None
    quote: str = ""
    progress: float | None = None
    doing: str = ""


def word(text: str) -> State | None:
    """The state that a word stands for; None for a word that stands for none."""
    return _WORDS.get(text.strip().strip(".!").lower())


def of_status(text: str) -> State | None:
    """The state that a status file says, as in `FAILED`, `FAILED: out of tokens` or `Status: COMPLETED`; None where it says none."""
    said = _STATUS.match(text)
    return word(said[1]) if said else None


def of_document(document: object) -> Statement:
    """What a JSON document says of itself."""
    if not isinstance(document, Mapping):
        return Statement()
    state, quote = None, ""
    for key in ("status", "state"):
        value = document.get(key)
        if isinstance(value, str) and (state := word(value)) is not None:
            quote = f'"{key}": {json.dumps(value, ensure_ascii=False)}'
            break
    doing = document.get("current_task") or document.get("task") or document.get("phase")
    return Statement(state, quote, _progress(document), doing if isinstance(doing, str) else "")


def of_line(line: str) -> Statement:
    """What a line of output says: a JSON object, or `Progress: 40%`."""
    stripped = line.strip()
    if stripped.startswith("{") and len(stripped) <= _LONGEST:
        return of_document(parsed(stripped))
    percent = _PERCENT.search(line)
    return Statement(progress=_share(float(percent[1]))) if percent else Statement()


def parsed(text: str) -> Any:
    """A JSON document; None for what is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _progress(document: Mapping[str, Any]) -> float | None:
    for key in ("percent", "percent_complete", "completion_percentage", "progress"):
        value = document.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _share(float(value))
    done, whole = (_number(document, names) for names in (("current", "completed_tasks"), ("total", "total_tasks")))
    return _share(100 * done / whole) if done is not None and whole else None


def _number(document: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    found = next((document[name] for name in names if name in document), None)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _share(percent: float) -> float | None:
    return min(max(percent, 0.0), 100.0) if math.isfinite(percent) else None
