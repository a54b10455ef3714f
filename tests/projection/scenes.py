"""Records of small runs, as a recording has them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from massgen_tracing import semconv
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.fold import Fold

START = 1_795_000_000_000_000_000


@dataclass(repr=False)
class Scene:
    """Makes the records of one run, each a step later than the one before.

    Attributes:
        steps: starts (`end_ns` is None) and ends, in the order in which they were recorded.
    """

    agents: tuple[str, ...] = ("a", "b")
    now: int = START
    steps: list[SpanRecord] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __repr__(self) -> str:
        """In short: a failing one is shown."""
        return f"Scene({self.agents}, {[(step.name, step.end_ns is not None, step.start_ns - START) for step in self.steps][:60]})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def begin(self, name: str, parent: SpanRecord | None = None, **attributes: Any) -> SpanRecord:
        self.now += 1_000_000
        span = SpanRecord("1" * 32, f"{next(self.ids):016x}", parent.span_id if parent else "", name, self.now, None, attributes=attributes)
        self.steps.append(span)
        return span

    def end(self, span: SpanRecord, failed: bool = False, /, **attributes: Any) -> SpanRecord:
        self.now += 1_000_000
        over = replace(span, end_ns=self.now, attributes={**span.attributes, **attributes}, status_code=2 if failed else 0)
        self.steps.append(over)
        return over

    def point(self, name: str, parent: SpanRecord | None, **attributes: Any) -> None:
        span = self.begin(name, parent, **attributes)
        self.steps.append(replace(span, end_ns=span.start_ns))

    # --- what runs are made of -------------------------------------------------------------------------------------------------------

    def session(self, **more: Any) -> SpanRecord:
        about = {semconv.TASK: "What is AI?", semconv.AGENT_IDS: list(self.agents), semconv.LOG_DIR: "/runs/log_1", **more}
        return self.begin(semconv.SESSION, **about)

    def round(self, session: SpanRecord, agent: str, number: int, kind: str = "initial_answer", labels: tuple[str, ...] = ()) -> SpanRecord:
        name = f"agent.{agent}.presentation" if kind == "presentation" else f"agent.{agent}.round_{number}"
        about = {**self.of(agent, number), semconv.ROUND_TYPE: kind, semconv.GEN_AI_REQUEST_MODEL: "m", semconv.CONTEXT_LABELS: list(labels)}
        return self.begin(name, session, **about)

    @staticmethod
    def of(agent: str, number: int) -> dict[str, Any]:
        return {semconv.AGENT_ID: agent, semconv.ROUND: number}

    def whose(self, rnd: SpanRecord) -> dict[str, Any]:
        return {key: rnd.attributes[key] for key in (semconv.AGENT_ID, semconv.ROUND) if key in rnd.attributes}

    def call(self, rnd: SpanRecord, model: str = "m", cost: float | None = 0.1, output: str = "") -> None:
        span = self.begin("llm.openai.stream", rnd, **self.whose(rnd), **{semconv.GEN_AI_REQUEST_MODEL: model, semconv.GEN_AI_PROVIDER: "openai"})
        used = {semconv.GEN_AI_INPUT_TOKENS: 10, semconv.GEN_AI_OUTPUT_TOKENS: 5, **({} if cost is None else {semconv.OPERATION_COST: cost})}
        said = {semconv.GEN_AI_OUTPUT_MESSAGES: [{"role": "assistant", "parts": [{"type": "text", "content": output}]}]} if output else {}
        self.end(span, **used, **said)

    def layers(self, rnd: SpanRecord, kinds: Sequence[str], order: Sequence[int] | None = None) -> None:
        """Spans within each other.

        Args:
            rnd: what they are in.
            kinds: the outermost first: a call of the facade's, one of another instrumentation's, a tool's, or anything else of somebody's.
            order: in which they end; from the innermost on where it is not given. Those that are not in it do not end.
        """
        about = {semconv.GEN_AI_REQUEST_MODEL: "gpt-4o-mini", semconv.GEN_AI_PROVIDER: "openai"}
        spans = [rnd]
        for kind in kinds:
            name, operation = {
                "facade": ("llm.openai.stream", "chat"), "call": ("chat gpt-4o-mini", "chat"), "tool": ("execute_tool x", "execute_tool")
            }.get(kind, ("RunnableSequence", ""))  # fmt: skip
            said = {semconv.GEN_AI_OPERATION: operation, **about} if operation else {}
            spans.append(self.begin(name, spans[-1], **self.whose(rnd), **said))
        for place in reversed(range(len(kinds))) if order is None else order:
            used = {} if kinds[place] in {"other", "tool"} else {semconv.GEN_AI_INPUT_TOKENS: 1000, semconv.GEN_AI_OUTPUT_TOKENS: 100}
            self.end(spans[place + 1], **used)

    def tool(self, rnd: SpanRecord, name: str = "mcp__fs__read", arguments: str = '{"command": "ls"}', *, failed: bool = False) -> None:
        wrapper = self.begin(f"Tool execution: {name}", rnd, **self.whose(rnd), **{semconv.GEN_AI_TOOL_NAME: name})
        about = {semconv.GEN_AI_TOOL_NAME: "read", semconv.GEN_AI_TOOL_ARGUMENTS: arguments}
        self.end(self.begin("mcp.fs.read", wrapper, **self.whose(rnd), **about), failed)
        self.end(wrapper, failed, **{semconv.GEN_AI_TOOL_RESULT: "file.txt"})

    def answer(self, rnd: SpanRecord, label: str, text: str) -> None:
        self.point(f"Agent answer: {label}", rnd, **self.whose(rnd), **{semconv.ANSWER_LABEL_KEY: label, semconv.ANSWER_PREVIEW: text})
        self.end(rnd, **{semconv.OUTCOME: "answer", semconv.ANSWER_LABEL_KEY: label})

    def vote(self, rnd: SpanRecord, target: str, label: str, reason: str = "best") -> None:
        chosen = {semconv.VOTED_FOR: target, semconv.VOTED_FOR_LABEL: label}
        self.point(f"Agent vote: x -> {label}", rnd, **self.whose(rnd), **chosen, **{semconv.VOTE_REASON: reason})
        self.end(rnd, **{semconv.OUTCOME: "vote", **chosen})

    def restart(self, rnd: SpanRecord, by: str) -> None:
        self.point("Agent restart: x", rnd, **self.whose(rnd), **{semconv.RESTART_BY: by})
        self.end(rnd, **{semconv.OUTCOME: "restarted"})

    def fail(self, rnd: SpanRecord, outcome: str = "error", message: str = "no luck") -> None:
        self.end(rnd, True, **{semconv.OUTCOME: outcome, semconv.ERROR_MESSAGE: message})

    def enforce(self, rnd: SpanRecord, reason: str = "no_tool_calls", attempt: int = 1) -> None:
        about = {
            semconv.EVENT_TYPE: "enforcement",
            semconv.ENFORCEMENT_REASON: reason,
            semconv.ENFORCEMENT_ATTEMPT: attempt,
            semconv.ENFORCEMENT_MAX_ATTEMPTS: 3,
            semconv.ENFORCEMENT_TOOL_CALLS: ["search"],
            semconv.ENFORCEMENT_BUFFER_CHARS: 7,
        }
        self.point("Coordination event: enforcement", rnd, **self.whose(rnd), **about)

    def final(self, rnd: SpanRecord, text: str) -> None:
        self.point("Final answer from x", rnd, **self.whose(rnd), **{semconv.ANSWER_PREVIEW: text})
        self.end(rnd, **{semconv.OUTCOME: "answer"})


def folded(steps: list[SpanRecord], fold: Fold | None = None) -> Fold:
    """The steps folded, as they were recorded."""
    fold = fold or Fold()
    for step in steps:
        if step.end_ns is None:
            fold.started(step)
        else:
            fold.ended(step)
    return fold


def recorded(steps: list[SpanRecord]) -> list[SpanRecord]:
    """What a reader makes of the steps: each span once, ended or interrupted."""
    spans = {}
    for step in steps:
        spans[step.span_id] = step
    return list(spans.values())


def a_run() -> Scene:
    """One of everything: answers, a vote that a newer answer makes void, a restart, enforcement, tools, a failing agent, the presentation."""
    scene = Scene(("a", "b", "c"))
    session = scene.session()
    a, b, c = (scene.round(session, agent, 0) for agent in scene.agents)
    scene.call(a, output="I look.")
    scene.tool(a)
    scene.answer(a, "agent1.1", "first " * 300)
    scene.restart(b, "a")
    b = scene.round(session, "b", 1, "voting", ("agent1.1",))
    a = scene.round(session, "a", 1, "voting", ("agent1.1",))
    scene.vote(a, "a", "agent1.1")
    scene.enforce(b)
    scene.call(b, "other", cost=None)
    scene.answer(b, "agent2.1", "second")
    scene.fail(c)
    a = scene.round(session, "a", 2, "voting", ("agent1.1", "agent2.1"))
    b = scene.round(session, "b", 2, "voting", ("agent1.1", "agent2.1"))
    scene.tool(b, failed=True)
    scene.vote(b, "b", "agent2.1", "r" * 150)
    scene.vote(a, "b", "agent2.1")
    shown = scene.round(session, "b", 3, "presentation")
    scene.point("Winner selected: agent2.1", shown, **scene.whose(shown), **{semconv.WINNER_LABEL: "agent2.1"})
    scene.call(shown)
    scene.final(shown, "The final answer " * 20)
    won = {semconv.WINNER: "b", semconv.WINNER_LABEL: "agent2.1", semconv.VOTES: {"agent1.1": 0, "agent2.1": 2}, semconv.WINNER_REASON: "most votes"}
    scene.end(session, **won, **{semconv.FINISH_REASON: "completed"})
    return scene


_texts = st.text(max_size=20)


@st.composite
def scenes(draw: st.DrawFn, *, all_end: bool = False) -> Scene:
    """Any run: agents in any order at whatever they can be at, rounds left open, odd texts, steps back of the clock."""
    agents = tuple(draw(st.lists(st.sampled_from(["a", "b", "agent/../x", "final"]), min_size=1, max_size=3, unique=True)))
    scene = Scene(agents)
    session = scene.session(**{semconv.TASK: draw(_texts)})
    numbers = dict.fromkeys(agents, 0)
    for _ in range(draw(st.integers(0, 8))):
        agent = draw(st.sampled_from(agents))
        kind = draw(st.sampled_from(["initial_answer", "voting", "presentation"]))
        rnd = scene.round(session, agent, numbers[agent], kind)
        numbers[agent] += 1
        for what in draw(st.lists(st.sampled_from(["call", "layers", "tool", "enforce", "back"]), max_size=3)):
            if what == "call":
                scene.call(rnd, draw(_texts), draw(st.sampled_from([None, 0.1, 1e-9, float("nan")])), draw(_texts))
            elif what == "layers":
                kinds = draw(st.lists(st.sampled_from(["facade", "call", "other", "tool"]), max_size=4))
                order = draw(st.permutations(range(len(kinds))))
                scene.layers(rnd, kinds, order if all_end or draw(st.booleans()) else order[1:])
            elif what == "tool":
                scene.tool(rnd, draw(_texts), draw(_texts), failed=draw(st.booleans()))
            elif what == "enforce":
                scene.enforce(rnd, attempt=draw(st.integers(1, 5)))
            else:
                scene.now -= draw(st.integers(0, 10_000_000))
        match draw(st.sampled_from(["answer", "vote", "restart", "fail", "final", "open"])):
            case "answer":
                scene.answer(rnd, f"agent{draw(st.integers(0, 9))}.{numbers[agent]}", draw(_texts))
            case "vote":
                scene.vote(rnd, draw(_texts), draw(_texts), draw(_texts))
            case "restart":
                scene.restart(rnd, draw(_texts))
            case "fail":
                scene.fail(rnd, draw(st.sampled_from(["error", "timeout"])), draw(_texts))
            case "final":
                scene.final(rnd, draw(_texts))
    if draw(st.booleans()):
        scene.now = max([scene.now, *(step.end_ns or step.start_ns for step in scene.steps)])
        ends: list[dict[str, str]] = [{}, {semconv.WINNER: agents[0]}, {semconv.FINISH_REASON: "timeout"}]
        scene.end(session, draw(st.booleans()), **draw(st.sampled_from(ends)))
    return scene
