"""A command that is started here and watched to its end; its output goes on to where it would have gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, BinaryIO, Final

from massgen_tracing.errors import ConfigError, MissingPackageError
from massgen_tracing.runs.watch import checklist, foreground, profiles
from massgen_tracing.runs.watch.lines import Lines
from massgen_tracing.runs.watch.output import Output
from massgen_tracing.runs.watch.processes import Tree, ended, place_of
from massgen_tracing.runs.watch.signals import Facts, Rank
from massgen_tracing.runs.watch.targets import known
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target
from massgen_tracing.runs.watch.telemetry import Telemetry, switched_on
from massgen_tracing.runs.watch.transcripts import Place

_PIPE: Final = subprocess.PIPE
_AT_ONCE: Final = 65_536
_LEFT_OPEN_SECONDS: Final = 0.5
"""So long its output is waited for when it has ended: a child of its own may keep it open for ever."""


class CommandTarget(Target):
    """`-- COMMAND …`.

    Args:
        has_terminal: whether its input and output are this process's own, so that it can draw on the terminal; nothing is known of its output then.

    Attributes:
        code: its exit code, negative for a signal; None while it runs.
        words: with its arguments.
        environment: what it is started with; None: what this process has.
    """

    def __init__(self, words: Sequence[str], asked: Asked, now: float, *, has_terminal: bool = False) -> None:
        super().__init__(Path(words[0]).name)
        self._has_terminal = has_terminal
        self.words = list(words)
        self._asked = asked
        self._profile = asked.profile or profiles.of_command(shlex.join(words))
        self._facts = Facts(now, to_its_end=True)
        known.take_on(self._facts, self._profile)
        self._output = Output(self._facts, asked.marker, self._profile)
        self._seen: list[tuple[str, float]] = []
        self._number = 0
        self._half = ""
        self._agent = 0
        self._members: list[int] = []
        self._tree: Tree | None = None
        self._pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.code: int | None = None
        self.environment: Mapping[str, str] | None = None
        self.subjects = [Subject(self.name, self._facts, asked.wanted(None), asked.patience_of(self._profile), folder=Path.cwd())]
        self.subjects[0].program, self.subjects[0].place = self._profile, Place(Path.home(), Path.cwd())

    async def start(self, wake: Callable[[], None]) -> None:
        """Start it.

        Raises:
            ConfigError: if it cannot be started.
        """
        process = self._process = self._begin()
        self._pid = process.pid
        self._facts.alive = True
        self._facts.moved("it was started", time.time())
        with contextlib.suppress(MissingPackageError):  # then it is not known what it uses
            self._tree = Tree(process.pid)
        self.subjects[0].pids = (process.pid,)
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # watching has ended
                loop.call_soon_threadsafe(wake)

        out = sys.stdout.buffer if self._asked.own_streams else sys.stderr.buffer
        streams = [(process.stdout, out), (process.stderr, sys.stderr.buffer)]
        readers = [threading.Thread(target=self._pass_on, args=(*each, tell), daemon=True) for each in streams if each[0] is not None]
        for thread in (*readers, threading.Thread(target=self._await, args=(process, readers, tell), daemon=True)):
            thread.start()

    @property
    def may_send(self) -> bool:
        """Whether it is a program that has telemetry of its own."""
        return self._profile is not None and self._profile.telemetry is not None

    def take_telemetry(self, telemetry: Telemetry) -> None:
        """Have its program send its own telemetry there, where it has any and its user does not send it elsewhere; before it is started."""
        environment = dict(os.environ if self.environment is None else self.environment)
        started = None if self._profile is None else switched_on(self._profile, self.words, environment, telemetry.endpoint)
        if started is not None:
            self.words, self.environment = started
            self.subjects[0].telemetry = telemetry

    def _begin(self) -> subprocess.Popen[bytes]:
        try:
            # Not asyncio's: that kills a process which outlives whoever looks at it.
            return subprocess.Popen(
                self.words, stdout=None if self._has_terminal else _PIPE, stderr=None if self._has_terminal else _PIPE, env=self.environment
            )
        except OSError as error:
            hint = "Name a program that is on the path, or by its path"
            raise ConfigError(f"{self.words[0]} cannot be started ({error.strerror or error})", got=shlex.join(self.words), hint=hint) from None

    def look(self, now: float) -> bool:
        code = self.code  # before its last lines are taken
        seen = self._seen[: len(self._seen)]
        del self._seen[: len(seen)]
        for at, lines in groupby(seen, key=lambda each: each[1]):
            told = [line for line, _ in lines]
            self._number += len(told)
            self._output.feed(told, at, self._number)
        changed = bool(seen)
        if self._tree is not None and self._facts.alive:
            used = self._tree.look()
            self._facts.resources = used.resources or self._facts.resources
            if used.active:
                self._facts.moved(used.active, now)
                changed = True
            self._find_program()
            known.read_status(self._facts, self._profile, self._agent or self._pid, self.subjects[0].place, now)
            foreground.note(self._facts, self._profile, self._tree.members(), self._half, self.subjects[0].patience.fresh, now)
        if code is not None and self._facts.alive:
            self._facts.alive = False
            self.subjects[0].pids = ()
            self._facts.note(Rank.ENDED, checklist.EXIT, "completed" if code == 0 else "failed", ended(code), now)
            changed = True
        return changed

    def _find_program(self) -> None:
        """Which program runs below it, where the command itself is none that is known."""
        if self._tree is None or self._tree.members() == self._members or self._asked.profile is not None:
            return
        self._members = self._tree.members()
        found, agent = known.find(self._tree.commands())
        if found is None:
            return
        self._agent = agent
        if found is not self._profile:
            subject = self.subjects[0]
            self._profile = self._output.profile = subject.program = found
            subject.place, subject.patience = place_of(agent) or subject.place, self._asked.patience_of(found)
            known.take_on(self._facts, found)

    def pass_on(self, number: int) -> bool:
        """Give it a signal that this process got, unless the terminal gave it to both; whether it still runs."""
        if self._process is None or self.code is not None:
            return False
        if number != signal.SIGINT or not _typed_for_both():
            with contextlib.suppress(OSError):
                self._process.send_signal(number)
        return True

    def goes_on(self) -> bool:
        return self._facts.alive is not False

    def _pass_on(self, source: IO[bytes], target: BinaryIO, tell: Callable[[], None]) -> None:
        lines = Lines()
        with source:
            while data := os.read(source.fileno(), _AT_ONCE):
                with contextlib.suppress(OSError, ValueError):  # nobody reads any more; it is watched all the same
                    target.write(data)
                    target.flush()
                self._take(lines.feed(data), tell)
                self._half = lines.half
        self._half = ""
        self._take(lines.rest(), tell)

    def _take(self, lines: list[str], tell: Callable[[], None]) -> None:
        now = time.time()
        self._seen.extend((line, now) for line in lines)
        if lines:
            tell()

    def _await(self, process: subprocess.Popen[bytes], readers: list[threading.Thread], tell: Callable[[], None]) -> None:
        code = process.wait()
        deadline = time.monotonic() + _LEFT_OPEN_SECONDS
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        self.code = code
        tell()


def _typed_for_both() -> bool:
    """Whether what is typed on the terminal, as Ctrl-C is, is a signal for this process and for what it has started."""
    try:
        with open(os.ctermid(), "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except (AttributeError, OSError):  # no terminal, or another system
        return False
