"""Model and tool calls that begin outside of every agent's round although rounds are open: mostly those of a stream that was not bound."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.context import Context

from massgen_tracing import guard
from massgen_tracing.conventions import kind_of
from massgen_tracing.errors import compose
from massgen_tracing.trace.belonging import ROUND_KEY, SESSION_KEY, InRound, InSession

_MOST_NAMES: Final = 1000
_SHOWN: Final = 8

_rounds: Final[dict[int, weakref.ref[InRound]]] = {}
"""Rounds that have begun and not ended, by their identities. Of those that are dropped the references are dead."""

_calls: Final[dict[str, int]] = {}
"""How many calls of each name began outside of rounds."""


def opened(rnd: InRound) -> None:
    """Note that a round has begun."""
    _rounds[id(rnd)] = weakref.ref(rnd)


def closed(rnd: InRound) -> None:
    """Note that it has ended."""
    _rounds.pop(id(rnd), None)


def call(name: str, session: InSession | None) -> None:
    """Note that a call begins outside of every round: it is told of where the session has open ones or, without a session, where there are any."""
    if _rounds and _is_open(session) and (name in _calls or len(_calls) < _MOST_NAMES):
        _calls[name] = _calls.get(name, 0) + 1


def span(name: str, attributes: Mapping[str, Any] | None, context: Context) -> None:
    """The same of a span that another instrumentation begins, where it is such a call."""
    if _rounds and ROUND_KEY not in context and kind_of(name, attributes or {}) in {"model", "tool"}:
        call(name, context.get(SESSION_KEY))  # type: ignore[arg-type]


def forget() -> None:
    """Note nothing that there was."""
    _calls.clear()
    _rounds.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)


def tell() -> None:
    """Say what was noted, once, and forget it."""
    names = sorted(_calls.items(), key=lambda known: -known[1])
    forget()
    if not names:
        return
    shown = ", ".join(f"{name} ({count:,})" for name, count in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more names" if len(names) > _SHOWN else ""
    number = sum(count for _, count in names)
    began = "call began" if number == 1 else "calls began"
    problem = f"{number:,} {began} outside of every agent's round although rounds were open, and count for no agent: {shown}{more}"
    hint = "Wrap agents' streams in bind_stream(…), what runs in tasks and threads in bind(…), or open calls on the round: rnd.llm_call(…)"
    guard.report("usage.outside", compose(problem, hint=hint))


def _is_open(session: InSession | None) -> bool:
    for key, known in list(_rounds.items()):
        rnd = known()
        if rnd is None:
            _rounds.pop(key, None)
        elif session is None or rnd.session is session:
            return True
    return False
