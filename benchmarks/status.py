"""What the files of a run cost: `python -m benchmarks.status`.

One write of `status.json` after a thousand and after a million spans; and a whole run of many agents on a model that answers at once, with spans,
recording and live files, beside the same run without any of them. The model is in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmarks._measure import Figure, Round, interleave, report
from massgen_tracing import semconv
from massgen_tracing.model import Attributes, SpanRecord
from massgen_tracing.projection.fold import Fold
from massgen_tracing.projection.status import status

FEW, MANY = 1_000, 1_000_000
WRITES = 50
AGENTS, ROUNDS = 100, 20
_runs = itertools.count(1)


def folded(spans: int) -> Fold:
    """A run of four agents that has had so many spans, calls of models and of tools."""
    agents = ("agent_a", "agent_b", "agent_c", "agent_d")
    fold, ids, now = Fold(), itertools.count(1), 1_795_000_000_000_000_000
    about: Attributes = {semconv.TASK: "What is AI?", semconv.AGENT_IDS: list(agents), semconv.LOG_DIR: "/runs/log_1"}
    session = SpanRecord("1" * 32, f"{next(ids):016x}", "", semconv.SESSION, now, None, attributes=about)
    fold.started(session)
    places: dict[str, Attributes] = {}
    for agent in agents:
        place: Attributes = {semconv.AGENT_ID: agent, semconv.ROUND: 0}
        places[agent] = place
        fold.started(
            SpanRecord("1" * 32, f"{next(ids):016x}", session.span_id, f"agent.{agent}.round_0", now, None,
                       attributes={**place, semconv.ROUND_TYPE: "initial_answer"})
        )  # fmt: skip
    used: Attributes = {
        semconv.GEN_AI_REQUEST_MODEL: "gpt-5-mini",
        semconv.GEN_AI_INPUT_TOKENS: 1000,
        semconv.GEN_AI_OUTPUT_TOKENS: 100,
        semconv.OPERATION_COST: 0.001,
    }
    tool: Attributes = {semconv.GEN_AI_TOOL_NAME: "mcp__fs__read", semconv.GEN_AI_TOOL_ARGUMENTS: '{"path": "x"}', semconv.GEN_AI_TOOL_RESULT: "text"}
    for number in range(spans - 5):
        now += 1_000_000
        name, own = ("llm.openai.stream", used) if number % 2 else ("mcp.fs.read", tool)
        whose = {**places[agents[number % 4]], **own}
        span = SpanRecord("1" * 32, f"{next(ids):016x}", session.span_id, name, now, now + 500_000, attributes=whose)
        fold.started(span)
        fold.ended(span)
    return fold


def writes(fold: Fold) -> Round:
    def run() -> float:
        start = time.perf_counter()
        for _ in range(WRITES):
            status(fold.state)
        return (time.perf_counter() - start) / WRITES

    return run


@contextlib.contextmanager
def model() -> Iterator[str]:
    """A model in another process, which answers at once; yields where it listens."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.status", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def serve() -> None:
    """Be that model, until nobody is there any more."""
    from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedCall, ScriptedEndpoint, Turn

    def script(asked: Asked) -> Turn:
        if "vote" in asked.tools and asked.number >= ROUNDS:
            return Turn(calls=(ScriptedCall("vote", {"agent_id": "agent1", "reason": "the first"}),))
        if "new_answer" in asked.tools:
            return Turn(calls=(ScriptedCall("new_answer", {"content": f"answer {asked.number} of {asked.agent_id}"}),))
        return Turn(text="the final answer")

    with ScriptedEndpoint(script) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()


def a_run(url: str, roots: str, *, traced: bool) -> Round:
    """A whole run, whose files stay until the end: some file systems make new ones slowly for minutes after many were deleted."""
    import massgen_tracing as mt
    from massgen_tracing.runs.coordinator.config import AgentConfig, Limits, RunConfig
    from massgen_tracing.runs.coordinator.coordinator import Coordination

    ids = [f"agent_{number:03d}" for number in range(AGENTS)]

    def run() -> float:
        # The model counts what each agent has asked it: every run has agents of its own there.
        this = f"{url}/agents/{next(_runs)}"
        agents = tuple(AgentConfig(each, "openai", "gpt-5-mini", f"{this}_{each}/v1", api_key="none") for each in ids)
        config = RunConfig(agents, Limits(max_answers=ROUNDS - 1, max_restarts=0))
        tracer = mt.configure(root=tempfile.mkdtemp(dir=roots), enabled=traced)
        start = time.perf_counter()
        asyncio.run(Coordination(config, "What is AI?", tracer=tracer).run())
        mt.shutdown(60)
        return time.perf_counter() - start

    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each contender; of whole runs, a third of them (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve()
        return 0
    few, many = interleave({FEW: writes(folded(FEW)), MANY: writes(folded(MANY))}, args.rounds).values()
    code = report("A write of status.json", [Figure("after 1,000,000 spans / after 1,000", many, few, 1.25)], unit="µs", check=args.check)
    with model() as url, tempfile.TemporaryDirectory() as roots:
        contenders = {traced: a_run(url, roots, traced=traced) for traced in (True, False)}
        with_files, without = interleave(contenders, max(1, args.rounds // 3)).values()
    title = f"A run of {AGENTS} agents, {ROUNDS} rounds each"
    return code | report(title, [Figure("traced, recorded, with files / not", with_files, without, 1.15)], unit="ms", check=args.check)


if __name__ == "__main__":
    raise SystemExit(main())
