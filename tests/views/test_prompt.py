"""The SQL prompt, typed into through a real terminal."""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from massgen_tracing import errors, store
from massgen_tracing.store.sql import functions, words
from massgen_tracing.views import prompt
from massgen_tracing.views.cli import main
from massgen_tracing.views.progress import Progress
from tests.store import otlp

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])")
_START = """import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "massgen_tracing.views.cli", *sys.argv[1:]])"""
_PATIENCE = 600.0
"""Seconds after which a test gives up; nothing is judged by it."""

UP, TAB, ENTER, CTRL_C, CTRL_D = "\x1b[A", "\t", "\r", "\x03", "\x04"


class Terminal:
    """A terminal in which `massgen-tracing` runs."""

    def __init__(self, *argv: str, home: Path) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        environ = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(home), "PROMPT_TOOLKIT_NO_CPR": "1"}
        environ.pop("COLUMNS", None)
        self.process = subprocess.Popen([sys.executable, "-c", _START, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
        os.close(theirs)
        self._seen = ""

    def until(self, text: str) -> str:
        """What it shows up to and with *text*."""
        deadline = time.monotonic() + _PATIENCE
        while text not in self._seen:
            if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{text!r} did not come; there was {self._seen!r}")
            try:
                said = os.read(self._ours, 65536)
            except OSError:  # the other side is closed
                said = b""
            if not said:
                raise AssertionError(f"ended before {text!r}; there was {self._seen!r}")
            self._seen = _ESCAPES.sub("", self._seen + said.decode("utf-8", "replace"))
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Terminals with the prompt over the sample run, all of one user."""
    otlp.write_run(tmp_path / "root")
    made: list[Terminal] = []

    def make(*argv: str) -> Terminal:
        made.append(Terminal("sql", "--root", str(tmp_path / "root"), *argv, home=tmp_path / "state"))
        made[-1].until("to leave.")
        made[-1].until("sql>")
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_statements_errors_and_commands_in_one_session(terminal: Open) -> None:
    """A statement over two lines is answered; a wrong one is said and the prompt goes on; commands list tables and columns; Ctrl-D leaves."""
    screen = terminal("--param", "agent=agent_b")
    screen.type(f"SELECT count(*) AS spans{ENTER}")
    screen.until("->")
    screen.type(f"FROM records; -- all{ENTER}")
    shown = screen.until("(1 row)")
    assert re.search(r"spans\s+─+\s+17", shown)
    screen.type(f"SELECT nope FROM records;{ENTER}")
    screen.until("No field named nope. (line 1, column 8)")
    screen.type(f"SELECT count(*) AS n FROM records WHERE attributes->>'massgen.agent_id' = $agent;{ENTER}")
    assert re.search(r"n\s+─+\s+5", screen.until("(1 row)"))
    screen.type(f"\\d{ENTER}")
    screen.until("metrics  42 columns")
    screen.type(f"\\d records{ENTER}")
    screen.until("otel_scope_name")
    screen.type(f"\\x{ENTER}")
    screen.until(r"There is no command \x.")
    screen.type(f"\\?{ENTER}")
    screen.until("ends with a semicolon")
    screen.until("sql>")
    screen.type(CTRL_D)
    assert screen.process.wait(_PATIENCE) == 0


def test_tab_completes_columns_and_keys(terminal: Open) -> None:
    """A column by its first letters, a key of an attribute inside of quotes."""
    screen = terminal()
    screen.type(f"SELECT exception_ty{TAB}")
    screen.until("SELECT exception_type")
    screen.type(f" AS e, attributes->>'massgen.winner_l{TAB}")
    screen.until("massgen.winner_label")
    screen.type(f"' AS w FROM records WHERE parent_span_id IS NULL;{ENTER}")
    assert re.search(r"NULL\s+agent1\.1", screen.until("(1 row)"))
    screen.type(f"\\q{ENTER}")
    assert screen.process.wait(_PATIENCE) == 0


def test_earlier_statements_come_back(terminal: Open, tmp_path: Path) -> None:
    """What was sent in one session is found with the arrow in the next; nobody else may read it."""
    first = terminal()
    first.type(f"SELECT 6 * 7 AS answer;{ENTER}")
    first.until("(1 row)")
    first.type(f"exit{ENTER}")
    assert first.process.wait(_PATIENCE) == 0
    second = terminal()
    second.type(UP + UP)
    second.until("SELECT 6 * 7 AS answer;")
    second.type(ENTER)
    assert "42" in second.until("(1 row)")
    file = tmp_path / "state" / "massgen_tracing" / "sql_history"
    assert file.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_stops_a_statement_and_not_the_prompt(terminal: Open) -> None:
    """A long statement says so, is stopped, and the next one is answered; on an empty line Ctrl-C does nothing."""
    screen = terminal()
    screen.type(f"SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b;{ENTER}")
    screen.until("still asking, ")
    screen.type(CTRL_C)
    screen.until("stopped")
    screen.until("sql>")
    screen.type("SELECT half" + CTRL_C)
    screen.until("sql>")
    screen.type(f"SELECT 1 + 1 AS two;{ENTER}")
    assert re.search(r"two\s+─+\s+2", screen.until("(1 row)"))


def test_the_prompt_without_its_library_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where prompt_toolkit is not installed, how to install it is said."""

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.delitem(sys.modules, "massgen_tracing.views.prompt")
    monkeypatch.delattr("massgen_tracing.views.prompt")
    assert main(["sql", "--root", str(tmp_path)]) == 1
    assert "Install it with: pip install prompt_toolkit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "complete"),
    [
        ("", True),
        ("SELECT 1", False),
        ("SELECT 1;", True),
        ("SELECT 1; ", True),
        ("SELECT 1 -- ;", False),
        ("SELECT 1; -- done", True),
        ("SELECT ';", False),
        ("SELECT ';';", True),
        ("SELECT 'it''s;", False),
        ("SELECT /* ; */ 1", False),
        (r"\d", True),
        ("quit", True),
    ],
)
def test_a_semicolon_outside_of_texts_ends_a_statement(typed: str, complete: bool) -> None:
    """Not one in a text or in a comment."""
    assert prompt.is_complete(typed) is complete


def completions(typed: str) -> list[str]:
    """What is offered after some text."""
    return [found.text for found in prompt.Words().get_completions(Document(typed), CompleteEvent())]


def test_what_is_offered_depends_on_quotes() -> None:
    """Keys inside of a text, everything else outside; nothing before a letter is typed."""
    assert completions("SELECT attributes->>'gen_ai.usage.in") == ["gen_ai.usage.input_tokens"]
    assert completions("SELECT 'it''s', attributes->>'operation.") == ["operation.cost"]
    assert completions("select json_get_i") == ["json_get_int"]
    assert completions("SELECT rec") == ["recorded_timestamp", "records", "records_all"]
    assert "SELECT" in completions("sel")
    assert completions("SELECT ") == []


def test_a_user_without_a_home_has_a_history_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file can be written the prompt works all the same."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert type(prompt.history()).__name__ == "InMemoryHistory"


@pytest.mark.parametrize("name", sorted(set(words.FUNCTIONS) - {"extract"}))
def test_every_function_that_is_offered_is_known(tmp_path: Path, name: str) -> None:
    """The engine may refuse its arguments, but not its name."""
    said = []
    for form in (f"{name}(span_name)", f"{name}(span_name) OVER ()"):
        try:
            store.query(f"SELECT {form} FROM records", tmp_path)
            said.append("")
        except errors.QueryError as error:
            said.append(str(error))
    assert not all("Invalid function" in each for each in said), said


def test_every_function_that_logfire_adds_is_offered() -> None:
    """And every table, and the keys that are documented."""
    assert {*functions.JSON_FUNCTIONS, "json_contains", "level_num", "level_name", "time_bucket"} <= set(words.FUNCTIONS)
    assert set(words.TABLES) == {"records", "records_all", "metrics"}
    assert {"massgen.agent_id", "gen_ai.usage.input_tokens", "operation.cost"} <= set(words.KEYS)


class _Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def test_progress_is_for_people_who_wait() -> None:
    """Nothing for a short query or in a pipe; a line for a long one, gone when the answer is there."""
    short, long, pipe = _Screen(terminal=True), _Screen(terminal=True), _Screen(terminal=False)
    for screen, seconds in ((short, 0.9), (long, 3.2), (pipe, 3.2)):
        with Progress(screen) as progress:
            progress(seconds)
    assert (short.getvalue(), pipe.getvalue()) == ("", "")
    assert long.getvalue() == "\r\x1b[Kstill asking, 3.20s; Ctrl-C stops it\r\x1b[K"
