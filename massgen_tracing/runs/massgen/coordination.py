"""MassGen's orchestrator: one session for each question and attempt, one round for each execution of an agent, and what is decided in them.

`Orchestrator.chat` is a question. Each execution of an agent is an async generator that the coordination loop drives with a new task for every step;
it runs in one persistent context here, so whatever it does lies below its round. What an execution came to is decided outside of it, by the loop,
which tells `CoordinationTracker`; older versions close the generator first, so a round that has given a result waits for that verdict.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing import guard, layout, semconv
from massgen_tracing.layout import LOGS_DIR, RunDirectory, run_of
from massgen_tracing.trace.borders import bind_stream

if TYPE_CHECKING:
    from massgen_tracing.trace.handle import Handle
    from massgen_tracing.trace.round import Presentation, Round
    from massgen_tracing.trace.session import Session
    from massgen_tracing.trace.tracer import Tracer

TOLD_OTHERWISE: Final = frozenset({
    "session_start", "session_end", "iteration_start", "iteration_end", "status_change", "context_received", "restart_triggered",
    "restart_completed", "new_answer", "vote_cast", "final_agent_selected", "final_answer", "final_round_start", "agent_error", "agent_timeout",
    "agent_cancelled", "vote_ignored",
})  # fmt: skip
"""Tracker events that are spans, outcomes or events of their own in the tree, or its loop's ticking."""


class Execution:
    """One execution of an agent: its round, and what has become known of it.

    Attributes:
        round: the round's handle.
        result: what the agent gave, `(kind, data)`.

    Args:
        rnd: the round's handle.
        signalled_by: whose answer had made this agent start again when it began; it may take note of that only now, and end at once.
    """

    def __init__(self, rnd: Round, signalled_by: str | None = None) -> None:
        self.round = rnd
        self.result: tuple[str, Any] | None = None
        self._signalled_by = signalled_by
        self._done = False
        self.background: list[Handle] = []
        self._error: str | None = None
        self._judged = False
        self._streaming = True
        self._ended = False

    def saw(self, item: object) -> None:
        """Note what the agent's stream has yielded."""
        if isinstance(item, tuple) and len(item) > 1:
            if item[0] == "result" and isinstance(item[1], tuple):
                self.result = item[1]
            elif item[0] == "error":
                self._error = str(item[1])
            elif item[0] == "done":
                self._done = True

    def judged(self) -> None:
        """The orchestrator has said what became of it; a stream that has ended already has waited for this."""
        self._judged = True
        if not self._streaming:
            self.end()

    def streamed(self, error: BaseException | None, restart_by: str | None) -> None:
        """Its stream is over."""
        self._streaming = False
        if self._ended:
            return
        if isinstance(error, Exception):
            self.end(error)
            return
        if not self._judged:
            if self.result is not None:
                return  # the verdict is still to come
            if self._error is not None:
                self.round.error(self._error)
            elif restart_by is not None or self._done:  # MassGen, too, takes a stream that is done without a result for that
                self.round.restarted(restart_by or self._signalled_by)
            elif error is not None:
                self.round.cancelled()
        self.end()

    def settle(self) -> None:
        """No verdict will come any more; if its stream is not over, it was given up."""
        if self._streaming and not self._judged and not self._ended:
            self.round.cancelled()
        self.end()

    def end(self, error: BaseException | None = None) -> None:
        """End the round; what still runs in the background gets a link to it."""
        if self._ended:
            return
        self._ended = True
        for call in self.background:
            if call.span.is_recording():
                call.span.add_link(self.round.span.get_span_context(), {semconv.AGENT_ID: self.round.agent_id})
        self.round.end(error)


class Coordination:
    """One question, one attempt.

    Attributes:
        session: its session's handle.
        executions: each agent's latest execution.
        presentation: the winner's presentation, while it goes on.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.executions: dict[str, Execution] = {}
        self.restart_by: dict[str, str] = {}
        self.presentation: Presentation | None = None
        self.winner_told = False

    def begin(self, agent_id: str, rnd: Round) -> Execution:
        """An agent is being executed; what it did before has had its verdict, or gets none."""
        self.settle(agent_id)
        execution = self.executions[agent_id] = Execution(rnd, self.restart_by.pop(agent_id, None))
        return execution

    def settle(self, agent_id: str) -> None:
        """End an agent's round, whatever has become of it."""
        execution = self.executions.get(agent_id)
        if execution is not None:
            execution.settle()

    def round(self, agent_id: str | None) -> Round | None:
        """The round that an agent is in, or gave its result in."""
        execution = self.executions.get(agent_id) if agent_id is not None else None
        return None if execution is None or not execution.round.span.is_recording() else execution.round


class Coordinations:
    """What is being coordinated in this process, and the wrappers that see it.

    Args:
        tracer: gives the tracer in force.
        finish: ends the model calls that are open below a round or session that is about to end.
        version: MassGen's.
        root: gives the directory of runs and recordings.
    """

    def __init__(
        self, tracer: Callable[[], Tracer], finish: Callable[[Handle], None], version: Callable[[], str | None], root: Callable[[], str | None]
    ) -> None:
        self._tracer = tracer
        self._finish = finish
        self._version = version
        self._root = root
        self._of: weakref.WeakKeyDictionary[Any, Coordination] = weakref.WeakKeyDictionary()

    def execution(self, rnd: Round | None) -> Execution | None:
        """The execution that a round belongs to."""
        for coordination in list(self._of.values()):
            for execution in coordination.executions.values():
                if execution.round is rnd:
                    return execution
        return None

    # --- Orchestrator --------------------------------------------------------------------------------------------------------------

    def chat(self, original: Callable[..., Any], orchestrator: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """`Orchestrator.chat`: a question."""
        stream = original(orchestrator, messages, *args, **kwargs)
        question = _question(messages)
        if not question or getattr(orchestrator, "workflow_phase", "idle") == "coordinating" or not self._tracer().enabled:
            return stream
        return bind_stream(self._session(orchestrator, question, stream))

    async def _session(self, orchestrator: Any, question: str, stream: Any) -> AsyncIterator[Any]:
        own = _own_directory()
        attributes = {semconv.MASSGEN_VERSION: self._version(), **({semconv.LOG_DIR: str(own.log_dir)} if own is not None else {})}
        with self._tracer().session(question, agents=list(_agents(orchestrator)), run=self._run_directory(own), attributes=attributes) as session:
            coordination = Coordination(session)
            # The orchestrator names it in some calls, its tracker in others.
            places = [place for place in (orchestrator, _tracker(orchestrator)) if place is not None]
            self._of.update(dict.fromkeys(places, coordination))
            try:
                session.event("coordination_started", {semconv.NUM_AGENTS: len(_agents(orchestrator))})
                async with contextlib.aclosing(stream) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if getattr(orchestrator, "is_orchestrator_timeout", False):
                    session.set(semconv.ERROR_MESSAGE, str(getattr(orchestrator, "timeout_reason", None) or "timed out"))
                    session.event("orchestrator_timeout", {semconv.ERROR_MESSAGE: str(getattr(orchestrator, "timeout_reason", None) or "")})
            finally:
                for agent_id in coordination.executions:
                    coordination.settle(agent_id)
                self._finish(session)
                for place in places:
                    if self._of.get(place) is coordination:
                        del self._of[place]

    def stream_agent_execution(
        self, original: Callable[..., Any], orchestrator: Any, agent_id: str, task: Any, answers: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """`Orchestrator._stream_agent_execution`: one execution of an agent."""
        stream = original(orchestrator, agent_id, task, answers, *args, **kwargs)
        coordination = self._of.get(orchestrator)
        if coordination is None:
            return stream
        return bind_stream(self._execution(coordination, orchestrator, agent_id, answers, stream))

    async def _execution(self, coordination: Coordination, orchestrator: Any, agent_id: str, answers: Any, stream: Any) -> AsyncIterator[Any]:
        rnd = self._round(coordination, orchestrator, agent_id, answers)
        execution = coordination.begin(agent_id, rnd)
        # The round is current until this generator ends, and its context with it; the span may end later, when the verdict has come.
        rnd.__enter__()
        error: BaseException | None = None
        try:
            async with contextlib.aclosing(stream) as items:
                async for item in items:
                    execution.saw(item)
                    yield item
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._finish(rnd)
            execution.streamed(error, coordination.restart_by.get(agent_id))

    def _round(self, coordination: Coordination, orchestrator: Any, agent_id: str, answers: Any) -> Round:
        tracker, backend = _tracker(orchestrator), _backend(orchestrator, agent_id)
        labels: Sequence[str] = ()
        with guard.ignored():
            labels = [label for label in (tracker.get_latest_answer_label(answering) for answering in sorted(answers or ())) if label]
        return coordination.session.agent_round(
            agent_id,
            round_type="voting" if answers else "initial_answer",
            iteration=getattr(tracker, "current_iteration", None),
            backend=_backend_name(backend),
            context_labels=labels,
            model=_model(backend),
        )

    def get_final_presentation(self, original: Callable[..., Any], orchestrator: Any, agent_id: str, votes: Any, *args: Any, **kwargs: Any) -> Any:
        """`Orchestrator.get_final_presentation`: the winner presents."""
        stream = original(orchestrator, agent_id, votes, *args, **kwargs)
        coordination = self._of.get(orchestrator)
        if coordination is None or getattr(orchestrator, "_presentation_started", False) or coordination.presentation is not None:
            return stream
        return bind_stream(self._presentation(coordination, orchestrator, agent_id, votes, stream))

    def existing_answer(self, original: Callable[..., Any], runner: Any, *args: Any, selected_agent_id: str, vote_results: Any, **kwargs: Any) -> Any:
        """`FinalPresentationRunner.yield_existing_answer_finalization`: the winner's answer is presented as it stands."""
        stream = original(runner, *args, selected_agent_id=selected_agent_id, vote_results=vote_results, **kwargs)
        orchestrator = getattr(runner, "_orchestrator", None)
        coordination = self._of.get(orchestrator) if orchestrator is not None else None
        if coordination is None or coordination.presentation is not None:
            return stream
        return bind_stream(self._presentation(coordination, orchestrator, selected_agent_id, vote_results, stream))

    async def _presentation(self, coordination: Coordination, orchestrator: Any, agent_id: str, votes: Any, stream: Any) -> AsyncIterator[Any]:
        tracker, backend = _tracker(orchestrator), _backend(orchestrator, agent_id)
        for executed in coordination.executions:
            coordination.settle(executed)
        with guard.guarded("massgen.winner"):
            self._winner(coordination, tracker, agent_id, votes)
        presentation = coordination.session.presentation(
            agent_id, backend=_backend_name(backend), iteration=getattr(tracker, "current_iteration", None), model=_model(backend)
        )
        with presentation:
            coordination.presentation = presentation
            try:
                async with contextlib.aclosing(stream) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                coordination.presentation = None
                self._finish(presentation)

    def _winner(self, coordination: Coordination, tracker: Any, agent_id: str, votes: Any = None) -> None:
        if coordination.winner_told:
            return
        coordination.winner_told = True
        counts, tie = {}, False
        if isinstance(votes, Mapping):
            counts = {_latest_label(tracker, voted_for) or voted_for: count for voted_for, count in (votes.get("vote_counts") or {}).items()}
            tie = bool(votes.get("is_tie"))
        reason = ("most votes, tie broken by order" if tie else "most votes") if counts else "no votes, latest answer"
        label = _latest_label(tracker, agent_id)
        coordination.session.winner(agent_id, label, votes=counts, reason=reason)
        coordination.session.event("winner_selected", {semconv.WINNER: agent_id, semconv.WINNER_LABEL: label, semconv.WINNER_REASON: reason})

    def post_evaluate_answer(self, original: Callable[..., Any], orchestrator: Any, agent_id: str, *args: Any, **kwargs: Any) -> Any:
        """`Orchestrator.post_evaluate_answer`: the winner judges its own answer."""
        stream = original(orchestrator, agent_id, *args, **kwargs)
        coordination = self._of.get(orchestrator)
        if coordination is None:
            return stream
        return bind_stream(self._post_evaluation(coordination, orchestrator, agent_id, stream))

    async def _post_evaluation(self, coordination: Coordination, orchestrator: Any, agent_id: str, stream: Any) -> AsyncIterator[Any]:
        backend = _backend(orchestrator, agent_id)
        with coordination.session.agent_round(agent_id, round_type="post_evaluation", backend=_backend_name(backend), model=_model(backend)) as rnd:
            try:
                async with contextlib.aclosing(stream) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                self._finish(rnd)

    # --- CoordinationTracker -------------------------------------------------------------------------------------------------------

    def add_agent_answer(self, original: Callable[..., Any], tracker: Any, agent_id: str, answer: Any, *args: Any, **kwargs: Any) -> Any:
        """An answer counts."""
        returned = original(tracker, agent_id, answer, *args, **kwargs)
        with self._verdict(tracker, agent_id) as rnd:
            if rnd is not None:
                rnd.answer(_latest_label(tracker, agent_id), str(answer))
        return returned

    def add_agent_vote(self, original: Callable[..., Any], tracker: Any, agent_id: str, vote: Any, *args: Any, **kwargs: Any) -> Any:
        """A vote counts."""
        returned = original(tracker, agent_id, vote, *args, **kwargs)
        with self._verdict(tracker, agent_id) as rnd:
            if rnd is not None:
                cast = tracker.votes[-1]
                rnd.vote(str(cast.voted_for), getattr(cast, "voted_for_label", None), getattr(cast, "reason", None))
        return returned

    def add_agent_stop(self, original: Callable[..., Any], tracker: Any, agent_id: str, *args: Any, **kwargs: Any) -> Any:
        """An agent says that its part is done (decomposition)."""
        returned = original(tracker, agent_id, *args, **kwargs)
        with self._verdict(tracker, agent_id):
            pass
        return returned

    def track_agent_action(self, original: Callable[..., Any], tracker: Any, agent_id: str, action: Any, details: Any = "") -> Any:
        """An ignored vote, an error, a timeout, a cancellation."""
        returned = original(tracker, agent_id, action, details)
        kind = str(getattr(action, "value", action)).lower()
        if kind in {"vote_ignored", "error", "timeout", "cancelled"}:
            coordination = self._of.get(tracker)
            with self._verdict(tracker, agent_id) as rnd:
                if rnd is not None and coordination is not None:
                    if kind == "vote_ignored":
                        rnd.event("vote_ignored", _vote_of(coordination.executions[agent_id].result))
                        rnd.restarted(coordination.restart_by.get(agent_id))
                    elif kind == "cancelled":
                        rnd.cancelled()
                    else:
                        (rnd.error if kind == "error" else rnd.timeout)(str(details or kind))
        return returned

    def track_restart_signal(self, original: Callable[..., Any], tracker: Any, triggering: str, agents: Sequence[str], *args: Any) -> Any:
        """An answer asks the other agents to start again; whether they do is another matter."""
        coordination = self._of.get(tracker)
        if coordination is not None:
            coordination.restart_by.update({agent_id: triggering for agent_id in agents if agent_id != triggering})
        return original(tracker, triggering, agents, *args)

    def track_enforcement_event(
        self, original: Callable[..., Any], tracker: Any, agent_id: str, reason: str, attempt: int, max_attempts: int, *args: Any, **kwargs: Any
    ) -> Any:
        """An agent broke the protocol and is asked again."""
        returned = original(tracker, agent_id, reason, attempt, max_attempts, *args, **kwargs)
        with self._in(tracker, agent_id) as rnd:
            if rnd is not None:
                given = dict(zip(("tool_calls", "error_message", "buffer_preview", "buffer_chars"), args, strict=False)) | kwargs
                rnd.enforcement(
                    reason,
                    attempt,
                    max_attempts,
                    given.get("tool_calls") or (),
                    given.get("error_message"),
                    given.get("buffer_preview"),
                    given.get("buffer_chars"),
                    any_reason=True,  # versions have more codes than the eleven
                )
        return returned

    def set_final_agent(self, original: Callable[..., Any], tracker: Any, agent_id: str, *args: Any, **kwargs: Any) -> Any:
        """The winner is known."""
        coordination = self._of.get(tracker)
        if coordination is not None:
            with guard.guarded("massgen.winner"):
                self._winner(coordination, tracker, agent_id)
        return original(tracker, agent_id, *args, **kwargs)

    def set_final_answer(self, original: Callable[..., Any], tracker: Any, agent_id: str, answer: Any, *args: Any, **kwargs: Any) -> Any:
        """The final answer stands."""
        returned = original(tracker, agent_id, answer, *args, **kwargs)
        coordination = self._of.get(tracker)
        if coordination is not None:
            with guard.guarded("massgen.final_answer"):
                if coordination.presentation is not None:
                    coordination.presentation.final_answer(str(answer))
                else:  # versions that present an answer as it stands have no place for it but the session
                    coordination.session.final_answer(agent_id, str(answer))
        return returned

    def add_event(self, original: Callable[..., Any], tracker: Any, event: Any, agent_id: Any, details: Any, *args: Any, **kwargs: Any) -> Any:
        """Whatever else the tracker is told: injections, broadcasts, checkpoints, and what a later version may have."""
        kind = str(getattr(event, "value", event))
        if kind not in TOLD_OTHERWISE:
            with self._in(tracker, agent_id) as rnd:
                coordination = self._of.get(tracker)
                place = rnd or (coordination.session if coordination is not None else None)
                if place is not None:
                    place.event(kind, {semconv.EVENT_DETAILS: str(details) if details else None})
        return original(tracker, event, agent_id, details, *args, **kwargs)

    # --- inner ---------------------------------------------------------------------------------------------------------------------

    def _run_directory(self, own: RunDirectory | None) -> RunDirectory | None:
        """MassGen's directory of this attempt, for the recording to lie beside its files; None where that is not among the root's runs."""
        root = self._root()
        if own is None or root is None or own.log_dir.parent != Path(root).absolute() / LOGS_DIR:
            return None  # a subagent's files lie in its workspace, which MassGen clears
        try:
            layout.make_directory(own.attempt_dir)
        except OSError as error:
            guard.swallow("massgen.log_dir", error)
            return None
        return own

    @contextlib.contextmanager
    def _in(self, tracker: Any, agent_id: Any) -> Any:
        """The round that an agent is in, if any."""
        coordination = self._of.get(tracker)
        rnd = None
        if coordination is not None:
            presenting = coordination.presentation
            rnd = presenting if presenting is not None and presenting.agent_id == agent_id else coordination.round(agent_id)
        with guard.guarded("massgen.coordination"):
            yield rnd

    @contextlib.contextmanager
    def _verdict(self, tracker: Any, agent_id: str) -> Any:
        """The round that a verdict is given on."""
        coordination = self._of.get(tracker)
        execution = coordination.executions.get(agent_id) if coordination is not None else None
        rnd = coordination.round(agent_id) if coordination is not None else None
        with guard.guarded("massgen.coordination"):
            yield rnd
        if execution is not None and rnd is not None:
            execution.judged()


def _question(messages: Any) -> str:
    """The last thing that the user said."""
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, Mapping) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping) and part.get("text"))
            return str(content or "")
    return ""


def _own_directory() -> RunDirectory | None:
    """Where MassGen keeps this attempt's files."""
    try:
        from massgen.logger_config import get_log_session_dir

        return run_of(Path(get_log_session_dir()))
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
        guard.swallow("massgen.log_dir", error)
    return None


def _tracker(orchestrator: Any) -> Any:
    return getattr(orchestrator, "coordination_tracker", None)


def _agents(orchestrator: Any) -> Mapping[str, Any]:
    agents = getattr(orchestrator, "agents", None)
    return agents if isinstance(agents, Mapping) else {}


def _backend(orchestrator: Any, agent_id: str) -> Any:
    return getattr(_agents(orchestrator).get(agent_id), "backend", None)


def _backend_name(backend: Any) -> str | None:
    try:
        return str(backend.get_provider_name())
    except Exception as error:  # noqa: BLE001 - a backend of somebody's own need not have a name
        guard.passing(error)
        return None


def _model(backend: Any) -> str | None:
    config = getattr(backend, "config", None)
    model = config.get("model") if isinstance(config, Mapping) else getattr(backend, "model", None)
    return str(model) if model else None


def _latest_label(tracker: Any, agent_id: str) -> str | None:
    answers = getattr(tracker, "answers_by_agent", {}).get(agent_id)
    return str(answers[-1].label) if answers else None


def _vote_of(result: tuple[str, Any] | None) -> dict[str, Any]:
    data = result[1] if result is not None and len(result) > 1 and isinstance(result[1], Mapping) else {}
    return {semconv.VOTED_FOR: data.get("agent_id"), semconv.VOTE_REASON: data.get("reason")}
