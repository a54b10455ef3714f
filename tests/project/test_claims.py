"""Each claim of the README has the tests that hold it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NO_CLAIM = ("On a machine with", "From Python, with values", "[ARCHITECTURE.md]")
"""Beginnings of paragraphs that only say what follows, or where something stands."""

CLAIMS = {
    "**See what many agents did.**": (
        "trace/test_propagation::every_span_of_a_random_program_nests_right",
        "project/test_readme_commands::a_command_of_the_readme_works",
    ),
    "- **Nesting that holds.**": (
        "trace/test_propagation::every_span_of_a_random_program_nests_right",
        "trace/test_propagation::the_programs_find_what_bare_generators_get_wrong",
        "trace/test_borders::a_child_process_continues_the_trace",
        "trace/test_borders::an_mcp_request_carries_the_calls_context",
    ),
    "- **A recording that survives.**": (
        "sinks/test_crash::a_hundred_kills_lose_nothing",
        "insight/test_summary::a_running_run_is_live_and_a_killed_one_interrupted",
    ),
    "- **Logfire's SQL, offline.**": (
        "store/test_logfire_queries",
        "store/test_analyst_queries",
        "store/test_queries",
    ),
    "- **A run that can be watched.**": (
        "sinks/test_run_files::status_follows_the_run",
        "projection/test_status::restarts_are_rounds_given_up_and_votes_made_void",
        "massgen/test_readers::no_reader_stumbles",
        "sinks/test_run_files::rebuilt_files_are_those_that_were_written_live",
    ),
    "- **Anybody's calls count.**": (
        "insight/test_calls::a_call_of_anybody_counts_with_its_cost",
        "libraries/test_programs::each_call_counts_once_with_its_tokens",
    ),
    "- **A page to look at.**": (
        "views/web/test_pages::the_timeline_draws_what_the_spans_are",
        "views/web/test_pages::the_decision_is_a_picture",
        "views/web/test_pages::a_live_run_changes_as_it_goes_on",
        "views/web/test_pages::a_report_is_a_file_that_asks_nobody",
    ),
    "- **A local Logfire.**": (
        "serve/test_sdk::logfires_sdk_sends_here",
        "serve/test_durability::a_server_that_is_killed_has_everything_that_it_has_acknowledged",
        "serve/test_queries::rows_come_with_their_types",
        "views/mcp/test_tools::from_narrow_to_wide",
    ),
    "- **Agents that nobody traced.**": (
        "runs/watch/test_terminals",
        "runs/watch/test_targets",
        "runs/watch/test_judge",
    ),
    "- **Out, too.**": (
        "sinks/test_otlp::a_collector_that_does_not_answer",
        "sinks/test_logfire::spans_arrive_and_are_recorded_with_their_starts",
        "delivery/test_live::a_backend_that_is_down_all_run_has_everything_after_a_push",
        "delivery/test_push::everything_recorded_arrives_once",
    ),
    "`make demo` installs": ("project/test_readme_commands::a_command_of_the_readme_works",),
    "The command `massgen-tracing`": (
        "project/test_readme_commands::a_command_that_the_text_names_is_there",
        "runs/test_run_command::without_the_extra",
    ),
    "With models of your own": (
        "runs/test_config",
        "runs/test_at_a_terminal",
        "runs/test_automation",
    ),
    "A run always ends": (
        "runs/test_reliability",
        "runs/test_automation",
        "runs/test_continuing",
        "e2e/test_runs_in_runs::each_run_has_its_own",
    ),
    "Install this package into MassGen's": (
        "massgen/test_runs::the_program_ends_as_it_does_without_us",
        "massgen/test_ways::massgen_does_the_same_with_and_without",
        "massgen/test_programs::a_signal_has_the_effect_that_it_has_without_us",
    ),
    "`exec` takes any program": (
        "views/test_exec::programs_are_traced_however_they_are_started",
        "massgen/test_ways::opentelemetry_instrument_finds_the_instrumentor",
        "massgen/test_ways::a_run_is_a_child_of_the_span_that_started_it",
    ),
    "`make demo-massgen` shows": (
        "massgen/test_runs::every_request_is_one_model_call",
        "massgen/test_runs::every_tool_call_is_one_span",
        "massgen/test_runs::tokens_are_the_endpoints",
        "massgen/test_ways::with_massgens_own_logfire_each_thing_is_there_once",
    ),
    "| `openai`, `grok`": (
        "massgen/test_runs::every_request_is_one_model_call",
        "runs/massgen/test_http",
        "runs/massgen/test_wire",
    ),
    "| `claude_code`, `codex`": ("runs/massgen/test_programs",),
    "| `gemini_cli`": ("runs/massgen/test_programs",),
    "| frameworks": ("runs/massgen/test_programs",),
    "A version that is not in the table": ("massgen/test_programs::a_version_that_is_not_known_is_traced_as_far_as_it_goes",),
    "The program need not be MassGen.": (
        "libraries/test_programs::each_call_counts_once_with_its_tokens",
        "libraries/test_programs::a_dry_run_tells_who_traces_what",
        "libraries/test_programs::a_library_without_an_instrumentor_is_one_line_with_what_to_do",
        "libraries/test_programs::in_a_program_of_ones_own_configure_does_the_same",
    ),
    "Spans of other instrumentations": (
        "trace/test_outside::a_stream_that_was_not_bound_is_told_of",
        "libraries/test_programs::each_call_counts_once_with_its_tokens",
        "autostart/test_start::spans_of_plain_opentelemetry_are_recorded",
    ),
    "| an agent's stream": (
        "trace/test_streams",
        "trace/test_sync_streams",
        "trace/test_borders::bind_stream_of_a_function_binds_any_iterator_that_it_returns",
    ),
    "| task, `gather`": ("trace/test_borders::plain_tasks_groups_and_to_thread_carry_the_context",),
    "| a model client's stream": (
        "trace/test_replies::a_stream_that_is_left_ends_its_call",
        "libraries/test_programs::streams_of_real_clients_are_heard",
    ),
    "| thread, executor": (
        "trace/test_borders::every_kind_of_callable_runs_in_the_context_of_the_binding",
        "trace/test_borders::a_process_pool_gets_the_span_with_the_bound_function",
    ),
    "| child process": (
        "trace/test_borders::a_child_process_continues_the_trace",
        "trace/test_borders::a_child_process_records_under_its_parents_root",
        "views/test_without_session::a_session_of_a_child_process_is_a_run_within_a_run",
    ),
    "| MCP request": ("trace/test_borders::an_mcp_request_carries_the_calls_context",),
    "Nothing is recorded of a handle": (
        "trace/test_handle::any_order_of_steps_ends_and_gives_a_tree",
        "trace/test_facade::what_is_called_on_a_handle_that_was_never_entered_is_said",
        "trace/test_handle::a_copy_is_the_handle_itself",
        "trace/test_handle::a_handle_that_is_used_again_is_a_new_span_of_the_same_attributes",
        "trace/test_handle::a_pickled_handle_opens_work_below_the_span_and_does_nothing_to_it",
    ),
    "In every order of `configure()`": (
        "sinks/test_beside::in_every_order_there_is_one_tree",
        "sinks/test_beside::nothing_of_a_logfire_that_is_configured_is_dropped",
        "sinks/test_beside::what_cannot_be_in_the_tree_is_said_in_one_line",
    ),
    "Every span name and attribute": (
        "trace/test_facade::tags_are_those_of_logfire",
        "trace/test_names",
        "e2e/test_recorded_run::every_key_of_session_model_and_tool_calls",
        "trace/test_noop",
    ),
    "Telemetry never breaks the run": (
        "test_guard",
        "test_configuration::what_went_wrong_is_left_for_the_doctor",
        "views/test_doctor::what_a_process_swallowed_is_told",
        "e2e/test_exits::random_programs_end_as_they_do_untraced",
    ),
    "An argument of `configure()` wins": ("test_settings::an_argument_wins_over_the_variable_and_that_over_the_default",),
    "`.massgen/massgen_logs/log_": (
        "views/test_without_session::a_recording_without_a_session_is_listed_and_drawn",
        "views/test_without_session::child_processes_are_in_their_parents_tree_and_line",
        "sinks/test_format",
        "trace/test_scrub::nothing_of_a_span_carries_a_secret",
        "trace/test_scrub::patterns_of_ones_own_are_scrubbed_like_the_rest",
        "trace/test_scrub::what_was_scrubbed_is_counted_in_the_runs_summary",
        "trace/test_payload",
    ),
    "When a run has ended, `massgen-tracing compact`": (
        "views/test_cli::compact_seals_every_ended_run_and_says_what_it_saved",
        "store/test_seal::readers_seal_in_passing_only_what_has_settled",
        "sinks/test_ended::a_recording_is_sealed_when_its_program_has_ended",
        "store/test_seal::the_file_opens_elsewhere",
        "store/test_segments",
        "views/test_export",
    ),
    "`SELECT`s run on `records`": (
        "store/test_hostile",
        "store/test_run_column::the_column_is_in_a_star_only_where_it_is_named",
        "views/test_prompt",
        "e2e/test_dashboards",
    ),
    "`--root` of `sql`": ("store/test_foreign", "views/test_cli"),
    "- OTLP in JSON": ("store/test_foreign",),
    "- OTLP in protobuf": ("store/test_foreign",),
    "- any of these compressed": ("store/test_foreign",),
    "- sealed recordings under any name": ("store/test_foreign",),
    "Memory does not grow with such a file.": ("store/test_spilled", "store/test_foreign"),
    "`massgen-tracing logs analyze` writes": (
        "views/test_logs_commands::a_report_is_written_beside_the_attempts_and_not_over_another",
        "insight/test_findings::a_planted_fault_is_found_and_nothing_else",
        "insight/test_other_runs::what_is_there_is_found_and_nothing_else",
    ),
    "`logs analyze --mode prompt`": (
        "views/test_logs_commands::the_prompt_is_printed_and_nothing_is_written",
        "views/test_logs_commands::three_agents_add_their_judgement_in_a_run_of_their_own",
        "serve/test_mcp::a_trace_is_linked_to_where_the_server_shows_it",
    ),
    "`massgen-tracing mcp` gives": (
        "views/mcp/test_tools::from_narrow_to_wide",
        "views/mcp/test_tools::what_is_worth_a_look",
        "views/mcp/test_tools::two_runs_side_by_side",
        "views/mcp/test_tools::answers_are_bounded",
        "views/mcp/test_tools::all_of_what_is_left_out_can_be_had",
        "views/mcp/test_tools::what_was_recorded_is_marked_as_data",
        "views/mcp/test_tools::a_live_run_and_one_that_was_imported",
        "views/mcp/test_tools::files_of_other_programs",
    ),
    "The second line writes": ("views/mcp/test_skill", "views/mcp/test_protocol::every_tool_answers_of_a_real_run"),
    "Under the name `logfire`": (
        "views/mcp/test_tools::old_and_new_names",
        "views/mcp/test_tools::rows_as_logfires_server_gives_them",
        "serve/test_older_logfire::the_same_tools_say_the_same",
        "views/mcp/test_hosted",
        "views/mcp/test_protocol::hosted_logfire_by_the_command",
    ),
    "`massgen-tracing watch` follows": (
        "views/test_watch::lines_for_people",
        "views/test_watch::objects_for_programs",
        "views/test_watch::the_table",
        "runs/watch/test_terminals::patterns_of_names_mean_panes_that_come_later_too",
        "runs/watch/test_targets",
    ),
    "A state is `starting`": (
        "runs/watch/test_judge::what_outweighs_what",
        "runs/watch/test_judge::what_contradicts_is_shown",
        "runs/watch/test_judge::silence_is_idle_then_stalled_and_never_a_failure",
        "runs/watch/test_judge::the_checklist_says_yes_no_or_unknown",
        "views/test_watch::a_command_and_its_exit_code",
        "views/test_watch::wrong_use",
        "runs/watch/test_screens::screens_of_known_programs",
        "runs/watch/test_foreground::a_program_that_reads_its_terminal_waits_for_input",
        "runs/watch/test_foreground::a_prompt_of_a_program_that_waits_for_several_things",
    ),
    "Nothing that is watched is ever ended": (
        "runs/watch/test_terminals::nothing_is_signalled",
        "runs/watch/test_targets::processes_are_ended_only_where_that_is_asked_for",
        "runs/watch/test_targets::what_ignores_sigterm_is_killed",
        "views/test_watch::an_interruption_is_passed_on_to_a_command",
        "runs/watch/test_targets::thresholds_are_told_once_a_crossing",
        "runs/watch/test_targets::observations_and_decisions_are_kept",
    ),
    "Claude Code, Codex, Gemini CLI": (
        "runs/watch/test_screens::screens_of_known_programs",
        "runs/watch/test_screens::a_profile_of_ones_own",
        "runs/watch/test_transcripts::each_response_counts_once",
        "runs/watch/test_record::a_watched_agent_is_in_the_records",
    ),
    "Where one of these four is the COMMAND": (
        "runs/watch/test_telemetry",
        "runs/watch/test_record::a_command_that_sends_its_own_telemetry",
        "runs/watch/test_record::an_agent_under_exec",
        "runs/watch/test_record::what_the_program_has_recorded_itself_is_not_recorded_again",
    ),
    "From Python, `massgen_tracing.runs.watch": ("runs/watch/test_targets::a_workspace_over_time",),
    "`massgen-tracing logs import PATH…`": (
        "massgen/test_import_command::a_second_import_changes_nothing",
        "massgen/test_import_command::what_is_missing_is_said_in_the_runs_line",
        "massgen/test_import::a_run_is_found_by_any_part_of_its_path",
        "massgen/test_import_damage::losing_files_or_their_ends_only_ever_takes_away",
    ),
    "Every imported span has": (
        "massgen/test_import::every_span_says_that_it_is_imported",
        "massgen/test_import::no_model_call_is_invented",
        "massgen/test_import::tokens_by_agent_are_those_that_the_endpoint_counted",
    ),
    "| 0.1.97, 0.1.65": ("massgen/test_import::arguments_and_results_come_from_the_event_stream",),
    "| 0.1.32": ("massgen/test_import::answers_and_votes_are_those_of_the_event_log",),
    "| older, after": ("massgen/test_import::the_older_layout_gives_answers_and_votes_from_the_agents_directories",),
    "[`collector/`]": (
        "collector/test_round_trip::the_tree_is_the_recorded_one",
        "collector/test_queue::a_kill_while_jaeger_is_down_loses_nothing",
        "collector/test_demo::the_demo_shows_the_run_as_jaeger_has_it",
    ),
    "`massgen-tracing sql --backend clickhouse`": (
        "store/test_clickhouse::answers_are_those_of_the_recording",
        "collector/test_clickhouse::a_run_has_the_same_answers",
    ),
    "The recording is the queue": (
        "delivery/test_push::an_owed_recording_is_not_sealed_and_a_sealed_one_is_pushed",
        "delivery/test_push::a_redirect_is_no_success",
        "delivery/test_push::a_batch_that_is_too_large_is_split",
        "delivery/test_push::logfire_is_not_sent_what_it_would_drop",
        "delivery/test_push::what_a_backend_is_owed_can_be_given_up",
        "views/test_doctor::what_is_owed_and_refused_is_told_with_the_next_step",
    ),
    "Ratios, each measured": ("benchmarks/test_benchmarks",),
    "| a span, recorded": ("benchmarks/test_benchmarks",),
    "| the same | `logfire.span`": ("benchmarks/test_benchmarks",),
    "| a disabled call": ("benchmarks/test_benchmarks",),
    "| a step of a bound stream": ("benchmarks/test_benchmarks",),
    "| `import massgen_tracing`": ("benchmarks/test_benchmarks",),
    "| a run of real MassGen": ("benchmarks/test_benchmarks",),
    "`massgen-tracing view` (the extra": (
        "views/web/test_view_command",
        "views/web/test_pages::the_runs_are_listed_and_one_opens",
        "views/web/test_pages::the_timeline_draws_what_the_spans_are",
        "views/web/test_pages::errors_come_first_and_lead_to_their_spans",
        "views/web/test_pages::the_critical_path_stands_out",
        "views/web/test_pages::a_run_is_played_again",
        "views/web/test_pages::a_live_run_changes_as_it_goes_on",
        "views/web/test_pages::the_decision_is_a_picture",
        "views/web/test_pages::answers_are_read_with_who_voted_for_them",
        "views/web/test_pages::cost_is_told_by_agent_and_model_with_what_is_unknown",
        "views/web/test_pages::findings_lead_to_their_evidence",
    ),
    "A click shows a span in full": (
        "views/web/test_pages::a_click_in_the_timeline_shows_the_span_and_the_address_keeps_it",
        "views/web/test_pages::a_conversation_is_read_as_one_and_nothing_in_it_is_markup",
        "views/web/test_pages::a_long_value_says_how_much_more_there_is",
        "views/web/test_pages::words_and_values_are_found_in_a_run",
        "views/web/test_pages::a_link_of_logfires_form_opens_the_trace",
        "views/web/test_pages::the_list_of_spans_is_walked_by_keys",
        "views/web/test_pages::every_page_fits_a_narrow_screen",
        "views/web/test_access::axe_finds_nothing_in_light_or_dark",
        "views/web/test_access::the_keyboard_reaches_everything_and_it_is_seen_where_one_is",
    ),
    "Further pages: SQL": (
        "views/web/test_pages::sql_is_asked_from_the_queries_at_hand",
        "views/web/test_pages::a_statement_is_completed_and_a_wrong_one_is_explained",
        "views/web/test_pages::the_dashboards_are_drawn",
        "views/web/test_pages::two_runs_are_compared_from_the_list",
        "views/web/test_pages::nothing_that_spans_say_is_markup_anywhere",
    ),
    "`massgen-tracing serve` (the extra": (
        "serve/test_sdk::logfires_sdk_sends_here",
        "serve/test_ingest::spans_are_asked_for_as_soon_as_they_are_acknowledged",
        "serve/test_ingest::logs_and_metrics_are_taken",
        "serve/test_grpc",
        "serve/test_ingest::what_cannot_be_read_is_counted_and_named",
        "serve/test_acknowledged::both_forms_are_judged_alike",
        "serve/test_ingest::an_open_span_is_pending_until_its_end_comes",
        "serve/test_durability::a_server_that_is_killed_has_everything_that_it_has_acknowledged",
        "serve/test_durability::each_trace_is_a_run",
        "collector/test_serve::what_the_collector_hands_on_is_recorded_as_it_was_sent",
    ),
    "What Claude Code, Codex": (
        "serve/test_coding_agents::what_agents_sent_counts_once",
        "serve/test_coding_agents::what_agents_send_counts_once",
    ),
    "Logfire's query clients ask it": ("serve/test_queries",),
    "Coding assistants ask it at `/mcp`": (
        "serve/test_mcp::an_assistant_asks_of_what_was_sent",
        "serve/test_mcp::the_servers_checks_hold",
    ),
    "It listens on this machine only": (
        "serve/test_guarding",
        "serve/test_hostile",
        "serve/test_queries::few_questions_are_answered_at_once",
    ),
}
"""How each paragraph, item or row of the README begins, and the tests that hold what it says: modules, or single tests of them."""


def said() -> list[str]:
    """The paragraphs, items and rows of the README, without headings, programs and the tables that are made of the code."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    found: list[str] = []
    for block in filter(None, map(str.strip, re.split(r"\n\s*\n", text))):
        if block.startswith("|"):
            found += block.splitlines()[2:]
        elif not block.startswith("#"):
            found += re.split(r"\n(?=- )", block)
    return found


@cache
def in_module(module: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"))


def test_each_claim_has_its_tests() -> None:
    """No paragraph is without, and no claim stands here that the README does not make any more."""
    blocks = said()
    without = [block[:80] for block in blocks if not block.startswith((*CLAIMS, *NO_CLAIM))]
    gone = [begin for begin in CLAIMS if sum(block.startswith(begin) for block in blocks) != 1]
    assert (without, gone) == ([], [])


@pytest.mark.parametrize("begin", CLAIMS)
def test_the_tests_of_a_claim_are_there(begin: str) -> None:
    """By their names, so that whoever changes one sees what it stands for."""
    for named in CLAIMS[begin]:
        module, _, test = named.partition("::")
        found = in_module(module)
        assert found if not test else f"test_{test}" in found, named
