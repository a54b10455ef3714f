"""What output says, line by line, and files that are followed whatever happens to them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from massgen_tracing.runs.watch import State, profiles
from massgen_tracing.runs.watch.checklist import ERROR, MARKER
from massgen_tracing.runs.watch.lines import LONGEST, Lines, plain
from massgen_tracing.runs.watch.output import Output
from massgen_tracing.runs.watch.patterns import AFTER, BEFORE, categorise
from massgen_tracing.runs.watch.signals import Facts
from massgen_tracing.runs.watch.tail import Tail
from tests.runs.watch.seen import NOW


def said(*lines: str, marker: str = "", profile: str | None = None) -> Facts:
    """Facts of output."""
    known = Facts(NOW)
    Output(known, marker, None if profile is None else profiles.load(profile)).feed(lines, NOW, len(lines))
    return known


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'x'", "file_not_found"),
        ("bash: ./x: Permission denied", "permission_error"),
        ("TimeoutError", "timeout"),
        ("requests.exceptions.ConnectionError: refused", "network_error"),
        ("java.lang.OutOfMemoryError: Java heap space", "out_of_memory"),
        ("openai.RateLimitError: Error code: 429", "rate_limit"),
        ("API Error: 401 Unauthorized", "auth"),
        ("Traceback (most recent call last):", "traceback"),
        ("[ERROR] something broke", "unknown_error"),
        ("2 FAILED", "unknown_error"),
        ("0 errors, 0 failed", ""),
        ("no FAILED tests", ""),
        ("errors: 0", ""),
        ("handled the error gracefully", ""),
        ("HTTP 200 after 429 ms", ""),
    ],
)
def test_categories_of_errors(line: str, category: str) -> None:
    """By what stands in a line; where it says that there is none, there is none."""
    assert categorise(line) == category


def test_an_error_comes_with_the_lines_around_it() -> None:
    """Five before and five after; a traceback with the line that says what it was, by which it has its category."""
    before, after = [f"before {n}" for n in range(8)], [f"after {n}" for n in range(8)]
    trace = ["Traceback (most recent call last):", '  File "a.py", line 3', "    open(x)", "FileNotFoundError: [Errno 2] No such file: 'x'"]
    error = said(*before, *trace, *after).signals[ERROR]
    assert error.category == "file_not_found"
    assert error.quote == "line 9: Traceback (most recent call last): … FileNotFoundError: [Errno 2] No such file: 'x'"
    assert error.context == (*before[-BEFORE:], *trace, *after[:AFTER])


def test_what_follows_an_error_is_counted() -> None:
    """Without its traceback or stack, whatever the lines are, and from any log of the agent; another error begins anew."""
    trace, stack = ["Traceback (most recent call last):", '  File "a.py", line 3', "KeyError: 3"], [f"    at f{n} (a.js:{n})" for n in range(30)]
    good = [f"step {n} ok" for n in range(30)]
    assert said(*good, *trace).after_error == 0
    assert said("TypeError: no", *stack, "", "Node.js v24").after_error == 1
    assert said(*trace, *good).after_error == 30
    assert said("ERROR: no", *['{"level": "INFO"}'] * 3).after_error == 3
    assert said("ERROR: no", *good, "ERROR: again", "").after_error == 0
    known = Facts(NOW)
    first, second = Output(known, name="output.log"), Output(known, name="agent.log")
    second.feed(good, NOW - 9, 30)
    first.feed(["ERROR: no", "so what"], NOW, 2)
    second.feed(good[:3], NOW - 1, 33)  # older
    assert known.after_error == 1
    second.feed(good[:3], NOW + 1, 36)
    first.feed(["on"], NOW + 2, 3)
    assert known.after_error == 5


def test_statements_in_lines() -> None:
    """A status, progress and the task, as JSON or in words."""
    known = said('{"event": "progress", "current": 5, "total": 10, "percent": 50}')
    assert known.progress == 50
    assert said('{"total_tasks": 10, "completed_tasks": 3, "current_task": "file 4"}').progress == 30
    assert said("Progress: 40%").progress == 40
    known = said("x", '{"status": "completed", "timestamp": "2025-10-28T14:35:00Z"}')
    assert (known.signals["status"].state, known.signals["status"].quote) == ("completed", 'line 2: "status": "completed"')
    assert said('{"status": 7}', '{"broken', "[1]", '{"percent": NaN}').signals == {}


def test_json_lines_are_errors_where_they_say_so() -> None:
    """A log's by its level; what a tool printed into a conversation is none."""
    assert said('{"level": "ERROR", "message": "Permission denied"}').signals[ERROR].category == "permission_error"
    assert ERROR not in said(json.dumps({"type": "user", "content": "Traceback (most recent call last): ERROR"})).signals


@pytest.mark.parametrize(
    ("marker", "line", "found"),
    [
        ("DONE", "all DONE", True),
        ("DONE", "DONE", True),
        ("DONE", "$ agent && echo DONE", False),
        ("DONE", "ABANDONED", False),
        ("DONE", "printf 'DONE'", False),
        ("完成", "已完成了", True),
        ("完成", "3完成ok", True),
        ("完成", "echo 完成", False),
        ("DONE", "已DONE了", True),
    ],
)
def test_a_marker_is_found_where_it_was_printed(marker: str, line: str, found: bool) -> None:
    """And not in the command that is going to print it; also in scripts that put no space between words."""
    assert (MARKER in said(line, marker=marker).signals) is found


OUTCOMES: list[tuple[str, str, State]] = [
    ("claude", '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"terminal_reason":"api_error"}', "failed"),
    ("claude", '{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed"}', "completed"),
    ("claude", '{"type":"result","subtype":"error_during_execution","is_error":false}', "failed"),
    ("codex", '{"type":"turn.failed","error":{"message":"high demand"}}', "failed"),
    ("codex", '{"type":"event_msg","payload":{"type":"task_complete","error":{"message":"x"}}}', "failed"),
    ("codex", '{"type":"event_msg","payload":{"type":"task_complete","error":null}}', "completed"),
    ("gemini", '{"type":"result","status":"error"}', "failed"),
    ("gemini", '{"type":"result","status":"success"}', "completed"),
    ("opencode", '{"type":"error","error":{"name":"APIError"}}', "failed"),
    ("aider", "litellm.AuthenticationError: no key", "failed"),
    ("massgen", "FINAL_ANSWER: /x/answer.txt", "completed"),
    ("massgen", "ANSWER_FILE: .massgen/massgen_logs/log_1/final/a/answer.txt", "completed"),
    ("massgen", "12:00:00 | ERROR    | [ERROR] orchestrator: ❌ Unable to provide coordinated answer - no successful agents", "failed"),
    ("massgen", "TIMED_OUT: 3 agents, 5.0s total", "timed_out"),
]


@pytest.mark.parametrize(("profile", "line", "expected"), OUTCOMES, ids=[f"{name} {state} {n}" for n, (name, _, state) in enumerate(OUTCOMES)])
def test_what_known_programs_say_of_their_outcome(profile: str, line: str, expected: State) -> None:
    """By the keys that tell it, not by those that look as if they did."""
    assert said(line, profile=profile).signals["outcome"].state == expected


def test_another_turn_takes_an_outcome_back() -> None:
    """A result in the middle is not the end."""
    result, more = '{"type":"result","is_error":false}', '{"type":"assistant","message":{}}'
    assert said(result, more, profile="claude").signals["outcome"].state == "running"
    assert said(result, more, result, profile="claude").signals["outcome"].state == "completed"


def test_lines_wait_for_their_end_and_steer_no_terminal() -> None:
    """Halves, colours, progress bars, bytes that are no UTF-8, and lines without an end."""
    lines = Lines()
    assert lines.feed(b"a\nhal") == ["a"]
    assert lines.half == "hal"
    assert lines.feed(b"f\r\n\x1b[31mred\x1b[0m \x1b]0;title\x07\xff\n10%\r20%\r30%\n") == ["half", "red \\xff", "30%"]
    assert lines.rest() == []
    assert [len(line) for line in lines.feed(b"x" * (LONGEST + 5))] == [LONGEST]
    assert plain("\x1b[2K\x1b[1Aagain") == "again"


def test_a_file_is_followed_whatever_happens_to_it(tmp_path: Path) -> None:
    """It comes later, grows, is rotated, replaced, cut and written anew; each line comes once."""
    path, other = tmp_path / "log", tmp_path / "other"
    tail = Tail(path)
    assert tail.read() == []
    assert not tail.exists
    path.write_text("one\ntw")
    assert tail.read() == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    os.rename(path, tmp_path / "log.1")
    path.write_text("four\n")
    assert tail.read() == ["two", "three", "four"]
    other.write_text("five\n")
    os.replace(other, path)
    assert tail.read() == ["five"]
    path.write_text("")
    assert tail.read() == []
    path.write_text("six\n")
    assert tail.read() == ["six"]
    path.write_text("sev\nand more\n")  # cut and grown beyond its old length between two looks
    assert tail.read() == ["sev", "and more"]
    assert (tail.number, tail.replaced) == (2, 4)
    path.unlink()
    assert tail.read() == []
    assert not tail.exists
    tail.close()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to."""
    tail = Tail(tmp_path)
    assert (tail.read(), tail.problem) == ([], "is no regular file")
    os.mkfifo(tmp_path / "pipe")
    tail = Tail(tmp_path / "pipe")
    assert (tail.read(), tail.problem) == ([], "is no regular file")


def test_very_much_output_is_read_in_parts(tmp_path: Path) -> None:
    """Memory does not grow with it."""
    path = tmp_path / "log"
    path.write_text("".join(f"{n}\n" for n in range(400_000)))
    tail, found = Tail(path), []
    while True:
        part = tail.read()
        found += [len(part)]
        if not tail.more:
            break
    assert len(found) > 2
    assert sum(found) == tail.number == 400_000
    tail.close()
