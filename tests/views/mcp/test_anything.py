"""Whatever a model sends, and whatever was recorded: a tool answers, or says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from massgen_tracing.views.mcp.bounded import MOST
from massgen_tracing.views.mcp.local import Local
from massgen_tracing.views.mcp.tools import TOOLS, call
from tests.insight.planted import Play, Stage, record
from tests.views.mcp.conftest import FAULTY, PLAIN

_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2),
    st.sampled_from([PLAIN, FAULTY, "00000000000000000000000000000002", "0000000000000003", "errors", "high", "2027-01-15T08:00:00Z",
                     "SELECT span_name FROM records LIMIT 3", "massgen.task", f"{FAULTY}:1", "../..", "/", ".", "0" * 5_000]),
)  # fmt: skip


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from([*TOOLS, "no_such_tool"]))
    takes = [each.name for each in TOOLS[name].takes] if name in TOOLS else ["run"]
    needed = [each.name for each in TOOLS[name].takes if each.required] if name in TOOLS else []
    chosen = draw(st.lists(st.sampled_from([*takes, "other"]) if takes else st.just("other"), max_size=4, unique=True))
    return name, {each: draw(_VALUES) for each in {*needed, *chosen}}


@settings(max_examples=60)
@given(_calls())
def test_any_arguments(root: Path, asked: tuple[str, dict[str, Any]]) -> None:
    """A call has a bounded result that can be sent, and an error says what is expected, or what to do."""
    name, arguments = asked
    result = call(Local(str(root)), name, arguments)
    sent = json.dumps(result, allow_nan=False).encode()
    assert len(sent) < 8 * MOST
    assert result["content"] or not result["isError"]


_RECORDED = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=30), st.binary(max_size=30)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=10)
@given(st.dictionaries(st.text(min_size=1, max_size=20), _RECORDED, max_size=5))
def test_any_attributes(tmp_path_factory: Any, attributes: dict[str, Any]) -> None:
    """What was recorded comes back in JSON, whatever it is."""
    root = tmp_path_factory.mktemp("any")
    odd = Play()

    def work(stage: Stage, _rnd: Any) -> None:
        with stage.tracer.span("odd", attributes):
            stage.wait(1)

    odd.early["a"] = [work]
    record(root, PLAIN, odd)
    backend = Local(str(root))
    for name in ("run_list", "run_summary", "run_tree", "run_findings", "run_errors"):
        json.dumps(call(backend, name, {})["structuredContent"], allow_nan=False).encode()
    tree = call(backend, "run_tree", {})["structuredContent"]["recorded"]["spans"]
    span_id = next(row[1] for row in tree if row[2] == "odd")
    result = call(backend, "run_span", {"span_id": span_id})
    assert not result["isError"]
    json.dumps(result, allow_nan=False).encode()
