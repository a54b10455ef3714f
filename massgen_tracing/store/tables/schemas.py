"""Values that Logfire's SDK has sent as JSON texts, as what they are: which they are is said by the JSON Schema that it sends beside them."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final

from massgen_tracing.model import Attributes, AttributeValue

_MOST_KNOWN: Final = 1024
_HALF_A_PAIR: Final = re.compile(r"\\u[dD][89a-fA-F]")


def decoded(attributes: Attributes, schema: AttributeValue) -> Attributes:
    """Attributes with the values that a schema calls anything but plain.

    Args:
        attributes: all of them.
        schema: the attribute `logfire.json_schema`; whatever is none leaves the attributes as they are.
    """
    encoded = _encoded(schema) if isinstance(schema, str) else ()
    values = {key: _value(text) for key in encoded if isinstance(text := attributes.get(key), str)}
    return {**attributes, **values} if values else attributes


@lru_cache(maxsize=_MOST_KNOWN)
def _encoded(schema: str) -> tuple[str, ...]:
    """The keys whose values are JSON texts. Of a text, a number or a truth value the schema says nothing."""
    try:
        properties = json.loads(schema)["properties"]
        return tuple(key for key, said in properties.items() if said)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ()


def _value(text: str) -> AttributeValue:
    if _HALF_A_PAIR.search(text):  # of surrogates, perhaps: no column can hold one
        return text
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):  # it was cut, say
        return text
