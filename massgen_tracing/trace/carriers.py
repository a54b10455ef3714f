"""The current span in a carrier: the environment of a child process, the metadata of a request (W3C Trace Context and Baggage)."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from massgen_tracing import semconv

_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
_BAGGAGE: Final = W3CBaggagePropagator()
FIELDS: Final = ("traceparent", "tracestate", "baggage")
"""The headers; the variables of the same names are in upper case."""


def inject(carrier: MutableMapping[str, Any], context: Context) -> None:
    """Put the current span and the baggage of *context* into *carrier*, as W3C headers in lower case."""
    _TRACE_CONTEXT.inject(carrier, context)
    _BAGGAGE.inject(carrier, context)


def remote_context(env: Mapping[str, str] | None = None) -> Context:
    """What the process that started this one put into its environment: a Context with its span and baggage, empty without."""
    source = os.environ if env is None else env
    carrier = {field: source[field.upper()] for field in FIELDS if source.get(field.upper())}
    return extract(carrier) if semconv.TRACEPARENT in carrier else Context()


def extract(carrier: Mapping[str, str]) -> Context:
    """What `inject` has put into *carrier*, as a Context."""
    return _BAGGAGE.extract(carrier, _TRACE_CONTEXT.extract(carrier, Context()))
