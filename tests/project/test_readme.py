"""What the documents say is what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from massgen_tracing import settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings_table() -> ModuleType:
    """`tools/settings_table.py`, which is no part of any package."""
    spec = importlib.util.spec_from_file_location("settings_table", ROOT / "tools" / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_documents_every_setting(settings_table: ModuleType) -> None:
    """The table between the markers is the one that the settings make; `python tools/settings_table.py` writes it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == settings_table.in_place(text)


def test_the_table_has_a_row_for_each_setting(settings_table: ModuleType) -> None:
    """Name, variable and description of each; the pipe that would break a row is in none of them."""
    _, _, *rows = settings_table.table().splitlines()
    assert len(rows) == len(settings.SETTINGS)
    for row, setting in zip(rows, settings.SETTINGS, strict=True):
        assert row.count("|") == 5
        assert f"`{setting.name}` | `{setting.variable}` |" in row
        assert setting.doc in row


def test_a_text_without_markers_is_refused(settings_table: ModuleType) -> None:
    """Rather than a README without its table."""
    for text in ("", settings_table.BEGIN, settings_table.END + settings_table.BEGIN):
        with pytest.raises(ValueError, match="must stand in the text"):
            settings_table.in_place(text)
