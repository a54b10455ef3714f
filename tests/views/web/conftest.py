"""One server and one browser for all tests of the pages; a page of its own for each, which must ask nobody else and complain of nothing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from massgen_tracing.serve import running, viewing
from tests.views.web import recorded

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_KNOWN = ("status of 400", "status of 404", "Applying inline style violates")
"""Of what a browser complains without fault: answers that a test asks for; a style of Chromium's own where text is typed over other text."""


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the recordings lie."""
    place = tmp_path_factory.mktemp("pages")
    recorded.make(place)
    return place


@pytest.fixture(scope="session")
def site(root: Path) -> Iterator[str]:
    """The address of a server of them."""
    with running.listener("127.0.0.1", 0) as of, running.running(viewing.application(root), of) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, as Debian has it."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: str) -> AsyncIterator[Page]:
    """An empty page of 1280 by 900; at its end it has asked the server alone, and neither it nor the browser has complained."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, base_url=site, color_scheme="light")
    context.set_default_timeout(600_000)
    made = await context.new_page()
    complaints: list[str] = []
    made.on("console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("request", lambda request: None if request.url.startswith((site, "data:", "file:")) else complaints.append(f"asked {request.url}"))
    yield made
    await context.close()
    assert [each for each in complaints if not any(known in each for known in _KNOWN)] == []
