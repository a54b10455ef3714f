"""The panes that are watched, all of one tmux server, looked at together; each line that a program writes there comes once.

Output that is told as it comes is read from the stream, without what programs draw on the alternate screen. Where it is not told (a server without
control mode, very many sessions), lines are those of the history that were not there at the last look, by what they say: their number is no guide,
for a narrower terminal that is attached reflows them, and at its limit a history loses a tenth at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from massgen_tracing.runs.watch.lines import Lines
from massgen_tracing.runs.watch.tmux import USUAL_PLACE, Pane, Server

_MOST_FOLLOWED: Final = 32
"""Sessions whose output is told as it comes: each takes a tmux client."""

_HISTORY: Final = 2000
"""Lines above the screen that are read at the first look, and without streams at each."""

_KEPT: Final = 200
"""Lines by which the place is found again where the last look ended."""

_MOST_WAITING: Final = 1 << 21
"""Bytes of output that may wait for a look; of more, the last half stays."""

_SETTLES_SECONDS: Final = 0.1
"""Output within this time is looked at together."""

SLOWEST_SECONDS: Final = 2.0
_FASTEST_SECONDS: Final = 0.5

_ALTERNATE: Final = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")


class Stream:
    """What a pane puts out, as lines; without what is drawn on the alternate screen."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._full_screen = False

    def feed(self, data: bytes, *, full_screen: bool | None = None) -> list[str]:
        """The lines that are whole now; *full_screen* where it is known how the pane was before the first of it."""
        if full_screen is not None:
            self._full_screen = full_screen
        found: list[str] = []
        parts = _ALTERNATE.split(data)
        for index in range(0, len(parts), 2):
            if not self._full_screen:
                found += self._lines.feed(parts[index])
            if index + 1 < len(parts):
                self._full_screen = parts[index + 1] == b"h"
        return found


@dataclass(slots=True)
class Seen:
    """A pane at the last look.

    Attributes:
        pane: as the server describes it.
        screen: what it shows.
        lines: what has come and was not taken yet.
        there: whether it is there still.
    """

    pane: Pane
    screen: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    there: bool = True
    stream: Stream = field(default_factory=Stream)
    tail: list[str] = field(default_factory=list)
    """The last lines there were."""
    waiting: bytearray = field(default_factory=bytearray)
    """Output of which no lines were made yet."""

    def put_out(self, data: bytes) -> None:
        """Output has come; of too much of it the end is kept, from the beginning of a line on."""
        waiting = self.waiting
        waiting += data
        if len(waiting) > _MOST_WAITING:  # and the line before it is no other's beginning
            cut = waiting.find(b"\n", len(waiting) - _MOST_WAITING // 2)
            del waiting[: cut if cut >= 0 else -_MOST_WAITING // 2]

    def take_output(self) -> bool:
        """Make lines of the output that waits; whether there was any."""
        data = bytes(self.waiting)
        self.waiting.clear()
        self.add(self.stream.feed(data))
        return bool(data)

    def add(self, lines: Sequence[str]) -> None:
        """Lines that have come."""
        self.lines += lines
        if lines:
            self.tail = [*self.tail, *lines[-_KEPT:]][-_KEPT:]

    def take(self) -> list[str]:
        """The new lines, which are then old."""
        lines, self.lines = self.lines, []
        return lines


class Terminals:
    """Looks at panes for all that watch some."""

    def __init__(self) -> None:
        self.panes: dict[str, Seen] = {}
        self.there = False
        """Whether there is a server."""
        self.takers: dict[str, object] = {}
        """Who takes a pane's lines, which come once."""
        self.names: list[str] = []
        """Of all panes that the server has."""
        self._users: dict[Callable[[], None], Callable[[Pane], bool]] = {}
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def place(self) -> str:
        """Which server it is, in words."""
        return USUAL_PLACE if self._server is None else self._server.place

    async def join(self, wake: Callable[[], None], wants: Callable[[Pane], bool]) -> None:
        """Look at the panes that *wants* says, and call *wake* when there is something new.

        Raises:
            ConfigError: if there is no tmux.
        """
        self._users[wake] = wants
        if self._server is None:
            self._server = Server(self._put_out, self._news.set)
            await self._look(self._server)
            self._task = asyncio.create_task(self._run(self._server), name="watch.terminals")
        else:
            self._news.set()

    async def leave(self, wake: Callable[[], None]) -> None:
        """Look no more for somebody; with the last one, detach."""
        self._users.pop(wake, None)
        if not self._users and self._server is not None:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            await self._server.close()
            self._server = self._task = None

    def _put_out(self, pane: str, data: bytes) -> None:
        seen = self.panes.get(pane)
        if seen is not None:
            seen.put_out(data)
            self._news.set()

    async def _run(self, server: Server) -> None:
        seconds = _FASTEST_SECONDS
        while True:
            # Not `wait_for`, which in Python 3.11 may lose a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
                await asyncio.sleep(_SETTLES_SECONDS)
            self._news.clear()
            changed = await self._look(server)
            seconds = _FASTEST_SECONDS if changed else min(seconds * 1.5, SLOWEST_SECONDS)
            if changed:
                for wake in self._users:
                    wake()

    async def _look(self, server: Server) -> bool:
        """Look at all of them; whether anything has changed."""
        panes = await server.panes()
        there, self.there = self.there, panes is not None
        self.names = [pane.name for pane in panes or ()]
        wanted = {pane.id: pane for pane in panes or () if any(wants(pane) for wants in self._users.values())}
        await server.follow(sorted({pane.session_id for pane in wanted.values()})[:_MOST_FOLLOWED])
        gone = [seen for pane_id, seen in self.panes.items() if seen.there and pane_id not in wanted]
        for seen in gone:  # what it said last may not have been taken yet
            seen.there = False
            seen.take_output()
        changed = bool(gone) or there != self.there
        for pane in wanted.values():
            changed = await self._look_at(server, pane) or changed
        return changed

    async def _look_at(self, server: Server, pane: Pane) -> bool:
        seen = self.panes.get(pane.id)
        if seen is None or not seen.there:  # another server gives the same numbers again
            return await self._look_first(server, pane)
        before, seen.pane = seen.pane, pane
        followed = server.follows(pane.session_id)
        said = seen.take_output() if followed else False
        if not followed and not pane.full_screen:
            seen.add(new_lines(seen.tail, _filled(await server.text(pane.id, pane.session_id, _HISTORY))))
        elif pane.dead and not before.dead and not pane.full_screen:
            # In control mode tmux throws away what a program has said last, where it has ended before that was told.
            seen.add(last_words(seen.tail, _filled(await server.text(pane.id, pane.session_id, _KEPT))))
        if not said and followed and pane == before:
            return bool(seen.lines)
        screen = await server.screen(pane.id)
        changed = bool(seen.lines) or screen != seen.screen or pane != before
        seen.screen = screen
        return changed

    async def _look_first(self, server: Server, pane: Pane) -> bool:
        seen = self.panes[pane.id] = Seen(pane)
        text = _filled(await server.text(pane.id, pane.session_id, _HISTORY, seen.waiting.clear))
        full_screen = pane.full_screen or await server.full_screen(pane.id)
        seen.stream.feed(b"", full_screen=full_screen)
        if not full_screen:  # whose screen is among them
            seen.add(text)
        seen.screen = await server.screen(pane.id)
        return True


_DEAD: Final = "Pane is dead ("
"""Begins what tmux itself writes into a pane whose program has ended."""


def last_words(known: Sequence[str], now: Sequence[str]) -> list[str]:
    """What of a pane's last text is not known from its stream."""
    known, now = _filled(known), _filled([line for line in now if not line.startswith(_DEAD)])
    new = new_lines(known, now)
    return [line for line in new if line not in known] if len(new) == len(now) else new


def _filled(lines: Sequence[str]) -> list[str]:
    """Lines without the empty ones below the last that has something."""
    end = next((number for number in range(len(lines), 0, -1) if lines[number - 1].strip()), 0)
    return list(lines[:end])


_MAY_HAVE_GROWN: Final = 3
"""Last lines that may be others by now: a prompt at which something was typed, a line that was drawn over."""


def new_lines(old: Sequence[str], now: Sequence[str]) -> list[str]:
    """What of *now* was not there when it ended with *old*: what stands behind the last place where most of the end of *old* stands."""
    best, at = (False, 0), 0
    for dropped in range(min(_MAY_HAVE_GROWN, len(old))):
        kept = old[: len(old) - dropped]
        for end in range(len(now), 0, -1):
            length = 0
            while length < min(len(kept), end) and now[end - 1 - length] == kept[len(kept) - 1 - length]:
                length += 1
            whole = length == len(kept)
            if (whole, length) > best:
                best, at = (whole, length), end
            if whole:
                break
    return list(now[at:])
