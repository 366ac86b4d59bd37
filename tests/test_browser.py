"""The report in a real browser: no error, every figure drawn, nothing fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rootbound import report
from rootbound.records import Evaluation
from rootbound.report.leaderboard import write_leaderboard

RUN = Path(__file__).parents[1] / "benchmarks" / "results" / "2026-11-26_e9f5538_all"
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if not BROWSER or not DRIVER:
        reason = "needs chromium and chromedriver (Debian: chromium, chromium-driver)"
        if os.environ.get("ROOTBOUND_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(60)
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, golden_report: Path) -> webdriver.Chrome:
    browser.get((golden_report / "report.html").as_uri())
    return browser


def logs(page: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.get_log(kind)
    return found


def test_page_has_no_console_errors_and_no_requests(page: webdriver.Chrome) -> None:
    assert logs(page, "browser") == []
    requests = [
        entry["message"]
        for entry in logs(page, "performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert requests, "the log must at least hold the page itself"
    assert not [message for message in requests if '"url":"http' in message]


def test_every_figure_is_drawn(page: webdriver.Chrome) -> None:
    figures = page.find_elements(By.CSS_SELECTOR, "figure :is(.whole, .scroll) svg")
    assert len(figures) == 8
    for figure in figures:
        assert figure.size["width"] > 600
        assert figure.size["height"] > 80
    for image in page.find_elements(By.CSS_SELECTOR, "figure svg image"):
        assert (image.get_attribute("xlink:href") or "").startswith("data:image/png")


WIDTHS = (400, 800, 1300)
LEAST_LETTER = 10.0
"""Pixels of a figure's letters, at least."""
MEASURE = """
const shown = element => element.checkVisibility() && element.getBoundingClientRect().width > 2;
const letters = {}, cut = [], inside = [];
for (const svg of document.querySelectorAll("figure svg")) {
  if (!shown(svg) || svg.closest(".whole")?.clientWidth === 1) continue;
  const name = svg.closest("figure").id, size = 9 * svg.getScreenCTM().a;
  letters[name] = Math.min(letters[name] ?? 99, size);
}
for (const area of document.querySelectorAll(".scroll")) {
  if (area.querySelector("caption, figcaption")) inside.push(area.ariaLabel);
  if (area.scrollWidth > area.clientWidth + 1) cut.push(area.textContent.trim().slice(0, 40));
}
const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map(one => +one.tagName[1]);
return {
  over: [...document.querySelectorAll("th[scope=row]")].filter(one =>
    one.scrollWidth > one.clientWidth + 1).map(one => one.textContent),
  beyond: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  letters, cut, inside, levels,
  loose: [...document.querySelectorAll(".scroll")].filter(one => one.tabIndex !== 0).length,
  nameless: [...document.querySelectorAll("[role=region], table, .whole svg")].filter(one =>
    !one.ariaLabel && !document.getElementById(one.getAttribute("aria-labelledby"))).length,
  bare: [...document.querySelectorAll("th")].filter(one => !one.scope).length,
};
"""


def measure(browser: webdriver.Chrome, width: int) -> dict[str, Any]:
    """Return how a page is laid out in a window of a width."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        found: dict[str, Any] = browser.execute_script(MEASURE)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return found


def check_layout(browser: webdriver.Chrome, width: int) -> None:
    """Check that a page fits its window, can be read there, and can be used without a mouse."""
    found = measure(browser, width)
    assert found["beyond"] <= 0, "the page is wider than its window"
    assert found["letters"]
    assert min(found["letters"].values()) >= LEAST_LETTER, found["letters"]
    assert found["inside"] == [], "a caption would scroll away"
    assert found["over"] == [], "a name runs into the next column"
    if width == max(WIDTHS):
        assert found["cut"] == []
    levels = found["levels"]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert (found["loose"], found["nameless"], found["bare"]) == (0, 0, 0)


@pytest.mark.parametrize("width", WIDTHS)
def test_report_is_readable(width: int, page: webdriver.Chrome) -> None:
    check_layout(page, width)


def test_panels_stack_in_a_narrow_window(
    page: webdriver.Chrome,
) -> None:
    """The verdict's bars have a panel for each number of labels."""
    script = (
        "return [...document.querySelectorAll('#head-start .views svg')]"
        ".map(one => one.getBoundingClientRect()).map(box => [box.left, box.top, box.width])"
    )
    metrics = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    (left, top, width), (other_left, other_top, _) = page.execute_script(script)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert left == other_left
    assert other_top > top
    assert width > 200


def test_verdict_is_on_the_first_screen(page: webdriver.Chrome) -> None:
    """Word, price, attack, flag and bars are there before anybody scrolls."""
    metrics = {"width": 1300, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    ends = page.execute_script(
        "scrollTo(0, 0); return ['#verdict', '.facts', '#head-start .whole'].map(name =>"
        " document.querySelector(name).getBoundingClientRect().bottom)"
    )
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert ends == sorted(ends)
    assert ends[-1] <= 900
    band = page.find_element(By.ID, "verdict").text
    assert band.startswith("Head start from the weights of BestResponse: no verdict")
    facts = page.find_element(By.CSS_SELECTOR, ".facts").text
    for text in ("0.00 points", "fine-tuning all layers", "scratch 76.7 %", "dead units"):
        assert text in facts


CONTRAST = """
const light = text => { const parts = text.match(/[\\d.]+/g).slice(0, 3).map(one => one / 255);
  const [r, g, b] = parts.map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const behind = one => { const own = getComputedStyle(one).backgroundColor;
  return own === "rgba(0, 0, 0, 0)" ? behind(one.parentElement) : own; };
return [".note", "figcaption", "#verdict strong", "dt", "td.bad", "td.good", "nav a", "td small"]
  .map(name => document.querySelector(name)).filter(one => one).map(one => {
    const [a, b] = [getComputedStyle(one).color, behind(one)].map(light);
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
"""
"""How small or coloured text stands out from what is behind it."""


@pytest.mark.slow
def test_text_is_readable_in_both_themes(page: webdriver.Chrome) -> None:
    """Ink and paper swap; the text inside figures follows."""
    found, contrasts = {}, {}
    for theme in ("light", "dark"):
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": theme}]},
        )
        found[theme] = page.execute_script(
            "const ink = e => getComputedStyle(e);"
            "return [ink(document.body).backgroundColor, ink(document.body).color,"
            " ink(document.querySelector('figure svg text')).fill]"
        )
        contrasts[theme] = page.execute_script(CONTRAST)
    paper, ink, figure_ink = found["light"]
    assert ink == figure_ink
    assert found["dark"] != found["light"]
    assert found["dark"][1] == found["dark"][2] != paper
    # Least contrast of text by WCAG 2.2, success criterion 1.4.3.
    assert min(*contrasts["light"], *contrasts["dark"]) >= 4.5, contrasts


@pytest.fixture(scope="module")
def board(
    browser: webdriver.Chrome, golden_report: Path, tmp_path_factory: pytest.TempPathFactory
) -> webdriver.Chrome:
    """Show a leaderboard beside the report of its run, in which a method is unreliable."""
    folder = tmp_path_factory.mktemp("board")
    golden = Evaluation.load(golden_report)
    trainings = tuple(
        replace(one, desirable_accuracy=0.3) if one.method == "SelectiveDistillation" else one
        for one in golden.trainings
    )
    replace(golden, trainings=trainings).save(folder)
    report.write(folder)
    browser.get_log("browser")
    browser.get(write_leaderboard(folder).as_uri())
    return browser


@pytest.mark.parametrize("width", WIDTHS)
def test_leaderboard_is_readable(width: int, board: webdriver.Chrome) -> None:
    check_layout(board, width)
    assert not board.get_log("browser"), "no console error, no blocked script"


def test_frontier_fits_a_narrow_page(board: webdriver.Chrome) -> None:
    """It is drawn twice, so that all its points are seen without scrolling."""
    shown = "return [...document.querySelectorAll('#frontier svg')].map(one => one.clientWidth > 1)"
    for width, which in ((400, [False, True]), (1300, [True, False])):
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        board.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert board.execute_script(shown) == which
    board.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_exact_last_layer_is_shown_beside_scratch(board: webdriver.Chrome) -> None:
    assert "on random weights it is 76.7 %" in board.find_element(By.ID, "page").text


def first_column(board: webdriver.Chrome) -> list[str]:
    cells = board.find_elements(By.CSS_SELECTOR, "table.sortable tbody tr > :first-child > a")
    return [cell.text for cell in cells]


def test_leaderboard_opens_with_a_sentence_and_the_frontier(board: webdriver.Chrome) -> None:
    sentence = board.find_element(By.CSS_SELECTOR, ".lead").text
    assert sentence.startswith("BestResponse leaves attackers least: +0.0 points over scratch")
    order = board.execute_script(
        "return ['.lead', '#frontier', '#methods'].map(name =>"
        " document.querySelector(name).getBoundingClientRect().top)"
    )
    assert order == sorted(order)


def test_headings_sort_the_leaderboard(board: webdriver.Chrome) -> None:
    heading = board.find_element(By.CSS_SELECTOR, "table.sortable th")
    heading.click()
    assert first_column(board) == sorted(first_column(board))
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert first_column(board) == sorted(first_column(board), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"


def test_keys_hide_and_show_leaderboard_columns(board: webdriver.Chrome) -> None:
    boxes = board.find_elements(By.CSS_SELECTOR, ".choice input")
    headings = board.find_elements(By.CSS_SELECTOR, "table.sortable thead th")
    assert len(boxes) == len(headings) - 1, "names stay"
    cells = board.find_elements(By.CSS_SELECTOR, "table.sortable tr > :nth-child(3)")
    assert all(cell.is_displayed() for cell in cells)
    boxes[1].send_keys(Keys.SPACE)
    assert not any(cell.is_displayed() for cell in cells)
    boxes[1].send_keys(Keys.SPACE)
    assert all(cell.is_displayed() for cell in cells)


def test_unreliable_row_looks_unreliable(board: webdriver.Chrome) -> None:
    row = board.find_element(By.CSS_SELECTOR, "tr.unreliable")
    assert row.text.startswith("SelectiveDistillation\nunreliable")
    others = board.find_elements(By.CSS_SELECTOR, "table.sortable tbody tr:not(.unreliable) td")
    cell = row.find_element(By.TAG_NAME, "td")
    for look in ("color", "font-style"):
        assert cell.value_of_css_property(look) != others[0].value_of_css_property(look)
    assert "SelectiveDistillation (unreliable)" in board.find_element(By.ID, "frontier").text


def test_leaderboard_rows_open_their_report_section(
    board: webdriver.Chrome,
) -> None:
    address = board.current_url
    link = board.find_element(By.LINK_TEXT, "BestResponse")
    link.send_keys(Keys.ENTER)
    assert "/report.html#method-" in board.current_url
    name = board.current_url.partition("#")[2]
    assert board.find_element(By.ID, name).text.startswith("BestResponse: ")
    board.get(address)


@pytest.mark.slow
@pytest.mark.skipif(not RUN.is_dir(), reason="the benchmarks are not here")
def test_table_of_twenty_methods_is_not_cut(browser: webdriver.Chrome, tmp_path: Path) -> None:
    shutil.copy(RUN / "records.json.gz", tmp_path)
    for page in (report.write(tmp_path), write_leaderboard(tmp_path)):
        browser.get(page.as_uri())
        for width in WIDTHS:
            check_layout(browser, width)
