"""The frozen records of the files: what a recording says, without OpenTelemetry.

The writing half makes OpenTelemetry spans and writes them as OTLP/JSON lines; the reading half reads the lines back into these types.
Live spans and recorded spans are different types on purpose: a record never changes and needs no SDK to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeVar

_Number = TypeVar("_Number", int, float)

AttributeValue = str | int | float | bool | bytes | None | Sequence["AttributeValue"] | Mapping[str, "AttributeValue"]
"""OTLP's AnyValue as Python."""

Attributes = Mapping[str, AttributeValue]

EMPTY: Final[Attributes] = MappingProxyType({})


def _empty() -> Attributes:
    # A factory, because Python 3.11 takes a mapping proxy, which has no hash, for a mutable default.
    return EMPTY


class Usage(NamedTuple):
    """Tokens and cost of one model call, or of several added up; None is unknown, which is not 0.

    Attributes:
        input: tokens sent, cached ones included.
        output: tokens received, reasoning included.
        reasoning: those of *output* that were reasoning.
        cached_input: those of *input* that were read from a cache.
        cost: USD.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached_input: int | None = None
    cost: float | None = None

    def __add__(self, other: object) -> Usage:
        """Field by field; unknown plus known is known."""
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            _sum(self.input, other.input),
            _sum(self.output, other.output),
            _sum(self.reasoning, other.reasoning),
            _sum(self.cached_input, other.cached_input),
            _sum(self.cost, other.cost),
        )

    def updated(self, later: Usage) -> Usage:
        """What is known after a *later* report of the same call: providers report running totals, so a field that it gives replaces."""
        return Usage(
            self.input if later.input is None else later.input,
            self.output if later.output is None else later.output,
            self.reasoning if later.reasoning is None else later.reasoning,
            self.cached_input if later.cached_input is None else later.cached_input,
            self.cost if later.cost is None else later.cost,
        )


def _sum(a: _Number | None, b: _Number | None) -> _Number | None:
    return b if a is None else a if b is None else a + b


RUN_CONTEXT_KEY: Final = "massgen_tracing.run"
"""Key in the OpenTelemetry Context whose value is the `RunDirectory` that spans started there belong to."""

SpanState = Literal["ended", "open", "interrupted"]
"""`open`: still running; `interrupted`: its process died before it ended."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Who wrote a span (OTLP Resource)."""

    attributes: Attributes = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Scope:
    """The instrumentation scope that made a span (OTLP InstrumentationScope)."""

    name: str = ""
    version: str = ""
    attributes: Attributes = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Event:
    """A span event; *time_ns* is Unix time in nanoseconds."""

    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=_empty)
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A span link; ids are lower-case hex."""

    trace_id: str
    span_id: str
    trace_state: str = ""
    attributes: Attributes = field(default_factory=_empty)
    flags: int = 0
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span as a recording has it.

    Attributes:
        trace_id, span_id, parent_span_id: lower-case hex (32 and 16 digits); the parent is empty for a root.
        kind: OTLP's number: 1 INTERNAL, 2 SERVER, 3 CLIENT, 4 PRODUCER, 5 CONSUMER, 0 unspecified.
        start_ns: Unix time in nanoseconds.
        end_ns: the same; None while the span has not ended.
        status_code: 0 unset, 1 ok, 2 error.
        state: whether it ended, is still open, or was interrupted.
    """

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_ns: int
    end_ns: int | None
    kind: int = 1
    attributes: Attributes = field(default_factory=_empty)
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    status_code: int = 0
    status_message: str = ""
    trace_state: str = ""
    flags: int = 0
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0
    resource: Resource = field(default_factory=Resource)
    scope: Scope = field(default_factory=Scope)
    state: SpanState = "ended"

    @property
    def key(self) -> tuple[str, str]:
        """The span's trace and id."""
        return self.trace_id, self.span_id

    @property
    def seconds(self) -> float | None:
        """Duration in seconds; None while the span has not ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One OpenTelemetry log record, which is no span.

    Attributes:
        time_ns: when it happened, else when it was observed; Unix time in nanoseconds.
        severity: OpenTelemetry's severity number (1 to 24); 0 for unspecified.
        severity_text: the writer's own name of it.
        event_name: what kind of event it tells; empty for an ordinary log.
        trace_id, span_id: the span that it was written in, lower-case hex; empty for none.
    """

    time_ns: int
    severity: int = 0
    severity_text: str = ""
    body: AttributeValue = None
    event_name: str = ""
    attributes: Attributes = field(default_factory=_empty)
    trace_id: str = ""
    span_id: str = ""
    resource: Resource = field(default_factory=Resource)
    scope: Scope = field(default_factory=Scope)


MetricType = Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
Temporality = Literal["delta", "cumulative"]


@dataclass(frozen=True, slots=True)
class Buckets:
    """One side of an exponential histogram: *counts* of the buckets from index *offset* on."""

    offset: int = 0
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Exponential:
    """What an exponential histogram has beside count, sum, smallest and largest (OTLP ExponentialHistogramDataPoint)."""

    scale: int
    zero_count: int
    zero_threshold: float
    positive: Buckets
    negative: Buckets


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A single measurement kept with a data point; ids are empty where it was made outside of a span."""

    time_ns: int
    value: float | None
    trace_id: str = ""
    span_id: str = ""
    attributes: Attributes = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One data point of a metric.

    Attributes:
        time_ns: when it was recorded, Unix time in nanoseconds.
        start_ns: since when it counts; None where that is not said.
        temporality, is_monotonic: None for kinds that have none.
        scalar: the value of a gauge or a sum.
        count, sum, min, max: of a histogram of either kind or of a summary, as far as they are said.
        bucket_counts, bounds: of a histogram with explicit bounds.
        exponential: of an exponential histogram.
    """

    name: str
    type: MetricType
    time_ns: int
    description: str = ""
    unit: str = ""
    start_ns: int | None = None
    temporality: Temporality | None = None
    is_monotonic: bool | None = None
    attributes: Attributes = field(default_factory=_empty)
    scalar: float | None = None
    count: int | None = None
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    bucket_counts: tuple[int, ...] | None = None
    bounds: tuple[float, ...] | None = None
    exponential: Exponential | None = None
    exemplars: tuple[Exemplar, ...] = ()
    resource: Resource = field(default_factory=Resource)
    scope: Scope = field(default_factory=Scope)
