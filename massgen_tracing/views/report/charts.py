"""Pictures as SVG that stands within a page: bars in lanes over an axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Final

from massgen_tracing.views import text
from massgen_tracing.views.report.blocks import Picture

_WIDTH: Final = 960
_LABELS: Final = 210
_LANE: Final = 26
_BAR: Final = 16
_MOST_BARS: Final = 3000
_NARROWEST: Final = 1.5
_TICKS: Final = 5
_DIVISIBLE: Final = frozenset({"s", "USD"})
"""Units of which there are parts."""


def svg(picture: Picture) -> str:
    """The picture."""
    lanes = list(dict.fromkeys(bar.lane for bar in (*picture.bars, *picture.marks)))
    end = max((bar.end for bar in (*picture.bars, *picture.marks)), default=0.0) or 1.0
    scale = (_WIDTH - _LABELS - 70) / end
    height = _LANE * len(lanes) + 30
    return "".join(
        (
            f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(picture.title)}" xmlns="http://www.w3.org/2000/svg">',
            *_axis(end, scale, height - 22, picture.unit),
            *_lanes(picture, lanes, scale),
            "</svg>",
        )
    )


def _axis(end: float, scale: float, bottom: float, unit: str) -> Iterator[str]:
    step = 10 ** math.floor(math.log10(end / _TICKS))
    step *= next((factor for factor in (1, 2, 5) if end / (step * factor) <= _TICKS), 10)
    if unit not in _DIVISIBLE:
        step = max(step, 1)
    for number in range(math.floor(end / step) + 1):
        x = _LABELS + number * step * scale
        yield f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{bottom:.1f}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 15:.1f}" text-anchor="middle">{escape(written(number * step, unit))}</text>'


def _lanes(picture: Picture, lanes: list[str], scale: float) -> Iterator[str]:
    tops = {lane: _LANE * place for place, lane in enumerate(lanes)}
    for lane, top in tops.items():
        yield f'<text class="lane" x="{_LABELS - 8}" y="{top + 17}" text-anchor="end">{escape(text.shorten(lane, 32))}</text>'
    for bar in picture.bars[:_MOST_BARS]:
        x, width = _LABELS + bar.start * scale, max(_NARROWEST, (bar.end - bar.start) * scale)
        place = f'x="{x:.1f}" y="{tops[bar.lane] + (_LANE - _BAR) / 2:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"'
        yield f'<rect class="bar {escape(bar.kind)}" {place}><title>{escape(text.clean(bar.note))}</title></rect>'
    for mark in picture.marks[:_MOST_BARS]:
        x, y = _LABELS + mark.start * scale, tops[mark.lane] + _LANE / 2
        yield f'<circle class="mark {escape(mark.kind)}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(text.clean(mark.note))}</title></circle>'


def written(value: float, unit: str) -> str:
    """A number of an axis with its unit."""
    if not value:
        return "0"
    if unit == "s":
        return text.duration(value)
    return text.cost(value) if unit == "USD" else f"{text.number(round(value))}{f' {unit}' if unit else ''}"
