"""Gemini CLI: `~/.gemini/tmp/<project>/chats/session-*.jsonl`.

A message is written twice, the second time with its tools; the same tokens stand in both. Its output is without its thoughts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from massgen_tracing.runs.watch.transcripts.session import Call, Session, ToolUse, count, entries, items, mapping, moment, text

_FAILED: Final = re.compile(r"Exit Code: [1-9]")
"""A command that fails is a success of the tool that ran it."""


def files(home: Path, cwd: Path) -> Iterator[Path]:
    """The transcripts of sessions in a folder, which the folder of the project names."""
    for project in (home / ".gemini" / "tmp").glob("*"):
        root = project / ".project_root"
        try:
            of = root.read_text(encoding="utf-8").strip() if root.exists() else ""
        except OSError:
            of = ""
        if of == str(cwd) or (not of and project.name == cwd.name):
            yield from project.glob("chats/session-*.jsonl")


def read(path: Path) -> Session:
    """One session."""
    session = Session()
    before = 0
    for entry in entries(path):
        session.id = text(entry.get("sessionId")) or session.id
        at, key = moment(entry.get("timestamp")), text(entry.get("id"))
        if entry.get("type") == "user":
            before = at
        if entry.get("type") != "gemini":
            continue
        tokens = mapping(entry.get("tokens"))
        thoughts = count(tokens.get("thoughts"))
        if tokens:
            session.calls[key] = Call(
                key, "gcp.gemini", text(entry.get("model")), min(before or at, at), at, estimated=True, input=count(tokens.get("input")),
                output=count(tokens.get("output")) + thoughts, cached=count(tokens.get("cached")), reasoning=thoughts, usage=tokens,
            )  # fmt: skip
        for use in items(entry.get("toolCalls")):
            ended, name = moment(use.get("timestamp")) or at, text(use.get("id"))
            result = use.get("result")
            failed = use.get("status") not in {"success", None} or bool(_FAILED.search(json.dumps(result, ensure_ascii=False)))
            session.tools[name] = ToolUse(name, text(use.get("name")), use.get("args"), result, min(at, ended), ended, failed)
    return session
