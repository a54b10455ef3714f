"""What the page of a large run costs: `python -m benchmarks.page`. Needs Chromium.

A run of 50,000 spans, opened in a headless browser from a server that has not read it yet, until its timeline is drawn and follows a key, until all
of the page is there, and once more; live and sealed, beside the reader alone on the same spans. Then what a frame costs the page's main thread while
the timeline is zoomed. The target is absolute: usable within 1.5 seconds.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright

from benchmarks._measure import Figure, Samples, arguments, report
from benchmarks._spans import recordings
from massgen_tracing.serve import running, viewing
from massgen_tracing.store.roots import catalogue, reader
from massgen_tracing.store.sealing import seal

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


USABLE_SECONDS = 1.5


@dataclass(frozen=True)
class Page:
    """What opening a page took.

    Attributes:
        usable: seconds until its timeline was drawn and had followed a key.
        whole: seconds until all of it was there.
        cpu: seconds of processor time of the server, and of what drives the browser, until it was usable.
        drawing: seconds of processor time of the page's main thread until then.
        frame: milliseconds of the main thread for a frame of zooming.
    """

    usable: float
    whole: float
    cpu: float
    drawing: float
    frame: float


async def opened(browser: Browser, url: str) -> Page:
    """Open a page that nobody has opened."""
    page = await browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(300_000)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def busy() -> float:
        told: dict[str, Any] = await session.send("Performance.getMetrics")
        return next(float(each["value"]) for each in told["metrics"] if each["name"] == "TaskDuration")

    began, cpu = time.perf_counter(), time.process_time()
    await page.goto(f"{url}/run", wait_until="commit")
    await page.locator("canvas[data-drawn]").wait_for()
    await page.keyboard.press("w")
    await page.locator(".mini .window").wait_for()  # what is in view, once that is not all of it
    usable, used, drawing = time.perf_counter() - began, time.process_time() - cpu, await busy()
    await page.get_by_role("tablist").wait_for()
    whole = time.perf_counter() - began
    before = await busy()
    await page.evaluate(ZOOM, FRAMES)
    frame = (await busy() - before) * 1000 / FRAMES
    await page.close()
    return Page(usable, whole, used, drawing, frame)


async def measured(written: Path, rounds: int) -> tuple[dict[str, list[Page]], Samples]:
    """The pages by what was opened, and what the reader alone took."""
    pages: dict[str, list[Page]] = {"live": [], "again": [], "sealed": []}
    read = []
    async with async_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(shutil.copytree(written, Path(folder) / "root"))
                with running.listener("127.0.0.1", 0) as of, running.running(viewing.application(root), of) as url:
                    pages["live"].append(await opened(browser, url))
                    pages["again"].append(await opened(browser, url))
                other = Path(shutil.copytree(written, Path(folder) / "other"))
                began = time.perf_counter()
                reader.read(catalogue.files(other))
                read.append(time.perf_counter() - began)
                for path in catalogue.files(other):
                    seal.seal(path)
                with running.listener("127.0.0.1", 0) as of, running.running(viewing.application(other), of) as url:
                    pages["sealed"].append(await opened(browser, url))
        await browser.close()
    return pages, Samples(read)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    args = arguments(str(__doc__), rounds=3, argv=argv)
    with tempfile.TemporaryDirectory() as folder:
        list(recordings(Path(folder), spans=SPANS, spans_a_run=SPANS))
        pages, read = asyncio.run(measured(Path(folder), args.rounds))
    figures = [
        Figure(f"{of}: {what} / reader", Samples([getattr(page, what) for page in taken]), read)
        for of, taken in pages.items()
        for what in ("usable", "whole")
    ]
    code = report(f"The page of {SPANS:,} spans, beside reading them", figures, unit="ms", check=args.check)
    for of, taken in pages.items():
        server, drawing = (min(getattr(page, part) for page in taken) * 1000 for part in ("cpu", "drawing"))
        print(f"  {of}: usable after {server:.0f} ms of the server's processor time and {drawing:.0f} ms of the page's main thread")
    print(f"  a frame while zooming: {min(page.frame for page in pages['live']):.1f} ms of the main thread")
    met = all(min(page.usable for page in taken) <= USABLE_SECONDS for taken in pages.values())
    print(f"  usable within {USABLE_SECONDS} s: {'ok' if met else 'MISSED'}")
    return code or (1 if args.check and not met else 0)


if __name__ == "__main__":
    raise SystemExit(main())
