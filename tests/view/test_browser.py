"""The pages in Chromium: keys, drawer, alignment, themes, hostile words, and what axe finds."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.audio import keep, ogg
from tests.view.calls import RIGHT_TO_LEFT, TOOLS, VOICE, Given, hostile, library, only_call
from tracing.span import Span
from tracing.store.store import Store
from tracing.view.app import make_app
from tracing.view.beside.around import Around
from tracing.view.library import Library, call_of
from tracing.view.share import share

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = os.environ.get("TRACING_TEST_SCREENSHOTS")
"""A directory that the pictures of the pages are written to."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def served(calls: Library) -> Iterator[str]:
    """A viewer in a thread of its own; its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(_begin(calls), loop).result(10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _begin(calls: Library) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(make_app(calls), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


@contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[Page]:
    """A page on which nothing went wrong: no error, no violation, no request to elsewhere."""
    place = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
    page = place.new_page()
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    origin = url[: url.index("/", 8)] if url.startswith("http") else "file://"
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((origin, "data:")) else wrong.append(request.url)
        ),
    )
    page.goto(url)
    yield page
    if context.get("java_script_enabled", True):
        assert page.evaluate("window.broken") is None
    assert wrong == []
    place.close()


def open_first(page: Page) -> None:
    """Open the first call of the list."""
    page.click("tr.call a")
    page.wait_for_selector("#turns")


def picture(page: Page, name: str) -> None:
    """Keep a picture where one is wanted."""
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def test_a_call_is_found_opened_and_read(browser: Browser) -> None:
    """Filter, search, open a call, open a turn, go on by keys, close."""
    with served(library(TOOLS, VOICE)) as url, opened(browser, url + "/") as page:
        assert page.locator("tr.call").count() == 2
        picture(page, "calls-light")
        page.click(".facets a:has-text('tool failed')")
        page.wait_for_url("**is=tool-failed*")
        assert page.locator("tr.call").count() == 1
        open_first(page)
        picture(page, "call-light")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_selector("#drawer:not([hidden]) h2")
        first = page.inner_text("#drawer h2")
        picture(page, "drawer-light")
        page.keyboard.press("j")
        page.wait_for_function(
            "(was) => document.querySelector('#drawer h2')?.innerText !== was", arg=first
        )
        assert "turn=" in page.url
        page.keyboard.press("Escape")
        assert page.locator("#drawer").is_hidden()


def test_what_was_said_is_found(browser: Browser) -> None:
    """`/` leads to the search; a line that is found leads to its turn."""
    said = next(
        turn["agent_text"] for turn in only_call(TOOLS).described["turns"] if turn.get("agent_text")
    )
    with served(library(TOOLS, VOICE)) as url, opened(browser, url + "/") as page:
        page.keyboard.press("/")
        page.keyboard.type(said)
        page.keyboard.press("Enter")
        page.wait_for_selector("tr.hit mark")
        page.click("tr.hit a")
        page.wait_for_selector("#drawer:not([hidden])")
        assert said in page.inner_text("#drawer")


def test_bars_are_aligned_and_lanes_zoomed(browser: Browser) -> None:
    """A part of the legend moves the bars; zoom is one attribute of the lanes."""
    with served(library(TOOLS)) as url, opened(browser, url + "/") as page:
        open_first(page)
        page.click(".legend a[data-part=ttft]")
        page.wait_for_url("**align=ttft*")
        places = page.eval_on_selector_all(
            ".bars svg[data-kind=ttft]",
            "found => found.map(e => Math.round(e.getBoundingClientRect().left))",
        )
        assert max(places) - min(places) <= 1
        assert page.locator(".axis text, #ruler line").count() == 0  # they would lie about times
        faint = page.locator("#turns .bars .seg.faint")
        kinds = faint.evaluate_all("found => found.map(e => e.dataset.kind)")
        assert kinds
        assert "ttft" not in kinds
        before = page.locator(".inner").bounding_box()
        page.keyboard.press("+")
        after = page.locator(".inner").bounding_box()
        assert before is not None
        assert after is not None
        assert after["width"] == pytest.approx(2 * before["width"], rel=0.01)
        page.keyboard.press("0")


def test_marked_calls_are_compared(browser: Browser) -> None:
    """Two marks and a key lead to the comparison of the two."""
    with served(library(TOOLS, VOICE)) as url, opened(browser, url + "/") as page:
        for box in page.locator("tr.call input").all():
            box.check()
        assert page.inner_text("#marked") == "2"
        page.keyboard.press("c")
        page.wait_for_selector(".verdict")
        picture(page, "compare-light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 400])
def test_axe_finds_no_serious_fault(browser: Browser, scheme: str, width: int) -> None:
    """On the list, a call with a turn open, and a comparison; and nothing is wider than a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    call = only_call(TOOLS).described["trace_id"]
    with served(library(TOOLS, VOICE)) as url:
        addresses = [
            "/",
            f"/calls/{call}",
            f"/calls/{call}?turn=2",
            f"/compare?a={call[:12]}&b={call[:12]}",
            "/calls/ffffffff",
        ]
        for address in addresses:
            place = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
                bypass_csp=True,
            )
            page = place.new_page()
            page.goto(url + address)
            picture(page, f"{address.strip('/').partition('?')[0][:4]}-{scheme}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = axe.Axe().run(page).response["violations"]
            serious = [
                (fault["id"], [node["target"] for node in fault["nodes"]][:3])
                for fault in found
                if fault["impact"] in ("serious", "critical")
            ]
            assert serious == [], address
            place.close()


def test_hostile_words_are_words(browser: Browser) -> None:
    """Scripts, attributes and changes of direction in every text run nothing."""
    call = only_call(TOOLS)
    spans = hostile(call.recorded)
    with served(Library(Given(spans), "<b>here</b>")) as url:
        for address in ("/", f"/calls/{call.described['trace_id']}?turn=2"):
            with opened(browser, url + address) as page:
                assert page.locator("img").count() == 0
                assert "<script>window.broken=1</script>" in page.inner_text("main")


def test_a_call_grows_while_one_looks(browser: Browser, tmp_path: Path) -> None:
    """What the drainer stores shows up by itself; at its end the page says so."""
    spans = only_call(TOOLS).tree.spans
    cut = max(at for at, span in enumerate(spans) if span.name == "agent_turn")
    begun = [span._replace(end_time_unix_nano=0) if is_long(span) else span for span in spans[:cut]]
    path = tmp_path / "calls.db"
    with (
        Store(path) as store,
        Store(path, read_only=True) as reader,
        served(Library(reader, "live")) as url,
        opened(browser, url + "/") as page,
    ):
        assert page.inner_text("h1") == "No calls yet"
        store.add(begun)
        page.wait_for_selector("tr.call .dot")
        open_first(page)
        assert "In progress" in page.inner_text("main")
        before = page.locator("a.turn").count()
        store.add(spans)
        page.locator("a.turn").nth(before).wait_for()
        page.wait_for_selector(".alert.live", state="detached")


@contextmanager
def recorded(directory: Path) -> Iterator[str]:
    """A viewer of one call that has a recording; the call's address."""
    told = keep(ogg(directory / "job" / "audio.ogg", 20), directory / "recordings")
    root, *others = only_call(TOOLS).tree.spans
    told["recording.started_at"] = root.start_time_unix_nano / 1e9 + 0.5
    source = Given([root._replace(attributes={**root.attributes, **told}), *others])
    links = {"Jaeger": "http://127.0.0.1:16686/trace/{trace_id}"}
    with served(Library(source, "recorded", Around(directory, links))) as url:
        yield f"{url}/calls/{root.trace_id.hex()}"


def heard_until(page: Page, seconds: float) -> None:
    """Wait until the recording has played to a place in the call."""
    is_there = "(at) => Number(document.querySelector('#now').textContent.split(':')[1]) >= at"
    page.wait_for_function(is_there, arg=seconds)


def test_a_recording_is_played_in_step(browser: Browser, tmp_path: Path) -> None:
    """By button, by key, from a turn; the playhead moves with it, and its waveform is drawn."""
    with recorded(tmp_path) as url, opened(browser, url) as page:
        for who in ("caller", "agent"):
            page.wait_for_selector(f".wave.{who}[d^=M]", state="attached")
        with page.expect_response("**/audio") as answered:
            page.click("button.play")
        assert answered.value.status == 206
        assert answered.value.header_value("content-type") == "audio/ogg"
        heard_until(page, 1.0)
        assert float(str(page.get_attribute("#playhead", "x1")).rstrip("%")) > 0
        assert page.get_attribute("button.play", "aria-label") == "Pause"
        picture(page, "call-playing")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press(" ")
        page.wait_for_selector("button.play[aria-label=Play]")
        before = page.evaluate("document.querySelector('#audio').currentTime")
        page.keyboard.press("ArrowRight")
        after = page.evaluate("document.querySelector('#audio').currentTime")
        assert after == pytest.approx(before + 5, abs=0.5)
        turn = page.locator("a.turn[data-at]").nth(1)
        begun = float(str(turn.get_attribute("data-at")))
        turn.locator(".said").click()
        page.click("#drawer [data-do=play-turn]")
        page.wait_for_selector("button.play[aria-label=Pause]")
        at = page.evaluate("document.querySelector('#audio').currentTime")
        assert at == pytest.approx(begun - 0.5, abs=1.0)
        href = page.get_attribute(".actions a:has-text('Jaeger')", "href")
        assert href == f"http://127.0.0.1:16686/trace/{url[-32:]}"


def test_just_a_selected_part_is_played(browser: Browser, tmp_path: Path) -> None:
    """A part of a bar or of a wait is selected by pressing it; the address has it, too."""
    with recorded(tmp_path) as url, opened(browser, f"{url}?t=2.000..2.600") as page:
        assert float(str(page.get_attribute("#selection", "width")).rstrip("%")) > 0
        page.keyboard.press(" ")
        page.wait_for_selector("button.play[aria-label=Pause]")
        page.wait_for_selector("button.play[aria-label=Play]")
        at = page.evaluate("document.querySelector('#audio').currentTime")
        assert at == pytest.approx(2.6 - 0.5, abs=0.2)
        page.keyboard.press("Escape")
        assert page.get_attribute("#selection", "width") == "0%"
        assert "t=" not in page.url.partition("?")[2]
        bar = page.locator("a.turn[data-at]:has(svg.seg)").nth(1)
        part = max(bar.locator("svg.seg").all(), key=width_of)  # is heard for long enough
        part.click()
        page.wait_for_selector("#drawer:not([hidden])")
        whole = float(str(page.get_attribute("#turns ol", "data-seconds")))
        x, width = (float(str(part.get_attribute(n)).rstrip("%")) for n in ("x", "width"))
        begun = float(str(bar.get_attribute("data-at")))
        asked = page.evaluate("new URLSearchParams(location.search).get('t')")
        expected = [begun + whole * x / 100, begun + whole * (x + width) / 100]
        assert [float(s) for s in asked.split("..")] == pytest.approx(expected, abs=0.002)
        page.keyboard.press(" ")
        page.wait_for_selector("button.play[aria-label=Pause]")
        page.wait_for_selector("button.play[aria-label=Play]")
        at = page.evaluate("document.querySelector('#audio').currentTime")
        assert at == pytest.approx(expected[1] - 0.5, abs=0.2)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.locator(".wait rect").first.click(force=True)
        page.wait_for_url("**t=*")


def test_a_part_of_the_drawer_is_selected_and_the_overview_leads_there(
    browser: Browser, tmp_path: Path
) -> None:
    """A name in the staircase selects its instants; the overview shows them, and goes elsewhere."""
    with recorded(tmp_path) as url, opened(browser, url) as page:
        page.locator("a.turn[data-at] .said").nth(1).click()
        name = page.locator("#drawer .stairs a").nth(1)
        expected = [name.get_attribute("data-from"), name.get_attribute("data-until")]
        name.click()
        asked = page.evaluate("new URLSearchParams(location.search).get('t')")
        assert asked.split("..") == expected
        assert page.locator("#drawer h2").is_visible()
        shown = page.locator("#window")
        place = float(str(shown.get_attribute("x")).rstrip("%"))
        whole = float(str(page.get_attribute(".inner", "data-seconds")))
        assert place <= 100 * float(str(expected[0])) / whole <= place + width_of(shown)
        page.click("[data-do=zoom-fit]")
        box = page.locator("#overview").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        playhead = float(str(page.get_attribute("#playhead", "x1")).rstrip("%"))
        assert playhead == pytest.approx(50, abs=0.5)
        page.click("[data-do=speed]")
        assert page.evaluate("document.querySelector('#audio').playbackRate") == 1.5


def width_of(part: Locator) -> float:
    """How wide a part is, in percent of its chart."""
    return float(str(part.get_attribute("width")).rstrip("%"))


def test_player_without_a_recording_says_why(browser: Browser) -> None:
    """Its buttons are off."""
    with served(library(TOOLS)) as url, opened(browser, url + "/") as page:
        open_first(page)
        assert page.is_disabled("button.play")
        assert "record=True" in str(page.get_attribute("button.play", "title"))
        page.keyboard.press(" ")
        page.locator("a.turn[data-at] .said").first.click()
        assert page.is_disabled("#drawer [data-do=play-turn]")


def is_long(span: Span) -> bool:
    """Whether a span lasts as long as the call."""
    return span.name in ("job_entrypoint", "agent_session")


def test_without_script_everything_reads(browser: Browser) -> None:
    """Links and forms alone lead to a call and to a turn in full."""
    with (
        served(library(TOOLS)) as url,
        opened(browser, url + "/", java_script_enabled=False) as page,
    ):
        page.click("tr.call a")
        page.click("a.turn >> nth=1")
        assert page.locator("#drawer h2").is_visible()


def test_a_saved_call_can_be_heard(browser: Browser, tmp_path: Path) -> None:
    """Sound and waveform are in the file."""
    told = keep(ogg(tmp_path / "job" / "audio.ogg", 4), tmp_path / "recordings")
    root, *others = only_call(TOOLS).tree.spans
    spans = [root._replace(attributes={**root.attributes, **told}), *others]
    file = tmp_path / "call.html"
    file.write_text(share(call_of(spans), Around(tmp_path)), encoding="utf-8")
    with opened(browser, file.as_uri()) as page:
        page.wait_for_selector(".wave.caller[d^=M]", state="attached")
        page.click("button.play")
        heard_until(page, 0.5)


def test_a_saved_call_needs_nothing_else(browser: Browser, tmp_path: Path) -> None:
    """The file opens from disk with its drawers, under a policy of its own."""
    file = tmp_path / "call.html"
    file.write_text(share(only_call(TOOLS)), encoding="utf-8")
    with opened(browser, file.as_uri()) as page:
        page.click("a.turn >> nth=1")
        assert page.locator(".drawer:target h2").is_visible()
        page.keyboard.press("Escape")
        assert page.locator(".drawer:target").count() == 0


@pytest.mark.parametrize("width", [1440, 400])
def test_words_without_an_end_widen_no_page(browser: Browser, width: int) -> None:
    """Texts and names of hundreds of letters, in two directions, in every field that has any."""
    endless = f"{'x' * 300} {RIGHT_TO_LEFT * 20}"
    spans = [
        span._replace(
            attributes={
                key: endless if _is_word(key, value) else value
                for key, value in span.attributes.items()
            }
        )
        for span in only_call(TOOLS).recorded
    ]
    trace_id = call_of(spans).described["trace_id"]
    with served(Library(Given(spans), "given")) as url:
        compared = f"/compare?a={trace_id[:12]}&b={trace_id[:12]}"
        for address in ("/", "/?q=xxx", f"/calls/{trace_id}?turn=1", compared):
            context = {"viewport": {"width": width, "height": 900}}
            with opened(browser, url + address, **context) as page:
                wide = "(e) => e.scrollWidth - e.clientWidth"
                assert page.locator("html").evaluate(wide) == 0, address
                for drawer in page.locator("#drawer:not([hidden])").all():
                    assert drawer.evaluate(wide) == 0


def _is_word(key: str, value: object) -> bool:
    is_text = isinstance(value, str) and value[:1] not in ("[", "{")
    return is_text and ("name" in key or key.endswith("_text"))
