"""The state of a run as the files that stay of it: answers, votes, traces of rounds, the final answer, the manifest, the metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from massgen_tracing import layout, semconv
from massgen_tracing.projection import judged
from massgen_tracing.projection.encoded import as_bytes, as_document
from massgen_tracing.projection.events import Event, iso, stamp
from massgen_tracing.projection.state import MOST_DETAIL, AgentState, RoundState, RunState, Said
from massgen_tracing.projection.values import mapping, text, texts

TRACE_FILE: Final = "execution_trace.md"
VOTE_FILE: Final = "vote.json"
MANIFEST_FILE: Final = "manifest.json"
SNAPSHOTS_FILE: Final = "snapshot_mappings.json"
METADATA_FILE: Final = "execution_metadata.yaml"

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufffe\uffff\ufeff]")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file: where it lies in the attempt's directory, with slashes, and what stands in it."""

    path: str
    content: bytes


def answer(state: RunState, said: Said) -> Artifact:
    """An answer's `answer.txt`."""
    return Artifact(f"{state.place_of(said)}/{layout.ANSWER_FILE}", as_bytes(said.text))


def vote(state: RunState, said: Said) -> Artifact:
    """A vote's `vote.json`."""
    agents = sorted(state.agents)
    names = {agent_id: f"agent{place}" for place, agent_id in enumerate(agents, 1)}
    owners = {label: agents[place - 1] for label in said.seen if 0 < (place := _place(label)) <= len(agents)}
    values: dict[str, Any] = {
        "voter_id": said.agent_id,
        "voter_anon_id": names.get(said.agent_id),
        "voted_for": said.voted_for,
        "voted_for_label": said.label or None,
        "voted_for_anon": names.get(said.voted_for),
        "reason": said.text,
        "timestamp": stamp(said.ns, state.offset),
        "unix_timestamp": said.ns / 1e9,
        "iteration": said.iteration,
        "coordination_round": said.round,
        "available_options": sorted(set(owners.values())),
        "available_options_labels": list(said.seen),
        "answer_label_to_agent": owners,
        "available_options_anon": sorted(names[agent_id] for agent_id in set(owners.values())),
        "agent_mapping": {name: agent_id for agent_id, name in names.items()},
        "vote_context": {
            "total_agents": len(agents),
            "agents_with_answers": len(owners),
            "current_task": text(state.about.get(semconv.TASK)),
        },
    }
    return Artifact(f"{state.place_of(said)}/{VOTE_FILE}", as_document(values))


_LABEL: Final = re.compile(r"agent(\d{1,6})\.\d+", re.ASCII)


def _place(label: str) -> int:
    found = _LABEL.fullmatch(label)
    return 0 if found is None else int(found[1])


def round_trace(state: RunState, agent: AgentState, rnd: RoundState) -> Artifact | None:
    """The `execution_trace.md` of a round that has ended, beside its answer or vote; None for one that another's answer has ended."""
    if rnd.end_ns is None or rnd.presents:
        return None
    if rnd.said:
        place = state.place_of(max(rnd.said, key=lambda said: said.moment))
    elif rnd.outcome in {"error", "timeout"}:
        place = f"{layout.agent_folder(agent.id)}/{stamp(rnd.end_ns, state.offset)}"
    else:
        return None
    until = iso(rnd.end_ns, state.offset)  # what still ran in the background then is not the round's
    events = sorted((event for event in rnd.detail or () if event.timestamp <= until), key=Event.line)
    cut = "\n… [cut; all of it is in events.jsonl]\n" if len(events) > MOST_DETAIL else ""
    head = f"# Execution Trace: {agent.id}\n\n**Model**: {rnd.model or 'unknown'} | **Started**: {iso(rnd.start_ns, state.offset)}\n"
    began = f"\n**Round**: {rnd.number} ({rnd.kind or 'unknown'}) | **Outcome**: {rnd.outcome or 'none'}\n"
    return Artifact(f"{place}/{TRACE_FILE}", as_bytes(head + began + "".join(_told(events[:MOST_DETAIL])) + cut))


def _told(events: Iterable[Event]) -> Iterator[str]:
    numbers: dict[object, int] = {}
    for event in events:
        data = event.data
        match event.event_type:
            case "context_received":
                yield f"\n### Context\n\n{', '.join(data['context_labels'])}\n"
            case "text":
                yield f"\n### Text\n\n{data['content']}\n"
            case "thinking":
                yield f"\n### Reasoning\n\n{data['content']}\n"
            case "tool_start":
                number = numbers.setdefault(data["tool_id"], len(numbers) + 1)
                arguments = json.dumps(data["args"], ensure_ascii=False, indent=2)
                yield f"\n### Tool Call: {number}\n\n**{data['tool_name']}**, at {event.timestamp}\n\n**Args**:\n{_fenced(arguments, 'json')}"
            case "tool_complete":
                number = numbers.setdefault(data["tool_id"], len(numbers) + 1)
                failed = ", failed" if data["is_error"] else ""
                yield f"\n### Tool Result: {number}\n\nafter {data['elapsed_seconds']:.6f} s{failed}\n{_fenced(data['result'])}"
            case "answer_submitted":
                yield f"\n### Answer: {data['answer_label']}\n\n{data['content']}\n"
            case "vote":
                yield f"\n### Vote Cast: {data['voted_for_label'] or data['target_id']}\n\n{data['reason']}\n"
            case "status":
                yield f"\n### {str(data['level']).capitalize()}\n\n{data['message']}\n"


def _fenced(content: str, language: str = "") -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content}\n{fence}\n"


def final(state: RunState) -> list[Artifact]:
    """The final answer and the manifest; nothing before the answer stands. The answer comes first: whoever finds the manifest finds all."""
    said = judged.final_answer(state)
    won = judged.winner(state)
    if said is None:
        return []
    answered = Artifact(f"{layout.FINAL_DIR}/{layout.agent_folder(won)}/{layout.ANSWER_FILE}", as_bytes(said.text))
    votes = judged.votes(state)
    agents: dict[str, Any] = {}
    for agent in state.agents.values():
        given = [each for each in state.answers if each.agent_id == agent.id]
        label = agent.answer.label if agent.answer is not None else None
        agents[agent.id] = {
            "status": judged.agent_status(state, agent),
            "latest_answer_label": label,
            "votes": votes.get(label or "", 0),
            "estimated_cost": agent.used.cost,
            "artifacts": [f"{state.place_of(each)}/{layout.ANSWER_FILE}" for each in given],
        }
    manifest: dict[str, Any] = {
        "winner": won,
        "winner_label": judged.winner_label(state) or None,
        "winner_reason": text(state.about.get(semconv.WINNER_REASON)) or None,
        "finish_reason": judged.finish_reason(state),
        "final_answer": answered.path,
        "final_answer_chars": len(said.text),
        "votes": votes,
        "agents": agents,
        "trace_id": state.trace_id,
    }
    return [answered, Artifact(f"{layout.FINAL_DIR}/{MANIFEST_FILE}", as_document(manifest))]


def snapshots(state: RunState) -> Artifact | None:
    """`snapshot_mappings.json`: where each answer, vote and the final answer lies, by label; None where nothing was said. MassGen resumes by it."""
    numbers = {agent_id: number for number, agent_id in enumerate(sorted(state.agents), 1)}
    votes: dict[str, int] = {}
    found: dict[str, Any] = {}
    for said in sorted(state.said(), key=lambda said: said.moment):
        place, kind, label, file = state.place_of(said), "answer", said.label, layout.ANSWER_FILE
        if said.voted_for:
            votes[said.agent_id] = votes.get(said.agent_id, 0) + 1
            kind, label, file = "vote", f"agent{numbers[said.agent_id]}.vote{votes[said.agent_id]}", VOTE_FILE
        chosen = {"voted_for": said.voted_for, "voted_for_label": said.label or None} if said.voted_for else {}
        found[label] = _snapshot(kind, label, said, place.rpartition("/")[2], f"{place}/{file}") | chosen
    last = judged.final_answer(state)
    if last is not None and (won := judged.winner(state)) in numbers:
        label, path = f"agent{numbers[won]}.final", f"{layout.FINAL_DIR}/{layout.agent_folder(won)}/{layout.ANSWER_FILE}"
        found[label] = _snapshot("final_answer", label, last, "final", path)
    return Artifact(SNAPSHOTS_FILE, as_document(found)) if found else None


def _snapshot(kind: str, label: str, said: Said, timestamp: str, path: str) -> dict[str, Any]:
    about = {"type": kind, "label": label, "agent_id": said.agent_id, "timestamp": timestamp}
    return {**about, "iteration": said.iteration, "round": said.round, "path": path}


def metadata(state: RunState) -> Artifact:
    """`execution_metadata.yaml`: what was asked, with which configuration and versions, as far as the recording says."""
    about = state.about
    values: dict[str, Any] = {
        "query": text(about.get(semconv.TASK)),
        "timestamp": iso(state.start_ns, state.offset),
        "trace_id": state.trace_id,
        "config": mapping(about.get(semconv.RUN_CONFIG)) or {"agents": [{"id": agent_id} for agent_id in texts(about.get(semconv.AGENT_IDS))]},
        "command_line": texts(about.get(semconv.PROCESS_COMMAND)) or None,
        "working_directory": text(about.get(semconv.PROCESS_DIRECTORY)) or None,
        "python_version": text(about.get(semconv.PROCESS_RUNTIME_VERSION)) or None,
    }
    # JSON is YAML, but for a few characters; so nothing has to be loaded that writes YAML, which the vocabulary does without.
    lines = [f"{key}: {_UNPRINTABLE.sub(_escape, json.dumps(value, ensure_ascii=False, indent=2))}" for key, value in values.items()]
    return Artifact(METADATA_FILE, as_bytes("\n".join(line.replace("\n", "\n  ") for line in lines)) + b"\n")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
