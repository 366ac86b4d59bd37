"""Repairs of activations and of what blocks gradients: flat intervals, dead units, gates, NaN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import (
    compute_unit_outputs,
    list_layers,
    observe,
    replace_part,
    sample,
)
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.fields import PositiveFloat, Range
from rootbound.networks import Classifier

FLAT = (nn.ReLU, nn.ReLU6, nn.Threshold, nn.Hardshrink, nn.Softshrink)
"""Activations that are 0, with gradient 0, on an interval."""
ENTRIES = 10_000
"""Largest number of samples and positions that a quantile is estimated from."""


@dataclass(frozen=True)
class LeakyActivations(Repair):
    """Replace every ReLU, and similar activations with a dead zone, by `max(x, slope * x)`.

    Gradients then reach units that are off (A. Maas et al., "Rectifier Nonlinearities", 2013).
    Only activations that are modules are replaced.

    Args:
        slope: Slope left of 0, in (0, 1).
    """

    slope: Annotated[float, Range(above=0, below=1)] = 0.1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there is such an activation."""
        return any(isinstance(part, FLAT) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with other activations."""
        for path, part in list(model.named_modules(remove_duplicate=False)):
            if isinstance(part, FLAT):
                replace_part(model, path, nn.LeakyReLU(self.slope))
        return model


@dataclass(frozen=True)
class ShiftBias(Repair):
    """Move each bias so that its unit is above 0 on a given share of the attacker's inputs.

    `b <- b - quantile(a, 1 - share)` over samples and positions, with `a` the output of the
    unit before its activation; layer by layer, from the first. Only biases (of layers or
    normalisations) in front of activations that are modules are moved. The weights, and so what a
    unit detects, stay as they are.

    Args:
        share: Share of the inputs for which a unit is above 0, in (0, 1).
    """

    share: Annotated[float, Range(above=0, below=1)] = 0.5

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there are biases."""
        return any(name.endswith("bias") for name, _ in model.backbone.named_parameters())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with other biases."""
        inputs = sample(attacker.train)
        for layer, activation in list_layers(model, inputs):
            bias = getattr(layer, "bias", None)
            if activation is layer or not isinstance(bias, nn.Parameter):
                continue
            outputs = compute_unit_outputs(model, layer, layer, inputs)
            outputs = outputs[:: max(1, len(outputs) // ENTRIES)]
            with torch.no_grad():
                bias.sub_(outputs.double().quantile(1 - self.share, dim=0).to(bias.dtype))
        return model


@dataclass(frozen=True)
class BypassGates(Repair):
    """Replace modules that are not torch's own and have no parameters by the identity.

    Such code computes something that cannot be trained: a gate with a false gradient, a dead zone,
    a trap for unknown inputs. It is bypassed if it returns one tensor of the shape that it was
    given. An activation written by hand is bypassed too.
    """

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there is such a module."""
        return bool(_find_gates(model))

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network without its gates."""
        gates = _find_gates(model)
        fitting: set[nn.Module] = set()

        def compare(gate: nn.Module, arguments: tuple[object, ...], outputs: object) -> None:
            if (
                len(arguments) == 1
                and isinstance(arguments[0], Tensor)
                and isinstance(outputs, Tensor)
            ):
                if arguments[0].shape == outputs.shape:
                    fitting.add(gate)
                else:
                    fitting.discard(gate)

        observe(model, sample(attacker.train, 2), dict.fromkeys(gates.values()), compare)
        for path, gate in gates.items():
            if gate in fitting:
                replace_part(model, path, nn.Identity())
        return model


def _find_gates(model: Classifier) -> dict[str, nn.Module]:
    """Return the outermost modules of the backbone that may be gates, by their dotted names."""
    gates: dict[str, nn.Module] = {}
    for path, part in model.named_modules(remove_duplicate=False):
        inside = any(path.startswith(f"{gate}.") for gate in gates)
        if path.startswith("backbone") and not inside and _is_gate(part):
            gates[path] = part
    return gates


def _is_gate(part: nn.Module) -> bool:
    own = not type(part).__module__.startswith("torch.nn")
    return own and not any(True for _ in part.parameters())


@dataclass(frozen=True)
class Sanitise(Repair):
    """Turn NaN into 0 and clamp large values, after each part of the backbone's sequences.

    Gradients that are not finite become 0 as well, because the derivative of a masked NaN is NaN
    again. Where everything is finite and small enough, nothing changes.

    Args:
        largest: Largest absolute value that passes.
    """

    largest: PositiveFloat = 1e8

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with every part wrapped."""
        blocks = [self._wrap(block) for block in model.blocks]
        return Classifier(nn.Sequential(*blocks), model.head)

    def _wrap(self, part: nn.Module) -> nn.Module:
        if type(part).forward is nn.Sequential.forward:
            return nn.Sequential(*(self._wrap(inner) for inner in part.children()))
        return Finite(part, self.largest)


class Finite(nn.Module):
    """A part of a network whose outputs, and the gradients of its inputs, are finite.

    Args:
        part: The part that is wrapped.
        largest: Largest absolute value of its outputs.
    """

    def __init__(self, part: nn.Module, largest: float) -> None:
        super().__init__()
        self.part = part
        self.largest = largest

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the part, with 0 for NaN."""
        if inputs.requires_grad:
            inputs.register_hook(_zero_where_not_finite)
        outputs: Tensor = self.part(inputs)
        if _is_within(outputs, self.largest):
            return outputs
        return torch.nan_to_num(outputs, nan=0.0).clamp(-self.largest, self.largest)


def _zero_where_not_finite(gradient: Tensor) -> Tensor:
    if _is_within(gradient, torch.finfo(gradient.dtype).max):
        return gradient
    return torch.nan_to_num(gradient, 0.0, 0.0, 0.0)


def _is_within(values: Tensor, largest: float) -> bool:
    """Return whether all values are finite and of that size at most."""
    # The extremes are NaN where any value is, so that they usually tell everything.
    seen = values.detach()
    return float(seen.amax()) <= largest and float(seen.amin()) >= -largest
