"""Why a statement has no answer: what is said of one that took too long, and of a process that died of one."""

from __future__ import annotations

import signal
from typing import Final

from massgen_tracing.errors import QueryError
from massgen_tracing.store.engine import limits

START_SECONDS: Final = 60.0
AFTERWARDS_SECONDS: Final = 30.0
"""For what is done after an answer; it is short, and nobody may hang on it."""

NOT_STARTED: Final = "The process that answers queries did not start"
NOT_ENDED: Final = "The process that answers queries did not come to an end"

STAGES: Final = {
    "reading": (", while the recordings were still being read", "Let `massgen-tracing compact` seal ended runs: reading them then costs nothing"),
    "fetching": (
        ", while spans were still being fetched from ClickHouse",
        "Ask for less: a time window, one trace_id, or names of spans, and only the attributes that are needed",
    ),
    "asking": ("", "Ask for less: a time window, one trace_id, or a join with a condition"),
}
"""Where a statement may be stopped, and what to do about it."""

STDERR_BYTES: Final = 4000


def stopped(seconds: float, stage: str) -> tuple[str, str]:
    """What is said of a statement that is stopped after so many seconds, and the hint."""
    so_far, hint = STAGES[stage]
    return f"The statement was stopped after {seconds:g} seconds{so_far}", hint


def cause(code: int, said: str, *, ready: bool) -> QueryError:
    """What a process died of.

    Args:
        code: its exit code.
        said: what it last said on stderr.
        ready: whether it had loaded the engine.
    """
    if "memory allocation of" in said or "MemoryError" in said:
        return limits.too_much_memory()
    if code == -getattr(signal, "SIGKILL", 9):
        problem = "The process that answers queries was killed (SIGKILL), as the system does where memory runs out"
        return QueryError(problem, hint="Ask for fewer rows, columns or groups, if nobody else has killed it")
    if ready and code < 0:
        name = signal.Signals(-code).name
        return QueryError(f"The engine crashed on the statement ({name}), as it does on one that is nested too deep", hint="Take it apart with WITH")
    last = said.strip().rsplit("\n", 1)[-1] or f"exit code {code}"
    what = "failed" if ready else "did not start"
    return QueryError(f"The process that answers queries {what}: {last}", hint="Try `massgen-tracing doctor`")
