"""The same tools on hosted Logfire: its own client asks a server that answers as its API does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from massgen_tracing.errors import ConfigError
from massgen_tracing.views.mcp import hosted
from tests.views.mcp.conftest import FAULTY, PLAIN, Asked
from tests.views.mcp.logfire_api import RATE, TOKEN, Logfire, serving


@pytest.fixture(scope="module")
def logfire(root: Path) -> Iterator[Logfire]:
    """A Logfire that has the runs."""
    with serving(root) as server:
        yield server


@pytest.fixture
def there(logfire: Logfire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """The tools on it."""
    monkeypatch.setenv("LOGFIRE_READ_TOKEN", TOKEN)
    monkeypatch.setenv("LOGFIRE_BASE_URL", logfire.url)
    backend = hosted.connected()
    with backend.client:
        yield Asked(backend)


@pytest.mark.parametrize("name", ["run_summary", "run_tree", "run_errors", "run_critical_path", "run_waste", "run_findings"])
def test_a_run_is_the_same_there(there: Asked, ask: Asked, name: str) -> None:
    """What is computed of a run that Logfire has is what is computed of its recording."""
    trace_id = ask.recorded("run_summary", run=FAULTY)["trace_id"]
    here, elsewhere = (each.recorded(name, run=trace_id) for each in (ask, there))
    # Which name it was recorded under Logfire does not tell.
    assert {**elsewhere, "run": here["run"]} == here
    assert elsewhere["run"] == f"trace {trace_id}"


def test_one_span(there: Asked, ask: Asked) -> None:
    """A span has everything there that it has here, but for what the table does not have."""
    trace_id = ask.recorded("run_summary", run=FAULTY)["trace_id"]
    span_id = ask.recorded("run_errors", run=FAULTY)["failed"][0]["span_id"]
    here, elsewhere = (each.recorded("run_span", run=trace_id, span_id=span_id)["span"] for each in (ask, there))
    assert elsewhere["attributes"] == {**here["attributes"], "logfire.msg": here["message"]}
    assert {name: elsewhere[name] for name in ("name", "start", "end", "status", "events")} == {
        name: here[name] for name in ("name", "start", "end", "status", "events")
    }


def test_runs_and_comparison(there: Asked) -> None:
    """Runs are listed by their roots, page by page, each once although its start is a row too."""
    first = there("run_list", limit=1)
    [newest] = first["recorded"]["runs"]
    assert first["left_out"][0]["ask"] == "run_list with offset=1"
    [oldest] = there.recorded("run_list", limit=5, offset=1)["runs"]
    assert newest["started"] > oldest["started"]
    assert (newest["state"], newest["winner"], oldest["errors"]) == ("ended", "a", 0)
    assert newest["errors"] > 0
    measures = there.recorded("run_compare", first=oldest["trace_id"], second=newest["trace_id"])["measures"]
    assert next(each for each in measures if each["name"] == "errors")["first"] == 0


def test_logfires_tools(there: Asked, logfire: Logfire) -> None:
    """SQL, schema, exceptions and link are those of the server; the window is the one that was asked for, or the last half hour."""
    assert there("query_run", query="SELECT COUNT(*) AS many FROM records")["result"][0]["many"] > 0
    assert "limit" not in logfire.asked[-1]
    there("arbitrary_query", query="SELECT 1 AS one", age=5, max_timestamp="2030-01-01T00:00:00Z", limit=7)
    assert (logfire.asked[-1]["limit"], logfire.asked[-1]["max_timestamp"]) == (7, "2030-01-01T00:00:00+00:00")
    assert there("schema_reference")["result"] == "CREATE TABLE records (\n    kind TEXT NOT NULL -- what it is,\n    attributes TEXT\n);"
    assert there("find_exceptions_in_file", filepath="o'brien.py", age=5)["result"] == []
    link = there("logfire_link", trace_id="0af7651916cd43dd8448eb211c80319c")["result"]
    assert link == f"{logfire.url}/org/proj?q=trace_id%3D%270af7651916cd43dd8448eb211c80319c%27"


def test_what_logfire_refuses(there: Asked, logfire: Logfire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong statement, too many requests, a wrong token, an unknown run, and no answer at all: each says what to do."""
    assert "Logfire refuses the statement" in there.refused("query_run", query="SELECT nothing FROM records")
    assert "Wait 7 s and ask again" in there.refused("query_run", query=f"SELECT '{RATE}'")
    assert "run_list has those that there are" in there.refused("run_summary", run="log_20200101_000000_000000")
    assert "Name one of" in there.refused("run_summary", run="000000")
    assert "There is no such span" in there.refused("run_span", span_id="' OR 1=1 --")
    monkeypatch.setenv("LOGFIRE_READ_TOKEN", "pylf_v1_local_other")
    with (other := hosted.connected()).client:
        assert "has to be a read token" in Asked(other).refused("run_list")
    monkeypatch.setenv("LOGFIRE_BASE_URL", "http://127.0.0.1:1")
    with (gone := hosted.connected()).client:
        assert "Logfire does not answer (ConnectError" in Asked(gone).refused("schema_reference")
    assert all(json.dumps(each) for each in logfire.asked)


def test_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said before anything is served, and where to get one."""
    monkeypatch.delenv("LOGFIRE_READ_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"LOGFIRE_READ_TOKEN is not set.*Read tokens of the project"):
        hosted.connected()


def test_names_of_runs(there: Asked) -> None:
    """A run is found by the name under which it was recorded, where its session says it; these do not."""
    assert "Logfire has no such run" in there.refused("run_summary", run=PLAIN)
