"""All that the files of a run tell, as one run: the most exact file first, others where it is silent.

The same answer, vote or round stands in several files. An answer or vote is known by its agent and its how-many-th it is; the beginning of
a round by its moment, which the files agree on to some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from massgen_tracing import semconv
from massgen_tracing.runs.massgen.imports import clock as clocks
from massgen_tracing.runs.massgen.imports import files, places, sources, values
from massgen_tracing.runs.massgen.imports.facts import Act, Happening, Round, Run, Start, Sums, Tool
from massgen_tracing.runs.massgen.imports.places import Place
from massgen_tracing.trace.usage import Usage

_SAME_ROUND_NS: Final = 2_000_000_000
"""So much later than one file says that a round began, another may say it."""

_SLACK_NS: Final = 50_000_000
"""So much earlier, or so much around a round's end."""

_COST_NOISE: Final = 1e-6
"""USD. MassGen rounds costs to six decimals, so sums of them differ by so much."""

_DEEPEST: Final = 4
"""Subagents in subagents; a link can lead back to where it is."""

_OUTSIDE: Final[dict[str, str]] = {"error": "agent_error", "timeout": "agent_timeout", "cancelled": "agent_cancelled"}
"""What these acts are called where they end no round."""

_Key = tuple[str, str, int]
"""Agent, kind of act, and its how-many-th of that kind, from 1."""


class _Documents:
    """The files of a run, read."""

    def __init__(self, place: Place) -> None:
        self.files = read = files.Files(place.directory)
        self.events_file = read.mapping(files.EVENTS)
        self.events = values.records(self.events_file.get("events"))
        self.session = values.mapping(self.events_file.get("session_metadata"))
        self.metrics = read.mapping(files.METRICS)
        self.totals = read.mapping(files.TOTALS)
        self.status = read.mapping(files.STATUS)
        self.about = values.mapping(self.status.get("meta"))
        self.results = values.mapping(self.status.get("results"))
        self.metadata = read.yaml(files.METADATA)
        self.stream = read.lines(files.STREAM)
        self.snapshots = read.mapping(files.SNAPSHOTS)
        self.backends = files.settings_of_agents(self.metadata)
        self.servers = sources.servers_of(self.backends)
        begun = values.moment(self.session.get("start_time")) or values.moment(self.about.get("start_time")) or _first_moment(self.events)
        first_local = next((event.get("timestamp") for event in self.stream), None)
        self.clock = clocks.Clock([*sources.moments_of_votes(read), (first_local, begun), (self.metadata.get("timestamp"), begun),
                                   (place.run.run_id, begun)])  # fmt: skip
        self.begun_exactly = begun is not None
        self.begun = begun or self.clock.at(first_local) or self.clock.at(self.metadata.get("timestamp")) or self.clock.at(place.run.run_id)

    @property
    def whole(self) -> bool:
        """Whether the file that has every act is there, undamaged: then no other file can know of one more."""
        return files.EVENTS in self.files.found and files.EVENTS not in self.files.cut and bool(self.events)


def gather(place: Place, *, depth: int = 0) -> Run:
    """Everything that is known of the run in *place*, and of its subagents; *depth* is how many runs it is in itself."""
    documents = _Documents(place)
    read = documents.files
    run = Run(known=bool(read.found) or bool(sources.agents_with_directories(read)))
    if not run.known:
        run.missing = read.missing("")
        return run
    run.question = _first_text(documents.session.get("user_prompt"), documents.about.get("question"), documents.metadata.get("query"),
                               values.mapping(documents.totals.get("meta")).get("question"))  # fmt: skip
    run.version = values.text(documents.metadata.get("massgen_version"))
    run.agents = _agents(documents)
    run.backends = {agent: values.text(backend.get("type")) for agent, backend in documents.backends.items()}
    run.models = {agent: values.text(backend.get("model")) for agent, backend in documents.backends.items()}
    run.model_calls = values.positive(values.mapping(documents.totals.get("api_timing")).get("total_calls"))
    rows = _rows(documents)
    sums = sources.sums_of(rows, run.backends)
    acts = _acts(documents, run.agents, sums)
    tools = sources.tools_of(values.records(documents.metrics.get("tool_executions")), documents.servers)
    sources.complete_tools(tools, documents.stream, documents.clock, documents.servers)
    starts = _starts(documents, sums)
    _bounds(run, documents, [*(act.at for act in acts), *(start.at for start in starts), *(row.end for row in sums), *(tool.end for tool in tools)])
    _place_in_time(acts, run)
    _winner(run, documents, acts)
    _final_answers(run, documents, starts)
    run.rounds = _rounds(run, starts, acts, sums)
    _round_types(run)
    _outcomes(run, documents)
    _happenings(run, documents)
    _assign_tools(run, tools)
    _usage(run, documents)
    _missing(run, documents, tools)
    if depth < _DEEPEST:
        _subagents(run, place, depth + 1)
    return run


def _subagents(run: Run, place: Place, depth: int) -> None:
    """Runs that agents have started, which have log directories of their own."""
    for name, found in places.subagents(place):
        known = [(name, inner, gathered) for inner in found if (gathered := gather(inner, depth=depth)).known]
        run.subagents += known
        if not known:
            run.missing.append(f"the logs of the subagent {name}")


def _first_moment(events: Iterable[dict[str, Any]]) -> int | None:
    return next((at for event in events if (at := values.moment(event.get("timestamp"))) is not None), None)


def _first_text(*candidates: object) -> str:
    return next((text for text in map(values.text, candidates) if text), "")


def _agents(documents: _Documents) -> list[str]:
    """Every agent's id: in the order of the first list that there is, then whoever else is seen."""
    seen = [
        *values.texts(documents.session.get("agent_ids")),
        *documents.backends,
        *values.mapping(documents.status.get("agents")),
        *values.mapping(documents.totals.get("agents")),
        *(values.text(event.get("agent_id")) for event in (*documents.events, *documents.stream)),
        *(values.text(row.get("agent_id")) for row in values.records(documents.metrics.get("round_completions"))),
        *sources.agents_with_directories(documents.files),
    ]
    return [agent for agent in dict.fromkeys(seen) if agent]


def _rows(documents: _Documents) -> list[dict[str, Any]]:
    """The rounds' metrics, from the first file that has any."""
    listed = values.records(documents.metrics.get("round_completions"))
    for document in (documents.totals, documents.status):
        if listed:
            break
        for agent, about in values.mapping(document.get("agents")).items():
            listed += [{**row, "agent_id": agent} for row in values.records(values.mapping(about).get("round_history"))]
    return listed


def _acts(documents: _Documents, agents: list[str], sums: Sequence[Sums]) -> list[Act]:
    """How rounds ended, each once."""
    known: dict[_Key, Act] = {}
    _merge(known, sources.acts_of_events(documents.events), new=True)
    for acts in (
        sources.acts_of_stream(documents.stream, documents.clock),
        sources.acts_of_snapshots(documents.snapshots, documents.clock),
        [Act(row.outcome, row.agent, row.end) for row in sums if row.outcome in ("answer", "vote")],  # type: ignore[arg-type]  # these two
        sources.acts_of_directories(documents.files, agents, documents.clock),
    ):
        _merge(known, acts, new=not documents.whole)
    # The status tells only an agent's last vote, whichever that is: it is a new one only where no other is known.
    voted = {agent for agent, kind, _ in known if kind == "vote"}
    told = [act for act in sources.acts_of_status(documents.status) if act.kind != "vote" or act.agent not in voted]
    _merge(known, told, new=not documents.whole)
    places = {agent: place for place, agent in enumerate(sorted(agents), 1)}
    for (agent, kind, number), act in known.items():
        if kind == "answer" and not act.label:
            act.label = semconv.ANSWER_LABEL.format(place=places.get(agent, 1), count=number)
    return [known[key] for key in sorted(known, key=lambda key: key[2])]


def _merge(known: dict[_Key, Act], acts: Iterable[Act], *, new: bool) -> None:
    """Complete what is known by a less exact source; *new*: also by what only that one knows."""
    counts: dict[tuple[str, str], int] = {}
    for act in acts:
        number = (_number(act.label) if act.kind == "answer" else None) or _same_act(known, act) or counts.get((act.agent, act.kind), 0) + 1
        counts[act.agent, act.kind] = number
        key = (act.agent, act.kind, number)
        if key in known:
            known[key].complete(act)
        elif new:
            known[key] = act


def _same_act(known: dict[_Key, Act], act: Act) -> int | None:
    """The how-many-th a known act is that happened when *act* did."""
    for (agent, kind, number), other in known.items():
        if (agent, kind) == (act.agent, act.kind) and act.at is not None and other.at is not None and abs(act.at - other.at) <= _SLACK_NS:
            return number
    return None


def _number(label: str) -> int | None:
    """The number k of the label `agent{i}.{k}`."""
    digits = label.rpartition(".")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None


def _starts(documents: _Documents, sums: Sequence[Sums]) -> list[Start]:
    """When rounds began, each once. An agent's round is first shown, then given its context, then measured."""
    found = sources.starts_of_events(documents.events)
    measured = [Start(row.agent, row.start, presentation=row.round_type == "presentation") for row in sums]
    begun = {id(start): None for start in measured if _begun(found, start) is None}
    found += [start for start in measured if id(start) in begun]
    if not documents.whole:
        shown = sources.starts_of_stream(documents.stream, documents.clock)
        told = set()
        for start in found:
            repeated = _begun(shown, start)
            if repeated is not None:
                told.add(id(repeated))
                start.labels = repeated.labels if start.labels is None else start.labels
        found += [start for start in shown if id(start) not in told]
    return sorted(found, key=lambda start: start.at)


def _begun(earlier: Sequence[Start], later: Start) -> Start | None:
    """Which beginning of a round the *later* word of it repeats."""
    own = [start for start in earlier if start.agent == later.agent and start.presentation == later.presentation]
    if later.presentation:
        return own[-1] if own else None
    before = max((start for start in own if start.at <= later.at + _SLACK_NS), key=lambda start: start.at, default=None)
    return before if before is not None and later.at - before.at <= _SAME_ROUND_NS else None


def _bounds(run: Run, documents: _Documents, seen: list[int | None]) -> None:
    """Start and end of the session: as told, and in any case around all that happened in it."""
    moments = [at for at in seen if at is not None]
    begun = documents.begun
    if begun is None or not (documents.begun_exactly or documents.clock.known):
        run.estimated.add("start")
    run.start = min([begun, *moments] if begun is not None else moments, default=0)
    told = values.moment(documents.session.get("end_time"))
    if told is None and documents.status.get("is_complete") is True:
        told = values.moment(documents.about.get("last_updated"))
    if told is None:
        run.estimated.add("end")
        moments += [at for at in (values.moment(documents.about.get("last_updated")), documents.clock.at(_last_local(documents))) if at is not None]
        if not moments:
            logged = documents.clock.on_day_of(run.start, documents.files.last_time_of_day())
            moments += [logged] if logged is not None else []
    run.end = max([run.start, *moments, *([told] if told is not None else [])])


def _last_local(documents: _Documents) -> object:
    return documents.stream[-1].get("timestamp") if documents.stream else None


def _place_in_time(acts: list[Act], run: Run) -> None:
    """Give the acts of which only the order is known times at equal distances between those that are known."""
    for agent in {act.agent for act in acts}:
        own = [act for act in acts if act.agent == agent]
        timeless = [act for act in own if act.at is None]
        last = max((act.at for act in own if act.at is not None), default=run.start)
        for place, act in enumerate(timeless, 1):
            act.at, act.estimated = last + (run.end - last) * place // (len(timeless) + 1), True


def _winner(run: Run, documents: _Documents, acts: Sequence[Act]) -> None:
    results = documents.results
    run.winner = _first_text(documents.session.get("final_winner"), results.get("winner"), values.mapping(documents.totals.get("meta")).get("winner"))
    selected = [event for event in documents.events if event.get("event_type") == "final_agent_selected"]
    if selected:
        run.winner = run.winner or values.text(selected[-1].get("agent_id"))
        run.winner_at = values.moment(selected[-1].get("timestamp"))
    presented = documents.files.children("final")
    if not run.winner and len(presented) == 1:
        run.winner = presented[0]
    if not run.winner:
        return
    run.agents += [] if run.winner in run.agents else [run.winner]
    about = values.mapping(values.mapping(documents.status.get("agents")).get(run.winner))
    answers = [act.label for act in acts if act.kind == "answer" and act.agent == run.winner]
    run.winner_label = answers[-1] if answers else values.text(about.get("latest_answer_label"))
    run.winner_reason = values.text(results.get("winner_reason"))
    counted = {label: votes for label, value in values.mapping(results.get("votes")).items() if (votes := values.count(value)) is not None}
    for act in acts if not counted else ():
        if act.kind == "vote" and act.label:
            counted[act.label] = counted.get(act.label, 0) + 1
    run.votes = counted


def _final_answers(run: Run, documents: _Documents, starts: list[Start]) -> None:
    """What was presented, and that it was, where only its text tells."""
    for event in documents.events:
        if event.get("event_type") == "final_answer":
            run.final_answers[values.text(event.get("agent_id"))] = ""
            run.final_at = values.moment(event.get("timestamp"))
    for agent in documents.files.children("final"):
        text = documents.files.text("final", agent, "answer.txt")
        if text:
            run.final_answers[agent] = text
    if run.winner and not run.final_answers.get(run.winner):
        shown = [event for event in documents.stream if event.get("event_type") == "final_answer" and event.get("agent_id") == run.winner]
        text = _first_text(*(values.mapping(event.get("data")).get("content") for event in shown[-1:]), documents.results.get("final_answer_preview"))
        if text:
            run.final_answers[run.winner] = text
    presenting = {start.agent for start in starts if start.presentation}
    if run.winner in run.final_answers and run.winner not in presenting:
        starts.append(Start(run.winner, run.winner_at or run.final_at or run.end, presentation=True, estimated=run.winner_at is None))


def _rounds(run: Run, starts: Sequence[Start], acts: Sequence[Act], sums: Sequence[Sums]) -> list[Round]:
    """Every execution of every agent, by start."""
    found: list[Round] = []
    for agent in run.agents:
        rounds = [_begin(start) for start in starts if start.agent == agent and not start.presentation]
        for act in sorted((act for act in acts if act.agent == agent), key=lambda act: act.at or 0):
            _end_a_round(rounds, act, run)
        rounds += [_begin(start) for start in starts if start.agent == agent and start.presentation]
        rounds.sort(key=lambda rnd: (rnd.start.at, rnd.start.presentation))
        _measure(rounds, [row for row in sums if row.agent == agent], run)
        found += rounds
    return sorted(found, key=lambda rnd: (rnd.start.at, rnd.start.presentation, rnd.agent))


def _begin(start: Start) -> Round:
    return Round(start, start.at, estimated={"start"} if start.estimated else set())


def _end_a_round(rounds: list[Round], act: Act, run: Run) -> None:
    """Note *act* as the end of the round that it ended; of one of its own where nothing tells that one began."""
    at = act.at if act.at is not None else run.end
    before = [rnd for rnd in rounds if rnd.start.at <= at]
    if before and before[-1].ended is None:
        before[-1].ended, before[-1].end = act, at
    elif act.kind in _OUTSIDE and rounds:
        # MassGen notes these for agents too that have nothing to do any more.
        run.happenings.append(Happening(_OUTSIDE[act.kind], at, act.agent, {semconv.ERROR_MESSAGE: act.text or None}))
    else:
        rounds.append(Round(Start(act.agent, before[-1].end if before else min(run.start, at)), at, ended=act, estimated={"start"}))
        rounds.sort(key=lambda rnd: (rnd.start.at, rnd.end))


def _measure(rounds: Sequence[Round], sums: Sequence[Sums], run: Run) -> None:
    """Give each round of one agent its metrics and its end."""
    for row in sums:
        rnd = _measured_by(row, rounds)
        if rnd is not None:
            rnd.sums, rnd.usage = row, row.usage
            rnd.start.at, rnd.end = min(rnd.start.at, row.start), max(rnd.end, row.end)
            rnd.estimated.discard("start")
    for number, rnd in enumerate(rounds, 1):
        following = rounds[number] if number < len(rounds) else None
        if rnd.sums is not None:
            continue
        if rnd.ended is not None:
            rnd.estimated |= {"end"} if rnd.ended.estimated else set()
        elif rnd.start.presentation and run.final_at is not None and run.final_at >= rnd.start.at:
            rnd.end = run.final_at
        else:
            rnd.end = max(rnd.start.at, run.end if following is None else following.start.at)
            rnd.estimated.add("end")


def _measured_by(row: Sums, rounds: Sequence[Round]) -> Round | None:
    free = [rnd for rnd in rounds if rnd.sums is None and rnd.start.presentation == (row.round_type == "presentation")]
    begun = _begun([rnd.start for rnd in free], Start(row.agent, row.start, presentation=row.round_type == "presentation"))
    for rnd in free:
        if rnd.start is begun or ("start" in rnd.estimated and abs(row.end - rnd.end) <= _SLACK_NS):
            return rnd
    return None


def _outcomes(run: Run, documents: _Documents) -> None:
    """How the rounds ended that have no act of their agent's at their end."""
    answers = [rnd.ended for rnd in run.rounds if rnd.ended is not None and rnd.ended.kind == "answer"]
    timed_out = documents.status.get("finish_reason") == "timeout" or any(
        event.get("event_type") == "orchestrator_timeout" for event in documents.stream
    )
    last = {rnd.agent: rnd for rnd in run.rounds if not rnd.start.presentation}
    for rnd in run.rounds:
        gave_up = rnd.ended is not None and rnd.ended.kind == "ignored_vote"
        told = rnd.sums.outcome if rnd.sums is not None else ""
        if rnd.start.presentation:
            continue
        if gave_up or (rnd.ended is None and (told == "restarted" or (not told and rnd is not last[rnd.agent]))):
            rnd.outcome = "restarted"
            others = [act for act in answers if act.agent != rnd.agent and act.at is not None and rnd.start.at <= act.at <= rnd.end]
            rnd.restarted_by = max(others, key=lambda act: act.at or 0).agent if others else ""
        elif rnd.ended is None:
            error = values.mapping(values.mapping(values.mapping(documents.status.get("agents")).get(rnd.agent)).get("error"))
            rnd.message = values.text(error.get("message"))
            if told in semconv.OUTCOMES:
                rnd.outcome = told
            elif error and rnd is last[rnd.agent]:
                rnd.outcome = "timeout" if error.get("type") == "timeout" else "error"
            elif timed_out and not told:
                rnd.outcome, rnd.message = "timeout", values.text(documents.status.get("finish_reason_details"))


def _round_types(run: Run) -> None:
    """MassGen's word for each round; where that is not known, an agent that is shown answers may vote."""
    answers = [rnd.ended.at for rnd in run.rounds if rnd.ended is not None and rnd.ended.kind == "answer" and rnd.ended.at is not None]
    first = min(answers, default=run.end)
    for rnd in run.rounds:
        shown = rnd.start.at >= first if rnd.start.labels is None else bool(rnd.start.labels)
        if rnd.sums is not None and rnd.sums.round_type in semconv.ROUND_TYPES:
            rnd.type = rnd.sums.round_type
        else:
            rnd.type = "voting" if shown or (rnd.ended is not None and rnd.ended.kind in ("vote", "ignored_vote")) else "initial_answer"


def _happenings(run: Run, documents: _Documents) -> None:
    """Put every event into the round in which it happened; into the session where there is none."""
    found = [
        *sources.happenings_of_events(documents.events),
        *sources.timeouts_of_stream(documents.stream, documents.clock),
        *sources.enforcement_of(documents.status),
    ]
    for happening in found:
        rnd = _round_at(run.rounds, happening.agent, happening.at)
        (run if rnd is None else rnd).happenings.append(happening)
        run.start, run.end = min(run.start, happening.at), max(run.end, happening.at)


def _round_at(rounds: Sequence[Round], agent: str, at: int) -> Round | None:
    inside = [rnd for rnd in rounds if rnd.agent == agent and rnd.start.at <= at <= rnd.end]
    return inside[-1] if inside else None


def _assign_tools(run: Run, tools: Sequence[Tool]) -> None:
    """Put every tool call into the round that made it; one that outlived its round is cut there, and marked."""
    for tool in tools:
        rnd = _round_at(run.rounds, tool.agent, tool.start)
        if rnd is None:
            run.tools.append(tool)
        else:
            rnd.tools.append(tool)
            if tool.end > rnd.end:
                tool.end, tool.estimated = rnd.end, ("end",)
    run.end = max([run.end, *(tool.end for tool in run.tools), *(rnd.end for rnd in run.rounds)])
    run.start = min([run.start, *(tool.start for tool in run.tools), *(rnd.start.at for rnd in run.rounds)])


def _usage(run: Run, documents: _Documents) -> None:
    """Share what an agent has used beyond its measured rounds among its unmeasured ones: MassGen measures none whose vote was ignored."""
    for agent in run.agents:
        rounds = [rnd for rnd in run.rounds if rnd.agent == agent]
        total = _total(documents, agent, run.backends.get(agent, ""))
        unmeasured = [rnd for rnd in rounds if rnd.sums is None]
        rest = _minus(total, sum((rnd.usage for rnd in rounds), Usage()))
        if rest == Usage():
            continue
        if not unmeasured:
            run.missing.append(f"which round of {agent} used {rest.input or 0:,} tokens in and {rest.output or 0:,} out")
            continue
        for number, rnd in enumerate(unmeasured):
            rnd.usage = _share(rest, number, len(unmeasured))
            if len(unmeasured) > 1:
                rnd.estimated.add("usage")


def _total(documents: _Documents, agent: str, backend: str) -> Usage:
    for document in (documents.totals, documents.status):
        used = values.mapping(values.mapping(values.mapping(document.get("agents")).get(agent)).get("token_usage"))
        if used:
            return sources.usage_of(used, backend)[0]
    return Usage()


def _minus(total: Usage, part: Usage) -> Usage:
    def left(one: int | None, other: int | None) -> int | None:
        return one - (other or 0) if one is not None and one > (other or 0) else None

    cost = (total.cost or 0.0) - (part.cost or 0.0)
    return Usage(left(total.input, part.input), left(total.output, part.output), left(total.reasoning, part.reasoning),
                 left(total.cached_input, part.cached_input), cost if cost > _COST_NOISE else None)  # fmt: skip


def _share(usage: Usage, number: int, among: int) -> Usage:
    """An equal share; the first ones have one token more where it does not divide."""

    def part(value: int | None) -> int | None:
        return None if value is None else value // among + (number < value % among) or None

    return Usage(part(usage.input), part(usage.output), part(usage.reasoning), part(usage.cached_input),
                 None if usage.cost is None else usage.cost / among)  # fmt: skip


def _missing(run: Run, documents: _Documents, tools: Sequence[Tool]) -> None:
    run.missing = [*documents.files.missing(run.version), *run.missing]
    ended = values.moment(documents.session.get("end_time")) is not None or documents.status.get("is_complete") is True
    if not ended:
        run.missing.append("its end (it was killed, or goes on)")
    if not documents.clock.known:
        run.missing.append("its time zone (this machine's was taken)")
    counted = values.count(values.mapping(documents.totals.get("tools") or documents.status.get("tools")).get("total_calls")) or 0
    if counted > len(tools):
        run.missing.append(f"{counted - len(tools):,} of {counted:,} tool calls")
