"""The commands of MassGen's documentation that watch a run, as they stand there, on a run of ours: while it goes on, and when it has ended."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, ScriptedEndpoint, Turn

NEEDED = ("bash", "jq", "watch")
pytestmark = pytest.mark.skipif(
    any(shutil.which(each) is None for each in NEEDED), reason=f"one of {', '.join(NEEDED)} is missing (Debian: apt-get install jq procps)"
)

WAIT = 60.0
NEVER = 100_000.0

PERCENTAGE = """cat .massgen/massgen_logs/log_*/status.json | jq ".coordination.completion_percentage\""""
ACTIVE = """cat .massgen/massgen_logs/log_*/status.json | jq ".coordination.active_agent\""""
ERRORS = """cat .massgen/massgen_logs/log_*/status.json | jq ".agents[].error\""""

COMPLETE = """
# Method 1: Check winner field
WINNER=$(jq -r '.results.winner' $STATUS_FILE)
if [ "$WINNER" != "null" ]; then
    echo "Coordination complete! Winner: $WINNER"
fi

# Method 2: Check completion percentage
COMPLETION=$(jq '.coordination.completion_percentage' $STATUS_FILE)
if [ "$COMPLETION" -eq 100 ]; then
    echo "Coordination complete!"
fi

# Method 3: Check if final presentation
IS_FINAL=$(jq '.coordination.is_final_presentation' $STATUS_FILE)
if [ "$IS_FINAL" = "true" ]; then
    echo "In final presentation phase"
fi
"""

FAILED = """
# Check for any agent errors
ERRORS=$(jq '[.agents[] | select(.error != null)] | length' $STATUS_FILE)
if [ "$ERRORS" -gt 0 ]; then
    echo "Found $ERRORS agent(s) with errors:"
    jq '.agents | to_entries[] | select(.value.error != null) | {agent: .key, error: .value.error}' $STATUS_FILE
fi
"""

FINAL_ANSWER = """
# Get winner agent ID
WINNER=$(jq -r '.results.winner' $STATUS_FILE)

# Read final answer
LOG_DIR=$(jq -r '.meta.log_dir' $STATUS_FILE)
cat "$LOG_DIR/final/$WINNER/answer.txt"
"""

COMMANDS = """grep -o '"command": "[^"]*"' streaming_debug.log | sed 's/"command": "//;s/"$//' | sort | uniq -c | sort -rn | head -30"""


WAITS = "until [ -e go ]; do sleep 0.05; done"


class Watched:
    """A run in a process of its own, whose agents wait where the test says so.

    Agent `a` runs a command and answers, `b` gets an error from its model; `a` and `c` vote when the command that waits for the file `go` is over.
    """

    def __init__(self, place: Path, kit: Any) -> None:
        self.place = place
        self._kit = kit
        self._endpoint = ScriptedEndpoint(self._script)
        self.process: subprocess.Popen[str]

    def _script(self, asked: Asked) -> Turn:
        kit, ran = self._kit, asked.messages[-1]["role"] == "tool"
        if kit.presenting(asked):
            return Turn("The final answer.")
        if asked.agent_id == "b":
            return Turn("no key", status=401)
        if kit.seen(asked):
            return kit.vote("agent1") if ran else self._runs(WAITS)
        if asked.agent_id == "c":
            return Turn("slow", seconds=NEVER)
        return kit.answer("by a") if ran else self._runs("ls -l")

    @staticmethod
    def _runs(command: str) -> Turn:
        return Turn(calls=(ScriptedCall("mcp__shell__execute_command", {"command": command}),))

    def start(self) -> None:
        """Begin the run."""
        self._endpoint.__enter__()
        server = {
            "name": "shell",
            "command": sys.executable,
            "args": ["-m", "massgen_tracing.runs.coordinator.tool_server", "--root", str(self.place)],
        }
        backend = {"type": "openai", "model": "gpt-5-mini", "api_key": "none", "mcp_servers": [server]}
        agents = [{"id": name, "backend": {**backend, "base_url": self._endpoint.base_url(name)}} for name in ("a", "b", "c")]
        (self.place / "agents.yaml").write_text(json.dumps({"agents": agents}), encoding="utf-8")
        words = [sys.executable, "-m", "massgen_tracing", "run", "--automation", "--config", "agents.yaml", "What is AI?"]
        self.process = subprocess.Popen(words, cwd=self.place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def go(self) -> None:
        """Let the run go on, to its end."""
        (self.place / "go").touch()
        said, _ = self.process.communicate(timeout=WAIT)
        assert self.process.returncode == 0, said

    def stop(self) -> None:
        """End it, wherever it is."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self._endpoint.__exit__(None, None, None)

    @property
    def attempt(self) -> Path:
        """Its directory."""
        [found] = self.place.glob(".massgen/massgen_logs/log_*/turn_1/attempt_1")
        return found

    def says(self, program: str, where: Path | None = None) -> str:
        """What a program for bash prints; STATUS_FILE is the run's."""
        [log_dir] = self.place.glob(".massgen/massgen_logs/log_*")
        env = {**os.environ, "STATUS_FILE": str(log_dir / "status.json")}
        done = subprocess.run(["bash", "-c", program], cwd=where or self.place, env=env, capture_output=True, text=True, timeout=WAIT, check=False)
        assert (done.returncode, done.stderr) == (0, ""), program
        return done.stdout

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until that holds of `status.json`."""
        status: dict[str, Any] = {}
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()[0]
            for path in self.place.glob(".massgen/massgen_logs/log_*/status.json"):
                status = json.loads(path.read_text(encoding="utf-8"))
                if holds(status):
                    return
            time.sleep(0.02)
        raise AssertionError(status)


@pytest.fixture
def watched(tmp_path: Path, kit: Any) -> Iterator[Watched]:
    """The run, as far as it comes without being told to go on."""
    run = Watched(tmp_path, kit)
    run.start()
    try:
        run.until(lambda status: status["agents"]["b"]["error"] is not None and status["agents"]["a"]["answer_count"] == 1)
        yield run
    finally:
        run.stop()


def test_progress_and_completion(watched: Watched) -> None:
    """While it goes on, and when it has ended: percentage, active agent, errors, completion, and the final answer where the documentation has it."""
    assert 0 < int(watched.says(PERCENTAGE)) < 100
    assert json.loads(watched.says(ACTIVE)) in {"a", "c", None}
    assert watched.says(ERRORS).count("null") == 2
    assert watched.says(COMPLETE) == ""
    assert watched.says(FAILED).startswith("Found 1 agent(s) with errors:\n{\n")
    assert '"agent": "b"' in watched.says(FAILED)
    watched.go()
    assert watched.says(PERCENTAGE) == "100\n"
    assert watched.says(COMPLETE) == "Coordination complete! Winner: a\nCoordination complete!\nIn final presentation phase\n"
    assert watched.says(FINAL_ANSWER) == "The final answer."


def test_a_loop_that_waits_for_the_end(watched: Watched) -> None:
    """A loop over the documentation's test of completion ends when the run has; no look meets a half-written file. So does `watch` in its place."""
    loop = f'while true; do SAID=$({COMPLETE}); if [[ $SAID == *Winner* ]]; then echo "$SAID"; break; fi; echo >> looks; sleep 0.05; done'
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(watched.says(loop)))
    thread.start()
    while not (watched.place / "looks").exists():
        time.sleep(0.02)
    words = [sys.executable, "-m", "massgen_tracing", "watch", "--until", "done", "--json", str(watched.attempt.parents[1])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        first = json.loads(ours.stdout.readline())
        assert (first["role"], first["state"]) == ("target", "running")
        watched.go()
        last = json.loads(ours.communicate(timeout=WAIT)[0].splitlines()[-1])
    thread.join(WAIT)
    assert said[0].startswith("Coordination complete! Winner: a\n")
    states = {target["target"].rpartition("/")[2]: target["state"] for target in last["targets"]}
    assert (ours.returncode, states) == (0, {watched.attempt.parents[1].name: "completed", "a": "completed", "b": "failed", "c": "completed"})


def test_watch(watched: Watched) -> None:
    """`watch -n 2`, at a terminal, shows the percentage, and the next one when it has changed."""
    number, terminal = pty.openpty()
    words = ["watch", "-n", "2", PERCENTAGE]
    with subprocess.Popen(words, cwd=watched.place, stdin=terminal, stdout=terminal, stderr=terminal, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(terminal)
        shown = b""
        first = watched.says(PERCENTAGE).strip()

        def shows(what: str) -> bool:
            nonlocal shown
            deadline = time.monotonic() + WAIT
            while time.monotonic() < deadline:
                if re.search(rf"(?<![0-9.:]){what}(?![0-9.:])", re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]", " ", shown.decode(errors="replace"))):
                    return True
                with contextlib.suppress(OSError):
                    shown += os.read(number, 4096)
            return False

        assert shows(first)
        shown = b""
        watched.go()
        assert shows("100")
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT)
    os.close(number)


def test_commands_of_an_analysis(watched: Watched) -> None:
    """Repeated commands, reasons of votes and timeouts, from the files in the attempt's directory."""
    watched.go()
    assert sorted(watched.says(COMMANDS, watched.attempt).splitlines()) == ["      1 ls -l", f"      2 {WAITS}"]
    for agent in ("a", "c"):
        assert watched.says(f"cat {agent}/*/vote.json | jq '.reason'", watched.attempt) == '"good"\n'
    assert watched.says("""cat coordination_events.json | jq '.events[] | select(.event_type == "agent_timeout")'""", watched.attempt) == ""
    assert watched.says("""cat coordination_events.json | jq '[.events[] | select(.event_type == "vote_cast")] | length'""", watched.attempt) == "2\n"
