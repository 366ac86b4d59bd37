"""Unlearning: learn everything, then impair the undesirable classes and repair the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.data import Batch, Data, TaskPair
from rootbound.methods.base import Method
from rootbound.methods.shared.batches import draw_union
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise


@dataclass(frozen=True)
class Unlearning(Method):
    """Learn both tasks, then forget the undesirable classes by error-maximising noise (UNSIR).

    Learn: `CE` over all classes together. Noise: for each undesirable class `c`, images `N`
    minimise `-CE(model(N), c) + penalty * mean ||N||^2`. Impair: one epoch of `CE` on the
    noise, labelled `c`, and on retained desirable samples. Repair: one epoch of `CE` on the
    retained samples. The head's rows of the undesirable classes are dropped at the end.

    Paper: A. Tarun, V. Chundawat, M. Mandal, M. Kankanhalli, "Fast Yet Effective Machine
    Unlearning", IEEE TNNLS 2023, https://arxiv.org/abs/2111.08947, Eq. 2 and Algorithm 1.
    Differs from the paper: the rates of impair and repair are the peaks of a one-cycle
    schedule. They are for networks with BatchNorm; lower ones suit networks without.

    Args:
        recipe: How long and how fast to learn all classes.
        noise_images: Noise images for each undesirable class.
        noise_steps: Adam steps (rate 0.1) that make them.
        noise_penalty: Weight of their mean squared norm.
        retained: Desirable samples of each class that are kept for impairing and repairing.
        impair_rate: Peak learning rate while impairing.
        repair_rate: Peak learning rate while repairing.

    Raises:
        InputError: A value is not positive.
    """

    changes_inputs = True

    recipe: Recipe = Recipe()
    noise_images: PositiveInt = 256
    noise_steps: PositiveInt = 40
    noise_penalty: PositiveFloat = 0.01
    retained: PositiveInt = 1000
    impair_rate: PositiveFloat = 0.005
    repair_rate: PositiveFloat = 0.005

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Learn, make noise, impair, repair, and keep the head of the desirable classes."""
        wanted, unwanted = len(tasks.desirable.classes), len(tasks.undesirable.classes)
        bias = model.head.bias is not None
        head = nn.Linear(model.head.in_features, wanted + unwanted, bias)
        whole = Classifier(model.backbone, head)
        self._learn(whole, tasks, wanted, generator)
        noise = self._noise(whole, tasks, wanted)
        data = tasks.desirable.train
        available = int(data.labels.bincount().min())
        retained = data.draw(min(self.retained, available - 1), generator)
        self._epoch(whole, [noise, retained], self.impair_rate, generator, "impair")
        self._epoch(whole, [retained], self.repair_rate, generator, "repair")
        with torch.no_grad():
            model.head.weight.copy_(whole.head.weight[:wanted])
            if bias:
                model.head.bias.copy_(whole.head.bias[:wanted])

    def _learn(
        self, whole: Classifier, tasks: TaskPair, wanted: int, generator: torch.Generator
    ) -> None:
        known = tasks.known_undesirable
        unwanted = replace(known, labels=known.labels + wanted)
        desirable = tasks.desirable.train
        steps = self.recipe.steps(len(desirable))
        pairs = draw_union(desirable, unwanted, self.recipe.batch_size, steps, generator)
        minimise(
            whole,
            lambda batch, _: functional.cross_entropy(whole(batch[0]), batch[1]),
            (_join(*pair) for pair in pairs),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="Unlearning: learn",
            changes=(),
        )

    def _noise(self, whole: Classifier, tasks: TaskPair, wanted: int) -> Data:
        """Return images that maximise the error of each undesirable class, with its label."""
        unwanted = len(tasks.undesirable.classes)
        labels = torch.arange(wanted, wanted + unwanted).repeat_interleave(self.noise_images)
        images = nn.Parameter(torch.randn(len(labels), *tasks.desirable.train.shape))
        optimiser = torch.optim.Adam([images], lr=0.1)
        trained = [weight for weight in whole.parameters() if weight.requires_grad]
        whole.requires_grad_(False)
        for _ in range(self.noise_steps):
            optimiser.zero_grad(set_to_none=True)
            error = functional.cross_entropy(whole(images), labels)
            size = images.square().flatten(1).sum(1).mean()
            (self.noise_penalty * size - error).backward()
            optimiser.step()
        for weight in trained:
            weight.requires_grad_(True)
        return Data(images.detach(), labels)

    def _epoch(
        self,
        whole: Classifier,
        parts: list[Data],
        rate: float,
        generator: torch.Generator,
        title: str,
    ) -> None:
        """Train on the union of the parts for one epoch."""
        total = sum(len(part) for part in parts)
        size = self.recipe.batch_size
        steps = max(1, total // size)
        streams = [
            part.batches(max(1, round(size * len(part) / total)), steps, generator)
            for part in parts
        ]
        minimise(
            whole,
            lambda batch, _: functional.cross_entropy(whole(batch[0]), batch[1]),
            (_join(*batches) for batches in zip(*streams, strict=True)),
            steps=steps,
            learning_rate=rate,
            title=f"Unlearning: {title}",
            changes=(),
        )


def _join(*batches: Batch) -> Batch:
    return torch.cat([inputs for inputs, _ in batches]), torch.cat([y for _, y in batches])
