"""What an import makes of a run says what the run's own files say, in the tree of a traced run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from massgen_tracing import semconv
from massgen_tracing.runs.massgen import imports
from tests.massgen import runs

answered = pytest.mark.parametrize("name", runs.ANSWERED)
everything = pytest.mark.parametrize("name", runs.ALL)


@everything
def test_all_that_is_made_nests_by_ancestor_and_by_time(name: str) -> None:
    """One session, one trace, every span inside of its parent, rounds directly under the session."""
    made = runs.read(runs.DATA / name)
    assert made.spans
    assert runs.misplaced(made) == []
    assert len({span.trace_id for span in made.spans}) == 1
    assert len({span.span_id for span in made.spans}) == len(made.spans)
    (session,) = runs.spans(made, semconv.SESSION)
    assert {span.parent.span_id for span in runs.spans(made, "agent.")} <= {session.span_id}


@everything
def test_every_span_says_that_it_is_imported(name: str) -> None:
    """So that nobody takes it for a traced one; what is estimated is one of the documented words."""
    for span in runs.read(runs.DATA / name).spans:
        assert span.attributes[semconv.IMPORTED] is True
        assert set(span.attributes.get(semconv.ESTIMATED, ())) <= set(semconv.ESTIMATES)


@answered
def test_answers_and_votes_are_those_of_the_event_log(name: str) -> None:
    """Each with its agent, its label or target, its words, at its moment, under a round of that agent that ended so."""
    made = runs.read(runs.DATA / name)
    events = runs.document(runs.DATA / name, "coordination_events.json")["events"]
    answers = [(e["agent_id"], e["context"]["label"], round(e["timestamp"], 5)) for e in events if e["event_type"] == "new_answer"]
    votes = [(e["agent_id"], e["context"]["voted_for_label"], e["context"]["reason"]) for e in events if e["event_type"] == "vote_cast"]
    ignored = [e["agent_id"] for e in events if e["event_type"] == "vote_ignored"]
    got = runs.spans(made, "Agent answer: ")
    assert answers == [(s.attributes[semconv.AGENT_ID], s.attributes[semconv.ANSWER_LABEL_KEY], round(s.start_time / 1e9, 5)) for s in got]
    assert all(s.attributes[semconv.ANSWER_PREVIEW] for s in got)
    got = runs.spans(made, "Agent vote: ")
    assert votes == [tuple(s.attributes[key] for key in (semconv.AGENT_ID, semconv.VOTED_FOR_LABEL, semconv.VOTE_REASON)) for s in got]
    assert ignored == [s.attributes[semconv.AGENT_ID] for s in runs.spans(made, "Coordination event: vote_ignored")]
    outcomes = Counter(s.attributes[semconv.OUTCOME] for s in runs.spans(made, "agent.") if not s.name.endswith("presentation"))
    assert (outcomes["answer"], outcomes["vote"]) == (len(answers), len(votes))
    assert (made.answers, made.votes) == (len(answers), len(votes))


@answered
def test_rounds_are_the_executions_that_began(name: str) -> None:
    """One for each time that an agent was given its context, numbered from 0 for each agent, with what it saw; and the presentation."""
    made = runs.read(runs.DATA / name)
    events = runs.document(runs.DATA / name, "coordination_events.json")["events"]
    begun = [(e["agent_id"], tuple(e["context"]["available_answer_labels"])) for e in events if e["event_type"] == "context_received"]
    rounds = [s for s in runs.spans(made, "agent.") if not s.name.endswith("presentation")]
    assert Counter(begun) == Counter((s.attributes[semconv.AGENT_ID], tuple(s.attributes.get(semconv.CONTEXT_LABELS, ()))) for s in rounds)
    for agent in {agent for agent, _ in begun}:
        own = [s for s in rounds if s.attributes[semconv.AGENT_ID] == agent]
        assert [s.name for s in own] == [f"agent.{agent}.round_{number}" for number in range(len(own))]
        assert [s.attributes[semconv.ROUND] for s in own] == list(range(len(own)))
    (presentation,) = [s for s in runs.spans(made, "agent.") if s.name.endswith("presentation")]
    assert presentation.attributes[semconv.IS_WINNER] is True
    assert made.rounds == len(begun) + 1


@answered
def test_measured_rounds_have_the_times_of_their_metrics(name: str) -> None:
    """Each round of the metrics is one span, which ends when they say, and has their tokens."""
    made = runs.read(runs.DATA / name)
    rounds = runs.spans(made, "agent.")
    for row in runs.document(runs.DATA / name, "metrics_events.json")["round_completions"]:
        (span,) = [s for s in rounds if s.attributes[semconv.AGENT_ID] == row["agent_id"] and abs(s.end_time / 1e9 - row["end_time"]) < 1e-5]
        assert span.start_time / 1e9 <= row["start_time"]
        assert span.attributes.get(semconv.USAGE_INPUT, 0) == row["input_tokens"]
        assert span.attributes[semconv.ROUND_TYPE] == row["round_type"]
        assert semconv.ESTIMATED not in span.attributes


@answered
def test_tokens_by_agent_are_those_that_the_endpoint_counted(name: str) -> None:
    """Also of the rounds that MassGen did not measure, because their votes were ignored."""
    counted = json.loads((runs.DATA / name / "endpoint.json").read_text())
    rounds = runs.spans(runs.read(runs.DATA / name), "agent.")
    keys = {"input": semconv.USAGE_INPUT, "output": semconv.USAGE_OUTPUT, "reasoning": semconv.USAGE_REASONING, "cached": semconv.USAGE_CACHED_INPUT}
    for agent, known in counted.items():
        own = [s.attributes for s in rounds if s.attributes[semconv.AGENT_ID] == agent]
        assert {what: sum(values.get(key, 0) for values in own) for what, key in keys.items()} == {what: known[what] for what in keys}


@answered
def test_tool_calls_are_those_that_the_model_asked_for(name: str) -> None:
    """Each one wrapper and one MCP call below it, under a round of the agent that made it, as long as the metrics say."""
    counted = json.loads((runs.DATA / name / "endpoint.json").read_text())
    made = runs.read(runs.DATA / name)
    wrappers, calls = runs.spans(made, "Tool execution: "), runs.spans(made, "mcp.")
    asked = Counter((agent, tool) for agent, known in counted.items() for tool in known["tools"])
    assert asked == Counter((s.attributes[semconv.AGENT_ID], s.attributes[semconv.GEN_AI_TOOL_NAME]) for s in wrappers)
    assert {s.parent.span_id for s in calls} == {s.span_id for s in wrappers}
    assert Counter(tool.replace("mcp__", "mcp.", 1).replace("__", ".", 1) for tool in asked.elements() for tool in [tool[1]]) == Counter(
        s.name for s in calls
    )
    rows = runs.document(runs.DATA / name, "metrics_events.json")["tool_executions"]
    took = sorted(round(row["end_time"] - row["start_time"], 4) for row in rows)
    assert took == sorted(round((s.end_time - s.start_time) / 1e9, 4) for s in calls)


@pytest.mark.parametrize("name", ["v0_1_97_normal", "v0_1_65_normal"])
def test_arguments_and_results_come_from_the_event_stream(name: str) -> None:
    """Versions that write `events.jsonl` tell what tools were called with and what they gave back."""
    for span in runs.spans(runs.read(runs.DATA / name), "mcp.notes.write_file"):
        agent = span.attributes[semconv.AGENT_ID]
        assert f"notes of {agent}" in span.attributes[semconv.GEN_AI_TOOL_ARGUMENTS]
        assert "Wrote 16 characters" in span.attributes[semconv.GEN_AI_TOOL_RESULT]


@answered
def test_the_session_says_who_won_and_how(name: str) -> None:
    """Question, agents, winner with label and votes, version and layout, as the run's files have them."""
    status = runs.document(runs.DATA / name, "status.json")
    made = runs.read(runs.DATA / name)
    (session,) = runs.spans(made, semconv.SESSION)
    values = session.attributes
    assert values[semconv.TASK] == status["meta"]["question"]
    assert values[semconv.AGENT_IDS] == list(status["agents"])
    assert values[semconv.WINNER] == status["results"]["winner"]
    assert values[semconv.VOTES] == status["results"]["votes"]
    assert values[semconv.WINNER_LABEL] == status["agents"][status["results"]["winner"]]["latest_answer_label"]
    assert values[semconv.IMPORTED_LAYOUT] == "attempts"
    assert values[semconv.MASSGEN_VERSION] == ".".join(name.split("_")[:3]).removeprefix("v")
    assert values[semconv.MODEL_CALLS] == runs.document(runs.DATA / name, "metrics_summary.json")["api_timing"]["total_calls"]
    assert semconv.IMPORTED_MISSING not in values
    assert semconv.ESTIMATED not in values
    assert made.missing == ()
    assert [s.name for s in runs.spans(made, "Winner selected")] == [f"Winner selected: {values[semconv.WINNER_LABEL]}"]
    assert [s.name for s in runs.spans(made, "Final answer")] == [f"Final answer from {values[semconv.WINNER]}"]


@everything
def test_no_model_call_is_invented(name: str) -> None:
    """The files count model calls and do not tell one from another."""
    assert runs.spans(runs.read(runs.DATA / name), "llm.") == []


@pytest.mark.parametrize("name", ["v0_1_32_fail", "v0_1_97_fail"])
def test_a_failing_agent_is_an_error_and_the_others_are_not(name: str) -> None:
    """Its last round says why; it has neither answer nor vote."""
    rounds = runs.spans(runs.read(runs.DATA / name), "agent.")
    failed = [s for s in rounds if s.status.status_code.name == "ERROR"]
    assert [(s.attributes[semconv.AGENT_ID], s.attributes[semconv.OUTCOME]) for s in failed] == [("agent_c", "error")]
    assert "failed to use workflow tools after 3 attempts" in failed[0].attributes[semconv.ERROR_MESSAGE]


def test_enforcement_stands_in_the_round_in_which_it_happened() -> None:
    """With reason, attempt and what the agent was told, as `status.json` has it."""
    name = "v0_1_97_fail"
    agents = runs.document(runs.DATA / name, "status.json")["agents"]
    told = [
        (agent, attempt["reason"], attempt["attempt"], attempt["error_message"])
        for agent, about in agents.items()
        for attempt in (about["reliability"] or {}).get("enforcement_attempts", ())
    ]
    made = runs.spans(runs.read(runs.DATA / name), "Coordination event: enforcement")
    keys = (semconv.AGENT_ID, semconv.ENFORCEMENT_REASON, semconv.ENFORCEMENT_ATTEMPT, semconv.ERROR_MESSAGE)
    assert told
    assert told == [tuple(s.attributes.get(key) for key in keys) for s in made]


def test_a_reason_that_is_not_documented_is_kept_as_it_is() -> None:
    """A version's own reason is no reason to leave the event out."""
    agents = runs.document(runs.DATA / "v0_1_65_normal", "status.json")["agents"]
    told = Counter(attempt["reason"] for about in agents.values() for attempt in (about["reliability"] or {}).get("enforcement_attempts", ()))
    made = runs.spans(runs.read(runs.DATA / "v0_1_65_normal"), "Coordination event: enforcement")
    assert told == Counter(s.attributes[semconv.ENFORCEMENT_REASON] for s in made)


def test_injections_stand_in_the_round_that_received_them() -> None:
    """An answer that reached an agent in the middle of its round did not restart it."""
    made = runs.read(runs.DATA / "v0_1_32_normal")
    (injected,) = runs.spans(made, "Coordination event: update_injected")
    (rnd,) = [s for s in made.spans if s.span_id == injected.parent.span_id]
    assert (rnd.name, rnd.attributes[semconv.OUTCOME]) == ("agent.agent_a.round_1", "vote")


@pytest.mark.parametrize("name", ["v0_1_65_normal", "v0_1_97_normal", "v0_1_97_two", "v0_1_32_fail"])
def test_restarts_are_the_rounds_that_were_given_up(name: str) -> None:
    """Not the signals, of which every answer gives one to every agent."""
    made = runs.read(runs.DATA / name)
    given_up = [s for s in runs.spans(made, "agent.") if s.attributes.get(semconv.OUTCOME) == "restarted"]
    restarts = runs.spans(made, "Agent restart: ")
    assert given_up
    assert sorted(s.span_id for s in given_up) == sorted(s.parent.span_id for s in restarts)
    assert all(s.attributes[semconv.RESTART_BY] != s.attributes[semconv.AGENT_ID] for s in restarts)


def test_a_run_out_of_time_says_so() -> None:
    """Its rounds have the outcome `timeout` with MassGen's words; their ends are not told."""
    made = runs.read(runs.DATA / "v0_1_97_timeout")
    rounds = runs.spans(made, "agent.")
    assert [(s.name, s.attributes[semconv.OUTCOME], s.attributes[semconv.ERROR_MESSAGE]) for s in rounds] == [
        (f"agent.{agent}.round_0", "timeout", "Time limit exceeded (4.0s/4s)") for agent in ("agent_a", "agent_b", "agent_c")
    ]
    assert {tuple(s.attributes[semconv.ESTIMATED]) for s in rounds} == {("end",)}
    assert len(runs.spans(made, "Coordination event: coordination_timeout")) == 1
    assert any("metrics_events.json" in sentence for sentence in made.missing)


def test_a_run_of_which_all_agents_failed_has_their_errors() -> None:
    """MassGen leaves nothing but the event stream, in local time; that the zone was guessed is said."""
    made = runs.read(runs.DATA / "v0_1_97_all_fail")
    assert [s.attributes[semconv.OUTCOME] for s in runs.spans(made, "agent.")] == ["error"] * 3
    assert any("time zone" in sentence for sentence in made.missing)
    (session,) = runs.spans(made, semconv.SESSION)
    assert session.attributes[semconv.ESTIMATED] == ["end", "start"]
    assert session.attributes[semconv.IMPORTED_MISSING] == list(made.missing)


def test_where_only_logs_are_left_the_session_is_what_remains() -> None:
    """0.1.32 without any answer: question and agents, and from a log's last line how long it took."""
    made = runs.read(runs.DATA / "v0_1_32_all_fail")
    (session,) = runs.spans(made, semconv.SESSION)
    assert session.attributes[semconv.TASK].startswith("Which storage layout")
    assert session.attributes[semconv.AGENT_IDS] == ["agent_a", "agent_b", "agent_c"]
    assert 0 < session.end_time - session.start_time < 10e9


def test_local_times_are_put_into_the_zone_that_the_other_files_tell(tmp_path: Path) -> None:
    """A run of another zone: the stream's calls fall into their rounds all the same."""
    run = runs.copy("v0_1_97_normal", tmp_path)
    stream = runs.attempt(run) / "events.jsonl"
    stream.write_text(stream.read_text().replace("T12:", "T21:"))
    (runs.attempt(run) / "metrics_events.json").unlink()
    for vote in runs.attempt(run).glob("agent_*/*/vote.json"):
        vote.write_text(vote.read_text().replace("20261121_12", "20261121_21"))
    made = runs.read(run)
    assert made.tools == 6
    assert runs.misplaced(made) == []
    calls = runs.spans(made, "mcp.")
    assert Counter(s.attributes[semconv.AGENT_ID] for s in calls) == {"agent_a": 2, "agent_b": 3, "agent_c": 1}
    assert all(semconv.ROUND in s.attributes for s in calls)


# --- the older layout --------------------------------------------------------------------------------------------------------------


def test_the_older_layout_gives_answers_and_votes_from_the_agents_directories(tmp_path: Path) -> None:
    """Every answer once, although the status counts them too, with text and moment; how long each took is an estimate."""
    made = runs.read(runs.older(tmp_path))
    assert sorted(runs.labels(made)) == [f"agent{place}.{number}" for place in (1, 2) for number in range(1, 6)]
    assert [s.attributes[semconv.ANSWER_PREVIEW] for s in runs.spans(made, "Agent answer: agent1.")] == [
        f"answer {n} of agent_a" for n in range(1, 6)
    ]
    assert (made.answers, made.votes, made.rounds) == (10, 2, 13)
    assert runs.misplaced(made) == []
    (session,) = runs.spans(made, semconv.SESSION)
    assert session.attributes[semconv.IMPORTED_LAYOUT] == "flat"
    assert session.attributes[semconv.WINNER_LABEL] == "agent2.5"
    assert made.place.run.run_id == "log_20251105_074751_835636"
    assert all("start" in s.attributes[semconv.ESTIMATED] for s in runs.spans(made, "agent."))


def test_a_status_alone_gives_what_it_counts(tmp_path: Path) -> None:
    """Answers, votes and the winner in their order; every time is an estimate."""
    run = runs.older(tmp_path, directories=False, answers=2)
    made = runs.read(run)
    assert (made.answers, made.votes) == (4, 2)
    assert all(s.attributes[semconv.ESTIMATED] == ["start"] for s in runs.spans(made, "Agent answer: "))
    assert runs.misplaced(made) == []


def test_a_layout_with_turns_and_without_attempts(tmp_path: Path) -> None:
    """Each turn is a coordination, and a trace, of its own."""
    run = runs.older(tmp_path, answers=1)
    for turn in (1, 2):
        (run / f"turn_{turn}").mkdir()
        for name in ("status.json", "final", "agent_a", "agent_b"):
            if turn == 1:
                (run / name).rename(run / "turn_1" / name)
    (run / "turn_2" / "status.json").write_text((run / "turn_1" / "status.json").read_text())
    places = imports.find(run)
    assert [(place.layout, place.run.turn) for place in places] == [("turns", 1), ("turns", 2)]
    made = [imports.read(place) for place in places]
    assert all(each.answers == 2 for each in made)
    assert len({span.trace_id for each in made for span in each.spans}) == 2


# --- where runs are found ----------------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_any_part_of_its_path(tmp_path: Path) -> None:
    """A root, its log directory, the run, the turn and the attempt name the same one."""
    run = runs.copy("v0_1_97_two", tmp_path)
    attempt = runs.attempt(run)
    names = {place.directory for path in (run, run / "massgen_logs", *list(attempt.parents)[:2], attempt) for place in imports.find(path)}
    assert names == {attempt}
    (tmp_path / "project").mkdir()
    run.rename(tmp_path / "project" / ".massgen")
    assert [place.run.run_id for place in imports.find(tmp_path / "project")] == ["log_20261121_124714_708867"]


def test_a_later_turn_and_attempt_are_traces_of_their_own(tmp_path: Path) -> None:
    """Ids come from the run's name, turn and attempt."""
    run = runs.copy("v0_1_97_two", tmp_path)
    first = runs.attempt(run)
    first.with_name("attempt_2").mkdir()
    for path in first.iterdir():
        if path.is_file():
            (first.with_name("attempt_2") / path.name).write_bytes(path.read_bytes())
    made = [imports.read(place) for place in imports.find(run)]
    assert [each.place.name.rpartition("/")[2] for each in made] == ["attempt_1", "attempt_2"]
    assert not {span.span_id for span in made[0].spans} & {span.span_id for span in made[1].spans}


def test_additive_providers_are_normalised(tmp_path: Path) -> None:
    """Claude's input tokens leave out the cached ones: both are added up, and MassGen's figures kept beside."""
    run = runs.copy("v0_1_97_two", tmp_path)
    metadata = runs.attempt(run) / "execution_metadata.yaml"
    metadata.write_text(metadata.read_text().replace("type: chatcompletion", "type: claude"))
    rnd = runs.spans(runs.read(run), "agent.agent_a.round_0")[0]
    assert rnd.attributes[semconv.USAGE_RAW] == {"input_tokens": 230, "cached_input_tokens": 14}
    assert (rnd.attributes[semconv.USAGE_INPUT], rnd.attributes[semconv.USAGE_CACHED_INPUT]) == (244, 14)
