"""Recordings of what was sent: one a trace, which is a run for whoever lists runs, and one an hour for logs and metrics, which need no trace.

A trace's recording is named as those of processes are, with digits of the trace's id in place of a process's. It is held locked, as writers do, for
as long as spans are open that it tells of, so that readers know them for open ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from massgen_tracing import layout
from massgen_tracing.serve.ingest.lines import SpanLine

_MOST_TRACES: Final = 2**14
"""Traces whose open spans are known."""

_MOST_HELD: Final = 256
"""Recordings that are open at the same time."""

_SILENT_SECONDS: Final = 3600.0
"""After so long without a word, whoever sent a trace's spans is taken to be gone."""

_NAMED: Final = re.compile(r"(trace_\d{8}_\d{6}_\d{6}_(\d+))\.")
_ID_DIGITS: Final = 15
_LOCK_SECONDS: Final = 0.002


@dataclass(slots=True)
class _Trace:
    """A trace's recording.

    Attributes:
        path: where it lies.
        descriptor: of the file, locked, while spans are open; or -1.
        open: which have started and not ended.
        heard: when something last came, on the monotonic clock.
    """

    path: Path
    descriptor: int = -1
    open: set[str] = field(default_factory=set)
    heard: float = 0.0


class Recordings:
    """The recordings of a root that this process writes.

    Args:
        root: where they lie.

    Raises:
        OSError: if their directories cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._traces_dir = root / layout.TRACES_DIR
        self._signals_dir = root / layout.SIGNALS_DIR
        layout.make_directory(self._traces_dir)
        layout.make_directory(self._signals_dir)
        self._names = {found[2]: found[1] for name in os.listdir(self._traces_dir) if (found := _NAMED.match(name))}
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._held: OrderedDict[str, _Trace] = OrderedDict()
        self._written: set[Path] = set()

    def add_spans(self, spans: Iterable[SpanLine]) -> None:
        """Write spans, each into the recording of its trace.

        Raises:
            OSError: if they cannot be written.
        """
        together: dict[str, list[SpanLine]] = {}
        for span in spans:
            together.setdefault(span.trace_id, []).append(span)
        for trace_id, found in together.items():
            self._add(trace_id, found)
        while len(self._held) > _MOST_HELD:
            self._let_go(next(iter(self._held)))

    def _add(self, trace_id: str, spans: Sequence[SpanLine]) -> None:
        trace = self._trace(trace_id, spans)
        descriptor = trace.descriptor if trace.descriptor >= 0 else _opened(trace.path)
        try:
            _write_all(descriptor, b"".join([span.line for span in spans]))
        except BaseException:
            self._let_go(trace_id)
            if descriptor != trace.descriptor:
                os.close(descriptor)
            raise
        trace.descriptor, trace.heard = descriptor, time.monotonic()
        self._written.add(trace.path)
        ended = {span.span_id for span in spans if span.has_ended}
        trace.open |= {span.span_id for span in spans if not span.has_ended}
        trace.open -= ended
        self._held[trace_id] = trace
        self._held.move_to_end(trace_id)
        if not trace.open:
            self._let_go(trace_id)

    def signals_file(self) -> Path:
        """Where logs and metrics are written now."""
        return self._signals_dir / f"signals_{datetime.now().astimezone():%Y%m%d_%H}{layout.RECORDING_SUFFIX}"

    def add_signals(self, path: Path, lines: Iterable[bytes]) -> None:
        """Write lines of logs and metrics.

        Raises:
            OSError: if they cannot be written.
        """
        descriptor = _opened(path)
        try:
            _write_all(descriptor, b"".join(lines))
        finally:
            os.close(descriptor)
        self._written.add(path)

    def sync(self) -> None:
        """Have everything that was written on the disk.

        Raises:
            OSError: if it cannot be.
        """
        for path in self._written:
            with contextlib.suppress(FileNotFoundError):  # it was sealed meanwhile, which syncs
                _sync(path)
        for directory in {path.parent for path in self._written}:
            _sync(directory)
        self._written.clear()

    def let_go_of_silent(self) -> None:
        """Hold no recording any more of which nothing was heard for long."""
        now = time.monotonic()
        for trace_id in [trace_id for trace_id, trace in self._held.items() if now - trace.heard > _SILENT_SECONDS]:
            self._let_go(trace_id)

    def close(self) -> None:
        """Hold none any more."""
        for trace_id in list(self._held):
            self._let_go(trace_id)

    def _let_go(self, trace_id: str) -> None:
        trace = self._held.pop(trace_id, None)
        if trace is not None and trace.descriptor >= 0:
            os.close(trace.descriptor)
            trace.descriptor = -1

    def _trace(self, trace_id: str, spans: Iterable[SpanLine]) -> _Trace:
        found = self._traces.get(trace_id)
        if found is None:
            number = str(int(trace_id[-_ID_DIGITS:], 16))
            name = self._names.get(number)
            if name is None:
                began = datetime.fromtimestamp(min(span.start_ns for span in spans) / 1e9).astimezone()
                name = self._names[number] = f"{began:{layout.TRACE_TIME_FORMAT}}_{number}"
            found = self._traces[trace_id] = _Trace(self._traces_dir / f"{name}{layout.RECORDING_SUFFIX}")
            if len(self._traces) > _MOST_TRACES:
                self._let_go(next(iter(self._traces)))
                self._traces.popitem(last=False)
        self._traces.move_to_end(trace_id)
        return found


def _opened(path: Path) -> int:
    """A recording, open for appending and locked, ready for whole lines."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor)
            status = os.fstat(descriptor)
            if status.st_nlink:
                if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":  # whoever wrote it was killed
                    _write_all(descriptor, b"\n")
                return descriptor
            os.close(descriptor)  # it was sealed just now: what follows begins a new one
        except BaseException:
            os.close(descriptor)
            raise


def _lock(descriptor: int) -> None:
    """Say that a writer is here."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # a reader looks, or a sealer removes the file; either takes a moment
            time.sleep(_LOCK_SECONDS)
        else:
            return


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
