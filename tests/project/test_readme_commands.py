"""Every command and every program in the README works as it stands there."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from massgen_tracing.layout import DEFAULT_ROOT

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = list(dict.fromkeys(re.findall(r"^\$ (.+)$", README, re.MULTILINE)))
NAMED = list(dict.fromkeys(re.findall(r"`((?:make|massgen-tracing) [^`]+)`|^(massgen-tracing .+)$", README, re.MULTILINE)))
"""Commands that the text speaks of, or that need MassGen."""
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


Reader = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Runs a command in a directory that has what the commands name, after those that stand before it, as a reader would; each once."""
    place = tmp_path_factory.mktemp("readme")
    for name in ("dashboards", "examples"):
        shutil.copytree(ROOT / name, place / name)
    done: dict[str, subprocess.CompletedProcess[str]] = {}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        for each in COMMANDS[: COMMANDS.index(command) + 1]:
            if each not in done:
                # `make` works in the repository, where the contributor's own runs are.
                environment = {**_environment(), "MASSGEN_TRACING_ROOT": str(place / DEFAULT_ROOT)}
                done[each] = subprocess.run(_words(each), cwd=place, env=environment, capture_output=True, text=True, check=False)
        return done[command]

    return run


def _words(command: str) -> list[str]:
    """The command's words; `make test`, which is what runs this, need only be there."""
    words = shlex.split(command)
    if words[0] == "make":
        words = ["make", "--no-print-directory", "-C", str(ROOT), *(["--dry-run"] if words[1] == "test" else []), *words[1:]]
    return words


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MASSGEN_", "OTEL_", "LOGFIRE_"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_works(command: str, reader: Reader) -> None:
    """It ends with exit code 0 and says something."""
    done = reader(command)
    # The doctor answers 1 where something is to be done, such as a Logfire token to be got.
    assert done.returncode in ({0, 1} if command.startswith("massgen-tracing doctor") else {0}), done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", [" ".join(filter(None, each)) for each in NAMED])
def test_a_command_that_the_text_names_is_there(command: str) -> None:
    """With the options that it shows: `make` knows the target, the help of `massgen-tracing` tells of the rest."""
    name, *words = itertools.takewhile("--".__ne__, shlex.split(command))
    commands = [word for word in itertools.takewhile(lambda word: not word.startswith("-"), words) if word.islower()]
    if name == "make":
        run = ["make", "--dry-run", "-C", str(ROOT), *words]
    else:
        run = [name, *commands, "--help"]
    done = subprocess.run(run, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


def test_there_is_something_to_run() -> None:
    """The README shows the two commands for a fresh machine and at least one program."""
    assert {"make demo", "make test"} <= set(COMMANDS)
    assert PROGRAMS


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A directory with a recorded run, as the README's commands leave one."""
    run = ["massgen-tracing", "run", "--dry-run", "Which storage layout should a small library use?"]
    subprocess.run(run, cwd=tmp_path, env=_environment(), capture_output=True, check=True)
    return tmp_path


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_readme_works(program: str, recorded: Path) -> None:
    """It runs where the commands before it have run, and has nothing to warn of."""
    _python(program, recorded)


def test_the_orchestrator_of_the_readme_is_traced(tmp_path: Path) -> None:
    """Its recording has the tree that the README promises: each call under its agent's round."""
    (program,) = (program for program in PROGRAMS if "bind_stream" in program)
    _python(program, tmp_path)
    words = [sys.executable, "-m", "massgen_tracing.views.cli", "trace"]
    tree = subprocess.run(words, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True).stdout
    names = [re.sub(r"[│├└─•]", " ", line).split()[0] for line in tree.splitlines() if re.search(r"[─ ](agent\.|llm\.|mcp\.)", line)]
    work = ["llm.openai.stream", "mcp.filesystem.write_file"]
    votes = ["agent.agent_a.round_1", "agent.agent_b.round_1"]
    assert names == ["agent.agent_a.round_0", *work, "agent.agent_b.round_0", *work, *votes, "agent.agent_a.presentation"]


def _python(program: str, place: Path) -> None:
    words = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(words, cwd=place, env=_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
