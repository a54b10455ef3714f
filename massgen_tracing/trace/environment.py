"""The current span in the environment of a child process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from opentelemetry import context as otel_context

from massgen_tracing import layout, semconv
from massgen_tracing.trace import arguments
from massgen_tracing.trace.carriers import FIELDS, inject
from massgen_tracing.trace.factory import here
from massgen_tracing.trace.lenient import function_takes_anything
from massgen_tracing.trace.usage import Unfit

_EXPECTED: Final = "a mapping of variables to texts"


def _misfit(kind: str, problem: str, expected: str) -> None:
    here().misuse(kind, problem, expected)


@function_takes_anything(_misfit)
def child_env(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process, with the current span in `TRACEPARENT` (and `TRACESTATE`, `BAGGAGE`).

    A process that calls `configure()` under it records under this one's root, unless it is told another, and continues the trace: its session is a
    child of the current span, and a run within the current one. Without a current span its trace is its own. (OpenTelemetry environment carriers.)

    Args:
        env: what to start from; None: this process's environment. Not changed; a root of its own holds.
    """
    child = here().take("env", env, _variables, None)
    if child is None:
        child = dict(os.environ)
    root, place = here().place() or (None, None)
    known = os.environ.get(layout.ROOT_VARIABLE)
    if root is not None and child.get(layout.ROOT_VARIABLE, known) == known:
        child[layout.ROOT_VARIABLE] = root
    carrier: dict[str, str] = {}
    inject(carrier, otel_context.get_current())
    if semconv.TRACEPARENT in carrier:
        for field in FIELDS:
            child.pop(field.upper(), None)  # a stranger's tracestate must not go with our traceparent
        child.update({field.upper(): value for field, value in carrier.items()})
        if place is not None:
            child[layout.OUTER_VARIABLE] = place
    return child


def _variables(given: object) -> dict[str, str] | None:
    """What was given to start from: a mapping, or pairs of name and value; None for nothing."""
    if given is None:
        return None
    try:
        return dict(arguments.attributes(given))
    except Unfit:
        raise Unfit(_EXPECTED) from None
