"""Tracing for many agents at once: spans that always nest right, a crash-safe local recording, and Logfire's SQL over it.

Usage:

    import massgen_tracing as mt

    tracer = mt.configure()
    with tracer.session("What is AI?", agents=["agent_a", "agent_b"]) as session:
        with session.agent_round("agent_a", number=0) as rnd:
            with tracer.llm_call("openai", model="gpt-5-mini") as call:
                call.record_usage(input=1200, output=300)
            rnd.answer("agent1.1", "…")

The names below are imported when they are first asked for, so that the reading half (`massgen_tracing.store`, the command line) starts
and works without OpenTelemetry.
"""

from importlib import import_module

from massgen_tracing._version import __version__

TYPE_CHECKING = False  # as type checkers know it by its name; loading `typing` for it would cost a prepared interpreter more than all the rest
if TYPE_CHECKING:
    from massgen_tracing.configuration import configure, get_tracer, shutdown
    from massgen_tracing.instrumentation import MassGenInstrumentor
    from massgen_tracing.trace.borders import bind, bind_stream
    from massgen_tracing.trace.environment import child_env
    from massgen_tracing.trace.tracer import Tracer

__all__ = ["MassGenInstrumentor", "Tracer", "__version__", "bind", "bind_stream", "child_env", "configure", "get_tracer", "shutdown"]

_HOMES = {
    "MassGenInstrumentor": "massgen_tracing.instrumentation",
    "Tracer": "massgen_tracing.trace.tracer",
    "bind": "massgen_tracing.trace.borders",
    "bind_stream": "massgen_tracing.trace.borders",
    "child_env": "massgen_tracing.trace.environment",
    "configure": "massgen_tracing.configuration",
    "get_tracer": "massgen_tracing.configuration",
    "shutdown": "massgen_tracing.configuration",
}

if not TYPE_CHECKING:  # a type checker that saw this would take any misspelt name for one of the module's

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
