"""What is watched, for people and for programs: a line a change, a table of all, a summary at the end.

What comes out of what is watched is data: it is shown without anything that could steer a terminal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from massgen_tracing.views import text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from massgen_tracing.runs.watch import Change, Signal
    from massgen_tracing.runs.watch.checklist import Item
    from massgen_tracing.runs.watch.signals import Resources, Used
    from massgen_tracing.runs.watch.watcher import Watched

_STYLES: Final[Mapping[str, str]] = {
    "running": "cyan",
    "waiting_input": "bold yellow",
    "rate_limited": "yellow",
    "completed": "bold green",
    "failed": "bold red",
    "dead": "bold red",
    "timed_out": "bold red",
    "stalled": "bold yellow",
    "unknown": "magenta",
}
_HOLDS: Final = {True: "yes", False: "no", None: "unknown"}
_ROOMY: Final = 110
"""Columns from which on everything is shown."""


def line(change: Change) -> str:
    """A change in one line."""
    clock = time.strftime("%H:%M:%S", time.localtime(change.time))
    state = change.state if change.previous is None else f"{change.previous} → {change.state}"
    if change.kind == "progress":
        said = f"{change.progress:g} %" + (f", {change.doing}" if change.doing else "")
        return text.clean(f"{clock}  {change.target}  {change.state}  {said}")
    if change.kind == "error":
        state = f"{change.state}, with an error"
    attempt = f" (attempt {change.attempt})" if change.attempt > 1 else ""
    against = "; ".join(signal.quote for signal in change.contradicting if signal is not change.evidence)
    said = f"{change.evidence.category}: {change.evidence.quote}" if change.evidence.category else change.evidence.quote
    return text.clean(f"{clock}  {change.target}  {state}{attempt}  {said}" + (f"  [against it: {against}]" if against else ""))


def document(change: Change) -> dict[str, Any]:
    """A change for programs, as `schemas/watch.schema.json` has it."""
    return {
        "kind": change.kind,
        "time": change.time,
        "target": change.target,
        "role": change.role,
        "state": change.state,
        "since": change.since,
        "previous": change.previous,
        "attempt": change.attempt,
        "evidence": _signal(change.evidence),
        "contradicting": [_signal(signal) for signal in change.contradicting],
        "checklist": _items(change.checklist),
        "progress": change.progress,
        "doing": change.doing or None,
        "last_line": change.last_line or None,
        "resources": _resources(change.resources),
        "usage": _used(change.used),
    }


def closing(watched: Iterable[Watched], exit_code: int) -> dict[str, Any]:
    """The summary for programs."""
    ended = [each for each in watched if each.verdict is not None]
    return {
        "kind": "summary",
        "time": time.time(),
        "exit_code": exit_code,
        "states": dict(Counter(each.verdict.state for each in ended if each.verdict is not None and each.subject.kind == "target")),
        "targets": [
            {
                "target": each.subject.name,
                "role": each.subject.kind,
                "state": each.verdict.state,
                "since": each.since,
                "attempt": each.subject.facts.attempt,
                "evidence": _signal(each.verdict.evidence),
                "checklist": _items(each.verdict.checklist),
                "usage": _used(each.subject.facts.used),
            }
            for each in ended
            if each.verdict is not None
        ],
    }


def summary(watched: Iterable[Watched]) -> Iterable[str]:
    """The summary for people: how many are how, and of each that has not completed the conditions that do not hold."""
    ended = [each for each in watched if each.verdict is not None]
    states = Counter(each.verdict.state for each in ended if each.verdict is not None and each.subject.kind == "target")
    yield ", ".join(f"{count} {state}" for state, count in states.most_common())
    for each in ended:
        verdict = each.verdict
        if verdict is None or each.subject.kind != "target":
            continue
        used = each.subject.facts.used
        spent = "" if used is None else f"  {text.tokens(used.input, used.output)}  {text.cost(used.cost)}".rstrip()
        yield text.clean(f"  {each.subject.name}  {verdict.state}  {verdict.evidence.quote}{spent}")
        for item in verdict.checklist:
            is_told = item.holds is not None or item.detail not in {"", verdict.evidence.quote}
            if is_told and (item.holds is not True or verdict.state != "completed"):
                yield text.clean(f"    {_HOLDS[item.holds]:<8} {item.name}" + (f": {item.detail}" if item.detail else ""))
        if verdict.state != "completed":
            yield from (text.clean(f"    | {said}") for said in verdict.evidence.context)


def table(watched: Iterable[Watched], out: Console) -> RenderableType:
    """All that is watched, as it is now."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    roomy, now = out.width >= _ROOMY, time.time()
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True, pad_edge=False, padding=(0, 1))
    grid.add_column("watched", no_wrap=True, max_width=28, overflow="ellipsis")
    grid.add_column("state", no_wrap=True)
    grid.add_column("since", justify="right", no_wrap=True)
    grid.add_column("%", justify="right", no_wrap=True)
    grid.add_column("last line" if roomy else "", no_wrap=True, ratio=1, overflow="ellipsis")
    for title in ("CPU", "memory", "tokens", "cost") if roomy else ():
        grid.add_column(title, justify="right", no_wrap=True)
    for each in watched:
        if each.verdict is None:
            continue
        facts, state = each.subject.facts, each.verdict.state
        name = f"  {each.subject.name.rpartition('/')[2]}" if each.subject.kind == "agent" else each.subject.name
        said = each.verdict.evidence.quote if state in {"failed", "dead", "timed_out", "unknown", "stalled"} else facts.doing or facts.last_line
        row: list[Text | str] = [Text(text.clean(name)), Text(state, style=_STYLES.get(state, "")), text.duration(max(0.0, round(now - each.since)))]
        row += ["" if facts.progress is None else f"{facts.progress:.0f}", Text(text.clean(said), style="dim")]
        grid.add_row(*row, *(_measured(facts.resources, facts.used) if roomy else ()))
    return grid


def _measured(resources: Resources | None, used: Used | None) -> tuple[str, str, str, str]:
    cpu = "" if resources is None or resources.cpu is None else f"{resources.cpu:.0%}"
    memory = "" if resources is None else f"{resources.memory / 1e6:,.0f} MB"
    return cpu, memory, "" if used is None else text.tokens(used.input, used.output), "" if used is None else text.cost(used.cost)


def _signal(signal: Signal) -> dict[str, Any]:
    said: dict[str, Any] = {"signal": signal.name, "rank": int(signal.rank), "state": signal.state, "quote": signal.quote, "at": signal.at}
    if signal.category:
        said |= {"category": signal.category, "context": list(signal.context)}
    return said


def _items(items: Iterable[Item]) -> list[dict[str, Any]]:
    return [{"name": item.name, "holds": item.holds, "detail": item.detail or None} for item in items]


def _resources(resources: Resources | None) -> dict[str, Any] | None:
    if resources is None:
        return None
    return {"cpu": resources.cpu, "memory": resources.memory, "files": resources.files, "processes": resources.processes}


def _used(used: Used | None) -> dict[str, Any] | None:
    return None if used is None else {"input": used.input, "output": used.output, "cost": used.cost}
