"""Biases moved so that every unit takes part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import layers, outputs_of, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier

ENTRIES = 10_000
"""How many samples and places decide about a quantile."""


@dataclass(frozen=True)
class ShiftBias(Repair):
    """Move each bias so that its unit is above 0 on a given share of the attacker's inputs.

    `b <- b - quantile(a, 1 - share)` for what the unit says before its activation, `a`,
    over samples and places; layer by layer, from the first. Nothing but biases (of layers or
    of normalisations) in front of activations that are modules is moved; the weights, and so
    what a unit looks for, stay.

    Args:
        share: in (0, 1).
    """

    share: float = 0.5

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there are biases."""
        return any(name.endswith("bias") for name, _ in model.backbone.named_parameters())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with other biases."""
        inputs = sample(attacker.train)
        for layer, activation in layers(model, inputs):
            bias = getattr(layer, "bias", None)
            if activation is layer or not isinstance(bias, nn.Parameter):
                continue
            outputs = outputs_of(model, layer, layer, inputs)
            outputs = outputs[:: max(1, len(outputs) // ENTRIES)]
            with torch.no_grad():
                bias.sub_(outputs.double().quantile(1 - self.share, dim=0).to(bias.dtype))
        return model
