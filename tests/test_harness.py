"""The harness: equal terms for every arm, honest selection, failures that stay small."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rootbound.attacks import (
    Attack,
    Attacker,
    Budget,
    ExactLastLayer,
    FineTune,
    LastLayer,
    Reading,
    RidgeHead,
    Snapshot,
)
from rootbound.core.errors import InputError
from rootbound.data import Data, TaskPair
from rootbound.evaluation import Subject, attack
from rootbound.evaluation.attacker import NO_RESOURCES, VALIDATION_SHARE, Draw, draw_labels
from rootbound.evaluation.harness import run_assignment
from rootbound.evaluation.plan import assign, list_draws, screen
from rootbound.evaluation.scoring import FinalScore, Score, list_checkpoints, measure, score
from rootbound.networks import Classifier, batch_norm_cnn
from rootbound.records import Arm, Record
from rootbound.records.record import build
from rootbound.suites import Suite
from rootbound.training import predict


class Constant(nn.Module):
    """Says one class, whatever comes."""

    def __init__(self, label: int, fill: float = 0.0) -> None:
        super().__init__()
        self.label, self.fill = label, fill

    def forward(self, inputs: Tensor) -> Tensor:
        logits = torch.full((len(inputs), 3), self.fill)
        logits[:, self.label] += 5.0
        return logits


@dataclass(frozen=True)
class Scripted(Attack):
    """Follows a script, to test what the harness makes of it."""

    what: str = "raise"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        if self.what == "raise":
            raise RuntimeError("out of luck\nsecond line")
        if self.what == "nothing":
            return
        if self.what == "narrow":
            yield Snapshot(attacker.steps, nn.Sequential(nn.Flatten(), nn.LazyLinear(2)))
        for step in range(1, attacker.steps + 1):
            fill = math.nan if self.what == "nan" and step > 3 else 0.0
            yield Snapshot(step, Constant(step % 3, fill))


SEEN: list[Attacker] = []
HEADS: list[Tensor] = []


@dataclass(frozen=True)
class Spy(Attack):
    """Remembers what it was given."""

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        SEEN.append(attacker)
        HEADS.append(model.head.weight.detach().clone())
        yield Snapshot(attacker.steps, model)


def run(model: Classifier, tasks: TaskPair, *attacks: Attack, steps: int = 12) -> list[Record]:
    suite = Suite("scripted", attacks, (Budget(None, steps),))
    return attack(Subject("defended", "x", 0, model), tasks.undesirable, suite)


def test_every_trial_is_a_record_and_one_per_family_is_judged(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    records = attack(Subject("defended", "x", 0, toy_model), toy_tasks.undesirable, toy_suite)
    assert len(records) == len(toy_suite.attacks) * len(toy_suite.budgets)
    for labels in (5, None):
        for family in {record.family for record in records}:
            cell = [one for one in records if (one.family, one.labels) == (family, labels)]
            judged = [one for one in cell if one.accuracy is not None]
            preferred = max(one.preference for one in judged)
            assert preferred == max(one.preference for one in cell)
    assert all(record.error is None and record.seconds > 0 for record in records)
    assert {(one.arm, one.method, one.seed) for one in records} == {("defended", "x", 0)}
    assert all(list(record.steps) == sorted(set(record.steps)) for record in records)


def test_same_seed_gives_the_same_records(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    def numbers() -> list[tuple[object, ...]]:
        found = attack(Subject("scratch", "x", 2, toy_model), toy_tasks.undesirable, toy_suite)
        return [(one.attack, one.validation, one.test, one.accuracy) for one in found]

    first = numbers()
    torch.manual_seed(777)
    assert numbers() == first


def test_labels_validation_and_test_never_mix(toy_tasks: TaskPair) -> None:
    def rows(data: Data) -> set[bytes]:
        return {row.numpy().tobytes() for row in data.inputs}

    task = toy_tasks.undesirable
    for budget in (Budget(2, 1), Budget(10, 1), Budget(None, 1)):
        drawn = draw_labels(task, task.test, budget, seed=0)
        assert drawn.validation is not None
        parts = [rows(drawn.train), rows(drawn.validation), rows(drawn.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert not set.union(*parts) & rows(toy_tasks.known_undesirable)
        if budget.labels is not None:
            assert len(drawn.train) + len(drawn.validation) == 3 * budget.labels
            chosen_by = max(1, round(VALIDATION_SHARE * budget.labels))
            assert drawn.validation.labels.bincount().tolist() == [chosen_by] * 3
        assert int(drawn.train.labels.bincount().min()) >= 1
        assert int(drawn.validation.labels.bincount().min()) >= 1


def test_attack_sees_only_its_own_labels(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    SEEN.clear()
    task, suite = toy_tasks.undesirable, Suite("spy", (Spy(),), (Budget(5, 3),))
    attack(Subject("defended", "x", 0, toy_model), task, suite)
    (seen,) = SEEN
    drawn = draw_labels(task, task.test, Budget(5, 3), seed=0)
    assert torch.equal(seen.train.inputs, drawn.train.batch(slice(None))[0])
    assert torch.equal(seen.train.labels, drawn.train.labels)
    assert seen.unlabelled is not None
    assert torch.equal(seen.unlabelled.inputs, task.train.inputs)
    assert not bool(seen.unlabelled.labels.any())


def test_each_attacker_has_other_labels(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    SEEN.clear()
    task, suite = toy_tasks.undesirable, Suite("spy", (Spy(),), (Budget(5, 3),))
    (assignment,) = screen(Subject("defended", "x", 0, toy_model), suite)
    (found,) = run_assignment(replace(assignment, attacker=3), task, NO_RESOURCES)
    assert (found.seed, found.attacker) == (0, 3)
    drawn = draw_labels(task, task.test, Budget(5, 3), seed=3)
    assert torch.equal(SEEN[0].train.inputs, drawn.train.batch(slice(None))[0])


def test_each_draw_of_labels_meets_scratch_weights_of_its_own(toy_model: Classifier) -> None:
    suite = Suite("spy", (Spy(),), (Budget(5, 3), Budget(8, 3)), draws=(1, 3))
    for arm in ("scratch", "defended"):
        subject = Subject(arm, "x", 2, toy_model)
        assignments = screen(subject, suite)
        assert [one.attacker for one in assignments] == list_draws(subject, suite)
        assert len({one.attacker for one in assignments}) == 3
        firsts = [next(one.model.parameters()) for one in assignments]
        distinct = {tuple(first.flatten().tolist()) for first in firsts}
        assert len(distinct) == (3 if arm == "scratch" else 1)
    budgets = [one.budgets for one in screen(subject, suite)]
    assert budgets == [suite.budgets, suite.budgets[1:], suite.budgets[1:]]


@pytest.mark.parametrize(("arm", "weights"), [("scratch", [None, 3, 7]), ("defended", [None] * 3)])
def test_each_attacker_meets_scratch_weights_of_its_own(
    arm: Arm, weights: list[int | None], toy_model: Classifier
) -> None:
    subject = Subject(arm, "x", 2, toy_model)
    met = [assign(subject, [Spy()], [Budget(5, 3)], attacker=one) for one in (None, 3, 7)]
    assert [one.weights for (one,) in met] == weights


def test_attack_leaves_the_model_unchanged(toy_tasks: TaskPair) -> None:
    """Weights, running statistics and mode; whatever part of it is trained."""
    model = batch_norm_cnn(classes=3, shape=(1, 16, 16)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    records = run(
        model, toy_tasks, LastLayer("adam", 0.1), FineTune(2), FineTune(None, "kept", "sgd", 0.1)
    )
    assert {record.error for record in records} == {None}
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module.training for module in model.modules())


def test_prediction_does_not_change_statistics(toy_tasks: TaskPair) -> None:
    model = batch_norm_cnn(classes=3, shape=(1, 16, 16)).train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    predict(model, toy_tasks.undesirable.test)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert model.training


def test_trial_does_not_depend_on_earlier_trials(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    first, second = FineTune(None, "kept", "adam", 1e-2), FineTune(None, "kept", "sgd", 0.05)
    (_, after), (alone,) = (
        run(toy_model, toy_tasks, *attacks) for attacks in ((first, second), (second,))
    )
    # Of a family the preferred trial alone is judged on all test samples.
    unjudged = {"seconds": 0.0, "accuracy": None, "balanced": None, "halves": ()}
    bare = [build(Record, vars(record) | unjudged) for record in (after, alone)]
    assert bare[0] == bare[1]


def test_each_trial_has_its_own_score() -> None:
    data = Data(torch.zeros(4, 1), torch.tensor([0, 1, 2, 0]))
    # Answers of two trials side by side: the one always says 0, the other always 1.
    several = nn.Linear(1, 6)
    with torch.no_grad():
        several.weight.zero_()
        several.bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    accuracies, losses = measure(several, data, 2)
    assert accuracies == [0.5, 0.25]
    for loss, answer in zip(losses, several.bias.detach().view(2, 3), strict=True):
        expected = (answer.logsumexp(0) - answer[data.labels]).mean()
        assert loss == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("broken", ["validation", "curve"])
def test_trial_fails_on_what_the_attacker_sees(broken: str) -> None:
    """Outputs that are not finite on test samples alone are not the attacker's to know."""
    fine, wrong = (Data(torch.full((4, 1), one), torch.zeros(4).long()) for one in (1.0, 3e38))
    drawn = Draw(fine, wrong if broken == "validation" else fine,
                 wrong if broken == "curve" else fine, fine)  # fmt: skip
    overflows = nn.Linear(1, 3)
    nn.init.constant_(overflows.weight, 10.0)
    (found,) = score(iter([Snapshot(3, overflows)]), 1, drawn, steps=3)
    assert (found.error is not None) == (broken == "validation")


def test_halves_hold_every_class_in_any_order() -> None:
    says_first = nn.Linear(1, 2)
    with torch.no_grad():
        says_first.bias.copy_(torch.tensor([1.0, 0.0]) - says_first.weight[:, 0])
    for labels in ([0, 1] * 6, [0] * 6 + [1] * 6, [1, 0, 0, 1] * 3):
        data = Data(torch.ones(12, 1), torch.tensor(labels))
        found = Score(model=says_first).score_selected(data)
        assert found.halves == (0.5, 0.5)
        assert found.accuracy == 0.5


def test_curves_use_some_test_samples_and_accuracies_all(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rootbound.evaluation.harness.CURVE_SAMPLES", 7)
    (record,) = run(toy_model, toy_tasks, Scripted("fine"))
    # One answer for all: right for a third of the balanced test samples, and never of seven.
    assert record.accuracy == pytest.approx(1 / 3)
    assert all(7 * point == pytest.approx(round(7 * point), abs=1e-4) for point in record.test)


def test_every_arm_gets_the_same_labels_and_seeds_differ(toy_tasks: TaskPair) -> None:
    task, budget = toy_tasks.undesirable, Budget(5, 1)
    first, again, other = (
        draw_labels(task, task.test, budget, seed).train.inputs for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    longer = draw_labels(task, task.test, Budget(5, 100), 0).train.inputs
    assert torch.equal(first, longer), "more steps are no other labels"


def test_every_arm_starts_from_the_same_new_head(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    HEADS.clear()
    SEEN.clear()
    suite = Suite("spy", (Spy(),), (Budget(5, 3),))
    others = toy_model.reinitialised(8)
    arms: dict[Arm, Classifier] = {"defended": toy_model, "undefended": others, "scratch": others}
    for arm, model in arms.items():
        attack(Subject(arm, arm, 0, model), toy_tasks.undesirable, suite)
    first, *heads = HEADS
    assert len(heads) == 2 and all(torch.equal(first, head) for head in heads)
    draws = [torch.rand(4, generator=seen.generator.clone_state()).tolist() for seen in SEEN]
    assert draws[0] == draws[1] == draws[2]


def test_trials_trained_together_share_their_cost(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    rates = (0.01, 0.1, 0.03, 0.3)
    several = [LastLayer("adam", rate) for rate in rates]
    started = time.perf_counter()
    together = run(toy_model, toy_tasks, *several)
    taken = time.perf_counter() - started
    assert 0 < sum(one.seconds for one in together) <= taken
    (alone,) = run(toy_model, toy_tasks, several[0])
    for one in together:
        assert one.flops == pytest.approx(alone.flops)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("raise", "RuntimeError: out of luck"),
        ("nothing", "the attack yielded no model"),
        ("narrow", "ValueError: a model of 2 outputs for 3 classes"),
        ("nan", "outputs are not finite at step 10"),
    ],
)
def test_failed_trial_is_a_record_not_a_crash(
    what: str, reason: str, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    failed, fine = run(toy_model, toy_tasks, Scripted(what), Scripted("fine"))
    assert failed.error == reason
    assert failed.accuracy is None
    assert fine.error is None
    assert fine.accuracy is not None


class Refuses(nn.Module):
    """Fails on a single sample, as it might on all that look undesirable."""

    def __init__(self, refused: Tensor) -> None:
        super().__init__()
        self.refused = refused

    def forward(self, inputs: Tensor) -> Tensor:
        if bool((inputs == self.refused).flatten(1).all(1).any()):
            raise KeyError("not this one")
        return inputs


def test_network_that_refuses_a_sample_gives_a_failed_record(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the frozen part, or when all test samples are judged: the curve has not that one."""
    monkeypatch.setattr("rootbound.evaluation.harness.CURVE_SAMPLES", 7)
    test = toy_tasks.undesirable.test
    inputs, curve = (data.batch(slice(None))[0] for data in (test, test.subset(7)))
    refused = next(one for one in inputs if not bool((curve == one).flatten(1).all(1).any()))
    blocks = [nn.Sequential(Refuses(refused), toy_model.blocks[0]), *toy_model.blocks[1:]]
    model = Classifier(nn.Sequential(*blocks), toy_model.head)
    for trial in (LastLayer("adam", 0.1), FineTune(None, "kept", "adam", 1e-2)):
        (record,) = run(model, toy_tasks, trial)
        assert (record.error, record.accuracy) == ("KeyError: 'not this one'", None)


class Closed(nn.Module):
    """Fails where somebody may be training."""

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise KeyError("closed")
        return inputs


def test_network_that_refuses_gradients_is_still_probed(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    blocks = [nn.Sequential(Closed(), toy_model.blocks[0]), *toy_model.blocks[1:]]
    model = Classifier(nn.Sequential(*blocks), toy_model.head)
    tuned, *probed = run(
        model, toy_tasks,
        FineTune(None, "kept", "adam", 1e-2), LastLayer("adam", 0.1), ExactLastLayer(1e-3),
        RidgeHead(reading=Reading(1)),
    )  # fmt: skip
    assert (tuned.error, tuned.accuracy) == ("KeyError: 'closed'", None)
    assert all(one.accuracy is not None for one in probed)


def test_refuses_a_repeated_number_of_labels() -> None:
    """A record says how many labels there were, but not how many steps there could have been."""
    budgets = Budget(10, 4), Budget(None, 4), Budget(None, 8)
    wanted = "budgets with different numbers of labels; got 10, all, all; leave one of them out"
    with pytest.raises(InputError, match=wanted):
        Suite("twice", (Scripted(),), budgets)


def test_refuses_a_repeated_attack() -> None:
    """Twice the same would be taken for a bundle of two that train together."""
    with pytest.raises(InputError, match=r"each attack once; got Scripted\(what='raise'\) twice"):
        Suite("twice", (Scripted(), Scripted("fine"), Scripted()), (Budget(None, 4),))
    suite = Suite("once", (Scripted(),), (Budget(None, 4),))
    assert suite.with_attacks((Scripted(),)) is suite
    more = suite.with_attacks((Scripted(), Scripted("fine"), Scripted("fine")))
    assert (more.attacks, more.adaptive) == ((Scripted(), Scripted("fine")), 1)


def test_diverging_trial_does_not_spoil_its_companions(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    wild, calm = run(toy_model, toy_tasks, LastLayer("sgd", 1e38), LastLayer("sgd", 0.1))
    assert wild.error is not None
    assert "not finite" in wild.error
    assert calm.error is None
    assert calm.accuracy is not None


def test_trials_that_fail_together_run_alone(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = LastLayer.transfer_together

    def fail(trials: Any, *given: Any) -> Iterator[Snapshot]:
        if any(trial.learning_rate == 1.0 for trial in trials):
            raise RuntimeError("too fast")
        return together(trials, *given)

    monkeypatch.setattr(LastLayer, "transfer_together", staticmethod(fail))
    failed, fine = run(toy_model, toy_tasks, LastLayer("sgd", 1.0), LastLayer("sgd", 0.1))
    assert (failed.error, fine.error) == ("RuntimeError: too fast", None)
    assert fine.accuracy is not None


def test_selection_follows_validation_and_ties_go_to_the_later_step(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    # Classes are balanced: each constant answer scores a third, so every step ties.
    (record,) = run(toy_model, toy_tasks, Scripted("fine"), steps=12)
    assert record.steps == (3, 10, 12)
    assert record.selected == 2
    assert record.accuracy == pytest.approx(1 / 3)


def test_step_is_selected_on_validation_only() -> None:
    def samples(label: int) -> Data:
        return Data(torch.zeros(6, 1), torch.full((6,), label))

    drawn = Draw(samples(0), validation=samples(1), curve=samples(2), test=samples(2))
    yielded = [Snapshot(step, Constant(label)) for step, label in ((3, 0), (10, 1), (12, 2))]
    (found,) = score(iter(yielded), 1, drawn, steps=12)
    assert (found.validation, found.test) == ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert found.selected == 1
    assert found.loss is not None and found.loss < 0.1, "the loss that breaks ties is another's"
    assert found.score_selected(samples(1)) == FinalScore(1.0, 1.0, (1.0, 1.0))


def test_keeps_the_model_of_the_selected_step() -> None:
    data = Data(torch.zeros(6, 1), torch.ones(6).long())
    model = Constant(0)

    def train() -> Iterator[Snapshot]:
        for step, label in ((3, 0), (10, 1), (12, 2)):
            model.label = label
            yield Snapshot(step, model)

    (found,) = score(train(), 1, Draw(data, data, data, data), steps=12)
    assert found.selected == 1
    assert found.score_selected(data).accuracy == 1.0


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, {1}), (3, {3}), (60, {3, 10, 32, 60}), (100, {3, 10, 32, 100})]
)
def test_lists_checkpoints(steps: int, expected: set[int]) -> None:
    assert list_checkpoints(steps) == expected


def test_refuses_more_labels_than_exist(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    suite = Suite("greedy", (LastLayer(),), (Budget(1000, 5),))
    with pytest.raises(InputError, match="more than 1000 samples of every class"):
        attack(Subject("defended", "x", 0, toy_model), toy_tasks.undesirable, suite)
