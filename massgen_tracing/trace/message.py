"""The message of a point record: its template, filled from its attributes as they are recorded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from string import Formatter
from typing import Any, Final

from massgen_tracing import guard
from massgen_tracing.trace.payload import clean
from massgen_tracing.trace.scrub import MARK, is_secret_key

_NAMES: Final = re.compile(r"[^.\[\]]+")
_TOO_WIDE: Final = re.compile(r"\d{4}")
"""In a format specification: a width that would make a text of any length."""


def fill(template: str, attributes: Mapping[str, Any]) -> str:
    """*template* with each `{name}` filled from *attributes*; as it is where it does not fit them.

    A value under a name of a secret is the mark, also within another value (`{config[password]}`); texts and structures are scrubbed and bounded as
    attributes are. What is left between them, such as the text of an f-string, is for whoever records the message to clean.
    """
    if "{" not in template and "}" not in template:
        return template
    try:
        return _FILLER.vformat(template, (), attributes)
    except Exception as error:  # noqa: BLE001 - a stranger's __format__ may raise anything
        guard.passing(error)
        return template


class _Filler(Formatter):
    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        value, used = super().get_field(field_name, args, kwargs)
        names = _NAMES.findall(field_name)
        if value is not None and not isinstance(value, bool) and any(map(is_secret_key, names)):
            return MARK, used
        if isinstance(value, Mapping | Collection) or dataclasses.is_dataclass(value) or hasattr(value, "model_dump"):
            value = clean(names[-1], value)
        return value, used

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is MARK:
            return str(value)
        if _TOO_WIDE.search(format_spec):
            raise ValueError(format_spec)
        return str(super().format_field(value, format_spec))


_FILLER: Final = _Filler()
