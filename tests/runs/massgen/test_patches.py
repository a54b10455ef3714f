"""Patches: each function once, when its module is imported, and undone to the same object."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from massgen_tracing.instrumentation import MassGenInstrumentor
from massgen_tracing.runs.massgen.patches import Patches, Point

SOURCE = '''
class Base:
    def inherited(self):
        return "inherited"

class Worker(Base):
    def work(self, n):
        """Works."""
        return n

    @staticmethod
    def still():
        return "still"

def helper():
    return "helped"
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that nobody has imported."""
    name = "a_module_to_be_patched"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def _twice(original: Callable[..., Any], *args: Any) -> Any:
    return original(*args), original(*args)


def _points(name: str, *paths: str) -> list[Point]:
    return [Point(name, path, _twice, "what it gives") for path in paths]


def test_a_module_is_patched_when_it_is_imported_and_not_before(module: str) -> None:
    """Nothing is imported for the sake of patching it; the module keeps its own loader and name."""
    patches = Patches(_points(module, "Worker.work", "helper"), lambda point: pytest.fail(point.path))
    patches.apply()
    assert module not in sys.modules
    loaded = importlib.import_module(module)
    try:
        assert loaded.Worker().work(3) == (3, 3)
        assert loaded.helper() == ("helped", "helped")
        assert (loaded.Worker.work.__name__, loaded.Worker.work.__doc__) == ("work", "Works.")
        assert type(loaded.__loader__).__name__ == "SourceFileLoader"
        assert loaded.__spec__ is not None
        assert loaded.__spec__.loader is loaded.__loader__
    finally:
        patches.undo()


def test_a_module_that_is_imported_already_is_patched_at_once_and_undone_to_the_same_objects(module: str) -> None:
    """Functions, methods, static methods and inherited ones are afterwards the very objects that they were."""
    loaded = importlib.import_module(module)
    before = {**vars(loaded.Worker)}, loaded.helper
    patches = Patches(_points(module, "Worker.work", "Worker.still", "Worker.inherited", "helper"), lambda point: pytest.fail(point.path))
    finders = list(sys.meta_path)
    patches.apply()
    assert loaded.Worker().work(1) == (1, 1)
    assert loaded.Worker.still() == ("still", "still")
    assert loaded.Worker().inherited() == ("inherited", "inherited")
    assert loaded.Base().inherited() == "inherited"
    patches.undo()
    assert ({**vars(loaded.Worker)}, loaded.helper) == before
    assert sys.meta_path == finders


def test_what_somebody_has_patched_over_it_since_is_left_alone(module: str) -> None:
    """Undoing takes away what is ours, and nothing else."""
    loaded = importlib.import_module(module)
    patches = Patches(_points(module, "helper"), lambda point: pytest.fail(point.path))
    patches.apply()
    theirs = loaded.helper = lambda: "theirs"  # type: ignore[attr-defined]
    patches.undo()
    assert loaded.helper is theirs


def test_what_a_version_does_not_have_is_said_and_the_rest_is_patched(module: str) -> None:
    """A point that is not there costs that point only."""
    missing: list[str] = []
    patches = Patches(_points(module, "Worker.rest", "Nobody.works", "helper"), lambda point: missing.append(point.path))
    patches.apply()
    loaded = importlib.import_module(module)
    patches.undo()
    assert missing == ["Worker.rest", "Nobody.works"]
    assert loaded.helper() == "helped"


def test_a_call_is_understood_by_its_places_whatever_its_names_are(module: str) -> None:
    """Arguments that a caller names reach the wrapper by their places; a call that it cannot take goes through untraced, and is told of."""
    seen: list[tuple[Any, ...]] = []
    missing: list[str] = []

    def seeing(original: Callable[..., Any], worker: Any, task: Any, *rest: Any) -> Any:
        seen.append((task, *rest))
        return original(worker, task, *rest)

    loaded = importlib.import_module(module)

    def assign(self: Any, job: str, hours: int = 1, *, urgent: bool = False) -> tuple[str, int, bool]:
        return job, hours, urgent

    loaded.Worker.assign = assign
    patches = Patches([Point(module, "Worker.assign", seeing, "assignments")], lambda point: missing.append(point.path))
    patches.apply()
    worker = loaded.Worker()
    assert worker.assign(hours=2, job="dig") == ("dig", 2, False)
    assert worker.assign("dig", urgent=True) == ("dig", 1, True)
    with pytest.raises(TypeError, match="job"):
        worker.assign()
    patches.undo()
    assert seen == [("dig", 2)]
    assert missing == ["Worker.assign"]
    assert loaded.Worker.assign is assign


def test_a_library_that_massgen_does_not_use_here_is_no_concern(swallowed: list[str]) -> None:
    """The MCP library of this environment is newer than MassGen's; where there is no MassGen, nothing is missing of it."""
    importlib.import_module("mcp.server.lowlevel.server")
    instrumentor = MassGenInstrumentor()
    instrumentor.instrument(skip_dep_check=True)
    instrumentor.uninstrument()
    assert swallowed == []


def test_the_instrumentor_leaves_nothing_behind() -> None:
    """Twice on is once on; off, the import system is as it was, and the next instrumentor is a new object."""
    finders = list(sys.meta_path)
    first = MassGenInstrumentor()
    first.instrument(skip_dep_check=True)
    installed = list(sys.meta_path)
    first.instrument(skip_dep_check=True)
    assert MassGenInstrumentor() is first
    assert sys.meta_path == installed != finders
    first.uninstrument()
    first.uninstrument()
    assert sys.meta_path == finders
    assert MassGenInstrumentor() is not first
    assert not MassGenInstrumentor().is_instrumented_by_opentelemetry
