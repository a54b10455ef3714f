"""`massgen-tracing exec`: whatever it starts is traced where it is Python, and in everything else as if started alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

EXEC = [sys.executable, "-m", "massgen_tracing.views.cli", "exec"]
SESSION = """
import sys
import massgen_tracing as mt
with mt.get_tracer().session("Why?", agents=["a"]) as session:
    print(session.trace_id)
sys.exit(3)
"""


def run(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **more}
    return subprocess.run([*EXEC, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A console script: a file with a `#!` line that starts a traced session."""
    path = tmp_path / "bin" / "ask"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{SESSION}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("how", ["script by path", "script on the path", "python", "shell", "uv"])
def test_programs_are_traced_however_they_are_started(tmp_path: Path, script: Path, how: str) -> None:
    """The session is recorded, and output and exit code are the program's own."""
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    if how == "uv" and not Path(uv).exists():
        pytest.skip("uv is not installed here; make massgen installs it")
    words = {
        "script by path": [str(script)],
        "script on the path": ["ask"],
        "python": [sys.executable, str(script)],
        "shell": ["bash", "-c", f"'{sys.executable}' '{script}'"],
        "uv": [uv, "run", "--no-project", "--offline", "--python", sys.executable, str(script)],
    }[how]
    done = run("--", *words, cwd=tmp_path, PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    assert (done.stderr, done.returncode) == ("", 3)
    (recording,) = (tmp_path / ".massgen").rglob("trace.otlp.jsonl")
    assert done.stdout.strip() in recording.read_text()


def test_flags_become_the_documented_variables(tmp_path: Path) -> None:
    """The program finds its settings in the environment; a flag wins over variables, and the root is where the command was typed."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    inherited = {"MASSGEN_TRACING_ROOT": "there", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/v1/traces", "TRACEPARENT": "00-1-2-01"}
    with_flags = json.loads(
        run("--logfire", "--otlp", "http://localhost:4318", "--root", "here", "--", sys.executable, "-c", code, cwd=tmp_path, **inherited).stdout
    )
    assert with_flags["MASSGEN_TRACING_LOGFIRE"] == "true"
    assert with_flags["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://localhost:4318"
    assert with_flags["MASSGEN_TRACING_ROOT"] == str(tmp_path / "here")
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" not in with_flags
    without = json.loads(run("--", sys.executable, "-c", code, cwd=tmp_path, **inherited).stdout)
    assert {name: without[name] for name in inherited} == inherited
    assert with_flags["TRACEPARENT"] == inherited["TRACEPARENT"]
    assert "MASSGEN_TRACING_LOGFIRE" not in without


def test_arguments_of_the_program_are_its_own(tmp_path: Path) -> None:
    """Options that look like ours, more `--`, empty words and spaces arrive as they were typed."""
    words = ["--logfire", "--", "", "two words", "--help", "*", "ä"]
    done = run("--", sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words, cwd=tmp_path)
    assert json.loads(done.stdout) == words


def test_the_process_is_the_program(tmp_path: Path) -> None:
    """Same process id, input from the caller, death by the caller's signal, and no signal ignored that was not."""
    process = subprocess.Popen(
        [*EXEC, "--", sys.executable, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.readline(); os.kill(os.getpid(), 15)"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    process.communicate(b"go\n")
    assert process.returncode == -signal.SIGTERM
    ignored = "grep SigIgn /proc/self/status"
    bare = subprocess.run(["bash", "-c", ignored], capture_output=True, text=True, check=True)
    assert run("--", "bash", "-c", ignored, cwd=tmp_path).stdout == bare.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 1, "there is nothing to run"),
        (["--"], 1, "there is nothing to run after --"),
        (["--logfire", "--"], 1, "there is nothing to run after --"),
        (["massgen", "--automation"], 1, "put -- before the command: massgen-tracing exec … -- massgen --automation"),
        (["--nonsense", "--", "true"], 1, ""),
        (["--", "no-such-command"], 127, "no-such-command: command not found"),
        (["--", "./no/such/file"], 127, "./no/such/file: no such file"),
        (["--", "/etc/passwd"], 126, "/etc/passwd cannot be run: Permission denied"),
        (["--", "/"], 126, "/ cannot be run: "),
    ],
)
def test_what_cannot_be_run_says_why(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    """Exit codes are those of env(1): 126 cannot be run, 127 not found; 1 for wrong use, as of every command."""
    done = run(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    """A script whose `#!` leads nowhere is there, but its interpreter is not."""
    path = tmp_path / "broken"
    path.write_text("#!/no/such/python\n")
    path.chmod(0o755)
    done = run("--", "./broken", cwd=tmp_path)
    assert done.returncode == 127
    assert "its interpreter (the path after #! in its first line) is missing" in done.stderr


def test_the_command_itself_loads_no_opentelemetry(tmp_path: Path) -> None:
    """It is gone before the program starts, and costs next to nothing until then."""
    code = """import os, sys
def become(file, words, env):
    print(sorted({name.split('.')[0] for name in sys.modules} & {'opentelemetry', 'logfire', 'openai', 'mcp', 'datafusion'}))
    raise SystemExit(0)
os.execvpe = become
from massgen_tracing.views.cli import main
main(['exec', '--', 'true'])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
