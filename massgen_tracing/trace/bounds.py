"""Text that fits a bound: cut where no secret is torn, and JSON that stays JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from massgen_tracing import guard
from massgen_tracing.trace.scrub import MARK, is_secret_key, scrub

_MAX_PARSED: Final = 64
"""JSON text of up to so many times the bound is parsed to be cut; parsing more would hold up the run."""

_SECRET_MARGIN: Final = 4096
"""A secret that straddles the cut must be seen whole before the cut: this much more is scrubbed."""

_WORD: Final = re.compile(r"""[^\s"'<>,;]*""")
_LONGEST_WORD: Final = 2**16
"""Characters up to which a word that the margin ends in is read to its own end: some tokens are longer than the margin."""

_MOST_READ: Final = 20
"""No more is read of a text, which marks make shorter and shorter, once it was so many times the cut and the margin."""


def cut_clean(text: str, limit: int) -> str:
    """*text* scrubbed and cut to *limit* characters, and how long it was if it was cut; only as much is read as that takes."""
    start, whole = scrubbed_start(text, limit)
    if whole and len(start) <= limit:
        return start
    return f"{start[:limit]}… [cut, {len(text)} characters]"


def encodable(text: str) -> str:
    """*text* without lone surrogates, which no exporter can encode as UTF-8 (one would cost a whole batch)."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def scrubbed_start(text: str, limit: int) -> tuple[str, bool]:
    """At least *limit* characters of the scrubbed text, as far as there are so many; and whether that is all of it.

    What stands before the cut was scrubbed with what follows in sight. A mark is shorter than what it stands for, so more may have to be read.
    """
    taken = limit + _SECRET_MARGIN
    if len(text) <= taken:
        return scrub(encodable(text)), True
    while True:
        rest = _WORD.match(text, taken, taken + _LONGEST_WORD)
        taken = taken if rest is None else rest.end()
        start = scrub(encodable(text[:taken]))
        if taken >= len(text):
            return start, True
        safe = len(start) - _SECRET_MARGIN // 2
        if safe >= limit or taken > _MOST_READ * (limit + _SECRET_MARGIN):
            return start[: max(safe, 0)], False
        taken *= 2


def size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text.encode())


def dump(value: Any) -> str:
    """JSON text that any reader takes: without NaN and infinities, which JSON does not know."""
    try:
        return json.dumps(value, ensure_ascii=False, default=repr, allow_nan=False)
    except ValueError as error:
        guard.passing(error)
        return json.dumps(_finite(value), ensure_ascii=False, default=repr)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def shorten_json(text: str, limit: int, measure: Callable[[str], int]) -> str | None:
    """A valid JSON text within *limit* that keeps the shape and cuts long strings and lists; None if *text* is not JSON."""
    if len(text) > _MAX_PARSED * limit:
        return None
    try:
        return fit(json.loads(text, parse_constant=str), limit, measure)
    except (ValueError, RecursionError) as error:
        guard.passing(error)
        return None


def fit(value: Any, limit: int, measure: Callable[[str], int]) -> str:
    """*value* as scrubbed JSON text of at most *limit*: ever shorter strings and lists until it fits, at last a note in its place."""
    length, items = limit * 3 // 4, 200
    known: dict[str, tuple[str, bool]] = {}
    while length >= 16:
        shorter = dump(_prune(value, length, items, known))
        # Each text in it was scrubbed; what is left are secrets that several of them make, for which nothing is looked at that is too long anyway.
        if measure(shorter) <= limit and measure(shorter := scrub(shorter)) <= limit:
            return shorter
        length, items = length // 3, max(items // 2, 3)
    return json.dumps({"cut": f"{type(value).__name__} too large to record"})


def _prune(value: Any, length: int, items: int, known: dict[str, tuple[str, bool]]) -> Any:
    """*value* with shorter strings and lists; *known* has the scrubbed start of each string, as far as it was to be kept, and whether that is all."""
    if isinstance(value, str):
        return _shorter(value, length, known)
    if isinstance(value, dict):
        kept = {
            _shorter(key, length, known): MARK if item is not None and is_secret_key(key) else _prune(item, length, items, known)
            for key, item in islice(value.items(), items)
        }
        if len(value) > items:
            kept["…"] = f"[cut, {len(value)} items]"
        return kept
    if isinstance(value, list):
        some = [_prune(item, length, items, known) for item in value[:items]]
        return [*some, _note(some, len(value))] if len(value) > items else some
    return value


def _note(kept: list[Any], count: int) -> Any:
    """What says how many items a list had; in a list of messages, or of their parts, it is one itself."""
    note: Any = f"… [cut, {count} items]"
    if isinstance(kept[0], dict) and "type" in kept[0]:
        return {"type": "cut", "content": note}
    if isinstance(kept[0], dict) and {"role", "parts"} <= kept[0].keys():
        return {"role": "cut", "parts": [{"type": "text", "content": note}]}
    return note


def _shorter(text: str, length: int, known: dict[str, tuple[str, bool]]) -> str:
    found = known.get(text)
    if found is None:
        found = known[text] = scrubbed_start(text, length)
    start, whole = found
    return start if whole and len(start) <= length else f"{start[:length]}… [cut, {len(text)} characters]"
