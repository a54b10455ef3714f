"""Whatever a caller passes, the facade takes it, or says once what it expected; the run goes on and the tree is whole."""

from __future__ import annotations

import contextlib
import decimal
import enum
import gc
import inspect
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context

import massgen_tracing as mt
from massgen_tracing import guard, semconv
from massgen_tracing.errors import UsageError
from massgen_tracing.testing import Captured, capture
from massgen_tracing.trace.calls import LlmCall, McpCall, Openers, ToolCall
from massgen_tracing.trace.opener import OpenerSpan
from massgen_tracing.trace.payload import MAX_NAME
from massgen_tracing.trace.provider import SHARED
from massgen_tracing.trace.round import Presentation, Round
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer
from tests.trace.test_facade import attributes
from tests.trace.test_payload import Raises


class Agent(enum.Enum):
    """Agents as some programs name them."""

    ONE = "agent_a"
    TWO = 2


@contextmanager
def forgiving() -> Iterator[Captured]:
    """The facade as a program has it, outside strict mode, and what it makes."""
    captured = Captured()
    captured.tracer = mt.configure(record=False, logfire=False, otlp_endpoint="", strict=False)
    assert SHARED.pipeline is not None
    SHARED.pipeline.processors += (captured,)
    try:
        yield captured
    finally:
        mt.shutdown()


def refused(swallowed: list[str]) -> list[str]:
    """The kinds of misuse that were counted, which the test has now seen; nothing else was."""
    kinds = list(swallowed)
    swallowed.clear()
    assert [kind for kind in kinds if not kind.startswith("usage.")] == []
    return kinds


# --- what is taken -----------------------------------------------------------------------------------------------------------------


def test_unknown_keywords_are_attributes_of_every_opener() -> None:
    """As Logfire has it: `span("x", pattern="y")`; on the tracer and on handles alike, beside `attributes=`."""
    alice: Any = {"name": "Alice"}  # which a type checker would take for the span's name
    with capture() as captured:
        tracer = captured.tracer
        with tracer.session("q", ["a"], pattern="s", attributes={"more": 1}), tracer.agent_round("a", pattern="r") as rnd:
            for opener in (tracer, rnd):
                with opener.llm_call("openai", pattern="l"), opener.mcp_call("s", "t", pattern="m"), opener.tool_call("t", pattern="t"):
                    pass
                with opener.span("x", pattern="w", **alice):
                    pass
            rnd.event("e", pattern="e")
            tracer.event("e", pattern="e")
            rnd.enforcement("no_tool_calls", pattern="n")
        with tracer.session("q", pattern="s"), tracer.presentation("a", pattern="p"):
            pass
    assert attributes(captured.spans[0])["more"] == 1
    assert [span.name for span in captured.ended if "pattern" not in attributes(span)] == []
    assert [attributes(span)["name"] for span in captured.ended if span.name == "x"] == ["Alice", "Alice"]


@pytest.mark.parametrize("given", [{"k": 1}, [("k", 1)], (("k", 1),), [["k", 1]], {"k": 1}.items(), iter([("k", 1)])])
def test_attributes_are_a_mapping_or_pairs(given: Any) -> None:
    """Everything that `dict()` takes is taken."""
    with capture() as captured, captured.tracer.span("x", given):
        pass
    assert attributes(captured.find("x")) == {"k": 1}


@pytest.mark.parametrize("given", [5, "text", [1, 2], object()])
def test_attributes_of_another_form_are_kept_and_counted(given: Any, swallowed: list[str]) -> None:
    """What is no attributes is recorded under that name, and said."""
    with forgiving() as captured, captured.tracer.span("x", given):
        pass
    assert "attributes" in attributes(captured.find("x"))
    assert refused(swallowed) == ["usage.argument.attributes"]
    with capture() as captured, pytest.raises(UsageError, match="Expected a mapping of names to values, or pairs"):
        captured.tracer.span("x", given)


def test_ids_are_texts_of_what_stands_for_them() -> None:
    """Members of enumerations, numbers and None are agents too; one agent alone is a list of one."""
    with capture() as captured:
        with captured.tracer.session("q", agents=[Agent.ONE, Agent.TWO, 3, None]) as session:  # type: ignore[list-item]
            assert session.agents == ("agent_a", "2", "3", "unknown")
            with session.agent_round(Agent.ONE) as rnd:  # type: ignore[arg-type]
                assert rnd.answer(text="x") == "agent3.1"
            with session.agent_round(3, context_labels=None, backend=Agent.ONE) as rnd:  # type: ignore[arg-type]
                rnd.vote(Agent.ONE, Agent.TWO)  # type: ignore[arg-type]
            with session.agent_round(None, context_labels="agent1.1"):  # type: ignore[arg-type]
                pass
        with captured.tracer.session("q", agents="agent_a") as session:
            assert session.agents == ("agent_a",)
        with captured.tracer.llm_call(Agent.ONE) as call:  # type: ignore[arg-type]
            call.record_response(finish_reasons="stop")
    assert attributes(captured.find("llm.agent_a.stream"))["gen_ai.response.finish_reasons"] == ["stop"]
    assert attributes(captured.find("agent.3.round_0"))["massgen.voted_for"] == "agent_a"
    assert attributes(captured.find("agent.unknown.round_0"))["massgen.context_labels"] == ["agent1.1"]


@pytest.mark.parametrize("votes", [{"agent1.1": 2, "b": 1}, [("agent1.1", 2), ("b", 1)], ["agent1.1", "b", "agent1.1"], {"agent1.1": "2", "b": 1.0}])
def test_votes_are_a_mapping_or_pairs_or_a_list(votes: Any) -> None:
    """A list names an answer once for each of its votes."""
    with capture() as captured, captured.tracer.session("q") as session:
        session.winner("a", "agent1.1", votes=votes)
    assert attributes(captured.find("coordination.session"))["massgen.votes"] == {"agent1.1": 2, "b": 1}


def test_a_label_that_is_none_is_the_answers_text() -> None:
    """`answer("forty-two")` gives the text, under the session's next label; a label of one's own needs its text beside it."""
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        assert rnd.answer("forty-two") == "agent1.1"
        assert rnd.answer("agent1.7") == "agent1.7"
        assert rnd.answer("mine", "the text") == "mine"
        assert rnd.answer(42) == "agent1.4"  # type: ignore[arg-type]
    assert attributes(captured.find("Agent answer: agent1.1"))["massgen.answer_preview"] == "forty-two"
    assert attributes(captured.find("Agent answer: agent1.4"))["massgen.answer_preview"] == "42"


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda t: t.session("q").agent_round("a", number="first"), "argument.number", "a whole number, 0 or more, got 'first'"),
        (lambda t: t.session("q").agent_round("a", number=True), "argument.number", "got True"),
        (lambda t: t.session("q").agent_round("a", iteration=-1), "argument.iteration", "got -1"),
        (lambda t: t.session("q").start().winner("a", votes=7), "argument.votes", "a mapping of labels to numbers of votes, got 7"),
        (lambda t: t.session("q").start().winner("a", votes={"a": "many"}), "argument.votes", "0 or more"),
        (lambda t: t.session("q", run="somewhere"), "argument.run", "RunDirectory"),
        (lambda t: t.span("x", base=3), "argument.base", "OpenTelemetry Context, got 3"),
        (lambda t: t.llm_call("openai").start().record_usage(output="lots"), "argument.output", "a whole number, 0 or more, got 'lots'"),
        (lambda t: t.span("x", None, None, None), "arguments.span", "2 too many by place"),
        (lambda t: t.span(), "arguments.span", "with no name"),
        (lambda t: t.span("x").start(1).end(), "arguments.start", "1 too many by place"),
        (lambda t: t.llm_call("openai").start().first_chunk(now=1), "arguments.first_chunk", "an unknown now"),
        (lambda t: t.session("q").start().winner("a", agent_id="b"), "arguments.winner", "agent_id twice"),
    ],
)
def test_what_is_of_the_wrong_type_is_one_counted_warning(wrong: Callable[[Any], object], kind: str, says: str, swallowed: list[str]) -> None:
    """It says what was expected and what came; in strict mode it is an error."""
    with capture() as captured, pytest.raises(UsageError, match=re.escape(says)):
        wrong(captured.tracer)
    with forgiving() as captured:
        wrong(captured.tracer)
    assert refused(swallowed) == [f"usage.{kind}"]
    [problem] = guard.problems()
    assert says in problem.message


@pytest.mark.parametrize(
    ("call", "method", "name", "meant"),
    [
        (lambda t: t.llm_call("openai", modle="m"), "llm_call", "modle", "model"),
        (lambda t: t.mcp_call("files", "read", transprot="pipe"), "mcp_call", "transprot", "transport"),
        (lambda t: t.session("q").start().agent_round("a", bakend="openai"), "agent_round", "bakend", "backend"),
        (lambda t: t.span("work", attribute="x"), "span", "attribute", "attributes"),
    ],
)
def test_a_keyword_that_looks_like_an_argument_is_told_of(
    call: Callable[[Any], Any], method: str, name: str, meant: str, swallowed: list[str]
) -> None:
    """Once, with the one that may be meant; it is an attribute all the same. In strict mode it is an error."""
    with capture() as captured, pytest.raises(UsageError, match=rf"an unknown {name}\. Did you mean {meant}\?"):
        call(captured.tracer)
    with forgiving() as captured:
        for _ in range(2):
            call(captured.tracer).start().end()
    assert all(attributes(span)[name] for span in captured.spans)
    assert refused(swallowed) == [f"usage.keyword.{method}"] * 2
    [problem] = guard.problems()
    assert f"{method}() was called with an unknown {name}, which becomes an attribute. Did you mean {meant}?" in problem.message


def test_other_keywords_are_attributes_without_a_word() -> None:
    """Also those that have a part of their name in common with an argument."""
    with capture() as captured, captured.tracer.llm_call("openai", model="m", model_version=1, temperature=0.5, models_tried=["a"], p=1):
        captured.tracer.info("{template}", templates=1)
    assert attributes(captured.find("llm.openai.stream"))["temperature"] == 0.5


def test_what_comes_after_the_end_of_a_call_is_told_with_how_it_ended(swallowed: list[str]) -> None:
    """Only of a call that has wrapped a stream it is said that it has ended with it."""
    with forgiving() as captured:
        with captured.tracer.llm_call("openai") as call:
            pass
        call.record_usage(1, 1)
        (plain,) = guard.problems()
        guard.reset()
        streaming = captured.tracer.llm_call("openai")
        list(streaming.wrap(iter([{"choices": []}])))
        streaming.record_usage(1, 1)
        (streamed,) = guard.problems()
    assert refused(swallowed) == ["usage.handle"] * 2
    assert "llm.openai.stream has ended. Call it" in plain.message
    assert "llm.openai.stream has ended, as it does with a stream that it wraps. Call it" in streamed.message


def test_what_is_said_of_an_argument_is_scrubbed_and_bounded(swallowed: list[str]) -> None:
    """A message about a secret, or about a long value, holds neither."""
    with forgiving() as captured:
        captured.tracer.llm_call("openai").start().record_usage(output="sk-proj-" + "abcd1234" * 6)  # type: ignore[arg-type]
        captured.tracer.session("q").start().winner("a", votes=b"x" * 10_000)  # type: ignore[arg-type]
        captured.tracer.vote("sk-proj-" + "abcd1234" * 6)
    assert len(refused(swallowed)) == 3
    assert all(len(problem.message) < 700 and "abcd1234" not in problem.message for problem in guard.problems())


class Huge(Collection[int]):
    """A million values whose own text nobody has the time for."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 1_000_000

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        while True:
            self.read += 1
            yield self.read

    def __repr__(self) -> str:
        raise AssertionError("its whole text was asked for")


@pytest.mark.parametrize(
    "say",
    [
        lambda rnd, huge: rnd.answer(text=huge),
        lambda rnd, huge: rnd.vote("a", "agent1.1", reason=huge),
        lambda rnd, huge: rnd.error(huge),
        lambda rnd, huge: rnd.event(huge),
        lambda rnd, huge: rnd.span(huge).start().end(),
        lambda rnd, huge: rnd.llm_call(huge).start().end(ValueError(huge)),
        lambda rnd, huge: rnd.tool_call("t").start().end(ValueError(huge)),
    ],
)
def test_of_any_number_of_values_only_so_many_are_looked_at(say: Callable[[Any, object], object]) -> None:
    """Wherever a text is expected: a structure of any size does not hold up the run."""
    huge = Huge()
    with capture() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        say(rnd, huge)
    assert 0 < huge.read < 100_000
    assert captured.open == {}


def test_openers_have_the_same_signature_on_the_tracer_and_on_handles() -> None:
    """What is learnt of one holds for the other."""
    for name in ("llm_call", "mcp_call", "tool_call"):
        assert {inspect.signature(getattr(kind, name)) for kind in (Tracer, Session, Round, LlmCall, Openers)} == {
            inspect.signature(getattr(Openers, name))
        }
    for name in ("agent_round", "presentation"):
        assert inspect.signature(getattr(Tracer, name)) == inspect.signature(getattr(Session, name))
    assert inspect.signature(Tracer.span) == inspect.signature(OpenerSpan.__call__)
    assert inspect.signature(Tracer.event) == inspect.signature(Round.event) == inspect.signature(Session.event)


def test_a_session_opens_work_too() -> None:
    """A call that belongs to no agent's round lies below the session."""
    with capture() as captured, captured.tracer.session("q") as session, session.llm_call("openai"), session.tool_call("t"):
        pass
    assert captured.tree() == "coordination.session\n  llm.openai.stream\n  Tool execution: t"


# --- anything ----------------------------------------------------------------------------------------------------------------------

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.builds(Raises),
    st.builds(lambda: [Raises()]),
    st.builds(lambda: {"k": Raises()}),
    st.builds(lambda: [("k", Raises())]),
    st.sampled_from([*Agent, Agent, object(), print, ValueError("x"), Context(), 10**400]),
    st.sampled_from(["\ud800", "x" * 5000, decimal.Decimal("0.5"), decimal.Decimal("NaN"), 1j, "agent1.1", {"usage": {"input_tokens": 5}}, ("a", 1)]),
    st.lists(st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3),
    st.builds(iter, st.lists(st.tuples(st.text(max_size=3), st.integers()), max_size=3)),
)


def public(kind: type) -> list[str]:
    """The names of a class's public methods, without those of its life."""
    names = {name for name, member in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
    return sorted(names - {"start"})


KINDS = (Tracer, Session, Round, Presentation, LlmCall, McpCall, ToolCall)
CALLS = st.sampled_from([(kind, name) for kind in KINDS for name in public(kind)])
NAMES = {parameter for kind in KINDS for name in public(kind) for parameter in inspect.signature(getattr(kind, name)).parameters}
KEYWORDS = st.dictionaries(st.sampled_from(sorted(NAMES | {"pattern", "self_"} - {"self"})), ANYTHING, max_size=3)


@settings(max_examples=300)
@given(st.lists(st.tuples(CALLS, st.lists(ANYTHING, max_size=5), KEYWORDS), max_size=6))
def test_no_call_raises_whatever_it_is_given(calls: list[tuple[tuple[type, str], list[Any], dict[str, Any]]]) -> None:
    """Any method with arguments of any type and number: nothing raises, what is refused is counted as misuse, and the tree is whole."""
    kinds: list[str] = []
    observed = guard._observer
    guard.observe(lambda kind, _: kinds.append(kind))
    try:
        with forgiving() as captured:
            tracer = captured.tracer
            with tracer.session("q", ["a"]) as session, session.presentation("a") as presentation, session.agent_round("a") as rnd:
                with rnd.llm_call("openai", model="gpt-4o") as llm, rnd.mcp_call("s", "t") as mcp, rnd.tool_call("t") as tool:
                    places: tuple[Any, ...] = (tracer, session, rnd, presentation, llm, mcp, tool)
                    for (kind, name), args, options in calls:
                        found = getattr(next(place for place in places if type(place) is kind), name)(*args, **options)
                        if name != "wrap" and hasattr(found, "__enter__"):  # which gives back what it is given, or a stream of it
                            with found:
                                pass
    finally:
        guard.observe(observed)
    assert [problem for problem in guard.problems() if not problem.kind.startswith("usage.")] == []
    guard.reset()
    assert captured.open == {}
    known = {span.context.span_id for span in captured.ended}
    assert len(known) == len(captured.ended)
    elsewhere = any("base" in options for _, _, options in calls)  # the caller's own Context may be an empty one
    roots = [span.name for span in captured.ended if span.parent is None or span.parent.span_id not in known]
    assert roots == [semconv.SESSION] or elsewhere
    for span in captured.ended:
        assert len(span.name) <= MAX_NAME
        assert all(type(key) is str for key in span.attributes or {})


SETTINGS = [*inspect.signature(mt.configure).parameters, "unknown"]


@given(st.dictionaries(st.sampled_from(SETTINGS), ANYTHING, max_size=3), st.lists(ANYTHING, max_size=1))
def test_configure_takes_anything(options: dict[str, Any], args: list[Any]) -> None:
    """Whatever the arguments are, a tracer comes back and works; what is refused is counted."""
    kinds: list[str] = []
    observed = guard._observer
    guard.observe(lambda kind, _: kinds.append(kind))
    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):  # a relative root is in there
        options = {"logfire": False, **options, "record": False, "otlp_endpoint": "", "strict": False}
        options["root"] = options.get("root", root)
        try:
            tracer = mt.configure(*args, **options)
            with tracer.session("q", ["a"]) as session, session.agent_round("a"):
                pass
        finally:
            mt.shutdown()
            guard.observe(observed)
    # What switches Logfire on finds no token here, and a busy machine may take longer to stop it than it has.
    expected = ("usage.", "prices.file", "logfire.token", "shutdown.timeout", "libraries.")
    assert [problem for problem in guard.problems() if not problem.kind.startswith(expected)] == []
    guard.reset()
    assert ("unknown" not in options and not args) or "usage.arguments.configure" in kinds


@pytest.mark.parametrize(("name", "value"), [("root", 5), ("root", "a\0b"), ("record", "perhaps"), ("service_name", 7), ("tracer_provider", "sdk")])
def test_a_wrong_argument_of_configure_counts_as_not_given(name: str, value: Any, swallowed: list[str], tmp_path: Path) -> None:
    """One line says which, and what it can be; strict raises."""
    options: dict[str, Any] = {"root": tmp_path, "logfire": False, name: value}
    with pytest.raises(UsageError, match=name):
        mt.configure(**options, strict=True)
    assert mt.configure(**{**options, "record": False}).enabled
    assert refused(swallowed) == ([f"usage.configure.{name}"] if name != "record" else [])


@pytest.mark.parametrize("strict", [True, "yes"])
def test_strict_holds_for_arguments_that_configure_does_not_know(strict: Any, tmp_path: Path) -> None:
    """A misspelt setting is an error then, and what is configured stays as it was; so is what is passed by place."""
    tracer = mt.configure(root=tmp_path, record=False, logfire=False)
    with pytest.raises(UsageError, match=r"unknown rooot.*service_name"):
        mt.configure(rooot=tmp_path, strict=strict)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="1 by place"):
        mt.configure("name", strict=strict)  # type: ignore[call-arg]
    assert mt.get_tracer() is tracer


def test_what_configure_knows_holds_beside_what_it_does_not(swallowed: list[str], tmp_path: Path) -> None:
    """The rest is passed over in one line, in which names are scrubbed and bounded."""
    key = "sk-proj-" + "abcd1234" * 6
    options: dict[str, Any] = {"root": tmp_path, "service_name": "known", "record": False, "strict": "no", key: 1, "x" * 10_000: 2}
    tracer = mt.configure("name", **options)  # type: ignore[call-arg]
    assert tracer.spans.service_name == "known"
    assert mt.configure("name", enabled=False, unknown=1).enabled is False  # type: ignore[call-arg]
    (problem,) = guard.problems()
    assert key not in problem.message
    assert len(problem.message) < 2000
    assert refused(swallowed) == ["usage.arguments.configure"] * 2


@pytest.mark.parametrize("where", ["massgen_tracing.settings.checked", "massgen_tracing.settings.resolve", "massgen_tracing.trace.borders.bypass"])
def test_what_goes_wrong_inside_configure_switches_nothing_on(
    where: str, swallowed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing that the caller has switched off is not tried again with the defaults, which would switch it on."""
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> None:
        raise OSError("nothing works")

    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        tracer = mt.configure(enabled=False)
    assert tracer is mt.get_tracer()
    assert tracer.enabled is False
    assert list(tmp_path.iterdir()) == []
    assert set(swallowed) == {"configure"}
    swallowed.clear()


def test_what_goes_wrong_before_anything_is_changed_changes_nothing(swallowed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracer that was configured goes on."""
    tracer = mt.configure(root=tmp_path, record=False, logfire=False)

    class Odd:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            raise OSError("nothing works")

    monkeypatch.setattr("massgen_tracing.settings.checked", lambda _: Odd().__class__)
    assert mt.configure(enabled=False) is tracer
    assert swallowed == ["configure"]
    swallowed.clear()


@pytest.mark.parametrize("value", ["false", 0, "off"])
def test_an_argument_of_configure_is_read_as_its_variable_is(value: Any) -> None:
    """Programs that read settings from files pass texts and numbers."""
    assert mt.configure(enabled=value).enabled is False


def test_a_wrapped_stream_that_nobody_reads_is_no_misuse(swallowed: list[str]) -> None:
    """When it is collected its call is over, and it has nothing to say."""
    with forgiving() as captured, captured.tracer.session("q", ["a"]) as session, session.agent_round("a") as rnd:
        with rnd.llm_call("openai", model="m") as call:
            chunks: Iterator[dict[str, Any]] = iter([{"choices": []}])
            stream = call.wrap(chunks)
        del stream
        gc.collect()
    assert swallowed == []
