"""The documentation: short pages in plain words, made of what there is, read from disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.claims import leaderboards as gathering
from docs.pages import commands, leaderboards, parts
from docs.pages.__main__ import MADE
from docs.pages.gathered import GATHERED
from rootbound.cli.described import describe
from rootbound.cli.main import COMMANDS, load_command
from rootbound.records import Evaluation
from rootbound.report.leaderboard.entries import gather_entries
from test_browser import browser as browser  # noqa: PLC0414  # a fixture

ROOT = Path(__file__).parents[1]
LONGEST = 150
RESULTS = """
const inside = [...document.querySelectorAll("*")].map(one => one.shadowRoot).filter(Boolean);
return inside.flatMap(root => [...root.querySelectorAll("a")].map(link => link.href));
"""
"""What the search has found: it keeps to a part of the page that styles do not reach."""
UNCLEAR = re.compile(
    r"\b(shall|spared|settled|somebody's own|generic data|points gained: -|operations \d+ x)\b"
)
"""Words that readers stumbled over."""
CODE = re.compile(r"^```.*?^```|`[^`]*`", re.DOTALL | re.MULTILINE)


def written() -> dict[str, str]:
    """Return the pages that are kept, by their path."""
    found = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    pages = {str(path.relative_to(ROOT)): path.read_text() for path in found}
    again = tuple(f"docs/{folder}/" for folder in MADE)
    return {path: text for path, text in pages.items() if not path.startswith(again)}


def made() -> dict[str, str]:
    """Return the pages that are made of code and records, by their path."""
    pages = {**dict(parts.make_pages()), **dict(commands.make_pages())}
    return {**pages, "leaderboard.md": leaderboards.make_page()}


def test_pages_are_short() -> None:
    pages = {**written(), **made()}
    assert len(pages) > 70
    long = {path: len(text.splitlines()) for path, text in pages.items()}
    assert {path: lines for path, lines in long.items() if lines > LONGEST} == {}


def test_words_are_plain() -> None:
    texts = {**written(), **made()}
    for name in COMMANDS:
        for one in describe(load_command(name).Options):
            texts[f"{name} {one.flag}"] = f"{one.text} {one.brief}"
    found = {
        path: words
        for path, text in texts.items()
        if (words := UNCLEAR.findall(CODE.sub("", text)))
    }
    assert found == {}
    assert UNCLEAR.search("nobody shall")


def test_commands_in_pages_use_existing_options() -> None:
    """On every page, each command could be typed as it stands there."""
    everywhere = {"--config", "--print_config", "--help", "--help-all"}
    shown = 0
    for path, text in {**written(), **made()}.items():
        for name, words in re.findall(r"\brootbound (\w+) ((?:[^`\n#]|\\\n)*)", text):
            if name not in COMMANDS:
                continue
            known = describe(load_command(name).Options)
            flags = {flag for one in known for flag in (one.flag, *one.names)} | everywhere
            given = set(re.findall(r"(?<!\S)--[a-z][a-z_-]*", words))
            assert given <= flags, f"{path}: {name} {given - flags}"
            assert "--labels" in given or "--steps" not in given, f"{path}: {words}"
            shown += 1
    assert shown > 100


def test_command_pages_say_what_is_optional() -> None:
    rows = made()["commands/runs.md"].splitlines()
    (action,), (folders,) = (
        [row for row in rows if row.startswith(f"| `{name}")] for name in ("{list", "[FOLDERS")
    )
    assert action.endswith("| must be given |") and "(default: this one)" in action
    assert folders.endswith("|  |")


def test_how_to_pages_begin_with_a_command_and_end_with_output() -> None:
    pages = {path: text for path, text in written().items() if path.startswith("docs/howto/")}
    assert len(pages) > 10
    for path, text in pages.items():
        assert re.match(r"# .*\n\n```", text), path
        assert re.findall(r"^## (.*)", text, re.MULTILINE)[-1] == "What you see", path


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    own = {path.removeprefix("docs/") for path in written() if path.startswith("docs/")}
    assert {path for path in own if not path.startswith("pages/")} | set(made()) == listed


def test_links_lead_to_tracked_files() -> None:
    """Pages are also read as Markdown in the repository, where no page is made."""
    made_folders = [ROOT / "docs" / folder for folder in MADE]
    dead = []
    for page, text in written().items():
        if page.startswith("docs/pages/"):  # a template; the page that it makes is checked
            continue
        for target in re.findall(r'(?:\]\(|\bsrc(?:set)?=")([^)#\s"]+)', CODE.sub("", text)):
            found = ((ROOT / page).parent / target).resolve()
            here = found.exists() and not any(found.is_relative_to(one) for one in made_folders)
            if not here and not re.match(r"\w+:", target):
                dead.append(f"{page}: {target}")
    assert dead == []


def test_every_leaderboard_method_and_attack_has_a_page() -> None:
    pages = made()
    for split in GATHERED["splits"]:
        for row in split["rows"]:
            if row["class"] != "GenericFeatures":
                assert split["title"] in pages[f"methods/{row['class']}.md"]
    assert "(89.7)" in pages["attacks/LoRA.md"]


def test_kept_leaderboard_is_current() -> None:
    """It is kept, unlike other pages that are made, because the README leads to it."""
    assert written()["docs/leaderboard.md"] == leaderboards.make_page()


@pytest.mark.slow
def test_leaderboards_match_the_records() -> None:
    *_, kept = GATHERED["splits"]
    evaluation = Evaluation.load(ROOT / gathering.RESULTS / kept["folder"])
    found = gathering.in_values(evaluation, gather_entries(evaluation, []))
    assert json.loads(json.dumps(found)) == {
        name: value for name, value in kept.items() if name not in ("title", "folder", "figure")
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    for path in ("docs", "examples", "src"):
        shutil.copytree(ROOT / path, folder / path)
    for path in ("mkdocs.yml", "benchmarks/results/leaderboards.json"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    for words in (["docs.pages"], ["zensical", "build", "--strict", "--clean"]):
        subprocess.run([sys.executable, "-m", *words], cwd=folder, check=True, capture_output=True)
    yield folder / "site"


@pytest.mark.slow
def test_site_is_readable_and_searchable_from_disk(site: Path, browser: webdriver.Chrome) -> None:
    browser.get((site / "index.html").as_uri())
    browser.find_element(By.CSS_SELECTOR, ".md-search__button").click()
    browser.switch_to.active_element.send_keys("bonferroni")

    def found(page: webdriver.Chrome) -> bool:
        return any("howto/gate.html#" in link for link in page.execute_script(RESULTS))

    WebDriverWait(browser, 20).until(found)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    asked = [params["request"]["url"] for params in sent]
    assert any(one.endswith("search.js") for one in asked)
    assert [one for one in asked if re.match("(http|ws)s?:", one)] == []


@pytest.mark.slow
def test_every_page_leads_to_the_next(site: Path, browser: webdriver.Chrome) -> None:
    browser.get((site / "index.html").as_uri())
    following = browser.find_element(By.CSS_SELECTOR, ".md-footer__link--next")
    address = following.get_attribute("href") or ""
    assert address.endswith("tutorial.html")
    browser.get(address)
    assert browser.find_element(By.CSS_SELECTOR, ".md-footer__link--prev")
    links = browser.execute_script("return [...document.links].map(link => link.href)")
    missing = [
        link for link in links
        if link.startswith("file:") and not Path(link[7:].partition("#")[0]).is_file()
    ]  # fmt: skip
    assert missing == []
