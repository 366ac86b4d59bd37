"""Classes of different sizes: balanced accuracy beside accuracy, and classes that are too small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rootbound.attacks import Budget, LastLayer
from rootbound.core.errors import InputError
from rootbound.data import Data, Task, TaskPair
from rootbound.datasets import Dataset
from rootbound.evaluation.attacker import draw_labels
from rootbound.evaluation.checks import check_comparison
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.harness import attack
from rootbound.evaluation.plan import Subject
from rootbound.networks import Classifier
from rootbound.publishing.card import resistance_card
from rootbound.records import Evaluation
from rootbound.report.balance import IMBALANCED, is_imbalanced
from rootbound.report.headline import describe_gains, describe_run
from rootbound.report.settings import describe_settings
from rootbound.report.summary import summarise
from rootbound.suites import Suite
from rootbound.training import balanced_accuracy

GOLDEN = Path(__file__).parent / "golden"


def uneven(toy: Dataset, counts: list[int]) -> Dataset:
    """Return so many training samples of each class, and of tests half as many but one at least."""

    def part(data: Data, sizes: list[int]) -> Data:
        rows = [
            (data.labels == label).nonzero().flatten()[:size] for label, size in enumerate(sizes)
        ]
        return data.select(torch.cat(rows))

    tests = [max(1, min(20, count // 2)) for count in counts]
    return replace(
        toy,
        classes=("ant", "bee", "cat", "dog", "eel", "frog"),
        train=part(toy.train, counts),
        test=part(toy.test, tests),
    )


@pytest.mark.parametrize(
    ("right", "labels", "expected"),
    [
        ([1, 1, 1, 1], [0, 0, 0, 1], 1.0),
        ([1, 1, 1, 0], [0, 0, 0, 1], 0.5),
        ([0, 0, 0, 1], [0, 0, 0, 1], 0.5),
        ([1, 0, 1, 0], [0, 0, 3, 3], 0.5),  # classes without samples do not count
        ([1] * 99 + [0], [0] * 99 + [1], 0.5),
        ([1, 0], [0, 1], 0.5),
        ([1], [5], 1.0),
    ],
)
def test_every_class_counts_the_same(right: list[int], labels: list[int], expected: float) -> None:
    correct = torch.tensor([right, [1 - one for one in right]]).T.bool()
    assert balanced_accuracy(correct, torch.tensor(labels)) == [expected, 1 - expected]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (None, False),
        ({"majority": 0.9}, False),  # an older record
        ({"majority": 0.5, "minority": 0.5}, False),
        ({"majority": 0.211, "minority": 0.183}, False),  # MNIST
        ({"majority": IMBALANCED * 0.2, "minority": 0.2}, False),
        ({"majority": 0.41, "minority": 0.2}, True),
        ({"majority": 0.999, "minority": 0.001}, True),
    ],
)
def test_detects_imbalanced_tasks(task: dict[str, float] | None, expected: bool) -> None:
    assert is_imbalanced(task) is expected


def test_record_has_both_accuracies(toy: Dataset, toy_model: Classifier) -> None:
    task = uneven(toy, [3, 3, 3, 40, 4, 4]).task("dog,eel,frog")
    suite = Suite("one", (LastLayer("adam", 1e-6),), (Budget(None, 1),))
    (record,) = attack(Subject("defended", "x", 0, toy_model), task, suite)
    counts = task.test.labels.bincount()
    assert counts.tolist() == [20, 2, 2]
    assert record.accuracy is not None
    assert record.balanced is not None
    # Both are counts of right answers, of all samples and of each class.
    right = 24 * record.accuracy
    assert right == pytest.approx(round(right), abs=1e-3)
    assert 60 * record.balanced == pytest.approx(round(60 * record.balanced), abs=1e-3)
    next_tokens = replace(task, test=replace(task.test, stratified=False))
    (record,) = attack(Subject("defended", "x", 0, toy_model), next_tokens, suite)
    assert record.balanced is None


def golden(**sizes: float) -> Evaluation:
    """Return the committed records as if classes had these sizes."""
    evaluation = Evaluation.load(GOLDEN)
    task = dict(evaluation.context["undesirable"]) | sizes
    return replace(evaluation, context=dict(evaluation.context) | {"undesirable": task})


def with_balanced(evaluation: Evaluation) -> Evaluation:
    records = (
        record if record.accuracy is None else replace(record, balanced=record.accuracy / 2)
        for record in evaluation.records
    )
    trainings = (
        replace(training, desirable_balanced=0.4321)
        if training.desirable_accuracy is not None
        else training
        for training in evaluation.trainings
    )
    return replace(evaluation, records=tuple(records), trainings=tuple(trainings))


def titles(evaluation: Evaluation) -> list[str]:
    return [table.title for table in summarise(evaluation).tables]


def test_no_balanced_table_for_older_records_or_even_classes() -> None:
    assert "Balanced accuracy" not in titles(golden())
    even = with_balanced(golden(majority=0.211, minority=0.183))
    assert "Balanced accuracy" not in titles(even)
    assert "counts the same" not in " ".join(describe_run(even))


def test_report_shows_both_accuracies_for_uneven_classes() -> None:
    evaluation = with_balanced(golden(majority=0.95, minority=0.002))
    (table,) = (
        table for table in summarise(evaluation).tables if table.title == "Balanced accuracy"
    )
    assert "95.0 % of the test samples, the rarest 0.2 %" in table.caption
    assert "is 33.3 % right where every class counts the same" in table.caption
    method = next(row for row in table.rows if row[0].text not in ("scratch", "control"))
    assert method[3].text == "43.2 %"
    whole, half = (float(method[place].text.removesuffix(" %")) for place in (4, 5))
    assert half == pytest.approx(whole / 2, abs=0.11)
    assert "gives 95.0 % (33.3 % where every class counts the same)" in " ".join(
        describe_run(evaluation)
    )
    assert "95.0 % of the test samples" in describe_settings(evaluation)["Undesirable task"]


def test_report_says_when_uneven_records_lack_balanced_accuracy() -> None:
    (table,) = (
        table
        for table in summarise(golden(majority=0.95, minority=0.002)).tables
        if table.title == "Balanced accuracy"
    )
    assert {row[5].text for row in table.rows} <= {"not recorded", "–"}


def test_verdict_weighs_classes_equally() -> None:
    evaluation = with_balanced(golden(majority=0.95, minority=0.002))
    method = next(one.method for one in evaluation.trainings if one.arm == "defended")
    told = " ".join(describe_gains(evaluation, method))
    assert "always naming the most frequent one is 33.3 % right" in told
    assert "In balanced accuracy, the attacker with all labels reaches" in told
    assert "In balanced accuracy" not in " ".join(describe_gains(golden(), method))
    card = resistance_card(evaluation, method, "0" * 64)
    assert any(
        "In balanced accuracy, the attacker with all labels" in limit for limit in card["limits"]
    )


def test_keeps_balanced_accuracies(tmp_path: Path) -> None:
    evaluation = with_balanced(golden(majority=0.95, minority=0.002))
    evaluation.save(tmp_path)
    again = Evaluation.load(tmp_path)
    assert again.trainings == evaluation.trainings
    assert again.records == tuple(record.as_written() for record in evaluation.records)
    assert any(record.balanced for record in again.records)


@pytest.mark.parametrize("count", [0, 1])
def test_names_a_class_too_small_to_share(toy: Dataset, count: int) -> None:
    data = uneven(toy, [3, 3, 3, 40, 4, count])
    with pytest.raises(InputError, match=r"training samples.*of every.*frog"):
        data.split("ant,bee,cat", "dog,eel,frog")


def test_shares_a_class_with_one_sample(toy: Dataset) -> None:
    pair = uneven(toy, [1, 3, 3, 40, 4, 1]).split(
        "ant,bee,cat", "dog,eel,frog", share_undesirable=True
    )
    assert pair.undesirable.train.labels.bincount().tolist() == [40, 4, 1]


def test_validation_works_without_a_one_sample_class(toy: Dataset) -> None:
    pair = uneven(toy, [9, 9, 9, 40, 4, 1]).split(
        "ant,bee,cat", "dog,eel,frog", share_undesirable=True
    )
    draw = draw_labels(pair.undesirable, pair.undesirable.test, Budget(None, 1), seed=0)
    assert draw.validation is not None
    assert draw.validation.labels.bincount(minlength=3).tolist() == [8, 1, 0]
    assert draw.train.labels.bincount().tolist() == [32, 3, 1]


def test_names_the_rarest_class_when_labels_are_missing(
    toy: Dataset, toy_model: Classifier
) -> None:
    data = uneven(toy, [9, 9, 9, 40, 40, 4])
    suite = Suite("one", (LastLayer(),), (Budget(10, 1),))
    contenders = [Contender("defended", "x", toy_model), Contender("scratch", "scratch", toy_model)]
    with pytest.raises(
        InputError, match="fewer labels per class than the attacker's 2 of frog; got"
    ):
        check_comparison(contenders, data.split("ant,bee,cat", "dog,eel,frog"), suite)


def test_task_of_a_thousand_classes_keeps_them_all() -> None:
    labels = torch.arange(1000).repeat(4)
    data = Data(torch.rand(4000, 2), labels)
    task = Task("thousand", tuple(map(str, range(1000))), data, data)
    pair = TaskPair.of(task, task)
    assert pair.known_undesirable.labels.bincount().tolist() == [2] * 1000
