"""What a provider's answer says of itself, read off the bytes, whatever pieces they come in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.runs.massgen import wire
from massgen_tracing.runs.massgen.wire import Answer, usage_in
from massgen_tracing.trace.replies import Facts
from massgen_tracing.trace.reported import usage_of


def _events(*messages: dict[str, Any]) -> bytes:
    return b"".join(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n" for message in messages)


CHAT = _events(
    {"id": "chatcmpl-1", "model": "gpt-5-mini", "choices": [{"delta": {"content": "Hello"}, "finish_reason": None}]},
    *({"id": "chatcmpl-1", "model": "gpt-5-mini", "choices": [{"delta": {"content": f" word {n}"}, "finish_reason": None}]} for n in range(400)),
    {"id": "chatcmpl-1", "model": "gpt-5-mini", "choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    {
        "id": "chatcmpl-1",
        "choices": [],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 8},
            "cost": 0.5,
        },
    },
)
RESPONSES = _events(
    {"type": "response.created", "response": {"id": "resp_1", "object": "response", "model": "gpt-5", "status": "in_progress"}},
    {"type": "response.output_text.delta", "delta": "Hello", "item_id": "msg_1"},
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1",
            "object": "response",
            "model": "gpt-5",
            "status": "completed",
            "usage": {
                "input_tokens": 7,
                "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 1},
            },
        },
    },
)
ANTHROPIC = _events(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "model": "claude-x",
            "stop_reason": None,
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5, "output_tokens": 1},
        },
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}},
)
GEMINI = _events(
    {
        "responseId": "r1",
        "modelVersion": "gemini-x",
        "candidates": [{"content": {}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "cachedContentTokenCount": 2},
    },
)


LONG = _events(
    {"type": "response.created", "response": {"id": "resp_2", "object": "response", "model": "gpt-5", "instructions": "rules " * 4000}},
    {
        "type": "response.incomplete",
        "response": {
            "id": "resp_2",
            "object": "response",
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "word " * 8000}]}],
            "usage": {"input_tokens": 7, "output_tokens": 5},
            "instructions": "rules " * 4000,
        },
    },
)
"""Events that say again all that they were asked."""

THINKING = _events(
    {"type": "message_start", "message": {"id": "msg_2", "model": "claude-x", "usage": {"input_tokens": 10, "cache_read_input_tokens": 30}}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use"},
        "usage": {"input_tokens": 10, "output_tokens": 12, "output_tokens_details": {"thinking_tokens": 4}},
    },
)
"""The last event has the input again, without what was cached of it."""

SPLIT = (
    b'id: 7\nevent: message\ndata: {"id": "c",\ndata:  "model": "m",\n'
    b'data: "choices": [{"finish_reason": "length"}], "usage": {"prompt_tokens": 1}}\n\n'
)
"""One event over several lines."""

ARRAY = json.dumps(
    [
        {"responseId": "r2", "modelVersion": "gemini-y", "candidates": [{"content": {}}]},
        {"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1}},
    ],
    indent=2,
).encode()
"""What Gemini streams to those who do not ask for events."""

LINES = b'{"id": "l", "model": "m"}\n{"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 2}}\n'


@pytest.mark.parametrize(
    ("body", "id_", "model", "reasons", "tokens"),
    [
        (CHAT, "chatcmpl-1", "gpt-5-mini", ["tool_calls"], (100, 20, 8, 64, 0.5)),
        (RESPONSES, "resp_1", "gpt-5", ["completed"], (7, 5, 1, 2, None)),
        (ANTHROPIC, "msg_1", "claude-x", ["end_turn"], (45, 12, None, 30, None)),
        (GEMINI, "r1", "gemini-x", ["STOP"], (9, 7, 3, 2, None)),
        (CHAT.replace(b"\n", b"\r\n"), "chatcmpl-1", "gpt-5-mini", ["tool_calls"], (100, 20, 8, 64, 0.5)),
        (ANTHROPIC.replace(b"\n", b"\r"), "msg_1", "claude-x", ["end_turn"], (45, 12, None, 30, None)),
        (LONG, "resp_2", "gpt-5", ["max_output_tokens"], (7, 5, None, None, None)),
        (THINKING, "msg_2", "claude-x", ["tool_use"], (40, 12, 4, 30, None)),
        (SPLIT, "c", "m", ["length"], (1, None, None, None, None)),
        (SPLIT.rstrip(), "c", "m", ["length"], (1, None, None, None, None)),
        (ARRAY, "r2", "gemini-y", ["MAX_TOKENS"], (5, 1, None, None, None)),
        (LINES, "l", "m", ["stop"], (2, None, None, None, None)),
    ],
    ids=[
        "chat completions",
        "responses",
        "anthropic",
        "gemini",
        "chat completions, CRLF",
        "anthropic, CR",
        "responses, long events",
        "anthropic, thinking",
        "an event over several lines",
        "an event that nothing follows",
        "gemini, no events",
        "a document a line",
    ],
)
@given(pieces=st.lists(st.integers(1, 700), min_size=1, max_size=20))
def test_each_provider_is_understood(body: bytes, id_: str, model: str, reasons: list[str], tokens: tuple[Any, ...], pieces: list[int]) -> None:
    """Id, model, why it stopped and tokens are found however the network cuts the answer; cached tokens are part of the input everywhere."""
    answer = Answer()
    at = turn = 0
    while at < len(body):
        answer.add(body[at : at + pieces[turn % len(pieces)]])
        at += pieces[turn % len(pieces)]
        turn += 1
    facts = answer.reply().facts
    assert (facts.id, facts.model, facts.finish_reasons) == (id_, model, reasons)
    assert usage_of(facts.usage) == tokens


@given(st.binary(max_size=3000))
def test_any_bytes_are_survived(body: bytes) -> None:
    """An answer in no known form says nothing, and does no harm."""
    answer = Answer()
    answer.add(b'data: {"id": 3, "choices": "none", "usage": [1], "response": {"usage": "much"}}\n')
    answer.add(body)
    assert isinstance(answer.reply().facts, Facts)


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        ({"error": {"code": 502, "message": "gone"}}, "502", "gone"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded_error", "Overloaded"),
        ({"type": "error", "code": "server_error", "message": "sorry"}, "server_error", "sorry"),
        (
            {"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}},
            "rate_limit_exceeded",
            "slow",
        ),
        ({"error": {"code": 503, "status": "UNAVAILABLE", "message": "later"}}, "503", "later"),
        ({"error": {"message": "no kind"}}, "_OTHER", "no kind"),
    ],
    ids=["chat completions", "anthropic", "responses", "responses, failed", "gemini", "of no kind"],
)
def test_an_error_in_a_stream_is_seen(event: dict[str, Any], kind: str, text: str) -> None:
    """Each provider has its own way to say that it cannot go on."""
    answer = Answer()
    answer.add(_events({"id": "c", "error": None}, event))
    assert answer.reply().facts.error == (kind, text)


def test_comments_are_no_beginning() -> None:
    """A server keeps the connection open with comments; the answer begins with its first event, or its first bytes where it is no stream."""
    for body in (CHAT, ARRAY):
        answer = Answer()
        if body is CHAT:
            answer.add(b": PROCESSING\n\n: PROCESSING\n\nevent: message\n")
        answer.add(b"")
        assert not answer.begun
        answer.add(body)
        assert answer.begun


def test_what_is_too_large_to_be_kept_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event without an end costs no more memory than the limit; what came before it is known."""
    monkeypatch.setattr(wire, "_MOST", 1000)
    answer = Answer()
    answer.add(CHAT + b"data: ")
    for _ in range(100):
        answer.add(b"x" * 100)
    assert sum(map(len, answer._line)) < 1000
    assert answer.reply().facts.id == "chatcmpl-1"


def test_a_whole_answer_over_several_lines_is_understood() -> None:
    """Not every answer is a stream."""
    answer = Answer()
    answer.add(json.dumps({"id": "c", "model": "m", "choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}, indent=2).encode())
    facts = answer.reply().facts
    assert (facts.id, facts.model, facts.finish_reasons) == ("c", "m", ["stop"])
    assert usage_of(facts.usage) == (1, None, None, None, None)


def test_usage_that_is_not_reported_is_unknown() -> None:
    """Unknown is not 0, and an empty usage is none."""
    assert [usage_in(said) for said in (None, {}, [1], {"prompt_tokens": None}, {"prompt_tokens": "many"}, {"cost": 1.0})] == [None] * 6
    assert usage_in({"prompt_tokens": 3}) == {"prompt_tokens": 3}
