"""A log that grows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from massgen_tracing.runs.watch.output import Output
from massgen_tracing.runs.watch.signals import Facts, Rank
from massgen_tracing.runs.watch.tail import Tail
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target, nearest, not_there


class FileTarget(Target):
    """`file:PATH`."""

    def __init__(self, name: str, path: Path, asked: Asked, now: float) -> None:
        super().__init__(name)
        self._path = path.absolute()
        self._facts = Facts(now, awaited=not_there(self._path))
        self._tail = Tail(self._path)
        self._output = Output(self._facts, asked.marker, asked.profile)
        self._was_there = False
        self.subjects = [Subject(name, self._facts, asked.wanted(None), asked.patience_of(asked.profile), folder=nearest(self._path.parent))]

    def look(self, now: float) -> bool:
        replaced = self._tail.replaced
        lines = self._tail.read()
        if self._tail.problem:
            self._facts.note(Rank.WRITTEN, "file", "unknown", f"{self._path.name} cannot be read: {self._tail.problem}", now)
        elif self._tail.exists:
            self._facts.forget("file")
            if not self._was_there and not lines:
                self._facts.moved("the file is there", self._tail.changed_at or now)
        elif self._was_there:
            self._facts.note(Rank.WRITTEN, "file", "unknown", f"{self._path.name} is gone", now)
        self._was_there = self._was_there or self._tail.exists
        if self._tail.replaced != replaced:
            self._facts.moved("the file was replaced or cut", now)
        if lines:
            self._output.feed(lines, now if self._tail.changed_at is None else min(now, self._tail.changed_at), self._tail.number)
        elif self._tail.half:
            self._output.waiting(self._tail.half, now, self._tail.number + 1)
        return bool(lines) or self._tail.more or self._tail.replaced != replaced

    def folders(self) -> Iterable[Path]:
        return (nearest(self._path.parent),)

    async def close(self) -> None:
        self._tail.close()
