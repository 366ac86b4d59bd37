"""RepNoise: representations of undesirable samples are driven towards noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.fields import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
)
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.methods.shared.batches import draw_pairs
from rootbound.methods.shared.maximum_mean_discrepancy import maximum_mean_discrepancy
from rootbound.methods.shared.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import is_masked, pool_outputs
from rootbound.training import minimise


@dataclass(frozen=True)
class RepNoise(AfterTraining):
    """Representation noising: every block's outputs on undesirable samples become noise.

    Loss: `CE(desirable) + beta * mean_l MMD(h_l, noise) - alpha * log(1 + mean_l CE(g_l(h_l)))`,
    with `h_l (N, ...)` the outputs of block l on undesirable samples, MMD the squared maximum
    mean discrepancy under five Gaussian kernels from as many samples of standard normal noise,
    and `g_l` a head that reads them.

    Paper: D. Rosati et al., "Representation Noising: A Defence Mechanism Against Harmful
    Finetuning", NeurIPS 2024, https://arxiv.org/abs/2405.14577, Eq. 3 to 5.
    Differs from the paper: this version is for classifiers. Each block has a head of its own,
    while a language model has one head for all layers; heads keep learning (`along`). alpha and
    beta are named as in the code, where they are 1 and 0.001; the paper writes alpha for the noise
    and beta for the ascent. Outputs of a ReLU are never negative: `noise="rectified"` takes that
    into account. Rates and weights are for small networks.

    Args:
        recipe: How long and how fast to learn the desirable task; the defence takes batches of its
            size.
        steps: Steps of the defence.
        undesirable_batch_size: Undesirable samples in a step, at least 2.
        alpha: Weight of the ascent.
        beta: Weight of the noise.
        noise: `normal`, or `rectified` for its positive part.
        head_steps: Steps that the heads take before the defence.
        along: Steps that the heads take before each step of the defence.
        head_rate: Learning rate of the heads.
        learning_rate: Peak learning rate of the defence.

    Raises:
        InputError: A value is out of range.
    """

    steps: PositiveInt = 500
    undesirable_batch_size: Annotated[int, Range(at_least=2)] = 64
    alpha: NonNegativeFloat = 0.1
    beta: NonNegativeFloat = 0.1
    noise: Literal["normal", "rectified"] = "normal"
    head_steps: PositiveInt = 200
    along: NonNegativeInt = 1
    head_rate: PositiveFloat = 1e-2
    learning_rate: PositiveFloat = 5e-3

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Fit the heads to the model as it is, then descend the loss."""
        with torch.no_grad():
            samples = all_outputs(model.eval(), torch.zeros(1, *tasks.desirable.train.shape))
        widths = [outputs.numel() for outputs in samples]
        heads = TrainedHeads(widths, len(tasks.undesirable.classes), self.head_rate)
        size = self.undesirable_batch_size
        known = tasks.known_undesirable.batches(size, self.head_steps, generator)
        heads.learn_all(lambda inputs: all_outputs(model, inputs), known)
        minimise(
            model,
            lambda pair, _: self.loss(model, heads, *pair),
            draw_pairs(self.recipe, tasks, self.steps, size, generator),
            steps=self.steps,
            learning_rate=self.learning_rate,
            title="RepNoise",
            changes=[heads],
        )

    def loss(
        self, model: Classifier, heads: TrainedHeads, desirable: Batch, undesirable: Batch
    ) -> Tensor:
        """Return the loss of two batches, after the heads have learned from one of them."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        outputs = all_outputs(model, torch.cat([inputs, others]))
        count = len(wanted)
        unwanted = [output[count:] for output in outputs]
        heads.learn(unwanted, labels, self.along)
        distances = [maximum_mean_discrepancy(output, self._noise(output)) for output in unwanted]
        ascent = torch.log1p(heads.losses(unwanted, labels).mean())
        task = functional.cross_entropy(model.head(outputs[-1][:count]), wanted)
        return task + self.beta * torch.stack(distances).mean() - self.alpha * ascent

    def _noise(self, outputs: Tensor) -> Tensor:
        noise = torch.randn_like(outputs)
        return noise.relu() if self.noise == "rectified" else noise


def all_outputs(model: Classifier, inputs: Tensor) -> list[Tensor]:
    """Return the outputs `(N, ...)` of every block; of texts, the mean over words."""
    outputs = []
    for block in model.blocks:
        inputs = block(inputs)
        outputs.append(pool_outputs(block, inputs) if is_masked(block) else inputs)
    return outputs
