"""Logfire's SQL as DataFusion understands it.

Logfire runs DataFusion with additions; this puts each addition into words that plain DataFusion has, in its place, and leaves every other
byte of the statement as it stands:

- `a -> k`, `a ->> k`, `a ? k`         become json_get, json_as_text, json_contains
- `(a -> k)::int` and the like, and `a -> k` compared with a literal, become the json_get_... of that type
- json functions with several keys     become nested calls with one key
- `level >= 'warn'`                    gets the level's number
- `time_bucket('5 minutes', t)`        becomes date_bin
- `extract(epoch FROM '5 minutes')`     gets the word INTERVAL
- `unnest($list)`                       gets the list's type
- `* EXCEPT (…)` and the like           are read by another parser of the engine
- `SHOW COLUMNS FROM records`           becomes a query of information_schema

A select item that is only a JSON operator gets the title that Logfire gives it.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.errors import QueryError, one_of
from massgen_tracing.store.sql import levels, operands, parameters, schema, stars, syntax
from massgen_tracing.store.sql.syntax import Atom, Binary, Cast, Expression, Parts, Unary
from massgen_tracing.store.sql.tokens import Group, Item, Kind, Token, arguments, comments, group_brackets, position, tokenize, too_deep
from massgen_tracing.store.tables.meanings import RUN
from massgen_tracing.store.terms import Value

_FUNCTIONS: Final = {syntax.ARROW: "json_get", syntax.TEXT_ARROW: "json_as_text", syntax.CONTAINS: "json_contains"}

_GETTERS: Final = {
    "json_get_int": "int integer int2 int4 int8 smallint bigint",
    "json_get_float": "float float4 float8 real double double_precision numeric decimal",
    "json_get_bool": "bool boolean",
    "json_get_str": "text varchar char string",
}
_GETTER_OF: Final = {name.replace("_", " "): getter for getter, names in _GETTERS.items() for name in names.split()}
"""Type name to the function that reads that type; Logfire ignores precision and scale here, and so do we."""

_WITH_PATHS: Final = frozenset({*_FUNCTIONS.values(), *_GETTERS, "json_get_json", "json_get_array", "json_length", "json_object_keys"})
"""Functions that take a JSON text and keys."""

_ALIASES: Final = {"json_len": "json_length", "json_keys": "json_object_keys", "scalar_to_json": "json_from_scalar"}
_WHOLE: Final = "_of_whole"
"""Suffix of the form without a key."""

# fmt: off
_OF_TEXT: Final = frozenset({
    "ascii", "bit_length", "btrim", "char_length", "character_length", "concat", "concat_ws", "contains", "ends_with", "initcap", "left", "length",
    "levenshtein", "lower", "lpad", "ltrim", "md5", "octet_length", "position", "regexp_count", "regexp_like", "regexp_match", "regexp_replace",
    "repeat", "replace", "reverse", "right", "rpad", "rtrim", "split_part", "starts_with", "string_agg", "string_to_array", "strpos", "substr",
    "substring", "to_date", "to_timestamp", "translate", "trim", "upper",
})
# fmt: on
"""Functions of texts: a JSON value that they are given is its text, not its JSON."""

_ORDERINGS: Final = frozenset({"<", ">", "<=", ">="})
_QUANTIFIERS: Final = frozenset({"ALL", "ANY", "SOME"})
_WITHOUT: Final = frozenset({"EXCEPT", "EXCLUDE", "REPLACE"})

_OTHER_STATEMENTS: Final = frozenset(
    {"ALTER", "COPY", "CREATE", "DELETE", "DESCRIBE", "DROP", "EXECUTE", "EXPLAIN", "INSERT", "MERGE", "PRAGMA", "SHOW", "TRUNCATE", "UPDATE"}
)

_DAY: Final = "day"

_LENGTH: Final = re.compile(r"\d+(\.\d+)? *[a-zA-Z]+")
"""A text that is a length of time, and no time."""

_AFTER_SELECT: Final = frozenset({"SELECT", "DISTINCT", "ALL", ","})
_CLAUSES: Final = frozenset({"SELECT", "FROM", "WHERE", "BY", "HAVING", "LIMIT", "WINDOW", "UNION", "EXCEPT", "INTERSECT", "WITH"})


_ONE_ROW_A_ROW: Final = frozenset({"DISTINCT", "EXCEPT", "INTERSECT", "UNION"})
"""With these, a further column makes other rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement for the engine, and the way back to what was written. One that is asked again without values is the same object.

    Attributes:
        text: what the engine gets.
        written: what was written.
        params: the values of its `$name` places.
        lists: whether a `*` says which columns it leaves out or replaces.
        hidden: columns that only order the rows, and are no part of the answer.
    """

    text: str
    written: str
    params: dict[str, Value]
    lists: bool
    hidden: tuple[str, ...]
    _moves: tuple[tuple[int, int], ...]

    def place(self, line: int, column: int) -> str:
        """Where a place in `text` stands in `written`, in words."""
        lines = self.text.split("\n")
        offset = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
        index = bisect_right(self._moves, (offset, len(self.written))) - 1
        there, here = self._moves[index] if index >= 0 else (0, 0)
        return position(self.written, min(here + offset - there, len(self.written)))

    def place_of(self, name: str) -> str | None:
        """Where a name first stands in `written`, in words; None when it does not."""
        tokens = tokenize(self.written)
        # A file's name may be written as a text where a table is expected; and it may be an operator that is named.
        names = [token for token in tokens if token.is_name or token.kind in {Kind.STRING, Kind.SIGN}]
        found = next((token for part in (name, name.rpartition(".")[2]) for token in names if token.text.lower() == part.lower()), None)
        return None if found is None else position(self.written, found.start)


def translate(sql: str, params: Mapping[str, Value] | None = None) -> Statement:
    """One Logfire query as DataFusion understands it, with the values of its parameters.

    Raises:
        QueryError: if it is not one SELECT, asks for something that is not supported, or lacks a parameter's value.
    """
    return _translated(sql, dict(params)) if params else _without_values(sql)


@lru_cache(maxsize=16)
def _without_values(sql: str) -> Statement:
    """Statements are asked again and again; values could be equal and different, as 1 and True are."""
    return _translated(sql, {})


def _translated(sql: str, values: dict[str, Value]) -> Statement:
    _check_characters(sql)
    tokens = tokenize(sql)
    while tokens and tokens[-1].word == ";":
        tokens.pop()
    asked = schema.query(sql, tokens)
    if asked is not None:
        parameters.check(sql, [], values)
        return Statement(asked, sql, values, lists=False, hidden=(), _moves=((0, 0),))
    _check_query(sql, tokens)
    parameters.check(sql, [token for token in tokens if token.kind == Kind.PARAMETER], values)
    words = [token.word for token in tokens]
    places = levels.places(sql) if words.count("SELECT") > 1 and any(token.text.lower() == levels.COLUMN for token in tokens) else None
    rewriter = _Rewriter(sql, values, places)
    try:
        items = group_brackets(sql, tokens)
        rewriter.rewrite(items)
        rewriter.order(syntax.level(sql, items))
    except RecursionError:
        raise too_deep() from None
    stars_with_run = stars.with_run_beside(tokens) if any(token.text.lower() == RUN for token in tokens) else []
    for end in stars_with_run:
        rewriter.behind(end, stars.WITHOUT_RUN)
    return rewriter.statement(tokens[-1].end, lists=bool(stars_with_run) or _lists_columns(tokens))


def _lists_columns(tokens: list[Token]) -> bool:
    """Whether there is a `* EXCEPT (…)`, `* EXCLUDE (…)` or `* REPLACE (…)`."""
    return any(
        star.word == "*" and before.word in {*_AFTER_SELECT, ".", ")"} and word.word in _WITHOUT and (after.word == "(" or after.is_name)
        for before, star, word, after in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False)
    )


def _check_query(sql: str, tokens: list[Token]) -> None:
    if not tokens:
        raise QueryError("The statement is empty", expected="one SELECT", hint='For example: "SELECT span_name, duration FROM records"')
    for token in tokens:
        if token.word == ";":
            raise QueryError(
                f"There is more than one statement (a second one starts after {position(sql, token.start)})",
                expected="one SELECT",
                hint="Ask them one by one",
            )
    first = next((token for token in tokens if token.text != "("), tokens[0])
    refused = first if first.word not in operands.QUERY_WORDS else _other_statement(tokens)
    if refused is not None:
        raise QueryError(
            f"`{refused.text}` at {position(sql, refused.start)} is refused",
            expected="one SELECT (or WITH … SELECT), SHOW COLUMNS FROM or DESCRIBE a table; recordings can only be read",
        )


def _other_statement(tokens: list[Token]) -> Token | None:
    """What begins a statement of another kind inside of a query, such as `WITH x AS (DELETE …)` or `SELECT … INTO`."""
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        begins = before.text in {"(", ")"} and token.word in _OTHER_STATEMENTS and after.is_name
        if begins or (token.word == "INTO" and before.text != "." and before.word != "AS"):
            return token
    return None


def _check_characters(sql: str) -> None:
    """See that the engine can be given the text."""
    wrong = next((at for at, character in enumerate(sql) if character == "\0" or "\ud800" <= character <= "\udfff"), None)
    if wrong is not None:
        raise QueryError(f"There is a character that no text can have at {position(sql, wrong)}", got=sql[wrong])


def _is_word(part: Expression | Item, word: str) -> bool:
    return isinstance(part, Token) and part.word == word


_OPENINGS: Final = 2**40
"""More than any statement has edits."""


@dataclass(slots=True)
class _Edit:
    start: int
    end: int
    text: str
    order: int


@dataclass(slots=True)
class _Rewriter:
    sql: str
    params: dict[str, Value]
    levels: frozenset[int] | None
    """Where the names stand that mean the column `level`; None for every `level`."""
    edits: list[_Edit] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)

    def rewrite(self, items: tuple[Item, ...], otherwise: str | None = None) -> None:
        """Rewrite one bracket level and those inside it; *otherwise* reads a `->` of this level that nothing is compared with."""
        parts = syntax.level(self.sql, items)
        for at, part in enumerate(parts):
            if not isinstance(part, Token):
                getter = self._compared_with(parts, at) or otherwise
                if getter is None or not self._typed(part, getter):
                    self._expression(part)
        self._levels(parts)
        self._titles(parts)
        self._day(parts)
        self._quantified(items)
        self._distinct(parts)

    def statement(self, end: int, *, lists: bool) -> Statement:
        """The text with all edits made."""
        text, moves = self.text(0, end)
        return Statement(text, self.sql, self.params, lists, tuple(self.hidden), moves)

    def text(self, start: int, end: int) -> tuple[str, tuple[tuple[int, int], ...]]:
        """A part of the text with its edits made, and where what stands now stood before."""
        out: list[str] = []
        moves: list[tuple[int, int]] = [(0, start)]
        at, length = start, 0
        for edit in sorted(self.edits, key=lambda edit: (edit.start, edit.end != edit.start, edit.order)):
            out += [self.sql[at : edit.start], edit.text]
            length += edit.start - at + len(edit.text)
            at = edit.end
            moves.append((length, at))
        out.append(self.sql[at:end])
        return "".join(out), tuple(moves)

    def _replace(self, start: int, end: int, text: str) -> None:
        self.edits.append(_Edit(start, end, text, 0))

    def _remove(self, start: int, end: int) -> None:
        self._replace(start, end, comments(self.sql, start, end))

    def _open(self, at: int, text: str) -> None:
        # What is wrapped later wraps more, so it opens further to the left; all closings at a place come before its openings.
        self.edits.append(_Edit(at, at, text, _OPENINGS - len(self.edits)))

    def behind(self, at: int, text: str) -> None:
        """Put *text* behind what ends there."""
        self.edits.append(_Edit(at, at, text, len(self.edits)))

    # --- expressions -------------------------------------------------------------------------------------------------------------

    def _expression(self, node: Expression, getter: str | None = None) -> None:
        """Rewrite one expression; *getter* reads the type that `->` has to give here, None for any."""
        match node:
            case Atom():
                self._atom(node)
            case Unary():
                self._expression(node.operand)
            case Cast():
                self._cast(node)
            case Binary() if self._is_status(node):
                self._open(node.start, "CAST(json_get_int(")
                self._replace(node.operator.start, node.operator.end, ", ")
                self.behind(node.end, ") AS varchar)")
            case Binary() if node.operator.word in _FUNCTIONS:
                self._expression(node.left, "json_get_json")
                self._expression(node.right)
                name = getter if getter is not None and node.operator.word == syntax.ARROW else _FUNCTIONS[node.operator.word]
                name += self._key_form(node.right)
                self._open(node.start, f"{name}(")
                self._replace(node.operator.start, node.operator.end, ", ")
                self.behind(node.end, ")")
            case Binary():
                for side in (node.left, node.right):
                    if node.operator.word != "||" or not self._typed(side, "json_as_text"):
                        self._expression(side)
                    self._parameter_type(side, node.operator.word)

    @staticmethod
    def _is_status(node: Binary) -> bool:
        """Whether it is the HTTP status of the attributes, which Logfire keeps as a number: what is none, it does not say."""
        key = node.right.token if isinstance(node.right, Atom) else None
        column = isinstance(node.left, Atom) and node.left.name == "attributes"
        return node.operator.word == syntax.TEXT_ARROW and column and key is not None and key.kind == Kind.STRING and key.text == semconv.HTTP_STATUS

    def _parameter_type(self, node: Expression, operator: str) -> None:
        """The engine knows no type of `$a || $b` before there are values."""
        token = node.token if isinstance(node, Atom) else None
        if token is not None and token.kind == Kind.PARAMETER:
            cast = parameters.cast(self.params[token.text[1:]], operator)
            if cast is not None:
                self.behind(token.end, f"::{cast}")

    def _atom(self, node: Atom) -> None:
        call = node.call or node.subscripted
        if call is not None:
            self._call(*call)
        for item in node.items if call is None else node.items[2:]:
            if isinstance(item, Group):
                self.rewrite(item.items)
                if item.opening.word == "CASE":
                    self._case(syntax.level(self.sql, item.items))

    def _call(self, name: Token, group: Group, getter: str | None = None) -> None:
        """Rewrite a call; *getter* is the function that reads the type that json_get has to give here."""
        given = arguments(group)
        if name.word in {"CAST", "TRY_CAST"} and self._cast_call(name, group):
            return
        self.rewrite(group.items, "json_as_text" if name.text.lower() in _OF_TEXT else None)
        function = _ALIASES.get(name.text.lower(), name.text.lower())
        if function in _WITH_PATHS and len(given) == 1 and given[0]:
            function = (getter or function) + _WHOLE
        elif function in _WITH_PATHS and len(given) > 1 and all(given):
            forms = [self._key_form(*syntax.level(self.sql, key)) for key in given[1:]]
            start = given[0][0].start
            for key, form in zip(given[1:-1], forms[:-1], strict=True):
                self._open(start, f"json_get_json{form}(")
                self.behind(key[-1].end, ")")
            function = (getter or function) + forms[-1]
        elif function == "json_from_scalar" and len(given) == 1 and given[0]:
            start, end = given[0][0].start, given[0][-1].end
            self._open(start, f"arrow_typeof({self._rewritten(given[0], start, end)}), CAST(")
            self.behind(end, " AS varchar)")
        elif function == "time_bucket":
            function = "date_bin"
            if given and len(given[0]) == 1:
                self._interval(given[0][0])
        elif function == "extract" and len(group.items) == 3 and _LENGTH.fullmatch(self._said(group.items[2])):
            self._interval(group.items[2])
        elif function == "unnest":
            self._lists(group.items)
        elif function == "level_num" and given:
            self._level_literal(given[0])
        if function != name.text.lower():
            self._replace(name.start, name.end, function)

    def _lists(self, items: tuple[Item, ...]) -> None:
        """The engine has to know what lists are of, before it has their values, where it makes rows of them."""
        for item in items:
            if isinstance(item, Group):
                self._lists(item.items)
            elif item.kind == Kind.PARAMETER and (kind := parameters.list_cast(self.params[item.text[1:]])) is not None:
                self.behind(item.end, f"::{kind}")

    def _said(self, item: Item) -> str:
        """The text that a literal or a parameter is; empty for anything else."""
        if not isinstance(item, Token) or item.kind not in {Kind.STRING, Kind.PARAMETER}:
            return ""
        value = item.text if item.kind == Kind.STRING else self.params[item.text[1:]]
        return value if isinstance(value, str) else ""

    def _interval(self, width: Item) -> None:
        """Let a text be a length of time, as Logfire's `$resolution` is."""
        if isinstance(width, Token) and width.kind == Kind.STRING:
            self._open(width.start, "INTERVAL ")
        elif isinstance(width, Token) and width.kind == Kind.PARAMETER:
            self.behind(width.end, "::interval")

    def _key_form(self, key: Expression | Token, *more: Expression | Token) -> str:
        """The suffix of the function for this kind of key."""
        token = key.token if isinstance(key, Atom) and not more else None
        if token is not None and token.kind == Kind.PARAMETER:
            value = self.params[token.text[1:]]
            return "" if isinstance(value, str | None) else "_at"
        if token is not None and token.kind in {Kind.STRING, Kind.OTHER_TEXT}:
            return ""
        return "_at" if token is not None and token.kind == Kind.NUMBER and token.text.isdecimal() else "_any"

    def _rewritten(self, items: tuple[Item, ...], start: int, end: int) -> str:
        """What these items become, as a text of its own."""
        other = _Rewriter(self.sql, self.params, self.levels)
        other.rewrite(items)
        return other.text(start, end)[0]

    def _level_literal(self, argument: tuple[Item, ...]) -> None:
        only = argument[0] if len(argument) == 1 else None
        if isinstance(only, Token) and only.kind == Kind.STRING and only.text not in levels.NAMES:
            place = position(self.sql, only.start)
            raise QueryError(f"There is no level of the name at {place}", expected=one_of(semconv.LEVELS), got=only.text)

    # --- types of JSON values ----------------------------------------------------------------------------------------------------

    def _cast(self, node: Cast) -> None:
        getter = _GETTER_OF.get(node.type_name)
        # A type that JSON does not have (a time, a date) is read from the value's text.
        if not self._typed(node.inner, getter or "json_as_text"):
            self._expression(node.inner)
        elif getter is not None:
            self._remove(node.operator.start, node.end)

    def _cast_call(self, name: Token, group: Group) -> bool:
        """`CAST(a -> k AS type)`; False when it casts something else."""
        split = next((i for i, item in enumerate(group.items) if isinstance(item, Token) and item.word == "AS"), 0)
        types = [item for item in group.items[split + 1 :] if isinstance(item, Token)]
        getter = _GETTER_OF.get(" ".join(token.text.lower() for token in types))
        parts = syntax.level(self.sql, group.items[:split])
        if not split or getter is None or len(parts) != 1 or isinstance(parts[0], Token):
            return False
        if not self._typed(parts[0], getter):
            return False
        self._replace(name.start, name.end, "")
        self._remove(group.items[split].start, group.closing.start)
        return True

    def _typed(self, node: Expression, getter: str) -> bool:
        """Let the `->` that *node* is, in brackets or not, be read by *getter*; False when it is none."""
        arrow = operands.arrow_in(self.sql, node)
        if isinstance(arrow, Binary):
            self._expression(arrow, getter)
        elif isinstance(arrow, Token):
            inner = operands.unwrapped(self.sql, node)
            assert isinstance(inner, Atom)
            assert inner.call is not None
            self._call(*inner.call, getter)
        return arrow is not None

    def _compared_with(self, parts: Parts, at: int) -> str | None:
        """The getter for a `->` that is compared with a literal: Logfire compares the value that has the literal's type."""
        following = parts[at + 1] if at + 1 < len(parts) else None
        if at == 0 and isinstance(following, Token) and following.word == "WHEN":
            return self._getter_for(parts[2]) if len(parts) > 2 else None
        before, after = operands.neighbours(parts, at)
        for operator, others in (after, before):
            words = operator.removeprefix("NOT ")
            if words in _ORDERINGS and others:
                self._refuse_unordered(parts[at], operator, others[0])
            if words in {*syntax.COMPARISONS, "IN", "BETWEEN"} and others:
                return self._getter_for(next(iter(operands.listed(self.sql, others[0])), None))
            if words in {"LIKE", "ILIKE"}:
                return "json_get_str"
        return None

    def _refuse_unordered(self, node: Expression | Token, operator: str, other: Expression) -> None:
        """Two JSON values have no order before it is known what they are; their texts have one, which would be wrong for numbers."""
        if not isinstance(node, Token) and all(isinstance(operands.arrow_in(self.sql, each), Binary) for each in (node, other)):
            raise QueryError(
                f"Two JSON values are compared by `{operator}` at {position(self.sql, min(node.start, other.start))}",
                expected="values whose type is known",
                hint="Cast both: (attributes->'key')::float",
            )

    def _getter_for(self, other: Expression | Token | None) -> str | None:
        """The JSON function that reads values of the type of a literal or of a parameter's value."""
        if isinstance(other, Token):
            return None
        token = other.token if isinstance(other, Atom) else None
        if token is not None and token.kind == Kind.PARAMETER:
            return parameters.getter(self.params[token.text[1:]])
        return operands.literal_getter(other)

    # --- level -------------------------------------------------------------------------------------------------------------------

    def _levels(self, parts: Parts) -> None:
        """Level names beside the column `level` become numbers."""
        for at, part in enumerate(parts):
            if not self._is_level(part):
                continue
            before, after = operands.neighbours(parts, at)
            for operator, others in (before, after):
                words = operator.removeprefix("NOT ")
                if words in {*syntax.COMPARISONS, *syntax.DISTINCT_FROM, "BETWEEN", "IN"}:
                    for other in others[: None if words == "BETWEEN" else 1]:
                        for each in operands.listed(self.sql, other):
                            self._level_number(each)

    def _case(self, parts: Parts) -> None:
        """`CASE level WHEN 'warn' …` compares too."""
        if parts and self._is_level(parts[0]):
            for when, value in itertools.pairwise(parts):
                if isinstance(when, Token) and when.word == "WHEN" and not isinstance(value, Token):
                    self._level_number(value)

    def _is_level(self, part: Expression | Token) -> bool:
        """Whether it is the column, in brackets or not, or the lowest or highest of it."""
        inner = None if isinstance(part, Token) else operands.unwrapped(self.sql, part)
        if not isinstance(inner, Atom):
            return False
        call = inner.call
        if call is not None and call[0].word in {"MIN", "MAX"} and len(given := arguments(call[1])) == 1 and given[0]:
            return self._is_level(Atom(given[0]))
        if self.levels is None:
            return inner.name == levels.COLUMN
        return inner.name is not None and inner.items[-1].start in self.levels

    def _level_number(self, node: Expression) -> None:
        inner = operands.unwrapped(self.sql, node)
        token = inner.token if isinstance(inner, Atom) else None
        if token is None:
            return
        parameter = token.kind == Kind.PARAMETER
        name = self.params[token.text[1:]] if parameter else token.text if token.kind == Kind.STRING else None
        if isinstance(name, list) and name and all(each in levels.NAMES for each in name):
            self._replace(token.start, token.end, self._number_parameter(token.text[1:], [levels.NAMES[str(each)] for each in name]))
            return
        if not isinstance(name, str) or name.lstrip("-").isdecimal():
            return
        if name not in levels.NAMES:
            place = position(self.sql, token.start)
            raise QueryError(f"There is no level of the name at {place}", expected=one_of(semconv.LEVELS), got=name)
        number = levels.NAMES[name]
        self._replace(token.start, token.end, self._number_parameter(token.text[1:], number) if parameter else str(number))

    def _number_parameter(self, name: str, number: int | list[int]) -> str:
        """A parameter of its own for the number of the level that *name* names, or the numbers; elsewhere it stays a text."""
        own = f"{name}_number"
        while own in self.params and self.params[own] != number:
            own += "_"
        self.params[own] = number
        return f"${own}"

    # --- day ---------------------------------------------------------------------------------------------------------------------

    def _day(self, parts: Parts) -> None:
        """`GROUP BY day` means a column that the SELECT itself has called `day`, not the internal one of the table.

        The engine would take the table's, and refuse what Logfire's documentation shows: `date_trunc('day', …) AS day … GROUP BY day`.
        """
        clause, number, chosen = "", 1, 0
        for at, part in enumerate(parts):
            before = parts[at - 1] if at else None
            if isinstance(part, Token):
                if part.word in _CLAUSES:
                    clause, number, chosen = (part.word, 1, 0) if part.word == "SELECT" else (part.word, number, chosen)
                number += clause == "SELECT" and part.word == ","
                chosen = -1 if clause == "SELECT" and part.word == "*" else chosen
            elif isinstance(part, Atom) and part.name == _DAY and len(part.items) == 1 and isinstance(before, Token):
                if clause == "SELECT" and before.word == "AS":
                    named = parts[at - 2]
                    internal = isinstance(named, Atom) and named.name == _DAY
                    chosen = chosen if chosen or internal else number
                elif clause == "BY" and chosen > 0 and self._groups(parts, at):
                    self._replace(part.start, part.end, str(chosen))

    @staticmethod
    def _groups(parts: Parts, at: int) -> bool:
        """Whether a place of a BY clause is one of GROUP BY."""
        words = [part.word for part in parts[:at] if isinstance(part, Token)]
        last = len(words) - 1 - words[::-1].index("BY")
        return words[last - 1 : last] == ["GROUP"]

    # --- order -------------------------------------------------------------------------------------------------------------------

    def order(self, parts: Parts) -> None:
        """`SELECT round(t.x) AS x … ORDER BY t.x` orders by the column, and names another column like it.

        The engine has no place for two of one name, and refuses what Logfire's documentation shows; so the one that orders gets a name of its
        own, and is taken out of the answer.
        """
        words = [part.word if isinstance(part, Token) else "" for part in parts]
        if words.count("SELECT") != 1 or "FROM" not in words or "ORDER" not in words or not _ONE_ROW_A_ROW.isdisjoint(words):
            return
        end_of_list, clause = words.index("FROM"), len(words) - 1 - words[::-1].index("ORDER")
        named = {part.name for before, part in itertools.pairwise(parts[:end_of_list]) if isinstance(part, Atom) and _is_word(before, "AS")}
        for part, before in zip(parts[clause + 2 :], parts[clause + 1 :], strict=False):
            qualified = isinstance(part, Atom) and len(part.items) > 1 and part.name in named
            if qualified and (_is_word(before, "BY") or _is_word(before, ",")):
                name = f"ordered_by_{len(self.hidden) + 1}"
                while name in self.sql:
                    name += "_"
                self.behind(parts[end_of_list - 1].end, f", {self.sql[part.start : part.end]} AS {name}")
                self._replace(part.start, part.end, name)
                self.hidden.append(name)

    # --- quantifiers -------------------------------------------------------------------------------------------------------------

    def _quantified(self, items: tuple[Item, ...]) -> None:
        """`x = ANY (SELECT x FROM …)`: the column inside gets a name of its own.

        The engine would take it for the one outside, which has the same name where both are of the same table, and find each row equal to itself.
        """
        for sign, word, group in zip(items, items[1:], items[2:], strict=False):
            compared = isinstance(sign, Token) and sign.word in syntax.COMPARISONS and isinstance(word, Token) and word.word in _QUANTIFIERS
            if not compared or not isinstance(group, Group):
                continue
            inside = list(itertools.takewhile(lambda item: not (isinstance(item, Token) and item.word == "FROM"), group.items))
            names = [item for item in inside if not (isinstance(item, Token) and item.word in _AFTER_SELECT)]
            column = Atom(tuple(names)) if names else None
            if column is not None and column.name is not None and len(names) in {1, 3} and _is_word(inside[0], "SELECT"):
                self.behind(column.end, " AS quantified")

    # --- distinct ----------------------------------------------------------------------------------------------------------------

    def _distinct(self, parts: Parts) -> None:
        """`a IS DISTINCT FROM b AND c` gets brackets: the engine's parser takes all of `b AND c` for what `a` is compared with."""
        words = [part.word if isinstance(part, Token) else "" for part in parts]
        for at in range(1, len(parts)):
            length = 3 if words[at : at + 3] == ["IS", "DISTINCT", "FROM"] else 4 if words[at : at + 4] == ["IS", "NOT", "DISTINCT", "FROM"] else 0
            after = at + length
            if length and words[after + 1 : after + 2] in (["AND"], ["OR"]) and words[at - 1] == words[after] == "":
                self._open(parts[at - 1].start, "(")
                self.behind(parts[after].end, ")")

    # --- titles ------------------------------------------------------------------------------------------------------------------

    def _titles(self, parts: Parts) -> None:
        """Columns that are only a JSON operator get its text as their title."""
        clause = ""
        for at, part in enumerate(parts):
            if isinstance(part, Token):
                clause = part.word if part.word in _CLAUSES else clause
                continue
            before = parts[at - 1] if at else None
            after = parts[at + 1] if at + 1 < len(parts) else None
            ends = after is None or (isinstance(after, Token) and (after.word == "," or after.word in _CLAUSES))
            if clause == "SELECT" and isinstance(before, Token) and before.word in _AFTER_SELECT and ends:
                title = operands.title(self.sql, part)
                if title is not None:
                    quoted = title.replace('"', '""')
                    self.behind(part.end, f' AS "{quoted}"')
