"""The skill: in the form that coding assistants read, and true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from massgen_tracing.views import mcp
from massgen_tracing.views.cli import main
from massgen_tracing.views.mcp.local import Local
from massgen_tracing.views.mcp.tools import TOOLS
from tests.views.mcp.conftest import Asked

TEXT = mcp.skill()
_BLOCKS = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CALLS = [json.loads(block) for kind, block in _BLOCKS.findall(TEXT) if kind == "json"]
STATEMENTS = [block for kind, block in _BLOCKS.findall(TEXT) if kind == "sql"]


def test_it_is_printed_in_the_form_that_assistants_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Its head has a name and a description within the lengths that assistants allow."""
    assert main(["mcp", "--skill"]) == 0
    printed = capsys.readouterr().out
    _, head, body = printed.split("---\n", 2)
    about = yaml.safe_load(head)
    assert set(about) == {"name", "description"}
    assert re.fullmatch(r"[a-z0-9-]{1,64}", about["name"])
    assert 0 < len(about["description"]) <= 1024
    assert body.strip().startswith("# ")


def test_its_examples_work(root: Path) -> None:
    """Each call and each statement in it answers of a recorded run, and every tool that it names is there."""
    ask = Asked(Local(str(root)))
    assert len(CALLS) >= 3
    assert len(STATEMENTS) >= 4
    for call in CALLS:
        ask(call["tool"], **call["arguments"])
    for statement in STATEMENTS:
        assert all(hint.startswith("0 rows") for hint in ask("query_run", query=statement).get("hints", ()))
    named = set(re.findall(r"`((?:run|query|project|arbitrary|find|schema|logfire)_\w+)`", TEXT))
    assert named <= set(TOOLS)
    assert {name for name in TOOLS if name.startswith("run_")} <= named


def test_the_traps_are_traps(root: Path) -> None:
    """What it says goes wrong does."""
    ask = Asked(Local(str(root)))
    assert ask("query_run", query="SELECT 1 / 2 AS half, 1.0 * 1 / 2 AS real")["result"] == [{"half": 0, "real": 0.5}]
    assert ask.refused("query_run", query="SELECT SUM(attributes->'massgen.usage.input') FROM records")
    begun = ask("query_run", query="SELECT COUNT(*) AS many FROM records_all WHERE kind = 'pending_span' OR kind = 'span'")["result"][0]["many"]
    assert begun >= ask("query_run", query="SELECT COUNT(*) AS many FROM records WHERE kind = 'span'")["result"][0]["many"]
    with_presentation, rounds = (
        ask("query_run", query=f"SELECT COUNT(*) AS many FROM records WHERE span_name LIKE '{pattern}'")["result"][0]["many"]
        for pattern in ("agent.%", "agent.%.round_%")
    )
    assert with_presentation > rounds
