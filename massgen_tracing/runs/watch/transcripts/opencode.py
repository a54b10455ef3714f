"""OpenCode: an SQLite database, `~/.local/share/opencode/opencode.db`. Its requests for titles stand nowhere."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from massgen_tracing.runs.watch.transcripts.session import Call, Session, ToolUse, amount, count, mapping, text

_MILLION = 1_000_000


def files(home: Path, cwd: Path) -> Iterator[Path]:  # noqa: ARG001 - as the others
    """The database, where there is one."""
    path = home / ".local" / "share" / "opencode" / "opencode.db"
    if path.exists():
        yield path


def read_all(path: Path) -> Iterator[Session]:
    """Its sessions; none where it is no such database, or locked."""
    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0) as database:
            sessions = database.execute("SELECT id, directory, version FROM session").fetchall()
            messages = database.execute("SELECT session_id, id, data FROM message ORDER BY time_created").fetchall()
            parts = database.execute("SELECT session_id, id, data FROM part ORDER BY time_created").fetchall()
        database.close()
    except sqlite3.Error:
        return
    made = {name: Session(str(name), str(folder), str(version)) for name, folder, version in sessions}
    for session, name, data in messages:
        if session in made:
            _message(made[session], str(name), _parsed(data))
    for session, name, data in parts:
        if session in made:
            _part(made[session], str(name), _parsed(data))
    yield from made.values()


def _message(session: Session, key: str, said: dict[str, Any]) -> None:
    tokens, time = mapping(said.get("tokens")), mapping(said.get("time"))
    cache = mapping(tokens.get("cache"))
    start, end = count(time.get("created")) * _MILLION, count(time.get("completed")) * _MILLION
    if said.get("role") != "assistant" or not tokens or not end:
        return
    cached = count(cache.get("read"))
    sent = count(tokens.get("input")) + cached + count(cache.get("write"))
    reasoning = count(tokens.get("reasoning"))
    got = count(tokens.get("total")) - sent if count(tokens.get("total")) > sent else count(tokens.get("output")) + reasoning
    session.calls[key] = Call(
        key, text(said.get("providerID")), text(said.get("modelID")), start, end, estimated=False, input=sent, output=got, cached=cached,
        reasoning=reasoning, cost=amount(said.get("cost")) or None, usage=tokens, finish=text(said.get("finish")),
    )  # fmt: skip


def _part(session: Session, key: str, said: dict[str, Any]) -> None:
    state = mapping(said.get("state"))
    time = mapping(state.get("time"))
    if said.get("type") != "tool" or not time.get("end"):
        return
    failed = state.get("status") == "error" or bool(count(mapping(state.get("metadata")).get("exit")))
    start, end = count(time.get("start")) * _MILLION, count(time.get("end")) * _MILLION
    name = text(said.get("callID")) or key
    session.tools[name] = ToolUse(name, text(said.get("tool")), state.get("input"), state.get("output", state.get("error")), start, end, failed)


def _parsed(data: object) -> dict[str, Any]:
    try:
        found = json.loads(data) if isinstance(data, str | bytes) else None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
