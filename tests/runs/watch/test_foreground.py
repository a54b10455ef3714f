"""Programs that nobody knows, and that wait for somebody to type."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from massgen_tracing.runs.watch import Asked, foreground
from massgen_tracing.runs.watch.judge import Patience
from tests.runs.watch.conftest import Tmux
from tests.runs.watch.seen import state, until, watch

SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
NOT_TOLD = os.geteuid() != 0 and SCOPE.exists() and SCOPE.read_text().strip() != "0"
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in {"x86_64", "aarch64"}, reason="what a process waits for is seen on Linux only"
)


def quick() -> Asked:
    """One that takes activity for over soon."""
    return Asked(patience=Patience(quiet=100, fresh=0.2))


async def test_a_program_that_reads_its_terminal_waits_for_input(tmux: Tmux) -> None:
    """Whatever it shows, and as long as it does; while it works it runs."""
    tmux.session("agent", "bash", "-c", "read -p 'Overwrite it? [y/N] ' x; sleep 1000")
    async with watch("tmux:agent", asked=quick()) as watcher:
        change = await state(watcher, "waiting_input")
        pid = tmux("display-message", "-p", "-t", "agent:", "#{pane_pid}").strip()
        assert change.evidence.quote == f"process {pid} (bash) waits in a read of its terminal; the last line is 'Overwrite it? [y/N]'"
        tmux.keys("agent", "y", "Enter")
        assert (await state(watcher, "running")).previous == "waiting_input"
        assert watcher.watched["tmux:agent:0.0"].subject.facts.signals.get("screen") is None


async def test_where_a_process_sleeps_says_the_same(tmux: Tmux) -> None:
    """Where the system does not tell in which call it is, as of another one's child: also that it has sockets, or does something else."""
    tmux.session("agent", "bash", "-c", "read x; exec 3<>/dev/udp/127.0.0.1/9; read x; sleep 1000")
    async with watch("tmux:agent", asked=quick()) as watcher:
        await state(watcher, "waiting_input")
        pid = int(tmux("display-message", "-p", "-t", "agent:", "#{pane_pid}"))
        [member] = foreground._foreground([pid])
        assert member.on_terminal
        with open(f"/proc/{pid}/stat") as file:  # noqa: ASYNC230 - it is no file of a disk
            terminal = int(file.read().rpartition(")")[2].split()[4])
        assert foreground._sleeps_in_terminal(pid, terminal)
        assert not foreground._sleeps_in_terminal(pid, terminal + 1)
        tmux.keys("agent", "Enter")
        for _ in itertools.takewhile(lambda _: not os.path.exists(f"/proc/{pid}/fd/3"), itertools.count()):
            await asyncio.sleep(0.02)
        assert not foreground._sleeps_in_terminal(pid, terminal)
    assert not foreground._sleeps_in_terminal(2**22 + 1, terminal)


@pytest.mark.skipif(NOT_TOLD, reason="in which call a process is, the system tells root only, or its parent")
async def test_also_below_a_script_and_seen_as_a_process(tmux: Tmux) -> None:
    """Its parent waits for it; a program that reads by `select`, as the prompt of Python does, too."""
    tmux.session("agent", "sh", "-c", f"{sys.executable} -S -i; true")
    pid = tmux("display-message", "-p", "-t", "agent:", "#{pane_pid}").strip()
    async with watch(f"pid:{pid}", asked=quick()) as watcher:
        assert "of its terminal" in (await state(watcher, "waiting_input")).evidence.quote


@pytest.mark.skipif(NOT_TOLD, reason="in which call a process is, the system tells root only, or its parent")
async def test_what_has_ended_beside_it_does_not_count(tmux: Tmux) -> None:
    """A child whose end its parent has not asked for."""
    ended = "child = os.fork() or os._exit(0); os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)"
    tmux.session("agent", sys.executable, "-S", "-c", f"import os; {ended}; input('Go on?')")
    pid = tmux("display-message", "-p", "-t", "agent:", "#{pane_pid}").strip()
    async with watch(f"pid:{pid}", asked=quick()) as watcher:
        assert "of its terminal" in (await state(watcher, "waiting_input")).evidence.quote
    assert _ended_below(pid)


def _ended_below(pid: str) -> bool:
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return "State:\tZ" in Path(f"/proc/{child}/status").read_text()


async def test_a_prompt_of_a_program_that_waits_for_several_things(tmux: Tmux, tmp_path: Path) -> None:
    """By what stands before the cursor, where nothing moves; a question that it has printed and gone on from is none."""
    program = "import select, sys; sys.stdout.write({!r}); sys.stdout.flush(); select.select([0], [], [], 1000)"
    for name, said in {"asks": "Install it? (yes/no) ", "goes": "Shall I look for it?\n"}.items():
        (tmp_path / name).write_text(program.format(said))
        tmux.session(f"agent-{name}", sys.executable, "-S", str(tmp_path / name))
    async with watch("tmux:agent-*", asked=quick()) as watcher:
        change = await until(watcher, lambda change: change.state == "waiting_input")
        assert (change.target, change.evidence.quote.partition(", and")[0]) == (
            "tmux:agent-asks:0.0",
            "the last line asks for something: 'Install it? (yes/no)'",
        )
        goes = watcher.watched["tmux:agent-goes:0.0"].verdict
        assert goes is None or goes.state == "running"


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("Go on? [y/N]", True), ("Overwrite (Y/n):", True), ("Are you sure (yes/no/[fingerprint])?", True), ("[sudo] password for me:", True),
        ("Press ENTER to continue", True), (">>>", True), ("In [3]:", True), ("Which one?", True), ("Add it? (Y)es/(N)o [Yes]:", True),
        ("Compiling:", False), ("100%", False), ("downloading … 40 MB", False), ("> run", False), ("", False), ("what? I do not know", False),
    ],
)  # fmt: skip
def test_lines_that_ask_for_something(line: str, asks: bool) -> None:
    """Questions, passwords and prompts; not what only says something."""
    assert bool(foreground._PROMPT.search(line)) is asks


def test_who_is_gone_waits_for_nothing() -> None:
    """Nor is it an error."""
    assert foreground.waits((2**22 + 1,), "password:", active=False) == ""
    assert foreground.waits((), "", active=False) == ""


@pytest.mark.skipif(shutil.which("less") is None, reason="there is no less here (Debian: apt-get install less)")
async def test_a_pager_waits_while_what_feeds_it_does_not(tmux: Tmux) -> None:
    """What works beside it counts for as long as it works."""
    tmux.session("agent", "bash", "-c", "(sleep 0.1; echo x) | less -K")
    async with watch("tmux:agent", asked=quick()) as watcher:
        assert "(less) waits in a read of its terminal" in (await state(watcher, "waiting_input")).evidence.quote
