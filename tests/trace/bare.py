"""What the bare generator does is what the bound one does: what both kinds, sync and async, are compared by."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Boom(Exception):
    """Raised by a generator, or thrown into it."""


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What Python complains of in the block, though nobody can catch it: that a generator ignores its closing when it is dropped."""
    said: list[str] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda complaint: said.append(str(complaint.exc_value))
    try:
        yield said
    finally:
        sys.unraisablehook = hook
