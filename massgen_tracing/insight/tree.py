"""The span tree of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from massgen_tracing.model import SpanRecord


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

    def pruned(self, depth: int) -> tuple[Node, int]:
        """A copy without what lies more than *depth* below, and how many spans that leaves out."""
        copies = {id(self): Node(self.span)}
        left_out = 0
        for level, node in self.walk():
            for child in node.children:
                if level < depth:
                    copies[id(child)] = Node(child.span)
                    copies[id(node)].children.append(copies[id(child)])
                else:
                    left_out += 1
        return copies[id(self)], left_out


def trees(spans: Iterable[SpanRecord]) -> list[Node]:
    """The trees of the spans, each span in exactly one place, roots by start time.

    A span whose parent is not among the spans is a root, and so is the earliest span of a circle of parents. Where an id comes twice in
    a trace, the first one counts.
    """
    nodes: dict[tuple[str, str], Node] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, span.trace_id, span.span_id)):
        nodes.setdefault(span.key, Node(span))
    roots: list[Node] = []
    for (trace_id, _), node in nodes.items():
        parent = nodes.get((trace_id, node.span.parent_span_id))
        (roots if parent is None else parent.children).append(node)
    reached = {id(node) for root in roots for _, node in root.walk()}
    for node in nodes.values():
        if id(node) in reached:
            continue
        first = _earliest_of_circle(node, nodes)
        parent = nodes[first.span.trace_id, first.span.parent_span_id]
        parent.children[:] = [child for child in parent.children if child is not first]
        roots.append(first)
        reached |= {id(below) for _, below in first.walk()}
    return sorted(roots, key=lambda node: node.span.start_ns)


def _earliest_of_circle(node: Node, nodes: dict[tuple[str, str], Node]) -> Node:
    """The earliest span of the circle that the parents of *node* lead into."""
    seen: list[Node] = []
    places: dict[int, int] = {}
    while id(node) not in places:
        places[id(node)] = len(seen)
        seen.append(node)
        node = nodes[node.span.trace_id, node.span.parent_span_id]
    return min(seen[places[id(node)] :], key=lambda member: member.span.start_ns)
