"""`logs list`, `analyze`, `compare` and `link`, and `report`: what they print, write and refuse."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from massgen_tracing import layout, ledger, semconv
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.views.cli import main
from massgen_tracing.views.report.judgement import TITLE
from tests.insight.planted import BEGIN, FAULTS, Play, early, model, record
from tests.views.test_report import RUN, schema

OTHER = "log_20270116_080000_000000"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs, the second of two questions, of which the last was attempted twice."""
    record(tmp_path, RUN, Play())
    costly = Play()
    FAULTS["wasted_round"].plant(costly)
    record(tmp_path, OTHER, Play(), begin=BEGIN + 10**12)
    record(tmp_path, OTHER, costly, turn=2, begin=BEGIN + 2 * 10**12)
    record(tmp_path, OTHER, costly, turn=2, attempt=2, begin=BEGIN + 3 * 10**12)
    return tmp_path


def run(*words: str, code: int = 0) -> None:
    """Carry out a command; it ends with that exit code."""
    assert main([*words]) == code


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a command prints as JSON."""
    run(*words)
    return json.loads(capsys.readouterr().out)


def test_a_report_is_written_beside_the_attempts_and_not_over_another(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the newest run's last question; with --force over what is there."""
    run("logs", "analyze", "--root", str(root))
    out = capsys.readouterr().out
    path = root / "massgen_logs" / OTHER / "turn_2" / "ANALYSIS_REPORT.md"
    assert f"report: {path}" in out
    assert "wasted_round (medium)" in out
    path.write_text("mine")
    run("logs", "analyze", "--root", str(root), code=1)
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    run("logs", "analyze", "--root", str(root), "--force")
    assert path.read_text().startswith("# MassGen Log Analysis Report")
    assert sorted(each.name for each in path.parent.iterdir()) == ["ANALYSIS_REPORT.md", "attempt_1", "attempt_2"]


@pytest.mark.parametrize("words", [(RUN,), ("--log-dir", "DIR"), (RUN, "--turn", "1")])
def test_a_run_is_named_in_any_way(root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """By its name, its directory, its question; the data is what the schema says."""
    given = [word.replace("DIR", str(root / "massgen_logs" / RUN)) for word in words]
    document = printed(capsys, "logs", "analyze", "--root", str(root), "--format", "json", *given)
    jsonschema.validate(document, schema("analysis"))
    assert (document["run"], document["turn"], document["findings"]) == (RUN, 1, [])
    assert not list(root.rglob("ANALYSIS_REPORT.md"))


def test_what_cannot_be_analyzed_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two names, a turn that is not there, a run that was not traced: as JSON where that was asked for."""
    run("logs", "analyze", RUN, "--log-dir", str(root), "--root", str(root), code=1)
    run("logs", "analyze", RUN, "--turn", "7", "--root", str(root), "--format", "json", code=1)
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["got"] == "7"
    (root / "massgen_logs" / "log_20270117_080000_000000" / "turn_1" / "attempt_1").mkdir(parents=True)
    run("logs", "analyze", "log_20270117_080000_000000", "--root", str(root), code=1)
    assert "logs import" in capsys.readouterr().err
    run("logs", "analyze", "--mode", "self", "--root", str(root), code=1)
    assert "--dry-run" in capsys.readouterr().err
    run("logs", "analyze", "--mode", "prompt", "--format", "json", "--root", str(root), code=1)
    assert "no data of its own" in capsys.readouterr().err


def test_a_bare_recording_has_its_report_printed(root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It has no directory that a report could lie in."""
    bare = tmp_path / "elsewhere.otlp.jsonl"
    bare.write_bytes((root / "massgen_logs" / RUN / "turn_1" / "attempt_1" / "trace.otlp.jsonl").read_bytes())
    run("logs", "analyze", str(bare), "--root", str(root))
    out = capsys.readouterr().out
    assert out.startswith("# MassGen Log Analysis Report")
    assert "- " + str(bare) in out


def test_the_list_says_which_runs_are_analyzed(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions, attempts and reports of each; a run is analyzed when each of its questions is."""
    listed = ["logs", "list", "--root", str(root), "--format", "json"]
    run("logs", "analyze", RUN, "--root", str(root))
    run("logs", "analyze", OTHER, "--root", str(root))
    capsys.readouterr()
    found = printed(capsys, *listed)
    jsonschema.validate(found, schema("runs"))
    assert [
        (each["run"], each["analyzed"], [(turn["turn"], turn["attempts"], bool(turn["report"])) for turn in each["turns"]]) for each in found
    ] == [
        (OTHER, False, [(1, 1, False), (2, 2, True)]),
        (RUN, True, [(1, 1, True)]),
    ]
    assert [each["run"] for each in printed(capsys, *listed, "--analyzed")] == [RUN]
    assert [each["run"] for each in printed(capsys, *listed, "--unanalyzed")] == [OTHER]
    monkeypatch.setenv("COLUMNS", "120")
    run("logs", "list", "--root", str(root))
    out = capsys.readouterr().out
    assert re.search(rf"{OTHER}.*2 \(3 attempts\).*1 of 2", out)
    assert re.search(rf"{RUN}.*1 .*yes", out)
    monkeypatch.setenv("COLUMNS", "80")
    run("logs", "list", "--root", str(root))
    out = capsys.readouterr().out
    assert OTHER in out
    assert RUN in out


@pytest.mark.parametrize(
    ("columns", "shown"), [("120", ["question", "tokens", "cost"]), ("80", ["question", "cost"]), ("30", ["question", "tokens", "cost"])]
)
def test_long_names_of_runs_take_the_place_of_columns_and_not_of_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str, shown: list[str]
) -> None:
    """A name can be pasted, and each number that is shown is whole, at any width."""
    long = "trace_20261129_170917_215744_41197536019391963"
    place = record(tmp_path, RUN, Play())
    (tmp_path / layout.TRACES_DIR).mkdir()
    (place / "trace.otlp.jsonl").rename(tmp_path / layout.TRACES_DIR / f"{long}.otlp.jsonl")
    record(tmp_path, OTHER, Play(), begin=BEGIN + 10**12)
    shutil.rmtree(tmp_path / "massgen_logs" / RUN)
    monkeypatch.setenv("COLUMNS", columns)
    run("logs", "list", "--root", str(tmp_path))
    out = capsys.readouterr().out
    for name in (long, OTHER):
        assert re.search(rf"^{name}( |$)", out, re.MULTILINE)
    said = {"question": "bridge", "tokens": "28.0k→1,400", "cost": "$0.0700"}
    assert [title for title, cell in said.items() if out.count(cell) == 2] == shown
    assert not [title for title, cell in said.items() if title in out and title not in shown]


def test_two_runs_side_by_side(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Measures, tools and findings of both; a question of a run by its number; what is beyond the spread of earlier runs is said."""
    document = printed(capsys, "logs", "compare", RUN, f"{OTHER}:2", "--root", str(root), "--format", "json")
    jsonschema.validate(document, schema("comparison"))
    assert (document["first"]["run"], document["second"]["turn"], document["same_configuration"]) == (RUN, 2, True)
    measures = {each["name"]: each for each in document["measures"]}
    assert (measures["rounds"]["first"], measures["rounds"]["second"]) == (7, 16)
    assert measures["cost"]["spread"] is None
    assert document["findings"] == [{"code": "wasted_round", "first": 0, "second": 1}]
    run("logs", "compare", RUN, f"{OTHER}:2", "--root", str(root))
    assert "earlier runs" not in (out := capsys.readouterr().out)
    assert f"B: {OTHER}:2  Which bridge?" in out
    for day in range(1, 4):
        record(root, f"log_2027010{day}_080000_000000", Play(), begin=BEGIN - day * 10**12)
    measures = {
        each["name"]: each for each in printed(capsys, "logs", "compare", RUN, f"{OTHER}:2", "--root", str(root), "--format", "json")["measures"]
    }
    assert measures["rounds"]["spread"] == [7, 7]
    assert (measures["rounds"]["beyond_spread"], measures["errors"]["beyond_spread"]) == (True, False)
    run("logs", "compare", RUN, f"{OTHER}:2", "--root", str(root))
    out = capsys.readouterr().out
    assert re.search(r"rounds\s+7\s+16\s+\+129%\s+7 to 7\s+beyond it", out)


def test_costs_of_which_a_part_is_unknown_are_at_least_that(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In comparisons, findings, and the report's tables of agents."""
    monkeypatch.setenv("COLUMNS", "200")
    partly = Play()
    FAULTS["cost_outlier"].plant(partly)
    FAULTS["unpriced_calls"].plant(partly)
    early("c", lambda stage, rnd: model(stage, rnd, name="unheard-of", input=7, output=3))(partly)
    name = "log_20270117_080000_000000"
    record(root, name, partly, begin=BEGIN + 4 * 10**12)
    run("logs", "compare", RUN, name, "--root", str(root))
    assert re.search(r"cost\s+\$0\.0700\s+≥\$1\.0700\s+≥\+1,429%", capsys.readouterr().out)
    run("logs", "compare", name, RUN, "--root", str(root))
    assert re.search(r"cost\s+≥\$1\.0700\s+\$0\.0700\s+unknown", capsys.readouterr().out)
    document = printed(capsys, "logs", "compare", RUN, name, "--root", str(root), "--format", "json")
    jsonschema.validate(document, schema("comparison"))
    assert [document[each]["calls_of_unknown_cost"] for each in ("first", "second")] == [0, 2]
    [outlier] = [each for each in printed(capsys, "logs", "analyze", name, "--root", str(root), "--format", "json")["findings"]
                 if each["code"] == "cost_outlier"]  # fmt: skip
    assert outlier["calls_of_unknown_cost"] == 1
    run("logs", "analyze", name, "--root", str(root))
    assert "tokens, ≥$1.0200" in capsys.readouterr().out
    report = (root / "massgen_logs" / name / "turn_1" / "ANALYSIS_REPORT.md").read_text()
    assert re.search(r"\| c \|.*\| ≥\$1\.0200 \|", report)


def test_a_relative_path_names_a_question_too(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell completes it."""
    monkeypatch.chdir(root / "massgen_logs")
    for name, turn in ((OTHER, 2), (f"{OTHER}/turn_1", 1), (f"{OTHER}/turn_1/attempt_1/trace.otlp.jsonl", 1)):
        assert printed(capsys, "logs", "analyze", name, "--root", str(root), "--format", "json")["turn"] == turn


def test_the_summary_has_the_findings(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In its table and as data, by the thresholds of the environment."""
    run("summary", OTHER, "--root", str(root))
    assert "wasted_round" in capsys.readouterr().out
    assert [each["code"] for each in printed(capsys, "summary", RUN, "--root", str(root), "--format", "json")["findings"]] == []
    monkeypatch.setenv("MASSGEN_TRACING_STALL_SECONDS", "1.5")
    assert {each["code"] for each in printed(capsys, "summary", RUN, "--root", str(root), "--format", "json")["findings"]} == {"stall"}


@pytest.mark.parametrize(("more", "heading"), [(3, "Cost"), (4, "Cost, 5 of 7")])
def test_a_summary_says_where_the_rest_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: int, heading: str) -> None:
    """Where rows are left out; a single one is not."""
    play = Play()
    for number in range(more):
        early("c", partial(model, name=f"other-{number}"))(play)
    record(tmp_path, RUN, play)
    run("summary", RUN, "--root", str(tmp_path))
    out = capsys.readouterr().out
    assert heading in out.splitlines()
    assert [f"massgen-tracing {command}" in out for command in ("summary --format json", "logs analyze")] == [more == 4] * 2


def test_a_link_is_where_the_run_was_sent(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Logfire's project by argument or variable, Jaeger behind a collector; nowhere where it was not sent."""
    run("logs", "link", RUN, "--root", str(root), code=1)
    assert "was not sent anywhere" in capsys.readouterr().err
    recording = root / "massgen_logs" / RUN / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
    for kind, url in (("logfire", "https://logfire-us.pydantic.dev"), ("otlp", "http://collector.internal:4318/v1/traces")):
        with ledger.Ledger(ledger.path_for(recording, kind)) as book:
            book.write(ledger.Entry(url=url, kind=kind, protocol="http/protobuf", sent=5))
    run("logs", "link", RUN, "--root", str(root))
    told = capsys.readouterr()
    trace = reader.read([recording]).spans[0].trace_id
    assert told.out.splitlines() == [f"http://collector.internal:16686/trace/{trace}"]
    assert "LOGFIRE_PROJECT_URL" in told.err
    monkeypatch.setenv("LOGFIRE_PROJECT_URL", "https://logfire-us.pydantic.dev/us/runs")
    document = printed(capsys, "logs", "link", RUN, "--root", str(root), "--format", "json")
    jsonschema.validate(document, schema("links"))
    assert {each["kind"]: each["url"] for each in document["links"]}[
        "logfire"
    ] == f"https://logfire-us.pydantic.dev/us/runs?q=trace_id%3D%27{trace}%27"
    run("logs", "analyze", RUN, "--root", str(root))
    assert f"?q=trace_id%3D%27{trace}%27" in (root / "massgen_logs" / RUN / "turn_1" / "ANALYSIS_REPORT.md").read_text()


def test_a_page_is_written_where_it_is_asked_for(root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Or printed."""
    run("report", RUN, "--root", str(root), "-o", str(tmp_path / "run.html"))
    assert capsys.readouterr().out == f"{tmp_path / 'run.html'}\n"
    run("report", RUN, "--root", str(root))
    strip = re.compile(r"<dt>Generated</dt><dd>[^<]*")
    assert strip.sub("", capsys.readouterr().out) == strip.sub("", (tmp_path / "run.html").read_text())
    run("report", RUN, "--root", str(root), "-o", str(tmp_path / "missing" / "run.html"), code=1)
    assert "cannot be written" in capsys.readouterr().err


def test_the_prompt_is_printed_and_nothing_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a coding assistant to read."""
    run("logs", "analyze", "--mode", "prompt", "--root", str(root))
    assert "## What needs judgement" in capsys.readouterr().out
    assert not list(root.rglob("ANALYSIS_REPORT.md"))


def test_three_agents_add_their_judgement_in_a_run_of_their_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They read the facts over MCP; what they add is marked as theirs; their run is traced, apart from others, and linked to the one it is about."""
    run("logs", "analyze", OTHER, "--mode", "self", "--dry-run", "--root", str(root))
    out = capsys.readouterr().out
    written = (root / "massgen_logs" / OTHER / "turn_2" / "ANALYSIS_REPORT.md").read_text()
    judged = written[written.index(f"## {TITLE}") : written.index("## 8. Recommendations")]
    assert re.findall("^### (.+)$", judged, re.MULTILINE) == [
        "Correctness (by agent correctness)",
        "Efficiency (by agent efficiency)",
        "Behaviour (by agent behaviour)",
    ]
    assert "Nothing below was computed" in judged
    assert judged.count("The first to look at is wasted_round") == 3
    [name] = re.findall("judged by: (log_\\S+),", out)
    recorded = reader.read(catalogue.files(root / "analysis" / layout.LOGS_DIR / name)).spans
    session = next(span for span in recorded if span.name == semconv.SESSION)
    about = reader.read(catalogue.files(root / "massgen_logs" / OTHER / "turn_2" / "attempt_2")).spans[0]
    assert [(link.trace_id, link.span_id) for link in session.links] == [(about.trace_id, about.span_id)]
    assert session.attributes[semconv.ANALYSIS_OF] == about.trace_id
    tools = {span.name for span in recorded if span.name.startswith("mcp.")}
    assert tools == {"mcp.facts.list_facts", "mcp.facts.read_finding"}
    assert [item.run_id for item in catalogue.runs(root)] == [OTHER, RUN]


def test_what_is_told_of_many_findings_is_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evidence and lists say how much they leave out."""
    made = Play()
    for number in range(120):
        made.early.setdefault("a", []).append(lambda _, rnd, at=number: [rnd.tool_call("look", {"at": at}).start().end() for _ in range(30)])  # type: ignore[misc,arg-type]
    record(tmp_path, RUN, made)
    document = printed(capsys, "logs", "analyze", "--root", str(tmp_path), "--format", "json")
    jsonschema.validate(document, schema("analysis"))
    repeated = [each for each in document["findings"] if each["code"] == "repeated_command"]
    assert len(repeated) == 120
    assert {(len(each["evidence"]), each["evidence_left_out"]) for each in repeated} == {(25, 5)}
    run("logs", "analyze", "--root", str(tmp_path))
    assert "… and 70 more" in (tmp_path / "massgen_logs" / RUN / "turn_1" / "ANALYSIS_REPORT.md").read_text()
    assert document["facts"]["left_out"] == {"repeated_calls": 20}


def test_what_a_killed_server_has_left_is_told_of_and_not_that_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no run yet, and no run has to be started for it."""
    arrivals = tmp_path / layout.ARRIVALS_DIR
    arrivals.mkdir()
    (arrivals / "0000000000000001.arrived").write_bytes(b"{}")
    (arrivals / layout.ARRIVALS_LOCK).touch()
    run("logs", "list", "--root", str(tmp_path))
    told = capsys.readouterr().err
    assert "`massgen-tracing serve` makes runs of it" in told
    assert "start one" not in told
