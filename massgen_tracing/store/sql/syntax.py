"""The expressions of a SQL statement, as far as rewriting needs them: what each operator's operands are.

Operator precedence is PostgreSQL's. This is no parser of SQL: the engine parses. It knows expressions, and takes every other word for a
border between two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from massgen_tracing.errors import QueryError
from massgen_tracing.store.sql.tokens import Group, Item, Kind, Token, position

ARROW: Final = "->"
TEXT_ARROW: Final = "->>"
CONTAINS: Final = "?"
JSON_OPERATORS: Final = frozenset({ARROW, TEXT_ARROW, CONTAINS})
UNSUPPORTED_OPERATORS: Final = frozenset({"#>", "#>>", "?|", "?&", "@?", "@@", "#-"})
"""PostgreSQL's for JSON, which Logfire does not have either."""

_OTHER: Final = 3
_UNARY: Final = 7
_BINDING: Final = {"^": 6, "*": 5, "/": 5, "%": 5, "+": 4, "-": 4, "||": _OTHER} | dict.fromkeys(JSON_OPERATORS, _OTHER)
"""How tightly binary operators bind; what binds less (comparisons, NOT, AND, OR) is a border here."""

COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})
DISTINCT_FROM: Final = frozenset({"IS DISTINCT FROM", "IS NOT DISTINCT FROM"})

# fmt: off
_BORDER_WORDS: Final = frozenset({
    "ALL", "AND", "AS", "ASC", "AT", "BETWEEN", "BY", "COLLATE", "CROSS", "DESC", "DISTINCT", "ELSE", "ESCAPE", "EXCEPT", "FETCH",
    "FILTER", "FROM", "FULL", "GROUP", "HAVING", "ILIKE", "IN", "INNER", "INTERSECT", "IS", "ISNULL", "JOIN", "LATERAL",
    "LIKE", "LIMIT", "MATERIALIZED", "NATURAL", "NOT", "NOTNULL", "OFFSET", "ON", "OR", "ORDER", "OUTER", "OVER",
    "PARTITION", "QUALIFY", "RANGE", "RECURSIVE", "ROWS", "SELECT", "SIMILAR", "THEN", "UNION", "USING", "VALUES",
    "WHEN", "WHERE", "WINDOW", "WITH", "WITHIN",
})
# fmt: on
"""Words before which an expression ends and which, before a bracket, are no function's name."""

_AFTER_CALL: Final = frozenset({"FILTER", "OVER", "GROUP"})


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a statement: *items* in order, at least one."""

    items: tuple[Item, ...]

    @property
    def start(self) -> int:
        """Where it starts."""
        return self.items[0].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.items[-1].end

    @property
    def token(self) -> Token | None:
        """The token, where it is only one."""
        return self.items[0] if len(self.items) == 1 and isinstance(self.items[0], Token) else None


@dataclass(frozen=True, slots=True)
class Atom(Stretch):
    """A name, a literal or a bracket; a call is a name and a bracket."""

    @property
    def call(self) -> tuple[Token, Group] | None:
        """Name and arguments of a plain function call."""
        if len(self.items) == 2 and isinstance(self.items[0], Token) and isinstance(self.items[1], Group):
            name, arguments = self.items[0], self.items[1]
            if name.is_name and arguments.opening.text == "(":
                return name, arguments
        return None

    @property
    def subscripted(self) -> tuple[Token, Group] | None:
        """Name and arguments of a function call with subscripts behind it, `f(x)[1]`."""
        call = Atom(self.items[:2]).call if len(self.items) > 2 else None
        subscripts = all(isinstance(item, Group) and item.opening.text == "[" for item in self.items[2:])
        return call if subscripts else None

    @property
    def name(self) -> str | None:
        """A column's own name, as the engine sees it, for `name` and `table.name`."""
        last = self.items[-1]
        if not isinstance(last, Token) or not last.is_name or any(isinstance(item, Group) for item in self.items):
            return None
        return last.text if last.kind == Kind.QUOTED else last.text.lower()


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and the operator between them."""

    left: Expression
    operator: Token
    right: Expression

    @property
    def start(self) -> int:
        """Where its left operand starts."""
        return self.left.start

    @property
    def end(self) -> int:
        """Where its right operand ends."""
        return self.right.end


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign before its operand."""

    sign: Token
    operand: Expression

    @property
    def start(self) -> int:
        """Where the sign stands."""
        return self.sign.start

    @property
    def end(self) -> int:
        """Where the operand ends."""
        return self.operand.end


@dataclass(frozen=True, slots=True)
class Cast:
    """`inner::type`; *type_name* is in lower case, without length or precision."""

    inner: Expression
    operator: Token
    type_name: str
    end: int

    @property
    def start(self) -> int:
        """Where the cast expression starts."""
        return self.inner.start


Expression = Atom | Binary | Unary | Cast

Parts = tuple[Expression | Token, ...]
"""The expressions and borders of one bracket level, in order."""


def level(sql: str, items: tuple[Item, ...]) -> Parts:
    """The expressions of one level, and what stands between them.

    Raises:
        QueryError: if a JSON operator lacks an operand, or an operator is not supported.
    """
    return tuple(_Parser(sql, items).parts())


class _Parser:
    """Operator precedence over the items of one level; inner brackets stay closed."""

    def __init__(self, sql: str, items: tuple[Item, ...]) -> None:
        self._sql = sql
        self._items = items
        self._at = 0

    def parts(self) -> Iterator[Expression | Token]:
        while self._at < len(self._items):
            item = self._items[self._at]
            if isinstance(item, Token) and self._is_border(item):
                self._refuse_dangling(item)
                self._at += 1
                yield item
            else:
                yield self._expression(0)

    def _expression(self, binding: int) -> Expression:
        left = self._operand()
        while self._at < len(self._items):
            item = self._items[self._at]
            if not isinstance(item, Token):
                break
            if item.word == "::":
                left = self._cast(left, item)
                continue
            strength = _BINDING.get(item.word)
            if strength is None or strength < binding or self._is_star(item):
                break
            if item.word in JSON_OPERATORS:
                self._refuse_windowed(left, item)
            self._at += 1
            left = Binary(left, item, self._expression(strength + 1))
        return left

    def _is_star(self, item: Token) -> bool:
        """Whether a `*` stands for all columns though a bracket is before it, as in `SELECT DISTINCT ON (a) * FROM`."""
        following = self._items[self._at + 1] if self._at + 1 < len(self._items) else None
        return item.word == "*" and (following is None or (isinstance(following, Token) and self._is_border(following)))

    def _operand(self) -> Expression:
        if self._at >= len(self._items):
            raise self._lacks_operand(self._items[-1])
        item = self._items[self._at]
        if isinstance(item, Token) and item.word in {"+", "-"}:
            self._at += 1
            return Unary(item, self._expression(_UNARY))
        if isinstance(item, Token) and (item.word in JSON_OPERATORS or (self._is_border(item) and self._at > 0)):
            raise self._lacks_operand(item)
        taken = [item]
        self._at += 1
        while self._at < len(self._items):
            following = self._items[self._at]
            last = taken[-1]
            joins = (
                (isinstance(following, Token) and following.word == ".")
                or (isinstance(last, Token) and last.word == ".")
                or (isinstance(following, Group) and following.opening.text == "[")
                or (isinstance(following, Group) and following.opening.text == "(" and isinstance(last, Token) and last.is_name)
            )
            if not joins:
                break
            taken.append(following)
            self._at += 1
        return Atom(tuple(taken))

    def _cast(self, inner: Expression, operator: Token) -> Cast:
        self._at += 1
        words: list[str] = []
        end = operator.end
        while self._at < len(self._items):
            item = self._items[self._at]
            if isinstance(item, Token):
                more = not words or (words[-1] == "double" and item.word == "PRECISION") or _goes_on(words, item)
                if not (more and item.is_name):
                    break
                words.append(item.text.lower())
            elif not words or item.opening.text not in {"(", "["}:
                break
            end = item.end
            self._at += 1
        return Cast(inner, operator, " ".join(words), end)

    def _is_border(self, token: Token) -> bool:
        word = token.word
        if word in {"LEFT", "RIGHT"}:
            # `left(text, 3)` is a call, `LEFT JOIN` a border.
            following = self._items[self._at + 1] if self._at + 1 < len(self._items) else None
            return not isinstance(following, Group)
        if word in _BORDER_WORDS:
            return True
        return bool(word) and not token.is_name and word not in _BINDING and word != "."

    def _refuse_dangling(self, token: Token) -> None:
        if token.word in UNSUPPORTED_OPERATORS:
            raise QueryError(
                f"The operator `{token.text}` at {position(self._sql, token.start)} is not supported",
                expected="one of ->, ->>, ? for JSON",
                hint="Chain `->` for a path: attributes->'a'->>'b'",
            )

    def _refuse_windowed(self, left: Expression, operator: Token) -> None:
        """A call with FILTER or OVER is not one expression here; taking only its last bracket would change the meaning."""
        if not isinstance(left, Atom):
            return
        first = left.items[0]
        index = next((i for i, item in enumerate(self._items) if item is first), 0)
        before = self._items[index - 1] if index else None
        if isinstance(first, Group) and isinstance(before, Token) and before.word in _AFTER_CALL:
            raise QueryError(
                f"The operand of `{operator.text}` at {position(self._sql, operator.start)} is not clear",
                hint="Put parentheses around the whole expression before it",
            )

    def _lacks_operand(self, item: Item) -> QueryError:
        text = item.text if isinstance(item, Token) else item.opening.text
        return QueryError(
            f"An operand is missing at `{text}`, {position(self._sql, item.start)}",
            hint="A JSON operator stands between a JSON text and a key: attributes->>'key'",
        )


def _goes_on(words: list[str], item: Token) -> bool:
    """Whether *item* belongs to `timestamp with time zone` and the like."""
    return words[0] in {"timestamp", "time"} and item.word in {"WITH", "WITHOUT", "TIME", "ZONE"}
