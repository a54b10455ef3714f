"""What was read and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_KEPT_SKIPS: Final = 20
"""How many skipped places a report names; the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that was not read: *line* counts from 1."""

    source: str
    line: int
    reason: str


@dataclass(slots=True)
class Report:
    """What the reader read and what it could not read.

    Attributes:
        files, lines, spans, logs, points: how many were read; a started span that never ended counts as one.
        skipped: how many lines or records could not be read.
        first_skips: the first of them.
        lost: files that could not be read at all, each with the reason.
        empty: places that were asked and have no recordings.
    """

    files: int = 0
    lines: int = 0
    spans: int = 0
    logs: int = 0
    points: int = 0
    skipped: int = 0
    first_skips: list[Skip] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)

    def skip(self, source: str, line: int, reason: str) -> None:
        """Count one line or span that was not read."""
        self.skipped += 1
        if len(self.first_skips) < _KEPT_SKIPS:
            self.first_skips.append(Skip(source, line, reason))

    def add(self, other: Report) -> None:
        """Count what another report counts."""
        self.files += other.files
        self.lines += other.lines
        self.skipped += other.skipped
        self.first_skips += other.first_skips[: _KEPT_SKIPS - len(self.first_skips)]

    def add_sealed(self, source: str, *, lines: int, skipped: int) -> None:
        """Count a sealed file, and what could not be read when it was sealed."""
        self.files += 1
        self.lines += lines
        for _ in range(skipped):
            self.skip(source, 0, "it could not be read when the recording was sealed")

    @property
    def sentence(self) -> str:
        """One line for people; empty when everything was read."""
        said = [f"there are no recordings in {place} yet" for place in self.empty]
        if self.lost:
            what = "1 recording" if len(self.lost) == 1 else f"{len(self.lost)} recordings"
            source, reason = next(iter(self.lost.items()))
            said.append(f"passed over {what} that could not be read; the first: {source}: {reason}")
        if self.skipped:
            first = self.first_skips[0]
            what = "1 line or record" if self.skipped == 1 else f"{self.skipped} lines or records"
            place = f"{first.source}, line {first.line}" if first.line else first.source
            said.append(f"skipped {what} that could not be read; the first: {place}: {first.reason}")
        return "; ".join(said)
