"""Runs with planted faults, driven through the facade on a clock of their own: one fault each, all in one, and none.

Each fault is planted beside the ordinary work of three agents, and says what is to be found of it: whom it concerns, in which rounds, in which spans,
and what it cost. `clean_twin` has as much of the same as is no fault yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.sinks.recording import whole
from massgen_tracing.store.roots.reader import Reader
from massgen_tracing.testing import CountingIds
from massgen_tracing.trace.pipeline import Pipeline
from massgen_tracing.trace.provider import TracerProvider
from massgen_tracing.trace.round import Round
from massgen_tracing.trace.session import Session
from massgen_tracing.trace.tracer import Tracer

SECOND = 10**9
BEGIN = 1_800_000_000 * SECOND

TEXTS = {
    "a": "A stone arch bridge carries this valley road best, since granite is quarried nearby and floods are rare.",
    "b": "A granite arch would carry the valley road, though a steel truss bridge stands faster and costs less.",
    "c": "For the valley road choose a stone arch bridge: granite nearby, few floods, and masons who know arches well.",
}
UNRELATED = "Tomatoes ripen early under glass when watered every morning with rain barrels beside greenhouse doors."


class _Ids(CountingIds):
    """Ids that no other run of the test has."""

    runs = 0

    def generate_trace_id(self) -> int:
        _Ids.runs += 1
        return _Ids.runs


class Stage(SpanProcessor):
    """A facade whose clock is moved by hand, and the spans that it makes."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.ended: list[Any] = []
        provider = TracerProvider()
        provider.pipeline = Pipeline(Resource({semconv.SERVICE_NAME: "planted"}), [self], ids=_Ids(), now=lambda: self.now)
        self.tracer = Tracer(provider.get_tracer(semconv.SCOPE, "1"), strict=True)

    def on_end(self, span: Any) -> None:
        self.ended.append(span)

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += round(seconds * SECOND)

    def lines(self) -> bytes:
        """A recording of it."""
        return whole.encode(self.ended)

    def records(self) -> tuple[SpanRecord, ...]:
        """What the recording says."""
        reader = Reader()
        reader.add_lines(self.lines().splitlines(keepends=True), source="planted")
        return reader.recording().spans


@dataclass
class Play:
    """A run as it is about to be played: what is planted in it.

    Attributes:
        early: work of an agent in its first round, before it answers.
        texts: what each answers.
        votes: whom each votes for.
        usage: what a model call of an agent reports, in the place of the ordinary.
        lost: how an agent's round before the first one that counts is lost: given the session, which it opens it in.
        voting: work of an agent in its last round, before it votes.
        ends: whether the coordination comes to its end.
        question: what is asked.
        second: a second answer of an agent, having seen the others'.
        abstains: who has a last round and does not vote in it.
    """

    early: dict[str, list[Callable[[Stage, Round], None]]] = field(default_factory=dict)
    voting: dict[str, list[Callable[[Stage, Round], None]]] = field(default_factory=dict)
    lost: dict[str, list[Callable[[Stage, Session], None]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=lambda: dict(TEXTS))
    second: dict[str, str] = field(default_factory=dict)
    votes: dict[str, tuple[str, str]] = field(default_factory=lambda: dict.fromkeys("abc", ("a", "agent1.1")) | {"a": ("b", "agent2.1")})
    usage: dict[str, dict[str, Any]] = field(default_factory=dict)
    abstains: str = ""
    ends: bool = True
    question: str = "Which bridge?"

    def perform(self, begin: int = BEGIN) -> Stage:
        """Play it."""
        stage = Stage()
        stage.now = begin
        labels: list[str] = []
        with stage.tracer.session(self.question, agents=list("abc"), run=None) as session:
            session.event("coordination_started")
            for agent in "abc":
                for lose in self.lost.get(agent, ()):
                    lose(stage, session)
                with session.agent_round(agent) as rnd:
                    self._work(stage, rnd, agent, self.early.get(agent, ()))
                    labels.append(rnd.answer(None, self.texts[agent]))
            for agent, said in self.second.items():
                with session.agent_round(agent, round_type="voting", context_labels=labels) as rnd:
                    self._think(stage, rnd, agent)
                    rnd.answer(None, said)
            for agent in "abc":
                with session.agent_round(agent, round_type="voting", context_labels=labels) as rnd:
                    self._think(stage, rnd, agent)
                    for work in self.voting.get(agent, ()):
                        work(stage, rnd)
                    target, label = self.votes[agent]
                    if agent not in self.abstains:
                        rnd.vote(target, label, "It is the most complete.")
                    stage.wait(0.1)
            if self.ends:
                cast = [label for _, label in self.votes.values()]
                session.winner("a", "agent1.1", {label: cast.count(label) for label in cast}, "most votes")
                with session.presentation("a") as presentation:
                    self._think(stage, presentation, "a")
                    presentation.final_answer(self.texts["a"])
                session.finished("completed")
        return stage

    def _work(self, stage: Stage, rnd: Round, agent: str, planted: Any) -> None:
        self._think(stage, rnd, agent)
        tool(stage, rnd, "search", {"q": f"bridges of {agent}"}, "three of them")
        for work in planted:
            work(stage, rnd)

    def _think(self, stage: Stage, rnd: Round, agent: str) -> None:
        usage = {"input": 4000, "output": 200, "cached_input": 2000, "cost": 0.01} | self.usage.get(agent, {})
        model(stage, rnd, **usage)


def model(stage: Stage, rnd: Round, *, seconds: float = 2.0, name: str = "gpt-5-mini", **usage: Any) -> None:
    """A model call."""
    with rnd.llm_call("openai", name) as call:
        stage.wait(seconds)
        call.first_chunk()
        if usage := {key: value for key, value in usage.items() if value is not None}:
            call.record_usage(**usage)


def tool(stage: Stage, rnd: Any, name: str, arguments: Mapping[str, Any], result: str, *, failed: bool = False, seconds: float = 1.0) -> None:
    """A tool call, with its wrapper, as agents make them."""
    with rnd.tool_call(f"mcp__box__{name}") as wrapper, wrapper.mcp_call("box", name, arguments) as call:
        stage.wait(seconds)
        call.record_result(result, is_error=failed)
        wrapper.record_result(result, is_error=failed)


@dataclass(frozen=True)
class Fault:
    """A planted fault, and what is to be found of it.

    Attributes:
        plant: puts it into a play.
        agents, rounds: whom the finding names.
        shown: names of the spans that are its evidence.
        seconds, tokens, usd: what it cost; None where that is not looked at.
        also: codes of other findings that the same fault amounts to.
        twin: puts as much of the same into a play as is no fault yet.
    """

    plant: Callable[[Play], None]
    agents: str
    rounds: tuple[int, ...]
    shown: tuple[str, ...]
    seconds: float | None = None
    tokens: int | None = None
    usd: float | None = None
    also: tuple[str, ...] = ()
    twin: Callable[[Play], None] = lambda play: None


def early(agent: str, *works: Callable[[Stage, Round], None]) -> Callable[[Play], None]:
    """Work in an agent's first round."""
    return lambda play: play.early.setdefault(agent, []).extend(works)


def calls(name: str, arguments: Mapping[str, Any], *results: str, failed: bool = False, seconds: float = 1.0) -> list[Callable[[Stage, Round], None]]:
    """The same tool call for each of the results."""
    return [lambda stage, rnd, result=result: tool(stage, rnd, name, arguments, result, failed=failed, seconds=seconds) for result in results]  # type: ignore[misc]


def waits(seconds: float) -> Callable[[Stage, Round], None]:
    """Nothing, for so long."""
    return lambda stage, _: stage.wait(seconds)


def both(*plants: Callable[[Play], None]) -> Callable[[Play], None]:
    """Several of them."""

    def plant(play: Play) -> None:
        for each in plants:
            each(play)

    return plant


def _lost(agent: str, *works: Callable[[Stage, Round], None], ending: Callable[[Round], None]) -> Callable[[Play], None]:
    """A round of an agent that comes to nothing."""

    def lose(stage: Stage, session: Session) -> None:
        with session.agent_round(agent) as rnd:
            model(stage, rnd, input=1000, output=50, cached_input=500, cost=0.002)
            for work in works:
                work(stage, rnd)
            ending(rnd)

    return lambda play: play.lost.setdefault(agent, []).append(lose)


def _fails(stage: Stage, session: Session) -> None:
    """A round that ends by what a tool raises."""
    try:
        with session.agent_round("b") as rnd:
            model(stage, rnd, input=1000, output=50, cached_input=500, cost=0.002)
            with rnd.tool_call("mcp__box__break", {"it": 1}):
                stage.wait(1)
                raise RuntimeError("the box is broken")
    except RuntimeError:
        pass


def _raises(stage: Stage, rnd: Round) -> None:
    try:
        with rnd.tool_call("mcp__box__spill", {"it": 2}):
            stage.wait(1)
            raise ValueError("spilled")
    except ValueError:
        pass


def _ignored(rnd: Round) -> None:
    rnd.event("vote_ignored", {semconv.VOTED_FOR: "a", semconv.VOTED_FOR_LABEL: "agent1.1"})
    rnd.restarted(by="b")


def _votes(**votes: tuple[str, str]) -> Callable[[Play], None]:
    return lambda play: play.votes.update(votes)


def _retries(agent: str, times: int, chars: int = 100) -> Callable[[Play], None]:
    def ask(stage: Stage, rnd: Round) -> None:
        for attempt in range(1, times + 1):
            rnd.enforcement("no_tool_calls", attempt, 3, buffer_chars=chars)
            model(stage, rnd, input=100, output=10, cached_input=50, cost=0.001)

    return lambda play: play.voting.setdefault(agent, []).append(ask)


def _calls_model(agent: str, **usage: Any) -> Callable[[Play], None]:
    return early(agent, lambda stage, rnd: model(stage, rnd, **usage))


def _set(name: str, **values: Any) -> Callable[[Play], None]:
    return lambda play: getattr(play, name).update(values)


def _never_ends(play: Play) -> None:
    play.ends = False


WRAPPER, INNER = "Tool execution: mcp__box__", "mcp.box."
BUILD = calls("build", {"target": "all"}, "built")

FAULTS: dict[str, Fault] = {
    "incomplete_coordination": Fault(_never_ends, "", (), ("coordination.session",)),
    "stall": Fault(early("a", waits(61)), "a", (0,), ("agent.a.round_0",), seconds=61, twin=early("a", waits(50))),
    "slow_operation": Fault(
        early("b", *calls("crawl", {"site": "x"}, "pages", seconds=59)), "b", (0,), (WRAPPER + "crawl",), seconds=59,
        twin=early("b", *calls("crawl", {"site": "x"}, "pages", seconds=25)),
    ),
    "repeated_command": Fault(
        early("a", *calls("list", {"dir": "/r"}, "r", "r", "r")), "a", (0,), (WRAPPER + "list",) * 3, seconds=2,
        twin=early("a", *calls("list", {"dir": "/r"}, "r", "r")),
    ),
    "repeated_across_agents": Fault(
        both(early("b", *calls("search", {"q": "masons"}, "m")), early("c", *calls("search", {"q": "masons"}, "m"))),
        "bc", (0,), (WRAPPER + "search",) * 2, seconds=1,
        twin=both(early("b", *calls("search", {"q": "masons"}, "m")), early("c", *calls("search", {"q": "smiths"}, "m"))),
    ),
    "repeated_after_restart": Fault(
        both(_lost("c", *BUILD, ending=lambda rnd: rnd.restarted(by="a")), early("c", *BUILD)), "c", (0, 1), (WRAPPER + "build",) * 2, seconds=1,
        also=("wasted_round",), twin=early("c", *BUILD),
    ),
    "long_output": Fault(
        early("b", *calls("dump", {"all": True}, "x" * 5001)), "b", (0,), (WRAPPER + "dump",), seconds=1,
        twin=early("b", *calls("dump", {"all": True}, "x" * 5000)),
    ),
    "wasted_round": Fault(_lost("c", ending=lambda rnd: rnd.restarted(by="a")), "c", (0,), ("agent.c.round_0",), seconds=2, tokens=1050, usd=0.002),
    "isolated_work": Fault(
        _set("second", c=UNRELATED), "c", (1,), ("Agent answer: agent3.2",), tokens=4200, usd=0.01,
        twin=_set("second", c="A stone arch of granite for the valley road, with tomatoes under glass beside the bridge doors."),
    ),
    "near_duplicate_answer": Fault(
        _set("texts", c=TEXTS["a"].replace("best", "very well")), "ac", (0,), ("Agent answer: agent3.1", "Agent answer: agent1.1"), usd=0.01,
    ),
    "vote_split": Fault(
        _votes(a=("b", "agent2.1"), b=("c", "agent3.1"), c=("a", "agent1.1")), "abc", (1,),
        ("coordination.session", "Agent vote: a -> agent2.1", "Agent vote: b -> agent3.1", "Agent vote: c -> agent1.1"),
    ),
    "self_vote": Fault(_votes(a=("a", "agent1.1")), "a", (1,), ("Agent vote: a -> agent1.1",)),
    "vote_ignored": Fault(
        _lost("c", ending=_ignored), "c", (0,), ("Coordination event: vote_ignored",), seconds=2, tokens=1050, usd=0.002, also=("wasted_round",),
    ),
    "vote_against_shown": Fault(_votes(c=("a", "agent1.7")), "c", (1,), ("Agent vote: c -> agent1.7",), also=("vote_split",)),
    "timeout": Fault(
        _lost("c", ending=lambda rnd: rnd.timeout("no answer within 2 s")), "c", (0,), ("agent.c.round_0",), seconds=2, tokens=1050,
        also=("wasted_round",),
    ),
    "agent_error": Fault(
        lambda play: play.lost.setdefault("b", []).append(_fails), "b", (0,), ("agent.b.round_0", WRAPPER + "break"), seconds=3, usd=0.002,
    ),
    "exception": Fault(early("c", _raises), "c", (0,), (WRAPPER + "spill",), seconds=1),
    "tool_inconsistent": Fault(
        early("a", *calls("weather", {"city": "Bern"}, "sun", "rain")), "a", (0,), (WRAPPER + "weather",) * 2, seconds=1,
        twin=early("a", *calls("read", {"path": "f"}, "old"), *calls("write_file", {"path": "f"}, "written"), *calls("read", {"path": "f"}, "new")),
    ),
    "tool_false_success": Fault(
        early("b", *calls("save", {"as": "x"}, "Error: the disk is full")), "b", (0,), (WRAPPER + "save",),
        twin=early("b", *calls("grep", {"for": "x"}, "log.txt: Error: the disk is full"), *calls("save", {"as": "x"}, "Error: full", failed=True)),
    ),
    "retry_storm": Fault(
        early("c", *calls("fetch", {"url": "u"}, *["no route"] * 6, failed=True)), "c", (0,), (WRAPPER + "fetch",) * 6, seconds=6,
        twin=early("c", *calls("fetch", {"url": "u"}, *["no route"] * 3, failed=True), *calls("fetch", {"url": "v"}, "text")),
    ),
    "enforcement": Fault(_retries("a", 2), "a", (1,), ("Coordination event: enforcement",) * 2, twin=_retries("a", 1)),
    "cache_low": Fault(_set("usage", b={"cached_input": 100}), "b", (0,), (), tokens=3800),
    "cost_outlier": Fault(_calls_model("c", input=100, output=10, cached_input=50, cost=1.0), "c", (0,), (), usd=1.02),
    "token_outlier": Fault(
        _calls_model("a", input=90_000, output=10, cached_input=45_000, cost=0.01), "a", (0, 1), (), usd=0.04,
        twin=_calls_model("a", input=3_000, output=10, cached_input=1_500, cost=0.001),
    ),
    "unpriced_calls": Fault(
        _calls_model("b", name="unheard-of", input=70, output=7, cached_input=40), "b", (0,), ("llm.openai.stream",), tokens=77,
    ),
    "missing_usage": Fault(_calls_model("c"), "c", (0,), ("llm.openai.stream",), seconds=2),
}  # fmt: skip


def play(*codes: str, twins: bool = False) -> tuple[SpanRecord, ...]:
    """A run with these faults, or with their clean twins."""
    made = Play()
    for code in codes:
        (FAULTS[code].twin if twins else FAULTS[code].plant)(made)
    return made.perform().records()


def record(root: Path, name: str, made: Play, *, turn: int = 1, attempt: int = 1, begin: int = BEGIN) -> Path:
    """Play a run and put its recording where that of such a run lies; returns the attempt's directory."""
    place = root / "massgen_logs" / name / f"turn_{turn}" / f"attempt_{attempt}"
    place.mkdir(parents=True)
    (place / "trace.otlp.jsonl").write_bytes(made.perform(begin).lines())
    return place
