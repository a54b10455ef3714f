"""The spans of a run as arrays of numbers: where each is drawn, what it is, and nothing that it says.

A page of 50,000 spans is one such answer of three megabytes; what a span says comes when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.tree import trees
from massgen_tracing.model import SpanRecord
from massgen_tracing.views import text
from massgen_tracing.views.web import encoded

KINDS: Final = ("other", "session", "round", "model", "tool", "agent", "event")
FAILED, OPEN, INTERRUPTED = 1, 2, 4
"""Bits of a span's flags."""

_OF_KIND: Final = {kind: place for place, kind in enumerate(KINDS)}
_MOST_ROWS: Final = 60
"""Of one lane; what would need more is drawn in the last one."""

_MOST_NAME: Final = 300
_EVENTS: Final = tuple(
    name.partition("{")[0]
    for name in (semconv.ANSWER_NAME, semconv.VOTE_NAME, semconv.RESTART_NAME, semconv.WINNER_NAME, semconv.FINAL_ANSWER_NAME, semconv.EVENT_NAME)
)


@dataclass(slots=True)
class Lane:
    """Whose spans are drawn together: an agent's, a service's, or those of the coordination itself.

    Attributes:
        is_agent: whether it is an agent's.
        rows: how many rows its spans need, one below the other.
    """

    name: str
    is_agent: bool
    rows: int = 1
    _ends: list[int] = field(default_factory=list)

    def row(self, start: int, end: int, least: int) -> int:
        """The first row from *least* on that is free from *start* to *end*."""
        row = least
        while row < len(self._ends) and self._ends[row] > start and row < _MOST_ROWS:
            row += 1
        while len(self._ends) <= row:
            self._ends.append(0)
        self._ends[row] = max(self._ends[row], end)
        self.rows = max(self.rows, row + 1)
        return row


@dataclass(slots=True)
class Spans:
    """The spans, parents before what is below them, as parallel lists.

    Attributes:
        records: the spans themselves.
        begin, last: the first and the last moment, Unix nanoseconds.
        start, duration: microseconds from *begin* on, and how many; -1 for a span that has not ended.
        parent: the place of the parent in the lists; -1 for a root.
        depth, lane, row, kind, flags, name: *name* is a place in *names*, *kind* in `KINDS`.
    """

    records: list[SpanRecord] = field(default_factory=list)
    begin: int = 0
    last: int = 0
    lanes: list[Lane] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    lane: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    name: list[int] = field(default_factory=list)


def of(records: Sequence[SpanRecord]) -> Spans:
    """The spans of one question of a run, or of anything that was recorded."""
    made = Spans()
    agents: list[str] = []
    for root in trees(records):
        above: list[int] = []
        for depth, node in root.walk():
            del above[depth:]
            span, parent = node.span, above[-1] if above else -1
            above.append(len(made.records))
            made.records.append(span)
            made.parent.append(parent)
            made.depth.append(depth)
            kind = _kind(span)
            made.kind.append(_OF_KIND[kind])
            own = words.agent(span) or (conventions.text_of(span.attributes, conventions.AGENT) if kind != "session" else "")
            agents.append(own or (agents[parent] if parent >= 0 and kind != "session" else ""))
    if made.records:
        _place(made, agents)
    return made


def _kind(span: SpanRecord) -> str:
    name = span.name
    if name == semconv.SESSION:
        return "session"
    if name.startswith(semconv.AGENT_PREFIX):
        return "round"
    if name.startswith(_EVENTS) or (conventions.is_record(span.attributes) and conventions.kind_of(name, span.attributes) is None):
        return "event"
    return conventions.kind_of(name, span.attributes) or "other"


def _place(made: Spans, agents: list[str]) -> None:
    """Times, names and lanes, and in each lane a row in which a span covers no other one."""
    made.begin = min(span.start_ns for span in made.records)
    made.last = max(max(span.start_ns, span.end_ns or 0) for span in made.records)
    lane_of = _lanes(made, agents)
    names: dict[str, int] = {}
    made.row = [0] * len(made.records)
    for span in made.records:
        made.start.append((span.start_ns - made.begin) // 1000)
        made.duration.append(-1 if span.end_ns is None else max(0, span.end_ns - span.start_ns) // 1000)
        made.flags.append(
            (FAILED if span.status_code == 2 else 0) | (OPEN if span.state == "open" else 0) | (INTERRUPTED if span.state == "interrupted" else 0)
        )
        made.name.append(names.setdefault(text.shorten(words.name(span), _MOST_NAME), len(names)))
    made.names = list(names)
    made.lane = lane_of
    event = _OF_KIND["event"]
    for place in _by_start(made):
        lane, parent = made.lanes[lane_of[place]], made.parent[place]
        beside = parent >= 0 and lane_of[parent] == lane_of[place]
        if made.kind[place] == event:  # a mark on what it happened in
            made.row[place] = made.row[parent] if beside else 0
            continue
        end = made.last if made.duration[place] < 0 else made.records[place].end_ns or 0
        made.row[place] = lane.row(made.records[place].start_ns, end, min(made.row[parent] + 1, _MOST_ROWS) if beside else 0)


def _by_start(made: Spans) -> Iterable[int]:
    """The places of the spans in the order of their starts, each behind its parent, also where a clock was behind another one."""
    begun: list[int] = []
    for place, parent in enumerate(made.parent):
        start = made.start[place]
        begun.append(start if parent < 0 else max(start, begun[parent]))
    return sorted(range(len(begun)), key=begun.__getitem__)


def _lanes(made: Spans, agents: list[str]) -> list[int]:
    """The lane of each span: its agent's; without one, its service's where there are several, or that of the coordination."""
    known: dict[int, str] = {}
    for span in made.records:  # which share their resources
        if id(span.resource) not in known:
            known[id(span.resource)] = conventions.text_of(span.resource.attributes, (semconv.SERVICE_NAME,))
    of_services = [known[id(span.resource)] for span in made.records]
    services = {service for service, agent in zip(of_services, agents, strict=True) if not agent}
    has_session = any(kind == _OF_KIND["session"] for kind in made.kind)
    common = "coordination" if has_session else next(iter(services), "") or "spans"
    keys = [
        (True, agent) if agent else (False, service if len(services) > 1 and service else common)
        for agent, service in zip(agents, of_services, strict=True)
    ]
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    made.lanes = [Lane(text.shorten(name, _MOST_NAME), is_agent) for is_agent, name in places]
    return [places[key] for key in keys]


def encode(made: Spans, version: str) -> bytes:
    """The arrays as JSON."""
    return encoded.dumps(document(made, version))


def document(made: Spans, version: str) -> dict[str, Any]:
    """The arrays, and what their numbers stand for; ids are written one after the other, 16 digits each."""
    traces = {trace: place for place, trace in enumerate(dict.fromkeys(span.trace_id for span in made.records))}
    return {
        "version": version,
        "begin": made.begin / 1e6,
        "length": (made.last - made.begin) // 1000,
        "kinds": KINDS,
        "lanes": [{"name": lane.name, "agent": lane.is_agent, "rows": lane.rows} for lane in made.lanes],
        "names": made.names,
        "traces": list(traces),
        "ids": "".join(span.span_id.rjust(16, "0")[:16] for span in made.records),
        "trace": [traces[span.trace_id] for span in made.records] if len(traces) > 1 else [],
        **{key: getattr(made, key) for key in ("start", "duration", "parent", "depth", "lane", "row", "kind", "flags", "name")},
    }
