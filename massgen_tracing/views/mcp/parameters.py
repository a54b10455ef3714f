"""What a tool takes: declared once, for its schema, for checking what is given, and for what is said where that is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from massgen_tracing.errors import QueryError, one_of

_KINDS: Final = {"text": "string", "number": "integer", "moment": "string"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument.

    Attributes:
        name: its name.
        kind: what it is: a text, a whole number from *least* on, or a moment (ISO 8601; UTC where it has no zone).
        what: what it is for.
        required: whether it has to be given.
        default: what holds where it is not given.
        least, most: of a number.
        among: of a text, what it may be; empty for anything.
    """

    name: str
    kind: Literal["text", "number", "moment"]
    what: str
    required: bool = False
    default: Any = None
    least: int = 0
    most: int | None = None
    among: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """What clients are told."""
        told: dict[str, Any] = {"type": _KINDS[self.kind], "description": self.what}
        if self.kind == "number":
            told["minimum"] = self.least
            if self.most is not None:
                told["maximum"] = self.most
        if self.kind == "moment":
            told["format"] = "date-time"
        if self.among:
            told["enum"] = list(self.among)
        if self.default is not None:
            told["default"] = self.default
        return told

    def read(self, given: Any) -> Any:
        """What was given, as what it is.

        Raises:
            QueryError: if it is something else.
        """
        if self.kind == "number":
            return self._number(given)
        if not isinstance(given, str):
            raise self._wrong("a text", given)
        if self.among and given not in self.among:
            raise self._wrong(one_of(self.among), given)
        return self._moment(given) if self.kind == "moment" else given

    def _number(self, given: Any) -> int:
        expected = f"a whole number from {self.least}" + ("" if self.most is None else f" to {self.most:,}")
        # Models write numbers as texts, and whole ones as 5.0.
        if isinstance(given, str) and given.strip().lstrip("-").isdecimal():
            given = int(given)
        if isinstance(given, float) and given.is_integer():
            given = int(given)
        if not isinstance(given, int) or isinstance(given, bool) or given < self.least or (self.most is not None and given > self.most):
            raise self._wrong(expected, given)
        return given

    def _moment(self, given: str) -> datetime:
        try:
            moment = datetime.fromisoformat(given.strip())
        except ValueError:
            raise self._wrong("an ISO 8601 time such as 2026-11-29T12:00:00Z", given) from None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment

    def _wrong(self, expected: str, got: Any) -> QueryError:
        return QueryError(f"{self.name} cannot be right", expected=expected, got=got, hint=f"What it is for: {self.what}")


def schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The schema of a tool's arguments."""
    return {
        "type": "object",
        "properties": {each.name: each.schema() for each in parameters},
        "required": [each.name for each in parameters if each.required],
        "additionalProperties": False,
    }


def read(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each parameter.

    Raises:
        QueryError: if one that is needed is missing, or one is wrong, or there is no such one.
    """
    names = [each.name for each in parameters]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise QueryError(
                "There is no such argument",
                expected=one_of(names) if names else "no argument",
                got=name,
                hint=f"Did you mean {near[0]}?" if near else None,
            )
    # Models give null, or an empty text, for what they leave out.
    known = {name: value for name, value in given.items() if value is not None and value != ""}
    missing = [each for each in parameters if each.required and each.name not in known]
    if missing:
        raise QueryError(f"{missing[0].name} is missing", expected=f"a {missing[0].kind}: {missing[0].what}")
    return {each.name: each.read(known[each.name]) if each.name in known else each.default for each in parameters}
