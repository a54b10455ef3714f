"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from massgen_tracing.views import text
from massgen_tracing.views.report.blocks import SPAN_ID, Block, Checks, Items, Paragraph, Picture, Repeat, Report, Table

_MARKUP: Final = re.compile(r"[\\`*\[\]<|~]|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)|^(?:>|[#+-]+(?=\s)|[=-]+$|\d+[.)](?=\s))|(?<=\w)://(?=\w)|(?<!\w)@(?=\w)")
"""What Markdown, or a page that shows it, would take for something else than a text."""

_MARKS: Final = {True: "x", False: " ", None: " "}


def plain(said: str) -> str:
    """A text in one line that stands for itself in Markdown."""
    escaped = _MARKUP.sub(_escaped, text.clean(said))
    return SPAN_ID.sub(lambda match: f"`{match[0]}`", escaped)


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if found == "://":
        return ":\\//"
    return f"{found[:-1]}\\{found[-1]}" if found[-1] in ".)" else f"\\{found}"


def render(report: Report) -> str:
    """The whole report."""
    lines = [f"# {plain(report.title)}", ""]
    lines += [f"**{name}:** {plain(value)}  " for name, value in report.head]
    for section in report.sections:
        lines += ["", f"{'#' * section.level} {section.title}"]
        for block in section.blocks:
            written = list(_lines(block))
            if written:
                lines += ["", *written]
    return "\n".join(lines) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(said):
            yield plain(said)
        case Items(items, ordered):
            yield from (f"{f'{number}.' if ordered else '-'} {plain(item)}" for number, item in enumerate(items, 1))
        case Checks(items):
            yield from (f"- [{_MARKS[holds]}] {plain(said)}{'' if holds is not None else ' (not recorded)'}" for holds, said in items)
        case Table(columns, rows, numeric):
            yield f"| {' | '.join(map(plain, columns))} |"
            yield f"|{'|'.join('---:' if name in numeric else '---' for name in columns)}|"
            yield from (f"| {' | '.join(map(plain, row))} |" for row in rows)
        case Repeat(command):
            yield "Repeat it:"
            yield ""
            yield f"    {text.clean(command)}"
        case Picture():
            return  # what it shows stands in a table beside it
