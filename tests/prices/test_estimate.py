"""What a model call costs, by the price list."""

from __future__ import annotations

import decimal
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiProviderNameValues, GenAiSystemValues

import massgen_tracing as mt
from massgen_tracing import prices
from massgen_tracing.prices import names
from massgen_tracing.prices.catalog import Catalog


@pytest.fixture(autouse=True)
def _the_packages_own_list() -> Iterator[None]:
    yield
    prices.use(None)


def test_a_known_model_has_a_price() -> None:
    """Tokens sent and received each have their own."""
    cost = prices.estimate("openai", "gpt-4o", 1_000_000, 0)
    assert cost is not None
    assert cost > 0
    both = prices.estimate("openai", "gpt-4o", 1_000_000, 1_000_000)
    assert both is not None
    assert both > 2 * cost


def test_an_unknown_model_has_none() -> None:
    """Unknown is not free."""
    assert prices.estimate("openai", "no-such-model-9", 1000, 1000) is None
    assert prices.estimate("nobody", "no-such-model-9", 1000, 1000) is None
    assert prices.estimate("", "", 1, 1) is None


def test_cached_tokens_are_a_part_of_those_sent() -> None:
    """They make a call cheaper, never dearer, and are not added to the others."""
    plain = prices.estimate("openai", "gpt-4o", 1000, 0)
    cached = prices.estimate("openai", "gpt-4o", 1000, 0, 800)
    all_cached = prices.estimate("openai", "gpt-4o", 1000, 0, 1000)
    assert plain is not None
    assert cached is not None
    assert all_cached is not None
    assert 0 < all_cached < cached < plain
    assert cached == pytest.approx(plain * 0.2 + all_cached * 0.8)


GPT_4O, SONNET, GEMINI = ("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-flash")


@pytest.mark.parametrize(
    ("provider", "model", "listed"),
    [
        # MassGen's
        ("claude", "claude-sonnet-4-5", SONNET),
        ("claude_code", "claude-sonnet-4-5-20250929", SONNET),
        ("codex", "gpt-4o", GPT_4O),
        ("grok", "grok-4-0709", ("x-ai", "grok-4-0709")),
        ("azure_openai", "gpt-4o", GPT_4O),
        ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo")),
        ("fireworks_ai", "accounts/fireworks/models/deepseek-v4-pro", ("fireworks", "deepseek-v4-pro")),
        ("kimi", "kimi-k2-0905-preview", ("moonshotai", "kimi-k2-0905-preview")),
        ("chatcompletion", "gpt-4o", GPT_4O),
        ("somebody", "gpt-4o", GPT_4O),
        ("Anthropic", "Claude-Sonnet-4-5", SONNET),
        # litellm's, with its name as the provider's or with the provider's
        ("litellm", "openai/gpt-4o", GPT_4O),
        ("openai", "openai/gpt-4o", GPT_4O),
        ("litellm", "anthropic/claude-sonnet-4-5-20250929", SONNET),
        ("openai", "anthropic/claude-sonnet-4-5", SONNET),
        ("litellm", "vertex_ai/gemini-2.5-flash", GEMINI),
        ("litellm", "vertex_ai/claude-sonnet-4-5@20250929", ("google", "claude-sonnet-4-5")),
        ("litellm", "gemini/gemini-2.5-flash", GEMINI),
        ("litellm", "openrouter/openai/gpt-5", ("openrouter", "openai/gpt-5")),
        ("openrouter", "openrouter/openai/gpt-5", ("openrouter", "openai/gpt-5")),
        ("openrouter", "openai/gpt-5", ("openrouter", "openai/gpt-5")),
        ("openrouter", "gpt-4o", GPT_4O),
        ("litellm", "azure/gpt-4o", GPT_4O),
        ("azure", "azure/eu/gpt-4o-2024-08-06", GPT_4O),
        ("openai", "azure_ai/gpt-4o", GPT_4O),
        ("litellm", "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0", ("aws", "regional.anthropic.claude-3-5-sonnet-20240620-v1:0")),
        ("bedrock", "bedrock/us-east-1/meta.llama3-70b-instruct-v1:0", ("aws", "meta.llama3-70b-instruct-v1:0")),
        ("litellm", "bedrock/converse/us.amazon.nova-pro-v1:0", ("aws", "amazon.nova-pro-v1:0")),
        ("litellm", "groq/openai/gpt-oss-120b", ("groq", "openai/gpt-oss-120b")),
        ("litellm", "xai/grok-4-0709", ("x-ai", "grok-4-0709")),
        ("litellm", "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo")),
        ("litellm_proxy", "gpt-4o", GPT_4O),
        # as providers report them
        ("openai", "gpt-4o-2024-08-06", GPT_4O),
        ("openai", "gpt-4o-2031-12-24", GPT_4O),
        ("openai", "gpt-4o-20240806", GPT_4O),
        ("azure.ai.openai", "gpt-4o-2031-12-24", GPT_4O),
        ("google", "models/gemini-2.5-flash", GEMINI),
        ("gcp.vertex_ai", "projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-flash", GEMINI),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ("aws", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0")),
        ("aws.bedrock", "sa.amazon.titan-text-lite-v1", ("aws", "amazon.titan-text-lite-v1")),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0", ("aws", "amazon.nova-pro-v1:0")),
    ],
)
def test_models_under_any_of_their_names(provider: str, model: str, listed: tuple[str, str]) -> None:
    """Names of MassGen, of litellm and of providers mean models of the list. Azure sells OpenAI's at OpenAI's prices."""
    seller, id_ = listed
    (entry,) = [entry for entry in Catalog.own()._models(seller) if entry["id"] == id_]
    assert names.prices(Catalog.own(), provider, model) == entry["prices"]
    assert prices.estimate(provider, model, 123_456, 7_890)


_MODELS: Final = {
    "anthropic": "claude-sonnet-4-5",
    "aws.bedrock": "amazon.nova-pro-v1:0",
    "az.ai.inference": "phi-4",
    "az.ai.openai": "gpt-4o",
    "azure.ai.inference": "phi-4",
    "azure.ai.openai": "gpt-4o",
    "cohere": "command-r-08-2024",
    "deepseek": "deepseek-chat",
    "gcp.gemini": "gemini-2.5-flash",
    "gcp.gen_ai": "gemini-2.5-flash",
    "gcp.vertex_ai": "gemini-2.5-flash",
    "gemini": "gemini-2.5-flash",
    "groq": "llama-3.3-70b-versatile",
    "mistral_ai": "mistral-large-2411",
    "openai": "gpt-4o",
    "perplexity": "sonar-pro",
    "vertex_ai": "gemini-2.5-flash",
    "x_ai": "grok-4-0709",
    "xai": "grok-4-0709",
}
"""OpenTelemetry's names of providers, each with a model of theirs."""


@pytest.mark.parametrize("provider", sorted({str(each.value) for each in (*GenAiProviderNameValues, *GenAiSystemValues)} - {"ibm.watsonx.ai"}))
def test_every_provider_of_opentelemetry_has_its_own_prices(provider: str) -> None:
    """By today's names and those before, but for the one that the list does not have."""
    catalog = Catalog.own()
    id_ = names._provider(catalog, provider)
    assert id_ is not None
    assert catalog.model(id_, _MODELS[provider]) is not None
    assert prices.estimate(provider, _MODELS[provider], 1000, 1000) == prices.estimate(id_, _MODELS[provider], 1000, 1000)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("ollama", "deepseek-r1"), ("vllm", "gpt-oss-20b"), ("litellm", "ollama/deepseek-r1"), ("openai", "hosted_vllm/openai/gpt-oss-20b")],
)
def test_a_server_of_ones_own_has_no_price(provider: str, model: str) -> None:
    """What others charge for the same model says nothing about it."""
    assert prices.estimate(provider, model, 1000, 1000) is None


@given(st.text(max_size=400), st.lists(st.sampled_from(["openai", "azure", "", "us.x.y", "gpt-4o", "-20260101", "é", "@", "x" * 50])).map("/".join))
def test_any_name_is_an_answer(provider: str, model: str) -> None:
    """Whatever is said to be a provider or a model, there is a price or none."""
    assert (prices.estimate(provider, model, 10, 10) or 0) >= 0


def test_no_tokens_cost_nothing() -> None:
    """Zero is a price."""
    assert prices.estimate("openai", "gpt-4o", 0, 0) == 0


@pytest.mark.parametrize("usage", [(100, 10, 200), (-5, 10, 0), (0, 10, 5)])
def test_impossible_usage_has_no_price(usage: tuple[int, int, int]) -> None:
    """A provider that reports more cached tokens than tokens, or fewer than none, costs an unknown amount, and no error."""
    assert prices.estimate("openai", "gpt-4o", *usage) is None


def test_prices_are_those_of_the_time_of_the_call() -> None:
    """In UTC."""
    night = prices.estimate("deepseek", "deepseek-chat", 10**6, 0, at=datetime(2025, 3, 1, 20, tzinfo=UTC).timestamp())
    day = prices.estimate("deepseek", "deepseek-chat", 10**6, 0, at=datetime(2025, 3, 1, 12, tzinfo=UTC).timestamp())
    assert night is not None
    assert day is not None
    assert night < day


def test_writing_to_a_cache_and_reasoning_have_prices_of_their_own() -> None:
    """They are parts of what was sent and received."""
    plain = prices.estimate("anthropic", "claude-sonnet-4-5", 1000, 0)
    written = prices.estimate("anthropic", "claude-sonnet-4-5", 1000, 0, cache_write_tokens=1000)
    assert plain is not None
    assert written == pytest.approx(plain * 1.25)
    assert prices.estimate("anthropic", "claude-sonnet-4-5", 1000, 0, 600, cache_write_tokens=600) is None
    answered = prices.estimate("perplexity", "sonar-deep-research", 0, 1000)
    reasoned = prices.estimate("perplexity", "sonar-deep-research", 0, 1000, reasoning_tokens=1000)
    assert answered is not None
    assert reasoned is not None
    assert reasoned < answered
    assert prices.estimate("openai", "gpt-4o", 0, 10, reasoning_tokens=11) is None


def test_the_programs_decimal_context_changes_no_price() -> None:
    """A program may calculate with two digits, and hears of nothing of ours that was inexact."""
    price = prices.estimate("openai", "gpt-4o", 123_456_789, 987_654_321)
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact])):
        assert prices.estimate("openai", "gpt-4o", 123_456_789, 987_654_321) == price


def test_a_newer_list_takes_the_place_of_the_packages_own(tmp_path: Path) -> None:
    """It is named once, and holds until tracing is configured anew."""
    path = tmp_path / "data.json"
    model = {"id": "gpt-99", "match": {"equals": "gpt-99"}, "prices": {"input_mtok": 0.1, "output_mtok": 3}}
    path.write_text(json.dumps([{"id": "openai", "models": [model]}]))
    tracer = mt.configure(root=tmp_path, record=False, price_list=path)
    with tracer.session("q", ["a"]) as session, session.agent_round("a", number=0), tracer.llm_call("openai", model="gpt-99") as call:
        call.record_usage(input=3_000_000, output=0)
    assert prices.estimate("openai", "gpt-99", 3_000_000, 0) == 0.3
    assert prices.estimate("openai", "gpt-4o", 1, 1) is None
    mt.configure(record=False)
    assert prices.estimate("openai", "gpt-99", 3_000_000, 0) is None
    assert prices.estimate("openai", "gpt-4o", 1, 1)


@pytest.mark.parametrize("text", [None, "", "{", "{}", '{"a": 1}', "[]", "[1]", "[{}]", '[{"id": "openai"}]', "\xff"])
def test_a_list_that_cannot_be_read_is_said_and_passed_over(
    text: str | None, tmp_path: Path, swallowed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """One line names the file and what to do; the package's own prices hold."""
    path = tmp_path / "data.json"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    prices.use(str(path))
    assert swallowed == ["prices.file"]
    swallowed.clear()
    (record,) = caplog.records
    for part in (str(path), "genai-prices' data.json", "github.com/pydantic/genai-prices"):
        assert part in record.getMessage()
    assert prices.estimate("openai", "gpt-4o", 1, 1)


def test_a_session_imports_nothing(tmp_path: Path) -> None:
    """From its begin to its end, model calls included, no thread imports anything: what is needed is there since `configure()`."""
    program = """
import sys
import massgen_tracing as mt
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
imported = []
def hook(event, arguments):
    if event == "import":
        imported.append(arguments[0])
sys.addaudithook(hook)
loaded = set(sys.modules)
with tracer.session("question", ["a"]) as session:
    with session.agent_round("a", number=0), tracer.llm_call("openai", model="gpt-4o") as call:
        call.record_usage(input=10, output=10)
    with session.agent_round("a", number=1), tracer.llm_call("litellm", model="bedrock/us.no.such-20260101") as call:
        call.record_usage(input=10, output=10)
assert mt.shutdown(60)
assert imported == [], imported
assert set(sys.modules) == loaded
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_two_first_calls_at_once_agree() -> None:
    """Neither waits for the other, nor finds half of a list."""
    for _ in range(20):
        prices.use(None)
        barrier = threading.Barrier(4)

        def ask(provider: str, barrier: threading.Barrier = barrier) -> float | None:
            barrier.wait()
            return prices.estimate(provider, "gpt-4o", 10**6, 10**6)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(ask, ["openai", "litellm", "azure", "openrouter"]))
        assert found == [prices.estimate(provider, "gpt-4o", 10**6, 10**6) for provider in ("openai", "litellm", "azure", "openrouter")]
        assert None not in found


def test_a_child_that_is_forked_while_the_list_is_read_has_it(tmp_path: Path) -> None:
    """There is no lock that another thread of the parent could hold."""
    program = """
import os, sys, threading
from massgen_tracing import prices
from massgen_tracing.prices import catalog
begun, go_on, parsed = threading.Event(), threading.Event(), catalog._parsed
def slow(path):
    if threading.current_thread() is reading:
        begun.set()
        assert go_on.wait()
    return parsed(path)
catalog._parsed = slow
reading = threading.Thread(target=lambda: prices.estimate("openai", "gpt-4o", 1, 1))
reading.start()
begun.wait()
child = os.fork()
if child == 0:
    os._exit(0 if prices.estimate("openai", "gpt-4o", 1, 1) else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go_on.set()
reading.join()
assert code == 0
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], check=True, cwd=tmp_path)


def test_a_price_that_is_asked_for_as_the_interpreter_ends_is_unknown(tmp_path: Path) -> None:
    """Nothing is read then."""
    program = """
from massgen_tracing import prices
class Late:
    def __init__(self): self.ask, self.say = prices.estimate, print
    def __del__(self): self.say(self.ask("openai", "gpt-4o", 1, 1))
late = Late()
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_what_a_signal_handler_raises_passes() -> None:
    """And the next who asks has a price."""
    prices.use(None)
    for line in range(0, 400, 9):
        left = line

        def tracing(frame: FrameType, event: str, _argument: object) -> object:
            nonlocal left
            if event == "line" and "massgen_tracing" in frame.f_code.co_filename:
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise TimeoutError
            return tracing

        before = sys.gettrace()
        sys.settrace(tracing)  # type: ignore[arg-type]
        try:
            prices.estimate("litellm", "openai/gpt-4o", 10, 10)
        except TimeoutError:
            pass
        finally:
            sys.settrace(before)
        assert prices.estimate("litellm", "openai/gpt-4o", 10, 10) == prices.estimate("openai", "gpt-4o", 10, 10)
        prices.use(None)
