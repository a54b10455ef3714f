"""Unmodified programs on real clients and agents of others, under `massgen-tracing exec`: each call of theirs counts, once, with what it used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from massgen_tracing.insight.calls import Tree, model_calls
from massgen_tracing.insight.summary import summarise
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedEndpoint, Turn
from massgen_tracing.store.roots import catalogue, reader
from rehearsal.interfaces import INTERFACES

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-libraries" / "bin" / "python"
PROGRAMS = {path.stem: path for path in sorted((Path(__file__).parent / "programs").glob("*.py"))}
UNASKED = {"MASSGEN_TRACING_INSTRUMENT": "false"}
HAS_LIBRARIES = pytest.mark.skipif(not PYTHON.exists(), reason="the libraries are not installed: `make libraries` does it (700 MB)")


def script(asked: Asked) -> Turn:
    """Each reply uses other tokens than those before it."""
    return Turn(text="Forty-two.", seconds=0.05, usage=Usage(100 + asked.number, 10 * asked.number, 0, 7))


def run(
    endpoint: ScriptedEndpoint, place: Path, *words: str, python: Path = PYTHON, variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """A program in an environment, which finds the endpoint where its clients look for one."""
    address = endpoint.address("any")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "PYTHONPATH": str(REPOSITORY),
        "ENDPOINT": address,
        "OPENAI_BASE_URL": f"{address}/v1",
        "ANTHROPIC_BASE_URL": address,
        **dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "scripted"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **variables,
    }
    words = tuple(str(python) if word == "python" else word for word in words)
    command = [str(python), "-m", "massgen_tracing", "exec", *words]
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=300, check=False)


def spans(place: Path) -> list[SpanRecord]:
    return list(reader.read(catalogue.files(place / ".massgen")).spans)


def answered(endpoint: ScriptedEndpoint) -> Counter[tuple[int, int]]:
    """Tokens in and out of each reply, as the script has them."""
    return Counter((100 + entry["number"], 10 * entry["number"]) for entry in endpoint.log)


@HAS_LIBRARIES
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_call_counts_once_with_its_tokens(name: str, tmp_path: Path) -> None:
    """Calls, tokens and model are the endpoint's, though an agent, a client and its HTTP client may each have a span for one; a cost is known.

    Calls that go on at once are trees of their own: below each is the one request that it has sent.
    """
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--", "python", "-W", "ignore", str(PROGRAMS[name]))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(endpoint.log) >= 2
    recorded = spans(tmp_path)
    tree = Tree(recorded)
    calls = model_calls(tree)
    assert Counter((call.usage.input, call.usage.output) for call in calls) == answered(endpoint)
    assert {call.model.rpartition("/")[2] for call in calls} == {entry["model"] for entry in endpoint.log}
    assert all(call.usage.cost for call in calls)
    assert summarise(recorded).llm_calls == len(endpoint.log)
    keys = {call.span.key for call in calls}
    sent = Counter(above.key for span in recorded if span.name == "POST" for above in tree.above(span) if above.key in keys)
    # OpenInference's span of a stream of Google's is not current while it is read.
    assert set(sent.values()) == (set() if name == "google_client" else {1})


@HAS_LIBRARIES
def test_a_program_that_is_told_to_leaves_its_libraries_alone(tmp_path: Path) -> None:
    """MASSGEN_TRACING_INSTRUMENT=false: nothing is recorded of a program that uses no tracing itself."""
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--", "python", str(PROGRAMS["openai_client"]), variables=UNASKED)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list((tmp_path / ".massgen").rglob("*.jsonl"))


CONFIGURED = """
import massgen_tracing as mt
{before}
tracer = mt.configure(instrument=True)
{after}
with tracer.session("Why?", agents=["a"]) as session, session.agent_round("a"):
    openai.OpenAI().chat.completions.create(model="gpt-5-mini", messages=[{{"role": "user", "content": "Why?"}}])
"""


@HAS_LIBRARIES
@pytest.mark.parametrize("order", [{"before": "import openai", "after": ""}, {"before": "", "after": "import openai"}], ids=["before", "after"])
def test_in_a_program_of_ones_own_configure_does_the_same(order: Mapping[str, str], tmp_path: Path) -> None:
    """`configure(instrument=True)`, before the library is imported or after it; the call lies in the agent's round and is the agent's."""
    program = tmp_path / "program.py"
    program.write_text(CONFIGURED.format(**order))
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--", "python", str(program), variables=UNASKED)  # over which an argument wins
    assert (done.returncode, done.stderr) == (0, "")
    recorded = spans(tmp_path)
    (rnd,) = (span for span in recorded if span.name == "agent.a.round_0")
    (call,) = model_calls(Tree(recorded))
    assert call.span.parent_span_id == rnd.span_id
    (told,) = summarise(recorded).rounds
    assert (told.usage.input, told.usage.output) == (101, 10)


def test_a_library_without_an_instrumentor_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    """The program goes on, and is told once how its calls would be traced."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS["openai_client"].read_text())
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--", "python", str(program), python=Path(sys.executable))
    assert done.returncode == 0
    line = "openai is used, and has no instrumentor here: its calls are not traced. Install one: pip install openinference-instrumentation-openai"
    assert done.stderr.splitlines() == [line]
    assert len(endpoint.log) == 5


@HAS_LIBRARIES
def test_a_dry_run_tells_who_traces_what(tmp_path: Path) -> None:
    """Each library with its version and its instrumentor; nothing is run, and nothing is made."""
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--dry-run", "--otlp", "http://localhost:4318", "--", "python", str(PROGRAMS["openai_client"]))
    assert (done.returncode, done.stderr, endpoint.log) == (0, "", [])
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    assert lines["openai"].split()[2:4] == ["by", "openinference-instrumentation-openai"]
    assert lines["anthropic"].split()[2:] == ["by", "itself"]
    assert "  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318" in lines.values()
    assert "  MASSGEN_TRACING_INSTRUMENT=true" in lines.values()
    assert not (tmp_path / ".massgen").exists()
