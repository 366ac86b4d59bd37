"""The report: from committed records the same everywhere, and safe with strangers' words."""

from __future__ import annotations

import base64
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rootbound as rb
from rootbound import report
from rootbound.core.errors import InputError
from rootbound.publishing.card import resistance_card, to_markdown
from rootbound.records import Evaluation
from rootbound.report.leaderboard import write_leaderboard

GOLDEN = Path(__file__).parent / "golden"
OUTPUTS = ("report.html", "summary.md")
COORDINATE = re.compile(r"\d+\.\d{3,6}")
"""Of a figure: its last digit is another one on processors that add in another order."""
CLIP = re.compile(r"(?<=-p)[0-9a-f]{10}\b")
"""Digest of coordinates to the last digit, by which a figure names what cuts its lines off."""


def numbered(text: str) -> str:
    """Return a page without coordinates, and with numbers for digests of them."""
    clips = {clip: str(place) for place, clip in enumerate(dict.fromkeys(CLIP.findall(text)))}
    return COORDINATE.sub("", CLIP.sub(lambda found: clips[found[0]], text))


@pytest.mark.parametrize("name", OUTPUTS)
def test_report_equals_the_golden_copy(name: str, golden_report: Path) -> None:
    """Look at the difference; if it is meant, run with ROOTBOUND_UPDATE_GOLDEN=1 and commit."""
    made = (golden_report / name).read_text()
    if os.environ.get("ROOTBOUND_UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(made)
    wanted = (GOLDEN / name).read_text()
    assert numbered(made) == numbered(wanted)
    found, expected = ([float(one) for one in COORDINATE.findall(text)] for text in (made, wanted))
    assert found == pytest.approx(expected, abs=5e-6, rel=0)


@pytest.mark.parametrize("name", ["summary.md", "leaderboard.md"])
def test_golden_report_of_separate_runs_is_unchanged(name: str, tmp_path: Path) -> None:
    """Here all standings differ, and some are below zero: a wrong sign shows."""
    shutil.copy(GOLDEN / "apart" / "records.json.gz", tmp_path)
    report.write(tmp_path)
    write_leaderboard(tmp_path)
    made = (tmp_path / name).read_text()
    if os.environ.get("ROOTBOUND_UPDATE_GOLDEN"):
        (GOLDEN / "apart" / name).write_text(made)
    assert made == (GOLDEN / "apart" / name).read_text()


def test_same_input_gives_the_same_bytes(golden_report: Path, tmp_path: Path) -> None:
    shutil.copytree(golden_report, tmp_path / "again", dirs_exist_ok=True)
    report.write(tmp_path / "again")
    for path in golden_report.rglob("*.*"):
        assert (
            path.read_bytes() == (tmp_path / "again" / path.relative_to(golden_report)).read_bytes()
        )


def test_every_figure_is_well_formed_svg_with_content(golden_report: Path) -> None:
    figures = sorted((golden_report / "figures").glob("*.svg"))
    assert [path.stem for path in figures] == [
        "curves-labels", "curves-steps", "curves-trials", "feature-maps", "feature-view", "filters",
        "grad-cam", "head-start",
    ]  # fmt: skip
    for path in figures:
        root = ElementTree.parse(path).getroot()
        assert root.tag.endswith("svg")
        assert len(list(root.iter())) > 50


def test_offers_figures_one_by_one(golden_report: Path, tmp_path: Path) -> None:
    evaluation = Evaluation.load(golden_report)
    found = report.plots(evaluation)
    drawn = {path.stem for path in (golden_report / "figures").glob("curves-*.svg")}
    assert set(found) == drawn | {"head-start"}
    found["curves-labels"].savefig(tmp_path / "labels.pdf")
    assert (tmp_path / "labels.pdf").read_bytes().startswith(b"%PDF")
    assert not report.plots(replace(evaluation, records=()))


def test_notebook_shows_headline_and_figure(golden_report: Path) -> None:
    shown = rb.Evaluation.load(golden_report)._repr_html_()
    assert shown is not None
    first, *_, picture = shown.split("\n")
    assert first.startswith("<p>Solved exactly, a new last layer for")
    found = re.fullmatch(r'<img alt="[^"]+" src="data:image/svg\+xml;base64,([^"]+)">', picture)
    assert found is not None
    svg = ElementTree.fromstring(base64.b64decode(found[1]))
    assert "strongest attack" in "".join(svg.itertext())


def test_notebook_escapes_untrusted_words(golden_report: Path) -> None:
    evaluation = rb.Evaluation.load(golden_report)
    task = {**evaluation.context["undesirable"], "name": "<script>"}
    hostile = replace(evaluation, context={**evaluation.context, "undesirable": task})
    shown = hostile._repr_html_()
    assert shown is not None and "&lt;script&gt;" in shown and "<script>" not in shown


def test_identifiers_of_the_page_do_not_clash(golden_report: Path) -> None:
    page = (golden_report / "report.html").read_text()
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    wanted = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert wanted <= set(names), f"links to nothing: {sorted(wanted - set(names))[:3]}"


def test_page_fetches_nothing(golden_report: Path) -> None:
    page = (golden_report / "report.html").read_text()
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith(("#", "data:")), address
    assert "<script" not in page


def test_escapes_untrusted_words(tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)">|`$'
    golden = Evaluation.load(GOLDEN)
    task = {**golden.context["undesirable"], "name": evil, "classes": [evil, "b", "c"]}
    context = {**golden.context, "undesirable": task, "model": evil}
    trainings = tuple(
        replace(one, method=evil, settings=evil) if one.method == "BestResponse" else one
        for one in golden.trainings
    )
    records = tuple(
        replace(one, method=evil) if one.method == "BestResponse" else one for one in golden.records
    )
    replace(golden, context=context, trainings=trainings, records=records).save(tmp_path)
    page = report.write(tmp_path).read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    for path in (tmp_path / "figures").glob("*.svg"):
        ElementTree.parse(path)


def test_reports_a_run_without_records(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    replace(golden, trainings=(), records=(), complete=False).save(tmp_path)
    assert "not complete" in report.write(tmp_path).read_text()


@pytest.mark.parametrize("labels", [[10, 100], [10, None]])
def test_reports_models_without_time_for_attacks(labels: list[int | None], tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    budgets = [{"labels": one, "steps": 60} for one in labels]
    replace(golden, context={**golden.context, "budgets": budgets}, records=()).save(tmp_path)
    page = report.write(tmp_path).read_text()
    assert "No attack finished on every arm" in page
    card = resistance_card(Evaluation.load(tmp_path), "BestResponse", "0" * 64)
    assert "No attack was made." in to_markdown(card, "model")


def test_reports_attacks_that_are_solved_at_once(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    solved = tuple(one for one in golden.records if not any(one.steps))
    assert solved
    replace(golden, records=solved).save(tmp_path)
    assert "<svg" in report.write(tmp_path).read_text()


def test_reports_without_an_undefended_arm(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    replace(
        golden,
        trainings=tuple(one for one in golden.trainings if one.arm != "undefended"),
        records=tuple(one for one in golden.records if one.arm != "undefended"),
    ).save(tmp_path)
    page = report.write(tmp_path).read_text()
    assert "Advantage over scratch" in page
    assert "Steps to catch up" not in page


def test_python_writes_one_file(tmp_path: Path) -> None:
    report.html(Evaluation.load(GOLDEN), tmp_path / "deep" / "page.html")
    page = (tmp_path / "deep" / "page.html").read_text()
    assert "<svg" in page
    for absent in ("Also in figures/", "beside this page", "neither convolutions nor words, or"):
        assert absent not in page
    assert "No pictures were recorded: the run was given no folder" in page


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "records in"),
        ("{}", "records in"),
        ("[1, 2]", "records in"),
        ('{"format": 99}', "format 3"),
        ('{"format": 2, "context": {}, "trainings": [{"x": 1}], "records": []}', "settings"),
        (
            '{"format": 3, "context": {}, "methods": ["as given"], "attacks": [], '
            '"trainings": [{"settings": 0, "x": 1}], "records": []}',
            "unknown field",
        ),
    ],
)
def test_refuses_damaged_records(content: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "records.json.gz").write_text(content)
    with pytest.raises(InputError, match=text):
        report.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["records.json.gz"]


def test_refuses_damaged_pictures(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "records.json.gz", tmp_path)
    (tmp_path / "pictures.npz").write_bytes((GOLDEN / "pictures.npz").read_bytes()[:500])
    with pytest.raises(InputError, match="pictures in"):
        report.write(tmp_path)


def test_refuses_missing_records(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        report.write(tmp_path)
