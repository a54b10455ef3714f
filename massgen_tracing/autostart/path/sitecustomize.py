"""Run by Python at its start, when `massgen_tracing.autostart.environment()` has put this folder on PYTHONPATH.

It belongs to every interpreter that comes along, of any version and with or without the package: so it needs neither, and lets nothing escape.
"""

import os
import sys


def _leave():
    """Take this folder off the path, here and for the programs that this one starts; they find what they would have found."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != folder]
    others = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and os.path.abspath(entry) != folder]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    else:
        os.environ.pop("PYTHONPATH", None)


def _run_shadowed():
    """Run the `sitecustomize` that would have run without us; what it raises is reported by Python, as without us."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    sys.modules["sitecustomize"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def _prepare():
    try:
        from massgen_tracing.activation import prepare
    except Exception as error:
        hint = "install massgen_tracing into the environment of that Python"
        sys.stderr.write("massgen-tracing: %s runs untraced (%s: %s); %s\n" % (sys.executable, type(error).__name__, error, hint))
    else:
        prepare()


_leave()
try:
    _run_shadowed()
finally:
    _prepare()
