"""A tmux server, asked through one client in control mode, which also tells output as it comes.

A client of its own is attached, read-only and without a size, so that no window changes for it. Where none can be attached, each question starts a
tmux. Whatever cannot be had is None or nothing, for servers, sessions and panes may be gone at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from massgen_tracing.errors import ConfigError

USUAL_PLACE: Final = "tmux's usual socket"
SOCKET_VARIABLE: Final = "MASSGEN_TRACING_TMUX_SOCKET"
"""The path of the server's socket, where it is another than tmux itself would take."""

_FIELDS: Final = (
    "pane_id", "session_name", "window_index", "pane_index", "window_name", "pane_pid", "pane_dead", "pane_dead_status", "pane_dead_signal",
    "alternate_on", "pane_current_command", "history_size", "cursor_y", "session_id", "pane_title",
)  # fmt: skip
_SEPARATOR: Final = "\x1f"
_FORMAT: Final = _SEPARATOR.join(f"#{{{name}}}" for name in _FIELDS)
_PATIENCE: Final = 5.0
"""Seconds that an answer may take."""

_LINE_LIMIT: Final = 1 << 22
"""Bytes of a line of control mode: a pane's output comes in lines of some kilobytes, an answer's line is a screen's."""

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Pane:
    """A pane as the server describes it.

    Attributes:
        id: the server's, `%3`.
        session, session_id, window, index, window_name: where it is.
        pid: of the process that it was made for.
        dead: whether that has ended, and how: its exit code, or the signal's number.
        full_screen: whether a program draws on the alternate screen.
        command: what runs in the foreground.
        history: lines above the screen.
        cursor: the line that it is in.
        title: as programs have set it.
    """

    id: str
    session: str
    session_id: str
    window: int
    index: int
    window_name: str
    pid: int
    dead: bool
    code: int | None
    signal: int | None
    full_screen: bool
    command: str
    history: int
    cursor: int
    title: str

    @property
    def name(self) -> str:
        """As it is named to be watched."""
        return f"{self.session}:{self.window}.{self.index}"


class Server:
    """A tmux server.

    Args:
        output: is called with a pane's id and with what it has put out.
        changed: is called when something else has changed: windows, sessions, the server itself.

    Attributes:
        place: of its socket, in words.

    Raises:
        ConfigError: if there is no tmux.
    """

    def __init__(self, output: Callable[[str, bytes], None], changed: Callable[[], None]) -> None:
        tmux = shutil.which("tmux")
        if tmux is None:
            raise ConfigError("There is no tmux here", hint="Install it (Debian: apt-get install tmux), or watch a file, a folder or a process")
        # Within tmux it is that server, whose variable would have a client refuse to be one within another.
        socket = os.environ.get(SOCKET_VARIABLE) or os.environ.get("TMUX", "").partition(",")[0]
        self.place = socket or USUAL_PLACE
        self._words = [tmux, "-u", *(["-S", socket] if socket else [])]
        self._output = output
        self._changed = changed
        self._clients: dict[str, _Client] = {}

    async def panes(self) -> list[Pane] | None:
        """Every pane of the server; None where there is no server."""
        said = await self.ask("list-panes", "-a", "-F", _FORMAT)
        if said is None:
            return None
        own = os.environ.get("TMUX_PANE") if "TMUX" in os.environ else None  # what is said there is what is watched
        return [pane for line in said if (pane := _pane(line)) is not None and pane.id != own]

    async def screen(self, pane: str) -> list[str]:
        """What a pane shows now; nothing where it is gone."""
        return await self.ask("capture-pane", "-p", "-t", pane) or []

    async def full_screen(self, pane: str) -> bool:
        """Whether a program draws on a pane's alternate screen."""
        return await self.ask("display-message", "-p", "-t", pane, "#{alternate_on}") == ["1"]

    async def text(self, pane: str, session: str, history: int, then: Callable[[], None] | None = None) -> list[str]:
        """The screen and so many lines above it, each as it was written, however wide the pane is.

        Args:
            pane: by its id.
            session: by its id; that of the pane.
            history: how many lines.
            then: is called when the answer comes, before any output that is not in it.
        """
        words = ("capture-pane", "-p", "-J", "-S", str(-history), "-t", pane)
        client = self._clients.get(session)
        said = None if client is None else await client.ask(words, then)
        return said if said is not None else await self.ask(*words) or []

    async def follow(self, sessions: Iterable[str]) -> None:
        """Be told what these sessions' panes put out, by their ids, and nothing of others."""
        wanted = set(sessions)
        for session in [session for session, client in self._clients.items() if session not in wanted or client.ended]:
            await self._clients.pop(session).close()
        for session in wanted - self._clients.keys():
            client = _Client(self._output, self._changed)
            if await client.attach([*self._words, "-C", "attach-session", "-f", "read-only,ignore-size", "-t", session]):
                self._clients[session] = client

    def follows(self, session: str) -> bool:
        """Whether what a session puts out is told."""
        client = self._clients.get(session)
        return client is not None and not client.ended

    async def ask(self, *words: str) -> list[str] | None:
        """The lines of an answer; None where there is none."""
        for client in self._clients.values():
            if not client.ended:
                said = await client.ask(words)
                if said is not None:
                    return said
        return await self._ask_once(words)

    async def close(self) -> None:
        """Detach."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def _ask_once(self, words: tuple[str, ...]) -> list[str] | None:
        nothing = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words, *words, stdin=nothing, stdout=asyncio.subprocess.PIPE, stderr=nothing, env=_environment()
            )
        except OSError:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                said, _ = await process.communicate()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # the client of ours, which waits for a server that does not answer
            await process.wait()
            return None
        return said.decode("utf-8", "backslashreplace").splitlines() if process.returncode == 0 else None


class _Client:
    """One client in control mode, attached to one session."""

    def __init__(self, output: Callable[[str, bytes], None], changed: Callable[[], None]) -> None:
        self._output = output
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._answers: list[tuple[asyncio.Future[list[str] | None], Callable[[], None] | None]] = []
        self._turn = asyncio.Lock()
        self.ended = True

    async def attach(self, words: list[str]) -> bool:
        """Attach; whether that succeeded."""
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            self._process = await asyncio.create_subprocess_exec(
                *words, stdin=pipe, stdout=pipe, stderr=nothing, env=_environment(), limit=_LINE_LIMIT
            )
        except OSError:
            return False
        self.ended = False
        greeting = self._awaited()  # attaching is answered as a command is
        self._task = asyncio.create_task(self._read(), name="watch.tmux")
        try:
            async with asyncio.timeout(_PATIENCE):
                attached = await greeting is not None
        except TimeoutError:
            attached = False
        if not attached:
            await self.close()
        return attached

    async def ask(self, words: tuple[str, ...], then: Callable[[], None] | None = None) -> list[str] | None:
        """The lines of an answer, when *then* was called; None for an error, and where the client has ended."""
        process = self._process
        if self.ended or process is None or process.stdin is None:
            return None
        async with self._turn:
            answer = self._awaited(then)
            try:
                process.stdin.write((" ".join(map(_quoted, words)) + "\n").encode())
                await process.stdin.drain()
                async with asyncio.timeout(_PATIENCE):
                    return await answer
            except (OSError, TimeoutError):
                self.ended = True
                return None

    async def close(self) -> None:
        """Detach."""
        self.ended = True
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.write(b"detach-client\n")
                await process.stdin.drain()
            process.stdin.close()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _awaited(self, then: Callable[[], None] | None = None) -> asyncio.Future[list[str] | None]:
        answer: asyncio.Future[list[str] | None] = asyncio.get_running_loop().create_future()
        self._answers.append((answer, then))
        return answer

    async def _read(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        block: list[str] | None = None
        guard = b""
        try:
            async for line in process.stdout:
                if block is not None:
                    # An answer's own lines may begin as its end does; that one has the time and the number of its beginning.
                    if line.startswith((b"%end ", b"%error ")) and line.split(b" ", 1)[1].strip() == guard:
                        self._answered(block if line.startswith(b"%end ") else None)
                        block = None
                    else:
                        block.append(line.rstrip(b"\r\n").decode("utf-8", "backslashreplace"))
                elif line.startswith(b"%begin "):
                    block, guard = [], line.split(b" ", 1)[1].strip()
                elif line.startswith(b"%output "):
                    _, pane, data = line.rstrip(b"\n").split(b" ", 2)
                    self._output(pane.decode(), _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), data))
                elif line.startswith((b"%exit", b"%window", b"%unlinked-window", b"%session", b"%layout-change", b"%pane")):
                    self._changed()
        except ValueError:  # a line beyond every measure
            pass
        finally:
            self.ended = True
            for answer, _ in self._answers:
                if not answer.done():
                    answer.set_result(None)
            self._answers.clear()
            self._changed()

    def _answered(self, block: list[str] | None) -> None:
        if self._answers:
            answer, then = self._answers.pop(0)
            if then is not None:
                then()
            if not answer.done():
                answer.set_result(block)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "TMUX"}


def _quoted(word: str) -> str:
    r"""A word as tmux's own parser takes it: between apostrophes everything is as it stands."""
    return word if re.fullmatch(r"[\w%:./@-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def _pane(line: str) -> Pane | None:
    parts = line.split(_SEPARATOR, len(_FIELDS) - 1)  # a title may have anything in it
    if len(parts) != len(_FIELDS):
        return None
    said = dict(zip(_FIELDS, parts, strict=True))

    def number(name: str) -> int:
        return int(said[name]) if said[name].isdecimal() else 0

    def how(name: str) -> int | None:
        return int(said[name]) if said[name].isdecimal() and said["pane_dead"] == "1" else None

    return Pane(
        id=said["pane_id"],
        session=said["session_name"],
        session_id=said["session_id"],
        window=number("window_index"),
        index=number("pane_index"),
        window_name=said["window_name"],
        pid=number("pane_pid"),
        dead=said["pane_dead"] == "1",
        code=how("pane_dead_status"),
        signal=how("pane_dead_signal"),
        full_screen=said["alternate_on"] == "1",
        command=said["pane_current_command"],
        history=number("history_size"),
        cursor=number("cursor_y"),
        title=said["pane_title"],
    )
