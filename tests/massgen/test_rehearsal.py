"""What is said about MassGen's versions, and what finds and makes their environments; needs no MassGen."""

from __future__ import annotations

from pathlib import Path

import pytest

from massgen_tracing import instrumentation
from rehearsal import environments, versions

HERE = Path(__file__).resolve().parent


def test_a_test_stands_for_every_part_of_the_table() -> None:
    """No column of which nothing is tried; what a version lacks is one of the columns."""
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    assert [part for part in versions.PARTS if f'@pytest.mark.part("{part}")' not in tests] == []
    assert {part for tried in versions.VERSIONS for part in tried.lacks} <= set(versions.PARTS)


def test_the_instrumentor_and_the_table_name_the_same_versions() -> None:
    """The newest and the oldest known version are the table's."""
    assert (versions.VERSIONS[0].version, versions.VERSIONS[-1].version) == (instrumentation.NEWEST, instrumentation.OLDEST)


@pytest.fixture
def place(tmp_path: Path):
    """Makes something that looks like an environment."""

    def make(name: str, version: str | None) -> Path:
        path = tmp_path / name
        (path / "bin").mkdir(parents=True)
        if version:
            (path / "bin" / "massgen").touch()
            info = path / "lib" / "python3.11" / "site-packages" / f"massgen-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: massgen\nVersion: {version}\n\nVersion: 9\n", encoding="utf-8")
        return path

    return make


def test_environments_are_found_newest_first(place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are ordered as numbers; what has no MassGen is passed over; the variable names others."""
    paths = [place("one", "0.1.9"), place("two", "0.1.97"), place("none", None), place("three", "0.1.32")]
    monkeypatch.setenv(environments.VARIABLE, ":".join(map(str, paths)))
    environments.found.cache_clear()
    found = environments.found()
    environments.found.cache_clear()
    assert [one.version for one in found] == ["0.1.97", "0.1.32", "0.1.9"]
    assert {one.borrowed for one in found} == {True}
    assert found[0].python == paths[1] / "bin" / "python"
