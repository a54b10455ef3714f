"""A tmux server of the tests' own, with a socket in a folder that nobody else sees."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from massgen_tracing.runs.watch.tmux import SOCKET_VARIABLE


class Tmux:
    """A server; a session that is made here ends with its test."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def __call__(self, *words: str, check: bool = True) -> str:
        """Run a command of tmux; what it prints."""
        env = {name: value for name, value in os.environ.items() if name != "TMUX"}
        done = subprocess.run(["tmux", "-S", str(self.socket), "-f", "/dev/null", *words], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def session(self, name: str, *command: str, width: int = 80, height: int = 24) -> None:
        """A session whose pane stays when its command has ended."""
        self("new-session", "-d", "-s", name, "-x", str(width), "-y", str(height), *command, ";", "set-option", "-w", "remain-on-exit", "on")

    def script(self, name: str, program: str) -> None:
        """A session in which bash runs a program."""
        path = self.socket.parent / f"{name}.sh"
        path.write_text(program)
        self.session(name, "bash", str(path))

    def keys(self, name: str, *keys: str) -> None:
        """Type."""
        self("send-keys", "-t", f"{name}:", *keys)


@pytest.fixture
def tmux(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tmux]:
    """A server with no session yet."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is missing (Debian: apt-get install tmux)")
    with tempfile.TemporaryDirectory(prefix="tmux-") as folder:  # a socket's path has to be short
        server = Tmux(Path(folder) / "s")
        monkeypatch.setenv(SOCKET_VARIABLE, str(server.socket))
        yield server
        pid = server("display-message", "-p", "#{pid}", check=False).strip()
        server("kill-server", check=False)
        if pid:
            with contextlib.suppress(ProcessLookupError):  # as a rule it is gone
                os.kill(int(pid), signal.SIGKILL)
