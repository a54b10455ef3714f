"""Sealing after an answer, for half a second, what nobody has written to for a minute.

It has a process of its own, since what it needs takes longer to load than an answer takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from massgen_tracing import ledger
from massgen_tracing.errors import RecordingError
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.sealing import candidates

_SECONDS: Final = 0.5
"""That sealing may take."""

_BYTES_A_SECOND: Final = 10_000_000
"""Less than sealing manages, so that it can be told what there is no time for."""

_LONGEST_SECONDS: Final = 20.0
"""For the process, which ends by itself long before."""

_MOST_TRIED: Final = 10_000
_tried: Final[dict[Path, tuple[int, int, int]]] = {}

_BOOT: Final = """
import json, sys
sys.path[:], *given = json.load(sys.stdin)
from massgen_tracing.store.roots import passing
passing.seal(*given)
"""


def settled(live: Sequence[Path]) -> list[Path]:
    """Which live files may be sealed in passing; of those that stay all the same, each once as it is."""
    found = []
    for path in live:
        with contextlib.suppress(OSError):
            if not candidates.is_own(path) or not candidates.has_settled(path) or not os.access(path.parent, os.W_OK):
                continue
            status = path.stat()
            as_it_is = status.st_ino, status.st_size, status.st_mtime_ns
            if (
                status.st_size <= _SECONDS * _BYTES_A_SECOND
                and _tried.get(path) != as_it_is
                and not liveness.writer_alive(path)
                and next(ledger.owes(path), None) is None
            ):
                if len(_tried) >= _MOST_TRIED:
                    _tried.clear()
                _tried[path] = as_it_is
                found.append(path)
    return found


def start(sources: Sequence[str], live: Sequence[Path]) -> None:
    """Start the process that seals, and wait for it. Never raises.

    Args:
        sources: roots, directories and files that were asked.
        live: what is `settled` of them.
    """
    said = json.dumps([sys.path, list(sources), list(map(str, live))])
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        line = [sys.executable, "-c", _BOOT]
        subprocess.run(line, input=said, text=True, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_LONGEST_SECONDS)


def seal(sources: Sequence[str], live: Sequence[str]) -> None:
    """Seal what was asked and `settled`, as far as there is time: what that process does."""
    from massgen_tracing.store.roots import compaction
    from massgen_tracing.store.sealing import seal as sealing

    begun = time.monotonic()
    for source in sources:
        with contextlib.suppress(RecordingError):
            # What is found in a fifth of the time is sealed in the rest of it.
            compaction.compact(Path(source), until=begun + _SECONDS / 5, only=candidates.has_settled)
    for path in map(Path, live):
        left = begun + _SECONDS - time.monotonic()
        if left <= 0:
            return
        with contextlib.suppress(RecordingError, OSError):
            if path.stat().st_size <= left * _BYTES_A_SECOND:
                sealing.seal(path)
