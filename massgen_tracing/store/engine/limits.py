"""What a statement may take, and holding a process to it."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from massgen_tracing.errors import QueryError

resource: ModuleType | None
try:
    resource = importlib.import_module("resource")
except ImportError:  # Windows: the engine's own memory pool is the only limit
    resource = None

POOL_BYTES: Final = 2**30
"""What the engine's operators may hold together; they say what they were doing when it is too little."""

MEMORY_BYTES: Final = 2**31
"""What a statement may take in all, beside what its process and the recordings already have."""

STACK_BYTES: Final = 2**28
"""Of each thread; address space only. The engine's planner goes down a level for each level of a statement."""


def too_much_memory() -> QueryError:
    """The refusal of a statement that takes more."""
    most = f"{MEMORY_BYTES // 2**30} GiB"
    return QueryError(f"The statement needs more memory than the {most} it may have", hint="Ask for fewer rows, columns or groups")


@contextlib.contextmanager
def memory() -> Iterator[None]:
    """Hold this process to its memory while a statement is asked; what is there before is the recordings' data."""
    sizes = _sizes()
    if resource is None or sizes is None:
        yield
        return
    kept = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)}
    for (kind, (_, hard)), size in zip(kept.items(), sizes, strict=True):
        wanted = size + MEMORY_BYTES
        resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        yield
    finally:
        for kind, before in kept.items():
            resource.setrlimit(kind, before)


def alarm(seconds: float) -> None:
    """Have the kernel end this process after so many seconds, whatever it is doing then; never for 0."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def resident_bytes() -> int:
    """The memory that this process holds; 0 where the system does not say."""
    fields = _statm()
    return fields[1] if fields else 0


def _sizes() -> tuple[int, int] | None:
    """Bytes of address space and of data; None where the system does not say."""
    fields = _statm()
    return (fields[0], fields[5]) if fields else None


def _statm() -> list[int]:
    try:
        with open("/proc/self/statm", "rb") as file:
            fields = file.read().split()
    except OSError:
        return []
    page = os.sysconf("SC_PAGE_SIZE")
    return [int(field) * page for field in fields]
