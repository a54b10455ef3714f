"""A file of every observation and decision: JSON, a line each, only ever added to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from massgen_tracing import guard
from massgen_tracing.errors import ConfigError


class Audit:
    """Writes it.

    Args:
        path: the file; None: nothing is written.

    Raises:
        ConfigError: if it cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._descriptor: int | None = None
        if path is not None:
            try:
                self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            except OSError as error:
                raise ConfigError(f"The audit file {path} cannot be opened ({error.strerror or error})", hint="Name another with --audit") from None

    def close(self) -> None:
        """Close it; what is written after that is not written."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def write(self, kind: str, target: str, **said: Any) -> None:
        """One line; a disk that is full costs the line, and is told once."""
        if self._descriptor is None:
            return
        line = json.dumps({"time": time.time(), "kind": kind, "target": target, **said}, ensure_ascii=False, default=str)
        try:
            os.write(self._descriptor, (line + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            guard.swallow("watch.audit", error)
