"""Recordings: what they are called, live and sealed, and what lies beside them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from massgen_tracing.layout.names import (
    AGAIN_SUFFIX,
    ARRIVAL_SUFFIX,
    ARRIVALS_LOCK,
    RECORDING_STEM,
    RECORDING_SUFFIX,
    SEALED_SUFFIX,
    SEGMENTS_DIR,
    SMALL_SUFFIX,
    SORTED_SUFFIX,
    WRITER_PREFIX,
)
from massgen_tracing.layout.runs import attempts, is_there, run_of


@dataclass(frozen=True, slots=True)
class Voucher:
    """What lies beside a recording that its writer had to close for want of descriptors, and says that the run goes on all the same.

    It holds for this recording, whose inode it names, as long as somebody holds the file locked that it names.

    Attributes:
        inode: of the recording; its device is the voucher's own.
        writer: the locked file, seen from the directory of the recording.
    """

    inode: int
    writer: str

    @staticmethod
    def path(recording: Path) -> Path:
        """Where the voucher of a recording lies."""
        return recording.with_name(f".{recording.name}.open")

    def encode(self) -> bytes:
        """The voucher's content."""
        return f"{self.inode} {self.writer}".encode("utf-8", "surrogateescape")

    @classmethod
    def decode(cls, content: bytes) -> Voucher | None:
        """What a voucher says; None where it is none."""
        inode, _, writer = content.decode("utf-8", "surrogateescape").partition(" ")
        named = inode.isdecimal() and os.path.basename(writer).startswith(WRITER_PREFIX)
        return cls(int(inode), writer) if named else None


def recording_name(pid: int | None = None) -> str:
    """The recording's file name: `trace.otlp.jsonl`, or with a process id for a second process that writes to the same run."""
    return f"{RECORDING_STEM}{RECORDING_SUFFIX}" if pid is None else f"{RECORDING_STEM}.{pid}{RECORDING_SUFFIX}"


def recording_outside(name: str, pid: int | None = None) -> str:
    """The file name of a recording of work without a session.

    Args:
        name: begins the names of all processes that belong together.
        pid: the process, where it is not the first of them.
    """
    return f"{name}{RECORDING_SUFFIX}" if pid is None else f"{name}.{pid}{RECORDING_SUFFIX}"


def name_outside(recording: Path) -> str:
    """What begins the names of all processes that belong together, from the path of one's recording, live or sealed."""
    return recording.name.partition(".")[0]


def is_recording(name: str) -> bool:
    """Whether a file of this name is a recording of ours, live or sealed, or an arrival."""
    return name.endswith((RECORDING_SUFFIX, ARRIVAL_SUFFIX)) or (name.startswith(RECORDING_STEM) and name.endswith((SEALED_SUFFIX, SMALL_SUFFIX)))


def is_arrival(recording: Path) -> bool:
    """Whether the name is that of what a server was sent, as it was sent."""
    return recording.name.endswith((ARRIVAL_SUFFIX, SORTED_SUFFIX))


def sorted_arrival(arrival: Path) -> Path:
    """What an arrival is called when recordings have it."""
    return arrival.with_suffix(SORTED_SUFFIX)


def held_by_writer(recording: Path) -> Path:
    """The file that the writer of a recording holds locked: itself, or of an arrival the server's."""
    lock = recording.with_name(ARRIVALS_LOCK)
    return lock if is_arrival(recording) and lock.exists() else recording


def sealed_names(recording: Path) -> Iterator[Path]:
    """What the sealed form of a live file may be called, without end: more than one is needed where a run went on after it was sealed."""
    stem = recording.name.removesuffix(RECORDING_SUFFIX)
    yield recording.with_name(stem + SEALED_SUFFIX)
    for number in itertools.count(2):
        yield recording.with_name(f"{stem}.part{number}{SEALED_SUFFIX}")


def small_name(sealed: Path) -> Path:
    """What a sealed file is called where it is a small one."""
    return sealed.with_suffix(SMALL_SUFFIX)


def sealed_beside(recording: Path) -> Iterator[Path]:
    """The sealed files that a live file has beside it, in order."""
    for name in sealed_names(recording):
        found = next(filter(is_there, (name, small_name(name))), None)
        if found is None:
            return
        yield found


def next_sealed(recording: Path) -> Path:
    """What the sealed form of a live file will be called, if it is a Parquet file."""
    return next(name for name in sealed_names(recording) if not is_there(name) and not is_there(small_name(name)))


def is_sealed(recording: Path) -> bool:
    """Whether the name is that of a sealed recording."""
    return recording.name.endswith((SEALED_SUFFIX, SMALL_SUFFIX))


def is_small(recording: Path) -> bool:
    """Whether the name is that of a small sealed recording, which is no Parquet file."""
    return recording.name.endswith(SMALL_SUFFIX)


def goes_on(recording: Path) -> None:
    """Say that a run goes on in a new recording, where it may be in a segment already: questions then look into its directory again.

    To be called when the recording is there: whoever puts the run into a segment then sees either the recording or this. Where it cannot be said,
    questions find the recording later. It keeps no error, as `Path.touch` and `Path.is_dir` do: a signal handler of the program may have raised it.

    Raises:
        OSError: if it cannot be said.
    """
    run = run_of(recording)
    if run is None or not is_there(run.root / SEGMENTS_DIR) or not _has_small(run.log_dir):
        return
    mark_again(run.root, run.run_id)


def mark_again(root: Path, run_id: str, *, at_ns: int | None = None) -> None:
    """Leave the mark that a run is not what the segments have that were made before; *at_ns* is Unix time in nanoseconds, None for now.

    Raises:
        OSError: if it cannot be left.
    """
    mark = root / SEGMENTS_DIR / f"{run_id}{AGAIN_SUFFIX}"
    os.close(os.open(mark, os.O_CREAT | os.O_WRONLY, 0o644))
    if at_ns is None:
        os.utime(mark)
    else:
        os.utime(mark, ns=(at_ns, at_ns))


def _has_small(log_dir: Path) -> bool:
    return any(name.endswith(SMALL_SUFFIX) for attempt in attempts(log_dir) for name in os.listdir(attempt.attempt_dir))
