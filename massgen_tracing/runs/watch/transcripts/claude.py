"""Claude Code: `~/.claude/projects/<folder>/<session>.jsonl`, and beside it the files of its sub-agents.

A response is a line for each block of its content, each with the usage of the whole response; what sub-agents use stands in their own files only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from massgen_tracing.runs.watch.transcripts.session import Call, Session, ToolUse, count, entries, items, mapping, moment, text


def files(home: Path, cwd: Path) -> Iterator[Path]:
    """The transcripts of sessions in a folder."""
    yield from (home / ".claude" / "projects" / re.sub(r"[^A-Za-z0-9]", "-", str(cwd))).glob("*.jsonl")


def read(path: Path) -> Session:
    """One session."""
    session = Session()
    _read(path, session, "")
    for file in sorted((path.with_suffix("") / "subagents").glob("agent-*.jsonl")):
        _read(file, session, file.stem)
    return session


def _read(path: Path, session: Session, agent: str) -> None:
    before = 0
    begun: dict[str, ToolUse] = {}
    for entry in entries(path):
        at, message = moment(entry.get("timestamp")), mapping(entry.get("message"))
        session.id, session.cwd = text(entry.get("sessionId")) or session.id, text(entry.get("cwd")) or session.cwd
        session.version = text(entry.get("version")) or session.version
        for block in items(message.get("content")):
            key = text(block.get("id")) or text(block.get("tool_use_id"))
            if block.get("type") == "tool_use":
                begun[key] = ToolUse(key, text(block.get("name")), block.get("input"), None, at, at, failed=False, agent=agent)
            elif block.get("type") == "tool_result" and key in begun:
                use = begun[key]
                failed = block.get("is_error") is True
                session.tools[key] = ToolUse(key, use.name, use.arguments, block.get("content"), use.start, max(at, use.start), failed, agent)
        usage = mapping(message.get("usage"))
        if entry.get("type") == "assistant" and (key := text(message.get("id"))) and any(map(count, usage.values())):
            known = session.calls.get(key)
            fresh, written, cached = (count(usage.get(f"{kind}input_tokens")) for kind in ("", "cache_creation_", "cache_read_"))
            start = known.start if known is not None else min(before or at, at)
            session.calls[key] = Call(
                key, "anthropic", text(message.get("model")), start, at, estimated=True, input=fresh + written + cached,
                output=count(usage.get("output_tokens")), cached=cached, usage=usage, finish=text(message.get("stop_reason")), agent=agent,
            )  # fmt: skip
        elif entry.get("type") == "user":
            before = at
