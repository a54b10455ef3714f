"""Spans as OTLP/JSON has them, straight into columns of `records`: those without links, exceptions, and whatever has a meaning of its own.

Most spans of other programs are such, and making them in this way takes a third as long as making each a record and then a row.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Final

import pyarrow as pa

from massgen_tracing import semconv
from massgen_tracing.model import Attributes, Resource, Scope
from massgen_tracing.store.reading.values import Complain, attributes_of
from massgen_tracing.store.tables import jsontext, records

_HEX: Final = re.compile("[0-9a-f]*")
_KINDS: Final = range(6)
_CODES: Final = range(3)
_LATEST_NS: Final = 2**63
_NO_PARENT: Final = "0" * 16
_MOST_HOMES: Final = 256
_SAY_MORE: Final = (semconv.EXCEPTION_EVENT, "", None)
_EVENTS, _LINKS, _ATTRIBUTES = methodcaller("get", "events"), methodcaller("get", "links"), methodcaller("get", "attributes", [])
_OTHERWISE: Final = records.TAKEN_OUT | {semconv.LOGFIRE_SPAN_TYPE}
"""Attributes that say more than that they are there."""


class Plain:
    """Rows as columns.

    Attributes:
        values: what a column has, row by row, of those that vary; the others are empty, or `same` says what all their rows have.
        same: what all rows have; the same object of what can be put together.
        length: how many rows there are.
    """

    __slots__ = ("length", "same", "values")

    def __init__(self, values: dict[str, Sequence[Any]], same: records.Row) -> None:
        self.values = values
        self.same = same
        self.length = len(values["span_id"])


@dataclass(slots=True)
class Spans:
    """What spans are made of.

    Attributes:
        rows: of the spans.
        events: of their events, if they have any.
        keys: the hash of each span's trace and id.
        identities: the hash of what `reading.spans.identity` says of each.
    """

    rows: Plain
    events: Plain | None
    keys: array[int]
    identities: array[int]


def apart(values: Sequence[Any]) -> tuple[Sequence[dict[str, Any]], Sequence[Any]]:
    """Those that may be spans for `columns`, and the others."""
    if set(map(type, values)) == {dict} and not any(map(_LINKS, values)) and all(map(_are_plain, filter(None, map(_EVENTS, values)))):
        return values, ()  # as nearly all are, which is soon said of all of them together
    spans: list[dict[str, Any]] = []
    others: list[Any] = []
    for value in values:
        is_plain = type(value) is dict and not value.get("links") and _are_plain(value.get("events") or [])
        (spans if is_plain else others).append(value)
    return spans, others


def _are_plain(events: Any) -> bool:
    return type(events) is list and all(type(event) is dict and event.get("name") not in _SAY_MORE for event in events)


def columns(spans: Sequence[dict[str, Any]], resource: Resource, scope: Scope, complain: Complain) -> Spans | None:
    """The columns of spans that are alike; None where one of them is of another kind, and nothing has been complained of then.

    Args:
        spans: as `apart` gives them; one at least.
        resource: whose they are.
        scope: what made them.
        complain: told of what cannot be read.
    """
    try:
        traces = [span["traceId"] for span in spans]
        ids = [span["spanId"] for span in spans]
        parents = [span.get("parentSpanId") or _NO_PARENT for span in spans]
        begun = [int(time) if type(time := span["startTimeUnixNano"]) is str else time for span in spans]
        ended = [int(time) if type(time := span["endTimeUnixNano"]) is str else time for span in spans]
        kinds = [span.get("kind", 0) for span in spans]
        statuses = [span.get("status") or {} for span in spans]
        codes = [status.get("code", 0) for status in statuses]
        messages = [status.get("message") or None for status in statuses]
        names = [span.get("name", "") for span in spans]
        events = _Events(spans) if any(map(_EVENTS, spans)) else None
        if not (
            _are_ids(traces, 32)
            and _are_ids(ids, 16)
            and _are_ids(parents, 16, zeros=True)
            and _are(int, begun, ended, kinds, codes)
            and min(*begun, *ended) > 0
            and max(*begun, *ended) < _LATEST_NS
            and min(kinds) in _KINDS
            and max(kinds) in _KINDS
            and min(codes) in _CODES
            and max(codes) in _CODES
            and _are(str, names, (message for message in messages if message is not None))
        ):
            return None
    except (LookupError, ValueError, TypeError, AttributeError):
        return None
    problems: list[str] = []
    said, every = attributes_of(list(map(_ATTRIBUTES, spans)), problems.append)
    known = set().union(*said)
    if not _OTHERWISE.isdisjoint(known) or (events is not None and not events.are_plain(problems.append)):
        return None
    for problem in problems:
        complain(problem)
    http = {name: _http(name, keys, said) for name in records.HTTP_COLUMNS if (keys := known.intersection(records.HTTP_COLUMNS[name]))}
    starts, ends = [time // 1000 for time in begun], [time // 1000 for time in ended]
    answers = http.get(records.HTTP_STATUS) or [None] * len(spans)
    levels = {each: records.level(None, *each) for each in set(zip(codes, kinds, answers, strict=True))}
    values: dict[str, Sequence[Any]] = {
        "attributes": jsontext.dumps_all(said, every),
        "end_timestamp": ends,
        "level": list(map(levels.__getitem__, zip(codes, kinds, answers, strict=True))),
        "otel_status_code": list(map(records.STATUS_NAMES.__getitem__, codes)),
        **({"otel_status_message": messages} if any(messages) else {}),
        "parent_span_id": [None if parent == _NO_PARENT else parent for parent in parents],
        "span_id": ids,
        "span_name": names,
        "start_timestamp": starts,
        "trace_id": traces,
        **http,
    }
    home = records.home_columns(resource, scope)
    made = None
    if events is not None:
        values["otel_events"] = events.texts()
        made = Plain(events.values(), _of(home, is_event=True))
    service = repr(resource.attributes.get(semconv.SERVICE_NAME))
    span_keys = array("q", map(hash, zip(traces, ids, strict=True)))
    identities = array("q", map(hash, zip(traces, ids, kinds, starts, itertools.repeat(service))))
    return Spans(Plain(values, _of(home, is_event=False)), made, span_keys, identities)


def table(plains: Sequence[Plain]) -> pa.Table:
    """Rows that have one `same` as a table."""
    import pyarrow.compute as pc

    same, length = plains[0].same, sum(plain.length for plain in plains)
    made: dict[str, pa.Array] = {}
    for name in set().union(*(plain.values for plain in plains)):
        each = (plain.values.get(name) or itertools.repeat(same.get(name), plain.length) for plain in plains)
        made[name] = pa.array(list(itertools.chain.from_iterable(each)), records.SCHEMA.field(name).type)
    begun, ended = made["start_timestamp"], made["end_timestamp"]
    made |= {"created_at": ended, "day": begun.cast(pa.date32()), "message": made["span_name"]}
    if same["kind"] == semconv.SPAN_TYPE_SPAN:
        made["duration"] = pc.divide(pc.subtract(ended, begun).cast(pa.int64()).cast(pa.float64()), 1e6)
    columns = [made[field.name] if field.name in made else _repeated(same.get(field.name), field.type, length) for field in records.SCHEMA]
    return pa.table(columns, schema=records.SCHEMA)


class _Events:
    """The events of spans, which are rows too.

    Raises:
        LookupError, ValueError, TypeError: if one of them is of another kind than most.
    """

    def __init__(self, spans: Sequence[dict[str, Any]]) -> None:
        self._numbers = [len(span.get("events") or ()) for span in spans]
        events = [event for span in spans for event in span.get("events") or ()]
        self._times = [int(time) if type(time := event["timeUnixNano"]) is str else time for event in events]
        self._names = [event["name"] for event in events]
        if not (_are(int, self._times) and _are(str, self._names) and min(self._times) > 0 and max(self._times) < _LATEST_NS):
            raise ValueError
        self._events = events
        self._spans = [(span, number) for span in spans for number in range(len(span.get("events") or ()))]
        self._texts: list[str] = []

    def are_plain(self, complain: Complain) -> bool:
        """Whether none of them says more than that it was there."""
        said, every = attributes_of(list(map(_ATTRIBUTES, self._events)), complain)
        self._texts = jsontext.dumps_all(said, every)
        return (_OTHERWISE | records.HTTP).isdisjoint(set().union(*said))

    def texts(self) -> list[str]:
        """What the column of the spans' events says."""
        names = {name: jsontext.dumps(name) for name in set(self._names)}
        each = (
            f'{{"event_name":{names[name]},"event_timestamp":"{records.stamp(time)}","attributes":{text}}}'
            for name, time, text in zip(self._names, self._times, self._texts, strict=True)
        )
        return [f"[{','.join(itertools.islice(each, number))}]" if number else "[]" for number in self._numbers]

    def values(self) -> dict[str, Sequence[Any]]:
        """The columns of their rows."""
        times = [time // 1000 for time in self._times]
        return {
            "attributes": self._texts,
            "end_timestamp": times,
            "parent_span_id": [span["spanId"] for span, _ in self._spans],
            "span_id": [records.event_id(span["spanId"], number) for span, number in self._spans],
            "span_name": self._names,
            "start_timestamp": times,
            "trace_id": [span["traceId"] for span, _ in self._spans],
        }


def _http(name: str, keys: set[str], said: Sequence[Attributes]) -> Sequence[Any]:
    """A column that says what attributes of HTTP say; *keys* are those of them that there are."""
    if len(keys) == 1:
        (key,) = keys
        values: list[Any] = [each.get(key) for each in said]
        kinds = set(map(type, values))
        is_number = name == records.HTTP_STATUS
        if kinds <= {type(None), int if is_number else str} and not (is_number and max(map(abs, filter(None, values)), default=0) >= 1000):
            return values
    return [records.http_column(name, each) for each in said]


_ALL: Final = {
    "is_exception": False,
    "kind": semconv.SPAN_TYPE_SPAN,
    "otel_events": "[]",
    "otel_links": "[]",
    "project_id": records.PROJECT,
}
"""What all such spans say."""

_EVENTS_SAY: Final = {"kind": records.SPAN_EVENT, "level": semconv.LEVELS["info"], "otel_status_code": records.STATUS_NAMES[0]}

_of_homes: dict[tuple[int, bool], tuple[records.Row, records.Row]] = {}


def _of(home: records.Row, *, is_event: bool) -> records.Row:
    """What all rows of a resource and a scope say, as one object."""
    known = _of_homes.get((id(home), is_event))
    if known is None:
        if len(_of_homes) >= _MOST_HOMES:
            _of_homes.clear()
        # The home is kept with its id, so that no other object gets it meanwhile.
        known = _of_homes[id(home), is_event] = home, home | _ALL | (_EVENTS_SAY if is_event else {})
    return known[1]


def _repeated(value: Any, kind: pa.DataType, length: int) -> pa.Array:
    return pa.nulls(length, kind) if value is None else pa.repeat(pa.scalar(value, kind), length)


def _are(kind: type, *lists: Any) -> bool:
    return all(set(map(type, each)) <= {kind} for each in lists)


def _are_ids(texts: list[str], digits: int, *, zeros: bool = False) -> bool:
    """Whether all are lower-case hexadecimal of so many digits, and, unless *zeros* may be, none has no other digit."""
    return set(map(len, texts)) == {digits} and _HEX.fullmatch("".join(texts)) is not None and (zeros or "0" * digits not in texts)
