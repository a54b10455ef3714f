"""The spans of a run as arrays of numbers: where each is drawn, what it is, and nothing that it says.

A page of 50,000 spans is one such answer of three megabytes; what a span says comes when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.tree import trees
from massgen_tracing.model import Attributes, SpanRecord
from massgen_tracing.store.reading.outline import Asked, Outline
from massgen_tracing.views import text
from massgen_tracing.views.web import encoded

KINDS: Final = ("other", "session", "round", "model", "tool", "agent", "event")
FAILED, OPEN, INTERRUPTED = 1, 2, 4
"""Bits of a span's flags."""

_FLAGS: Final = {"ended": 0, "open": OPEN, "interrupted": INTERRUPTED}

_OF_KIND: Final = {kind: place for place, kind in enumerate(KINDS)}
_MOST_ROWS: Final = 60
"""Of one lane; what would need more is drawn in the last one."""

_MOST_NAME: Final = 300
_EVENTS: Final = tuple(
    name.partition("{")[0]
    for name in (semconv.ANSWER_NAME, semconv.VOTE_NAME, semconv.RESTART_NAME, semconv.WINNER_NAME, semconv.FINAL_ANSWER_NAME, semconv.EVENT_NAME)
)


class Meaning(NamedTuple):
    """What a span is: its kind's place in `KINDS`, what it is called, and whose it says that it is."""

    kind: int
    name: str
    agent: str


def _meaning(name: str, attributes: Attributes) -> Meaning:
    kind = _kind(name, attributes)
    agent = conventions.text_of(attributes, conventions.AGENT[:1] if kind == "session" else conventions.AGENT)
    return Meaning(_OF_KIND[kind], text.shorten(words.called(name, attributes), _MOST_NAME), agent)


def _kind(name: str, attributes: Attributes) -> str:
    if name == semconv.SESSION:
        return "session"
    if name.startswith(semconv.AGENT_PREFIX):
        return "round"
    if name.startswith(_EVENTS) or (conventions.is_record(attributes) and conventions.kind_of(name, attributes) is None):
        return "event"
    return conventions.kind_of(name, attributes) or "other"


ASKED: Final = Asked((*conventions.AGENT, *words.CALLED_BY, *conventions.KIND_BY), conventions.is_told_by_usage, _meaning)
"""What the arrays have of a span."""


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
        outlines: what is known of them here.
        begin, last: the first and the last moment, Unix nanoseconds.
        start, duration: microseconds from *begin* on, and how many; -1 for a span that has not ended.
        parent: the place of the parent in the lists; -1 for a root.
        depth, lane, row, kind, flags, name: *name* is a place in *names*, *kind* in `KINDS`.
    """

    outlines: list[Outline[Meaning]] = field(default_factory=list)
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


def of(records: Iterable[SpanRecord]) -> tuple[Spans, list[SpanRecord]]:
    """The spans of one question of a run, or of anything that was recorded; and the records in the order of the arrays."""
    made = Spans()
    order: list[SpanRecord] = []
    for root in trees(records):
        above: list[int] = []
        for depth, node in root.walk():
            del above[depth:]
            made.parent.append(above[-1] if above else -1)
            made.depth.append(depth)
            above.append(len(order))
            order.append(node.span)
    made.outlines = [ASKED.of(span) for span in order]
    _place(made)
    return made, order


def drawn(outlines: Iterable[Outline[Meaning]]) -> Spans | None:
    """The same of outlines; None where an id comes twice in a trace, or parents go around in a circle, which `insight.tree` takes apart."""
    found = sorted(outlines)
    place_of = {(each.trace_id, each.span_id): place for place, each in enumerate(found)}
    if len(place_of) < len(found):
        return None
    roots: list[int] = []
    below: list[list[int]] = [[] for _ in found]
    for place, each in enumerate(found):
        parent = place_of.get((each.trace_id, each.parent_span_id))
        (roots if parent is None else below[parent]).append(place)
    made = Spans()
    waiting = [(root, -1, 0) for root in reversed(roots)]
    while waiting:
        place, parent, depth = waiting.pop()
        own = len(made.parent)
        made.outlines.append(found[place])
        made.parent.append(parent)
        made.depth.append(depth)
        waiting += [(child, own, depth + 1) for child in reversed(below[place])]
    if len(made.parent) < len(found):
        return None
    _place(made)
    return made


def _place(made: Spans) -> None:
    """Times, names and lanes, and in each lane a row in which a span covers no other one."""
    if not made.outlines:
        return
    made.begin = min(span.start_ns for span in made.outlines)
    made.last = max(max(span.start_ns, span.end_ns or 0) for span in made.outlines)
    names: dict[str, int] = {}
    agents: list[str] = []
    session, event = _OF_KIND["session"], _OF_KIND["event"]
    for span, parent in zip(made.outlines, made.parent, strict=True):
        kind, name, agent = span.meaning
        agents.append(agent or (agents[parent] if parent >= 0 and kind != session else ""))
        made.kind.append(kind)
        made.name.append(names.setdefault(name, len(names)))
        made.start.append((span.start_ns - made.begin) // 1000)
        made.duration.append(-1 if span.end_ns is None else max(0, span.end_ns - span.start_ns) // 1000)
        made.flags.append((FAILED if span.status_code == 2 else 0) | _FLAGS[span.state])
    made.names = list(names)
    made.lane = lane_of = _lanes(made, agents)
    made.row = [0] * len(made.outlines)
    for place in _by_start(made):
        lane, parent = made.lanes[lane_of[place]], made.parent[place]
        beside = parent >= 0 and lane_of[parent] == lane_of[place]
        if made.kind[place] == event:  # a mark on what it happened in
            made.row[place] = made.row[parent] if beside else 0
            continue
        span = made.outlines[place]
        end = made.last if span.end_ns is None else span.end_ns
        made.row[place] = lane.row(span.start_ns, end, min(made.row[parent] + 1, _MOST_ROWS) if beside else 0)


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
    for span in made.outlines:  # which share their resources
        if id(span.resource) not in known:
            known[id(span.resource)] = conventions.text_of(span.resource.attributes, (semconv.SERVICE_NAME,))
    of_services = [known[id(span.resource)] for span in made.outlines]
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
    traces = {trace: place for place, trace in enumerate(dict.fromkeys(span.trace_id for span in made.outlines))}
    return {
        "version": version,
        "begin": made.begin / 1e6,
        "length": (made.last - made.begin) // 1000,
        "kinds": KINDS,
        "lanes": [{"name": lane.name, "agent": lane.is_agent, "rows": lane.rows} for lane in made.lanes],
        "names": made.names,
        "traces": list(traces),
        "ids": "".join(span.span_id.rjust(16, "0")[:16] for span in made.outlines),
        "trace": [traces[span.trace_id] for span in made.outlines] if len(traces) > 1 else [],
        **{key: getattr(made, key) for key in ("start", "duration", "parent", "depth", "lane", "row", "kind", "flags", "name")},
    }
