"""Looks on inside a process of a rehearsal: context resets that fail, before any filter; what is current when the main coroutine has ended; when
this package was imported; what was loaded in the end.

Says on SIGUSR1 what every task waits for.

Writes `<pid>.json` to the directory MASSGEN_REHEARSAL_WITNESS when the process ends. Standard library only, and nothing is imported early.
"""

import asyncio
import atexit
import gc
import json
import logging
import os
import signal
import sys
import time

_seen = {"argv": sys.argv[:1], "failed_detaches": 0, "left_current": [], "imported": [], "modules": []}


def _watch_logging():
    exception = logging.Logger.exception

    def watched(self, msg, *args, **kwargs):
        # The call itself, not the record: MassGen installs a filter that hides the record.
        if self.name.startswith("opentelemetry") and "detach" in str(msg):
            _seen["failed_detaches"] += 1
        return exception(self, msg, *args, **kwargs)

    logging.Logger.exception = watched


def _watch_imports():
    def hook(event, arguments):
        if event == "import" and arguments[0].startswith("massgen_tracing"):
            _seen["imported"].append([arguments[0], time.time_ns()])

    sys.addaudithook(hook)


def _current():
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span()
    return getattr(span, "name", None) or (None if not span.get_span_context().is_valid else "a span without a name")


def _watch_coroutines():
    run = asyncio.Runner.run

    def watched(self, coro, **kwargs):
        gc.enable()

        async def looked_at():
            before = _current()
            try:
                return await coro
            finally:
                if _current() != before:
                    _seen["left_current"].append(_current())

        return run(self, looked_at(), **kwargs)

    asyncio.Runner.run = watched


def _write():
    folder = os.environ.get("MASSGEN_REHEARSAL_WITNESS")
    if folder:
        _seen.update(argv=sys.argv[:1], modules=list(sys.modules))
        with open(os.path.join(folder, "%d.json" % os.getpid()), "w") as file:
            json.dump(_seen, file)


def _tell(_signal, _frame):
    print("The process was still there when its time was over; its tasks:", file=sys.stderr)
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


if "MASSGEN_REHEARSAL_WITNESS" in os.environ:
    gc.disable()  # until a coroutine runs: while MassGen is imported there is nothing to collect, and looking for it takes a sixth of the time
    signal.signal(signal.SIGUSR1, _tell)
    _watch_logging()
    _watch_coroutines()
    _watch_imports()
    atexit.register(_write)
