"""A run of MassGen's, or of our own: its status, its final answer, whether whoever writes it lives; and each of its agents.

MassGen says `completed` when the presentation begins, and for ever `in_progress` when every agent has failed. What counts is that the answer of its
turn is there, and that somebody writes. Our own status tells the end as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from massgen_tracing import layout
from massgen_tracing.runs.watch import checklist, processes, profiles, statements
from massgen_tracing.runs.watch.signals import FAILURES, FINAL, Facts, Rank, State, Used
from massgen_tracing.runs.watch.tail import Tail
from massgen_tracing.runs.watch.targets.process import End
from massgen_tracing.runs.watch.targets.target import Asked, Subject, Target, nearest
from massgen_tracing.runs.watch.transcripts.session import amount
from massgen_tracing.store.reading.liveness import writer_alive

_AGENTS: Final[Mapping[str, State]] = {"error": "failed", "timeout": "timed_out", "completed": "completed", "voted": "running", "answered": "running",
    "streaming": "running", "restarting": "running", "waiting": "running"}  # fmt: skip
_FINISHED: Final[Mapping[str, State]] = {"completed": "completed", "error": "failed", "timeout": "timed_out", "interrupted": "failed"}
_OWN_KEY: Final = "telemetry"
"""In `status.json` of a run of our own."""

_ORPHANED_SECONDS: Final = 5.0
"""After so long without a change it is asked whether anybody still writes; MassGen writes its status each two seconds."""


class RunTarget(Target):
    """A run's directory; the newest attempt of its newest turn."""

    def __init__(self, name: str, log_dir: Path, asked: Asked, now: float) -> None:
        super().__init__(name)
        self._log_dir = log_dir.absolute()
        self._facts = Facts(now)
        self._facts.program = "the run"
        self._run: layout.RunDirectory | None = None
        self._wanted = asked.wanted
        self._patience = asked.patience
        self._stamp: tuple[int, ...] = ()
        self._document: Mapping[str, Any] = {}
        self._log: Tail | None = None
        self._outcomes = profiles.load("massgen").outcomes
        self._pid: int | None = None
        self._tree: processes.Tree | None = None
        self._end = End()
        self._wake: Callable[[], None] = lambda: None
        self._asked_at = 0.0
        self._agents: dict[str, Subject] = {}
        self.subjects = [Subject(name, self._facts, asked.wanted(self._log_dir), asked.patience, folder=nearest(self._log_dir))]

    async def start(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def look(self, now: float) -> bool:
        changed = self._newest(now)
        if self._run is None:
            if not self._log_dir.is_dir() and self._facts.active_at is not None:
                self._facts.note(Rank.WRITTEN, "folder", "unknown", f"{self._log_dir} is gone", now)
            return changed
        changed = self._read_status(self._run, now) or changed
        changed = self._read_log(self._run, now) or changed
        self._read_answer(self._run, now)
        self._look_at_writer(self._run, now, changed=changed)
        self._end_agents(now)
        return changed

    def folders(self) -> Iterable[Path]:
        run = self._run
        places = [self._log_dir] if run is None else [self._log_dir, run.turn_dir, run.attempt_dir, run.turn_dir / layout.FINAL_DIR]
        return [*filter(Path.is_dir, places)] or [nearest(self._log_dir)]

    async def close(self) -> None:
        self._end.close()
        if self._log is not None:
            self._log.close()

    def _newest(self, now: float) -> bool:
        """Go over to another attempt where there is one."""
        try:
            found = layout.attempts(self._log_dir)
        except OSError:
            return False
        newest = found[-1] if found else None
        if newest is None or newest == self._run:
            return False
        if self._run is not None:
            self._facts.restarted(now)
            for agent in self._agents.values():
                agent.facts.restarted(now)
        self._run, self._stamp, self._document = newest, (), {}
        if self._log is not None:
            self._log.close()
        self._log = None
        self._facts.moved(f"{newest.attempt_dir.name} of {newest.turn_dir.name} is there", _changed(newest.attempt_dir, now))
        return True

    def _read_status(self, run: layout.RunDirectory, now: float) -> bool:
        try:
            status = run.status.stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp == self._stamp:
                return False
            document = statements.parsed(run.status.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return False
        except OSError as error:
            self._facts.note(Rank.WRITTEN, "file", "unknown", f"{layout.STATUS_FILE} cannot be read: {error.strerror or error}", now)
            return False
        if not isinstance(document, Mapping):
            return False  # in the middle of being written, by a writer that does not rename
        self._facts.forget("file")
        self._stamp, before, self._document = stamp, self._document, document
        at = min(now, status.st_mtime)
        if _without_clock(document) != _without_clock(before):
            self._facts.moved(f"{layout.STATUS_FILE} says more", at)
        self._take(document, at)
        return True

    def _take(self, document: Mapping[str, Any], at: float) -> None:
        facts, own = self._facts, _OWN_KEY in document
        coordination, reason = _mapping(document.get("coordination")), document.get("finish_reason")
        percent = coordination.get("completion_percentage")
        if isinstance(percent, int | float) and not isinstance(percent, bool):
            facts.progress = float(min(max(percent, 0), 100))
        facts.doing = str(coordination.get("phase") or "")
        used = _mapping(document.get("costs"))
        sent, got, cost = (used.get(f"total_{name}") for name in ("input_tokens", "output_tokens", "estimated_cost"))
        if isinstance(sent, int) and isinstance(got, int) and (sent or got):
            facts.used = Used(sent, got, amount(cost))
        state = _FINISHED.get(reason) if isinstance(reason, str) else None
        quote = f'"finish_reason": "{reason}" in {layout.STATUS_FILE}'
        if own and state is not None:
            facts.note(Rank.OUTCOME, "run", state, quote + (f": {details}" if (details := document.get("finish_reason_details")) else ""), at)
        else:
            facts.note(Rank.WRITTEN, "run", "running", f'"phase": "{facts.doing}", {facts.progress or 0:g} % in {layout.STATUS_FILE}', at)
        for agent_id, agent in _mapping(document.get("agents")).items():
            if isinstance(agent, Mapping):
                self._take_agent(str(agent_id), agent, at, ended=own and state is not None)

    def _take_agent(self, agent_id: str, said: Mapping[str, Any], at: float, *, ended: bool) -> None:
        subject = self._agents.get(agent_id)
        if subject is None:
            subject = Subject(f"{self.name}/{agent_id}", Facts(self._facts.watched_since), self._wanted(None), self._patience, kind="agent")
            subject.wanted = type(subject.wanted)()
            self._agents[agent_id] = subject
            self.subjects.append(subject)
        facts, status = subject.facts, said.get("status")
        state = _AGENTS.get(status, "unknown") if isinstance(status, str) else "unknown"
        quote = f'"status": "{status}"'
        error = said.get("error")
        if isinstance(error, Mapping):
            state, quote = "timed_out" if error.get("type") == "timeout" else "failed", f"{error.get('type')}: {error.get('message')}"
        elif ended and state == "running":
            state = "completed"
        facts.note(Rank.OUTCOME, "agent", state, f"{quote} in {layout.STATUS_FILE}", at)
        used = _mapping(said.get("token_usage"))
        sent, got, cost = used.get("input_tokens"), used.get("output_tokens"), used.get("estimated_cost")
        if isinstance(sent, int) and isinstance(got, int) and (sent or got):
            facts.used = Used(sent, got, amount(cost))
        facts.moved(quote, at)

    def _read_log(self, run: layout.RunDirectory, now: float) -> bool:
        if self._log is None and (path := _log_of(run)) is not None:
            self._log = Tail(path)
        lines = self._log.read() if self._log is not None else []
        for line in lines:
            for outcome in self._outcomes:
                if outcome.line is not None and outcome.state in FINAL and outcome.line.search(line):
                    self._facts.note(Rank.OUTCOME, "log", outcome.state, f"{line.strip()} in {layout.MASSGEN_LOG}", now)
        if lines:
            self._facts.last_line = next((line for line in reversed(lines) if line.strip()), self._facts.last_line).strip()
            self._facts.moved(f"{layout.MASSGEN_LOG} was written", now if self._log is None else min(now, self._log.changed_at or now))
        return bool(lines)

    def _read_answer(self, run: layout.RunDirectory, now: float) -> None:
        """The answer of the turn, which MassGen puts there last of all."""
        if _OWN_KEY in self._document:
            return
        folder = run.turn_dir / layout.FINAL_DIR
        answer = next((path for path in sorted(folder.glob(f"*/{layout.ANSWER_FILE}")) if _size(path)), None)
        if answer is not None:
            where = answer.relative_to(self._log_dir)
            self._facts.note(Rank.OUTCOME, "answer", "completed", f"{where} is there, {_size(answer)} bytes", _changed(answer, now))
            for agent in self._agents.values():
                known = agent.facts.signals.get("agent")
                if known is not None and known.state == "running":
                    agent.facts.note(Rank.OUTCOME, "agent", "completed", known.quote, now)

    def _end_agents(self, now: float) -> None:
        """Agents of a run that came to no answer have ended with it, whatever their last status was."""
        ends = [signal for name in ("log", checklist.EXIT) if (signal := self._facts.signals.get(name)) is not None and signal.state in FAILURES]
        for agent in self._agents.values() if ends else ():
            known = agent.facts.signals.get("agent")
            if known is not None and known.state not in FINAL:
                agent.facts.note(Rank.ENDED, "run", ends[0].state, f"the run has ended: {ends[0].quote}; {known.quote}", now)
            else:
                agent.facts.forget("run")

    def _look_at_writer(self, run: layout.RunDirectory, now: float, *, changed: bool) -> None:
        """Whether anybody still writes it, asked when nothing changes; of one that has said its last word it is nobody's question."""
        facts = self._facts
        if any(facts.signals[name].state in FINAL for name in ("run", "answer", "log") if name in facts.signals):
            facts.forget(checklist.EXIT)
            return
        if self._tree is not None:
            seen = self._tree.look()
            facts.resources = seen.resources
            if seen.lives:
                facts.alive = True
                return
            self._tree, self._pid, self.subjects[0].pids = None, None, ()
            self._asked_at = 0.0
        quiet = now - (facts.active_at or now) >= _ORPHANED_SECONDS
        if changed or (facts.alive is not None and not quiet and self._asked_at) or time.monotonic() - self._asked_at < _ORPHANED_SECONDS:
            return
        self._asked_at = time.monotonic()
        if any(_writes(path) for path in run.attempt_dir.glob(f"*{layout.RECORDING_SUFFIX}")):
            facts.alive = True
            facts.forget(checklist.EXIT)
            return
        pid = None if self._log is None else processes.holder(self._log.path)
        if pid is not None:
            self._pid, self._tree, facts.alive = pid, processes.Tree(pid), True
            self.subjects[0].pids = (pid,)
            self._end.await_of(pid, self._wake)
            facts.forget(checklist.EXIT)
        elif quiet or facts.alive:
            facts.alive = False
            reason = self._document.get("finish_reason")
            last = f"the last status is {reason}" if reason else "there is no last word"
            state: State = "timed_out" if reason == "timeout" else "dead"
            facts.note(Rank.ENDED, checklist.EXIT, state, f"no process writes the run any more; {last}", now)


def _log_of(run: layout.RunDirectory) -> Path | None:
    """MassGen's own log: of the attempt, or of the run, as older versions have it; None where there is none yet."""
    return next((path for folder in (run.attempt_dir, run.log_dir) if _size(path := folder / layout.MASSGEN_LOG)), None)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _without_clock(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A status without what changes though nothing happens."""
    meta = {key: value for key, value in _mapping(document.get("meta")).items() if key not in {"last_updated", "elapsed_seconds"}}
    return {**document, "meta": meta}


def _writes(recording: Path) -> bool:
    try:
        return writer_alive(recording)
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _changed(path: Path, now: float) -> float:
    try:
        return min(now, os.stat(path).st_mtime)
    except OSError:
        return now
