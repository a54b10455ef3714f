"""From what was seen to a state: a pure function of facts, of what is asked for, and of the time.

a failure that signals of ranks 1 to 3 say       outweighs a success that others say
the end of a process                             proves failure; success only where nothing contradicts it
an error in the output                           counts once its process has ended, or once only the lines around it have followed it
silence                                          is idle, then stalled; never a failure
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from massgen_tracing.runs.watch import checklist
from massgen_tracing.runs.watch.checklist import Item, Wanted
from massgen_tracing.runs.watch.patterns import AFTER
from massgen_tracing.runs.watch.signals import FAILURES, FINAL, Facts, Rank, Signal, State


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


def judge(facts: Facts, wanted: Wanted, patience: Patience, now: float) -> Verdict:
    """The state of what *facts* tell of, at a moment in Unix seconds."""
    items = checklist.items(wanted, facts)
    evidence = _decided(facts, wanted, items, patience, now)
    against = [signal for signal in _by_trust(facts.signals.values()) if signal.name != evidence.name and _contradicts(signal, evidence)]
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
    broken = [item for item in items if item.holds is False and item.name != checklist.NO_ERROR]
    return checklist.as_signal(broken[0], now) if broken else success


def _ended(facts: Facts, wanted: Wanted, items: tuple[Item, ...], ended: Signal, now: float) -> Signal:
    """Its process is gone, and nobody has said of it whether that was a success."""
    error = checklist.broken_by(facts)
    if error is not None:
        return error
    broken = checklist.missing(items)
    if broken is not None:
        return checklist.as_signal(broken, now)
    asked = bool(wanted.files or wanted.marker or wanted.checks)
    if ended.state == "dead" and not (asked and all(item.holds is not None for item in items if item.name not in checklist.UNASKED)):
        return ended
    if facts.needs_outcome:
        return replace(ended, state="failed", quote=f"{ended.quote}, and {facts.program or 'the program'} has not said that it succeeded")
    proves = ended.state == "dead" or facts.exit_proves
    doubt = "" if proves else f", which proves no success of {facts.program or 'this program'}; nothing says otherwise"
    return replace(ended, state="completed", quote=f"{ended.quote}{doubt}")


def _overdue(facts: Facts, patience: Patience, now: float) -> Signal | None:
    if patience.run_time is None or now - facts.watched_since < patience.run_time:
        return None
    yet = "" if facts.active_at is not None else f"; {facts.awaited}"
    return Signal(Rank.ACTIVITY, RUN_TIME, "timed_out", f"watched for {patience.run_time:g} s without an end{yet}", now)


def _going_on(facts: Facts, said: list[Signal], patience: Patience, now: float) -> Signal:
    """It has not ended, as far as is known: what it says of itself, then errors, then its screen, then whether anything changes."""
    live = [signal for signal in said if signal.state not in FINAL]
    word = next((signal for signal in live if signal.state not in {"running", "starting"}), None)
    return word or _by_error(facts, patience, now) or _by_screen(facts, patience, now) or _by_activity(facts, live, patience, now)


def _by_error(facts: Facts, patience: Patience, now: float) -> Signal | None:
    error, active_at = checklist.last_error(facts), facts.active_at or 0.0
    if error is None:
        return None
    if error.name == checklist.LIMIT:  # until something else comes
        lasts = now - error.at < patience.quiet and error.at >= active_at - patience.fresh
        return replace(error, state="rate_limited") if lasts else None
    known = facts.alive is not None or checklist.SCREEN in facts.signals
    last_word = facts.after_error <= AFTER and now - max(error.at, active_at) >= patience.settles
    return error if last_word and not known else None


def _by_screen(facts: Facts, patience: Patience, now: float) -> Signal | None:
    screen = facts.signals.get(checklist.SCREEN)
    if screen is None or screen.state == "running":  # that is no news: whether it stalls is to be seen
        return None
    if checklist.SESSION in facts.signals and screen.state != "rate_limited":
        return None  # which says it itself, but for the limits that it waits for
    active = facts.active_at is not None and now - facts.active_at < patience.fresh
    return None if screen.state == "unknown" and active else screen


def _by_activity(facts: Facts, live: list[Signal], patience: Patience, now: float) -> Signal:
    screen = facts.signals.get(checklist.SCREEN)
    running = live[0] if live else screen if screen is not None and screen.state == "running" else None
    if facts.active_at is None:
        return running or Signal(Rank.ACTIVITY, "activity", "starting", facts.awaited, facts.watched_since)
    silent = now - facts.active_at
    if silent >= patience.stalled:
        return _silence("stalled", facts, patience.stalled)
    if running is not None:
        return running
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
