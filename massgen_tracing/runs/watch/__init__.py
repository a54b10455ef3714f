"""Watching runs, and agents that nobody instrumented: what they are doing, and by which evidence.

async with watching(["tmux:agent-*", "file:agent.log"]) as watcher:
    async for change in watcher:
        print(change.target, change.state, change.evidence.quote)

targets/     what can be watched: each looks at one kind of thing, and keeps facts of it
signals      states, and what was seen, by how far it is to be trusted
judge        facts → a state with its evidence; pure
checklist    when something counts as completed      limits    memory, disk, open files
output       lines → what they say       patterns    errors in them     statements  what is written on purpose
tail, lines  files that are followed     terminals, tmux, screen   panes, and what they show
foreground   whether something waits for somebody to type
processes    a process and its children  notify      being told of changes of files
transcripts/ what known programs write down of their calls, telemetry/ what they send of them, told: each call once
profiles/    known programs, as data     watcher     puts all of this together
audit, ending   a file of every observation; ending processes, only where that is asked for
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from massgen_tracing.runs.watch.signals import FAILURES, FINAL, STATES, Rank, Signal, State
from massgen_tracing.runs.watch.targets import Asked, named
from massgen_tracing.runs.watch.watcher import Change, Options, Pace, Watcher

__all__ = ["FAILURES", "FINAL", "STATES", "Asked", "Change", "Options", "Pace", "Rank", "Signal", "State", "Watcher", "watching"]


def watching(names: Sequence[str], *, asked: Asked | None = None, options: Options | None = None) -> Watcher:
    """Watch what is named: an async context manager, within which it is an async iterator of changes.

    Args:
        names: targets, as `massgen-tracing watch` takes them.
        asked: what is asked of each to be completed, and how long it may take.
        options: when watching ends, and how often it is looked.

    Raises:
        ConfigError: if a name names nothing that can be watched.
        MissingPackageError: if a package is missing that it takes.
    """
    asked, now = asked or Asked(), time.time()
    return Watcher([named(name, asked, now) for name in dict.fromkeys(names)], options)
