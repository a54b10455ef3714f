"""What importing a part of the package costs, and what it must not bring with it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import massgen_tracing as mt

ROOT = Path(__file__).resolve().parents[2]

HEAVY: Final = {
    "datafusion",
    "genai_prices",
    "logfire",
    "mcp",
    "openai",
    "prompt_toolkit",
    "pyarrow",
    "pydantic",
    "rich",
    "sqlglot",
    "starlette",
    "uvicorn",
    "yaml",
}
"""Top-level packages that only the part which needs them may import, when it needs them."""


def imported(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after *statement*."""
    code = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*sorted(set(sys.modules) - before), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


def packages(modules: set[str]) -> set[str]:
    """Their top-level packages."""
    return {module.partition(".")[0] for module in modules}


def test_the_front_door_imports_nothing_heavy() -> None:
    """`import massgen_tracing` alone brings not even OpenTelemetry."""
    assert not packages(imported("import massgen_tracing")) & (HEAVY | {"opentelemetry", "asyncio"})


def test_every_name_of_the_front_door_together_imports_nothing_heavy() -> None:
    """The whole facade stands on OpenTelemetry's API; its SDK is imported by `configure()`."""
    modules = imported("from massgen_tracing import *")
    assert not packages(modules) & HEAVY
    assert "opentelemetry.trace" in modules
    assert "opentelemetry.sdk.trace" not in modules


def test_a_facade_that_is_switched_off_imports_no_sdk() -> None:
    """Off means off: no SDK, no price list, no thread."""
    modules = imported("import massgen_tracing as mt, threading; mt.configure(enabled=False); assert threading.active_count() == 1")
    assert not packages(modules) & HEAVY
    assert "opentelemetry.sdk.trace" not in modules


def test_a_recording_facade_imports_no_backend_and_no_reader(tmp_path: Path) -> None:
    """`configure()` with a recording alone brings neither Logfire nor an exporter nor SQL."""
    statement = f"import massgen_tracing as mt; mt.configure(root={str(tmp_path)!r}, logfire=False, otlp_endpoint=None)"
    modules = imported(statement)
    assert not packages(modules) & {"logfire", "mcp", "openai", "datafusion", "pyarrow", "sqlglot", "starlette", "uvicorn", "rich", "yaml", "grpc"}
    assert not any(module.startswith(("opentelemetry.exporter", "massgen_tracing.store", "massgen_tracing.views")) for module in modules)


def test_with_a_collector_configuring_loads_nothing_that_sends(tmp_path: Path) -> None:
    """What sends is loaded by the thread that does, with its first request."""
    modules = imported(f"import massgen_tracing as mt; mt.configure(root={str(tmp_path)!r}, logfire=False, otlp_endpoint='http://127.0.0.1:9')")
    assert "massgen_tracing.delivery.live" in modules
    assert not packages(modules) & {"google", "urllib3", "grpc", "pyarrow", "numpy"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_answers_without_anything_heavy(arguments: list[str]) -> None:
    """The command line's help needs no OpenTelemetry, no SQL and no terminal library."""
    call = f"with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): cli.main({arguments})"
    modules = imported(f"import contextlib, io, massgen_tracing.views.cli as cli\n{call}")
    assert "massgen_tracing.views.cli" in modules
    assert not packages(modules) & (HEAVY | {"opentelemetry", "asyncio"})


@pytest.mark.parametrize("room", ["store", "insight"])
def test_the_reading_half_needs_no_tracing(room: str) -> None:
    """A recording is read where neither OpenTelemetry nor Logfire nor MassGen is installed."""
    files = sorted((ROOT / "massgen_tracing" / room).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    assert names
    modules = imported("\n".join(f"import {name}" for name in names))
    assert not packages(modules) & {"opentelemetry", "logfire", "massgen", "openai", "mcp"}


def test_the_names_of_the_front_door_are_those_it_says() -> None:
    """`__all__`, what a type checker sees, what `dir()` lists and what can be had are the same names."""
    tree = ast.parse((ROOT / "massgen_tracing" / "__init__.py").read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == mt._HOMES
    assert sorted({*seen, "__version__"}) == mt.__all__ == dir(mt)
    for name, home in seen.items():
        assert getattr(mt, name) is getattr(sys.modules[home or ""], name)


def test_a_misspelt_name_is_an_attribute_error() -> None:
    """As for any module, also for `from massgen_tracing import …`."""
    with pytest.raises(AttributeError, match="module 'massgen_tracing' has no attribute 'confgure'"):
        mt.confgure  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'confgure'"):
        from massgen_tracing import confgure  # type: ignore[attr-defined]  # noqa: F401


def test_the_import_contracts_hold() -> None:
    """Who may import whom, as `pyproject.toml` says it."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "massgen_tracing" / "sinks").rglob("*.py")), ids=lambda path: path.stem)
def test_logfire_is_imported_by_one_module(path: Path) -> None:
    """Only `sinks/logfire.py` knows the Logfire SDK."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert any(name.partition(".")[0] == "logfire" for name in names) == (path.name == "logfire.py")
