"""Real panes of a real tmux, of every fate: the right state with the right evidence, and every line once."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from pathlib import Path

import pytest

from massgen_tracing.errors import ConfigError
from massgen_tracing.runs.watch import Asked, Change, State, terminals
from massgen_tracing.runs.watch.judge import Patience
from massgen_tracing.runs.watch.terminals import Stream, new_lines
from tests.runs.watch.conftest import Tmux
from tests.runs.watch.seen import state, until, watch


@pytest.mark.parametrize(
    ("command", "expected", "quote"),
    [
        ("read x; exit 0", "completed", "exit code 0"),
        ("read x; exit 7", "failed", "exit code 7"),
        ("read x; kill -KILL $$", "failed", "ended by signal SIGKILL"),
        ("read x; echo 'Out of memory: Killed process 7 (python)'; kill -KILL $$", "failed", "ended by signal SIGKILL"),
    ],
    ids=["exit 0", "exit 7", "SIGKILL", "out of memory"],
)
async def test_how_a_pane_ends(tmux: Tmux, command: str, expected: State, quote: str) -> None:
    """By tmux's own word, as it happens."""
    tmux.script("agent", command)
    async with watch("tmux:agent") as watcher:
        await state(watcher, "waiting_input")
        tmux.keys("agent", "Enter")
        change = await state(watcher, expected)
    assert (change.target, change.evidence.quote.partition(" (")[0]) == ("tmux:agent:0.0", quote)
    if "memory" in command:
        assert watcher.watched["tmux:agent:0.0"].subject.facts.signals["error"].category == "out_of_memory"


async def test_patterns_of_names_mean_panes_that_come_later_too(tmux: Tmux) -> None:
    """And none of others; without remain-on-exit it is known that a pane is gone, and not how."""
    tmux.session("other", "sleep 1000")
    async with watch("tmux:agent-*") as watcher:
        change = await state(watcher, "starting")
        assert (change.target, change.evidence.quote) == ("tmux:agent-*", "no pane of this name is there yet; there are tmux:other:0.0")
        tmux.session("agent-1", "sleep 1000")
        assert (await state(watcher, "running")).target == "tmux:agent-1:0.0"
        tmux("new-session", "-d", "-s", "agent-2", "-x", "80", "-y", "24", "sleep 1000")
        assert (await state(watcher, "running")).target == "tmux:agent-2:0.0"
        tmux("kill-session", "-t", "=agent-2")
        change = await state(watcher, "dead")
        assert (change.target, change.evidence.quote) == (
            "tmux:agent-2:0.0", "the pane is gone; how its program ended tmux tells with remain-on-exit only")  # fmt: skip
        tmux("kill-server")
        change = await state(watcher, "dead")
        assert (change.target, change.evidence.quote) == ("tmux:agent-1:0.0", "the tmux server is gone")
        assert set(watcher.watched) == {"tmux:agent-1:0.0", "tmux:agent-2:0.0"}


async def test_a_pane_that_two_names_mean_is_watched_once(tmux: Tmux) -> None:
    """Each line comes once, and watching ends with it."""
    tmux.script("agent", "read x; echo Progress: 40%; read x; exit 0")
    seen: list[Change] = []
    async with watch("tmux:agent", "tmux:a*", "tmux:agent:0.0") as watcher:
        await state(watcher, "waiting_input", seen)
        tmux.keys("agent", "Enter")
        await until(watcher, lambda change: change.progress == 40, seen)
        tmux.keys("agent", "Enter")
        async for change in watcher:
            seen.append(change)
    assert [change.state for change in seen if change.kind == "state"].count("completed") == 1
    assert {change.target for change in seen} == {"tmux:agent:0.0"}
    assert {change.attempt for change in seen} == {1}
    assert set(watcher.watched) == {"tmux:agent:0.0"}


async def test_a_name_may_look_like_a_pattern(tmux: Tmux) -> None:
    """It means what has that name."""
    tmux.session("we ird[x]*", "sleep 1000")
    async with watch("tmux:we ird[x]*") as watcher:
        assert (await state(watcher, "running")).target == "tmux:we ird[x]*:0.0"


@pytest.mark.parametrize("followed", [True, False])
async def test_every_line_once_while_terminals_come_and_go(tmux: Tmux, monkeypatch: pytest.MonkeyPatch, followed: bool) -> None:
    """10,000 lines at once, more than the history has; the window resized, and a narrower terminal attached. By looking only, as far as it goes."""
    many = 10_000 if followed else 1_000
    monkeypatch.setattr(terminals, "_MOST_FOLLOWED", 32 if followed else 0)
    tmux.script(
        "agent",
        f"read x; seq -f 'a line of some words that is longer than a narrow pane is wide, the %gth' {many}; read x; echo narrow; read x; echo last",
    )
    looked, lines = asyncio.Event(), list[str]()
    looking = terminals.Terminals()
    await looking.join(looked.set, lambda pane: pane.session == "agent")

    async def until_line(line: str) -> None:
        while line not in lines:
            await looked.wait()
            looked.clear()
            lines.extend(line for seen in looking.panes.values() for line in seen.take())

    tmux.keys("agent", "Enter")
    await until_line(f"a line of some words that is longer than a narrow pane is wide, the {many}th")
    tmux("resize-window", "-t", "agent", "-x", "30", "-y", "10")
    tmux.keys("agent", "Enter")
    await until_line("narrow")
    words = ["script", "-qc", f"stty cols 20; TERM=xterm tmux -S {tmux.socket} attach -t agent", "/dev/null"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL):  # noqa: ASYNC220 - it is ready at once
        for _ in itertools.takewhile(lambda _: "attached" not in tmux("list-sessions"), itertools.count()):
            await asyncio.sleep(0.02)
        tmux.keys("agent", "Enter")
        await until_line("last")
        tmux("detach-client", "-s", "agent")
    await looking.leave(looked.set)
    assert [line for line in lines if line.startswith("a line")] == [
        f"a line of some words that is longer than a narrow pane is wide, the {n}th" for n in range(1, many + 1)]  # fmt: skip
    assert (lines.count("narrow"), lines.count("last")) == (1, 1)


async def test_a_hang_is_stalled_and_goes_on(tmux: Tmux, tmp_path: Path) -> None:
    """It is told, with the last sign of life, and nothing is done about it."""
    first, second = tmp_path / "first", tmp_path / "second"  # one pipe could be read again before its writer has closed it, and be at its end
    os.mkfifo(first)
    os.mkfifo(second)
    tmux.script("agent", f"trap '' TERM; echo begun; read x <{first}; echo more; read x <{second}; exit 0")
    async with watch("tmux:agent", asked=Asked(patience=Patience(quiet=0.2, stalled=0.5, fresh=0.1))) as watcher:
        change = await state(watcher, "stalled")
        assert change.evidence.quote.startswith("no change for 0.5 s; the last one: ")
        first.write_text("\n")
        await state(watcher, "running")
        assert (await state(watcher, "stalled")).attempt == 1
        second.write_text("\n")
        assert (await state(watcher, "completed")).attempt == 1


async def test_endless_output_and_full_screen_programs(tmux: Tmux) -> None:
    """One is bounded, of the other only its screen is read."""
    tmux.script("agent-endless", "yes 'no end of this'")
    tmux.script(
        "agent-full", "printf '\\033[?1049hERROR on the screen of a program\\nProgress: 50%%\\n'; read x; printf '\\033[?1049lback DONE\\n'; read x"
    )
    async with watch("tmux:agent-*", asked=Asked(marker="DONE")) as watcher:
        while len(watcher.watched) < 2:
            await until(watcher, lambda change: change.kind == "state")
        full = watcher.watched["tmux:agent-full:0.0"]
        tmux.keys("agent-full", "Enter")
        change = await state(watcher, "completed")
        assert (change.target, change.evidence.name) == ("tmux:agent-full:0.0", "marker")
        assert full.subject.facts.progress is None
        endless = watcher.watched["tmux:agent-endless:0.0"]
        assert endless.verdict is not None
        assert endless.verdict.state == "running"
        assert "no end of this".startswith(endless.subject.facts.last_line)


async def test_prompts_of_a_program_that_is_known(tmux: Tmux, tmp_path: Path) -> None:
    """It is found by its command line below the shell; its screen tells its state, and when a wrapper starts it anew that is another attempt."""
    agent = tmp_path / "aider"
    agent.write_text("#!/bin/bash\necho 'Add it to the chat? (Y)es/(N)o [Yes]: '; read x; clear; echo '> '; read x; exit 1\n")
    agent.chmod(0o755)
    tmux.script("agent", f"while true; do {agent}; sleep 0.3; done")
    async with watch("tmux:agent", asked=Asked(patience=Patience(fresh=0.1))) as watcher:
        change = await state(watcher, "waiting_input")
        assert change.evidence.quote == "Add it to the chat? (Y)es/(N)o [Yes]:"
        tmux.keys("agent", "Enter")
        assert (await state(watcher, "idle")).evidence.quote == ">"
        tmux.keys("agent", "Enter")
        assert (await until(watcher, lambda change: change.attempt == 2)).state == "waiting_input"


async def test_a_pane_that_is_filled_anew_is_another_attempt(tmux: Tmux) -> None:
    """What was seen of the first one is not said of the second."""
    tmux.script("agent", "read x; exit 3")
    async with watch("tmux:agent", until=None) as watcher:
        await state(watcher, "waiting_input")
        tmux.keys("agent", "Enter")
        assert (await state(watcher, "failed")).attempt == 1
        tmux("respawn-pane", "-t", "agent:", "sleep 1000")
        change = await state(watcher, "running")
        assert (change.attempt, change.previous, change.contradicting) == (2, "failed", ())


async def test_nothing_is_signalled(tmux: Tmux, tmp_path: Path) -> None:
    """Neither what is out of time nor what is stalled, and nothing when watching ends."""
    noted, over = tmp_path / "noted", tmp_path / "over"
    tmux.script(
        "agent",
        f'for s in HUP INT TERM; do trap "echo $s >> {noted}" $s; done; echo ready; while [ ! -e {over} ]; do sleep 0.05; done; echo over >> {noted}',
    )
    async with watch("tmux:agent", asked=Asked(patience=Patience(stalled=0.2, quiet=0.1, run_time=0.6))) as watcher:
        assert (await state(watcher, "timed_out")).evidence.quote == "watched for 0.6 s without an end"
    over.touch()
    for _ in itertools.takewhile(lambda _: not noted.exists() or not noted.read_text().endswith("over\n"), itertools.count()):
        await asyncio.sleep(0.02)
    assert noted.read_text() == "over\n"


@pytest.mark.parametrize(
    ("old", "now", "new"),
    [
        (["a", "b"], ["a", "b", "c"], ["c"]),
        (["x", "a", "b"], ["a", "b", "c", "d"], ["c", "d"]),
        (["a", "$ "], ["a", "$ ls", "file", "$ "], ["$ ls", "file", "$ "]),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        (["a", "b"], [], []),
        ([], ["a"], ["a"]),
        (["a", "a", "a"], ["a", "a", "a", "a"], ["a"]),
    ],
)
def test_what_is_new_is_found_by_what_lines_say(old: list[str], now: list[str], new: list[str]) -> None:
    """Not by how many they are."""
    found = new_lines(old, now)
    assert found == new or (old == ["a", "a", "a"] and found == [])  # lines that are all alike cannot be told apart


def test_last_words_are_found_among_empty_lines() -> None:
    """Below which tmux says that the pane is dead."""
    shown = ["", "last words", *[""] * 20, "Pane is dead (status 3, Sun Nov 29 13:02:51 2026)"]
    assert terminals.last_words([""], shown)[-1] == "last words"
    assert terminals.last_words(["", "last words"], shown) == []
    assert terminals.last_words(["something else"], shown)[-1] == "last words"


def test_what_is_drawn_on_the_alternate_screen_is_no_line() -> None:
    """Also where it is in the middle of other output."""
    stream = Stream()
    assert stream.feed(b"one\n\x1b[?1049hdrawn\n\x1b[?1049ltwo\nthr") == ["one", "two"]
    assert stream.feed(b"ee\n\x1b[?1049h") == ["three"]
    assert stream.feed(b"drawn\n") == []


@pytest.mark.parametrize("name", ["tmux:", "tmux::1", "tmux:a:1.x"])
def test_a_place_that_is_none(name: str) -> None:
    """It is refused with the form."""
    with pytest.raises(ConfigError, match="Expected"):
        watch(name)
