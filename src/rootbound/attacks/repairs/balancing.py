"""Layers whose scales differ wildly, brought to one scale without changing the function."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.links import Layer, Link, Weights, links, power_of_two
from rootbound.attacks.repairs.network import at_rest, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier


@dataclass(frozen=True)
class BalanceLayers(Repair):
    """Divide each layer's weight and bias by its scale `c`, and multiply the next weight by it.

    The function stays the same, since `c f(x / c) = f(x)` for what lies between (ReLUs,
    pooling, flattening); every `c` is rounded to a power of two, so that not even a digit is
    lost. The head takes the last one. A layer whose outputs meet anything else before the
    next layer is left as it is, and so is a network that is no nested sequence.

    The invariance is that of B. Neyshabur et al., "Path-SGD", 2015, section 2. Differs from
    the paper: scales are set once, from data or from singular values.

    Args:
        scale: `layers`, the standard deviation of all of a layer's outputs on the attacker's
            inputs; `units`, that of each unit's own, where units of the two layers line up;
            `spectral`, the largest singular value of the layer's weight.
    """

    scale: Literal["layers", "units", "spectral"] = "layers"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether some factor can move."""
        return bool(links(model))

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the same function with other scales."""
        found = links(model)
        if self.scale == "spectral":
            factors = _spectral(found)
        else:
            inputs = sample(attacker.train)
            factors = _measured(found, model, inputs, by_unit=self.scale == "units")
        with torch.no_grad():
            for link, factor in zip(found, factors, strict=True):
                link.move(factor)
        return model


def _measured(found: list[Link], model: Classifier, inputs: Tensor, by_unit: bool) -> list[Tensor]:
    """Return the deviation of each source's outputs, or of each of its units'."""
    apart: dict[nn.Module, bool] = {link.source: by_unit and link.lines_up for link in found}
    scales: dict[nn.Module, Tensor] = {}

    def measure(layer: nn.Module, _: object, outputs: Tensor) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        values = outputs.double().movedim(axis, -1).flatten(0, -2)
        scales[layer] = values.std(dim=0) if apart[layer] else values.std()

    with contextlib.ExitStack() as hooks, at_rest(model):
        for source in apart:
            hooks.callback(source.register_forward_hook(measure).remove)
        model.backbone(inputs)
    return [power_of_two(scales[link.source]) for link in found]


def _spectral(found: list[Link]) -> list[Tensor]:
    """Return the product of the largest singular values up to each source, along its chain."""
    factors: list[Tensor] = []
    arriving: dict[nn.Module, Tensor] = {}
    for link in found:
        own = _largest_singular_value(link.source)
        factors.append(power_of_two(own * arriving.get(link.source, torch.ones_like(own))))
        arriving[link.target] = factors[-1]
    return factors


def _largest_singular_value(layer: Layer) -> Tensor:
    weight = layer.weight.detach().double()
    if not isinstance(layer, Weights):
        assert layer.running_var is not None
        weight = (weight / (layer.running_var.double() + layer.eps).sqrt()).diag()
    largest: Tensor = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    return largest
