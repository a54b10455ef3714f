"""Logfire's SQL as DataFusion understands it.

Logfire runs DataFusion with additions; this puts each addition into words that plain DataFusion has, in its place, and leaves every other
byte of the statement as it stands:

- `a -> k`, `a ->> k`, `a ? k`         become json_get, json_as_text, json_contains
- `(a -> k)::int` and the like, and `a -> k` compared with a literal, become the json_get_... of that type
- json functions with several keys     become nested calls with one key
- `level >= 'warn'`                    gets the level's number
- `time_bucket('5 minutes', t)`        becomes date_bin

A select item that is only a JSON operator gets the title that Logfire gives it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from massgen_tracing import semconv
from massgen_tracing.errors import QueryError, one_of
from massgen_tracing.store import Value, operands, parameters, syntax
from massgen_tracing.store.syntax import Atom, Binary, Cast, Expression, Parts, Unary
from massgen_tracing.store.tokens import Group, Item, Kind, Token, arguments, group_brackets, position, tokenize

_FUNCTIONS: Final = {syntax.ARROW: "json_get", syntax.TEXT_ARROW: "json_as_text", syntax.CONTAINS: "json_contains"}

_GETTERS: Final = {
    "json_get_int": "int integer int2 int4 int8 smallint bigint",
    "json_get_float": "float float4 float8 real double double_precision numeric decimal",
    "json_get_bool": "bool boolean",
    "json_get_str": "text varchar char string",
}
_GETTER_OF: Final = {name.replace("_", " "): getter for getter, names in _GETTERS.items() for name in names.split()}
"""Type name to the function that reads that type; Logfire ignores precision and scale here, and so do we."""

_PATHS: Final = frozenset(
    {
        "json_get",
        "json_get_json",
        "json_as_text",
        "json_get_str",
        "json_get_int",
        "json_get_float",
        "json_get_bool",
        "json_get_array",
        "json_contains",
        "json_length",
        "json_object_keys",
    }
)
_KEYLESS: Final = {"json_length": "json_length_of_whole", "json_object_keys": "json_object_keys_of_whole"}
_UNSUPPORTED: Final = frozenset({"json_from_scalar", "json_union_to_text", "json_get_scalar"})

_AFTER_SELECT: Final = frozenset({"SELECT", "DISTINCT", "ALL", ","})
_CLAUSES: Final = frozenset({"SELECT", "FROM", "WHERE", "BY", "HAVING", "LIMIT", "WINDOW", "UNION", "EXCEPT", "INTERSECT", "WITH"})


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for the engine, and the way back to what was written.

    Attributes:
        text: what the engine gets.
        written: what was written.
        params: the values of its `$name` places.
    """

    text: str
    written: str
    params: dict[str, Value]
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
        found = next((token for token in tokens if token.is_name and token.text.lower() == name.lower()), None)
        return None if found is None else position(self.written, found.start)


def translate(sql: str, params: Mapping[str, Value] | None = None) -> Statement:
    """One Logfire query as DataFusion understands it, with the values of its parameters.

    Raises:
        QueryError: if it is not one SELECT, asks for something that is not supported, or lacks a parameter's value.
    """
    values = dict(params or {})
    tokens = tokenize(sql)
    while tokens and tokens[-1].word == ";":
        tokens.pop()
    _check_query(sql, tokens)
    parameters.check(sql, [token for token in tokens if token.kind == Kind.PARAMETER], values)
    rewriter = _Rewriter(sql, values)
    try:
        rewriter.rewrite(group_brackets(sql, tokens), depth=0)
    except RecursionError:
        raise QueryError("The statement is nested too deep", hint="Take it apart with WITH") from None
    return rewriter.statement(tokens[-1].end)


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
    if first.word not in operands.QUERY_WORDS:
        raise QueryError(
            f"`{first.text}` at {position(sql, first.start)} is refused",
            expected="one SELECT (or WITH … SELECT); recordings can only be read",
        )


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
    edits: list[_Edit] = field(default_factory=list)
    renamed_level_depth: int | None = None
    """How deep `level` is given to something else (`… AS level`); outside of there the name no longer means the column."""

    def rewrite(self, items: tuple[Item, ...], depth: int) -> None:
        """Rewrite one bracket level and those inside it; inner ones first, for what they name is seen by the outer ones."""
        parts = syntax.level(self.sql, items)
        ordered = sorted(range(len(parts)), key=lambda at: not operands.is_query_in_brackets(parts[at]))
        for at in ordered:
            part = parts[at]
            if not isinstance(part, Token):
                getter = self._compared_with(parts, at)
                if getter is None or not self._typed(part, getter, depth):
                    self._expression(part, depth)
        self._levels(parts, depth)
        self._titles(parts)

    def statement(self, end: int) -> Statement:
        """The text with all edits made."""
        out: list[str] = []
        moves: list[tuple[int, int]] = [(0, 0)]
        at = length = 0
        for edit in sorted(self.edits, key=lambda edit: (edit.start, edit.end != edit.start, edit.order)):
            out += [self.sql[at : edit.start], edit.text]
            length += edit.start - at + len(edit.text)
            at = edit.end
            moves.append((length, at))
        out.append(self.sql[at:end])
        return Statement("".join(out), self.sql, self.params, tuple(moves))

    def _replace(self, start: int, end: int, text: str) -> None:
        self.edits.append(_Edit(start, end, text, 0))

    def _open(self, at: int, text: str) -> None:
        # What is wrapped later wraps more, so it opens further to the left; all closings at a place come before its openings.
        self.edits.append(_Edit(at, at, text, _OPENINGS - len(self.edits)))

    def _close(self, at: int, text: str) -> None:
        self.edits.append(_Edit(at, at, text, len(self.edits)))

    # --- expressions -------------------------------------------------------------------------------------------------------------

    def _expression(self, node: Expression, depth: int, getter: str | None = None) -> None:
        """Rewrite one expression; *getter* reads the type that `->` has to give here, None for any."""
        match node:
            case Atom():
                self._atom(node, depth)
            case Unary():
                self._expression(node.operand, depth)
            case Cast():
                self._cast(node, depth)
            case Binary() if node.operator.word in _FUNCTIONS:
                self._expression(node.left, depth, "json_get_json")
                self._expression(node.right, depth)
                name = getter if getter is not None and node.operator.word == syntax.ARROW else _FUNCTIONS[node.operator.word]
                self._open(node.start, f"{name}(")
                self._replace(node.operator.start, node.operator.end, ", ")
                self._close(node.end, ")")
            case Binary():
                for side in (node.left, node.right):
                    self._expression(side, depth)
                    self._parameter_type(side, node.operator.word)

    def _parameter_type(self, node: Expression, operator: str) -> None:
        """The engine knows no type of `$a || $b` before there are values."""
        token = node.token if isinstance(node, Atom) else None
        if token is not None and token.kind == Kind.PARAMETER:
            cast = parameters.cast(self.params[token.text[1:]], operator)
            if cast is not None:
                self._close(token.end, f"::{cast}")

    def _atom(self, node: Atom, depth: int) -> None:
        call = node.call
        if call is not None:
            self._call(*call, depth)
            return
        for item in node.items:
            if isinstance(item, Group):
                self.rewrite(item.items, depth + 1)

    def _call(self, name: Token, group: Group, depth: int) -> None:
        function = name.text.lower()
        given = arguments(group)
        if function in {"cast", "try_cast"} and self._cast_call(name, group, depth):
            return
        self.rewrite(group.items, depth + 1)
        if function in _UNSUPPORTED:
            raise QueryError(
                f"The function `{function}` at {position(self.sql, name.start)} is not supported here",
                expected=one_of(sorted(_PATHS)),
            )
        if function in _KEYLESS and len(given) == 1:
            self._replace(name.start, name.end, _KEYLESS[function])
        elif function in _PATHS and len(given) > 2 and all(given):
            start = given[0][0].start
            for key in given[1:-1]:
                self._open(start, "json_get_json(")
                self._close(key[-1].end, ")")
        elif function == "time_bucket":
            self._replace(name.start, name.end, "date_bin")
            width = given[0][0] if given and len(given[0]) == 1 else None
            if isinstance(width, Token) and width.kind == Kind.STRING:
                self._open(width.start, "INTERVAL ")
            elif isinstance(width, Token) and width.kind == Kind.PARAMETER:
                self._close(width.end, "::interval")
        elif function == "level_num" and given:
            self._level_literal(given[0])

    def _level_literal(self, argument: tuple[Item, ...]) -> None:
        only = argument[0] if len(argument) == 1 else None
        if isinstance(only, Token) and only.kind == Kind.STRING and only.text not in semconv.LEVELS:
            place = position(self.sql, only.start)
            raise QueryError(f"There is no level of the name at {place}", expected=one_of(semconv.LEVELS), got=only.text)

    # --- types of JSON values ----------------------------------------------------------------------------------------------------

    def _cast(self, node: Cast, depth: int) -> None:
        getter = _GETTER_OF.get(node.type_name)
        # A type that JSON does not have (a time, a date) is read from the value's text.
        if not self._typed(node.inner, getter or "json_as_text", depth):
            self._expression(node.inner, depth)
        elif getter is not None:
            self._replace(node.operator.start, node.end, "")

    def _cast_call(self, name: Token, group: Group, depth: int) -> bool:
        """`CAST(a -> k AS type)`; False when it casts something else."""
        split = next((i for i, item in enumerate(group.items) if isinstance(item, Token) and item.word == "AS"), 0)
        types = [item for item in group.items[split + 1 :] if isinstance(item, Token)]
        getter = _GETTER_OF.get(" ".join(token.text.lower() for token in types))
        parts = syntax.level(self.sql, group.items[:split])
        if not split or getter is None or len(parts) != 1 or isinstance(parts[0], Token):
            return False
        if not self._typed(parts[0], getter, depth):
            return False
        self._replace(name.start, name.end, "")
        self._replace(group.items[split].start, group.closing.start, "")
        return True

    def _typed(self, node: Expression, getter: str, depth: int) -> bool:
        """Let the `->` that *node* is, in brackets or not, be read by *getter*; False when it is none."""
        arrow = operands.arrow_in(self.sql, node)
        if isinstance(arrow, Binary):
            self._expression(arrow, depth, getter)
        elif isinstance(arrow, Token):
            # A call of json_get itself: its name becomes the getter's.
            call = operands.unwrapped(self.sql, node)
            assert isinstance(call, Atom)
            self._atom(call, depth)
            self._replace(arrow.start, arrow.end, getter)
        return arrow is not None

    def _compared_with(self, parts: Parts, at: int) -> str | None:
        """The getter for a `->` that is compared with a literal: Logfire compares the value that has the literal's type."""
        before, after = operands.neighbours(parts, at)
        for operator, others in (after, before):
            words = operator.removeprefix("NOT ")
            if words in syntax.COMPARISONS and others:
                return self._getter_for(others[0])
            if words in {"LIKE", "ILIKE"}:
                return "json_get_str"
            if words in {"IN", "BETWEEN"} and others:
                return self._getter_for(operands.first_of_list(self.sql, others[0]))
        return None

    def _getter_for(self, other: Expression | None) -> str | None:
        """The JSON function that reads values of the type of a literal or of a parameter's value."""
        token = other.token if isinstance(other, Atom) else None
        if token is not None and token.kind == Kind.PARAMETER:
            return parameters.getter(self.params[token.text[1:]])
        return operands.literal_getter(other)

    # --- level -------------------------------------------------------------------------------------------------------------------

    def _levels(self, parts: Parts, depth: int) -> None:
        """Level names beside the column `level` become numbers."""
        for at, part in enumerate(parts):
            if self._names_level(parts, at):
                self.renamed_level_depth = depth
            if not (isinstance(part, Atom) and part.name == "level") or (self.renamed_level_depth or 0) > depth:
                continue
            before, after = operands.neighbours(parts, at)
            for operator, others in (before, after):
                words = operator.removeprefix("NOT ")
                if words in syntax.COMPARISONS and others:
                    self._level_number(others[0])
                elif words == "BETWEEN":
                    for other in others:
                        self._level_number(other)
                elif words == "IN" and others and isinstance(others[0], Atom) and isinstance(others[0].items[0], Group):
                    for argument in arguments(others[0].items[0]):
                        if len(argument) == 1:
                            self._level_number(Atom(argument))

    def _names_level(self, parts: Parts, at: int) -> bool:
        part = parts[at]
        if not (isinstance(part, Atom) and part.name == "level") or at < 2:
            return False
        border, named = parts[at - 1], parts[at - 2]
        return isinstance(border, Token) and border.word == "AS" and not (isinstance(named, Atom) and named.name == "level")

    def _level_number(self, node: Expression) -> None:
        token = node.token if isinstance(node, Atom) else None
        if token is None:
            return
        parameter = token.kind == Kind.PARAMETER
        name = self.params[token.text[1:]] if parameter else token.text if token.kind == Kind.STRING else None
        if not isinstance(name, str) or name.lstrip("-").isdecimal():
            return
        if name not in semconv.LEVELS:
            place = position(self.sql, token.start)
            raise QueryError(f"There is no level of the name at {place}", expected=one_of(semconv.LEVELS), got=name)
        number = semconv.LEVELS[name]
        self._replace(token.start, token.end, self._number_parameter(token.text[1:], number) if parameter else str(number))

    def _number_parameter(self, name: str, number: int) -> str:
        """A parameter of its own for the number of the level that *name* names; elsewhere it stays a text."""
        own = f"{name}_number"
        while own in self.params and self.params[own] != number:
            own += "_"
        self.params[own] = number
        return f"${own}"

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
                    self._close(part.end, f' AS "{quoted}"')
