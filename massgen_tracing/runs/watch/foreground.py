"""Whether what runs in the foreground of a terminal waits for somebody to type, by what the system says of it (Linux), and by its last line.

A process that is in a read of its terminal, or in a `select` for nothing else and without an end, waits. Of others, which wait for several things at
once, the last line tells: a question, a password, a prompt.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from massgen_tracing.runs.watch import checklist
from massgen_tracing.runs.watch.profiles import Profile
from massgen_tracing.runs.watch.signals import Facts, Rank

_CALLS: Final = {
    "x86_64": {0: "read", 19: "read", 23: "select", 270: "select", 61: "wait", 247: "wait"},
    "aarch64": {63: "read", 65: "read", 72: "select", 260: "wait", 95: "wait"},
}.get(platform.machine(), {})
"""Numbers of system calls: `read`, `readv`; `select`, `pselect6`; `wait4`, `waitid`."""

_READ: Final = "n_tty_read"
_PLACES: Final = frozenset({_READ, "wait_woken"})

_DEV_TTY: Final = (5, 0)
"""The device that is each process's own terminal."""

_PROMPT: Final = re.compile(
    r"(?i)[\[(](?:y/n|yes/no)\b[^\])]*[\])]\W*$|\(y\)es\b.*\(n\)o\b|\b(?:press|hit) (?:enter|return|any key)\b"
    r"|\b(?:password|passphrase|passcode)\b[^:]{0,60}:$|^(?:>|>>>|\.\.\.|\(pdb\)|ipdb>|in \[\d+\]:)$|\?\s*(?:\[[^\]]*\]|\([^)]*\))?\s*:?$"
)


@dataclass(frozen=True, slots=True)
class _Member:
    """A process of the foreground."""

    pid: int
    name: str
    sleeps: bool
    threads: int
    call: str
    on_terminal: bool


def waits(pids: Sequence[int], last_line: str, *, active: bool) -> str:
    """In words, what waits for somebody to type; empty where nothing does, or that cannot be seen.

    Args:
        pids: a process and those below it, of which the first tells the terminal.
        last_line: what stands before the cursor; empty where nothing does, or that is not known.
        active: whether anything of them does something.
    """
    members = list(_foreground(pids))
    if not members or not all(member.sleeps for member in members):
        return ""
    shown = f"; the last line is {last_line!r}" if last_line else ""
    reading = next((member for member in members if member.on_terminal and member.threads == 1), None)
    if reading is not None and (not active or all(member.on_terminal or member.call == "wait" for member in members)):
        return f"process {reading.pid} ({reading.name}) waits in a {reading.call} of its terminal{shown}"
    if not active and _PROMPT.search(last_line.strip()):
        return f"the last line asks for something: {last_line.strip()!r}, and process {members[-1].pid} ({members[-1].name}) sleeps"
    return ""


def _foreground(pids: Sequence[int]) -> Iterable[_Member]:
    group: int | None = None
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                name, _, rest = file.read().partition(b"(")[2].rpartition(b")")
        except OSError:
            continue
        fields = rest.split()
        if fields[0] == b"Z" and int(fields[17]) <= 1:  # it has ended, and its parent has not asked how
            continue
        if group is None:
            group = int(fields[5])
        if group > 0 and int(fields[2]) == group:
            call, on_terminal = _call(pid, int(fields[4]))
            yield _Member(pid, name.decode("utf-8", "backslashreplace"), fields[0] == b"S", int(fields[17]), call, on_terminal)


def _call(pid: int, terminal: int) -> tuple[str, bool]:
    """The system call that a process is in, as far as it is known, and whether it waits there for its terminal alone, as long as that takes."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            words = file.read().split()
        call = _CALLS.get(int(words[0]), "") if words[0].isdecimal() else ""
        if call == "read":
            return call, _is_terminal(pid, int(words[1], 16), terminal)
        if call == "select":  # of the first file only, for reading, and without an end
            alone = int(words[1], 16) == 1 and int(words[2], 16) != 0 and int(words[5], 16) == 0
            return call, alone and _is_terminal(pid, 0, terminal)
    except PermissionError:  # as systems have it for those whose child it is not
        return ("read", True) if _sleeps_in_terminal(pid, terminal) else ("", False)
    except (OSError, IndexError, ValueError):  # gone
        return "", False
    return call, False


def _sleeps_in_terminal(pid: int, terminal: int) -> bool:
    """The same by where in the system it sleeps, which more may know: in a terminal's read, or in what sockets use too, without having any."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
            place = file.read()
        if place not in _PLACES or not _is_terminal(pid, 0, terminal):
            return False
        return place == _READ or not any(os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:") for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def _is_terminal(pid: int, descriptor: int, terminal: int) -> bool:
    device = os.stat(f"/proc/{pid}/fd/{descriptor}").st_rdev
    own = (terminal >> 8 & 0xFFF, terminal & 0xFF | terminal >> 12 & 0xFFF00)
    return (os.major(device), os.minor(device)) in {own, _DEV_TTY}


def note(facts: Facts, profile: Profile | None, pids: Sequence[int], last_line: str, fresh: float, now: float) -> None:
    """Note whether it waits, of a program whose own marks do not tell.

    Args:
        facts: what is known of it.
        profile: the program, where it is known.
        pids: as above.
        last_line: as above.
        fresh: activity holds for so many seconds.
        now: Unix seconds.
    """
    if profile is not None and profile.marks:
        return
    moving = facts.active_at is not None and now - facts.active_at < fresh
    what = waits(pids, last_line, active=moving)
    if what:
        facts.note(Rank.SCREEN, checklist.SCREEN, "waiting_input", what, now)
    else:
        facts.forget(checklist.SCREEN)
