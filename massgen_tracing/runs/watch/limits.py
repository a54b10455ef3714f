"""Memory, disk and open files against thresholds: each crossing is told once, and again after it was over."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from massgen_tracing.runs.watch.signals import Resources


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on it is told; None: never.

    Attributes:
        memory: share of the machine's memory.
        disk: bytes that are to be free where its files lie.
        files: open files, as a share of how many a process may have.
    """

    memory: float | None = 0.8
    disk: int | None = 1_000_000_000
    files: float | None = 0.8


@dataclass(slots=True)
class Crossings:
    """Those of one thing that is watched."""

    thresholds: Thresholds
    _over: set[str] = field(default_factory=set)

    def look(self, resources: Resources | None, folder: Path | None) -> list[str]:
        """What has been crossed since the last look, in words."""
        now = dict(self._crossed(resources, folder))
        new = [words for name, words in now.items() if name not in self._over]
        self._over = set(now)
        return new

    def _crossed(self, resources: Resources | None, folder: Path | None) -> Iterator[tuple[str, str]]:
        limits = self.thresholds
        if resources is not None and limits.memory is not None and resources.memory_share > limits.memory:
            yield "memory", f"uses {resources.memory_share:.0%} of the memory ({resources.memory / 1e9:.1f} GB); the threshold is {limits.memory:.0%}"
        if folder is not None and limits.disk is not None:
            try:
                free = shutil.disk_usage(folder).free
            except OSError:
                free = limits.disk
            if free < limits.disk:
                yield "disk", f"{free / 1e9:.2f} GB are free where {folder} lies; the threshold is {limits.disk / 1e9:.2f} GB"
        if resources is not None and resources.files is not None and limits.files is not None:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if most > 0 and resources.files / resources.processes > limits.files * most:
                yield "files", f"{resources.files} files are open in {resources.processes} processes, of at most {most} in each"
