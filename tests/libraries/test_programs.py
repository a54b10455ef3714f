"""Unmodified programs on real clients and agents of others, under `massgen-tracing exec`: each call of theirs counts, once, with what it used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from massgen_tracing.insight.calls import Tree, model_calls, tool_calls
from massgen_tracing.insight.summary import summarise
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedEndpoint, Turn
from massgen_tracing.store.roots import catalogue, reader
from rehearsal.interfaces import INTERFACES

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-libraries" / "bin" / "python"
MCP_CLIENT = Path(__file__).parent / "programs" / "mcp_client.py"
PROGRAMS = {path.stem: path for path in sorted(MCP_CLIENT.parent.glob("*.py")) if path != MCP_CLIENT}
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
    # OpenInference's span of a stream of Google's is not current while it is read; Logfire's has the HTTP client's suppressed.
    assert set(sent.values()) == (set() if name in {"google_client", "logfire_openai"} else {1})


@HAS_LIBRARIES
def test_tool_calls_of_mcps_client_count_and_take_the_trace_along(tmp_path: Path) -> None:
    """Each call that the server had is one tool call, and its request names the span that is it."""
    log = tmp_path / "calls.jsonl"
    variables = {"TOOL_SERVER": str(REPOSITORY / "rehearsal" / "tool_server.py"), "TOOL_LOG": str(log)}
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--", "python", str(MCP_CLIENT), variables=variables)
    assert (done.returncode, done.stderr) == (0, "")
    named = sorted(json.loads(line)["meta"]["traceparent"].split("-")[1:3] for line in log.read_text().splitlines())
    assert len(named) == 3
    assert sorted([span.trace_id, span.span_id] for span in tool_calls(Tree(spans(tmp_path)))) == named


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


WRAPPED = {
    "openai, chunks": """
import openai
with call("openai") as made:
    chunks = openai.OpenAI().chat.completions.create(model="m", messages=ASKED, stream=True, stream_options={"include_usage": True})
    said = "".join(chunk.choices[0].delta.content or "" for chunk in made.wrap(chunks) if chunk.choices)
""",
    "openai, the client's own stream": """
import openai
with call("openai") as made:
    options = {"stream_options": {"include_usage": True}}
    with made.wrap(openai.OpenAI().chat.completions.stream(model="m", messages=ASKED, **options)) as stream:
        said = "".join(event.delta for event in stream if event.type == "content.delta")
""",
    "openai, responses": """
import openai
with call("openai") as made:
    events = openai.OpenAI().responses.create(model="m", input=ASKED, stream=True)
    said = "".join(event.delta for event in made.wrap(events) if event.type == "response.output_text.delta")
""",
    "anthropic, events": """
import anthropic
with call("anthropic") as made:
    events = anthropic.Anthropic().messages.create(model="m", max_tokens=9, messages=ASKED, stream=True)
    said = "".join(event.delta.text for event in made.wrap(events) if event.type == "content_block_delta")
""",
    "anthropic, the client's own stream": """
import anthropic
with call("anthropic") as made, made.wrap(anthropic.Anthropic().messages.stream(model="m", max_tokens=9, messages=ASKED)) as stream:
    said = "".join(event.text for event in stream if event.type == "text")
""",
    "anthropic, its text": """
import anthropic, asyncio
async def ask():
    with call("anthropic") as made:
        async with made.wrap(anthropic.AsyncAnthropic().messages.stream(model="m", max_tokens=9, messages=ASKED)) as stream:
            return "".join([text async for text in stream.text_stream])
said = asyncio.run(ask())
""",
    "google": """
import os
from google import genai
from google.genai import types
client = genai.Client(http_options=types.HttpOptions(base_url=os.environ["ENDPOINT"], api_version="v1beta"))
with call("gcp.gemini") as made:
    said = "".join(chunk.text or "" for chunk in made.wrap(client.models.generate_content_stream(model="m", contents="Why?")))
""",
}


@HAS_LIBRARIES
@pytest.mark.parametrize("how", WRAPPED)
def test_streams_of_real_clients_are_heard(how: str, tmp_path: Path) -> None:
    """`call.wrap` of what each client gives, read in each of its ways: text, tokens, finish reason and end are the call's, which is the only one."""
    head = """
import massgen_tracing as mt
tracer = mt.configure()
ASKED = [{"role": "user", "content": "Why?"}]
def call(provider):
    return tracer.llm_call(provider, model="m")
"""
    program = tmp_path / "program.py"
    program.write_text(f"{head}{WRAPPED[how]}\nassert said == 'Forty-two.', said\n")
    with ScriptedEndpoint(script, INTERFACES) as endpoint:
        done = run(endpoint, tmp_path, "--", "python", "-W", "ignore", str(program), variables=UNASKED)
    assert (done.returncode, done.stderr) == (0, "")
    recorded = spans(tmp_path)
    (counted,) = model_calls(Tree(recorded))  # Anthropic's client has a span of its own within ours
    assert (counted.usage.input, counted.usage.output) == (101, 10)
    (made,) = (span.attributes for span in recorded if span.name.startswith("llm."))
    assert (made["gen_ai.usage.input_tokens"], made["gen_ai.usage.output_tokens"]) == (101, 10)
    (said,) = json.loads(str(made["gen_ai.output.messages"]))
    assert (said["parts"], said["finish_reason"]) == ([{"type": "text", "content": "Forty-two."}], "stop")
    assert "massgen.outcome" not in made


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
    assert lines["anthropic"].split()[2:] == lines["mcp"].split()[2:] == ["by", "itself"]
    assert "  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318" in lines.values()
    assert "  MASSGEN_TRACING_INSTRUMENT=true" in lines.values()
    assert not (tmp_path / ".massgen").exists()
