"""Recordings for the tests, as our own writer writes them."""

from __future__ import annotations

from pathlib import Path

import massgen_tracing as mt
from massgen_tracing import layout


def record(root: Path, *, calls: int = 10, content: int = 0) -> Path:
    """The recording of one run, with so many model calls of so many bytes of content each; its session and its round make two spans more."""
    tracer = mt.configure(root=root, enabled=True, logfire=False, seal=False)
    with tracer.session("What?", agents=["a"]) as session, session.agent_round("a") as rnd:
        for number in range(calls):
            with rnd.llm_call("openai", model="m") as call:
                call.set("number", number)
                if content:
                    call.set("content", "x" * content)
    mt.shutdown()
    return max(root.rglob(f"*{layout.RECORDING_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)


def ledgers(root: Path) -> list[Path]:
    """Every ledger under *root*."""
    return sorted(root.rglob(".*.delivery"))
