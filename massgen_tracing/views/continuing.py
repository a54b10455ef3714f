"""Going on with a run that was asked something before: its directory, and what was said in it."""

from __future__ import annotations

from pathlib import Path

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.insight.summary import summarise
from massgen_tracing.projection.artifacts import METADATA_FILE
from massgen_tracing.store.roots import catalogue, lookup, reader

Said = tuple[str, str]
"""A question and the final answer to it."""


def attempts_of(root: str, name: str) -> list[layout.RunDirectory]:
    """Every attempt of the run that *name* means: its directory, something in it, or its name under *root*.

    Raises:
        ConfigError: if there is no such run, or nothing in it.
    """
    place = lookup.place_named(root, name)
    run = None if place is None else layout.run_of(place)
    attempts = [] if run is None else layout.attempts(run.log_dir)
    if not attempts:
        hint = f"`massgen-tracing logs list --root {root}` shows the runs"
        raise ConfigError("There is no run to go on with", expected="a run's directory, or its name", got=name, hint=hint)
    return attempts


def question_of(attempt: layout.RunDirectory) -> str:
    """What was asked in an attempt; empty where neither its recording nor, for want of one, MassGen's own file says it."""
    return summarise(reader.read(catalogue.files(attempt.attempt_dir)).spans).question or _written(attempt.attempt_dir / METADATA_FILE)


def _written(path: Path) -> str:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    query = data.get("query") if isinstance(data, dict) else None
    return query if isinstance(query, str) else ""


def history(attempts: list[layout.RunDirectory], before: int) -> list[Said]:
    """What was said in the turns before one, by the latest attempt of each that has an answer."""
    said: dict[int, Said] = {}
    for attempt in attempts:
        answer = _answer(attempt.attempt_dir / layout.FINAL_DIR) if attempt.turn < before else None
        if answer is not None:
            said[attempt.turn] = (question_of(attempt), answer)
    return [said[turn] for turn in sorted(said)]


def _answer(final: Path) -> str | None:
    """The final answer in an attempt's directory; None where there is none."""
    path = next(iter(sorted(final.glob(f"*/{layout.ANSWER_FILE}"))), None)
    return None if path is None else path.read_text(encoding="utf-8", errors="replace")
