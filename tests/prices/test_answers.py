"""What a call costs by the answer of its provider: the same as genai-prices makes of that answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import calc_price, extract_usage
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing import prices
from massgen_tracing.testing import capture
from massgen_tracing.trace.reported import priced_apart, reported, usage_of

SPEAKING = "gpt-realtime"
"""A model whose list has a price for sound."""

GEMINI = {"promptTokenCount": 1000, "candidatesTokenCount": 10}

COUNT = st.integers(0, 400_000)


def ours(provider: str, model: str, answer: dict[str, Any]) -> float | None:
    """What a call with that answer is said to cost."""
    with capture() as captured:
        with captured.tracer.session("What?", agents=["a"]) as session, session.agent_round("a") as rnd:
            with rnd.llm_call(provider, model=model) as call:
                call.record_usage(answer)
        attributes = captured.find(f"llm.{provider}.stream").attributes
    assert attributes is not None
    cost = attributes.get("operation.cost")
    assert cost is None or isinstance(cost, float)
    return cost


def theirs(provider: str, model: str, answer: dict[str, Any], flavor: str) -> float:
    """The library's answer."""
    usage = extract_usage(answer, provider_id=provider, api_flavor=flavor).usage
    return float(calc_price(usage, model_ref=model, provider_id=provider).total_price)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_claude_is_paid_for_what_it_kept_and_for_how_long(fresh: int, read: int, minutes: int, hour: int, output: int) -> None:
    """Tokens that were written to the cache for five minutes and for an hour have rates of their own; a long prompt has others."""
    kept = {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour}
    usage = {"input_tokens": fresh, "output_tokens": output, "cache_read_input_tokens": read, "cache_creation_input_tokens": minutes + hour}
    answer = {"model": "claude-sonnet-4-5", "usage": {**usage, "cache_creation": kept}}
    assert ours("anthropic", "claude-sonnet-4-5", answer) == pytest.approx(theirs("anthropic", "claude-sonnet-4-5", answer, "default"))


@given(COUNT, COUNT, COUNT, COUNT)
def test_openai_is_paid_for_what_it_kept(fresh: int, read: int, written: int, output: int) -> None:
    """By chat completions and by responses."""
    details = {"cached_tokens": read, "cache_write_tokens": written}
    chat = {"prompt_tokens": fresh + read + written, "completion_tokens": output, "prompt_tokens_details": details}
    responses = {"input_tokens": fresh + read + written, "output_tokens": output, "input_tokens_details": details}
    for flavor, usage in (("chat", chat), ("responses", responses)):
        answer = {"model": "gpt-5.6", "usage": usage}
        assert ours("openai", "gpt-5.6", answer) == pytest.approx(theirs("openai", "gpt-5.6", answer, flavor))


@given(COUNT, COUNT, COUNT, COUNT)
def test_gemini_is_paid_for_the_prompts_of_its_tools_and_for_thoughts(prompt: int, tools: int, candidates: int, thoughts: int) -> None:
    """It counts them beside the prompt and beside the candidates."""
    usage = {"promptTokenCount": prompt, "toolUsePromptTokenCount": tools, "candidatesTokenCount": candidates, "thoughtsTokenCount": thoughts}
    answer = {"modelVersion": "gemini-2.5-pro", "usageMetadata": usage}
    assert ours("google", "gemini-2.5-pro", answer) == pytest.approx(theirs("google", "gemini-2.5-pro", answer, "default"))


@given(COUNT, COUNT, COUNT)
def test_grok_is_paid_for_its_reasoning(prompt: int, completion: int, reasoning: int) -> None:
    """It counts it beside the completion, as the total shows; who counts it within is not paid twice."""
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    beside = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion + reasoning, **details}
    answer = {"model": "grok-4-0709", "usage": beside}
    assert ours("x-ai", "grok-4-0709", answer) == pytest.approx(theirs("x-ai", "grok-4-0709", answer, "chat"))
    within = {"prompt_tokens": prompt, "completion_tokens": completion + reasoning, "total_tokens": prompt + completion + reasoning, **details}
    answer = {"model": "gpt-5", "usage": within}
    assert ours("openai", "gpt-5", answer) == pytest.approx(theirs("openai", "gpt-5", answer, "chat"))


def test_sound_has_its_own_price() -> None:
    """In and out; where it was read from a cache too, nobody says how much of it, and the call has a price all the same."""
    usage: dict[str, Any] = {"prompt_tokens": 1000, "completion_tokens": 500}
    written = ours("openai", SPEAKING, {"model": SPEAKING, "usage": usage})
    usage["prompt_tokens_details"] = {"audio_tokens": 800}
    usage["completion_tokens_details"] = {"audio_tokens": 400}
    spoken = ours("openai", SPEAKING, {"model": SPEAKING, "usage": usage})
    assert spoken == pytest.approx(theirs("openai", SPEAKING, {"model": SPEAKING, "usage": usage}, "chat"))
    assert spoken is not None
    assert written is not None
    assert spoken > written
    usage["prompt_tokens_details"]["cached_tokens"] = 900
    assert ours("openai", SPEAKING, {"model": SPEAKING, "usage": usage}) is not None


def test_what_gemini_hears_has_its_own_price() -> None:
    """It gives its tokens by their kind."""
    kinds = [{"modality": "TEXT", "tokenCount": 200}, {"modality": "AUDIO", "tokenCount": 800}]
    answer = {
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 10, "promptTokensDetails": kinds},
    }
    heard = ours("google", "gemini-2.5-flash", answer)
    assert heard == pytest.approx(theirs("google", "gemini-2.5-flash", answer, "default"))
    assert heard != pytest.approx(prices.estimate("google", "gemini-2.5-flash", 1000, 10))


@pytest.mark.parametrize(
    ("provider", "model", "answer", "share"),
    [
        ("openai", "gpt-5", {"service_tier": "flex", "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}, 0.5),
        ("openai", "gpt-5", {"service_tier": "default", "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}, 1),
        ("openai", "gpt-5", {"service_tier": "priority", "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}, None),
        ("anthropic", "claude-sonnet-4-5", {"usage": {"input_tokens": 1000, "output_tokens": 10, "service_tier": "batch"}}, 0.5),
        ("anthropic", "claude-sonnet-4-5", {"usage": {"input_tokens": 1000, "output_tokens": 10, "service_tier": "standard"}}, 1),
        ("google", "gemini-2.5-pro", {"usageMetadata": {**GEMINI, "trafficType": "ON_DEMAND"}}, 1),
        ("google", "gemini-2.5-pro", {"usageMetadata": {**GEMINI, "trafficType": "PROVISIONED_THROUGHPUT"}}, None),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_what_can_wait_costs_half_and_what_the_list_does_not_know_is_unknown(
    provider: str, model: str, answer: dict[str, Any], share: float | None
) -> None:
    """By the tier that the answer names."""
    whole = prices.estimate(provider, model, 1000, 10)
    assert whole is not None
    assert ours(provider, model, {"model": model, **answer}) == (None if share is None else pytest.approx(whole * share))


def test_a_call_costs_what_it_cost_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own start is the time that the price list is asked for, not the time of its end."""
    asked: list[float | None] = []

    def price(*_: object, at: float | None = None, **__: object) -> float:
        asked.append(at)
        return 1.0

    with capture() as captured:
        monkeypatch.setattr(captured.tracer.spans, "price", price)
        with captured.tracer.session("What?", agents=["a"]) as session, session.agent_round("a") as rnd:
            with rnd.llm_call("openai", model="gpt-5") as call:
                call.record_usage(input=1, output=1)
        span = captured.find("llm.openai.stream")
    assert span.start_time is not None
    assert asked == [span.start_time / 1e9]


def test_prices_change_with_time() -> None:
    """What a model costs on a day is what it cost on that day."""
    before, after = (datetime(2025, 6, day, tzinfo=UTC).timestamp() for day in (9, 11))
    earlier, later = (prices.estimate("openai", "o3", 1_000_000, 0, at=at) for at in (before, after))
    assert earlier is not None
    assert later is not None
    assert earlier > later


def test_a_reported_cost_of_nothing_is_a_cost() -> None:
    """A provider that says that the call was free is believed."""
    answer = {"model": "gpt-5", "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "cost": 0}}
    assert ours("openai", "gpt-5", answer) == 0


def test_models_of_ones_own_cost_nothing_by_the_list() -> None:
    """Whatever others charge for the same model: the list is not asked, and the cost is unknown."""
    for provider in ("lmstudio", "ollama", "vllm", "sglang"):
        assert ours(provider, "deepseek-r1:7b", {"model": "deepseek-r1:7b", "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}) is None


def test_what_has_a_price_of_its_own_is_named_as_the_price_list_names_it() -> None:
    """Nothing where there is nothing."""
    answer = {"usage": {"input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 7}}}
    said = reported(answer).usage
    assert priced_apart(said) == {"cache_write_tokens": 7, "cache_write_1h_tokens": 7}
    assert usage_of(said).input == 17
    assert priced_apart({"prompt_tokens": 3, "completion_tokens": 4}) == {}
