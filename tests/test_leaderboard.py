"""The leaderboard: the metrics' numbers, in the right order, safe with strangers' words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

import by_hand
from rootbound.core.errors import InputError
from rootbound.methods import METHODS
from rootbound.metrics import measures as metrics
from rootbound.records import EXACT, Evaluation, Record
from rootbound.report.cases import GENERIC
from rootbound.report.head_start import LARGE
from rootbound.report.leaderboard import Challenge, read_challenges, write_leaderboard
from rootbound.report.leaderboard.claims import read_claims
from rootbound.report.leaderboard.entries import Entry, gather_entries
from rootbound.report.leaderboard.frontier import draw_frontier
from rootbound.report.leaderboard.sentences import describe_best, describe_frontier
from rootbound.report.leaderboard.table import tabulate_entries

APART = Path(__file__).parent / "golden" / "apart"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(APART / "records.json.gz", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return Evaluation.load(APART)


def test_standings_hold_the_metrics_of_each_method(evaluation: Evaluation) -> None:
    found = {one.method: one for one in metrics.standings(evaluation)}
    assert "scratch" not in found
    plain = metrics.undefended(evaluation)
    assert plain is not None
    assert found[plain].change is None
    assert found[plain].cost == 1.0
    labels = metrics.budgets(evaluation)
    for method, one in found.items():
        advantages = [metrics.advantage(evaluation, method, count) for count in labels]
        highest = max(value.mean for value in advantages if value is not None)
        assert one.worst is not None
        assert one.worst.advantage.mean == highest
        chosen = metrics.selected(evaluation, method, one.worst.labels).values()
        assert one.worst.attack in {record.family for record in chosen}
        assert one.exact == metrics.points(metrics.attacked(evaluation, method, labels[-1], EXACT))


def test_standings_have_the_right_signs(evaluation: Evaluation) -> None:
    found = {one.method: one.worst for one in metrics.standings(evaluation)}
    advantages = {name: round(one.advantage.mean, 2) for name, one in found.items() if one}
    assert advantages == {"BestResponse": -8.33, "SelectiveDistillation": -3.33, "Plain": 2.5}


def test_smallest_advantage_comes_first_and_unreliable_last(evaluation: Evaluation) -> None:
    found = gather_entries(evaluation, ())
    worst = [entry.worst for entry in found if entry.status != "unreliable"]
    assert worst == sorted(worst, key=lambda value: float("inf") if value is None else value)
    states = [entry.status for entry in found]
    assert states == sorted(states, key=lambda status: status == "unreliable")


def test_model_that_lost_its_task_is_unreliable(evaluation: Evaluation) -> None:
    broken = tuple(
        replace(one, desirable_accuracy=0.3) if one.method == "BestResponse" else one
        for one in evaluation.trainings
    )
    found = gather_entries(replace(evaluation, trainings=broken), ())
    assert found[-1].standing.method == "BestResponse"
    assert found[-1].status == "unreliable"


def test_frontier_shows_every_row_and_unreliable_ones_hollow(
    evaluation: Evaluation,
) -> None:
    broken = tuple(
        replace(one, desirable_accuracy=0.3) if one.method == "BestResponse" else one
        for one in evaluation.trainings
    )
    help_of = {"BestResponse": 0.05, "SelectiveDistillation": 0.1}

    def helped(one: Record) -> Record:
        if one.accuracy is None or one.method not in help_of:
            return one
        reached = 0.4 + help_of[one.method] * (1 + one.seed)
        return replace(one, accuracy=reached, halves=(reached, reached))

    records = tuple(map(helped, evaluation.records))
    changed = replace(evaluation, trainings=broken, records=records)
    rows = [one for one in gather_entries(changed, ()) if one.kind != GENERIC]
    assert {row.is_doubtful for row in rows} == {True, False}
    figure = draw_frontier(rows)
    assert figure is not None
    plt.close(figure)
    for row, drawn in zip(rows, figure.axes[0].containers, strict=True):
        line, _, bars = drawn.lines  # type: ignore[attr-defined]
        assert line.get_xydata().tolist() == [[row.loss, row.worst]]
        assert (line.get_markerfacecolor() == "none") == row.is_doubtful
        assert row.standing.worst is not None
        (vertical,) = bars[-1].get_segments()
        gain = row.standing.worst.advantage
        assert gain.low < gain.high or row.standing.method == "Plain"
        assert vertical[:, 1].tolist() == pytest.approx([gain.low, gain.high])


@pytest.mark.parametrize(("advantage", "status"), [(1000.0, "external"), (-1000.0, "standard")])
def test_only_a_stronger_attack_changes_a_row(
    advantage: float, status: str, evaluation: Evaluation
) -> None:
    challenge = Challenge("Plain", advantage, "mine", "https://example.org")
    found = next(
        one for one in gather_entries(evaluation, [challenge]) if one.standing.method == "Plain"
    )
    assert found.status == status
    assert (found.worst == advantage) == (status == "external")


def test_pages_hold_the_numbers_and_escape_text(folder: Path) -> None:
    hostile = Challenge("Plain", 99.0, "<script>alert(1)</script> | x", "https://example.org/\"'>")
    page = write_leaderboard(folder, [hostile], command="rootbound compare --out '<x>'")
    text = page.read_text()
    assert text.count("<script>") == 1, "only the page's own script"
    assert "<x>" not in text
    assert "+99.00" in text
    assert "\\| x" in (folder / "leaderboard.md").read_text()
    content = json.loads((folder / "leaderboard.json").read_text())
    rows = {one["method"]: one for one in content["methods"]}
    assert rows["Plain"]["status"] == "external"
    assert rows["Plain"]["external"]["advantage"] == 99.0
    assert "<svg" in (folder / "figures" / "frontier.svg").read_text()


def test_same_records_give_the_same_bytes(folder: Path) -> None:
    write_leaderboard(folder)
    names = ("leaderboard.html", "leaderboard.md", "leaderboard.json", "figures/frontier.svg")
    before = [(folder / name).read_bytes() for name in names]
    write_leaderboard(folder)
    assert [(folder / name).read_bytes() for name in names] == before


def test_run_without_records_has_a_page(folder: Path) -> None:
    found = Evaluation.load(folder)
    replace(found, records=(), trainings=found.trainings[:1], complete=False).save(folder)
    assert "not complete" in write_leaderboard(folder).read_text()


def test_papers_belong_to_known_or_planned_methods() -> None:
    claims = read_claims()
    assert len({one.method for one in claims}) == len(claims)
    assert {"SelectiveDistillation"} <= {one.method for one in claims} & set(METHODS)


GOOD = {"method": "Plain", "advantage": 1.5, "attack": "mine", "link": "https://example.org"}


def test_reads_challenges(tmp_path: Path) -> None:
    path = tmp_path / "external.json"
    path.write_text(json.dumps([GOOD]))
    assert read_challenges(path) == [Challenge("Plain", 1.5, "mine", "https://example.org")]


@pytest.mark.parametrize(
    "content",
    [
        "", "{}x", "[1]", "3", '["text"]', "[" * 100_000,
        *(json.dumps([GOOD | change]) for change in (
            {"advantage": "2"}, {"advantage": True}, {"advantage": None}, {"method": 1},
            {"link": "http://example.org"}, {"link": "javascript:alert(1)"}, {"attack": "x" * 501},
        )),
        json.dumps([{name: GOOD[name] for name in ("method", "attack", "link")}]),
        json.dumps([GOOD | {"advantage": float("nan")}]),
    ],
)  # fmt: skip
def test_refuses_bad_challenges(content: str, tmp_path: Path) -> None:
    path = tmp_path / "external.json"
    path.write_text(content)
    with pytest.raises(InputError, match="a JSON list"):
        read_challenges(path)


def test_refuses_missing_challenges(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_challenges(tmp_path / "none.json")


def test_refuses_a_dictionary_of_challenges(tmp_path: Path) -> None:
    path = tmp_path / "external.json"
    written: dict[str, Any] = {"method": "Plain"}
    path.write_text(json.dumps(written))
    with pytest.raises(InputError):
        read_challenges(path)


def test_every_number_of_a_row_is_in_its_column() -> None:
    run = by_hand.evaluation(public=True)
    rows = gather_entries(run, ())
    shown = tabulate_entries(rows, "by-hand-1")
    good, weak, plain = (
        dict(zip(shown.columns, row, strict=True)) for row in shown.rows
    )  # fmt: skip
    texts = [{name: one.text for name, one in row.items()} for row in (good, weak, plain)]
    expected = {
        "method": ("Good", "Weak", "Plain"),
        "head start": ("small", "large", "large"),
        "worst advantage": ("+2.00", "+10.00", "+20.00"),
        "by": ("fine-tuning all layers",) * 3,
        "over public": ("+1.00", "+9.00", "+19.00"),
        "desirable change": ("-0.60", "+1.00", "–"),
        "exact last layer": ("55.0 %", "65.0 %", "70.0 %"),
        "steps": ("1 x", "0.3 x", "0.3 x"),
        "labels": ("1 x", "1 x", "1 x"),
        "benign change": ("-5.00", "+2.00", "–"),
        "training": ("2.5 x", "1.5 x", "1 x"),
        "flags": ("none",) * 3,
    }
    for name, wanted in expected.items():
        assert tuple(row[name] for row in texts) == wanted, name
    # A gain is good news of the two tasks that must be kept, and bad news of the attacker.
    for name, marks in {
        "desirable change": ("bad", "good"),
        "benign change": ("bad", "good"),
        "worst advantage": ("bad", "bad"),
    }.items():
        assert (good[name].mark, weak[name].mark) == marks, name
    assert [row.loss for row in rows] == pytest.approx([0.6, -1.0, 0.0])


def test_external_attack_changes_the_word() -> None:
    def challenged(*reached: float) -> Entry:
        claims = [Challenge("Good", one, "theirs", "https://example.org") for one in reached]
        return next(
            row
            for row in gather_entries(by_hand.evaluation(), claims)
            if row.standing.method == "Good"
        )

    assert (challenged(3.0).word, challenged(LARGE).word) == ("small", "large")
    assert challenged(6.0, 9.0, 7.0).worst == 9.0


def test_frontier_losses_have_intervals() -> None:
    figure = draw_frontier(gather_entries(by_hand.evaluation(), ()))
    assert figure is not None
    plt.close(figure)
    good, weak, _ = figure.axes[0].containers
    for drawn, mean in ((good, 0.6), (weak, -1.0)):
        horizontal, _ = drawn.lines[2]  # type: ignore[attr-defined]
        (segment,) = horizontal.get_segments()
        assert segment[:, 0].tolist() == pytest.approx(by_hand.interval(mean, 0.1)[1:])


def test_first_sentence_states_the_price() -> None:
    rows = gather_entries(by_hand.evaluation(), ())
    assert describe_best(rows) == (
        "Good leaves attackers least: +2.0 points over scratch where they gain most (1.3 to 2.7); "
        "the price is 0.60 points of desirable accuracy; Plain, undefended, leaves +20.0."
    )
    assert describe_frontier(rows) == (
        "With 1 of 2 methods attackers gain less than 5 points over scratch; it costs less than "
        "1 point"
    )
