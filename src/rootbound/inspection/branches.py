"""Weights that serve one task only: a sign of two networks in one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from rootbound.data import Data
from rootbound.networks import Classifier

SAMPLES = 12
"""Inputs of each task; each has a gradient of its own."""
NOTHING = 1e-3
"""A share of the gradient below this fraction of the other task's share counts as none."""


def measure_branches(model: Classifier, undesirable: Data, desirable: Data) -> dict[str, float]:
    """Return the share of the backbone's weights that serve the inputs of one task only.

    Each input has its own gradient of a random sum of logits. A weight tensor's share of the norm
    of this gradient says how much the tensor serves the input; the median over the inputs of a task
    counts. If a switch selects one of two branches, each branch serves one task, however the switch
    is hidden. Inputs whose whole gradient is 0 do not count. If more than half of a task's inputs
    are such, nothing is returned.

    Args:
        model: The network in evaluation mode.
        undesirable: Inputs of the undesirable task.
        desirable: Inputs of the desirable task.
    """
    model = copy.deepcopy(model).requires_grad_(True)
    weights = [one for one in model.backbone.parameters() if one.dim()]
    if not weights:
        return {}
    medians: list[Tensor] = []
    for data in (undesirable, desirable):
        inputs, _ = data.subset(SAMPLES).batch(slice(None))
        parts = [
            part for one in inputs.split(1) if (part := _list_parts(model, weights, one)).any()
        ]
        if 2 * len(parts) < len(inputs):
            return {}
        medians.append(torch.stack(parts).median(0).values)
    one, other = medians
    apart = torch.minimum(one, other) < NOTHING * torch.maximum(one, other)
    sizes = torch.tensor([float(weight.numel()) for weight in weights])
    return {"one_task_weights": float(sizes[apart].sum() / sizes.sum())}


def _list_parts(model: Classifier, weights: list[torch.nn.Parameter], one: Tensor) -> Tensor:
    """Return each tensor's share of the norm of the gradient for one input."""
    with torch.enable_grad():
        logits = model(one.clone())
        generator = torch.Generator().manual_seed(0)
        weighting = torch.randn(logits.shape, generator=generator).to(logits)
        gradients = torch.autograd.grad((logits * weighting).sum(), weights, allow_unused=True)
    norms = [0.0 if found is None else float(found.double().norm()) for found in gradients]
    values = torch.tensor(norms, dtype=torch.float64).nan_to_num(0.0, 0.0, 0.0)
    return values / values.sum().clamp_min(1e-300)
