"""The report on a run: its sections, what they say, that none of it is taken for markup, and that a reader can repeat it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing import store
from massgen_tracing.insight.analysis import Analysis
from massgen_tracing.insight.findings import KINDS
from massgen_tracing.thresholds import Thresholds
from massgen_tracing.views import dashboards
from massgen_tracing.views.report import analysed, build, facts, judgement, markdown, page, prompt
from massgen_tracing.views.report.subject import Subject
from tests.insight.planted import FAULTS, TEXTS, Play, play, record
from tests.store import otlp

RUN = "log_20270115_080000_000000"
NOW = datetime(2027, 1, 16, tzinfo=UTC)
TITLES = [
    "Executive Summary", "Session Overview", "1. Correctness Analysis", "2. Efficiency Analysis", "3. Command Pattern Analysis",
    "4. Work Duplication Analysis", "5. Agent Behavior Analysis", "6. Cost & Token Analysis", "7. Errors & Issues", "Agent Reasoning & Behavior",
    "Tool Reliability", "Enforcement & Workflow Reliability", "8. Recommendations", "9. Suggested Linear Issues", "Appendix",
]  # fmt: skip
BELOW = [
    "Coordination Flow", "Status", "Issues Found", "Phase Duration Breakdown", "Top Bottlenecks", "Frequently Repeated Commands",
    "Commands with Excessive Output", "Slowest Command Patterns", "Duplicated Work Found", "Specific Examples", "Recommendations",
    "Answer Progression", "Voting Analysis", "Vote vs New Answer Decisions", "Agent Collaboration Quality", "Timeouts/Incomplete Rounds",
    "Cost Breakdown", "Cache Efficiency", "Tool Cost Impact", "Exceptions", "Failed Tool Calls", "Agent Errors", "Timeouts",
    "High Priority", "Medium Priority", "Low Priority / Future Improvements", "Configuration Used", "Files Generated",
]  # fmt: skip
JUDGING = re.compile(r"correctly|correct answer|right answer|wrong answer|solved|the truth is", re.IGNORECASE)
"""What a report must not say of an answer; nobody has checked one."""

HOSTILE = "<script>alert(1)</script> | `x` [a](http://evil.example) <img src=x onerror=y> \x1b[31m \u202e &lt; **b** \n# head\n| row |"


def schema(name: str) -> Any:
    """A schema that comes with the package."""
    return json.loads(resources.files("massgen_tracing.views").joinpath(f"schemas/{name}.schema.json").read_bytes())


def subject_of(root: Path, wanted: str | None = None, turn: int | None = None) -> Subject:
    return analysed.subject(analysed.find(str(root), wanted, turn), now=NOW)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all faults at once."""
    place = tmp_path_factory.mktemp("report")
    made = Play()
    for fault in FAULTS.values():
        fault.plant(made)
    record(place, RUN, made)
    return place


@pytest.fixture(scope="module")
def subject(root: Path) -> Subject:
    return subject_of(root)


@pytest.fixture(scope="module")
def written(subject: Subject) -> str:
    return markdown.render(build(subject))


def test_all_sections_are_there_in_their_order(written: str) -> None:
    """Those of MassGen's template, with their titles, and the standard questions after them."""
    assert re.findall("^## (.+)$", written, re.MULTILINE) == TITLES
    below = re.findall("^### (.+)$", written, re.MULTILINE)
    assert [title for title in below if title in BELOW] == [title for title in BELOW if title in below]
    assert set(BELOW) <= set(below)
    assert written.startswith("# MassGen Log Analysis Report\n")
    assert f"**Session:** {RUN}, turn 1" in written


def test_nothing_is_said_of_whether_an_answer_is_so(written: str, subject: Subject) -> None:
    """In no section, also not by the recommendations; the words for what agents did are neutral."""
    assert not JUDGING.search(written)
    assert not JUDGING.search(prompt.render(subject).replace("ground truth", "").replace(prompt.NEUTRAL, ""))
    assert "submitted agent1.1" in written


def test_what_it_says_is_what_was_played(written: str) -> None:
    """Totals, answers, votes, causes: counted by hand."""
    for row in ("| Agents | a, b, c |", "| Total Answers | 4 |", "| Winner | none |", "| Total Votes | 3 (3 stood at the end) |"):
        assert row in written
    assert "no winner is recorded" in written
    assert "first cause: Tool execution: mcp__box__break: RuntimeError: the box is broken" in written
    assert 'b round 1: mcp__box__save {"as": "x"} gave \'Error: the disk is full\'' in written
    assert "Agent vote: c" in written


def test_every_finding_is_in_it_and_proposed(written: str, subject: Subject) -> None:
    """With its recommendation, and as an issue with labels."""
    found = {each.code for each in subject.analysis.findings}
    assert found == set(KINDS)
    tail = written[written.index("## 8. Recommendations") :]
    for code in found:
        assert KINDS[code].recommendation in tail
        assert f"log-analysis, {KINDS[code].area}" in tail


def test_the_same_run_gives_the_same_report(root: Path, written: str) -> None:
    """Byte for byte but for when it was made."""
    assert markdown.render(build(subject_of(root))) == written


def test_every_statement_that_it_shows_can_be_asked(root: Path, written: str) -> None:
    """And answers."""
    commands = re.findall(r"^    massgen-tracing sql --root \S+ (.+)$", written, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        if command.startswith("--query"):
            _, name, _, trace = command.split()
            statement = dashboards.statement(name).replace(dashboards.TRACE, trace)
        else:
            statement = command.strip('"')
        store.query(statement, root)
    evidence = next(command.strip('"') for command in commands if "span_id IN" in command)
    assert len(store.query(evidence, root).rows) > 10


def test_the_facts_as_data_are_as_their_schema_says(subject: Subject) -> None:
    """All of them; and each finding has evidence and the statement that shows it."""
    document = json.loads(json.dumps(facts.document(subject), allow_nan=False))
    jsonschema.validate(document, schema("analysis"))
    assert {each["code"] for each in document["findings"]} == set(KINDS)
    assert all(each["evidence"] and each["sql"] for each in document["findings"])


@pytest.mark.parametrize("spans", [
    [otlp.span(1, "GET /", end_ms=20), otlp.span(2, "db", parent=1, start_ms=5, end_ms=30)],
    [otlp.span(1, "coordination.session", end_ms=20)],
    [otlp.pending(1, "coordination.session"), otlp.pending(2, "agent.a.round_0", parent=1)],
    otlp.sample_spans(),
], ids=["others", "bare session", "killed", "sample"])  # fmt: skip
def test_a_recording_of_anything_has_a_report(spans: list[dict[str, Any]], tmp_path: Path) -> None:
    """What is not known is said to be; the data obeys the schema, the page is written."""
    path = tmp_path / "some.jsonl"
    path.write_bytes(otlp.line(*spans))
    subject = subject_of(tmp_path, str(path))
    made = build(subject)
    assert re.findall("^## (.+)$", markdown.render(made), re.MULTILINE) == TITLES
    assert page.render(made)
    jsonschema.validate(json.loads(json.dumps(facts.document(subject), allow_nan=False)), schema("analysis"))


def test_of_a_run_without_faults_it_says_that_there_are_no_findings(tmp_path: Path) -> None:
    """And everything else."""
    record(tmp_path, RUN, Play())
    said = markdown.render(build(subject_of(tmp_path)))
    assert "There are no findings." in said
    assert "- [ ]" not in said
    assert "a was chosen with agent1.1 by 2 of 3 votes that counted, and a final answer was submitted" in said
    assert "| Total Cost | $0.0700 |" in said


class _Page(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.style = ""
        self._last = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        self._last = tag

    def handle_data(self, data: str) -> None:
        if self._last == "style":
            self.style += data
            self._last = ""


def test_the_page_is_one_file_that_asks_nobody(subject: Subject) -> None:
    """No script, no address but places on the page; its policy allows its own style and nothing else; the same sections, with pictures."""
    html = page.render(build(subject))
    parsed = _Page()
    parsed.feed(html)
    assert not parsed.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "input"}
    assert all(value.startswith("#") for name, value in parsed.attributes if name in {"href", "src", "action"})
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "style"]
    digest = base64.b64encode(hashlib.sha256(parsed.style.encode()).digest()).decode()
    assert ("content", f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'") in parsed.attributes
    assert re.findall("<h2[^>]*>(.+?)</h2>", html) == [title.replace("&", "&amp;") for title in TITLES]
    assert html.count("<svg") >= 5
    assert "url(" not in parsed.style
    assert "@import" not in parsed.style


def test_nothing_that_spans_say_is_markup(tmp_path: Path) -> None:
    """Neither on the page nor in Markdown: not in questions, answers, reasons, arguments and names."""
    made = Play(question=HOSTILE, texts={agent: f"{HOSTILE} {said}" for agent, said in TEXTS.items()})
    for fault in FAULTS.values():
        fault.plant(made)
    made.texts = {agent: f"{HOSTILE} {said}" for agent, said in made.texts.items()}
    made.early.setdefault("a", []).append(lambda stage, rnd: rnd.tool_call(HOSTILE, {HOSTILE: HOSTILE}).start().end())
    record(tmp_path, RUN, made)
    report = build(subject_of(tmp_path))
    html, parsed = page.render(report), _Page()
    parsed.feed(html)
    assert not parsed.tags & {"script", "img", "b"}
    assert "\x1b" not in html
    assert "\u202e" not in html
    said = markdown.render(report)
    assert "\x1b" not in said
    assert not re.search(r"(?<!\\)<", said)
    assert not re.search(r"(?<!\\)\]\(", said)
    widths = {len(re.findall(r"(?<!\\)\|", row)) for block in re.findall(r"(?:^\|.*\n)+", said, re.MULTILINE) for row in [*block.splitlines()]}
    for block in re.findall(r"(?:^\|.*\n)+", said, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1, block
    assert widths


@given(st.text(max_size=60))
def test_any_text_stands_for_itself_in_markdown(said: str) -> None:
    """In one line, without a mark that is not escaped."""
    plain = markdown.plain(said)
    assert "\n" not in plain
    assert not re.search(r"(?<!\\)(?:\\\\)*[<|\[\]*]", plain)


def test_several_turns_have_a_report_each(tmp_path: Path) -> None:
    """The last one, unless another is named; what is not there is said, with what is."""
    record(tmp_path, RUN, Play())
    second = Play(question="And which tunnel?")
    FAULTS["wasted_round"].plant(second)
    record(tmp_path, RUN, second, turn=2, attempt=1)
    record(tmp_path, RUN, second, turn=2, attempt=2)
    last, first = subject_of(tmp_path), subject_of(tmp_path, RUN, 1)
    assert (last.turn, last.attempts, last.analysis.summary.question) == (2, 2, "And which tunnel?")
    assert (first.turn, first.attempts, first.analysis.findings) == (1, 1, [])
    assert subject_of(tmp_path, str(tmp_path / "massgen_logs" / RUN / "turn_1")).turn == 1
    with pytest.raises(Exception, match="one of 1, 2"):
        subject_of(tmp_path, RUN, 3)


def test_a_run_stands_out_among_earlier_ones_of_its_configuration(tmp_path: Path) -> None:
    """Of the same agents with the same models only; three have a spread."""
    for day in range(1, 5):
        record(tmp_path, f"log_2027011{day}_080000_000000", Play(), begin=1_799_000_000_000_000_000 + day)
    dear = Play(usage={agent: {"cost": 0.1, "input": 40_000, "cached_input": 20_000} for agent in "abc"})
    record(tmp_path, RUN, dear)
    subject = subject_of(tmp_path)
    assert len(subject.analysis.earlier) == 4
    assert {(each.code, each.agents) for each in subject.analysis.findings} == {("cost_outlier", ()), ("token_outlier", ())}


def test_numbers_that_were_not_computed_are_marked() -> None:
    """Those that were stand as they are, rounded, with commas, or in percent; so do labels and numbers of lists."""
    document = {"facts": {"seconds": 12.345, "tokens": 41012, "share": 0.256, "agents": ["a", "b", "c"]}, "findings": []}
    [_, section] = judgement.sections(
        {"efficiency": "1. It took 12.3 s and 41,012 tokens, 26%.\n2. agent1.1 of 3 agents wasted 77 s."}, document, "x"
    )
    assert [block.items for block in section.blocks if hasattr(block, "items")] == [
        ["It took 12.3 s and 41,012 tokens, 26%.", f"agent1.1 of 3 agents wasted 77 {judgement.MARK} s."]
    ]


def test_the_prompt_has_what_is_known_and_what_to_judge(subject: Subject) -> None:
    """The findings, the facts as JSON, the files, the questions, and how to look further."""
    said = prompt.render(subject)
    told = re.search(r"```json\n(.*?)\n```", said, re.DOTALL)
    assert told is not None
    assert json.loads(told[1])["agents"] == ["a", "b", "c"]
    assert all(question in said for question in prompt.QUESTIONS)
    assert all(code in said for code in KINDS)
    assert "turn_1/attempt_1/trace.otlp.jsonl" in said
    assert f"--query NAME --trace {subject.trace_id}" in said


EVERYTHING = play(*FAULTS)
VALUES: st.SearchStrategy[Any] = st.sampled_from([
    None, True, -1, 2**63 - 1, 0.5, float("nan"), float("inf"), "", "\ud800", "x" * 3000, b"\xff", [], [1, None, "a"], {}, {"": [{}]}, "{", "[1",
    '{"success": []}', '["a", 1]', "agent1.1", "a", {"agents": [1, {"backend": 3}], "limits": []}, '[{"parts": [{"type": "text", "content": 7}]}]',
])  # fmt: skip
"""What another writer may have put in the place of anything."""


@settings(max_examples=25)
@given(st.integers(0, 2**32), VALUES, st.floats(0, 0.5))
def test_whatever_stands_in_the_places_of_a_run_has_findings_and_a_report(seed: int, value: Any, share: float) -> None:
    """Values of any kind, spans that are missing, that have not ended, or whose parents are others: as Markdown, as a page, as data, as a prompt."""
    dice = random.Random(seed)
    mangled = []
    for span in EVERYTHING:
        attributes = {key: value if dice.random() < share else kept for key, kept in span.attributes.items()}
        parent = dice.choice(EVERYTHING).span_id if dice.random() < share / 4 else span.parent_span_id
        end, state = (None, dice.choice(["open", "interrupted"])) if dice.random() < share / 4 else (span.end_ns, span.state)
        if dice.random() >= share / 8:
            mangled.append(replace(span, attributes=attributes, parent_span_id=parent, end_ns=end, state=state))  # type: ignore[arg-type]
    made = Subject("run", ".", None, None, 0, (), Analysis(mangled, Thresholds()), NOW)
    report = build(made)
    assert markdown.render(report).encode("utf-8", "backslashreplace")
    assert page.render(report)
    assert prompt.render(made)
    document = json.loads(json.dumps(facts.document(made), allow_nan=False))
    jsonschema.validate(document, schema("analysis"))
