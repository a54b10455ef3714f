"""What terminals show, read by profiles: screens written for the purpose, as the programs draw them and as watchers were misled by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from massgen_tracing.errors import ConfigError
from massgen_tracing.runs.watch import Rank, State, profiles
from massgen_tracing.runs.watch.profiles import Profile
from massgen_tracing.runs.watch.screen import read
from tests.runs.watch.seen import NOW, facts, judged

BRAILLE = "\u2827"
TURN = """
❯ please fix the failing test

● I will look at it first.
"""

SCREENS: dict[str, tuple[str, str, str, State]] = {
    "claude streams": ("claude", f"{TURN}\n❯ \n  ? for shortcuts   esc to interrupt", "◐ Claude Code", "running"),
    "claude thinks": ("claude", f"{TURN}\n✶ Pondering… (4s · ↓ 5 tokens)\n\n❯ \n  esc to interrupt", "", "running"),
    "claude waits at its prompt": ("claude", f"{TURN}\n✻ Baked for 15s · done 7:20 AM\n\n❯ \n  ? for shortcuts", "✳ Claude Code", "idle"),
    "claude asks": (
        "claude", f"{TURN}\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n\n Esc to cancel · Tab to amend", "✳ Claude Code", "waiting_input"),
    "claude is limited": ("claude", f"{TURN}\n  429 · retrying in 2s · attempt 4/10\n❯ \n  esc to interrupt", "◐ Claude Code", "rate_limited"),
    "codex works": ("codex", f"{TURN}\n• Working (4s • esc to interrupt)\n\n› Ask Codex to do anything", f"{BRAILLE} hi | w", "running"),
    "codex streams, which its title says alone": ("codex", f"{TURN}\nSome text that\n\n› Ask Codex to do anything", f"{BRAILLE} hi | w", "running"),
    "codex waits at its prompt": ("codex", f"{TURN}\n› Ask Codex to do anything", "hi | w", "idle"),
    "codex asks": (
        "codex", f"{TURN}\nWould you like to run the following command?\n $ rm x\n Press enter to confirm or esc to cancel",
        "[ ! ] Action Required | w", "waiting_input"),
    "codex reconnects": ("codex", f"{TURN}\n• Server is busy, reconnecting 3/5 (3s • esc to interrupt)\n› Ask", f"{BRAILLE} w", "rate_limited"),
    "codex has given up": ("codex", f"{TURN}\n■ exceeded retry limit\n\n› Ask Codex to do anything", "w", "idle"),
    "gemini works": ("gemini", f"{TURN}\n⠦ Thinking... (esc to cancel, 6s)\n│ >   Type your message", "✦  Working… (dir)   ", "running"),
    "gemini waits at its prompt": ("gemini", f"{TURN}\n│ >   Type your message", "◇  Ready (dir)   ", "idle"),
    "gemini asks": ("gemini", f"{TURN}\n│ Allow execution of [Shell]?", "✋  Action Required (dir)", "waiting_input"),
    "opencode works": ("opencode", f"{TURN}\n ⬝⬝⬝ esc interrupt", "OC | title", "running"),
    "opencode asks": (
        "opencode",
        f"{TURN}\n  ┃  △ Permission required\n  ┃    # Shell command\n  ┃   Allow once   Allow always   Reject   ⇆ select  enter confirm",
        "OC | title", "waiting_input"),
    "opencode asks whether always": (
        "opencode", f"{TURN}\n  ┃  This will allow the following patterns\n  ┃  - rm *\n  ┃   Confirm   Cancel   ⇆ select  enter confirm", "OC | x",
        "waiting_input"),
    "opencode waits at its prompt": ("opencode", f"{TURN}\n  ┃  Build · m x\n   /work    1.6K  ctrl+p commands", "OC | title", "idle"),
    "opencode works with its footer": ("opencode", f"{TURN}\n ■■■⬝⬝ esc interrupt   tab agents  ctrl+p commands", "OC | title", "running"),
    "opencode without a mark": ("opencode", TURN, "OC | title", "unknown"),
    "claude tries again": (
        "claude", f"{TURN}\n✻ API error · Retrying in 1s · attempt 4/10\n────\n❯ \n────\n  esc to interrupt", "⠐ Claude Code", "rate_limited"),
    "claude begins to think": ("claude", f"{TURN}\n✻ Gitifying…\n────\n❯ \n────\n  esc to interrupt · ← for agents", "⠐ Claude Code", "running"),
    "aider waits at its prompt": ("aider", f"{TURN}\nTokens: 2.4k sent, 3 received.\n> ", "", "idle"),
    "aider asks": ("aider", f"{TURN}\nAdd file to the chat? (Y)es/(N)o [Yes]: ", "", "waiting_input"),
    "a shell at its prompt": ("shell", "$ make\nok\nme@here:~/work$ ", "", "idle"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_screens_of_known_programs(name: str) -> None:
    """Each state is told from the others by the program's own marks."""
    profile, shown, title, expected = SCREENS[name]
    assert read(profiles.load(profile), shown.splitlines(), title).state == expected


def test_marks_of_another_version_are_unknown_and_not_idle() -> None:
    """A busy session of a program that draws itself otherwise by now is not taken for an idle one; stronger signals say that it is busy."""
    shown = "● I will look at it first.\n▒ rumination underway (4 s)\n│ type here"
    reading = read(profiles.load("claude"), shown.splitlines(), "something new")
    assert (reading.state, reading.quote) == ("unknown", "none of Claude Code's marks is on the screen (they were seen in 2.1.197)")
    known = facts((Rank.SCREEN, "screen", "unknown", reading.quote), active=NOW - 30)
    assert judged(known).state == "unknown"
    known.moved("CPU time, 80% of a core", NOW - 1)
    assert (judged(known).state, judged(known).evidence.quote) == ("running", "CPU time, 80% of a core")
    known.note(Rank.WRITTEN, "transcript", "running", "an entry 3 s ago", NOW - 3)
    known.active_at = NOW - 30
    assert judged(known).state == "unknown"  # an entry is no sign that it still goes on


def test_a_prompt_alone_is_idle_only_where_nothing_moves() -> None:
    """It stands there while the agent works, too: marks that are new by now may have said so."""
    reading = read(profiles.load("codex"), f"{TURN}\n▒ rumination\n› Ask Codex to do anything".splitlines(), "")
    assert reading.settled("") == ("idle", "› Ask Codex to do anything")
    assert reading.settled("output") == ("running", "output, and '› Ask Codex to do anything' is there while it works too")


def test_only_what_is_on_the_screen_now_counts() -> None:
    """What an earlier tool printed matches marks of other states: with a later mark of its own, it is old."""
    printed = 'grep found: "esc to interrupt" and "Do you want to proceed?" in docs/keys.md'
    claude = profiles.load("claude")
    assert read(claude, f"{printed}\n\n✶ Pondering… (4s)\n❯ \n esc to interrupt".splitlines(), "").state == "running"
    gemini = profiles.load("gemini")
    assert read(gemini, f"⠦ Thinking... (esc to cancel, 6s)\n{TURN}\n>   Type your message".splitlines(), "◇  Ready (dir)").state == "idle"


def test_a_prompt_with_a_spinner_is_busy() -> None:
    """The prompt stays on the screen while the agent works, and a footer pushes it up."""
    shown = "✶ Pondering… (14s · ↑ 2 tokens)\n\n────\n❯ \n────\n  3 files changed\n  model: x\n  esc to interrupt"
    assert read(profiles.load("claude"), shown.splitlines(), "").state == "running"


def test_the_whole_screen_is_looked_at() -> None:
    """A question at the top of a tall pane is seen."""
    shown = ["Do you want to proceed?", "❯ 1. Yes", *[""] * 45, "Esc to cancel · Tab to amend"]
    assert read(profiles.load("claude"), shown, "✳ Claude Code").state == "waiting_input"
    assert read(profiles.load("opencode"), ["Permission required", *[""] * 40], "").state == "waiting_input"


@pytest.mark.parametrize("name", profiles.names())
def test_each_profile_says_where_it_was_seen(name: str) -> None:
    """By versions, for marks change with them."""
    profile = profiles.load(name)
    assert profile.seen or name == "shell"
    assert profile.command is not None


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("claude --resume", "claude"),
        ("/usr/bin/node /usr/lib/node_modules/@openai/codex/bin/codex.js exec x", "codex"),
        ("node /opt/bin/gemini -p x", "gemini"),
        ("/opt/opencode-ai/bin/opencode", "opencode"),
        ("/venv/bin/python /venv/bin/aider --message x", "aider"),
        ("python -m massgen --automation x", "massgen"),
        ("-bash", "shell"),
        ("vim claude.md", None),
    ],
)
def test_programs_are_known_by_their_command_lines(command: str, name: str | None) -> None:
    """Also where another program runs them."""
    found = profiles.of_command(command)
    assert (None if found is None else found.name) == name


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """A YAML file of the same form."""
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nseen: ['3']\nmarks:\n- {shows: '^busy', states: [running]}\n- {shows: '^ready', states: [idle]}\n")
    profile: Profile = profiles.load(str(path))
    assert (read(profile, ["ready", "busy"], "").state, profile.title) == ("running", "Mine")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a list", "a mapping"),
        ("marks: [{shows: '(', states: [idle]}]", "missing )"),
        ("marks: [{shows: x, states: [asleep]}]", "'asleep' is no state"),
        ("colour: red", "colour"),
        ("outcomes: [{state: failed}]", "either line or where"),
        ("a: b: c", "mapping values"),
    ],
)
def test_a_profile_that_is_wrong_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """With what is wrong about it."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="The profile wrong cannot be used") as raised:
        profiles.load(str(path))
    assert problem in str(raised.value)


def test_a_profile_that_is_not_there() -> None:
    """The known ones are named."""
    with pytest.raises(ConfigError, match="one of aider, claude, codex, gemini, massgen, opencode, shell"):
        profiles.load("copilot")
