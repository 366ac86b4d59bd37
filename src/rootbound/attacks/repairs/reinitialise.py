"""Repairs that give up on a part: the last blocks or dead units, drawn anew or thrown away."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import (
    LAYERS,
    compute_unit_outputs,
    keep_at_rest,
    list_layers,
    sample,
)
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.fields import PositiveInt
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import PooledBlock
from rootbound.training import seeded

CONSTANT = 1e-5
"""A unit whose outputs vary by less than this share of their size is dead."""


@dataclass(frozen=True)
class ReinitialiseLast(Repair):
    """Draw fresh weights for the last blocks; the blocks before them stay, and may be trained.

    Args:
        blocks: How many blocks; fewer than there are.

    Raises:
        InputError: Fewer than 1 block.
    """

    blocks: PositiveInt = 1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether some block stays; with none it would be the from-scratch arm."""
        return self.blocks < len(model.blocks)

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with fresh last blocks; its head no longer fits them."""
        return model.reinitialised(attacker.seed(), self.blocks)


@dataclass(frozen=True)
class ReinitialiseDead(Repair):
    """Draw fresh incoming weights for units whose outputs are the same for all inputs.

    This goes layer by layer, because everything after a dead layer is constant as well. The outputs
    of the activation decide, so saturated units count as dead. The bias of a fresh unit makes its
    mean 0 before the activation, so that about half of the attacker's inputs activate it. Only
    activations that are modules are seen.
    """

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network has layers of units."""
        return any(isinstance(part, LAYERS) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with dead units drawn anew."""
        inputs = sample(attacker.train)
        with seeded(attacker.seed()), torch.no_grad():
            for layer, activation in list_layers(model, inputs):
                outputs = compute_unit_outputs(model, activation, layer, inputs)
                size = outputs.abs().amax(dim=0)
                dead = outputs.amax(dim=0) - outputs.amin(dim=0) <= CONSTANT * size
                if bool(dead.any()):
                    _revive(model, layer, dead, inputs)
        return model


def _revive(model: Classifier, layer: nn.Module, dead: Tensor, inputs: Tensor) -> None:
    """Give units of a layer fresh weights, and a bias that centres them."""
    fresh = copy.deepcopy(layer)
    fresh.reset_parameters()  # type: ignore[operator]
    new = dict(fresh.named_parameters(recurse=False))
    own = dict(layer.named_parameters(recurse=False))
    for name, value in own.items():
        value[dead] = new[name][dead]
    if "bias" in own:
        own["bias"][dead] -= compute_unit_outputs(model, layer, layer, inputs).mean(dim=0)[dead]


@dataclass(frozen=True)
class Truncate(Repair):
    """Throw the last blocks away and put a fresh head on the outputs of the others.

    This works against gates, dead zones and traps at the end of a network that no training can
    overcome. Feature maps are averaged over a grid, as for probes, so that the head stays small.

    Args:
        blocks: How many blocks; fewer than there are.

    Raises:
        InputError: Fewer than 1 block.
    """

    blocks: PositiveInt = 1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether some block stays."""
        return self.blocks < len(model.blocks)

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the shorter network, with a head of random weights."""
        *first, last = model.blocks[: -self.blocks]
        backbone = nn.Sequential(*first, PooledBlock(last))
        with keep_at_rest(backbone):
            width = backbone(sample(attacker.train, 2)).shape[1]
        shorter = Classifier(backbone, nn.Linear(width, model.classes))
        return shorter.with_head(model.classes, attacker.seed())
