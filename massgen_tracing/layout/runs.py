"""The directory of a run: where each file lives, and how a new one gets a name that no other run has."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from massgen_tracing.layout.names import (
    ANSWER_FILE,
    ATTEMPT_PREFIX,
    FINAL_DIR,
    LOGS_DIR,
    NESTED_FILE,
    OLD_RUN_TIME_FORMAT,
    OUTER_FILE,
    OUTPUTS_DIR,
    RUN_PREFIX,
    RUN_TIME_FORMAT,
    STATUS_FILE,
    TRACE_TIME_FORMAT,
    TURN_PREFIX,
    WORKSPACES_DIR,
)


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
