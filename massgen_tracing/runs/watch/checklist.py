"""When something counts as completed: a list of conditions, each of which holds, does not hold, or is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from massgen_tracing.runs.watch.signals import Facts, Rank, Signal

Check = Callable[[], bool | None]
"""A condition of the caller's own; None where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Item:
    """One condition.

    Attributes:
        name: what is to hold.
        holds: whether it does; None where that is not known.
        detail: why.
    """

    name: str
    holds: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of something to be completed.

    Attributes:
        files: have to be there, and not empty.
        marker: has to stand in the output; empty: none has to.
        checks: conditions of the caller's own, by name.
    """

    files: Sequence[Path] = ()
    marker: str = ""
    checks: Mapping[str, Check] = field(default_factory=dict)


EXIT = "exit"
"""The name of the signal of how a process ended."""

SESSION = "session"
"""Of what a program says of itself while it runs, in a file of its own."""

SCREEN = "screen"
MARKER = "marker"
ERROR = "error"
LIMIT = "rate limit"
"""Of an error in the output that says that a limit was met, where it is the last one: programs wait, and get over it."""


EXIT_CODE: Final = "exit code 0"
NO_ERROR: Final = "no error in the output"
UNASKED: Final = frozenset({EXIT_CODE, NO_ERROR})
"""Conditions that nobody has asked for by name."""


def items(wanted: Wanted, facts: Facts) -> tuple[Item, ...]:
    """The list as it is now."""
    return (_exit(facts.signals.get(EXIT)), *map(_file, wanted.files), _no_error(facts), *_marker(wanted, facts.signals), *_own(wanted.checks))


def _exit(ended: Signal | None) -> Item:
    if ended is None or ended.state == "dead":
        return Item(EXIT_CODE, None, "" if ended is None else ended.quote)
    return Item(EXIT_CODE, ended.state == "completed", ended.quote)


def _file(path: Path) -> Item:
    name = f"{path.name} is there and not empty"
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Item(name, False, "is missing")
    except OSError as error:
        return Item(name, None, error.strerror or str(error))
    if path.is_dir():
        try:
            return Item(name, next(path.iterdir(), None) is not None, "a directory")
        except OSError as error:
            return Item(name, None, error.strerror or str(error))
    return Item(name, size > 0, f"{size} bytes" if size else "is empty")


def last_error(facts: Facts) -> Signal | None:
    """The last error in the output, rate limits among them."""
    return facts.signals.get(LIMIT) or facts.signals.get(ERROR)


def broken_by(facts: Facts) -> Signal | None:
    """The error in the output that is none of a success: of rate limits one that had the last word, or whose program did not end with 0."""
    limit, ended = facts.signals.get(LIMIT), facts.signals.get(EXIT)
    got_over = facts.after_error > 0 and ended is not None and ended.state == "completed"
    return facts.signals.get(ERROR) or (None if got_over else limit)


def _no_error(facts: Facts) -> Item:
    error, ended = broken_by(facts), facts.signals.get(EXIT)
    if error is not None:
        return Item(NO_ERROR, False, f"{error.category}: {error.quote}")
    # Where no output was seen, there was none only if the process was followed to its exit code.
    followed = ended is not None and ended.state != "dead"
    return Item(NO_ERROR, True if facts.last_line or MARKER in facts.signals or followed else None)


def _marker(wanted: Wanted, signals: Mapping[str, Signal]) -> tuple[Item, ...]:
    if not wanted.marker:
        return ()
    found = signals.get(MARKER)
    return (Item(f"marker {wanted.marker!r}", found is not None, "" if found is None else found.quote),)


def _own(checks: Mapping[str, Check]) -> tuple[Item, ...]:
    made = []
    for name, check in checks.items():
        try:
            made.append(Item(name, check()))
        except Exception as error:  # noqa: BLE001 - a check of the caller's own is an observation like any other
            made.append(Item(name, None, f"{type(error).__name__}: {error}"))
    return tuple(made)


def missing(made: Sequence[Item]) -> Item | None:
    """The first condition that does not hold."""
    return next((item for item in made if item.holds is False), None)


def as_signal(item: Item, at: float) -> Signal:
    """What a condition that does not hold says."""
    return Signal(Rank.WRITTEN, "checklist", "failed", f"{item.name}: {item.detail or 'no'}", at)
