"""Beside Logfire and other vendors' providers: in every order there is one tree, and nothing of anybody's is dropped.

Global providers are the process's, so each order is a program of its own.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apart import Program, run
from tests.sinks import lines
from tests.sinks.collector import Collector, texts
from tests.sinks.model import answering

STEPS = {
    "facade": "tracer = mt.configure(root=root, enabled=True)",
    "facade to logfire": "tracer = mt.configure(root=root, enabled=True, logfire=True)",
    "facade to own": "tracer = mt.configure(root=root, enabled=True, record=True, tracer_provider=TracerProvider(shutdown_on_exit=False))",
    "logfire": "logfire.configure(send_to_logfire=False, console=False)",
    "logfire with token": "logfire.configure(token='theirs', service_name='theirs', console=False)",
    "vendor": "vendor = TracerProvider(); vendor.add_span_processor(Kept()); trace.set_tracer_provider(vendor)",
    "vendor that asks": "trace.get_tracer_provider().add_span_processor(Kept())",
}

WORK = """
third = trace.get_tracer("third")
with third.start_as_current_span("outer"):
    with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
        with logfire.span("theirs {what}", what="x"):
            with tracer.span("ours"):
                with third.start_as_current_span("third party"):
                    tracer.info("note")
"""

TREE = {
    "outer": "",
    "coordination.session": "outer",
    "agent.a.round_0": "coordination.session",
    "theirs {what}": "agent.a.round_0",
    "ours": "theirs {what}",
    "third party": "ours",
    "note": "third party",
}

ROUND = {"coordination.session": "", "agent.a.round_0": "coordination.session"}

FACADES = {"facade", "facade to logfire", "facade to own"}
LOGFIRES = {"logfire", "logfire with token", "facade to logfire"}


def _orders() -> list[tuple[str, ...]]:
    """Every order of two steps and of a third one beside Logfire and the facade, and some steps twice; both are configured in each."""
    steps = sorted(STEPS)
    three = [
        order
        for facade in sorted(FACADES)
        for third in ("vendor", "vendor that asks", "facade")
        for order in itertools.permutations(dict.fromkeys((facade, "logfire with token", third)))
    ]
    twice = [(first, second, first) for first, second in itertools.permutations(steps[:5], 2)]
    some = dict.fromkeys([*itertools.product(steps, repeat=2), *three, *twice])
    return [order for order in some if FACADES & set(order) and LOGFIRES & set(order) and order[0] != "vendor that asks"]


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory, one_collector: Collector) -> dict[str, Program]:
    """A program for each order of steps."""
    programs = {" · ".join(order): "\n".join(STEPS[step] for step in order) + WORK for order in _orders()}
    return run(tmp_path_factory.mktemp("orders"), programs, one_collector)


@pytest.mark.parametrize("order", [" · ".join(order) for order in _orders()])
def test_in_every_order_there_is_one_tree(ordered: dict[str, Program], order: str) -> None:
    """The facade's spans, Logfire's and those of a third party through the global provider are recorded once, each below what caused it."""
    program = ordered[order]
    assert program.printed == ""
    assert program.tree() == TREE
    sent = [span.name for span in program.sent]
    assert len(sent) == len(set(sent))
    assert len([path for path in lines.recordings(program.place) if "note" in lines.names(path)]) == 1
    recorded = {span["name"]: lines.attributes(span) for span in lines.ended(*lines.recordings(program.place)).values()}
    assert {name: values["massgen.agent_id"] for name, values in recorded.items() if "massgen.agent_id" in values} == {
        "agent.a.round_0": "a", "theirs {what}": "a", "third party": "a",
    }  # fmt: skip


SCRUBBED = """
def decide(match):
    return "their callback" if match.path[-1] == "session_note" else None

logfire.configure(
    token="theirs", service_name="theirs", console=False, additional_span_processors=[Kept()],
    scrubbing=logfire.ScrubbingOptions(extra_patterns=["iban"], callback=decide),
)
tracer = mt.configure(root=root, enabled=True, logfire=True)
with tracer.session("Explain the session", agents=["a"]), tracer.agent_round("a"):
    logfire.info("theirs", iban="DE89370400440532013000", session_note="n", detail={"iban": "DE89370400440532013000"})
    with tracer.span("ours", attributes={"iban": "DE89370400440532013000", "note": "my iban is DE89370400440532013000"}):
        tracer.info("paid from {iban}", iban="DE89370400440532013000")
    with logfire.span("event") as span:
        span.record_exception(ValueError("iban DE89370400440532013000"), attributes={"iban": "DE89370400440532013000"})
print(sorted(kept))
"""

OPENAI = """
import openai
client = openai.OpenAI(base_url=MODEL, api_key="k")
logfire.instrument_openai(client)
with tracer.session("q", agents=["a"]) as session:
    with session.agent_round("a"):
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi"}])
        stream = client.chat.completions.create(model="gpt-5-mini", stream=True, messages=[{"role": "user", "content": "Hi"}])
print(session.run.attempt_dir)
for chunk in stream:
    pass
"""

OPENAI_STEPS = {
    "without a token": ["facade to logfire"],
    "logfire first": ["logfire", "facade"],
    "facade first": ["facade", "logfire"],
    "sent": ["logfire with token", "facade to logfire"],
}

PROGRAMS = {
    "scrubbed": SCRUBBED,
    "configured again in a round": """
tracer = mt.configure(root=root, enabled=True, logfire=True)
with tracer.session("q", agents=["a"]), tracer.agent_round("a"):
    with logfire.span("before"):
        logfire.configure(token="theirs", service_name="theirs", console=False)
        with logfire.span("inside"):
            pass
    with logfire.span("after"), tracer.span("ours"):
        pass
""",
    "imported later": """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "logfire"]:
    del sys.modules[name]
tracer = mt.configure(root=root, enabled=True)
import logfire
logfire.configure(send_to_logfire=False, console=False)
with tracer.session("q", agents=["a"]), tracer.agent_round("a"):
    with logfire.span("theirs"), tracer.span("ours"):
        pass
""",
    "added processor": """
tracer = mt.configure(root=root, enabled=True)
trace.get_tracer_provider().add_span_processor(Kept())
with tracer.span("one"):
    pass
tracer = mt.configure(root=root, enabled=True)
with tracer.span("two"):
    pass
mt.shutdown()
tracer = mt.configure(root=root, enabled=True, logfire=True)
with tracer.span("three"), logfire.span("four"):
    pass
print(kept)
""",
    "shut down at the end": """
class Ending(SpanProcessor):
    def force_flush(self, timeout_millis=None):
        print("flushed")
    def shutdown(self):
        print("shut down")
mt.configure(root=root, enabled=True)
trace.get_tracer_provider().add_span_processor(Ending())
mt.configure(root=root, enabled=True)
print("configured")
""",
    "sampled out": """
logfire.configure(console=False, sampling=logfire.SamplingOptions(head=0.0), token="theirs")
tracer = mt.configure(root=root, enabled=True, logfire=True)
for _ in range(2):
    with tracer.span("ours"):
        pass
""",
    "below what was sampled out": """
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
tracer = mt.configure(root=root, enabled=True)
with trace.get_tracer("third").start_as_current_span("left out"), tracer.span("ours"):
    pass
""",
    "below an unknown provider's": """
tracer = mt.configure(root=root, enabled=True)
with TracerProvider().get_tracer("third").start_as_current_span("of another provider"), tracer.span("ours"):
    pass
""",
    "a provider without processors": """
class Provider(trace.TracerProvider):
    def get_tracer(self, *args, **options):
        return trace.NoOpTracer()
trace.set_tracer_provider(Provider())
tracer = mt.configure(root=root, enabled=True)
with tracer.span("ours"):
    pass
""",
    "set by private ways": """
tracer = mt.configure(root=root, enabled=True)
trace._TRACER_PROVIDER = TracerProvider()
with tracer.session("q"):
    with trace.get_tracer("third").start_as_current_span("third party"), tracer.span("ours"):
        pass
""",
    "suppressed": """
logfire.configure(send_to_logfire=False, console=False)
tracer = mt.configure(root=root, enabled=True)
with tracer.span("ours"), logfire.suppress_instrumentation():
    logfire.info("nothing")
""",
    "tail sampling": """
import os, signal
logfire.configure(send_to_logfire=False, console=False, sampling=logfire.SamplingOptions.level_or_duration(duration_threshold=1000))
tracer = mt.configure(root=root, enabled=True)
with tracer.span("ours"), logfire.span("theirs"):
    pass
""",
    "processes of a pool": """
from concurrent.futures import ProcessPoolExecutor
tracer = mt.configure(root=root, enabled=True, logfire=True)
with ProcessPoolExecutor(1) as pool, tracer.span("ours"):
    print(pool.submit(abs, -1).result())
""",
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, one_collector: Collector) -> Iterator[dict[str, Program]]:
    """The programs, run."""
    with answering() as model:
        calls = {name: f"MODEL = {model!r}\n" + "\n".join(STEPS[step] for step in steps) + OPENAI for name, steps in OPENAI_STEPS.items()}
        yield run(tmp_path_factory.mktemp("programs"), {**PROGRAMS, **calls}, one_collector)


def test_nothing_of_a_logfire_that_is_configured_is_dropped(played: dict[str, Program]) -> None:
    """Its processors, service, token, patterns and callback stay; what it scrubs arrives in clear nowhere, whoever made the span."""
    program = played["scrubbed"]
    assert program.printed == f"{sorted(['theirs', 'ours', 'paid from {iban}', 'event', 'agent.a.round_0', 'coordination.session'])}\n"
    sent = {span.name: span for span in program.sent}
    assert set(sent) == {"theirs", "ours", "paid from {iban}", "event", "agent.a.round_0", "coordination.session"}
    assert "theirs" in {resource["service.name"] for resource in program.collector.resources}
    assert texts(sent["theirs"])["session_note"] == program.named("theirs")["session_note"] == "their callback"
    for found in (texts(sent["theirs"]), program.named("theirs")):
        assert found["iban"] == "[Scrubbed due to 'iban']"
    events = [event for event in sent["event"].events if "iban" in str(event.attributes)]
    assert "DE89370400440532013000" not in str([pair for event in events for pair in event.attributes if pair.key == "iban"])
    for name in ("theirs", "ours", "paid from {iban}"):
        assert "DE89370400440532013000" not in str(sent[name])
        assert "DE89370400440532013000" not in str(program.named(name))
    for path in lines.recordings(program.place):  # starts too
        assert '"iban","value":{"stringValue":"DE8' not in path.read_text()
    assert program.named("coordination.session")["massgen.task"] == "Explain the session"


def test_configured_again_in_the_middle_of_a_round(played: dict[str, Program]) -> None:
    """What is open is ended in the recording, and what begins later is in it too."""
    program = played["configured again in a round"]
    assert program.printed == ""
    assert program.tree() == {**ROUND, "before": "agent.a.round_0", "inside": "before", "after": "agent.a.round_0", "ours": "after"}
    assert {"inside", "after", "ours", "agent.a.round_0"} - {span.name for span in program.sent} == {"agent.a.round_0"}


def test_a_logfire_that_is_imported_later_is_followed(played: dict[str, Program]) -> None:
    """It need not be loaded when the facade is configured."""
    program = played["imported later"]
    assert program.printed == ""
    assert program.tree() == {**ROUND, "theirs": "agent.a.round_0", "ours": "theirs"}


def test_processors_that_others_have_added_stay(played: dict[str, Program]) -> None:
    """They see each span once under every later configuration, the delegate's spans too."""
    assert played["added processor"].printed == "['one', 'two', 'four', 'three']\n"


def test_processors_that_others_have_added_are_shut_down_at_the_end(played: dict[str, Program]) -> None:
    """And only flushed when what is configured is replaced."""
    assert played["shut down at the end"].printed.split("\n") == ["flushed", "configured", "flushed", "shut down", ""]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sampled out", ["sampling of logfire", "logfire=False"]),
        ("below what was sampled out", ["sampling has left out"]),
        ("below an unknown provider's", ["of another provider", "tracer_provider="]),
        ("a provider without processors", ["takes no span processors"]),
    ],
)
def test_what_cannot_be_in_the_tree_is_said_in_one_line(played: dict[str, Program], name: str, words: list[str]) -> None:
    """With what to change."""
    program = played[name]
    assert program.printed == ""
    (said,) = program.said.splitlines()
    for word in words:
        assert word in said


def test_a_global_provider_that_is_set_by_private_ways_is_followed(played: dict[str, Program]) -> None:
    """From the next session on."""
    program = played["set by private ways"]
    assert program.said == ""
    assert program.tree() == {"coordination.session": "", "third party": "coordination.session", "ours": "third party"}


def test_what_logfire_is_asked_to_pass_over_is_not_recorded(played: dict[str, Program]) -> None:
    """`logfire.suppress_instrumentation()` holds here too."""
    assert played["suppressed"].tree() == {"ours": ""}


def test_tail_sampling_holds_nothing_back(played: dict[str, Program]) -> None:
    """What Logfire would leave out, or keep until later, is recorded at once."""
    assert played["tail sampling"].tree() == {"ours": "", "theirs": "ours"}


def test_process_pools_take_logfires_configuration(played: dict[str, Program]) -> None:
    """Nothing of this package stands in it that could not be copied."""
    program = played["processes of a pool"]
    assert program.printed == "1\n"
    assert "pickled" not in program.said


@pytest.mark.parametrize("order", OPENAI_STEPS)
def test_spans_of_logfires_integrations_are_in_the_rounds(played: dict[str, Program], order: str) -> None:
    """Also without a token; and the record of a stream that is read when its run is over lands in that run's file, with Logfire's message."""
    program = played[order]
    attempt = Path(program.printed.strip())
    (path,) = lines.recordings(program.place)
    assert path.parent == attempt
    spans = {span["name"]: span for span in program.recorded}
    rnd, completions = spans["agent.a.round_0"], [span for span in program.recorded if span["name"].startswith("Chat Completion")]
    assert [span["parentSpanId"] for span in completions] == [rnd["spanId"]] * 2
    assert lines.attributes(completions[0])["gen_ai.usage.input_tokens"] == "7"
    streamed = next(span for span in program.recorded if span["name"].startswith("streaming response"))
    assert streamed["parentSpanId"] == rnd["spanId"]
    command = [sys.executable, "-m", "massgen_tracing", "trace", "--root", str(program.place / "root")]
    shown = subprocess.run(command, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "• streaming response from 'gpt-5-mini' took" in shown
    assert "{" not in shown
