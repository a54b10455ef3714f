"""Runs MassGen's own readers, all in one process: `python reading.py PLACES.json`, in an environment of MassGen's.

PLACES.json is a list of directories that have a `.massgen`. Prints a JSON object a line, by directory and reader what it says and its exit code.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path

COMMANDS = (["logs", "list"], ["logs"], ["logs", "tools"], ["export", "--dry-run"])


def command(words: list[str]) -> tuple[object, str]:
    """What `massgen …` says here, and its exit code."""
    from massgen.cli import cli_main

    said = io.StringIO()
    sys.argv = ["massgen", *words]
    code: object = None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli_main()
        except SystemExit as stopped:
            code = stopped.code or 0
        except BaseException:
            code = "raised"
            traceback.print_exc()
    return code, said.getvalue()


def viewed() -> dict[str, object]:
    """What the viewer takes of the newest run: what it shows at its head, and of each event."""
    from massgen.events import EventReader
    from massgen.frontend.displays.content_processor import ContentProcessor
    from massgen.viewer import extract_session_info, resolve_log_dir

    place = resolve_log_dir(None)
    info = extract_session_info(place)
    events = EventReader(place / "events.jsonl").read_all()
    processor, shown = ContentProcessor(), 0
    for event in events:
        shown += processor.process_event(event) is not None
    lines = len((place / "events.jsonl").read_text(encoding="utf-8").splitlines())
    return {
        "agents": info.agent_ids,
        "models": info.agent_models,
        "question": info.question,
        "complete": info.is_complete,
        "events": len(events),
        "lines": lines,
        "types": sorted({event.event_type for event in events}),
        "shown": shown,
    }


def main() -> None:
    """All readers in all places."""
    for place in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        os.chdir(place)
        for words in COMMANDS:
            code, said = command(words)
            print(json.dumps({"place": place, "reader": " ".join(words), "code": code, "said": said}))
        print(json.dumps({"place": place, "reader": "viewer", **viewed()}), flush=True)


if __name__ == "__main__":
    main()
