"""Output of whatever kind, line by line: what it says of its state, its outcome and its progress, and the errors in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from massgen_tracing.runs.watch import checklist, statements
from massgen_tracing.runs.watch.patterns import Errors
from massgen_tracing.runs.watch.profiles import Outcome, Profile
from massgen_tracing.runs.watch.signals import Facts, Rank, Signal

_TYPED: Final = "".join(f"(?<!{word} )" for word in ("echo", "printf", "print"))
"""Not behind one of these: the command that will print a marker stands on the screen before it does."""

_ERROR_LEVELS: Final = frozenset({"error", "critical", "fatal"})


class Output:
    """Reads output into facts.

    Args:
        facts: what is known of what writes it.
        marker: the text that is to stand in it at the end; empty: none.
        profile: of the program that writes it; None where that is not known.
        name: what the output is called in quotes; empty for the only one.
    """

    def __init__(self, facts: Facts, marker: str = "", profile: Profile | None = None, *, name: str = "") -> None:
        self.profile = profile
        self._facts = facts
        self._name = name
        self._marker = _printed(marker) if marker else None
        self._errors = Errors()

    def feed(self, lines: Sequence[str], at: float, last: int) -> None:
        """Lines that have come.

        Args:
            lines: in their order.
            at: when they came, in Unix seconds.
            last: the number of the last of them, from 1.
        """
        first = last - len(lines) + 1
        suspicious: list[tuple[int, str, str]] = []
        for number, line in enumerate(lines, first):
            document = statements.parsed(line) if line.lstrip().startswith("{") else None
            if isinstance(document, Mapping):
                self._document(document, at, number)
                suspicious.append((number, line, _told(document)))
            else:
                self._text(line, at, number)
                suspicious.append((number, line, line))
        filled = next((line for line in reversed(lines) if line.strip()), "")
        if filled:
            self._facts.last_line = filled.strip()
        if lines:
            self._facts.moved("output", at)
        self._look_for_errors(suspicious, at, first)

    def _look_for_errors(self, lines: Sequence[tuple[int, str, str]], at: float, first: int) -> None:
        before = self._errors.after
        found = self._errors.feed(lines, at)
        known = checklist.last_error(self._facts)
        if found and found[-1].number >= first:
            self._facts.after_error = self._errors.after
        elif known is not None and at >= known.at:  # also from another log of the same agent
            self._facts.after_error += self._errors.after - before
        for error in found:
            name = checklist.LIMIT if error.category == "rate_limit" else checklist.ERROR
            self._facts.forget(checklist.LIMIT)
            self._facts.signals[name] = Signal(Rank.ERROR, name, "failed", self._place(error.quote), error.at, error.category, tuple(error.context))

    def waiting(self, half: str, at: float, number: int) -> None:
        """A line that has no end yet: it may be the marker, and a prompt is one."""
        self._facts.last_line = half.strip() or self._facts.last_line
        self._look_for_marker(half, at, number)

    def _text(self, line: str, at: float, number: int) -> None:
        self._look_for_marker(line, at, number)
        self._state(statements.of_line(line), at, number)
        for outcome in self._outcomes():
            if outcome.line is not None and outcome.line.search(line):
                self._facts.note(Rank.OUTCOME, "outcome", outcome.state, self._place(f"line {number}: {line.strip()}"), at)

    def _document(self, document: Mapping[str, Any], at: float, number: int) -> None:
        matched = [outcome for outcome in self._outcomes() if outcome.where is not None and _matches(outcome, document)]
        if matched:  # the last one is the most particular
            self._facts.note(Rank.OUTCOME, "outcome", matched[-1].state, self._place(f"line {number}: {_quoted(matched[-1], document)}"), at)
        elif self.profile is None or not self.profile.outcomes:
            # What a program that is known says in its own words is not taken for what others would mean by it.
            self._state(statements.of_document(document), at, number)
        if self._marker is not None:
            self._look_for_marker(" ".join(value for value in document.values() if isinstance(value, str)), at, number)

    def _state(self, said: statements.Statement, at: float, number: int) -> None:
        if said.state is not None:
            self._facts.note(Rank.WRITTEN, "status", said.state, self._place(f"line {number}: {said.quote}"), at)
        if said.progress is not None:
            self._facts.progress = said.progress
        if said.doing:
            self._facts.doing = said.doing

    def _look_for_marker(self, line: str, at: float, number: int) -> None:
        if self._marker is not None and checklist.MARKER not in self._facts.signals and self._marker.search(line):
            self._facts.note(Rank.WRITTEN, checklist.MARKER, "completed", self._place(f"line {number}: {line.strip()}"), at)

    def _outcomes(self) -> Sequence[Outcome]:
        return () if self.profile is None else self.profile.outcomes

    def _place(self, quote: str) -> str:
        return f"{self._name} {quote}" if self._name else quote


def _printed(marker: str) -> re.Pattern[str]:
    """A marker where it was printed: not within a word, for what has words with borders, and not in quotes."""
    before, after = (r"[\w'\"-]" if edge.isascii() else r"['\"-]" for edge in (marker[0], marker[-1]))
    return re.compile(f"(?<!{before}){_TYPED}{re.escape(marker)}(?!{after})", re.ASCII)


def _told(document: Mapping[str, Any]) -> str:
    """What a JSON line says that may be an error: one of a log, not what tools have printed into an agent's conversation."""
    level = document.get("level", document.get("severity", document.get("levelname")))
    if not (isinstance(level, str) and level.lower() in _ERROR_LEVELS):
        return ""
    return f"ERROR {document.get('message', document.get('msg', document.get('error', '')))}"


def dig(document: object, path: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for key in path.split("."):
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def _matches(outcome: Outcome, document: Mapping[str, Any]) -> bool:
    for path, wanted in (outcome.where or {}).items():
        found = dig(document, path)
        if isinstance(wanted, re.Pattern):
            if found is None or found is False or not wanted.search(found if isinstance(found, str) else str(found)):
                return False
        elif found != wanted or type(found) is not type(wanted):
            return False
    return True


def _quoted(outcome: Outcome, document: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}: {value!r}" for path in outcome.quote if (value := dig(document, path)) is not None)
