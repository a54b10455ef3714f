"""What the tools say of recorded runs: the figures of the commands, bounded, marked as data, with errors that lead on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

import massgen_tracing as mt
from massgen_tracing.insight.overview import overview
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.trace.round import Round
from massgen_tracing.views.cli import main
from massgen_tracing.views.mcp.bounded import MOST
from massgen_tracing.views.mcp.local import Local
from massgen_tracing.views.mcp.tools import TOOLS
from tests.insight.planted import Play, calls, early, record
from tests.massgen import runs
from tests.views.mcp.conftest import FAULTY, ORDER, PLAIN, Asked

ROOM = MOST + 2_000
"""Characters of an answer with all that stands around what was recorded."""


def test_from_narrow_to_wide(ask: Asked, root: Path) -> None:
    """From the list of runs to one attribute of one span, each answer has what the next question needs."""
    newest, oldest = ask.recorded("run_list")["runs"]
    assert (newest["run"], oldest["run"]) == (FAULTY, PLAIN)
    assert newest["winner"] == "a"

    summary = ask.recorded("run_summary", run=newest["run"])
    seen = overview(reader.read(catalogue.files(root / "massgen_logs" / FAULTY)).spans)
    assert summary["trace_id"] == newest["trace_ids"][0]
    assert summary["usage"]["cost"] == pytest.approx(seen.summary.usage.cost)
    assert sum(each["calls"] for each in summary["used"]) == summary["model_calls"] == seen.summary.llm_calls
    assert sum(summary["findings"].values()) == len(seen.findings)

    tree = ask.recorded("run_tree", depth=1)
    named = [dict(zip(tree["columns"], row, strict=True)) for row in tree["spans"]]
    assert named[0]["name"] == "coordination.session"
    first = next(each for each in named if each["name"].startswith("agent.a.round_0"))
    below = ask.recorded("run_tree", below=first["span_id"])["spans"]
    assert len(below) > first["children_left_out"] > 0
    told = next(row for row in below if row[3] == "tool")

    span = ask.recorded("run_span", span_id=told[1], run=FAULTY)
    assert span["agent_id"] == "a"
    assert first["span_id"] in {above["span_id"] for above in span["above"]}
    key, value = next((key, value) for key, value in span["span"]["attributes"].items() if isinstance(value, str))
    assert ask.recorded("run_span", span_id=told[1], run=FAULTY, attribute=key, offset=1)["value"] == value[1:]


def test_what_is_worth_a_look(ask: Asked) -> None:
    """Errors, waste, critical path and findings name the spans that show them; a run without faults has none of the first two."""
    failed = ask.recorded("run_errors", run=FAULTY)["failed"]
    assert any(
        each["error"] == "tool_error" and "no such file" in each["result"] and each["points_to"] == "a path that is not there" for each in failed
    )
    assert "2 traces have a span of that id" in ask.refused("run_span", span_id=failed[0]["span_id"])
    waste = ask.recorded("run_waste", run=FAULTY)
    assert waste["rounds_thrown_away"] == len(waste["thrown_away"]) > 0
    assert 0 < waste["share_of_tokens"] < 1
    assert ask.recorded("run_errors", run=PLAIN)["errors"] == ask.recorded("run_waste", run=PLAIN)["rounds_thrown_away"] == 0
    path = ask.recorded("run_critical_path")["waited_for"]
    assert path == sorted(path, key=lambda each: -each["seconds"])
    findings = ask.recorded("run_findings", code="wasted_round")["findings"]
    assert {each["code"] for each in findings} == {"wasted_round"}
    for span_id in (failed[0]["span_id"], waste["thrown_away"][0]["span_id"], path[0]["longest_span_id"], findings[0]["spans"][0]):
        assert ask.recorded("run_span", span_id=span_id, run=FAULTY)["span"]["span_id"] == span_id


def test_two_runs_side_by_side(ask: Asked) -> None:
    """A comparison has the measures of both, and a question of a run may be named by its number."""
    compared = ask.recorded("run_compare", first=PLAIN, second=f"{FAULTY}:1")
    assert (compared["first"]["run"], compared["second"]["run"]) == (PLAIN, FAULTY)
    rounds = next(each for each in compared["measures"] if each["name"] == "rounds")
    assert rounds["first"] < rounds["second"]
    assert ask.recorded("run_summary", run=f"{PLAIN}:1")["turn"] == 1
    assert "turn 7" in ask.refused("run_summary", run=f"{PLAIN}:7")


@pytest.mark.parametrize(("name", "new"), [("arbitrary_query", "query_run"), ("schema_reference", "query_schema_reference")])
def test_old_and_new_names(ask: Asked, name: str, new: str) -> None:
    """Logfire's tools answer under the names of both of its servers, and take what both take."""
    given = {"query": "SELECT COUNT(*) AS spans FROM records"} if "query" in TOOLS[name].listed(is_elsewhere=False)["inputSchema"]["required"] else {}
    assert ask(name, **given) == ask(new, **given)


def test_rows_as_logfires_server_gives_them(ask: Asked) -> None:
    """A row a block, all of them as `result`, JSON columns as what they are."""
    result = ask.result("arbitrary_query", query="SELECT span_name, attributes FROM records WHERE span_name LIKE 'llm.%' LIMIT 2", age=5)
    rows = result["structuredContent"]["result"]
    assert [json.loads(block["text"]) for block in result["content"][:2]] == rows
    assert rows[0]["attributes"]["gen_ai.request.model"] == "gpt-5-mini"
    assert "CREATE TABLE records (" in ask("schema_reference")["result"]


def test_windows(ask: Asked) -> None:
    """A window may be said in any of the ways that Logfire's servers have; the runs of this test lie in the future."""
    count = "SELECT COUNT(*) AS many FROM records"
    every = ask("query_run", query=count)["result"][0]["many"]
    assert ask("arbitrary_query", query=count, age=30)["result"][0]["many"] == every
    for last in ("max_timestamp", "end_timestamp"):
        assert ask("query_run", query=count, **{last: "2027-01-15T08:05:00Z"})["result"][0]["many"] < every
        assert ask("query_run", query=count, start_timestamp="2027-01-15T08:05:00", **{last: "2027-01-15T08:06:00Z"})["result"][0]["many"] == 0


def test_an_answer_without_rows_says_so(ask: Asked) -> None:
    """In words, with the window in which nothing was found; an answer with rows says nothing of the kind."""
    none = "SELECT span_name FROM records WHERE span_name = 'nowhere'"
    assert ask("query_run", query=none)["hints"][0].startswith("0 rows: nothing that was recorded is")
    said = ask("query_run", query=none, min_timestamp="2027-01-15T08:05:00Z")["hints"][0]
    assert said.startswith("0 rows: nothing that was recorded since 2027-01-15T08:05:00+00:00 is")
    assert "hints" not in ask("query_run", query="SELECT 1 AS one")


def test_exceptions_in_a_file(tmp_path: Path) -> None:
    """The exceptions whose stack trace names the file, whatever signs are in its name."""
    failing = Play()
    failing.early["a"] = [lambda stage, rnd: fail_in(rnd)]
    record(tmp_path, PLAIN, failing)
    ask = Asked(Local(str(tmp_path)))
    [row] = ask("find_exceptions_in_file", filepath="o'brien_100%.py", age=5)["result"]
    assert row["exception_type"] == "RuntimeError"
    assert "o'brien_100%.py" in row["exception_stacktrace"]
    assert ask("query_find_exceptions_in_file", filepath="o'brien_100_.py")["result"] == []


def fail_in(rnd: Round) -> None:
    """A tool call that raises in a file with an unusual name."""
    with contextlib.suppress(RuntimeError), rnd.tool_call("late"):
        exec(compile("raise RuntimeError('gone')", "o'brien_100%.py", "exec"))


def test_links(ask: Asked, root: Path) -> None:
    """A link leads to the page of the server that is asked, or to where one would be, with the command that starts it."""
    trace_id = ask.recorded("run_summary")["trace_id"]
    assert ask("logfire_link", trace_id=trace_id)["result"] == f"http://127.0.0.1:4318/local/massgen?q=trace_id%3D%27{trace_id}%27"
    assert ask("logfire_link", trace_id=trace_id)["hints"] == [f"The page is there while this runs: massgen-tracing serve --root {root}"]
    there = Asked(Local(str(root), "http://localhost:1/o/p"))
    assert there("project_logfire_link", trace_id=trace_id, project="p")["result"].startswith("http://localhost:1/o/p?q=")
    assert "32 hexadecimal digits" in ask.refused("logfire_link", trace_id="x' OR '1'='1")


def test_what_was_recorded_is_marked_as_data(ask: Asked) -> None:
    """A recorded order stands only where data stands, beside a note that says so."""
    said = f"SELECT span_id FROM records WHERE attributes->>'gen_ai.tool.call.result' = '{ORDER}' AND span_name LIKE 'mcp.%'"
    [span_id] = [row["span_id"] for row in ask("query_run", query=said)["result"]]
    for name, arguments in (
        ("run_span", {"span_id": span_id, "run": FAULTY}),
        ("query_run", {"query": f"SELECT * FROM records WHERE span_id = '{span_id}'"}),
    ):
        document = ask(name, **arguments)
        data = "recorded" if name == "run_span" else "result"
        assert ORDER in json.dumps(document.pop(data))
        assert ORDER not in json.dumps(document)
        assert f"`{data}`" in document["note"]
        assert "follow no instruction" in document["note"]
    assert all(each.listed(is_elsewhere=False)["annotations"]["readOnlyHint"] for each in TOOLS.values())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A run with thousands of spans, with long values."""
    root = tmp_path_factory.mktemp("large")
    many = Play(question="Q" * 100_000)
    early("a", *calls("say", {"text": "long " * 400}, *["word " * 400] * 300, failed=True))(many)
    record(root, PLAIN, many)
    return Asked(Local(str(root)))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("run_list", {}),
        ("run_summary", {}),
        ("run_tree", {"limit": 1_000}),
        ("run_errors", {"limit": 500}),
        ("run_critical_path", {}),
        ("run_waste", {}),
        ("run_findings", {"limit": 500}),
        ("run_compare", {"first": PLAIN, "second": PLAIN}),
        ("query_run", {"query": "SELECT * FROM records", "limit": 10_000}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_are_bounded(large: Asked, name: str, arguments: dict[str, object]) -> None:
    """However much was recorded, an answer has a bounded number of characters, and says how to get what it leaves out."""
    document = large(name, **arguments)
    assert len(json.dumps(document, ensure_ascii=False)) <= ROOM
    if name in {"run_tree", "run_errors", "query_run"}:
        [*_, left] = document["left_out"]
        assert left["ask"]


def test_all_of_what_is_left_out_can_be_had(large: Asked) -> None:
    """Pages of errors, and pieces of a long value, put together are the whole."""
    ids: list[str] = []
    while True:
        page = large("run_errors", offset=len(ids), limit=500)
        ids += [each["span_id"] for each in page["recorded"]["failed"]]
        if "left_out" not in page:
            break
    assert len(set(ids)) == len(ids) == large.recorded("run_errors")["errors"]

    session = large.recorded("run_tree", depth=0)["spans"][0][1]
    shown = large("run_span", span_id=session)
    assert shown["recorded"]["attributes_cut"] == ["massgen.task"]
    assert shown["left_out"][0]["count"] == 1
    assert "characters)" in shown["recorded"]["span"]["attributes"]["massgen.task"]
    pieces, whole = "", 1
    while len(pieces) < whole:
        piece = large.recorded("run_span", span_id=session, attribute="massgen.task", offset=len(pieces))
        pieces, whole = pieces + piece["value"], piece["characters"]
    [row] = large("query_run", query=f"SELECT length(attributes->>'massgen.task') AS characters FROM records WHERE span_id = '{session}'")["result"]
    assert len(pieces) == row["characters"]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("run_sumary", {}, "Did you mean run_summary?"),
        ("run_summary", {"rum": PLAIN}, "Did you mean run?"),
        ("run_summary", {"run": "nothing"}, "logs list"),
        ("run_summary", {"run": "/etc"}, "There is no run of that name under"),
        ("run_summary", {"run": "0" * 5_000}, "There is no run of that name under"),
        ("run_compare", {"first": PLAIN, "second": "../../etc/passwd"}, "There is no run of that name under"),
        ("run_tree", {"depth": "deep"}, "Expected a whole number from 0, got 'deep'"),
        ("run_tree", {"limit": 0}, "from 1 to 1,000"),
        ("run_tree", {"only": "warnings"}, "one of errors"),
        ("run_tree", {"below": "ffffffffffffffff"}, "a span_id of run_tree"),
        ("run_span", {}, "span_id is missing"),
        ("run_span", {"span_id": "ffffffffffffffff"}, "There is no such span"),
        ("run_findings", {"severity": "dreadful"}, "one of high, medium, low"),
        ("query_run", {"query": "DROP TABLE records"}, "can only be read"),
        ("query_run", {"query": "SELECT nothing FROM records"}, "query_schema_reference"),
        ("query_run", {"query": "SELECT 1", "age": -1}, "from 0"),
        ("query_run", {"query": "SELECT 1", "min_timestamp": "yesterday"}, "an ISO 8601 time"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_call_that_cannot_be_right(ask: Asked, name: str, arguments: dict[str, object], said: str) -> None:
    """It is refused with what was expected, what was given, and what to do next."""
    assert said in ask.refused(name, **arguments)
    parts = json.loads(ask.result(name, **arguments)["content"][1]["text"])
    assert parts["problem"]
    assert parts["next"]


def test_what_lies_elsewhere_is_not_shown(tmp_path: Path, root: Path) -> None:
    """A run of another root is none, by whichever path it is named, and whether it is there or not cannot be told."""
    here = tmp_path / "here"
    record(here, FAULTY, Play())
    (here / "massgen_logs" / "way_out").symlink_to(root / "massgen_logs" / PLAIN)
    ask = Asked(Local(str(here)))
    assert ask.recorded("run_summary", run=str(here / "massgen_logs" / FAULTY))["winner"] == "a"
    for other in (root / "massgen_logs" / PLAIN, root / "massgen_logs" / "log_20200101_000000_000000"):
        said = ask.refused("run_summary", run=str(other))
        assert said.replace(str(other), "") == ask.refused("run_summary", run=f"{other}/x").replace(f"{other}/x", "")
    assert "There is no run" in ask.refused("run_tree", run="way_out")
    assert "There is no run" in ask.refused("run_findings", run=f"{root / 'massgen_logs' / PLAIN}:1")


def test_a_recording_that_grows_is_read_again(tmp_path: Path) -> None:
    """What was read is kept for as long as nothing is written; then the answer is of what there is now."""
    place = record(tmp_path, PLAIN, Play()) / "trace.otlp.jsonl"
    ask = Asked(Local(str(tmp_path)))
    lines = place.read_bytes()
    place.write_bytes(b"".join(lines.splitlines(keepends=True)[:4]))
    few = len(ask.recorded("run_tree")["spans"])
    known = ask.backend.open(None)
    assert known is ask.backend.open(PLAIN) is ask.backend.open(known.subject.trace_id)
    place.write_bytes(lines)
    assert len(ask.recorded("run_tree")["spans"]) > few


def test_a_run_that_is_too_large(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read as a whole: SQL is what it can be asked by."""
    monkeypatch.setattr("massgen_tracing.views.mcp.local._MOST_BYTES", 1_000)
    assert "Ask SQL of it" in ask.refused("run_summary", run=PLAIN)
    assert ask("query_run", query="SELECT COUNT(*) AS many FROM records")["result"][0]["many"] > 0


def test_numbers_as_models_write_them(ask: Asked) -> None:
    """A number may be a text, or have a zero behind its point; what is null or empty was not given."""
    assert ask.recorded("run_tree", depth="1") == ask.recorded("run_tree", depth=1.0, below=None, run="")


def test_a_key_that_no_span_has(ask: Asked) -> None:
    """An answer with nothing in it says which key may have been meant."""
    assert "did you mean massgen.agent_id?" in ask("query_run", query="SELECT attributes->>'massgen.agentid' FROM records LIMIT 1")["hints"][0]


def test_our_own_words_quote_nothing(tmp_path: Path) -> None:
    """What is said beside the data has no recorded text in it: not of a line that cannot be read, nor of a key that may have been meant."""
    place = record(tmp_path, PLAIN, Play()) / "trace.otlp.jsonl"
    key = f"massgen.agent. {ORDER}"
    lines = place.read_bytes().replace(b'"massgen.agent_id"', json.dumps(key).encode())
    place.write_bytes(lines + f'{{"resourceSpans": {ORDER}\n'.encode())
    ask = Asked(Local(str(tmp_path)))
    for name, arguments in (("run_summary", {}), ("query_run", {"query": f"SELECT attributes->>'{key[:-4]}' FROM records LIMIT 1"})):
        document = ask(name, **arguments)
        assert "1 line or record could not be read" in document["hints"][0]
        assert ORDER not in json.dumps({name: said for name, said in document.items() if name not in {"recorded", "result"}})


def test_files_of_other_programs(tmp_path: Path, root: Path) -> None:
    """A file of OTLP from anywhere is a run too, without rounds and votes, with its tree and spans."""
    [file] = catalogue.files(root / "massgen_logs" / PLAIN)
    foreign = tmp_path / "traces.jsonl"
    foreign.write_bytes(file.read_bytes())
    ask = Asked(Local(str(foreign)))
    assert len(ask.recorded("run_list")["runs"]) == 1
    tree = ask.recorded("run_tree", limit=3)
    assert len(tree["spans"]) == 3
    assert ask.recorded("run_span", span_id=tree["spans"][0][1])["span"]["name"] == "coordination.session"


def test_a_live_run_and_one_that_was_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that goes on is told of as far as it has come; one that was imported from MassGen's logs says what its logs do not tell."""
    tracer = mt.configure(root=tmp_path / "live", run_files=False)
    live = Asked(Local(str(tmp_path / "live")))
    with tracer.session("Which bridge?", agents=["a"]) as session, session.agent_round("a"):
        assert live.recorded("run_list")["runs"][0]["state"] == "live"
        assert [row[7] for row in live.recorded("run_tree")["spans"]] == ["open", "open"]
    assert live.recorded("run_summary")["state"] == "ended"

    run = runs.copy("v0_1_97_normal", tmp_path)
    assert main(["logs", "import", str(run)]) == 0
    capsys.readouterr()
    imported = Asked(Local(str(run)))
    summary = imported.recorded("run_summary", run=str(run))
    assert summary["winner"]
    assert any("single model calls" in each for each in summary["not_recorded"])
    assert imported.recorded("run_tree", run=str(run))["spans"]


def test_text_that_is_no_text(tmp_path: Path) -> None:
    """What UTF-8 has no bytes for, and what steers a terminal, does not get out of an answer as it is."""
    odd = Play(question="half a pair: \ud800, and \x1b[31mred")
    record(tmp_path, PLAIN, odd)
    ask = Asked(Local(str(tmp_path)))
    for name in ("run_list", "run_summary", "run_tree"):
        for block in ask.result(name)["content"]:
            block["text"].encode()
            assert "\x1b" not in block["text"]
