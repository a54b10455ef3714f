"""Any value becomes an attribute value: JSON-safe, bounded, scrubbed, never an error."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock, Mock

import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry import trace as otel_trace

from massgen_tracing.testing import capture
from massgen_tracing.trace.bounds import cut_clean
from massgen_tracing.trace.payload import MAX_BYTES, PREVIEW_CHARS, clean, clean_all, preview, to_json
from massgen_tracing.trace.scrub import MARK

KEY = "app.key"


class Colour(enum.Enum):
    """An enumeration with a value of each kind."""

    RED = "red"
    BOTH = ("red", 2)


class Number(enum.IntEnum):
    """An enumeration of integers."""

    ONE = 1


@dataclasses.dataclass
class Point:
    """A dataclass, one of whose fields is a secret."""

    x: int
    password: str = "hunter2"


class Model(pydantic.BaseModel):
    """A pydantic model, as openai's and mcp's messages are."""

    name: str
    when: dt.datetime
    inner: list[Colour] = []
    api_key: str = "abc"


class Raises:
    """Raises wherever it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)

    def __repr__(self) -> str:
        raise ValueError("repr")

    __str__ = __repr__

    def __hash__(self) -> int:
        raise ValueError("hash")

    def __eq__(self, other: object) -> bool:
        raise ValueError("eq")

    def __len__(self) -> int:
        raise ValueError("len")

    def __iter__(self) -> Iterator[Any]:
        raise ValueError("iter")

    def __contains__(self, item: object) -> bool:
        raise ValueError("contains")


class BadString(str):  # noqa: SLOT000 - as strangers write it
    """A text whose own methods raise."""

    def __str__(self) -> str:
        raise ValueError("str")

    def __repr__(self) -> str:
        raise ValueError("repr")


class Endless(Sequence[int]):
    """A collection that lies about its length and never ends."""

    def __len__(self) -> int:
        return 10**12

    def __getitem__(self, index: Any) -> Any:
        return index


class Dump:
    """Something with a `model_dump` that raises."""

    def model_dump(self) -> object:
        raise RuntimeError("no")


def recursive() -> list[Any]:
    """A list that contains itself, many times."""
    found: list[Any] = []
    found.extend([found] * 50)
    return found


def laughs() -> list[Any]:
    """Ten levels of a hundred references each to the one below."""
    found: list[Any] = ["ha"] * 100
    for _ in range(10):
        found = [found] * 100
    return found


def deep(levels: int) -> Any:
    """A list nested so many times."""
    found: Any = "bottom"
    for _ in range(levels):
        found = {"in": [found]}
    return found


def released() -> memoryview:
    """A view that can no longer be read."""
    view = memoryview(b"x")
    view.release()
    return view


STRANGE: dict[str, Any] = {
    "raises": Raises(),
    "in a list": [1, Raises(), "kept"],
    "bad string": BadString("kept"),
    "endless": Endless(),
    "dump raises": Dump(),
    "recursive": recursive(),
    "laughs": laughs(),
    "deep": deep(100_000),
    "deep json": "[" * 100_000 + "]" * 100_000,
    "json with lone surrogates": json.dumps({"a": "\ud800" * 60_000}),
    "json with huge numbers": json.dumps({"a": "x" * 70_000}).replace('"x', "1" * 5000 + ',"b":"x', 1),
    "json that is none": "{" * 70_000,
    "json with NaN": '{"n": NaN, "i": [Infinity, -Infinity], "long": "' + "x" * 70_000 + '"}',
    "huge int": 10**5000,
    "huge text": "x" * 5_000_000,
    "huge wide text": "語🌍" * 100_000,
    "huge nul text": "\x00" * 100_000,
    "huge bytes": b"\x00" * 5_000_000,
    "bytes in a list": [b"\xff" * 60_000] * 20,
    "memoryview": memoryview(b"\x01" * 300_000),
    "released memoryview": released(),
    "strided memoryview": memoryview(b"\x01\x02" * 200_000)[::2],
    "lone surrogates": "\ud800 text \udfff",
    "huge lone surrogates": "\udc80" * 200_000,
    "nan": math.nan,
    "infinite in a list": [math.inf, -math.inf, math.nan],
    "wide list": ["日" * 30] * 900,
    "many": list(range(200_000)),
    "many keys": {f"key {n}": n for n in range(200_000)},
    "long keys": {f"{n}" + "k" * 50_000: n for n in range(50)},
    "keys of any type": {1: "a", None: "b", (1, 2): "c", False: "d", b"x": "e", "\ud800": "f", Colour.RED: "g", BadString("h"): "h"},
    "set": {1, 2, 3},
    "deque": collections.deque([1, 2]),
    "range": range(10**9),
    "mapping": MappingProxyType({"a": 1}),
    "model": Model(name="n", when=dt.datetime(2026, 1, 2, 3, 4, 5), inner=[Colour.RED]),
    "model class": Model,
    "dataclass": Point(1),
    "dataclass class": Point,
    "enum": Colour.BOTH,
    "path": Path("/a/b"),
    "date": dt.date(2026, 1, 2),
    "time": dt.time(1, 2),
    "delta": dt.timedelta(seconds=3),
    "decimal": decimal.Decimal("1.5"),
    "uuid": uuid.UUID(int=7),
    "exception": ValueError("bad"),
    "group": ExceptionGroup("g", [ValueError("a")]),
    "function": deep,
    "lambda": lambda: None,
    "module": json,
    "class": dict,
    "thread": threading.current_thread(),
    "lock": threading.Lock(),
    "mock": Mock(),
    "magic mock": MagicMock(),
    "complex": 1 + 2j,
    "ellipsis": ...,
    "secrets nested": {"config": [{"password": "hunter2", "deep": {"api_key": "abc"}}]},
}


def is_safe(value: Any) -> bool:
    """Whether OTLP's AnyValue can hold it as it is."""
    if isinstance(value, dict):
        return all(type(key) is str and is_safe(key) and is_safe(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_safe, value))
    if type(value) is str:
        value.encode()
        return True
    return value is None or type(value) in (bool, float, bytes) or (type(value) is int and -(2**63) <= value < 2**63)


def size(value: Any) -> int:
    """Bytes of a value: of a text itself, of anything else as JSON."""
    return len((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)).encode())


# --- any value ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRANGE)
def test_any_value_is_accepted(name: str) -> None:
    """Whatever it is, it becomes something that OTLP can hold and that is at most 64 KiB; nothing is raised."""
    for attributes in (clean_all({KEY: STRANGE[name]}), clean_all({KEY: {"in": STRANGE[name]}}), clean_all({KEY: [STRANGE[name]]})):
        (value,) = attributes.values()
        assert is_safe(value)
        assert size(value) <= MAX_BYTES
    shown = preview(STRANGE[name])
    assert isinstance(shown, str)
    assert len(shown) <= PREVIEW_CHARS + 60
    full = clean(KEY, preview(STRANGE[name], full=True))
    assert isinstance(full, str)
    assert size(full) <= MAX_BYTES


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.uuids()
    | st.datetimes()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.booleans(), inner, max_size=5)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers() | st.text(), max_size=3)
    ),
    max_leaves=40,
)


@given(st.dictionaries(st.text() | st.integers(), anything, max_size=5), st.integers(600, 4000), st.integers(1, 100))
@example({"": (None, math.inf)}, 600, 34)
@settings(max_examples=200)
def test_any_attributes_are_safe_and_bounded(attributes: Mapping[Any, Any], limit: int, times: int) -> None:
    """For any attributes and any bound of bytes: safe, within the bound (a text of up to 128 characters is never cut), and None is left out."""
    cleaned = clean_all(attributes)
    assert is_safe(cleaned)
    for key, value in attributes.items():
        name = str(key).encode("utf-8", "replace").decode()
        assert (clean(name, value, limit) is None) == (value is None)
        for larger in (value, [value] * times, str(value) * times):
            bounded = clean(name, larger, limit)
            assert is_safe(bounded)
            assert bounded is None or size(bounded) <= limit
    assert len(cleaned) <= len(attributes)
    assert None not in cleaned.values()


@given(anything)
def test_json_text_of_anything_is_json(value: Any) -> None:
    """The JSON text of any value is JSON in the strict sense: without NaN and without lone surrogates."""

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    text = to_json(value)
    text.encode("utf-8", "surrogatepass")
    json.loads(text, parse_constant=refuse)


def test_what_is_small_is_kept_as_it_is() -> None:
    """Small values keep their types and their order."""
    value = {"s": "x", "i": 1, "f": 1.5, "b": True, "n": None, "l": [1, "a"], "d": {"y": 2}, "bytes": b"\x00"}
    assert clean(KEY, value) == value
    assert list(clean(KEY, value)) == list(value)  # type: ignore[arg-type]
    assert type(clean(KEY, True)) is bool
    assert clean(KEY, -(2**63)) == -(2**63)
    assert clean(KEY, 2**63) == str(2**63)
    assert clean(KEY, None) is None
    assert clean_all({"a": None, "b": 0, "c": ""}) == {"b": 0, "c": ""}


def test_what_objects_become() -> None:
    """Models and dataclasses become mappings, enums their values, dates ISO texts, exceptions their messages, the rest its repr."""
    assert clean(KEY, STRANGE["model"]) == {"name": "n", "when": "2026-01-02T03:04:05", "inner": ["red"], "api_key": MARK}
    assert clean(KEY, Point(1)) == {"x": 1, "password": MARK}
    assert clean(KEY, [Colour.BOTH, Number.ONE]) == [["red", 2], 1]
    assert clean(KEY, PurePosixPath("/a")) == "/a"
    assert clean(KEY, dt.date(2026, 1, 2)) == "2026-01-02"
    assert clean(KEY, ValueError("bad")) == "bad"
    assert clean(KEY, decimal.Decimal("1.5")) == "Decimal('1.5')"
    assert clean(KEY, collections.deque([1])) == [1]
    assert clean(KEY, BadString("kept")) == "kept"
    assert clean(KEY, [1, Raises(), "kept"]) == [1, "<unreadable Raises>", "kept"]


def test_scalars_of_numpys_kind_become_python_numbers() -> None:
    """What has `item()` and comes from numpy is a number, not its repr."""
    scalar = type("int64", (), {"__module__": "numpy", "item": lambda self: 7})()
    assert clean(KEY, scalar) == 7
    assert clean(KEY, [scalar]) == [7]


def test_generators_and_files_are_not_consumed(tmp_path: Path) -> None:
    """What can be read only once is named, not read."""
    stream = (number for number in range(3))
    values = iter([1, 2])
    (tmp_path / "text").write_text("line\n")
    with (tmp_path / "text").open() as file:
        cleaned = clean_all({"a": stream, "b": values, "c": file, "d": [stream], "e": map(str, values)})
        assert [str(value)[:5] for value in cleaned.values()] == ["<gene", "<list", "<_io.", "['<ge", "<map "]
        preview({"stream": stream})
        assert list(stream) == [0, 1, 2]
        assert list(values) == [1, 2]
        assert file.read() == "line\n"


def test_a_dict_that_another_thread_changes() -> None:
    """A dict that grows and shrinks while it is read is recorded as it was at some moment."""
    shared: dict[str, int] = {}
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shared[f"key {number % 50}"] = number
            shared.pop(f"key {(number + 25) % 50}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            assert isinstance(clean(KEY, {"in": shared}), dict)
            assert all(isinstance(item, dict) for item in clean(KEY, [shared]))  # type: ignore[union-attr]
            assert isinstance(clean_all(shared), dict)
    finally:
        stop.set()
        thread.join()


def test_only_exceptions_are_swallowed() -> None:
    """Ctrl-C in the middle of a stranger's `__repr__` stops the program."""

    class Interrupted:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean(KEY, Interrupted())


def test_keys_are_texts_of_a_bounded_length() -> None:
    """A key of any type becomes a text, without what cannot be encoded, and no longer than a name needs to be."""
    attributes: dict[Any, Any] = {5: "five", None: "none", "\ud800": "surrogate", "k" * 10_000: 1, ("a", 1): 2}
    cleaned = clean_all(attributes)
    assert [key[:10] for key in cleaned] == ["5", "None", "\ufffd", "k" * 10, "('a', 1)"]
    assert all(len(key) <= 512 for key in cleaned)
    assert clean(KEY, {Raises: 1, "ok": 2}) == {repr(Raises): 1, "ok": 2}
    alone: dict[Any, Any] = {None: "none"}
    assert clean_all(alone) == clean_all(alone) == {"None": "none"}


def test_attributes_are_bounded_in_number() -> None:
    """A span keeps the first 256 of a million attributes."""
    assert list(clean_all({f"k{number}": number for number in range(100_000)})) == [f"k{number}" for number in range(256)]


# --- what is cut says so -----------------------------------------------------------------------------------------------------------

NOTE = re.compile(r"… \[cut, (\d+) (characters|items|bytes)\]")


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 70_000, "🌍" * 30_000, "word " * 20_000])
def test_a_cut_text_says_how_long_it_was(text: str) -> None:
    """The beginning is kept, up to the bound, and the original length stands at the end."""
    kept = clean(KEY, text)
    assert isinstance(kept, str)
    assert MAX_BYTES - 100 < size(kept) <= MAX_BYTES
    note = NOTE.search(kept)
    assert note is not None
    assert note.group(1) == str(len(text))
    assert text.startswith(kept[: note.start()])


def test_cut_json_stays_json_and_says_how_long_its_parts_were() -> None:
    """JSON text keeps its shape: long strings and lists in it are cut, each with its own length."""
    original = {"messages": [{"role": "user", "content": "x" * 300_000}] * 3, "model": "m", "n": [*range(5000)], "f": 1.5, "none": None}
    kept = clean(KEY, json.dumps(original))
    assert isinstance(kept, str)
    assert MAX_BYTES // 4 < size(kept) <= MAX_BYTES
    found = json.loads(kept)
    assert found["model"] == "m"
    assert found["messages"][0]["role"] == "user"
    assert found["messages"][0]["content"].endswith("… [cut, 300000 characters]")
    assert found["n"][:3] == [0, 1, 2]
    assert found["n"][-1] == "… [cut, 5000 items]"


@given(st.recursive(st.text(max_size=300) | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=20), inner)))
def test_json_cut_anywhere_is_json(value: Any) -> None:
    """Whatever the JSON text and the bound, what is left of an object or a list is JSON and within the bound."""
    text = json.dumps([value, "x" * 500], ensure_ascii=False)
    kept = clean(KEY, text, 300)
    assert isinstance(kept, str)
    json.loads(kept)
    assert size(kept) <= 300


def test_a_structure_that_is_too_large_becomes_json_text_that_fits() -> None:
    """A nested value past the bound is recorded as the JSON text of what of it fits, with the lengths of what was cut."""
    kept = clean(KEY, {"rows": [{"text": "日本語" * 2000, "n": n} for n in range(100)]})
    assert isinstance(kept, str)
    assert size(kept) <= MAX_BYTES
    assert "[cut, 6000 characters]" in kept
    assert json.loads(kept)["rows"][0]["n"] == 0


def test_cut_bytes_say_how_many_they_were() -> None:
    """Bytes past the bound become a text with their beginning and their number."""
    kept = clean(KEY, b"\x00ab" * 100_000)
    assert isinstance(kept, str)
    assert kept.startswith(repr(b"\x00ab")[:-1])
    assert kept.endswith("… [cut, 300000 bytes]")


def test_cut_lists_say_how_many_items_they_had() -> None:
    """A long list keeps its first thousand items."""
    kept = clean(KEY, list(range(5000)))
    assert isinstance(kept, list)
    assert kept[-1] == "… [cut, 5000 items]"
    assert kept[:-1] == list(range(1000))


def test_a_preview_is_short_and_says_so() -> None:
    """A preview has 2000 characters of a text; of JSON it keeps the shape."""
    assert preview("short") == "short"
    assert preview({"a": 1}) == '{"a": 1}'
    assert preview(None) is None
    text = preview("x" * 5000)
    assert text == "x" * PREVIEW_CHARS + "… [cut, 5000 characters]"
    shown = preview([{"role": "user", "content": "y" * 5000}])
    assert isinstance(shown, str)
    assert len(shown) <= PREVIEW_CHARS
    (message,) = json.loads(shown)
    assert message["content"].endswith("… [cut, 5000 characters]")
    assert preview("x" * 5000, full=True) == "x" * 5000


MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": "word " * 3000}]}]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "key", ["gen_ai.input.messages", "input.value", "llm.input_messages.0.message.content", "request_data", "gen_ai.tool.call.result"]
)
def test_content_of_anybodys_spans_is_a_preview(key: str, full: bool) -> None:
    """Where full content was not asked for; by the attributes of OpenTelemetry, OpenInference and Logfire; JSON stays JSON, other keys stay whole."""
    text = json.dumps(MESSAGES)
    with capture(full_content=full) as captured:
        tracer = otel_trace.get_tracer("somebody's")
        with tracer.start_as_current_span("chat", attributes={key: text, "app.note": text}) as span:
            span.set_attribute("gen_ai.output.messages", text)
            span.add_event("gen_ai.choice", {key: text})
    [ended] = [span for span in captured.ended if span.name == "chat"]
    values, noted = dict(ended.attributes or {}), dict(ended.events[0].attributes or {})
    for found in map(str, (values[key], values["gen_ai.output.messages"], noted[key])):
        assert (found == text) == full
        assert len(found) <= (len(text) if full else PREVIEW_CHARS)
        assert json.loads(found)[0]["role"] == "user"
    assert values["app.note"] == text


def test_a_preview_is_not_cut_again() -> None:
    """Of what the facade has cut, the note still says how long it was; structures that are content are previews as well."""
    text = "word " * 3000
    with capture() as captured:
        with captured.tracer.llm_call("openai", model="m") as call:
            call.record_content(input=text, output=MESSAGES)
            call.set("gen_ai.system_instructions", MESSAGES * 3)
    values = {key: str(value) for key, value in (captured.find("llm.openai.stream").attributes or {}).items()}
    assert values["gen_ai.input.messages"].endswith("… [cut, 15000 characters]")
    assert json.loads(values["gen_ai.output.messages"])[0]["parts"][0]["content"].endswith("… [cut, 15000 characters]")
    assert len(values["gen_ai.system_instructions"]) <= PREVIEW_CHARS


def test_what_fits_is_not_cut() -> None:
    """Exactly at the limit nothing is cut."""
    assert cut_clean("abc", 3) == "abc"
    assert cut_clean("abcd", 3) == "abc… [cut, 4 characters]"
    assert clean(KEY, "x" * MAX_BYTES) == "x" * MAX_BYTES


# --- time --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_huge_values_take_bounded_time() -> None:
    """Texts of a hundred megabytes, of the kinds that could be slow, and structures without end are done within half a minute of processor time."""
    program = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
from massgen_tracing.trace.payload import clean, preview
from tests.trace.test_payload import laughs, recursive, deep
million = 10**8
texts = ["x" * million, "é" * million, '{"a":"' + "x" * million, "[" * million, " " * million]
for text in [*texts, '"\\\\"' * (million // 3), "pwd=abc " * (million // 8), "\\ud800" * (million // 4)]:
    assert len(clean("k", text).encode()) <= 65536
    assert len(preview(text)) < 2100
long = [[["x" * 10**6] * 1000] * 1000, [[f"{n} " + "word " * 2000 for n in range(1000)]] * 20, {str(n): "y" * 1000 for n in range(10**5)}]
for value in [laughs(), recursive(), deep(10**6), *long, b"x" * million]:
    clean("k", value)
    preview(value)
print("done")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root)
    assert done.stdout == "done\n"
