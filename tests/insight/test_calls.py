"""What counts as a model call, a tool call and an error, whoever reports it, and that each counts once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.conventions import kind_of, usage_of
from massgen_tracing.insight.calls import Tree, errors, model_calls, tool_calls
from massgen_tracing.insight.summary import Summary, summarise
from massgen_tracing.model import Scope, SpanRecord, Usage

TRACE = "ab" * 16
MS = 1_000_000
START = 1_790_000_000_000 * MS

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini", "gen_ai.provider.name": "openai"}
LLM = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini", "llm.system": "openai"}


def span(
    number: int,
    name: str = "x",
    parent: int = 0,
    start: int = 0,
    end: int = 1000,
    scope: str = "massgen_tracing",
    attributes: Mapping[str, Any] | None = None,
    *,
    failed: bool = False,
) -> SpanRecord:
    """A span of a trace; times in milliseconds."""
    parent_id = f"{parent:016x}" if parent else ""
    return SpanRecord(
        TRACE, f"{number:016x}", parent_id, name, START + start * MS, START + end * MS,
        attributes=attributes or {}, scope=Scope(scope), status_code=2 if failed else 0,
    )  # fmt: skip


def record(number: int, name: str, parent: int, at: int, scope: str, attributes: Mapping[str, Any]) -> SpanRecord:
    """A point record."""
    return span(number, name, parent, at, at, scope, {**attributes, "logfire.span_type": "log"})


def totals(*spans: SpanRecord) -> Summary:
    """The totals, in whichever order the spans come."""
    found = {summarise(list(order)) for order in itertools.islice(itertools.permutations(spans), 24)}
    [only] = found
    return only


def otel(tokens_in: int | None = None, tokens_out: int | None = None, **more: Any) -> dict[str, Any]:
    """A model call's attributes as OpenTelemetry's GenAI conventions have them."""
    usage = {"gen_ai.usage.input_tokens": tokens_in, "gen_ai.usage.output_tokens": tokens_out}
    return {**CHAT, **{key: value for key, value in usage.items() if value is not None}, **more}


def inference(tokens_in: int, tokens_out: int, **more: Any) -> dict[str, Any]:
    """The same as OpenInference has them."""
    return {**LLM, "llm.token_count.prompt": tokens_in, "llm.token_count.completion": tokens_out, **more}


@pytest.mark.parametrize(
    ("name", "attributes", "kind"),
    [
        ("llm.openai.stream", {}, "model"),
        ("chat gpt-5-mini", CHAT, "model"),
        ("embeddings text-embedding-3-small", {"gen_ai.operation.name": "embeddings"}, "model"),
        ("ChatCompletion", LLM, "model"),
        ("mcp.files.read", {}, "tool"),
        ("Tool execution: read", {}, "tool"),
        ("execute_tool read", {"gen_ai.operation.name": "execute_tool"}, "tool"),
        ("MCP send tools/call read", {"mcp.method.name": "tools/call"}, "tool"),
        ("read", {"openinference.span.kind": "TOOL"}, "tool"),
        ("agent.a.round_0", {}, "agent"),
        ("invoke_agent helper", {"gen_ai.operation.name": "invoke_agent"}, "agent"),
        ("helper", {"openinference.span.kind": "AGENT"}, "agent"),
        ("coordination.session", {"gen_ai.operation.name": "invoke_workflow"}, None),
        ("LangGraph", {"openinference.span.kind": "CHAIN"}, None),
        ("MCP send initialize", {"mcp.method.name": "initialize"}, None),
        ("GET /", {}, None),
        ("llm.but.not.one", {"openinference.span.kind": "CHAIN"}, None),
        ("odd", {"gen_ai.operation.name": ["chat"]}, None),
    ],
)
def test_a_span_is_what_its_convention_says(name: str, attributes: dict[str, Any], kind: str | None) -> None:
    """OpenTelemetry's, OpenInference's and the facade's names; what says that it is something else is something else, whatever it is called."""
    assert kind_of(name, attributes) == kind


def test_usage_is_read_by_any_convention() -> None:
    """Tokens and cost under each convention's names; what is no number is unknown."""
    assert usage_of(
        {**otel(3, 4), "gen_ai.usage.reasoning.output_tokens": 2, "gen_ai.usage.cache_read.input_tokens": 1, "operation.cost": 0.5}
    ) == Usage(3, 4, 2, 1, 0.5)
    assert usage_of({"gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 4}) == Usage(3, 4)
    details = {"llm.token_count.completion_details.reasoning": 2, "llm.token_count.prompt_details.cache_read": 0, "llm.cost.total": 1}
    assert usage_of(inference(3, 4, **details)) == Usage(3, 4, 2, 0, 1.0)
    assert usage_of({"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": True, "operation.cost": "free"}) == Usage()


def test_a_call_of_anybody_counts_with_its_cost() -> None:
    """A framework's model and tool calls below a round are the round's and the run's; a cost that nobody said comes from the price list."""
    found = totals(
        span(1, "coordination.session"),
        span(2, "agent.a.round_0", 1, attributes={"massgen.agent_id": "a"}),
        span(3, "invoke_agent helper", 2, scope="pydantic-ai", attributes={"gen_ai.operation.name": "invoke_agent"}),
        span(4, "chat gpt-5-mini", 3, 10, 20, "pydantic-ai", otel(1000, 100)),
        span(5, "execute_tool weather", 3, 20, 30, "pydantic-ai", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}),
        span(6, "generation", 3, 30, 40, "openinference.instrumentation.openai_agents", inference(2000, 200)),
    )
    assert (found.llm_calls, found.tool_calls, found.costless_calls) == (2, 1, 0)
    assert found.usage._replace(cost=None) == Usage(3000, 300)
    assert found.usage.cost == pytest.approx(3000 * 0.25e-6 + 300 * 2e-6)
    assert found.rounds[0].usage == found.usage


def test_a_round_has_what_the_facade_reports_and_what_others_report_once() -> None:
    """A round's own sums have the facade's calls; calls of others are added, and one that a call of the facade holds is not."""
    sums = {"massgen.agent_id": "a", "massgen.usage.input": 100, "massgen.usage.output": 10, "massgen.usage.cost": 1.0}
    found = totals(
        span(2, "agent.a.round_0", attributes=sums),
        span(3, "llm.openai.stream", 2, 0, 50, attributes=otel(100, 10, **{"operation.cost": 1.0})),
        span(4, "chat", 3, 1, 49, "opentelemetry.instrumentation.openai_v2", otel(100, 10)),
        span(5, "chat", 2, 60, 80, "opentelemetry.instrumentation.openai_v2", otel(7, 3, **{"operation.cost": 0.5})),
    )
    assert (found.llm_calls, found.usage.cost) == (2, 1.5)
    assert found.rounds[0].usage._replace(cost=None) == Usage(107, 13)
    assert found.rounds[0].usage.cost == 1.5


def test_an_instrumentation_beside_another_reports_the_same_call() -> None:
    """LangChain's span holds the client's in time only: one call. Two calls of one instrumentation in parallel, as long and as dear, are two."""
    langchain, client = "openinference.instrumentation.langchain", "openinference.instrumentation.openai"
    found = totals(
        span(2, "agent.a.round_0"),
        span(3, "LangGraph", 2, scope=langchain, attributes={"openinference.span.kind": "CHAIN"}),
        span(4, "ChatOpenAI", 3, 10, 100, langchain, inference(50, 5)),
        span(5, "ChatCompletion", 2, 20, 90, client, inference(50, 5)),
    )
    assert (found.llm_calls, found.usage.input) == (1, 50)
    parallel = totals(span(1, "ChatOpenAI", 0, 10, 100, langchain, inference(50, 5)), span(2, "ChatOpenAI", 0, 20, 90, langchain, inference(50, 5)))
    assert (parallel.llm_calls, parallel.usage.input) == (2, 100)


def test_a_streamed_call_is_completed_by_its_record() -> None:
    """Logfire says a stream's tokens in a record after its span: both are one call. A record alone is a call; each completes one span only."""
    model = {**CHAT, "logfire.msg": "…"}
    said = otel(200, 30, **{"operation.cost": 0.25})
    begun = [span(number, "Chat Completion", 9, number * 10, number * 10 + 5, "logfire.openai", model) for number in (1, 2)]
    ends = [record(number + 2, "streaming response", 9, number * 10 + 7, "logfire.openai", said) for number in (1, 2)]
    found = totals(*begun, *ends)
    assert (found.llm_calls, found.usage, found.costless_calls) == (2, Usage(400, 60, cost=0.5), 0)
    assert totals(ends[0]).llm_calls == 1
    assert (totals(begun[1], ends[0]).llm_calls, totals(begun[1], ends[0]).usage.input) == (2, 200)


def test_what_only_the_outer_layer_knows_completes_the_call() -> None:
    """A client's span without tokens, below the facade's with them, is one call with its tokens; of several attempts each has its own."""
    outer = span(1, "llm.openai.stream", 0, 0, 100, attributes=otel(10, 5, **{"operation.cost": 1.0}))
    inner = span(2, "chat", 1, 1, 99, "client", otel())
    assert totals(outer, inner).usage == Usage(10, 5, cost=1.0)
    again = span(3, "chat", 1, 100, 120, "client", otel(10, 5, **{"operation.cost": 0.5}))
    assert (totals(outer, inner, again).llm_calls, totals(outer, inner, again).usage.cost) == (2, 0.5)


def test_a_tool_call_counts_once_whatever_wraps_it() -> None:
    """The wrapper, the MCP call in it and the MCP library's span in that are one call; the tools of an agent that is a tool count too."""
    tools = [
        span(1, "Tool execution: mcp__files__read", attributes={"gen_ai.tool.name": "mcp__files__read"}),
        span(2, "mcp.files.read", 1, attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "read"}),
        span(3, "MCP send tools/call read", 2, scope="mcp-python-sdk", attributes={"mcp.method.name": "tools/call"}),
        span(4, "execute_tool research", scope="pydantic-ai", attributes={"gen_ai.operation.name": "execute_tool"}),
        span(5, "invoke_agent researcher", 4, scope="pydantic-ai", attributes={"gen_ai.operation.name": "invoke_agent"}),
        span(6, "execute_tool look_up", 5, scope="pydantic-ai", attributes={"gen_ai.operation.name": "execute_tool"}),
    ]
    assert [found.span_id[-1] for found in tool_calls(Tree(tools))] == ["1", "4", "6"]
    beside = [record(1, "Tool execution: mcp__files__read", 9, 5, "massgen", {}), span(2, "mcp.files.read", 9)]
    assert len(tool_calls(Tree(beside))) == 1
    assert len(tool_calls(Tree([*beside, record(3, "Tool execution: think", 9, 6, "massgen", {})]))) == 2


def test_an_error_counts_where_it_began() -> None:
    """A failed tool, its wrapper and its round are one error; two failures below one round are two."""
    below = [span(1, "agent.a.round_0", failed=True), span(2, "Tool execution: t", 1, failed=True), span(3, "mcp.s.t", 2, failed=True)]
    assert [found.name for found in errors(Tree(below))] == ["mcp.s.t"]
    assert totals(*below, span(4, "llm.openai.stream", 1, failed=True)).errors == 2


def test_a_refused_request_cost_nothing_and_a_call_of_an_unknown_model_nobody_knows_what() -> None:
    """What failed without tokens is no call of unknown cost; what has tokens, or none that were told, is one."""
    found = totals(
        span(1, "llm.openai.stream", attributes=CHAT, failed=True),
        span(2, "llm.openai.stream", attributes=CHAT),
        span(3, "chat", scope="x", attributes={**otel(5, 5), "gen_ai.request.model": "nobody-knows-it"}),
    )
    assert (found.llm_calls, found.costless_calls) == (3, 2)


def test_parents_in_a_circle_end() -> None:
    """Calls that are each other's parents, or their own, are counted all the same."""
    circle = [span(1, "llm.a.create", 2, attributes=otel(1, 1)), span(2, "Tool execution: t", 1), span(3, "llm.a.create", 3, attributes=otel(1, 1))]
    assert len(model_calls(Tree(circle))) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 3), st.booleans(), st.integers(0, 2)), max_size=8))
def test_layers_change_no_total(calls: list[tuple[int, int, int, bool, int]]) -> None:
    """However many instrumentations report each call, within it or beside it, number and tokens are those of the calls."""
    numbers = itertools.count(2)
    spans = [span(1, "agent.a.round_0", end=100_000)]
    for place, (tokens_in, tokens_out, layers, nested, tools) in enumerate(calls):
        # Calls one after the other; layers from the outermost to the innermost, each by another instrumentation.
        parent, begin = 1, 1000 * place
        for layer in range(layers + 1):
            number = next(numbers)
            said = inference(tokens_in, tokens_out) if layer % 2 else otel(tokens_in, tokens_out)
            spans.append(span(number, f"layer {layer}", parent, begin + layer, begin + 900 - layer, f"scope {layer}", said))
            parent = number if nested else 1
        for _ in range(tools):
            outer, inner = next(numbers), next(numbers)
            spans.append(span(outer, "Tool execution: t", 1, begin + 901, begin + 999))
            spans.append(span(inner, "mcp.s.t", outer, begin + 902, begin + 998))
    found = summarise(spans)
    assert found.llm_calls == len(calls)
    assert found.tool_calls == sum(call[4] for call in calls)
    if calls:
        assert (found.usage.input, found.usage.output) == (sum(call[0] for call in calls), sum(call[1] for call in calls))
