"""The tokens of a SQL statement and its brackets.

The tokens are sqlglot's (PostgreSQL); their places in the text are kept, so that a rewrite can change a few places and leave every other
byte as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import TokenType

from massgen_tracing.errors import QueryError

_DIALECT: Final = "postgres"
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


def group_brackets(sql: str, tokens: list[Token]) -> tuple[Item, ...]:
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


def arguments(call: Group) -> list[tuple[Item, ...]]:
    """The items of each argument of a call; none for `f()`."""
    parts: list[list[Item]] = [[]]
    for item in call.items:
        if isinstance(item, Token) and item.word == ",":
            parts.append([])
        else:
            parts[-1].append(item)
    return [tuple(part) for part in parts] if call.items else []
