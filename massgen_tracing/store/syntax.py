"""The shape of a SQL statement, as far as rewriting needs it: tokens, brackets, and what each operator's operands are.

The tokens are sqlglot's (PostgreSQL); their places in the text are kept, so that a rewrite can change a few places and leave every other
byte as it stands. Operator precedence is PostgreSQL's. This is no parser of SQL: the engine parses. It knows brackets and expressions,
and takes every other word for a border between two expressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import TokenType

from massgen_tracing.errors import QueryError

_DIALECT: Final = "postgres"

ARROW: Final = "->"
TEXT_ARROW: Final = "->>"
CONTAINS: Final = "?"
JSON_OPERATORS: Final = frozenset({ARROW, TEXT_ARROW, CONTAINS})
UNSUPPORTED_OPERATORS: Final = frozenset({"#>", "#>>", "@>", "<@", "?|", "?&", "@?", "@@", "#-"})

_OTHER: Final = 3
_UNARY: Final = 7
_BINDING: Final = {"^": 6, "*": 5, "/": 5, "%": 5, "+": 4, "-": 4, "||": _OTHER} | dict.fromkeys(JSON_OPERATORS, _OTHER)
"""How tightly binary operators bind; what binds less (comparisons, NOT, AND, OR) is a border here."""

COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})

# fmt: off
_BORDER_WORDS: Final = frozenset({
    "ALL", "AND", "AS", "ASC", "AT", "BETWEEN", "BY", "COLLATE", "CROSS", "DESC", "DISTINCT", "ELSE", "ESCAPE", "EXCEPT", "FETCH",
    "FILTER", "FROM", "FULL", "GROUP", "GROUP BY", "HAVING", "ILIKE", "IN", "INNER", "INTERSECT", "IS", "ISNULL", "JOIN", "LATERAL",
    "LIKE", "LIMIT", "MATERIALIZED", "NATURAL", "NOT", "NOTNULL", "OFFSET", "ON", "OR", "ORDER", "ORDER BY", "OUTER", "OVER",
    "PARTITION", "PARTITION BY", "QUALIFY", "RANGE", "RECURSIVE", "ROWS", "SELECT", "SIMILAR", "THEN", "UNION", "USING", "VALUES",
    "WHEN", "WHERE", "WINDOW", "WITH", "WITHIN",
})
# fmt: on
"""Words before which an expression ends and which, before a bracket, are no function's name."""

_AFTER_CALL: Final = frozenset({"FILTER", "OVER", "GROUP", "WITHIN GROUP"})

_BRACKETS: Final = {"(": ")", "[": "]", "{": "}", "CASE": "END"}
_TEXTS: Final = frozenset({TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING, TokenType.UNICODE_STRING})
_LITERALS: Final = _TEXTS | {TokenType.NUMBER, TokenType.HEX_STRING, TokenType.BIT_STRING}


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it stands: characters *start* up to, not including, *end*."""

    kind: TokenType
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The token in upper case with single blanks; empty for texts and quoted names, which are no keywords."""
        if self.kind in _LITERALS or self.kind == TokenType.IDENTIFIER:
            return ""
        return " ".join(self.text.upper().split())

    @property
    def is_name(self) -> bool:
        """Whether it can be a name: a quoted one, or a word."""
        return self.kind == TokenType.IDENTIFIER or (self.word[:1].isalpha() or self.word[:1] == "_")


@dataclass(frozen=True, slots=True)
class Group:
    """Everything between two brackets (or CASE and END), brackets included."""

    opening: Token
    items: tuple[Item, ...]
    closing: Token

    @property
    def start(self) -> int:
        """Where its opening bracket starts."""
        return self.opening.start

    @property
    def end(self) -> int:
        """Where its closing bracket ends."""
        return self.closing.end


Item = Token | Group


@dataclass(frozen=True, slots=True)
class Atom:
    """A name, a literal or a bracket: *items* in order; a call is a name and a bracket."""

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
    def call(self) -> tuple[Token, Group] | None:
        """Name and arguments of a plain function call."""
        if len(self.items) == 2 and isinstance(self.items[0], Token) and isinstance(self.items[1], Group):
            name, arguments = self.items[0], self.items[1]
            if name.is_name and arguments.opening.text == "(":
                return name, arguments
        return None

    @property
    def token(self) -> Token | None:
        """The token, where it is only one."""
        return self.items[0] if len(self.items) == 1 and isinstance(self.items[0], Token) else None

    @property
    def name(self) -> str | None:
        """A column's own name, as the engine sees it, for `name` and `table.name`."""
        last = self.items[-1]
        if not isinstance(last, Token) or not last.is_name or any(isinstance(item, Group) for item in self.items):
            return None
        return last.text if last.kind == TokenType.IDENTIFIER else last.text.lower()


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


@dataclass(frozen=True, slots=True)
class Level:
    """The expressions and borders of one bracket level, in order."""

    parts: tuple[Expression | Token, ...]


def position(sql: str, offset: int) -> str:
    """Where a character stands, for people: line and column count from 1."""
    line = sql.count("\n", 0, offset) + 1
    column = offset - (sql.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column}"


def tokenize(sql: str) -> list[Token]:
    """The tokens of *sql*.

    Raises:
        QueryError: if a text, a name or a comment does not end.
    """
    try:
        tokens = sqlglot.tokenize(sql, read=_DIALECT)
    except sqlglot.errors.TokenError as error:
        raise QueryError(
            "The statement cannot be read: a quote, a quoted name or a comment has no end", hint="Close it; a quote inside a text is ''"
        ) from error
    return [Token(token.token_type, token.text, token.start, token.end + 1) for token in tokens]


def group(sql: str, tokens: list[Token]) -> tuple[Item, ...]:
    """Tokens with what stands in brackets put together.

    Raises:
        QueryError: if a bracket has no partner.
    """
    levels: list[list[Item]] = [[]]
    openings: list[Token] = []
    for token in tokens:
        if token.word in _BRACKETS:
            openings.append(token)
            levels.append([])
        elif openings and token.word == _BRACKETS[openings[-1].word]:
            items = tuple(levels.pop())
            levels[-1].append(Group(openings.pop(), items, token))
        elif token.word in {")", "]", "}"}:
            raise QueryError(f"`{token.text}` at {position(sql, token.start)} closes nothing", hint="Remove it, or open a bracket before it")
        else:
            levels[-1].append(token)
    if openings:
        opening = openings[-1]
        raise QueryError(f"`{opening.text}` at {position(sql, opening.start)} is never closed", hint=f"Close it with `{_BRACKETS[opening.word]}`")
    return tuple(levels[0])


def level(sql: str, items: tuple[Item, ...]) -> Level:
    """The expressions of one level.

    Raises:
        QueryError: if a JSON operator lacks an operand, or an operator is not supported.
    """
    return Level(tuple(_Parser(sql, items).parts()))


def arguments(call: Group) -> list[tuple[Item, ...]]:
    """The items of each argument of a call; none for `f()`."""
    parts: list[list[Item]] = [[]]
    for item in call.items:
        if isinstance(item, Token) and item.word == ",":
            parts.append([])
        else:
            parts[-1].append(item)
    return [tuple(part) for part in parts] if call.items else []


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
            if item.kind == TokenType.DCOLON:
                left = self._cast(left, item)
                continue
            strength = _BINDING.get(item.word)
            if strength is None or strength < binding:
                break
            if item.word in JSON_OPERATORS:
                self._refuse_windowed(left, item)
            self._at += 1
            left = Binary(left, item, self._expression(strength + 1))
        return left

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
        first = left.items[0] if isinstance(left, Atom) else None
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
