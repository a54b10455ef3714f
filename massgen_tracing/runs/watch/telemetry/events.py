"""What known programs tell in their own telemetry of model calls and tools, each once, however often it is sent.

Claude Code, Codex and Gemini CLI tell each response in a log record, with its tokens; their spans do not have all of these. OpenCode's responses are
the spans `ai.….do…` of the library that it is made with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing.model import LogRecord, SpanRecord
from massgen_tracing.runs.watch.transcripts import Call, Session, ToolUse
from massgen_tracing.runs.watch.transcripts.session import amount, moment, text

_FAILED: Final = re.compile(r"Process exited with code [1-9]")
"""A command of Codex that fails is a success of the tool that ran it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A record that tells something."""

    record: LogRecord | SpanRecord
    session: str
    teller: _Teller

    def note(self, sessions: dict[str, Session]) -> None:
        """Note it in the session that it is of."""
        self.teller(self.record, self.record.attributes, sessions.setdefault(self.session, Session(self.session, source="telemetry")))


def told(records: Iterable[object]) -> Iterator[Told]:
    """Those that tell something; most do not."""
    for record in records:
        if isinstance(record, LogRecord):
            teller = _LOGS.get(text(record.attributes.get("event.name")) or text(record.body))
            session = text(record.attributes.get("session.id")) or text(record.attributes.get("conversation.id"))
        elif isinstance(record, SpanRecord):
            teller, session = _SPANS.get(record.name), text(record.attributes.get("ai.telemetry.metadata.sessionId"))
        else:
            continue
        if teller is not None and session:
            yield Told(record, session, teller)


def _claude_call(record: Any, said: Mapping[str, Any], session: Session) -> None:
    end, cached = record.time_ns, _count(said, "cache_read_tokens")
    sent = _count(said, "input_tokens") + cached + _count(said, "cache_creation_tokens")
    key = text(said.get("request_id")) or f"{said.get('prompt.id')}/{said.get('event.sequence')}/{end}"
    _call(
        session, key, "anthropic", said, end - _duration(said), end, sent, _count(said, "output_tokens"), cached,
        cost=amount(said.get("cost_usd")),
    )  # fmt: skip


def _claude_tool(record: Any, said: Mapping[str, Any], session: Session) -> None:
    arguments = said.get("tool_input") or said.get("tool_parameters")
    _tool(session, said.get("tool_use_id"), said.get("tool_name"), arguments, None, record.time_ns, said, failed=_is(said.get("success"), "false"))


def _codex_request(record: Any, said: Mapping[str, Any], session: Session) -> None:
    """A request begins; its response is told of later, without a time of its own."""
    at = _codex_time(record, said)
    session.began = at - _duration(said)


def _codex_call(record: Any, said: Mapping[str, Any], session: Session) -> None:
    if "input_token_count" not in said:  # each part of the stream is told of, the last one twice
        return
    end = _codex_time(record, said)
    key = f"{text(said.get('event.timestamp')) or end}/{said['input_token_count']}/{said.get('output_token_count')}"
    _call(
        session, key, "openai", said, min(session.began or end, end), end, _count(said, "input_token_count"), _count(said, "output_token_count"),
        _count(said, "cached_token_count"), _count(said, "reasoning_token_count"), estimated=not session.began,
    )  # fmt: skip


def _codex_tool(record: Any, said: Mapping[str, Any], session: Session) -> None:
    failed = _is(said.get("success"), "false") or bool(_FAILED.search(text(said.get("output"))))
    end = _codex_time(record, said)
    _tool(session, said.get("call_id"), said.get("tool_name"), said.get("arguments"), said.get("output"), end, said, failed=failed)


def _gemini_call(record: Any, said: Mapping[str, Any], session: Session) -> None:
    end, thoughts = record.time_ns, _count(said, "thoughts_token_count")
    key = f"{said.get('prompt_id')}/{end}/{said.get('input_token_count')}"
    _call(
        session, key, "gcp.gemini", said, end - _duration(said), end, _count(said, "input_token_count"),
        _count(said, "output_token_count") + thoughts, _count(said, "cached_content_token_count"), thoughts,
    )  # fmt: skip


def _gemini_tool(record: Any, said: Mapping[str, Any], session: Session) -> None:
    name, end = said.get("function_name"), record.time_ns
    failed = _is(said.get("success"), "false") or '"isError": true' in text(said.get("metadata"))
    _tool(session, f"{name}/{end}", name, said.get("function_args"), None, end, said, failed=failed)


def _sdk_call(span: Any, said: Mapping[str, Any], session: Session) -> None:
    provider = text(said.get("ai.model.provider")).partition(".")[0]
    model = said.get("ai.response.model") or said.get("ai.model.id")
    _call(
        session, text(said.get("ai.response.id")) or span.span_id, provider, {**said, "model": model}, span.start_ns, span.end_ns or span.start_ns,
        _count(said, "ai.usage.inputTokens"), _count(said, "ai.usage.outputTokens"), _count(said, "ai.usage.cachedInputTokens"),
        _count(said, "ai.usage.reasoningTokens"), finish=text(said.get("ai.response.finishReason")),
    )  # fmt: skip


def _sdk_tool(span: Any, said: Mapping[str, Any], session: Session) -> None:
    key, end = text(said.get("ai.toolCall.id")) or span.span_id, span.end_ns or span.start_ns
    name, arguments, result = (said.get(f"ai.toolCall.{what}") for what in ("name", "args", "result"))
    session.tools[key] = ToolUse(key, text(name), arguments, result, span.start_ns, end, span.status_code == 2)


def _call(
    session: Session, key: str, provider: str, said: Mapping[str, Any], start: int, end: int, sent: int, got: int, cached: int, reasoning: int = 0,
    *, cost: float | None = None, finish: str = "", estimated: bool = False,
) -> None:  # fmt: skip
    if sent or got:
        usage = {name: value for name, value in said.items() if re.search(r"(?i)token", name)}
        model = text(said.get("model"))
        session.calls[key] = Call(
            key, provider, model, start, end, estimated, input=sent, output=got, cached=cached, reasoning=reasoning, cost=cost, usage=usage,
            finish=finish,
        )  # fmt: skip


def _tool(session: Session, key: object, name: object, arguments: object, result: object, end: int, said: Mapping[str, Any], *, failed: bool) -> None:
    known = text(key)
    if known:
        session.tools[known] = ToolUse(known, text(name), arguments, result, end - _duration(said), end, failed)


def _codex_time(record: Any, said: Mapping[str, Any]) -> int:
    """Its log records have the time in an attribute only."""
    return moment(said.get("event.timestamp")) or int(record.time_ns)


def _count(said: Mapping[str, Any], key: str) -> int:
    """A number, which some write as a text; 0 for what is none."""
    value = said.get(key)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _duration(said: Mapping[str, Any]) -> int:
    """Nanoseconds."""
    return _count(said, "duration_ms") * 1_000_000


def _is(value: object, word: str) -> bool:
    return str(value).lower() == word


_Teller = Callable[[Any, Mapping[str, Any], Session], None]
_LOGS: Final[Mapping[str, _Teller]] = {
    "api_request": _claude_call,
    "tool_result": _claude_tool,
    "codex.api_request": _codex_request,
    "codex.sse_event": _codex_call,
    "codex.tool_result": _codex_tool,
    "gemini_cli.api_response": _gemini_call,
    "gemini_cli.tool_call": _gemini_tool,
}
_SPANS: Final[Mapping[str, _Teller]] = {
    "ai.generateObject.doGenerate": _sdk_call,
    "ai.generateText.doGenerate": _sdk_call,
    "ai.streamObject.doStream": _sdk_call,
    "ai.streamText.doStream": _sdk_call,
    "ai.toolCall": _sdk_tool,
}
