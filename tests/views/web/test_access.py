"""The pages are for everybody: what axe finds, what the keyboard reaches, and what is seen of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.views.web.recorded import CONVENTIONS, FAULTY, ORDINARY

playwright = pytest.importorskip("playwright.async_api")
expect = playwright.expect
expect.set_options(timeout=600_000)
pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = Path(__file__).parents[3] / "web/node_modules/axe-core/axe.min.js"
RUN = f"/run?run={FAULTY}"

PAGES = {
    "runs": ("/", ".card"),
    "course": (RUN, ".course .box"),
    "a winner": (f"/run?run={ORDINARY}", ".course .star"),
    "spans and details": (f"{RUN}&tab=spans&span=0000000000000015", ".details .section"),
    "answers": (f"/run?run={ORDINARY}&tab=answers", ".answer"),
    "cost": (f"{RUN}&tab=cost", ".panel table"),
    "time": (f"{RUN}&tab=time", ".panel table"),
    "errors": (f"{RUN}&tab=errors", "ol.errors"),
    "findings": (f"{RUN}&tab=findings", ".finding"),
    "a conversation": (f"/run?run={CONVENTIONS}&span=0000000000000015", ".message.assistant"),
    "SQL": ("/sql?sql=SELECT+span_name,duration+FROM+records+LIMIT+5&show=chart", ".drawn .hbars"),
    "dashboards": ("/dashboards", ".uplot"),
    "comparison": (f"/compare?first={ORDINARY}&second={FAULTY}", ".compared table"),
    "an error": ("/run?run=log_19990101_000000_000000", "[role=alert]"),
}
"""Each page, and what is there once it is whole."""

FOUND = """async options => (await axe.run(document, {resultTypes: ["violations"], ...options})).violations
    .map(each => `${each.id}: ${each.help}: ${each.nodes.map(node => node.html.slice(0, 120)).join(" | ")}`)"""


@pytest.mark.parametrize("shown", list(PAGES))
async def test_axe_finds_nothing_in_light_or_dark(page: Any, shown: str) -> None:
    """All of its rules in light; in dark, whose structure is the same, those about colours."""
    if not AXE.exists():
        pytest.skip("there is no axe-core here: make web")
    address, whole = PAGES[shown]
    await page.goto(address)
    await page.locator(whole).first.wait_for()
    await page.evaluate(AXE.read_text("utf-8"))
    assert await page.evaluate(FOUND, {}) == []
    await page.get_by_label("Dark colours").click()
    await page.mouse.move(0, 0)
    assert await page.evaluate(FOUND, {"runOnly": ["color-contrast", "link-in-text-block"]}) == []


FOCUSABLE = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0'], [contenteditable=true]")]
    .filter(each => !each.disabled && each.tabIndex >= 0 && each.getClientRects().length).map((each, place) => (each.dataset.place = place))"""
"""All that the keyboard is to reach, numbered."""

HERE = """() => {
    const here = document.activeElement, style = getComputedStyle(here), box = here.querySelector(":scope > rect");
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const edged = box !== null && parseFloat(getComputedStyle(box).strokeWidth) > 2;
    const editor = here.closest(".cm-editor");
    return {place: here.dataset.place ?? null, seen: outlined || edged || (editor !== null && getComputedStyle(editor).outlineStyle !== "none"),
            what: here.outerHTML.slice(0, 100)};
}"""


@pytest.mark.parametrize("shown", ["runs", "course", "spans and details", "comparison"])
async def test_the_keyboard_reaches_everything_and_it_is_seen_where_one_is(page: Any, shown: str) -> None:
    """By Tab alone; what has the focus has a frame."""
    address, whole = PAGES[shown]
    await page.goto(address)
    await page.locator(whole).first.wait_for()
    wanted = {str(place) for place in await page.evaluate(FOCUSABLE)}
    assert len(wanted) > 5
    reached: set[str] = set()
    for _ in range(2 * len(wanted)):
        await page.keyboard.press("Tab")
        here = await page.evaluate(HERE)
        if here["place"] is None:
            continue
        assert here["seen"], here["what"]
        reached.add(here["place"])
        if reached == wanted:
            break
    assert reached == wanted


async def test_a_span_is_found_read_and_left_by_keys(page: Any) -> None:
    """Searching, the next match, the timeline's arrows, a tab by its arrows, and back."""
    await page.goto(RUN)
    await page.locator(".course .box").first.wait_for()
    await page.keyboard.press("/")
    await page.keyboard.type("crawl")
    await expect(page.get_by_role("search")).to_contain_text("match")
    await page.keyboard.press("Enter")
    heading = page.get_by_label("Details of the span").locator("h2")
    await expect(heading).to_contain_text("crawl")
    await page.get_by_role("group", name="Lanes").focus()
    await page.keyboard.press("ArrowUp")
    await expect(heading).to_have_text("round 1: answer agent2.1")
    await page.get_by_role("tab", name="Course").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Spans")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(heading).to_have_count(0)
