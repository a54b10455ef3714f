"""A process and its children."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from massgen_tracing.runs.watch import checklist, foreground, profiles
from massgen_tracing.runs.watch.processes import Tree, ended, exit_of_zombie, place_of
from massgen_tracing.runs.watch.signals import Facts, Rank
from massgen_tracing.runs.watch.targets import known
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target


class End:
    """Has somebody woken at the end of a process, where the system tells of it."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def await_of(self, pid: int, wake: Callable[[], None]) -> None:
        """Wake when that process ends."""
        self.close()
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):  # another system, or it is gone
            wake()
            return
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, wake)

    def close(self) -> None:
        """Wait no more."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _ended(self, wake: Callable[[], None]) -> None:
        self.close()
        wake()


class ProcessTarget(Target):
    """`pid:N`. Only its parent is told how it ended, so of others it is known that it is gone."""

    def __init__(self, name: str, pid: int, asked: Asked, now: float) -> None:
        super().__init__(name)
        self._pid = pid
        self._tree = Tree(pid)
        self._end = End()
        self._profile = asked.profile or profiles.of_command(self._tree.command)
        self._facts = Facts(now, to_its_end=True)
        known.take_on(self._facts, self._profile)
        self._facts.last_line = self._tree.command
        self.subjects = [Subject(name, self._facts, asked.wanted(None), asked.patience_of(self._profile), pids=(pid,))]
        self.subjects[0].program, self.subjects[0].place = self._profile, place_of(pid)

    async def start(self, wake: Callable[[], None]) -> None:
        self._end.await_of(self._pid, wake)

    def look(self, now: float) -> bool:
        facts = self._facts
        if facts.alive is False:
            return False
        seen = self._tree.look()
        facts.alive, facts.resources = seen.lives, seen.resources
        if not seen.lives:
            self.subjects[0].pids = ()
            code = exit_of_zombie(self._pid)
            if code is not None:
                told = f"{ended(code)}; process {self._pid} is a zombie, for its parent has not asked yet"
                facts.note(Rank.ENDED, checklist.EXIT, "completed" if code == 0 else "failed", told, now)
            else:
                what = f"process {self._pid} is {seen.how}" if facts.active_at is not None else f"there is no process {self._pid}, or no more"
                facts.note(Rank.ENDED, checklist.EXIT, "dead", f"{what}; how it ended only its parent knows", now)
            return True
        if seen.how == "disk-sleep" and not seen.active:
            facts.note(Rank.ENDED, "process", "stalled", f"process {self._pid} is in uninterruptible sleep", now)
        else:
            facts.forget("process")
        known.read_status(facts, self._profile, self._pid, self.subjects[0].place, now)
        if seen.active:
            facts.moved(seen.active, now)
        elif facts.active_at is None:
            facts.moved("the process runs", now)
        foreground.note(facts, self._profile, self._tree.members(), "", self.subjects[0].patience.fresh, now)
        return bool(seen.active)

    async def close(self) -> None:
        self._end.close()
