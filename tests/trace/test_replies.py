"""Replies of models, put together from what providers send of them, in the terms of OpenTelemetry's GenAI conventions; `call.wrap` hears them."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from massgen_tracing.runs.coordinator import scripted
from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Interface, ScriptedCall, ScriptedEndpoint, Turn
from massgen_tracing.testing import Captured, capture
from massgen_tracing.trace import conversation
from massgen_tracing.trace.replies import Reply
from rehearsal.interfaces import INTERFACES
from tests.messages import checked
from tests.trace.test_facade import attributes

EACH = pytest.mark.parametrize("interface", [INTERFACES[0], *INTERFACES[3:]], ids=lambda interface: type(interface).__name__)

TURN = Turn(
    text="Let me look that up.",
    calls=(ScriptedCall("search", {"query": "forty-two", "deep": {"most": 3}}), ScriptedCall("list", {})),
    usage=Usage(100, 20, 8, 30),
)
CALLS = [("search", {"query": "forty-two", "deep": {"most": 3}}), ("list", {})]


def chunks(interface: Interface, turn: Turn) -> list[dict[str, Any]]:
    """The events that an endpoint of that interface sends."""
    reply = scripted.Reply(turn, f"{interface.kind}-any-1", "a-model")
    sent = "".join([*interface.events(reply), *interface.ending(reply, with_usage=True)])
    data = [line.removeprefix("data: ") for line in sent.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def call_of(captured: Captured) -> dict[str, Any]:
    (span,) = [span for span in captured.ended if span.name.startswith("llm.")]
    found = {"outcome": "error" if span.status.status_code is StatusCode.ERROR else "ok", **attributes(span)}
    said = found.get("gen_ai.output.messages")
    return {**found, "output": None if said is None else checked(said, output=True)}


def texts(message: dict[str, Any]) -> str:
    return "".join(part["content"] for part in message["parts"] if part["type"] == "text")


def calls(message: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(part["name"], part.get("arguments", {})) for part in message["parts"] if part["type"] == "tool_call"]


@EACH
def test_a_stream_of_events_gives_message_calls_and_usage(interface: Interface) -> None:
    """Of each interface: the text, each tool call with its arguments, why it stopped, and the tokens; the call ends with the stream."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        call = rnd.llm_call("any", model="a-model")
        heard = list(call.wrap(iter(chunks(interface, TURN))))
        assert not call.is_open
    assert heard == chunks(interface, TURN)
    found = call_of(captured)
    (message,) = found["output"]
    assert message["role"] == "assistant"
    assert texts(message) == TURN.text
    assert calls(message) == CALLS
    assert message["finish_reason"] in {"tool_call", "stop"}
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (100, 20)
    assert found["gen_ai.response.model"] == "a-model"
    assert found["gen_ai.response.finish_reasons"]
    assert found["gen_ai.response.time_to_first_chunk"] > 0
    assert found["outcome"] == "ok"


@pytest.mark.parametrize("asked", ["stream", "whole"])
def test_openais_client_is_heard(asked: str) -> None:
    """The objects of the real client, over HTTP; the wrapped stream is entered and closed as the client's own."""
    with ScriptedEndpoint(lambda _: TURN) as endpoint, capture() as captured:
        client = openai.OpenAI(base_url=f"{endpoint.address('any')}/v1", api_key="none")
        question: Any = {"model": "a-model", "messages": [{"role": "user", "content": "Why?"}]}
        call = captured.tracer.llm_call("openai", model="a-model")
        if asked == "whole":
            answer = call.wrap(client.chat.completions.create(**question))
            assert answer.choices[0].message.content == TURN.text
        else:
            with call.wrap(client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True})) as stream:
                assert stream.response.status_code == 200
                assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == TURN.text
        client.close()
    found = call_of(captured)
    assert (texts(found["output"][0]), calls(found["output"][0])) == (TURN.text, CALLS)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.reasoning.output_tokens"]) == (100, 8)


async def _async(events: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for event in events:
        await asyncio.sleep(0)
        yield event


@pytest.mark.parametrize("how", ["break", "close", "drop", "raise", "cancel"])
def test_a_stream_that_is_left_ends_its_call(how: str) -> None:
    """With what had come by then: cancelled where it was given up, failed where the consumer's block failed."""
    events = chunks(INTERFACES[0], TURN)

    async def consume(stream: Any) -> None:
        if how == "break":
            async with stream:
                async for _ in stream:
                    break
        elif how == "close":
            await anext(stream)
            await anext(stream)
            await stream.aclose()
        elif how == "drop":
            await anext(stream)
        elif how == "raise":
            async with stream:
                await anext(stream)
                raise ValueError("the consumer's own")
        else:
            async with asyncio.timeout(0):
                async for _ in stream:
                    pass

    with capture() as captured:
        call = captured.tracer.llm_call("openai")
        try:
            asyncio.run(consume(call.wrap(_async(events))))
        except (ValueError, TimeoutError):
            assert how in {"raise", "cancel"}
        gc.collect()
        assert not call.is_open
    found = call_of(captured)
    assert found.get("massgen.outcome", found["outcome"]) == ("error" if how == "raise" else "cancelled")


def test_an_error_of_the_stream_is_the_calls() -> None:
    """What the stream raises reaches the consumer, and the call has failed with it."""

    def broken() -> Iterator[dict[str, Any]]:
        yield from chunks(INTERFACES[0], TURN)[:3]
        raise ConnectionError("gone")

    with capture() as captured:
        call = captured.tracer.llm_call("openai")
        with pytest.raises(ConnectionError, match="gone"):
            list(call.wrap(broken()))
    found = call_of(captured)
    assert found["outcome"] == "error"
    assert found["output"][0]["parts"]


@pytest.mark.parametrize("given", [None, 3, "text", b"bytes", object()])
def test_what_is_no_answer_comes_back(given: object, swallowed: list[str]) -> None:
    """It is refused with a count; the program gets it as it was, and so it does where nothing is traced."""
    with capture() as captured:
        captured.tracer.spans.strict = False
        call = captured.tracer.llm_call("openai")
        assert call.wrap(given) is given
        call.end()
    assert swallowed == ["usage.argument.answer"]
    swallowed.clear()


def test_where_nothing_is_traced_the_stream_is_the_same() -> None:
    """A facade that is switched off gives back what it was given."""
    from massgen_tracing.trace.noop import NOOP_LLM_CALL

    stream = iter([1])
    assert NOOP_LLM_CALL.wrap(stream) is stream


@given(cuts=st.lists(st.integers(1, 6), max_size=30), text=st.text(max_size=80))
def test_a_text_is_the_same_in_whatever_pieces_it_comes(cuts: list[int], text: str) -> None:
    """Chat completions, Anthropic and Gemini."""
    pieces, rest = [], text
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    for event in (
        lambda piece: {"choices": [{"index": 0, "delta": {"content": piece}}]},
        lambda piece: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}},
        lambda piece: {"candidates": [{"content": {"parts": [{"text": piece}]}}]},
        lambda piece: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece},
    ):
        reply = Reply()
        for piece in pieces:
            reply.read(event(piece))
        assert "".join(texts(message) for message in reply.output()) == text


KEYS = [
    "type", "delta", "index", "choices", "message", "content", "parts", "item", "response", "output", "tool_calls", "function", "name",
    "arguments", "candidates", "output_index", "content_index", "object", "status", "chunk", "id", "finish_reason", "content_block", "summary",
    "text", "functionCall", "usage", "error", "role", "input", "messages",
]  # fmt: skip
KINDS = ["response.output_text.delta", "response.output_item.done", "content_block_delta", "message", "reasoning", "function_call"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner | st.sampled_from(KINDS), max_size=5),
    max_leaves=20,
)
EVENTS = [event for interface in (INTERFACES[0], *INTERFACES[3:]) for event in chunks(interface, TURN)]


@st.composite
def mangled(draw: st.DrawFn) -> dict[str, Any]:
    """An event of a real interface with something else in one of its places."""
    event: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(EVENTS)))
    places: list[tuple[Any, Any]] = []
    pending: list[Any] = [event]
    while pending:
        holder = pending.pop()
        inner = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, value in inner:
            places.append((holder, key))
            pending.append(value)
    holder, key = draw(st.sampled_from(places))
    holder[key] = draw(JSON)
    return event


@settings(max_examples=500)
@given(st.lists(mangled() | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), max_size=5))
def test_no_event_is_an_error(events: list[Any]) -> None:
    """Whatever a provider sends, messages come of it that are the conventions', or nothing; the consumer gets it as it was."""
    with capture() as captured:
        assert [*captured.tracer.llm_call("any").wrap(iter(events))] == events
        for event in events:
            with captured.tracer.llm_call("any") as call:
                call.record_content(input=conversation.of_request(event))
    for span in captured.ended:
        found = attributes(span)
        for key in {"gen_ai.input.messages", "gen_ai.output.messages"} & found.keys():
            checked(found[key], output="output" in key)


def test_of_many_messages_the_first_are_kept_and_a_note() -> None:
    """What is left out is a message that says so, where a list of messages was cut, and a part where their parts were."""
    many = [{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}] * 500
    parts = [{"role": "user", "parts": [{"type": "text", "content": "Why?"}] * 500}]
    with capture() as captured:
        for given in (many, parts):
            with captured.tracer.llm_call("any") as call:
                call.record_content(input=given)
    first, second = (json.loads(attributes(span)["gen_ai.input.messages"]) for span in captured.ended)
    checked(json.dumps(first))
    assert first[-1] == {"role": "cut", "parts": [{"type": "text", "content": "… [cut, 500 items]"}]}
    assert checked(json.dumps(second))[0]["parts"][-1] == {"type": "cut", "content": "… [cut, 500 items]"}


def test_a_reply_of_many_megabytes_is_kept_in_part() -> None:
    """No more is kept of a reply than an attribute can hold."""
    reply = Reply()
    for _ in range(200):
        reply.read({"choices": [{"delta": {"content": "x" * 10_000, "reasoning_content": "y" * 10_000}}]})
    assert sum(len(part["content"]) for part in reply.output()[0]["parts"]) == 2**16


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"role": "user", "content": "Why?"}, ("user", [{"type": "text", "content": "Why?"}])),
        ({"role": "developer", "content": "Be brief."}, ("system", [{"type": "text", "content": "Be brief."}])),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            ("assistant", [{"type": "tool_call", "name": "f", "id": "c1", "arguments": {"a": 1}}]),
        ),
        ({"role": "tool", "tool_call_id": "c1", "content": "42"}, ("tool", [{"type": "tool_call_response", "id": "c1", "response": "42"}])),
        (
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            ("tool", [{"type": "tool_call_response", "id": "c1", "response": "42"}]),
        ),
        (
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            ("assistant", [{"type": "tool_call", "name": "f", "id": "c1", "arguments": {}}]),
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "42"}]}]},
            ("tool", [{"type": "tool_call_response", "id": "c1", "response": "42"}]),
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}],
            },
            ("assistant", [{"type": "reasoning", "content": "Hm."}, {"type": "tool_call", "name": "f", "id": "c1", "arguments": {"a": 1}}]),
        ),
        (
            {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"functionCall": {"name": "f", "args": {"a": 1}}}]},
            ("assistant", [{"type": "reasoning", "content": "Hm."}, {"type": "tool_call", "name": "f", "arguments": {"a": 1}}]),
        ),
        (
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "tool_call", "id": "c1", "name": "f", "arguments": [1]}],
            },
            ("assistant", [{"type": "reasoning", "content": "Hm."}, {"type": "tool_call", "name": "f", "id": "c1", "arguments": [1]}]),
        ),
        (
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "42"}, {"type": "text", "content": "Done."}]},
            ("tool", [{"type": "tool_call_response", "id": "c1", "response": "42"}, {"type": "text", "content": "Done."}]),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
            },
            ("user", [{"type": "text", "content": "See:"}, {"type": "image_url"}]),
        ),
    ],
)
def test_messages_of_every_interface_are_the_conventions(given: dict[str, Any], parts: tuple[str, list[dict[str, Any]]]) -> None:
    """Role and parts, whoever has written them; of an image there is the kind."""
    message = conversation.message(given)
    assert (message["role"], message["parts"]) == parts
    checked(json.dumps([message]))


def test_an_object_that_is_no_dict_is_heard_too() -> None:
    """A client's own chunks, without pydantic."""
    chunk = SimpleNamespace(
        model="m", usage={"input_tokens": 3, "output_tokens": 4}, choices=[{"delta": {"content": "Yes."}, "finish_reason": "stop"}]
    )
    with capture() as captured:
        list(captured.tracer.llm_call("any").wrap([chunk]))
    found = call_of(captured)
    assert (found["gen_ai.usage.output_tokens"], found["output"]) == (
        4,
        [{"role": "assistant", "parts": [{"type": "text", "content": "Yes."}], "finish_reason": "stop"}],
    )
