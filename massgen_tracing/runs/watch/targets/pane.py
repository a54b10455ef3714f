"""Panes of tmux: those that a name or a pattern means now, and those that it will mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from fnmatch import fnmatchcase

from massgen_tracing.errors import ConfigError, MissingPackageError
from massgen_tracing.runs.watch import checklist, foreground, profiles, screen
from massgen_tracing.runs.watch.output import Output
from massgen_tracing.runs.watch.processes import Tree, ended, exit_of_zombie, place_of
from massgen_tracing.runs.watch.signals import Facts, Rank
from massgen_tracing.runs.watch.targets import known
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target
from massgen_tracing.runs.watch.terminals import Seen
from massgen_tracing.runs.watch.tmux import Pane

_TELLS_WITHIN = 2.0
"""Seconds after which it is not expected any more that tmux tells how a program ended."""

_MOST_NAMED = 5
"""Panes that are named where none is the one that is watched."""

_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "fish", "ksh"})


class PanesTarget(Target):
    """`tmux:SESSION[:WINDOW[.PANE]]`: every pane of the session or of the window, by their names or by patterns; windows also by their numbers."""

    def __init__(self, name: str, place: str, asked: Asked, now: float) -> None:
        super().__init__(name)
        self._asked = asked
        self._session, _, rest = place.partition(":")
        self._window, dot, self._pane = rest.rpartition(".") if "." in rest else (rest, "", "")
        if not self._session or (dot and not self._pane.isdecimal()):
            raise ConfigError("This is no place in tmux", expected="tmux:SESSION[:WINDOW[.PANE]], as in tmux:agent-* or tmux:work:0.1", got=name)
        self._panes: dict[str, _Watched] = {}
        self._wake: Callable[[], None] = lambda: None
        # Until there is a pane, what is waited for has a state too.
        self._none = Facts(now)
        self.subjects = [Subject(name, self._none, asked.wanted(None), asked.patience)]

    async def start(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        await self._asked.terminals.join(wake, self._means)

    def look(self, now: float) -> bool:
        terminals = self._asked.terminals
        changed = False
        if not self._panes:
            self._none.awaited = self._awaited()
        for pane_id, seen in terminals.panes.items():
            if not self._means(seen.pane) or (pane_id not in self._panes and not seen.there):
                continue
            if terminals.takers.setdefault(pane_id, self) is not self:  # another name means it too, and it is watched once
                self.subjects = [each for each in self.subjects if each.facts is not self._none]
                continue
            if pane_id not in self._panes:
                watched = self._panes[pane_id] = _Watched(seen.pane, self._asked, now)
                self.subjects = [*(each for each in self.subjects if each.facts is not self._none), watched.subject]
            changed = self._panes[pane_id].look(seen, now, server=terminals.there) or changed
        return changed

    async def close(self) -> None:
        terminals = self._asked.terminals
        terminals.takers = {pane: taker for pane, taker in terminals.takers.items() if taker is not self}
        await terminals.leave(self._wake)

    def _awaited(self) -> str:
        """That no pane is meant yet, and which there are."""
        terminals = self._asked.terminals
        if not terminals.there:
            return f"there is no tmux server yet at {terminals.place}"
        others = ", ".join(f"tmux:{name}" for name in terminals.names[:_MOST_NAMED])
        more = len(terminals.names) - _MOST_NAMED
        return "no pane of this name is there yet; there " + (f"are {others}" if others else "is none") + (f" and {more} more" if more > 0 else "")

    def _means(self, pane: Pane) -> bool:
        if not _is(pane.session, self._session):
            return False
        if self._window and not (_is(pane.window_name, self._window) or self._window == str(pane.window)):
            return False
        return not self._pane or int(self._pane) == pane.index


class _Watched:
    """One pane."""

    def __init__(self, pane: Pane, asked: Asked, now: float) -> None:
        self._asked = asked
        self._profile = asked.profile
        self._facts = Facts(now)
        self._output = Output(self._facts, asked.marker, asked.profile)
        self._number = 0
        self._pid = 0
        self._agent = 0
        self._dead_since = math.inf
        self._running: tuple[str, tuple[int, ...]] = ("", ())
        self._tree: Tree | None = None
        self._screen: list[str] = []
        self._name = f"tmux:{pane.name}"
        self.subject = Subject(self._name, self._facts, asked.wanted(None), asked.patience_of(asked.profile))

    def look(self, seen: Seen, now: float, *, server: bool) -> bool:
        """Take what was seen of it; whether anything has changed."""
        facts, pane = self._facts, seen.pane
        if not seen.there:
            if lines := seen.take():
                self._number += len(lines)
                self._output.feed(lines, now, self._number)
            return self._gone(now, server=server)
        if pane.pid != self._pid:
            if self._pid:  # it was filled anew
                facts.restarted(now)
            self._pid, self._agent, self._running, self._dead_since = pane.pid, 0, ("", ()), math.inf
            self._tree = _tree(pane.pid)
        lines = seen.take()
        changed = bool(lines) or seen.screen != self._screen
        if lines:
            self._number += len(lines)
            self._output.feed(lines, now, self._number)
        elif seen.screen != self._screen:
            facts.moved("the screen changed", now)
            facts.last_line = next((line.strip() for line in reversed(seen.screen) if line.strip()), facts.last_line)
        self._screen = seen.screen
        if pane.dead:
            facts.forget(checklist.SCREEN, checklist.SESSION)
            facts.alive, facts.resources, self.subject.pids = False, None, ()
            return self._ended(pane, now) or changed
        facts.alive = True
        self._find_program(pane, now)
        changed = self._measure(now) or changed
        self._read_screen(pane, seen.screen, now)
        return changed

    def _gone(self, now: float, *, server: bool) -> bool:
        """It is not there any more."""
        if self._facts.alive is False:
            return False
        self._facts.alive, self._facts.resources, self.subject.pids = False, None, ()
        self._facts.forget(checklist.SCREEN, checklist.SESSION)
        why = "the pane is gone; how its program ended tmux tells with remain-on-exit only" if server else "the tmux server is gone"
        self._facts.note(Rank.ENDED, checklist.EXIT, "dead", why, now)
        return True

    def _ended(self, pane: Pane, now: float) -> bool:
        """Note how it ended; whether that is to be asked again soon: its process may only be about to end, and tmux to hear of it."""
        code, told = pane.code, "pane_dead_status of tmux"
        if code is None and pane.signal:
            code, told = -pane.signal, "pane_dead_signal of tmux"
        if code is None:  # tmux misses the end of a child now and then, until the next one ends
            code, told = exit_of_zombie(pane.pid), "of its process, which tmux has not asked yet"
        if code is not None:
            self._facts.note(Rank.ENDED, checklist.EXIT, "completed" if code == 0 else "failed", f"{ended(code)} ({told})", now)
            return False
        self._dead_since = min(self._dead_since, now)
        if now - self._dead_since < _TELLS_WITHIN:
            return True
        self._facts.note(Rank.ENDED, checklist.EXIT, "dead", "the pane is dead, and tmux does not tell how it ended", now)
        return False

    def _find_program(self, pane: Pane, now: float) -> None:
        """Which program runs there, looked for again when other processes do."""
        running = (pane.command, () if self._tree is None else tuple(self._tree.members()))
        if running == self._running:
            return
        self._running = running
        commands = [] if self._tree is None else self._tree.commands()
        named, agent = known.find(commands)
        found, shell = self._asked.profile or named, profiles.load("shell")
        if agent and self._agent and agent != self._agent:
            self._facts.restarted(now)
        self._agent = agent or self._agent
        if agent:
            self.subject.program, self.subject.place = found, place_of(agent) or self.subject.place
        if found is None and pane.command in _SHELLS and all(profiles.of_command(command) is shell for _, command in commands):
            found = shell
        self._profile = self._output.profile = found
        self.subject.patience = self._asked.patience_of(found)
        known.take_on(self._facts, found)

    def _measure(self, now: float) -> bool:
        if self._tree is None:
            return False
        used = self._tree.look()
        self._facts.resources = used.resources
        self.subject.pids = (self._pid,) if used.lives else ()
        known.read_status(self._facts, self._profile, self._agent or self._pid, self.subject.place, now)
        if used.active and (self._profile is None or self._profile.tree_tells):
            self._facts.moved(used.active, now)
            return True
        return False

    def _read_screen(self, pane: Pane, shown: list[str], now: float) -> None:
        facts = self._facts
        if self._profile is None or not self._profile.marks:
            before_cursor = shown[pane.cursor].strip() if pane.cursor < len(shown) else ""
            pids = () if self._tree is None else self._tree.members()
            foreground.note(facts, self._profile, pids, before_cursor, self.subject.patience.fresh, now)
            return
        reading = screen.read(self._profile, shown, pane.title)
        moving = facts.active_at is not None and now - facts.active_at < self.subject.patience.fresh
        state, quote = reading.settled(facts.active if moving else "")
        facts.note(Rank.SCREEN, checklist.SCREEN, state, quote, now)


def _is(name: str, wanted: str) -> bool:
    """Whether a name is the one that is wanted, or fits it as a pattern: it may itself have characters that mean something in one."""
    return name == wanted or fnmatchcase(name, wanted)


def _tree(pid: int) -> Tree | None:
    try:
        return Tree(pid)
    except MissingPackageError:
        return None
