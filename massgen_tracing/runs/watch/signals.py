"""What is seen of something watched, and what that says: states, and signals by how far they are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal, get_args

State = Literal[
    "starting",
    "running",
    "idle",
    "waiting_input",
    "rate_limited",
    "completed",
    "failed",
    "timed_out",
    "stalled",
    "dead",
    "unknown",
]
STATES: Final[tuple[State, ...]] = get_args(State)

FAILURES: Final[frozenset[State]] = frozenset({"failed", "dead", "timed_out"})
FINAL: Final[frozenset[State]] = FAILURES | {"completed"}
"""States after which nothing more is expected; where something comes all the same, it is another attempt."""

MOST_QUOTED: Final = 300
"""Characters of a quote."""


class Rank(IntEnum):
    """How far a signal is to be trusted; the lowest is trusted most."""

    ENDED = 1
    """That the process ended, and how. It proves failure, but not success."""
    OUTCOME = 2
    """What a program that is known says of its outcome."""
    WRITTEN = 3
    """What any program wrote on purpose: a status, progress, a marker."""
    ERROR = 4
    """A line that looks like an error."""
    SCREEN = 5
    """What a terminal shows now."""
    ACTIVITY = 6
    """That anything changes at all."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that was seen.

    Attributes:
        rank: how far it is to be trusted.
        name: what kind of thing it is; a later one of the same name takes its place.
        state: the state that it stands for.
        quote: what was seen, in words or as it stood.
        at: when it came to be, in Unix seconds.
        category: of an error, which kind it is.
        context: of an error, the lines around it.
    """

    rank: Rank
    name: str
    state: State
    quote: str
    at: float
    category: str = ""
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a process and those below it use.

    Attributes:
        cpu: share of one core, since the last look; None at the first one.
        memory: bytes.
        memory_share: of the machine's memory, from 0 to 1.
        files: how many they have open; None where that cannot be seen.
        processes: how many they are.
    """

    cpu: float | None
    memory: int
    memory_share: float
    files: int | None
    processes: int


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens and cost, where something tells them; cached input is part of the input.

    Attributes:
        input, output: tokens.
        cost: USD; None where it is not known.
    """

    input: int
    output: int
    cost: float | None


NOTHING_YET: Final = "nothing has been seen of it yet"


@dataclass(slots=True)
class Facts:
    """All that is known of one thing that is watched, as its target keeps it up to date.

    Attributes:
        signals: the latest of each name.
        awaited: what is not there yet, in words, until something is seen of it.
        active_at: when anything of it last changed, in Unix seconds; None where nothing has been seen yet.
        active: what changed then.
        after_error: lines of output since the error, but for those that belong to it.
        alive: whether a process is known to run, or known to have ended; None where no process is known.
        to_its_end: whether only the end of its process is its end.
        exit_proves: whether an exit code of 0 is a success of this program.
        needs_outcome: whether it has failed where it ends without saying that it succeeded.
        program: what the program is called that runs there.
        last_line: the last line of output.
        progress: percent, as the thing itself says.
        doing: what it says it is doing.
        attempt: how many-th attempt this is, from 1.
        resources, used: where known.
        watched_since: when watching began, in Unix seconds.
        sessions: the program's own ids of its sessions, where it tells which they are; empty where it does not.
    """

    watched_since: float
    signals: dict[str, Signal] = field(default_factory=dict)
    awaited: str = NOTHING_YET
    active_at: float | None = None
    active: str = ""
    after_error: int = 0
    alive: bool | None = None
    to_its_end: bool = False
    exit_proves: bool = True
    needs_outcome: bool = False
    program: str = ""
    last_line: str = ""
    progress: float | None = None
    doing: str = ""
    attempt: int = 1
    resources: Resources | None = None
    used: Used | None = None
    sessions: set[str] = field(default_factory=set)

    def note(self, rank: Rank, name: str, state: State, quote: str, at: float, *, category: str = "", context: Sequence[str] = ()) -> None:
        """Note a signal; one that says the same as before keeps its time."""
        quote = quote if len(quote) <= MOST_QUOTED else quote[: MOST_QUOTED - 1] + "…"
        known = self.signals.get(name)
        if known is None or (known.state, known.quote) != (state, quote):
            self.signals[name] = Signal(rank, name, state, quote, at, category, tuple(context))

    def forget(self, *names: str) -> None:
        """What was seen does not hold any more."""
        for name in names:
            self.signals.pop(name, None)

    def moved(self, what: str, at: float) -> None:
        """Something of it changed."""
        if self.active_at is None or at >= self.active_at:
            self.active_at, self.active = at, what

    def restarted(self, at: float) -> None:
        """It goes on although it had ended: what was seen before *at* belongs to an earlier attempt."""
        self.attempt += 1
        self.signals = {name: signal for name, signal in self.signals.items() if signal.at >= at}
        self.progress, self.doing = None, ""
        self.moved("another attempt", at)
