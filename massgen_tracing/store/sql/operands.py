"""Questions about expressions: what is inside the brackets, what it is compared with, what it would be called."""

from __future__ import annotations

from typing import Final

from massgen_tracing.store.sql import syntax
from massgen_tracing.store.sql.syntax import Atom, Binary, Cast, Expression, Parts, Unary
from massgen_tracing.store.sql.tokens import Group, Kind, Token

QUERY_WORDS: Final = frozenset({"SELECT", "WITH"})
"""What a query begins with."""

_QUANTIFIERS: Final = frozenset({"ALL", "ANY", "SOME"})

Side = tuple[str, list[Expression]]
"""An operator, and the operands on its other side."""


def title(sql: str, node: Expression) -> str | None:
    """What Logfire calls a column that is only a JSON operator; None for any other expression."""
    if isinstance(node, Cast):
        arrow = arrow_in(sql, node.inner)
        return title(sql, arrow) if isinstance(arrow, Binary) else None
    if not (isinstance(node, Binary) and node.operator.word in syntax.JSON_OPERATORS):
        return None
    return f"{_title_part(sql, node.left)} {node.operator.text} {_title_part(sql, node.right)}"


def _title_part(sql: str, node: Expression) -> str:
    inner = unwrapped(sql, node)
    name = inner.name if isinstance(inner, Atom) else None
    return name or title(sql, inner) or sql[inner.start : inner.end]


def unwrapped(sql: str, node: Expression) -> Expression:
    """The expression inside any brackets around it."""
    while isinstance(node, Atom) and len(node.items) == 1 and isinstance(node.items[0], Group) and node.items[0].opening.text == "(":
        parts = syntax.level(sql, node.items[0].items)
        if len(parts) != 1 or isinstance(parts[0], Token):
            break
        node = parts[0]
    return node


def arrow_in(sql: str, node: Expression) -> Binary | Token | None:
    """The `->` that an expression is, brackets apart; the name where it is a call of json_get."""
    inner = unwrapped(sql, node)
    if isinstance(inner, Binary) and inner.operator.word == syntax.ARROW:
        return inner
    call = inner.call if isinstance(inner, Atom) else None
    return call[0] if call is not None and call[0].text.lower() == "json_get" else None


def neighbours(parts: Parts, at: int) -> tuple[Side, Side]:
    """The operator before an expression with its other operand, and the one after it with its operands; empty where there is none."""
    before: Side = ("", [])
    if at >= 2 and isinstance(operator := parts[at - 1], Token) and not isinstance(other := parts[at - 2], Token):
        before = (operator.word if operator.word in syntax.COMPARISONS else "", [other])
    words: list[str] = []
    following = at + 1
    while following < len(parts) and isinstance(token := parts[following], Token) and len(words) < 4:
        words.append(token.word)
        following += 1
    others = [part for part in parts[following : following + 1] if not isinstance(part, Token)]
    if words[-1:] == ["ALL"]:
        words.pop()  # `<> ALL(…)`
    if words[-1:] == ["BETWEEN"]:
        others += [part for part in parts[following + 2 : following + 3] if not isinstance(part, Token)]
    return before, (" ".join(words), others)


def literal_getter(node: Expression | None) -> str | None:
    """The JSON function that reads values of a literal's type; None where it is no literal."""
    inner = node.operand if isinstance(node, Unary) else node
    token = inner.token if isinstance(inner, Atom) else None
    if token is None:
        return None
    if token.kind == Kind.STRING:
        return "json_get_str"
    if token.kind == Kind.NUMBER:
        return "json_get_float"
    return "json_get_bool" if token.word in {"TRUE", "FALSE"} else None


def listed(sql: str, node: Expression) -> list[Expression]:
    """What stands in `(a, b)`, or in `ANY(ARRAY[a, b])`; an expression that is no list is alone."""
    call = node.call if isinstance(node, Atom) else None
    inner = Atom((call[1],)) if call is not None and call[0].word in _QUANTIFIERS else node
    group = inner.items[-1] if isinstance(inner, Atom) else None
    if not isinstance(inner, Atom) or not isinstance(group, Group):
        return [node]
    first = group.items[0] if group.items else None
    query = isinstance(first, Token) and first.word in QUERY_WORDS
    if query or any(not isinstance(item, Token) or item.word != "ARRAY" for item in inner.items[:-1]):
        return [node]
    found = [part for part in syntax.level(sql, group.items) if not isinstance(part, Token)]
    return found if len(found) != 1 or group.opening.text == "[" else listed(sql, found[0])
