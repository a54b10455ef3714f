"""`bind_stream` of a sync generator behaves as the bare one does, but for the context that its steps run in."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import inspect
import threading
import types
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace as otel_trace

import massgen_tracing as mt
from massgen_tracing.testing import capture
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer
from tests.trace.bare import Boom, complaints
from tests.trace.programs import PATH, misnested

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="outside")


@pytest.fixture(autouse=True)
def _outside() -> Iterator[None]:
    """Each test may set the variable for itself."""
    token = VAR.set("outside")
    yield
    VAR.reset(token)


def _in_thread(function: Callable[[], Any]) -> Any:
    """What *function* returns in a thread of its own."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    thread.join()
    return answers[0]


def _agent(tracer: Tracer, session: Session, agent_id: str) -> Iterator[str]:
    with session.agent_round(agent_id):
        for _ in range(2):
            with tracer.llm_call("openai", model="m"):
                pass
            yield agent_id


@pytest.mark.parametrize(("bound", "strangers"), [(True, 0), (False, 1)])
def test_interleaved_agents_keep_their_ids(bound: bool, strangers: int) -> None:
    """Two agents as sync generators, driven in turn: bound, each call has its own agent's id; bare, one has the other agent's."""
    with capture() as captured:
        with captured.tracer.session("q", agents=["a", "b"]) as session:
            streams = [_agent(captured.tracer, session, name) for name in ("a", "b")]
            if bound:
                streams = [mt.bind_stream(stream) for stream in streams]
            while streams:
                streams = [stream for stream in streams if next(stream, None)]
        calls = [span for span in captured.ended if span.name.startswith("llm")]
        rounds = {span.context.span_id: span for span in captured.ended if span.name.startswith("agent")}
    assert len(calls) == 4
    ids = [str((span.attributes or {})["massgen.agent_id"]) for span in calls]
    assert sorted(ids) == (["a", "a", "b", "b"] if bound else ["a", "b", "b", "b"])
    assert len(rounds) == 2
    assert abs(ids.count("a") - 2) == strangers


def test_what_a_step_sets_the_next_step_finds_whoever_drives_it() -> None:
    """A ContextVar set in the first step is there in the later ones, in whatever thread they are made, and never in the driver."""

    def stream() -> Iterator[str]:
        yield VAR.get()
        VAR.set("inside")
        while True:
            yield VAR.get()

    VAR.set("then")
    bound = mt.bind_stream(stream())
    VAR.set("driver")
    assert [next(bound), next(bound), _in_thread(lambda: next(bound)), next(bound)] == ["then", "inside", "inside", "inside"]
    assert VAR.get() == "driver"


def test_spans_of_plain_opentelemetry_stay_open_across_a_yield() -> None:
    """Its tokens are valid in the stream's one context, wherever the stream is driven and closed."""

    def stream() -> Iterator[int]:
        with otel_trace.get_tracer("third.party").start_as_current_span("outer"):
            yield 1
            with otel_trace.get_tracer("third.party").start_as_current_span("inner"):
                yield 2

    with capture() as captured:
        bound = mt.bind_stream(stream())
        assert [next(bound), _in_thread(lambda: next(bound))] == [1, 2]
        assert not otel_trace.get_current_span().get_span_context().is_valid
        bound.close()
    assert captured.tree() == "outer\n  inner"


def test_delegation_reads_through_a_bound_generator() -> None:
    """`yield from` passes on what is sent and thrown, and gives what the generator returns."""

    def inner() -> Generator[int, str, str]:
        try:
            sent = yield 1
        except ValueError as error:
            sent = f"caught {error}"
        yield 2
        return sent

    def outer() -> Generator[int, str, list[str]]:
        return [(yield from mt.bind_stream(inner())), (yield from mt.bind_stream(inner()))]

    driven = outer()
    assert [next(driven), driven.send("sent"), next(driven), driven.throw(ValueError("thrown"))] == [1, 2, 1, 2]
    with pytest.raises(StopIteration) as stop:
        next(driven)
    assert stop.value.value == ["sent", "caught thrown"]


def test_it_is_a_generator_of_the_same_name() -> None:
    """Whoever looks finds a generator that is called as the bare one."""

    def stream() -> Iterator[int]:
        yield 1

    bare, bound = stream(), mt.bind_stream(stream())
    assert isinstance(bound, types.GeneratorType)
    assert (bound.__name__, bound.__qualname__) == (bare.__name__, bare.__qualname__)  # type: ignore[attr-defined]
    assert inspect.getgeneratorstate(bound) == inspect.GEN_CREATED


def test_a_dropped_stream_ends_at_once_and_in_its_context() -> None:
    """An unfinished stream that nobody holds runs its `finally` there and then, nested generators first, as the bare one, but in its own context."""
    seen: list[str] = []

    def inner() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(f"inner {VAR.get()}")

    def stream() -> Iterator[int]:
        VAR.set("stream")
        try:
            yield from inner()
        finally:
            seen.append(f"outer {VAR.get()}")

    gc.disable()
    try:
        bound = mt.bind_stream(stream())
        next(bound)
        del bound
        assert seen == ["inner stream", "outer stream"]
        for _ in mt.bind_stream(stream()):
            break
        assert len(seen) == 4
    finally:
        gc.enable()


@pytest.mark.parametrize("caught", [True, False])
def test_nothing_is_held_in_a_circle(caught: bool) -> None:
    """An exception that was thrown into a stream, and the stream, are freed without the garbage collector, whether the stream catches it or not."""

    class Thrown(Exception):
        pass

    def stream() -> Iterator[int]:
        while True:
            try:
                yield 1
            except Thrown:
                if not caught:
                    raise

    gc.disable()
    try:
        bound = mt.bind_stream(stream())
        next(bound)
        error = Thrown()
        references: list[weakref.ref[Any]] = [weakref.ref(error), weakref.ref(bound)]
        with contextlib.suppress(Thrown):
            bound.throw(error)
        del error, bound
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_any_iterator_can_be_bound() -> None:
    """A class with `__next__` is driven in one context too, and closed where it can be; one with `__iter__` makes its iterator in there."""

    class Numbers:
        def __init__(self) -> None:
            self.n, self.closed_in = 0, ""

        def __iter__(self) -> Numbers:
            return self

        def __next__(self) -> str:
            self.n += 1
            if self.n > 3:
                raise StopIteration
            before = VAR.get()
            VAR.set(f"step {self.n}")
            return before

        def close(self) -> None:
            self.closed_in = VAR.get()

    class Agent:
        def __iter__(self) -> Iterator[str]:
            yield VAR.get()
            VAR.set("inside")
            yield VAR.get()

    assert list(mt.bind_stream(Numbers())) == ["outside", "step 1", "step 2"]
    numbers = Numbers()
    bound = mt.bind_stream(numbers)
    next(bound)
    bound.close()
    assert numbers.closed_in == "step 1"
    assert list(mt.bind_stream(Agent())) == ["outside", "inside"]
    assert list(mt.bind_stream(iter([1, 2]))) == [1, 2]
    with pytest.raises(KeyError):
        mt.bind_stream(map(str, [1])).throw(KeyError())
    assert VAR.get() == "outside"


def test_it_cannot_be_run_within_itself() -> None:
    """A stream that drives itself is told what the bare one is told."""
    streams: list[Any] = []

    def stream() -> Iterator[str]:
        try:
            next(streams[0])
        except ValueError as error:
            yield str(error)

    told = []
    for generator in (stream(), mt.bind_stream(stream())):
        streams[:] = [generator]
        told.append(next(generator))
    assert told == ["generator already executing"] * 2
    streams.clear()


# --- the same as the bare generator, for any way of driving it ----------------------------------------------------------------------


BODY = st.sampled_from(["yield", "catch", "ignore_exit", "return_on_exit", "delegate", "raise", "return", "finally", "raise_stop", "context"])
ACTIONS = st.lists(st.sampled_from(["next", "send", "throw", "throw_class", "throw_exit", "throw_stop", "close", "delegate", "thread"]), max_size=6)


def _generator(body: list[str], log: list[str]) -> Generator[Any, Any, Any]:
    for i, what in enumerate(body):
        if what == "yield":
            log.append(f"got {(yield i)!r}")
        elif what == "catch":
            try:
                yield f"catch{i}"
            except Exception as error:
                log.append(f"caught {error!r}")
        elif what == "ignore_exit":
            try:
                yield f"ignore{i}"
            except GeneratorExit:
                yield "ignored"
        elif what == "return_on_exit":
            try:
                yield f"return{i}"
            except GeneratorExit:
                return "returned"
        elif what == "delegate":
            log.append(f"returned {(yield from _generator(['yield', 'catch', 'return'], log))!r}")
        elif what == "raise":
            raise Boom(i)
        elif what == "raise_stop":
            raise StopIteration(i)
        elif what == "return":
            return f"result{i}"
        elif what == "finally":
            try:
                yield f"finally{i}"
            finally:
                log.append("cleaned")
        elif what == "context":  # what is raised by itself has no context, whatever was thrown before
            with contextlib.suppress(Exception):
                yield f"context{i}"
            try:
                raise Boom
            except Boom as error:
                log.append(f"context {error.__context__!r}")
    return "end"


def _outcome(function: Callable[[], Any]) -> str:
    try:
        return f"value {function()!r}"
    except BaseException as error:
        return f"{type(error).__name__} {error.args!r} {error.__cause__!r} {error.__context__!r}"


def _drive(generator: Generator[Any, Any, Any], actions: list[str]) -> list[str]:
    ways: dict[str, Callable[[], Any]] = {
        "next": lambda: next(generator),
        "send": lambda: generator.send("sent"),
        "throw": lambda: generator.throw(Boom("thrown")),
        "throw_class": lambda: generator.throw(Boom),
        "throw_exit": lambda: generator.throw(GeneratorExit()),
        "throw_stop": lambda: generator.throw(StopIteration("thrown")),
        "close": generator.close,
        "delegate": lambda: next(_delegating(generator)),
        "thread": lambda: _in_thread(lambda: _outcome(lambda: next(generator))),
    }
    answers = []
    for action in [*actions, "close", "next"]:
        answers.append(_outcome(ways[action]))
        answers.append(inspect.getgeneratorstate(generator))
    return answers


def _delegating(generator: Generator[Any, Any, Any]) -> Iterator[Any]:
    yield (yield from generator)


@settings(max_examples=1000)
@given(body=st.lists(BODY, min_size=1, max_size=6), actions=ACTIONS)
def test_it_answers_as_the_bare_generator_does(body: list[str], actions: list[str]) -> None:
    """Whatever is sent, thrown, closed or dropped, values, errors and what the body goes through are the same with and without binding."""

    def run(bind: bool) -> tuple[list[str], list[str], list[str]]:
        log: list[str] = []
        with complaints() as said:
            generator = _generator(body, log)
            if bind:
                generator = mt.bind_stream(generator)
            answers = _drive(generator, actions)
            del generator
        return answers, log, said[:1]

    assert run(bind=True) == run(bind=False)


# --- random programs ---------------------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(["llm", "third_party", "tool", "yield", "yield", "thread", "info"]).map(lambda name: (name, ()))
STEPS = st.recursive(
    LEAVES,
    lambda steps: st.tuples(st.sampled_from(["span", "llm", "third_party", "bare", "bound"]), st.lists(steps, max_size=3).map(tuple)),
    max_leaves=8,
)
AGENTS = st.lists(st.lists(STEPS, max_size=4), min_size=1, max_size=4)
DRIVES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["own", "own", "thread", "close", "throw", "drop"])), max_size=14)


class Agent:
    """One agent of a program, whose spans carry the path of what opened them."""

    def __init__(self, tracer: Tracer, session: Session, agent_id: str, complaints: list[str]) -> None:
        self.tracer, self.session, self.agent_id, self.complaints = tracer, session, agent_id, complaints
        self.count = 0

    def stream(self, steps: Iterable[Any]) -> Iterator[str]:
        path = f"session/{self.agent_id}"
        with self.session.agent_round(self.agent_id, attributes={PATH: path}):
            VAR.set(self.agent_id)
            yield from self.run(steps, path)

    def run(self, steps: Iterable[Any], path: str) -> Iterator[str]:
        for name, inner in steps:
            self.count += 1
            here = f"{path}/{name}{self.count}"
            attributes: dict[str, Any] = {PATH: here}
            if name == "yield":
                yield here
                self.check(path)
            elif name == "info":
                self.tracer.info("hello", **attributes)
            elif name == "thread":
                _in_thread(mt.bind(self.tracer.span("elsewhere", attributes).end))
            elif name == "tool":
                with self.tracer.tool_call("t", attributes=attributes):
                    pass
            elif name == "bare":
                yield from self.run(inner, path)
            elif name == "bound":
                yield from mt.bind_stream(self.run)(inner, path)
            else:
                with self.block(name, attributes):
                    yield from self.run(inner, here)

    def block(self, name: str, attributes: dict[str, Any]) -> Any:
        if name == "llm":
            return self.tracer.llm_call("openai", model="m", attributes=attributes)
        if name == "span":
            return self.tracer.span("held", attributes)
        return otel_trace.get_tracer("third.party").start_as_current_span("foreign", attributes=attributes)

    def check(self, path: str) -> None:
        current: Any = otel_trace.get_current_span()
        if current.attributes[PATH] != path:
            self.complaints.append(f"{path}: after a step {current.attributes[PATH]} is current")
        if VAR.get() != self.agent_id:
            self.complaints.append(f"{path}: its own ContextVar was lost")


@settings(max_examples=200)
@given(agents=AGENTS, drives=DRIVES, ending=st.sampled_from(["finish", "close", "drop"]))
def test_spans_of_interleaved_sync_agents_nest_right(agents: list[Any], drives: list[tuple[int, str]], ending: str) -> None:
    """However several sync agents are driven, in whatever threads, closed or dropped, each span's parent is the span of the work that opened it."""
    complaints: list[str] = []
    ids = [f"agent_{i}" for i in range(len(agents))]
    with capture() as captured:
        with captured.tracer.session("question", agents=ids, attributes={PATH: "session"}) as session:
            before = dict(contextvars.copy_context())
            streams: dict[int, Any] = {
                i: mt.bind_stream(Agent(captured.tracer, session, ids[i], complaints).stream(steps)) for i, steps in enumerate(agents)
            }
            for chosen, how in drives:
                _advance(streams, chosen % len(ids), how)
            for stream in streams.values():
                if ending == "finish":
                    list(stream)
                elif ending == "close":
                    stream.close()
            streams.clear()
            stream = None
            if dict(contextvars.copy_context()) != before:
                complaints.append("something leaked into the driver's context")
        assert complaints == []
        assert misnested(captured.ended) == []
        opened = [path for span in captured.ended if (path := (span.attributes or {}).get(PATH))]
        assert len(opened) == len(set(opened))
        assert captured.open == {}


def _advance(streams: dict[int, Any], i: int, how: str) -> None:
    if i not in streams:
        return
    if how == "own":
        next(streams[i], None)
    elif how == "thread":
        _in_thread(lambda: next(streams[i], None))
    elif how == "close":
        streams.pop(i).close()
    elif how == "drop":
        del streams[i]
    else:
        with pytest.raises(Boom):
            streams.pop(i).throw(Boom)
