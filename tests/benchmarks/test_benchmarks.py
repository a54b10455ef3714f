"""The benchmarks work; how fast anything is, a test does not judge."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import many_runs, scale, store
from benchmarks._measure import Figure, Samples, interleave, report

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "figures"), [("span", 3), ("stream", 6), ("startup", 5), ("first_session", 2), ("scrub", 2)])
def test_a_benchmark_prints_its_table(name: str, figures: int) -> None:
    """One command, one row a figure, and exit code 0 whatever was measured."""
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--rounds", "1"], check=True, capture_output=True, text=True, cwd=ROOT)
    title, heads, *rows = done.stdout.splitlines()
    assert "1 rounds" in title
    assert "ratio of best" in heads
    assert len(rows) == figures
    assert done.stderr == ""


def test_the_benchmark_of_the_store_prints_sealing_queries_and_memory() -> None:
    """The size can be chosen; every query is compared, those that use attributes with DuckDB too."""
    command = [sys.executable, "-m", "benchmarks.store", "--rounds", "1", "--spans", "500"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    sealing, title, _, *rows, memory = done.stdout.splitlines()
    assert (sealing.split(":")[0], title, memory.split(":")[0]) == ("Sealing", "Queries over 500 spans, 1 rounds", "Peak memory")
    asked = store.queries("trace").values()
    assert len(rows) == len(asked) + sum(map(store.uses_attributes, asked))
    assert done.stderr == ""


def test_the_benchmark_of_many_runs_compares_each_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one file of the same rows, where DuckDB understands it; and all that lies on the disk is counted."""
    root = tmp_path / "many"
    many_runs.write(root, range(3))
    shipped = {"slow_tools", "token_usage_by_agent", "tool_error_rate"}
    assert many_runs.statements(root).keys() > shipped | many_runs.QUESTIONS.keys()
    some = {name: sql for name, sql in many_runs.statements(root).items() if name in shipped}
    monkeypatch.setattr(many_runs, "statements", lambda _root: some)
    figures = list(many_runs.beside_one_file(root, tmp_path / "one", 1))
    assert [figure.target for figure in figures] == [2.0, 2.0, None]
    assert many_runs.size(tmp_path / "one") == (tmp_path / "one" / "all.parquet").stat().st_size


def test_rounds_are_interleaved_and_the_first_is_not_counted() -> None:
    """Each contender gets its turn in each round, in an order that turns around."""
    order: list[str] = []

    def contender(name: str) -> float:
        order.append(name)
        return float(len(order))

    samples = interleave({"a": lambda: contender("a"), "b": lambda: contender("b")}, 2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert (samples["a"], samples["b"]) == (Samples([3.0, 6.0]), Samples([4.0, 5.0]))


def test_ratios_are_of_the_best_rounds_and_of_neighbouring_ones() -> None:
    """Two ways to be robust against a machine that is not quiet."""
    figure = Figure("", Samples([2.0, 9.0, 4.0]), Samples([1.0, 3.0, 4.0]))
    assert (figure.ratio, figure.median_ratio) == (2.0, 2.0)
    above = Figure("", Samples([3.0, 5.0, 4.0]), Samples([7.0, 9.0, 9.0]), base=Samples([1.0, 1.0, 3.0]))
    assert (above.times, above.ratio, above.median_ratio) == ((2.0, 6.0), 2 / 6, 2 / 6)


def test_stages_are_sized_for_runs_a_day() -> None:
    """Cores at the day's peak and bytes a day, of what a span costs."""
    title, stage, _, _, few, cores, many, *_ = scale.table([scale.Stage("Jaeger", 200e-6, 2000, 2**20)])
    assert "spans/s of a core" in title
    assert stage.split() == ["Jaeger", "200.0", "5,000", "2,000", "1"]
    assert (few, many) == ("1,000", "1,000,000")
    assert cores.split() == ["Jaeger", "0.0017", "0.3"]


def test_a_missed_target_fails_only_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` is for those who want an exit code."""
    figures = [Figure("slow", Samples([3e-6]), Samples([1e-6]), 2.0), Figure("told", Samples([9e-6]), Samples([1e-6]))]
    assert report("Title", figures, unit="µs", check=False) == 0
    assert report("Title", figures, unit="µs", check=True) == 1
    assert report("Title", figures[1:], unit="µs", check=True) == 0
    assert capsys.readouterr().out.count("MISSED") == 2


def test_the_benchmark_of_watching_prints_cost_and_latencies() -> None:
    """Of as many targets as are asked for."""
    command = [sys.executable, "-m", "benchmarks.watch", "--targets", "8", "--seconds", "0.2", "--rounds", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    targets, *rest = (line.partition(":")[0] for line in done.stdout.splitlines())
    assert targets == ("8 idle targets" if shutil.which("tmux") else "6 idle targets")
    assert rest == ["a change by notification", "a change by looking each second", "peak memory"]
    assert done.stderr == ""
