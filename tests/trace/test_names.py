"""Names and messages are scrubbed and bounded as values are, whoever makes the span and wherever it goes."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

import massgen_tracing as mt
from massgen_tracing.testing import Captured, capture
from massgen_tracing.trace import bounds, payload, provider
from massgen_tracing.trace.message import fill
from massgen_tracing.trace.payload import MAX_NAME, clean_name
from massgen_tracing.trace.scrub import MARK
from massgen_tracing.trace.tracer import Tracer
from tests.trace.test_facade import attributes
from tests.trace.test_payload import Raises

KEY = "sk-proj-" + "abcd1234" * 6
LONG = "x" * 1_000_000


def everything(tracer: Tracer, text: str) -> None:
    """Puts a text wherever the facade makes a name or a message of it."""
    with tracer.session(text, agents=[text]) as session, session.agent_round(text, model=text, backend=text) as rnd:
        with rnd.llm_call(text, model=text) as call:
            call.record_response(model=text, id=text, finish_reasons=[text])
        with rnd.mcp_call(text, text, call_id=text) as mcp, rnd.tool_call(f"curl {text}"), rnd.span(text):
            mcp.span.update_name(f"renamed {text}")
            mcp.span.add_event(text, {"k": text, text: 1})
            mcp.span.add_link(SpanContext(1, 2, is_remote=False), {"k": text})
            mcp.span.set_status(StatusCode.ERROR, text)
        tracer.info(f"calling with {text}")
        tracer.warning("filled {value} {config}", value=text, config={"inner": [text]})
        rnd.event(text)
        rnd.answer(text, text)
        rnd.vote(text, text, reason=text)
        rnd.restarted(by=text)
        rnd.error(text)
        session.event(text)
        session.winner(text, text, votes={text: 1}, reason=text)
        session.final_answer(text, text)
    other = otel_trace.get_tracer(text, text)
    with other.start_as_current_span(text, attributes={text: text}, links=[Link(SpanContext(1, 2, is_remote=False), {"k": text})]) as span:
        span.update_name(text)
        span.set_status(Status(StatusCode.ERROR, text))


def said(captured: Captured) -> list[Any]:
    """Everything that an exporter sees of the spans."""
    return [
        (span.name, span.attributes, span.status.description, [(event.name, event.attributes) for event in span.events],
         [link.attributes for link in span.links], span.instrumentation_scope, dict(span.resource.attributes))
        for span in captured.ended
    ]  # fmt: skip


def test_no_name_or_message_carries_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of spans, events, scopes, agents, tools, servers, providers and models; messages, templates, status texts, links, resources."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"deployment.note={KEY},api_key=tulip")
    with capture(full_content=True) as captured:
        everything(captured.tracer, KEY)
    assert len(captured.ended) > 12
    assert "abcd1234abcd" not in repr(said(captured))
    resource = captured.ended[0].resource.attributes
    assert (resource["deployment.note"], resource["api_key"]) == (MARK, MARK)


def test_no_name_is_longer_than_a_few_hundred_characters() -> None:
    """Of a text of a million characters, names keep the beginning, and messages and values what a value may hold."""
    with capture() as captured:
        everything(captured.tracer, LONG)
    for name, values, status, events, links, scope, _ in said(captured):
        assert max(len(name), *(len(event) for event, _ in events), len(scope.name), 0) <= MAX_NAME
        assert max(map(len, values), default=0) <= 512
        assert len(repr([values, events, links])) < 400_000
        assert len(status or "") <= 32_100
    assert clean_name(LONG) == "x" * (MAX_NAME - 1) + "…"


def test_the_recording_cleans_what_somebody_elses_provider_shows_it(tmp_path: Path) -> None:
    """Spans of an SDK provider of the caller's own, its scope and its resource: names and texts are cleaned on their way to the file."""
    theirs = TracerProvider(resource=Resource({"service.note": KEY, "password": "tulip"}), shutdown_on_exit=False)
    mt.configure(tracer_provider=theirs, record=True, root=tmp_path)
    with theirs.get_tracer(f"scope {KEY}", KEY).start_as_current_span(f"GET /?key={KEY}", attributes={KEY: KEY}) as span:
        span.add_event(f"event {KEY}", {"k": KEY})
        span.set_status(Status(StatusCode.ERROR, f"bad {KEY}"))
        span.update_name(f"renamed {KEY}" + LONG)
    everything(mt.get_tracer(), KEY)
    mt.shutdown()
    lines = [line for path in tmp_path.rglob("*.otlp.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) > 20
    assert all("abcd1234abcd" not in line and "tulip" not in line for line in lines)
    names = [span["name"] for line in lines for span in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert max(map(len, names)) <= MAX_NAME
    assert f"GET /?key={MARK}" in names


def test_names_that_recur_are_looked_at_once_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is scrubbed when it is first seen; long ones and the names of a program that makes ever new ones are not kept."""
    looked: list[str] = []

    def look(text: str) -> str:
        looked.append(text)
        return text

    monkeypatch.setattr(payload, "_names", {})
    monkeypatch.setattr(payload, "_MAX_CACHED", 100)
    monkeypatch.setattr(bounds, "scrub", look)
    for _ in range(3):
        clean_name("agent.a.round_0")
    assert looked == ["agent.a.round_0"]
    for number in range(1000):
        clean_name(f"name {number}")
        clean_name(f"{number}" + "x" * 500)
    assert len(payload._names) <= 100
    assert max(len(str(name)) for name in payload._names) <= MAX_NAME


@given(st.text() | st.integers() | st.builds(Raises) | st.none() | st.binary())
def test_any_name_is_a_text_that_can_be_sent(name: Any) -> None:
    """Never an error, never longer than the bound, never a lone surrogate; cleaning it again changes nothing."""
    kept = clean_name(name)
    assert len(kept.encode().decode()) <= MAX_NAME
    assert clean_name(kept) == kept


# --- messages ----------------------------------------------------------------------------------------------------------------------


class User:
    """Somebody with a secret."""

    name = "bob"
    password = "tulip"


FILLED = [
    ("login {password}", {"password": "tulip"}, f"login {MARK}"),
    ("login {password!r:>20}", {"password": "tulip"}, f"login         '{MARK}'"),
    ("pin {api_key:d}", {"api_key": 123456}, f"pin {MARK}"),
    ("{config}", {"config": {"password": "tulip", "user": "bob"}}, "{'password': '[scrubbed]', 'user': 'bob'}"),
    ("{config[password]} {config[user]}", {"config": {"password": "tulip", "user": "bob"}}, f"{MARK} bob"),
    ("{user.password} {user.name}", {"user": User()}, f"{MARK} bob"),
    ("{pairs}", {"pairs": [{"token": KEY}]}, "[{'token': '[scrubbed]'}]"),
    ("{key:>5}", {"key": KEY}, MARK),
    ("{x:.2f} {y:%Y} {z:,}", {"x": decimal.Decimal("1.234"), "y": dt.date(2026, 1, 2), "z": 12345}, "1.23 2026 12,345"),
    ("{x!r:>{width}}", {"x": "a", "width": 5}, "  'a'"),
    ("{{literal}} {password}", {"password": None}, "{literal} None"),
    ("{missing} {0} {}", {}, "{missing} {0} {}"),
    ("{x:99999999}", {"x": 1}, "{x:99999999}"),
    ("{odd}", {"odd": Raises()}, "{odd}"),
    ('got {"a": 1}', {}, 'got {"a": 1}'),
    ("odd } brace", {}, "odd } brace"),
]


@pytest.mark.parametrize(("template", "values", "message"), FILLED)
def test_a_message_is_filled_from_what_is_recorded(template: str, values: dict[str, Any], message: str) -> None:
    """A value under a secret's name is the mark, at any depth; formats work; a template that does not fit is shown as it is."""
    with capture() as captured:
        captured.tracer.info(template, **values)
    [span] = captured.ended
    assert attributes(span)["logfire.msg"] == message
    assert "tulip" not in repr(said(captured))


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.integers())))
def test_no_template_is_an_error(template: str, values: dict[str, Any]) -> None:
    """Whatever stands in it."""
    assert isinstance(fill(template, values), str)


def test_a_span_of_the_shared_provider_started_without_a_name_has_one() -> None:
    """An instrumentation may pass anything."""
    with capture() as captured:
        provider.SHARED.get_tracer("mine").start_span(None).end()  # type: ignore[arg-type]
    assert captured.ended[0].name == "None"
