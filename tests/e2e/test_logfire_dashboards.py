"""The dashboards for Logfire, checked without Logfire: what it would show blank without a word is an error here, and every panel's query answers."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing import store
from tests.insight.planted import FAULTS, Play, record
from tools.dashboards import COLUMNS, FOLDER, RESOLUTION, made, variables_of

FILES = sorted((FOLDER / "logfire").glob("*.json"))
SERIES = {"TimeSeriesChart"}
OTHERS = {"Table", "BarChart", "PieChart", "Values"}
"""The plugins that Logfire has, by the kind of query that they draw."""


def problems(dashboard: dict[str, Any]) -> Iterator[str]:
    """What Logfire, or Perses behind it, would refuse or leave blank."""
    if dashboard.get("kind") != "Dashboard":
        yield "kind"
    name = dashboard.get("metadata", {}).get("name", "")
    if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,75}", name) or not dashboard["metadata"].get("project"):
        yield "metadata"
    if set(dashboard) != {"kind", "metadata", "spec"} or set(dashboard["metadata"]) != {"name", "project"}:
        yield "keys that the server makes, or that nobody knows"
    spec = dashboard["spec"]
    if set(spec) != {"display", "variables", "panels", "layouts", "duration", "refreshInterval", "datasources"}:
        yield "keys of the spec"
    if not spec["display"].get("name") or not re.fullmatch(r"\d+[smhdw]", spec["duration"]):
        yield "display or duration"
    declared = [each["spec"]["name"] for each in spec["variables"]]
    yield from _variables(spec["variables"], declared)
    used: set[str] = set()
    for key, panel in spec["panels"].items():
        if not re.fullmatch(r"\w+", key, re.ASCII):
            yield f"the key {key}"
        yield from (f"{key}: {problem}" for problem in _panel(panel))
        used |= set(variables_of(_query(panel)))
    yield from (f"${name} is not declared" for name in used - {*declared, RESOLUTION})
    yield from (f"${name} is declared and not used" for name in set(declared) - used)
    yield from _layouts(spec["layouts"], set(spec["panels"]))


def _variables(variables: list[dict[str, Any]], declared: list[str]) -> Iterator[str]:
    if RESOLUTION in declared or len(set(declared)) < len(declared):
        yield "a variable that is there already"
    for each in variables:
        fine = each["kind"] == "TextVariable" and re.fullmatch(r"[a-zA-Z_]\w*", each["spec"]["name"]) and each["spec"].get("value")
        if not fine or not each["spec"].get("display", {}).get("name"):
            yield f"the variable {each['spec'].get('name')}"


def _query(panel: dict[str, Any]) -> str:
    return str(panel["spec"]["queries"][0]["spec"]["plugin"]["spec"]["query"]) if panel["spec"]["queries"] else ""


def _panel(panel: dict[str, Any]) -> Iterator[str]:
    plugin = panel["spec"].get("plugin", {}).get("kind")
    if panel["kind"] != "Panel" or not panel["spec"].get("display", {}).get("name"):
        yield "kind or display"
    if plugin not in SERIES | OTHERS:
        yield f"unknown plugin {plugin}"
    if len(panel["spec"]["queries"]) != 1:
        yield "not one query"
        return
    [query] = panel["spec"]["queries"]
    kind = "TimeSeriesQuery" if plugin in SERIES else "NonTimeSeriesQuery"
    inner = query["spec"]["plugin"]
    if query["kind"] != kind or inner["kind"] != f"Logfire{kind}":
        yield f"{query['kind']} with {inner['kind']} for {plugin}"
    if set(inner["spec"]) != ({"query", "groupBy", "metrics"} if plugin in SERIES else {"query"}):
        yield "keys of the query"
    sql = inner["spec"]["query"]
    if plugin in SERIES and (f"time_bucket(${RESOLUTION}, start_timestamp)" not in sql or not inner["spec"].get("metrics")):
        yield "no steps of time, or nothing to draw"
    if re.search(r"'\$\w+'|\[TRACE_ID\]|;", sql):
        yield "a quoted variable, a trace, or a semicolon"


def _layouts(layouts: list[dict[str, Any]], panels: set[str]) -> Iterator[str]:
    shown: list[str] = []
    for layout in layouts:
        taken: set[tuple[int, int]] = set()
        if layout["kind"] != "Grid" or not layout["spec"]["display"].get("title"):
            yield "layout"
        for item in layout["spec"]["items"]:
            shown.append(item["content"]["$ref"].removeprefix("#/spec/panels/"))
            place = {(x, y) for x in range(item["x"], item["x"] + item["width"]) for y in range(item["y"], item["y"] + item["height"])}
            if not place or item["x"] < 0 or item["y"] < 0 or item["x"] + item["width"] > COLUMNS:
                yield f"{shown[-1]} lies outside"
            if taken & place:
                yield f"{shown[-1]} overlaps"
            taken |= place
    if sorted(shown) != sorted(panels):
        yield "panels that are not shown once"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    """Known plugins with their kind of query, variables that are declared, panels that lie beside each other."""
    assert list(problems(json.loads(path.read_text()))) == []


def test_they_are_made_of_their_source() -> None:
    """`python -m tools.dashboards` would change nothing; the five are there."""
    assert {path: path.read_text() for path in FILES} == dict(made())
    assert [path.stem for path in FILES] == ["cost-and-tokens", "errors-and-reliability", "latency-and-tools", "runs-overview", "votes-and-restarts"]


def _first(dashboard: dict[str, Any], plugin: str) -> dict[str, Any]:
    panels: list[dict[str, Any]] = [panel["spec"] for panel in dashboard["spec"]["panels"].values()]
    return next(panel for panel in panels if panel["plugin"]["kind"] == plugin)


def _inner(panel: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = panel["queries"][0]["spec"]["plugin"]["spec"]
    return found


MUTATIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another plugin": lambda d: _first(d, "Table")["plugin"].update(kind="StatChart"),
    "a table of a series": lambda d: _first(d, "Table")["queries"][0].update(kind="TimeSeriesQuery"),
    "the wrong inner kind": lambda d: _first(d, "Table")["queries"][0]["spec"]["plugin"].update(kind="LogfireTimeSeriesQuery"),
    "no query": lambda d: _first(d, "Table").update(queries=[]),
    "no metrics": lambda d: _inner(_first(d, "TimeSeriesChart")).update(metrics=[]),
    "no groups": lambda d: _inner(_first(d, "TimeSeriesChart")).pop("groupBy"),
    "no steps": lambda d: _inner(_first(d, "TimeSeriesChart")).update(query="SELECT 1"),
    "an undefined variable": lambda d: _inner(_first(d, "Table")).update(query="SELECT $nobody"),
    "a quoted variable": lambda d: _inner(_first(d, "Table")).update(query="SELECT '$agent'"),
    "the variable that is there": lambda d: d["spec"]["variables"].append(
        {"kind": "TextVariable", "spec": {"name": "resolution", "display": {"name": "x"}, "value": "1m"}}
    ),
    "an unused variable": lambda d: d["spec"]["variables"].append(
        {"kind": "TextVariable", "spec": {"name": "idle", "display": {"name": "x"}, "value": "1"}}
    ),
    "a variable without a value": lambda d: d["spec"]["variables"][0]["spec"].pop("value"),
    "overlapping panels": lambda d: d["spec"]["layouts"][1]["spec"]["items"][1].update(x=1),
    "a panel outside": lambda d: d["spec"]["layouts"][0]["spec"]["items"][0].update(width=30),
    "a panel nowhere": lambda d: d["spec"]["layouts"].pop(),
    "a reference to nothing": lambda d: d["spec"]["layouts"][0]["spec"]["items"][0]["content"].update({"$ref": "#/spec/panels/Nothing"}),
    "a key with a space": lambda d: d["spec"]["panels"].update({"a b": {"kind": "Panel", "spec": copy.deepcopy(_first(d, "Table"))}}),
    "a name with a space": lambda d: d["metadata"].update(name="a b"),
    "what the server makes": lambda d: d["metadata"].update(createdAt="2027-01-01T00:00:00Z"),
    "links": lambda d: d["spec"].update(links=[]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_checks_find_what_they_are_for(mutation: str) -> None:
    """Each fault that would show a blank panel, put into a dashboard that is whole."""
    dashboard = json.loads((FOLDER / "logfire" / "runs-overview.json").read_text())
    MUTATIONS[mutation](dashboard)
    assert list(problems(dashboard)) != []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all faults."""
    place = tmp_path_factory.mktemp("panels")
    play = Play()
    for code, fault in FAULTS.items():
        if code != "incomplete_coordination":
            fault.plant(play)
    record(place, "log_20270115_080000_000000", play)
    return place


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_has_an_answer_with_what_it_draws(path: Path, root: Path) -> None:
    """With the variables that its dashboard declares; a series has a column of times, what tells lines apart, and its metrics, which are numbers."""
    dashboard = json.loads(path.read_text())
    values = {each["spec"]["name"]: each["spec"]["value"] for each in dashboard["spec"]["variables"]} | {RESOLUTION: "1 minute"}
    for key, panel in dashboard["spec"]["panels"].items():
        query = panel["spec"]["queries"][0]["spec"]["plugin"]["spec"]
        found = store.query(query["query"], root, params={name: values[name] for name in variables_of(query["query"])})
        plugin = panel["spec"]["plugin"]["kind"]
        assert found.rows or key.endswith(("WhatHasNotEnded", "AnswersThatWereReplaced")), key
        if plugin == "Values":
            assert len(found.rows) == 1
        if plugin == "TimeSeriesChart":
            assert set(found.columns) >= {"x", *filter(None, [query["groupBy"]]), *query["metrics"]}
            assert all(row["x"].second == 0 for row in found.rows)
            drawn = [row[metric] for row in found.rows for metric in query["metrics"] if row[metric] is not None]
            assert drawn
            assert all(isinstance(value, int | float) for value in drawn)
