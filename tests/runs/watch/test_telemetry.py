"""Agents' own OpenTelemetry, written for the purpose in the real programs' forms: switched on, taken in, each response once."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from massgen_tracing import store
from massgen_tracing.runs.watch import profiles
from massgen_tracing.runs.watch.signals import Facts
from massgen_tracing.runs.watch.telemetry import Telemetry, switched_on
from massgen_tracing.runs.watch.told import sessions
from massgen_tracing.runs.watch.transcripts import Call, Session, ToolUse
from massgen_tracing.store.reading.foreign import Document
from massgen_tracing.store.reading.signals import Record
from massgen_tracing.views import foreign_sessions
from massgen_tracing.views.cli import agents
from tests.runs.watch.seen import NOW

SECOND = 1_000_000_000
AT = int(NOW) * SECOND
CLOCK = "2027-01-15T08:00:{:02}.000Z"
"""The same moment, in the words of those who write it so."""


def attributes(said: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in said.items()]


def logs(*records: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    made = [
        {"timeUnixNano": str(AT + second * SECOND if second else 0), "observedTimeUnixNano": str(AT + 60 * SECOND), "attributes": attributes(said)}
        for second, said in records
    ]
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": made}]}]}


def spans(*made: tuple[str, int, int, dict[str, Any]]) -> dict[str, Any]:
    written = [
        {
            "traceId": "a" * 32, "spanId": f"{number:016x}", "name": name, "attributes": attributes(said),
            "startTimeUnixNano": str(AT + start * SECOND), "endTimeUnixNano": str(AT + end * SECOND),
        }
        for number, (name, start, end, said) in enumerate(made, 1)
    ]  # fmt: skip
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": written}]}]}


def claude() -> dict[str, Any]:
    used = {"input_tokens": "1000", "cache_creation_tokens": "200", "cache_read_tokens": "300", "output_tokens": "50", "cost_usd": "0.0065"}
    said = {"session.id": "s", "event.name": "api_request", "prompt.id": "p", "model": "claude-opus-4-8", "duration_ms": "2000", **used}
    result = {"event.name": "tool_result", "tool_name": "Bash", "tool_use_id": "t1", "success": "false", "duration_ms": "1000"}
    return logs((3, {**said, "event.sequence": 2}), (5, {"session.id": "s", **result}), (8, {**said, "event.sequence": 5}))


def codex() -> dict[str, Any]:
    def said(second: int, name: str, **more: str) -> tuple[int, dict[str, Any]]:
        return 0, {"event.name": f"codex.{name}", "conversation.id": "s", "event.timestamp": CLOCK.format(second), "model": "gpt-5-mini", **more}

    used = {"input_token_count": "1500", "output_token_count": "50", "cached_token_count": "300", "reasoning_token_count": "10"}
    ended = {"event.kind": "response.completed"}
    result = {"tool_name": "exec_command", "call_id": "t1", "success": "true", "output": "Process exited with code 3", "duration_ms": "1000"}
    return logs(
        said(2, "api_request", duration_ms="1000"), said(3, "sse_event", **ended), said(3, "sse_event", **ended, **used),
        said(5, "tool_result", **result), said(7, "api_request", duration_ms="1000"), said(8, "sse_event", **ended, **used))  # fmt: skip


def gemini() -> dict[str, Any]:
    used = {"input_token_count": 1500, "output_token_count": 40, "thoughts_token_count": 10, "cached_content_token_count": 300}
    said = {"session.id": "s", "event.name": "gemini_cli.api_response", "prompt_id": "p", "model": "gemini-2.5-pro", "duration_ms": 2000, **used}
    result = {"event.name": "gemini_cli.tool_call", "function_name": "run_shell_command", "success": True, "metadata": '{"isError": true}'}
    again = {"event.name": "gen_ai.client.inference.operation.details", "session.id": "s", "gen_ai.usage.input_tokens": 1500}
    return logs((3, said), (3, again), (5, {"session.id": "s", "duration_ms": 1000, **result}), (8, said))


def opencode() -> dict[str, Any]:
    used = {"ai.usage.inputTokens": 1500, "ai.usage.outputTokens": 50, "ai.usage.cachedInputTokens": 300}
    said = {"ai.telemetry.metadata.sessionId": "s", "ai.model.provider": "openai.chat", "ai.model.id": "gpt-5-mini", **used}
    tool = {"ai.telemetry.metadata.sessionId": "s", "ai.toolCall.id": "t1", "ai.toolCall.name": "bash", "ai.toolCall.args": "{}"}
    return spans(
        ("ai.streamText.doStream", 1, 3, said), ("ai.streamText", 1, 3, said), ("sql.execute", 1, 2, {}), ("ai.toolCall", 4, 5, tool),
        ("ai.streamText.doStream", 6, 8, said))  # fmt: skip


SENT = {"claude": claude, "codex": codex, "gemini": gemini, "opencode": opencode}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """One that listens."""
    with Telemetry() as made:
        yield made


def post(telemetry: Telemetry, body: bytes, kind: str = "application/json", *, chunked: bool = False) -> int:
    """The status of an answer."""
    connection = http.client.HTTPConnection(urlsplit(telemetry.endpoint).netloc)
    try:
        headers = {"Content-Type": kind}
        connection.request("POST", "/v1/logs", iter([body[:9], body[9:]]) if chunked else body, headers, encode_chunked=chunked)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("program", SENT)
def test_each_response_counts_once(telemetry: Telemetry, program: str) -> None:
    """Also what is sent again, or told in several ways; with what is cached and what was thought, and with its times."""
    body = json.dumps(SENT[program]()).encode()
    assert [post(telemetry, body), post(telemetry, gzip.compress(body), chunked=True)] == [200, 200]
    [session] = telemetry.sessions().values()
    calls = sorted(session.calls.values(), key=lambda call: call.end)
    assert [(call.input, call.output, call.cached) for call in calls] == [(1500, 50, 300)] * 2
    assert [((call.start - AT) / SECOND, (call.end - AT) / SECOND) for call in calls] == [(1, 3), (6, 8)]
    assert all(call.model and call.provider for call in calls)
    [use] = session.tools.values()
    assert ((use.start - AT) / SECOND, (use.end - AT) / SECOND) == (4, 5)
    assert use.failed is (program != "opencode")


def test_what_is_no_telemetry_is_refused(telemetry: Telemetry, capfd: pytest.CaptureFixture[str]) -> None:
    """And nothing is printed of it: the terminal is the agent's."""
    assert [post(telemetry, b"x"), post(telemetry, b"{}", "text/plain"), post(telemetry, b'{"a": 1}')] == [400, 415, 400]
    assert telemetry.sessions() == {}
    assert capfd.readouterr() == ("", "")


def test_an_export_of_nothing_is_taken(telemetry: Telemetry) -> None:
    """In JSON as in protobuf."""
    assert [post(telemetry, b"{ }\n"), post(telemetry, b"", "application/x-protobuf")] == [200, 200]


CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("Content-Length: -1\r\n\r\n{}", 400), ("Content-Length: 1_0\r\n\r\n{}        ", 400), ("Content-Length: 3\r\n\r\n{}", 400),
        ("Content-Length: 64000001\r\n\r\n{}", 413), (CHUNKED + "-2\r\n{}\r\n0\r\n\r\n", 400), (CHUNKED + "5\r\n{}", 400),
        (CHUNKED + "2\r\n{}", 400), (CHUNKED + "2\r\n{}{}\r\n0\r\n\r\n", 400), (CHUNKED + "3d09001\r\n{}", 413),
        (CHUNKED + "2;a=b\r\n{}\r\n0\r\n\r\n", 200),
    ],
    ids=["negative", "no number", "cut off", "too long", "negative chunk", "chunk cut off", "chunks cut off", "longer chunk", "long chunk", "whole"],
)  # fmt: skip
def test_a_request_that_has_no_end_is_refused(telemetry: Telemetry, rest: str, status: int) -> None:
    """Whatever it says of its length; the same way to whoever sends it in pieces."""
    with socket.create_connection(("127.0.0.1", urlsplit(telemetry.endpoint).port)) as sender:
        sender.sendall(f"POST /v1/logs HTTP/1.1\r\nContent-Type: application/json\r\n{rest}".encode())
        sender.shutdown(socket.SHUT_WR)
        assert sender.makefile("rb").readline().split()[1] == b"%d" % status


def test_what_is_sent_is_read_while_others_ask_what_was_told(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading takes as long as a request is large; it counts as taken when what it tells is there."""
    asked: list[tuple[int, dict[str, Session]]] = []

    class Asks(Document):
        def records(self) -> Iterator[Record]:
            asked.append((telemetry.taken, telemetry.sessions()))
            return super().records()

    monkeypatch.setattr("massgen_tracing.runs.watch.telemetry.receiver.Document", Asks)
    telemetry.take(json.dumps(claude()).encode())
    assert asked == [(0, {})]
    assert (telemetry.taken, list(telemetry.sessions())) == (1, ["s"])


def test_calls_without_ids_are_told_apart_by_their_time(telemetry: Telemetry) -> None:
    """Also where the same is sent again."""
    said = {"session.id": "s", "event.name": "api_request", "input_tokens": "5"}
    body = json.dumps(logs((3, said), (8, said))).encode()
    assert [post(telemetry, body), post(telemetry, body)] == [200, 200]
    assert len(telemetry.sessions()["s"].calls) == 2


@pytest.mark.parametrize(
    ("said", "cost"), [("0.5", 0.5), (2, 2.0), ("1e-3", 0.001), *((bad, None) for bad in ("1.2.3", ".", "1e999", "nan", "-1", ""))]
)
def test_an_amount_that_is_none_is_unknown(telemetry: Telemetry, said: Any, cost: float | None) -> None:
    """And other calls of its request count."""
    told = {"session.id": "s", "event.name": "api_request", "input_tokens": "5"}
    assert post(telemetry, json.dumps(logs((3, {**told, "cost_usd": said}), (8, told))).encode()) == 200
    assert [call.cost for call in telemetry.sessions()["s"].calls.values()] == [cost, None]


def test_programs_are_started_so_that_they_send_it(tmp_path: Path) -> None:
    """By variables, or by arguments behind their name."""
    home, words = {"HOME": str(tmp_path)}, ["node", "/bin/codex", "exec", "hi"]
    started = switched_on(profiles.load("codex"), words, home, "http://here")
    assert started is not None
    assert started[0][:3] == ["node", "/bin/codex", "-c"]
    assert started[0][-2:] == ["exec", "hi"]
    assert 'endpoint="http://here/v1/logs"' in started[0][3]
    started = switched_on(profiles.load("claude"), ["claude"], home, "http://here")
    assert started is not None
    assert started[0] == ["claude"]
    assert started[1]["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] == "http://here/v1/logs"
    assert switched_on(profiles.load("aider"), ["aider"], home, "http://here") is None


@pytest.mark.parametrize("program", profiles.names())
def test_exec_knows_the_programs_that_send_it(program: str) -> None:
    """Those with telemetry in their profile, and no others; an argument is no program."""
    assert agents.is_one([program, "-p", "hi"]) is (profiles.load(program).telemetry is not None)
    assert not agents.is_one(["python", "program.py", f"--named={program}"])


@pytest.mark.parametrize(
    ("program", "variable", "file", "text"),
    [
        ("claude", "CLAUDE_CODE_ENABLE_TELEMETRY", ".claude/settings.json", '{"env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "1"}}'),
        ("claude", "OTEL_EXPORTER_OTLP_ENDPOINT", "", ""),
        ("codex", "OTEL_EXPORTER_OTLP_ENDPOINT", ".codex/config.toml", '[otel]\nexporter = "none"\n'),
        ("gemini", "GEMINI_TELEMETRY_ENABLED", ".gemini/settings.json", '{"telemetry": {"enabled": true}}'),
        ("opencode", "OTEL_EXPORTER_OTLP_ENDPOINT", ".config/opencode/opencode.json", '{"experimental": {"openTelemetry": true}}'),
    ],
    ids=["claude", "claude, a collector", "codex", "gemini", "opencode"],
)
def test_what_its_user_has_said_stays(tmp_path: Path, program: str, variable: str, file: str, text: str) -> None:
    """Their telemetry goes where they want it."""
    profile, home = profiles.load(program), {"HOME": str(tmp_path)}
    assert switched_on(profile, [program], home, "http://here") is not None
    assert switched_on(profile, [program], {**home, variable: "theirs"}, "http://here") is None
    if file:
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text("{ not yet")
        assert switched_on(profile, [program], home, "http://here") is not None
        path.write_text(text)
        assert switched_on(profile, [program], home, "http://here") is None


class _Sent:
    """Stands for what was sent."""

    def __init__(self, *made: Session) -> None:
        self._made = {session.id: session for session in made}

    def sessions(self) -> dict[str, Session]:
        return self._made


def call(key: str, second: int) -> Call:
    at = AT + second * 60 * SECOND
    return Call(key, "anthropic", "m", at, at, estimated=False, input=1, output=1)


@pytest.mark.parametrize(
    ("wrote", "sent", "counted"),
    [
        (2, 3, {"telemetry": 3}),
        (2, 2, {"telemetry": 2}),
        (3, 2, {"telemetry": 2, "transcript": 1}),
        (2, None, {"transcript": 2}),
        (None, 2, {"telemetry": 2}),
    ],
    ids=["a request for a title", "the same", "killed", "nothing sent", "nothing written"],
)
def test_what_is_told_twice_counts_once(monkeypatch: pytest.MonkeyPatch, wrote: int | None, sent: int | None, counted: dict[str, int]) -> None:
    """What was sent counts, and of the transcript what that lacks; tools are as the transcript has them, with what they were given."""
    from massgen_tracing.runs.watch.checklist import Wanted
    from massgen_tracing.runs.watch.judge import Patience
    from massgen_tracing.runs.watch.targets import Subject
    from massgen_tracing.runs.watch.transcripts import Place

    def session(source: str, many: int, **tools: ToolUse) -> Session:
        return Session("s", calls={f"{source}{n}": call(f"{source}{n}", n) for n in range(1, many + 1)}, tools=tools, source=source)

    old = call("old", -10)
    use = ToolUse("t", "Bash", {"command": "ls"}, "x", AT, AT, failed=False)
    written = [] if wrote is None else [session("transcript", wrote, t=use)]
    for each in written:
        each.calls["old"] = old
    monkeypatch.setattr("massgen_tracing.runs.watch.transcripts.sessions", lambda *_: iter(written))
    subject = Subject("a", Facts(NOW - 100), Wanted(), Patience(), program=profiles.load("claude"), place=Place(Path("/h"), Path("/w")))
    subject.telemetry = _Sent(*[] if sent is None else [session("telemetry", sent)])  # type: ignore[assignment]
    found = list(sessions(subject))
    assert {each.source: len(each.calls) for each in found} == counted
    assert [tools for each in found if (tools := each.tools)] == ([] if wrote is None else [{"t": use}])


def test_sessions_that_were_recorded_by_their_program_itself(tmp_path: Path) -> None:
    """By model calls that are there as spans; one of which there is only something else, or nothing, is not recorded."""
    call = {"session.id": "s", "gen_ai.request.model": "m", "input_tokens": 1}
    (tmp_path / "a.otlp.jsonl").write_text(
        json.dumps(spans(("claude_code.llm_request", 1, 2, call), ("claude_code.tool", 1, 2, {"session.id": "s"})))
    )
    document = spans(("codex.sampling", 1, 2, {"conversation.id": "other"}))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "b" * 32
    (tmp_path / "b.otlp.jsonl").write_text(json.dumps(document))
    assert len(store.query("SELECT 1 FROM records", root=tmp_path).table) == 3
    assert foreign_sessions.recorded(["s", "other", "it's none"], str(tmp_path), 0) == {"s": "a" * 32}
    assert foreign_sessions.recorded(["s"], str(tmp_path), NOW + 3600) == {}
    assert foreign_sessions.recorded(["s"], str(tmp_path / "nothing"), 0) == {}
