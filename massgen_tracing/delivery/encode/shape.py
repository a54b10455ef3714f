"""What a plain span of our own writer looks like, in expressions that Python and Arrow (RE2) take alike.

Exact: what fits is JSON, and says what the total reader would read. Whatever does not is left to that.
"""

from __future__ import annotations

from typing import Final

KEY: Final = b'{"key":"'
BETWEEN: Final = b"," + KEY
"""Separates attributes; inside of a text its quotes would be escaped. Inside of a nested value it is there, and the pieces are no attributes."""

_LIST_BEGINS: Final = b'"attributes":['

_HEX: Final = "[0-9a-f]"
_PLAIN: Final = r"[ !#-\[\]-~]*"
_ESCAPED: Final = rf'\\(?:["\\/bfnrt]|u(?:[0-9a-cef]{_HEX}{{3}}|d[0-7]{_HEX}{{2}}|d[89ab]{_HEX}{{2}}\\ud[c-f]{_HEX}{{2}}))'
_CHARACTERS: Final = f"{_PLAIN}(?:{_ESCAPED}{_PLAIN})*"
_TEXT: Final = f'"{_CHARACTERS}"'
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
OF_ATTRIBUTE: Final = rf'{_CHARACTERS}","value":(?:{_SCALAR}|{_LIST})\}}'
"""An attribute, from behind the beginning of its key."""

_ATTRIBUTE: Final = rf'\{{"key":"{OF_ATTRIBUTE}'
_ATTRIBUTES: Final = rf'"attributes":\[(?:{_ATTRIBUTE}(?:,{_ATTRIBUTE})*)?\]'
_EVENT: Final = rf'\{{"timeUnixNano":"{TIME}","name":{_TEXT}(?:,{_ATTRIBUTES})?\}}'
EVENTS: Final = rf'(?:"events":(\[{_EVENT}(?:,{_EVENT})*\]),)?'
_SCHEMA: Final = f'(?:"schemaUrl":{_TEXT},)?'
_STATUS: Final = rf'\{{(?:"message":{_TEXT},)?"code":[012](?:,"message":{_TEXT})?\}}'

HEAD: Final = (
    rf'\{{"resourceSpans":\[\{{"resource":\{{{_ATTRIBUTES}\}},{_SCHEMA}"scopeSpans":'
    rf'\[\{{"scope":\{{"name":{_TEXT}(?:,"version":{_TEXT})?(?:,{_ATTRIBUTES})?\}},{_SCHEMA}"spans":\[\{{'
)
"""What stands before a span: its resource and its scope."""

SINCE: Final = rf'{EVENTS}(?:"status":{_STATUS},)?(?:"flags":\d{{1,9}},)?"name":{_TEXT},"kind":[1-5],'
"""What a span without links and what else is rare has between its ids and its times."""

REST: Final = rf'{SINCE}"startTimeUnixNano":"({TIME})","endTimeUnixNano":"{TIME}",{_ATTRIBUTES}\}}'
"""What follows the ids of such a span."""


def has_twice(written: bytes) -> bool:
    """Whether one of the lists of attributes in a JSON text, as it is above, may have a key twice, of which only the last one is to be sent."""
    for attributes in written.split(_LIST_BEGINS)[1:]:
        keys = [each[: each.find(b'"')] for each in attributes.split(KEY)[1:]]
        if len(set(keys)) < len(keys) or any(b"\\" in key for key in keys):
            return True
    return False
