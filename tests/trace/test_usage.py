"""What model calls report of their usage: in parts, by any provider's names, in any type of number."""

from __future__ import annotations

import decimal
import fractions
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import massgen_tracing as mt
from massgen_tracing import prices
from massgen_tracing.errors import UsageError
from massgen_tracing.testing import Captured, capture
from massgen_tracing.trace.reported import reported, usage_of
from massgen_tracing.trace.usage import Unfit, Usage, amount, count
from tests.trace.test_facade import attributes

MODEL = "gpt-4o"


def priced(input: int, output: int, cached: int = 0) -> float:  # noqa: A002 - as the facade has it
    cost = prices.estimate("openai", MODEL, input, output, cached)
    assert cost is not None
    return cost


def call_attributes(captured: Captured) -> dict[str, Any]:
    """Those of the one model call."""
    [span] = [span for span in captured.ended if span.name.startswith("llm.")]
    return attributes(span)


def test_usage_in_parts_is_whole_in_tokens_cost_and_round() -> None:
    """Each report adds what it knows; the cost is that of all tokens."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        with rnd.llm_call("openai", model=MODEL) as call:
            call.record_usage(input=1000)
            call.record_usage(output=500)
    found = call_attributes(captured)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (1000, 500)
    assert found["operation.cost"] == pytest.approx(priced(1000, 500))
    total = attributes(captured.find("agent.a.round_0"))
    assert (total["massgen.usage.input"], total["massgen.usage.output"], total["massgen.usage.cost"]) == (1000, 500, found["operation.cost"])


def test_a_later_value_of_a_field_replaces_and_a_reported_cost_stays() -> None:
    """Providers report running totals; what they say of the cost goes before the price list until they say another."""
    with capture() as captured, captured.tracer.llm_call("openai", model=MODEL) as call:
        call.record_usage(input=10, output=1, cost=0.5)
        call.record_usage(output=100, cached_input=4)
    found = call_attributes(captured)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"], found["gen_ai.usage.cache_read.input_tokens"]) == (10, 100, 4)
    assert found["operation.cost"] == 0.5
    with capture() as captured, captured.tracer.llm_call("openai", model=MODEL) as call:
        call.record_usage(input=10, output=1, cost=0.5)
        call.record_usage(cost=decimal.Decimal("0.75"))  # type: ignore[arg-type]  # taken all the same
    assert call_attributes(captured)["operation.cost"] == 0.75


@pytest.mark.parametrize("before", [True, False])
def test_a_model_that_only_the_answer_names_is_priced(before: bool) -> None:
    """Whether the answer's model is known before the usage or after it; the requested one goes first where the list knows it."""
    with capture() as captured, captured.tracer.llm_call("openai") as call:
        if before:
            call.record_response(model=MODEL)
        call.record_usage(input=1000, output=500)
        if not before:
            call.record_response(model=MODEL)
    assert call_attributes(captured)["operation.cost"] == pytest.approx(priced(1000, 500))
    with capture() as captured, captured.tracer.llm_call("openai", model="my-deployment") as call:
        call.record_usage(input=1000, output=500)
        call.record_response(model=MODEL)
    assert call_attributes(captured)["operation.cost"] == pytest.approx(priced(1000, 500))
    assert "massgen.cost_unknown" not in call_attributes(captured)


def test_a_call_used_again_begins_with_nothing() -> None:
    """What the first use has cost is not counted twice."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        call = rnd.llm_call("openai", model=MODEL)
        for tokens in (100, None):
            with call:
                call.record_usage(input=tokens)
    assert attributes(captured.find("agent.a.round_0"))["massgen.usage.input"] == 100


# --- numbers -----------------------------------------------------------------------------------------------------------------------

COUNTS = [12, 12.0, "12", " 12 ", "12.0", decimal.Decimal(12), np.int64(12), np.uint8(12), np.float32(12), fractions.Fraction(12)]
NO_COUNTS: list[Any] = [True, np.bool_(True), -1, 1.5, "many", "", float("nan"), float("inf"), decimal.Decimal("NaN"), 1j, b"12", [12], 10**30,
                        "9" * 50, np.array([1, 2])]  # fmt: skip


@pytest.mark.parametrize("number", COUNTS, ids=repr)
def test_counts_of_any_type(number: Any) -> None:
    """Where the meaning is plain, the type does not matter; what is recorded is an integer."""
    with capture() as captured, captured.tracer.llm_call("openai") as call:
        call.record_usage(input=number, output=number)
    found = call_attributes(captured)["gen_ai.usage.input_tokens"]
    assert (found, type(found)) == (12, int)


@pytest.mark.parametrize("number", NO_COUNTS, ids=repr)
def test_what_is_no_count_is_refused_and_the_rest_stays(number: Any, swallowed: list[str], tmp_path: Any) -> None:
    """One counted warning; what was known, and what else was given, holds."""
    with pytest.raises(Unfit, match="a whole number"):
        count(number)
    tracer = mt.configure(root=tmp_path)
    with tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        with rnd.llm_call("openai") as call:
            call.record_usage(input=7, output=1)
            call.record_usage(output=number, reasoning=3)
        assert rnd.usage[:3] == (7, 1, 3)
    assert swallowed == ["usage.argument.output"]
    swallowed.clear()


@pytest.mark.parametrize("cost", [decimal.Decimal("0.01"), "0.01", 0.01, np.float64(0.01), fractions.Fraction(1, 100)], ids=repr)
def test_costs_of_any_type_are_summed(cost: Any) -> None:
    """The round ends, with the right sum, as a float."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        for each in (cost, 0.02):
            with rnd.llm_call("openai", model="m") as call:
                call.record_usage(input=1, output=1, cost=each)
    total = attributes(captured.find("agent.a.round_0"))["massgen.usage.cost"]
    assert (type(total), total) == (float, pytest.approx(0.03))
    assert captured.open == {}


@given(st.one_of(st.floats(), st.integers(), st.text(), st.decimals(), st.fractions(), st.complex_numbers(), st.none(), st.binary()))
def test_a_number_is_taken_exactly_or_refused(value: Any) -> None:
    """Nothing but `Unfit` is raised; what comes out is finite and not negative."""
    for read in (count, amount):
        try:
            found = read(value)
        except Unfit:
            continue
        assert 0 <= found < float("inf")
        assert type(found) is (int if read is count else float)
        if isinstance(value, int) and read is count:
            assert found == value


@pytest.mark.parametrize("usage", [Usage(1, 2), Usage(decimal.Decimal(1), "2"), {"input_tokens": 1, "output_tokens": 2}])  # type: ignore[arg-type]
def test_a_rounds_usage_may_be_added_in_any_form(usage: Any) -> None:
    """`add_usage` reads what `record_usage` does."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        rnd.add_usage(usage)
    total = attributes(captured.find("agent.a.round_0"))
    assert (total["massgen.usage.input"], total["massgen.usage.output"]) == (1, 2)


def test_a_round_ends_whatever_its_usage_is(swallowed: list[str], tmp_path: Any) -> None:
    """What a subclass or a stranger puts there costs the sum, not the end."""
    tracer = mt.configure(root=tmp_path)
    with tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        rnd._used.append("broken")  # type: ignore[arg-type]
    assert not rnd.is_open
    assert not rnd.span.is_recording()
    assert swallowed == ["handle.end"]
    swallowed.clear()


# --- providers' names --------------------------------------------------------------------------------------------------------------

OPENAI_CHAT = {
    "prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 800, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 100},
}  # fmt: skip
OPENAI_RESPONSES = {
    "input_tokens": 1200, "output_tokens": 300, "input_tokens_details": {"cached_tokens": 800}, "output_tokens_details": {"reasoning_tokens": 100},
}  # fmt: skip
ANTHROPIC = {
    "input_tokens": 300, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 100, "output_tokens": 300,
    "output_tokens_details": {"thinking_tokens": 100},
}  # fmt: skip
GEMINI = {"prompt_token_count": 1200, "candidates_token_count": 200, "thoughts_token_count": 100, "cached_content_token_count": 800}
GEMINI_REST = {"promptTokenCount": 1100, "toolUsePromptTokenCount": 100, "candidatesTokenCount": 200, "thoughtsTokenCount": 100,
               "cachedContentTokenCount": 800}  # fmt: skip
OTEL = {"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 300, "gen_ai.usage.cache_read.input_tokens": 800,
        "gen_ai.usage.reasoning.output_tokens": 100}  # fmt: skip
LANGCHAIN = {"input_tokens": 1200, "output_tokens": 300, "input_token_details": {"cache_read": 800}, "output_token_details": {"reasoning": 100}}
OURS = {"input": 1200, "output": 300, "cached_input": 800, "reasoning": 100}
WHOLE = Usage(1200, 300, 100, 800)
USAGES: dict[str, Any] = {
    "openai chat": OPENAI_CHAT,
    "openai responses": OPENAI_RESPONSES,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "gemini rest": GEMINI_REST,
    "otel": OTEL,
    "langchain": LANGCHAIN,
    "ours": OURS,
    "ours as a tuple": WHOLE,
}


class Slots:
    """An object that has attributes and no dictionary."""

    __slots__ = ("input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.input_tokens, self.output_tokens = 3, 4


@pytest.mark.parametrize("name", USAGES)
@pytest.mark.parametrize("form", ["usage", "dict", "object", "raw", "event"])
def test_usage_is_read_by_its_providers_names(name: str, form: str) -> None:
    """Given alone, in the answer or in an event of its stream; cached tokens are a part of the input, reasoning of the output."""
    usage = USAGES[name]
    with capture() as captured, captured.tracer.llm_call("openai") as call:
        match form:
            case "usage":
                call.record_usage(usage)
            case "dict":
                call.record_usage({"id": "r1", "model": MODEL, "usage": usage, "choices": []})
            case "object":
                call.record_usage(SimpleNamespace(id="r1", model=MODEL, usage=SimpleNamespace(**usage) if isinstance(usage, dict) else usage))
            case "raw":
                call.record_usage(raw=usage)
            case _:
                call.record_usage({"type": "response.completed", "response": {"id": "r1", "model": MODEL, "usage": usage}})
    found = call_attributes(captured)
    assert found["gen_ai.usage.input_tokens"] == 1200
    assert found["gen_ai.usage.output_tokens"] == 300
    assert found["gen_ai.usage.reasoning.output_tokens"] == 100
    assert found["gen_ai.usage.cache_read.input_tokens"] == 800
    if form not in {"usage", "raw"}:
        assert (found["gen_ai.response.model"], found["gen_ai.response.id"]) == (MODEL, "r1")
        assert found["operation.cost"] == pytest.approx(priced(1200, 300, 800))


def test_real_answers_of_the_client_libraries() -> None:
    """OpenAI's own classes."""
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletion

    answer = ChatCompletion(
        id="c1",
        choices=[],
        created=0,
        model=MODEL,
        object="chat.completion",
        usage=CompletionUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7),
    )
    assert usage_of(reported(answer).usage) == Usage(3, 4)
    assert (reported(answer).model, reported(answer).id) == (MODEL, "c1")


def test_anthropics_two_events_are_one_usage() -> None:
    """The first says what was sent, cached tokens apart; the second what has come, which replaces the first's placeholder."""
    with capture() as captured, captured.tracer.llm_call("anthropic", model="claude-sonnet-4-5") as call:
        start = {"id": "m1", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 1}}
        call.record_usage({"type": "message_start", "message": start})
        call.record_usage({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 500}})
    found = call_attributes(captured)
    assert found["gen_ai.usage.input_tokens"] == 1200
    assert found["gen_ai.usage.cache_read.input_tokens"] == 200
    assert found["gen_ai.usage.output_tokens"] == 500
    assert found["massgen.usage.raw"] == {"input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 500}
    assert found["operation.cost"] > 0


def test_objects_without_a_dictionary_are_read() -> None:
    """By the names that are asked for."""
    assert usage_of(reported(Slots()).usage) == Usage(3, 4)


@pytest.mark.parametrize(
    "answer",
    [{}, [], "text", {"usage": None}, {"usage": {"total_tokens": 5}}, object(), {"input_tokens": "many"}],
    ids=lambda answer: type(answer).__name__ if type(answer) is object else repr(answer),
)
def test_what_reports_nothing_is_one_counted_warning(answer: Any, swallowed: list[str], tmp_path: Any) -> None:
    """It says what was expected."""
    tracer = mt.configure(root=tmp_path)
    with tracer.llm_call("openai") as call:
        call.record_usage(answer)
    assert [kind.startswith("usage.argument.input") for kind in swallowed] == ([] if answer == {"usage": {"total_tokens": 5}} else [True])
    swallowed.clear()


@pytest.mark.parametrize("when", ["never entered", "after its block", "after a stream that it wraps"])
def test_usage_outside_of_its_call_is_said(when: str) -> None:
    """It is not recorded, and whoever gives it is told when to."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        call = rnd.llm_call("openai", model=MODEL)
        if when == "after its block":
            with call:
                pass
        elif when != "never entered":
            list(call.wrap(iter([{"id": "1", "choices": []}])))
        with pytest.raises(UsageError, match="has not started" if when == "never entered" else "has ended"):
            call.record_usage(input=3, output=2)
