"""From what was seen to a state: what outweighs what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.runs.watch import FAILURES, FINAL, STATES, Rank, Signal, State
from massgen_tracing.runs.watch.checklist import ERROR, EXIT, LIMIT, MARKER, Wanted
from massgen_tracing.runs.watch.judge import Patience
from massgen_tracing.runs.watch.patterns import AFTER
from massgen_tracing.runs.watch.signals import Facts
from tests.runs.watch.seen import NOW, facts, judged

Said = tuple[Rank, str, State, str]

EXITED: Said = (Rank.ENDED, EXIT, "completed", "exit code 0")
GONE: Said = (Rank.ENDED, EXIT, "dead", "process 7 is gone")
BROKEN: Said = (Rank.ERROR, ERROR, "failed", "line 812: Traceback (most recent call last):")
DONE: Said = (Rank.WRITTEN, "status.txt", "completed", "COMPLETED in status.txt")
FAILED: Said = (Rank.WRITTEN, "status.txt", "failed", "FAILED in status.txt")
RUNNING: Said = (Rank.WRITTEN, "status.txt", "running", "RUNNING in status.txt")


@pytest.mark.parametrize(
    ("signals", "alive", "expected", "quote"),
    [
        ((EXITED,), False, "completed", "exit code 0"),
        ((EXITED, FAILED), False, "failed", "FAILED in status.txt"),
        ((EXITED, BROKEN), False, "failed", "line 812: Traceback (most recent call last):"),
        ((EXITED, BROKEN, DONE), False, "completed", "COMPLETED in status.txt"),
        ((DONE, (Rank.OUTCOME, "outcome", "failed", "is_error: True")), None, "failed", "is_error: True"),
        (((Rank.ENDED, EXIT, "failed", "exit code 7"), DONE), False, "failed", "exit code 7"),
        ((GONE,), False, "dead", "process 7 is gone"),
        ((GONE, DONE), False, "completed", "COMPLETED in status.txt"),
        ((GONE, BROKEN), False, "failed", "line 812: Traceback (most recent call last):"),
        ((RUNNING,), None, "running", "RUNNING in status.txt"),
        ((BROKEN, RUNNING), True, "running", "RUNNING in status.txt"),
        ((), None, "running", "output"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_outweighs_what(signals: tuple[tuple[Rank, str, State, str], ...], alive: bool | None, expected: State, quote: str) -> None:
    """A failure that is said outweighs every success; an end proves failure only; an error in the output counts at the end."""
    verdict = judged(facts(*signals, alive=alive))
    assert (verdict.state, verdict.evidence.quote) == (expected, quote)


def test_what_contradicts_is_shown() -> None:
    """Whoever reads a verdict sees what speaks against it."""
    assert [signal.quote for signal in judged(facts(EXITED, FAILED, alive=False)).contradicting] == ["exit code 0"]
    assert [signal.quote for signal in judged(facts(DONE, BROKEN)).contradicting] == ["line 812: Traceback (most recent call last):"]


def test_an_exit_code_that_proves_nothing_is_said_to() -> None:
    """Of a program that is known to end with 0 whatever happens; one that has to name its result has failed without it."""
    verdict = judged(facts(EXITED, alive=False, exit_proves=False, program="aider"))
    assert (verdict.state, verdict.evidence.quote) == ("completed", "exit code 0, which proves no success of aider; nothing says otherwise")
    verdict = judged(facts(EXITED, alive=False, exit_proves=False, needs_outcome=True, program="MassGen"))
    assert (verdict.state, verdict.evidence.quote) == ("failed", "exit code 0, and MassGen has not said that it succeeded")


def test_silence_is_idle_then_stalled_and_never_a_failure() -> None:
    """However long it is, and back again with the next sign of life."""
    known, patience = facts(active=NOW), Patience(quiet=60, stalled=300)
    assert [judged(known, patience=patience, now=NOW + after).state for after in (1, 59, 61, 299, 301, 10**6)] == [
        "running", "running", "idle", "idle", "stalled", "stalled"]  # fmt: skip
    known.moved("output", NOW + 10**6)
    assert judged(known, patience=patience, now=NOW + 10**6).state == "running"


def test_an_error_that_nothing_follows_is_the_last_word() -> None:
    """Of a log whose process nobody knows; as long as it goes on, it may get over it."""
    known = facts(BROKEN, active=NOW)
    assert judged(known, now=NOW + 1).state == "running"
    assert judged(known, now=NOW + 11).state == "failed"
    known.after_error = AFTER + 1
    assert judged(known, now=NOW + 59).state == "running"


def test_a_rate_limit_is_told_while_it_lasts() -> None:
    """It is no failure, and over when something else comes."""
    known = facts(active=NOW)
    known.signals[LIMIT] = Signal(Rank.ERROR, LIMIT, "failed", "line 3: 429 Too Many Requests", NOW, "rate_limit")
    verdict = judged(known, now=NOW + 5)
    assert (verdict.state, verdict.contradicting) == ("rate_limited", ())  # what is evidence does not speak against itself
    known.moved("output", NOW + 30)
    assert judged(known, now=NOW + 31).state == "running"


def test_a_process_that_is_watched_to_its_end_is_not_done_before() -> None:
    """Its marker may stand in the middle."""
    known = facts(DONE, alive=True, to_its_end=True)
    assert judged(known).state == "running"
    known.alive = False
    known.note(*EXITED, NOW)
    assert judged(known).state == "completed"


def test_the_checklist_says_yes_no_or_unknown(tmp_path: Path) -> None:
    """Each condition with its reason; one that does not hold is a failure at the end."""
    (tmp_path / "full").write_text("x")
    (tmp_path / "empty").touch()
    checks = {"tests pass": lambda: True, "benchmark": lambda: None, "breaks": lambda: 1 / 0 > 0}
    wanted = Wanted((tmp_path / "full", tmp_path / "empty", tmp_path / "none"), "DONE", checks)
    verdict = judged(facts(EXITED, (Rank.WRITTEN, MARKER, "completed", "line 9: DONE"), alive=False), wanted)
    assert {item.name: (item.holds, item.detail) for item in verdict.checklist} == {
        "exit code 0": (True, "exit code 0"),
        "full is there and not empty": (True, "1 bytes"),
        "empty is there and not empty": (False, "is empty"),
        "none is there and not empty": (False, "is missing"),
        "no error in the output": (True, ""),
        "marker 'DONE'": (True, "line 9: DONE"),
        "tests pass": (True, ""),
        "benchmark": (None, ""),
        "breaks": (None, "ZeroDivisionError: division by zero"),
    }
    assert (verdict.state, verdict.evidence.quote) == ("failed", "empty is there and not empty: is empty")


def test_no_output_is_free_of_errors_that_nobody_saw() -> None:
    """It is, where some was seen, or the process was followed to its exit code."""
    for known, holds in (
        (facts(active=None), None),
        (facts(GONE, alive=False), None),
        (facts(EXITED, alive=False), True),
        (facts(last_line="hello"), True),
        (facts(BROKEN), False),
    ):
        assert {item.name: item.holds for item in judged(known).checklist}["no error in the output"] is holds


def test_what_is_gone_has_completed_where_all_that_was_asked_for_is_there(tmp_path: Path) -> None:
    """Nobody can tell how somebody else's process ended; what it was to leave behind can be looked at."""
    (tmp_path / "result").write_text("x")
    assert judged(facts(GONE, alive=False), Wanted((tmp_path / "result",))).state == "completed"


def test_what_a_program_says_of_itself_is_trusted_more_than_its_screen() -> None:
    """Its own file says idle, busy or waiting; only a rate limit, which it calls busy, is told by the screen."""
    for state, screen, expected in (
        ("idle", "running", "idle"),
        ("waiting_input", "idle", "waiting_input"),
        ("running", "idle", "running"),
        ("running", "unknown", "running"),
        ("running", "rate_limited", "rate_limited"),
    ):
        known = facts((Rank.OUTCOME, "session", state, f'"status": "{state}"'), (Rank.SCREEN, "screen", screen, "a mark"), alive=True)  # type: ignore[arg-type]
        assert judged(known).state == expected


def test_run_time_has_a_limit() -> None:
    """Counted from when watching began."""
    assert judged(facts(RUNNING), patience=Patience(run_time=99)).state == "timed_out"
    assert judged(facts(RUNNING), patience=Patience(run_time=101)).state == "running"
    assert judged(facts(DONE), patience=Patience(run_time=99)).state == "completed"


signals = st.builds(
    Signal,
    rank=st.sampled_from(Rank),
    name=st.sampled_from((EXIT, ERROR, LIMIT, "screen", "status", "outcome")),
    state=st.sampled_from(STATES),
    quote=st.just("quoted"),
    at=st.floats(NOW - 1000, NOW),
    category=st.sampled_from(("", "rate_limit", "traceback")),
)


@given(st.lists(signals, max_size=6), st.one_of(st.none(), st.floats(0, 1000)), st.sampled_from((None, True, False)), st.booleans())
def test_every_verdict_has_evidence_and_failure_outweighs_success(
    seen: list[Signal], silent: float | None, alive: bool | None, to_its_end: bool
) -> None:
    """Whatever was seen: a state with a quote; what was said to have failed by the three most trusted kinds has; no silence is a failure."""
    known = Facts(NOW - 2000, alive=alive, to_its_end=to_its_end)
    known.signals = {signal.name: signal for signal in seen}
    if silent is not None:
        known.moved("output", NOW - silent)
    verdict = judged(known)
    assert verdict.state in STATES
    assert verdict.evidence.quote
    said = {signal.state for signal in known.signals.values() if signal.rank <= Rank.WRITTEN}
    if said & {"failed", "timed_out"}:
        assert verdict.state in FAILURES
        assert all(signal.state == "completed" for signal in verdict.contradicting)
    if not known.signals:
        assert verdict.state not in FINAL


@given(st.lists(signals, max_size=6), signals)
def test_the_order_in_which_things_were_seen_does_not_matter(seen: list[Signal], one: Signal) -> None:
    """Only what was seen, and when."""
    both = {signal.name: signal for signal in [*seen, replace(one, name="one")]}
    first, second = Facts(NOW, signals=both), Facts(NOW, signals=dict(reversed(both.items())))
    assert judged(first).state == judged(second).state
