"""A teacher for the desirable task, fewer undesirable batches, and what the network decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.methods import BestResponse, Plain, Schedule
from rootbound.methods.best_response.teacher import (
    TEMPERATURE,
    does_task,
    find_teacher,
    learn_or_copy,
)
from rootbound.methods.shared.batches import draw_some_pairs
from rootbound.networks import Classifier, resnet_20
from rootbound.training import Recipe, predict

RECIPE = Recipe(epochs=4, batch_size=30, learning_rate=1e-2)


def softened(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits / TEMPERATURE)
    return np.asarray(raised / raised.sum(1, keepdims=True))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_loss_equals_hintons(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, inputs = (torch.randn(9, 4, generator=generator, dtype=torch.float64) for _ in "ab")
    labels = torch.arange(9) % 4
    teacher = Classifier(nn.Identity(), nn.Linear(4, 4)).double()
    with torch.no_grad():
        said = softened(teacher(inputs).numpy())
    own = softened(logits.numpy())
    copied = TEMPERATURE**2 * (said * np.log(said / own)).sum(1).mean()
    chances = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    task = -np.log(chances[np.arange(9), labels.numpy()]).mean()
    found = float(learn_or_copy(logits, inputs, labels, teacher, share))
    assert found == pytest.approx((1 - share) * task + share * copied, rel=1e-10)


def test_learns_labels_without_a_teacher() -> None:
    logits = torch.tensor([[0.0, 1.0]])
    found = learn_or_copy(logits, torch.zeros(1, 3), torch.tensor([1]), None, 0.5)
    assert float(found) == pytest.approx(float(np.log1p(np.exp(-1.0))))


def test_batch_norm_network_gets_a_teacher_and_larger_batches(
    toy_model: Classifier,
) -> None:
    photographs = resnet_20(classes=3, shape=(3, 16, 16), width=4)
    chosen = BestResponse().suited_to(photographs)
    assert chosen == BestResponse(undesirable_batch_size=512, undesirable_every=2, taught=0.5)
    chosen = BestResponse().suited_to(toy_model)
    assert chosen == BestResponse(undesirable_batch_size=256, undesirable_every=1, taught=0.0)
    said = BestResponse(undesirable_batch_size=64, undesirable_every=3, taught=0.0)
    assert said.suited_to(photographs) == said


def test_undesirable_batches_are_rarer_and_weigh_more(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    """Nine steps with a batch in every fourth: three batches, none of their samples twice."""
    generator = torch.Generator().manual_seed(0)
    pairs = list(draw_some_pairs(RECIPE, toy_tasks, 9, 20, 4, generator))
    drawn = [others for _, others in pairs if others is not None]
    assert [others is None for _, others in pairs] == [bool(step % 4) for step in range(9)]
    assert [len(labels) for _, labels in drawn] == [20, 20, 20]
    rows = torch.cat([inputs.flatten(1) for inputs, _ in drawn])
    assert len(rows.unique(dim=0)) == 60

    method = BestResponse(RECIPE, weight=0.3, undesirable_every=4)
    heavy = BestResponse(RECIPE, weight=1.2)
    desirable, others = pairs[0]
    found = []
    with torch.random.fork_rng():
        for one in (method, heavy):
            torch.manual_seed(0)
            found.append(one.loss(toy_model, desirable, others, 1.0).detach())
    assert found[0] == found[1]
    task = torch.nn.functional.cross_entropy(toy_model(desirable[0]), desirable[1])
    assert torch.equal(method.loss(toy_model, desirable, None, 1.0), task)
    assert found[0] > task


def test_pure_copying_agrees_with_plain_training(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    """With all of the loss from the teacher, and labels that say nothing, the task is learned."""
    train = toy_tasks.desirable.train
    plain = Plain(RECIPE).fit(toy_model, toy_tasks)
    copying = BestResponse(RECIPE, weight=0.0, taught=1.0, schedule=Schedule(finishing_steps=0))
    copied = copying.fit(toy_model, toy_tasks)
    known, said = (predict(one, train).argmax(-1) for one in (plain, copied))
    assert float((known == said).double().mean()) > 0.95
    without = BestResponse(RECIPE, weight=0.0, taught=0.0, schedule=Schedule(finishing_steps=0))
    assert not torch.equal(copied.head.weight, without.fit(toy_model, toy_tasks).head.weight), (
        "the teacher changed nothing"
    )


def test_able_network_teaches_itself_else_a_teacher_is_trained(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    train = toy_tasks.desirable.train
    plain = Plain(RECIPE).fit(toy_model, toy_tasks)
    assert does_task(plain, train)
    assert not does_task(toy_model, train)
    own, trained = (
        find_teacher(one, train, RECIPE, torch.Generator().manual_seed(0))
        for one in (plain, toy_model)
    )
    assert all(map(torch.equal, own.state_dict().values(), plain.state_dict().values()))
    assert own is not plain
    assert does_task(trained, train)
    assert not any(one.training or any(p.requires_grad for p in one.parameters())
                   for one in (own, trained))  # fmt: skip
