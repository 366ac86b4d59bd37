"""BalanceLayers: brings layers with very different scales to one scale; the function stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeGuard

import torch
from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import CONVOLUTIONS, LAYERS, list_parts, observe, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier

Weights = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
Layer = Weights | Norm
ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d,
)  # fmt: skip
POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
)  # fmt: skip
HOMOGENEOUS = (*ELEMENTWISE, *POOLING, nn.Flatten)
"""Modules that a positive factor passes through: `f(c x) = c f(x)`."""


@dataclass(frozen=True, eq=False)
class Link:
    """Two layers with nothing but homogeneous parts between them."""

    source: Layer
    between: tuple[nn.Module, ...]
    target: Layer

    @property
    def lines_up(self) -> bool:
        """Whether each unit of the source has inputs of the target to itself."""
        flat = any(isinstance(part, nn.Flatten) for part in self.between)
        pooled = any(isinstance(part, POOLING) for part in self.between)
        if isinstance(self.source, nn.Linear):
            return isinstance(self.target, nn.Linear) and not (flat or pooled)
        # The outputs of any other layer have their units second.
        return flat if isinstance(self.target, nn.Linear) else isinstance(self.target, CONVOLUTIONS)

    def move(self, factor: Tensor) -> None:
        """Divide the source's outputs by one factor or one per unit, in place.

        The target's weights are multiplied by it in return.
        """
        for value in self.source.parameters(recurse=False):
            units = factor.expand(len(value)).view(-1, *[1] * (value.dim() - 1))
            value.div_(units.to(value.dtype))
        if isinstance(self.target, Weights):
            factors = _shape_for_inputs(self.target, factor)
            self.target.weight.mul_(factors.to(self.target.weight.dtype))
            return
        assert self.target.running_mean is not None and self.target.running_var is not None
        self.target.running_mean.div_(factor)
        self.target.running_var.div_(factor.square())
        self.target.eps /= float(factor) ** 2


def find_links(model: Classifier) -> list[Link]:
    """Return the pairs of layers, the head included, in order; a shared layer is in none."""
    parts = [*list_parts(model.backbone), model.head]
    uses = Counter(map(id, parts))
    links: list[Link] = []
    source: Layer | None = None
    between: list[nn.Module] = []
    for part in parts:
        if _is_layer(part) and uses[id(part)] == 1:
            if source is not None:
                links.append(Link(source, tuple(between), part))
            source, between = part, []
        elif type(part) in HOMOGENEOUS:
            between.append(part)
        else:
            source = None
    return links


def _is_layer(part: nn.Module) -> TypeGuard[Layer]:
    """Return whether a part is certainly linear, or affine in evaluation mode."""
    # Only exactly these types, because a subclass may compute something else.
    if type(part) in LAYERS:
        return True
    batch_norm = type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return batch_norm and bool(part.affine) and bool(part.track_running_stats)


def _shape_for_inputs(target: Weights, factor: Tensor) -> Tensor:
    """Return the factor in a shape that fits the target's weight."""
    if factor.dim() == 0:
        return factor
    weight = target.weight
    if isinstance(target, nn.Linear):
        # Flattened feature maps: all places of a channel are neighbours.
        return factor.repeat_interleave(weight.shape[1] // len(factor))
    rows = factor.view(target.groups, -1).repeat_interleave(len(weight) // target.groups, dim=0)
    return rows.view(*rows.shape, *[1] * (weight.dim() - 2))


def round_to_power_of_two(scale: Tensor) -> Tensor:
    """Return the nearest power of two; 1 for what is 0 or not finite."""
    usable = torch.isfinite(scale) & (scale > 0)
    exponent = torch.where(usable, scale, 1.0).log2().round().clamp(-60, 60)
    return torch.full_like(exponent, 2.0).pow(exponent)


@dataclass(frozen=True)
class BalanceLayers(Repair):
    """Divide each layer's weight and bias by its scale `c`, and multiply the next weight by it.

    The function stays the same, since `c f(x / c) = f(x)` for everything in between (ReLUs,
    pooling, flattening). Every `c` is rounded to a power of two, so that no digit is lost. The
    head takes the last one. A layer is left as it is if anything else follows before the next
    layer, and so is a network that is not a nested sequence.

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
        return bool(find_links(model))

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the same function with other scales."""
        links = find_links(model)
        if self.scale == "spectral":
            factors = _multiply_singular_values(links)
        else:
            inputs = sample(attacker.train)
            factors = _measure_scales(links, model, inputs, by_unit=self.scale == "units")
        with torch.no_grad():
            for link, factor in zip(links, factors, strict=True):
                link.move(factor)
        return model


def _measure_scales(
    links: list[Link], model: Classifier, inputs: Tensor, by_unit: bool
) -> list[Tensor]:
    """Return the standard deviation of each source's outputs, of all units or of each unit."""
    by_units: dict[nn.Module, bool] = {link.source: by_unit and link.lines_up for link in links}
    scales: dict[nn.Module, Tensor] = {}

    def measure(layer: nn.Module, _: object, outputs: Tensor) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        values = outputs.double().movedim(axis, -1).flatten(0, -2)
        scales[layer] = values.std(dim=0) if by_units[layer] else values.std()

    observe(model, inputs, by_units, measure)
    return [round_to_power_of_two(scales[link.source]) for link in links]


def _multiply_singular_values(links: list[Link]) -> list[Tensor]:
    """Return the product of the largest singular values up to each source, along its chain."""
    factors: list[Tensor] = []
    arriving: dict[nn.Module, Tensor] = {}
    for link in links:
        own = _largest_singular_value(link.source)
        factors.append(round_to_power_of_two(own * arriving.get(link.source, torch.ones_like(own))))
        arriving[link.target] = factors[-1]
    return factors


def _largest_singular_value(layer: Layer) -> Tensor:
    weight = layer.weight.detach().double()
    if not isinstance(layer, Weights):
        assert layer.running_var is not None
        weight = (weight / (layer.running_var.double() + layer.eps).sqrt()).diag()
    largest: Tensor = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    return largest
