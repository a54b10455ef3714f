"""The span tree: every span once, whatever the parents say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.insight.tree import Node, trees
from massgen_tracing.model import SpanRecord


def span(number: int, parent: int = 0, *, start: int | None = None, trace: str = "a" * 32) -> SpanRecord:
    """A span with only what a tree needs."""
    begun = number if start is None else start
    return SpanRecord(trace, f"{number:016x}", f"{parent:016x}" if parent else "", f"s{number}", begun, begun + 1)


def shape(nodes: list[Node]) -> list[object]:
    """Names and nesting only."""
    return [[node.span.name, *shape(node.children)] for node in nodes]


def test_children_stand_below_their_parents_by_start_time() -> None:
    """Nesting follows the parents, order the start times, whatever order the spans come in."""
    spans = [span(4, 2, start=9), span(3, 1), span(2, 1), span(1), span(5, 2, start=8)]
    assert shape(trees(spans)) == [["s1", ["s2", ["s5"], ["s4"]], ["s3"]]]


def test_orphans_become_roots() -> None:
    """A span whose parent is not recorded is a root; the same id in another trace is not its parent."""
    assert shape(trees([span(1), span(2, 99), span(3, 1, trace="b" * 32)])) == [["s1"], ["s2"], ["s3"]]


def test_circles_are_cut_at_their_earliest_span() -> None:
    """A circle of parents, and a span that is its own parent, come out as trees; what hangs on a circle stays where it hangs."""
    assert shape(trees([span(2, 3), span(3, 4), span(4, 2), span(1, 4)])) == [["s2", ["s4", ["s1"], ["s3"]]]]
    assert shape(trees([span(1, 1)])) == [["s1"]]


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 9), st.integers(0, 5)), max_size=12))
def test_every_span_is_in_exactly_one_place(made: list[tuple[int, int, int]]) -> None:
    """Whatever the parents are, each span is drawn once."""
    spans = [span(number, parent, start=start) for number, parent, start in made]
    drawn = [node.span.span_id for root in trees(spans) for _, node in root.walk()]
    assert sorted(drawn) == sorted({item.span_id for item in spans})


def test_a_chain_of_ten_thousand_spans_is_a_tree() -> None:
    """Depth is no danger to the stack."""
    (root,) = trees([span(number, number - 1) for number in range(1, 10_001)])
    assert max(depth for depth, _ in root.walk()) == 9_999


def test_a_pruned_tree_says_how_much_it_left_out() -> None:
    """Cut below a depth, the rest is counted, all of it."""
    (root,) = trees([span(1), span(2, 1), span(3, 2), span(4, 3)])
    cut, left_out = root.pruned(1)
    assert (shape([cut]), left_out) == ([["s1", ["s2"]]], 2)
    assert root.pruned(9) == (root, 0)
