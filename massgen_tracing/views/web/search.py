"""Which spans of a run have a word, or a value under a key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from massgen_tracing.insight import words
from massgen_tracing.model import AttributeValue, SpanRecord
from massgen_tracing.views.web.columns import KINDS, Spans

_TERMS: Final = re.compile(r'(-?)(?:([\w.-]+)(=|:))?(?:"([^"]*)"|(\S+))')


class Term(NamedTuple):
    """One condition: a text that stands anywhere in a span, or under *key*; *exact* where it is all that stands there."""

    key: str
    value: str
    exact: bool
    negated: bool


def terms(query: str) -> list[Term]:
    """The conditions of a query: words, `key:part`, `key=value`, each with a minus for its contrary, in quotes where they have blanks."""
    return [
        Term(key or "", (quoted or plain or "").casefold(), sign == "=", minus == "-")
        for minus, key, sign, quoted, plain in (found.groups() for found in _TERMS.finditer(query))
    ]


def places(spans: Spans, records: Sequence[SpanRecord], query: str) -> list[int]:
    """The places of the spans for which all conditions hold, in their order; none for an empty query."""
    wanted = terms(query)
    if not wanted:
        return []
    return [place for place, span in enumerate(records) if all(_holds(spans, place, span, term) is not term.negated for term in wanted)]


def _holds(spans: Spans, place: int, span: SpanRecord, term: Term) -> bool:
    if not term.key:
        return any(term.value in said.casefold() for said in _everything(span))
    match term.key:
        case "kind":
            said: list[str] = [KINDS[spans.kind[place]]]
        case "name":
            said = [span.name, words.name(span)]
        case "agent":
            lane = spans.lanes[spans.lane[place]]
            said = [lane.name] if lane.is_agent else []
        case "state":
            said = ["error" if words.has_failed(span) else "ok", span.state]
        case "span_id":
            said = [span.span_id]
        case "trace_id":
            said = [span.trace_id]
        case key:
            value = span.attributes.get(key, span.resource.attributes.get(key))
            said = [] if value is None else ["true" if value is True else "false" if value is False else str(value)]
    return any(text.casefold() == term.value if term.exact else term.value in text.casefold() for text in said)


def _everything(span: SpanRecord) -> Iterator[str]:
    """All texts that a span has."""
    yield span.name
    yield span.status_message
    yield span.span_id
    yield from _texts(span.attributes)
    for event in span.events:
        yield event.name
        yield from _texts(event.attributes)


def _texts(value: AttributeValue | Mapping[str, AttributeValue]) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield key
                yield from _texts(item)
        case list() | tuple():
            for item in value:
                yield from _texts(item)
        case None | bytes():
            return
        case _:
            yield str(value)
