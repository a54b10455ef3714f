"""Where a `*` would give `massgen_run` a second time: the select list names it as well, which is why the `*` has it at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from massgen_tracing.store.sql.tokens import Token
from massgen_tracing.store.tables.meanings import RUN

WITHOUT_RUN: Final = f" EXCLUDE ({RUN})"
"""Behind such a `*`."""

_BEFORE_ITEMS: Final = frozenset({"SELECT", "DISTINCT", "ALL"})


def with_run_beside(tokens: Sequence[Token]) -> list[int]:
    """The ends of these `*`, as offsets in the statement."""
    return [star.end for items in _select_lists(tokens) if any(_is_run(item) for item in items) for star in map(_star, items) if star is not None]


def _select_lists(tokens: Sequence[Token]) -> Iterator[list[list[Token]]]:
    """The items of each SELECT, by their tokens; what is in brackets is no item of its own."""
    for at, token in enumerate(tokens):
        if token.word != "SELECT":
            continue
        depth, own = 0, []
        for other in tokens[at + 1 :]:
            depth += (other.word == "(") - (other.word == ")")
            if depth < 0 or (depth == 0 and other.word == "FROM"):
                break
            own.append((depth, other))
        yield [[each for _, each in item] for is_comma, item in groupby(own, lambda each: each[0] == 0 and each[1].word == ",") if not is_comma]


def _is_run(item: Sequence[Token]) -> bool:
    """Whether an item is the column under its own name."""
    names = [each for each in item if each.word not in _BEFORE_ITEMS]
    return bool(names) and names[-1].text.lower() == RUN and (len(names) == 1 or (len(names) == 3 and names[1].word == "."))


def _star(item: Sequence[Token]) -> Token | None:
    """The `*` that an item is, of all tables or of one; not one that says itself what it leaves out."""
    *before, last = item
    is_star = last.word == "*" and (not before or before[-1].word in {*_BEFORE_ITEMS, "."})
    return last if is_star else None
