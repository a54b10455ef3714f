"""The pages that people look at, and the JSON that they are made of.

    encoded      anything as JSON that every browser reads
    opened       questions of runs, read and analysed once, for as long as their files are the same
    columns      the spans of a run as arrays of numbers
    conversation what a model was told and said, by whichever convention
    detail       one span in full
    document     what a run's page says besides its spans
    search       which spans of a run have a word, or a value
    statements   SQL, the queries and dashboards at hand, the words of a statement
    single       a run's page as one file
    serving      all of it over HTTP

Each leans on those above it. The pages themselves are built from `web/` in the repository into `dist/`; they compute nothing: what they show is
`insight`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

DIST: Final = Path(__file__).with_name("dist")
"""What `make web` builds of `web/`."""


def routes(root: Path | str, project: str) -> list[BaseRoute]:
    """The pages, their files, and the JSON below `/api/`.

    Args:
        root: where the runs are recorded; also anything else that `massgen-tracing trace` takes for `--root`.
        project: the path that the server names as its project's, as Logfire does: `/local/massgen`.
    """
    from massgen_tracing.views.web import serving

    return serving.routes(str(root), project)
