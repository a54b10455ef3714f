"""The newest run is the one that began last, whatever zone its name is of."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import layout
from massgen_tracing.store.roots import catalogue, lookup, order
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import main
from tests.store import otlp

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
ZONES = ("Pacific/Honolulu", "America/New_York", "UTC", "Europe/Paris", "Asia/Kolkata", "Pacific/Auckland")


BEGUN = st.lists(st.tuples(st.integers(0, 40 * 60), st.sampled_from(ZONES)), min_size=1, max_size=8, unique_by=lambda run: run[0])
"""Minutes after noon, each with the zone of a run's name."""


def run_in(root: Path, began: datetime, zone: str, *, recorded: bool = True, kept: bool = True) -> Path:
    """A run whose name is of a zone; *kept* where its directory has the times of its making."""
    place = root / layout.LOGS_DIR
    several = len(list(place.iterdir())) if place.is_dir() else 0  # of several zones may have the same name else
    log_dir = place / (began + timedelta(microseconds=several)).astimezone(ZoneInfo(zone)).strftime(layout.RUN_TIME_FORMAT)
    attempt = log_dir / "turn_1" / "attempt_1"
    attempt.mkdir(parents=True)
    if recorded:
        at = round((began.timestamp() * 1e9 - otlp.BASE_NS) / otlp.MS)
        span = otlp.span(1, "coordination.session", start_ms=at, end_ms=at + 5, trace=f"{abs(hash(log_dir.name)):032x}"[-32:])
        otlp.write(attempt / "trace.otlp.jsonl", [otlp.line(span)])
    if kept:
        os.utime(log_dir, (began.timestamp(), began.timestamp()))
    return log_dir


def names(root: Path) -> list[str]:
    return [run.run_id for run in order.newest_first(catalogue.runs(root))]


@given(begun=BEGUN, kept=st.booleans())
@settings(max_examples=25, deadline=None)
def test_runs_of_any_zones_come_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, *, begun: Sequence[tuple[int, str]], kept: bool
) -> None:
    """Also in a root that was copied, whose directories are all new."""
    root = tmp_path_factory.mktemp("root")
    made = {minutes: run_in(root, NOON + timedelta(minutes=minutes), zone, kept=kept).name for minutes, zone in begun}
    assert names(root) == [made[minutes] for minutes in sorted(made, reverse=True)]


def test_the_newest_run_is_shown_by_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokyo's name is later, and Honolulu's run is newer; sealed and live."""
    older = run_in(tmp_path, NOON, "Asia/Tokyo")
    newer = run_in(tmp_path, NOON + timedelta(minutes=1), "Pacific/Honolulu")
    assert older.name > newer.name
    for _ in range(2):
        assert lookup.newest_run(tmp_path).log_dir == newer
        assert main(["logs", "list", "--root", str(tmp_path), "--limit", "1", "--format", "json"]) == 0
        assert [run["run"] for run in json.loads(capsys.readouterr().out)] == [newer.name]
        assert main(["trace", "--root", str(tmp_path)]) == 0
        assert newer.name in capsys.readouterr().out
        for log_dir in (older, newer):
            seal.seal(log_dir / "turn_1" / "attempt_1" / "trace.otlp.jsonl")


def test_runs_without_a_recording_or_a_time_have_a_place(tmp_path: Path) -> None:
    """A run that was not traced is taken to be of this machine's zone, one without a time in its name is as new as its directory."""
    traced = run_in(tmp_path, NOON, "UTC")
    here = datetime.fromtimestamp(NOON.timestamp() + 60).astimezone()
    untraced = tmp_path / layout.LOGS_DIR / here.strftime(layout.OLD_RUN_TIME_FORMAT)
    untraced.mkdir()
    os.utime(untraced, (here.timestamp(), here.timestamp()))
    named = tmp_path / layout.LOGS_DIR / "log_mine"
    named.mkdir()
    os.utime(named, (NOON.timestamp() - 600, NOON.timestamp() - 600))
    assert names(tmp_path) == [untraced.name, traced.name, named.name]


@pytest.mark.parametrize("kept", [True, False])
def test_few_of_many_runs_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool) -> None:
    """For the newest few, no more recordings than a bound, however many runs there are; where directories kept their times, hardly more than few."""
    for number in range(600):
        run_in(tmp_path, NOON + timedelta(minutes=2 * number), "UTC", recorded=False, kept=kept)
    opened = 0

    def files(_run: catalogue.Run) -> tuple[Path, ...]:
        nonlocal opened
        opened += 1
        return ()

    monkeypatch.setattr(catalogue.Run, "files", files)
    known = catalogue.runs(tmp_path)
    assert list(itertools.islice(order.newest_first(known), 5)) == known[:5]
    assert opened <= (12 if kept else 256)


def test_runs_of_roots_in_a_directory_are_runs_of_their_places(tmp_path: Path) -> None:
    """Listed by where they lie, the one that began last first, whichever root it is in; the newest is one run, and not all of them together."""
    for project, minute in (("a", 1), ("b", 3), ("a", 2)):
        span = otlp.span(1, "coordination.session", trace=f"{minute:032x}", start_ms=60_000 * minute, end_ms=60_000 * minute + 1)
        otlp.write_run(tmp_path / project / ".massgen", f"log_20270115_080{minute}00_000000", [otlp.line(span)])
    names = [f"{place}/.massgen/massgen_logs/log_20270115_080{minute}00_000000" for place, minute in (("b", 3), ("a", 2), ("a", 1))]
    many, found = order.listed(tmp_path)
    assert (many, [run.run_id for run in found]) == (3, names)
    assert not catalogue.is_whole(tmp_path)
    newest = lookup.newest_run(tmp_path)
    assert (newest.run_id, len(newest.files())) == (names[0], 1)
    assert lookup.place_named(tmp_path, names[2]) == tmp_path / names[2]
    assert lookup.place_named(tmp_path, Path(names[0]).name) == tmp_path / names[0]
    assert [run.run_id for run in order.listed(tmp_path / "a")[1]] == [name.removeprefix("a/") for name in names[1:]]
    assert catalogue.is_whole(tmp_path / names[0])
    assert not catalogue.roots_below(tmp_path / "a" / ".massgen")
