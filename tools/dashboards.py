"""Makes `dashboards/logfire/*.json`, dashboards as Logfire imports them, of `dashboards/dashboards.yaml`: `python -m tools.dashboards`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).resolve().parents[1] / "dashboards"
COLUMNS: Final = 24
HEIGHT: Final = 8
RESOLUTION: Final = "resolution"
"""The variable that every dashboard of Logfire has; declaring it would fix all steps to one width."""

PROJECT: Final = "local"
"""The project's name in the file; Logfire puts its own in its place."""

_PLUGINS: Final = {"values": "Values", "table": "Table", "bars": "BarChart", "pie": "PieChart", "lines": "TimeSeriesChart"}
_VARIABLE: Final = re.compile(r"\$(\w+)")


def made() -> Iterator[tuple[Path, str]]:
    """Each file, and what stands in it."""
    source = _source()
    for name, described in source["dashboards"].items():
        yield FOLDER / "logfire" / f"{name}.json", json.dumps(dashboard(name, described, source["variables"]), indent=2, ensure_ascii=False) + "\n"


def dashboard(name: str, described: Mapping[str, Any], variables: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """One dashboard, as Perses writes it down and Logfire reads it."""
    panels: dict[str, Any] = {}
    return {
        "kind": "Dashboard",
        "metadata": {"name": name, "project": PROJECT},
        "spec": {
            "display": {"name": described["title"], "description": described["about"]},
            "variables": [
                {"kind": "TextVariable", "spec": {"name": each, "display": {"name": variables[each]["title"]}, "value": variables[each]["value"]}}
                for each in described.get("variables", ())
            ],
            "panels": panels,  # which the groups fill
            "layouts": [_group(group, panels) for group in described["groups"]],
            "duration": "24h",
            "refreshInterval": "0s",
            "datasources": {},
        },
    }


def _group(described: Mapping[str, Any], panels: dict[str, Any]) -> dict[str, Any]:
    """A group of panels that can be folded up; its panels are put among the dashboard's."""
    items, top = [], 0
    for row in described["rows"]:
        height, left = row.get("height", HEIGHT), 0
        given = sum(each.get("width", 0) for each in row["panels"])
        shared = (COLUMNS - given) // max(1, sum("width" not in each for each in row["panels"]))
        for each in row["panels"]:
            key, width = _key(f"{described['title']} {each['title']}"), each.get("width", shared)
            panels[key] = _panel(each)
            items.append({"x": left, "y": top, "width": width, "height": height, "content": {"$ref": f"#/spec/panels/{key}"}})
            left += width
        top += height
    return {"kind": "Grid", "spec": {"display": {"title": described["title"], "collapse": {"open": True}}, "items": items}}


def _key(title: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"\w+", title))


def _panel(described: Mapping[str, Any]) -> dict[str, Any]:
    query: dict[str, Any] = {"query": statement(described["query"])}
    spec: dict[str, Any] = {}
    kind = "NonTimeSeriesQuery"
    if described["as"] == "lines":
        kind = "TimeSeriesQuery"
        query |= {"groupBy": described.get("by", ""), "metrics": described["of"]}
        spec = {"legend": {"position": "bottom"}, "visual": {"connectNulls": False}}
    return {
        "kind": "Panel",
        "spec": {
            "display": {"name": described["title"], "description": about(described["query"])},
            "plugin": {"kind": _PLUGINS[described["as"]], "spec": spec},
            "queries": [{"kind": kind, "spec": {"plugin": {"kind": f"Logfire{kind}", "spec": query}}}],
        },
    }


def statement(name: str) -> str:
    """A query of `dashboards/sql`, without its header and its semicolon."""
    return _written(name).partition("\n")[2].strip().rstrip(";")


def about(name: str) -> str:
    """What a query answers: its header."""
    return _written(name).partition("\n")[0].removeprefix("-- ")


def variables_of(sql: str) -> list[str]:
    """The variables that a statement has."""
    return list(dict.fromkeys(_VARIABLE.findall(sql)))


def values_for(sql: str) -> dict[str, str]:
    """A value for each variable of a statement: what a dashboard begins with, and steps of a minute."""
    values = {name: described["value"] for name, described in _source()["variables"].items()} | {RESOLUTION: "1 minute"}
    return {name: values[name] for name in variables_of(sql)}


def _source() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "dashboards.yaml").read_text(encoding="utf-8"))
    return loaded


def _written(name: str) -> str:
    return (FOLDER / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def main() -> int:
    """Write the files; those that no dashboard stands for any more go."""
    files = dict(made())
    for path in set((FOLDER / "logfire").glob("*.json")) - set(files):
        path.unlink()
    for path, content in files.items():
        path.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
