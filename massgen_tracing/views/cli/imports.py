"""`massgen-tracing logs import`: MassGen runs that nobody traced become recordings beside their logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import layout, semconv
from massgen_tracing.errors import MassGenTracingError, RecordingError
from massgen_tracing.views import options, text
from massgen_tracing.views.cli import EXIT_CONFIG, EXIT_OK

if TYPE_CHECKING:
    from massgen_tracing.model import SpanRecord
    from massgen_tracing.runs.massgen.imports import Imported, Place

COMMAND: Final = "logs import"


def run(paths: list[str]) -> int:
    """Import every run in *paths*, a line each; one that cannot be imported does not stop the others."""
    from massgen_tracing.runs.massgen import imports

    failed = False
    seen: set[Path] = set()
    for path in paths:
        try:
            places = imports.find(path)
        except RecordingError as error:
            options.note(COMMAND, str(error))
            failed = True
            continue
        for place in places:
            if place.directory in seen:
                continue
            seen.add(place.directory)
            try:
                print(text.clean(f"{place.name}: {_import(place)}"))
            except MassGenTracingError as error:
                options.note(COMMAND, str(error))
                failed = True
    return EXIT_CONFIG if failed else EXIT_OK


def _import(place: Place) -> str:
    """Make the recording of one run; what was done, in words."""
    from massgen_tracing.runs.massgen import imports
    from massgen_tracing.sinks.recording import whole
    from massgen_tracing.store.roots import reader

    existing = _recordings(place.directory)
    before = reader.read(existing)
    if existing and not (before.spans and all(span.attributes.get(semconv.IMPORTED) is True for span in before.spans)):
        return f"left as it is, for it has a recording of its own ({existing[0].name})"
    made = imports.read(place)
    if not made.spans:
        raise RecordingError(
            f"There is nothing to import in {place.directory}",
            expected="the files that MassGen writes for a run",
            hint="; ".join(made.missing) or "The directory is empty",
        )
    target = place.directory / layout.recording_name()
    content = whole.encode(made.spans)
    if not before.report.skipped and before.spans == _decoded(content):
        return f"imported before, {text.count(len(made.spans), 'span')}{_missing(made)}"
    try:
        whole.write(target, content)
        for path in existing:
            if path != target:
                path.unlink()
    except OSError as error:
        raise RecordingError(f"The recording {target} cannot be written ({error.strerror or error})", hint="Make its directory writable") from error
    counts = {"round": made.rounds, "answer": made.answers, "vote": made.votes, "tool call": made.tools}
    if made.subagents:
        counts["subagent"] = made.subagents
    parts = ", ".join(text.count(number, noun) for noun, number in counts.items())
    return f"{text.count(len(made.spans), 'span')} ({parts}) in {target.name}{_missing(made)}"


def _missing(made: Imported) -> str:
    return f"; missing: {'; '.join(made.missing)}" if made.missing else ""


def _recordings(directory: Path) -> list[Path]:
    """The recordings that lie in *directory* itself, live and sealed."""
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError:
        return []
    own = [name for name in names if name.startswith(layout.RECORDING_STEM) and name.endswith((layout.RECORDING_SUFFIX, layout.SEALED_SUFFIX))]
    return [directory / name for name in own]


def _decoded(content: bytes) -> tuple[SpanRecord, ...]:
    """The spans of a recording that is not written yet."""
    from massgen_tracing.store.roots import reader

    made = reader.Reader()
    made.add_lines(content.splitlines(keepends=True), source="import")
    return made.recording().spans
