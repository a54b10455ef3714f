"""What tracing adds to real MassGen: `python -m benchmarks.massgen`.

Needs `make massgen`, or environments named in MASSGEN_ENVIRONMENTS. Pairs of runs, with and without `massgen-tracing exec`, in turn: the same agents
on the same scripted model. *Coordination* is from the first request that the model gets to the end of its last answer; *process* has MassGen's start.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks._measure import Figure, Round, arguments, interleave, report
from rehearsal.environments import found
from rehearsal.run import Ran, agents, stage
from rehearsal.script import Part, Script

AGENTS = 3


def runs(traced: bool, done: list[Ran]) -> Round:
    """One run; adds what is known of it to *done*."""

    def run() -> float:
        with stage(found()[0], Script(agents(AGENTS), part=Part(tools=2, seconds=(0.2, 0.2)), seed=1)) as here:
            ran = here.run(here.massgen(), traced=traced)
        if ran.code:
            sys.exit(f"MassGen ended with exit code {ran.code}: {ran.stderr}")
        done.append(ran)
        return coordination(ran)

    return run


def coordination(ran: Ran) -> float:
    """Seconds from the first request to the end of the last answer."""
    return float(max(entry["ended_ns"] for entry in ran.requests) - min(entry["began_ns"] for entry in ran.requests)) / 1e9


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(__doc__, rounds=5, argv=argv)
    if not found():
        sys.exit("No MassGen was found: make massgen, or name environments in MASSGEN_ENVIRONMENTS")
    traced: list[Ran] = []
    bare: list[Ran] = []
    samples = interleave({"bare": runs(False, bare), "traced": runs(True, traced)}, args.rounds)
    own, peer = (type(samples["bare"])([ran.seconds for ran in of[1:]]) for of in (traced, bare))
    figures = [
        Figure("coordination, traced / not", samples["traced"], samples["bare"]),
        Figure("process, traced / not", own, peer),
    ]
    return report(f"MassGen {found()[0].version}, {AGENTS} agents, {args.rounds} rounds", figures, unit="ms", check=args.check)


if __name__ == "__main__":
    sys.exit(main())
