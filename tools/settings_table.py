"""The README's table of settings, made from `massgen_tracing.settings`: `python tools/settings_table.py` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from massgen_tracing import settings

BEGIN: Final = "<!-- settings -->"
END: Final = "<!-- /settings -->"
README: Final = Path(__file__).resolve().parent.parent / "README.md"


def table() -> str:
    """Every setting as a row of Markdown."""
    rows = ["| `configure()` | environment variable | default | what it does |", "| --- | --- | --- | --- |"]
    rows += [f"| `{setting.name}` | `{setting.variable}` | {_default(setting.default)} | {setting.doc} |" for setting in settings.SETTINGS]
    return "\n".join(rows)


def in_place(text: str) -> str:
    """*text* with the table between the markers.

    Raises:
        ValueError: if the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} must stand in the text, in this order.")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _default(value: object) -> str:
    return "not set" if value is None else f"`{value}`"


def main() -> int:
    """Write the README's table anew."""
    README.write_text(in_place(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
