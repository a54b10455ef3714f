"""The dashboards put to Perses' own linter, with schemas of what Logfire has."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.backends.binaries import NO_PERCLI, PERCLI, last_words, settled
from tools.dashboards import FOLDER

pytestmark = pytest.mark.binaries

Panel = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """Where it is missing, it may be built just now."""
    if not PERCLI.path.exists():
        with settled():
            if not PERCLI.path.exists():
                pytest.skip(f"{NO_PERCLI}{last_words()}")


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of them: the linter writes a list beside what it reads."""
    return Path(shutil.copytree(FOLDER / "perses", tmp_path_factory.mktemp("percli") / "perses"))


def lint(schemas: Path, *what: str) -> tuple[int, str]:
    done = subprocess.run([str(PERCLI.path), "lint", *what, "--plugin.path", str(schemas)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_dashboards_are_what_perses_takes(schemas: Path) -> None:
    """All of them, with each panel's plugin and query as its schema has it; and each schema is loaded."""
    assert lint(schemas, "-d", str(FOLDER / "logfire")) == (0, "your resources look good\n")
    [module] = json.loads((schemas / "plugin-modules.json").read_text())
    assert module["status"]["isLoaded"]


def _inner(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = panel["queries"][0]["spec"]["plugin"]
    return found


WRONG: dict[str, tuple[str, Callable[[Panel], object], str]] = {
    "an unknown plugin": ("Table", lambda p: p["plugin"].update(kind="StatChart"), "schema not found for plugin StatChart"),
    "an unknown query": ("Table", lambda p: _inner(p).update(kind="PrometheusQuery"), "schema not found for plugin PrometheusQuery"),
    "an unknown field of a panel": ("Values", lambda p: p["plugin"]["spec"].update(colour="red"), "spec.colour: field not allowed"),
    "an unknown field of a query": ("Table", lambda p: _inner(p)["spec"].update(groupBy="x"), "spec.groupBy: field not allowed"),
    "a field of the wrong type": ("TimeSeriesChart", lambda p: p["plugin"]["spec"]["visual"].update(connectNulls="no"), "spec.visual.connectNulls"),
    "a column that is a number": ("TimeSeriesChart", lambda p: _inner(p)["spec"].update(groupBy=3), "spec.groupBy: conflicting values 3 and string"),
    "nothing to draw": ("TimeSeriesChart", lambda p: _inner(p)["spec"].update(metrics=[]), "spec.metrics"),
    "no metrics": ("TimeSeriesChart", lambda p: _inner(p)["spec"].pop("metrics"), "spec.metrics"),
    "no steps of time": ("TimeSeriesChart", lambda p: _inner(p)["spec"].update(query="SELECT 1"), "time_bucket($resolution"),
    "no SELECT": ("Table", lambda p: _inner(p)["spec"].update(query="DROP TABLE records"), "spec.query"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_logfire_would_show_blank_is_refused(wrong: str, schemas: Path, tmp_path: Path) -> None:
    """Each by the schema that it does not fit."""
    plugin, change, says = WRONG[wrong]
    dashboard = json.loads((FOLDER / "logfire" / "cost-and-tokens.json").read_text())
    change(next(panel["spec"] for panel in dashboard["spec"]["panels"].values() if panel["spec"]["plugin"]["kind"] == plugin))
    path = tmp_path / "dashboard.json"
    path.write_text(json.dumps(dashboard))
    code, said = lint(schemas, "-f", str(path))
    assert code == 1
    assert says in said
