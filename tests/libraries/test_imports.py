"""What waits for the import of a library: in nobody's way, whatever else takes part in imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from massgen_tracing import libraries

LINE = "litellm is used, and has no instrumentor here: its calls are not traced. Install one: pip install openinference-instrumentation-litellm"
WITHOUT_ONE = pytest.mark.skipif(bool(libraries.Library("litellm").instrumentor), reason="an instrumentor is installed here")


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A program with a module of its own that is called as a library is."""
    (tmp_path / "litellm.py").write_text("import sys\nprint('loads')\nif 'broken' in sys.argv: raise RuntimeError('broken')\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    words = [sys.executable, "-c", f"import sys\nfrom massgen_tracing import libraries\n{code}"]
    return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


@WITHOUT_ONE
def test_a_module_is_loaded_once_and_keeps_its_loader(tmp_path: Path) -> None:
    """It is what it would be, and is told of once; a finder of the old kind does no harm."""
    code = """
class Old:
    def find_module(self, name, path=None): pass
sys.meta_path.insert(0, Old())
libraries.trace()
sys.meta_path.insert(0, Old())
import warnings, importlib
warnings.simplefilter('ignore')
import litellm
print(type(litellm.__loader__).__name__, type(litellm.__spec__.loader).__name__)
importlib.import_module("litellm")
"""
    done = run(code, tmp_path)
    assert (done.stdout, done.stderr) == ("loads\nSourceFileLoader SourceFileLoader\n", f"{LINE}\n")


@WITHOUT_ONE
def test_looking_for_a_module_loads_nothing(tmp_path: Path) -> None:
    """Whoever asks whether it is there, or for its source, gets the answer that it would get."""
    code = """
import importlib.util
libraries.trace()
spec = importlib.util.find_spec("litellm")
print(spec.origin.rpartition("/")[2], "loads" in spec.loader.get_source("litellm"))
print(importlib.util.find_spec("anthropic.nowhere") if importlib.util.find_spec("anthropic") else None)
"""
    done = run(code, tmp_path)
    assert (done.stdout, done.stderr) == ("litellm.py True\nNone\n", "")


def test_a_module_whose_import_fails_is_not_instrumented(tmp_path: Path) -> None:
    """The error is the program's, as without us."""
    code = """
libraries.trace()
sys.argv.append("broken")
try:
    import litellm
except RuntimeError as error:
    print(error)
libraries.leave()
print([finder for finder in sys.meta_path if type(finder).__module__.startswith("massgen_tracing")])
"""
    done = run(code, tmp_path)
    assert (done.stdout, done.stderr) == ("loads\nbroken\n[]\n", "")
