"""What the page of a large run costs: `python -m benchmarks.page`. Needs Chromium.

A run of 50,000 spans, opened in a headless browser from a server that has not read it yet, until its timeline is drawn, and until all of the page is
there; beside the reader alone on the same spans. Then what a frame costs the page's main thread while the timeline is zoomed.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright

from benchmarks._measure import Figure, Samples, arguments, report
from benchmarks._spans import recordings
from massgen_tracing.serve import running, viewing
from massgen_tracing.store.roots import catalogue, reader

SPANS = 50_000
FRAMES = 60
ZOOM = """async frames => {
    const lanes = document.querySelector(".lanes"), box = lanes.getBoundingClientRect();
    for (let frame = 0; frame < frames; frame++) {
        lanes.dispatchEvent(new WheelEvent("wheel", {deltaY: frame < frames / 2 ? -40 : 40, ctrlKey: true, clientX: box.left + 600, cancelable: true,
            bubbles: true}));
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
}"""


async def opened(browser: Browser, url: str) -> tuple[float, float, float]:
    """Seconds until the timeline was drawn, and until the page was whole; milliseconds of the main thread for a frame of zooming."""
    page = await browser.new_page(viewport={"width": 1400, "height": 900})
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def busy() -> float:
        told: dict[str, Any] = await session.send("Performance.getMetrics")
        return next(float(each["value"]) for each in told["metrics"] if each["name"] == "TaskDuration")

    began = time.perf_counter()
    await page.goto(f"{url}/run")
    await page.locator("canvas[data-drawn]").wait_for()
    drawn = time.perf_counter() - began
    await page.get_by_role("tablist").wait_for()
    whole = time.perf_counter() - began
    before = await busy()
    await page.evaluate(ZOOM, FRAMES)
    frame = (await busy() - before) * 1000 / FRAMES
    await page.close()
    return drawn, whole, frame


async def measured(written: Path, rounds: int) -> tuple[dict[str, Samples], list[float]]:
    """The samples, and the milliseconds of each round's frames."""
    seconds: dict[str, list[float]] = {"drawn": [], "whole": [], "again": [], "reader": []}
    frames = []
    async with async_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(shutil.copytree(written, Path(folder) / "root"))
                with running.listener("127.0.0.1", 0) as of, running.running(viewing.application(root), of) as url:
                    drawn, whole, frame = await opened(browser, url)
                    again, _, _ = await opened(browser, url)
                frames.append(frame)
                other = Path(shutil.copytree(written, Path(folder) / "other"))
                began = time.perf_counter()
                reader.read(catalogue.files(other))
                for name, taken in zip(seconds, (drawn, whole, again, time.perf_counter() - began), strict=True):
                    seconds[name].append(taken)
        await browser.close()
    return {name: Samples(taken) for name, taken in seconds.items()}, frames


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    args = arguments(str(__doc__), rounds=3, argv=argv)
    with tempfile.TemporaryDirectory() as folder:
        list(recordings(Path(folder), spans=SPANS, spans_a_run=SPANS))
        samples, frames = asyncio.run(measured(Path(folder), args.rounds))
    figures = [Figure(f"{what} / reader", samples[what], samples["reader"]) for what in ("drawn", "whole", "again")]
    code = report(f"The page of {SPANS:,} spans, beside reading them", figures, unit="ms", check=args.check)
    print(f"a frame while zooming: {min(frames):.1f} ms of the main thread")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
