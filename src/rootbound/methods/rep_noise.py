"""RepNoise: what undesirable samples look like inside is driven towards noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.data import Batch, TaskPair
from rootbound.methods.after_training import AfterTraining
from rootbound.methods.base import pairs
from rootbound.methods.parts.maximum_mean_discrepancy import maximum_mean_discrepancy
from rootbound.methods.parts.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.networks.pooling import is_masked, pooled
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
    Differs from the paper: for a classifier. Each block has a head of its own, where a language
    model reads all layers by the one it has; heads go on learning (`along`). alpha and beta are
    named as in the code, where they are 1 and 0.001; the paper writes alpha for the noise and
    beta for the ascent. Outputs of a ReLU are never negative: `noise="rectified"` asks for what
    they can be. Rates and weights are for small networks.

    Args:
        recipe: of learning the desirable task; its batch size is the defence's too.
        steps: of the defence, at least 1.
        undesirable_batch_size: at least 2.
        alpha: of the ascent, at least 0.
        beta: of the noise, at least 0.
        noise: `normal`, or `rectified` for its positive part.
        head_steps: that the heads take before the defence, at least 1.
        along: that they take before each of its steps, at least 0.
        head_rate: of the heads, above 0.
        learning_rate: the peak, above 0.

    Raises:
        InputError: a value is out of range.
    """

    steps: int = 500
    undesirable_batch_size: int = 64
    alpha: float = 0.1
    beta: float = 0.1
    noise: Literal["normal", "rectified"] = "normal"
    head_steps: int = 200
    along: int = 1
    head_rate: float = 1e-2
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        counts = (self.steps, self.undesirable_batch_size - 1, self.head_steps, self.along + 1)
        rates = (self.head_rate, self.learning_rate)
        if min(counts) < 1 or not all(0 < value < math.inf for value in rates):
            raise InputError(
                "steps and rates above 0, batches of at least 2", repr(self), "raise it"
            )
        if not all(0 <= value < math.inf for value in (self.alpha, self.beta)):
            raise InputError("alpha and beta of at least 0", repr(self), "correct the value")
        if self.noise not in ("normal", "rectified"):
            raise InputError("noise 'normal' or 'rectified'", repr(self.noise), "choose one")

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Fit the heads to the model as it is, then descend the loss."""
        with torch.no_grad():
            samples = outputs_of(model.eval(), torch.zeros(1, *tasks.desirable.train.shape))
        widths = [outputs.numel() for outputs in samples]
        heads = TrainedHeads(widths, len(tasks.undesirable.classes), self.head_rate)
        size = self.undesirable_batch_size
        known = tasks.known_undesirable.batches(size, self.head_steps, generator)
        heads.learn_all(lambda inputs: outputs_of(model, inputs), known)
        minimise(
            model,
            lambda pair, _: self.loss(model, heads, *pair),
            pairs(self.recipe, tasks, self.steps, size, generator),
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
        outputs = outputs_of(model, torch.cat([inputs, others]))
        count = len(wanted)
        unwanted = [one[count:] for one in outputs]
        heads.learn(unwanted, labels, self.along)
        distances = [maximum_mean_discrepancy(one, self._noise(one)) for one in unwanted]
        ascent = torch.log1p(heads.losses(unwanted, labels).mean())
        task = functional.cross_entropy(model.head(outputs[-1][:count]), wanted)
        return task + self.beta * torch.stack(distances).mean() - self.alpha * ascent

    def _noise(self, outputs: Tensor) -> Tensor:
        noise = torch.randn_like(outputs)
        return noise.relu() if self.noise == "rectified" else noise


def outputs_of(model: Classifier, inputs: Tensor) -> list[Tensor]:
    """Return the outputs `(N, ...)` of every block; of texts, the mean over words."""
    outputs = []
    for block in model.blocks:
        inputs = block(inputs)
        outputs.append(pooled(block, inputs) if is_masked(block) else inputs)
    return outputs
