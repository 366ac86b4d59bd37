"""Draws after the first: only the strongest attacks on each model meet them, and they count."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rootbound.attacks import Attack, Budget, ExactLastLayer, FineTune, LastLayer, NearestNeighbours
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import Subject, evaluate
from rootbound.evaluation.deciding_plan import DecidingPlan
from rootbound.evaluation.full_plan import FullPlan
from rootbound.evaluation.plan import (
    Assignment,
    Plan,
    assign,
    draw_again,
    screen,
    select_best,
)
from rootbound.metrics import measures as metrics
from rootbound.metrics.attackers import finalists
from rootbound.networks import Classifier, shallow_cnn
from rootbound.records import EXACT, PRACTICAL, Arm, Configuration, Evaluation, Record, Training
from rootbound.suites import Suite

FAMILIES: dict[str, tuple[Attack, ...]] = {
    PRACTICAL: (LastLayer("adam", 0.03), LastLayer("sgd", 0.03)),
    EXACT: (ExactLastLayer(1e-3),),
    "all layers": (FineTune(None, "kept", "adam", 1e-2), FineTune(None, "kept", "sgd", 0.05)),
    "last 2 layers": (FineTune(2, "kept", "adam", 1e-2),),
    "probe, the last block": (NearestNeighbours(3),),
}
SUITE = Suite(
    "finalists-1",
    tuple(trial for trials in FAMILIES.values() for trial in trials),
    (Budget(1, 3), Budget(5, 3), Budget(20, 3)),
    draws=(3, 4, 2),
    finalists=1,
    blind=(FineTune(2, "kept", "adam", 1e-2), NearestNeighbours(1)),
    benign=(ExactLastLayer(1e-3),),
)
ARMS: tuple[Arm, ...] = ("defended", "undefended", "scratch")
STRONG = {
    "defended": "all layers",
    "undefended": "last 2 layers",
    "scratch": "probe, the last block",
}
Worth = Callable[[Assignment, Attack], float]


def made_up(done: Assignment, worth: Worth) -> list[Record]:
    """Return records of an assignment in which families are worth so much."""
    return [
        Record(
            done.subject.arm, done.subject.method, done.subject.seed, done.attacker, done.stage,
            trial.tier, trial.family, Configuration.of(trial), budget.labels, (1,), (0.5,),
            (accuracy,), 0, 1.0, accuracy, 1.0, 1.0, halves=(accuracy, accuracy), task=done.task,
        )
        for budget in done.budgets
        for trial in done.trials
        for accuracy in [worth(done, trial)]
    ]  # fmt: skip


def carry_out(
    plan: Plan, model: Classifier, worth: Worth, shuffled: random.Random | None = None
) -> tuple[list[Assignment], list[Record]]:
    """Do everything that a plan asks for, in order or in any."""
    queue = [one for arm in ARMS for one in plan.begin(Subject(arm, arm, 0, model))]
    done, records = [], []
    while queue:
        one = queue.pop(shuffled.randrange(len(queue)) if shuffled else 0)
        found = made_up(one, worth)
        done.append(one)
        records += found
        queue += plan.advance(one, found)
    return done, records


def evaluation_of(records: list[Record]) -> Evaluation:
    trainings = tuple(Training(arm, arm, "", 0, None, 1.0) for arm in ARMS)
    return Evaluation({}, trainings, tuple(records))


def strong_families(done: Assignment, trial: Attack) -> float:
    return 0.8 if trial.family == STRONG[done.subject.arm] else 0.4


def met(records: list[Record], arm: str, labels: int, draw: int) -> set[str]:
    """Return the families that met a draw of labels."""
    attacker = sorted({one.attacker for one in records})[draw]
    cell = (arm, labels, attacker, "undesirable")
    return {one.family for one in records
            if (one.method, one.labels, one.attacker, one.task) == cell}  # fmt: skip


@pytest.mark.parametrize("arm", ARMS)
def test_strongest_attacks_of_each_model_go_on_with_the_last_layer(
    arm: str, toy_model: Classifier
) -> None:
    _, records = carry_out(FullPlan(SUITE), toy_model, strong_families)
    applying = {trial.family for trial in SUITE.attacks if trial.applies_to(toy_model)}
    for labels, draws in ((5, 4), (20, 2)):
        assert len(metrics.well_tuned(evaluation_of(records), arm, labels)) == draws - 1
        assert met(records, arm, labels, 0) == applying == set(FAMILIES)
        for draw in range(1, draws):
            assert met(records, arm, labels, draw) == {STRONG[arm], PRACTICAL, EXACT}
        assert draws == 4 or not met(records, arm, labels, draws)
    # With one label the order of settings decides, and for the harmless task nothing is chosen.
    blind = {trial.family for trial in SUITE.blind}
    assert [met(records, arm, 1, draw) for draw in range(3)] == [blind] * 3
    benign = [one for one in records if one.task == "benign" and one.method == arm]
    assert sorted(one.labels or 0 for one in benign) == [5] * 4 + [20] * 2


def test_the_strongest_setting_of_a_finalist_goes_on(toy_model: Classifier) -> None:
    """The auditor's labels say which it is, however it does on the attacker's own."""
    best = FAMILIES["all layers"][1]
    done, _ = carry_out(
        FullPlan(SUITE), toy_model, lambda one, trial: 0.9 if trial == best else 0.5
    )
    again = [one for one in done if one.subject.arm == "defended" and one.attacker == 30_000]
    settings = {trial for one in again for trial in one.trials if one.task == "undesirable"}
    assert settings & set(FAMILIES["all layers"]) == {best}


def test_setting_is_ranked_by_its_selected_step() -> None:
    """Not its last step, which no attacker would offer, and not its best one on test samples."""
    curves = {"a": (0.1, 0.5, 0.9), "b": (0.1, 0.6, 0.2), "c": (0.9, 0.4, 0.4)}
    records = [
        Record(
            "defended", "x", 0, 0, "screen", "fine-tuning", family, Configuration(family, {}), 10,
            (1, 3, 9), (0.1, 0.9, 0.2), curve, 1, 1.0, None, 1.0, 1.0,
        )
        for family, curve in curves.items()
    ]  # fmt: skip
    assert [setting.kind for setting in finalists(records, 2)] == ["b", "a"]


def test_only_the_first_draw_chooses_finalists(toy_model: Classifier) -> None:
    """The other draws count, so that what they find must not decide who meets further ones."""
    subject, budget = Subject("defended", "x", 0, toy_model), SUITE.budgets[1]
    tried = {Configuration.of(trial): trial for trial in SUITE.attacks}
    screened = [
        one for each in screen(subject, SUITE) if each.attacker == 0 and budget in each.budgets
        for one in made_up(each, strong_families)
    ]  # fmt: skip
    (lucky,) = FAMILIES["last 2 layers"]
    later = [
        record
        for one in assign(subject, (lucky,), (budget,), attacker=10_000, stage="confirm")
        for record in made_up(one, lambda *_: 1.0)
    ]
    chosen = [
        {
            trial
            for one in draw_again(subject, SUITE, budget, 2, known, tried)
            for trial in one.trials
        }
        for known in (screened, [*screened, *later])
    ]
    assert chosen[0] == chosen[1] and lucky not in chosen[1]


def test_the_best_setting_has_the_highest_mean_of_those_that_work(toy_model: Classifier) -> None:
    first, second, broken = SUITE.attacks[:3]
    subject, budget = Subject("defended", "x", 0, toy_model), SUITE.budgets[1]
    validated = {first: (0.9, 0.1), second: (0.6, 0.6), broken: (1.0, 1.0)}
    records = [
        replace(
            record,
            validation=(validated[trial][draw],),
            error="it fails" if trial == broken else None,
        )
        for draw in (0, 1)
        for trial in validated
        for one in assign(subject, (trial,), (budget,), attacker=draw)
        for record in made_up(one, strong_families)
    ]
    assert select_best(list(validated), records, budget, 2) == [second, first]


def test_each_family_meets_scratch_weights_of_its_own(toy_model: Classifier) -> None:
    done, _ = carry_out(FullPlan(SUITE), toy_model, strong_families)
    weights: dict[tuple[str, int], set[int | None]] = {}
    for one in done:
        families = {trial.family for trial in one.trials}
        if one.subject.arm == "scratch":
            (family,) = families
            weights.setdefault((family, one.attacker), set()).add(one.weights)
        else:
            assert one.weights is None and one.model is toy_model
    # The same for all budgets and tasks of a draw; no two alike otherwise.
    assert all(len(seeds) == 1 for seeds in weights.values())
    assert len({seeds.pop() for seeds in weights.values()}) == len(weights)


def test_order_of_records_does_not_matter(toy_model: Classifier) -> None:
    def tied(done: Assignment, trial: Attack) -> float:
        return 0.5

    sets = []
    for seed in range(4):
        plan = FullPlan(SUITE)
        _, records = carry_out(plan, toy_model, tied, random.Random(seed))
        sets.append({(one.method, one.labels, one.attacker, one.attack) for one in records})
    assert all(one == sets[0] for one in sets)


@pytest.mark.parametrize("finalists", [0, 1])
def test_gate_redraws_labels_for_finalists(finalists: int, toy_model: Classifier) -> None:
    suite = replace(SUITE, finalists=finalists).until_decided(1.0, 6)
    plan = DecidingPlan(suite, len(ARMS), set(), 1000)
    _, records = carry_out(plan, toy_model, strong_families)
    further = [one for one in records if one.attacker == 40_000 and one.labels == 5]
    assert further, "three or four draws are too few to look"
    families = {one.family for one in further if one.method == "defended"}
    assert families == ({STRONG["defended"], PRACTICAL, EXACT} if finalists else set(FAMILIES))
    assert len({one.key for one in records}) == len(records), "a draw was taken twice"
    met_by = {one.attacker for one in records if (one.method, one.labels) == ("defended", 5)}
    assert met_by == {10_000 * draw for draw in range(len(met_by))}


def test_few_families_shorten_the_attackers_mean() -> None:
    """Eight were tried: the mean of two, though only three met the draws that count."""
    worth = [0.9, 0.8, 0.7, 0.95, 0.2, 0.2, 0.2, 0.2]
    records = [
        Record(
            arm, arm, 0, 10_000 * draw, "confirm" if draw else "screen",
            "fine-tuning", f"family {number}",
            Configuration(f"family {number}", {}), 10, (1,), (0.5,), (0.5,), 0, 1.0, value, 1.0,
            1.0, halves=(value, value),
        )
        for arm in ("defended", "scratch")
        for draw in range(6)
        for number, value in enumerate(worth)
        if draw == 0 or number < 3
    ]  # fmt: skip
    found = evaluation_of(records)
    reached = metrics.well_tuned(found, "defended", 10)
    assert list(reached.values()) == pytest.approx([0.85] * 5)
    assert metrics.strongest_families(found, "defended", 10) == ["family 0", "family 1"]
    # A gate that looks at some of the draws is about the same attacker.
    looks = {"limit": 1.0, "draws": 9, "looks": [{"labels": 10, "draws": [3, 5]}]}
    until = replace(found, context={"until": looks, "undesirable": {"test_samples": 1000}})
    better = [
        replace(one, halves=(half := one.halves[0] - 0.1 * (one.family == "family 1"), half))
        for one in until.records
        if one.method == "scratch"
    ]
    others = [one for one in until.records if one.method == "defended"]
    (cell,) = metrics.decide(replace(until, records=(*others, *better)), "defended", 1.0).cells
    assert cell.draws == 3 and cell.mean == pytest.approx(5.0)


def test_interrupted_run_ends_with_the_same_records(toy_tasks: TaskPair, tmp_path: Path) -> None:
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    suite = replace(SUITE, budgets=SUITE.budgets[1:], draws=(3, 2), blind=(), benign=())
    whole = evaluate(model, toy_tasks, suite=suite, folder=tmp_path, seeds=1)
    assert whole.context["rules"]["finalists"] == 1
    (tmp_path / "records.json.gz").unlink()
    parts = sorted((tmp_path / "records").glob("*.json*"))
    for part in parts[::3]:
        part.unlink()
    again = evaluate(model, toy_tasks, suite=suite, folder=tmp_path, seeds=1)
    first, second = ([(one.method, one.attacker, one.attack, one.accuracy) for one in run.records]
                     for run in (whole, again))  # fmt: skip
    assert first == second
    for arm in ("defended", "scratch"):
        assert len(metrics.well_tuned(whole, arm, 5)) == 2
        curve = metrics.best_so_far(whole, arm, 5)
        assert len(curve) == len(SUITE.attacks), "draws that only finalists met do not count"


def test_one_draw_is_enough_without_finalists() -> None:
    assert SUITE.with_attackers(1).draws == (1, 2, 2)
    with pytest.raises(InputError, match="at least two draws of labels with finalists"):
        replace(SUITE, draws=(3, 1, 2))


def test_each_model_keeps_its_own_finalists() -> None:
    """What was chosen on another model says nothing of the attacker of this one."""
    finals = {0: {"family 0": 0.9, "family 1": 0.8}, 1: {"family 2": 0.7, "family 0": 0.6}}
    screened = [f"family {number}" for number in range(8)]

    def record(seed: int, attacker: int, family: str, value: float) -> Record:
        return Record(
            "defended", "Mine", seed, attacker, "screen" if attacker == seed else "confirm",
            "fine-tuning", family, Configuration(family, {}), 10, (1,), (0.5,), (0.5,), 0, 1.0,
            value, 1.0, 1.0, halves=(value, value), balanced=value,
        )  # fmt: skip

    records = [record(seed, seed, family, 0.5) for seed in finals for family in screened]
    records += [
        record(seed, seed + 10_000 * draw, family, value + 0.01 * draw)
        for seed, families in finals.items()
        for family, value in families.items()
        for draw in (1, 2, 3)
    ]
    trainings = tuple(
        Training("defended", "Mine", Configuration("Mine", {}), seed, None, 1.0) for seed in finals
    )
    found = Evaluation({}, trainings, tuple(records))
    expected = {
        (seed, seed + 10_000 * draw): mean + 0.01 * draw
        for seed, mean in ((0, 0.85), (1, 0.65))
        for draw in (1, 2, 3)
    }
    assert metrics.well_tuned(found, "Mine", 10) == pytest.approx(expected)
    assert metrics.balanced(found, "Mine", 10) == pytest.approx(expected)
    assert metrics.strongest_families(found, "Mine", 10) == ["family 0", "family 1"]
