"""The directory of a run: where each file lives, and how a new one gets a name that no other run has.

Standard library only, so that the writing half (which makes the directories) and the reading half (which finds them) agree by
construction.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

DEFAULT_ROOT: Final = ".massgen"
ROOT_VARIABLE: Final = "MASSGEN_TRACING_ROOT"
"""The environment variable that names the directory of runs and recordings."""

LOGS_DIR: Final = "massgen_logs"
RUN_VARIABLE: Final = "MASSGEN_TRACING_RUN"
"""The environment variable by which a process that belongs to a run is told the attempt's directory: what it records goes there too."""

OUTER_VARIABLE: Final = "MASSGEN_TRACING_OUTER_RUN"
"""The environment variable by which a child process is told the directory of the attempt that it was started in. Its own sessions are runs in that
one; what else it records goes there.

Where it was started without a session, it is told `<root>/traces/<name>`: what begins the names of the recordings of all that belong together.
"""

TOOL_LOG_VARIABLE: Final = "MASSGEN_TRACING_TOOL_LOG"
"""The environment variable that names the file in which the coordinator's tool server logs its calls."""

TURN_PREFIX: Final = "turn_"
ATTEMPT_PREFIX: Final = "attempt_"
TRACES_DIR: Final = "traces"
"""Recordings of work without a session: of a process, and of those that it has started, whose names begin alike."""

TRACE_TIME_FORMAT: Final = "trace_%Y%m%d_%H%M%S_%f"
"""Begins their names: when the process began; its id follows."""

RUN_PREFIX: Final = "log_"
RUN_TIME_FORMAT: Final = "log_%Y%m%d_%H%M%S_%f"
OLD_RUN_TIME_FORMAT: Final = "log_%Y%m%d_%H%M%S"
"""As MassGen's first versions named runs."""

NESTED_FILE: Final = ".nested_runs"
"""In an attempt's directory: the directories of runs that were started in it, one a line, seen from there."""

OUTER_FILE: Final = ".outer_run"
"""In the directory of such a run: the directory of that attempt, seen from there."""

TIMED: Final = re.compile(r"(?:log|trace)_(\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])_(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:_\d{6})?)(?![^_])")
"""The names of runs and of recordings outside of them that tell a time, which is as its digits are."""

RECORDING_STEM: Final = "trace"
RECORDING_SUFFIX: Final = ".otlp.jsonl"
SEALED_SUFFIX: Final = ".parquet"
"""Ends a sealed recording's name, in place of `RECORDING_SUFFIX`."""

SMALL_SUFFIX: Final = ".spans"
"""The same, of one that is too small for a Parquet file, where there are many such."""

SEGMENTS_DIR: Final = ".segments"
"""In a root: the rows of many small sealed recordings together, for questions about many of them; may be deleted at any time."""

AGAIN_SUFFIX: Final = ".again"
"""Among the segments: ends the name of a file that says of a run, by its own name and its time, that it goes on after it was put into one."""

ARRIVALS_DIR: Final = ".arrivals"
"""In a root: what was sent to a server and is on the disk, but not yet in recordings; a file for what was acknowledged together."""

ARRIVAL_SUFFIX: Final = ".arrived"
"""Ends the name of such a file: requests of OTLP, each behind its length in four bytes."""

SORTED_SUFFIX: Final = ".sorted"
"""The same, when recordings have what is in it; it goes when these are on the disk."""

BROKEN_SUFFIX: Final = ".broken"
"""Ends the name of a file of requests, in the same form, that could not be put into recordings; nothing reads it."""

ARRIVALS_LOCK: Final = "lock"
"""Among the arrivals: a file that the server which takes them holds locked."""

SIGNALS_DIR: Final = "signals"
"""In a root: recordings of the logs and metrics that a server was sent."""

STATUS_FILE: Final = "status.json"
MASSGEN_LOG: Final = "massgen.log"
FINAL_DIR: Final = "final"
OUTPUTS_DIR: Final = "agent_outputs"
WORKSPACES_DIR: Final = "workspaces"
ANSWER_FILE: Final = "answer.txt"
INDEX_FILE: Final = ".recordings.json"
"""In a root: what its recordings have, so that a question need not open those that cannot answer it; may be deleted at any time."""

PROBLEMS_FILE: Final = "tracing_problems.jsonl"
"""What the package swallowed, one JSON object a line, for `massgen-tracing doctor`."""

WRITER_PREFIX: Final = ".writer."
"""In a root: begins the names of files that a process holds locked for as long as it vouches for recordings by a `Voucher`."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run's directory: `<root>/massgen_logs/log_<time>/turn_<t>/attempt_<a>`.

    Attributes:
        log_dir: the run (`log_YYYYMMDD_HHMMSS_ffffff`), absolute.
        turn: question within the run, from 1.
        attempt: attempt at that question, from 1.
    """

    log_dir: Path
    turn: int = 1
    attempt: int = 1

    @property
    def run_id(self) -> str:
        """The directory's name, which is the run's id."""
        return self.log_dir.name

    @property
    def root(self) -> Path:
        """The directory of runs and recordings that it lies in."""
        return self.log_dir.parent.parent

    @property
    def turn_dir(self) -> Path:
        """Where the attempts at this question lie."""
        return self.log_dir / f"{TURN_PREFIX}{self.turn}"

    @property
    def attempt_dir(self) -> Path:
        """Where this attempt's files lie."""
        return self.turn_dir / f"{ATTEMPT_PREFIX}{self.attempt}"

    @property
    def status(self) -> Path:
        """The attempt's live `status.json`."""
        return self.attempt_dir / STATUS_FILE

    def final_answer(self, agent_id: str) -> Path:
        """Where the winner's answer lies."""
        return self.attempt_dir / FINAL_DIR / agent_folder(agent_id) / ANSWER_FILE


_PLAIN_ID: Final = re.compile(r"[\w\-+@= ][\w.\-+@= ]{0,79}", re.ASCII)


def agent_folder(agent_id: str) -> str:
    """The name of an agent's directory: its id, or where that can be no name, or is one of others, one that is like it and no other agent's."""
    if _PLAIN_ID.fullmatch(agent_id) and agent_id not in {FINAL_DIR, OUTPUTS_DIR, WORKSPACES_DIR} and not agent_id.endswith(" "):
        return agent_id
    plain = re.sub(r"[^\w\-]", "_", agent_id, flags=re.ASCII)[:60]
    return f"{plain}~{zlib.crc32(agent_id.encode('utf-8', 'surrogatepass')):08x}"


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


def run_of(path: Path) -> RunDirectory | None:
    """The attempt that *path* is the directory of, or lies in; the first one of a run that *path* names; None where there is no run."""
    absolute = Path(os.path.abspath(path))
    log_dir = next((folder for folder in (absolute, *absolute.parents) if folder.name.startswith(RUN_PREFIX)), None)
    if log_dir is None:
        return None
    parts = dict(part.rsplit("_", 1) for part in absolute.relative_to(log_dir).parts[:2] if "_" in part)
    numbers = {name: int(number) for name, number in parts.items() if number.isdecimal()}
    return RunDirectory(log_dir, numbers.get("turn", 1), numbers.get("attempt", 1))


def is_in_run(directory: Path) -> bool:
    """Whether a directory is where a run's recording lies: an attempt's or, in older layouts, a turn's or the run's itself."""
    rest, _, name = os.path.abspath(directory).rpartition(os.sep)
    for prefix in (ATTEMPT_PREFIX, TURN_PREFIX):
        if name.startswith(prefix):
            rest, _, name = rest.rpartition(os.sep)
    return name.startswith(RUN_PREFIX)


def started_at(name: str) -> datetime | None:
    """The local time that the name of a run's directory tells, or of a recording outside of runs; None for another name."""
    without_pid = "_".join(name.split("_")[:4])
    for told, form in ((name, RUN_TIME_FORMAT), (name, OLD_RUN_TIME_FORMAT), (without_pid, TRACE_TIME_FORMAT)):
        with contextlib.suppress(ValueError):
            return datetime.strptime(told, form)  # noqa: DTZ007 - names carry local time
    return None


def is_there(path: Path) -> bool:
    """Whether there is such a file or directory.

    `Path.exists` takes any `OSError` for a no, also what a signal handler of the program raises meanwhile. This one keeps no such error.

    Raises:
        OSError: if that cannot be told.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return True


def make_directory(path: Path) -> None:
    """Make *path* and what is missing above it.

    `Path.mkdir(parents=True, exist_ok=True)` takes any `OSError` for the word that the directory exists, also a `TimeoutError` that a signal handler
    of the program raises meanwhile. This one keeps no such error.

    Raises:
        OSError: if it cannot be made.
    """
    try:
        try:
            path.mkdir()
        except FileNotFoundError:
            if path.parent == path:  # a working directory that is gone
                raise
            make_directory(path.parent)
            path.mkdir()  # once only: some file systems, such as /proc, say that of whatever is to be made
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(path).st_mode):  # `Path.is_dir` keeps such errors too
            raise


def _run_name(microseconds: int) -> str:
    """A run's directory name at a moment in Unix microseconds; by `time`, for `datetime` needs more of an interpreter than its end leaves."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{time.strftime(OLD_RUN_TIME_FORMAT, time.localtime(seconds))}_{fraction:06d}"


def new_run(root: Path | str, *, now: datetime | None = None) -> RunDirectory:
    """Make a new run directory under *root* and return it.

    The name carries local time to the microsecond; `mkdir` decides who owns it, so two runs in the same microsecond, also of
    different processes, get different names.

    Raises:
        OSError: if the directory cannot be made.
    """
    logs = Path(os.path.abspath(root)) / LOGS_DIR
    make_directory(logs)
    microseconds = time.time_ns() // 1000 if now is None else round(now.timestamp() * 1_000_000)
    while True:
        run = RunDirectory(logs / _run_name(microseconds))
        try:
            run.log_dir.mkdir()
        except FileExistsError:
            microseconds += 1
            continue
        make_directory(run.attempt_dir)
        return run


def _numbers(directory: Path, prefix: str) -> list[int]:
    """The numbers of the directories `<prefix><number>` in a directory, in order."""
    with contextlib.suppress(FileNotFoundError):
        names = [entry.name.removeprefix(prefix) for entry in directory.iterdir() if entry.name.startswith(prefix)]
        return sorted(int(name) for name in names if name.isdecimal())
    return []


def attempts(log_dir: Path) -> list[RunDirectory]:
    """Every attempt of a run, by turn and attempt."""
    return [
        RunDirectory(log_dir, turn, attempt)
        for turn in _numbers(log_dir, TURN_PREFIX)
        for attempt in _numbers(log_dir / f"{TURN_PREFIX}{turn}", ATTEMPT_PREFIX)
    ]


def _make_next(directory: Path, prefix: str) -> int:
    """Make the directory that follows those there are; `mkdir` decides who of several has which."""
    number = max(_numbers(directory, prefix), default=0) + 1
    while True:
        try:
            (directory / f"{prefix}{number}").mkdir()
        except FileExistsError:
            number += 1
        else:
            return number


def next_turn(log_dir: Path) -> RunDirectory:
    """Make the directory of a run's next question, and return it.

    Raises:
        OSError: if it cannot be made.
    """
    run = RunDirectory(log_dir, _make_next(log_dir, TURN_PREFIX))
    make_directory(run.attempt_dir)
    return run


def next_attempt(log_dir: Path, turn: int) -> RunDirectory:
    """Make the directory of the next attempt at one of a run's questions, and return it.

    Raises:
        OSError: if it cannot be made.
    """
    return RunDirectory(log_dir, turn, _make_next(RunDirectory(log_dir, turn).turn_dir, ATTEMPT_PREFIX))


def nest(run: RunDirectory, outer: RunDirectory) -> None:
    """Note in the directories of two runs that *run* was started in *outer*.

    Raises:
        OSError: if that cannot be written.
    """
    noted = run.log_dir / OUTER_FILE
    if is_there(noted):  # another attempt at it, or another turn
        return
    noted.write_text(f"{os.path.relpath(outer.attempt_dir, run.log_dir)}\n", encoding="utf-8", errors="surrogateescape")
    with (outer.attempt_dir / NESTED_FILE).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{os.path.relpath(run.log_dir, outer.attempt_dir)}\n")


def outer_of(log_dir: Path) -> RunDirectory | None:
    """The attempt that a run was started in, where both are there."""
    return next((run_of(path) for path in _noted(log_dir, OUTER_FILE) if path.is_dir()), None)


def nested_in(attempt: RunDirectory) -> list[Path]:
    """The directories of the runs that were started in an attempt, as far as they are there."""
    return [path for path in _noted(attempt.attempt_dir, NESTED_FILE) if path.is_dir() and path.name.startswith(RUN_PREFIX)]


def _noted(directory: Path, name: str) -> list[Path]:
    with contextlib.suppress(OSError, ValueError):
        lines = (directory / name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return [Path(os.path.normpath(directory / line)) for line in dict.fromkeys(lines) if line]
    return []


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
    mark = run.root / SEGMENTS_DIR / f"{run.run_id}{AGAIN_SUFFIX}"
    os.close(os.open(mark, os.O_CREAT | os.O_WRONLY, 0o644))
    os.utime(mark)


def _has_small(log_dir: Path) -> bool:
    return any(name.endswith(SMALL_SUFFIX) for attempt in attempts(log_dir) for name in os.listdir(attempt.attempt_dir))
