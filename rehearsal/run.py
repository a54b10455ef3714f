"""Real MassGen, started as a user starts it, on a scripted model and a scripted MCP server; and everything that both sides say about it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from massgen_tracing import layout
from massgen_tracing.model import SpanRecord
from massgen_tracing.runs.coordinator.scripted import ScriptedEndpoint
from massgen_tracing.store.reading.recording import Recording
from massgen_tracing.store.roots import catalogue, reader

from .backends import BACKENDS, CHAT, Backend
from .environments import REPOSITORY, Environment
from .interfaces import INTERFACES
from .script import SERVER, Script

HERE: Final = Path(__file__).resolve().parent
QUESTION: Final = "Which storage layout should the small library use?"
PROGRAM_TIMEOUT: Final = 600.0
"""Seconds after which a program is taken to hang; nothing is judged by it."""

LAST_WORDS: Final = 3.0
"""Seconds until a program that hangs is ended, and that it is given to say where."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How MassGen is set up.

    Attributes:
        server: whether each agent has the MCP server.
        library: whether that server is made by MCP's own library.
        timeout: seconds until the orchestrator gives up; None: MassGen's default.
        orchestrator: more of the configuration's `orchestrator` section.
        workspaces: whether each agent has a directory of its own to work in.
        backends: the agents' backends, by names of `BACKENDS`; the others have chat completions.
        more: of each agent's `backend` section.
    """

    server: bool = True
    library: bool = False
    timeout: float | None = None
    orchestrator: Mapping[str, Any] = field(default_factory=dict)
    workspaces: bool = False
    backends: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def backend(self, agent_id: str) -> Backend:
        """An agent's backend."""
        return BACKENDS[self.backends.get(agent_id, CHAT)]


@dataclass(frozen=True)
class Ran:
    """One program that ran to its end, and what is known of it from outside.

    Attributes:
        requests: the endpoint's log: each model request as it was answered.
        tool_calls: the MCP server's log.
        witness: what `witness/sitecustomize.py` saw inside, one a Python process.
        place: the working directory.
        setup: how MassGen was set up.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    requests: Sequence[Mapping[str, Any]]
    tool_calls: Sequence[Mapping[str, Any]]
    witness: Sequence[Mapping[str, Any]]
    place: Path
    setup: Setup

    @cached_property
    def recording(self) -> Recording:
        """What is recorded under the working directory."""
        return reader.read(catalogue.files(self.place / layout.DEFAULT_ROOT))

    @property
    def spans(self) -> Sequence[SpanRecord]:
        return self.recording.spans

    @cached_property
    def files(self) -> frozenset[str]:
        """The files that the program left, without this package's own."""
        own = {f"{layout.RECORDING_STEM}{layout.RECORDING_SUFFIX}", f"{layout.RECORDING_STEM}{layout.SEALED_SUFFIX}", layout.PROBLEMS_FILE}
        return frozenset(
            str(path.relative_to(self.place))
            for path in self.place.rglob("*")
            if path.is_file() and path.name not in own and ".git" not in path.parts
        )


class Stage:
    """A working directory, a home, an endpoint and MCP servers for one program.

    Args:
        environment: the MassGen to run.
        script: what the model answers.
        setup: how MassGen is set up.
        place: an empty directory.
        endpoint: an endpoint that plays the script.
    """

    def __init__(self, environment: Environment, script: Script, setup: Setup, place: Path, endpoint: ScriptedEndpoint) -> None:
        self.environment = environment
        self._endpoint = endpoint
        self._agent_ids = script.agent_ids
        self._setup = setup
        self.work = place / "work"
        self._home = place / "home"
        self._witness = place / "witness"
        self._tool_log = place / "tool_calls.jsonl"
        for folder in (self.work, self._home, self._witness):
            folder.mkdir()
        self.config = place / "config.yaml"
        self.config.write_text(yaml.safe_dump(self._configuration(), sort_keys=False), encoding="utf-8")

    def run(
        self,
        command: Sequence[str],
        *,
        traced: bool = True,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        interrupt: tuple[threading.Event, signal.Signals] | None = None,
    ) -> Ran:
        """Run a program of the environment here.

        Args:
            command: the program and its arguments.
            traced: under `massgen-tracing exec`.
            options: of `massgen-tracing exec`.
            env: variables to add.
            stdin: what it can read; None: nothing.
            interrupt: a signal that it gets, and what is waited for before.
        """
        words = [str(word) for word in command]
        if traced:
            words = [str(self.environment.python), "-m", "massgen_tracing.views.cli", "exec", *options, "--", *words]
        began = time.monotonic()
        with subprocess.Popen(
            words,
            cwd=self.work,
            env=self.variables(env or {}),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                if interrupt is not None and interrupt[0].wait(PROGRAM_TIMEOUT):
                    process.send_signal(interrupt[1])
                stdout, stderr = process.communicate(stdin, timeout=PROGRAM_TIMEOUT)
            except subprocess.TimeoutExpired as error:
                process.send_signal(signal.SIGUSR1)  # the witness says where it hangs
                time.sleep(LAST_WORDS)
                process.kill()
                _, words_left = process.communicate(timeout=LAST_WORDS)
                raise AssertionError(f"{shlex.join(words)} did not end in {PROGRAM_TIMEOUT} s. {words_left}") from error
            except BaseException:
                process.kill()
                raise
        return self.report(process.returncode, stdout, stderr, time.monotonic() - began)

    def massgen(self, *options: str, question: str = QUESTION) -> list[str]:
        """The command line of one question."""
        environment = self.environment
        program = environment.command(environment.massgen) if environment.launcher else [str(environment.massgen)]
        return [*program, "--automation", "--config", str(self.config), *options, question]

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of the program: next to nothing of this process's."""
        path = [str(HERE / "witness"), *([str(REPOSITORY)] if self.environment.borrowed else [])]
        backends: dict[str, str] = {}
        for agent_id in self._agent_ids:
            backend = self._setup.backend(agent_id)
            backends |= backend.variables
            if backend.by_variable:
                backends[backend.address] = self._endpoint.address(agent_id) + backend.below
        return {
            "PATH": os.pathsep.join([str(self.environment.path / "bin"), os.environ.get("PATH", os.defpath)]),
            "HOME": str(self._home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(path),
            "MASSGEN_REHEARSAL_WITNESS": str(self._witness),
            "LOGFIRE_IGNORE_NO_CONFIG": "1",
            # What is preloaded was imported before MassGen, as in no run of a user's.
            **({"MASSGEN_TRACING_INSTRUMENT": "false"} if self.environment.launcher else {}),
            **backends,
            **(more or {}),
        }

    def report(self, code: int, stdout: str, stderr: str, seconds: float) -> Ran:
        """What there is to know now that the program has ended."""
        lines = self._tool_log.read_text(encoding="utf-8").splitlines() if self._tool_log.exists() else []
        witness = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self._witness.glob("*.json"))]
        return Ran(code, stdout, stderr, seconds, self._endpoint.log, [json.loads(line) for line in lines], witness, self.work, self._setup)

    def _configuration(self) -> dict[str, Any]:
        """MassGen's own configuration."""
        setup = self._setup
        agents = [{"id": agent_id, "backend": self._backend(agent_id, place)} for place, agent_id in enumerate(self._agent_ids)]
        orchestrator = {"snapshot_storage": "snapshots", "agent_temporary_workspace": "temp_workspaces", **setup.orchestrator}
        return {
            "agents": agents,
            "orchestrator": orchestrator,
            **({"timeout_settings": {"orchestrator_timeout_seconds": setup.timeout}} if setup.timeout else {}),
            "ui": {"display_type": "simple", "logging_enabled": True},
        }

    def _backend(self, agent_id: str, place: int) -> dict[str, Any]:
        setup, backend = self._setup, self._setup.backend(agent_id)
        return {
            "type": backend.type,
            "model": backend.models[place % len(backend.models)],
            **({} if backend.by_variable else {backend.address: self._endpoint.address(agent_id) + backend.below}),
            **({"mcp_servers": [self._server(agent_id)]} if setup.server and backend.server else {}),
            **({"cwd": f"workspace_{agent_id}"} if setup.workspaces else {}),
            **backend.options,
            **setup.more,
        }

    def _server(self, agent_id: str) -> dict[str, Any]:
        words = [str(HERE / ("tool_server_sdk.py" if self._setup.library else "tool_server.py")), agent_id, str(self._tool_log)]
        return {"name": SERVER, "type": "stdio", "command": str(self.environment.python), "args": words}


@contextmanager
def stage(environment: Environment, script: Script, setup: Setup | None = None, *, place: Path | None = None) -> Iterator[Stage]:
    """A stage for the block; its files are gone afterwards, unless they have a *place*."""
    with tempfile.TemporaryDirectory(prefix="massgen-rehearsal-") as folder, ScriptedEndpoint(script, INTERFACES) as endpoint:
        yield Stage(environment, script, setup or Setup(), place or Path(folder), endpoint)


def agents(count: int) -> tuple[str, ...]:
    """The ids agent_a, agent_b and so on."""
    return tuple(f"agent_{chr(ord('a') + place)}" for place in range(count))


def main() -> int:
    """Run three agents on the newest MassGen that is there, traced, and say what came out: to look at, while working on it."""
    from .environments import found

    with stage(found()[0], Script(agents(3))) as here:
        ran = here.run(here.massgen(*sys.argv[1:]))
        print(ran.stdout, ran.stderr, ran.code, f"{ran.seconds:.1f} s", len(ran.requests), "requests", len(ran.tool_calls), "tool calls", sep="\n")
        for request in ran.requests:
            print(request["agent_id"], request["number"], request["status"], request["calls"], request["usage"])
        print(*ran.tool_calls, *ran.witness, *sorted(ran.files), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
