"""Tracing for many agents at once: spans that always nest right, a crash-safe local recording, and Logfire's SQL over it.

    import massgen_tracing as mt

    tracer = mt.configure()
    with tracer.session("What is AI?", agents=["agent_a", "agent_b"]) as session:
        with session.agent_round("agent_a", number=0) as rnd:
            with tracer.llm_call("openai", model="gpt-5-mini") as call:
                call.record_usage(input=1200, output=300)
            rnd.answer("agent1.1", "…")
"""

from massgen_tracing._version import __version__
from massgen_tracing.configuration import configure, get_tracer, shutdown
from massgen_tracing.trace.borders import bind, bind_stream, child_env
from massgen_tracing.trace.tracer import Tracer

__all__ = ["Tracer", "__version__", "bind", "bind_stream", "child_env", "configure", "get_tracer", "shutdown"]
