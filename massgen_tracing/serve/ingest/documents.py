"""Requests in OTLP/JSON, checked: kept is only what the sorter can write, so that nothing is acknowledged that is lost then.

What JSON does not have, though Python and JavaScript write it, is made into what OTLP/JSON has: NaN and infinities into texts.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from massgen_tracing.model import LogRecord, SpanRecord
from massgen_tracing.serve.ingest import lines
from massgen_tracing.serve.ingest.bodies import Refused
from massgen_tracing.serve.ingest.requests import NO_TIME, PENDING_OF_NONE, Checked, Signal
from massgen_tracing.store.reading import encode, names, otlp, signals
from massgen_tracing.store.reading.envelopes import Envelopes, Group
from massgen_tracing.store.reading.values import UNKNOWN_TIMES, Malformed, moment, quiet

_TOO_DEEP: Final = "nested too deep"
_MOST_WHOLE: Final = 2**64


def from_json(signal: Signal, content: bytes) -> Checked:
    """Check a request in OTLP/JSON.

    Raises:
        Refused: if it is none.
    """
    document = _document(content)
    rejected: Counter[str] = Counter()
    warned: dict[str, None] = {}
    decoder = otlp.Decoder(warned.setdefault)
    envelopes = Envelopes(quiet)
    parts: list[bytes] = []
    taken = 0
    head, tail = f'{{"resource{signal.group.capitalize()}":['.encode(), b"]}"
    try:
        for group in envelopes.groups(document):
            if group.signal != signal.group:
                rejected[f"{group.signal} are no {signal.name}"] += len(group.values)
                continue
            line, count, others = _taken(decoder, group)
            rejected += others
            if count:
                taken += count
                parts.append(line[len(head) : -len(tail)])
    except RecursionError:
        raise Refused(400, f"The body is {_TOO_DEEP}") from None
    if not envelopes.known and document:
        raise Refused(400, f"The body has nothing of OTLP; expected an object as in OTLP/JSON, with resource{signal.group.capitalize()}")
    return Checked(head + b",".join(parts) + tail if taken else b"", taken, rejected, tuple(warned))


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            # NaN, a number that no double is, and half of a surrogate pair, which JavaScript writes where it has cut a text, lose no others.
            said = json.loads(content, parse_constant=str, parse_float=_number, parse_int=_whole)
            document = orjson.loads(json.dumps(said, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        except (ValueError, RecursionError):
            raise Refused(400, f"The body is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise Refused(400, "The body is JSON, but no object; expected an object as in OTLP/JSON")
    return document


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def _whole(text: str) -> float | str:
    number = _number(text)
    return int(text) if isinstance(number, float) and abs(number) < _MOST_WHOLE else number


def _taken(decoder: otlp.Decoder, group: Group) -> tuple[bytes, int, Counter[str]]:
    """What of a group can be taken: as a line, how many that are, and why others cannot be."""
    try:
        return _readable(decoder, group)
    except (RecursionError, orjson.JSONEncodeError):
        pass
    rejected: Counter[str] = Counter()

    def is_writable(value: Any) -> bool:
        try:
            _readable(decoder, Group(group.signal, [value]))
        except (RecursionError, orjson.JSONEncodeError):
            rejected[f"{group.signal} that are {_TOO_DEEP}"] += 1
            return False
        return True

    values = [_with_points(metric, is_writable) for metric in group.values] if group.signal == "metrics" else group.values
    values = list(filter(is_writable, values))
    try:
        line, count, others = _readable(decoder, replace(group, values=values))
    except (RecursionError, orjson.JSONEncodeError):
        return b"", 0, Counter({f"{group.signal} whose resource or scope is {_TOO_DEEP}": len(group.values)})
    return line, count, rejected + others


def _readable(decoder: otlp.Decoder, group: Group) -> tuple[bytes, int, Counter[str]]:
    """The same, of a group of which nothing is nested too deep.

    Raises:
        RecursionError, orjson.JSONEncodeError: if something is.
    """
    rejected: Counter[str] = Counter()
    if group.signal == "metrics":
        values, count = _metrics(decoder, group.values, rejected)
        return lines.of_group(replace(group, values=values)), count, rejected
    spans: list[SpanRecord] = []
    logs: list[LogRecord] = []
    for value, record in zip(group.values, signals.records(decoder, group), strict=True):
        problem = str(record) if isinstance(record, Malformed) else _problem(value, record) if isinstance(record, SpanRecord) else ""
        if problem:
            rejected[problem] += 1
        elif isinstance(record, SpanRecord):
            spans.append(record)
        elif isinstance(record, LogRecord):
            logs.append(record)
    kept = encode.document(*spans) if spans else encode.log_document(*logs) if logs else {}
    return orjson.dumps(kept), len(spans) + len(logs), rejected


def _problem(value: Mapping[str, Any], span: SpanRecord) -> str:
    """Why a span that can be read is not taken; empty for one that is."""
    if "startTimeUnixNano" not in value:
        value = names.usual(value)
    if moment(value.get("startTimeUnixNano")) is None or (span.end_ns is None and value.get("endTimeUnixNano") not in UNKNOWN_TIMES):
        return NO_TIME
    return PENDING_OF_NONE if otlp.is_pending(span) and not span.parent_span_id else ""


def _metrics(decoder: otlp.Decoder, metrics: list[Any], rejected: Counter[str]) -> tuple[list[Any], int]:
    """Those that have data points which can be read, and how many points; why others cannot be is added to *rejected*."""
    values = []
    count = 0
    for metric in metrics:
        found = list(signals.records(decoder, Group("metrics", [metric])))
        bad = [str(point) for point in found if isinstance(point, Malformed)]
        rejected.update(bad)
        count += len(found) - len(bad)
        if len(bad) < len(found):
            values.append(_with_points(metric, functools.partial(_is_readable, decoder)) if bad else metric)
    return values, count


def _is_readable(decoder: otlp.Decoder, metric: Any) -> bool:
    return not any(isinstance(point, Malformed) for point in signals.records(decoder, Group("metrics", [metric])))


def _with_points(metric: Any, is_good: Callable[[Any], bool]) -> Any:
    """A metric with those data points for which a metric of nothing else is good."""

    def of_kind(kind: str, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {
            key: [point for point in value if is_good({kind: {key: [point]}})]
            if names.plain(key) == "datapoints" and isinstance(value, list)
            else value
            for key, value in data.items()
        }

    return {kind: of_kind(kind, data) for kind, data in metric.items()} if isinstance(metric, dict) else metric
