"""What becomes of recordings when their program ends: where it is asked for, a process of its own seals them."""

from __future__ import annotations

import os
import sys

from massgen_tracing import guard

_NOT_TRACED = {"MASSGEN_TRACING_ENABLED": "false"}
"""The sealer is no run, and starts no sealer."""


def seal_apart(root: str) -> None:
    """Start `massgen-tracing compact` on *root* and go on: the sealer outlives this process, says nothing, and needs nothing of it.

    It leaves recordings alone that somebody still writes. Where it cannot be started, the next query seals them (`massgen_tracing.store`).
    """
    words = [sys.executable, "-m", "massgen_tracing.views.cli", "compact", "--root", os.path.abspath(root)]
    nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *((os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2))]
    try:
        os.posix_spawn(sys.executable, words, {**os.environ, **_NOT_TRACED}, file_actions=nothing, setsid=True)
    except (OSError, NotImplementedError) as error:
        problem = f"No process can be started that seals the recordings under {root} ({error})."
        guard.report("recording.seal", f"{problem} They are whole as they are; `massgen-tracing compact` seals them.", error=error)
