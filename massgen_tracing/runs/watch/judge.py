"""From what was seen to a state: a pure function of facts, of what is asked for, and of the time.

a failure that signals of ranks 1 to 3 say       outweighs a success that others say
the end of a process                             proves failure; success only where nothing contradicts it
an error in the output                           counts once its process has ended, or once nothing has followed it
silence                                          is idle, then stalled; never a failure
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from massgen_tracing.runs.watch import checklist
from massgen_tracing.runs.watch.checklist import Item, Wanted
from massgen_tracing.runs.watch.signals import FAILURES, Facts, Rank, Signal, State


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds.

    Attributes:
        quiet: after so long without any change it is idle.
        stalled: after so long, stalled.
        run_time: it may take so long in all; None: as long as it wants.
        settles: an error that nothing follows for so long is the last word.
        fresh: activity and rate limits hold for so long.
    """

    quiet: float = 60.0
    stalled: float = 300.0
    run_time: float | None = None
    settles: float = 10.0
    fresh: float = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What something is, and why.

    Attributes:
        state: in a word.
        evidence: the signal that decided.
        contradicting: what else was seen that says otherwise.
        checklist: the conditions of completion.
    """

    state: State
    evidence: Signal
    contradicting: tuple[Signal, ...]
    checklist: tuple[Item, ...]


RUN_TIME: Final = "run time"
"""The name of the signal that something took too long."""

NOTHING_YET: Final = "nothing has been seen of it yet"


def judge(facts: Facts, wanted: Wanted, patience: Patience, now: float) -> Verdict:
    """The state of what *facts* tell of, at a moment in Unix seconds."""
    items = checklist.items(wanted, facts.signals)
    evidence = _decided(facts, wanted, items, patience, now)
    against = [signal for signal in _by_trust(facts.signals.values()) if signal is not evidence and _contradicts(signal, evidence)]
    return Verdict(evidence.state, evidence, tuple(against), items)


def _decided(facts: Facts, wanted: Wanted, items: tuple[Item, ...], patience: Patience, now: float) -> Signal:
    said = _by_trust(signal for signal in facts.signals.values() if signal.rank <= Rank.WRITTEN)
    ended = facts.signals.get(checklist.EXIT)
    successes = [signal for signal in said if signal.state == "completed" and signal is not ended]
    failures = [signal for signal in said if signal.state in FAILURES and signal.state != "dead"]
    if failures:
        return next((signal for signal in failures if signal.name == RUN_TIME), failures[0])  # what ends it then is its consequence
    waits = facts.to_its_end and facts.alive is not False
    if successes and not waits:
        return _complete(items, successes[0], now)
    if ended is not None:
        return _ended(facts, wanted, items, ended, now)
    going = _going_on(facts, said, patience, now)
    return going if going.state in FAILURES else _overdue(facts, patience, now) or going


def _complete(items: tuple[Item, ...], success: Signal, now: float) -> Signal:
    """A success that is claimed, unless a condition does not hold; an error in the output may have been got over."""
    broken = [item for item in items if item.holds is False and item.name != "no error in the output"]
    return checklist.as_signal(broken[0], now) if broken else success


def _ended(facts: Facts, wanted: Wanted, items: tuple[Item, ...], ended: Signal, now: float) -> Signal:
    """Its process is gone, and nobody has said of it whether that was a success."""
    error = facts.signals.get(checklist.ERROR)
    if error is not None:
        return Signal(error.rank, error.name, "failed", error.quote, error.at, error.category, error.context)
    broken = checklist.missing(items)
    if broken is not None:
        return checklist.as_signal(broken, now)
    asked = bool(wanted.files or wanted.marker or wanted.checks)
    if ended.state == "dead" and not (asked and all(item.holds is not None for item in items if item.name != "exit code 0")):
        return ended
    if facts.needs_outcome:
        quote = f"{ended.quote}, and {facts.program or 'the program'} has not said that it succeeded"
        return Signal(ended.rank, ended.name, "failed", quote, ended.at)
    doubt = (
        ""
        if ended.state == "dead" or facts.exit_proves
        else f", which proves no success of {facts.program or 'this program'}; nothing says otherwise"
    )
    return Signal(ended.rank, ended.name, "completed", f"{ended.quote}{doubt}", ended.at)


def _overdue(facts: Facts, patience: Patience, now: float) -> Signal | None:
    if patience.run_time is None or now - facts.watched_since < patience.run_time:
        return None
    return Signal(Rank.ACTIVITY, RUN_TIME, "timed_out", f"watched for {patience.run_time:g} s without an end", now)


def _going_on(facts: Facts, said: list[Signal], patience: Patience, now: float) -> Signal:
    error, screen = facts.signals.get(checklist.ERROR), facts.signals.get("screen")
    silent = None if facts.active_at is None else now - facts.active_at
    if (
        error is not None
        and error.category == "rate_limit"
        and now - error.at < patience.quiet
        and error.at >= (facts.active_at or 0) - patience.fresh
    ):
        return Signal(error.rank, error.name, "rate_limited", error.quote, error.at, error.category, error.context)
    last_word = error is not None and error.category != "rate_limit" and facts.alive is None and screen is None
    if last_word and error is not None and now - max(error.at, facts.active_at or 0) >= patience.settles:
        return Signal(error.rank, error.name, "failed", error.quote, error.at, error.category, error.context)
    session = facts.signals.get(checklist.SESSION)
    if session is not None and session.state != "running":
        return session
    if screen is not None and screen.state in ({"rate_limited"} if session is not None else {"waiting_input", "rate_limited", "idle"}):
        return screen
    if session is None and screen is not None and screen.state == "unknown" and (silent is None or silent >= patience.fresh):
        return screen
    live = [signal for signal in said if signal.state not in FAILURES and signal.state != "completed"]
    explicit = next((signal for signal in live if signal.state in {"waiting_input", "idle", "rate_limited", "unknown", "stalled"}), None)
    if explicit is not None:
        return explicit
    if facts.active_at is None or silent is None:
        return live[0] if live else Signal(Rank.ACTIVITY, "activity", "starting", NOTHING_YET, facts.watched_since)
    if silent >= patience.stalled:
        return _silence("stalled", facts, patience.stalled)
    if session is None and screen is not None and screen.state == "running":
        return screen
    if live:
        return live[0]
    if silent >= patience.quiet:
        return _silence("idle", facts, patience.quiet)
    return Signal(Rank.ACTIVITY, "activity", "running", facts.active, facts.active_at)


def _silence(state: State, facts: Facts, seconds: float) -> Signal:
    return Signal(Rank.ACTIVITY, "silence", state, f"no change for {seconds:g} s; the last one: {facts.active}", (facts.active_at or 0) + seconds)


def _by_trust(signals: Iterable[Signal]) -> list[Signal]:
    """The most trusted first, and of those the latest."""
    return sorted(signals, key=lambda signal: (signal.rank, -signal.at, signal.name))


def _contradicts(signal: Signal, decided: Signal) -> bool:
    """Whether a signal says another outcome than the one that was decided on."""
    if decided.state == "completed":
        return signal.state in FAILURES
    if decided.state in FAILURES:
        return signal.state == "completed"
    return signal.state in FAILURES or (signal.state == "completed" and signal.rank <= Rank.WRITTEN)
