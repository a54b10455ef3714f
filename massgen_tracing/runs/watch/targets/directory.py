"""An agent's workspace: its log, and the files by which it says how it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from massgen_tracing.runs.watch import checklist, statements
from massgen_tracing.runs.watch.output import Output
from massgen_tracing.runs.watch.signals import FINAL, Facts, Rank
from massgen_tracing.runs.watch.tail import Tail
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target, nearest, not_there

EXIT_CODE: Final = "exit-code.txt"
STATUS: Final = "status.txt"
PROGRESS: Final = "progress.txt"
LOGS: Final = ("output.log", "agent.log")
_DOCUMENT: Final = re.compile(r"(?i)(?:status|progress|state)[^/]*\.json$|[^/]*(?:status|progress|state)\.json$")
_LARGEST: Final = 1_000_000
_MOST_ENTRIES: Final = 2000


class DirectoryTarget(Target):
    """`dir:PATH`."""

    def __init__(self, name: str, path: Path, asked: Asked, now: float) -> None:
        super().__init__(name)
        self._path = path.absolute()
        self._facts = Facts(now, awaited=not_there(self._path))
        self._tails = {log: Tail(self._path / log) for log in LOGS}
        self._outputs = {log: Output(self._facts, asked.marker, asked.profile, name=log) for log in LOGS}
        self._known: dict[str, tuple[int, int, int]] = {}
        self._was_there = False
        self.subjects = [Subject(name, self._facts, asked.wanted(self._path), asked.patience_of(asked.profile), folder=nearest(self._path))]

    def look(self, now: float) -> bool:
        changed = self._changed(now)
        for name in sorted(changed, key=lambda name: name != STATUS):  # another attempt is told by its status
            self._take(name, now)
        more = False
        for log, tail in self._tails.items():
            lines = tail.read()
            if tail.problem:
                self._facts.note(Rank.WRITTEN, log, "unknown", f"{log} cannot be read: {tail.problem}", now)
            if lines:
                self._outputs[log].feed(lines, min(now, tail.changed_at or now), tail.number)
            elif tail.half:
                self._outputs[log].waiting(tail.half, now, tail.number + 1)
            more = more or tail.more or bool(lines)
        return bool(changed) or more

    def folders(self) -> Iterable[Path]:
        return (nearest(self._path),)

    async def close(self) -> None:
        for tail in self._tails.values():
            tail.close()

    def _changed(self, now: float) -> set[str]:
        """The files of the folder that are not as they were at the last look."""
        found: dict[str, tuple[int, int, int]] = {}
        newest, what = 0.0, ""
        try:
            with os.scandir(self._path) as entries:
                for number, entry in enumerate(entries):
                    if number >= _MOST_ENTRIES:
                        break
                    status = entry.stat()
                    found[entry.name] = (status.st_ino, status.st_size, status.st_mtime_ns)
                    if status.st_mtime > newest:
                        newest, what = status.st_mtime, entry.name
        except FileNotFoundError:
            if not self._path.is_dir():
                if self._was_there:
                    self._facts.note(Rank.WRITTEN, "folder", "unknown", f"{self._path} is gone", now)
                return set()
        except OSError as error:
            self._facts.note(Rank.WRITTEN, "folder", "unknown", f"{self._path} cannot be read: {error.strerror or error}", now)
            return set()
        self._was_there = True
        self._facts.forget("folder")
        changed = {name for name, status in found.items() if self._known.get(name) != status}
        gone = self._known.keys() - found.keys()
        if changed:
            self._facts.moved(f"{what} was written", min(now, newest))
        elif not self._known and self._facts.active_at is None:
            self._facts.moved("the folder is there", now)
        for name in gone & {STATUS, EXIT_CODE, PROGRESS}:
            self._facts.forget(checklist.EXIT if name == EXIT_CODE else name)
        self._known = found
        return changed | (gone - {STATUS, EXIT_CODE, PROGRESS})

    def _take(self, name: str, now: float) -> None:
        """A file that has changed."""
        facts = self._facts
        if name not in {STATUS, EXIT_CODE, PROGRESS} and not _DOCUMENT.match(name):
            return
        path = self._path / name
        try:
            at = min(now, path.stat().st_mtime)
            with path.open(encoding="utf-8", errors="backslashreplace") as file:
                text = file.read(_LARGEST).strip()
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                facts.note(Rank.WRITTEN, name, "unknown", f"{name} cannot be read: {error.strerror or error}", now)
            return
        if name == EXIT_CODE:
            if re.fullmatch(r"-?\d{1,10}", text):
                facts.note(Rank.ENDED, checklist.EXIT, "completed" if int(text) == 0 else "failed", f"exit code {int(text)} in {name}", at)
        elif name == PROGRESS:
            self._progress(name, statements.Statement(progress=_percent(text)), at)
        elif name == STATUS:
            state = statements.of_status(text)
            if state is None:
                facts.doing = text[:200]
                return
            self._begins_again(state, at)
            facts.note(Rank.WRITTEN, name, state, f"{' '.join(text.split())[:100]} in {name}", at)
        else:
            said = statements.of_document(statements.parsed(text))
            if said.state is not None:
                self._begins_again(said.state, at)
                facts.note(Rank.WRITTEN, name, said.state, f"{said.quote} in {name}", at)
            facts.doing = said.doing or facts.doing
            self._progress(name, said, at)

    def _begins_again(self, state: str, at: float) -> None:
        """That it runs, said after it had ended, is another attempt."""
        last = max((signal.at for signal in self._facts.signals.values() if signal.rank <= Rank.WRITTEN and signal.state in FINAL), default=None)
        if state in {"running", "starting"} and last is not None and at > last:
            self._facts.restarted(at)

    def _progress(self, name: str, said: statements.Statement, at: float) -> None:
        if said.progress is None:
            return
        facts = self._facts
        facts.progress = said.progress
        told = any(signal.rank == Rank.WRITTEN and key not in {name, f"{name} progress"} for key, signal in facts.signals.items())
        if said.progress >= 100 and said.state is None and not told:
            facts.note(Rank.WRITTEN, f"{name} progress", "completed", f"{said.progress:g} % in {name}", at)
        else:
            facts.forget(f"{name} progress")


def _percent(text: str) -> float | None:
    number = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%?", text)
    return min(float(number[1]), 100.0) if number else statements.of_line(text).progress
