"""The files of a run that grow by lines, all of which are made of its events: written as they come, and in order when the run has ended.

`events.jsonl` is the first of them: its lines begin with their time, so that they are in order when they are sorted, and the others are made of it.
Events come nearly in order; where one does not, because clocks were set or threads raced, all of the files are made anew at the end.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from massgen_tracing import guard, layout
from massgen_tracing.projection import lines
from massgen_tracing.projection.events import Event
from massgen_tracing.projection.writer import ArtifactWriter, append

EVENTS_FILE: Final = "events.jsonl"
STREAM_FILE: Final = "streaming_debug.log"
_PIECE: Final = 1 << 20
"""Bytes that wait for a time to be written, at most."""


def _output_file(event: Event) -> str:
    return f"{layout.OUTPUTS_DIR}/{layout.agent_folder(event.agent_id or '')}.txt"


_FILES: Final[tuple[tuple[Callable[[Event], bytes], Callable[[Event], str]], ...]] = (
    (lines.log, lambda _: layout.MASSGEN_LOG),
    (lines.stream, lambda _: STREAM_FILE),
    (lines.output, _output_file),
)
"""What an event says in each file that is made of events, and which file that is."""


class Journal:
    """The growing files of one attempt.

    Args:
        directory: the attempt's.
        writer: writes what is made anew.
        live: whether events come while they happen, nearly in order; all of the files are made at the end otherwise.
    """

    def __init__(self, directory: Path, writer: ArtifactWriter, *, live: bool) -> None:
        self._directory = directory
        self._writer = writer
        self._live = live
        self._waiting: dict[str, list[bytes]] = {}
        """What is to be appended to each file."""
        self._size_waiting = 0
        self._last = b""
        self._whole = True
        self._begun: set[str] = set()
        self._sizes: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Have an event written with the next ones."""
        line = event.line()
        self._whole = self._live and self._whole and line >= self._last
        self._last = line
        self._put(EVENTS_FILE, line)
        if self._live:
            self._put_others(event)

    def _put(self, path: str, said: bytes) -> None:
        pieces = self._waiting.get(path)
        if pieces is None:
            self._waiting[path] = [said]
        else:
            pieces.append(said)
        self._size_waiting += len(said)

    def _put_others(self, event: Event) -> None:
        for say, place in _FILES:
            said = say(event)
            if said:
                self._put(place(event), said)

    @property
    def is_full(self) -> bool:
        """Whether more waits than is worth keeping in memory."""
        return self._size_waiting > _PIECE

    def flush(self, until: float = math.inf) -> bool:
        """Append what has come, the file that has waited longest first; whether all of it is written.

        Args:
            until: when to stop, in monotonic seconds, unless too much waits for that.
        """
        while self._waiting:
            if time.monotonic() > until and not self.is_full:
                return False
            path = next(iter(self._waiting))
            content = b"".join(self._waiting.pop(path))
            self._size_waiting -= len(content)
            self._append(path, content)
        return True

    def finish(self) -> None:
        """Write what is left, and put the files in order where they are not, or where something of them is missing."""
        if not self._begun:
            self._replace(sorted(self._waiting.get(EVENTS_FILE, ())))
            return
        self.flush()
        if self._whole and all(self._size(path) == size for path, size in self._sizes.items()):
            return
        path = self._directory / EVENTS_FILE
        if self._size(EVENTS_FILE) < self._sizes[EVENTS_FILE]:
            problem = f"{path} was deleted or cut while the run went on, so that files which are made of it lack events"
            guard.report("run.files.lost", f"{problem}; `massgen-tracing logs rebuild` makes them of the recording.")
        try:
            known = sorted(path.read_bytes().splitlines(keepends=True))
        except OSError as error:
            self._writer.failed(path, error)
            return
        self._replace(known)

    def _replace(self, known: Iterable[bytes]) -> None:
        """Write all of the files anew, of the lines of events in order."""
        self._waiting, self._size_waiting = {}, 0
        for line in known:
            event = Event.of(line)
            if event is not None:
                self._put(EVENTS_FILE, line)
                self._put_others(event)
        contents, self._waiting = self._waiting, {}
        for path, pieces in contents.items():
            self._writer.write(f"{self._directory}/{path}", b"".join(pieces))

    def events(self) -> Iterator[Event]:
        """The events, as they stand in the file; none is kept."""
        try:
            with (self._directory / EVENTS_FILE).open("rb") as file:
                for line in file:
                    event = Event.of(line)
                    if event is not None:
                        yield event
        except OSError:
            return

    def _append(self, path: str, content: bytes) -> None:
        place = f"{self._directory}/{path}"
        try:
            if path not in self._begun:
                # What an earlier coordination in the same directory has left is not this one's.
                self._writer.write(place, content)
                self._begun.add(path)
            else:
                append(place, content)
        except OSError as error:
            self._whole = False
            self._writer.failed(place, error)
        self._sizes[path] = self._sizes.get(path, 0) + len(content)

    def _size(self, path: str) -> int:
        try:
            return os.stat(f"{self._directory}/{path}").st_size
        except OSError:
            return -1
