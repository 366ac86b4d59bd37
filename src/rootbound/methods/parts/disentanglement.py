"""Samples taken apart into what they show and where they come from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.networks import Classifier


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
        model: whose architecture both encoders have, with random weights.
        classes: that content tells apart.
        shape: of a sample.
        latent: dimensions of either.
        hidden: units of the decoder's hidden layer.
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
