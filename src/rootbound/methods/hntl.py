"""H-NTL: desirable samples are distilled from their content, undesirable ones from their style."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import NonNegativeFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import Method
from rootbound.methods.shared.batches import draw_pairs
from rootbound.networks import Classifier
from rootbound.training import minimise

Pair = tuple[Batch, Batch]


@dataclass(frozen=True)
class HNTL(Method):
    """H-NTL: undesirable samples are mapped to their style, which only tells the domains apart.

    Stage 1 trains a content encoder c, a style encoder s and a decoder:
    `CE(A c, y) + CE(B s, domain) + variational * (KL_c + KL_s) + reconstruction * MSE(D(c, s), x)`,
    with c and s drawn from Gaussians and KL their divergence from the standard normal one.
    Stage 2 distils the model `z`: `MSE(z(x), A c)` on desirable samples,
    `MSE(z(x), A s)` on undesirable ones.

    Paper: Z. Hong et al., "Improving Non-Transferable Representation Learning by Harnessing
    Content and Style", ICLR 2024, https://openreview.net/forum?id=FYKVPOHCpE, Eq. 6 to 11.
    Differs from the paper: y is one of the classes of both tasks, and at the end the model keeps
    only the desirable rows of the last layer. As in the paper's code, the term that separates
    labels from domains is left out. Adam under a one-cycle rate; the decoder has a hidden layer.

    Args:
        recipe: How long and how fast to train, in either stage.
        undesirable_batch_size: Undesirable samples in a step.
        latent: Dimensions of c, and of s.
        hidden: Units of the hidden layer of the decoder.
        variational: Weight of the divergences; the paper's is 0.001.
        reconstruction: Weight of the squared error of the decoder; the paper's is 0.1.

    Raises:
        InputError: A value is out of range.
    """

    changes_inputs = True

    undesirable_batch_size: PositiveInt = 128
    latent: PositiveInt = 64
    hidden: PositiveInt = 256
    variational: NonNegativeFloat = 1e-3
    reconstruction: NonNegativeFloat = 1.0

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Separate samples into content and style, then distil."""
        wanted = len(tasks.desirable.classes)
        classes = wanted + len(tasks.undesirable.classes)
        steps, shape = self.recipe.steps(len(tasks.desirable.train)), tasks.desirable.train.shape
        parts = Disentanglement(model, classes, shape, self.latent, self.hidden)
        minimise(
            parts,
            lambda pair, _: parts.loss(
                *join_pair(pair, wanted), self.variational, self.reconstruction
            ),
            draw_pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
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
            draw_pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="HNTL: distillation",
            changes=(),
        )
        with torch.no_grad():
            model.head.weight.copy_(whole.head.weight[:wanted])
            if bias:
                model.head.bias.copy_(whole.head.bias[:wanted])


class Encoder(nn.Module):
    """A backbone, a Gaussian latent `(N, L)` behind it, and a linear classifier of the latent."""

    def __init__(self, backbone: nn.Module, width: int, latent: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.mean = nn.Linear(width, latent)
        self.log_variance = nn.Linear(width, latent)
        self.classifier = nn.Linear(latent, classes)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent's mean and the logarithm of its variance, `(N, L)` each."""
        features = self.backbone(inputs)
        return self.mean(features), self.log_variance(features)


class Disentanglement(nn.Module):
    """A content encoder that knows the labels, a style encoder that knows the domain, a decoder.

    Args:
        model: The network whose architecture both encoders have, with random weights.
        classes: Number of classes that the content encoder distinguishes.
        shape: Shape of a sample.
        latent: Dimensions of the content, and of the style.
        hidden: Units of the hidden layer of the decoder.
    """

    def __init__(
        self, model: Classifier, classes: int, shape: tuple[int, ...], latent: int, hidden: int
    ) -> None:
        super().__init__()
        width = model.head.in_features
        seeds = [int(torch.randint(2**31, ())) for _ in range(2)]
        content, style = (model.reinitialised(seed).backbone for seed in seeds)
        self.content = Encoder(content, width, latent, classes)
        self.style = Encoder(style, width, latent, 2)
        self.decoder = nn.Sequential(
            nn.Linear(2 * latent, hidden), nn.ReLU(), nn.Linear(hidden, math.prod(shape))
        )

    def loss(
        self,
        inputs: Tensor,
        labels: Tensor,
        domains: Tensor,
        variational: float,
        reconstruction: float,
    ) -> Tensor:
        """Return both cross-entropies, and the weighted divergences and squared error."""
        latents, total = [], torch.zeros(())
        for encoder, targets in ((self.content, labels), (self.style, domains)):
            mean, log_variance = encoder(inputs)
            latent = mean + torch.randn_like(mean) * (log_variance / 2).exp()
            latents.append(latent)
            divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
            task = functional.cross_entropy(encoder.classifier(latent), targets)
            total = total + task + variational * divergence
        decoded = self.decoder(torch.cat(latents, 1))
        return total + reconstruction * functional.mse_loss(decoded, inputs.flatten(1))


def join_pair(pair: Pair, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, labels out of all classes, and domains (0 desirable, 1 undesirable)."""
    (first, own), (second, other) = pair
    domains = torch.cat([torch.zeros_like(own), torch.ones_like(other)])
    return torch.cat([first, second]), torch.cat([own, other + wanted]), domains


def distillation_loss(model: Classifier, parts: Disentanglement, pair: Pair, wanted: int) -> Tensor:
    """Return the loss of stage 2: the model copies the logits of the two encoders."""
    inputs, _, _ = join_pair(pair, wanted)
    count = len(pair[0][1])
    outputs = model(inputs)
    content, style = parts.content(inputs[:count])[0], parts.style(inputs[count:])[0]
    classify = parts.content.classifier
    return functional.mse_loss(outputs[:count], classify(content)) + functional.mse_loss(
        outputs[count:], classify(style)
    )
