"""Drawings for a terminal: the span tree of a run, and tables.

Colour and bold only where a terminal shows them and NO_COLOR is not set. Everything fits the width of the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from massgen_tracing import conventions, semconv
from massgen_tracing.insight import words
from massgen_tracing.insight.summary import Summary
from massgen_tracing.insight.tree import Node
from massgen_tracing.model import SpanRecord
from massgen_tracing.projection.values import usage_of
from massgen_tracing.views import text

_PIPE_WIDTH: Final = 120
"""Columns where nobody says how wide the other end is."""

_GUIDE: Final = 4
"""Columns that the tree's lines take at each depth."""

_NARROWEST_NAME: Final = 12
_FEWEST_OF_AGENT: Final = 4
_FIRST_DIGITS: Final = 8
_DURATION: Final = 8
_AGENT_COLOURS: Final = ("cyan", "magenta", "yellow", "blue", "green", "bright_red")
_OUTCOME_STYLES: Final = {
    "answer": "bold green",
    "vote": "bold blue",
    "error": "bold red",
    "timeout": "bold red",
    "restarted": "yellow",
    "cancelled": "yellow",
}
_STATE_STYLES: Final = {"live": "bold yellow", "interrupted": "bold red", "ended": "green"}
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


class _Console(Console):
    """A console that leaves it to the command what follows where the reader of a pipe went away."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(file: TextIO | None = None, *, width: int | None = None) -> Console:
    """A console that obeys NO_COLOR to the letter, and is wide enough in a pipe."""
    stream = file or sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return _Console(
        file=stream,
        width=width or (_PIPE_WIDTH if piped else None),
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )


# --- the tree ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns of a drawing stand, and what its time axis spans (Unix nanoseconds)."""

    name: int
    bar: int
    note: int
    begin_ns: int
    end_ns: int
    colours: dict[str, str]
    at_least: frozenset[str]
    """The ids of spans that have cost more than they say."""

    @classmethod
    def of(cls, roots: Sequence[Node], width: int, at_least: frozenset[str]) -> _Layout:
        walked = [item for root in roots for item in root.walk()]
        longest = max((_GUIDE * (depth + 1) + len(_name(node.span)) for depth, node in walked), default=_NARROWEST_NAME)
        bar = 24 if width >= 140 else 16 if width >= 100 else 8
        name = min(longest, max(width * 45 // 100, _NARROWEST_NAME))
        begin = min((node.span.start_ns for _, node in walked), default=0)
        end = max((node.span.end_ns or node.span.start_ns for _, node in walked), default=0)
        agents = sorted({agent for _, node in walked if (agent := words.agent(node.span))})
        return cls(name, bar, max(width - name - bar - _DURATION - 6, 0), begin, max(end, begin + 1), _colours(agents), at_least)

    @classmethod
    def of_lines(cls, begin_ns: int, agents: Sequence[str], width: int) -> _Layout:
        """Of spans line by line, without an axis."""
        name = max(width * 45 // 100, _NARROWEST_NAME)
        return cls(name, 0, max(width - name - 2 * _DURATION - 5, 0), begin_ns, begin_ns + 1, _colours(agents), frozenset())


def _colours(agents: Sequence[str]) -> dict[str, str]:
    return {agent: _AGENT_COLOURS[index % len(_AGENT_COLOURS)] for index, agent in enumerate(agents)}


def draw_run(out: Console, roots: Sequence[Node], summary: Summary, *, title: str) -> None:
    """Draw a run: what it was, its tree, what it came to."""
    out.print(headline(summary, title, out.width), soft_wrap=False)
    if summary.question:
        out.print(Text(text.shorten(summary.question, 4 * out.width), style="italic"))
    out.print()
    draw_trees(out, roots, at_least=frozenset(rnd.span_id for rnd in summary.rounds if rnd.costless_calls))
    out.print()
    out.print(closing(summary))


def deepest(out: Console) -> int:
    """How many levels below the roots have room for names, bars and durations."""
    return max(1, (out.width - _NARROWEST_NAME - _DURATION - 8 - 4) // _GUIDE - 1)


def draw_trees(out: Console, roots: Sequence[Node], *, at_least: frozenset[str] = frozenset()) -> None:
    """Draw trees of spans on one time axis.

    Args:
        out: where to.
        roots: the trees.
        at_least: ids of rounds with model calls whose cost nobody knows.
    """
    layout = _Layout.of(roots, out.width, at_least)
    for root in roots:
        drawn = {id(root): Tree(_label(root.span, 0, layout), guide_style="dim")}
        for depth, node in root.walk():
            for child in node.children:
                drawn[id(child)] = drawn[id(node)].add(_label(child.span, depth + 1, layout))
        out.print(drawn[id(root)], no_wrap=True, overflow="crop", crop=True)


def draw_ended(out: Console, spans: Sequence[SpanRecord], begin_ns: int, agents: Sequence[str]) -> None:
    """Spans that have ended, a line each: when, what, how long it took, and what is worth saying of it.

    Args:
        out: where to.
        spans: in the order of their ends.
        begin_ns: from when times are counted, in Unix nanoseconds.
        agents: those of the run, by whose places their colours are.
    """
    layout = _Layout.of_lines(begin_ns, agents, out.width)
    for span in spans:
        at = text.duration(((span.end_ns or span.start_ns) - begin_ns) / 1e9)
        line = Text(f"{at:>{_DURATION}}  ", style="dim", no_wrap=True, overflow="crop", end="")
        line.append(_shortened(span, layout.name).ljust(layout.name), style=_name_style(span, layout) or "default")
        line.append(f" {text.duration(None if _is_event(span) else span.seconds):>{_DURATION}}", style="" if _is_event(span) else "bold")
        line.append("  ")
        line.append_text(_note(span, layout))
        line.rstrip()
        out.print(line, no_wrap=True, overflow="crop", crop=True)


def _label(span: SpanRecord, depth: int, layout: _Layout) -> Text:
    name_width = max(layout.name - _GUIDE * depth, _NARROWEST_NAME)
    name = _shortened(span, name_width)
    label = Text(name.ljust(name_width), style=_name_style(span, layout), no_wrap=True, overflow="crop", end="")
    label.append("  ")
    label.append(_bar(span, layout), style=_bar_style(span, layout))
    label.append(f" {text.duration(None if _is_event(span) else span.seconds):>{_DURATION}}", style="" if _is_event(span) else "bold")
    label.append("  ")
    label.append_text(_note(span, layout))
    label.rstrip()
    return label


def _name(span: SpanRecord) -> str:
    return f"• {words.name(span)}" if _is_event(span) else words.name(span)


def _shortened(span: SpanRecord, width: int) -> str:
    """The name in so many columns. Of an agent's round its number stays, and what it can of the agent: names may have their difference at the end."""
    name = text.clean(_name(span))
    if len(name) <= width or not span.name.startswith(semconv.AGENT_PREFIX):
        return text.shorten(name, width)
    agent_id, dot, rest = name.removeprefix(semconv.AGENT_PREFIX).rpartition(".")
    room = width - len(dot + rest) - 1
    if not agent_id or room < _FEWEST_OF_AGENT:
        return text.shorten(name, width)
    head = room // 2
    return f"{agent_id[:head]}…{agent_id[len(agent_id) - (room - head) :]}{dot}{rest}"


def _is_event(span: SpanRecord) -> bool:
    return span.attributes.get(semconv.LOGFIRE_SPAN_TYPE) == semconv.SPAN_TYPE_LOG


def _name_style(span: SpanRecord, layout: _Layout) -> str:
    colour = layout.colours.get(words.agent(span), "")
    if span.status_code == 2:
        return "red"
    if _is_event(span):
        return f"dim {colour}".strip()
    if span.name.startswith(semconv.AGENT_PREFIX) or span.name == semconv.SESSION:
        return f"bold {colour}".strip()
    return colour


def _bar_style(span: SpanRecord, layout: _Layout) -> str:
    if words.has_failed(span):
        return "red"
    return layout.colours.get(words.agent(span), "white")


def _bar(span: SpanRecord, layout: _Layout) -> str:
    """When the span ran, on an axis of the whole drawing; a point event is a point, an unfinished span runs out in dots."""
    scale = layout.bar / (layout.end_ns - layout.begin_ns)
    begin = (span.start_ns - layout.begin_ns) * scale
    first = min(int(begin), layout.bar - 1)
    if _is_event(span):
        return (" " * first + "·").ljust(layout.bar)
    if span.end_ns is None:
        return (" " * first + "╍" * (layout.bar - first)).ljust(layout.bar)
    length = max((span.end_ns - span.start_ns) * scale, 0.125)
    whole, part = divmod(min(round(length * 8), 8 * (layout.bar - first)), 8)
    return (" " * first + "█" * whole + _EIGHTHS[part].strip()).ljust(layout.bar)


def _note(span: SpanRecord, layout: _Layout) -> Text:
    """What is worth saying beside a span, the most important first; cut at the width."""
    values, width = span.attributes, layout.note
    parts: list[tuple[str, str]] = []
    prose: set[str] = set()
    if span.state == "open":
        parts.append(("◌ open", "bold yellow"))
    if span.state == "interrupted":
        parts.append(("✗ interrupted", "bold red"))
    outcome = values.get(semconv.OUTCOME)
    if isinstance(outcome, str):
        label = words.about(values)
        arrow = "→ " if outcome == "vote" else ""
        parts.append((f"{outcome} {arrow}{label}" if label else outcome, _OUTCOME_STYLES.get(outcome, "")))
    if values.get(semconv.IS_WINNER) is True:
        parts.append(("★ winner", "bold green"))
    usage = usage_of(span)
    parts.append((text.tokens(usage.input, usage.output), ""))
    parts.append((text.cost(usage.cost, at_least=span.span_id in layout.at_least), "green"))
    error = words.error(span)
    if error and not _is_event(span):
        parts.append((error, "red"))
        prose.add(error)
    if conventions.kind_of(span.name, values) == "model":
        parts.append((conventions.text_of(values, conventions.MODEL), "dim"))
    note = Text()
    for content, style in parts:
        room = width - len(note) - (2 if note else 0)
        # Half a sentence still tells something; half a number tells something wrong.
        if content and (room >= len(content) or (content in prose and room > 8)):
            note.append("  " if note else "")
            note.append(text.shorten(content, room), style=style)
    return note


def headline(summary: Summary, title: str, width: int) -> Text:
    """What a run was, in a line; where it is too long for the width, with the first digits of the trace's id, by which it is found too."""
    line = Text(text.clean(title), style="bold")
    line.append(f"  {summary.state}", style=_STATE_STYLES[summary.state])
    for part in (text.duration(summary.seconds), text.count(len(summary.agents), "agent") if summary.agents else ""):
        if part:
            line.append(f" · {part}", style="default")
    for trace_id in summary.trace_ids[:1]:
        fits = len(line) + len(f" · trace {trace_id}") <= width
        line.append(f" · trace {trace_id if fits else trace_id[:_FIRST_DIGITS]}", style="dim")
    if len(summary.trace_ids) > 1:
        line.append(f" and {len(summary.trace_ids) - 1} more", style="dim")
    return line


def closing(summary: Summary) -> Text:
    """What a run came to, in a line."""
    parts: list[tuple[str, str]] = []
    if summary.winner:
        label = f" ({summary.winner_label})" if summary.winner_label else ""
        parts.append((f"★ {summary.winner}{label} won", "bold green"))
    if summary.llm_calls:
        parts.append((text.count(summary.llm_calls, "model call"), ""))
    if summary.tool_calls:
        parts.append((text.count(summary.tool_calls, "tool call"), ""))
    parts.append((text.tokens(summary.usage.input, summary.usage.output), ""))
    price = text.cost(summary.usage.cost)
    if summary.llm_calls and summary.costless_calls:
        unknown = "cost unknown" if not price else f"{price} and {text.count(summary.costless_calls, 'call')} of unknown cost"
        parts.append((unknown, "green" if price else "dim"))
    else:
        parts.append((price, "green"))
    for number, said, style in (
        (summary.errors, text.count(summary.errors, "error"), "red"),
        (summary.scrubbed, f"{summary.scrubbed} scrubbed", "dim"),
        (summary.open, f"{summary.open} open", "yellow"),
        (summary.interrupted, f"{summary.interrupted} interrupted", "red"),
    ):
        if number:
            parts.append((said, style))
    line = Text()
    for content, style in parts:
        if content:
            line.append(" · " if line else "", style="dim")
            line.append(text.clean(content), style=style)
    return line


# --- tables ------------------------------------------------------------------------------------------------------------------------

_NARROWEST_COLUMN: Final = 8
_GAP: Final = 2
"""Columns of the terminal between two columns of a table."""


def draw_table(
    out: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | None]],
    *,
    numeric: frozenset[str] = frozenset(),
    whole: frozenset[str] = frozenset(),
    heading: str = "",
) -> None:
    """Draw rows as a table; as one block a row where they need more than the width. None is drawn as NULL.

    Args:
        out: where to.
        columns: titles.
        rows: cells as text, in the order of the columns.
        numeric: columns of numbers, which are aligned to the right, and stay whole too.
        whole: columns whose cells are not broken into lines.
        heading: a column that heads a block in the place of the row's number, and is broken by nobody but the terminal.
    """
    widest = _widest(columns, rows)
    least = _least(columns, widest, numeric | whole, _NARROWEST_COLUMN)
    if sum(least) + _GAP * (len(columns) - 1) > out.width:
        _draw_blocks(out, columns, rows, heading)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", collapse_padding=True)
    room = out.width - sum(least) - _GAP * (len(columns) - 1)
    for title, width in zip(columns, least, strict=True):
        is_whole = title in numeric or title in whole
        missing = cell_len(text.clean(title)) - width
        if is_whole and 0 < missing <= room:
            room, width = room - missing, width + missing  # noqa: PLW2901 - a title that has room is not broken either
        table.add_column(
            text.clean(title), justify="right" if title in numeric else "left", overflow="fold", width=max(width, 1) if is_whole else None
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    out.print(table)


def needed(columns: Sequence[str], rows: Sequence[Sequence[str | None]], *, whole: frozenset[str], narrowest: int = _NARROWEST_COLUMN) -> int:
    """How wide a table is at least: cells of some columns are whole, and those of others in lines of *narrowest*."""
    return sum(_least(columns, _widest(columns, rows), whole, narrowest)) + _GAP * (len(columns) - 1)


def _least(columns: Sequence[str], widest: Sequence[int], whole: frozenset[str], narrowest: int) -> list[int]:
    """How wide each column is at least; titles are broken where it has to be."""
    titled = [max(cells, min(narrowest, cell_len(text.clean(title)))) for title, cells in zip(columns, widest, strict=True)]
    return [width if title in whole else min(narrowest, width) for title, width in zip(columns, titled, strict=True)]


def _widest(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[int]:
    """How wide the widest cell of each column is."""
    return [max((_cell(row[index]).cell_len for row in rows), default=0) for index in range(len(columns))]


def _draw_blocks(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str | None]], heading: str) -> None:
    for number, row in enumerate(rows, 1):
        said = dict(zip(columns, row, strict=True))
        out.print(Text(text.clean(said.pop(heading, None) or f"row {number}"), style="bold"), soft_wrap=True)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column(overflow="fold")
        for title, value in said.items():
            grid.add_row(text.clean(title), _cell(value))
        out.print(Padding(grid, (0, 0, 1, 2)))


def _cell(value: str | None) -> Text:
    return Text("NULL", style="dim") if value is None else Text(text.clean(value))
