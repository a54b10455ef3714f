"""Transcripts of agents, written for the purpose in the real programs' forms: each response once, with its tokens, and tools with what they ran."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.runs.watch import transcripts
from massgen_tracing.runs.watch.transcripts import Place, Session

WORK = Path("/home/me/work")
TIME = "2026-11-29T13:19:{:02}.500Z"
SECOND = 1_000_000_000
BEGAN = 1_795_958_340 * SECOND + SECOND // 2


def lines(path: Path, *entries: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"torn')


def claude(home: Path) -> None:
    folder = home / ".claude" / "projects" / "-home-me-work"
    usage = {"input_tokens": 1000, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 300, "output_tokens": 50}

    def said(second: int, key: str, *content: dict[str, Any], **more: Any) -> dict[str, Any]:
        message = {"id": key, "model": "claude-opus-4-8", "content": list(content), "usage": usage, **more}
        return {"type": "assistant", "timestamp": TIME.format(second), "message": message, "sessionId": "s", "cwd": str(WORK)}

    def user(second: int, content: Any) -> dict[str, Any]:
        return {"type": "user", "timestamp": TIME.format(second), "message": {"content": content}}

    text, tool = {"type": "text", "text": "x"}, {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "exit 3"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "Exit code 3", "is_error": True}
    zero = {"usage": dict.fromkeys(usage, 0)}
    lines(
        folder / "s.jsonl", {"type": "queue-operation"}, user(1, "hi"), said(2, "m1", text), said(3, "m1", tool), user(5, [result]),
        said(6, "m2", text), said(7, "m3", text, **zero))  # fmt: skip
    lines(folder / "s" / "subagents" / "agent-a.jsonl", user(4, "look"), said(5, "m4", text))


def codex(home: Path) -> None:
    def entry(second: int, kind: str, **payload: Any) -> dict[str, Any]:
        return {"timestamp": TIME.format(second), "type": kind, "payload": payload}

    usage = {"input_tokens": 1500, "cached_input_tokens": 300, "output_tokens": 50, "reasoning_output_tokens": 10}
    count = entry(6, "event_msg", type="token_count", info={"total_token_usage": usage, "last_token_usage": usage})
    lines(
        home / ".codex" / "sessions" / "2026" / "11" / "29" / "rollout-x.jsonl",
        entry(0, "session_meta", id="s", cwd=str(WORK), cli_version="0.171.0", model_provider="openai"),
        entry(1, "turn_context", model="gpt-5-mini"),
        entry(1, "response_item", type="message", role="user", content=[]),
        entry(2, "response_item", type="function_call", name="exec_command", call_id="t1", arguments='{"cmd": "exit 3"}'),
        entry(3, "token_usage_record", response_id="m1", usage=usage),
        entry(4, "event_msg", type="item_completed", item={"id": "t1", "status": "failed", "exit_code": 3}),
        entry(5, "response_item", type="function_call_output", call_id="t1", output="3"),
        count,
        entry(6, "token_usage_record", response_id="m2", usage=usage),
        entry(7, "token_usage_record", response_id="m4", usage=usage),
        count)  # fmt: skip


def gemini(home: Path) -> None:
    tokens = {"input": 1500, "output": 40, "cached": 300, "thoughts": 10, "tool": 0, "total": 1550}

    def said(second: int, key: str, **more: Any) -> dict[str, Any]:
        return {"id": key, "timestamp": TIME.format(second), "type": "gemini", "tokens": tokens, "model": "gemini-2.5-pro", **more}

    use = {"id": "t1", "name": "run_shell_command", "args": {}, "status": "success", "timestamp": TIME.format(5)}
    result = [{"functionResponse": {"response": {"output": "Output: x\nExit Code: 3\n"}}}]
    project = home / ".gemini" / "tmp" / "work"
    lines(
        project / "chats" / "session-x.jsonl", {"sessionId": "s", "kind": "main"}, {"$set": {"messages": []}},
        {"type": "user", "timestamp": TIME.format(1)}, said(3, "m1"), said(3, "m1", toolCalls=[{**use, "result": result}]),
        said(6, "m2"), said(7, "m4"))  # fmt: skip
    (project / ".project_root").write_text(str(WORK))


def opencode(home: Path) -> None:
    path = home / ".local" / "share" / "opencode" / "opencode.db"
    path.parent.mkdir(parents=True)

    def at(second: int) -> int:
        return (BEGAN + second * SECOND) // 1_000_000

    def message(start: int, end: int) -> str:
        tokens = {"total": 1550, "input": 1200, "output": 50, "reasoning": 0, "cache": {"write": 0, "read": 300}}
        time = {"created": at(start), "completed": at(end)}
        return json.dumps({"role": "assistant", "tokens": tokens, "cost": 0, "modelID": "gpt-5-mini", "providerID": "openai", "time": time})

    state = {"status": "completed", "input": {}, "output": "x", "metadata": {"exit": 3}, "time": {"start": at(2), "end": at(5)}}
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE session (id, directory, version); CREATE TABLE message (session_id, id, data, time_created);"
            "CREATE TABLE part (session_id, id, data, time_created);"
        )
        database.executemany("INSERT INTO session VALUES (?, ?, '1.18.33')", [("s", str(WORK)), ("other", "/elsewhere")])
        rows = [("s", f"m{n}", message(start, end), n) for n, start, end in ((1, 1, 3), (2, 5, 6), (4, 6, 7))]
        database.executemany(
            "INSERT INTO message VALUES (?, ?, ?, ?)", [*rows, ("other", "m9", message(1, 2), 9), ("s", "m8", '{"role": "user"}', 0)]
        )
        database.execute("INSERT INTO part VALUES ('s', 'p1', ?, 1)", [json.dumps({"type": "tool", "tool": "bash", "callID": "t1", "state": state})])
        database.commit()


PROGRAMS: dict[str, Callable[[Path], None]] = {"claude": claude, "codex": codex, "gemini": gemini, "opencode": opencode}


@pytest.fixture(params=PROGRAMS)
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Session:
    """A session of each program, with what its transcript has twice, and what it has nowhere else."""
    PROGRAMS[request.param](tmp_path)
    [found] = transcripts.sessions(request.param, Place(tmp_path, WORK), 0)
    return found


def test_each_response_counts_once(session: Session) -> None:
    """With its sub-agents', and with what is cached and what was thought."""
    assert sorted(session.calls) == ["m1", "m2", "m4"]
    assert {(call.input, call.output, call.cached) for call in session.calls.values()} == {(1500, 50, 300)}
    assert all(call.model and call.provider for call in session.calls.values())
    assert session.id == "s"


def test_calls_and_tools_have_their_times(session: Session) -> None:
    """A call begins when what it answers had come, where the transcript does not say; a tool has failed where what it ran has."""
    call, [use] = session.calls["m1"], session.tools.values()
    assert (call.end - BEGAN) // SECOND == 3
    assert (call.start - BEGAN) // SECOND == 1
    assert (use.key, use.failed) == ("t1", True)
    assert (use.end - BEGAN) // SECOND == 5
    assert use.start < use.end


def test_a_sub_agents_calls_are_its_own(tmp_path: Path) -> None:
    """They stand in a file of its own."""
    claude(tmp_path)
    [found] = transcripts.sessions("claude", Place(tmp_path, WORK), 0)
    assert {key: call.agent for key, call in found.calls.items()} == {"m1": "", "m2": "", "m4": "agent-a"}


@pytest.mark.parametrize("program", [*PROGRAMS, "aider", ""])
def test_nothing_is_found_where_nothing_is(tmp_path: Path, program: str) -> None:
    """Nor is it an error: no files, an older one, one of another folder, one that is no transcript."""
    assert list(transcripts.sessions(program, Place(tmp_path, WORK), 0)) == []
    if program in PROGRAMS:
        PROGRAMS[program](tmp_path)
        assert list(transcripts.sessions(program, Place(tmp_path, Path("/elsewhere/x")), 0)) == []
    if program in {"claude", "codex", "gemini"}:
        assert list(transcripts.sessions(program, Place(tmp_path, WORK), 4e9)) == []
    if program == "opencode":
        (tmp_path / ".local" / "share" / "opencode" / "opencode.db").write_text("no database")
        assert list(transcripts.sessions(program, Place(tmp_path, WORK), 0)) == []
