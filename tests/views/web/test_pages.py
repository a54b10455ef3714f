"""What a person does on the pages, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import massgen_tracing as mt
from massgen_tracing.insight.overview import overview
from massgen_tracing.serve import running, viewing
from massgen_tracing.views import text
from massgen_tracing.views.cli import main
from massgen_tracing.views.report import analysed
from tests.views.web.recorded import CONVENTIONS, FAULTY, FRAMEWORK, HOSTILE, LONG, ORDINARY, TURNS

playwright = pytest.importorskip("playwright.async_api")
expect = playwright.expect
expect.set_options(timeout=600_000)  # as long as pytest waits for a test: none judges a time
pytestmark = pytest.mark.asyncio(loop_scope="session")

RUN = f"/run?run={FAULTY}"
DRAWN = "canvas[data-drawn]"
"""The timeline, once it has been drawn."""


async def see(page: Any, address: str) -> None:
    """Open a run's page and wait until all of it is there."""
    await page.goto(address)
    await page.locator(DRAWN).wait_for()
    await page.get_by_role("tablist").wait_for()


async def test_the_runs_are_listed_and_one_opens(page: Any) -> None:
    """The newest first, with what came of each; a click opens one, the back button leads to the list again; the list is filtered by words."""
    await page.goto("/")
    cards = page.locator(".card h2")
    await expect(cards.first).to_be_visible()
    assert await cards.count() == 5
    await expect(page.locator(".card", has_text=FAULTY)).to_contain_text("9 errors")
    await expect(page.locator(".card", has_text=ORDINARY)).to_contain_text("★ a")
    await page.get_by_label("Filter the runs").fill("tunnel")
    await expect(cards).to_have_count(1)
    await page.get_by_role("link", name="And which tunnel?").click()
    await expect(page.locator("h1")).to_have_text("And which tunnel?")
    await page.go_back()
    await expect(page.locator("h1")).to_have_text("Runs")
    await expect(cards).to_have_count(1)


async def test_a_run_says_at_its_head_what_the_command_line_says(page: Any, root: Path) -> None:
    """Time, calls, tokens and cost, with what is not known; agents are lanes."""
    await see(page, RUN)
    found = overview(analysed.find(str(root), FAULTY).recording.spans).summary
    figures = dict(zip(await page.locator(".figures dt").all_inner_texts(), await page.locator(".figures dd").all_inner_texts(), strict=True))
    assert figures["took"] == text.duration(found.seconds)
    assert figures["model calls"] == str(found.llm_calls)
    assert figures["tool calls"] == str(found.tool_calls)
    assert figures["cost"] == text.cost(found.usage.cost, at_least=found.costless_calls > 0)
    assert figures["tokens in → out"].replace(" ", "") == text.tokens(found.usage.input, found.usage.output).removesuffix(" tok")
    assert [name.split("\n")[0] for name in await page.locator(".lane-name").all_inner_texts()] == ["coordination", "a", "b", "c"]


async def test_errors_come_first_and_lead_to_their_spans(page: Any) -> None:
    """One after the other, and around."""
    await see(page, RUN)
    alarm = page.get_by_role("region", name="Errors")
    await expect(alarm).to_contain_text("9 errors · b round 0: RuntimeError: the box is broken")
    await alarm.get_by_role("button", name="Next error").click()
    await expect(alarm).to_contain_text("1 of 9")
    details = page.get_by_label("Details of the span")
    await expect(details).to_contain_text("RuntimeError: the box is broken")
    await expect(details).to_contain_text("raise RuntimeError")
    await page.keyboard.press("Shift+E")
    await expect(alarm).to_contain_text("9 of 9")


COLOURS = """canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true}), seen = {};
    copy.drawImage(canvas, 0, 0);
    const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
        const colour = "#" + [0, 1, 2].map(part => data[at + part].toString(16).padStart(2, "0")).join("");
        seen[colour] = (seen[colour] || 0) + 1;
    }
    return Object.keys(seen).filter(colour => seen[colour] > 20);
}"""
"""The colours of a canvas, each of which is not rare."""


async def drawn_in(page: Any, *colours: str) -> None:
    """Wait until the timeline has all of these colours."""
    canvas = await page.query_selector(DRAWN)
    await page.wait_for_function(f"([canvas, wanted]) => {{ const found = ({COLOURS})(canvas); return wanted.every(each => found.includes(each)); }}",
                                 arg=[canvas, colours])  # fmt: skip


async def test_the_timeline_draws_what_the_spans_are(page: Any) -> None:
    """Model calls, tools, what failed, and what rounds came to, each in its colour; in dark and in light."""
    await see(page, RUN)
    await drawn_in(page, "#3c6fd0", "#14796b", "#c3352b", "#bfe3cd", "#c5d8f7", "#f4dcbc")
    await page.get_by_label("Dark colours").click()
    await drawn_in(page, "#7ea6f4", "#4fc0ae", "#f4796f", "#1f4733")
    await page.reload()
    await page.locator(DRAWN).wait_for()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_the_timeline_is_as_large_as_the_window_lets_it_be(page: Any) -> None:
    """It is drawn again when the window changes, and there is nothing to scroll where all of it is in view."""
    await see(page, RUN)
    sizes = "() => { const box = document.querySelector('.lanes'); return [box.scrollHeight - box.clientHeight, box.querySelector('canvas').width]; }"
    hidden, before = await page.evaluate(sizes)
    assert hidden == 0
    await page.set_viewport_size({"width": 900, "height": 380})
    await page.wait_for_function(f"before => ({sizes})()[1] < before", arg=before)
    for _ in range(8):  # so that all rows are as high as they get
        await page.keyboard.press("w")
    await page.wait_for_function(f"() => ({sizes})()[0] > 0")
    assert await page.locator(".lanes").evaluate("box => box.clientHeight") == 0.52 * 380 // 1
    assert await page.locator(DRAWN).evaluate("canvas => canvas.height") == 0.52 * 380 // 1


async def test_rows_of_marks_are_thin_until_one_looks_closer(page: Any) -> None:
    """What is too short to be told from a mark takes little room, and the same row has room for names where it is long enough."""
    await see(page, RUN)
    height = "document.querySelector('.lanes .inside').offsetHeight"
    whole = await page.evaluate(height)
    for _ in range(8):
        await page.keyboard.press("w")
    await page.wait_for_function(f"whole => {height} > whole", arg=whole)
    await page.keyboard.press("0")
    await page.wait_for_function(f"whole => {height} === whole", arg=whole)


async def test_the_legend_has_what_there_is(page: Any) -> None:
    """Of this run: no votes where nobody votes, agents where frameworks name them."""
    legend = page.get_by_label("Colours", exact=True)
    await see(page, RUN)
    answered = ["answer\n●", "vote\n▲", "thrown away\n◆"]
    assert await legend.locator("li").all_inner_texts() == ["model call", "tool", *answered, "failed", "nothing went on"]
    await see(page, f"/run?run={FRAMEWORK}")
    assert await legend.locator("li").all_inner_texts() == ["model call", "tool", "agent"]


async def test_a_click_in_the_timeline_shows_the_span_and_the_address_keeps_it(page: Any) -> None:
    """Whoever opens the address sees the same."""
    await see(page, RUN)
    box = await page.locator(DRAWN).bounding_box()
    await page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 115)
    await expect(page.locator(".tip")).to_contain_text("mcp__box__crawl")
    await page.mouse.click(box["x"] + 0.62 * box["width"], box["y"] + 115)
    heading = page.get_by_label("Details of the span").locator("h2")
    await expect(heading).to_have_text("Tool execution: mcp__box__crawl")
    address = page.url
    assert "span=" in address
    await page.get_by_role("button", name="↑ parent").click()
    await expect(heading).to_contain_text("round 1")
    await page.goto(address)
    await expect(heading).to_have_text("Tool execution: mcp__box__crawl")
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Details of the span")).to_have_count(0)


async def test_the_timeline_is_zoomed_by_keys_by_the_wheel_and_by_a_drag(page: Any) -> None:
    """And the address keeps what is shown."""
    await see(page, RUN)
    shown = page.locator(".range")
    await expect(shown).to_have_text("2m58s")
    await page.keyboard.press("w")
    await expect(shown).to_have_text(re.compile(r"1m47s from \+35\.\d+s"))
    await page.keyboard.press("d")
    await expect(shown).to_have_text(re.compile(r"1m47s from \+1m02s"))
    await page.keyboard.press("0")
    await expect(shown).to_have_text("2m58s")
    box = await page.locator(DRAWN).bounding_box()
    middle = box["y"] + 20
    await page.mouse.move(box["x"] + 100, middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 400, middle, steps=4)
    await page.mouse.up()
    await expect(shown).to_have_text(re.compile(r"4\d\.\d+s from \+1[45]\.\d+s"))
    await page.wait_for_url(re.compile("from="))
    dragged, address = await shown.inner_text(), page.url
    await page.keyboard.down("Control")
    await page.mouse.wheel(0, 100)
    await page.keyboard.up("Control")
    await expect(shown).not_to_have_text(dragged)
    said = await shown.inner_text()
    await page.wait_for_url(lambda now: now != address)
    await page.reload()
    await page.locator(DRAWN).wait_for()
    await expect(shown).to_have_text(said)


async def test_the_list_of_spans_is_walked_by_keys(page: Any) -> None:
    """Down, up, to the parent, closed and opened; what is in view is all that the document has of it."""
    await see(page, f"{RUN}&tab=spans")
    tree = page.get_by_role("tree", name="Spans")
    await tree.focus()
    await tree.press("j")
    selected = tree.locator("[aria-selected=true]")
    await expect(selected).to_contain_text("coordination.session")
    await expect(tree.get_by_role("treeitem", name="b round 1: answer agent2.1")).to_be_attached()
    await tree.press("ArrowDown")
    await tree.press("ArrowDown")
    await expect(selected).to_contain_text("round 0: answer agent1.1")
    await tree.press("h")
    await expect(selected).to_have_attribute("aria-expanded", "false")
    await tree.press("l")
    await tree.press("l")
    await expect(selected).to_contain_text("llm.openai.stream")
    await tree.press("ArrowLeft")
    await expect(selected).to_contain_text("round 0")
    await tree.press("End")
    await expect(selected).to_be_in_viewport()
    assert await tree.get_by_role("treeitem").count() < 60


async def test_words_and_values_are_found_in_a_run(page: Any) -> None:
    """One match after the other; the rest is dimmed, and the list has what was found and where it is."""
    await see(page, f"{RUN}&tab=spans")
    await page.keyboard.press("/")
    await page.keyboard.type('"the disk is full"')
    search = page.get_by_role("search")
    await expect(search).to_contain_text("2 matches")
    await page.keyboard.press("Enter")
    await expect(search).to_contain_text("1 of 2")
    await expect(page.get_by_label("Details of the span")).to_contain_text("Error: the disk is full")
    await expect(page.locator(".outline")).to_contain_text("2 spans found")
    await page.get_by_label("Search in the run").fill("kind=model agent=b -state=error")
    await expect(search).to_contain_text("4 matches")
    await page.get_by_label("Search in the run").fill("nothing of the kind")
    await expect(search).to_contain_text("0 matches")


async def test_a_conversation_is_read_as_one_and_nothing_in_it_is_markup(page: Any) -> None:
    """Tags stand there as they were written, Markdown is set, numbers keep their digits; as it is on demand."""
    await see(page, f"/run?run={CONVENTIONS}&span=0000000000000015")
    details = page.get_by_label("Details of the span")
    roles = details.locator(".message h4")
    await expect(roles.first).to_have_text("system")
    assert await roles.all_inner_texts() == ["system", "user", "assistant"]
    await expect(details.locator(".message.user")).to_contain_text("Use the <plan>secret</plan> tag.")
    await expect(details.locator(".message.user")).to_contain_text("<script>alert(1)</script>")
    await expect(details.locator(".message.assistant li").first).to_have_text("stone")
    await expect(details.locator(".reasoning")).to_contain_text("It wants a plan.")
    await expect(details.locator(".call")).to_contain_text('"exact": 9007199254740993')
    assert await details.locator("img, script, plan, a[href^=javascript]").count() == 0
    await details.locator(".message.assistant").get_by_role("button", name="raw").nth(1).click()
    await expect(details.locator(".message.assistant")).to_contain_text("# Plan")


async def test_a_long_value_says_how_much_more_there_is(page: Any) -> None:
    """And all of it is shown when it is asked for."""
    await see(page, f"/run?run={CONVENTIONS}&span=000000000000001e")
    result = page.locator(".section", has_text="It gave").locator(".plain").first
    await expect(result).not_to_contain_text("the end")
    await result.get_by_role("button", name=f"Show all of it: {len(LONG) - 3000:,} more characters").click()
    await expect(result).to_contain_text("the end")


async def test_nothing_that_spans_say_is_markup_anywhere(page: Any) -> None:
    """Neither in questions, answers, names, arguments nor reasons."""
    for tab in ("course", "spans", "answers", "cost", "time", "findings"):
        await see(page, f"/run?run={HOSTILE}&tab={tab}")
        await expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")
        assert await page.locator("#content").locator("img, script, plan, a[href^=javascript]").count() == 0
    await page.goto("/")
    await expect(page.locator(".card", has_text=HOSTILE)).to_contain_text("<plan>keep me</plan>")


async def test_the_decision_is_a_picture(page: Any) -> None:
    """Each round a box with what it came to; who saw what, voted for whom and made whom start again are lines; a click shows the round."""
    await see(page, RUN)
    picture = page.locator(".course svg").first
    boxes = await picture.locator(".box").evaluate_all("boxes => boxes.map(box => box.getAttribute('aria-label'))")
    assert len(boxes) == 12
    assert "a: answer agent1.1 round 0 · 1m11s; was shown no answer" in boxes
    assert any(label.startswith("c: restarted by a round 0 ") for label in boxes)
    assert any(label.startswith("b: vote for agent3.1 round 2 · 2.10s; was shown agent1.1, agent2.1, agent3.1") for label in boxes)
    assert await picture.locator(".edge.vote").count() == 2
    assert await picture.locator(".edge.lost").count() == 3
    await picture.get_by_role("button", name="b: vote for agent3.1").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Details of the span").locator("h2")).to_have_text("round 2: vote for agent3.1")
    await page.goto(f"/run?run={ORDINARY}")
    await expect(page.locator(".tally")).to_have_text("★ a won with agent1.1: most votes. Votes that stand: agent1.1 2, agent2.1 1.")


async def test_answers_are_read_with_who_voted_for_them(page: Any) -> None:
    """The final one first."""
    await see(page, f"/run?run={ORDINARY}&tab=answers")
    answers = page.locator(".answer")
    await expect(answers.first).to_contain_text("Final answer of a")
    await expect(page.locator(".answer", has_text="agent1.1 of a")).to_contain_text("b voted for it: It is the most complete.")


async def test_cost_is_told_by_agent_and_model_with_what_is_unknown(page: Any, root: Path) -> None:
    """The same rows as `massgen-tracing summary` has."""
    await see(page, f"{RUN}&tab=cost")
    table = page.locator(".panel table").first
    found = overview(analysed.find(str(root), FAULTY).recording.spans)
    rows = [await row.locator("td").all_inner_texts() for row in await table.locator("tbody tr").all()]
    assert [(row[0], row[1], row[2]) for row in rows] == [(each.agent_id, each.model, str(each.calls)) for each in found.used]
    assert [row[6] for row in rows] == [text.cost(each.usage.cost, at_least=each.costless_calls > 0) or "unknown" for each in found.used]
    await expect(page.locator(".panel")).to_contain_text("The cost of 2 calls is not known")
    assert await page.locator(".panel table").nth(1).locator("tbody tr").count() == len(found.wasted)


async def test_the_critical_path_stands_out(page: Any) -> None:
    """In the list of spans what is not on it is dimmed."""
    await see(page, f"{RUN}&tab=spans")
    await page.get_by_role("button", name="critical path").click()
    crawl = page.get_by_role("treeitem", name=re.compile("Tool execution: mcp__box__crawl"))
    await expect(crawl).not_to_have_class(re.compile("dim"))
    assert await page.locator(".row.dim").count() > 3
    await page.goto(f"{RUN}&tab=time")
    await expect(page.locator(".panel tbody tr").first).to_contain_text("mcp__box__crawl")
    await expect(page.locator(".panel")).to_contain_text("mcp.box.search")
    await page.get_by_title("Show it in the timeline").click()
    await expect(page.locator(".range")).to_contain_text("1m")
    await expect(page.locator(".mini .window")).to_be_visible()


async def test_findings_lead_to_their_evidence(page: Any) -> None:
    """Each with its severity and what to do."""
    await see(page, f"{RUN}&tab=findings")
    finding = page.locator(".finding", has_text="retry_storm")
    await expect(finding).to_have_class(re.compile("high"))
    await finding.get_by_role("button").first.click()
    await expect(page.get_by_label("Details of the span").locator("h2")).to_contain_text("mcp__box__fetch")


async def test_a_run_is_played_again(page: Any) -> None:
    """What was not yet at a moment is not shown in the picture either."""
    await see(page, RUN)
    await page.get_by_role("button", name="Replay the run").click()
    await page.get_by_role("button", name="Pause the replay").click()
    moment = page.get_by_label("Moment of the replay")
    await moment.fill("80000000")
    boxes = page.locator(".course .box")
    await expect(boxes).to_have_count(3)
    await moment.fill("170000000")
    await expect(boxes).to_have_count(10)
    await page.get_by_label("End the replay").click()
    await expect(boxes).to_have_count(12)


async def test_each_question_of_a_run_has_its_page(page: Any) -> None:
    """The last one first."""
    await see(page, f"/run?run={TURNS}")
    await expect(page.locator("h1")).to_have_text("And which tunnel?")
    await page.locator(".run-head select").select_option("1")
    await expect(page.locator("h1")).to_have_text("Which bridge?")


async def test_a_link_of_logfires_form_opens_the_trace(page: Any) -> None:
    """Of another framework, without a session: its agents are lanes, calls that overlap stand below each other."""
    await see(page, f"/local/massgen?q=trace_id%3D%27{FRAMEWORK}%27")
    await expect(page.locator("h1")).to_contain_text("POST /ask")
    names = [name.split("\n")[0] for name in await page.locator(".lane-name").all_inner_texts()]
    assert names == ["assistant", "critic", "planner"]
    await expect(page.get_by_role("tab", name="Spans")).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("tab", name="Course")).to_have_count(0)
    await expect(page.get_by_role("treeitem", name=re.compile("execute_tool search"))).to_have_count(2)


async def test_where_nothing_is_recorded_each_page_says_so(browser: Any, tmp_path: Path) -> None:
    """And what to do."""
    page = await browser.new_page()
    with running.listener("127.0.0.1", 0) as of, running.running(viewing.application(tmp_path), of) as url:
        for address, said in (("/", "There are no runs here yet"), ("/run", "massgen-tracing run"), ("/compare", "fewer are recorded here")):
            await page.goto(url + address)
            await expect(page.locator("main")).to_contain_text(said)
    await page.close()


async def test_a_run_that_is_not_there_is_said(page: Any) -> None:
    """With what to do."""
    await page.goto("/run?run=log_19990101_000000_000000")
    await expect(page.get_by_role("alert")).to_contain_text("There is no run")


async def test_a_live_run_changes_as_it_goes_on(browser: Any, tmp_path: Path) -> None:
    """Spans come without a reload, what is selected stays so, and it ends as it ends; the list says that it is live."""
    tracer = mt.configure(root=tmp_path, enabled=True)
    session = tracer.session("Why?", agents=["a"]).start()
    rnd = session.agent_round("a").start()
    with rnd.llm_call("openai", model="gpt-5-mini") as call:
        call.record_usage(input=100, output=20)
    context = await browser.new_context()
    with running.listener("127.0.0.1", 0) as of, running.running(viewing.application(tmp_path), of) as url:
        page = await context.new_page()
        await page.goto(url)
        await expect(page.locator(".card .state.live")).to_be_visible()
        await page.get_by_role("link", name="Why?").click()
        await expect(page.locator(".run-head .state.live")).to_be_visible()
        await page.get_by_role("tab", name="Spans").click()
        await page.get_by_role("treeitem", name=re.compile("llm.openai")).click()
        await expect(page.get_by_role("tree")).not_to_contain_text("Tool execution")
        with rnd.tool_call("search", {"q": "x"}):
            pass
        await expect(page.get_by_role("tree")).to_contain_text("Tool execution: search")
        await expect(page.get_by_label("Details of the span").locator("h2")).to_have_text("llm.openai.stream")
        rnd.answer(text="forty-two")
        rnd.end()
        session.winner("a", "agent1.1", votes={}, reason="alone")
        session.end()
        await expect(page.locator(".run-head .state.live")).to_have_count(0)
        await expect(page.locator(".figures")).to_contain_text("★ a")
    await context.close()


async def test_sql_is_asked_from_the_queries_at_hand(page: Any) -> None:
    """A click asks one; the rows are sorted, drawn, and lead to their runs; the address keeps the statement."""
    await page.goto("/sql")
    await page.get_by_label("Filter the queries").fill("what each model costs: calls")
    await page.get_by_role("button", name=re.compile("^cost_by_model")).click()
    rows = page.locator(".answer-table tbody tr")
    await expect(rows.first).to_be_visible()
    await expect(page.locator(".answer-table")).to_contain_text("gpt-5-mini")
    await page.get_by_role("button", name="chart").click()
    await expect(page.locator(".hbars")).to_contain_text("gpt-5-mini")
    await page.reload()
    await expect(page.locator(".hbars")).to_contain_text("gpt-5-mini")
    await page.get_by_label("draws").select_option("calls")
    await expect(page.get_by_label("calls as bars")).to_be_visible()
    await page.get_by_label("Filter the queries").fill("coordination_flow")
    await page.get_by_role("button", name=re.compile("^coordination_flow")).click()
    await expect(page.locator(".note")).to_contain_text("This query is about one run")
    await see(page, RUN)
    await page.get_by_role("link", name="ask in SQL").click()
    await page.get_by_label("Filter the queries").fill("coordination_flow")
    await page.get_by_role("button", name=re.compile("^coordination_flow")).click()
    await expect(rows.first).to_be_visible()
    await page.get_by_label("about the run or trace").fill(ORDINARY)
    await page.get_by_role("button", name="ask", exact=True).click()
    await expect(rows.first).to_be_visible()
    await page.goto("/sql?sql=SELECT+trace_id,span_id,duration+FROM+records+WHERE+span_name='agent.b.round_0'+ORDER+BY+duration+LIMIT+5")
    await page.locator(".answer-table tbody td").nth(1).get_by_role("link").click()
    await expect(page.get_by_label("Details of the span").locator("h2")).to_contain_text("round 0")


async def test_a_statement_is_completed_and_a_wrong_one_is_explained(page: Any) -> None:
    """Tables, columns and keys of attributes."""
    await page.goto("/sql")
    editor = page.get_by_label("SQL statement")
    await editor.click()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("SELECT durat")
    await expect(page.locator(".cm-tooltip-autocomplete")).to_contain_text("duration")
    await page.keyboard.press("Escape")
    await page.keyboard.type("iom FROM records WHERE attributes->>'massgen.agent")
    await expect(page.locator(".cm-tooltip-autocomplete")).to_contain_text("massgen.agent_id")
    await page.keyboard.press("Escape")
    await page.keyboard.type("_id' = 'a'")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("alert")).to_contain_text("duration")
    await expect(page.locator(".answer-table")).to_have_count(0)


async def test_the_dashboards_are_drawn(page: Any) -> None:
    """Each panel of each, of what is recorded."""
    await page.goto("/dashboards")
    await expect(page.locator(".values").first).to_contain_text("runs")
    for name in ("Cost and tokens", "Latency and tools", "Votes and restarts", "Errors and reliability"):
        await page.get_by_role("link", name=name).click()
        await expect(page.locator(".tile .waiting")).to_have_count(0)
        assert await page.locator(".tile").count() >= 4
        assert await page.locator(".tile [role=alert]").count() == 0
        assert await page.locator(".uplot canvas, .values, .hbars, .answer-table").count() >= 4


async def test_two_runs_are_compared_from_the_list(page: Any) -> None:
    """By the same measures as `logs compare`."""
    await page.goto("/")
    for name in (ORDINARY, FAULTY):
        await page.get_by_label(f"Choose {name} for a comparison").check()
    await page.get_by_role("button", name="compare (2 of 2)").click()
    row = page.locator("tr", has=page.locator("td", has_text=re.compile("^duration$")))
    await expect(row).to_contain_text("17.30s")
    await expect(row).to_contain_text("2m58s")
    costs = page.locator("tr", has=page.locator("td", has_text=re.compile("^cost$"))).locator("td")
    await expect(costs.nth(2)).to_have_text("≥$1.0920")
    await expect(costs.nth(3)).to_have_text(re.compile("^≥\\+"))
    await expect(page.locator("tr", has_text="mcp__box__search")).to_contain_text("3")
    await see(page, f"/run?run={FAULTY}")
    await page.get_by_role("link", name="compare", exact=True).click()
    await page.get_by_role("combobox", name="A", exact=True).select_option(ORDINARY)
    await expect(row).to_contain_text("2m58s")
    await page.get_by_label("Exchange A and B").click()
    await expect(page.locator("p", has_text="A is")).to_contain_text(f"A is {FAULTY}")
    await expect(costs.nth(3)).to_have_text("unknown")
    await page.goto(f"/compare?a={FAULTY}&b={ORDINARY}")
    await expect(page.locator("main")).to_contain_text("does not know a=, b=: it takes first= and second=")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_narrow_screen(browser: Any, site: str, scheme: Any) -> None:
    """Nothing of it is wider than 390 pixels; a span's details cover the rest, and are closed."""
    context = await browser.new_context(viewport={"width": 390, "height": 844}, base_url=site, color_scheme=scheme, has_touch=True)
    page = await context.new_page()
    for address in ("/", RUN, f"{RUN}&tab=cost", f"{RUN}&tab=findings", f"{RUN}&tab=spans&span=0000000000000015", "/sql", "/dashboards", "/compare"):
        await page.goto(address)
        await page.locator(DRAWN if address.startswith("/run") else "h1, .tile").first.wait_for()
        await page.wait_for_load_state("networkidle")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390, address
    await page.goto(f"{RUN}&span=0000000000000015")
    await page.get_by_label("Close the details").tap()
    await expect(page.get_by_label("Details of the span")).to_have_count(0)
    await context.close()


async def test_a_report_is_a_file_that_asks_nobody(browser: Any, root: Path, tmp_path: Path) -> None:
    """The run's page with all that its spans say, and the report in words below it; without a script that alone."""
    file = tmp_path / "run.html"
    assert main(["report", HOSTILE, "--root", str(root), "-o", str(file)]) == 0
    context = await browser.new_context(offline=True)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else complaints.append(request.url))
    await page.goto(file.as_uri())
    await page.locator(DRAWN).wait_for()
    await page.get_by_role("tab", name="Spans").click()
    await page.get_by_role("treeitem", name=re.compile("llm.openai")).first.click()
    await expect(page.get_by_label("Details of the span")).to_contain_text("gpt-5-mini")
    await page.get_by_label("Search in the run").fill("presentation")
    await expect(page.get_by_role("search")).to_contain_text("match")
    assert await page.locator("body").locator("img, plan").count() == 0
    assert await page.locator("script").count() == 2
    await page.reload()
    await expect(page.get_by_label("Details of the span")).to_contain_text("gpt-5-mini")
    await expect(page.get_by_role("heading", name="Executive Summary")).to_be_attached()
    await page.set_viewport_size({"width": 390, "height": 844})
    await expect(page.locator(".lane-name.above").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert complaints == []
    await context.close()
