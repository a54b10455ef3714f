"""The page of a run as part of one file: its script and styles, and all that it shows as data."""

from __future__ import annotations

from typing import Final

from massgen_tracing.views.report import analysed
from massgen_tracing.views.report.page import View
from massgen_tracing.views.web import DIST, columns, detail, document, encoded
from massgen_tracing.views.web.opened import Opened

_MOST_DETAILS: Final = 30_000_000
"""Bytes of what spans say; a page with more is slow to open, and few mailboxes take it."""


def opened(found: analysed.Found) -> Opened:
    """A question of a run as it is now, and goes on to be in the file."""
    return Opened(found, "file", found)


def view(of: Opened) -> tuple[View, int]:
    """The page, and how many spans there was no room for: they are drawn, and what they say is left out."""
    details, used = {}, 0
    spans = of.spans
    # What failed is what will be looked at first.
    order = sorted(range(len(spans.outlines)), key=lambda place: (not spans.flags[place] & columns.FAILED, place))
    for place in order:
        told = encoded.dumps(detail.document(of, place))
        used += len(told)
        if used > _MOST_DETAILS:
            break
        details[of.records[place].span_id] = told
    left_out = len(order) - len(details)
    said = b"".join((
        b'{"run":', encoded.dumps(document.document(of)), b',"spans":', of.encoded, b',"left_out":', str(left_out).encode(), b',"details":{',
        b",".join(encoded.dumps(key) + b":" + told for key, told in details.items()), b"}}",
    ))  # fmt: skip
    folder = DIST / "report"
    script, style, licences = ((folder / name).read_text("utf-8") for name in ("report.js", "report.css", "licenses.txt"))
    return View(script, style, said.decode(), licences), left_out
