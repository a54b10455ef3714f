"""`massgen-tracing logs analyze --mode self`: three agents judge what was computed of a run, in a traced run of their own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from massgen_tracing import layout
from massgen_tracing.errors import ConfigError
from massgen_tracing.views import options
from massgen_tracing.views.cli import EXIT_OK, analyze

if TYPE_CHECKING:
    from massgen_tracing.runs.coordinator.config import RunConfig
    from massgen_tracing.runs.coordinator.coordinator import Coordination
    from massgen_tracing.runs.coordinator.progress import Progress
    from massgen_tracing.views.report.subject import Subject

COMMAND: Final = "logs analyze"
ROOT: Final = "analysis"
"""In the root of the run: the root of the runs that analyse it, so that they are not among those that there are to analyse."""


def run(args: argparse.Namespace, subject: Subject) -> int:
    """Have the run judged, and write the report with what comes of it."""
    from massgen_tracing.views.report import build, facts, judgement, markdown

    path = analyze.path_of(subject)
    if path is not None:
        analyze.allow(path, force=args.force)
    document = facts.document(subject)
    with tempfile.TemporaryDirectory(prefix="massgen_tracing_facts_") as folder:
        computed = Path(folder) / "facts.json"
        computed.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
        coordination, models = _judge(args, subject, computed)
    by = f"three agents ({models}) in the run {_name(coordination)}, trace {coordination.trace_id}"
    written = markdown.render(build(subject, judgement.sections(_said(coordination), document, by)))
    if path is None:
        print(written, end="")
        return EXIT_OK
    analyze.write(path, written)
    analyze.say(subject)
    print(f"judged by: {_name(coordination)}, trace {coordination.trace_id}")
    print(f"report: {path}")
    return EXIT_OK


def _judge(args: argparse.Namespace, subject: Subject, computed: Path) -> tuple[Coordination, str]:
    """Carry the analysis run to its end; returns it, and the models that took part."""
    import massgen_tracing as mt
    from massgen_tracing.runs.coordinator import judging, packages
    from massgen_tracing.views.report.prompt import NEUTRAL, QUESTIONS

    packages.check("openai", "mcp", *(["starlette", "uvicorn"] if args.dry_run else []))
    config = judging.configured(_given(args), computed, sys.executable)
    models = ", ".join(f"{agent.id}: {agent.model}" for agent in config.agents)
    # Logfire's plugin for pydantic would load Logfire with the first model class, which costs half a second and does nothing here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "logfire-plugin")
    with contextlib.ExitStack() as stack:
        if args.dry_run:
            from massgen_tracing.runs.coordinator.scripted import ScriptedEndpoint

            endpoint = stack.enter_context(ScriptedEndpoint(judging.JudgingScript()))
            config = dataclasses.replace(config, agents=tuple(map(endpoint.redirect, config.agents)))
            models = f"a script in the place of {models}"
        root = Path(subject.root) / ROOT if Path(subject.root).is_dir() else Path(layout.DEFAULT_ROOT) / ROOT
        tracer = mt.configure(root=str(root), record=True)
        stack.callback(mt.shutdown)
        from massgen_tracing.runs.coordinator.coordinator import Coordination

        last = subject.analysis.last
        about = last.session if last is not None else subject.analysis.parts.spans[0]
        coordination = Coordination(
            config,
            judging.question(subject.title, QUESTIONS, NEUTRAL),
            tracer=tracer,
            on_progress=_show,
            of=(about.trace_id, about.span_id),
        )
        asyncio.run(coordination.run())
    return coordination, models


def _given(args: argparse.Namespace) -> RunConfig | None:
    from massgen_tracing.runs.coordinator.config_file import load_config

    if args.config is not None:
        return load_config(args.config, keys_needed=not args.dry_run)
    if args.dry_run:
        return None
    raise ConfigError(
        "There are no agents for the analysis",
        expected="--config FILE with three of them, or --dry-run",
        hint="examples/analysis.yaml is one; its endpoint and its models are yours to choose",
    )


def _said(coordination: Coordination) -> dict[str, str]:
    """The last answer of each agent, as the recording of their run has it; the final answer where it has none."""
    from massgen_tracing.insight.decisions import coordinations
    from massgen_tracing.insight.parts import Parts
    from massgen_tracing.runs.coordinator.judging import VIEWS
    from massgen_tracing.store.roots import catalogue, reader

    found: dict[str, str] = {}
    if coordination.directory is not None:
        recorded = reader.read(catalogue.files(coordination.directory.attempt_dir)).spans
        for each in coordinations(Parts(recorded)):
            found |= {answer.agent_id: answer.text for answer in each.answers if answer.text}
    if not found and coordination.result is not None:
        found = {coordination.result.winner: coordination.result.answer}
    return {view: found[view] for view in sorted(found, key=lambda view: [*VIEWS, view].index(view))}


def _name(coordination: Coordination) -> str:
    return "without a directory" if coordination.directory is None else coordination.directory.run_id


def _show(progress: Progress) -> None:
    if progress.kind in {"answer", "vote", "failed", "timeout"}:
        options.note(COMMAND, f"{progress.agent_id}: {progress.kind} {progress.text}" if progress.agent_id else progress.text)
