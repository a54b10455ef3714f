"""What a terminal shows now, by the marks of a profile: which states are possible with all that is on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from massgen_tracing.runs.watch.profiles import Mark, Profile
from massgen_tracing.runs.watch.signals import State


@dataclass(frozen=True, slots=True)
class Reading:
    """What a screen says.

    Attributes:
        state: the state.
        quote: the mark that said so, as it stands.
        possible: all states in which these marks may stand.
    """

    state: State
    quote: str
    possible: frozenset[State]

    def settled(self, active: str) -> tuple[State, str]:
        """The state and the quote, where something is known to be active just now: what may be busy with these marks then is.

        Args:
            active: what it does; empty: nothing.
        """
        if active and self.state == "idle" and "running" in self.possible:
            return "running", f"{active}, and {self.quote!r} is there while it works too"
        return self.state, self.quote


def read(profile: Profile, lines: Sequence[str], title: str) -> Reading:
    """What is on a screen, from its last line to its first, and in its title.

    The most recent mark wins, which is the lowest one, and the title before all: each mark above leaves of the states that are still possible those
    in which it stands too; one that stands in none of them is old. So a prompt with a spinner is busy, and what an earlier tool printed is nothing.
    """
    found = sorted(_found(profile.marks, lines, title), key=lambda each: -each[0])
    if not found:
        what = f"none of {profile.title}'s marks is on the screen" + (f" (they were seen in {', '.join(profile.seen)})" if profile.seen else "")
        return Reading("unknown", what, frozenset())
    possible: tuple[State, ...] = found[0][1].states
    quote = found[0][2]
    for _, mark, shown in found[1:]:
        left = tuple(state for state in possible if state in mark.states)
        if left and left != possible:
            possible, quote = left, shown
    return Reading(possible[0], quote.strip(), frozenset(possible))


def _found(marks: Sequence[Mark], lines: Sequence[str], title: str) -> list[tuple[int, Mark, str]]:
    """Each mark that is there, with the lowest line that has it and what stands there."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    made = []
    for mark in marks:
        if mark.title:
            if mark.shows.search(title.strip()):
                made.append((len(lines), mark, f"title {title.strip()!r}"))
            continue
        for number in reversed(filled[-1:] if mark.last else filled):
            if mark.shows.search(lines[number]):
                made.append((number, mark, lines[number]))
                break
    return made
