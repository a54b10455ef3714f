"""What was swallowed in this process, left for `massgen-tracing doctor` in the root."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from massgen_tracing import guard, layout
from massgen_tracing._version import __version__
from massgen_tracing.trace.scrub import scrub


def write(root: str | None, *, makes: bool) -> None:
    """Leave what was swallowed where `massgen-tracing doctor` finds it.

    Args:
        root: where that is; None where nothing is left.
        makes: whether the root is made where nothing was recorded in it: a program that calls everything wrongly may record nothing at all.
    """
    found = guard.problems()
    if root is None or not found:
        return
    path = Path(root) / layout.PROBLEMS_FILE
    try:
        if makes:
            layout.make_directory(path.parent)
        with path.open("a", encoding="utf-8") as file:
            for problem in found:
                said = {"message": scrub(problem.message), "detail": scrub(problem.detail), "about": scrub(problem.about or "")}
                file.write(json.dumps({"pid": os.getpid(), "version": __version__, **asdict(problem), **said}) + "\n")
    except (OSError, ValueError) as error:  # also a root that no file system can name
        guard.passing(error)
        guard.logger.debug("the problems could not be written to %s", path, exc_info=True)
        # Where there is no root because nothing was to be recorded, nothing has failed here.
        losses = [problem for problem in found if problem.lost and (problem.kind.startswith("recording.") or path.parent.is_dir())]
        lost = sum(problem.lost for problem in losses)
        if losses:
            kinds = ", ".join(problem.kind for problem in losses)
            guard.logger.warning("%s records were lost (%s), and %s cannot be written either: make room on its disk.", f"{lost:,}", kinds, path)
