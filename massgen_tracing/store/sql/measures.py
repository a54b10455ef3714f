"""`value`, the one column that holds a data point of any kind of metric, and Logfire's functions over it.

Logfire's documentation names these functions and says what each computes; how is told here:

- An observation inside of a bucket lies where the documentation's own unpacking of buckets puts it: one in the middle, several evenly from
  the lower to the upper bound, which smallest and largest value narrow. A quantile interpolates between two observations.
- Of cumulative histograms only the last point of each series since each start counts, for it has all before it.
- A cumulative counter has increased by what it has more than its point before; what is less was started anew. Points of different series
  (name, attributes, resource, scope) are never compared.
- What is no counter has no increase and no rate: NULL.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import datafusion
import pyarrow as pa

from massgen_tracing.store.tables import metrics, records

_Value = metrics.Value
_EMPTY: Final = metrics.EMPTY_VALUE
_TIME: Final = records.TIME

_SCALARS: Final = frozenset({"gauge", "sum"})
_MOST_DOUBLINGS: Final = 1023
"""Of a number of 64 bits: what is beyond is not finite."""


# --- of one point ------------------------------------------------------------------------------------------------------------------


def _avg(value: _Value) -> float | None:
    if value["scalar"] is not None:
        return float(value["scalar"])
    return float(value["sum"] / value["count"]) if value["count"] and value["sum"] is not None else None


def _or_scalar(name: str) -> Callable[[_Value], float | None]:
    """What a histogram says under a name, or a scalar's only value."""
    return lambda value: value["scalar"] if value[name] is None else value[name]


_sum, _min, _max = map(_or_scalar, ("sum", "min", "max"))


def _count(value: _Value) -> int | None:
    said: int | None = value["count"]
    return 1 if said is None and value["type"] in _SCALARS else said


# --- of many -----------------------------------------------------------------------------------------------------------------------


def _merged(values: list[_Value]) -> _Value | None:
    """One value that says what all say."""
    if not values:
        return None
    kinds = sorted({value["type"] for value in values})
    if len(kinds) > 1:
        msg = f"metric_quantile and metric_merge need data points of one kind, got {' and '.join(kinds)}: add metric_type = '{kinds[0]}' to WHERE"
        raise ValueError(msg)
    if kinds[0] == "gauge":
        return _merged_gauges(values)
    counted = _counted(values)
    merged = {**_EMPTY, "type": kinds[0], "temporality": values[0]["temporality"], "is_monotonic": values[0]["is_monotonic"]}
    for name, add in (("scalar", sum), ("count", sum), ("sum", sum), ("min", min), ("max", max)):
        said = [value[name] for value in counted if value[name] is not None]
        merged[name] = add(said) if said else None
    if counted[0]["bounds"] is not None:
        merged |= _merged_buckets(counted)
    if counted[0]["scale"] is not None:
        merged |= _merged_exponentials(counted)
    return merged


def _merged_gauges(values: list[_Value]) -> _Value:
    """Readings do not add up to one: their mean, with their number, sum and extremes."""
    counts = [_count(value) or 0 for value in values]
    total = sum(_sum(value) or 0.0 for value in values)
    lowest, highest = ([found for value in values if (found := side(value)) is not None] for side in (_min, _max))
    return {
        **_EMPTY,
        "type": "gauge",
        "scalar": total / sum(counts) if sum(counts) else None,
        "count": sum(counts),
        "sum": total,
        "min": min(lowest, default=None),
        "max": max(highest, default=None),
    }


def _counted(values: list[_Value]) -> list[_Value]:
    """The values that have all observations once."""
    last: dict[tuple[str, int | None], _Value] = {}
    once = [value for value in values if value["temporality"] != "cumulative" or value["time_us"] is None]
    for value in sorted((value for value in values if value["temporality"] == "cumulative" and value["time_us"] is not None), key=_time):
        last[value["series"], value["start_us"]] = value
    return once + list(last.values())


def _time(value: _Value) -> int:
    return int(value["time_us"])


def _merged_buckets(values: list[_Value]) -> _Value:
    bounds = values[0]["bounds"]
    if any(value["bounds"] != bounds for value in values):
        msg = "metric_quantile and metric_merge need histograms with the same bounds: group by metric_name, or by what tells them apart"
        raise ValueError(msg)
    return {
        "bounds": bounds,
        "bucket_counts": [sum(same) for same in itertools.zip_longest(*(value["bucket_counts"] for value in values), fillvalue=0)],
    }


def _merged_exponentials(values: list[_Value]) -> _Value:
    scale = min(value["scale"] for value in values)
    merged: _Value = {
        "scale": scale,
        "zero_count": sum(value["zero_count"] or 0 for value in values),
        "zero_threshold": max(value["zero_threshold"] or 0.0 for value in values),
    }
    for side in ("positive", "negative"):
        buckets: dict[int, int] = {}
        for value in values:
            for place, count in enumerate(value[f"{side}_counts"] or (), value[f"{side}_offset"] or 0):
                # A scale lower by one has buckets of two.
                coarse = place >> (value["scale"] - scale)
                buckets[coarse] = buckets.get(coarse, 0) + count
        first = min(buckets, default=0)
        merged[f"{side}_offset"] = first
        merged[f"{side}_counts"] = [buckets.get(place, 0) for place in range(first, max(buckets, default=first - 1) + 1)]
    return merged


def _quantile(part: float, values: list[_Value]) -> float | None:
    """The observation that *part* of all are not above."""
    if not 0 <= part <= 1:
        msg = f"metric_quantile takes a part from 0 to 1, not {part}"
        raise ValueError(msg)
    kinds = {value["type"] for value in values}
    if kinds <= _SCALARS and len(kinds) == 1 and all(value["count"] is None for value in values):
        buckets = [(value["scalar"], value["scalar"], 1) for value in sorted(values, key=lambda value: value["scalar"] or 0.0)]
        buckets = [bucket for bucket in buckets if bucket[0] is not None]
    else:
        merged = _merged(values)
        buckets = [] if merged is None else list(_buckets(merged))
    reached = list(itertools.accumulate(count for _, _, count in buckets))
    if not reached:
        return None
    place = part * (reached[-1] - 1)
    lower = _observation(buckets, reached, int(place))
    return lower if place == int(place) else lower + (_observation(buckets, reached, int(place) + 1) - lower) * (place - int(place))


def _observation(buckets: list[tuple[float, float, int]], reached: list[int], place: int) -> float:
    """The observation at a place from 0, in order of size."""
    at = bisect.bisect_right(reached, place)
    lower, upper, count = buckets[at]
    if count == 1:
        return (lower + upper) / 2
    return lower + (upper - lower) * (place - reached[at] + count) / (count - 1)


def _buckets(value: _Value) -> Iterator[tuple[float, float, int]]:
    """Lower bound, upper bound and count of each bucket that has observations, in order."""
    lowest, highest = value["min"], value["max"]
    for lower, upper, count in _raw_buckets(value):
        low = max((side for side in (lower, lowest) if side is not None), default=upper)
        high = min((side for side in (upper, highest) if side is not None), default=low)
        low = high if low is None else low
        if count > 0 and low is not None and high is not None:
            yield min(low, high), max(low, high), count


def _raw_buckets(value: _Value) -> Iterator[tuple[float | None, float | None, int]]:
    bounds = value["bounds"]
    if bounds is not None and value["bucket_counts"]:
        for place, count in enumerate(value["bucket_counts"]):
            yield bounds[place - 1] if 0 < place <= len(bounds) else None, bounds[place] if place < len(bounds) else None, count
    elif value["scale"] is not None:
        scale, threshold = value["scale"], value["zero_threshold"] or 0.0
        negative = list(enumerate(value["negative_counts"] or (), value["negative_offset"] or 0))
        for place, count in reversed(negative):
            yield -_border(place + 1, scale), -_border(place, scale), count
        yield 0.0 - threshold, threshold, value["zero_count"] or 0
        for place, count in enumerate(value["positive_counts"] or (), value["positive_offset"] or 0):
            yield _border(place, scale), _border(place + 1, scale), count


def _border(place: int, scale: int) -> float:
    """Where a bucket of an exponential histogram begins."""
    return float(2.0 ** max(-_MOST_DOUBLINGS, min(_MOST_DOUBLINGS, place * 2.0**-scale)))


def _increase(points: list[_Value]) -> float | None:
    """By how much counters have increased from the first to the last point."""
    counters = [point for point in points if point["type"] == "sum" and point["scalar"] is not None]
    if not counters:
        return None
    increase = sum(point["scalar"] for point in counters if point["temporality"] != "cumulative")
    for before, point in _steps(counters):
        anew = (point["is_monotonic"] and point["scalar"] < before["scalar"]) or point["start_us"] != before["start_us"]
        increase += point["scalar"] if anew else point["scalar"] - before["scalar"]
    return float(increase)


def _steps(points: Iterable[_Value]) -> Iterator[tuple[_Value, _Value]]:
    """Each cumulative point with the one before it in its series."""
    before: dict[str, _Value] = {}
    for point in sorted((point for point in points if point["temporality"] == "cumulative"), key=_time):
        if point["series"] in before:
            yield before[point["series"]], point
        before[point["series"]] = point


def _rate(points: list[_Value]) -> float | None:
    """The increase for each second of the time that the points tell of."""
    increase = _increase(points)
    if increase is None:
        return None
    counters = [point for point in points if point["type"] == "sum"]
    # A delta tells of the time since its start, a cumulative point of the time since the point before it.
    first = min(_time(point) if point["temporality"] == "cumulative" or point["start_us"] is None else point["start_us"] for point in counters)
    seconds = (max(map(_time, counters)) - first) / 1e6
    return increase / seconds if seconds > 0 else None


# --- as the engine's functions -----------------------------------------------------------------------------------------------------


class _Aggregate(datafusion.Accumulator):
    """Gathers the values of a group, with what else the function is given."""

    def __init__(self, evaluate: Callable[[Any, list[_Value]], Any], result: pa.DataType, other: pa.DataType, *, value_first: bool) -> None:
        self._evaluate, self._result, self._other, self._value_first = evaluate, result, other, value_first
        self._values: list[_Value] = []
        self._given: list[Any] = []

    def state(self) -> list[pa.Scalar]:
        return [pa.scalar(self._values, pa.list_(metrics.VALUE)), pa.scalar(self._given, pa.list_(self._other))]

    def update(self, *arrays: pa.Array) -> None:
        values, *others = arrays if self._value_first else reversed(arrays)
        others_of = others[0].to_pylist() if others else itertools.repeat(None, len(values))
        for value, other in zip(values.to_pylist(), others_of, strict=True):
            if value is not None:
                self._values.append(value)
                self._given.append(other)

    def merge(self, states: list[pa.Array]) -> None:
        for values, given in zip(states[0].to_pylist(), states[1].to_pylist(), strict=True):
            self._values += values or []
            self._given += given or []

    def evaluate(self) -> pa.Scalar:
        return pa.scalar(self._evaluate(self._given, self._values) if self._values else None, self._result)


def _timed(of_points: Callable[[list[_Value]], float | None]) -> Callable[[Any, list[_Value]], float | None]:
    """A function of points whose times are given beside them."""

    def call(times: list[Any], values: list[_Value]) -> float | None:
        return of_points([value | {"time_us": round(time.timestamp() * 1e6)} for time, value in zip(times, values, strict=True) if time is not None])

    return call


_OF_ONE: Final[dict[str, tuple[Callable[[_Value], Any], pa.DataType]]] = {
    "metric_avg": (_avg, pa.float64()),
    "metric_sum": (_sum, pa.float64()),
    "metric_count": (_count, pa.int64()),
    "metric_min": (_min, pa.float64()),
    "metric_max": (_max, pa.float64()),
}


def register(context: datafusion.SessionContext) -> None:
    """Make the functions known to an engine."""

    def add(name: str, evaluate: Callable[[Any, list[_Value]], Any], arguments: list[pa.DataType], result: pa.DataType, other: pa.DataType) -> None:
        value_first = arguments[0] == metrics.VALUE
        state = [pa.list_(metrics.VALUE), pa.list_(other)]
        aggregate = datafusion.udaf(lambda: _Aggregate(evaluate, result, other, value_first=value_first), arguments, result, state, "immutable", name)
        context.register_udaf(aggregate)

    for name, (function, result) in _OF_ONE.items():
        context.register_udf(datafusion.udf(_each(function, result), [metrics.VALUE], result, "immutable", name))
    number = pa.float64()
    add("metric_quantile", lambda given, values: _quantile(given[0], values), [number, metrics.VALUE], number, number)
    add("metric_merge", lambda _given, values: _merged(values), [metrics.VALUE], metrics.VALUE, number)
    add("metric_increase", _timed(_increase), [metrics.VALUE, _TIME], number, _TIME)
    add("metric_rate", _timed(_rate), [metrics.VALUE, _TIME], number, _TIME)


def _each(function: Callable[[_Value], Any], result: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    def call(values: pa.Array) -> pa.Array:
        return pa.array([None if value is None else function(value) for value in values.to_pylist()], result)

    return call
