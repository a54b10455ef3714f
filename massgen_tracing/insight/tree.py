"""The span tree of a recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading.spans import identity


@dataclass(frozen=True, slots=True)
class Node:
    """A span and its children, by start time."""

    span: SpanRecord
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[tuple[int, Node]]:
        """The node and everything below it, parents first, each with its depth from here."""
        waiting = [(0, self)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting += [(depth + 1, child) for child in reversed(node.children)]


_CALLING: Final = frozenset({3, 4})
"""OTLP's kinds of spans on the calling side: CLIENT and PRODUCER."""


def trees(spans: Iterable[SpanRecord]) -> list[Node]:
    """The trees of the spans, each span in exactly one place, roots by start time.

    A span whose parent is not among the spans is a root, and so is the earliest span of a circle of parents. Where an id comes twice in
    a trace, as client and server of one call have it in some tracers, the one that called is above the others; the same span twice is one.
    """
    nodes: dict[tuple[str, str], Node] = {}
    twins: dict[tuple[str, str], list[Node]] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, span.trace_id, span.span_id, span.kind not in _CALLING)):
        node = Node(span)
        first = nodes.setdefault(span.key, node)
        if first is not node and identity(span) not in {identity(other.span) for other in (first, *twins.get(span.key, ()))}:
            twins.setdefault(span.key, []).append(node)
    roots: list[Node] = []
    for (trace_id, _), node in nodes.items():
        parent = nodes.get((trace_id, node.span.parent_span_id))
        (roots if parent is None else parent.children).append(node)
    reached = {id(node) for root in roots for _, node in root.walk()}
    for node in nodes.values():
        if id(node) in reached:
            continue
        earliest = _earliest_of_circle(node, nodes)
        parent = nodes[earliest.span.trace_id, earliest.span.parent_span_id]
        parent.children[:] = [child for child in parent.children if child is not earliest]
        roots.append(earliest)
        reached |= {id(below) for _, below in earliest.walk()}
    for key, others in twins.items():
        outer = nodes[key]
        others[-1].children[:], outer.children[:] = outer.children, []
        for inner in others:
            outer.children.append(inner)
            outer = inner
    return sorted(roots, key=lambda node: node.span.start_ns)


def bounded(roots: Sequence[Node], *, depth: int | None = None, most: int | None = None) -> tuple[list[Node], int]:
    """A copy of the upper part of trees, level by level, and how many spans that leaves out.

    Args:
        roots: the trees.
        depth: how many levels below the roots are kept; None for all.
        most: how many spans are kept; None for all.
    """
    copies: list[Node] = []
    waiting = deque((0, root, copies) for root in roots)
    kept = left_out = 0
    while waiting:
        level, node, place = waiting.popleft()
        if (depth is not None and level > depth) or (most is not None and kept >= most):
            left_out += sum(1 for _ in node.walk())
            continue
        kept += 1
        copy = Node(node.span)
        place.append(copy)
        waiting += [(level + 1, child, copy.children) for child in node.children]
    return copies, left_out


def only(roots: Sequence[Node], wanted: Callable[[SpanRecord], bool]) -> list[Node]:
    """A copy of trees with the spans that are wanted, and those that they are in."""
    copies: list[Node] = []
    for root in roots:
        walked = [node for _, node in root.walk()]
        made: dict[int, Node] = {}
        for node in reversed(walked):  # children first
            children = [made[id(child)] for child in node.children if id(child) in made]
            if children or wanted(node.span):
                made[id(node)] = Node(node.span, children)
        copies += [made[id(root)]] if id(root) in made else []
    return copies


def _earliest_of_circle(node: Node, nodes: dict[tuple[str, str], Node]) -> Node:
    """The earliest span of the circle that the parents of *node* lead into."""
    seen: list[Node] = []
    places: dict[int, int] = {}
    while id(node) not in places:
        places[id(node)] = len(seen)
        seen.append(node)
        node = nodes[node.span.trace_id, node.span.parent_span_id]
    return min(seen[places[id(node)] :], key=lambda member: member.span.start_ns)
