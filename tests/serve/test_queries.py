"""Logfire's query API: its own clients are answered as Logfire answers them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pandas as pd  # type: ignore[import-untyped]  # it has no types of its own
import polars as pl
import pytest
from logfire import db_api
from logfire.query_client import AsyncLogfireQueryClient, LogfireQueryClient, QueryExecutionError, QueryRequestError

from massgen_tracing import store
from tests.serve.client import BEGINNING, Client, spans, trace_id
from tests.store import otlp

TIME = datetime(2027, 1, 15, 8, tzinfo=UTC)
SERVICE = "queries"


@pytest.fixture(scope="session")
def asked(server: Client) -> str:
    """A trace of five spans, and its id."""
    trace = trace_id()
    made = [otlp.span(number, f"s{number}", trace=trace, start_ms=number, attributes={"n": number, "plan": {"a": [1]}}) for number in range(1, 6)]
    server.send(spans(*made, resource={"service.name": SERVICE, "deployment.environment.name": "prod"}))
    server.send(spans(otlp.span(9, "nowhere", trace=trace), resource={"service.name": SERVICE}))
    return trace


@pytest.fixture
def client(server: Client) -> Iterator[LogfireQueryClient]:
    with LogfireQueryClient("any", base_url=server.url) as made:
        yield made


def test_rows_come_with_their_types(client: LogfireQueryClient, asked: str) -> None:
    """Names as Arrow's Rust library has them; JSON columns are objects; times are texts of ISO 8601."""
    sql = f"SELECT start_timestamp, span_name, attributes, tags, (attributes->>'n')::int AS n FROM records WHERE trace_id = '{asked}' ORDER BY 1, 2"
    found = client.query_json_rows(sql, min_timestamp=BEGINNING, limit=3)
    assert [(column["name"], column["datatype"]) for column in found["columns"]] == [
        ("start_timestamp", {"Timestamp": ["Microsecond", "UTC"]}),
        ("span_name", "Utf8"),
        ("attributes", "Utf8"),
        ("tags", {"List": {"name": "item", "datatype": "Utf8", "nullable": True}}),
        ("n", "Int32"),
    ]
    assert [row["span_name"] for row in found["rows"]] == ["nowhere", "s1", "s2"]
    expected = {"start_timestamp": "2027-01-15T08:00:00.001000Z", "span_name": "s1", "attributes": {"n": 1, "plan": {"a": [1]}}, "tags": None, "n": 1}
    assert found["rows"][1] == expected


def test_arrow_and_csv(client: LogfireQueryClient, asked: str) -> None:
    """The same rows in the other forms."""
    sql = f"SELECT span_name, duration FROM records WHERE trace_id = '{asked}' AND span_name <> 'nowhere' ORDER BY 1"
    assert client.query_arrow(sql, min_timestamp=BEGINNING)["span_name"].to_pylist() == [f"s{number}" for number in range(1, 6)]
    assert pl.read_csv(io.StringIO(client.query_csv(sql, min_timestamp=BEGINNING))).shape == (5, 2)


async def test_the_async_twin(server: Client, asked: str) -> None:
    """Asks the same, and who it is."""
    async with AsyncLogfireQueryClient("any", base_url=server.url) as client:
        found = await client.query_json_rows(f"SELECT count(*) AS c FROM records WHERE trace_id = '{asked}'", min_timestamp=BEGINNING)
        assert found["rows"] == [{"c": 6}]
        assert await client.info() == {"organization_name": "local", "project_name": "massgen"}


def test_a_window_and_a_limit(client: LogfireQueryClient, asked: str) -> None:
    """Only what started in it; a hundred rows unless it is said."""
    sql = f"SELECT span_name FROM records WHERE trace_id = '{asked}' ORDER BY 1"
    from_, to = TIME + timedelta(milliseconds=2), TIME + timedelta(milliseconds=4)
    rows = client.query_json_rows(sql, min_timestamp=from_.replace(tzinfo=None), max_timestamp=to)["rows"]
    assert [row["span_name"] for row in rows] == ["s2", "s3", "s4"]
    many = "SELECT value FROM generate_series(1, 200)"
    assert len(client.query_json_rows(many, min_timestamp=BEGINNING)["rows"]) == 100
    assert len(client.query_json_rows(many, min_timestamp=BEGINNING, limit=150)["rows"]) == 150


@pytest.mark.parametrize(("environment", "count"), [("prod", 5), (["prod", ""], 6), ("", 1), ("other", 0)])
def test_environments(client: LogfireQueryClient, asked: str, environment: str | list[str], count: int) -> None:
    """Rows of those only; an empty text stands for rows without one."""
    sql = f"SELECT span_name FROM records WHERE trace_id = '{asked}' LIMIT 50"
    assert len(client.query_json_rows(sql, min_timestamp=BEGINNING, environment=environment)["rows"]) == count


def test_a_statement_that_fails(client: LogfireQueryClient) -> None:
    """The error that Logfire's client knows, with our words, and what kind of problem it is."""
    with pytest.raises(QueryExecutionError) as raised:
        client.query_json_rows("SELECT spam FROM records", min_timestamp=BEGINNING)
    assert "spam" in raised.value.args[0]["detail"]
    assert (raised.value.retryable, raised.value.problem and raised.value.problem["status"]) == (False, 400)
    with pytest.raises(QueryExecutionError, match="only"):
        client.query_json_rows("DELETE FROM records", min_timestamp=BEGINNING)


def test_a_request_that_is_wrong(client: LogfireQueryClient, server: Client) -> None:
    """All that is wrong with it, and where."""
    with pytest.raises(QueryRequestError) as raised:
        client.query_json_rows("SELECT 1", min_timestamp=BEGINNING, limit=10_001)
    assert raised.value.args[0]["detail"][0]["loc"] == ["body", "limit"]
    body = {"limit": "many", "min_timestamp": "soon", "timezone": ["UTC"], "explain": "maybe", "deployment_environment": "x"}
    answer = server.http.post("/v2/query", json=body)
    assert answer.status_code == 422
    said = {each["loc"][1] for each in answer.json()["detail"]}
    assert said == {"sql", "limit", "min_timestamp", "timezone", "explain", "deployment_environment"}
    for zone in ("Mars/Olympus", "+0530", "+25:00", "Factory"):
        nowhere = server.http.post("/v2/query", json={"sql": "SELECT 1", "min_timestamp": BEGINNING.isoformat(), "timezone": zone})
        assert (nowhere.status_code, nowhere.json()["detail"][0]["loc"]) == (422, ["body", "timezone"])
        assert "an offset ±HH:MM" in nowhere.json()["detail"][0]["msg"]
    assert server.http.post("/v2/query", json={"sql": "SELECT 1"}).json()["detail"][0]["loc"] == ["body", "min_timestamp"]
    assert server.http.post("/v2/query", content=b"[").status_code == 422
    assert server.http.post("/v2/query", content=b" " * (2**20 + 1)).status_code == 422
    assert server.http.post("/v2/query", json={"sql": "SELECT 1"}, headers={"accept": "image/png"}).status_code == 422


def test_json_lines(server: Client) -> None:
    """A schema, rows, and an end that counts them."""
    body = {"sql": "SELECT value FROM generate_series(1, 600)", "min_timestamp": BEGINNING.isoformat(), "limit": 1000}
    answer = server.http.post("/v2/query", json=body, headers={"accept": "application/x-ndjson"})
    messages = [json.loads(line) for line in answer.text.splitlines()]
    assert [message["type"] for message in messages] == ["schema", "data", "data", "end"]
    assert messages[0]["schema"]["fields"] == [{"name": "value", "data_type": "Int64", "nullable": False}]
    assert sum(len(message.get("rows", ())) for message in messages) == messages[-1]["row_count"] == 600


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "+09:00"])
def test_a_time_zone(client: LogfireQueryClient, asked: str, zone: str) -> None:
    """Times, their days, hours and texts are told in it, and times that name no zone are read in it; the moments are the same."""
    of = f"FROM records WHERE trace_id = '{asked}' AND span_name = 's1'"
    sql = f"""SELECT start_timestamp AS at, date_trunc('day', start_timestamp) AS day, extract(hour FROM start_timestamp) AS hour,
        start_timestamp::text AS said, extract(epoch FROM start_timestamp) AS epoch {of} AND start_timestamp > '2027-01-15T17:00:00'"""
    found = client.query_json_rows(sql, min_timestamp=BEGINNING, timezone=zone)
    assert found["rows"] == [
        {
            "at": "2027-01-15T17:00:00.001000+09:00",
            "day": "2027-01-15T00:00:00.000000+09:00",
            "hour": 17,
            "said": "2027-01-15T17:00:00.001+09:00",
            "epoch": TIME.timestamp() + 0.001,
        }
    ]
    assert found["columns"][0]["datatype"] == {"Timestamp": ["Microsecond", zone]}
    late = f"SELECT span_name {of} AND start_timestamp > '2027-01-15T17:00:01'"
    assert client.query_json_rows(late, min_timestamp=BEGINNING, timezone=zone)["rows"] == []
    assert len(client.query_json_rows(late, min_timestamp=BEGINNING)["rows"]) == 0
    assert client.query_arrow(sql, min_timestamp=BEGINNING, timezone=zone)["at"][0].as_py() == TIME + timedelta(milliseconds=1)


def test_plans(server: Client, asked: str) -> None:
    """Where they are asked for, and beside the rows: a message of its own after the schema."""
    sql = f"SELECT span_name FROM records WHERE trace_id = '{asked}' AND start_timestamp > '2027-01-15T17:00:00' ORDER BY 1 LIMIT 1"
    body = {"sql": sql, "min_timestamp": BEGINNING.isoformat(), "explain": True, "timezone": "Asia/Tokyo"}
    said = server.http.post("/v2/query", json=body).json()
    assert said["data"] == [{"span_name": "s1"}]
    assert "Sort" in said["explain"]["logical_plan"]
    assert "Exec" in said["explain"]["physical_plan"]
    # The files are asked as they are without a zone: of their own column.
    assert "CAST" not in said["explain"]["physical_plan"].partition("Filter")[2]
    lines = server.http.post("/v2/query", json=body, headers={"accept": "application/x-ndjson"}).text.splitlines()
    messages = [json.loads(line) for line in lines]
    assert [message["type"] for message in messages] == ["schema", "explain", "data", "end"]
    assert {**messages[1], "type": None} == {"type": None, **said["explain"]}
    assert "explain" not in server.http.post("/v2/query", json={**body, "explain": False}).json()


def test_pandas_asks_by_the_database_interface(server: Client, asked: str) -> None:
    """Its parameters are put in on its side."""
    with db_api.connect(read_token="any", base_url=server.url, min_timestamp=BEGINNING) as connection:
        sql = "SELECT span_name, duration FROM records WHERE trace_id = %(trace)s ORDER BY 1"
        with pytest.warns(UserWarning, match="pandas"):
            frame = pd.read_sql(sql, connection, params={"trace": asked})
    assert list(frame.columns) == ["span_name", "duration"]
    assert len(frame) == 6


def test_the_first_version(server: Client, asked: str) -> None:
    """Columns with their values, or rows where they are asked for; no time is needed."""
    sql = f"SELECT span_name AS s FROM records WHERE trace_id = '{asked}' ORDER BY 1"
    by_column = server.http.get("/v1/query", params={"sql": sql, "limit": "2"}).json()
    assert by_column == {"columns": [{"name": "s", "datatype": "Utf8", "nullable": False, "values": ["nowhere", "s1"]}]}
    by_row = server.http.get("/v1/query", params={"sql": sql, "limit": "1", "json_rows": "true"}).json()
    assert by_row["rows"] == [{"s": "nowhere"}]
    since = (TIME + timedelta(milliseconds=5)).isoformat()
    assert server.http.get("/v1/query", params={"sql": sql, "min_timestamp": since, "row_oriented": "true"}).json()["rows"] == [{"s": "s5"}]
    assert server.http.get("/v1/query").status_code == 422


def test_tables_are_described(server: Client) -> None:
    """As the assistants' tools of Logfire ask it."""
    tables = {table["name"]: table["schema"] for table in server.http.get("/v1/schemas").json()["tables"]}
    assert set(tables) == {"records", "metrics"}
    assert tables["records"]["start_timestamp"]["data_type"] == "TIMESTAMPTZ"
    assert tables["records"]["tags"]["data_type"] == "TEXT[]"
    assert tables["records"]["span_name"] == {"data_type": "TEXT", "nullable": False, "description": tables["records"]["span_name"]["description"]}
    assert tables["metrics"]["histogram_explicit_bounds"]["data_type"] == "DOUBLE PRECISION[]"


def test_the_sdk_asks_whose_token_it_has(server: Client) -> None:
    """The token stands as it is in `Authorization`."""
    said = server.http.get("/v1/info", headers={"authorization": "any"}).json()
    assert (said["project_name"], said["project_url"]) == ("massgen", f"{server.url}/local/massgen")


async def test_few_questions_are_answered_at_once(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them wait, and beyond that a client is told to come again; what is sent is taken meanwhile."""
    import threading

    free = threading.Event()
    asked: Any = store.query

    def slow(*args: Any, **options: Any) -> Any:
        free.wait()
        return asked(*args, **options)

    monkeypatch.setattr(store, "query", slow)
    body = {"sql": "SELECT 1 AS one", "min_timestamp": BEGINNING.isoformat()}
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=40)) as http:
        import asyncio

        questions = [asyncio.create_task(http.post("/v2/query", json=body)) for _ in range(20)]
        refused = (await asyncio.wait(questions, return_when=asyncio.FIRST_COMPLETED))[0]
        sent = await http.post("/v1/traces", content=b"", headers={"content-type": "application/x-protobuf"})
        assert sent.status_code == 200
        free.set()
        answers = [await question for question in questions]
    assert {(await each).status_code for each in refused} == {429}
    assert next(answer for answer in answers if answer.status_code == 429).headers["retry-after"] == "1"
    assert [answer.status_code for answer in answers].count(200) == 18
