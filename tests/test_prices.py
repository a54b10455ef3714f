"""What a model call costs, by the price list."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from massgen_tracing import prices


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


@pytest.mark.parametrize(
    ("provider", "model"),
    [("gcp.gemini", "gemini-2.5-flash"), ("claude", "claude-sonnet-4-5"), ("Anthropic", "claude-sonnet-4-5"), ("xai", "grok-4"),
     ("azure.ai.openai", "gpt-4o"), ("chatcompletion", "gpt-4o"), ("somebody", "gpt-4o")],
)  # fmt: skip
def test_providers_under_any_of_their_names(provider: str, model: str) -> None:
    """OpenTelemetry's and MassGen's names of providers find the price list's."""
    assert prices.estimate(provider, model, 1000, 1000) is not None


def test_no_tokens_cost_nothing() -> None:
    """Zero is a price."""
    assert prices.estimate("openai", "gpt-4o", 0, 0) == 0


@pytest.mark.parametrize("usage", [(100, 10, 200), (-5, 10, 0), (0, 10, 5)])
def test_impossible_usage_has_no_price(usage: tuple[int, int, int]) -> None:
    """A provider that reports more cached tokens than tokens, or fewer than none, costs an unknown amount, and no error."""
    assert prices.estimate("openai", "gpt-4o", *usage) is None


@pytest.mark.parametrize("run", ["None", "mt.layout.new_run(sys.argv[1])"], ids=["own directory", "given directory"])
def test_a_run_imports_as_it_begins(run: str, tmp_path: Path) -> None:
    """On the thread that it runs on, for two threads in the middle of importing the same things may each find half of them; nothing later on."""
    program = """
import sys, threading
elsewhere = []
def hook(event, arguments):
    if event == "import" and threading.current_thread() is not threading.main_thread():
        elsewhere.append(arguments[0])
sys.addaudithook(hook)
import massgen_tracing as mt, massgen_tracing.layout
tracer = mt.configure(root=sys.argv[1], enabled=True, logfire=False)
with tracer.session("question", ["a"], run=RUN) as session:
    assert "genai_prices" in sys.modules
    loaded = set(sys.modules)
    with session.agent_round("a", number=0), tracer.llm_call("openai", model="gpt-4o") as call:
        call.record_usage(input=10, output=10)
    assert set(sys.modules) == loaded
mt.shutdown()
assert elsewhere == [], elsewhere
"""
    subprocess.run([sys.executable, "-c", program.replace("RUN", run), str(tmp_path)], check=True)


def test_a_child_that_is_forked_while_the_list_is_loaded_goes_on_without_it(tmp_path: Path) -> None:
    """A module that another thread of the parent was importing would keep it waiting; one that is forked later has the list."""
    program = """
import os, sys, threading
from massgen_tracing import prices
begun, forked = threading.Event(), threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "genai_prices.data":
            begun.set()
            forked.wait()
sys.meta_path.insert(0, Slow())
loading = threading.Thread(target=prices.load)
loading.start()
begun.wait()
def has_list():
    child = os.fork()
    if child == 0:
        os._exit(1 if prices.estimate("openai", "gpt-4o", 1, 1) else 0)
    return bool(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert not has_list()
forked.set()
loading.join()
assert prices.estimate("openai", "gpt-4o", 1, 1)
assert has_list()
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], check=True, cwd=tmp_path)
