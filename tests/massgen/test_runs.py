"""Real MassGen, end to end: the recording against what the endpoint, the MCP servers and MassGen's own files say.

Each test holds for every run of `rehearsal.cases`; a run is carried out once, whatever looks at it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from urllib.parse import urlsplit

import pytest

from massgen_tracing.model import SpanRecord
from rehearsal.run import QUESTION, Ran
from tests.massgen import evidence
from tests.massgen.evidence import Tree, agent_of, end
from tests.messages import checked

pytestmark = pytest.mark.massgen


@pytest.fixture
def tree(ran: Ran) -> Tree:
    return Tree(ran.spans)


def test_the_program_ends_as_it_does_without_us(ran: Ran) -> None:
    """Exit code 0, nothing of ours on either stream, nothing swallowed, and every span ended."""
    assert ran.code == 0, ran.stderr
    assert "massgen_tracing" not in ran.stderr
    assert "massgen-tracing" not in ran.stderr
    assert "massgen-tracing" not in ran.stdout
    assert not list(ran.place.rglob("tracing_problems.jsonl"))
    assert ran.recording.report.skipped == 0
    assert {span.state for span in ran.spans} == {"ended"}


def test_nothing_of_ours_is_imported_while_agents_work(ran: Ran) -> None:
    """What an import costs is paid before the first request: agents that wait for it may meet others than they would."""
    first = min(request["began_ns"] for request in ran.requests)
    assert [name for process in ran.witness for name, at in process["imported"] if first < at <= max(span.end_ns or 0 for span in ran.spans)] == []
    assert any(name == "massgen_tracing.prices" for process in ran.witness for name, _at in process["imported"])


@pytest.mark.part("tree")
def test_one_session_in_one_trace(ran: Ran, tree: Tree) -> None:
    """One question is one session, the root of the only trace, named as MassGen was asked."""
    (session,) = tree.sessions
    assert {span.trace_id for span in tree.spans} == {session.trace_id}
    assert session.attributes["massgen.task"] == QUESTION
    assert session.attributes["massgen.agent_ids"] == tuple(sorted({request["agent_id"] for request in ran.requests}))


@pytest.mark.part("tree")
def test_everything_lies_in_its_agents_round(ran: Ran, tree: Tree) -> None:
    """Whatever an agent's round did is its descendant and lies in its time; rounds are children of the session."""
    assert evidence.misplaced(tree) == []


@pytest.mark.part("calls")
def test_every_request_is_one_model_call(ran: Ran, tree: Tree) -> None:
    """Nothing that the endpoint was asked is missing, nothing is there twice, and what it sent back is there."""
    found, alone = evidence.requests_and_spans(ran, tree)
    assert alone == []
    assert [span.name for span in tree.spans if span.attributes.get("gen_ai.operation.name") == "chat" and span not in tree.model_calls] == []
    for request, span in found:
        assert span.name == f"llm.{ran.setup.backend(request['agent_id']).provider}.stream"
        assert span.start_ns <= request["began_ns"]
        rnd = tree.above(span, "agent.")
        assert rnd is not None
        assert agent_of(rnd) == request["agent_id"]
        assert rnd.start_ns <= request["began_ns"] <= end(rnd)
        assert span.attributes["massgen.round"] == rnd.attributes["massgen.round"]
        assert span.attributes["gen_ai.request.model"] == request["model"]
        server = urlsplit(request["server"])
        assert (span.attributes["server.address"], span.attributes["server.port"]) == (server.hostname, server.port)
        if request["status"] != 200:
            assert span.status_code == 2
            assert str(request["status"]) in str(span.attributes["error.type"]) or "Error" in str(span.attributes["error.type"])
        elif request["broken"]:
            assert span.status_code == 2
            assert str(span.attributes["error.type"]).endswith("Error")
        elif request["usage"]:
            assert span.attributes["gen_ai.response.finish_reasons"] == (request["finish"],)
            assert span.attributes["gen_ai.response.model"] == request["model"]
            assert 0 < float(str(span.attributes["gen_ai.response.time_to_first_chunk"])) <= (end(span) - span.start_ns) / 1e9


@pytest.mark.part("tools")
def test_every_tool_call_is_one_span(ran: Ran, tree: Tree) -> None:
    """Each call that an MCP server had is one span of the round that made it, parallel ones too; one that failed says so."""
    found, alone = evidence.tools_and_spans(ran, tree)
    assert alone == []
    for entry, span in found:
        assert span.attributes["gen_ai.tool.name"] == entry["tool"]
        assert span.attributes["mcp.method.name"] == "tools/call"
        assert (span.attributes.get("error.type") == "tool_error") is (entry["tool"] == "fail")


@pytest.mark.part("calls")
def test_tokens_are_the_endpoints(ran: Ran, tree: Tree) -> None:
    """For each agent, model calls add up to what the endpoint sent, and rounds to the same: differences, not running totals."""
    sums = evidence.tokens(ran, tree)
    assert sums["calls"] == sums["endpoint"]
    assert sums["rounds"] == sums["endpoint"]


@pytest.mark.part("calls")
def test_what_models_are_sent_and_say_is_in_the_conventions_terms(ran: Ran, tree: Tree) -> None:
    """Of every backend: messages with a role and parts; of a reply its tool calls too, of one that is nothing else."""
    found, _ = evidence.requests_and_spans(ran, tree)
    for request, span in found:
        sent = checked(span.attributes["gen_ai.input.messages"])
        assert {message["role"] for message in sent} <= {"system", "user", "assistant", "tool"}
        if request["finished"] and request["status"] == 200:
            (said,) = checked(span.attributes["gen_ai.output.messages"], output=True)
            assert said["role"] == "assistant"
            called = [part["name"] for part in said["parts"] if part["type"] == "tool_call"]
            # Of Gemini MassGen asks for answers and votes as JSON text.
            assert called == request["calls"] or (span.attributes["gen_ai.provider.name"] == "gcp.gemini" and said["parts"][-1]["type"] == "text")
            assert said.get("finish_reason") or not span.attributes.get("gen_ai.response.finish_reasons")


@pytest.mark.part("calls")
def test_model_calls_last_until_their_stream_ends(ran: Ran, tree: Tree) -> None:
    """Time in model calls is at least 99 % of the time in which the endpoint was answering."""
    found = [(request, span) for request, span in evidence.requests_and_spans(ran, tree)[0] if request["finished"]]
    # Of a stream that its client has left, the endpoint knows only when it noticed.
    answering = sum(request["ended_ns"] - request["began_ns"] for request, _ in found)
    covered = sum(max(0, min(end(span), request["ended_ns"]) - max(span.start_ns, request["began_ns"])) for request, span in found)
    assert covered >= 0.99 * answering


def test_nothing_is_left_behind(ran: Ran) -> None:
    """No reset of a context failed, counted before any filter, and no span is current when MassGen's main coroutine has ended."""
    assert ran.witness
    for process in ran.witness:
        assert process["failed_detaches"] == 0
        assert process["left_current"] == []


@pytest.mark.part("tree")
def test_rounds_are_numbered_and_have_unique_names(ran: Ran, tree: Tree) -> None:
    """From 0 for each agent, the presentation counted with the others, in order of time; each name once in a run."""
    names = Counter(span.name for span in tree.rounds)
    assert [name for name, count in names.items() if count > 1] == []
    for agent_id in {request["agent_id"] for request in ran.requests}:
        executions = tree.named(f"agent.{agent_id}.")
        assert [span.attributes["massgen.round"] for span in executions] == list(range(len(executions)))
        for number, span in enumerate(executions):
            assert span.name in {f"agent.{agent_id}.round_{number}", f"agent.{agent_id}.presentation"}


@pytest.mark.part("tree")
def test_outcomes_answers_and_votes_are_massgens_own(ran: Ran, tree: Tree) -> None:
    """Answers, counted votes, ignored votes and injections, for each agent as often as MassGen has written down itself; the winner is its winner."""
    events = evidence.own_events(ran)
    if not events:
        pytest.skip("MassGen itself wrote nothing about this run")
    assert evidence.points(tree, "Agent answer: ") == evidence.counted(events, "new_answer")
    assert evidence.points(tree, "Agent vote: ") == evidence.counted(events, "vote_cast")
    assert evidence.points(tree, "Coordination event: vote_ignored") == evidence.counted(events, "vote_ignored")
    assert evidence.points(tree, "Coordination event: update_injected") == evidence.counted(events, "update_injected")
    (session,) = tree.sessions
    won = re.search(r"^WINNER: (\S+)$", ran.stdout, re.MULTILINE)
    assert session.attributes.get("massgen.winner") == (won[1] if won else None)
    votes = {str(span.attributes["massgen.voted_for"]) for span in tree.named("Agent vote: ")}
    assert votes <= set(session.attributes["massgen.agent_ids"])  # type: ignore[arg-type]
    coordinated = [span for span in tree.rounds if span.attributes["massgen.round_type"] in {"initial_answer", "voting"}]
    outcomes = Counter((str(agent_of(span)), span.attributes.get("massgen.outcome")) for span in coordinated)
    for kind, event in (("answer", "new_answer"), ("vote", "vote_cast")):
        assert Counter({agent: count for (agent, outcome), count in outcomes.items() if outcome == kind}) == evidence.counted(events, event)
    assert None not in {outcome for _, outcome in outcomes}


@pytest.mark.part("tree")
def test_a_round_that_has_to_begin_again_was_restarted(ran: Ran, tree: Tree) -> None:
    """An agent whose backend cannot be told of news while it works gives the round up, at times before it has asked its model."""
    told = "\n".join(log.read_text() for log in ran.place.glob(".massgen/massgen_logs/*/turn_*/attempt_*/massgen.log"))
    given_up = Counter(re.findall(r"Agent (\w+) backend has no hooks - restarting", told))
    restarted = Counter(str(agent_of(span)) for span in tree.rounds if span.attributes.get("massgen.outcome") == "restarted")
    assert given_up <= restarted


def test_enforcement_is_there_with_its_reasons(ran: Ran, tree: Tree) -> None:
    """Each time MassGen made an agent try again, in order, with the reason in its own status file, as far as that was written."""
    status = evidence.own_status(ran)
    if not status:
        pytest.skip("MassGen itself wrote no status of this run")
    own: dict[str, list[str]] = defaultdict(list)
    for agent_id, agent in status.get("agents", {}).items():
        own[agent_id] = [attempt["reason"] for attempt in (agent.get("reliability") or {}).get("enforcement_attempts", [])]
    told: dict[str, list[SpanRecord]] = defaultdict(list)
    for span in tree.named("Coordination event: enforcement"):
        told[str(agent_of(span))].append(span)
    for agent_id in own.keys() | told.keys():
        known, later = told[agent_id][: len(own[agent_id])], told[agent_id][len(own[agent_id]) :]
        assert [span.attributes["massgen.enforcement.reason"] for span in known] == own[agent_id]
        # A run whose agents failed may get no last write. A thread makes the file, so that its time is a little later than what it says.
        written = (status["meta"]["last_updated"] - 1) * 1e9
        assert all(status["finish_reason"] in {"in_progress", "error"} and span.start_ns > written for span in later), (agent_id, later)


@pytest.mark.part("tree")
def test_errors_are_where_they_happened(ran: Ran, tree: Tree) -> None:
    """A round fails, with a message, where none of its agent's requests was answered, unless an answer restarts it before; no other round does."""
    refused = {request["agent_id"] for request in ran.requests} - {request["agent_id"] for request in ran.requests if request["status"] == 200}
    assert refused <= {agent_of(span) for span in tree.rounds if span.attributes.get("massgen.outcome") == "error"}
    for span in tree.rounds:
        failed = span.attributes.get("massgen.outcome") == "error"
        restarted = span.attributes.get("massgen.outcome") == "restarted"
        assert failed is (agent_of(span) in refused and not restarted), (span.name, span.attributes.get("massgen.outcome"))
        if failed:
            assert span.attributes["massgen.error_message"]
            assert span.status_code == 2


@pytest.mark.part("tree")
def test_timeouts_say_so(ran: Ran, tree: Tree) -> None:
    """A round that the orchestrator's timeout has ended has that outcome and its message; its model call was cancelled, and is no error."""
    cut_off = [span for span in tree.rounds if span.attributes.get("massgen.outcome") == "timeout"]
    assert bool(cut_off) is (
        "Time limit exceeded" in str(tree.sessions[0].status_message) or bool(tree.named("Coordination event: orchestrator_timeout"))
    )
    for span in cut_off:
        assert "Time limit exceeded" in str(span.attributes["massgen.error_message"])
        (call,) = [below for below in tree.model_calls if tree.parent(below) is span]
        assert call.attributes["massgen.outcome"] == "cancelled"
        assert call.status_code != 2
