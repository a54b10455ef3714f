"""Which objects have come since, and are still there: whatever tests before have left behind is not counted."""

from __future__ import annotations

import gc


def alive(kind: type) -> list[object]:
    """The objects of exactly this class that the interpreter has; whoever holds the list keeps each of them, and its identity, for comparing."""
    return [found for found in gc.get_objects() if type(found) is kind]


def come_since(before: list[object], kind: type) -> list[object]:
    """Those that are alive now and were not before."""
    known = {id(found) for found in before}
    return [found for found in alive(kind) if id(found) not in known]
