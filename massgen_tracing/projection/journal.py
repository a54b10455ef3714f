"""The files of a run that grow by lines, all of which are made of its events: written as they come, and in order when the run has ended.

`events.jsonl` is the first of them: its lines begin with their time, so that they are in order when they are sorted, and the others are made of it.
Events come nearly in order; where one does not, because clocks were set or threads raced, all of the files are made anew at the end.
"""

from __future__ import annotations

import os
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
"""Bytes that are put together before they are written."""


def _output_file(event: Event) -> str:
    return f"{layout.OUTPUTS_DIR}/{layout.agent_folder(event.agent_id or '')}.txt"


_FILES: Final[tuple[tuple[Callable[[Event], bytes], Callable[[Event], str]], ...]] = (
    (Event.line, lambda _: EVENTS_FILE),
    (lines.log, lambda _: layout.MASSGEN_LOG),
    (lines.stream, lambda _: STREAM_FILE),
    (lines.output, _output_file),
)
"""What an event says in each file, and which file that is."""


class Journal:
    """The growing files of one attempt.

    Args:
        directory: the attempt's.
        writer: writes what is made anew.
    """

    def __init__(self, directory: Path, writer: ArtifactWriter) -> None:
        self._directory = directory
        self._writer = writer
        self._pending: list[Event] = []
        self._last = b""
        self._whole = True
        self._begun: set[str] = set()
        self._sizes: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Have an event written with the next ones."""
        self._pending.append(event)

    def flush(self) -> None:
        """Write the events that have come."""
        pending, self._pending = self._pending, []
        for path, content in self._pieces(pending):
            self._append(path, content)

    def finish(self) -> None:
        """Write what is left, and put the files in order where they are not, or where something of them is missing."""
        if not self._begun:
            events, self._pending = sorted(self._pending, key=Event.line), []
            self._replace(events)
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
        self._replace([event for line in known if (event := Event.of(line)) is not None])

    def _replace(self, events: Iterable[Event]) -> None:
        """Write all of the files anew, of events in order."""
        contents: dict[str, list[bytes]] = {}
        for path, content in self._pieces(events):
            contents.setdefault(path, []).append(content)
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

    def _pieces(self, events: Iterable[Event]) -> Iterator[tuple[str, bytes]]:
        """What events say, in pieces of some size, by file."""
        waiting: dict[str, list[bytes]] = {}
        size = 0
        for event in events:
            for say, place in _FILES:
                said = say(event)
                if not said:
                    continue
                if say is Event.line:
                    self._whole = self._whole and said >= self._last
                    self._last = said
                waiting.setdefault(place(event), []).append(said)
                size += len(said)
            if size > _PIECE:
                yield from ((path, b"".join(pieces)) for path, pieces in waiting.items())
                waiting, size = {}, 0
        yield from ((path, b"".join(pieces)) for path, pieces in waiting.items())

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
