"""A suite with every stage: screen, search, confirm, the long run; and a run that continues."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rootbound.attacks import Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.data import TaskPair
from rootbound.evaluation import Subject, evaluate, jobs
from rootbound.evaluation.attacker import NO_RESOURCES
from rootbound.evaluation.full_plan import FullPlan
from rootbound.evaluation.harness import run_assignment
from rootbound.evaluation.plan import Assignment, screen
from rootbound.metrics import measures as metrics
from rootbound.networks import Classifier, shallow_cnn
from rootbound.records import Configuration, Evaluation, Record
from rootbound.suites import Suite
from rootbound.suites.space import Space

SUITE = Suite(
    "staged-1",
    attacks=(
        LastLayer("adam", 0.03),
        LastLayer("adam", 0.1),
        ExactLastLayer(1e-3),
        FineTune(None, "kept", "adam", 1e-2),
        FineTune(None, "kept", "sgd", 0.05),
        FineTune(None, "kept", "sgd", 1e-4),
    ),
    budgets=(Budget(1, 4), Budget(5, 4), Budget(None, 6)),
    # The first is listed later among the attacks than the second: its own order decides.
    blind=(FineTune(None, "kept", "adam", 1e-2), ExactLastLayer(1e-3)),
    space=Space(proposals=2),
    benign=(ExactLastLayer(1e-3),),
    confirmed=1,
    attackers=2,
    longer=2,
)
ARMS = ("undefended", "defended", "scratch")


@pytest.fixture(scope="module")
def whole(toy_tasks: TaskPair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    folder = tmp_path_factory.mktemp("staged")
    other = model.reinitialised(5)
    found = evaluate(model, toy_tasks, undefended=other, suite=SUITE, seeds=1, folder=folder)
    return found, folder


def of(evaluation: Evaluation, **wanted: object) -> list[Record]:
    return [
        record
        for record in evaluation.records
        if all(getattr(record, name) == value for name, value in wanted.items())
    ]


def test_every_arm_has_every_stage_with_equal_trials(whole: tuple[Evaluation, Path]) -> None:
    evaluation, _ = whole
    for arm in ARMS:
        for labels, screened in ((1, 2), (5, 6), (None, 6)):
            cell = {"method": arm, "labels": labels, "task": "undesirable"}
            assert len(of(evaluation, stage="screen", **cell)) == screened
            assert len(of(evaluation, stage="search", **cell)) == (0 if labels == 1 else 2)
            confirmed = of(evaluation, stage="confirm", **cell)
            assert {record.attacker for record in confirmed} == {1, 2}
            assert {record.tier for record in confirmed} == {"probe", "fine-tuning"}
            (longer,) = of(evaluation, stage="longer", **cell)
            assert longer.steps[-1] == 2 * {1: 4, 5: 4, None: 6}[labels]
        assert len(of(evaluation, method=arm, task="benign")) == 1
    assert all(record.error is None and record.flops > 0 for record in evaluation.records)


def test_selects_nothing_with_one_label(whole: tuple[Evaluation, Path]) -> None:
    evaluation, _ = whole
    for record in of(evaluation, labels=1):
        assert record.validation == ()
        assert record.validation_loss is None
        assert record.selected == len(record.steps) - 1
    for arm in ARMS:
        chosen = metrics.selected(evaluation, arm, 1)
        assert set(chosen) == {(0, 1), (0, 2)}
        assert {record.attack for record in chosen.values()} == {Configuration.of(SUITE.blind[0])}


def test_confirms_settings_that_validation_preferred(
    whole: tuple[Evaluation, Path],
) -> None:
    evaluation, _ = whole
    for labels in (5, None):
        screened = [
            record
            for stage in ("screen", "search")
            for record in of(evaluation, method="defended", labels=labels, stage=stage)
            if record.tier == "fine-tuning" and record.task == "undesirable"
        ]
        best = max(screened, key=lambda record: record.preference)
        confirmed = of(evaluation, method="defended", labels=labels, stage="confirm")
        assert best.attack in {record.attack for record in confirmed}


def test_scratch_is_new_for_every_attacker(whole: tuple[Evaluation, Path]) -> None:
    evaluation, _ = whole
    draws = metrics.attacked(evaluation, "scratch", None)
    assert set(draws) == {(0, 1), (0, 2)}


def timeless(evaluation: Evaluation) -> list[dict[str, Any]]:
    records = (asdict(record) for record in evaluation.records)
    return [{name: one for name, one in record.items() if name != "seconds"} for record in records]


def test_interrupted_run_resumes_with_the_same_records(
    whole: tuple[Evaluation, Path],
    toy_tasks: TaskPair,
    toy_model: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluation, _ = whole
    real, done = jobs.do_job, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 14:
            raise KeyboardInterrupt
        return real(*arguments)

    def counted(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        return real(*arguments)

    def run() -> Evaluation:
        return evaluate(
            toy_model,
            toy_tasks,
            undefended=toy_model.reinitialised(5),
            suite=SUITE,
            seeds=1,
            folder=tmp_path,
        )

    monkeypatch.setattr("rootbound.evaluation.comparison.do_job", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    left = Evaluation.load(tmp_path)
    assert not left.complete
    assert left.records
    done = 13  # once more, and this time at once: what the first sitting found must stay
    with pytest.raises(KeyboardInterrupt):
        run()
    assert Evaluation.load(tmp_path) == left
    done = 0
    monkeypatch.setattr("rootbound.evaluation.comparison.do_job", counted)
    again = run()
    assert timeless(again) == timeless(evaluation)
    done = 0
    assert timeless(run()) == timeless(evaluation)
    assert done == 0, "a complete run is not made again"


def test_another_setting_makes_another_run(
    toy_tasks: TaskPair, toy_model: Classifier, toy_suite: Suite, tmp_path: Path
) -> None:
    first = evaluate(toy_model, toy_tasks, suite=toy_suite, seeds=1, folder=tmp_path)
    other = evaluate(toy_model.reinitialised(3), toy_tasks, suite=toy_suite, seeds=1)
    assert first.context["run"] != other.context["run"]


def test_more_attackers_use_the_same_settings(
    whole: tuple[Evaluation, Path], toy_tasks: TaskPair, tmp_path: Path
) -> None:
    before, _ = whole
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    wider = SUITE.with_attackers(4)
    assert (wider.name, wider.attackers) == ("staged-1 on 4 attackers", 4)
    assert SUITE.with_attackers(2) == SUITE
    after = evaluate(model, toy_tasks, suite=wider, seeds=1, folder=tmp_path)

    def confirmed(found: Evaluation) -> list[Record]:
        return of(found, stage="confirm", arm="defended", task="undesirable")

    assert {one.attacker for one in confirmed(before)} == {1, 2}
    assert {one.attacker for one in confirmed(after)} == {1, 2, 3, 4}
    kept = [replace(one, seconds=0.0) for one in confirmed(after) if one.attacker <= 2]
    assert kept == [replace(one, seconds=0.0) for one in confirmed(before)]


def test_search_ignores_the_benign_task(toy_tasks: TaskPair, toy_model: Classifier) -> None:
    subject = Subject("defended", "x", 0, toy_model)
    suite = Suite("plain", SUITE.attacks, (Budget(5, 4),), space=Space(proposals=4))
    proposed = []
    for also_benign in (False, True):
        plan = FullPlan(suite)
        search: list[Assignment] = []
        for assignment in plan.begin(subject):
            records = run_assignment(assignment, toy_tasks.undesirable, NO_RESOURCES)
            benign = [
                replace(one, task="benign", validation=(1.0,) * len(one.steps)) for one in records
            ]
            search += plan.advance(assignment, [*records, *benign] if also_benign else records)
        proposed.append([trial for assignment in search for trial in assignment.trials])
    assert proposed[0] == proposed[1]
    assert len(proposed[0]) == 4


def test_plan_treats_old_and_new_records_alike(toy_tasks: TaskPair, toy_model: Classifier) -> None:
    """Of a stage that is known, whole or in part, nothing is asked for again."""
    subject = Subject("defended", "x", 0, toy_model)
    plain = Suite("plain", SUITE.attacks, (Budget(5, 4),), confirmed=1)
    plan = FullPlan(plain)
    first = plan.begin(subject)
    assert [one.trials for one in first] == [one.trials for one in screen(subject, plain)]
    later: list[Assignment] = []
    for assignment in first:
        assert not later, "the next stage begins when this one is complete"
        records = run_assignment(assignment, toy_tasks.undesirable, NO_RESOURCES)
        later += plan.advance(assignment, records)
    assert {one.stage for one in later} == {"confirm"}
