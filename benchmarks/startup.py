"""How long one waits before anything happens: `python -m benchmarks.startup`.

Fresh interpreters with warm file caches, each beside one that imports OpenTelemetry's SDK; the interpreter's own start is in every number.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks._measure import Figure, Round, arguments, interleave, report


def start_round(*command: str) -> Round:
    """One fresh interpreter, from its start to its end."""

    def run() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__, rounds=30, argv=argv)
    samples = interleave(
        {
            "python": start_round("-c", "pass"),
            "sdk": start_round("-c", "import opentelemetry.sdk.trace"),
            "package": start_round("-c", "import massgen_tracing"),
            "names": start_round("-c", "from massgen_tracing import *"),
            "configured": start_round("-c", "import massgen_tracing as mt; mt.configure(record=False, logfire=False)"),
            "help": start_round("-m", "massgen_tracing.views.cli", "--help"),
        },
        args.rounds,
    )
    sdk = samples["sdk"]
    figures = [
        Figure("python -c pass / import opentelemetry.sdk.trace", samples["python"], sdk),
        Figure("import massgen_tracing / same", samples["package"], sdk, 1.3),
        Figure("from massgen_tracing import * / same", samples["names"], sdk, 1.3),
        Figure("import and configure() / same", samples["configured"], sdk),
        Figure("massgen-tracing --help / same", samples["help"], sdk, 2.6),
    ]
    return report(f"Starting up, {args.rounds} rounds", figures, unit="ms", check=args.check)


if __name__ == "__main__":
    sys.exit(main())
