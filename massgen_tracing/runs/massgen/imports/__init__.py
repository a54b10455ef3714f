"""MassGen's log directories, written by runs that nobody traced, as the spans that tracing would have given.

    places   where runs lie: `.massgen`, `massgen_logs`, a run, a turn, an attempt, the older layout
    files    the files of one run, whatever state they are in, and what of them is missing
    values   values of JSON as what they should be, or as unknown
    clock    local times, as MassGen writes some, as moments
    facts    what is known of a run
    sources  each file's part of it
    gather   all parts, from the most exact on, as one run
    replay   a run through the facade, with its own times and repeatable ids

Spans are made by the facade, so names, attributes and nesting are those of a traced run.
"""

from massgen_tracing.runs.massgen.imports.gather import gather
from massgen_tracing.runs.massgen.imports.places import Place, find
from massgen_tracing.runs.massgen.imports.replay import Imported, replay

__all__ = ["Imported", "Place", "find", "read"]


def read(place: Place) -> Imported:
    """The run in *place* as spans, with what its files do not tell; without spans where they tell nothing. Never raises."""
    return replay(place, gather(place))
