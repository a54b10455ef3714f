"""Drawings: what they show, that they fit, and that they are plain where no terminal is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from massgen_tracing.insight.summary import summarise
from massgen_tracing.insight.tree import trees
from massgen_tracing.store.roots.reader import Reader
from massgen_tracing.views import terminal, text
from tests.store import otlp

DRAWING = """\
demo  ended · 5.00s · 2 agents · trace 0af7651916cd43dd8448eb211c80319c
Which is the best?

coordination.session                                    ████████████████    5.00s
├── • Coordination event: coordination_started          ·
├── agent.agent_a.round_0                               ██████▍             2.00s  answer agent1.1  1,200→300 tok
│   ├── llm.openrouter.stream                           ████▊               1.50s  1,200→300 tok  $0.0125  gpt-5-nano
│   ├── • Tool execution: mcp__filesystem__write_file       ·
│   ├── mcp.filesystem.write_file                           ▋               200ms  FileNotFoundError: no such file: 'x'
│   └── • Agent answer: agent1.1                              ·
├── agent.agent_b.round_0                               █████████▋          3.00s  error  connection lost
│   └── llm.openrouter.stream                           █████████▌          2.96s  gpt-5-nano
├── agent.agent_b.round_1                                        ███▎       1.00s  vote → agent1.1  900→50 tok  $0.0025
│   ├── llm.openrouter.stream                                    ██▉        890ms  900→50 tok  $0.0025  gpt-5-nano
│   └── • Agent vote: agent_b -> agent1.1                           ·
├── • Coordination event: winner_selected                            ·
└── agent.agent_a.presentation                                       █▉     600ms  ★ winner  100→20 tok
    ├── • Winner selected: agent1.1                                  ·
    ├── llm.openrouter.stream                                        █▌     480ms  100→20 tok  gpt-5-nano
    └── • Final answer from agent_a                                    ·

★ agent_a (agent1.1) won · 4 model calls · 1 tool call · 2,200→370 tok · $0.0150 and 2 calls of unknown cost · 2 errors
"""


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def drawn(*spans: dict[str, Any], width: int = 120, file: io.StringIO | None = None, alive: bool = False) -> str:
    """The drawing of hand-written spans."""
    reader = Reader()
    reader.add_lines([otlp.line(span) for span in spans], source="test", alive=alive)
    records = reader.recording().spans
    out = file or io.StringIO()
    terminal.draw_run(terminal.console(out, width=width), trees(records), summarise(records), title="demo")
    return out.getvalue()


def test_a_run_is_drawn_whole() -> None:
    """Tree, time axis, outcomes, tokens, costs, errors, winner and totals, as people see them."""
    assert [line.rstrip() for line in drawn(*otlp.sample_spans()).splitlines()] == DRAWING.splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_drawings_fit_the_width(width: int) -> None:
    """No line of a drawing is wider than the terminal, however long names, errors and questions are."""
    spans = otlp.sample_spans()
    deep = [
        otlp.span(100 + n, f"agent.with-a-quite-long-name.{n}", parent=99 + n if n else 1, attributes={"massgen.error_message": "e" * 300})
        for n in range(12)
    ]
    for line in drawn(*spans, *deep, width=width).splitlines():
        assert cell_len(line) <= width


@pytest.mark.parametrize(("file", "no_color", "coloured"), [(io.StringIO, "", False), (Terminal, "", True), (Terminal, "1", False)])
def test_colour_only_where_it_is_shown(monkeypatch: pytest.MonkeyPatch, file: type[io.StringIO], no_color: str, coloured: bool) -> None:
    """A pipe and NO_COLOR get no escape sequences at all, a terminal does."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert ("\x1b[" in drawn(*otlp.sample_spans(), file=file())) is coloured


@pytest.mark.parametrize(("alive", "mark", "state"), [(True, "◌ open", "live"), (False, "✗ interrupted", "interrupted")])
def test_unfinished_spans_are_marked(alive: bool, mark: str, state: str) -> None:
    """A span without an end has no duration, a dotted bar and its mark."""
    shown = drawn(otlp.pending(1, "coordination.session"), otlp.event(2, "Coordination event: x", parent=1, at_ms=50), alive=alive)
    line = next(line for line in shown.splitlines() if line.startswith("coordination.session"))
    assert mark in line
    assert "╍" in line
    assert shown.startswith(f"demo  {state}")


def test_a_recorded_text_cannot_steer_the_terminal() -> None:
    """Escape sequences, line breaks and reordering marks in names, errors and questions are made harmless."""
    evil = "a\x1b[2J\rb\nc\u202ed"
    shown = drawn(
        otlp.span(1, "coordination.session", attributes={"massgen.task": evil, "massgen.error_message": evil, "massgen.winner": evil}),
        otlp.span(2, evil, parent=1),
    )
    assert "a�[2Jb↵c�d" in shown
    assert not {"\x1b", "\r", "\u202e"} & set(shown)


def table(columns: list[str], rows: list[list[str | None]], width: int) -> str:
    """A drawn table."""
    out = io.StringIO()
    terminal.draw_table(terminal.console(out, width=width), columns, rows, numeric=frozenset({"n"}))
    return out.getvalue()


def test_tables_show_null_and_align_numbers() -> None:
    """A NULL is told from an empty text; numbers stand to the right."""
    lines = [line.rstrip() for line in table(["name", "n"], [["a", "1"], [None, "10"], ["", None]], 80).splitlines()]
    assert lines == ["name     n", "──────────", "a        1", "NULL    10", "      NULL"]


def test_long_cells_are_folded_and_lose_nothing() -> None:
    """What does not fit goes on in the next line."""
    shown = table(["text"], [["y" * 150]], 80)
    assert shown.count("y") == 150
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize("width", [20, 60, 80, 100, 120])
def test_no_width_breaks_a_number_or_what_is_to_stay_whole(width: int) -> None:
    """Other cells are folded, or the rows become blocks; of a block's heading only the terminal breaks what is wider than itself."""
    name, number, prose = "trace_20261129_170917_215744_41197536019391963", "123,456,789", "ein Wort " * 8
    out = io.StringIO()
    rows = [[name, prose, number], ["short", prose, "1"]]
    terminal.draw_table(
        terminal.console(out, width=width), ["run", "said", "n"], rows, numeric=frozenset({"n"}), whole=frozenset({"run"}), heading="run"
    )
    lines = out.getvalue().splitlines()
    assert any(name in line for line in lines)
    assert any(number in line for line in lines)
    assert out.getvalue().count("Wort") == 16
    assert all(len(line) <= width for line in lines if name not in line)


def test_too_many_columns_are_drawn_as_blocks() -> None:
    """Where columns would be squeezed to nothing, each row is a block of name and value."""
    shown = table([f"column_{n}" for n in range(20)], [[str(n) for n in range(20)]], 80)
    assert "row 1" in shown
    assert "column_19  19" in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (0.0, "0.0ms"),
        (0.0042, "4.2ms"),
        (0.25, "250ms"),
        (4.206, "4.21s"),
        (59.999, "1m00s"),
        (125, "2m05s"),
        (3720, "1h02m"),
        (float("nan"), ""),
        (float("inf"), ""),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    """About three digits, in the unit that suits."""
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, ""),
        (0.0, "$0"),
        (1.5, "$1.5000"),
        (0.0125, "$0.0125"),
        (0.000012, "$0.000012"),
        (1234.5, "$1,234.5000"),
        (float("nan"), ""),
        (float("inf"), ""),
    ],
)
def test_costs(usd: float | None, shown: str) -> None:
    """Four decimals, more where the cost is tiny; unknown is empty, not 0."""
    assert text.cost(usd) == shown


@pytest.mark.parametrize("value", [5e-324, 1.7e308, -1.7e308, -0.0, float("-inf")])
def test_no_number_stops_a_view(value: float) -> None:
    """However small or large it is."""
    assert text.cost(value).removeprefix("$").strip("0.,123456789") == ""
    assert isinstance(text.duration(value), str)


@pytest.mark.parametrize(
    ("sent", "received", "shown"),
    [(None, None, ""), (5, None, "5→? tok"), (1200, 300, "1,200→300 tok"), (123_456, 2_500_000, "123.5k→2.50M tok"), (0, 0, "0→0 tok")],
)
def test_tokens(sent: int | None, received: int | None, shown: str) -> None:
    """Both sides; one that nobody reported is a question mark."""
    assert text.tokens(sent, received) == shown


def test_the_width_of_a_pipe_is_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has no width: 120 columns, unless COLUMNS says another number."""
    monkeypatch.delenv("COLUMNS", raising=False)
    with (tmp_path / "x").open("w") as file:
        assert terminal.console(file).width == 120
        monkeypatch.setenv("COLUMNS", "99")
        assert terminal.console(file).width == 99


@pytest.mark.parametrize("width", [60, 80])
def test_long_names_of_agents_keep_their_rounds_and_outcomes(width: int) -> None:
    """Agents whose long names differ at the end only are told apart, with number and outcome of each round; every line fits."""
    ids = [f"researcher_with_a_very_long_name_and_a_number_{number}" for number in (1, 2)]
    session = otlp.span(1, "coordination.session", end_ms=5000)
    rounds = [
        otlp.span(2 + place, f"agent.{name}.round_12", parent=1, end_ms=1000, attributes={"massgen.agent_id": name, "massgen.outcome": "answer"})
        for place, name in enumerate(ids)
    ]
    lines = drawn(session, *rounds, width=width).splitlines()
    found = [line for line in lines if ".round_12" in line]
    assert [line.partition(".round_12")[0][-2:] for line in found] == ["_1", "_2"]
    assert all("answer" in line for line in found)
    assert all(cell_len(line) <= width for line in lines)


def test_a_cost_that_leaves_calls_out_says_so() -> None:
    """At the round that made them; the other round's is whole, and one without any known cost has none."""
    llm = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5}
    rounds = [
        otlp.span(
            number,
            f"agent.a.round_{number}",
            end_ms=1000,
            attributes={"massgen.agent_id": "a", **({"massgen.usage.cost": 0.5} if number < 3 else {})},
        )
        for number in (1, 2, 3)
    ]
    calls = [
        otlp.span(11, "llm.x", parent=1, end_ms=10, attributes={**llm, "operation.cost": 0.5}),
        otlp.span(12, "llm.x", parent=1, end_ms=10, attributes=llm),
        otlp.span(13, "llm.x", parent=2, end_ms=10, attributes={**llm, "operation.cost": 0.5}),
        otlp.span(14, "llm.x", parent=3, end_ms=10, attributes=llm),
    ]
    lines = [line for line in drawn(*rounds, *calls).splitlines() if "agent.a" in line]
    assert ["≥$0.5000" in line for line in lines] == [True, False, False]
    assert ["$" in line for line in lines] == [True, True, False]


@pytest.mark.parametrize(("width", "shown"), [(120, otlp.TRACE), (60, otlp.TRACE[:8])])
def test_the_trace_is_named_as_far_as_the_width_goes(width: int, shown: str) -> None:
    """By its id, or by the first digits, which find it too; the headline is one line."""
    first = drawn(*otlp.sample_spans(), width=width).splitlines()[0]
    assert first.endswith(f"trace {shown}")
