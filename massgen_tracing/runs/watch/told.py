"""What an agent's program tells of its sessions: its own telemetry where that is taken in, its transcripts else; each response once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from massgen_tracing.runs.watch import transcripts
from massgen_tracing.runs.watch.targets import Subject
from massgen_tracing.runs.watch.transcripts import Call, Session, ToolUse

_SLACK: Final = 5_000_000_000
"""Nanoseconds by which a program's two accounts of one response may be apart; they have no id in common."""


def sessions(subject: Subject) -> Iterator[Session]:
    """The sessions of a subject's program, with what of them has been since it is watched."""
    if subject.program is None or subject.place is None:
        return
    since, facts = int(subject.facts.watched_since * 1e9), subject.facts
    sent = {} if subject.telemetry is None else subject.telemetry.sessions()
    for session in transcripts.sessions(subject.program.transcripts, subject.place, facts.watched_since):
        if facts.sessions and session.id not in facts.sessions:
            continue  # of another one that runs in the same folder
        yield from _joined(_since(session, since), sent.pop(session.id, None))
    yield from sent.values()


def _since(session: Session, since: int) -> Session:
    calls: dict[str, Call] = {key: call for key, call in session.calls.items() if call.end >= since}
    tools: dict[str, ToolUse] = {key: use for key, use in session.tools.items() if use.end >= since}
    return replace(session, calls=calls, tools=tools)


def _joined(written: Session, sent: Session | None) -> Iterator[Session]:
    """One session by what it sent, and by what of its transcript that lacks, for who ends, or is killed, may not have sent the last of it.

    What it sent has exact times, and requests that stand in no transcript. What its tools were given and gave stands in the transcript.
    """
    if sent is None:
        yield written
        return
    left, lacking = list(sent.calls.values()), dict[str, Call]()
    for key, call in written.calls.items():
        same = next((each for each in left if each.input == call.input and call.start - _SLACK <= each.end <= call.end + _SLACK), None)
        if same is None:
            lacking[key] = call
        else:
            left.remove(same)
    yield replace(written, calls=sent.calls, tools=written.tools or sent.tools, source="telemetry")
    if lacking:
        yield replace(written, calls=lacking, tools={})
