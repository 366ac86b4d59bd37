"""Whole comparisons on the tiny data set."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rootbound as rb
from lookalikes import TimmCait
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import compare, evaluate
from rootbound.evaluation.contenders import Contender
from rootbound.methods import BestResponse, Plain, Schedule
from rootbound.networks import Classifier
from rootbound.records import Evaluation, RunFolder
from rootbound.report import leaderboard
from rootbound.suites import Suite
from rootbound.training import Recipe
from timeless import timeless

FAST = Recipe(epochs=2, batch_size=30)
SCHEDULE = Schedule(finishing_steps=5)
METHODS = (Plain(FAST), BestResponse(FAST, schedule=SCHEDULE))


@pytest.fixture(scope="module")
def comparison(
    toy_tasks: TaskPair, toy_suite: Suite, made_once: Callable[..., Path]
) -> tuple[Evaluation, Path]:
    def run(folder: Path) -> None:
        model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
        found = compare(METHODS, toy_tasks, model, suite=toy_suite, seeds=2, folder=folder / "run")
        (folder / "returned").write_bytes(pickle.dumps(found))

    made = made_once("comparison", run)
    found: Evaluation = pickle.loads((made / "returned").read_bytes())
    return found, made / "run"


@pytest.mark.slow
def test_compares_a_network_from_a_function(toy_tasks: TaskPair, toy_suite: Suite) -> None:
    function = partial(TimmCait, channels=1)
    model = Classifier.wrap(function(), fresh=function)
    settings: dict[str, Any] = {"suite": toy_suite, "seeds": 1}
    found = compare([Plain(FAST)], toy_tasks, model, workers=2, **settings)
    assert found.complete
    assert {record.arm for record in found.records} >= {"undefended", "scratch"}
    assert not any(record.error for record in found.records)
    with pytest.raises(InputError, match="holds weights and has none; give it a reset_parameters"):
        compare([Plain(FAST)], toy_tasks, Classifier.wrap(function()), **settings)
    model = Classifier.wrap(function(), fresh=lambda: function())  # noqa: PLW0108
    with pytest.raises(InputError, match="define it with def at the top of a module"):
        compare([Plain(FAST)], toy_tasks, model, workers=2, **settings)


def test_method_may_come_with_several_settings(
    toy_tasks: TaskPair, toy_suite: Suite, tmp_path: Path
) -> None:
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    several = (*METHODS, BestResponse(FAST, weight=0.3, schedule=SCHEDULE))
    compare(several, toy_tasks, model, suite=toy_suite, seeds=1, folder=tmp_path)
    (tmp_path / "records.json.gz").unlink()
    found = compare(several, toy_tasks, model, suite=toy_suite, seeds=1, folder=tmp_path)
    called = ["Plain", "BestResponse", "BestResponse(weight=0.3)", "scratch"]
    assert [one.method for one in found.trainings] == called
    weights = [path.read_bytes() for path in (tmp_path / "models").iterdir()]
    assert len(set(weights)) == len(weights) == 3
    leaderboard.write_leaderboard(tmp_path)
    assert "BestResponse(weight=0.3)" in (tmp_path / "leaderboard.md").read_text()
    drawn = (tmp_path / "figures" / "frontier.svg").read_text()
    # Trained for so short, both lose so much that they are marked.
    assert ">BestResponse (unreliable)<" in drawn and ">weight=0.3 (unreliable)<" in drawn


def test_every_arm_gets_the_same_trials(comparison: tuple[Evaluation, Path]) -> None:
    evaluation, _ = comparison
    assert evaluation.complete
    assert [one.arm for one in evaluation.trainings] == [
        arm for arm in ("undefended", "defended", "scratch") for _ in range(2)
    ]
    trials = {
        method: sorted(
            (one.seed, str(one.attack), str(one.labels))
            for one in evaluation.records
            if one.method == method
        )
        for method in ("Plain", "BestResponse", "scratch")
    }
    assert trials["Plain"] == trials["BestResponse"] == trials["scratch"]


def test_scratch_is_drawn_anew_for_each_seed(comparison: tuple[Evaluation, Path]) -> None:
    evaluation, _ = comparison
    curves = {
        one.seed: one.test
        for one in evaluation.records
        if one.method == "scratch" and one.family == "last layer, exact" and one.labels is None
    }
    assert curves[0] != curves[1]
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    for seed in (0, 1):
        drawn = Contender("scratch", "scratch", model).draw_start(seed)
        assert torch.equal(drawn.head.weight, model.reinitialised(seed).head.weight)


def test_seed_determines_first_weights_and_training(
    comparison: tuple[Evaluation, Path], toy_tasks: TaskPair
) -> None:
    _, folder = comparison
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    for seed in (0, 1):
        fitted = METHODS[0].fit(model.reinitialised(seed), toy_tasks, seed=seed).state_dict()
        kept = load_file(RunFolder(folder).weights_file("Plain", seed))
        assert all(torch.equal(kept[name], value) for name, value in fitted.items())


def test_records_on_disk_are_those_returned(comparison: tuple[Evaluation, Path]) -> None:
    evaluation, folder = comparison
    loaded = Evaluation.load(folder)
    assert loaded.to_json() == evaluation.to_json()
    with np.load(folder / "pictures.npz", allow_pickle=False) as archive:
        assert "BestResponse/cam_original_desirable" in archive.files
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["models", "pictures.npz", "records", "records.json.gz", "spec.json"]


@pytest.mark.slow
def test_two_workers_find_the_same_records(
    comparison: tuple[Evaluation, Path], toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    parallel = compare(METHODS, toy_tasks, model, suite=toy_suite, seeds=2, workers=2)
    assert timeless(parallel) == timeless(comparison[0])


def test_evaluate_takes_existing_models(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    found = evaluate(toy_model, toy_tasks, undefended=toy_model, suite=toy_suite, seeds=1)
    names = [one.method for one in found.trainings]
    assert names == ["undefended", "defended", "scratch"]
    same = [
        [one.validation for one in found.records if one.method == method]
        for method in ("undefended", "defended")
    ]
    assert same[0] == same[1], "the same weights must give the same numbers in either arm"


def test_several_models_share_the_other_arms(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    alone = evaluate(toy_model, toy_tasks, undefended=toy_model, suite=toy_suite, seeds=1)
    both = {"one": toy_model, "other": toy_model.reinitialised(5)}
    found = evaluate(both, toy_tasks, undefended=toy_model, suite=toy_suite, seeds=1)
    assert [one.method for one in found.trainings] == ["undefended", "one", "other", "scratch"]
    for old, new in (("defended", "one"), ("undefended", "undefended"), ("scratch", "scratch")):
        first = [one.validation for one in alone.records if one.method == old]
        assert first == [one.validation for one in found.records if one.method == new]


@pytest.mark.parametrize("arm", ["defended", "undefended"])
def test_scratch_has_the_architecture_of_all(
    arm: str, toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    other = rb.models.deep_cnn(classes=3, shape=(1, 16, 16))
    models = {"one": toy_model, **({"other": other} if arm == "defended" else {})}
    undefended = other if arm == "undefended" else None
    with pytest.raises(InputError, match="models of one architecture"):
        evaluate(models, toy_tasks, undefended=undefended, suite=toy_suite, seeds=1)


@pytest.mark.parametrize(
    "names", [(), ("scratch",), ("one", "undefended"), ("raw inputs",), ("small net",)], ids=str
)
def test_refuses_names_already_in_use(
    names: tuple[str, ...], toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    with pytest.raises(InputError, match="models by name"):
        evaluate(dict.fromkeys(names, toy_model), toy_tasks, suite=toy_suite, seeds=1)


def test_stopped_run_keeps_finished_work(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def interrupted(*_: object, **__: object) -> Classifier:
        raise KeyboardInterrupt

    monkeypatch.setattr(Plain, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(METHODS, toy_tasks, toy_model, suite=toy_suite, seeds=1, folder=tmp_path)
    left = Evaluation.load(tmp_path)
    assert not left.complete
    assert [one.method for one in left.trainings] == ["BestResponse"]
    page = rb.report.write(tmp_path)
    assert "not complete" in page.read_text()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"seeds": 0}, "seeds of at least 1"),
        ({"seeds": 1.5}, "a whole number for seeds; got 1.5"),
        ({"workers": 0}, "workers of at least 1"),
        ({"workers": "2"}, "a whole number for workers; got '2'"),
        ({"suite": "demo-9"}, "did you mean 'demo-2'"),
    ],
)
def test_refuses_bad_settings(
    settings: dict[str, Any], text: str, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    with pytest.raises(InputError, match=text):
        compare(METHODS, toy_tasks, toy_model, **settings)


def test_refuses_a_method_given_twice(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    with pytest.raises(InputError, match="each method once"):
        compare((Plain(), Plain()), toy_tasks, toy_model)


def test_reports_too_few_labels_before_training(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    with pytest.raises(InputError, match="fewer labels per class than the attacker's 30"):
        compare(METHODS, toy_tasks, toy_model)


def test_methods_train_from_given_weights(toy_tasks: TaskPair, toy_suite: Suite) -> None:
    fresh = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    learned = Plain(Recipe(epochs=8, batch_size=30)).fit(fresh, toy_tasks)
    barely = Plain(Recipe(epochs=1, batch_size=30, learning_rate=1e-9))
    reached = {}
    for pretrained in (True, False):
        found = compare(
            (barely,), toy_tasks, learned, suite=toy_suite, seeds=1, pretrained=pretrained
        )
        assert found.context["pretrained"] is pretrained
        reached[pretrained] = found.trainings[0].desirable_accuracy or 0.0
    assert reached[True] == rb.training.accuracy(learned, toy_tasks.desirable.test)
    assert reached[True] > reached[False]
