"""What a query may be given, and what holds where it is not."""

from __future__ import annotations

from typing import Final

Value = str | int | float | bool | list[str] | list[int] | list[float] | None
"""What a parameter of a statement can be."""

DEFAULT_LIMIT: Final = 10_000
"""Rows of an answer, unless another number is asked for; Logfire's most."""

DEFAULT_MAX_BYTES: Final = 2**28
"""Bytes of an answer, unless another number is asked for."""

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds."""
