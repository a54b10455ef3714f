"""A root with many runs: what a question does not need is not opened, and what goes wrong with a file is not the others' loss."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import errors, layout, store
from massgen_tracing.store.engine import execute
from massgen_tracing.store.reading import liveness
from massgen_tracing.store.roots import catalogue, contents, lookup, reader
from massgen_tracing.store.roots.contents import Wanted
from massgen_tracing.store.sealing import seal
from tests.store import otlp

RUNS = 40
COUNT = "SELECT count(*) AS n FROM records"
WANTED = 17
"""The run that is asked for."""


def trace_of(number: int) -> str:
    """The trace of one of many runs."""
    return f"{number + 1:08x}" + "ab" * 12


def began(number: int) -> datetime:
    """When it began: each a minute after the one before."""
    return datetime(2027, 1, 15, 8, 0, tzinfo=UTC) + timedelta(minutes=number)


def settle(path: Path) -> None:
    """Make a file look as if nobody has touched it for a little while (far less than after which it would be sealed in passing)."""
    old = time.time() - 5
    os.utime(path, (old, old))


def make(root: Path, number: int, *, sealed: bool) -> Path:
    """A run of two spans."""
    at = number * 60_000
    trace = trace_of(number)
    spans = [
        otlp.span(1, "root", start_ms=at, end_ms=at + 900, trace=trace),
        otlp.span(2, "leaf", parent=1, start_ms=at + 1, end_ms=at + 2, trace=trace),
    ]
    run = otlp.write_run(root, f"log_20270115_08{number:02}00_000000", [otlp.line(span) for span in spans])
    path = run / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
    if sealed:
        target = seal.seal(path).sealed
        assert target is not None
        path = target
    settle(path)
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of many runs, every second of them sealed, to be copied."""
    root = tmp_path_factory.mktemp("many")
    for number in range(RUNS):
        make(root, number, sealed=number % 2 == 0)
    return root


@pytest.fixture
def root(many: Path, tmp_path: Path) -> Path:
    """Such a root of the test's own."""
    shutil.copytree(many, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("trace.*"):
        settle(path)
    return tmp_path


def ask(sql: str, *sources: Path, min_us: int | None = None, max_us: int | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows and the report of a query that is answered in this process, where the test sees and changes what it does."""
    head, body, afterwards = execute.answer(
        sql, [str(path) for path in sources], params={}, min_us=min_us, max_us=max_us, limit=100, max_bytes=2**20, on_stage=lambda _: None
    )
    if afterwards is not None:
        afterwards()
    return pa.ipc.open_stream(body).read_all().to_pylist(), head["report"]


def micros(moment: datetime) -> int:
    """Unix time in microseconds."""
    return int(moment.timestamp() * 1_000_000)


_opened: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        _opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_hook)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file that Python opens during the test."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


def spoil(root: Path, *, but: int) -> None:
    """Overwrite every other recording with garbage of the same size and time: whatever reads one of them, also outside of Python, stumbles."""
    for path in catalogue.files(root):
        if f"_08{but:02}00_" not in str(path):
            status = path.stat()
            with path.open("r+b") as file:
                file.write(b"x" * status.st_size)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("question", ["trace_id", "time range", "since", "trace command"])
@pytest.mark.parametrize("number", [WANTED, WANTED + 1])
def test_other_runs_files_are_not_opened(root: Path, opened: list[str], question: str, number: int) -> None:
    """A question about one trace or one time opens the files of that run, live or sealed, and none of the other runs'."""
    store.query(f"SELECT 1 FROM records WHERE trace_id = '{trace_of(0)}'", root)
    spoil(root, but=number)
    opened.clear()
    begin, end = began(number), began(number) + timedelta(seconds=30)
    answered = None
    if question == "trace_id":
        answered = ask(f"{COUNT} WHERE trace_id = '{trace_of(number)}'", root)
    elif question == "time range":
        answered = ask(COUNT, root, min_us=micros(begin), max_us=micros(end))
    elif question == "since":
        for later in range(number + 1, RUNS):
            for path in catalogue.Run(root / "massgen_logs" / f"log_20270115_08{later:02}00_000000").own_files():
                path.unlink()
        answered = ask(COUNT, root, min_us=micros(begin))
    else:
        assert len(lookup.trace(root, trace_of(number)[:10]).spans) == 2
    if answered is not None:
        assert (answered[0], answered[1]["lost"], answered[1]["skipped"]) == ([{"n": 2}], {}, 0)
    touched = {path for path in opened if "massgen_logs" in path and not Path(path).is_dir()}
    assert all(f"_08{number:02}00_" in path for path in touched), touched


def test_the_listing_of_runs_opens_nothing(root: Path, opened: list[str]) -> None:
    """Names of directories are enough."""
    opened.clear()
    assert len(catalogue.runs(root)) == RUNS
    assert [path for path in opened if path.startswith(str(root))] == []


def test_what_a_writer_adds_is_seen_at_once(root: Path) -> None:
    """However often the index was used: a line is in the answer of the next query, in a known file and in a new one."""
    sql = f"{COUNT} WHERE trace_id = '{trace_of(WANTED)}'"
    assert store.query(sql, root).rows == [{"n": 2}]
    (path,) = (file for file in catalogue.files(root) if f"_08{WANTED:02}00_" in str(file))
    with path.open("ab") as file:
        for extra in range(1, 4):
            file.write(otlp.line(otlp.span(10 + extra, "late", start_ms=0, trace=trace_of(WANTED))))
            file.flush()
            assert store.query(sql, root).rows == [{"n": 2 + extra}]
    (other,) = (file for file in catalogue.files(root) if f"_08{WANTED + 2:02}00_" in str(file))
    with other.open("ab") as file:
        file.write(otlp.line(otlp.span(50, "guest", trace=trace_of(WANTED))))
    make(root, RUNS, sealed=False)
    fresh = otlp.write(root / "traces" / "trace_20270115_080000_000000_1.otlp.jsonl", [otlp.line(otlp.span(60, "w", trace=trace_of(WANTED)))])
    assert store.query(sql, root).rows == [{"n": 7}]
    settle(fresh)
    settle(other)
    assert store.query(sql, root).rows == [{"n": 7}]
    assert store.query(f"{COUNT} WHERE trace_id = '{trace_of(RUNS)}'", root).rows == [{"n": 2}]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0\0",
        b"{",
        b"[]",
        b'{"format": 99, "files": {}}',
        b'{"format": 1, "files": {"a": 1}}',
        b'{"format": 1, "files": {"a": [1, 2, 3, "x", 5, 6]}}',
    ],
)
def test_a_damaged_index_is_made_anew(root: Path, said: bytes) -> None:
    """Whatever stands in the file, answers are right, and it is whole afterwards."""
    (root / layout.INDEX_FILE).write_bytes(said)
    sql = f"{COUNT} WHERE trace_id = '{trace_of(WANTED)}'"
    assert store.query(sql, root).rows == [{"n": 2}]
    assert len(json.loads((root / layout.INDEX_FILE).read_bytes())["files"]) == RUNS


def test_the_index_is_read_once_until_there_is_another(root: Path, opened: list[str]) -> None:
    """Whoever has put a new one in its place."""
    files, wanted = catalogue.files(root), Wanted(traces=(trace_of(WANTED),))
    index = root / layout.INDEX_FILE
    contents.relevant(root, files, wanted)
    for _ in range(2):
        assert len(contents.relevant(root, files, wanted)) == 1
    assert opened.count(str(index)) == 1
    other = {**json.loads(index.read_bytes()), "by": "another process"}
    (root / "new").write_text(json.dumps(other))
    os.replace(root / "new", index)
    opened.clear()
    for _ in range(2):
        assert len(contents.relevant(root, files, wanted)) == 1
    assert opened.count(str(index)) == 1


def test_a_root_that_cannot_be_written_to_does_without(root: Path) -> None:
    """The answer is the same where the index can neither be read nor written, and nothing is left behind."""
    (root / layout.INDEX_FILE).mkdir()
    assert store.query(f"{COUNT} WHERE trace_id = '{trace_of(WANTED)}'", root).rows == [{"n": 2}]
    assert {path.name for path in root.iterdir()} == {layout.INDEX_FILE, "massgen_logs"}


def test_several_may_write_the_index_at_once(root: Path) -> None:
    """While others use and write it, each has the right files, and the file is whole at every moment."""
    files = catalogue.files(root)
    wrong: list[object] = []
    done = threading.Event()

    def use(number: int) -> None:
        for _ in range(20):
            (root / layout.INDEX_FILE).unlink(missing_ok=True)
            found = contents.relevant(root, files, Wanted(traces=(trace_of(number),)))
            wrong.extend(path for path in found if f"_08{number:02}00_" not in str(path))
            if len(found) != 1:
                wrong.append(found)

    def watch() -> None:
        while not done.is_set():
            try:
                said = (root / layout.INDEX_FILE).read_bytes()
            except FileNotFoundError:
                continue
            if len(json.loads(said)["files"]) != RUNS:
                wrong.append(said)

    users, watcher = [threading.Thread(target=use, args=(number,)) for number in range(4)], threading.Thread(target=watch)
    for thread in (watcher, *users):
        thread.start()
    for thread in users:
        thread.join()
    done.set()
    watcher.join()
    assert wrong == []
    assert [path.name for path in root.iterdir() if path.name.startswith(layout.INDEX_FILE)] == [layout.INDEX_FILE]


def test_what_is_gone_leaves_the_index(root: Path) -> None:
    """Deleted runs do not make it grow."""
    store.query(f"{COUNT} WHERE trace_id = '{trace_of(0)}'", root)
    for path in catalogue.files(root)[: RUNS // 2]:
        path.unlink()
    store.query(f"{COUNT} WHERE trace_id = '{trace_of(0)}'", root)
    assert len(json.loads((root / layout.INDEX_FILE).read_bytes())["files"]) == RUNS - RUNS // 2


LINES = [
    *otlp.sample_lines()[:8],
    otlp.line(otlp.span(70, "x", trace="F" * 32)),
    otlp.line(otlp.span(71, "x", start_ms=1e6, end_ms=2e6, trace="e" * 32), otlp.span(72, "y", trace="d" * 32)),
    otlp.line(otlp.span(73, "x", links=[{"traceId": "c" * 32, "spanId": otlp.span_id(9)}])),
    otlp.line(otlp.span(74, '"traceId":"' + "b" * 32, attributes={"imeUnixNano": '"imeUnixNano":"7'})),
    otlp.line(otlp.span(75, "x", trace="qv////////////////////8=", events=[otlp.exception("E", "m", 5)])),
    json.dumps(json.loads(otlp.line(otlp.span(76, "x", startTimeUnixNano=otlp.BASE_NS + 10**15)))).encode() + b"\n",
    b"rubbish\n",
    b"\n",
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"7","body":{"stringValue":"x"}}]}]}]}\n',
    otlp.sample_lines()[3][:200],
]


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_the_index_never_says_too_little(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Whatever a file holds: if the index judges it at all, it knows every trace and every time that the total reader finds."""
    path = otlp.write(tmp_path_factory.mktemp("any") / "trace.otlp.jsonl", lines)
    said = contents.look_into(path)
    recording = reader.read([path])
    if said is None:
        return
    assert recording.logs == {}
    assert said.traces is not None
    assert {span.trace_id for span in recording.spans} <= set(said.traces)
    assert all(said.first_us <= span.start_ns // 1000 <= said.last_us for span in recording.spans)


# --- files that go wrong -----------------------------------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    """Cut the file in the middle."""
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    """Overwrite it with something else."""
    path.write_bytes(b"PAR1" + os.urandom(500) + b"PAR1")


def spoiled_inside(path: Path) -> None:
    """Leave the footer, spoil the columns."""
    with path.open("r+b") as file:
        file.seek(4)
        file.write(b"\0" * (path.stat().st_size // 3))


def deleted(path: Path) -> None:
    """Take it away."""
    path.unlink()


DAMAGES = [truncated, garbage, spoiled_inside, deleted]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A root of three sealed runs."""
    for number in range(3):
        make(tmp_path, number, sealed=True)
    return tmp_path


@pytest.mark.parametrize("damage", [truncated, garbage, spoiled_inside])
def test_a_damaged_file_is_passed_over_and_reported(three: Path, damage: Any) -> None:
    """The other runs have their answer; the damaged one is named with a reason."""
    victim = catalogue.files(three)[1]
    damage(victim)
    result = store.query(f"{COUNT} WHERE attributes->>'massgen.agent_id' IS NULL AND message <> ''", three)
    assert result.rows == [{"n": 4}]
    assert list(result.report.lost) == [str(victim)]
    assert f"passed over 1 recording that could not be read; the first: {victim}: " in result.report.sentence


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_goes_wrong_after_it_was_chosen_is_passed_over(three: Path, damage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted, cut or overwritten between listing and reading: the same."""
    victim = catalogue.files(three)[1]
    asking, hurt = execute.ask, [True]

    def later(*args: Any, **kwargs: Any) -> Any:
        if hurt.pop() if hurt else False:
            damage(victim)
        return asking(*args, **kwargs)

    monkeypatch.setattr(execute, "ask", later)
    rows, report = ask(f"{COUNT} WHERE message <> ''", three)
    assert (rows, list(report["lost"])) == ([{"n": 4}], [str(victim)])


def test_a_live_file_that_is_gone_or_forbidden_is_passed_over(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was listed and is gone, and one that may not be read."""
    live = make(three, 3, sealed=False)
    (live.parent / "trace.9.otlp.jsonl").symlink_to(three / "nowhere")
    result = store.query(COUNT, three)
    assert (result.rows, list(result.report.lost)) == ([{"n": 8}], [str(live.parent / "trace.9.otlp.jsonl")])

    def forbidden(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(liveness, "writer_alive", forbidden)
    rows, report = ask(COUNT, three)
    assert rows == [{"n": 6}]
    assert "Permission denied" in report["lost"][str(live)]


@pytest.mark.parametrize("damage", [truncated, garbage, deleted])
def test_a_damaged_file_that_was_named_is_an_error(three: Path, damage: Any) -> None:
    """Who asks for one file is told that it cannot be read."""
    victim = catalogue.files(three)[1]
    damage(victim)
    with pytest.raises(errors.RecordingError, match=str(victim)):
        store.query(COUNT, victim)


def test_a_statement_that_fails_looks_into_no_file(three: Path, opened: list[str]) -> None:
    """A wrong name in a statement is no reason to search the files for damage."""
    opened.clear()
    with pytest.raises(errors.QueryError, match="not found"):
        ask("SELECT * FROM nothing", three)
    assert [path for path in opened if path.endswith(".parquet")] == []
