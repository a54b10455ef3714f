"""Every span name and attribute key, once.

Both halves of the package speak these words: the writing half (`trace`, `sinks`, `runs`) puts them on spans, the reading half
(`store`, `insight`, `views`) asks for them in SQL. Nothing else in the package spells them as literals.

Sources: `massgen.*` follows MassGen's own Logfire attributes (0.1.97); `gen_ai.*` and `mcp.*` follow the OpenTelemetry GenAI
conventions (semantic-conventions-genai, Development status, 2026); `logfire.*` follows the Logfire SDK (5.4). The GenAI constants of
`opentelemetry-semantic-conventions` are deprecated upstream ("moved"), so they stand here.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

SCOPE: Final = "massgen_tracing"
"""The instrumentation scope of the facade's spans."""

# --- Span names --------------------------------------------------------------------------------------------------------------------

SESSION: Final = "coordination.session"
"""The root of a run: one coordination (one turn, one attempt)."""

ROUND_NAME: Final = "agent.{agent_id}.round_{number}"
"""One execution of an agent; numbers count from 0 for each agent."""

PRESENTATION_NAME: Final = "agent.{agent_id}.presentation"
"""The winner's final presentation."""

LLM_NAME: Final = "llm.{provider}.{operation}"
"""One model call."""

MCP_NAME: Final = "mcp.{server}.{tool}"
"""One MCP tool call."""

TOOL_NAME: Final = "Tool execution: {name}"
"""The wrapper around one tool call of any kind."""

WATCHED_NAME: Final = "watch.agent.{name}"
"""What was watched and not traced, for as long as it was watched."""

# What these names begin with, by which spans are told that say nothing else of what they are.
AGENT_PREFIX: Final = ROUND_NAME.partition("{")[0]
LLM_PREFIX: Final = LLM_NAME.partition("{")[0]
MCP_PREFIX: Final = MCP_NAME.partition("{")[0]
TOOL_PREFIX: Final = TOOL_NAME.partition("{")[0]

EVENT_NAME: Final = "Coordination event: {type}"
ANSWER_NAME: Final = "Agent answer: {label}"
VOTE_NAME: Final = "Agent vote: {agent_id} -> {label}"
RESTART_NAME: Final = "Agent restart: {agent_id}"
WINNER_NAME: Final = "Winner selected: {label}"
FINAL_ANSWER_NAME: Final = "Final answer from {agent_id}"

ANSWER_LABEL: Final = "agent{place}.{count}"
"""Label of an answer: the agent's place (from 1) among the session's ids sorted by name, and the agent's how-many-th answer (from 1)."""

# --- Closed sets of values ---------------------------------------------------------------------------------------------------------

RoundType = Literal["initial_answer", "voting", "presentation", "post_evaluation"]
ROUND_TYPES: Final[tuple[RoundType, ...]] = get_args(RoundType)

LlmOperation = Literal["stream", "create"]
LLM_OPERATIONS: Final[tuple[LlmOperation, ...]] = get_args(LlmOperation)

Outcome = Literal["vote", "answer", "error", "restarted", "cancelled", "timeout"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

FinishReason = Literal["completed", "error", "timeout", "interrupted"]
FINISH_REASONS: Final[tuple[FinishReason, ...]] = get_args(FinishReason)

EnforcementReason = Literal[
    "no_workflow_tool",
    "no_tool_calls",
    "invalid_vote_id",
    "vote_no_answers",
    "vote_and_answer",
    "answer_limit",
    "answer_novelty",
    "answer_duplicate",
    "api_error",
    "connection_recovery",
    "mcp_disconnected",
    "fatal_api_error",
    "fairness_terminal_wait",
]
ENFORCEMENT_REASONS: Final[tuple[EnforcementReason, ...]] = get_args(EnforcementReason)
"""MassGen's reasons for asking an agent to try again, in versions from 0.1.32 to 0.1.97."""

# --- massgen.*: an agent's round ---------------------------------------------------------------------------------------------------

AGENT_ID: Final = "massgen.agent_id"
"""str. On `agent.*`, `llm.*`, `mcp.*`, `Tool execution:` and on every event of an agent."""

ITERATION: Final = "massgen.iteration"
"""int. Iteration of the coordination loop."""

ROUND: Final = "massgen.round"
"""int. Round number for this agent, from 0; also on `llm.*` and `mcp.*`."""

ROUND_TYPE: Final = "massgen.round_type"
"""str, one of `ROUND_TYPES`; also on `llm.*` and `mcp.*`."""

BACKEND: Final = "massgen.backend"
"""str. Backend provider name."""

NUM_CONTEXT_ANSWERS: Final = "massgen.num_context_answers"
"""int. How many answers the agent sees; absent when it sees none."""

CONTEXT_LABELS: Final = "massgen.context_labels"
"""str[]. The labels of those answers."""

IS_WINNER: Final = "massgen.is_winner"
"""bool. True on presentation spans."""

OUTCOME: Final = "massgen.outcome"
"""str, one of `OUTCOMES`. How the round ended; `cancelled` also on any other span whose work was cancelled or closed early."""

VOTED_FOR: Final = "massgen.voted_for"
"""str. Agent id that was voted for."""

VOTED_FOR_LABEL: Final = "massgen.voted_for_label"
"""str. Answer label that was voted for."""

ANSWER_LABEL_KEY: Final = "massgen.answer_label"
"""str. Label of the answer that the round gave."""

ERROR_MESSAGE: Final = "massgen.error_message"
"""str. Only when the outcome is `error` or `timeout`."""

USAGE_INPUT: Final = "massgen.usage.input"
"""int, tokens. Summed over the round's model calls; cached tokens are a subset of it."""

USAGE_OUTPUT: Final = "massgen.usage.output"
"""int, tokens."""

USAGE_REASONING: Final = "massgen.usage.reasoning"
"""int, tokens. A subset of the output tokens."""

USAGE_CACHED_INPUT: Final = "massgen.usage.cached_input"
"""int, tokens. A subset of the input tokens."""

USAGE_COST: Final = "massgen.usage.cost"
"""float, USD. Absent when no model call of the round had a known cost."""

# --- massgen.*: the session --------------------------------------------------------------------------------------------------------

TASK: Final = "massgen.task"
"""str. The question."""

NUM_AGENTS: Final = "massgen.num_agents"
AGENT_IDS: Final = "massgen.agent_ids"
LOG_DIR: Final = "massgen.log_dir"
"""str. The run's directory."""

WINNER: Final = "massgen.winner"
WINNER_LABEL: Final = "massgen.winner_label"
WINNER_REASON: Final = "massgen.winner_reason"
VOTES: Final = "massgen.votes"
"""map of label to int. How many votes each answer got."""

FINISH_REASON: Final = "massgen.finish_reason"
"""str, one of `FINISH_REASONS`. How the coordination ended; absent where nobody said so."""

FINISH_DETAILS: Final = "massgen.finish_details"
"""str. More about it, in words."""

UTC_OFFSET: Final = "massgen.utc_offset"
"""int, seconds. How far local time was ahead of UTC when the session began: names of directories carry local time."""

ANALYSIS_OF: Final = "massgen.analysis_of"
"""str. On the session of a run that analyses another one: the trace of that one, to whose session it has a link."""

RUN_CONFIG: Final = "massgen.config"
"""map. What the coordination was configured with, secrets removed."""

# --- massgen.*: events -------------------------------------------------------------------------------------------------------------

EVENT_TYPE: Final = "massgen.event_type"
"""str. The type of a `Coordination event:`."""

EVENT_DETAILS: Final = "massgen.event_details"
"""str. What MassGen itself says of a coordination event, in words."""

ANSWER_PREVIEW: Final = "massgen.answer_preview"
"""str. The answer's text, a bounded preview unless full content was asked for."""

ANSWER_TEXT: Final = "massgen.answer_text"
"""str. The whole text of an answer, scrubbed, where the preview may not be all of it and the session has a directory, whose files are made of it."""

VOTE_REASON: Final = "massgen.vote.reason"
"""str. Why the agent voted as it did."""

RESTART_BY: Final = "massgen.restart.triggered_by"
"""str. Agent whose new answer made this agent restart."""

ENFORCEMENT_REASON: Final = "massgen.enforcement.reason"
"""str, one of `ENFORCEMENT_REASONS`."""

ENFORCEMENT_ATTEMPT: Final = "massgen.enforcement.attempt"
ENFORCEMENT_MAX_ATTEMPTS: Final = "massgen.enforcement.max_attempts"
ENFORCEMENT_TOOL_CALLS: Final = "massgen.enforcement.tool_calls"
ENFORCEMENT_BUFFER_PREVIEW: Final = "massgen.enforcement.buffer_preview"
ENFORCEMENT_BUFFER_CHARS: Final = "massgen.enforcement.buffer_chars"

SCRUBBED: Final = "[scrubbed]"
"""str. What stands in a text where a secret stood."""

USAGE_RAW: Final = "massgen.usage.raw"
"""map. The provider's usage as it reported it, kept when it was normalised."""

COST_UNKNOWN: Final = "massgen.cost_unknown"
"""bool. True on a model call whose model the price list does not know, so that a missing cost is not taken for a free call."""

MASSGEN_VERSION: Final = "massgen.version"
"""str. On `coordination.session`: the version of the MassGen that ran it; absent where an imported run's files do not say."""

BACKGROUND: Final = "massgen.background"
"""bool. True on a tool call that was started in the background; where it outlives its round, it has a link to it."""

INTERRUPTED: Final = "massgen.interrupted"
"""bool. Set by the reader on a span whose process died before the span ended."""

# --- massgen.*: what was watched ----------------------------------------------------------------------------------------------------

WATCHING: Final = "massgen.watching"
"""bool. True on a session that is no coordination, but what was watched together."""

WATCH_STATE: Final = "massgen.watch.state"
"""str. The state that something watched came to be in; on `watch.agent.*` the last one."""

WATCH_PREVIOUS: Final = "massgen.watch.previous"
WATCH_SIGNAL: Final = "massgen.watch.signal"
"""str. What kind of thing was seen that said so."""

WATCH_EVIDENCE: Final = "massgen.watch.evidence"
"""str. The quote."""

WATCH_ATTEMPT: Final = "massgen.watch.attempt"
"""int. How many-th attempt it was, from 1."""

WATCH_PROGRAM: Final = "massgen.watch.program"
"""str. The program that was watched, where it is known."""

WATCH_SESSION: Final = "massgen.watch.session"
"""str. On what a program told of itself, in its transcript or by its own telemetry: the program's id of its session."""

WATCH_SUBAGENT: Final = "massgen.watch.subagent"
"""str. On the same: the sub-agent that did it."""

WATCH_SOURCE: Final = "massgen.watch.source"
"""str. On the same: `transcript` or `telemetry`."""

WATCH_TRACES: Final = "massgen.watch.traces"
"""str[]. On what was watched: the traces that its program recorded itself; its calls are there, and not below this span."""

# --- massgen.*: recordings that were made from a run's logs afterwards --------------------------------------------------------------

IMPORTED: Final = "massgen.imported"
"""bool. True on every span that was made after the run from MassGen's log files, or from what an agent's program told of itself; absent on others."""

ESTIMATED: Final = "massgen.estimated"
"""str[], of `ESTIMATES`. What of an imported span the log files do not tell, so that it is a guess; absent where nothing is."""

Estimate = Literal["start", "end", "usage"]
ESTIMATES: Final[tuple[Estimate, ...]] = get_args(Estimate)
"""`start`, `end`: these times, and with them the duration; `usage`: the tokens and the cost, an equal share of what is known of several rounds."""

IMPORTED_LAYOUT: Final = "massgen.imported.layout"
"""str. On an imported session, how its run's directory is laid out: `attempts` (`turn_1/attempt_1/`), `turns` (`turn_1/`) or `flat` (older)."""

IMPORTED_MISSING: Final = "massgen.imported.missing"
"""str[]. On an imported session, what its run's directory does not tell."""

MODEL_CALLS: Final = "massgen.model_calls"
"""int. On an imported session, how many model calls the log files count; they do not tell one from another, so there are no spans for them."""

# --- massgen.*: what the Collector puts down for ClickHouse, where every value is a text (collector/scale.yaml) -----------------------------

STORED_TYPES: Final = "massgen.types"
"""map of key to letter. The kind of each attribute that has no text: i(nteger), d(ouble), b(oolean), j(son), (b)y(tes), n(othing)."""

STORED_KEYS: Final = "massgen.types.keys"
"""str[]. The keys of all attributes, in their order."""

STORED_ORDER: Final = "massgen.types.order"
"""str[]. The paths of all values in lists and mappings, in their order."""

STORED_DOUBLES: Final = "massgen.types.doubles"
"""map of path to text. The doubles in lists and mappings."""

STORED_SCOPE: Final = "massgen.scope"
"""map. The attributes of the instrumentation scope, which ClickHouse's exporter leaves out."""

# --- OpenTelemetry GenAI and MCP ---------------------------------------------------------------------------------------------------

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_WORKFLOW: Final = "gen_ai.workflow.name"
GEN_AI_CONVERSATION: Final = "gen_ai.conversation.id"
GEN_AI_AGENT: Final = "gen_ai.agent.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_SYSTEM: Final = "gen_ai.system"
"""The old name of `gen_ai.provider.name`; Logfire's LLM view reads it first."""

GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
"""float, seconds."""

GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
"""float, seconds. The same, under the name that Logfire's LLM view reads."""

GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_RESULT: Final = "gen_ai.tool.call.result"
OPERATION_COST: Final = "operation.cost"
"""float, USD. Logfire's key for the cost of one model call."""

MCP_METHOD: Final = "mcp.method.name"
NETWORK_TRANSPORT: Final = "network.transport"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
"""str. Stable in OpenTelemetry; `tool_error` when an MCP result says isError."""

TOOL_ERROR: Final = "tool_error"

EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_ESCAPED: Final = "exception.escaped"

IDENTIFIERS: Final = frozenset({
    AGENT_ID, ROUND_TYPE, BACKEND, OUTCOME, VOTED_FOR, VOTED_FOR_LABEL, ANSWER_LABEL_KEY, WINNER, WINNER_LABEL, FINISH_REASON, EVENT_TYPE,
    GEN_AI_OPERATION, GEN_AI_CONVERSATION, GEN_AI_AGENT, GEN_AI_PROVIDER, GEN_AI_SYSTEM, GEN_AI_REQUEST_MODEL, GEN_AI_RESPONSE_MODEL,
    GEN_AI_RESPONSE_ID, GEN_AI_TOOL_NAME, GEN_AI_TOOL_CALL_ID, MCP_METHOD, NETWORK_TRANSPORT, ERROR_TYPE,
})  # fmt: skip
"""Keys whose values are names and ids, mostly such as the system itself gives."""

# --- Logfire's own attributes ------------------------------------------------------------------------------------------------------

LOGFIRE_SPAN_TYPE: Final = "logfire.span_type"
"""`log`, `span` or `pending_span`; absent means `span`."""

LOGFIRE_PENDING_PARENT: Final = "logfire.pending_parent_id"
"""On a pending span: hex id of the real span's parent, sixteen zeros for none. The pending span's own parent is the real span."""

LOGFIRE_MSG: Final = "logfire.msg"
LOGFIRE_MSG_TEMPLATE: Final = "logfire.msg_template"
LOGFIRE_LEVEL: Final = "logfire.level_num"
LOGFIRE_TAGS: Final = "logfire.tags"
LOGFIRE_JSON_SCHEMA: Final = "logfire.json_schema"
LOGFIRE_SCRUBBED: Final = "logfire.scrubbed"
LOGFIRE_TRUNCATED: Final = "logfire.truncated"
"""list of {key, length}: which values were cut, and how long they were."""

SPAN_TYPE_LOG: Final = "log"
SPAN_TYPE_SPAN: Final = "span"
SPAN_TYPE_PENDING: Final = "pending_span"

LEVELS: Final[dict[str, int]] = {
    "trace": 1,
    "debug": 5,
    "info": 9,
    "notice": 10,
    "warn": 13,
    "error": 17,
    "fatal": 21,
}
"""Logfire's level names and their OpenTelemetry severity numbers."""

# --- Resource ----------------------------------------------------------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_NAMESPACE: Final = "service.namespace"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
PROCESS_PID: Final = "process.pid"
PROCESS_COMMAND: Final = "process.command_args"
PROCESS_DIRECTORY: Final = "process.working_directory"
PROCESS_RUNTIME_VERSION: Final = "process.runtime.version"
HOST_NAME: Final = "host.name"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"
DEPLOYMENT_ENVIRONMENT_OLD: Final = "deployment.environment"
SDK_LANGUAGE: Final = "telemetry.sdk.language"
SDK_NAME: Final = "telemetry.sdk.name"
SDK_VERSION: Final = "telemetry.sdk.version"

# --- HTTP, as Logfire's `records` derives columns from them ------------------------------------------------------------------------

HTTP_RESEND: Final = "http.request.resend_count"
"""int. Which resend of the same request it is, from 1 (OpenTelemetry HTTP conventions, stable)."""

HTTP_METHOD: Final = "http.method"
HTTP_STATUS: Final = "http.response.status_code"
HTTP_STATUS_OLD: Final = "http.status_code"
HTTP_ROUTE: Final = "http.route"
HTTP_URL: Final = "http.url"
URL_FULL: Final = "url.full"
URL_PATH: Final = "url.path"
URL_QUERY: Final = "url.query"

# --- Crossing processes ------------------------------------------------------------------------------------------------------------

TRACEPARENT: Final = "traceparent"
"""W3C Trace Context header; upper-cased as an environment variable (OpenTelemetry environment carriers)."""
