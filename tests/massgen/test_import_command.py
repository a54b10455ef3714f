"""`massgen-tracing logs import`, as people use it: what it writes, what it leaves alone, and what the other commands make of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from massgen_tracing import semconv, store
from massgen_tracing.sinks.recording import whole
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.views.cli import main
from tests.massgen import runs
from tools.dashboards import values_for

DASHBOARDS = sorted((Path(__file__).parents[2] / "dashboards" / "sql").glob("*.sql"))


def said(capsys: pytest.CaptureFixture[str], *argv: str | Path, code: int = 0) -> tuple[str, str]:
    """What `logs import` printed on both channels; it must end with *code*."""
    assert main(["logs", "import", *map(str, argv)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and the moment of its last change."""
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", runs.ALL)
def test_a_second_import_changes_nothing(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recording is beside the logs, nothing else is new, and afterwards not a byte or time changes; nor would it be others elsewhere."""
    run = runs.copy(name, tmp_path)
    before = files(run)
    out, err = said(capsys, run)
    target = runs.attempt(run) / "trace.otlp.jsonl"
    after = files(run)
    assert after.keys() - before.keys() == {str(target.relative_to(run))}
    assert err == ""
    assert re.match(r"log_\d{8}_\d{6}_\d{6}/turn_1/attempt_1: \d+ spans \(\d+ rounds?, ", out)
    assert out.count("\n") == 1
    again, _ = said(capsys, run)
    assert "imported before" in again
    assert files(run) == after
    made = reader.read([target])
    assert made.report.skipped == 0
    assert {span.state for span in made.spans} == {"ended"}


def test_what_is_missing_is_said_in_the_runs_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which file, and what it would have told; a file that is damaged is told from one that is not there."""
    run = runs.copy("v0_1_97_normal", tmp_path)
    attempt = runs.attempt(run)
    (attempt / "metrics_events.json").unlink()
    (attempt / "status.json").write_bytes((attempt / "status.json").read_bytes()[:700])
    (attempt / "metrics_summary.json").write_text("")
    (attempt / "snapshot_mappings.json").write_text("[1, 2]")
    out, _ = said(capsys, run)
    assert "missing: metrics_events.json (tool calls and rounds with their times); metrics_summary.json is empty; status.json is cut off" in out
    assert "snapshot_mappings.json cannot be understood" in out


def test_an_attempt_that_was_traced_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Live or sealed, whole or not: its own recording knows more than its logs."""
    run = runs.copy("v0_1_97_two", tmp_path)
    own = runs.attempt(run) / "trace.otlp.jsonl"
    for content in (b"", b'{"resourceSpans": [', whole.encode(runs.read(run).spans).replace(b'"massgen.imported"', b'"massgen.omitted"')):
        own.write_bytes(content)
        out, _ = said(capsys, run)
        assert "left as it is, for it has a recording of its own (trace.otlp.jsonl)" in out
        assert own.read_bytes() == content


def test_an_import_that_was_sealed_is_known_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sealing an imported recording loses nothing, so the next import finds it as it made it."""
    run = runs.copy("v0_1_97_two", tmp_path)
    said(capsys, run)
    live = runs.attempt(run) / "trace.otlp.jsonl"
    before = reader.read([live]).spans
    assert seal.seal(live).sealed is not None
    again, _ = said(capsys, run)
    assert "imported before" in again
    assert not live.exists()
    assert reader.read([live.with_name("trace.parquet")]).spans == before


@pytest.mark.parametrize("sealed", [False, True])
def test_an_import_of_less_is_replaced_by_one_of_more(sealed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that went on when it was imported, or whose files have been restored: one recording, of all that is known now."""
    run = runs.copy("v0_1_97_two", tmp_path)
    attempt = runs.attempt(run)
    events = (attempt / "coordination_events.json").read_bytes()
    (attempt / "coordination_events.json").unlink()
    said(capsys, run)
    if sealed:
        seal.seal(attempt / "trace.otlp.jsonl")
    (attempt / "coordination_events.json").write_bytes(events)
    said(capsys, run)
    assert sorted(path.name for path in attempt.iterdir() if path.name.startswith("trace")) == ["trace.otlp.jsonl"]
    assert (attempt / "trace.otlp.jsonl").read_bytes() == whole.encode(runs.read(run).spans)


def test_several_paths_and_one_of_them_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are imported, a run that is named twice once; the exit code says that something was wrong."""
    good, other = runs.copy("v0_1_97_two", tmp_path), runs.copy("v0_1_32_normal", tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    out, err = said(capsys, good, tmp_path / "empty", tmp_path / "file", tmp_path / "no", runs.attempt(good), other, code=1)
    assert out.count("\n") == 2
    assert "There is no run of MassGen in" in err
    assert err.count("is not a directory") == 2


def test_a_run_directory_without_anything_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written; what was expected is said."""
    (tmp_path / "massgen_logs" / "log_20260101_000000_000000" / "turn_1" / "attempt_1").mkdir(parents=True)
    out, err = said(capsys, tmp_path, code=1)
    assert out == ""
    assert "There is nothing to import in" in err
    assert list(tmp_path.rglob("trace*")) == []


def test_a_directory_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, exit code 1, and no half of a recording."""
    run = runs.copy("v0_1_97_two", tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    _, err = said(capsys, run, code=1)
    assert "cannot be written (No space left on device)" in err
    assert not [path for path in runs.attempt(run).iterdir() if "trace" in path.name]


def test_control_characters_of_a_strangers_files_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory may have any name."""
    run = runs.older(tmp_path, answers=1)
    run.rename(run.with_name("log_\x1b[31m_evil"))
    out, _ = said(capsys, tmp_path)
    assert "\x1b" not in out


@pytest.mark.parametrize("name", runs.ANSWERED)
def test_the_dashboards_queries_answer_over_an_import(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each runs, and those that tell of sessions, rounds, the flow, tools and tokens have rows."""
    root = runs.copy(name, tmp_path)
    said(capsys, root)
    trace = f"{runs.spans(runs.read(root), semconv.SESSION)[0].trace_id:032x}"
    statements = {path.stem: path.read_text().replace("[TRACE_ID]", trace) for path in DASHBOARDS}
    answers = {name: store.query(sql, root, params=values_for(sql)).rows for name, sql in statements.items()}
    telling = ("recent_sessions", "agent_comparison", "coordination_flow", "trace_hierarchy", "tool_calls", "slow_tools", "token_usage_by_agent")
    assert [query for query in telling if not answers[query]] == []
    tokens = store.query(
        "SELECT attributes->>'massgen.agent_id' AS agent, sum((attributes->'massgen.usage.input')::int) AS tokens FROM records"
        " WHERE span_name LIKE 'agent.%' GROUP BY 1 HAVING sum((attributes->'massgen.usage.input')::int) > 0",
        root,
    ).rows
    agents = runs.document(root, "status.json")["agents"]
    used = {agent: about["token_usage"]["input_tokens"] for agent, about in agents.items() if about["token_usage"]["input_tokens"]}
    assert {row["agent"]: row["tokens"] for row in tokens} == used


def test_an_import_is_listed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`logs` has its winner and tokens, `trace` its tree."""
    root = runs.copy("v0_1_97_normal", tmp_path)
    said(capsys, root)
    assert main(["logs", "--root", str(root), "--format", "json"]) == 0
    listed = capsys.readouterr().out
    assert '"winner": "agent_a"' in listed
    assert '"input_tokens": 1980' in listed
    assert main(["trace", "--root", str(root)]) == 0
    assert "agent.agent_a.round_3" in capsys.readouterr().out


def test_a_query_tells_imported_spans_from_traced_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the mark that each has."""
    root = runs.copy("v0_1_97_two", tmp_path)
    said(capsys, root)
    rows = store.query("SELECT count(*) AS n, count(*) FILTER (WHERE (attributes->'massgen.imported')::bool) AS imported FROM records", root).rows
    assert rows[0]["n"] == rows[0]["imported"] > 20


def printed(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """What a command printed; it must end well."""
    assert main([*map(str, argv)]) == 0
    return capsys.readouterr().out


def old_run(directory: Path, version: str = "") -> Path:
    """What MassGen's first versions wrote of a run: no status, no metrics, and before 0.1.3 no version of its own."""
    directory.mkdir(parents=True)
    events = [
        {"timestamp": 1_760_955_072.0 + at, "event_type": kind, "agent_id": agent, "details": kind, "context": {"answer_label": "agent1.1"}}
        for at, (kind, agent) in enumerate([("session_start", None), ("new_answer", "blue"), ("session_end", None)])
    ]
    session = {"user_prompt": "Name three birds", "agent_ids": ["blue"], "start_time": 1_760_955_072.0, "end_time": 1_760_955_075.0}
    (directory / "coordination_events.json").write_text(json.dumps({"session_metadata": session, "events": events}))
    told = {"query": "Name three birds", "timestamp": "2025-10-20T10:11:12"} | ({"massgen_version": version} if version else {})
    (directory / "execution_metadata.yaml").write_text(json.dumps(told))
    return directory


@pytest.mark.parametrize(
    ("version", "missing"),
    [("", ""), ("0.1.7", ""), ("0.1.8", "status.json"), ("0.1.97", "metrics_events.json metrics_summary.json status.json")],
)
def test_what_a_version_never_wrote_is_not_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, missing: str) -> None:
    """Each file is missed from the version on that writes it."""
    old_run(tmp_path / "massgen_logs" / "log_20251020_101112", version)
    line, _ = said(capsys, tmp_path)
    assert [name for name in ("metrics_events.json", "metrics_summary.json", "status.json") if name in line] == missing.split()


@pytest.mark.parametrize("inner", ["", "turn_1", "turn_1/attempt_1"])
def test_every_layout_is_listed_with_its_time_and_sealed(tmp_path: Path, capsys: pytest.CaptureFixture[str], inner: str) -> None:
    """Names of the first versions have no microseconds; recordings lie in the run, the turn or the attempt."""
    run = tmp_path / "massgen_logs" / "log_20251020_101112"
    old_run(run / inner)
    said(capsys, tmp_path)
    (listed,) = json.loads(printed(capsys, "logs", "list", "--root", tmp_path, "--format", "json"))
    assert (listed["run"], listed["started"][:10], listed["state"]) == (run.name, "2025-10-20", "ended")
    assert printed(capsys, "compact", "--root", tmp_path).startswith("sealed 1 recording")
    assert (run / inner / "trace.parquet").exists()
    assert json.loads(printed(capsys, "logs", "list", "--root", tmp_path, "--format", "json")) == [listed]


def test_runs_of_subagents_are_sessions_below_the_one_that_started_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the same trace, each with its own spans; of one whose logs were not kept the run's line says so, and a second import is the same."""
    attempt = old_run(tmp_path / "massgen_logs" / "log_20251020_101112_000001" / "turn_1" / "attempt_1", "0.1.32")
    old_run(attempt / "subagents" / "helper_1" / "full_logs")
    old_run(attempt / "subagents" / "helper_2" / "full_logs" / "turn_1" / "attempt_1")
    (attempt / "subagents" / "lost").mkdir()
    (attempt / "subagents" / "helper_1" / "full_logs" / "subagents").symlink_to(attempt / "subagents")
    line, _ = said(capsys, tmp_path)
    assert "2 subagents" in line
    assert "the logs of the subagent lost" in line
    spans = reader.read(catalogue.files(tmp_path)).spans
    sessions = {span.span_id: span for span in spans if span.name == semconv.SESSION}
    (root,) = (span for span in sessions.values() if not span.parent_span_id)
    below = [span for span in sessions.values() if span.parent_span_id == root.span_id]
    assert min(Path(str(span.attributes[semconv.LOG_DIR])).parts[-2:] for span in below) == ("helper_1", "full_logs")
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.span_id for span in spans}) == len(spans)
    assert all(span.parent_span_id in sessions for span in spans if span.name.startswith("agent."))
    assert "imported before" in said(capsys, tmp_path)[0]
