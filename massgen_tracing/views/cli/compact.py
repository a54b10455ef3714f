"""`massgen-tracing compact`: seal the recordings of all ended runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from massgen_tracing.errors import RecordingError
from massgen_tracing.store.roots import catalogue, compaction
from massgen_tracing.store.sealing import candidates, seal
from massgen_tracing.views import options, text
from massgen_tracing.views.cli import EXIT_CONFIG, EXIT_OK

COMMAND: Final = "compact"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    options.add_root(parser, "a root, a run's directory, or one live recording")


def run(args: argparse.Namespace) -> int:
    """Seal what has ended, one file after the other; a file that cannot be sealed does not stop the others."""
    failed = False
    try:
        small = compaction.compact(Path(args.root))
    except RecordingError as error:
        options.note(COMMAND, str(error))
        small, failed = compaction.Outcome(), True
    sealed, before, after = small.sealed, small.before, small.after
    for path in filter(candidates.is_own, catalogue.files(args.root)):
        try:
            outcome = seal.seal(path)
        except RecordingError as error:
            options.note(COMMAND, str(error))
            failed = True
            continue
        if outcome.sealed is None and not path.exists():
            continue  # another process has sealed it meanwhile: a server's, say
        if outcome.sealed is None:
            options.note(COMMAND, f"{path} was left as it is: {outcome.reason}")
        else:
            sealed, before, after = sealed + 1, before + outcome.before, after + outcome.after
    if small.runs:
        print(f"put {text.count(small.runs, 'small run')} together: {small.segments:,} bytes")
    said = f"sealed {text.count(sealed, 'recording')}"
    print(f"{said}: {before:,} bytes before, {after:,} after" if sealed else f"{said}: there was nothing to seal")
    return EXIT_CONFIG if failed else EXIT_OK
