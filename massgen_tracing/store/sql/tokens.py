"""The tokens of a SQL statement and its brackets, by the engine's lexical rules (PostgreSQL's).

The places of the tokens in the text are kept, so that a rewrite can change a few of them and leave every other byte as it stands. A lexer of
another dialect of SQL will not do: where it takes a text to end elsewhere than the engine does, a rewrite would change what a text says.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from massgen_tracing.errors import QueryError

_BRACKETS: Final = {"(": ")", "[": "]", "{": "}", "CASE": "END"}

MOST_LEVELS: Final = 150
"""Of brackets in brackets."""

_TOKEN: Final = re.compile(
    r"""
      (?P<blank>     \s++ | --[^\n]*+ )
    | (?P<comment>   /\* )
    | (?P<STRING>    '(?:[^']++|'')*+' )
    | (?P<OTHER_TEXT> [eE]'(?:[^'\\]++|\\.|'')*+' | (?:[nNbBxX]|[uU]&)'(?:[^']++|'')*+' | \$(?P<tag>(?:[^\W\d]\w*+)?)\$.*?\$(?P=tag)\$ )
    | (?P<QUOTED>    "(?:[^"]++|"")*+" )
    | (?P<PARAMETER> \$\w++ )
    | (?P<NUMBER>    (?:0[xX][\da-fA-F]++ | (?:\d[\d_]*+ (?:\.\d*+)? | \.\d++) (?:[eE][+-]?\d++)?) )
    | (?P<WORD>      [^\W\d][\w$]*+ )
    | (?P<SIGN>      ->>|->|\#>>|\#>|\#-|@>|<@|@\?|@@|\?\||\?&|::|:=|=>|==|<=|>=|<>|!=|\|\||!~\*|!~|~\*|<<|>>|&&|. )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_BORDER: Final = re.compile(r"/\*|\*/")


class Kind(enum.Enum):
    """What a token is; `OTHER_TEXT` is any text that is not written as 'text'."""

    STRING = enum.auto()
    OTHER_TEXT = enum.auto()
    NUMBER = enum.auto()
    PARAMETER = enum.auto()
    QUOTED = enum.auto()
    WORD = enum.auto()
    SIGN = enum.auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it stands: characters *start* up to, not including, *end*.

    *text* is what a text says and what a quoted name is; any other token as it is written.
    """

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The token in upper case; empty for literals, parameters and quoted names, which are no keywords."""
        return self.text.upper() if self.kind is Kind.WORD or self.kind is Kind.SIGN else ""

    @property
    def is_name(self) -> bool:
        """Whether it can be a name: a quoted one, or a word."""
        return self.kind is Kind.WORD or self.kind is Kind.QUOTED


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
        QueryError: if a text, a name or a comment does not end, or `$` stands alone.
    """
    return list(_tokens(sql))


def _tokens(sql: str) -> Iterator[Token]:
    at = 0
    while match := _TOKEN.match(sql, at):
        name = match.lastgroup or ""
        start, at = at, match.end()
        if name == "blank":
            continue
        if name == "comment":
            at = _comment_end(sql, start)
            continue
        kind = Kind[name]
        text = match[0]
        if kind is Kind.SIGN and text in {"'", '"', "$"}:
            raise _unfinished(sql, start, text)
        if kind is Kind.STRING or kind is Kind.QUOTED:
            text = text[1:-1].replace(text[0] * 2, text[0])
        yield Token(kind, text, start, at)


def too_deep(where: str = "") -> QueryError:
    """The refusal of a statement that nests too deep."""
    return QueryError("The statement is nested too deep" + (f": more than {where}" if where else ""), hint="Take it apart with WITH")


def _comment_end(sql: str, start: int) -> int:
    """Where a comment ends; comments can stand in comments."""
    depth = 0
    for border in _COMMENT_BORDER.finditer(sql, start):
        depth += 1 if border[0] == "/*" else -1
        if not depth:
            return border.end()
    raise _unfinished(sql, start, "/*")


def _unfinished(sql: str, at: int, opening: str) -> QueryError:
    place = position(sql, at)
    if opening == "$":
        return QueryError(f"`$` at {place} has no name after it", expected="a parameter such as $name, or a text between $$ and $$")
    kind, hint = {
        "'": ("text", "Close it; a quote inside a text is ''"),
        '"': ("quoted name", 'Close it; a quote inside a quoted name is ""'),
        "/*": ("comment", "Close it with */"),
    }[opening]
    return QueryError(f"The {kind} that begins at {place} has no end", hint=hint)


def comments(sql: str, start: int, end: int) -> str:
    """A part of the text without its tokens: what is left when they go."""
    spans = [(start, start), *((start + token.start, start + token.end) for token in _tokens(sql[start:end])), (end, end)]
    return "".join(sql[before:after] for (_, before), (after, _) in itertools.pairwise(spans))


def group_brackets(sql: str, tokens: list[Token]) -> tuple[Item, ...]:
    """Tokens with what stands in brackets put together.

    Raises:
        QueryError: if a bracket has no partner, or is too deep in others.
    """
    levels: list[list[Item]] = [[]]
    openings: list[Token] = []
    for token in tokens:
        if token.word in _BRACKETS:
            if len(openings) == MOST_LEVELS:
                raise too_deep(f"{MOST_LEVELS} levels at {position(sql, token.start)}")
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
