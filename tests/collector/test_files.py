"""The files of `collector/`: what the programs themselves say of them, and that they name the same versions."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.backends import binaries, running
from tools.backends.binaries import BUILDER, COMPOSE, CONFIGURATION, JAEGER

COMPOSE_FILE = CONFIGURATION / "docker-compose.yaml"
COLLECTORS = {
    "alone": ("collector.yaml",),
    "with Logfire": ("collector.yaml", "logfire.yaml"),
    "for scale": ("collector.yaml", "scale.yaml"),
    "for scale, with Logfire": ("collector.yaml", "scale.yaml", "logfire.yaml"),
}


def composed(**variables: str) -> dict[str, Any]:
    """The compose file as Docker Compose would take it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "LOGFIRE_", "CLICKHOUSE_"))}
    done = subprocess.run([str(COMPOSE.path), str(COMPOSE_FILE)], env={**plain, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def configurations(words: list[str]) -> list[str]:
    """The files that a command line of the Collector names."""
    return [Path(word.removeprefix("--config=")).name for word in words if word.startswith("--config=")]


def images() -> dict[str, str]:
    """The image of each service."""
    return {name: service["image"] for name, service in yaml.safe_load(COMPOSE_FILE.read_text())["services"].items()}


@pytest.mark.binaries
def test_the_compose_file_is_one() -> None:
    """The Compose specification's own reader takes it; ClickHouse is in the profile `scale` alone."""
    assert set(composed()["services"]) == {"collector", "jaeger"}
    assert set(composed(COMPOSE_PROFILES="scale")["services"]) == {"collector", "jaeger", "clickhouse"}


@pytest.mark.binaries
def test_what_is_wrong_in_a_compose_file_is_found(tmp_path: Path) -> None:
    """The check above can fail."""
    wrong = tmp_path / "docker-compose.yaml"
    wrong.write_text(COMPOSE_FILE.read_text().replace("restart:", "restarts:"))
    done = subprocess.run([str(COMPOSE.path), str(wrong)], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "restarts" in done.stderr


@pytest.mark.binaries
@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({}, ("collector.yaml",)),
        ({"LOGFIRE_TOKEN": "of-nobody"}, ("collector.yaml", "logfire.yaml")),
        ({"COMPOSE_PROFILES": "scale"}, ("collector.yaml", "scale.yaml")),
        ({"COMPOSE_PROFILES": "scale", "LOGFIRE_TOKEN": "of-nobody"}, ("collector.yaml", "scale.yaml", "logfire.yaml")),
    ],
    ids=COLLECTORS,
)
def test_the_collector_is_given_what_is_asked_for(variables: dict[str, str], names: tuple[str, ...]) -> None:
    """A token adds Logfire, and the profile adds ClickHouse and sampling; each combination is one that the tests validate."""
    command = composed(**variables)["services"]["collector"]["command"]
    assert tuple(configurations(command)) == names
    assert names in COLLECTORS.values()
    assert running.GATE in command


def test_images_are_the_programs_that_are_tried() -> None:
    """The versions of the Collector's and Jaeger's images are those of the programs that the tests run, and each image names its version."""
    assert images()["collector"] == f"otel/opentelemetry-collector-contrib:{BUILDER.version}"
    assert images()["jaeger"] == f"jaegertracing/jaeger:{JAEGER.version}"
    assert all(re.fullmatch(r"[^:]+:\d+\.\d+(\.\d+)*", image) for image in images().values())
    manifest = yaml.safe_load((CONFIGURATION / "builder.yaml").read_text())
    assert manifest["dist"]["version"] == BUILDER.version


@pytest.mark.binaries
def test_the_programs_say_their_versions() -> None:
    """What was built is what it is called."""
    said = subprocess.run([str(binaries.collector()), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[-1] == BUILDER.version
    modules = subprocess.run(["go", "version", "-m", str(JAEGER.path)], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"\bgithub\.com/jaegertracing/jaeger\s+{re.escape(JAEGER.module.rpartition('@')[2])}\b", modules)


@pytest.mark.binaries
@pytest.mark.parametrize("names", COLLECTORS.values(), ids=COLLECTORS)
def test_the_collector_takes_its_configuration(names: tuple[str, ...]) -> None:
    """`validate` finds nothing wrong in each combination that is offered, and warns of no deprecated name."""
    words = [str(binaries.collector()), "validate", running.GATE, *(f"--config={CONFIGURATION / name}" for name in names)]
    done = subprocess.run(words, env={**os.environ, "LOGFIRE_TOKEN": "of-nobody"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecat" not in (done.stderr + done.stdout).lower()


@pytest.mark.binaries
def test_jaeger_takes_its_configuration() -> None:
    """Its own `validate` finds nothing wrong."""
    done = subprocess.run([str(JAEGER.path), "validate", f"--config={CONFIGURATION / 'jaeger.yaml'}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.binaries
@pytest.mark.parametrize("name", ["collector.yaml", "scale.yaml"])
def test_what_is_wrong_in_a_configuration_is_found(name: str, tmp_path: Path) -> None:
    """The check above can fail; but not in `logfire.yaml`, for the exporter for OTLP over HTTP takes any name without a word."""
    wrong = tmp_path / name
    wrong.write_text((CONFIGURATION / name).read_text().replace("sending_queue:", "sending_kew:"))
    beside = [] if name == "collector.yaml" else [f"--config={CONFIGURATION / 'collector.yaml'}"]
    words = [str(binaries.collector()), "validate", running.GATE, *beside, f"--config={wrong}"]
    done = subprocess.run(words, env={**os.environ, "LOGFIRE_TOKEN": "of-nobody"}, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "sending_kew" in done.stderr
