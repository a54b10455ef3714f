"""The prompt of `massgen-tracing sql`: statements over several lines, with history and completion.

It is prompt_toolkit's; what a statement answers, and how, is the caller's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from massgen_tracing.errors import MassGenTracingError, MissingPackageError
from massgen_tracing.store.sql import words

try:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexers.sql import PostgresLexer
except ImportError as error:
    raise MissingPackageError("The SQL prompt", "prompt_toolkit") from error

HELP: Final = r"""A statement may have several lines and ends with a semicolon; Tab completes columns, functions and attribute keys.
\d           the tables           \d records   the columns of one
\?           this help            \q           leave; so does Ctrl-D
Ctrl-C       stops a statement that takes too long, and forgets a line that is not sent"""

_LEAVING: Final = frozenset({r"\q", "exit", "quit"})
_NOT_TEXT: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD: Final = re.compile(r"\w+$")
_OPEN_TEXT: Final = re.compile(r"'([^']*)$")


def is_complete(typed: str) -> bool:
    """Whether Enter sends it: a statement that ends with a semicolon, a command, or nothing."""
    command = typed.strip()
    code = _NOT_TEXT.sub("", command).rstrip()
    return not command or command.startswith("\\") or command in _LEAVING or (code.endswith(";") and "'" not in code)


class Words(Completer):
    """Completes attribute keys inside of a text in quotes, and tables, columns, functions and keywords elsewhere."""

    def __init__(self) -> None:
        columns = {column: kind for table in words.TABLES.values() for column, kind in table.items()}
        self._outside = {
            **dict.fromkeys(words.KEYWORDS, ""),
            **dict.fromkeys(words.FUNCTIONS, "function"),
            **dict(sorted(columns.items())),
            **dict.fromkeys(words.TABLES, "table"),
        }

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002 - the library's signature
        before = document.text_before_cursor
        in_text = _OPEN_TEXT.search(_NOT_TEXT.sub("", before))
        if in_text is not None:
            yield from (Completion(key, -len(in_text[1])) for key in words.KEYS if key.startswith(in_text[1]))
            return
        word = _WORD.search(before)
        typed = word[0].lower() if word else ""
        if typed:
            for name, kind in self._outside.items():
                if name.lower().startswith(typed):
                    yield Completion(name, -len(typed), display_meta=kind)


def history() -> History:
    """The statements of earlier sessions, kept for their user only; of this one alone where no file can be written."""
    place = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "massgen_tracing"
    file = place / "sql_history"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))


def run(ask: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Read statements until the user leaves.

    Args:
        ask: answers one statement; its errors are said, and the prompt goes on.
        say: shows a line that is no answer.
    """
    session: PromptSession[str] = PromptSession(
        "sql> ",
        multiline=Condition(lambda: not is_complete(session.default_buffer.text)),
        prompt_continuation=lambda width, _number, _wrapped: "-> ".rjust(width),
        completer=Words(),
        history=history(),
        lexer=PygmentsLexer(PostgresLexer),
        complete_while_typing=False,
        enable_history_search=True,
    )
    say(r"Logfire's SQL over records, records_all and metrics. \? for help, \q to leave.")
    while True:
        try:
            typed = session.prompt().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if typed in _LEAVING:
            return
        try:
            if typed.startswith("\\"):
                _command(typed, say)
            elif typed:
                ask(typed)
        except MassGenTracingError as error:
            say(str(error))
        except KeyboardInterrupt:
            say("stopped")


def _command(typed: str, say: Callable[[str], None]) -> None:
    name, _, argument = typed.partition(" ")
    table = words.TABLES.get(argument.strip().rstrip(";"))
    if name == r"\d" and table is not None:
        widest = max(map(len, table))
        say("\n".join(f"{column.ljust(widest)}  {kind}" for column, kind in table.items()))
    elif name == r"\d":
        say("\n".join(f"{name}  {len(columns)} columns" for name, columns in words.TABLES.items()))
    elif name == r"\?":
        say(HELP)
    else:
        say(rf"There is no command {name}. \? lists them.")
