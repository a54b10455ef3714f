"""The JSON that the pages are made of: what it says of spans, what it refuses, and that nothing outside of the root is shown."""

from __future__ import annotations

import itertools
import json
import queue
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from massgen_tracing.serve import viewing
from massgen_tracing.store.reading.spans import identity
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal
from massgen_tracing.views import overview as overview_view
from massgen_tracing.views.report import analysed
from massgen_tracing.views.web import columns, conversation, encoded, search
from massgen_tracing.views.web.opened import Shelf
from tests.insight.planted import FAULTS, play
from tests.store import otlp
from tests.views.web.recorded import CONVENTIONS, FAULTY, FRAMEWORK, LONG, ORDINARY, SPOKEN, TURNS


@pytest.fixture(scope="module")
def client(root: Path) -> TestClient:
    """Asks as a page of the server does."""
    return TestClient(viewing.application(root), base_url="http://localhost:1234")


def test_the_runs_are_those_of_logs_list(client: TestClient) -> None:
    """The newest first; with a limit, whether there are more."""
    found = client.get("/api/runs").json()
    assert [run["run"] for run in found["runs"]][1:3] == [FAULTY, ORDINARY]
    assert found["more"] is False
    assert client.get("/api/runs?limit=2").json()["more"] is True


def test_the_arrays_have_every_span_once_and_parents_first(client: TestClient, root: Path) -> None:
    """Of one question; no bar of a row covers another one, and each stands below its parent in its lane."""
    said = client.get(f"/api/spans?run={FAULTY}").json()
    recorded = reader.read(catalogue.files(root / "massgen_logs" / FAULTY)).spans
    ids = [said["ids"][at : at + 16] for at in range(0, len(said["ids"]), 16)]
    assert sorted(ids) == sorted(span.span_id for span in recorded)
    assert all(parent < place for place, parent in enumerate(said["parent"]))
    assert [lane["name"] for lane in said["lanes"]] == ["coordination", "a", "b", "c"]
    assert_rows(said)


def assert_rows(said: dict[str, Any]) -> None:
    """No bar of a row covers another one."""
    event = said["kinds"].index("event")
    bars: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for place, start in enumerate(said["start"]):
        if said["kind"][place] != event:
            end = said["length"] if said["duration"][place] < 0 else start + said["duration"][place]
            bars.setdefault((said["lane"][place], said["row"][place]), []).append((start, end))
            parent = said["parent"][place]
            if parent >= 0 and said["lane"][parent] == said["lane"][place]:
                assert said["row"][place] > said["row"][parent]
    for row in bars.values():
        row.sort()
        assert all(one[1] <= other[0] + 1 for one, other in itertools.pairwise(row))


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_any_tree_of_spans_can_be_drawn(seed: int, many: int) -> None:
    """Whatever begins before its parent, has none, has not ended, or is of nobody."""
    rnd = random.Random(seed)
    names = ["agent.a.round_0", "llm.x.y", "coordination.session", "work", "Agent vote: a -> b"]
    spans: list[dict[str, Any]] = []
    for number in range(1, many + 1):
        start = rnd.randrange(1000)
        attributes = {"massgen.agent_id": rnd.choice("ab")} if rnd.random() < 0.4 else {}
        if rnd.random() < 0.2:
            spans.append(otlp.pending(number, rnd.choice(names), parent=rnd.randrange(many + 2), start_ms=start, attributes=attributes))
        else:
            end = start + rnd.randrange(300)
            spans.append(otlp.span(number, rnd.choice(names), parent=rnd.randrange(many + 2), start_ms=start, end_ms=end, attributes=attributes))
    collected = reader.Reader()
    collected.add_lines([otlp.line(*spans)], source="random")
    records = collected.recording().spans
    made, order = columns.of(records)
    assert sorted(map(identity, order)) == sorted(map(identity, records))
    assert_rows(json.loads(columns.encode(made, "1")))
    drawn = columns.drawn(map(columns.ASKED.of, records))
    assert drawn in (None, made)


@pytest.mark.parametrize("sealed", [False, True], ids=["live", "sealed"])
def test_a_run_is_drawn_before_it_is_read_in_full(root: Path, tmp_path: Path, sealed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arrays, from the live files and from sealed ones; and then all that its spans say, in the same places."""
    place = Path(shutil.copytree(root / "massgen_logs" / FAULTY, tmp_path / "massgen_logs" / FAULTY))
    expected, order = columns.of(reader.read(catalogue.files(place)).spans)
    if sealed:
        assert all(seal.seal(path).sealed for path in catalogue.files(place))
    shelf = Shelf(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(reader, "read", None)
        opened = shelf.open(FAULTY)
    assert opened.encoded == columns.encode(expected, opened.version)
    assert [span.key for span in opened.records] == [span.key for span in order]


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        (f"/run?run={TURNS}&turn=1", (TURNS, 1)),
        ("/run", (None, None)),
        (f"/local/massgen?q=trace_id%3D%27{FRAMEWORK}%27", (FRAMEWORK, None)),
        ("/sql", None),
        (f"/sql?run={TURNS}", None),
    ],
)  # fmt: skip
def test_the_run_that_a_page_will_ask_for_is_read_while_it_loads(
    root: Path, page: str, asked: tuple[str | None, int | None] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the browser has asked for the page's document."""
    opened: queue.SimpleQueue[tuple[str | None, int | None]] = queue.SimpleQueue()
    monkeypatch.setattr(Shelf, "open", lambda _, run, turn=None: opened.put((run, turn)))
    with TestClient(viewing.application(root), base_url="http://localhost:1234") as browser:
        assert browser.get(page).status_code == 200
        assert asked is None or opened.get() == asked
    assert opened.empty()


def test_a_page_that_has_the_spans_already_is_told_so(client: TestClient) -> None:
    """By the tag of the answer."""
    tag = client.get(f"/api/spans?run={FAULTY}").headers["etag"]
    assert client.get(f"/api/spans?run={FAULTY}", headers={"If-None-Match": tag}).status_code == 304
    assert client.get(f"/api/spans?run={FAULTY}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_what_a_run_came_to_is_what_the_commands_say(client: TestClient, root: Path) -> None:
    """Who used what, gaps, errors and findings as in `summary`, the rest as in `logs analyze`."""
    said = client.get(f"/api/run?run={FAULTY}").json()
    found = analysed.find(str(root), FAULTY)
    known = overview_view.document(overview_view_of(found), title=FAULTY)
    assert said["used"] == known["used"]
    assert [gap["seconds"] for gap in said["gaps"]] == [gap["seconds"] for gap in known["gaps"]]
    assert [each["span_id"] for each in said["failures"]] == [each["span_id"] for each in known["failures"]]
    assert [each["code"] for each in said["findings"]] == [each["code"] for each in known["findings"]]
    assert said["facts"]["usage"] == known["usage"]
    assert client.get(f"/api/run?run={TURNS}").json()["turns"] == [1, 2]


def overview_view_of(found: analysed.Found) -> Any:
    from massgen_tracing.insight.overview import overview

    return overview(found.recording.spans)


@pytest.mark.parametrize("convention", list(SPOKEN))
def test_a_conversation_is_understood_whoever_reports_it(convention: str) -> None:
    """The system's words, the question, the answer and what it calls, in these roles and with every digit."""
    told, said = conversation.told(SPOKEN[convention]), conversation.said(SPOKEN[convention])
    assert [message["role"] for message in told] == ["system", "user"]
    assert told[0]["parts"] == [{"type": "text", "content": "Be brief."}]
    assert "<plan>secret</plan>" in told[1]["parts"][0]["content"]
    assert [message["role"] for message in said] == ["assistant"]
    parts = {part["type"]: part for part in said[0]["parts"]}
    assert parts["text"]["content"].startswith("# Plan")
    assert parts["tool_call"]["name"] == "search"
    assert encoded.pretty(parts["tool_call"]["arguments"]).count("9007199254740993") == 1


def test_a_span_is_told_in_full(client: TestClient) -> None:
    """Arguments with every digit, results of any length, and where it comes from."""
    said = client.get(f"/api/span?run={CONVENTIONS}&span=000000000000001e").json()
    assert said["tool"] == {"name": "dump", "arguments": '{\n  "n": 9007199254740993\n}', "result": LONG, "chars": len(LONG)}
    assert dict(said["resource"])["service.name"] == "talker"
    assert client.get(f"/api/span?run={CONVENTIONS}&span=ffffffffffffffff").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=tool", 2), ("agent=critic", 3), ("agent=critic kind=tool", 2), ("-agent=critic", 3), ("name:invoke", 2), ('"POST /ask"', 1),
        ("gen_ai.tool.name=search", 2), ("gen_ai.usage.input_tokens=100", 1), ("SEARCH", 2), ("", 0), ("nothing", 0),
    ],
)  # fmt: skip
def test_words_and_values_are_found(client: TestClient, query: str, found: int) -> None:
    """Anywhere in a span, or under a key."""
    assert client.get("/api/search", params={"run": FRAMEWORK, "q": query}).json()["found"] == found


@given(st.text(max_size=30))
@settings(max_examples=40)
def test_any_text_can_be_searched_for(query: str) -> None:
    """What is in a span's name finds it."""
    spans, records = columns.of(play(next(iter(FAULTS))))
    for place in search.places(spans, records, query):
        assert 0 <= place < len(records)


OUTSIDE = [
    "/etc/passwd",
    "../../etc/passwd",
    "massgen_logs/../../../etc",
    "..",
    "/",
    "%2e%2e",
    "pyproject.toml",
    "a\0b",
    "~",
    "x" * 900,
    "x" * 5000,
    ".",
    "massgen_logs/..",
]


@pytest.mark.parametrize("name", OUTSIDE, ids=range(len(OUTSIDE)))
def test_nothing_outside_of_the_root_is_shown(client: TestClient, name: str) -> None:
    """Whatever is asked for as a run; the answer says that there is none, and nothing of what lies elsewhere."""
    for path in ("run", "spans", "span", "search"):
        answer = client.get(f"/api/{path}", params={"run": name})
        assert answer.status_code in {400, 404}, (path, answer.text)
        assert "root:" not in answer.text
    assert client.get("/api/compare", params={"first": name, "second": FAULTY}).status_code in {400, 404}


def test_a_recording_beside_the_root_is_not_shown(tmp_path: Path) -> None:
    """Neither by its path nor by where it lies, seen from the root."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "massgen_logs").mkdir(parents=True)
    outside.mkdir()
    (outside / "x.jsonl").write_bytes(otlp.line(*otlp.sample_spans()))
    client = TestClient(viewing.application(inside), base_url="http://localhost")
    for name in (str(outside / "x.jsonl"), "../outside/x.jsonl", "massgen_logs/../../outside/x.jsonl"):
        assert client.get("/api/run", params={"run": name}).status_code == 404, name


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"sql": 5}', b'{"sql": "x", "limit": "y"}', b'{"sql": "SELECT 1", "since": 1e99}',
                                  b'{"sql": "DROP TABLE records"}', b'{"query": "../../x"}', b'{"sql": "' + b"x" * 1_000_001 + b'"}'],
                         ids=range(10))  # fmt: skip
def test_a_question_that_is_none_is_refused(client: TestClient, body: bytes) -> None:
    """With what was expected."""
    answer = client.post("/api/sql", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_numbers_that_a_browser_has_none_for_are_texts(client: TestClient) -> None:
    """And NaN is null."""
    said = client.post("/api/sql", json={"sql": "SELECT 9007199254740993 AS big, 5 AS small, 'NaN'::float AS nan"}).json()
    assert said["rows"] == [["9007199254740993", 5, None]]


def test_every_page_has_a_strict_policy_and_files_have_their_types(client: TestClient) -> None:
    """No script or style but files of the server; what is no file of the pages is not there."""
    page = client.get("/run?run=x")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    for kind, name in (("text/javascript", ".js"), ("text/css", ".css")):
        path = next(part for part in page.text.split('"') if part.startswith("/assets/") and part.endswith(name))
        answer = client.get(path)
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/local/massgen").status_code == 200
    assert "/run?run=NAME" in client.get("/runs/nosuch").text
    for path in ("/runs/nosuch", "/assets/none.js", "/assets/..%2findex.html", "/api/none", "/assets/%2e%2e/serving.py", "/a/b/c"):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/runs?limit=x", 400), ("/api/runs?limit=99999999999", 400), ("/api/run?turn=-1", 400), (f"/api/run?run={TURNS}&turn=7", 404),
        ("/api/compare", 400), ("/api/compare?first=x&second=y", 404),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(client: TestClient, path: str, status: int) -> None:
    """With what would be right."""
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_values_that_json_has_no_word_for_are_told_all_the_same() -> None:
    """Lone surrogates, long numbers, bytes, NaN."""
    value = {"a": "\ud800", "b": 2**70, "c": b"\xff", "d": float("nan"), "e": (1, {"f": None})}
    assert json.loads(encoded.dumps(value)) == {"a": "\ud800", "b": 2**70, "c": "/w==", "d": None, "e": [1, {"f": None}]}
