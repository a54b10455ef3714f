"""Interpreters that are started in the prepared environment: what they load, what is configured when, and what they leave as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from massgen_tracing import autostart

PACKAGE = Path(autostart.__file__).resolve().parents[2]

FAKE_INSTRUMENTATION = """import sys, types
class MassGenInstrumentor:
    def instrument(self):
        print("instrumented", "massgen" in sys.modules)
sys.modules["massgen_tracing.instrumentation"] = types.SimpleNamespace(MassGenInstrumentor=MassGenInstrumentor)
"""


def python(code: str, env: Mapping[str, str], cwd: Path, *words: str, executable: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run([executable, *words, "-c", code], env=dict(env), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The prepared environment, on top of a small one."""
    (tmp_path / "massgen.py").write_text("print('massgen loads')\n")
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE), "HOME": str(tmp_path)}
    return autostart.environment(inherited)


def test_the_folder_comes_first_and_once() -> None:
    """Asking twice changes nothing more; other variables and entries stay, and the given mapping is not touched."""
    given = {"PYTHONPATH": os.pathsep.join(["/a", "/b"]), "X": "1"}
    once = autostart.environment(given)
    assert once == {"PYTHONPATH": os.pathsep.join([autostart.FOLDER, "/a", "/b"]), "X": "1"}
    assert autostart.environment(once) == once
    assert given["PYTHONPATH"] == os.pathsep.join(["/a", "/b"])
    assert autostart.environment({})["PYTHONPATH"] == autostart.FOLDER
    assert autostart.environment()["PATH"] == os.environ["PATH"]
    assert [path.name for path in Path(autostart.FOLDER).iterdir() if path.name != "__pycache__"] == ["sitecustomize.py"]


def test_an_interpreter_that_needs_nothing_loads_nothing(env: dict[str, str], tmp_path: Path) -> None:
    """Neither OpenTelemetry nor the facade is imported, no thread is started, and no file is left behind."""
    code = """import sys, threading, json
loaded = {'opentelemetry', 'logfire', 'massgen', 'massgen_tracing.configuration'} & set(sys.modules)
print(json.dumps([sorted(loaded), threading.active_count()]))"""
    done = python(code, env, tmp_path)
    assert (json.loads(done.stdout), done.stderr, done.returncode) == ([[], 1], "", 0)
    assert not (tmp_path / ".massgen").exists()


def test_the_interpreters_own_environment_is_what_it_would_have_been(env: dict[str, str], tmp_path: Path) -> None:
    """PYTHONPATH and sys.path are those without tracing, so that interpreters that this one starts are not touched."""
    code = "import json, os, sys; print(json.dumps([dict(os.environ), sys.path]))"
    bare = {**env, "PYTHONPATH": str(PACKAGE)}
    assert json.loads(python(code, env, tmp_path).stdout) == json.loads(python(code, bare, tmp_path).stdout)
    no_path = {name: value for name, value in bare.items() if name != "PYTHONPATH"}
    assert "PYTHONPATH" not in json.loads(python(code, autostart.environment(no_path), tmp_path).stdout)[0]
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {'import sys; print(sys.meta_path[0])'!r}])"
    assert "_Watch" not in python(child, env, tmp_path).stdout


@pytest.mark.parametrize(
    "use",
    [
        "import massgen_tracing as mt; tracer = mt.get_tracer()",
        "from massgen_tracing.trace.borders import bind_stream; import massgen_tracing as mt; tracer = mt.get_tracer()",
        "import massgen_tracing.testing; import massgen_tracing as mt; tracer = mt.get_tracer()",
        "import importlib; tracer = importlib.import_module('massgen_tracing').get_tracer()",
    ],
)
def test_the_facade_is_configured_when_it_is_asked_for(env: dict[str, str], tmp_path: Path, use: str) -> None:
    """From the environment, whichever module of the package comes first."""
    code = f"{use}\nwith tracer.session('Why?', agents=['a']): pass"
    done = python(code, {**env, "MASSGEN_TRACING_ROOT": "here"}, tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(list((tmp_path / "here").rglob("trace.otlp.jsonl"))) == 1


def test_spans_of_plain_opentelemetry_are_recorded(env: dict[str, str], tmp_path: Path) -> None:
    """A program that knows only OpenTelemetry's API gets the package's provider, in the trace that its environment names."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    code = """from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("work") as span:
    print(f"{span.get_span_context().trace_id:032x}", type(trace.get_tracer_provider()).__module__)"""
    done = python(code, {**env, "TRACEPARENT": f"00-{trace_id}-b7ad6b7169203331-01"}, tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == [trace_id, "massgen_tracing.trace.provider"]


def test_the_programs_own_configuration_stays(env: dict[str, str], tmp_path: Path) -> None:
    """Loading MassGen later does not configure again what the program has configured itself."""
    code = """import massgen_tracing as mt
tracer = mt.configure(root="mine")
import massgen
assert mt.get_tracer() is tracer"""
    done = python(FAKE_INSTRUMENTATION + code, env, tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)


def test_massgen_is_instrumented_before_it_loads(env: dict[str, str], tmp_path: Path) -> None:
    """The instrumentor is active when MassGen's first module runs, and only then is it loaded."""
    code = """print("opentelemetry" in sys.modules)
import massgen
import massgen
import massgen_tracing as mt
print(type(mt.get_tracer()).__name__)"""
    done = python(FAKE_INSTRUMENTATION + code, env, tmp_path)
    assert (done.stdout.splitlines(), done.stderr) == (["False", "instrumented False", "massgen loads", "Tracer"], "")


def test_modules_keep_their_loaders(env: dict[str, str], tmp_path: Path) -> None:
    """What was watched while it was imported looks afterwards as without tracing."""
    code = """import massgen_tracing.configuration, opentelemetry.trace, sys, inspect
for name in ("massgen_tracing.configuration", "opentelemetry.trace"):
    module = sys.modules[name]
    print(type(module.__loader__).__name__, type(module.__spec__.loader).__name__, bool(inspect.getsource(module)))"""
    assert python(code, env, tmp_path).stdout.splitlines() == ["SourceFileLoader SourceFileLoader True"] * 2


def test_the_shadowed_sitecustomize_runs(env: dict[str, str], tmp_path: Path) -> None:
    """The one that would have run without us runs; what it raises is told as Python tells it, and tracing goes on."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import sys; sys.mine = __file__\n")
    both = autostart.environment({**env, "PYTHONPATH": os.pathsep.join([str(other), str(PACKAGE)])})
    code = "import sys; import sitecustomize; print(sys.mine == sitecustomize.__file__, type(sys.meta_path[0]).__name__)"
    assert python(code, both, tmp_path).stdout.split() == ["True", "_Watch"]
    (other / "sitecustomize.py").write_text("raise ValueError('mine')\n")
    done = python("import sys; print(type(sys.meta_path[0]).__name__)", both, tmp_path)
    assert done.stdout.split() == ["_Watch"]
    bare = python("", {**both, "PYTHONPATH": str(other)}, tmp_path)
    assert done.stderr == bare.stderr != ""


def test_a_python_without_the_package_says_so_in_one_line_and_runs(tmp_path: Path) -> None:
    """The line names the interpreter and what to do; output and exit code are the program's."""
    venv.create(tmp_path / "bare", with_pip=False)
    executable = str(tmp_path / "bare" / "bin" / "python")
    done = python("print(1); raise SystemExit(7)", autostart.environment({"PATH": os.environ["PATH"]}), tmp_path, executable=executable)
    assert (done.stdout, done.returncode) == ("1\n", 7)
    assert len(done.stderr.splitlines()) == 1
    assert f"{executable} runs untraced" in done.stderr
    assert "install massgen_tracing" in done.stderr


def test_an_instrumentor_that_fails_does_not_stop_the_program(env: dict[str, str], tmp_path: Path) -> None:
    """One line, and MassGen is imported as ever."""
    code = """import sys
sys.modules["massgen_tracing.instrumentation"] = None
import massgen"""
    done = python(code, env, tmp_path)
    assert (done.stdout, done.returncode) == ("massgen loads\n", 0)
    assert len(done.stderr.splitlines()) == 1
    assert "runs untraced (ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_options_that_switch_it_off(env: dict[str, str], tmp_path: Path, option: str) -> None:
    """Isolated interpreters are as they always were."""
    done = python("import sys; print(type(sys.meta_path[0]).__name__)", env, tmp_path, option)
    assert "_Watch" not in done.stdout
    assert done.stderr == ""
