"""`configure()` never stops a program for what the environment holds: each wrong thing is one counted line, and tracing goes on as far as it can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apart import Program, run
from tests.sinks import lines
from tests.sinks.collector import Collector

WORK = """
with tracer.session("q", agents=["a"]) as session, session.agent_round("a"):
    with tracer.span("work"):
        pass
print(mt.shutdown(timeout=10))
"""
TREE = {"coordination.session": "", "agent.a.round_0": "coordination.session", "work": "agent.a.round_0"}

PLAIN = "tracer = mt.configure(root=root)\n" + WORK
SENT = "tracer = mt.configure(root=root, otlp_endpoint='{url}')\n" + WORK
LOGFIRE = "tracer = mt.configure(root=root, logfire=True)\n" + WORK
RELATIVE = "tracer = mt.configure()\n" + WORK

NONSENSE = {
    "a negative delay": (SENT, {"OTEL_BSP_SCHEDULE_DELAY": "-5"}, "OTEL_BSP_SCHEDULE_DELAY"),
    "an endless delay": (SENT, {"OTEL_BSP_SCHEDULE_DELAY": "1" + "0" * 30}, "OTEL_BSP_SCHEDULE_DELAY"),
    "a compression that is none": (SENT, {"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "zip"),
    "an exporter's time that is none": (SENT, {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "soon"),
    "headers that are none": (SENT, {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization: Bearer abcd1234abcd1234abcd"}, "OTEL_EXPORTER_OTLP_HEADERS"),
    "an endpoint that is no URL": (PLAIN, {"OTEL_EXPORTER_OTLP_ENDPOINT": "no url"}, "no url"),
    "an endpoint of another protocol": (PLAIN, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "gopher://[", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "gopher"),
    "a provider that is not there": (PLAIN, {"OTEL_PYTHON_TRACER_PROVIDER": "nobody"}, "OTEL_PYTHON_TRACER_PROVIDER"),
    "a parent that is none": (PLAIN, {"TRACEPARENT": "00-abc-def-01"}, "TRACEPARENT"),
    "a parent of zeros": (PLAIN, {"TRACEPARENT": f"00-{'0' * 32}-{'0' * 16}-01"}, "TRACEPARENT"),
    "a setting that is none": (PLAIN, {"MASSGEN_TRACING_STRICT": "perhaps"}, "MASSGEN_TRACING_STRICT"),
    "a variable that is no setting": (PLAIN, {"MASSGEN_TRACING_RECORDS": "true"}, "MASSGEN_TRACING_RECORDS"),
    "settings of Logfire that are none": (LOGFIRE, {"LOGFIRE_TOKEN": "t", "LOGFIRE_TRACE_SAMPLE_RATE": "often"}, "Logfire could not be configured"),
    "a resource that is none": (PLAIN, {"OTEL_RESOURCE_ATTRIBUTES": "%%%,=,a,api_key sk-proj-abcd1234abcd1234abcd"}, "OTEL_RESOURCE_ATTRIBUTES"),
    "a detector that is not there": (PLAIN, {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nobody"}, "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"),
    "propagators that are not there": (LOGFIRE, {"OTEL_PROPAGATORS": "pigeon"}, "Logfire"),
}

UNMADE: dict[str, tuple[str, dict[str, str]]] = {
    "a root where none can be made": (PLAIN.replace("root=root", "root='/proc/nowhere/root'"), {}),
    "a root below a file": (PLAIN.replace("root=root", "root='/dev/null/root'"), {}),
}

QUIET = {
    "a run that is none": (PLAIN, {"MASSGEN_TRACING_RUN": "/nowhere/at/all"}),
    "a home that is not there": (PLAIN, {"HOME": "/nowhere/at/all"}),
    "a home that is a file": (LOGFIRE, {"HOME": "/dev/null", "LOGFIRE_TOKEN": "t"}),
}

PLACES = {
    "moved": "tracer = mt.configure()\nimport os\nos.mkdir('elsewhere'); os.chdir('elsewhere')\n" + WORK,
    "gone before": "import os\nhere = os.getcwd(); os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
    + RELATIVE
    + "print(mt.configuration.root())",
    "gone after": "import os\nos.mkdir('gone'); os.chdir('gone')\ntracer = mt.configure(root='../root')\nos.rmdir('../gone')\n" + WORK,
    "gone, logfire": "import os\nos.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n" + LOGFIRE,
}

SWITCHED_OFF = {
    "switched off by OpenTelemetry's variable": ("tracer = mt.configure(root=root)\n" + WORK, {"OTEL_SDK_DISABLED": "True"}),
    "switched on by its own": (PLAIN, {"OTEL_SDK_DISABLED": "true", "MASSGEN_TRACING_ENABLED": "on"}),
    "not switched off": (PLAIN, {"OTEL_SDK_DISABLED": "1"}),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, one_collector: Collector) -> dict[str, Program]:
    """The programs, run."""
    given = (
        {name: each[:2] for name, each in NONSENSE.items()}
        | QUIET
        | UNMADE
        | SWITCHED_OFF
        | {name: (program, {}) for name, program in PLACES.items()}
    )
    programs = {name: program.replace("{url}", one_collector.url) for name, (program, _) in given.items()}
    return run(tmp_path_factory.mktemp("programs"), programs, one_collector, {name: environment for name, (_, environment) in given.items()})


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_one_line(played: dict[str, Program], name: str) -> None:
    """It names what is wrong; the run is recorded, and shutting down has its bound."""
    program = played[name]
    assert program.printed.startswith(("True", "False"))
    assert program.tree() == TREE
    lines_said = [line for line in program.said.splitlines() if NONSENSE[name][2] in line]
    assert len(lines_said) == 1, program.said
    assert len(program.said.splitlines()) == 1, program.said
    assert "Traceback" not in program.said
    assert "abcd1234" not in program.said


@pytest.mark.parametrize("value", ["-1", "many", "1e3"])
def test_a_limit_that_the_sdk_refuses_to_be_loaded_with_is_one_line(tmp_path: Path, value: str) -> None:
    """It names the variable and says what to do; the run is recorded, and the environment is as it was."""
    program = PLAIN + "import os; print(os.environ['OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT'])"
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("LOGFIRE_", "OTEL_", "MASSGEN_"))}
    env = {**kept, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": value}
    words = [sys.executable, "-c", f"import massgen_tracing as mt; root = {str(tmp_path)!r}\n{program}"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", value]
    (said,) = done.stderr.splitlines()
    assert f"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT='{value}'" in said
    assert "Correct or unset it" in said
    assert {span["name"] for path in lines.recordings(tmp_path) for span in lines.ended(path).values()} == set(TREE)


@pytest.mark.parametrize("name", UNMADE)
def test_a_root_that_cannot_be_made_costs_the_recording(played: dict[str, Program], name: str) -> None:
    """It is said for the run and for its file, with the reason, and at the end how much is lost; the program goes on."""
    assert played[name].printed == "True\n"
    *said, lost = played[name].said.splitlines()
    assert 1 <= len(said) <= 2
    assert " records were lost" in lost
    assert "report it" not in played[name].said
    assert "root" in played[name].said


@pytest.mark.parametrize("name", QUIET)
def test_what_does_not_matter_does_not_matter(played: dict[str, Program], name: str) -> None:
    """It is recorded as ever."""
    assert played[name].printed == "True\n"
    assert played[name].tree() == TREE


@pytest.mark.parametrize("variable", ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TIMEOUT"])
def test_with_the_defaults_it_is_sent(played: dict[str, Program], variable: str) -> None:
    """Export goes on with what holds without the variable."""
    for name, (_, environment, _) in NONSENSE.items():
        if variable in environment:
            assert {span.name for span in played[name].sent} == set(TREE), name


def test_a_relative_root_is_where_it_was_at_first(played: dict[str, Program]) -> None:
    """Wherever the program goes; also where its directory is removed."""
    assert played["moved"].printed == "True\n"
    (path,) = lines.recordings(played["moved"].place)
    assert path.is_relative_to(played["moved"].place / ".massgen")
    assert played["gone after"].printed == "True\n"
    assert played["gone after"].tree() == TREE


def test_without_a_working_directory_the_root_is_a_temporary_one(played: dict[str, Program]) -> None:
    """One line names it."""
    assert played["gone before"].printed == "True\nNone\n"
    (said,) = played["gone before"].said.splitlines()
    assert "massgen-tracing-" in said
    assert "MASSGEN_TRACING_ROOT" in said
    assert played["gone, logfire"].tree() == TREE


def test_opentelemetrys_switch_holds(played: dict[str, Program]) -> None:
    """`OTEL_SDK_DISABLED=true` switches off what nobody has switched on."""
    assert played["switched off by OpenTelemetry's variable"].printed == "True\n"
    assert played["switched off by OpenTelemetry's variable"].recorded == []
    assert played["switched on by its own"].tree() == TREE
    assert played["not switched off"].tree() == TREE
