"""Finding recordings: roots, runs, single files and directories of other writers."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import errors, layout, store
from massgen_tracing.store.roots import catalogue, lookup
from massgen_tracing.store.sealing import seal
from tests.store import otlp

OLD, NEW = "log_20270114_080000_000000", "log_20270115_080000_000000"


def names(paths: tuple[Path, ...]) -> list[str]:
    """File names only."""
    return [path.name for path in paths]


def test_runs_are_listed_newest_first_without_opening_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing reads one directory; not a single file is opened, and no run's directory is looked into."""
    for name in (OLD, NEW, "log_strange"):
        otlp.write_run(tmp_path, name)
    (tmp_path / "massgen_logs" / "log_note.txt").touch()
    scanned: list[str] = []
    scandir = os.scandir

    def watched(path: Path) -> Any:
        scanned.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    monkeypatch.setattr("builtins.open", lambda *_args, **_kwargs: pytest.fail("opened a file"))
    runs = catalogue.runs(tmp_path)
    assert [(run.run_id, run.started) for run in runs] == [
        ("log_strange", None),
        (NEW, datetime(2027, 1, 15, 8)),
        (OLD, datetime(2027, 1, 14, 8)),
    ]
    assert scanned == [str(tmp_path / "massgen_logs")]


def test_a_run_knows_its_attempts_and_the_files_of_all_its_processes(tmp_path: Path) -> None:
    """Turns and attempts are in the order of their numbers; forked writers' files belong to the run."""
    run_dir = otlp.write_run(tmp_path, NEW)
    for place in ("turn_1/attempt_2", "turn_10/attempt_1", "turn_2/attempt_1", "turn_x/attempt_1"):
        (run_dir / place).mkdir(parents=True)
    otlp.write(run_dir / "turn_1" / "attempt_2" / "trace.77.otlp.jsonl", [])
    otlp.write(run_dir / "turn_1" / "attempt_2" / "events.jsonl", [b"{}"])
    (run,) = catalogue.runs(tmp_path)
    assert [(attempt.turn, attempt.attempt) for attempt in layout.attempts(run.path)] == [(1, 1), (1, 2), (2, 1), (10, 1)]
    assert names(run.files()) == ["trace.otlp.jsonl", "trace.77.otlp.jsonl"]


def test_any_place_of_recordings_is_understood(tmp_path: Path) -> None:
    """A root, its logs, a run, an attempt, a single file: each gives its recordings."""
    run_dir = otlp.write_run(tmp_path)
    work = otlp.write(tmp_path / "traces" / "work.otlp.jsonl", [])
    file = run_dir / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
    assert catalogue.files(tmp_path) == (file, work)
    for place in (tmp_path / "massgen_logs", run_dir, file.parent, file):
        assert catalogue.files(place) == (file,)


def test_a_file_is_found_by_its_name_after_it_was_sealed(tmp_path: Path) -> None:
    """Whoever was told the live file's name asks by it; SQL and the tree find what it was sealed into."""
    (live,) = catalogue.files(otlp.write_run(tmp_path))
    sealed = seal.seal(live).sealed
    assert (live.exists(), catalogue.files(live)) == (False, (sealed,))
    assert store.query("SELECT count(*) AS n FROM records", live).rows == [{"n": 17}]
    assert lookup.place_named(tmp_path, str(live)) == live
    with pytest.raises(errors.RecordingError, match="does not exist"):
        catalogue.files(live.with_name("other.otlp.jsonl"))


def test_a_directory_of_another_writers_files_is_understood(tmp_path: Path) -> None:
    """Where there are none of our own, files named as other writers name them count."""
    for name in ("b.jsonl", "a.json", "notes.txt"):
        otlp.write(tmp_path / name, [])
    assert names(catalogue.files(tmp_path)) == ["a.json", "b.jsonl"]


def test_a_root_that_does_not_exist_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such place: start a run, or, where a root lies beside it, name that."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.RecordingError, match=r"start one with `massgen-tracing run"):
        catalogue.files(".massgen")
    (tmp_path / ".massgen").mkdir()
    with pytest.raises(errors.RecordingError, match=r"say --root \.massgen"):
        catalogue.runs("nowhere")


def test_the_newest_run_is_the_newest_with_a_recording(tmp_path: Path) -> None:
    """A run that was not traced is passed over; where there is none at all, the error says how to make one."""
    with pytest.raises(errors.RecordingError, match="no recorded runs under"):
        lookup.newest_run(tmp_path)
    otlp.write_run(tmp_path, OLD)
    otlp.write_run(tmp_path, NEW, [])
    assert lookup.newest_run(tmp_path).run_id == OLD


def test_a_trace_is_found_by_the_first_digits_of_its_id(tmp_path: Path) -> None:
    """Its spans come from every file that has some; an id that fits two traces is refused, as is an unknown one."""
    other = "0af765" + "0" * 25 + "1"
    otlp.write_run(tmp_path)
    otlp.write(tmp_path / "traces" / "a.otlp.jsonl", [otlp.line(otlp.span(99, "elsewhere"), otlp.span(1, "other", trace=other))])
    found = lookup.trace(tmp_path, otlp.TRACE[:12].upper())
    assert {span.trace_id for span in found.spans} == {otlp.TRACE}
    assert len(found.spans) == 18
    with pytest.raises(errors.RecordingError, match="2 traces begin with 0af765"):
        lookup.trace(tmp_path, "0af765")
    with pytest.raises(errors.RecordingError, match="has a trace ffffffff"):
        lookup.trace(tmp_path, "ffffffff")
    with pytest.raises(errors.RecordingError, match="no run or recording named my_run"):
        lookup.trace(tmp_path, "my_run")


# --- listings that are kept --------------------------------------------------------------------------------------------------------

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every directory that is listed, by a reader to whom all changes are an hour old."""
    scandir, now = os.scandir, time.time_ns
    found: list[str] = []

    def watched(path: str | int) -> Any:
        if isinstance(path, str):  # and not a descriptor, by which a tree is removed
            found.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    monkeypatch.setattr(time, "time_ns", lambda: now() + HOUR_NS)
    monkeypatch.setattr(catalogue, "_listings", {})
    yield found
    monkeypatch.undo()


ticks = itertools.count(1)


def changed(directory: Path) -> None:
    """Have the file system's clock tick: tests are quicker than some of them."""
    tick = next(ticks) * 1_000_000_000
    os.utime(directory, ns=(tick, tick))


def a_new_run(root: Path) -> None:
    """Another run."""
    otlp.write_run(root, "log_20270116_080000_000000")
    changed(root / "massgen_logs")


def a_new_attempt(root: Path) -> None:
    """Another attempt at a turn."""
    turn = root / "massgen_logs" / OLD / "turn_1"
    otlp.write(turn / "attempt_2" / "trace.otlp.jsonl", [])
    changed(turn)


def a_new_process(root: Path) -> None:
    """A second process that writes to a run."""
    attempt = root / "massgen_logs" / OLD / "turn_1" / "attempt_1"
    otlp.write(attempt / "trace.77.otlp.jsonl", [])
    changed(attempt)


def sealed_beneath(root: Path) -> None:
    """A recording that another process seals."""
    attempt = root / "massgen_logs" / OLD / "turn_1" / "attempt_1"
    assert seal.seal(attempt / "trace.otlp.jsonl").sealed
    changed(attempt)


def a_deleted_file(root: Path) -> None:
    """A recording that is no more."""
    attempt = root / "massgen_logs" / OLD / "turn_1" / "attempt_1"
    (attempt / "trace.otlp.jsonl").unlink()
    changed(attempt)


def a_deleted_run(root: Path) -> None:
    """A whole run."""
    shutil.rmtree(root / "massgen_logs" / OLD)
    changed(root / "massgen_logs")


def a_run_in_anothers_place(root: Path) -> None:
    """A directory of the same name and time of change, which is another one."""
    attempt = root / "massgen_logs" / OLD / "turn_1" / "attempt_1"
    before = attempt.stat()
    attempt.rename(root / "away")
    otlp.write(attempt / "trace.5.otlp.jsonl", [])
    os.utime(attempt, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed(attempt.parent)


def a_folder_in_a_files_place(root: Path) -> None:
    """What was a recording is a directory that has one."""
    attempt = root / "massgen_logs" / OLD / "turn_1" / "attempt_1"
    (attempt / "trace.otlp.jsonl").unlink()
    otlp.write(attempt / "trace.otlp.jsonl" / "trace.otlp.jsonl", [])
    changed(attempt)


CHANGES = [
    *(a_new_run, a_new_attempt, a_new_process, sealed_beneath, a_deleted_file, a_deleted_run, a_run_in_anothers_place),
    a_folder_in_a_files_place,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_listed_anew(tmp_path: Path, listed: list[str], change: Callable[[Path], None]) -> None:
    """Whatever comes, goes or is replaced is found as by a reader who has never looked; the other directories are not listed again."""
    for name in (OLD, NEW):
        otlp.write_run(tmp_path, name)
    before = catalogue.files(tmp_path)
    listed.clear()
    assert (catalogue.files(tmp_path), listed) == (before, [])
    change(tmp_path)
    after = catalogue.files(tmp_path)
    assert listed
    assert not any(NEW in path for path in listed)
    catalogue._listings.clear()
    assert after == catalogue.files(tmp_path) != before


def test_a_directory_that_has_just_changed_is_always_listed(tmp_path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Within two seconds it may change again without another time of change."""
    otlp.write_run(tmp_path)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - HOUR_NS)
    catalogue.files(tmp_path)
    first = list(listed)
    listed.clear()
    catalogue.files(tmp_path)
    assert (listed, catalogue._listings) == (first, {})
    assert len(first) == 4


def test_a_listing_is_of_the_directory_and_not_of_its_name(tmp_path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`.massgen` of one working directory is not that of another."""
    for place in ("a", "b"):
        otlp.write_run(tmp_path / place / ".massgen", f"log_2027011{len(listed)}_080000_00000{place}")
        monkeypatch.chdir(tmp_path / place)
        (found,) = catalogue.files(".massgen")
        assert found.exists()


def test_no_more_listings_are_kept_than_is_allowed(tmp_path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that has seen many roots does not grow for ever."""
    monkeypatch.setattr(catalogue, "_MOST_LISTINGS", 2)
    otlp.write_run(tmp_path)
    assert catalogue.files(tmp_path) == catalogue.files(tmp_path)
    assert listed
    assert len(catalogue._listings) <= 2
