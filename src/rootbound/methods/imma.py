"""IMMA: a head adapts to the undesirable task while the extractor makes it fail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class IMMA(AfterTraining):
    """Bilevel immunisation: ascend the loss of a head that keeps adapting to the features.

    Lower level: `phi <- phi - inner_rate * Adam(grad_phi CE(phi(f_theta(x)), y))` on
    undesirable samples. Upper level: the extractor `theta` descends
    `CE(desirable) - weight * CE(phi(f_theta(x')), y')` on other undesirable samples, with phi
    held fixed. The two levels alternate.

    Paper: A. Zheng, R. Yeh, "IMMA: Immunizing text-to-image Models against Malicious
    Adaptation", ECCV 2024, https://arxiv.org/abs/2311.18815, Algorithm 1.
    Differs from the paper: this version is for classifiers, as in A. Zheng et al., "Model
    Immunization from a Condition Number Perspective", ICML 2025: a head adapts, and the whole
    extractor is immunised. The desirable task is trained at the same time, which is not needed for
    the few immunised layers of a diffusion model. The lower level takes several steps instead of
    one, on the same features.

    Args:
        recipe: How long and how fast to learn the desirable task; the defence takes batches of its
            size.
        outer_steps: Steps of the upper level.
        inner_steps: Steps of the lower level before each step of the upper one.
        inner_rate: Learning rate of the lower level.
        undesirable_batch_size: Undesirable samples in a step of either level.
        weight: Weight of the ascent.
        fresh_head: Whether the head is drawn anew for each step of the upper level, as an option of
            the paper's code does.
        learning_rate: Peak learning rate of the upper level.

    Raises:
        InputError: A value is out of range.
    """

    outer_steps: PositiveInt = 500
    inner_steps: PositiveInt = 20
    inner_rate: PositiveFloat = 1e-2
    undesirable_batch_size: PositiveInt = 128
    weight: PositiveFloat = 0.1
    fresh_head: bool = False
    learning_rate: PositiveFloat = 5e-3

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Alternate the levels."""
        head = nn.Linear(model.head.in_features, len(tasks.undesirable.classes))
        adaptation = torch.optim.Adam(head.parameters(), self.inner_rate, fused=True)
        known = self.recipe.batches(
            tasks.known_undesirable, 2 * self.outer_steps, generator, self.undesirable_batch_size
        )

        def loss(batch: Batch, _: float) -> Tensor:
            if self.fresh_head:
                head.reset_parameters()
                adaptation.state.clear()
            self._adapt(model, head, adaptation, next(known))
            inputs, labels = next(known)
            features = model.features(torch.cat([batch[0], inputs]))
            wanted, unwanted = features.split([len(batch[1]), len(labels)])
            task = functional.cross_entropy(model.head(wanted), batch[1])
            return task - self.weight * functional.cross_entropy(head(unwanted), labels)

        minimise(
            model,
            loss,
            self.recipe.batches(tasks.desirable.train, self.outer_steps, generator),
            steps=self.outer_steps,
            learning_rate=self.learning_rate,
            title="IMMA",
        )

    def _adapt(
        self, model: Classifier, head: nn.Linear, adaptation: torch.optim.Adam, batch: Batch
    ) -> None:
        with torch.no_grad():
            features = model.features(batch[0])
        for _ in range(self.inner_steps):
            adaptation.zero_grad(set_to_none=True)
            functional.cross_entropy(head(features), batch[1]).backward()
            adaptation.step()
