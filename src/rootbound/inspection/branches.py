"""Weights that serve the inputs of one task alone: two networks in the place of one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from rootbound.data import Data
from rootbound.networks import Classifier

SAMPLES = 12
"""Inputs of each task, one by one."""
NOTHING = 1e-3
"""Share of a weight's part in the gradient, relative to that for the other task, that is none."""


def measure_branches(model: Classifier, undesirable: Data, desirable: Data) -> dict[str, float]:
    """Return the share of the backbone's weights that serve the inputs of one task alone.

    For each input the gradient of a random sum of logits is taken by itself. What part a weight
    tensor has in its norm says how much it serves that input; the median over the inputs of a task
    counts. However a switch between two branches is hidden, each branch serves one task. Inputs for
    which the whole gradient is 0 say nothing, nor do tasks with fewer than half of the others.

    Args:
        model: The network in evaluation mode.
        undesirable: Inputs of the undesirable task.
        desirable: Inputs of the other.
    """
    model = copy.deepcopy(model).requires_grad_(True)
    weights = [one for one in model.backbone.parameters() if one.dim()]
    medians: list[Tensor] = []
    for data in (undesirable, desirable):
        inputs, _ = data.subset(SAMPLES).batch(slice(None))
        parts = [
            part for one in inputs.split(1) if (part := _list_parts(model, weights, one)).any()
        ]
        if 2 * len(parts) < len(inputs) or not weights:
            return {}
        medians.append(torch.stack(parts).median(0).values)
    one, other = medians
    apart = torch.minimum(one, other) < NOTHING * torch.maximum(one, other)
    sizes = torch.tensor([float(weight.numel()) for weight in weights])
    return {"one_task_weights": float(sizes[apart].sum() / sizes.sum())}


def _list_parts(model: Classifier, weights: list[torch.nn.Parameter], one: Tensor) -> Tensor:
    """Return the part that each tensor has in the norm of the gradient for one input."""
    with torch.enable_grad():
        logits = model(one.clone())
        generator = torch.Generator().manual_seed(0)
        weighting = torch.randn(logits.shape, generator=generator).to(logits)
        gradients = torch.autograd.grad((logits * weighting).sum(), weights, allow_unused=True)
    norms = [0.0 if found is None else float(found.double().norm()) for found in gradients]
    values = torch.tensor(norms, dtype=torch.float64).nan_to_num(0.0, 0.0, 0.0)
    return values / values.sum().clamp_min(1e-300)
