"""The documents' tables, each made from what the code says of itself: `python -m tools.readme_tables` writes them anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from massgen_tracing import settings
from massgen_tracing.insight.findings import KINDS
from massgen_tracing.thresholds import REASONS, VARIABLES, Thresholds
from rehearsal import versions

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"


def of_settings() -> str:
    """Every setting as a row of Markdown."""
    rows = ["| `configure()` | environment variable | default | what it does |", "| --- | --- | --- | --- |"]
    rows += [f"| `{setting.name}` | `{setting.variable}` | {_default(setting.default)} | {setting.doc} |" for setting in settings.SETTINGS]
    return "\n".join(rows)


def of_findings() -> str:
    """Every code of a finding."""
    rows = ["| code | severity | when | what can be done |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *(f"| `{code}` | {kind.severity} | {kind.when} | {kind.recommendation} |" for code, kind in KINDS.items())])


def of_thresholds() -> str:
    """Every threshold of the findings."""
    rows = ["| environment variable | default | why |", "| --- | --- | --- |"]
    return "\n".join([*rows, *(f"| `{VARIABLES[each.name]}` | {each.default:g} | {REASONS[each.name]} |" for each in fields(Thresholds))])


TABLES: Final[Mapping[str, Callable[[], str]]] = {"settings": of_settings, "massgen": versions.table}
"""Each stands between `<!-- name -->` and `<!-- /name -->`, in the README."""

DOCUMENTS: Final = {README: TABLES, ROOT / "docs" / "findings.md": {"findings": of_findings, "thresholds": of_thresholds}}
"""The documents that have tables."""


def in_place(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """*text* with every table between its markers.

    Raises:
        ValueError: if markers are not there.
    """
    for name, table in tables.items():
        before, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not begin or not end:
            raise ValueError(f"<!-- {name} --> and <!-- /{name} --> must stand in the text, in this order.")
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def _default(value: object) -> str:
    return "not set" if value is None else f"`{value}`"


def main() -> int:
    """Write the tables anew."""
    for path, tables in DOCUMENTS.items():
        path.write_text(in_place(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
