"""Values that Logfire's SDK sends as JSON texts are in SQL what they are, as Logfire has them; files keep what was sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from massgen_tracing import store
from massgen_tracing.store.roots import reader
from massgen_tracing.store.sealing import seal
from tests.store import otlp

SCHEMA = {
    "type": "object",
    "properties": {
        "plan": {"type": "object"},
        "steps": {"type": "array"},
        "nothing": {"type": "null"},
        "price": {"type": "string", "x-python-datatype": "Decimal"},
        "cut": {"type": "object"},
        "half": {"type": "array"},
        "word": {},
        "absent": {"type": "object"},
    },
}
SPAN = otlp.span(
    1,
    "planned",
    attributes={
        "plan": '{"a":"one","b":{"c":2}}',
        "steps": "[1,2,3]",
        "nothing": "null",
        "price": '"10.25"',
        "cut": '{"a":"on',
        "half": '["\\ud83d"]',
        "word": '{"not":"decoded"}',
        "logfire.json_schema": json.dumps(SCHEMA),
    },
    events=[
        {
            "name": "chosen",
            "timeUnixNano": otlp.BASE_NS + 1,
            "attributes": otlp.key_values({"why": '{"x":1}', "logfire.json_schema": '{"type":"object","properties":{"why":{"type":"object"}}}'}),
        }
    ],
)


@pytest.mark.parametrize("sealed", [False, True], ids=["live", "sealed"])
def test_a_value_is_what_its_schema_says(tmp_path: Path, sealed: bool) -> None:
    """Parts of an object are asked for, nothing is NULL, a number is cast; a text that only looks like JSON, or was cut, stays a text."""
    directory = tmp_path / "massgen_logs" / "log_20270115_080000_000000" / "turn_1" / "attempt_1"
    directory.mkdir(parents=True)
    path = otlp.write(directory / "trace.otlp.jsonl", [otlp.line(SPAN)])
    before = reader.read([path]).spans
    if sealed:
        path = seal.seal(path).sealed or path
    asked = """attributes->'plan'->>'a' AS a, (attributes->'plan'->'b'->>'c')::int AS c, json_length(attributes, 'steps') AS steps,
        attributes->'nothing' IS NULL AS nothing, (attributes->>'price')::numeric + 1 AS price, attributes->>'cut' AS cut,
        attributes->>'half' AS half, attributes->>'word' AS word, attributes ? 'absent' AS absent"""
    (row,) = store.query(f"SELECT {asked} FROM records WHERE kind = 'span'", tmp_path).rows
    assert row.pop("price") == pytest.approx(11.25)
    expected = {
        "a": "one",
        "c": 2,
        "steps": 3,
        "nothing": True,
        "cut": '{"a":"on',
        "half": '["\\ud83d"]',
        "word": '{"not":"decoded"}',
        "absent": False,
    }
    assert row == expected
    assert store.query("SELECT attributes->'why'->>'x' AS x FROM records WHERE kind = 'span_event'", tmp_path).rows == [{"x": "1"}]
    assert reader.read([path]).spans == before
