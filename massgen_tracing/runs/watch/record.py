"""What is watched, as spans: a `watch.agent.<name>` for each, its states as events in it, and below it the calls that its program tells."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from massgen_tracing import layout, semconv
from massgen_tracing.runs.watch import told
from massgen_tracing.runs.watch.signals import FAILURES, FINAL
from massgen_tracing.runs.watch.transcripts import Call, Session, ToolUse
from massgen_tracing.runs.watch.watcher import Change, Watched
from massgen_tracing.trace.calls import Openers, Work
from massgen_tracing.trace.environment import child_env
from massgen_tracing.trace.tracer import Tracer


class Record:
    """Makes the spans.

    Args:
        tracer: the facade's, as `configure()` returned it.
        names: what is watched.
        recorded: which of these sessions' calls are in recordings already, for their program has sent them itself, and in which trace.
    """

    def __init__(self, tracer: Tracer, names: Iterable[str], recorded: Callable[[Collection[str]], Mapping[str, str]] = lambda _: {}) -> None:
        names = list(names)
        self._recorded = recorded
        self._imported: set[tuple[str, str]] = set()
        self._tracer = tracer
        self._session = tracer.session(f"Watching {', '.join(names)}", agents=names, attributes={semconv.WATCHING: True}).start()
        self._spans: dict[str, Work] = {}

    @property
    def trace_id(self) -> str:
        """The trace that it is."""
        return self._session.trace_id

    @property
    def written(self) -> bool:
        """Whether there is a recording of it, at least of a part."""
        run = self._session.run
        return run is not None and run.attempt_dir.is_dir() and any(layout.is_recording(path.name) for path in run.attempt_dir.iterdir())

    def environment(self, name: str) -> dict[str, str]:
        """The environment for something that is started to be watched: what it traces itself goes on in this trace, below its own span."""
        context = self._span(name).context
        if context is None:
            return child_env()
        token = otel_context.attach(context)
        try:
            return child_env()
        finally:
            otel_context.detach(token)

    def take(self, change: Change) -> None:
        """A change, which is an event of what has changed."""
        span = self._span(change.target)
        own = {
            semconv.AGENT_ID: change.target,
            semconv.EVENT_TYPE: f"watch_{change.kind}",
            semconv.WATCH_STATE: change.state,
            semconv.WATCH_PREVIOUS: change.previous,
            semconv.WATCH_SIGNAL: change.evidence.name,
            semconv.WATCH_EVIDENCE: change.evidence.quote,
            semconv.WATCH_ATTEMPT: change.attempt,
        }
        if change.kind != "progress":
            self._tracer.spans.point(semconv.EVENT_NAME.format(type=f"watch_{change.kind}"), own, base=span.context)

    def end(self, watched: Iterable[Watched]) -> None:
        """Watching has ended; what is not over is left as it was."""
        states = []
        for each in watched:
            verdict = each.verdict
            if verdict is None:
                continue
            span, subject = self._span(each.subject.name), each.subject
            self._import(span, each)
            span.set(semconv.WATCH_STATE, verdict.state)
            span.set(semconv.WATCH_EVIDENCE, verdict.evidence.quote)
            span.set(semconv.WATCH_ATTEMPT, subject.facts.attempt)
            span.set(semconv.WATCH_PROGRAM, subject.facts.program or None)
            error = None
            if verdict.state in FAILURES:
                span.set(semconv.OUTCOME, "timeout" if verdict.state == "timed_out" else "error")
                span.set(semconv.ERROR_MESSAGE, verdict.evidence.quote)
                error = WatchedFailure(f"{verdict.state}: {verdict.evidence.quote}")
            elif verdict.state not in FINAL:
                span.set(semconv.OUTCOME, "cancelled")
            span.end(error)
            states += [verdict.state] if subject.kind == "target" else []
        failed = [state for state in states if state in FAILURES]
        reason = "timeout" if failed and set(failed) == {"timed_out"} else "error" if failed else "completed"
        self._session.finished(reason, f"{len(failed)} of {len(states)} failed" if failed else None)
        self._session.end()

    def _span(self, name: str) -> Work:
        span = self._spans.get(name)
        if span is None:
            own = {semconv.AGENT_ID: name, semconv.GEN_AI_OPERATION: "invoke_agent", semconv.GEN_AI_AGENT: name}
            span = self._spans[name] = self._tracer.span(semconv.WATCHED_NAME.format(name=name), own, base=self._session.context).start()
        return span

    def _import(self, span: Work, watched: Watched) -> None:
        """The calls that its program tells, since it was watched; each once, also where two of one folder are watched."""
        sessions = list(told.sessions(watched.subject))
        recorded = self._recorded([session.id for session in sessions if session.id]) if sessions else {}
        if recorded:
            span.set(semconv.WATCH_TRACES, sorted(set(recorded.values())))
        if span.context is None:
            return
        past, agent = _Past(self._tracer, span.context), watched.subject.name
        for session in (session for session in sessions if session.id not in recorded):
            for call in session.calls.values():
                if self._is_new(session, call.key):
                    past.model_call(agent, session, call)
            for use in session.tools.values():
                if self._is_new(session, use.key):
                    past.tool_use(agent, session, use)

    def _is_new(self, session: Session, key: str) -> bool:
        if (session.id, key) in self._imported:
            return False
        self._imported.add((session.id, key))
        return True


class WatchedFailure(Exception):
    """What is watched has failed."""


class _Past(Openers):
    """Opens spans that have begun already, below one that is watched."""

    def __init__(self, tracer: Tracer, context: Context) -> None:
        self._spans = copy.copy(tracer.spans)
        start = self._spans.start_span
        self._start = 0
        self._spans.start_span = lambda *args, **more: start(*args, **{"start_time": self._start, **more})
        self._place = context

    @property
    def context(self) -> Context:
        return self._place

    def model_call(self, agent: str, session: Session, call: Call) -> None:
        """A model call as the transcript has it."""
        self._start = call.start
        opened = self.llm_call(call.provider, call.model or None, attributes=_about(agent, session, call.agent, estimated=call.estimated)).start()
        opened.record_response(model=call.model or None, id=call.key, finish_reasons=call.finish or None)
        opened.record_usage(call.input, call.output, call.reasoning or None, call.cached or None, call.cost, raw=call.usage)
        opened.end(at=max(call.end, call.start))

    def tool_use(self, agent: str, session: Session, use: ToolUse) -> None:
        """A tool call as the transcript has it."""
        self._start = use.start
        opened = self.tool_call(use.name, use.arguments, call_id=use.key, attributes=_about(agent, session, use.agent, estimated=False)).start()
        opened.record_result(use.result, is_error=use.failed)
        opened.end(at=max(use.end, use.start))


def _about(agent: str, session: Session, subagent: str, *, estimated: bool) -> dict[str, Any]:
    return {
        semconv.AGENT_ID: agent,
        semconv.IMPORTED: True,
        semconv.ESTIMATED: ["start"] if estimated else None,
        semconv.WATCH_SESSION: session.id or None,
        semconv.WATCH_SUBAGENT: subagent or None,
        semconv.WATCH_SOURCE: session.source,
    }
