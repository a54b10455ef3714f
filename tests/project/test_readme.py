"""What the documents say is what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from massgen_tracing import settings
from tools import readme_tables

ROOT = Path(__file__).resolve().parents[2]


def test_the_documents_have_the_tables_that_the_code_makes() -> None:
    """Those of settings, versions of MassGen, findings and thresholds, between their markers; `python -m tools.readme_tables` writes them."""
    for path, tables in readme_tables.DOCUMENTS.items():
        text = path.read_text(encoding="utf-8")
        assert text == readme_tables.in_place(text, tables)


def test_the_table_has_a_row_for_each_setting() -> None:
    """Name, variable and description of each; the pipe that would break a row is in none of them."""
    _, _, *rows = readme_tables.of_settings().splitlines()
    assert len(rows) == len(settings.SETTINGS)
    for row, setting in zip(rows, settings.SETTINGS, strict=True):
        assert row.count("|") == 5
        assert f"`{setting.name}` | `{setting.variable}` |" in row
        assert setting.doc in row


def test_a_text_without_markers_is_refused() -> None:
    """Rather than a README without its table."""
    for text in ("", "<!-- settings -->", "<!-- /settings --><!-- settings -->"):
        with pytest.raises(ValueError, match="must stand in the text"):
            readme_tables.in_place(text)
