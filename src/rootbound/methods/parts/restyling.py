"""Feature maps of some samples in the style of others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rootbound.networks import Classifier

FLATTEST = 1e-5
"""Added to a channel's variance under the root, where it has a gradient even at 0."""


class Restyling(nn.Module):
    """`h * sigmoid(A d) + sigmoid(B m)`: d, m are other samples' channel deviations and means.

    Args:
        channels: C, of the feature maps; A and B are `(C, C)`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.deviation = nn.Linear(channels, channels, bias=False)
        self.mean = nn.Linear(channels, channels, bias=False)

    def forward(self, outputs: Tensor, style: Tensor) -> Tensor:
        """Return outputs `(N, C, ...)` in the style of others `(M, C, ...)`, taken in turn."""
        flat = style.flatten(2)[torch.arange(len(outputs)) % len(style)]
        deviation = (flat.var(2, correction=0) + FLATTEST).sqrt()
        shape = (*outputs.shape[:2], *[1] * (outputs.dim() - 2))
        factor, shift = self.deviation(deviation).sigmoid(), self.mean(flat.mean(2)).sigmoid()
        restyled: Tensor = outputs * factor.view(shape) + shift.view(shape)
        return restyled

    def drawn_anew(self) -> None:
        """Give A and B fresh random values."""
        self.deviation.reset_parameters()
        self.mean.reset_parameters()


def restylings(model: Classifier, shape: tuple[int, ...]) -> dict[int, Restyling]:
    """Return one for each block whose outputs have channels and places, by its position.

    Args:
        model: put into evaluation mode while it is looked at.
        shape: of a sample.
    """
    found: dict[int, Restyling] = {}
    was_training = model.training
    model.eval()
    outputs = torch.zeros(1, *shape)
    with torch.no_grad():
        for position, block in enumerate(model.blocks):
            outputs = block(outputs)
            if outputs.dim() > 2:
                found[position] = Restyling(outputs.shape[1])
    model.train(was_training)
    return found
