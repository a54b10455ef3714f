"""The README's tables, each made from what the code says of itself: `python -m tools.readme_tables` writes them anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from massgen_tracing import settings
from rehearsal import versions

README: Final = Path(__file__).resolve().parent.parent / "README.md"


def of_settings() -> str:
    """Every setting as a row of Markdown."""
    rows = ["| `configure()` | environment variable | default | what it does |", "| --- | --- | --- | --- |"]
    rows += [f"| `{setting.name}` | `{setting.variable}` | {_default(setting.default)} | {setting.doc} |" for setting in settings.SETTINGS]
    return "\n".join(rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {"settings": of_settings, "massgen": versions.table}
"""Each stands between `<!-- name -->` and `<!-- /name -->`."""


def in_place(text: str) -> str:
    """*text* with every table between its markers.

    Raises:
        ValueError: if markers are not there.
    """
    for name, table in TABLES.items():
        before, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not begin or not end:
            raise ValueError(f"<!-- {name} --> and <!-- /{name} --> must stand in the text, in this order.")
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def _default(value: object) -> str:
    return "not set" if value is None else f"`{value}`"


def main() -> int:
    """Write the README's tables anew."""
    README.write_text(in_place(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
