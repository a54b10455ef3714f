"""Damaged directories: an import never fails over one, and never tells a thing twice."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from massgen_tracing import semconv
from massgen_tracing.runs.massgen.imports import Imported, files
from massgen_tracing.views.cli import main
from tests.massgen import runs

NAMES = ["v0_1_97_normal", "v0_1_32_fail", "v0_1_97_timeout", "older"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runs that are damaged, by name."""
    root = tmp_path_factory.mktemp("pristine")
    return {name: runs.older(root / "older").parent.parent if name == "older" else runs.copy(name, root) for name in NAMES}


def sound(made: Imported) -> None:
    """What holds for every import."""
    assert runs.misplaced(made) == []
    assert len({span.span_id for span in made.spans}) == len(made.spans)
    for prefix, key in (("Agent answer: ", semconv.ANSWER_LABEL_KEY), ("agent.", semconv.ROUND)):
        told = [(span.attributes[semconv.AGENT_ID], span.attributes.get(key)) for span in runs.spans(made, prefix)]
        assert len(set(told)) == len(told)


def known(made: Imported) -> tuple[set[Any], int, int, int]:
    """Answers, and how many votes, tool calls and rounds."""
    answers = {(span.attributes[semconv.AGENT_ID], span.attributes[semconv.ANSWER_LABEL_KEY]) for span in runs.spans(made, "Agent answer: ")}
    return answers, made.votes, made.tools, made.rounds


def contents(root: Path) -> list[Path]:
    """Every file of a run, in a fixed order."""
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != "endpoint.json")


@st.composite
def losses(draw: st.DrawFn) -> list[tuple[int, float | None]]:
    """Which files are gone (None), or cut after which part of them."""
    return draw(st.lists(st.tuples(st.integers(0, 60), st.none() | st.floats(0, 1)), min_size=1, max_size=6))


@given(name=st.sampled_from(NAMES), lost=losses())
@hypothesis_settings(max_examples=100)
def test_losing_files_or_their_ends_only_ever_takes_away(
    pristine: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, name: str, lost: list[tuple[int, float | None]]
) -> None:
    """What is told is some of what the whole directory tells, each thing once, in a tree that nests."""
    root = tmp_path_factory.mktemp("lost") / "run"
    shutil.copytree(pristine[name], root)
    paths = contents(root)
    for number, part in lost:
        path = paths[number % len(paths)]
        if part is None:
            path.unlink(missing_ok=True)
        elif path.exists():
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * part)])
    made = runs.read(root)
    sound(made)
    answers, votes, tools, rounds = known(runs.read(pristine[name]))
    some = known(made)
    assert some[0] <= answers
    assert some[1] <= votes
    assert some[2] <= tools
    assert some[3] <= rounds
    shutil.rmtree(root.parent)


VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    10**400,
    "",
    "\ud800",
    "x" * 5000,
    [],
    [[]],
    {},
    {"": 0},
    [1, "a", {}],
    float("nan"),
    "2026-99-99",
    1795265040.0,
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value: the container and the key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


def garbled(content: bytes, draw: Any) -> bytes:
    """Content of the wrong type somewhere, or that is no content of that kind at all."""
    kind = draw(st.sampled_from(["value", "bytes", "garbage", "twice"]))
    if kind == "value":
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return b"{"
        found = list(places(document))
        for _ in range(draw(st.integers(1, 4)) if found else 0):
            container, key = found[draw(st.integers(0, len(found) - 1))]
            container[key] = draw(st.sampled_from(VALUES))
        return json.dumps(document).encode()
    if kind == "bytes" and content:
        mutable = bytearray(content)
        for at in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
            mutable[at] = draw(st.integers(0, 255))
        return bytes(mutable)
    if kind == "twice":
        return content + content
    garbage: bytes = draw(st.binary(max_size=200) | st.sampled_from([b"null", b"[]", b"{}", b"{" * 5000, b"\0" * 100, b"&a [*a]", b"9" * 5000]))
    return garbage


@given(name=st.sampled_from(NAMES), data=st.data())
@hypothesis_settings(max_examples=120)
def test_wrong_types_and_garbage_never_fail(
    pristine: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], name: str, data: st.DataObject
) -> None:
    """Whatever stands in the files, the command ends with 0 or 1, the tree nests, and the next import makes the same."""
    root = tmp_path_factory.mktemp("garbled") / "run"
    shutil.copytree(pristine[name], root)
    paths = contents(root)
    for number in data.draw(st.lists(st.integers(0, len(paths) - 1), min_size=1, max_size=4)):
        paths[number].write_bytes(garbled(paths[number].read_bytes(), data.draw))
    imported_twice(root)
    capsys.readouterr()
    shutil.rmtree(root.parent)


def test_what_is_nested_without_end_is_passed_over(pristine: dict[str, Path], tmp_path: Path) -> None:
    """The same where every file is a hundred thousand brackets: a parser of JSON gives up at once, one of YAML after seconds."""
    root = tmp_path / "run"
    shutil.copytree(next(iter(pristine.values())), root)
    for path in contents(root):
        path.write_bytes(b"[" * 100_000)
    imported_twice(root)


def imported_twice(root: Path) -> None:
    """Import a run directory, and find that the tree nests and that the next import makes the same."""
    sound(runs.read(root))
    code = main(["logs", "import", str(root)])
    made = {path: path.read_bytes() for path in root.rglob("trace.otlp.jsonl")}
    assert (code, len(made)) in {(0, 1), (1, 0)}
    assert main(["logs", "import", str(root)]) == code
    assert made == {path: path.read_bytes() for path in root.rglob("trace.otlp.jsonl")}


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
       part=st.floats(0, 1))  # fmt: skip
def test_the_beginning_of_a_json_text_gives_the_beginning_of_its_value(value: Any, part: float) -> None:
    """What is cut off is lost, what stands before it is as it was."""
    text = json.dumps(value)
    got, whole = files.parse(text[: int(len(text) * part)])
    if whole:
        return
    assert begins(got, value)


def begins(some: Any, every: Any) -> bool:
    """Whether *some* is what is left of *every* where its end is lost; a number may have lost digits only where it is none any more."""
    if isinstance(some, dict) and isinstance(every, dict):
        return all(key in every and begins(item, every[key]) for key, item in some.items())
    if isinstance(some, list) and isinstance(every, list):
        return len(some) <= len(every) and all(begins(one, other) for one, other in zip(some, every, strict=False))
    return some is None or some == every


def test_a_file_that_is_none_is_passed_over(tmp_path: Path) -> None:
    """A directory, or a pipe that nobody writes to, in the place of a file: neither is waited for."""
    run = runs.copy("v0_1_97_two", tmp_path)
    attempt = runs.attempt(run)
    for name in ("status.json", "events.jsonl"):
        (attempt / name).unlink()
    (attempt / "status.json").mkdir()
    os.mkfifo(attempt / "events.jsonl")
    made = runs.read(run)
    assert (made.answers, made.votes) == (1, 2)
    assert {"status.json is not a file", "events.jsonl is not a file"} <= set(made.missing)


def test_a_name_that_leads_out_of_the_run_is_not_read(tmp_path: Path) -> None:
    """The files of a run may be anybody's; a link in one tells nothing of the rest of the disk."""
    run = runs.copy("v0_1_97_two", tmp_path)
    (tmp_path / "secret.txt").write_text("a stranger's")
    (answer,) = runs.attempt(run).glob("agent_a/*/answer.txt")
    answer.unlink()
    answer.symlink_to(tmp_path / "secret.txt")
    assert all("a stranger's" not in str(span.attributes) for span in runs.read(run).spans)


def test_a_run_that_goes_on_gives_what_it_has_so_far(tmp_path: Path) -> None:
    """Only the status and the stream are written meanwhile; that there is no end yet is said."""
    run = runs.copy("v0_1_97_normal", tmp_path)
    attempt = runs.attempt(run)
    status = json.loads((attempt / "status.json").read_text())
    (attempt / "status.json").write_text(json.dumps({**status, "is_complete": False, "results": {"votes": {}, "winner": None}}))
    for name in ("coordination_events.json", "metrics_events.json", "metrics_summary.json", "snapshot_mappings.json"):
        (attempt / name).unlink()
    shutil.rmtree(attempt / "final")
    stream = (attempt / "events.jsonl").read_text().splitlines(keepends=True)
    (attempt / "events.jsonl").write_text("".join(stream[:40]))
    made = runs.read(run)
    sound(made)
    assert "its end (it was killed, or goes on)" in made.missing
    assert made.tools == 6
    assert made.answers > 0


def test_secrets_in_a_runs_files_are_not_recorded(tmp_path: Path) -> None:
    """An import is scrubbed as a trace is."""
    run = runs.copy("v0_1_97_two", tmp_path)
    secret = "sk-proj-" + "Ab3" * 16
    for path in (runs.attempt(run) / "events.jsonl", runs.attempt(run) / "coordination_events.json"):
        path.write_text(path.read_text().replace("notes of agent_a", secret).replace("finds it the clearest", secret))
    assert all(secret not in str(span.attributes) for span in runs.read(run).spans)
