"""The commands `sql`, `logs` and `trace`, as people and programs use them."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from massgen_tracing import errors
from massgen_tracing.store.roots import catalogue
from massgen_tracing.store.sealing import seal
from massgen_tracing.views import options
from massgen_tracing.views.cli import COMMANDS, main
from tests.insight.planted import FAULTS, Play, record
from tests.store import otlp


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one recorded run, the sample."""
    otlp.write_run(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def said(capsys: pytest.CaptureFixture[str], *argv: str | Path, code: int = 0) -> tuple[str, str]:
    """What a command printed on both channels; it must end with *code*."""
    assert main([str(arg) for arg in argv]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


# --- sql ---------------------------------------------------------------------------------------------------------------------------

ALL_KINDS = """SELECT span_name, start_timestamp, duration, 9007199254740993 AS big, round(1.005::numeric, 2) AS num, is_exception, tags, day,
    attributes->'massgen.votes' AS votes, end_timestamp - start_timestamp AS took, NULL AS nothing FROM records WHERE parent_span_id IS NULL"""


def test_json_is_one_array_of_objects_in_the_order_of_the_select(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times as ISO 8601 UTC with microseconds, all digits of integers, JSON values as values, NULL as null."""
    out, err = said(capsys, "sql", ALL_KINDS, "--root", root, "--format", "json")
    (row,) = json.loads(out)
    assert list(row.items()) == [
        ("span_name", "coordination.session"),
        ("start_timestamp", "2027-01-15T08:00:00.000000Z"),
        ("duration", 5.0),
        ("big", 9007199254740993),
        ("num", 1.01),
        ("is_exception", False),
        ("tags", ["demo", "two"]),
        ("day", "2027-01-15"),
        ("votes", {"agent1.1": 1}),
        ("took", 5.0),
        ("nothing", None),
    ]
    assert err == ""


def test_json_of_no_rows_is_an_empty_array(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No rows are an answer too: exit 0 and `[]`."""
    assert said(capsys, "sql", "SELECT 1 FROM records WHERE false", "--root", root, "--format", "json") == ("[]\n", "")


def test_numbers_that_json_lacks_are_null(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and the infinities are no JSON."""
    out, _ = said(capsys, "sql", "SELECT 'NaN'::double AS a, '-inf'::double AS b", "--root", root, "--format", "json")
    assert json.loads(out) == [{"a": None, "b": None}]


def test_an_interval_is_seconds_unless_it_has_months(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the difference of two times is; months have no length."""
    out, _ = said(capsys, "sql", "SELECT interval '90 minutes' AS a, interval '2 days 1.5 seconds' AS b", "--root", root, "--format", "json")
    assert json.loads(out) == [{"a": 5400.0, "b": 172801.5}]
    assert said(capsys, "sql", "SELECT interval '1 month' AS a", "--root", root, "--format", "csv")[0] == "a\nP1M0DT0S\n"


def test_the_package_is_the_command(root: Path) -> None:
    """`python -m massgen_tracing` for those whose path lacks the script; its exit codes are the command's."""
    argv = [sys.executable, "-m", "massgen_tracing", "sql", "--root", str(root), "--format", "csv"]
    done = subprocess.run([*argv, "SELECT count(*) AS n FROM records"], capture_output=True, text=True, check=True)
    assert done.stdout == "n\n17\n"
    assert subprocess.run([*argv, "DROP TABLE records"], capture_output=True, check=False).returncode == 1


def test_jsonl_is_one_object_a_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is a line of its own."""
    out, _ = said(capsys, "sql", "SELECT span_name FROM records ORDER BY start_timestamp LIMIT 2", "--root", root, "--format", "jsonl")
    assert [json.loads(line)["span_name"] for line in out.splitlines()] == ["coordination.session", "Coordination event: coordination_started"]


def test_csv_has_a_header_and_empty_nulls(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NULL is an empty field, lists are JSON, texts with commas are quoted."""
    sql = "SELECT span_name AS name, tags, duration, 'a,b' AS t FROM records ORDER BY start_timestamp LIMIT 2"
    out, _ = said(capsys, "sql", sql, "--root", root, "--format", "csv")
    assert out == ('name,tags,duration,t\ncoordination.session,"[""demo"", ""two""]",5.0,"a,b"\nCoordination event: coordination_started,,,"a,b"\n')


def test_table_is_drawn_with_its_number_of_rows(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The default is a table for people."""
    out, _ = said(capsys, "sql", "SELECT span_name, duration FROM records WHERE span_name LIKE 'agent.%.round_0' ORDER BY 1", "--root", root)
    assert [line.rstrip() for line in out.splitlines()] == [
        "span_name              duration",
        "───────────────────────────────",
        "agent.agent_a.round_0         2",
        "agent.agent_b.round_0         3",
        "(2 rows)",
    ]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_columnar_formats_come_out_of_a_pipe(root: Path, form: str) -> None:
    """An Arrow stream or a Parquet file on standard output, with types."""
    argv = [sys.executable, "-m", "massgen_tracing.views.cli", "sql", "SELECT start_timestamp, duration FROM records", "--root", str(root)]
    done = subprocess.run([*argv, "--format", form], capture_output=True, check=True)
    if form == "arrow":
        table = pa.ipc.open_stream(done.stdout).read_all()
    else:
        table = pyarrow.parquet.read_table(io.BytesIO(done.stdout))
    assert (table.num_rows, str(table.schema.field("start_timestamp").type)) == (17, "timestamp[us, tz=UTC]")


def test_a_cut_answer_says_so_beside_the_rows(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The note goes to standard error, so that the rows stay what they are."""
    out, err = said(capsys, "sql", "SELECT 1 AS a FROM records", "--root", root, "--format", "jsonl", "--limit", "2")
    assert out == '{"a": 1}\n{"a": 1}\n'
    assert "the answer was cut at 2 rows; ask for more with --limit" in err


def test_skipped_lines_are_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be read is named on standard error."""
    path = otlp.write(tmp_path / "x.jsonl", [b"rubbish\n", otlp.line(otlp.span(1, "x"))])
    _, err = said(capsys, "sql", "SELECT 1", "--root", path)
    assert err == f"massgen-tracing sql: skipped 1 line or record that could not be read; the first: {path}, line 1: not a line of OTLP/JSON\n"


def test_the_statement_may_come_from_a_file_or_from_the_input(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--file` and `-` are as good as an argument; two statements at once, or none, are refused."""
    file = root / "q.sql"
    file.write_text("SELECT 'file' AS a;\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 'input' AS a"))
    assert "file" in said(capsys, "sql", "--file", file, "--root", root)[0]
    assert "input" in said(capsys, "sql", "-", "--root", root)[0]
    for argv in (["sql"], ["sql", "SELECT 1", "--file", str(file)]):
        assert "Expected SQL as an argument, or --file FILE" in said(capsys, *argv, code=1)[1]
    assert "cannot be read from" in said(capsys, "sql", "--file", root / "none.sql", code=1)[1]


def test_since_leaves_out_what_is_older(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A time or an age; the sample's spans start on 15 January 2027."""
    sql = "SELECT count(*) AS n FROM records"
    for since, number in (("2027-01-15T08:00:04", 6), ("2027-01-15", 17), ("2030-01-01T00:00:00+02:00", 0)):
        out, _ = said(capsys, "sql", sql, "--root", root, "--format", "json", "--since", since)
        assert json.loads(out) == [{"n": number}]
    assert "Expected an age such as 90s, 30m, 1h, 7d" in said(capsys, "sql", sql, "--root", root, "--since", "yesterday", code=1)[1]


def test_a_statement_may_take_as_long_as_it_is_given(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that takes longer is stopped, and says what to do; so many seconds are a positive number."""
    forever = "SELECT count(*) FROM records a, records b, records c, records d, records e, records f, records g, records h"
    assert "was stopped after 0.3 seconds" in said(capsys, "sql", forever, "--root", root, "--timeout", "0.3", code=1)[1]
    assert "a number of seconds above 0" in said(capsys, "sql", "SELECT 1", "--root", root, "--timeout", "-1", code=1)[1]


def test_a_zone_of_the_question_and_the_plan_of_its_answer(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times are told in the zone, days begin in it; a plan is printed instead of rows, and is no format for programs."""
    sql = "SELECT date_trunc('day', min(start_timestamp)) AS day FROM records"
    assert said_json(capsys, sql, root, "--timezone", "Asia/Tokyo")[0] == [{"day": "2027-01-15T00:00:00.000000+09:00"}]
    assert "no such time zone" in said(capsys, "sql", sql, "--root", root, "--timezone", "Mars/Olympus", code=1)[1]
    out, _ = said(capsys, "sql", sql, "--root", root, "--explain")
    assert "Aggregate: " in out
    assert "AggregateExec: " in out
    assert "--explain prints no rows" in said(capsys, "sql", sql, "--root", root, "--explain", "--format", "csv", code=1)[1]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("agent_a", "agent_a"), ("5", 5), ("-1.5", -1.5), ("true", True), ("null", None), ('"5"', "5"), ("", ""), ("1e5", "1e5"), ("007", "007"),
        ("a=b'; --", "a=b'; --"), ("12345678901234567890123456789012", "12345678901234567890123456789012"),
    ],
)  # fmt: skip
def test_a_parameter_is_a_number_a_word_or_a_text(root: Path, capsys: pytest.CaptureFixture[str], said: str, value: object) -> None:
    """Its value is bound, never text of the statement; ids of digits stay texts."""
    out, _ = said_json(capsys, "SELECT $a AS a", root, "--param", f"a={said}")
    assert out == [{"a": value}]


def said_json(capsys: pytest.CaptureFixture[str], sql: str, root: Path, *argv: str) -> tuple[list[dict[str, object]], str]:
    """The rows of a statement, and what was said beside."""
    out, err = said(capsys, "sql", sql, "--root", root, "--format", "json", *argv)
    return json.loads(out), err


def test_parameters_filter_and_wrong_ones_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several of them; one without a name, without a value, or without a place is refused."""
    sql = "SELECT count(*) AS n FROM records WHERE attributes->>'massgen.agent_id' = $agent AND duration > $least"
    assert said_json(capsys, sql, root, "--param", "agent=agent_a", "--param", "least=1.5")[0] == [{"n": 1}]
    either = "SELECT count(*) AS n FROM records WHERE level = ANY($levels) OR attributes->>'massgen.round' = ANY($rounds) OR span_name = $text"
    given = ("--param", 'levels=["error"]', "--param", "rounds=[]", "--param", "text=[not a list")
    assert said_json(capsys, either, root, *given)[0] == [{"n": 2}]
    assert "Expected NAME=VALUE" in said(capsys, "sql", sql, "--root", root, "--param", "agent", code=1)[1]
    assert "`$least`" in said(capsys, "sql", sql, "--root", root, "--param", "agent=a", code=1)[1]
    assert "`other`" in said(capsys, "sql", "SELECT 1", "--root", root, "--param", "other=a", code=1)[1]


def test_ages_are_counted_back_from_now() -> None:
    """Seconds, minutes, hours, days, weeks."""
    now = datetime(2027, 1, 15, tzinfo=UTC)
    expected = {"90s": 90, "1.5m": 90, "1h": 3600, "7d": 7 * 86400, "2w": 14 * 86400}
    assert {text: (now - options.since(text, now=now)).total_seconds() for text in expected} == expected
    with pytest.raises(errors.QueryError):
        options.since("99999999999w", now=now)


@pytest.mark.parametrize("sql", ["DROP TABLE records", "SELECT nope FROM records", "SELECT * FROM '/etc/passwd'", "SELECT 1; SELECT 2", "SELECT ("])
def test_a_refused_statement_is_exit_1_and_one_clear_line(root: Path, capsys: pytest.CaptureFixture[str], sql: str) -> None:
    """Nothing on standard output, one line on standard error."""
    out, err = said(capsys, "sql", sql, "--root", root, "--format", "csv", code=1)
    assert out == ""
    assert err.startswith("massgen-tracing sql: ")
    assert err.count("\n") == 1


def test_a_root_that_does_not_exist_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: where runs are recorded, and how to make one."""
    for argv in (["sql", "SELECT 1"], ["logs", "list"], ["trace"]):
        out, err = said(capsys, *argv, "--root", tmp_path / "nowhere", code=1)
        assert out == ""
        assert 'start one with `massgen-tracing run "your question"`' in err


# --- logs --------------------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finished run shows its winner, a killed one that it was interrupted, one without a recording that it has none; times are this machine's."""
    otlp.write_run(root, "log_20270116_090000_000000", otlp.sample_lines("f" * 32)[:10])
    otlp.write_run(root, "log_20270117_100000_000000", [])
    out, err = said(capsys, "logs", "list", "--root", root)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "run when question agents duration outcome tokens cost"
    assert lines[2] == "log_20270117_100000_000000 2027-01-17 10:00 no recording"
    began = datetime.fromtimestamp(otlp.BASE_NS / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    assert lines[3].startswith(f"log_20270116_090000_000000 {began} 0 1.75s interrupted")
    assert lines[4] == f"log_20270115_080000_000000 {began} Which is the best? 2 5.00s agent_a won 2,200→370 ≥$0.0150"
    assert err == ""


def test_runs_for_programs_have_null_for_unknown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One array of objects with numbers as numbers."""
    (run,) = json.loads(said(capsys, "logs", "list", "--root", root, "--format", "json")[0])
    picked = ("run", "started", "state", "question", "agents", "seconds", "winner", "input_tokens", "cost_usd", "errors", "interrupted")
    assert [run[key] for key in picked] == [
        "log_20270115_080000_000000", "2027-01-15T08:00:00.000000Z", "ended", "Which is the best?", ["agent_a", "agent_b"], 5.0, "agent_a",
        2200, pytest.approx(0.015), 2, 0,
    ]  # fmt: skip


def test_only_the_runs_that_are_shown_are_read(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of one, one recording is opened, and the list says that there are more."""
    from massgen_tracing.store.roots.reader import Reader

    for day in range(16, 26):
        otlp.write_run(root, f"log_202701{day}_080000_000000")
    opened: list[Path] = []
    add_file = Reader.add_file
    monkeypatch.setattr(Reader, "add_file", lambda self, path: (opened.append(path), add_file(self, path))[1])  # type: ignore[func-returns-value]
    out, err = said(capsys, "logs", "list", "--root", root, "--limit", "1")
    assert len(opened) == 1
    assert "log_20270125" in out
    assert "the newest 1 of 11 runs; see more with --limit" in err


def test_no_runs_yet_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty root is not an error; the next step is named."""
    out, err = said(capsys, "logs", "--root", tmp_path)
    assert out == ""
    assert "there are no runs under" in err
    assert json.loads(said(capsys, "logs", "--root", tmp_path, "--format", "json")[0]) == []


# --- trace -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["nothing", "run name", "path", "file", "trace id", "first digits"])
def test_a_tree_is_drawn_of_whatever_names_it(root: Path, capsys: pytest.CaptureFixture[str], named: str) -> None:
    """The newest run, a run by name or path, a recording, a trace by its id or its first digits."""
    run = root / "massgen_logs" / "log_20270115_080000_000000"
    file = run / "turn_1" / "attempt_1" / "trace.otlp.jsonl"
    argument = {"nothing": [], "run name": [run.name], "path": [str(run)], "file": [str(file)], "trace id": [otlp.TRACE], "first digits": ["0af7651"]}
    out, err = said(capsys, "trace", *argument[named], "--root", root)
    assert "└── agent.agent_a.presentation" in out
    assert "★ agent_a (agent1.1) won" in out
    assert err == ""


def test_a_file_of_another_writer_can_be_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--root` takes one OTLP/JSON-lines file, whoever wrote it."""
    path = otlp.write(tmp_path / "collector.json", [otlp.line(otlp.span(1, "GET /"), otlp.span(2, "query", parent=1))])
    assert "└── query" in said(capsys, "trace", "--root", path)[0]
    assert "└── query" in said(capsys, "trace", otlp.TRACE[:8], "--root", path)[0]


def test_a_cut_tree_says_how_much_is_missing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --depth only the upper levels are drawn, and the rest is counted."""
    out, err = said(capsys, "trace", "--root", root, "--depth", "1")
    assert "llm.openrouter.stream" not in out
    assert "10 spans more that --depth or --limit leaves out" in err


def test_a_run_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object: what the run came to, its rounds, and its spans, parents first, with what each says that is worth knowing."""
    out, err = said(capsys, "trace", "--root", root, "--format", "json")
    run = json.loads(out)
    assert err == ""
    assert (run["question"], run["state"], run["winner"], run["agents"]) == ("Which is the best?", "ended", "agent_a", ["agent_a", "agent_b"])
    assert run["trace_ids"] == [otlp.TRACE]
    first = run["rounds"][0]
    assert (first["agent_id"], first["round"], first["outcome"], first["label"], first["usage"]["cost"]) == (
        "agent_a",
        0,
        "answer",
        "agent1.1",
        0.0125,
    )
    spans = run["spans"]
    assert (len(spans), run["spans_left_out"]) == (len(otlp.sample_spans()), 0)
    assert (spans[0]["name"], spans[0]["depth"], spans[0]["start"], spans[0]["seconds"]) == ("coordination.session", 0, 0, 5)
    places = {span["span_id"]: number for number, span in enumerate(spans)}
    for number, span in enumerate(spans[1:], 1):
        assert places[span["parent_span_id"]] < number
        assert span["depth"] == spans[places[span["parent_span_id"]]]["depth"] + 1
    [failed] = [span for span in spans if span.get("kind") == "tool" and "error" in span]
    assert "no such file" in failed["error"]
    assert {span["model"] for span in spans if span.get("kind") == "model"} == {"gpt-5-nano"}
    assert (run["tool_calls"], run["errors"]) == (1, 2)


def test_only_errors(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What failed and what it is in, drawn or as JSON; where nothing has, that is said."""
    run = json.loads(said(capsys, "trace", "--root", root, "--format", "json", "--only", "errors")[0])
    assert [span for span in run["spans"] if span["depth"] == 2][-1]["error"]
    assert len(run["spans"]) < len(otlp.sample_spans())
    parents = {span["parent_span_id"] for span in run["spans"][1:]}
    assert all("error" in span for span in run["spans"] if span["span_id"] not in parents)
    drawn = said(capsys, "trace", "--root", root, "--only", "errors")[0]
    assert "presentation" not in drawn
    assert "no such file" in drawn
    path = otlp.write(root / "fine.json", [otlp.line(otlp.span(1, "GET /"))])
    out, err = said(capsys, "trace", path, "--only", "errors")
    assert "GET /" not in out
    assert "no span has failed" in err
    stormy = Play()
    FAULTS["retry_storm"].plant(stormy)
    err = said(capsys, "trace", record(root, "log_20270120_080000_000000", stormy), "--only", "errors")[1]
    assert "12 spans failed; of them the totals count 6, each error once, where it began" in err


def test_json_is_bounded_and_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand spans unless --limit says otherwise, those of the upper levels; deep trees and long texts are no danger."""
    deep = [otlp.line(otlp.span(number, "x" * 5000, parent=number - 1)) for number in range(1, 1502)]
    path = otlp.write(tmp_path / "deep.json", deep)
    out, err = said(capsys, "trace", path, "--format", "json")
    run = json.loads(out)
    assert [span["depth"] for span in run["spans"]] == list(range(1000))
    assert run["spans_left_out"] == 501
    assert all(len(span["name"]) == 300 for span in run["spans"])
    assert "501 spans more; see more with a larger --limit" in err
    few = json.loads(said(capsys, "trace", path, "--format", "json", "--limit", "2", "--depth", "9")[0])
    assert (len(few["spans"]), few["spans_left_out"]) == (2, 1499)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("ffffffff", "has a trace ffffffff. See the traces there are: massgen-tracing sql"),
        ("my run", "no run or recording named my run. Expected a run's directory, a recording, or at least 6 digits of a trace id"),
    ],
)
def test_an_unknown_trace_says_what_to_do(root: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str) -> None:
    """Not a traceback, but where to look."""
    assert message in said(capsys, "trace", argument, "--root", root, code=1)[1]


def test_a_recording_without_spans_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty file and a file of something else are told apart."""
    empty = otlp.write(tmp_path / "empty.otlp.jsonl", [])
    other = otlp.write(tmp_path / "other.otlp.jsonl", [b"not spans\n"])
    assert "found nothing at all in it" in said(capsys, "trace", empty, code=1)[1]
    assert "line 1: not a line of OTLP/JSON" in said(capsys, "trace", other, code=1)[1]


def test_the_commands_work_as_a_program(root: Path) -> None:
    """Started as a process, in a pipe, with nothing but the reading half."""
    code = """import sys
from massgen_tracing.views.cli import main
main(sys.argv[1:])
print(sorted({name.split('.')[0] for name in sys.modules} & {'opentelemetry', 'logfire', 'openai', 'mcp'}), file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code, "trace", "--root", root], capture_output=True, text=True, check=True)
    assert "coordination.session" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr.strip() == "[]"


# --- compact -----------------------------------------------------------------------------------------------------------------------


def test_compact_seals_every_ended_run_and_says_what_it_saved(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many, bytes before and after; a second time there is nothing to do, and every command reads what it read before."""
    before = [said(capsys, *command, "--root", root)[0] for command in (("logs", "list", "--format", "json"), ("trace",))]
    out, err = said(capsys, "compact", "--root", root)
    assert re.fullmatch(r"sealed 1 recording: [\d,]+ bytes before, [\d,]+ after\n", out)
    assert err == ""
    assert [path.name for path in root.rglob("trace*")] == ["trace.parquet"]
    assert said(capsys, "compact", "--root", root) == ("sealed 0 recordings: there was nothing to seal\n", "")
    assert [said(capsys, *command, "--root", root)[0] for command in (("logs", "list", "--format", "json"), ("trace",))] == before


def test_compact_leaves_what_is_still_written_and_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that goes on is no error."""
    (path,) = root.rglob("*.otlp.jsonl")
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_SH)
        out, err = said(capsys, "compact", "--root", root)
    assert out.startswith("sealed 0 recordings")
    assert "its writer still runs" in err
    assert path.exists()


def test_compact_goes_on_after_a_file_that_fails(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are sealed; the exit code is 1."""
    otlp.write_run(root, "log_20270116_080000_000000", otlp.sample_lines("f" * 32))
    real = seal.seal

    def failing(path: Path) -> seal.Outcome:
        if "20270115" in str(path):
            raise errors.RecordingError("The disk is full")
        return real(path)

    monkeypatch.setattr(seal, "seal", failing)
    out, err = said(capsys, "compact", "--root", root, code=1)
    assert out.startswith("sealed 1 recording:")
    assert "The disk is full" in err


def test_queries_of_the_dashboards_are_asked_by_name(root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`[TRACE_ID]` is filled with the trace of a run, of its directory's path, of the first digits of an id; in a statement of one's own too."""
    [run] = catalogue.runs(root)
    for trace in (run.run_id, str(run.log_dir), otlp.TRACE[:8], otlp.TRACE):
        out, _ = said(capsys, "sql", "--query", "slow_tools", "--trace", trace, "--root", root, "--format", "json")
        assert [row["span_name"] for row in json.loads(out)] == ["mcp.filesystem.write_file"]
    own = "SELECT count(*) AS n FROM records WHERE trace_id = '[TRACE_ID]'"
    out, _ = said(capsys, "sql", own, "--trace", otlp.TRACE[:8], "--root", root, "--format", "json")
    assert json.loads(out)[0]["n"] > 10


def test_a_query_without_its_trace_and_a_wrong_name_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rather than answered with no rows: the message says what is missing, and which queries there are."""
    assert (
        "The query slow_tools is about one trace. Expected --trace RUN beside it"
        in said(capsys, "sql", "--query", "slow_tools", "--root", root, code=1)[1]
    )
    assert "--param 'resolution=1 minute'" in said(capsys, "sql", "--query", "cost_over_time", "--root", root, code=1)[1]
    assert "no place for a trace" in said(capsys, "sql", "SELECT 1", "--trace", otlp.TRACE, "--root", root, code=1)[1]
    err = said(capsys, "sql", "--query", "slow_tool", "--root", root, code=1)[1]
    assert "Did you mean slow_tools?" in err
    assert "wasted_work" in err
    assert "has a trace abcdef12" in said(capsys, "sql", "--query", "slow_tools", "--trace", "abcdef12", "--root", root, code=1)[1]
    assert "one of them only" in said(capsys, "sql", "SELECT 1", "--query", "slow_tools", "--root", root, code=1)[1]


def test_work_outside_of_runs_is_drawn_where_there_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest recording of it; as soon as there is a run, that is what is meant."""
    (tmp_path / "traces").mkdir()
    for place, name in enumerate(("older", "newer")):
        path = tmp_path / "traces" / f"trace_20270115_08000{place}_000000_{place}.otlp.jsonl"
        path.write_bytes(otlp.line(otlp.span(place + 1, name)))
        os.utime(path, (place, place))
    out, _ = said(capsys, "trace", "--root", tmp_path)
    assert "newer" in out
    assert "older" not in out
    otlp.write_run(tmp_path)
    assert "coordination.session" in said(capsys, "trace", "--root", tmp_path)[0]


def test_where_nothing_is_recorded_there_is_nothing_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said with the command that records something."""
    (tmp_path / "traces").mkdir()
    assert "no recorded runs" in said(capsys, "trace", "--root", tmp_path, code=1)[1]


def test_a_summary_is_one_screen(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sample run cost, threw away, and what failed, within 80 columns; what there is none of is not there."""
    monkeypatch.setenv("COLUMNS", "80")
    out, err = said(capsys, "summary", "--root", root)
    assert err == ""
    assert len(out.splitlines()) < 40
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "★ agent_a (agent1.1) won" in out
    assert re.search(r"^agent_a +gpt-5-nano +2 ", out, re.MULTILINE)
    assert re.search(r"^agent_b round 0 +error: connection lost +3\.00s", out, re.MULTILINE)
    assert re.search(r"^mcp__filesystem__write_file +1 +1 ", out, re.MULTILINE) or re.search(r"^write_file +1 +1 ", out, re.MULTILINE)
    assert "Nothing went on" not in out
    assert said(capsys, "summary", otlp.TRACE[:8], "--root", root)[0] == out.replace("log_20270115_080000_000000", f"trace {otlp.TRACE[:8]}")


def test_a_summary_as_json_has_everything(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The totals that `trace --format json` has, and all rows of the tables."""
    found = json.loads(said(capsys, "summary", "--root", root, "--format", "json")[0])
    run = json.loads(said(capsys, "trace", "--root", root, "--format", "json")[0])
    assert {key: value for key, value in run.items() if key in found} == {key: value for key, value in found.items() if key in run}
    assert sum(each["calls"] for each in found["used"]) == run["model_calls"]
    assert [each["outcome"] for each in found["wasted"]] == ["error"]
    assert len(found["failures"]) == run["errors"]


def test_the_command_alone_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command with a line, as --help does; nothing was started."""
    err = said(capsys, code=1)[1]
    assert all(f"\n    {command} " in err for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "prog", "told"),
    [
        (["watch", "--unti", "done", "pid:1"], "watch", "--unti; did you mean --until?"),
        (["sql", "--quer=x"], "sql", "--quer=x; did you mean --query?"),
        (["logs", "compare", "a", "b", "--form", "json"], "logs compare", "--form json; did you mean --format?"),
        (["--vers", "sql", "x"], "sql", "--vers"),
    ],
)
def test_half_the_name_of_an_option_is_none(capsys: pytest.CaptureFixture[str], words: list[str], prog: str, told: str) -> None:
    """Not even where it could be one only; the option that may be meant is named."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 1
    assert f"massgen-tracing {prog}: unrecognized arguments: {told}\n" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_told_with_the_usage_of_its_command(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Exit code 1: nothing was started."""
    with pytest.raises(SystemExit) as stopped:
        main([command, "--bogus"])
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (1, "")
    assert err.startswith(f"usage: massgen-tracing {command} ")
    assert f"massgen-tracing {command}: unrecognized arguments: --bogus" in err


@pytest.mark.parametrize(
    ("sql", "notes"),
    [
        ("SELECT span_name FROM records WHERE attributes->>'massgen.agentid' = 'a'", ["massgen.agentid; did you mean massgen.agent_id?"]),
        ("SELECT json_get_str(attributes, 'zzz') AS z FROM records", ["zzz"]),
        (
            "SELECT attributes->>'gen_ai.request.modle' AS m, attributes ->> 'massgen.agent_id' AS a FROM records",
            ["gen_ai.request.modle; did you mean gen_ai.request.model?"],
        ),
        ("SELECT span_name FROM records WHERE attributes->>'massgen.agent_id' = 'nobody'", []),
        ("SELECT span_name FROM records WHERE attributes ? 'massgen.agent_id'", []),
        ("SELECT otel_resource_attributes->>'service.nmae' AS n FROM records", ["service.nmae"]),
        ("SELECT attributes->>'gen_ai.usage.cache_read.input_tokens' AS n FROM records", ["gen_ai.usage.cache_read.input_tokens"]),
        (
            "SELECT attributes->>'massgen.agentid' AS a, attributes->>'massgen.agent_id' AS b FROM records WHERE span_name = 'x'",
            ["massgen.agentid; did you mean massgen.agent_ids?"],
        ),
    ],
)
def test_a_key_that_no_span_has_is_named(root: Path, capsys: pytest.CaptureFixture[str], sql: str, notes: list[str]) -> None:
    """Beside an answer that has nothing where the key is asked for; the rows are printed as always."""
    _, err = said(capsys, "sql", sql, "--root", root)
    assert err.splitlines() == [f"massgen-tracing sql: no span has the attribute {note}" for note in notes]


@pytest.mark.parametrize("words", [["trace"], ["logs", "list"], ["sql", "SELECT * FROM records"], ["summary"], ["export"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """As `head` does: nothing is said of it, and the exit code is 0."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert main([*words, "--root", str(root)]) == 0
        monkeypatch.undo()
    assert "roken" not in capfd.readouterr().err


def test_a_hint_never_suggests_what_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no span has any attribute, the documented keys are all that can be meant, and this is one of them."""
    sql = "SELECT attributes->>'gen_ai.usage.input_tokens' AS n FROM records"
    told = said(capsys, "sql", sql, "--root", tmp_path)[1].splitlines()
    assert told[-1] == "massgen-tracing sql: no span has the attribute gen_ai.usage.input_tokens"


def test_queries_of_the_package_have_no_hints_about_their_own_keys(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They ask for keys that only some runs have."""
    assert said(capsys, "sql", "--query", "coding_agents", "--root", root)[1] == ""


@pytest.mark.parametrize(
    ("argv", "kind", "part"),
    [
        (["sql", "--format", "json", "DELETE FROM records"], "QueryError", "one SELECT"),
        (["sql", "--format", "jsonl", "--param", "x", "SELECT 1"], "QueryError", "NAME=VALUE"),
        (["trace", "--format", "json", "ffffffff"], "RecordingError", "ffffffff"),
        (["summary", "--format", "json", "my run"], "RecordingError", "my run"),
        (["logs", "--format", "json", "--limit", "0"], "QueryError", "--limit"),
    ],
)
def test_programs_are_told_of_errors_in_json(root: Path, capsys: pytest.CaptureFixture[str], argv: list[str], kind: str, part: str) -> None:
    """One line on stderr, with the parts that the message is made of; nothing on stdout, and the exit code as always."""
    out, err = said(capsys, *argv, "--root", root, code=1)
    assert out == ""
    [line] = err.splitlines()
    error = json.loads(line)["error"]
    assert set(error) == {"type", "message", "problem", "expected", "got", "hint", "exit_code"}
    assert (error["type"], error["exit_code"]) == (kind, 1)
    assert part in error["message"]
    assert error["problem"].rstrip(".") in error["message"]


def test_expanded_columns_are_objects(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --expand only, and only of columns that hold JSON as text; a name given to something else changes nothing."""
    sql = "SELECT attributes, otel_resource_attributes, span_name, 'no {json' AS otel_links FROM records WHERE span_name = 'coordination.session'"
    for form in ("json", "jsonl"):
        plain, expanded = (said(capsys, "sql", "--format", form, *more, sql, "--root", root)[0] for more in ((), ("--expand",)))
        (before, after) = (json.loads(out) if form == "jsonl" else json.loads(out)[0] for out in (plain, expanded))
        assert after["attributes"]["massgen.agent_ids"] == ["agent_a", "agent_b"]
        assert {**after, **{name: json.loads(before[name]) for name in ("attributes", "otel_resource_attributes")}} == after
        assert (before["span_name"], before["otel_links"]) == (after["span_name"], after["otel_links"])
    assert "--format json or jsonl beside it" in said(capsys, "sql", "--expand", sql, "--root", root, code=1)[1]


def test_an_empty_name_is_no_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As of a variable of the shell that is not set."""
    for command in ("trace", "summary", "export"):
        assert "TRACE is empty" in said(capsys, command, "", "--root", root, code=1)[1]


def test_what_is_deeper_than_the_width_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line that is drawn has a name and a duration; the rest is counted."""
    monkeypatch.setenv("COLUMNS", "80")
    path = otlp.write(tmp_path / "deep.json", [otlp.line(otlp.span(number, f"s{number}", parent=number - 1, end_ms=10)) for number in range(1, 301)])
    out, err = said(capsys, "trace", path)
    drawn = [line for line in out.splitlines() if re.search(r"s\d+ ", line)]
    assert all(re.search(r"10ms$", line) for line in drawn)
    assert f"{300 - len(drawn)} spans more that 80 columns have no room for" in err
    assert len(drawn) > 8


def test_rounds_in_json_are_bounded_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the same limit, and how many more there are is said."""
    rounds = [otlp.span(number, f"agent.a.round_{number}", attributes={"massgen.agent_id": "a", "massgen.round": number}) for number in range(1, 31)]
    path = otlp.write(tmp_path / "many.json", [otlp.line(each) for each in rounds])
    found = json.loads(said(capsys, "trace", path, "--format", "json", "--limit", "10")[0])
    assert (len(found["rounds"]), found["rounds_left_out"], len(found["spans"]), found["spans_left_out"]) == (10, 20, 10, 20)
