"""Many small runs share a segment: nothing is lost by it, nothing counts twice, and each run's directory is still the run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from benchmarks._spans import run_lines
from massgen_tracing import layout, ledger
from massgen_tracing.sinks.recording.file import AppendFile
from massgen_tracing.store.engine import execute
from massgen_tracing.store.roots import catalogue, compaction, lookup, order, passing, reader, segments
from massgen_tracing.store.roots.contents import Wanted
from massgen_tracing.store.sealing import batch, candidates, regular, seal, sealed, small
from massgen_tracing.store.sealing.batch import Batch
from tests.store import otlp
from tests.store.dying import dying
from tests.store.test_seal import ATTRIBUTES, exact, key_values, spans, written_lines

TRACE = "trace.otlp.jsonl"


def write_run(root: Path, seed: int, name: str | None = None, *, turn: int = 1, file: str = TRACE, of: int = 6) -> Path:
    """A run of a few spans, as our own writer writes it; gives its directory."""
    run = root / "massgen_logs" / (name or f"log_20270115_080000_{seed:06}")
    path = run / f"turn_{turn}" / "attempt_1" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(run_lines(seed, of)))
    return run


def ask(sql: str, root: Path, **params: Any) -> list[dict[str, Any]]:
    """Ask in this process, which knows what earlier questions have found."""
    head, body, _ = execute.answer(sql, [str(root)], params=params, min_us=None, max_us=None, limit=100_000, max_bytes=2**30, on_stage=lambda _: None)
    assert not head["report"]["lost"]
    with pa.ipc.open_stream(body) as stream:
        rows: list[dict[str, Any]] = stream.read_all().to_pylist()
    return rows


EVERYTHING = "SELECT * FROM records_all ORDER BY trace_id, span_id, kind, start_timestamp"


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs are enough for a segment here."""
    monkeypatch.setattr(compaction, "MANY", 2)


# --- the file of a small run --------------------------------------------------------------------------------------------------------


def shrunk(path: Path) -> Path:
    """The small file of a recording."""
    source = batch.source(path)
    assert source is not None
    (target,) = Batch([source]).seal().values()
    assert not path.exists()
    return target


def recorded(path: Path) -> tuple[list[Any], list[Any]]:
    """The spans of a file, and how they were at their start."""
    found = reader.read([path])
    return [exact(span) for span in found.spans], [exact(span) for span in found.starts]


@settings(max_examples=20, deadline=None)
@given(made=st.lists(spans(), min_size=1, max_size=4, unique_by=lambda span: span["spanId"]), resource=ATTRIBUTES)
def test_a_small_file_gives_every_span_back(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]], resource: dict[str, Any]) -> None:
    """Whatever it holds, and whoever has written it."""
    path = tmp_path_factory.mktemp("root") / "massgen_logs" / "log_20270115_080000_000000" / "turn_1" / "attempt_1" / TRACE
    lines = []
    for span in made:
        line = json.loads(otlp.line(span))
        line["resourceSpans"][0]["resource"]["attributes"] = key_values(resource)
        lines.append(json.dumps(line).encode() + b"\n")
    otlp.write(path, lines)
    before = recorded(path)
    parquet = seal.seal(path).sealed
    assert parquet is not None
    assert recorded(shrunk(parquet)) == before


@settings(max_examples=40, deadline=None)
@given(lines=written_lines())
def test_lines_of_our_writer_become_a_small_file(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """With the same spans, starts and unfinished spans that a Parquet file of them has."""
    root = tmp_path_factory.mktemp("root")
    path = otlp.write(root / "massgen_logs" / "log_20270115_080000_000000" / "turn_1" / "attempt_1" / TRACE, lines)
    source = batch.source(path)
    if source is None:
        return
    before = recorded(path)
    try:
        made = Batch([source])
    except regular.Irregular:
        return
    (target,) = made.seal().values()
    assert recorded(target) == before
    parquet = sealed.index(target)
    assert parquet is not None
    assert parquet.lines == len(lines)


def test_a_small_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Its format has a dictionary, which must not change: this is what it made of one span."""
    content = bytes.fromhex(GOLDEN)
    said = small.decode(content)
    assert said.columns["span_name"] == ["coordination.session"]
    assert said.columns["attributes"] == ['{"massgen.task":"Why?"}']
    assert said.columns["start_timestamp"] == [1_800_000_000_000_000]
    assert small.encode(said) == content
    path = tmp_path / "trace.spans"
    path.write_bytes(content)
    assert [span.name for span in reader.read([path]).spans] == ["coordination.session"]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"PAR1" + content, lambda content: content[:30] + b"\0\0" + content[32:]]
)
def test_a_damaged_small_file_is_reported_by_name(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """And the other runs are read."""
    for seed in range(3):
        write_run(tmp_path, seed)
    compaction.compact(tmp_path)
    path = next(tmp_path.rglob("*.spans"))
    path.write_bytes(damage(path.read_bytes()))
    shutil.rmtree(tmp_path / layout.SEGMENTS_DIR)
    head, _, _ = execute.answer(
        "SELECT 1 FROM records", [str(tmp_path)], params={}, min_us=None, max_us=None, limit=9, max_bytes=9999, on_stage=lambda _: None
    )
    assert list(head["report"]["lost"]) == [str(path)]


# --- segments -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def motley(tmp_path: Path) -> Path:
    """A root with small runs of many kinds."""
    for seed in range(6):
        write_run(tmp_path, seed, of=20)
    write_run(tmp_path, 10, turn=2)
    write_run(tmp_path, 11, "log_20270115_080000_000010", file="trace.77.otlp.jsonl")
    odd = tmp_path / "massgen_logs" / "log_20270116_080000_000000" / "turn_1" / "attempt_1"
    otlp.write(odd / TRACE, otlp.sample_lines())
    killed = write_run(tmp_path, 12, of=20) / "turn_1" / "attempt_1" / TRACE
    killed.write_bytes(b"".join(killed.read_bytes().splitlines(keepends=True)[:-3]))
    outside = tmp_path / "traces" / "trace_20270115_080000_000000_77.otlp.jsonl"
    outside.parent.mkdir()
    outside.write_text("".join(run_lines(13, 6)))
    seal.seal(write_run(tmp_path, 14) / "turn_1" / "attempt_1" / TRACE)
    return tmp_path


def test_rows_are_as_they_were(motley: Path) -> None:
    """Of runs, of several turns and processes, unfinished ones, work outside of runs, sealed ones: each column of each row."""
    before = ask(EVERYTHING, motley)
    of_agents = "SELECT attributes->>'massgen.agent_id' AS agent, count(*), max(duration), max(created_at) FROM records GROUP BY 1 ORDER BY 1"
    said = ask(of_agents, motley)
    spans_before = {str(run): recorded_below(run) for run in (motley / "massgen_logs").iterdir()}
    outcome = compaction.compact(motley)
    assert outcome.runs == 10
    assert len(segments.found(motley, Wanted()).segments) == 1
    assert ask(EVERYTHING, motley) == before
    assert ask(of_agents, motley) == said
    assert {str(run): recorded_below(run) for run in (motley / "massgen_logs").iterdir()} == spans_before
    shutil.rmtree(motley / layout.SEGMENTS_DIR)  # it is only a cache
    assert ask(EVERYTHING, motley) == before


def recorded_below(run: Path) -> list[Any]:
    """All that a run's directory says."""
    found = reader.read(catalogue.files(run))
    return [[exact(span) for span in found.spans], [exact(span) for span in found.starts]]


def test_questions_about_one_trace_or_a_time_ask_for_its_segment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leave the small files alone, whose rows it has."""
    for begin in (0, 10):
        for seed in range(begin, begin + 5):
            write_run(tmp_path, seed)
        compaction.compact(tmp_path)
    every = ask("SELECT DISTINCT trace_id, min(start_timestamp) AS start FROM records GROUP BY trace_id ORDER BY 2", tmp_path)
    assert len(segments.found(tmp_path, Wanted()).segments) == 2
    monkeypatch.setattr(small, "decode", None)
    for row in every:
        wanted = Wanted(traces=(row["trace_id"],))
        assert len(segments.found(tmp_path, wanted).segments) == 1
        assert {each["trace_id"] for each in ask("SELECT trace_id FROM records WHERE trace_id = $trace", tmp_path, trace=row["trace_id"])} == {
            row["trace_id"]
        }
    assert ask("SELECT count(*) AS n FROM records WHERE trace_id = 'ffffffffffffffffffffffffffffffff'", tmp_path) == [{"n": 0}]
    newest = int(every[-1]["start"].timestamp() * 1e6)
    assert len(segments.found(tmp_path, Wanted(min_us=newest)).segments) == 1
    assert not segments.found(tmp_path, Wanted(min_us=newest + 3_600_000_000)).segments


def test_runs_are_found_by_name_and_trace(motley: Path) -> None:
    """As before, also by the name of the live file that is no more."""
    compaction.compact(motley)
    trace = ask("SELECT trace_id FROM records WHERE span_name = 'coordination.session' LIMIT 1", motley)[0]["trace_id"]
    assert {span.trace_id for span in lookup.trace(motley, trace[:10]).spans} == {trace}
    live = motley / "massgen_logs" / "log_20270115_080000_000003" / "turn_1" / "attempt_1" / TRACE
    assert catalogue.files(live) == (live.with_name("trace.spans"),)
    assert lookup.place_named(motley, str(live)) == live
    runs = catalogue.runs(motley)
    assert next(run.run_id for run in order.newest_first(runs)) == lookup.newest_run(motley).run_id


def test_a_copied_run_takes_its_trace_with_it(motley: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """To another root, or to nowhere."""
    run = motley / "massgen_logs" / "log_20270115_080000_000003"
    compaction.compact(motley)
    copy = tmp_path_factory.mktemp("elsewhere") / "mine"
    shutil.copytree(run, copy)
    mine = ask("SELECT span_id FROM records ORDER BY 1", copy)
    assert mine
    assert mine == ask(
        "SELECT span_id FROM records WHERE trace_id = $trace ORDER BY 1", motley, trace=reader.read(catalogue.files(run)).spans[0].trace_id
    )


def test_a_recording_that_owes_spans_or_is_written_is_left(tmp_path: Path) -> None:
    """And the others are sealed."""
    runs = [write_run(tmp_path, seed) for seed in range(5)]
    owing, written = (run / "turn_1" / "attempt_1" / TRACE for run in runs[:2])
    with contextlib.closing(ledger.Ledger(ledger.path_for(owing, "other"))) as book:
        book.write(ledger.Entry("http://localhost:1"))
    writer = AppendFile(written, tmp_path)
    writer.write(b"".join(written.read_bytes().splitlines(keepends=True)[-1:]))
    assert compaction.compact(tmp_path).runs == 3
    assert owing.exists()
    assert written.exists()
    writer.close()
    counted = ask("SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM records", tmp_path)
    assert counted == [{"n": counted[0]["ids"], "ids": counted[0]["n"]}]


def test_a_run_that_goes_on_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are more runs than a question looks into: the writer says so."""
    for seed in range(5):
        write_run(tmp_path, seed)
    compaction.compact(tmp_path)
    monkeypatch.setattr(segments, "_LOOKS", 1)
    assert len(segments.found(tmp_path, Wanted()).files) == 0
    path = tmp_path / "massgen_logs" / "log_20270115_080000_000002" / "turn_2" / "attempt_1" / TRACE
    path.parent.mkdir(parents=True)
    lines = "".join(run_lines(50, 6)).encode()
    with contextlib.closing(AppendFile(path, tmp_path)) as file:
        file.write(lines)
    found = segments.found(tmp_path, Wanted())
    assert [each.name for each in found.files] == ["trace.spans", TRACE]
    trace = lines.split(b'"traceId":"')[1][:32].decode()
    assert len(ask("SELECT 1 FROM records WHERE trace_id = $trace", tmp_path, trace=trace)) == len(
        [x for x in run_lines(50, 6) if "pending_span" not in x]
    )
    age(tmp_path)
    assert compaction.compact(tmp_path).runs == 0  # one run is no segment
    write_run(tmp_path, 60)
    assert compaction.compact(tmp_path).runs == 2
    found = segments.found(tmp_path, Wanted())
    assert not found.files
    assert len(found.segments[0].members) + len(found.segments[1].members) == 6


def age(root: Path) -> None:
    """Let what was said of runs that go on be some time ago."""
    for mark in (root / layout.SEGMENTS_DIR).glob(f"*{layout.AGAIN_SUFFIX}"):
        past = time.time() - 60
        os.utime(mark, (past, past))


def test_of_many_runs_some_are_looked_into_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a recording that somebody deletes within a run's directory is missed by as many questions at most as look into all."""
    monkeypatch.setattr(segments, "_LOOKS", 2)
    runs = [write_run(tmp_path, seed) for seed in range(6)]
    compaction.compact(tmp_path)
    counts = {ask("SELECT count(DISTINCT trace_id) AS n FROM records", tmp_path)[0]["n"]}
    (runs[4] / "turn_1" / "attempt_1" / "trace.spans").unlink()
    for _ in range(3):
        counts.add(ask("SELECT count(DISTINCT trace_id) AS n FROM records", tmp_path)[0]["n"])
    assert ask("SELECT count(DISTINCT trace_id) AS n FROM records", tmp_path) == [{"n": 5}]
    shutil.rmtree(runs[0])
    assert ask("SELECT count(DISTINCT trace_id) AS n FROM records", tmp_path) == [{"n": 4}]  # a whole run is missed by none
    (runs[1] / "turn_1" / "attempt_1" / "note.txt").write_text("what is no recording changes nothing")
    for _ in range(4):
        assert ask("SELECT count(DISTINCT trace_id) AS n FROM records", tmp_path) == [{"n": 4}]
    assert not segments.found(tmp_path, Wanted()).files


def test_what_a_compaction_finds_no_question_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command begins anywhere, and forgets what it found: what is gone within one of many runs is written down, and what is there is read."""
    runs = [write_run(tmp_path, seed, of=1) for seed in range(segments._LOOKS + 2)]
    compaction.compact(tmp_path)
    (runs[0] / "turn_1" / "attempt_1" / "trace.spans").unlink()
    write_run(tmp_path, 1, runs[1].name, file="trace.77.otlp.jsonl")  # copied there, say, by nobody who would say so

    def asked() -> tuple[int, list[Path]]:
        """Which runs and files a process reads that looks at the last runs only."""
        segments._kept.clear()
        monkeypatch.setattr(random, "randrange", lambda count: count - 1)
        found = segments.found(tmp_path, Wanted())
        return sum(len(each.members) for each in found.segments), list(found.files)

    assert asked() == (len(runs), [])
    segments._kept.clear()
    compaction.compact(tmp_path)
    assert asked()[0] == len(runs) - 2
    assert {path.relative_to(runs[1]).name for path in asked()[1]} == {"trace.spans", "trace.77.otlp.jsonl"}
    marks = {path: path.stat().st_mtime_ns for path in (tmp_path / layout.SEGMENTS_DIR).glob(f"*{layout.AGAIN_SUFFIX}")}
    compaction.compact(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in marks} == marks  # it is said once
    for seed in range(1000, 1002):
        write_run(tmp_path, seed)
    (runs[1] / "turn_1" / "attempt_1" / "trace.77.otlp.jsonl").unlink()
    assert compaction.compact(tmp_path).runs == 3
    assert asked() == (len(runs) + 1, [])


def test_questions_put_runs_together_in_passing(tmp_path: Path) -> None:
    """Those that were left alone for a while, after the answer."""
    for seed in range(4):
        path = write_run(tmp_path, seed) / "turn_1" / "attempt_1" / TRACE
        if seed:
            os.utime(path, (time.time() - 120, time.time() - 120))
    _, _, afterwards = execute.answer(
        "SELECT 1 FROM records", [str(tmp_path)], params={}, min_us=None, max_us=None, limit=9, max_bytes=9999, on_stage=lambda _: None
    )
    assert afterwards is not None
    passing.seal([str(tmp_path)], [])  # what it does in a process of its own
    found = segments.found(tmp_path, Wanted())
    assert len(found.segments[0].members) == 3
    assert [path.name for path in found.files] == [TRACE]


def test_few_segments_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones become one, and those go most of whose runs are gone."""
    monkeypatch.setattr(compaction, "_FEW_SEGMENTS", 2)
    for number in range(4):
        for seed in range(2):
            write_run(tmp_path, 10 * number + seed)
        compaction.compact(tmp_path)
    (only,) = segments.found(tmp_path, Wanted()).segments[:1]
    assert len(segments.found(tmp_path, Wanted()).segments) <= 2
    before = ask(EVERYTHING, tmp_path)
    shutil.rmtree(tmp_path / "massgen_logs" / "log_20270115_080000_000010")
    compaction.compact(tmp_path)
    after = ask(EVERYTHING, tmp_path)
    assert 0 < len(after) < len(before)
    assert all(not each.dead for each in segments.found(tmp_path, Wanted()).segments)
    assert only.root == tmp_path


def test_what_does_not_fit_in_keeps_its_own_file(tmp_path: Path) -> None:
    """A long run, one that is not our writer's, a run that was copied: they are asked as before."""
    for seed in range(3):
        write_run(tmp_path, seed)
    shutil.copytree(tmp_path / "massgen_logs" / "log_20270115_080000_000000", tmp_path / "massgen_logs" / "log_20270115_080000_000099")
    write_run(tmp_path, 5, of=700)
    foreign = write_run(tmp_path, 6) / "turn_1" / "attempt_1" / TRACE
    foreign.write_bytes(foreign.read_bytes() + b'{"no":"span"}\n')
    before = ask(EVERYTHING, tmp_path)
    assert compaction.compact(tmp_path).runs == 2
    assert ask(EVERYTHING, tmp_path) == before


# --- at any moment ------------------------------------------------------------------------------------------------------------------


CHANGES = ((os, "replace"), (os, "fsync"), (os, "utime"), (Path, "unlink"))
"""Steps that change the disk."""


class Root(RuleBasedStateMachine):
    """A root whose runs come, end, go on, go, move and are copied, with compactions, whole and killed, and questions in between."""

    @initialize(runs=st.integers(1, 4))
    def begin(self, runs: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(compaction, "MANY", 2)
        self.patch.setattr(compaction, "_FEW_SEGMENTS", 2)
        self.place = ROOTS.mktemp("root")
        self.seed = 0
        self.held: dict[Path, set[str]] = {}
        for _ in range(runs):
            self.run_ends()

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.patch.undo()
            shutil.rmtree(self.place)

    def some(self, number: int) -> Path | None:
        runs = sorted(self.held)
        return runs[number % len(runs)] if runs else None

    def written(self, run: Path, path: Path) -> None:
        self.seed += 1
        lines = "".join(run_lines(self.seed, 4))
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(AppendFile(path, self.place)) as file:
            file.write(lines.encode())
        self.held.setdefault(run, set()).update(part[:32] for part in lines.split('"traceId":"')[1:])

    @rule()
    def run_ends(self) -> None:
        run = self.place / "massgen_logs" / f"log_20270115_080000_{self.seed:06}"
        self.written(run, run / "turn_1" / "attempt_1" / TRACE)

    @rule(number=st.integers(0, 9), turn=st.integers(1, 2))
    def run_goes_on(self, number: int, turn: int) -> None:
        if (run := self.some(number)) is not None:
            self.written(run, run / f"turn_{turn}" / "attempt_1" / TRACE)

    @rule(number=st.integers(0, 9))
    def run_is_deleted(self, number: int) -> None:
        if (run := self.some(number)) is not None:
            shutil.rmtree(run)
            del self.held[run]

    @rule(number=st.integers(0, 9), as_before=st.booleans())
    def run_is_moved(self, number: int, as_before: bool) -> None:
        if (run := self.some(number)) is not None:
            self.seed += 1
            to = run.with_name(f"log_20270116_080000_{self.seed:06}")
            run.rename(to)
            if as_before:
                self.held[to] = self.held.pop(run)
            else:
                to.rename(run)

    @rule(number=st.integers(0, 9), other=st.integers(0, 9))
    def run_is_copied(self, number: int, other: int) -> None:
        run, over = self.some(number), self.some(other)
        if run is not None and over is not None:
            self.seed += 1
            to = over if over != run and number % 2 else run.with_name(f"log_20270117_080000_{self.seed:06}")
            if to.exists():
                shutil.rmtree(to)  # its name may be one that is known
            shutil.copytree(run, to)
            self.held[to] = set(self.held[run])

    @rule(number=st.integers(0, 9))
    def run_is_sealed(self, number: int) -> None:
        if (run := self.some(number)) is not None:
            for path in filter(candidates.is_own, catalogue.files(run)):
                seal.seal(path)

    @rule()
    def compacted(self) -> None:
        compaction.compact(self.place)
        age(self.place)

    @rule(step=st.integers(0, 40))
    def killed_while_compacting(self, step: int) -> None:
        with dying(step, CHANGES):
            compaction.compact(self.place)

    @rule()
    def segments_are_deleted(self) -> None:
        shutil.rmtree(self.place / layout.SEGMENTS_DIR, ignore_errors=True)

    @rule(last=st.booleans())
    def segment_is_damaged(self, last: bool) -> None:
        found = sorted((self.place / layout.SEGMENTS_DIR).glob("*.parquet" if last else "*.members"))
        if found:
            size = found[-1].stat().st_size
            os.truncate(found[-1], size // 2)

    @rule()
    def new_process(self) -> None:
        segments._kept.clear()

    @invariant()
    def every_span_counts_once(self) -> None:
        if not hasattr(self, "place"):
            return
        rows = ask("SELECT trace_id, span_id FROM records", self.place) if self.held else []
        assert len({(row["trace_id"], row["span_id"]) for row in rows}) == len(rows)
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["trace_id"]] = counts.get(row["trace_id"], 0) + 1
        assert counts.keys() == set().union(*self.held.values())
        for trace in sorted(counts)[:1]:
            assert ask("SELECT count(*) AS n FROM records WHERE trace_id = $trace", self.place, trace=trace) == [{"n": counts[trace]}]


@pytest.fixture(scope="module", autouse=True)
def roots(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the machine makes its roots."""
    global ROOTS
    ROOTS = tmp_path_factory


ROOTS: pytest.TempPathFactory
TestRoot = Root.TestCase
TestRoot.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


SEALER = """
import sys
from pathlib import Path
from massgen_tracing.store.roots import compaction
print("ready", flush=True)
sys.stdin.readline()
compaction.compact(Path(sys.argv[1]))
print("done", flush=True)
"""


def test_a_compaction_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL at random times, again and again: each span counts once, and another one finishes the work."""
    for seed in range(40):
        write_run(tmp_path, seed)
    expected = ask("SELECT trace_id, span_id FROM records ORDER BY 1, 2", tmp_path)
    rng = random.Random(5)
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", SEALER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(b"go\n")
            process.stdin.flush()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.02, 0.25))
            process.kill()
        assert ask("SELECT trace_id, span_id FROM records ORDER BY 1, 2", tmp_path) == expected
    compaction.compact(tmp_path)
    assert not segments.found(tmp_path, Wanted()).files
    assert not list((tmp_path / "massgen_logs").rglob("*.jsonl"))
    assert not list(tmp_path.rglob("*.tmp"))
    assert ask("SELECT trace_id, span_id FROM records ORDER BY 1, 2", tmp_path) == expected


GOLDEN = (
    "6d7473312b8a37df03fadf0494e7403d37135333730bcbc4a4e494d434251dd492c22031cddcccd4d0d2d02c39c5c43825c5c2c4c42235c9c8d030d9"
    "c2c0d8d032196731825e6860ed45a11724982504d6a675a53d72cac15a34602b4368515ce0ceba14276d43b292f51048cc5051441a363200a7568cf48b0ccc818916000000000000000001"
)
