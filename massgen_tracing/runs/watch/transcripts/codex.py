"""Codex: `~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl`.

What a response used stands in `token_usage_record`, by its id; the sums that `token_count` repeats are none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from massgen_tracing.runs.watch.transcripts.session import Call, Session, ToolUse, count, entries, mapping, moment, text


def files(home: Path, cwd: Path) -> Iterator[Path]:  # noqa: ARG001 - as the others
    """The transcripts; which folder one is of, it says itself."""
    yield from (home / ".codex" / "sessions").glob("*/*/*/rollout-*.jsonl")


def read(path: Path) -> Session:
    """One session."""
    session = Session()
    model, provider, before = "", "openai", 0
    begun: dict[str, tuple[Mapping[str, Any], int]] = {}
    failed: set[str] = set()
    for entry in entries(path):
        at, kind, said = moment(entry.get("timestamp")), entry.get("type"), mapping(entry.get("payload"))
        inner = said.get("type")
        if kind == "session_meta":
            session.id, session.cwd, session.version = text(said.get("id")), text(said.get("cwd")), text(said.get("cli_version"))
            provider = text(said.get("model_provider")) or provider
        elif kind == "turn_context":
            model = text(said.get("model")) or model
            before = before or at
        elif kind == "token_usage_record":
            usage, key = mapping(said.get("usage")), text(said.get("response_id"))
            session.calls[key] = Call(
                key, provider, model, min(before or at, at), at, estimated=True, input=count(usage.get("input_tokens")),
                output=count(usage.get("output_tokens")), cached=count(usage.get("cached_input_tokens")),
                reasoning=count(usage.get("reasoning_output_tokens")), usage=usage,
            )  # fmt: skip
        elif inner == "item_completed":
            item = mapping(said.get("item"))
            if item.get("status") == "failed" or count(item.get("exit_code")):
                failed.add(text(item.get("id")))
        elif inner in {"function_call", "custom_tool_call"}:
            begun[text(said.get("call_id"))] = (said, at)
        elif inner in {"function_call_output", "custom_tool_call_output"} and (key := text(said.get("call_id"))) in begun:
            call, start = begun[key]
            arguments = call.get("arguments", call.get("input"))
            session.tools[key] = ToolUse(key, text(call.get("name")), arguments, said.get("output"), start, max(start, at), key in failed)
            before = at
        elif inner == "message" and said.get("role") == "user":
            before = at
    return session
