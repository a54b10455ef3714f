"""Where MassGen is seen: every function of it that is replaced, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from .coordination import Coordinations
from .http import Http
from .model_calls import ModelCalls
from .own_tracing import OwnTracing
from .patches import Point
from .programs import Programs
from .subagents import Subagents
from .tool_calls import ToolCalls

if TYPE_CHECKING:
    from massgen_tracing.trace.tracer import Tracer

_ORCHESTRATOR = "massgen.orchestrator"
_PRESENTER = "massgen.orchestrator_collaborators.final_presentation_runner"
_TRACKER = "massgen.coordination_tracker"
_BACKEND = "massgen.backend.base"
_TOOLS = "massgen.backend.base_with_custom_tool_and_mcp"
_LOGGING = "massgen.structured_logging"


def points(
    tracer: Callable[[], Tracer],
    *,
    version: Callable[[], str | None],
    root: Callable[[], str | None],
    logfire_is_ours: Callable[[], AbstractContextManager[None]],
    child_environment: Callable[[Mapping[str, str]], dict[str, str]],
) -> list[Point]:
    """The points of one instrumentation.

    Args:
        tracer: gives the tracer in force.
        version: gives MassGen's version, once it is imported.
        root: gives the directory of runs and recordings; None where nothing is recorded.
        logfire_is_ours: see `OwnTracing`.
        child_environment: an environment as a traced child process gets it.
    """
    models = ModelCalls(tracer)
    runs = Coordinations(tracer, models.finish_of, version, root)
    tools = ToolCalls(tracer, models, runs)
    http = Http(models)
    programs = Programs(tracer, models)
    subagents = Subagents(child_environment)
    own = OwnTracing(tracer, logfire_is_ours)

    return [
        Point(_ORCHESTRATOR, "Orchestrator.chat", runs.chat, "sessions"),
        Point(_ORCHESTRATOR, "Orchestrator._stream_agent_execution", runs.stream_agent_execution, "agents' rounds"),
        Point(_ORCHESTRATOR, "Orchestrator.get_final_presentation", runs.get_final_presentation, "the presentation"),
        Point(_ORCHESTRATOR, "Orchestrator.post_evaluate_answer", runs.post_evaluate_answer, "post-evaluation"),
        Point(_PRESENTER, "FinalPresentationRunner.yield_existing_answer_finalization", runs.existing_answer, "presentation as it stands", "0.1.90"),
        Point(_TRACKER, "CoordinationTracker.add_agent_answer", runs.add_agent_answer, "answers"),
        Point(_TRACKER, "CoordinationTracker.add_agent_vote", runs.add_agent_vote, "votes"),
        Point(_TRACKER, "CoordinationTracker.add_agent_stop", runs.add_agent_stop, "stops (decomposition)", "0.1.50"),
        Point(_TRACKER, "CoordinationTracker.track_agent_action", runs.track_agent_action, "ignored votes, errors, timeouts"),
        Point(_TRACKER, "CoordinationTracker.track_restart_signal", runs.track_restart_signal, "who made whom restart"),
        Point(_TRACKER, "CoordinationTracker.track_enforcement_event", runs.track_enforcement_event, "enforcement", "0.1.40"),
        Point(_TRACKER, "CoordinationTracker.set_final_agent", runs.set_final_agent, "the winner"),
        Point(_TRACKER, "CoordinationTracker.set_final_answer", runs.set_final_answer, "the final answer"),
        Point(_TRACKER, "CoordinationTracker._add_event", runs.add_event, "other coordination events"),
        Point(_BACKEND, "LLMBackend.start_api_call_timing", models.start_api_call_timing, "model calls one by one"),
        Point(_BACKEND, "LLMBackend.record_first_token", models.record_first_token, "time to first chunk where not over HTTP"),
        Point(_BACKEND, "LLMBackend.end_api_call_timing", models.end_api_call_timing, "the ends of model calls"),
        Point(_BACKEND, "LLMBackend._update_token_usage_from_api_response", models.update_usage, "tokens where not over HTTP"),
        Point("claude_agent_sdk.client", "ClaudeSDKClient.receive_response", programs.receive_response, "Claude Code's tokens and tools"),
        Point("massgen.backend.codex", "CodexBackend._parse_codex_event", programs.codex_event, "Codex's tools"),
        Point("massgen.chat_agent", "SingleAgent._process_stream", models.process_stream, "model calls of backends that do not name them"),
        Point("httpx", "AsyncClient.send", http.send, "what model calls send and get"),
        Point("httpx2", "AsyncClient.send", http.send, "what model calls send and get"),
        Point("aiohttp", "ClientSession._request", http.request, "what model calls send and get"),
        Point(
            "massgen.backend._websocket_transport", "WebSocketResponseTransport.send_and_receive", http.send_and_receive, "answers over WebSockets"
        ),
        Point("anthropic._base_client", "start_api_call_span", models.span_of_client, ""),
        Point(_TOOLS, "CustomToolAndMCPBackend._execute_tool_with_logging", tools.execute_tool_with_logging, "ids of tool calls"),
        Point(_TOOLS, "CustomToolAndMCPBackend._run_background_tool_job", tools.run_background_tool_job, "background tools as such", "0.1.65"),
        Point("massgen.mcp_tools.client", "MCPClient.call_tool", tools.call_tool, "MCP calls"),
        Point("mcp.client.session", "ClientSession.call_tool", tools.session_call_tool, "the trace in MCP requests"),
        Point("massgen.tool._manager", "ToolManager.execute_tool", tools.execute_tool, "custom tools"),
        Point("massgen.mcp_tools.client", "MCPClient._create_transport_context", subagents.create_transport_context, "subagents that a tool starts"),
        Point("mcp.server.lowlevel.server", "Server._handle_request", subagents.handle_request, "subagents below the call that started them"),
        Point("massgen.utils", "run_async_safely", subagents.run_async_safely, "subagents below the call that started them"),
        Point("massgen.subagent.manager", "asyncio.create_subprocess_exec", subagents.create_subprocess_exec, "subagents"),
        Point(_LOGGING, "TracerProxy.span", own.span, "MassGen's own further spans"),
        *(
            Point(_LOGGING, f"TracerProxy.{level}", own.log(level), "MassGen's own further records")
            for level in ("debug", "info", "warning", "error")
        ),
        *(
            Point(_LOGGING, f"TracerProxy.instrument_{client}", own.instrument_client, "what keeps Logfire from instrumenting the clients too", since)
            for client, since in (("openai", ""), ("anthropic", ""), ("google_genai", ""), ("aiohttp", ""))
        ),
        Point(_LOGGING, "configure_observability", own.configure_observability, "what joins it with MassGen's --logfire"),
    ]
