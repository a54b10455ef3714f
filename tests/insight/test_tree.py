"""The span tree: every span once, whatever the parents say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from massgen_tracing.insight.tree import Node, bounded, only, trees
from massgen_tracing.model import SpanRecord
from massgen_tracing.store.reading.spans import identity


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
    drawn = [identity(node.span) for root in trees(spans) for _, node in root.walk()]
    assert sorted(drawn) == sorted(set(map(identity, spans)))


def test_a_server_with_the_id_of_its_client_is_below_it() -> None:
    """And what the server has done is below the server."""
    client, server = replace(span(2, 1), kind=3), replace(span(2, 1), kind=2, name="server")
    assert shape(trees([server, span(3, 2), client, span(1)])) == [["s1", ["s2", ["server", ["s3"]]]]]


def test_a_chain_of_ten_thousand_spans_is_a_tree() -> None:
    """Depth is no danger to the stack."""
    (root,) = trees([span(number, number - 1) for number in range(1, 10_001)])
    assert max(depth for depth, _ in root.walk()) == 9_999


def test_a_bounded_tree_says_how_much_it_left_out() -> None:
    """Cut below a depth, or after so many spans of the upper levels, the rest is counted, all of it."""
    roots = trees([span(1), span(2, 1), span(3, 2), span(4, 3), span(5)])
    for options, found, missing in (
        ({"depth": 1}, [["s1", ["s2"]], ["s5"]], 2),
        ({"depth": 0}, [["s1"], ["s5"]], 3),
        ({"most": 3}, [["s1", ["s2"]], ["s5"]], 2),
        ({"most": 1}, [["s1"]], 4),
        ({"depth": 9, "most": 5}, shape(roots), 0),
        ({}, shape(roots), 0),
    ):
        cut, left_out = bounded(roots, **options)
        assert (shape(cut), left_out) == (found, missing), options


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), max_size=12), st.integers(0, 4), st.integers(0, 12))
def test_of_a_bounded_tree_nothing_is_lost_count_of(made: list[tuple[int, int]], depth: int, most: int) -> None:
    """What is kept and what is left out are all spans; none is kept whose parent is not."""
    roots = trees([span(number, parent) for number, parent in made])
    cut, left_out = bounded(roots, depth=depth, most=most)
    kept = [node for root in cut for _, node in root.walk()]
    assert len(kept) + left_out == sum(1 for root in roots for _ in root.walk())
    assert len(kept) <= most
    assert {node.span.span_id for node in cut} <= {node.span.span_id for node in roots}


def test_only_what_is_wanted_and_what_it_is_in() -> None:
    """Branches without any are gone."""
    roots = trees([span(1), span(2, 1), span(3, 2), span(4, 1), span(5), span(6, 5)])
    assert shape(only(roots, lambda each: each.name == "s3")) == [["s1", ["s2", ["s3"]]]]
    assert only(roots, lambda each: False) == []
    assert shape(only(roots, lambda each: True)) == shape(roots)
