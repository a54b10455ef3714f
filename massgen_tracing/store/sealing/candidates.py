"""Which live files may be sealed; knowing that loads nothing that sealing needs."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from massgen_tracing import layout

_IN_RUN: Final = re.compile(rf"{layout.RECORDING_STEM}(\.\d+)?{re.escape(layout.RECORDING_SUFFIX)}")
_OUTSIDE_RUNS: Final = re.compile(rf"{layout.RECORDING_STEM}_\d{{8}}_\d{{6}}_\d{{6}}_\d+{re.escape(layout.RECORDING_SUFFIX)}")

_SETTLED_SECONDS: Final = 60.0
"""How long a recording must have been left alone before a reader seals it in passing."""


def has_settled(path: Path) -> bool:
    """Whether a recording has been left alone for a while.

    Raises:
        OSError: if it is gone.
    """
    return time.time() - path.stat().st_mtime > _SETTLED_SECONDS


def is_own(path: Path) -> bool:
    """Whether place and name are those of a live recording of our own writer; nothing else is ever sealed, whoever put it there."""
    if layout.is_sealed(path):
        return False
    if path.parent.name == layout.TRACES_DIR:
        return _OUTSIDE_RUNS.fullmatch(path.name) is not None
    return layout.is_in_run(path.parent) and _IN_RUN.fullmatch(path.name) is not None
