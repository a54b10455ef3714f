"""Coding agents under `massgen-tracing exec`: no Python program that could be traced, but one that tells of itself, which is recorded."""

from __future__ import annotations

import asyncio
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Final

from massgen_tracing.views.cli import watch

_NAMES: Final = ("claude", "codex", "gemini", "opencode")
"""One of these stands in each command line of an agent that emits OpenTelemetry; looking for them first costs nothing."""

_PASSED_ON: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def is_one(words: Sequence[str]) -> bool:
    """Whether a command is a coding agent that emits its own OpenTelemetry."""
    command = shlex.join(words)
    if not any(name in command for name in _NAMES):
        return False
    from massgen_tracing.runs.watch import profiles

    found = profiles.of_command(command)
    return found is not None and found.telemetry is not None


def run(words: Sequence[str], environment: Mapping[str, str], root: str) -> int:
    """Run one on this terminal and record what it tells of itself.

    Args:
        words: the command.
        environment: what it is started with.
        root: where it is recorded.

    Returns:
        Its exit code, as a shell has it.

    Raises:
        ConfigError: if it cannot be started.
    """
    return asyncio.run(_run(words, environment, root))


async def _run(words: Sequence[str], environment: Mapping[str, str], root: str) -> int:
    from massgen_tracing.runs.watch import Asked, Watcher
    from massgen_tracing.runs.watch.targets import CommandTarget

    command = CommandTarget(words, Asked(root=root), time.time(), has_terminal=True)
    command.environment = environment
    watcher = Watcher([command])
    for name in _PASSED_ON:
        asyncio.get_running_loop().add_signal_handler(getattr(signal, name), command.pass_on, getattr(signal, name))
    with watch.recorded(root, watcher, [command], told=False) as record:
        async with watcher:
            async for change in watcher:
                record(change)
    code = command.code or 0
    return code if code >= 0 else 128 - code
