"""The report in a real browser: no error, every figure drawn, nothing fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from rootbound.report.leaderboard import write_leaderboard

GOLDEN = Path(__file__).parent / "golden"
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


def test_no_console_error_and_no_request_leaves_the_file(page: webdriver.Chrome) -> None:
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


@pytest.mark.slow
def test_the_page_fits_its_window(page: webdriver.Chrome) -> None:
    for width in (1280, 600):
        page.set_window_size(width, 900)
        beyond = page.execute_script(
            "return document.documentElement.scrollWidth - window.innerWidth"
        )
        assert beyond <= 1


@pytest.mark.slow
def test_text_is_readable_in_both_themes(page: webdriver.Chrome) -> None:
    """Ink and paper swap; the text inside figures follows."""
    found = {}
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
    paper, ink, figure_ink = found["light"]
    assert ink == figure_ink
    assert found["dark"] != found["light"]
    assert found["dark"][1] == found["dark"][2] != paper


@pytest.mark.slow
def test_the_leaderboard_is_sorted_by_its_headings(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    shutil.copy(GOLDEN / "records.json.gz", tmp_path)
    browser.get_log("browser")
    browser.get(write_leaderboard(tmp_path).as_uri())
    assert not browser.get_log("browser"), "no console error, no blocked script"

    def first_column() -> list[str]:
        cells = browser.find_elements(By.CSS_SELECTOR, "table.sortable tbody td:first-child")
        return [cell.text for cell in cells]

    heading = browser.find_element(By.CSS_SELECTOR, "table.sortable th")
    heading.click()
    assert first_column() == sorted(first_column())
    heading.click()
    assert first_column() == sorted(first_column(), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
