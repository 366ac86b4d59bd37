"""Learning from undesirable images without labels: which way up they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.data import Batch
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class SelfSupervise(Repair):
    """Train the backbone to tell by how many quarter turns an unlabelled image was turned.

    S. Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations",
    2018, section 2. Differs from the paper: each image is turned once a step, at random.
    Images that are not square are turned by half turns only; where samples are no images, the
    network stays as it is.

    Args:
        steps: of Adam under a one-cycle learning rate, besides the budget's.
        learning_rate: the peak, above 0.
        batch_size: images a step.
    """

    needs: ClassVar[tuple[str, ...]] = ("unlabelled",)

    steps: int = 50
    learning_rate: float = 1e-3
    batch_size: int = 128

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network is one for images."""
        return any(isinstance(part, nn.Conv2d) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with a trained backbone; the given head is left alone."""
        assert attacker.unlabelled is not None  # it is needed
        shape = attacker.unlabelled.shape
        if len(shape) != 3:
            return model
        turns = 4 if shape[1] == shape[2] else 2
        learner = model.with_head(turns, attacker.seed())
        generator = attacker.generator

        def loss(batch: Batch, _: float) -> Tensor:
            inputs, _labels = batch
            turned = torch.randint(turns, (len(inputs),), generator=generator)
            return functional.cross_entropy(learner(rotated(inputs, turned, turns)), turned)

        batches = attacker.unlabelled.batches(self.batch_size, self.steps, generator)
        minimise(
            learner,
            loss,
            batches,
            steps=self.steps,
            learning_rate=self.learning_rate,
            title=type(self).__name__,
        )
        return Classifier(learner.backbone, model.head)


def rotated(images: Tensor, turned: Tensor, turns: int) -> Tensor:
    """Return each image turned so many times by a full turn over `turns`."""
    rotated = images.clone()
    for turn in range(1, turns):
        rotated[turned == turn] = images[turned == turn].rot90(turn * 4 // turns, dims=(2, 3))
    return rotated
