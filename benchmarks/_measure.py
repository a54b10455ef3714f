"""Measuring on a machine that is not quiet: short rounds, the contenders in turn, and ratios instead of times."""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Round = Callable[[], float]
"""Does one short round of work; returns the seconds that one operation took."""


def timed(work: Callable[[], object]) -> Round:
    """A round of one piece of work."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


@dataclass(frozen=True, slots=True)
class Samples:
    """The seconds per operation of one contender, one number a round."""

    seconds: Sequence[float]

    @property
    def best(self) -> float:
        """The quickest round, which the machine's other work disturbed least."""
        return min(self.seconds)


def interleave(contenders: Mapping[Name, Round], rounds: int) -> dict[Name, Samples]:
    """Run every contender's round, and again, in an order that turns around each time; the first time does not count."""
    seconds: dict[Name, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            gc.collect()
            taken = contenders[name]()
            if number:
                seconds[name].append(taken)
    return {name: Samples(taken) for name, taken in seconds.items()}


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison.

    Attributes:
        what: the contender, and what it is compared with.
        own, peer: their samples.
        target: what the ratio of the quickest rounds must not exceed; None: no promise, only told.
        base: what both do besides, and what is taken away from both.
    """

    what: str
    own: Samples
    peer: Samples
    target: float | None = None
    base: Samples | None = None

    @property
    def times(self) -> tuple[float, float]:
        """The seconds of both in their quickest rounds."""
        base = 0.0 if self.base is None else self.base.best
        return self.own.best - base, self.peer.best - base

    @property
    def ratio(self) -> float:
        """Of the quickest rounds."""
        own, peer = self.times
        return own / peer

    @property
    def median_ratio(self) -> float:
        """Median of the ratios of rounds that ran beside each other."""
        bases = [0.0] * len(self.own.seconds) if self.base is None else self.base.seconds
        rounds = zip(self.own.seconds, self.peer.seconds, bases, strict=True)
        return statistics.median((own - base) / (peer - base) for own, peer, base in rounds)

    @property
    def met(self) -> bool:
        return self.target is None or self.ratio <= self.target


def arguments(
    description: str, *, rounds: int, argv: Sequence[str] | None, spans: int | None = None, peers: Mapping[str, str] = MappingProxyType({})
) -> argparse.Namespace:
    """The command line that all benchmarks have.

    Args:
        description: what the benchmark says of itself.
        rounds: how many there are, unless another number is given.
        argv: the words; None for the process' own.
        spans: the default of those whose size can be chosen.
        peers: further contenders, each an option with a path: how one is made, by its name.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of each contender (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    if spans is not None:
        parser.add_argument("--spans", type=int, default=spans, help="how many spans (default: %(default)s)")
    for name, made in peers.items():
        parser.add_argument(f"--{name}", metavar="PATH", help=made)
    return parser.parse_args(argv)


def report(title: str, figures: Sequence[Figure], *, unit: str, check: bool) -> int:
    """Print the table; returns the exit code.

    Args:
        title: the line above.
        figures: the table's rows.
        unit: `µs` or `ms`.
        check: whether a missed target is a failure.
    """
    factor = {"µs": 1e6, "ms": 1e3}[unit]
    rows: list[tuple[str, ...]] = [("", unit, f"peer {unit}", "ratio of best", "median ratio", "target", "")]
    for figure in figures:
        rows.append((
            figure.what,
            *(f"{seconds * factor:.2f}" for seconds in figure.times),
            f"{figure.ratio:.2f}",
            f"{figure.median_ratio:.2f}",
            "" if figure.target is None else f"<= {figure.target:.2f}",
            "" if figure.target is None else "ok" if figure.met else "MISSED",
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(title)
    for first, *others in rows:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print(f"  {first.ljust(widths[0])}  {'  '.join(numbers)}".rstrip())
    sys.stdout.flush()
    return 1 if check and not all(figure.met for figure in figures) else 0
