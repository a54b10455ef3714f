"""The process that puts arrivals into recordings, and then removes them.

A request is checked when it arrives, so that nothing here refuses it. Spans are put down each once by whoever reads them, so that sorting a request
again does no harm; logs and metrics have no ids. So how long the files of these were is noted before they are written, and where this process was
killed, the next one cuts them off there and sorts again what came since. Arrivals go when the recordings are on the disk, not before.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.serve.ingest import arrivals, lines
from massgen_tracing.serve.ingest.recordings import Recordings
from massgen_tracing.serve.ingest.requests import BY_MARK
from massgen_tracing.serve.ingest.tidying import Tidier

_LOCK: Final = "sorter"
_NOTED: Final = ".noted"
"""Ends the name of the file that says how long files of logs and metrics were, behind the number of the first arrival that it holds for."""

_SYNC_SECONDS: Final = 2.0
_MOST_SORTED: Final = 256
"""Arrivals that are sorted, and wait for the recordings to be synced."""

_LINGER_SECONDS: Final = 5.0
"""How long arrivals stay that are not needed any more: whoever has listed one before it was sorted finds it by its other name."""

_RETRY_SECONDS: Final = 1.0


class Sorter:
    """Sorts the arrivals of a root.

    Args:
        root: the root.

    Raises:
        OSError: if it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self._directory = root / layout.ARRIVALS_DIR
        self._recordings = Recordings(root)
        self._tidier = Tidier(root)
        self._sorted: list[Path] = []
        self._leaving: list[tuple[float, list[Path]]] = []
        self._synced = time.monotonic()
        self._lengths: dict[str, int] = {}
        self._note = self._directory / f"{0:016d}{_NOTED}"
        self._recover()

    def _recover(self) -> None:
        """Go back to where the recordings were last known to be on the disk."""
        notes = sorted(self._directory.glob(f"*{_NOTED}"))
        for path in self._directory.glob(f"*{_NOTED}.part"):
            path.unlink()
        if notes:
            *earlier, self._note = notes
            for path in earlier:
                path.unlink()
            with contextlib.suppress(ValueError):
                for name, length in json.loads(self._note.read_bytes()).items():
                    with contextlib.suppress(FileNotFoundError):
                        os.truncate(self._directory / name, length)
        first = self._note.name.partition(".")[0]
        for path in sorted(self._directory.glob(f"*{layout.SORTED_SUFFIX}")):
            if path.name < first:
                path.unlink()
            else:
                path.rename(path.with_suffix(layout.ARRIVAL_SUFFIX))

    def sort(self) -> None:
        """Sort what is there.

        Raises:
            OSError: if recordings cannot be written; what could not be sorted stays where it is.
        """
        for name in sorted(os.listdir(self._directory)):
            if name.endswith(layout.ARRIVAL_SUFFIX):
                self._sort(self._directory / name)
                if len(self._sorted) >= _MOST_SORTED or self.is_to_sync:
                    self.sync()

    def _sort(self, arrival: Path) -> None:
        broken = []
        for content in arrivals.requests(arrival):
            try:
                self._add(content)
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - whatever one request does, all others are sorted
                traceback.print_exc()
                broken.append(content)
        if broken:
            self._keep(arrival.with_suffix(layout.BROKEN_SUFFIX), broken)
        self._tidier.written(arrival.stat().st_size)
        arrival.rename(layout.sorted_arrival(arrival))
        self._sorted.append(layout.sorted_arrival(arrival))

    @staticmethod
    def _keep(path: Path, requests: Iterable[bytes]) -> None:
        """Put requests aside that cannot be sorted, as they arrived."""
        with path.open("wb") as file:
            for content in requests:
                file.write(arrivals.framed(content))
            file.flush()
            os.fsync(file.fileno())
        print(f"massgen-tracing serve: requests that cannot be sorted are kept in {path}; every other one is sorted", file=sys.stderr)

    def _add(self, content: bytes) -> None:
        signal = BY_MARK.get(content[-2:])
        if content.startswith(b"{"):
            spans, others = lines.of_json(content)
            self._recordings.add_spans(spans)
        elif signal is not None and signal.name == "traces":
            self._recordings.add_spans(lines.of_spans(signal.request.FromString(content)))
            return
        else:
            assert signal is not None
            others = list(lines.of_signals(signal.request.FromString(content)))
        if others:
            path = self._recordings.signals_file()
            self._note_length(path)
            self._recordings.add_signals(path, others)

    def _note_length(self, path: Path) -> None:
        """Put down how long a file is, unless that was done since the last sync."""
        name = os.path.relpath(path, self._directory)
        if name not in self._lengths:
            self._lengths[name] = path.stat().st_size if path.exists() else 0
            self._write_note(self._note)

    def _write_note(self, note: Path) -> None:
        part = note.with_name(f"{note.name}.part")
        part.write_bytes(json.dumps(self._lengths).encode())
        part.replace(note)

    def sync(self) -> None:
        """Have the recordings on the disk, so that the arrivals are not needed any more that they have.

        Raises:
            OSError: if that cannot be done.
        """
        self._synced = time.monotonic()
        self._remove()
        self._recordings.let_go_of_silent()
        self._tidier.tidy()
        if not self._sorted:
            return
        self._recordings.sync()
        # From here on what came before counts as sorted, whatever is killed.
        earlier, self._lengths = self._note, {}
        self._note = self._directory / f"{int(self._sorted[-1].name.partition('.')[0]) + 1:016d}{_NOTED}"
        self._write_note(self._note)
        self._leaving.append((time.monotonic(), [*self._sorted, earlier]))
        self._sorted.clear()

    def _remove(self) -> None:
        """Remove what has not been needed for a while: arrivals, and notes that others have followed."""
        while self._leaving and time.monotonic() - self._leaving[0][0] > _LINGER_SECONDS:
            for path in self._leaving.pop(0)[1]:
                path.unlink(missing_ok=True)

    @property
    def is_to_sync(self) -> bool:
        """Whether it is time to."""
        return time.monotonic() - self._synced > _SYNC_SECONDS

    def close(self) -> None:
        """Sync, and hold nothing any more."""
        self.sync()
        self.abandon()

    def abandon(self) -> None:
        """Hold nothing any more; the next one begins where this one last synced."""
        self._recordings.close()
        self._tidier.close()


def main(root: str) -> None:
    """Sort what comes, until standard input ends, and then what is left."""
    directory = Path(root) / layout.ARRIVALS_DIR
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)  # that of a server which was killed comes to its end first
    sorter: Sorter | None = None
    is_told = True
    while is_told:
        try:
            sorter = sorter or Sorter(Path(root))
            sorter.sort()
            if sorter.is_to_sync:
                sorter.sync()
            seconds = _SYNC_SECONDS
        except OSError as error:  # the disk is full, say
            print(f"massgen-tracing serve: what was sent cannot be sorted: {error}", file=sys.stderr)
            seconds = _RETRY_SECONDS
            if sorter is not None:
                sorter.abandon()
                sorter = None
        if select.select([0], [], [], seconds)[0]:
            is_told = bool(os.read(0, 65536))
    if sorter is not None:
        with contextlib.suppress(OSError):
            sorter.sort()
            sorter.close()
