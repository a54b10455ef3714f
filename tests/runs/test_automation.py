"""`massgen-tracing run --automation`: its lines, its exit codes, each by a real cause, and what stays of the run."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.layout import RunDirectory
from massgen_tracing.runs.coordinator import coordinator
from massgen_tracing.runs.coordinator.coordinator import RunResult
from massgen_tracing.runs.coordinator.progress import Progress
from massgen_tracing.runs.coordinator.protocol import Usage
from massgen_tracing.runs.coordinator.scripted import Asked, ScriptedEndpoint, Turn
from massgen_tracing.views.automation import MAX_LINES, Automation, Ended
from massgen_tracing.views.cli import main

NEVER = 100_000.0


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """The command, with agents `a` and `b` (or others) whose models play a script; gives its exit code, and its lines on stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(script: Callable[[Asked], Turn], *options: str, ids: tuple[str, ...] = ("a", "b"), question: str = "What is AI?", **config: Any):
        with ScriptedEndpoint(script) as endpoint:
            agents = [{"id": name, "backend": {"type": "openai", "model": "gpt-5-mini", "base_url": endpoint.base_url(name)}} for name in ids]
            Path("agents.yaml").write_text(json.dumps({"agents": agents, **config}), encoding="utf-8")
            code = main(["run", "--automation", "--config", "agents.yaml", *options, question])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


def settled(kit):
    """A script by which the first agent answers, which the others wait for, and all vote for it."""

    def script(asked):
        if kit.presenting(asked):
            return Turn("The final\nanswer \x1b[31min red\x1b[0m.", usage=Usage(input=100, output=10))
        if kit.seen(asked):
            return kit.vote("agent1", usage=Usage(input=100, output=10))
        return kit.answer("by a", usage=Usage(input=100, output=10)) if asked.agent_id == "a" else Turn("slow", seconds=NEVER)

    return script


def code_of(words: list[str]) -> object:
    """The exit code of the command; of wrong arguments argparse tells by an exception."""
    try:
        return main(words)
    except SystemExit as stopped:
        return stopped.code


def finish_reason(lines: list[str]) -> str:
    """How the recording of the run says that it finished."""
    [log_dir] = [line.removeprefix("LOG_DIR: ") for line in lines if line.startswith("LOG_DIR: ")]
    text = Path(log_dir, "turn_1", "attempt_1", "trace.otlp.jsonl").read_text(encoding="utf-8")
    found = re.findall(r'"massgen\.finish_reason","value":\{"stringValue":"(\w+)"', text)
    return str(found[-1])


def test_lines(command, kit, tmp_path):
    """The lines come in their order, without control characters, whatever question and answer hold; the files that they name are there."""
    code, lines, err = command(settled(kit), question="What\n is \x1b[1mAI?")
    assert code == 0, err
    [log_dir] = tmp_path.glob(".massgen/massgen_logs/log_*")
    attempt = log_dir / "turn_1" / "attempt_1"
    assert lines[:8] == [
        f"LOG_DIR: {log_dir}",
        f"STATUS: {attempt}/status.json",
        "QUESTION: What is �[1mAI?",
        "[Coordination in progress - monitor status.json for real-time updates]",
        "Phase: initial_answer",
        "Phase: enforcement",
        "Phase: presentation",
        "WINNER: a",
    ]
    assert lines[8] == f"ANSWER_FILE: {attempt.relative_to(tmp_path)}/final/a/answer.txt"
    assert re.fullmatch(r"DURATION: \d+\.\ds", lines[9])
    assert lines[10:16] == [
        "TIMELINE:",
        "  [VOTE] a -> a",
        "  [VOTE] b -> a",
        "  [RESULTS]",
        "    a: 2 votes (winner)",
        "ANSWER_PREVIEW: The final answer �[31min red�[0m.",
    ]
    assert lines[16] == f"FINAL_ANSWER: {attempt}/final/a/answer.txt"
    assert re.fullmatch(r"COMPLETED: 2 agents, \d+\.\ds total", lines[17])
    assert lines[18:] == [f"FINAL_DIR: {attempt.relative_to(tmp_path)}/final"]
    assert Path(lines[16].removeprefix("FINAL_ANSWER: ")).read_text(encoding="utf-8").startswith("The final\nanswer")
    assert Path(lines[8].removeprefix("ANSWER_FILE: ")).is_file()
    assert err == ""
    status = json.loads(Path(lines[1].removeprefix("STATUS: ")).read_text(encoding="utf-8"))
    assert status["coordination"]["is_final_presentation"]
    assert status["coordination"]["completion_percentage"] == 100
    assert status["results"]["winner"] == "a"
    assert status["results"]["winner_reason"].endswith("(2 of 2 votes)") or "only answer" in status["results"]["winner_reason"]
    assert (attempt / "final" / "manifest.json").is_file()
    assert (log_dir / "final" / "a" / "answer.txt").read_text(encoding="utf-8") == Path(lines[8].removeprefix("ANSWER_FILE: ")).read_text(
        encoding="utf-8"
    )
    assert finish_reason(lines) == "completed"


@pytest.mark.parametrize("failing", [1, 5])
def test_run_that_is_tried_once_more(command, kit, failing):
    """A run whose agents have all failed is tried again as often as the configuration says, each time in a directory of its own."""
    good = settled(kit)
    code, lines, err = command(
        lambda asked: Turn("out of order", status=401) if asked.number <= failing else good(asked), orchestrator={"max_orchestration_restarts": 2}
    )
    assert code == (0 if failing == 1 else 2)
    statuses = [line for line in lines if line.startswith("STATUS: ")]
    attempts = 2 if failing == 1 else 3
    assert [Path(line).parent.name for line in statuses] == [f"attempt_{n + 1}" for n in range(attempts)]
    assert err.count("Every agent failed") == (1 if failing == 1 else 3)
    assert lines.count("Phase: initial_answer") == 1
    assert any(line.startswith("FINAL_ANSWER: ") and "/attempt_2/" in line for line in lines) == (failing == 1)
    for line, reason in zip(statuses, ["error", "completed" if failing == 1 else "error", "error"], strict=False):
        assert json.loads(Path(line.removeprefix("STATUS: ")).read_text(encoding="utf-8"))["finish_reason"] == reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "bad.yaml", "What?"], "not valid YAML at line 3"),
        (["--config", "none.yaml", "What?"], "cannot be read"),
        (["--dry-run"], "The question is empty"),
        (["--dry-run", "--timeout", "nan", "What?"], "--timeout is wrong"),
        (["--dry-run", "--max-cost", "0", "What?"], "--max-cost is wrong"),
        (["--dry-run", "--no-record", "What?"], "--automation needs the files of the run"),
        (["--dry-run", "--root", "file", "What?"], "No directory for the run can be made"),
        (["--dry-run", "--continue", "log_none", "What?"], "There is no run to go on with"),
        (["--dry-run", "--max-tokens", "many", "What?"], "invalid int value"),
        (["--no-such-option"], "unrecognized arguments"),
    ],
)
def test_configuration_errors(tmp_path, monkeypatch, capsys, options, message):
    """Code 1: nothing was started, nothing written, and nothing stands on stdout."""
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("agents: [\n  {id: a\n", encoding="utf-8")
    Path("file").write_text("", encoding="utf-8")
    assert code_of(["run", "--automation", *options]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not Path(".massgen").exists()


def test_failing_agents(command):
    """Code 2: every agent failed; the last line says so, and no line names an answer."""
    code, lines, err = command(lambda asked: Turn("bad key", status=401))
    assert code == 2
    assert "Every agent failed" in err
    assert lines[5].startswith("FINISH_REASON: error (Every agent failed.")
    assert re.fullmatch(r"FAILED: 2 agents, \d+\.\ds total", lines[-1])
    assert not [line for line in lines if line.startswith(("WINNER", "ANSWER", "FINAL"))]
    assert finish_reason(lines) == "error"


def test_all_failing_after_an_answer(command, kit):
    """Code 2 too where every agent fails after there was an answer: which is presented as it stands, without asking anybody."""
    code, lines, _ = command(lambda asked: Turn("out of order", status=401) if kit.seen(asked) else kit.answer(f"by {asked.agent_id}"))
    assert code == 2
    assert "FINISH_REASON: error (every agent failed before it could vote)" in lines
    assert [line for line in lines if line.startswith("ANSWER_PREVIEW: by ")]


def test_error_of_ours(command, kit, monkeypatch):
    """Code 2: an error that nobody thought of; what there is by then is kept."""

    def broken(*_args):
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(coordinator, "Presentation", broken)
    code, lines, err = command(settled(kit))
    assert code == 2
    assert "ZeroDivisionError: nobody thought of this" in err
    assert "WINNER: a" in lines
    assert finish_reason(lines) == "error"


def test_timeout_without_answer(command):
    """Code 3: time was up before there was an answer."""
    code, lines, err = command(lambda asked: Turn("slow", seconds=NEVER), "--timeout", "0.3")
    assert code == 3
    assert "No answer within 0.3 s" in err
    assert lines[-1].startswith("TIMED_OUT: 2 agents")
    assert finish_reason(lines) == "timeout"


def test_timeout_with_answer(command, kit, clock):
    """Code 3: time was up, and the best answer by then is given."""
    answered = threading.Event()

    def script(asked):
        if asked.agent_id == "a" and not kit.seen(asked):
            return kit.answer("in time")
        if kit.seen(asked):
            answered.set()
        return Turn("slow", seconds=NEVER)

    class Impatient(Automation):
        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            if progress.kind == "restart":
                clock.passes(500)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("massgen_tracing.views.cli.run.Automation", Impatient)
        code, lines, _ = command(script, "--timeout", "500")
    assert code == 3
    assert "ANSWER_PREVIEW: in time" in lines
    assert any(line.startswith("FINISH_REASON: timeout (the run has reached its time limit of 500 s") for line in lines)
    assert finish_reason(lines) == "timeout"


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(command, kit, number):
    """Code 4: Ctrl-C, SIGTERM and a terminal that closes; the answer by then is kept and named."""

    def script(asked):
        if asked.agent_id == "a" and not kit.seen(asked):
            return kit.answer("in time")
        if kit.seen(asked) and asked.agent_id == "b":
            os.kill(os.getpid(), number)
        return Turn("slow", seconds=NEVER)

    code, lines, err = command(script)
    assert code == 4, err
    assert "WINNER: a" in lines
    assert "FINISH_REASON: interrupted" in lines
    assert lines[-2].startswith("INTERRUPTED: 2 agents")
    [answer] = [line.removeprefix("FINAL_ANSWER: ") for line in lines if line.startswith("FINAL_ANSWER: ")]
    assert Path(answer).read_text(encoding="utf-8") == "in time"
    assert finish_reason(lines) == "interrupted"


def test_signal_before_anything(command, kit, monkeypatch):
    """Code 4 also where a signal comes before any agent was asked."""
    monkeypatch.setattr(Automation, "begin", lambda self, question: os.kill(os.getpid(), signal.SIGTERM))
    assert command(settled(kit))[0] == 4


@pytest.mark.parametrize(("option", "value", "said"), [("--max-tokens", "150", "tokens"), ("--max-cost", "0.00001", "cost")])
def test_budget(command, kit, option, value, said):
    """Code 0: what the run may use was used up, and it ends with what there is, without asking for a presentation."""
    code, lines, _ = command(settled(kit), option, value)
    assert code == 0
    assert any(line.startswith("FINISH_REASON: completed (the run has ") and said in line for line in lines)
    assert any(line.startswith("ANSWER_PREVIEW: by ") for line in lines)
    assert finish_reason(lines) == "completed"


def test_budget_before_any_answer(command):
    """Code 2: the budget was used up before there was an answer."""
    code, lines, err = command(lambda asked: Turn("thinking aloud", usage=Usage(input=100, output=10)), "--max-tokens", "50")
    assert code == 2
    assert re.search(r"No answer: the run has used [0-9]+ tokens; its limit is 50. Raise that limit.$", err, re.MULTILINE)
    assert lines[-1].startswith("FAILED: ")


def test_cost_that_nobody_knows(command, kit, monkeypatch):
    """A bound on the cost that cannot count a model's calls is warned of, with what counts them."""
    monkeypatch.setattr("massgen_tracing.prices.estimate", lambda *_args, **_options: None)
    code, _, err = command(settled(kit), "--max-cost", "1")
    assert code == 0
    assert "what gpt-5-mini costs is not known" in err
    assert "--max-tokens" in err


RESULTS = st.builds(
    lambda ballots, details: RunResult(
        winner="w", label="agent1.1", answer="x\n" * 300, reason="most votes", votes={}, ballots=ballots,
        finish_reason="completed", finish_details=details, failures={},
    ),
    st.dictionaries(st.text("abcdw", min_size=1, max_size=3), st.sampled_from(["w", "a", "b", "c", "d", "ab", "bc"]), max_size=40),
    st.none() | st.text(max_size=900),
)  # fmt: skip


@given(RESULTS, st.text(max_size=2000), st.integers(0, 1) | st.integers(0, 30))
def test_never_more_than_twenty_lines(result, question, retries):
    """However many agents vote, and whatever is asked: at most twenty lines, the winner's among them."""
    out = io.StringIO()
    automation = Automation(out, RunDirectory(Path("/runs/log_1")))
    automation.begin(question)
    for phase in ("initial_answer", "enforcement", "presentation"):
        automation(Progress("phase", "", phase))
    for attempt in range(retries):
        automation.retry(RunDirectory(Path("/runs/log_1"), 1, 2 + attempt))
    automation.end(Ended("completed", result.finish_details, result, 40, 1.0))
    lines = out.getvalue().split("\n")[:-1]
    assert len(lines) <= MAX_LINES
    assert lines[-1] == f"FINAL_DIR: /runs/log_1/turn_1/attempt_{retries + 1}/final"
    if retries > 1:  # for the votes there may be no room then
        return
    tally = list(result.ballots.values()).count("w")
    assert any(line.startswith(f"    w: {tally} vote") and "(winner)" in line for line in lines)
    voted = [line for line in lines if line.startswith("  [VOTE]")]
    [more] = [int(found[1]) for line in lines if (found := re.match(r"  … (\d+) more vote", line))] or [0]
    assert len(voted) + more == len(result.ballots)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out.getvalue())


def test_reader_that_goes_away(tmp_path):
    """Who reads the first line and no more does not end the run."""
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        automation = Automation(stream, RunDirectory(tmp_path))
        automation.begin("What?")
        os.close(read)
        automation(Progress("phase", "", "enforcement"))
        automation(Progress("phase", "", "presentation"))
