"""Being told of changes of files instead of looking for them.

Folders are watched, not files: who watches a file that is replaced hears of the first replacement, and of nothing after that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

_GROUPED_MS: Final = 100
"""Changes within this time are told of together."""

_STEP_MS: Final = 50


class Notifier:
    """Tells of the folders in which something has changed.

    Args:
        told: is called with the folders.

    Attributes:
        works: whether it does; where not, there is only looking.
    """

    def __init__(self, told: Callable[[set[Path]], None]) -> None:
        self._told = told
        self._folders: frozenset[Path] = frozenset()
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event = asyncio.Event()
        try:
            import watchfiles  # noqa: F401 - whether it is there
        except ImportError:
            self.works = False
        else:
            self.works = True

    async def watch(self, folders: Iterable[Path]) -> None:
        """These folders from now on, of which those that are not there are left out."""
        wanted = frozenset(folder for folder in folders if folder.is_dir())
        if not self.works or wanted == self._folders:
            return
        await self.close()
        self._folders = wanted
        if wanted:
            self._stop = asyncio.Event()
            self._task = asyncio.create_task(self._run(wanted, self._stop), name="watch.notify")

    async def close(self) -> None:
        """End it."""
        task, self._task = self._task, None
        if task is not None:
            self._stop.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._folders = frozenset()

    async def _run(self, folders: frozenset[Path], stop: asyncio.Event) -> None:
        import watchfiles

        try:
            async for changes in watchfiles.awatch(
                *folders, watch_filter=None, debounce=_GROUPED_MS, step=_STEP_MS, stop_event=stop, recursive=False
            ):
                self._told({Path(path).parent for _, path in changes} | {Path(path) for _, path in changes if Path(path) in folders})
        except (OSError, RuntimeError):  # no more watches to be had, or a folder that went away: looking goes on
            self._folders = frozenset()
