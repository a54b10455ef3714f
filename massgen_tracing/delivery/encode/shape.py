"""What a plain span of our own writer looks like, in expressions that Python and Arrow (RE2) take alike.

Exact: what fits is JSON, and says what the total reader would read. Whatever does not is left to that.
"""

from __future__ import annotations

from typing import Final

_HEX: Final = "[0-9a-f]"
_PLAIN: Final = r"[ !#-\[\]-~]*"
_ESCAPED: Final = rf'\\(?:["\\/bfnrt]|u(?:[0-9a-cef]{_HEX}{{3}}|d[0-7]{_HEX}{{2}}|d[89ab]{_HEX}{{2}}\\ud[c-f]{_HEX}{{2}}))'
_TEXT: Final = f'"{_PLAIN}(?:{_ESCAPED}{_PLAIN})*"'
"""A text in ASCII, without half of a surrogate pair."""

INTEGER: Final = r"-?(?:0|[1-8]\d{0,18}|9\d{0,17})"
"""Of 64 bits."""

DOUBLE: Final = r"-?(?:0|[1-9]\d{0,20})(?:\.\d{1,40})?(?:e[-+]?\d{1,2})?"
"""One that is finite."""

TIME: Final = r"[1-8]\d{18}"
"""Nanoseconds, between 2001 and 2255."""

IDS: Final = f'"traceId":"({_HEX}{{32}})","spanId":"({_HEX}{{16}})",(?:"parentSpanId":"({_HEX}{{16}})",)?'

_SCALAR: Final = rf'\{{"(?:stringValue":{_TEXT}|intValue":"{INTEGER}"|doubleValue":{DOUBLE}|boolValue":(?:true|false))\}}'
_LIST: Final = rf'\{{"arrayValue":\{{"values":\[{_SCALAR}(?:,{_SCALAR})*\]\}}\}}'
_ATTRIBUTE: Final = rf'\{{"key":{_TEXT},"value":(?:{_SCALAR}|{_LIST})\}}'
_ATTRIBUTES: Final = rf'"attributes":\[(?:{_ATTRIBUTE}(?:,{_ATTRIBUTE})*)?\]'
_EVENT: Final = rf'\{{"timeUnixNano":"{TIME}","name":{_TEXT}(?:,{_ATTRIBUTES})?\}}'
_EVENTS: Final = rf'(?:"events":\[{_EVENT}(?:,{_EVENT})*\],)?'
_SCHEMA: Final = f'(?:"schemaUrl":{_TEXT},)?'
_STATUS: Final = rf'\{{(?:"message":{_TEXT},)?"code":[012](?:,"message":{_TEXT})?\}}'

HEAD: Final = (
    rf'\{{"resourceSpans":\[\{{"resource":\{{{_ATTRIBUTES}\}},{_SCHEMA}"scopeSpans":'
    rf'\[\{{"scope":\{{"name":{_TEXT}(?:,"version":{_TEXT})?(?:,{_ATTRIBUTES})?\}},{_SCHEMA}"spans":\[\{{'
)
"""What stands before a span: its resource and its scope."""

REST: Final = (
    rf'{_EVENTS}(?:"status":{_STATUS},)?(?:"flags":\d{{1,9}},)?"name":{_TEXT},"kind":[1-5],'
    rf'"startTimeUnixNano":"({TIME})","endTimeUnixNano":"{TIME}",{_ATTRIBUTES}\}}'
)
"""What follows the ids of a span without links and what else is rare."""
