"""Every flag is raised by what it is for, silent on clean records, and documented."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes import base
from rootbound.attacks import Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.data import TaskPair
from rootbound.evaluation import Subject, attack
from rootbound.flags import FLAGS, ONE_BLOCK, SCRATCH_FLAGS, Raised, flags, table
from rootbound.flags.behaviour import BEHAVIOUR_FLAGS
from rootbound.flags.flag import with_labels
from rootbound.flags.network import NETWORK_FLAGS
from rootbound.inspection.diagnosis import MEASURES, diagnose
from rootbound.networks import Classifier
from rootbound.records import (
    EXACT,
    PRACTICAL,
    Arm,
    Configuration,
    Diagnosis,
    Evaluation,
    Record,
    Training,
)
from rootbound.report.headline import describe_gains, describe_run
from rootbound.suites import Suite
from rootbound.training import accuracy

DOCUMENT = Path(__file__).parents[1] / "docs" / "flags.md"
ARMS: dict[str, Arm] = {
    "Plain": "undefended",
    "Defence": "defended",
    "public": "public",
    "scratch": "scratch",
    "raw inputs": "control",
}
CLEAN = {
    "dead_units_desirable": 0.1,
    "dead_units_undesirable": 0.1,
    "blank_inputs_desirable": 0.0,
    "blank_inputs_undesirable": 0.0,
    "effective_rank_undesirable": 9.0,
    "feature_condition_undesirable": 3e3,
    "feature_scale": 2.0,
    "running_variance_smallest": 0.1,
    "running_variance_largest": 2.0,
    "spectral_norm_largest": 3.0,
    "spectral_norm_ratio": 4.0,
    "weight_condition": 10.0,
    "gradient_smallest": 0.3,
    "gradient_ratio": 0.03,
    "train_mode_difference": 0.0,
    "changing_outputs": 0.0,
    "not_finite_desirable": 0.0,
    "not_finite_undesirable": 0.0,
    "largest_logit": 20.0,
    "own_accuracy_undesirable": 0.2,
    "renamed_accuracy_undesirable": 0.45,
    "gradient_error_features": 1e-6,
    "gradient_error_weights": 1e-6,
    "other_with_gradients": 0.0,
    "other_when_watched": 0.0,
    "other_in_training": 0.0,
    "other_in_company": 0.0,
    "other_in_copies": 0.0,
    "idle_weights": 0.02,
    "untrained_numbers": 0.001,
    "out_of_sight": 0.0,
    "shut_out": 0.0,
    "sent_elsewhere": 0.01,
    "one_task_weights": 0.0,
    "jump_between_tasks": 0.01,
    "likeness_to_given": 0.4,
}
Change = Callable[[Evaluation], Evaluation]


def trials(method: str, seed: int) -> list[Record]:
    """Return seven trials: two grids whose best setting is the middle one, and a probe."""
    level = {"Plain": 0.95, "raw inputs": 0.6}.get(method, 0.8) + 0.001 * seed

    def record(attack: str, family: str, reached: float, *, probe: bool = False) -> Record:
        return Record(
            ARMS[method], method, seed, seed, "screen", "probe" if probe else "fine-tuning",
            family, Configuration.parse(attack), 10, (10, 100, 200), (0.3, reached, reached),
            (0.3, reached, reached), 2, 1.0, reached, 1.0, 1.0,
        )  # fmt: skip

    drops = {0.01: 0.1, 0.1: 0.01, 1.0: 0.05}
    probes = [
        record(f"LastLayer(optimiser='sgd', learning_rate={rate})", PRACTICAL,
               level - drop, probe=True)
        for rate, drop in drops.items()
    ]  # fmt: skip
    probes.append(record("ExactLastLayer(coordinates='whitened')", EXACT, level - 0.01, probe=True))
    return probes + [
        record(f"FineTune(optimiser='adam', learning_rate={rate})", "all layers",
               level + 0.01 - drop)
        for rate, drop in drops.items()
    ]  # fmt: skip


def clean(*, undefended: bool = True) -> Evaluation:
    """Return an evaluation in which nothing is suspicious."""
    models = [(name, seed) for name in ARMS for seed in (0, 1) if undefended or name != "Plain"]
    return Evaluation(
        {"undesirable": {"classes": ["5", "6", "7", "8", "9"], "majority": 0.2}},
        tuple(Training(ARMS[name], name, "", seed, 0.99, 1.0) for name, seed in models),
        tuple(record for name, seed in models for record in trials(name, seed)),
        diagnoses=tuple(Diagnosis(ARMS[name], name, seed, CLEAN) for name, seed in models),
    )


def diagnosed(method: str = "Defence", **values: float) -> Change:
    """Return the change of the diagnosis of a method's first model, the defended one's."""

    def change(found: Evaluation) -> Evaluation:
        diagnoses = [
            replace(one, values={**one.values, **values})
            if (one.method, one.seed) == (method, 0)
            else one
            for one in found.diagnoses
        ]
        return replace(found, diagnoses=tuple(diagnoses))

    return change


def recorded(
    part: str,
    shift: float = 0.0,
    end: float = 0.0,
    error: str | None = None,
    method: str = "Defence",
) -> Change:
    """Return the change of some of the defended models' trials: by how much they are better."""

    def changed(record: Record) -> Record:
        if record.method != method or part not in str(record.attack):
            return record
        if error:
            return replace(record, error=error, accuracy=None, test=(), validation=(), steps=())
        curve = (record.test[0], record.test[1] + shift, record.test[2] + shift + end)
        return replace(record, test=curve, validation=curve, accuracy=curve[-1])

    return lambda found: replace(found, records=tuple(map(changed, found.records)))


def spread(found: Evaluation) -> Evaluation:
    """Make the second defended model as weak as the undefended one, and more."""
    records = tuple(
        replace(one, accuracy=(one.accuracy or 0.0) + 0.2)
        if (one.method, one.seed) == ("Defence", 1)
        else one
        for one in found.records
    )
    return replace(found, records=records)


def collapsed(found: Evaluation) -> Evaluation:
    """Take desirable accuracy from the first defended model."""
    trainings = tuple(
        replace(one, desirable_accuracy=0.97) if (one.method, one.seed) == ("Defence", 0) else one
        for one in found.trainings
    )
    return replace(found, trainings=trainings)


def with_small_net(accuracy: float = 0.7) -> Change:
    """Add a small network with random weights, which is worse than scratch or about as good."""

    def change(found: Evaluation) -> Evaluation:
        scratch = [one for one in found.trainings if one.method == "scratch"]
        records = [
            replace(one, method="small net", accuracy=accuracy + 0.001 * one.seed)
            for one in found.records
            if one.method == "scratch"
        ]
        return replace(
            found,
            trainings=found.trainings + tuple(replace(one, method="small net") for one in scratch),
            records=found.records + tuple(records),
        )

    return change


def seen_as_one_block(found: Evaluation) -> Evaluation:
    unseen = {"Plain": 4, "Defence": 4, "scratch": 4}
    return replace(found, context={**found.context, "one_block": unseen})


RAISING: dict[str, Change] = {
    "tiny gradients": diagnosed(gradient_ratio=1e-7),
    "dead units": diagnosed(blank_inputs_undesirable=0.5),
    "effective rank below classes": diagnosed(effective_rank_undesirable=3.0),
    "wild BatchNorm variance": diagnosed(running_variance_largest=1e7),
    "layer spectra": diagnosed(weight_condition=1e7),
    "saturated outputs": diagnosed(feature_scale=1e4),
    "outputs not finite": diagnosed(not_finite_undesirable=0.01),
    "evaluation differs from train mode": diagnosed(train_mode_difference=0.2),
    "outputs change from call to call": diagnosed(changing_outputs=0.1),
    "outputs renamed in the head": diagnosed(
        renamed_accuracy_undesirable=0.95, own_accuracy_undesirable=0.01
    ),
    "gradients are not the slopes": diagnosed(gradient_error_weights=1.0),
    "other outputs with gradients on": diagnosed(other_with_gradients=0.3),
    "other outputs while watched": diagnosed(other_when_watched=0.3),
    "other outputs in train mode": diagnosed(other_in_training=0.8),
    "outputs depend on the batch": diagnosed(other_in_company=0.3),
    "other outputs from copies": diagnosed(other_in_copies=0.3),
    "weights that do nothing": diagnosed(idle_weights=0.5),
    "numbers that nobody trains": diagnosed(untrained_numbers=0.4),
    "computed out of sight": diagnosed(out_of_sight=0.6),
    "a gate inside": diagnosed(shut_out=0.6),
    "two networks in one": diagnosed(one_task_weights=0.6),
    "a jump between the tasks": diagnosed(jump_between_tasks=0.4),
    "whitening gap": recorded("whitened", 0.07),
    "no gradient beats gradient": recorded("FineTune", -0.1),
    "best setting on the edge of its grid": recorded("'adam', learning_rate=1.0", 0.08),
    "still rising at the end": recorded("FineTune", end=0.02),
    "failed trials": recorded("learning_rate=1.0", error="RuntimeError: outputs are not finite"),
    "attacker below raw inputs": recorded("", -0.3),
    "seed spread above the effect": spread,
    "fewer finished trials": recorded("learning_rate=1.0", error="RuntimeError: out of luck"),
    "desirable accuracy lost": collapsed,
    "seen as one block": seen_as_one_block,
    "scratch has the given features": diagnosed("scratch", likeness_to_given=0.97),
    "scratch above a small network": with_small_net(),
}
ABOUT = {name: {"scratch"} for name in RAISING if name.startswith("scratch")}
"""Whom a flag is about, where it is not the defended model alone."""


def names(found: list[Raised]) -> set[str]:
    return {one.flag for one in found}


@pytest.mark.parametrize("undefended", [True, False])
def test_clean_records_raise_nothing(undefended: bool) -> None:
    assert flags(clean(undefended=undefended)) == []


def test_every_flag_has_a_case() -> None:
    assert set(RAISING) == {flag.name for flag in FLAGS}
    assert set(CLEAN) == set(MEASURES)


@pytest.mark.parametrize("name", RAISING)
def test_flag_is_raised_by_its_case(name: str) -> None:
    raised = flags(RAISING[name](clean()))
    (found,) = {one.flag: one for one in raised if one.flag == name}.values() or [None]
    assert found is not None
    about = {"Plain", "Defence"} if name == "seen as one block" else {"Defence"}
    assert {one.method for one in raised} == ABOUT.get(name, about)
    assert any(digit in found.evidence for digit in "0123456789"), "evidence without numbers"
    if name in NETWORK_NAMES:
        assert names(raised) == {name}
        assert found.seed == 0
    (flag,) = (flag for flag in FLAGS if flag.name == name)
    assert {one.seed is None for one in raised if one.flag == name} == {flag.once}


def test_raw_inputs_are_compared_on_their_own_draw() -> None:
    """Even if another draw was luckier."""
    found = recorded("", -0.3)(clean())
    lucky = tuple(
        replace(one, attacker=10_000, validation=(0.3, 0.9, 0.9))
        for one in found.records
        if one.method == "Defence"
    )
    found = replace(found, records=found.records + lucky)
    assert "attacker below raw inputs" in names(flags(found))


def test_compares_attacks_with_equal_labels() -> None:
    """In a limited time everything meets several draws, some of which are lucky for everything."""
    found = clean(undefended=False)
    lucky = tuple(
        replace(
            one,
            attacker=10_000,
            accuracy=(one.accuracy or 0.0) + 0.1,
            # On few samples validation sees that for one attack alone.
            validation=(0.9,) * 3 if "whitened" in str(one.attack) else (0.1,) * 3,
        )
        for one in found.records
        if one.arm != "control"
    )
    assert flags(replace(found, records=found.records + lucky)) == []


def exchanged(found: Evaluation) -> Evaluation:
    """Return the evaluation with the public model in the place of the defended one."""
    other = {"Defence": "public", "public": "Defence"}

    def moved(entries: Sequence[Any]) -> tuple[Any, ...]:
        names = [other.get(entry.method, entry.method) for entry in entries]
        return tuple(
            replace(entry, method=name, arm=ARMS.get(name, entry.arm))
            for entry, name in zip(entries, names, strict=True)
        )

    unseen = found.context.get("one_block", {})
    return replace(
        found,
        context={
            **found.context,
            "one_block": {other.get(one, one): unseen[one] for one in unseen},
        },
        trainings=moved(found.trainings),
        records=moved(found.records),
        diagnoses=moved(found.diagnoses),
    )


@pytest.mark.parametrize("name", RAISING)
def test_public_model_is_only_flagged_for_weak_attacks(name: str) -> None:
    weak = {flag.name for flag in FLAGS if flag.of_public}
    found = flags(exchanged(RAISING[name](clean())))
    raised = names([one for one in found if one.method == "public"])
    assert raised <= weak
    assert (name in raised) is (name in weak)


NETWORK_NAMES = {flag.name for flag in (*NETWORK_FLAGS, *BEHAVIOUR_FLAGS)}
REFERENCED = {"seed spread above the effect", "desirable accuracy lost"}


@pytest.mark.parametrize("name", sorted(set(RAISING) - REFERENCED))
def test_flag_needs_no_undefended_model(name: str) -> None:
    assert name in names(flags(RAISING[name](clean(undefended=False))))


@pytest.mark.parametrize("name", sorted(NETWORK_NAMES))
def test_traits_of_the_undefended_model_are_no_tricks(name: str) -> None:
    found = RAISING[name](clean())
    theirs = next(one.values for one in found.diagnoses if one.method == "Defence")
    found = replace(found, diagnoses=tuple(replace(one, values=theirs) for one in found.diagnoses))
    assert "Defence" not in {one.method for one in flags(found) if one.flag == name}


ALONE: dict[str, float] | None = None
"""In place of what the undefended model has: there is none."""
EDGES: list[tuple[str, str, dict[str, float] | None, float, float]] = [
    ("tiny gradients", "gradient_ratio", {}, 1.1e-4, 0.9e-4),
    ("tiny gradients", "gradient_ratio", {"gradient_ratio": 1e-3}, 1.1e-5, 0.9e-5),
    ("tiny gradients", "gradient_ratio", ALONE, 1.1e-6, 0.9e-6),
    ("effective rank below classes", "effective_rank_undesirable", {}, 5.1, 4.9),
    ("effective rank below classes", "effective_rank_undesirable",
     {"effective_rank_undesirable": 5.0}, 3.6, 3.4),
    ("effective rank below classes", "effective_rank_undesirable", ALONE, 5.1, 4.9),
    ("wild BatchNorm variance", "running_variance_smallest", {}, 1.1e-4, 0.9e-4),
    ("wild BatchNorm variance", "running_variance_smallest",
     {"running_variance_smallest": 1e-3}, 1.1e-5, 0.9e-5),
    ("wild BatchNorm variance", "running_variance_largest", {}, 0.9e4, 1.1e4),
    ("wild BatchNorm variance", "running_variance_largest",
     {"running_variance_largest": 1e3}, 0.9e5, 1.1e5),
    ("layer spectra", "spectral_norm_largest", {}, 0.9e3, 1.1e3),
    ("layer spectra", "spectral_norm_largest", {"spectral_norm_largest": 100.0}, 2.9e3, 3.1e3),
    ("layer spectra", "spectral_norm_largest", ALONE, 0.9e3, 1.1e3),
    ("layer spectra", "spectral_norm_ratio", {}, 0.9e3, 1.1e3),
    ("layer spectra", "spectral_norm_ratio", ALONE, 0.9e4, 1.1e4),
    ("layer spectra", "weight_condition", {}, 0.9e3, 1.1e3),
    ("layer spectra", "weight_condition", ALONE, 0.9e6, 1.1e6),
    ("saturated outputs", "largest_logit", {}, 0.9e3, 1.1e3),
    ("saturated outputs", "largest_logit", {"largest_logit": 100.0}, 2.9e3, 3.1e3),
    ("saturated outputs", "largest_logit", ALONE, 0.9e3, 1.1e3),
    ("saturated outputs", "feature_scale", {}, 0.9e3, 1.1e3),
    ("saturated outputs", "feature_scale", ALONE, 0.9e3, 1.1e3),
    *((("outputs not finite", f"not_finite_{task}", usual, *ends))
      for task in ("desirable", "undesirable")
      for usual, ends in (({}, (0.0, 0.001)), ({f"not_finite_{task}": 0.5}, (0.5, 0.51)))),
    ("evaluation differs from train mode", "train_mode_difference", {}, 0.049, 0.051),
    ("evaluation differs from train mode", "train_mode_difference", {}, -0.049, -0.051),
    ("evaluation differs from train mode", "train_mode_difference",
     {"train_mode_difference": 0.1}, 0.149, 0.151),
    ("outputs change from call to call", "changing_outputs", {}, 0.0, 0.001),
    ("outputs renamed in the head", "renamed_accuracy_undesirable", {}, 0.64, 0.66),
    ("outputs renamed in the head", "renamed_accuracy_undesirable",
     {"renamed_accuracy_undesirable": 0.3}, 0.59, 0.61),
    ("outputs renamed in the head", "renamed_accuracy_undesirable", ALONE, 0.89, 0.91),
    ("outputs renamed in the head", "own_accuracy_undesirable",
     {"renamed_accuracy_undesirable": 0.7}, 0.56, 0.54),
    *(("gradients are not the slopes", f"gradient_error_{place}", usual, *ends)
      for place in ("features", "weights")
      for usual, ends in (({}, (0.09, 0.11)), ({f"gradient_error_{place}": 0.3}, (0.39, 0.41)),
                          (ALONE, (0.49, 0.51)))),
    *((name, measure, usual, *ends)
      for name, measure in (
          ("dead units", "blank_inputs_desirable"), ("dead units", "blank_inputs_undesirable"),
          ("other outputs with gradients on", "other_with_gradients"),
          ("other outputs while watched", "other_when_watched"),
          ("other outputs in train mode", "other_in_training"),
          ("outputs depend on the batch", "other_in_company"),
          ("other outputs from copies", "other_in_copies"),
          ("numbers that nobody trains", "untrained_numbers"),
          ("computed out of sight", "out_of_sight"),
      )
      for usual, ends in (({measure: 0.05}, (0.055, 0.061)), (ALONE, (0.009, 0.011)))),
    *((name, measure, usual, *ends)
      for name, measure in (
          ("dead units", "dead_units_desirable"), ("dead units", "dead_units_undesirable"),
          ("weights that do nothing", "idle_weights"),
          ("two networks in one", "one_task_weights"),
      )
      for usual, ends in (({measure: 0.1}, (0.29, 0.31)), (ALONE, (0.19, 0.21)))),
    *((name, measure, usual, *ends)
      for name, measure in (
          ("a gate inside", "shut_out"), ("a gate inside", "sent_elsewhere"),
          ("a jump between the tasks", "jump_between_tasks"),
      )
      for usual, ends in (({measure: 0.2}, (0.29, 0.31)), (ALONE, (0.09, 0.11)))),
]  # fmt: skip
"""What is known of the undefended model, and the last value that is no sign and the first that is
one, as `raised if` states it."""
RENAMED = {
    "own_accuracy_undesirable": {"renamed_accuracy_undesirable": 0.95},
    "renamed_accuracy_undesirable": {"own_accuracy_undesirable": 0.1},
}
"""Another value that a measure is compared with."""


@pytest.mark.parametrize(("name", "measure", "usual", "silent", "loud"), EDGES)
def test_flag_is_raised_at_its_threshold(
    name: str, measure: str, usual: dict[str, float] | None, silent: float, loud: float
) -> None:
    found = clean(undefended=usual is not None)
    if usual:
        found = diagnosed("Plain", **usual)(found)
    for value, is_raised in ((silent, False), (loud, True)):
        change = diagnosed("Defence", **{**RENAMED.get(measure, {}), measure: value})
        own = {one.flag for one in flags(change(found)) if one.method == "Defence"}
        assert (name in own) is is_raised, (measure, value)


def test_every_measure_has_threshold_cases() -> None:
    untold = {"feature_condition_undesirable", "gradient_smallest", "likeness_to_given"}
    assert {measure for _, measure, *_ in EDGES} == set(MEASURES) - untold


@pytest.mark.parametrize(
    ("name", "change", "undefended", "silent", "loud"),
    [
        ("whitening gap", partial(recorded, "whitened"), {}, 0.019, 0.021),
        ("whitening gap", partial(recorded, "whitened"), {"whitened": 0.03}, 0.049, 0.051),
        ("whitening gap", partial(recorded, "whitened"), {"whitened": -0.05}, 0.019, 0.021),
        ("whitening gap", partial(recorded, "whitened"), None, 0.049, 0.051),
        # On clean records fine-tuning leads by one point.
        ("no gradient beats gradient", partial(recorded, "FineTune"), {}, -0.029, -0.031),
        ("no gradient beats gradient", partial(recorded, "FineTune"), {"FineTune": -0.05},
         -0.069, -0.071),
        ("no gradient beats gradient", partial(recorded, "FineTune"), None, -0.059, -0.061),
        # On clean records the rate at the edge is four points worse than the one next to it.
        ("best setting on the edge of its grid", partial(recorded, "'adam', learning_rate=1.0"),
         {}, 0.049, 0.051),
        ("still rising at the end", lambda end: recorded("FineTune", end=end), {}, 0.009, 0.011),
        # Raw inputs reach 60 %, the defended model 80 %.
        ("attacker below raw inputs", partial(recorded, ""), {}, -0.209, -0.211),
    ],
)  # fmt: skip
def test_attack_flag_is_raised_at_its_threshold(
    name: str,
    change: Callable[[float], Change],
    undefended: dict[str, float] | None,
    silent: float,
    loud: float,
) -> None:
    found = clean(undefended=undefended is not None)
    for part, shift in (undefended or {}).items():
        found = recorded(part, shift, method="Plain")(found)
    for value, is_raised in ((silent, False), (loud, True)):
        own = {one.flag for one in flags(change(value)(found)) if one.method == "Defence"}
        assert (name in own) is is_raised, value


def test_label_counts_read_well() -> None:
    labelled = [(1, "with 1 label per class"), (2, "with 2 labels per class"), (None, "with all")]
    assert all(with_labels(count).startswith(words) for count, words in labelled)


@pytest.mark.parametrize(("majority", "is_raised"), [(0.849, False), (0.851, True)])
def test_attack_is_compared_with_the_most_frequent_class(majority: float, is_raised: bool) -> None:
    """It reaches 80 %, and there are no raw inputs beside it."""
    found = clean()
    task = {**found.context["undesirable"], "majority": majority}
    records = tuple(one for one in found.records if one.arm != "control")
    raised = flags(replace(found, context={"undesirable": task}, records=records))
    own = {one.flag for one in raised if one.method == "Defence"}
    assert ("attacker below raw inputs" in own) is is_raised


def repeated(found: Evaluation, times: int) -> Evaluation:
    """Return the evaluation with every trial several times, under other names."""
    records = tuple(
        replace(one, attack=replace(one.attack, kind=f"{one.attack.kind}{number or ''}"))
        for number in range(times)
        for one in found.records
    )
    return replace(found, records=records)


def failing(found: Evaluation, count: int, method: str = "Defence") -> Evaluation:
    """Return the evaluation in which the last trials on the first model of a method failed."""
    places = [
        place
        for place, one in enumerate(found.records)
        if (one.method, one.seed) == (method, 0)
    ][-count:]  # fmt: skip
    broken: dict[str, Any] = {
        "error": "boom",
        "accuracy": None,
        "test": (),
        "validation": (),
        "steps": (),
    }
    return replace(found, records=tuple(
        replace(one, **broken) if place in places else one
        for place, one in enumerate(found.records)))  # fmt: skip


def test_counts_failed_trials() -> None:
    """Of 140 trials 7 are 5 %; of 105 finished ones 103 are 98 %."""
    many = repeated(clean(), 20)
    for failed, is_raised in ((7, False), (8, True)):
        assert ("failed trials" in names(flags(failing(many, failed)))) is is_raised
    # Where the undefended model fails as often, it is not the defence.
    usual = failing(many, 8, "Plain")
    for failed, is_raised in ((14, False), (16, True)):
        raised = {one.flag for one in flags(failing(usual, failed)) if one.method == "Defence"}
        assert ("failed trials" in raised) is is_raised
    several = repeated(clean(), 15)
    for failed, is_raised in ((2, False), (3, True)):
        assert ("fewer finished trials" in names(flags(failing(several, failed)))) is is_raised


@pytest.mark.parametrize(("further", "is_raised"), [(0.041, False), (0.043, True)])
def test_spread_is_compared_with_the_effect(further: float, is_raised: bool) -> None:
    """By hand: x over the root of 2 is 0.0505 - x / 2 at x = 0.0418."""
    found = clean()
    records = tuple(
        replace(one, accuracy=0.9 + further * one.seed) if one.method == "Defence" else one
        for one in found.records
    )
    raised = names(flags(replace(found, records=records)))
    assert ("seed spread above the effect" in raised) is is_raised


def test_model_is_compared_with_the_undefended_one_of_its_seed() -> None:
    def desirable(own: tuple[float, float], usual: tuple[float, float]) -> list[int | None]:
        reached = {"Defence": own, "Plain": usual}
        trainings = tuple(
            replace(one, desirable_accuracy=reached[one.method][one.seed])
            if one.method in reached
            else one
            for one in clean().trainings
        )
        raised = flags(replace(clean(), trainings=trainings))
        return [one.seed for one in raised if one.flag == "desirable accuracy lost"]

    assert desirable((0.9801, 0.9799), (0.99, 0.99)) == [1]
    assert desirable((0.95, 0.95), (0.99, 0.95)) == [0]


def test_small_network_flag_needs_the_whole_interval() -> None:
    found = with_small_net()(clean())
    name = "scratch above a small network"
    assert name in names(flags(found))
    # Ten points on one seed and two on the other are six on average, in a wide interval.
    varied = tuple(
        replace(one, accuracy=(0.70, 0.78)[one.seed]) if one.method == "small net" else one
        for one in found.records
    )
    assert name not in names(flags(replace(found, records=varied)))
    unlimited = tuple(replace(one, labels=None) for one in found.records)
    assert name not in names(flags(replace(found, records=unlimited)))


@pytest.mark.parametrize(("alike", "is_raised"), [(0.89, False), (0.91, True)])
def test_scratch_may_share_little_with_given_features(alike: float, is_raised: bool) -> None:
    raised = names(flags(diagnosed("scratch", likeness_to_given=alike)(clean())))
    assert ("scratch has the given features" in raised) is is_raised


@pytest.mark.parametrize(("trained", "things"), [(True, "seeds"), (False, "draws of labels")])
def test_spread_names_what_it_is_between(trained: bool, things: str) -> None:
    found = RAISING["seed spread above the effect"](clean())
    settings = Configuration("BestResponse", {}) if trained else "as given"
    models = tuple(replace(one, settings=settings) for one in found.trainings)
    raised = flags(replace(found, trainings=models))
    (said,) = {one.evidence for one in raised if one.flag == "seed spread above the effect"}
    # .800 and 1.001 against .950 and .951, by hand.
    assert said == (
        "5.0 points less than undefended with 10 labels per class, "
        f"with a deviation of 14.2 between 2 {things}"
    )


def test_equally_good_small_network_raises_no_flag() -> None:
    assert flags(with_small_net(0.77)(clean())) == []


RUNS = Path(__file__).parents[1] / "benchmarks" / "results"


@pytest.mark.skipif(not RUNS.is_dir(), reason="the benchmarks are not here")
@pytest.mark.parametrize("run", ["2026-11-26_b023bff_animals", "2026-11-26_b023bff_half"])
def test_random_residual_networks_on_photographs_raise_no_flag(run: str) -> None:
    assert "scratch above a small network" not in names(flags(Evaluation.load(RUNS / run)))


@pytest.mark.parametrize("name", [flag.name for flag in SCRATCH_FLAGS])
def test_verdict_says_when_scratch_comparison_is_invalid(name: str) -> None:
    desirable = {"desirable": {"name": "0-4"}, "undesirable": {"name": "5-9", "majority": 0.2}}
    found = RAISING[name](clean())
    found = replace(found, context={**found.context, **desirable})
    evidence = next(one.evidence for one in flags(found) if one.flag == name)
    said = f"The comparison with scratch is not valid: {evidence}."
    assert said in describe_gains(found, "Defence")
    assert said in describe_run(found)
    sound = replace(clean(), context=found.context)
    assert not any(
        "not valid" in one for one in (*describe_gains(sound, "Defence"), *describe_run(sound))
    )


def test_verdict_says_when_network_was_one_block() -> None:
    desirable = {"desirable": {"name": "0-4"}, "undesirable": {"name": "5-9", "majority": 0.2}}
    found = seen_as_one_block(clean())
    found = replace(found, context={**found.context, **desirable})
    assert ONE_BLOCK in describe_gains(found, "Defence")
    assert ONE_BLOCK in describe_run(found)


def test_missing_diagnosis_raises_no_flag() -> None:
    found = clean()
    assert flags(replace(found, diagnoses=())) == []
    bare = tuple(replace(one, values={}) for one in found.diagnoses)
    assert flags(replace(found, diagnoses=bare)) == []


def test_failed_fine_tuning_counts_as_beaten() -> None:
    raised = flags(recorded("FineTune", error="RuntimeError: not finite")(clean()))
    (found,) = {one.evidence for one in raised if one.flag == "no gradient beats gradient"}
    assert "all fine-tuning failed" in found


def test_flat_maximum_at_the_edge_raises_no_flag() -> None:
    assert flags(recorded("'adam', learning_rate=1.0", 0.045)(clean())) == []


def test_edge_is_compared_with_the_next_rate() -> None:
    found, records = clean(), []
    for one in found.records:
        if "'adam', learning_rate=1.0" in str(one.attack):
            further = Configuration.parse(str(one.attack).replace("1.0", "10.0"))
            for attack, shift in ((one.attack, 0.055), (further, 0.06)):
                reached = (one.accuracy or 0.0) + shift
                curve = (0.3, reached, reached)
                records.append(
                    replace(one, attack=attack, test=curve, validation=curve, accuracy=reached)
                )
        else:
            records.append(one)
    assert flags(replace(found, records=tuple(records))) == []


def test_trials_with_different_steps_are_not_compared() -> None:
    found = clean()
    longer = tuple(
        replace(one, rung=1, steps=(40, 400, 800), validation=(0.99,) * 3, accuracy=0.99)
        for one in found.records
        if one.arm != "control" and "'adam', learning_rate=1.0" in str(one.attack)
    )
    assert longer
    assert flags(replace(found, records=found.records + longer)) == []


def test_whitening_in_another_block_is_no_gap() -> None:
    found = recorded("whitened", 0.07)(clean())
    moved = [
        replace(one, family="probe, all blocks") if "whitened" in str(one.attack) else one
        for one in found.records
    ]
    assert "whitening gap" not in names(flags(replace(found, records=tuple(moved))))


def test_repairs_do_not_hide_that_gradients_are_beaten() -> None:
    found = recorded("FineTune", -0.1)(clean())
    repaired = tuple(
        replace(
            one,
            tier="repair",
            attack=Configuration("Repaired", {"attack": one.attack}),
            accuracy=0.99,
        )
        for one in found.records
        if one.attack.kind == "FineTune"
    )
    raised = flags(replace(found, records=found.records + repaired))
    assert "no gradient beats gradient" in names(raised)


def test_evolution_counts_as_gradient_free() -> None:
    def evolved(record: Record) -> Record:
        mine = record.method == "Defence" and "whitened" in str(record.attack)
        return (
            replace(record, tier="repair", attack=Configuration("GradientFree", {}))
            if mine
            else record
        )

    found = recorded("whitened", 0.07)(clean())
    found = replace(found, records=tuple(map(evolved, found.records)))
    assert names(flags(found)) == {"no gradient beats gradient"}


def test_longer_run_shows_whether_the_attack_still_rises() -> None:
    rising = recorded("FineTune", end=0.02)(clean())
    longer = tuple(
        replace(one, stage="longer", steps=(100, 1000, 2000), test=(0.3, 0.9, 0.9))
        for one in rising.records
        if one.method == "Defence" and one.attack.kind == "FineTune"
    )
    settled = replace(rising, records=rising.records + longer)
    assert "still rising at the end" not in names(flags(settled))


def test_ignores_benign_trials() -> None:
    found = clean()
    broken = recorded("", error="RuntimeError: out of luck")(found).records
    benign = tuple(replace(one, task="benign") for one in broken)
    assert flags(replace(found, records=found.records + benign)) == []


def test_every_flag_is_documented() -> None:
    """If a difference is meant, run with ROOTBOUND_UPDATE_GOLDEN=1 and commit."""
    head, _, rest = DOCUMENT.read_text().partition("| flag |")
    if os.environ.get("ROOTBOUND_UPDATE_GOLDEN"):
        DOCUMENT.write_text(head + table())
        return
    assert "| flag |" + rest == table()
    for flag in FLAGS:
        assert all((flag.name, flag.raised_if, flag.means, flag.do_this))
        assert "|" not in flag.raised_if + flag.means + flag.do_this
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)


NAMING = {
    "ill_conditioned_1e4": {"layer spectra", "whitening gap"},
    "ill_conditioned_1e6": {"layer spectra", "whitening gap"},
    "dead_zone": {"dead units", "a gate inside"},
    "poisoned_batch_norm": {"wild BatchNorm variance", "evaluation differs from train mode"},
    "unbalanced_layers": {"layer spectra", "tiny gradients"},
    "saturated_head": {"saturated outputs"},
    "tiny_gradients": {"tiny gradients", "gradients are not the slopes"},
    "nan_trap": {
        "outputs not finite",
        "failed trials",
        "numbers that nobody trains",
        "a gate inside",
    },
    "permuted_head": {"outputs renamed in the head"},
    "opaque_gate": {"gradients are not the slopes", "numbers that nobody trains", "a gate inside"},
    "detector_switch": {"a gate inside"},
    "train_mode_only": {
        "gradients are not the slopes",
        "other outputs with gradients on",
        "other outputs in train mode",
    },
    "batch_dependent": {"outputs depend on the batch", "a gate inside"},
    "unused_buffers": {"weights that do nothing", "numbers that nobody trains", "whitening gap"},
    "decoy": {"a gate inside", "two networks in one"},
    "out_of_sight": {"computed out of sight"},
    "one_by_one": {"computed out of sight"},
    "samples_last": {"a gate inside"},
    "crowd": {"a gate inside"},
    "brought_along": {"computed out of sight", "a gate inside"},
    "looks_back": {"computed out of sight", "other outputs while watched"},
    "some_sizes": {"outputs depend on the batch"},
    "buried_gate": {"two networks in one", "a jump between the tasks"},
    "shared_weights": {"a jump between the tasks", "a gate inside"},
    "soft_switch": {"a gate inside"},
    "integers": {
        "a jump between the tasks",
        "a gate inside",
        "numbers that nobody trains",
    },
    "hidden_sign": {"a gate inside"},
    "other_copies": {"other outputs from copies"},
}
"""The flags that name each trick."""

SMALL = Suite(
    "small",
    (
        LastLayer("sgd", 0.1),
        LastLayer("adam", 0.03),
        ExactLastLayer(1e-3),
        FineTune(None, "kept", "adam", 3e-3),
        FineTune(None, "kept", "sgd", 0.03),
    ),
    (Budget(100, 40),),
)


def measured(tasks: TaskPair, subject: Subject) -> Evaluation:
    """Return the diagnosis of one model and a very small suite's records."""
    arm, name, model = subject.arm, subject.method, subject.model
    desirable = None if arm == "scratch" else accuracy(model, tasks.desirable.test)
    return Evaluation(
        {"undesirable": {"classes": list(tasks.undesirable.classes), "majority": 0.2}},
        (Training(arm, name, "", 0, desirable, 1.0),),
        tuple(attack(subject, tasks.undesirable, SMALL)),
        diagnoses=(Diagnosis(arm, name, 0, diagnose(model, tasks)),),
    )


def together(first: Evaluation, second: Evaluation) -> Evaluation:
    return replace(
        first,
        trainings=first.trainings + second.trainings,
        records=first.records + second.records,
        diagnoses=first.diagnoses + second.diagnoses,
    )


@pytest.mark.slow
def test_names_every_trick_and_clears_ordinary_networks(
    mnist_fakes: dict[str, tuple[Classifier, Classifier]], few_digits: TaskPair
) -> None:
    tasks = few_digits
    ordinary: dict[object, Evaluation] = {}
    for name, (model, disguised) in mnist_fakes.items():
        build = base(name)
        if build not in ordinary:
            ordinary[build] = together(
                measured(tasks, Subject("undefended", "Plain", 0, model)),
                measured(tasks, Subject("scratch", "scratch", 0, build(5, (1, 28, 28)))),
            )
            # So short an attack may well be rising still: that is about the attack.
            assert names(flags(ordinary[build])) <= {"still rising at the end"}
        fakes = measured(tasks, Subject("defended", name, 0, disguised))
        raised = flags(together(ordinary[build], fakes))
        assert NAMING[name] <= names([one for one in raised if one.method == name]), name
        alone = names(flags(fakes))
        assert alone & NAMING[name], f"{name} is not named without an undefended model"
