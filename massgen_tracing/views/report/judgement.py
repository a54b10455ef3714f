"""What agents have added to a report: their words, marked as theirs; a number that was not computed is marked too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from massgen_tracing.views.report.blocks import Block, Items, Paragraph, Section

TITLE: Final = "Judgement, Added by Agents"
MARK: Final = "[not computed]"
"""Stands behind a number that is none of those that were computed."""

_NUMBER: Final = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?!\w)(?!\.\d)")
_ITEM: Final = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+(.+)")
_HEADING: Final = re.compile(r"\s*#+\s*")


def sections(said: Mapping[str, str], document: Mapping[str, Any], by: str) -> list[Section]:
    """The sections.

    Args:
        said: what each agent says, by its view.
        document: what was computed.
        by: who they are, in words.
    """
    known = Computed(document)
    head = f"Nothing below was computed. It was written by {by}; {MARK} stands behind each number that is not among those computed above."
    judged = [Section(3, f"{view.capitalize()} (by agent {view})", list(_blocks(known.checked(text)))) for view, text in said.items()]
    return [Section(2, TITLE, [Paragraph(head)]), *judged]


def _blocks(said: str) -> Iterator[Block]:
    items: list[str] = []
    for line in [*said.splitlines(), ""]:
        item = _ITEM.fullmatch(line)
        if item is not None:
            items.append(item[1])
            continue
        if items:
            yield Items(items)
            items = []
        if line.strip():
            yield Paragraph(_HEADING.sub("", line, count=1).strip())


class Computed:
    """The numbers of what was computed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        text = json.dumps(document, ensure_ascii=False)
        self._numbers = {float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text) if found.strip(",")}
        self._numbers |= {float(size) for size in _sizes(document)}

    def checked(self, said: str) -> str:
        """A text with a mark behind each number that is not one of them, rounded as the text has it, or as a share in percent."""
        lines = []
        for line in said.splitlines():
            item = _ITEM.fullmatch(line)
            start = len(line) - len(item[1]) if item is not None else 0  # a list's own numbers say nothing
            lines.append(line[:start] + _NUMBER.sub(self._marked, line[start:]))
        return "\n".join(lines)

    def _marked(self, match: re.Match[str]) -> str:
        told = match[0].rstrip(",")
        decimals = len(told.partition(".")[2])
        number = float(told.replace(",", ""))
        near = any(round(known, decimals) == number or round(100 * known, decimals) == number for known in self._numbers)
        return match[0] if near else f"{match[0]} {MARK}"


def _sizes(value: Any) -> Iterator[int]:
    """How many there are of whatever is listed."""
    if isinstance(value, Mapping):
        yield len(value)
        for item in value.values():
            yield from _sizes(item)
    elif isinstance(value, list):
        yield len(value)
        for item in value:
            yield from _sizes(item)
