"""H-NTL: desirable samples are distilled from their content, undesirable ones from their style."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import NonNegativeFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import Method, pairs
from rootbound.methods.parts.disentanglement import Disentanglement
from rootbound.networks import Classifier
from rootbound.training import minimise

Pair = tuple[Batch, Batch]


@dataclass(frozen=True)
class HNTL(Method):
    """Harnessing the spurious: undesirable samples are learned by what tells the domains apart.

    Stage 1 trains a content encoder c, a style encoder s and a decoder:
    `CE(A c, y) + CE(B s, domain) + variational * (KL_c + KL_s) + reconstruction * MSE(D(c, s), x)`,
    with c and s drawn from Gaussians and KL their divergence from the standard normal one.
    Stage 2 distils the model `z`: `MSE(z(x), A c)` on desirable samples,
    `MSE(z(x), A s)` on undesirable ones.

    Paper: Z. Hong et al., "Improving Non-Transferable Representation Learning by Harnessing
    Content and Style", ICLR 2024, https://openreview.net/forum?id=FYKVPOHCpE, Eq. 6 to 11.
    Differs from the paper: y is out of the classes of both tasks, and the model keeps the
    desirable rows of the last layer at the end. Its code leaves out the term that keeps labels
    and domains apart, and so does this. Adam under a one-cycle rate; the decoder has a hidden
    layer.

    Args:
        recipe: how long and how fast to train, in either stage.
        undesirable_batch_size: undesirable samples a step, at least 1.
        latent: dimensions of c and of s, at least 1.
        hidden: units of the decoder's hidden layer, at least 1.
        variational: at least 0; the paper's is 0.001.
        reconstruction: at least 0; the paper's is 0.1.

    Raises:
        InputError: a value is out of range.
    """

    changes_inputs = True

    undesirable_batch_size: PositiveInt = 128
    latent: PositiveInt = 64
    hidden: PositiveInt = 256
    variational: NonNegativeFloat = 1e-3
    reconstruction: NonNegativeFloat = 1.0

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Take samples apart into content and style, then distil."""
        wanted = len(tasks.desirable.classes)
        classes = wanted + len(tasks.undesirable.classes)
        steps, shape = self.recipe.steps(len(tasks.desirable.train)), tasks.desirable.train.shape
        parts = Disentanglement(model, classes, shape, self.latent, self.hidden)
        minimise(
            parts,
            lambda pair, _: parts.loss(
                *joined(pair, wanted), self.variational, self.reconstruction
            ),
            pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="HNTL: content and style",
            changes=(),
        )
        parts.requires_grad_(False)
        bias = model.head.bias is not None
        whole = Classifier(model.backbone, nn.Linear(model.head.in_features, classes, bias))
        minimise(
            whole,
            lambda pair, _: distillation_loss(whole, parts, pair, wanted),
            pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="HNTL: distillation",
            changes=(),
        )
        with torch.no_grad():
            model.head.weight.copy_(whole.head.weight[:wanted])
            if bias:
                model.head.bias.copy_(whole.head.bias[:wanted])


def joined(pair: Pair, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, labels out of all classes, and domains (0 desirable, 1 undesirable)."""
    (first, own), (second, other) = pair
    domains = torch.cat([torch.zeros_like(own), torch.ones_like(other)])
    return torch.cat([first, second]), torch.cat([own, other + wanted]), domains


def distillation_loss(model: Classifier, parts: Disentanglement, pair: Pair, wanted: int) -> Tensor:
    """Return the loss of stage 2: what either encoder's latent gives is to be copied."""
    inputs, _, _ = joined(pair, wanted)
    count = len(pair[0][1])
    outputs = model(inputs)
    content, style = parts.content(inputs[:count])[0], parts.style(inputs[count:])[0]
    classify = parts.content.classifier
    return functional.mse_loss(outputs[:count], classify(content)) + functional.mse_loss(
        outputs[count:], classify(style)
    )
