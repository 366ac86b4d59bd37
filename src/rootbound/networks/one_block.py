"""Networks with several layers but only one block, which attacks cannot cut."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rootbound.networks.classifier import Classifier

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Layers whose weights belong to the layer before."""


def count_layers_in_one_block(model: Classifier) -> int | None:
    """Return how many layers are hidden in the only block of a network.

    None where there are several blocks, or where the network has no inner layer.
    """
    if len(model.blocks) != 1:
        return None
    layers = sum(map(_count_own_layers, model.backbone.modules()))
    return layers if layers > 1 else None


def _count_own_layers(part: nn.Module) -> int:
    """Return how many layers a module is by itself, without its children."""
    if isinstance(part, nn.RNNBase):
        return part.num_layers
    if isinstance(part, NORMS):
        return 0
    return int(any(weight.dim() > 1 for weight in part.parameters(recurse=False)))
